"""What Application Auto Scaling keeps: scalable targets with their activities, policies, scheduled actions."""

from __future__ import annotations

import threading
import uuid
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dogbreed.capacity.policy import Cooldown
from dogbreed.rehearse.scaling_dimensions import DIMENSIONS, Dimension

Where = tuple[str, str, str]  # region, resource id, scalable dimension
GROUP = "autoscaling:group"
_KEPT = 500


@dataclass(eq=False)
class Target:
    """Something that is scaled; of a group of machines, the group itself says its bounds."""

    region: str
    namespace: str
    resource: str
    dimension: str
    smallest: int
    largest: int
    role: str
    arn: str
    created: datetime
    suspended: dict[str, bool] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    # Until when a scale-in keeps another from following.
    in_until: float = float("-inf")
    activities: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_KEPT))
    acting: threading.Lock = field(default_factory=threading.Lock)
    # When it was seen that how many are in service, oldest first.
    seen: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_KEPT))

    @property
    def where(self) -> Where:
        """What tells it from others."""
        return self.region, self.resource, self.dimension

    @property
    def kind(self) -> Dimension:
        """How it is read and changed."""
        return DIMENSIONS[self.dimension]

    def saw(self, now: float, in_service: int) -> None:
        """Note how many are in service."""
        if not self.seen or self.seen[-1][1] != in_service:
            self.seen.append((now, in_service))

    def in_service(self, at: float) -> int:
        """How many there were: a metric for each instance is of as many as there were when it was measured."""
        return next((count for since, count in reversed(self.seen) if since <= at), self.seen[0][1])

    def names(self) -> dict[str, Any]:
        """What every answer about it begins with."""
        return {
            "ServiceNamespace": self.namespace,
            "ResourceId": self.resource,
            "ScalableDimension": self.dimension,
        }

    def to_api(self) -> dict[str, Any]:
        """As DescribeScalableTargets shows it."""
        suspended = {
            f"{name}Suspended": self.suspended.get(f"{name}Suspended", False)
            for name in ("DynamicScalingIn", "DynamicScalingOut", "ScheduledScaling")
        }
        return {
            **self.names(),
            "MinCapacity": self.smallest,
            "MaxCapacity": self.largest,
            "RoleARN": self.role,
            "CreationTime": self.created,
            "SuspendedState": suspended,
            "ScalableTargetARN": self.arn,
        }


@dataclass(eq=False)
class Policy:
    """A policy; `alarms` are the names of those it made, by "high" and "low"; `low_at` and `fit` what it last asked."""

    target: Target
    name: str
    kind: str
    config: dict[str, Any]
    arn: str
    created: datetime
    alarms: dict[str, str] = field(default_factory=dict)
    cooldown: Cooldown = field(default_factory=Cooldown)
    low_at: float = float("-inf")
    fit: int = 0

    @property
    def tracks(self) -> bool:
        """Whether it follows a target."""
        return self.kind == "TargetTrackingScaling"

    @property
    def scales_in(self) -> bool:
        """Whether it takes part in scaling in."""
        return self.tracks and not self.config.get("DisableScaleIn")

    def seconds(self, direction: str) -> float:
        """The cool-down after a scale "Out" or "In"."""
        told = self.config
        for name in (f"Scale{direction}Cooldown", "Cooldown", "EstimatedInstanceWarmup"):
            if told.get(name) is not None:
                return float(told[name])
        return self.target.kind.cooldown_s


@dataclass(eq=False)
class Scheduled:
    """A scheduled action; `due` is when it acts next, None when it is over."""

    target: Target
    name: str
    request: dict[str, Any]
    arn: str
    created: datetime
    due: datetime | None = None

    def to_api(self) -> dict[str, Any]:
        """As DescribeScheduledActions shows it."""
        told = ("Schedule", "Timezone", "StartTime", "EndTime", "ScalableTargetAction")
        return {
            "ScheduledActionName": self.name,
            "ScheduledActionARN": self.arn,
            **self.target.names(),
            **{name: self.request[name] for name in told if self.request.get(name) is not None},
            "CreationTime": self.created,
        }


class Records:
    """Everything of the account; `lock` guards the three tables."""

    def __init__(self) -> None:
        self.targets: dict[Where, Target] = {}
        self.policies: dict[tuple[Where, str], Policy] = {}
        self.scheduled: dict[tuple[Where, str], Scheduled] = {}
        # Activities outlive the target that they were of.
        self.past: deque[tuple[str, dict[str, Any]]] = deque(maxlen=_KEPT)
        self.lock = threading.RLock()

    def policies_of(self, target: Target) -> list[Policy]:
        """Its policies."""
        with self.lock:
            return [policy for policy in self.policies.values() if policy.target is target]

    def policy(self, arn: str) -> Policy | None:
        """The policy that an alarm names."""
        with self.lock:
            return next((one for one in self.policies.values() if one.arn == arn), None)

    def forget(self, target: Target) -> list[Policy]:
        """Drop a target with all that belongs to it; its policies, whose alarms are still there."""
        with self.lock:
            policies = self.policies_of(target)
            for policy in policies:
                del self.policies[target.where, policy.name]
            for action in [one for one in self.scheduled.values() if one.target is target]:
                del self.scheduled[target.where, action.name]
            self.targets.pop(target.where, None)
            self.past.extend((target.region, activity) for activity in target.activities)
        return policies

    def clear(self) -> None:
        """Forget all."""
        with self.lock:
            for table in (self.targets, self.policies, self.scheduled):
                table.clear()
            self.past.clear()


def activity(target: Target, description: str, cause: str, now: datetime) -> dict[str, Any]:
    """A new activity of a target, under way."""
    return {
        "ActivityId": str(uuid.uuid4()),
        **target.names(),
        "Description": description,
        "Cause": cause,
        "StartTime": now,
        "StatusCode": "InProgress",
    }
