"""Application Auto Scaling for endpoints, inference components and functions; EC2's own is in `scaling_groups`.

Policies that track a target make their two alarms and act on them through the services' own calls, as the
service-linked role. What is of other services, moto records as ever.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from dogbreed.rehearse import scaling_groups, scaling_metrics
from dogbreed.rehearse.calls import PASS, AwsError, Call, Passed, page
from dogbreed.rehearse.scaling_dimensions import DIMENSIONS
from dogbreed.rehearse.scaling_engine import Engine
from dogbreed.rehearse.scaling_policies import (
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
from dogbreed.rehearse.scaling_records import Policy, Records, Scheduled, Target

if TYPE_CHECKING:
    from dogbreed.rehearse.cloud import Cloud

_SERVICE = "application-autoscaling"
_OURS = ("sagemaker", "lambda")
_PAGE = 50


class Scaling:
    """The operations."""

    def __init__(self, cloud: Cloud, records: Records, engine: Engine) -> None:
        self._cloud, self._records, self._engine = cloud, records, engine

    def register(self) -> None:
        """Answer them."""
        for name, function in {
            "RegisterScalableTarget": self._register,
            "DeregisterScalableTarget": self._deregister,
            "DescribeScalableTargets": self._targets,
            "PutScalingPolicy": self._put_policy,
            "DeleteScalingPolicy": self._delete_policy,
            "DescribeScalingPolicies": self._policies,
            "DescribeScalingActivities": self._activities,
            "PutScheduledAction": self._put_action,
            "DeleteScheduledAction": self._delete_action,
            "DescribeScheduledActions": self._actions,
        }.items():
            self._cloud.handle(_SERVICE, name, _of_ours(function))
        for name in ("TagResource", "UntagResource", "ListTagsForResource"):
            self._cloud.handle(_SERVICE, name, self._tag)

    def status(self) -> dict[str, Any]:
        """For people: each target with how many there are of how many."""
        shown = {}
        with self._records.lock:
            targets = list(self._records.targets.values())
        for target in targets:
            try:
                now = self._engine.read(target)
            except (ClientError, LookupError):
                shown[target.resource] = "is not there any more"
                continue
            least, most = self._engine.bounds(target, now)
            coming = f", {now.desired} wanted" if now.desired != now.current else ""
            shown[target.resource] = f"{now.current} in service{coming} ({least} to {most})"
        return {"scaling": shown} if shown else {}

    # -- targets

    def _register(self, call: Call) -> dict[str, Any]:
        told = call.params
        where = (call.region, told["ResourceId"], told["ScalableDimension"])
        kind = DIMENSIONS.get(told["ScalableDimension"])
        fits = told["ScalableDimension"].startswith(told["ServiceNamespace"] + ":")
        if kind is None or not fits or not kind.form.fullmatch(told["ResourceId"]):
            raise wrong("Unsupported service namespace, resource type or scalable dimension")
        with self._records.lock:
            old = self._records.targets.get(where)
        bounds = [told.get("MinCapacity", old and old.smallest), told.get("MaxCapacity", old and old.largest)]
        if bounds[0] is None or bounds[1] is None:
            raise wrong("Minimum and maximum capacity must be specified to register a new scalable target")
        if bounds[0] > bounds[1]:
            raise wrong("Maximum capacity cannot be less than minimum capacity")
        if bounds[0] < kind.least:
            raise wrong(f"Minimum capacity cannot be less than {kind.least} for {told['ScalableDimension']}")
        role = told.get("RoleARN") or (old and old.role) or linked_role(self._cloud, kind.role, kind.principal)
        number = uuid.uuid4()
        arn = f"arn:aws:{_SERVICE}:{call.region}:{self._cloud.account}:scalable-target/{number}"
        target = old or Target(
            call.region,
            told["ServiceNamespace"],
            told["ResourceId"],
            told["ScalableDimension"],
            bounds[0],
            bounds[1],
            role,
            arn,
            self._cloud.clock.now(),
        )
        try:
            self._engine.read(target)
        except (ClientError, LookupError) as error:
            raise wrong(f"{told['ServiceNamespace']} resource {told['ResourceId']} cannot be read: {error}") from error
        with self._records.lock:
            self._records.targets[where] = target
            target.smallest, target.largest, target.role = bounds[0], bounds[1], role
            target.suspended |= told.get("SuspendedState", {})
            target.tags |= told.get("Tags", {}) if not old else {}
        # Documented: what is outside of the bounds is brought inside at once.
        self._engine.into_bounds(target, "")
        return {"ScalableTargetARN": target.arn}

    def _deregister(self, call: Call) -> dict[str, Any]:
        for policy in self._records.forget(self._target(call)):
            drop_alarms(self._cloud, policy)
        return {}

    def _targets(self, call: Call) -> dict[str, Any]:
        wanted = call.params.get("ResourceIds")
        targets = [one for one in self._records.targets.values() if not wanted or one.resource in wanted]
        return self._page(call, "ScalableTargets", targets, lambda one: one.to_api())

    def _target(self, call: Call) -> Target:
        told = call.params
        where = (call.region, told["ResourceId"], told["ScalableDimension"])
        if target := self._records.targets.get(where):
            return target
        raise AwsError("ObjectNotFoundException", f"No scalable target registered for {_named(told)}")

    # -- policies

    def _put_policy(self, call: Call) -> dict[str, Any]:
        told, target = call.params, self._target(call)
        kind = told.get("PolicyType", STEPPING)
        name = f"{kind}PolicyConfiguration"
        if kind not in (TRACKING, STEPPING) or name not in told:
            raise wrong(f"The stand-in has {TRACKING} and {STEPPING}, each with its configuration.")
        config = told[name]
        if kind == TRACKING:
            scaling_metrics.check(target.dimension, config)
            others = [one for one in self._records.policies_of(target) if one.name != told["PolicyName"]]
            measured = scaling_metrics.metric(config)
            if any(one.tracks and scaling_metrics.metric(one.config) == measured for one in others):
                words = "Only one TargetTrackingScaling policy for a given metric specification is allowed."
                raise wrong(words)
        else:
            check_steps(config)
        path = f"resource/{target.namespace}/{target.resource}:policyName/{told['PolicyName']}"
        policy = put_policy(self._cloud, self._records, target, told["PolicyName"], kind, config, path)
        return {"PolicyARN": policy.arn, "Alarms": named_alarms(self._cloud, policy)}

    def _delete_policy(self, call: Call) -> dict[str, Any]:
        told = call.params
        where = (call.region, told["ResourceId"], told["ScalableDimension"])
        with self._records.lock:
            policy = self._records.policies.pop((where, told["PolicyName"]), None)
        if policy is None:
            words = f"No scaling policy found for {_named(told)}, policy name: {told['PolicyName']}"
            raise AwsError("ObjectNotFoundException", words)
        drop_alarms(self._cloud, policy)
        return {}

    def _policies(self, call: Call) -> dict[str, Any]:
        names = call.params.get("PolicyNames")
        policies = [one for one in self._records.policies.values() if not names or one.name in names]
        return self._page(call, "ScalingPolicies", policies, self._policy_to_api)

    def _policy_to_api(self, policy: Policy) -> dict[str, Any]:
        return {
            "PolicyARN": policy.arn,
            "PolicyName": policy.name,
            **policy.target.names(),
            "PolicyType": policy.kind,
            f"{policy.kind}PolicyConfiguration": policy.config,
            "Alarms": named_alarms(self._cloud, policy),
            "CreationTime": policy.created,
        }

    def _activities(self, call: Call) -> dict[str, Any]:
        told = call.params
        with self._records.lock:
            found = [
                *(one for region, one in self._records.past if region == call.region),
                *(
                    one
                    for target in self._records.targets.values()
                    if target.region == call.region
                    for one in list(target.activities)
                ),
            ]
        wanted = {name: told[name] for name in ("ServiceNamespace", "ResourceId", "ScalableDimension") if name in told}
        found = [
            one
            for one in found
            if wanted.items() <= one.items()
            and (told.get("IncludeNotScaledActivities") or "NotScaledReasons" not in one)
        ]
        found.sort(key=lambda one: one["StartTime"], reverse=True)
        return page(told, "ScalingActivities", found, _PAGE)

    # -- scheduled actions

    def _put_action(self, call: Call) -> dict[str, Any]:
        told, target = call.params, self._target(call)
        key = (target.where, told["ScheduledActionName"])
        old = self._records.scheduled.get(key)
        request = (old.request if old else {}) | told
        wanted = request.get("ScalableTargetAction", {})
        if "Schedule" not in request or not wanted:
            raise wrong("Schedule and ScalableTargetAction are needed for a new scheduled action.")
        if wanted.get("MinCapacity", 0) > wanted.get("MaxCapacity", target.largest + 10**9):
            raise wrong("Maximum capacity cannot be less than minimum capacity")
        path = f"resource/{target.namespace}/{target.resource}:scheduledActionName/{told['ScheduledActionName']}"
        arn = f"arn:aws:autoscaling:{call.region}:{self._cloud.account}:scheduledAction:{uuid.uuid4()}:{path}"
        action = Scheduled(target, told["ScheduledActionName"], request, arn, self._cloud.clock.now())
        if old:
            action.arn, action.created = old.arn, old.created
        schedule(self._records, self._engine, action)
        return {}

    def _delete_action(self, call: Call) -> dict[str, Any]:
        told = call.params
        key = ((call.region, told["ResourceId"], told["ScalableDimension"]), told["ScheduledActionName"])
        with self._records.lock:
            if self._records.scheduled.pop(key, None) is None:
                raise AwsError("ObjectNotFoundException", f"No scheduled action found for {_named(told)}")
        return {}

    def _actions(self, call: Call) -> dict[str, Any]:
        names = call.params.get("ScheduledActionNames")
        actions = [one for one in self._records.scheduled.values() if not names or one.name in names]
        return self._page(call, "ScheduledActions", actions, lambda one: one.to_api())

    # -- the rest

    def _tag(self, call: Call) -> dict[str, Any] | Passed:
        arn = call.params["ResourceARN"]
        target = next((one for one in self._records.targets.values() if one.arn == arn), None)
        if target is None:
            return PASS
        target.tags |= call.params.get("Tags", {})
        for name in call.params.get("TagKeys", []):
            target.tags.pop(name, None)
        return {"Tags": dict(target.tags)} if call.operation.startswith("List") else {}

    def _page(self, call: Call, name: str, found: Iterable[Any], shown: Callable[[Any], Any]) -> dict[str, Any]:
        told = call.params
        fitting = []
        for one in found:
            target = one if isinstance(one, Target) else one.target
            if (
                (target.region, target.namespace) == (call.region, told["ServiceNamespace"])
                and told.get("ResourceId") in (None, target.resource)
                and told.get("ScalableDimension") in (None, target.dimension)
            ):
                fitting.append(shown(one))
        return page(told, name, fitting, _PAGE)


def _of_ours(function: Callable[[Call], dict[str, Any]]) -> Callable[[Call], dict[str, Any] | Passed]:
    return lambda call: function(call) if call.params["ServiceNamespace"] in _OURS else PASS


def _named(told: dict[str, Any]) -> str:
    names = ("ServiceNamespace", "ResourceId", "ScalableDimension")
    words = ("service namespace", "resource ID", "scalable dimension")
    return ", ".join(f"{word}: {told.get(name)}" for word, name in zip(words, names, strict=True))


def add(cloud: Cloud) -> None:
    """Register with the cloud."""
    records = Records()
    engine = Engine(cloud, records)
    scaling = Scaling(cloud, records, engine)
    scaling.register()
    scaling_groups.add(cloud, records, engine)
    cloud.alarms.on_scaling(engine.fired)
    cloud.on_status(scaling.status)
    cloud.on_reset(records.clear)
    cloud.on_reset(engine.reset)
