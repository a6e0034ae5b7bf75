"""The function in front of an endpoint: small, without a model, and allowed to ask that one endpoint."""

from __future__ import annotations

from dogbreed import priced
from dogbreed.cloud.policies_serving import FRONT_OF_ENDPOINT, FRONT_OF_SERVERLESS
from dogbreed.cloud.roles import Role
from dogbreed.cloud.serving import component, function_code
from dogbreed.cloud.serving.deployment import Deployment
from dogbreed.cloud.serving.function_alias import Alias, Provisioned, Url, extras, unasked, ways
from dogbreed.cloud.serving.function_resources import Function, Spec
from dogbreed.cloud.serving.log_group import ServiceLogs
from dogbreed.cloud.session import Aws
from dogbreed.plan import Resource
from dogbreed.priced import Month
from dogbreed.pricing import Prices

_ROLES = {"endpoint": FRONT_OF_ENDPOINT, "serverless": FRONT_OF_SERVERLESS}
# Importing boto3 is work for the processor, of which a function has as much as it has memory; it then waits.
MEMORY_MB = 512
# API Gateway waits 30 s at most.
TIMEOUT_S = 29
# The largest body that InvokeEndpoint takes.
_MAX_BYTES = {"endpoint": 6 * 2**20, "serverless": 4 * 2**20}


def name(aws: Aws, to: str) -> str:
    """Of the function in front of the door `to`: endpoint or serverless."""
    return aws.name(f"{to}-front")


def resources(wanted: Deployment) -> list[Resource]:
    """Role, log group, function, alias, and what is wanted of copies and address; after the endpoint in a plan."""
    aws, own, to = wanted.aws, wanted.settings, wanted.settings.to
    role = Role(aws, _ROLES[to])
    spec = Spec(
        function_code.front(),
        role.arn,
        MEMORY_MB,
        TIMEOUT_S,
        {
            "DOGBREED_ENDPOINT": wanted.name,
            "DOGBREED_MAX_BYTES": str(_MAX_BYTES[to]),
            **({"DOGBREED_COMPONENT": component.name(aws)} if own.component else {}),
        },
        own.reserved_concurrency,
    )
    function = Function(aws, name(aws, to), spec)
    more = extras(function, _copies(wanted), url=own.function_url == "iam")
    return [role, _logs(aws, to), function, Alias(function), *more]


def surplus(wanted: Deployment) -> list[Resource]:
    """What the function has of an earlier deployment and this one does not ask for; all of it without a front."""
    aws, own, to = wanted.aws, wanted.settings, wanted.settings.to
    if not own.front:
        return everything(aws, to)
    return unasked(Function(aws, name(aws, to)), _copies(wanted), url=own.function_url == "iam")


def everything(aws: Aws, to: str) -> list[Resource]:
    """What of it can be in the account; its role is listed with all of the project's."""
    function = Function(aws, name(aws, to))
    return [_logs(aws, to), function, Alias(function), Provisioned(function), Url(function)]


def calls(aws: Aws, to: str) -> dict[str, str]:
    """How to call it, by way, beside the ways of the endpoint itself; none where there is no such function."""
    function = Function(aws, name(aws, to))
    if function.find() is None:
        return {}
    return {f"{way}, by the function": text for way, text in ways(function).items()}


def monthly(wanted: Deployment, requests_per_month: float, seconds: float) -> Month:
    """What it costs a month where the endpoint takes `seconds` for an answer."""
    return month(wanted.aws.configured_region, requests_per_month, seconds, MEMORY_MB, _copies(wanted))


def month(region: str, requests: float, seconds: float, memory_mb: int, copies: int = 0) -> Month:
    """A month of a function: `requests` of `seconds` each; with `copies` kept started, all go to these."""
    by_use = Prices.load().month_of_lambda(region, requests, seconds, memory_mb, kept=copies > 0)
    return Month(priced.copies(region, memory_mb, copies), by_use)


def _copies(wanted: Deployment) -> int:
    """With serverless, the copies that are kept started are those of the endpoint."""
    return wanted.settings.provisioned_concurrency if wanted.settings.to == "endpoint" else 0


def _logs(aws: Aws, to: str) -> ServiceLogs:
    return ServiceLogs(aws, f"/aws/lambda/{name(aws, to)}")
