"""Scaling of what is deployed: from what is wanted to resources and a plan, and what of it is in the account."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from dogbreed import plan as planning
from dogbreed.cloud import scaling_alarms, scaling_groups, scaling_targets
from dogbreed.cloud.scaling_alarms import StepAlarm, Watched
from dogbreed.cloud.scaling_deployed import Deployed
from dogbreed.cloud.scaling_schedule import changes
from dogbreed.cloud.scaling_targets import (
    VARIANT,
    Place,
    ScalableTarget,
    ScalingPolicy,
    ScheduledChange,
    component_place,
    place,
)
from dogbreed.cloud.scaling_wanted import Target, Wanted
from dogbreed.cloud.session import Aws
from dogbreed.errors import DogbreedError, UsageError
from dogbreed.plan import Plan, Resource, Step

_TRACKING, _STEPPING = "TargetTrackingScaling", "StepScaling"
# The predefined metric for a target at a door.
_PREDEFINED = {
    ("endpoint", "invocations"): "SageMakerVariantInvocationsPerInstance",
    ("endpoint", "concurrency"): "SageMakerVariantConcurrentRequestsPerModelHighResolution",
    ("serverless", "utilization"): "SageMakerVariantProvisionedConcurrencyUtilization",
    ("lambda", "utilization"): "LambdaProvisionedConcurrencyUtilization",
    ("ec2", "invocations"): "ALBRequestCountPerTarget",
    ("ec2", "utilization"): "ASGAverageCPUUtilization",
}
_PREDEFINED_OF_COMPONENT = {
    "invocations": "SageMakerInferenceComponentInvocationsPerCopy",
    "concurrency": "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution",
}
# As in AWS's own example of waking from zero.
_WAKE_COOLDOWN_S = 60
# From the first failing call to the first answer, observed once in public (ml.g5.xlarge, 2026-07).
WAKES_IN = "9 min 24 s"


def make(aws: Aws, wanted: Wanted, deployed: Deployed) -> Plan:
    """The plan after which the service is scaled as wanted; what scaled it otherwise, and is ours, goes."""
    resources = _resources(aws, wanted, deployed)
    kept = {(one.kind, one.name) for one in resources}
    others = [one for one in _of_door(aws, deployed) if (one.kind, one.name) not in kept]
    stale = [Step("-", one, found) for one in reversed(others) if (found := one.find()) and _is_own(aws, one, found)]
    # What contradicts goes first, so that no two rules act at once.
    return Plan((*stale, *planning.make(resources).steps))


def off(aws: Aws, deployed: Deployed) -> Plan:
    """The plan after which nothing scales the service; what runs then stays as many as it is."""
    steps, others = [], foreign(aws, deployed)
    for one in reversed(_of_door(aws, deployed)):
        found = one.find()
        if found is None:
            continue
        is_target = one.kind == "scalable target"
        why = "and the copies that it keeps started" if is_target and deployed.door == "lambda" else ""
        if is_target and others:
            # To take a target off removes all of its policies.
            steps.append(Step("=", one, found, f"{', '.join(others)} needs it, which was not made here"))
        elif _is_own(aws, one, found):
            steps.append(Step("-", one, found, why))
        else:
            steps.append(Step("=", one, found, "not made by this project"))
    return Plan(tuple(steps))


def everything(aws: Aws) -> list[Resource]:
    """What scales anything of this project now, in the order in which it is made: for status and destroy."""
    found: list[Resource] = []
    for where in _places(aws):
        found += scaling_targets.everything(aws, where, _alarms(aws, where.name))
    found += scaling_groups.everything(aws, _alarms(aws, aws.name("ec2")))
    return found


def costs(wanted: Wanted, deployed: Deployed) -> tuple[Decimal, Decimal] | None:
    """US dollars an hour at the fewest and at the most units; None where the price is not known."""
    if deployed.hourly is None:
        return None
    low, high = wanted.range
    return low * deployed.hourly, high * deployed.hourly


def foreign(aws: Aws, deployed: Deployed) -> list[str]:
    """The names of policies that others have put on what is deployed, which act beside ours."""
    if deployed.door == "ec2":
        seen = list(scaling_groups.policies(aws))
    else:
        seen = list(scaling_targets.policies(aws, place(aws, deployed.door)))
    return [one["PolicyName"] for one in seen if not one["PolicyName"].startswith(deployed.name)]


def _resources(aws: Aws, wanted: Wanted, deployed: Deployed) -> list[Resource]:
    if deployed.most and wanted.range[1] > deployed.most:
        raise UsageError(
            f"{wanted.range[1]} copies, and {deployed.name} answers at most {deployed.most} requests at once",
            f"--max {deployed.most}, or dogbreed deploy --to serverless --max-concurrency {wanted.range[1]}",
        )
    if wanted.zero:
        return _to_zero(aws, wanted, deployed)
    return _of_group(aws, wanted, deployed) if wanted.door == "ec2" else _of_place(aws, wanted, deployed)


def _of_place(aws: Aws, wanted: Wanted, deployed: Deployed) -> list[Resource]:
    if wanted.door == "serverless" and not deployed.count:
        raise DogbreedError(
            f"serverless endpoint {deployed.name} keeps no copy started, so there is nothing to scale",
            "it starts copies by itself as requests come; dogbreed deploy can keep some started",
        )
    copies = wanted.door == "endpoint" and bool(deployed.more.get("managed"))
    where = component_place(aws, component(aws, deployed, wanted)) if copies else place(aws, wanted.door)
    made: list[Resource] = [ScalableTarget(aws, where, wanted)]
    if wanted.target:
        metric = wanted.target.metric
        kind = _PREDEFINED_OF_COMPONENT[metric] if copies else _PREDEFINED[wanted.door, metric]
        made.append(ScalingPolicy(aws, where, f"{where.name}-target", _TRACKING, _tracking(wanted, kind)))
    for change in changes(wanted.windows, wanted.smallest, wanted.largest):
        made.append(ScheduledChange(aws, where, f"{where.name}-{change.name}", change, wanted.timezone))
    if wanted.steps:
        policy = ScalingPolicy(
            aws, where, f"{where.name}-step", _STEPPING, _stepping(wanted) | {"Cooldown": wanted.out_cooldown_s}
        )
        of_variant = (("EndpointName", where.name), ("VariantName", VARIANT))
        dimensions = (("InferenceComponentName", where.name),) if copies else of_variant
        what = "InvocationsPerCopy" if copies else "InvocationsPerInstance"
        watched = Watched("AWS/SageMaker", what, dimensions, wanted.steps[0].above)
        made += [policy, StepAlarm(aws, policy.name, watched, lambda: _arn(policy))]
    return made


def _of_group(aws: Aws, wanted: Wanted, deployed: Deployed) -> list[Resource]:
    name = deployed.name
    groups: Sequence[str] = deployed.more["target groups"]
    by_requests = wanted.steps or (wanted.target and wanted.target.metric == "invocations")
    if by_requests and not groups:
        raise UsageError("requests are counted by a load balancer, and there is none", "write --target 60% instead")
    made: list[Resource] = [scaling_groups.GroupBounds(aws, wanted)]
    if wanted.target:
        metric: dict[str, Any] = {"PredefinedMetricType": _PREDEFINED["ec2", wanted.target.metric]}
        if wanted.target.metric == "invocations":
            metric["ResourceLabel"] = scaling_groups.label(aws, groups[0])
        value = wanted.target.value * (100 if wanted.target.metric == "utilization" else 1)
        tracking = {
            "PredefinedMetricSpecification": metric,
            "TargetValue": value,
            "DisableScaleIn": not wanted.scale_in,
        }
        configuration = {"TargetTrackingConfiguration": tracking, "EstimatedInstanceWarmup": wanted.out_cooldown_s}
        made.append(scaling_groups.GroupPolicy(aws, f"{name}-target", _TRACKING, configuration))
    for change in changes(wanted.windows, wanted.smallest, wanted.largest):
        made.append(scaling_groups.GroupChange(aws, f"{name}-{change.name}", change, wanted.timezone))
    if wanted.steps:
        more = {"EstimatedInstanceWarmup": wanted.out_cooldown_s}
        policy = scaling_groups.GroupPolicy(aws, f"{name}-step", _STEPPING, _stepping(wanted, aggregation=False) | more)
        dimensions = (("TargetGroup", groups[0].rpartition(":")[2]),)
        watched = Watched("AWS/ApplicationELB", "RequestCountPerTarget", dimensions, wanted.steps[0].above)
        made += [policy, StepAlarm(aws, policy.name, watched, lambda: _arn(policy))]
    return made


def _to_zero(aws: Aws, wanted: Wanted, deployed: Deployed) -> list[Resource]:
    """Bounds from 0, what follows the target, and what wakes the first copy as calls begin to fail."""
    where = component_place(aws, component(aws, deployed, wanted))
    target = wanted.target or Target("concurrency", 1)
    kind = _PREDEFINED_OF_COMPONENT[target.metric]
    adjustment = {
        "AdjustmentType": "ChangeInCapacity",
        "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
        "MetricAggregationType": "Maximum",
        "Cooldown": _WAKE_COOLDOWN_S,
    }
    wake = ScalingPolicy(aws, where, f"{where.name}-step", _STEPPING, adjustment)
    failing = Watched("AWS/SageMaker", "NoCapacityInvocationFailures", (("InferenceComponentName", where.name),), 1.0)
    return [
        ScalableTarget(aws, where, wanted),
        ScalingPolicy(aws, where, f"{where.name}-target", _TRACKING, _tracking(wanted, kind, target)),
        wake,
        StepAlarm(aws, wake.name, failing, lambda: _arn(wake)),
    ]


def component(aws: Aws, deployed: Deployed, wanted: Wanted) -> str:
    """The inference component of an endpoint, through which alone it can come to zero; DogbreedError without one, and
    UsageError for more copies than there can be instances.
    """
    managed = deployed.more.get("managed") or {}
    most = managed.get("MaxInstanceCount", wanted.range[1])
    if wanted.range[1] > most:
        raise UsageError(f"--max {wanted.range[1]}: {deployed.name} has at most {most} instances", f"use --max {most}")
    if managed.get("Status") == "ENABLED" and managed.get("MinInstanceCount") == 0:
        pages = aws.client("sagemaker").get_paginator("list_inference_components")
        for page in pages.paginate(EndpointNameEquals=deployed.name):
            for one in page["InferenceComponents"]:
                return str(one["InferenceComponentName"])
    raise DogbreedError(
        f"endpoint {deployed.name} holds its model by itself, and AWS lets only one with an inference component and "
        "managed instances from 0 come to zero; it cannot be changed into that in place",
        "dogbreed destroy, then dogbreed deploy --to endpoint --component; or what costs nothing without traffic: "
        "dogbreed deploy --to serverless, or dogbreed deploy --to lambda",
    )


def _tracking(wanted: Wanted, metric: str, target: Target | None = None) -> dict[str, Any]:
    follows = target or wanted.target
    assert follows
    return {
        "TargetValue": float(follows.value),
        "PredefinedMetricSpecification": {"PredefinedMetricType": metric},
        "ScaleOutCooldown": wanted.out_cooldown_s,
        "ScaleInCooldown": wanted.in_cooldown_s,
        "DisableScaleIn": not wanted.scale_in,
    }


def _stepping(wanted: Wanted, *, aggregation: bool = True) -> dict[str, Any]:
    """Steps as distances from the first, at which the alarm goes off."""
    first = wanted.steps[0].above
    adjustments = []
    for step, following in zip(wanted.steps, [*wanted.steps[1:], None], strict=True):
        one: dict[str, Any] = {"MetricIntervalLowerBound": step.above - first, "ScalingAdjustment": step.add}
        if following:
            one["MetricIntervalUpperBound"] = following.above - first
        adjustments.append(one)
    made = {"AdjustmentType": "ChangeInCapacity", "StepAdjustments": adjustments}
    return made | ({"MetricAggregationType": "Maximum"} if aggregation else {})


def _arn(policy: Resource) -> str:
    """Of a policy that may not be there yet."""
    found = policy.find()
    return found.id if found else ""


def _of_door(aws: Aws, deployed: Deployed) -> list[Resource]:
    """What scales one service now."""
    if deployed.door == "ec2":
        return scaling_groups.everything(aws, _alarms(aws, deployed.name))
    found: list[Resource] = []
    for where in _places(aws):
        own = where.resource.split("/")[1:2] == [deployed.name] or where.resource.split(":")[1:2] == [deployed.name]
        if own or (deployed.door == "endpoint" and where.resource.startswith("inference-component/")):
            found += scaling_targets.everything(aws, where, _alarms(aws, where.name))
    return found


def _places(aws: Aws) -> list[Place]:
    """Where this project has a scalable target."""
    known = [place(aws, door) for door in ("endpoint", "serverless", "lambda")]
    found = []
    for namespace in ("sagemaker", "lambda"):
        pages = aws.client("application-autoscaling").get_paginator("describe_scalable_targets")
        for seen in (one for page in pages.paginate(ServiceNamespace=namespace) for one in page["ScalableTargets"]):
            resource = seen["ResourceId"]
            match = [one for one in known if (one.resource, one.dimension) == (resource, seen["ScalableDimension"])]
            start = f"inference-component/{aws.settings.project}-"
            found += match or ([component_place(aws, resource.partition("/")[2])] if resource.startswith(start) else [])
    return found


def _alarms(aws: Aws, name: str) -> list[Resource]:
    return scaling_alarms.named(aws, [f"{name}-step"])


def _is_own(aws: Aws, resource: Resource, found: planning.Found) -> bool:
    """Whether a rule may go: it has this project's tag or name; a policy of a person on the same endpoint may not."""
    return found.ours and resource.name.startswith(aws.settings.project + "-")
