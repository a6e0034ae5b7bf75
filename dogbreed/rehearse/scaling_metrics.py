"""The metrics that target tracking follows, and the two alarms that such a policy makes for itself.

Their shapes are those of AWS: three minutes above the target, fifteen below nine tenths of it (seven tenths for groups
of machines); metrics of ten seconds in points of ten. What of this is observed or inferred `capacity.policy` says.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dogbreed.rehearse.calls import AwsError
from dogbreed.rehearse.scaling_decide import SEMANTICS

# Observed in four public notes for groups of EC2 machines.
_LOW_OF_GROUPS = 0.7
_FAST_S, _SLOW_S = 10, 60


@dataclass(frozen=True)
class Spec:
    """A metric: its `names` are those of dimensions, filled from the resource in this order."""

    namespace: str
    name: str
    statistic: str
    names: tuple[str, ...]
    period: int = _SLOW_S


_VARIANT = ("EndpointName", "VariantName")
_COMPONENT = ("InferenceComponentName",)
_GROUP = ("AutoScalingGroupName",)
_OF = "AWS/SageMaker"
# What each dimension of scaling offers. The statistic of the fast metrics is inferred: their mean is what is at once.
PREDEFINED: dict[str, dict[str, Spec]] = {
    "sagemaker:variant:DesiredInstanceCount": {
        "SageMakerVariantInvocationsPerInstance": Spec(_OF, "InvocationsPerInstance", "Sum", _VARIANT),
        "SageMakerVariantConcurrentRequestsPerModelHighResolution": Spec(
            _OF, "ConcurrentRequestsPerModel", "Average", _VARIANT, _FAST_S
        ),
    },
    "sagemaker:variant:DesiredProvisionedConcurrency": {
        "SageMakerVariantProvisionedConcurrencyUtilization": Spec(
            _OF, "ServerlessProvisionedConcurrencyUtilization", "Average", _VARIANT
        ),
    },
    "sagemaker:inference-component:DesiredCopyCount": {
        "SageMakerInferenceComponentInvocationsPerCopy": Spec(_OF, "InvocationsPerCopy", "Sum", _COMPONENT),
        "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution": Spec(
            _OF, "ConcurrentRequestsPerCopy", "Average", _COMPONENT, _FAST_S
        ),
    },
    "lambda:function:ProvisionedConcurrency": {
        "LambdaProvisionedConcurrencyUtilization": Spec(
            "AWS/Lambda", "ProvisionedConcurrencyUtilization", "Average", ("FunctionName", "Resource")
        ),
    },
    "autoscaling:group": {
        "ASGAverageCPUUtilization": Spec("AWS/EC2", "CPUUtilization", "Average", _GROUP),
        "ASGAverageNetworkIn": Spec("AWS/EC2", "NetworkIn", "Average", _GROUP),
        "ASGAverageNetworkOut": Spec("AWS/EC2", "NetworkOut", "Average", _GROUP),
        "ALBRequestCountPerTarget": Spec("AWS/ApplicationELB", "RequestCountPerTarget", "Sum", ("TargetGroup",)),
    },
}


def check(dimension: str, config: Mapping[str, Any]) -> None:
    """Raise AwsError for a configuration of target tracking that cannot be."""
    own, custom = config.get("PredefinedMetricSpecification"), config.get("CustomizedMetricSpecification")
    if bool(own) == bool(custom):
        words = "Exactly one of PredefinedMetricSpecification and CustomizedMetricSpecification must be specified."
        raise AwsError("ValidationException", words)
    if config["TargetValue"] <= 0:
        raise AwsError("ValidationException", f"TargetValue must be greater than 0, not {config['TargetValue']:g}.")
    if own and own["PredefinedMetricType"] not in PREDEFINED.get(dimension, {}):
        words = f"Predefined metric type {own['PredefinedMetricType']} is not supported for {dimension}."
        raise AwsError("ValidationException", words)
    if own and own["PredefinedMetricType"] == "ALBRequestCountPerTarget" and not own.get("ResourceLabel"):
        raise AwsError("ValidationException", "ResourceLabel must be specified for ALBRequestCountPerTarget.")


def metric(config: Mapping[str, Any]) -> Any:
    """What tells the metric of one policy from that of another."""
    return config.get("PredefinedMetricSpecification") or config.get("CustomizedMetricSpecification")


def alarms(
    dimension: str, resource: str, config: Mapping[str, Any], policy: str, *, group: bool = False
) -> dict[str, dict[str, Any]]:
    """The requests of the alarms, "high" and, where it may scale in, "low", that ask the policy (an ARN)."""
    measured, period = _measured(dimension, resource, config)
    target = float(config["TargetValue"])
    share = _LOW_OF_GROUPS if group else SEMANTICS.low_share
    shapes = {"high": ("High", "GreaterThanThreshold", SEMANTICS.high_points, target)}
    if not config.get("DisableScaleIn"):
        shapes["low"] = ("Low", "LessThanThreshold", SEMANTICS.low_s // period, round(target * share, 9))
    return {
        side: {
            "AlarmName": f"TargetTracking-{resource}-Alarm{word}-{uuid.uuid4()}",
            "AlarmDescription": f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {policy}.",
            "AlarmActions": [policy],
            "ComparisonOperator": comparison,
            "EvaluationPeriods": points,
            "Threshold": threshold,
            **measured,
        }
        for side, (word, comparison, points, threshold) in shapes.items()
    }


def _measured(dimension: str, resource: str, config: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    if own := config.get("PredefinedMetricSpecification"):
        spec = PREDEFINED[dimension][own["PredefinedMetricType"]]
        values = _values(dimension, resource, own.get("ResourceLabel", ""))
        where = [{"Name": name, "Value": value} for name, value in zip(spec.names, values, strict=True)]
        told = {"Namespace": spec.namespace, "MetricName": spec.name, "Statistic": spec.statistic}
        return {**told, "Dimensions": where, "Period": spec.period}, spec.period
    custom = config["CustomizedMetricSpecification"]
    if "Metrics" in custom:
        return {"Metrics": [_query(one) for one in custom["Metrics"]]}, _SLOW_S
    told = {"Namespace": custom["Namespace"], "MetricName": custom["MetricName"], "Statistic": custom["Statistic"]}
    return {**told, "Dimensions": custom.get("Dimensions", []), "Period": _SLOW_S}, _SLOW_S


def _query(one: Mapping[str, Any]) -> dict[str, Any]:
    stat = {"MetricStat": {**one["MetricStat"], "Period": _SLOW_S}} if "MetricStat" in one else {}
    return {"ReturnData": True, **one, **stat}


def _values(dimension: str, resource: str, label: str) -> tuple[str, ...]:
    if label:
        # app/NAME/ID/targetgroup/NAME/ID: the metric is by the target group.
        return ("targetgroup/" + label.partition("targetgroup/")[2],)
    if dimension.startswith("sagemaker:variant"):
        _, endpoint, _, variant = resource.split("/")
        return endpoint, variant
    if dimension.startswith("lambda"):
        _, function, alias = resource.split(":")
        return function, f"{function}:{alias}"
    return (resource.removeprefix("inference-component/"),)
