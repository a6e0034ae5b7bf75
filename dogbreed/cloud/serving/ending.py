"""`--ttl`: the service ends itself, by schedules in the account, also when the machine that deployed it is off.

Each is an EventBridge schedule for one time, which calls one delete operation with the project's role `end` and is
deleted after it. What costs nothing (models, roles, logs) stays for `dogbreed destroy`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from dogbreed.cloud.errors import code, is_missing
from dogbreed.cloud.policies_serving import END
from dogbreed.cloud.roles import Role
from dogbreed.cloud.serving.deployment import Deployment
from dogbreed.cloud.serving.hosted import gone, patiently, seen_or_none
from dogbreed.cloud.session import Aws
from dogbreed.errors import UsageError
from dogbreed.plan import Found, Resource

# Of the machines' two ends, the one that a single machine has no use for.
BALANCER = "ec2-balancer"
_UNITS = {"m": 60, "h": 3600, "d": 86400}
_LEAST_S, _MOST_S = 60, 365 * 86400
# A second deployment within this share of the time does not move the end.
_SAME = 0.05
_AT = "%Y-%m-%dT%H:%M:%S"
# Tried again for a day: a service that is being updated cannot be deleted before that has ended.
_RETRIES = {"MaximumRetryAttempts": 185, "MaximumEventAgeInSeconds": 86400}


def seconds(ttl: str) -> float:
    """Seconds of 8h, 90m or 2d; UsageError for less than a minute or more than a year."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([mhd])", ttl)
    found = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not _LEAST_S <= found <= _MOST_S:
        raise UsageError(f"--ttl {ttl}: not a time from a minute to a year", "one such as 90m, 8h or 2d")
    return found


def resources(wanted: Deployment) -> list[Resource]:
    """The role and a schedule for each thing that costs by the hour; after these things in a plan."""
    own = wanted.settings
    whats = [what for what in _whats(own.to, own.front, own.component) if what != BALANCER or not own.single]
    return [Role(wanted.aws, END), *(End(wanted.aws, what, own.ttl) for what in whats)]


def everything(aws: Aws, to: str) -> list[Resource]:
    """The schedules of a door; its role is the project's."""
    return [End(aws, what) for what in _whats(to, True, True)]


def _whats(to: str, front: bool, component: bool) -> list[str]:
    more = {"endpoint": ["endpoint-front"], "serverless": ["serverless-front"], "ec2": [BALANCER]}
    # An endpoint is deleted after its inference component: until that has gone, the schedule tries again.
    first = ["endpoint-model"] if to == "endpoint" and component else []
    return [*first, to, *(more.get(to, []) if front or to == "ec2" else [])]


class End(Resource):
    """The schedule `p-end-<what>`; `ttl` "" is one that is there, to look at and delete."""

    kind = "scheduled end"

    def __init__(self, aws: Aws, what: str, ttl: str = "") -> None:
        self._aws, self._what, self._ttl = aws, what, ttl
        self.name = aws.name(f"end-{what}")

    def wanted(self) -> Mapping[str, Any]:
        """That it ends the right thing, in about the time that is set from now. A load balancer that was made anew has
        another ARN.
        """
        if not self._ttl:
            return {}
        return {"what": self._target(), "input": self._input(), "ends": f"in {self._ttl}"}

    def unasked(self, found: Found) -> str:
        """The option that would keep it; "" where it is wanted."""
        return "" if self._ttl else "--ttl"

    def find(self) -> Found | None:
        """GetSchedule."""
        seen = seen_or_none(lambda: dict(self._client.get_schedule(Name=self.name)))
        if seen is None:
            return None
        ends = datetime.strptime(seen["ScheduleExpression"], f"at({_AT})").replace(tzinfo=UTC)
        content: dict[str, Any] = {"what": seen["Target"]["Arn"], "ends": f"{ends:%Y-%m-%d %H:%M} UTC"}
        content["input"] = json.loads(seen["Target"].get("Input", "{}"))
        if self._ttl:
            left, wants = (ends - self._aws.now()).total_seconds(), seconds(self._ttl)
            if abs(left - wants) <= max(_LEAST_S, wants * _SAME):
                content["ends"] = f"in {self._ttl}"
        return Found(seen["Arn"], content, state=f"at {ends:%Y-%m-%d %H:%M} UTC", created=seen.get("CreationDate"))

    def create(self) -> None:
        """CreateSchedule; nothing where the thing that it would end is not there."""
        if told := self._schedule():
            patiently(lambda: self._client.create_schedule(**told), self.find)

    def update(self, found: Found) -> None:
        """Another end: the same call moves it."""
        if told := self._schedule():
            self._client.update_schedule(**told)

    def delete(self, found: Found) -> None:
        """Take it off: the service stays until it is destroyed."""
        gone(lambda: self._client.delete_schedule(Name=self.name))

    def _schedule(self) -> dict[str, Any] | None:
        told = self._input()
        if told is None:
            return None
        ends = self._aws.now() + timedelta(seconds=seconds(self._ttl))
        return {
            "Name": self.name,
            "Description": f"dogbreed {self._aws.settings.project}: ends {self._aws.name(self._what)}",
            "ScheduleExpression": f"at({ends.strftime(_AT)})",
            "ScheduleExpressionTimezone": "UTC",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "ActionAfterCompletion": "DELETE",
            "Target": {
                "Arn": self._target(),
                "RoleArn": Role(self._aws, END).arn,
                "Input": json.dumps(told),
                "RetryPolicy": _RETRIES,
            },
        }

    def _target(self) -> str:
        service, operation, _ = _CALLS.get(self._what, _DELETES_FUNCTION)
        return f"arn:{self._aws.partition}:scheduler:::aws-sdk:{service}:{operation}"

    def _input(self) -> dict[str, Any] | None:
        made: Callable[[Aws, str], dict[str, Any] | None] = _CALLS.get(self._what, _DELETES_FUNCTION)[2]
        return made(self._aws, self._aws.name(self._what))

    @property
    def _client(self) -> Any:
        return self._aws.client("scheduler")


def _balancer(aws: Aws, name: str) -> dict[str, Any] | None:
    """A load balancer is deleted by its ARN, a part of which AWS makes up."""
    try:
        found = aws.client("elbv2").describe_load_balancers(Names=[name.removesuffix("-balancer")])
    except ClientError as error:
        if is_missing(error) or code(error) == "LoadBalancerNotFound":
            return None
        raise
    return {"LoadBalancerArn": found["LoadBalancers"][0]["LoadBalancerArn"]}


_DELETES_ENDPOINT = ("sagemaker", "deleteEndpoint", lambda aws, name: {"EndpointName": name})
_DELETES_FUNCTION = ("lambda", "deleteFunction", lambda aws, name: {"FunctionName": name})
_CALLS: dict[str, tuple[str, str, Callable[[Aws, str], dict[str, Any] | None]]] = {
    "endpoint": _DELETES_ENDPOINT,
    "endpoint-model": ("sagemaker", "deleteInferenceComponent", lambda aws, name: {"InferenceComponentName": name}),
    "serverless": _DELETES_ENDPOINT,
    "ec2": (
        "autoscaling",
        "deleteAutoScalingGroup",
        lambda aws, name: {"AutoScalingGroupName": name, "ForceDelete": True},
    ),
    BALANCER: ("elasticloadbalancingv2", "deleteLoadBalancer", _balancer),
}
