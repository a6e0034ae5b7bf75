"""Scaling of endpoints and functions by Application Auto Scaling: the target, its policies, its scheduled changes.

A policy's alarms are made and owned by AWS; a policy by steps has one of ours, which calls it. Registering a target
moves what runs into its bounds at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from dogbreed.cloud.errors import code, is_missing
from dogbreed.cloud.scaling_schedule import Change, bounds_at
from dogbreed.cloud.scaling_wanted import Wanted
from dogbreed.cloud.session import Aws
from dogbreed.plan import Found, Resource

VARIANT = "main"
ALIAS = "live"
# What Application Auto Scaling answers for a target, policy or action that is not there.
_GONE = "ObjectNotFoundException"


@dataclass(frozen=True)
class Place:
    """What is scaled, in the words of Application Auto Scaling; `name`: of what is deployed."""

    name: str
    namespace: str
    resource: str
    dimension: str

    @property
    def ids(self) -> dict[str, str]:
        """As every call takes it."""
        return {
            "ServiceNamespace": self.namespace,
            "ResourceId": self.resource,
            "ScalableDimension": self.dimension,
        }


def place(aws: Aws, door: str) -> Place:
    """Where a door other than ec2 is scaled."""
    name = aws.name(door)
    if door == "lambda":
        return Place(name, "lambda", f"function:{name}:{ALIAS}", "lambda:function:ProvisionedConcurrency")
    what = "DesiredInstanceCount" if door == "endpoint" else "DesiredProvisionedConcurrency"
    return Place(name, "sagemaker", f"endpoint/{name}/variant/{VARIANT}", f"sagemaker:variant:{what}")


def component_place(aws: Aws, component: str) -> Place:
    """Where the copies of an inference component are scaled, which may be none."""
    resource = f"inference-component/{component}"
    return Place(component, "sagemaker", resource, "sagemaker:inference-component:DesiredCopyCount")


class _Scaled(Resource):
    """What belongs to a place."""

    def __init__(self, aws: Aws, where: Place) -> None:
        self.aws = aws
        self.place = where

    @property
    def _client(self) -> Any:
        return self.aws.client("application-autoscaling")

    def _delete(self, operation: str, **names: str) -> None:
        try:
            getattr(self._client, operation)(**self.place.ids, **names)
        except ClientError as error:
            # Deleting a target takes its policies and actions with it.
            if not (is_missing(error) or code(error) == _GONE or "No scal" in str(error)):
                raise


class ScalableTarget(_Scaled):
    """The bounds, within which policies and scheduled changes move what is scaled."""

    kind = "scalable target"

    def __init__(self, aws: Aws, where: Place, wanted: Wanted | None = None) -> None:
        super().__init__(aws, where)
        self.name = where.name
        self._wanted = wanted

    def wanted(self) -> Mapping[str, Any]:
        """The bounds that hold now: those of a window of the schedule while it lasts."""
        own = self._wanted
        if own is None:
            return {}
        low, high = bounds_at(datetime.now(UTC), own.windows, own.smallest, own.largest, own.timezone)
        return {"min": low, "max": high}

    def find(self) -> Found | None:
        """DescribeScalableTargets."""
        answer = self._client.describe_scalable_targets(
            ServiceNamespace=self.place.namespace,
            ResourceIds=[self.place.resource],
            ScalableDimension=self.place.dimension,
        )
        for seen in answer["ScalableTargets"]:
            content = {"min": seen["MinCapacity"], "max": seen["MaxCapacity"]}
            state = f"{seen['MinCapacity']} to {seen['MaxCapacity']}"
            # Nobody else's can be on what bears this project's name: a resource has one target.
            return Found(
                seen.get("ScalableTargetARN") or self.place.resource,
                content,
                state=state,
                created=seen.get("CreationTime"),
            )
        return None

    def create(self) -> None:
        """RegisterScalableTarget, with tags, which it takes for a new one only."""
        self._register(Tags=self.aws.tags("scaling"))

    def update(self, found: Found) -> None:
        """The same call changes the bounds."""
        self._register()

    def delete(self, found: Found) -> None:
        """Take it off; what a function keeps started for it goes as well, as that costs by the hour."""
        self._delete("deregister_scalable_target")
        if self.place.namespace == "lambda":
            try:
                self.aws.client("lambda").delete_provisioned_concurrency_config(
                    FunctionName=self.place.name, Qualifier=ALIAS
                )
            except ClientError as error:
                if not is_missing(error):
                    raise

    def _register(self, **more: Any) -> None:
        wanted = self.wanted()
        self._client.register_scalable_target(
            **self.place.ids, MinCapacity=wanted["min"], MaxCapacity=wanted["max"], **more
        )


class ScalingPolicy(_Scaled):
    """A policy: `configuration` in the words of the API; of another kind, the name with another ending."""

    kind = "scaling policy"

    def __init__(
        self, aws: Aws, where: Place, name: str, policy_type: str = "", configuration: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(aws, where)
        self.name = name
        self._type = policy_type
        self._configuration = configuration

    def wanted(self) -> Mapping[str, Any]:
        """Its kind and what of its configuration is ours to say."""
        return {"type": self._type, **self._configuration} if self._configuration else {}

    def find(self) -> Found | None:
        """DescribeScalingPolicies."""
        for seen in policies(self.aws, self.place):
            if seen["PolicyName"] == self.name:
                content = {"type": seen["PolicyType"], **seen.get(f"{seen['PolicyType']}PolicyConfiguration", {})}
                return Found(seen["PolicyARN"], content, created=seen.get("CreationTime"))
        return None

    def create(self) -> None:
        """PutScalingPolicy."""
        self._client.put_scaling_policy(
            **self.place.ids,
            PolicyName=self.name,
            PolicyType=self._type,
            **{f"{self._type}PolicyConfiguration": self._configuration},
        )

    def update(self, found: Found) -> None:
        """The same call replaces it; a policy cannot become one of another kind."""
        if found.content["type"] != self._type:
            self.delete(found)
        self.create()

    def delete(self, found: Found) -> None:
        """DeleteScalingPolicy; AWS deletes the alarms that it has made for it."""
        self._delete("delete_scaling_policy", PolicyName=self.name)


class ScheduledChange(_Scaled):
    """A moment of the week at which the bounds change."""

    kind = "scheduled change"

    def __init__(self, aws: Aws, where: Place, name: str, change: Change | None = None, timezone: str = "UTC") -> None:
        super().__init__(aws, where)
        self.name = name
        self._change, self._timezone = change, timezone

    def wanted(self) -> Mapping[str, Any]:
        """When, and which bounds."""
        if self._change is None:
            return {}
        bounds = {"min": self._change.smallest, "max": self._change.largest}
        return {"schedule": self._change.cron, "time zone": self._timezone, **bounds}

    def find(self) -> Found | None:
        """DescribeScheduledActions."""
        for seen in actions(self.aws, self.place):
            if seen["ScheduledActionName"] == self.name:
                bounds = seen.get("ScalableTargetAction", {})
                content = {
                    "schedule": seen["Schedule"],
                    "time zone": seen.get("Timezone") or "UTC",
                    "min": bounds.get("MinCapacity"),
                    "max": bounds.get("MaxCapacity"),
                }
                state = f"{content['schedule']} {content['time zone']}: {content['min']} to {content['max']}"
                return Found(seen["ScheduledActionARN"], content, state=state, created=seen.get("CreationTime"))
        return None

    def create(self) -> None:
        """PutScheduledAction."""
        wanted = self.wanted()
        self._client.put_scheduled_action(
            **self.place.ids,
            ScheduledActionName=self.name,
            Schedule=wanted["schedule"],
            Timezone=wanted["time zone"],
            ScalableTargetAction={"MinCapacity": wanted["min"], "MaxCapacity": wanted["max"]},
        )

    def update(self, found: Found) -> None:
        """The same call replaces it."""
        self.create()

    def delete(self, found: Found) -> None:
        """DeleteScheduledAction."""
        self._delete("delete_scheduled_action", ScheduledActionName=self.name)


def policies(aws: Aws, where: Place) -> Iterator[dict[str, Any]]:
    """The policies of a place, also those that others have put on it."""
    yield from _listed(aws, "describe_scaling_policies", "ScalingPolicies", where)


def actions(aws: Aws, where: Place) -> Iterator[dict[str, Any]]:
    """The scheduled changes of a place."""
    yield from _listed(aws, "describe_scheduled_actions", "ScheduledActions", where)


def _listed(aws: Aws, operation: str, key: str, where: Place) -> Iterator[dict[str, Any]]:
    pages = aws.client("application-autoscaling").get_paginator(operation).paginate(**where.ids)
    for page in pages:
        yield from page[key]


def everything(aws: Aws, where: Place, alarms: list[Resource]) -> list[Resource]:
    """What scales a place now, in the order in which it is made."""
    target = ScalableTarget(aws, where)
    named = [ScheduledChange(aws, where, seen["ScheduledActionName"]) for seen in actions(aws, where)]
    rules = [ScalingPolicy(aws, where, seen["PolicyName"]) for seen in policies(aws, where)]
    return [target, *rules, *named, *alarms]
