"""The door `endpoint`: a SageMaker endpoint on instances, updated behind alarms that take a bad model back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from dogbreed import priced
from dogbreed.cloud import network
from dogbreed.cloud.policies_serving import ENDPOINT
from dogbreed.cloud.roles import Role
from dogbreed.cloud.serving import alarms, component, deployment, front, hosting, rescaling, update
from dogbreed.cloud.serving.client import OfEndpoint, component_of
from dogbreed.cloud.serving.component import Component
from dogbreed.cloud.serving.deployment import Deployment
from dogbreed.cloud.serving.hosted import (
    CHALLENGER,
    VARIANT,
    Configuration,
    endpoint_seen,
    models_in,
    seen_or_none,
    variants,
)
from dogbreed.cloud.serving.hosted_endpoint import Change, Endpoint
from dogbreed.cloud.session import Aws, listed
from dogbreed.cloud.training_sagemaker import security_group
from dogbreed.config import AwsSettings, DeploySettings
from dogbreed.errors import UsageError
from dogbreed.infer.answering import Answering
from dogbreed.plan import Resource
from dogbreed.priced import Month
from dogbreed.pricing import Instance, Prices

_TO = "endpoint"
_MEMORY_GIB, _IMAGE_ARCH = 2.0, "x86_64"
_STARTUP_S = 300
# Prices order types alike in all regions, and are known best there.
_REFERENCE = "us-east-1"
_LONGER_S = 3600
# Under an inference component: SageMaker starts and ends instances as its copies need them.
_MANAGED: dict[str, Any] = {"Status": "ENABLED", "MinInstanceCount": 0, "MaxInstanceCount": 10}
_TYPE = re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9]+")


def check(own: DeploySettings, aws: AwsSettings) -> None:
    """UsageError for a type, image or way of updating that cannot be."""
    hosting.check_image(own.image)
    update.check(own)
    if own.component:
        _check_component(own, aws)
    name = own.instance_type
    if name == "auto":
        return
    if not _TYPE.fullmatch(name):
        raise UsageError(
            f"--instance-type {name} is no type of SageMaker's", f"did you mean ml.{name.removeprefix('ml.')}?"
        )
    facts = Prices.load().instance(name)
    if facts and not own.image and facts.arch != _IMAGE_ARCH:
        raise UsageError(f"{name} has {facts.arch} processors, and the image is for {_IMAGE_ARCH}", "use ml.c6i.large")


def resources(wanted: Deployment) -> list[Resource]:
    """Everything up to the endpoint and what is around it."""
    aws, own = wanted.aws, wanted.settings
    _check_type(wanted)
    _check_network(aws)
    group = security_group(aws)
    made = hosting.basis(wanted, group=group)
    parts = [hosting.served(wanted, run, isolated=own.network_isolation, in_network=True) for run in _runs(wanted)]
    configuration = _configuration(wanted)
    _check_kind(wanted, configuration)
    watched = component.name(aws) if own.component else ""
    watch = alarms.of_endpoint(aws, _TO, own, hosting.figures(wanted, wanted.run), watched)
    names = tuple(alarm.name for alarm in watch)
    if own.component:
        data, model = parts[0]
        needed = component.needs(_type(wanted))
        copies = Component(aws, model.name, needed, own, watched=names, tell=wanted.tell)
        endpoint = Endpoint(aws, _TO, configuration, tell=wanted.tell)
        return [*made, data, model, configuration, *watch, endpoint, copies, *hosting.around(wanted)]
    change = Change(
        lambda instances, watching: update.deployment(own, instances, watching),
        keep_counts=True,
        longest_s=update.seconds(own, max(own.instances, 100)) + _LONGER_S,
        alarms=names,
        words=lambda instances: update.words(own, instances),
    )
    pause, resume = rescaling.around(aws, _TO, configuration)
    count, scaled = own.instances, bool(resume)
    endpoint = Endpoint(aws, _TO, configuration, instances=count, scaled=scaled, change=change, tell=wanted.tell)
    return [
        *made,
        *(data for data, _ in parts),
        *(model for _, model in parts),
        configuration,
        *watch,
        *pause,
        endpoint,
        *resume,
        *hosting.around(wanted),
    ]


def surplus(wanted: Deployment) -> list[Resource]:
    """What earlier deployments left, but for the one before."""
    used = set[str]()
    if wanted.settings.component:
        _, model = hosting.served(wanted, wanted.run, isolated=wanted.settings.network_isolation, in_network=True)
        used = component.models_kept(wanted.aws, model.name)
    return hosting.surplus(wanted, _configuration(wanted), used)


def everything(aws: Aws) -> list[Resource]:
    """For status and destroy."""
    return hosting.everything(aws, _TO)


def monthly(wanted: Deployment, requests_per_month: float, *, look: bool = False) -> Month:
    """So many instances that half of their cores' time is enough, all the month, and the function in front."""
    name = _type(wanted) if look else chosen_type(wanted.settings)
    count = deployment.enough(name, requests_per_month, wanted.settings.instances)
    fixed = priced.instances(name, wanted.aws.configured_region, count)
    return hosting.with_front(wanted, Month(fixed, Decimal(0), count), requests_per_month, deployment.PHOTO_S)


def waking(wanted: Deployment) -> str:
    """Always on."""
    return "always awake"


def client(aws: Aws) -> Answering:
    """Asks by InvokeEndpoint."""
    return OfEndpoint(aws, aws.name(_TO))


def calls(aws: Aws) -> Mapping[str, str]:
    """How to call it."""
    name = aws.name(_TO)
    return {**hosting.calls(aws, name, component_of(aws, name)), **front.calls(aws, _TO)}


def chosen_type(own: DeploySettings) -> str:
    """The type that is set, or the cheapest that suits: x86, not burstable (which SageMaker does not scale), no GPU,
    at least two cores and 2 GiB. Of equally cheap ones the newest.
    """
    if own.instance_type != "auto":
        return own.instance_type
    prices = Prices.load()

    def suits(one: Instance) -> bool:
        fits = one.hosting and one.vcpu >= 2 and one.memory_gib >= _MEMORY_GIB
        return fits and one.arch == _IMAGE_ARCH and not (one.burstable or one.gpus or one.name.startswith("inf"))

    def cost(one: Instance) -> tuple[Decimal, str]:
        figure = prices.hourly(f"ml.{one.name}", _REFERENCE, "hosting")
        # The later generation sorts first among the same letters: c6i before c5.
        age = "".join(chr(255 - ord(sign)) for sign in one.name)
        return (figure.usd if figure else Decimal("Infinity"), age)

    return f"ml.{min(filter(suits, prices.instances.values()), key=cost).name}"


def _runs(wanted: Deployment) -> list[Any]:
    return [wanted.run, *([wanted.shadow] if wanted.shadow else [])]


def _configuration(wanted: Deployment) -> Configuration:
    aws, own, kind = wanted.aws, wanted.settings, _type(wanted)
    variants = []
    for name, run in zip((VARIANT, CHALLENGER), _runs(wanted), strict=False):
        _, model = hosting.served(wanted, run, isolated=own.network_isolation, in_network=True)
        alone = {
            "ModelName": model.name,
            "InitialVariantWeight": 1.0,
            "ContainerStartupHealthCheckTimeoutInSeconds": _STARTUP_S,
        }
        variants.append(
            {
                "VariantName": name,
                "InstanceType": kind,
                "InitialInstanceCount": own.instances,
                "RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
                **({"ManagedInstanceScaling": _MANAGED} if own.component else alone),
            }
        )
    content: dict[str, Any] = {"ProductionVariants": variants[:1]}
    if own.component:
        content |= {"ExecutionRoleArn": Role(aws, ENDPOINT).arn, "EnableNetworkIsolation": own.network_isolation}
    if variants[1:]:
        content["ShadowProductionVariants"] = variants[1:]
    facts = Prices.load().instance(kind)
    # A disk of the machine itself is encrypted by its hardware, and takes no key.
    if aws.kms_key and not (facts and facts.nvme_gb):
        content["KmsKeyId"] = aws.kms_key
    if own.data_capture_percent:
        content["DataCaptureConfig"] = hosting.data_capture(wanted)
    return Configuration(aws, _TO, content)


def _check_component(own: DeploySettings, aws: AwsSettings) -> None:
    """UsageError for what is not known to go with an inference component."""
    if own.instances > _MANAGED["MaxInstanceCount"]:
        raise UsageError(
            f"--instances {own.instances}: with --component at most {_MANAGED['MaxInstanceCount']}",
            "give fewer --instances, or leave out --component",
        )
    if own.data_capture_percent:
        raise UsageError(
            "[deploy] data_capture_percent and --component are not combined", "set data_capture_percent = 0"
        )
    if listed(aws.subnets):
        raise UsageError("--component is not made in subnets of one's own", "leave out --component, or [aws] subnets")


def _check_kind(wanted: Deployment, configuration: Configuration) -> None:
    """UsageError for an endpoint that would have to become one of the other kind, or get other instances under its
    component: neither goes in place.
    """
    there = endpoint_seen(wanted.aws, wanted.name)
    if not there or there["EndpointStatus"] in ("Failed", "OutOfService", "Deleting"):
        return
    known = seen_or_none(Configuration.known(wanted.aws, _TO, there["EndpointConfigName"]).describe)
    if known is None:
        return
    again = "dogbreed destroy, then dogbreed deploy --to endpoint"
    if models_in(known) and wanted.settings.component:
        raise UsageError(
            f"endpoint {wanted.name} holds its model by itself, and cannot be changed into one with an inference "
            "component in place",
            f"{again} --component; or leave out --component",
        )
    if not models_in(known) and not wanted.settings.component:
        raise UsageError(
            f"endpoint {wanted.name} has an inference component, and cannot be changed into one without it in place",
            f"add --component; or {again}",
        )
    if wanted.settings.component and there["EndpointConfigName"] != configuration.name:
        raise UsageError(
            f"endpoint {wanted.name} with its inference component keeps its instance type, key and isolation",
            f"keep these settings; or {again} --component",
        )


def _check_network(aws: Aws) -> None:
    """UsageError for subnets in which an endpoint would fail after minutes: AWS wants two zones, and a way to S3."""
    if not listed(aws.settings.subnets):
        return
    found = network.look(aws)
    if len(found.zones) < 2:
        raise UsageError(
            f"the subnets are all in {next(iter(found.zones))}, and an endpoint takes two zones",
            "name a subnet of another zone as well: [aws] subnets",
        )
    for subnet in found.subnets:
        if subnet.exit != "nat" and "s3" not in subnet.endpoints:
            raise UsageError(
                f"an endpoint in {subnet.id} would not reach its model: it gets no public address",
                "add a gateway endpoint for S3 to the subnet's route table, or a NAT gateway",
            )


def _type(wanted: Deployment) -> str:
    """The type that is set, or that of an endpoint that is there, or the one that is chosen."""
    if wanted.settings.instance_type == "auto" and (there := endpoint_seen(wanted.aws, wanted.name)):
        known = Configuration.known(wanted.aws, _TO, there["EndpointConfigName"])
        for one in variants(seen_or_none(known.describe) or {})[:1]:
            return str(one.get("InstanceType", chosen_type(wanted.settings)))
    return chosen_type(wanted.settings)


def _check_type(wanted: Deployment) -> None:
    """UsageError for a type that SageMaker has not, as the SDK's model of the service knows them."""
    name, shape = _type(wanted), "ProductionVariantInstanceType"
    known = wanted.aws.client("sagemaker").meta.service_model.shape_for(shape).enum
    if name not in known:
        raise UsageError(f"SageMaker has no type {name} for endpoints", "choose another --instance-type, or auto")
