"""Scaling of the machines of an auto-scaling group: its bounds, its policies, its scheduled changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from dogbreed.cloud.errors import code, is_missing
from dogbreed.cloud.scaling_schedule import Change, bounds_at
from dogbreed.cloud.scaling_wanted import Wanted
from dogbreed.cloud.session import Aws
from dogbreed.errors import DogbreedError
from dogbreed.plan import Found, Resource


class _OfGroup(Resource):
    """What belongs to the group `group`."""

    def __init__(self, aws: Aws, name: str) -> None:
        self.aws = aws
        self.name = name
        self.group = aws.name("ec2")

    @property
    def _client(self) -> Any:
        return self.aws.client("autoscaling")


class GroupBounds(_OfGroup):
    """How many machines there are at least and at most; a part of the group, which is made and removed by deploying."""

    kind = "bounds of group"

    def __init__(self, aws: Aws, wanted: Wanted) -> None:
        super().__init__(aws, aws.name("ec2"))
        self._wanted = wanted

    def wanted(self) -> Mapping[str, Any]:
        """The bounds that hold now: those of a window of the schedule while it lasts."""
        own = self._wanted
        low, high = bounds_at(datetime.now(UTC), own.windows, own.smallest, own.largest, own.timezone)
        return {"min": low, "max": high}

    def find(self) -> Found | None:
        """DescribeAutoScalingGroups."""
        seen = group(self.aws)
        if seen is None:
            return None
        content = {"min": seen["MinSize"], "max": seen["MaxSize"]}
        return Found(seen["AutoScalingGroupARN"], content, state=f"{seen['MinSize']} to {seen['MaxSize']}")

    def create(self) -> None:
        """Never: the group is there, or there is nothing to scale."""
        raise DogbreedError(f"there is no auto-scaling group {self.group}", "dogbreed deploy --to ec2")

    def update(self, found: Found) -> None:
        """UpdateAutoScalingGroup; it moves what runs into the bounds."""
        wanted = self.wanted()
        self._client.update_auto_scaling_group(
            AutoScalingGroupName=self.group, MinSize=wanted["min"], MaxSize=wanted["max"]
        )

    def delete(self, found: Found) -> None:
        """Never: they go with the group."""
        raise NotImplementedError


class GroupPolicy(_OfGroup):
    """A policy of the group: `configuration` in the words of the API."""

    kind = "scaling policy"

    def __init__(
        self, aws: Aws, name: str, policy_type: str = "", configuration: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(aws, name)
        self._type = policy_type
        self._configuration = configuration

    def wanted(self) -> Mapping[str, Any]:
        """Its kind and what of its configuration is ours to say."""
        return {"type": self._type, **self._configuration} if self._configuration else {}

    def find(self) -> Found | None:
        """DescribePolicies."""
        for seen in policies(self.aws):
            if seen["PolicyName"] == self.name:
                return Found(seen["PolicyARN"], {"type": seen.get("PolicyType"), **_told(seen)})
        return None

    def create(self) -> None:
        """PutScalingPolicy."""
        self._client.put_scaling_policy(
            AutoScalingGroupName=self.group, PolicyName=self.name, PolicyType=self._type, **(self._configuration or {})
        )

    def update(self, found: Found) -> None:
        """The same call replaces it."""
        if found.content["type"] != self._type:
            self.delete(found)
        self.create()

    def delete(self, found: Found) -> None:
        """DeletePolicy; AWS deletes the alarms that it has made for it."""
        _let_go(lambda: self._client.delete_policy(AutoScalingGroupName=self.group, PolicyName=self.name))


class GroupChange(_OfGroup):
    """A moment of the week at which the bounds of the group change."""

    kind = "scheduled change"

    def __init__(self, aws: Aws, name: str, change: Change | None = None, timezone: str = "UTC") -> None:
        super().__init__(aws, name)
        self._change, self._timezone = change, timezone

    def wanted(self) -> Mapping[str, Any]:
        """When, and which bounds."""
        if self._change is None:
            return {}
        bounds = {"min": self._change.smallest, "max": self._change.largest}
        return {"schedule": self._change.unix_cron, "time zone": self._timezone, **bounds}

    def find(self) -> Found | None:
        """DescribeScheduledActions."""
        for seen in actions(self.aws):
            if seen["ScheduledActionName"] == self.name:
                content = {
                    "schedule": seen.get("Recurrence"),
                    "time zone": seen.get("TimeZone") or "UTC",
                    "min": seen.get("MinSize"),
                    "max": seen.get("MaxSize"),
                }
                state = f"{content['schedule']} {content['time zone']}: {content['min']} to {content['max']}"
                return Found(seen.get("ScheduledActionARN", self.name), content, state=state)
        return None

    def create(self) -> None:
        """PutScheduledUpdateGroupAction."""
        wanted = self.wanted()
        self._client.put_scheduled_update_group_action(
            AutoScalingGroupName=self.group,
            ScheduledActionName=self.name,
            Recurrence=wanted["schedule"],
            MinSize=wanted["min"],
            MaxSize=wanted["max"],
            # UTC where none is said; its name is none of the table that AWS wants.
            **({} if wanted["time zone"] == "UTC" else {"TimeZone": wanted["time zone"]}),
        )

    def update(self, found: Found) -> None:
        """The same call replaces it."""
        self.create()

    def delete(self, found: Found) -> None:
        """DeleteScheduledAction."""
        _let_go(
            lambda: self._client.delete_scheduled_action(AutoScalingGroupName=self.group, ScheduledActionName=self.name)
        )


def group(aws: Aws) -> dict[str, Any] | None:
    """The project's auto-scaling group as AWS shows it; None where there is none, or it is on its way out."""
    name = aws.name("ec2")
    found = aws.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    return next((dict(one) for one in found if not one.get("Status")), None)


def label(aws: Aws, target_group: str) -> str:
    """The resource label of ALBRequestCountPerTarget: the end of the balancer's ARN and that of the target group."""
    answer = aws.client("elbv2").describe_target_groups(TargetGroupArns=[target_group])
    balancers = answer["TargetGroups"][0]["LoadBalancerArns"]
    if not balancers:
        raise DogbreedError("the machines have no load balancer that counts requests", "write --target 60% instead")
    return f"{balancers[0].partition('loadbalancer/')[2]}/{target_group.rpartition(':')[2]}"


def policies(aws: Aws) -> Iterator[dict[str, Any]]:
    """The policies of the group, also those that others have put on it."""
    pages = aws.client("autoscaling").get_paginator("describe_policies").paginate(AutoScalingGroupName=aws.name("ec2"))
    for page in pages:
        yield from page["ScalingPolicies"]


def actions(aws: Aws) -> Iterator[dict[str, Any]]:
    """The scheduled changes of the group."""
    paginator = aws.client("autoscaling").get_paginator("describe_scheduled_actions")
    for page in paginator.paginate(AutoScalingGroupName=aws.name("ec2")):
        yield from page["ScheduledUpdateGroupActions"]


def everything(aws: Aws, alarms: list[Resource]) -> list[Resource]:
    """What scales the group now, in the order in which it is made; its bounds belong to the group."""
    if group(aws) is None:
        return alarms
    rules: list[Resource] = [GroupPolicy(aws, seen["PolicyName"]) for seen in policies(aws)]
    return [*rules, *(GroupChange(aws, seen["ScheduledActionName"]) for seen in actions(aws)), *alarms]


def _told(seen: Mapping[str, Any]) -> dict[str, Any]:
    """What is ours to say of a policy, without what AWS fills in."""
    if seen.get("PolicyType") != "TargetTrackingScaling":
        return {key: seen.get(key) for key in ("AdjustmentType", "StepAdjustments", "EstimatedInstanceWarmup")}
    told = dict(seen.get("TargetTrackingConfiguration", {}))
    told.pop("CustomizedMetricSpecification", None)
    told.setdefault("DisableScaleIn", False)
    return {"TargetTrackingConfiguration": told, "EstimatedInstanceWarmup": seen.get("EstimatedInstanceWarmup")}


def _let_go(remove: Any) -> None:
    try:
        remove()
    except ClientError as error:
        # What goes with its group is said to be no valid name any more.
        if not (is_missing(error) or code(error) == "ValidationError"):
            raise
