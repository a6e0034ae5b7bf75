"""The door `serverless`: a SageMaker endpoint without instances, which costs by use and sleeps when nobody asks.

No VPC, no network isolation, no data capture, one variant, and an update moves all traffic at once: that is what AWS
offers there (SageMaker's guide, "Serverless Inference", feature exclusions).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dogbreed import priced
from dogbreed.cloud.serving import front, hosting, rescaling
from dogbreed.cloud.serving.client import OfEndpoint
from dogbreed.cloud.serving.deployment import Deployment
from dogbreed.cloud.serving.hosted import VARIANT, Configuration, endpoint_seen, seen_or_none, variants
from dogbreed.cloud.serving.hosted_endpoint import Change, Endpoint
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings, DeploySettings
from dogbreed.errors import UsageError
from dogbreed.infer.answering import Answering
from dogbreed.plan import Resource
from dogbreed.priced import Month
from dogbreed.pricing import Prices

_TO = "serverless"
_STEP_MB, _LEAST_MB, _MOST_MB, _CHOSEN_MB = 1024, 1024, 6144, 3072
# What one photo takes with 3 GB, which are about two cores; rounded up, billed by the millisecond.
_SECONDS = 0.06
_LONGEST_S = 3600.0


def check(own: DeploySettings, aws: AwsSettings) -> None:
    """UsageError for what a serverless endpoint cannot have."""
    hosting.check_image(own.image)
    if own.memory_mb and (own.memory_mb % _STEP_MB or not _LEAST_MB <= own.memory_mb <= _MOST_MB):
        raise UsageError(
            f"--memory-mb {own.memory_mb}: a serverless endpoint has 1024, 2048, 3072, 4096, 5120 or 6144 MB",
            f"use --memory-mb {min(_MOST_MB, max(_LEAST_MB, -(-own.memory_mb // _STEP_MB) * _STEP_MB))}",
        )
    if own.provisioned_concurrency > own.max_concurrency:
        raise UsageError(
            f"--provisioned-concurrency {own.provisioned_concurrency} is more than --max-concurrency "
            f"{own.max_concurrency}",
            "give a larger --max-concurrency, at most 200",
        )
    if own.data_capture_percent:
        raise UsageError("a serverless endpoint cannot keep requests", "set [deploy] data_capture_percent = 0")


def resources(wanted: Deployment) -> list[Resource]:
    """Everything up to the endpoint and what is around it."""
    # AWS has neither network isolation nor subnets for serverless endpoints.
    data, model = hosting.served(wanted, wanted.run, isolated=False, in_network=False)
    configuration = _configuration(wanted)
    change = Change(lambda instances, watching: {}, keep_counts=False, longest_s=_LONGEST_S)
    endpoint = Endpoint(wanted.aws, _TO, configuration, change=change, tell=wanted.tell)
    made = hosting.basis(wanted, group=None)
    return [*made, data, model, configuration, endpoint, *hosting.around(wanted)]


def surplus(wanted: Deployment) -> list[Resource]:
    """What earlier deployments left, but for the one before."""
    return hosting.surplus(wanted, _configuration(wanted), set())


def everything(aws: Aws) -> list[Resource]:
    """For status and destroy."""
    return hosting.everything(aws, _TO)


def monthly(wanted: Deployment, requests_per_month: float, *, look: bool = False) -> Month:
    """By the seconds of all answers, and the function in front.

    Copies that are kept started have a price of their own, which the table that comes with dogbreed lacks.
    """
    own, region = wanted.settings, wanted.aws.configured_region
    memory = own.memory_mb or _CHOSEN_MB
    by_use = Prices.load().month_of_serverless(region, requests_per_month, _SECONDS, memory)
    alone = Month(priced.copies_of_endpoint(region, memory, own.provisioned_concurrency), by_use)
    return hosting.with_front(wanted, alone, requests_per_month, _SECONDS)


def waking(wanted: Deployment) -> str:
    """Not measured: it depends on the image and the region."""
    if wanted.settings.provisioned_concurrency:
        return "always awake"
    return "seconds after a quiet time"


def client(aws: Aws) -> Answering:
    """Asks by InvokeEndpoint."""
    return OfEndpoint(aws, aws.name(_TO))


def calls(aws: Aws) -> Mapping[str, str]:
    """How to call it."""
    return {**hosting.calls(aws, aws.name(_TO)), **front.calls(aws, _TO)}


def _configuration(wanted: Deployment) -> Configuration:
    own = wanted.settings
    _, model = hosting.served(wanted, wanted.run, isolated=False, in_network=False)
    size: dict[str, Any] = {
        "MemorySizeInMB": own.memory_mb or _CHOSEN_MB,
        "MaxConcurrency": own.max_concurrency,
        **({"ProvisionedConcurrency": own.provisioned_concurrency} if own.provisioned_concurrency else {}),
    }
    variant = {"VariantName": VARIANT, "ModelName": model.name, "ServerlessConfig": size}
    return as_scaled(wanted.aws, variant)


def as_scaled(aws: Aws, variant: Mapping[str, Any]) -> Configuration:
    """The configuration of `variant`, with as many copies kept started as there are where scaling sees to them.

    UpdateEndpoint goes by what the new configuration says, or ends them where it says nothing. What scales a variant
    stays while that gets another model (SageMaker's guide, "Update endpoints that use auto scaling": written of
    instances, inferred for copies). UsageError where scaling may want more copies than the variant would answer.
    """
    made = _with_copies(aws, variant, variant["ServerlessConfig"].get("ProvisionedConcurrency", 0))
    there, target = endpoint_seen(aws, aws.name(_TO)), rescaling.target(aws, _TO)
    if not there or not target:
        return made
    most, limit = target["MaxCapacity"], variant["ServerlessConfig"]["MaxConcurrency"]
    if limit < most:
        raise UsageError(
            f"--max-concurrency {limit} is less than the {most} copies that scaling may keep started",
            f"--max-concurrency {most}, or dogbreed scale --to serverless --max {limit}",
        )
    now = str(there.get("PendingDeploymentSummary", {}).get("EndpointConfigName") or there["EndpointConfigName"])
    begun = variants(seen_or_none(Configuration.known(aws, _TO, now).describe) or {})
    for one in begun[:1]:
        # The same but for the copies, whose number at that time says nothing of now.
        same = _with_copies(aws, variant, one.get("ServerlessConfig", {}).get("ProvisionedConcurrency", 0))
        if same.name == now:
            return same
    sizes = [one.get("DesiredServerlessConfig") or one.get("CurrentServerlessConfig") for one in variants(there)[:1]]
    copies = sum(size.get("ProvisionedConcurrency", 0) for size in sizes if size)
    return _with_copies(aws, variant, min(max(copies, target["MinCapacity"]), most))


def _with_copies(aws: Aws, variant: Mapping[str, Any], copies: int) -> Configuration:
    size = {key: value for key, value in variant["ServerlessConfig"].items() if key != "ProvisionedConcurrency"}
    size |= {"ProvisionedConcurrency": copies} if copies else {}
    return Configuration(aws, _TO, {"ProductionVariants": [{**variant, "ServerlessConfig": size}]})
