"""Policies and scheduled actions of EC2 Auto Scaling groups, which act by SetDesiredCapacity and by their sizes.

The groups themselves are another file's; when one is gone, so are its policies and their alarms.
"""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from dogbreed.rehearse import scaling_metrics
from dogbreed.rehearse.calls import PASS, Call, Passed, page
from dogbreed.rehearse.scaling_dimensions import DIMENSIONS
from dogbreed.rehearse.scaling_policies import (
    SIMPLE,
    STEPPING,
    TRACKING,
    check_steps,
    drop_alarms,
    linked_role,
    named_alarms,
    put_policy,
    schedule,
    wrong,
)
from dogbreed.rehearse.scaling_records import GROUP, Policy, Records, Scheduled, Target

if TYPE_CHECKING:
    from dogbreed.rehearse.cloud import Cloud
    from dogbreed.rehearse.scaling_engine import Engine

_PAGE = 50
_OF_STEPS = (
    *("AdjustmentType", "StepAdjustments", "ScalingAdjustment", "MinAdjustmentMagnitude"),
    *("MetricAggregationType", "EstimatedInstanceWarmup", "Cooldown"),
)
_SIZES = {"MinSize": "MinCapacity", "MaxSize": "MaxCapacity", "DesiredCapacity": "DesiredCapacity"}
_LOOKS, _LOOK_S = 240, 0.5


class Groups:
    """The operations."""

    def __init__(self, cloud: Cloud, records: Records, engine: Engine) -> None:
        self._cloud, self._records, self._engine = cloud, records, engine

    def register(self) -> None:
        """Answer them."""
        answers: dict[str, Callable[[Call], dict[str, Any] | Passed]] = {
            "PutScalingPolicy": self._put,
            "DescribePolicies": self._policies,
            "DeletePolicy": self._delete,
            "ExecutePolicy": self._execute,
            "PutScheduledUpdateGroupAction": self._put_action,
            "DescribeScheduledActions": self._actions,
            "DeleteScheduledAction": self._delete_action,
            "DeleteAutoScalingGroup": self._group_goes,
        }
        for name, function in answers.items():
            self._cloud.handle("autoscaling", name, function)

    def _put(self, call: Call) -> dict[str, Any]:
        told, target = call.params, self._target(call)
        kind = told.get("PolicyType", SIMPLE)
        if kind == TRACKING and "TargetTrackingConfiguration" in told:
            config = dict(told["TargetTrackingConfiguration"])
            if "EstimatedInstanceWarmup" in told:
                config["EstimatedInstanceWarmup"] = told["EstimatedInstanceWarmup"]
            scaling_metrics.check(GROUP, config)
        elif kind in (STEPPING, SIMPLE):
            config = {name: told[name] for name in _OF_STEPS if name in told}
            if kind == STEPPING:
                check_steps(config)
            elif "ScalingAdjustment" not in config or "AdjustmentType" not in config:
                raise wrong("A simple scaling policy needs AdjustmentType and ScalingAdjustment.")
        else:
            raise wrong(f"The stand-in has {TRACKING}, {STEPPING} and {SIMPLE}, each with its configuration.")
        path = f"autoScalingGroupName/{target.resource}:policyName/{told['PolicyName']}"
        policy = put_policy(self._cloud, self._records, target, told["PolicyName"], kind, config, path)
        return {"PolicyARN": policy.arn, "Alarms": named_alarms(self._cloud, policy)}

    def _policies(self, call: Call) -> dict[str, Any]:
        told = call.params
        with self._records.lock:
            policies = [one for one in self._records.policies.values() if one.target.dimension == GROUP]
        fitting = [
            self._to_api(policy)
            for policy in policies
            if policy.target.region == call.region
            and told.get("AutoScalingGroupName") in (None, policy.target.resource)
            and (not told.get("PolicyNames") or {policy.name, policy.arn} & set(told["PolicyNames"]))
            and (not told.get("PolicyTypes") or policy.kind in told["PolicyTypes"])
        ]
        return page(told, "ScalingPolicies", fitting, _PAGE)

    def _to_api(self, policy: Policy) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "AutoScalingGroupName": policy.target.resource,
            "PolicyName": policy.name,
            "PolicyARN": policy.arn,
            "PolicyType": policy.kind,
            "Alarms": named_alarms(self._cloud, policy),
            "Enabled": True,
            "StepAdjustments": [],
        }
        if not policy.tracks:
            return shown | policy.config
        config = dict(policy.config)
        if (warmup := config.pop("EstimatedInstanceWarmup", None)) is not None:
            shown["EstimatedInstanceWarmup"] = warmup
        return shown | {"TargetTrackingConfiguration": {"DisableScaleIn": False, **config}}

    def _find(self, call: Call) -> Policy:
        told, named = call.params, call.params["PolicyName"]
        with self._records.lock:
            for policy in self._records.policies.values():
                target = policy.target
                here = (target.region, target.dimension) == (call.region, GROUP)
                if here and (policy.arn == named or (target.resource, policy.name) == (_group(told), named)):
                    return policy
        raise wrong("ScalingPolicy name not found")

    def _delete(self, call: Call) -> dict[str, Any]:
        policy = self._find(call)
        with self._records.lock:
            self._records.policies.pop((policy.target.where, policy.name), None)
        drop_alarms(self._cloud, policy)
        return {}

    def _execute(self, call: Call) -> dict[str, Any]:
        policy, told = self._find(call), call.params
        if policy.tracks:
            raise wrong("A target tracking policy cannot be executed.")
        value = told.get("MetricValue", 0.0) - told.get("BreachThreshold", 0.0)
        self._engine.step(policy, value, f"a user request executed policy {policy.name}")
        return {}

    def _put_action(self, call: Call) -> dict[str, Any]:
        told, target = call.params, self._target(call)
        name = told["ScheduledActionName"]
        request: dict[str, Any] = {"Timezone": told.get("TimeZone", "UTC"), "told": dict(told)}
        request["ScalableTargetAction"] = {new: told[old] for old, new in _SIZES.items() if old in told}
        if not request["ScalableTargetAction"]:
            raise wrong("At least one of MinSize, MaxSize and DesiredCapacity must be given.")
        if recurrence := told.get("Recurrence"):
            try:
                request["Schedule"] = of_unix(recurrence)
            except ValueError as error:
                raise wrong(f"Given recurrence string is invalid: {error}") from error
            request |= {name: told[name] for name in ("StartTime", "EndTime") if name in told}
        elif moment := told.get("StartTime") or told.get("Time"):
            request |= {"Schedule": f"at({moment:%Y-%m-%dT%H:%M:%S})", "Timezone": "UTC"}
        else:
            raise wrong("Recurrence or StartTime must be given.")
        path = f"autoScalingGroupName/{target.resource}:scheduledActionName/{name}"
        arn = (
            f"arn:aws:autoscaling:{call.region}:{self._cloud.account}:scheduledUpdateGroupAction:{uuid.uuid4()}:{path}"
        )
        schedule(self._records, self._engine, Scheduled(target, name, request, arn, self._cloud.clock.now()))
        return {}

    def _actions(self, call: Call) -> dict[str, Any]:
        told, names = call.params, call.params.get("ScheduledActionNames")
        with self._records.lock:
            actions = [one for one in self._records.scheduled.values() if one.target.dimension == GROUP]
        shown = [
            {
                **{name: value for name, value in action.request["told"].items() if name != "Time"},
                "ScheduledActionARN": action.arn,
                **({"Time": action.due, "StartTime": action.due} if action.due else {}),
            }
            for action in actions
            if action.target.region == call.region
            and told.get("AutoScalingGroupName") in (None, action.target.resource)
            and (not names or action.name in names)
        ]
        return page(told, "ScheduledUpdateGroupActions", shown, _PAGE)

    def _delete_action(self, call: Call) -> dict[str, Any]:
        where = (call.region, _group(call.params), GROUP)
        with self._records.lock:
            if self._records.scheduled.pop((where, call.params["ScheduledActionName"]), None) is None:
                raise wrong("Scheduled action name not found")
        return {}

    def _target(self, call: Call) -> Target:
        where = (call.region, _group(call.params), GROUP)
        with self._records.lock:
            target = self._records.targets.get(where)
        if target is None:
            kind = DIMENSIONS[GROUP]
            role = linked_role(self._cloud, kind.role, kind.principal)
            target = Target(*(call.region, "autoscaling", where[1], GROUP, 0, 0, role, ""), self._cloud.clock.now())
        try:
            self._engine.read(target)
        except (ClientError, LookupError) as error:
            raise wrong(f"Group {where[1]} not found") from error
        with self._records.lock:
            return self._records.targets.setdefault(where, target)

    def _group_goes(self, call: Call) -> Passed:
        target = self._records.targets.get((call.region, _group(call.params), GROUP))
        if target:
            threading.Thread(target=self._when_gone, args=[target], daemon=True).start()
        return PASS

    def _when_gone(self, target: Target) -> None:
        for _ in range(_LOOKS):
            if self._records.targets.get(target.where) is not target:
                return
            try:
                self._engine.read(target)
            except LookupError:
                for policy in self._records.forget(target):
                    drop_alarms(self._cloud, policy)
                return
            except ClientError:
                return
            time.sleep(_LOOK_S)


def of_unix(recurrence: str) -> str:
    """The five fields of Unix as the six of AWS. Raises ValueError."""
    fields = recurrence.split()
    if len(fields) != 5:
        raise ValueError(f"{recurrence} has {len(fields)} fields, not five")
    minute, hour, day, month, weekday = fields
    if weekday == "*":
        return f"cron({minute} {hour} {day} {month} ? *)"
    if day != "*":
        raise ValueError(f"{recurrence}: the stand-in takes a day of the month or of the week, not both")
    # Sunday is 0 or 7 there, and 1 here; what stands behind a slash is no day.
    shifted = re.sub(r"(?<![/\w])\d", lambda found: str(int(found[0]) % 7 + 1), weekday)
    return f"cron({minute} {hour} ? {month} {shifted} *)"


def _group(told: dict[str, Any]) -> str:
    return str(told.get("AutoScalingGroupName", ""))


def add(cloud: Cloud, records: Records, engine: Engine) -> None:
    """Register with the cloud."""
    Groups(cloud, records, engine).register()
