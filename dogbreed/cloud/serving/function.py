"""The door `lambda`: the model inside a function, which costs nothing while nobody asks.

Lambda gives a function one processor for 1,769 MB of memory, and as much less for less. One photo is worked on by one
thread: with less memory a request takes longer by as much as its second is cheaper, so it costs the same; with more it
costs more and is no faster. So a function gets 1,769 MB, or, if that is more, what the model was seen to need on this
machine for a large photo and half as much again.
"""

from __future__ import annotations

from collections.abc import Mapping

from dogbreed.cloud.bucket import Bucket
from dogbreed.cloud.policies_serving import LAMBDA
from dogbreed.cloud.roles import Role
from dogbreed.cloud.serving import client as asking
from dogbreed.cloud.serving import ending, front, function_code
from dogbreed.cloud.serving.deployment import Deployment
from dogbreed.cloud.serving.function_alias import Alias, Provisioned, Url, extras, unasked, ways
from dogbreed.cloud.serving.function_need import Need, measured
from dogbreed.cloud.serving.function_resources import Function, Spec
from dogbreed.cloud.serving.log_group import ServiceLogs
from dogbreed.cloud.session import Aws
from dogbreed.cloud.storage import Store
from dogbreed.config import AwsSettings, DeploySettings
from dogbreed.errors import UsageError
from dogbreed.infer.answering import Answering
from dogbreed.plan import Resource
from dogbreed.priced import Month

_TO = "lambda"
PROCESSOR_MB, _LEAST_MB, _STEP_MB = 1769, 128, 64
_MARGIN = 1.5
_TIMEOUT_S = 30


def check(own: DeploySettings, aws: AwsSettings) -> None:
    """UsageError for what such a function cannot have."""
    if own.image:
        raise UsageError("--image: this function is made of the run and packages, not of an image", "leave it out")
    if 0 < own.memory_mb < _LEAST_MB:
        raise UsageError(f"--memory-mb {own.memory_mb}: Lambda has {_LEAST_MB} to 10240 MB", "leave it out: chosen")


def resources(wanted: Deployment) -> list[Resource]:
    """Bucket, role, log group, code, function, alias, and what is wanted of copies and address."""
    aws, own = wanted.aws, wanted.settings
    # The stand-in runs functions with this machine's Python.
    code = function_code.alone(wanted.run, here=bool(aws.rehearsal))
    megabytes, why = memory(own.memory_mb, measured(wanted.run))
    wanted.tell(f"memory: {why}")
    role = Role(aws, LAMBDA)
    spec = Spec(code, role.arn, megabytes, _TIMEOUT_S, {}, own.reserved_concurrency, bucket=aws.bucket)
    function = Function(aws, wanted.name, spec)
    return [
        Bucket(aws),
        role,
        _logs(aws),
        function_code.Code(Store(aws), code),
        function,
        Alias(function),
        *extras(function, own.provisioned_concurrency, url=own.function_url == "iam"),
        *_end(wanted),
    ]


def surplus(wanted: Deployment) -> list[Resource]:
    """Copies, an address and an end that are not wanted any more."""
    own, function = wanted.settings, Function(wanted.aws, wanted.name)
    old = unasked(function, own.provisioned_concurrency, url=own.function_url == "iam")
    return old if own.ttl else [*old, *ending.everything(wanted.aws, _TO)]


def everything(aws: Aws) -> list[Resource]:
    """For status and destroy."""
    function = Function(aws, aws.name(_TO))
    made: list[Resource] = [_logs(aws), function, Alias(function), Provisioned(function), Url(function)]
    return [*made, *ending.everything(aws, _TO)]


def monthly(wanted: Deployment, requests_per_month: float, *, look: bool = False) -> Month:
    """By the time that a photo takes here, which another processor and a sleeping function make longer."""
    need = measured(wanted.run)
    megabytes, _ = memory(wanted.settings.memory_mb, need)
    seconds = need.photo_s * max(1.0, PROCESSOR_MB / megabytes)
    copies = wanted.settings.provisioned_concurrency
    return front.month(wanted.aws.configured_region, requests_per_month, seconds, megabytes, copies)


def waking(wanted: Deployment) -> str:
    """What loading takes on this machine; AWS adds what it needs to fetch the code."""
    if wanted.settings.provisioned_concurrency:
        return "always awake"
    return f"about {measured(wanted.run).load_s + 1:.0f} s after a quiet time"


def client(aws: Aws) -> Answering:
    """Asks by Invoke, of the alias `live`."""
    return asking.OfFunction(aws, aws.name(_TO))


def calls(aws: Aws) -> Mapping[str, str]:
    """How to call it; by curl where it has an address."""
    return ways(Function(aws, aws.name(_TO)))


def memory(given: int, need: Need) -> tuple[int, str]:
    """Memory in MB, and why so much; `given`: as set, 0 where it is to be chosen."""
    if given:
        return given, _against(given, need)
    least = need.peak_mb * _MARGIN
    if least <= PROCESSOR_MB:
        return PROCESSOR_MB, f"{PROCESSOR_MB} MB, one whole processor; {need.peak_mb:.0f} MB were needed here"
    rounded = int(-(-least // _STEP_MB) * _STEP_MB)
    return rounded, f"{rounded} MB, as {need.peak_mb:.0f} MB were needed here, and half as much again"


def _against(given: int, need: Need) -> str:
    if given < need.peak_mb:
        return f"{given} MB as set, which is less than the {need.peak_mb:.0f} MB that were needed here: it may fail"
    share = min(1.0, given / PROCESSOR_MB)
    return f"{given} MB as set, {share:.0%} of a processor; {need.peak_mb:.0f} MB were needed here"


def _logs(aws: Aws) -> ServiceLogs:
    return ServiceLogs(aws, f"/aws/lambda/{aws.name(_TO)}")


def _end(wanted: Deployment) -> list[Resource]:
    return ending.resources(wanted) if wanted.settings.ttl else []
