"""Scaling steps aside while an endpoint gets other instances: AWS changes no type under a scalable target.

Taking the target off deletes its policies and scheduled changes. They are noted in the bucket first, and put back from
there afterwards, also by the next command when this one was killed in between.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dogbreed.cloud import scaling_targets
from dogbreed.cloud.bucket import MODELS
from dogbreed.cloud.serving.hosted import Configuration, endpoint_seen, seen_or_none, variants
from dogbreed.cloud.session import Aws
from dogbreed.cloud.storage import Store
from dogbreed.plan import Found, Resource

_BOUNDS = ("MinCapacity", "MaxCapacity", "SuspendedState")
_POLICY = ("PolicyName", "PolicyType", "TargetTrackingScalingPolicyConfiguration", "StepScalingPolicyConfiguration")
_ACTION = ("ScheduledActionName", "Schedule", "Timezone", "StartTime", "EndTime", "ScalableTargetAction")
# What PutMetricAlarm takes of what DescribeAlarms gives.
_ALARM = (
    *("AlarmName", "AlarmDescription", "ActionsEnabled", "OKActions", "InsufficientDataActions", "MetricName"),
    *("Namespace", "Statistic", "ExtendedStatistic", "Dimensions", "Period", "Unit", "EvaluationPeriods"),
    *("DatapointsToAlarm", "Threshold", "ComparisonOperator", "TreatMissingData", "Metrics"),
)


def around(aws: Aws, door: str, configuration: Configuration) -> tuple[list[Resource], list[Resource]]:
    """What is done before and after the endpoint takes the configuration; mostly nothing."""
    pause, resume = Paused(aws, door), Resumed(aws, door)
    if pause.noted() or (_needed(aws, door, configuration) and pause.target()):
        return ([pause] if pause.target() else []), [resume]
    return [], []


def _needed(aws: Aws, door: str, configuration: Configuration) -> bool:
    """Whether an endpoint that is there would get instances of another type."""
    there = endpoint_seen(aws, aws.name(door))
    if not there:
        return False
    now = seen_or_none(Configuration.known(aws, door, there["EndpointConfigName"]).describe)
    return now is not None and _types(now) != _types(configuration.content)


def _types(content: Mapping[str, Any]) -> dict[str, str]:
    return {one["VariantName"]: one.get("InstanceType", "") for one in variants(content)[:1]}


def target(aws: Aws, door: str) -> Mapping[str, Any] | None:
    """The scalable target of a door; None where nothing scales it."""
    return Paused(aws, door).target()


class Paused(Resource):
    """The target, its policies and changes are noted in the bucket and taken off."""

    kind = "pause of scaling"

    def __init__(self, aws: Aws, door: str) -> None:
        self.name = aws.name(door)
        self._aws, self._place = aws, scaling_targets.place(aws, door)
        self._key = f"{MODELS}scaling-of-{self.name}.json"

    def find(self) -> Found | None:
        """Whether it is noted and off."""
        return Found(self._key, {}) if self.noted() and not self.target() else None

    def create(self) -> None:
        """Note it, then take it off. What is noted already is what was there before a kill."""
        if not self.noted():
            Store(self._aws).put_json(self._key, self._seen())
        self._client.deregister_scalable_target(**self._place.ids)

    def delete(self, found: Found) -> None:
        """Nothing of it is in the account but the note, which goes with the bucket."""

    def noted(self) -> Any:
        """What was noted; None where nothing is."""
        return Store(self._aws).get_json(self._key)

    def target(self) -> Mapping[str, Any] | None:
        """The scalable target; None where there is none."""
        answer = self._client.describe_scalable_targets(
            ServiceNamespace=self._place.namespace,
            ResourceIds=[self._place.resource],
            ScalableDimension=self._place.dimension,
        )
        return next(iter(answer["ScalableTargets"]), None)

    @property
    def _client(self) -> Any:
        return self._aws.client("application-autoscaling")

    def _seen(self) -> dict[str, Any]:
        target = self.target() or {}
        rules = list(scaling_targets.policies(self._aws, self._place))
        changes = list(scaling_targets.actions(self._aws, self._place))
        noted = {
            "bounds": {key: target[key] for key in _BOUNDS if key in target},
            "policies": [{**_only(one, _POLICY), "arn": one["PolicyARN"]} for one in rules],
            "actions": [_only(one, _ACTION) for one in changes],
        }
        # Times as text, which the SDK takes as well.
        plain: dict[str, Any] = json.loads(json.dumps(noted, default=str))
        return plain


class Resumed(Paused):
    """It is all put back as it was noted, and the note goes; in a plan only where that is to be done."""

    kind = "scaling as before"

    def find(self) -> Found | None:
        """None: what it takes is noted by then."""
        return None

    def create(self) -> None:
        """Register the target, then its policies and changes; alarms of ours call the policies' new names."""
        noted = self.noted()
        if noted:
            ids = self._place.ids
            tags = self._aws.tags("scaling")
            fresh = {} if self.target() else {"Tags": tags}
            self._client.register_scalable_target(**ids, **noted["bounds"], **fresh)
            for one in noted["policies"]:
                made = self._client.put_scaling_policy(**ids, **_only(one, _POLICY))
                self._rewire(one["arn"], made["PolicyARN"])
            for one in noted["actions"]:
                self._client.put_scheduled_action(**ids, **one)
        self._forget()

    def _rewire(self, before: str, now: str) -> None:
        watch = self._aws.client("cloudwatch")
        for seen in watch.describe_alarms(ActionPrefix=before, AlarmTypes=["MetricAlarm"])["MetricAlarms"]:
            watch.put_metric_alarm(**_only(seen, _ALARM), AlarmActions=[now])

    def _forget(self) -> None:
        # The role and the bucket's rules know no other way to say that nothing is noted: an empty note.
        Store(self._aws).put_json(self._key, None)


def _only(content: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: content[key] for key in keys if key in content}
