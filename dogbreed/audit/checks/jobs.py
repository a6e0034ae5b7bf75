"""Training, tuning, processing and monitoring jobs of SageMaker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dogbreed.audit.checks import secrets
from dogbreed.audit.checks.table import (
    Unsure,
    Wrong,
    dotted,
    given,
    has_content,
    is_unknown,
    known,
    member,
    partial,
    rule,
    switched,
    truth,
)
from dogbreed.audit.finding import Category
from dogbreed.audit.model import UNKNOWN, Corpus, Resource

_TRAINING = "SageMaker::TrainingJob"
_TRAFFIC = ("NetworkConfig", "EnableInterContainerTrafficEncryption")
_ISOLATION = ("NetworkConfig", "EnableNetworkIsolation")
# Kind of monitoring, ids of Security Hub for encryption and isolation, and how bad a lack of isolation is there.
_QUALITY = (
    ("DataQuality", "SageMaker.9", "SageMaker.11", "medium"),
    ("ModelQuality", "SageMaker.13", "SageMaker.25", "high"),
    ("ModelBias", "SageMaker.15", "SageMaker.12", "medium"),
    ("ModelExplainability", "SageMaker.10", "SageMaker.20", "high"),
)
_CLEAR = "The data that the machines exchange is readable on the way."
_CALLS_OUT = "What runs in the container can send the captured data anywhere."

for _kind, _encrypt, _isolate, _severity in _QUALITY:
    rule(
        f"SM-{_kind.upper()}-ENCRYPT",
        Category.ENCRYPTION,
        "medium",
        f"{_kind} jobs do not encrypt the traffic between their containers",
        _CLEAR,
        "Set NetworkConfig.EnableInterContainerTrafficEncryption to true.",
        _encrypt,
        types=f"SageMaker::{_kind}JobDefinition",
    )(switched(_TRAFFIC, on=True, default=False))
    rule(
        f"SM-{_kind.upper()}-ISOLATION",
        Category.ISOLATION,
        _severity,
        f"{_kind} jobs are not isolated from the network",
        _CALLS_OUT,
        "Set NetworkConfig.EnableNetworkIsolation to true.",
        _isolate,
        types=f"SageMaker::{_kind}JobDefinition",
    )(switched(_ISOLATION, on=True, default=False))


def _monitored(name: str) -> Any:
    """The test of a schedule's own definition; one that refers to a job definition is judged there."""
    inner = ("MonitoringScheduleConfig", "MonitoringJobDefinition")
    test = switched((*inner, "NetworkConfig", name), on=True, default=False)

    def run(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
        elsewhere = resource.get("MonitoringScheduleConfig", "MonitoringJobDefinitionName")
        if resource.get(*inner) is not None or not has_content(elsewhere):
            yield from test(resource, corpus)

    return run


rule(
    "SM-MONITOR-ISOLATION",
    Category.ISOLATION,
    "medium",
    "Monitoring schedule is not isolated from the network",
    _CALLS_OUT,
    "Set NetworkConfig.EnableNetworkIsolation of its job definition to true.",
    "SageMaker.14",
    types="SageMaker::MonitoringSchedule",
)(_monitored("EnableNetworkIsolation"))
rule(
    "SM-MONITOR-ENCRYPT",
    Category.ENCRYPTION,
    "medium",
    "Monitoring schedule does not encrypt the traffic between its containers",
    _CLEAR,
    "Set NetworkConfig.EnableInterContainerTrafficEncryption of its job definition to true.",
    "SageMaker.22",
    types="SageMaker::MonitoringSchedule",
)(_monitored("EnableInterContainerTrafficEncryption"))
rule(
    "SM-TRAIN-ISOLATION",
    Category.ISOLATION,
    "medium",
    "Training job is not isolated from the network",
    "Training code, or any library it uses, can send the photos anywhere.",
    "Set EnableNetworkIsolation to true; bring what the job needs in the image or in an input channel.",
    "prowler sagemaker_training_jobs_network_isolation_enabled",
    types=_TRAINING,
)(switched(("EnableNetworkIsolation",), on=True, default=False))
rule(
    "SM-TRAIN-VPC",
    Category.NETWORK,
    "medium",
    "Training job runs in no VPC of yours",
    "Neither your security groups nor the policies of your VPC endpoints hold for its traffic.",
    "Set VpcConfig with Subnets and SecurityGroupIds.",
    "prowler sagemaker_training_jobs_vpc_settings_configured",
    types=_TRAINING,
)(given(("VpcConfig",)))


@rule(
    "SM-TRAIN-ENCRYPT",
    Category.ENCRYPTION,
    "medium",
    "Machines of a training job exchange gradients in clear text",
    _CLEAR,
    "Set EnableInterContainerTrafficEncryption to true.",
    "prowler sagemaker_training_jobs_intercontainer_encryption_enabled",
    types=_TRAINING,
)
def traffic(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """Only where there is more than one machine."""
    path = ("EnableInterContainerTrafficEncryption",)
    switch = resource.get(*path)
    if truth(switch):
        return
    count = _machines(resource.get("ResourceConfig"))
    if count is None or (count > 1 and not known(switch)):
        yield Unsure(path, "the number of machines or the switch is not known before the job starts")
    elif count > 1:
        yield Wrong(path, f"{count} machines, and {path[0]} is {'off' if switch is None else 'false'}")


def _machines(config: Any) -> int | None:
    """How many machines a job has; None when that is not known."""
    groups = member(config, "InstanceGroups")
    counts = [member(one, "InstanceCount") for one in groups] if isinstance(groups, list) and groups else []
    counts = counts or [member(config, "InstanceCount")]
    if any(not known(one) for one in counts):
        return None
    return sum(int(one) for one in counts if str(one).isdigit()) or 1


@rule(
    "SM-TRAIN-KMS",
    Category.ENCRYPTION,
    "medium",
    "Training job's volume or output has no key of yours",
    "Photos and weights lie there; the policy of a key of your own is a second gate.",
    "Set ResourceConfig.VolumeKmsKeyId and OutputDataConfig.KmsKeyId to a customer managed key.",
    "prowler sagemaker_training_jobs_volume_and_output_encryption_enabled",
    types=_TRAINING,
)
def job_keys(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """Volume and output; machines with local disks only take no key, which their types tell."""
    paths = [("OutputDataConfig", "KmsKeyId")]
    if not _local_disks(resource.get("ResourceConfig", "InstanceType")):
        paths.insert(0, ("ResourceConfig", "VolumeKmsKeyId"))
    for path in paths:
        if partial(resource, path[0]):
            continue
        if resource.get(*path) is UNKNOWN:
            yield from is_unknown(resource, path)
        elif not has_content(resource.get(*path)):
            yield Wrong(path, f"{dotted(path)} is not set")


def _local_disks(instance_type: Any) -> bool:
    """Whether a type has NVMe disks of its own, encrypted by the machine; SageMaker refuses a key for them."""
    family = str(instance_type).removeprefix("ml.").split(".", 1)[0]
    return family in ("g4dn", "g5", "p4d", "p4de", "p5", "p5e", "g6", "g6e", "c5d", "m5d", "r5d", "trn1")


@rule(
    "SM-TRAIN-SECRET",
    Category.DATA_EXPOSURE,
    "high",
    "Job's settings hold a secret",
    "Everyone who may describe the job reads it, for as long as the account exists.",
    "Store it in Secrets Manager and let the job read it with its role.",
    "",
    types="SageMaker::TrainingJob SageMaker::ProcessingJob SageMaker::TransformJob SageMaker::Model",
)
def job_secrets(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """Hyperparameters and environments, those of a model's containers too."""
    places: list[tuple[str | int, ...]] = [("HyperParameters",), ("Environment",), ("PrimaryContainer", "Environment")]
    containers = resource.get("Containers")
    places += [
        ("Containers", index, "Environment") for index in range(len(containers) if isinstance(containers, list) else 0)
    ]
    for path in places:
        yield from variables(resource, path)


def variables(resource: Resource, path: tuple[str | int, ...]) -> Iterator[Wrong | Unsure]:
    """The secrets among the variables at a path."""
    values = resource.get(*path)
    for name, what in secrets.in_variables(values):
        yield Wrong((*path, name), f"{dotted(path)} {name} holds {what}")
    for name, value in values.items() if isinstance(values, dict) else ():
        if not known(value) and secrets.suspicious(str(name)) and (value is UNKNOWN or len(value) == 1):
            yield Unsure((*path, name), f"the value of {name} is not known before it is deployed")


rule(
    "SM-TRAIN-REMOTE-DEBUG",
    Category.ISOLATION,
    "medium",
    "Training job lets people in",
    "A shell in the container has the credentials of the job's role.",
    "Remove RemoteDebugConfig from jobs that are not being debugged.",
    "",
    types=_TRAINING,
)(switched(("RemoteDebugConfig", "EnableRemoteDebug"), on=False, default=False))
