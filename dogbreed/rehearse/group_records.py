"""What is known of an auto-scaling group: its machines, refreshes and activities, in the shapes of the API."""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dogbreed.rehearse.calls import AwsError

_KEPT = 200
# Refreshes that are not over.
GOING = ("Pending", "InProgress", "Cancelling", "RollbackInProgress")

Template = dict[str, str]


@dataclass
class Member:
    """A machine of a group; `since` is when it came into service, by the stand-in's clock."""

    id: str
    zone: str
    kind: str
    image: str
    template: Template
    refresh: str = ""
    state: str = "Pending"
    healthy: bool = True
    protected: bool = False
    since: float = 0.0
    # When it was launched, by this computer's.
    began: float = field(default_factory=time.monotonic)
    # Whether it has been told to end: until then, its requests are let finish.
    told: bool = False
    activity: dict[str, Any] = field(default_factory=dict)

    @property
    def active(self) -> bool:
        """Whether it counts for the capacity of the group."""
        return self.state in ("Pending", "InService")

    def shown(self) -> dict[str, Any]:
        """As the API has it."""
        return {
            "InstanceId": self.id,
            "InstanceType": self.kind,
            "AvailabilityZone": self.zone,
            "LifecycleState": self.state,
            "HealthStatus": "Healthy" if self.healthy else "Unhealthy",
            "LaunchTemplate": self.template,
            "ImageId": self.image,
            "ProtectedFromScaleIn": self.protected,
        }


@dataclass
class Refresh:
    """A rolling replacement by machines of `template`; `before` is what the group had, for a rollback."""

    group: str
    template: Template
    before: Template
    told: dict[str, Any]
    start: datetime
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "Pending"
    reason: str = ""
    end: datetime | None = None
    ready: int = 0
    wanted: int = 0
    # When it last came on, by the stand-in's clock.
    progress: float = 0.0
    rollback: dict[str, Any] = field(default_factory=dict)

    @property
    def going(self) -> bool:
        """Whether it replaces machines."""
        return self.status in GOING

    @property
    def preferences(self) -> dict[str, Any]:
        """What was asked for."""
        found: dict[str, Any] = self.told.get("Preferences") or {}
        return found

    @property
    def goal(self) -> Template:
        """The template that all machines are to have in the end."""
        return self.before if self.status == "RollbackInProgress" else self.template

    def is_new(self, member: Member) -> bool:
        """Whether a machine need not be replaced."""
        if self.preferences.get("SkipMatching") or self.status == "RollbackInProgress":
            return member.template == self.goal
        return member.refresh == self.id

    def surge(self, desired: int) -> int:
        """How many machines there may be over the capacity that is wanted."""
        most = int(self.preferences.get("MaxHealthyPercentage") or 100)
        return max(1, desired * most // 100 - desired) if most > 100 else 0

    def least(self, desired: int) -> int:
        """How many must be in service; with no room for more, one at a time may always be missing."""
        least = math.ceil(desired * int(self.preferences.get("MinHealthyPercentage", 90)) / 100)
        return least if self.surge(desired) else min(least, desired - 1)

    def shown(self) -> dict[str, Any]:
        """As the API has it."""
        share = 100 if self.status in ("Successful", "RollbackSuccessful") else 100 * self.ready // max(1, self.wanted)
        told = {
            "InstanceRefreshId": self.id,
            "AutoScalingGroupName": self.group,
            "Status": self.status,
            "StartTime": self.start,
            "PercentageComplete": share,
            "InstancesToUpdate": max(0, self.wanted - self.ready) if self.going else 0,
            "Preferences": self.preferences,
            "Strategy": "Rolling",
        }
        told |= {"StatusReason": self.reason} if self.reason else {}
        told |= {"EndTime": self.end} if self.end else {}
        told |= (
            {"DesiredConfiguration": self.told["DesiredConfiguration"]} if "DesiredConfiguration" in self.told else {}
        )
        return told | ({"RollbackDetails": self.rollback} if self.rollback else {})


@dataclass
class Group:
    """An auto-scaling group: `told` are the parameters that hold now, `template` what new machines are made of."""

    name: str
    region: str
    account: str
    told: dict[str, Any]
    template: Template
    created: datetime
    tags: dict[str, dict[str, Any]] = field(default_factory=dict)
    members: list[Member] = field(default_factory=list)
    refreshes: list[Refresh] = field(default_factory=list)
    activities: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_KEPT))
    suspended: set[str] = field(default_factory=set)
    deleting: bool = False
    number: str = field(default_factory=lambda: str(uuid.uuid4()))
    lock: threading.RLock = field(default_factory=threading.RLock)
    wake: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def arn(self) -> str:
        """Its ARN."""
        where = f"arn:aws:autoscaling:{self.region}:{self.account}:autoScalingGroup"
        return f"{where}:{self.number}:autoScalingGroupName/{self.name}"

    @property
    def refresh(self) -> Refresh | None:
        """The one that is going on."""
        return next((one for one in self.refreshes if one.going), None)

    @property
    def target_groups(self) -> list[str]:
        """ARNs of the target groups that its machines are in."""
        found: list[str] = self.told["TargetGroupARNs"]
        return found

    @property
    def subnets(self) -> list[str]:
        """The subnets that its machines are in."""
        return [name.strip() for name in self.told.get("VPCZoneIdentifier", "").split(",") if name.strip()]

    def act(self, description: str, cause: str, now: datetime, **more: Any) -> dict[str, Any]:
        """Note an activity; what it is answered with may be changed later."""
        activity = {
            "ActivityId": str(uuid.uuid4()),
            "AutoScalingGroupName": self.name,
            "AutoScalingGroupARN": self.arn,
            "Description": description,
            "Cause": f"At {now:%Y-%m-%dT%H:%M:%SZ} {cause}",
            "StartTime": now,
            "StatusCode": "InProgress",
            "Progress": 50,
            "Details": "{}",
            **more,
        }
        self.activities.appendleft(activity)
        return activity

    def shown(self) -> dict[str, Any]:
        """As DescribeAutoScalingGroups has it."""
        kept = (
            *("MinSize", "MaxSize", "DesiredCapacity", "DefaultCooldown", "AvailabilityZones", "TargetGroupARNs"),
            *("HealthCheckType", "HealthCheckGracePeriod", "VPCZoneIdentifier", "TerminationPolicies"),
            *("NewInstancesProtectedFromScaleIn", "CapacityRebalance", "MaxInstanceLifetime", "DefaultInstanceWarmup"),
            "InstanceMaintenancePolicy",
        )
        shown = {name: self.told[name] for name in kept if name in self.told}
        shown |= {"AutoScalingGroupName": self.name, "AutoScalingGroupARN": self.arn, "LaunchTemplate": self.template}
        shown |= {"Instances": [one.shown() for one in self.members], "CreatedTime": self.created}
        shown |= {"LoadBalancerNames": [], "EnabledMetrics": [], "Tags": list(self.tags.values())}
        shown["SuspendedProcesses"] = [{"ProcessName": name} for name in sorted(self.suspended)]
        return shown | ({"Status": "Delete in progress"} if self.deleting else {})


def check_sizes(told: dict[str, Any]) -> None:
    """AwsError for sizes that cannot be together."""
    least, most, wanted = told["MinSize"], told["MaxSize"], told["DesiredCapacity"]
    if least > most:
        raise wrong("Min bound must be less than or equal to max bound.")
    if not least <= wanted <= most:
        words = f"Desired capacity:{wanted} must be between the specified min size:{least}"
        raise wrong(f"{words} and max size:{most}")


def tagged(group: str, told: dict[str, Any]) -> dict[str, Any]:
    """A tag of a group as the API has it."""
    made = {"ResourceId": group, "ResourceType": "auto-scaling-group", "Key": told["Key"]}
    return made | {"Value": told.get("Value", ""), "PropagateAtLaunch": bool(told.get("PropagateAtLaunch"))}


def fits(group: Group, name: str, values: list[str]) -> bool:
    """Whether a filter of DescribeAutoScalingGroups lets a group through."""
    if name == "tag-key":
        return bool(set(values) & set(group.tags))
    if name == "tag-value":
        return any(one["Value"] in values for one in group.tags.values())
    return group.tags.get(name.removeprefix("tag:"), {}).get("Value") in values


def wrong(words: str) -> AwsError:
    """What the service says to almost everything that it refuses."""
    return AwsError("ValidationError", words)
