"""Scaling in the stand-in: targets, policies with their alarms, schedules, and that capacity really follows."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
import serving
import standin
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from serving import hosted

from dogbreed.capacity.policy import Cooldown, Semantics, fitting, smaller
from dogbreed.rehearse.scaling_decide import stepped
from dogbreed.rehearse.scaling_groups import of_unix
from dogbreed.rehearse.state import Server

__all__ = ["hosted"]

VARIANT = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/dogs/variant/main",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
INVOCATIONS = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}


def test_cron_of_unix_counts_its_days_otherwise() -> None:
    assert of_unix("0 8 * * 1-5") == "cron(0 8 ? * 2-6 *)"
    assert of_unix("*/30 * * * 0,7") == "cron(*/30 * ? * 1,1 *)"
    assert of_unix("0 0 1 * *") == "cron(0 0 1 * ? *)"
    with pytest.raises(ValueError, match="not both"):
        of_unix("0 0 1 * 1")


def percent(by: int, **more: int) -> dict[str, Any]:
    return {"AdjustmentType": "PercentChangeInCapacity", "StepAdjustments": [{"ScalingAdjustment": by}], **more}


def test_steps_and_the_rounding_of_percents_are_as_documented() -> None:
    steps = [
        {"MetricIntervalLowerBound": 0, "MetricIntervalUpperBound": 10, "ScalingAdjustment": 1},
        {"MetricIntervalLowerBound": 10, "ScalingAdjustment": 3},
    ]
    config = {"AdjustmentType": "ChangeInCapacity", "StepAdjustments": steps}
    assert [stepped(config, 2, beyond) for beyond in (-1, 0, 9.9, 10, 99)] == [None, 3, 3, 5, 5]
    # More than 1 is rounded down, between 0 and 1 to 1, and so below 0.
    assert [stepped(percent(by), 10, 0) for by in (25, 5, -5, -25)] == [12, 11, 9, 8]
    assert stepped(percent(10, MinAdjustmentMagnitude=3), 10, 0) == 13
    assert stepped({"AdjustmentType": "ExactCapacity", "ScalingAdjustment": 4}, 10, 0) == 4


@given(st.integers(1, 500), st.floats(0, 1e5), st.floats(0.5, 1e4))
def test_what_fits_brings_the_metric_to_its_target_and_no_more(count: int, value: float, target: float) -> None:
    fit, exact = fitting(count, value, target), count * value / target
    close = 1e-8 * (1 + exact)
    assert exact - close <= fit < exact + 1 + close


@given(st.integers(1, 500), st.integers(0, 500))
def test_scaling_in_is_gentle_and_never_below_what_fits(wanted: int, fit: int) -> None:
    capacity = smaller(wanted, fit, Semantics())
    assert capacity >= fit
    assert wanted - capacity <= max(1, math.floor(wanted / 10))


def test_a_cool_down_holds_back_as_documented() -> None:
    cooldown = Cooldown()
    cooldown.start(0, 2, 4, 300)
    assert not cooldown.lets(299, 4) and cooldown.lets(299, 5) and cooldown.lets(300, 4)
    # What was added counts towards what is added next.
    assert (cooldown.began_from(299, 4), cooldown.began_from(300, 4)) == (2, 4)
    cooldown.start(100, 4, 5, 300)
    assert (cooldown.base, cooldown.to, cooldown.until) == (2, 5, 400)


# -- in the account


def scaling() -> Any:
    return boto3.client("application-autoscaling")


def activities(**more: Any) -> list[dict[str, Any]]:
    """Of endpoints, newest first."""
    return list(scaling().describe_scaling_activities(ServiceNamespace="sagemaker", **more)["ScalingActivities"])


def track(target: float, metric: dict[str, str] = INVOCATIONS, name: str = "track", **more: Any) -> dict[str, Any]:
    config = {"TargetValue": target, "PredefinedMetricSpecification": metric, **more}
    where = {"PolicyName": name, "PolicyType": "TargetTrackingScaling", **VARIANT}
    return dict(scaling().put_scaling_policy(**where, TargetTrackingScalingPolicyConfiguration=config))


def invoked(server: Server, times: float) -> None:
    """Each of the last minutes has seen that many invocations: on a fast clock, one may pass between two calls."""
    now = server.ask("time")
    dimensions = [{"Name": "EndpointName", "Value": "dogs"}, {"Name": "VariantName", "Value": "main"}]
    datum = {"MetricName": "InvocationsPerInstance", "Value": times, "Dimensions": dimensions}
    data = [datum | {"Timestamp": datetime.fromtimestamp(now - 60 * ago, UTC)} for ago in range(5)]
    boto3.client("cloudwatch").put_metric_data(Namespace="AWS/SageMaker", MetricData=data)


def count() -> int:
    return int(serving.describe("dogs")["ProductionVariants"][0]["CurrentInstanceCount"])


def test_what_cannot_be_scaled_is_refused(account: Server) -> None:
    def refused(function: Callable[..., Any], **told: Any) -> str:
        with pytest.raises(ClientError) as raised:
            function(**told)
        return str(raised.value)

    register, both = scaling().register_scalable_target, {"MinCapacity": 1, "MaxCapacity": 2}
    assert "cannot be read" in refused(register, **VARIANT, **both)
    assert "less than minimum" in refused(register, **VARIANT, MinCapacity=3, MaxCapacity=2)
    assert "less than 1" in refused(register, **VARIANT, MinCapacity=0, MaxCapacity=2)
    assert "must be specified" in refused(register, **VARIANT, MinCapacity=1)
    other = VARIANT | {"ScalableDimension": "lambda:function:ProvisionedConcurrency"}
    assert "Unsupported" in refused(register, **other, **both)
    assert "No scalable target registered" in refused(track, target=10)
    assert "No scalable target registered" in refused(scaling().deregister_scalable_target, **VARIANT)


@pytest.mark.slow
def test_an_endpoint_is_scaled_by_bounds_policies_and_schedules(hosted: Server) -> None:
    picture = f"{serving.REPOSITORY}/small:latest"
    role = f"arn:aws:iam::{serving.ACCOUNT}:role/training"
    sagemaker = boto3.client("sagemaker")
    sagemaker.create_model(ModelName="small", PrimaryContainer={"Image": picture}, ExecutionRoleArn=role)
    serving.create("dogs", serving.config("small", serving.variant("small")))

    # Outside of its bounds it is brought inside at once.
    tags = {"project": "dogs"}
    arn = scaling().register_scalable_target(**VARIANT, MinCapacity=2, MaxCapacity=4, Tags=tags)["ScalableTargetARN"]
    assert scaling().list_tags_for_resource(ResourceARN=arn)["Tags"] == tags
    linked = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
    (target,) = scaling().describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert target["RoleARN"].endswith(linked) and boto3.client("iam").get_role(RoleName=linked)
    standin.until(lambda: activities()[0]["StatusCode"] == "Successful")
    (first,) = activities()
    assert (first["Description"], first["Cause"]) == (
        "Setting desired instance count to 2.",
        "minimum capacity was set to 2",
    )
    assert count() == 2
    assert hosted.ask("status")["scaling"] == {VARIANT["ResourceId"]: "2 in service (2 to 4)"}

    # The alarms of a policy have the shapes that AWS gives them.
    made = track(100.0, ScaleOutCooldown=0)
    high, low = shown(made)
    assert high["AlarmName"].startswith("TargetTracking-endpoint/dogs/variant/main-AlarmHigh-")
    assert (high["Threshold"], high["EvaluationPeriods"], high["Period"], high["Statistic"]) == (100.0, 3, 60, "Sum")
    assert (low["Threshold"], low["EvaluationPeriods"], low["ComparisonOperator"]) == (90.0, 15, "LessThanThreshold")
    assert high["AlarmActions"] == [made["PolicyARN"]]
    with pytest.raises(ClientError, match="Only one TargetTrackingScaling policy"):
        track(50.0, name="again")
    fast = track(4.0, {"PredefinedMetricType": "SageMakerVariantConcurrentRequestsPerModelHighResolution"}, "fast")
    assert [(one["Period"], one["EvaluationPeriods"]) for one in shown(fast)] == [(10, 3), (10, 90)]
    # As nobody asks the endpoint, this one would soon scale it in.
    scaling().delete_scaling_policy(**VARIANT, PolicyName="fast")
    assert not shown(fast)
    again = track(100.0, DisableScaleIn=True)
    assert again["PolicyARN"] == made["PolicyARN"] and len(again["Alarms"]) == 1
    assert not shown(made)

    # What is measured moves it, to the most that there may be, by the linked role.
    hosted.ask("speed", speed=240)

    def asked() -> bool:
        invoked(hosted, 1000.0)
        return count() == 4

    standin.until(asked)
    newest = standin.until(lambda: activities()[0]["StatusCode"] == "Successful" and activities()[0])
    name = again["Alarms"][0]["AlarmName"]
    assert newest["Cause"] == f"monitor alarm {name} in state ALARM triggered policy track"
    callers = {
        one["who"]
        for one in hosted.ask("calls")
        if one["action"] == "sagemaker:UpdateEndpointWeightsAndCapacities" and not one["error"]
    }
    assert callers == {f"arn:aws:sts::{serving.ACCOUNT}:assumed-role/{linked}/SageMaker"}

    # A schedule sets other bounds, whatever the cool-downs; what is refused fails, and is tried again in a minute.
    hosted.ask("fault", kind="deny", target="sagemaker:UpdateEndpointWeightsAndCapacities", count=1)
    schedule = {"ScheduledActionName": "night", "Schedule": "rate(1 minute)"}
    bounds = {"MinCapacity": 1, "MaxCapacity": 1}
    scaling().put_scheduled_action(**VARIANT, **schedule, ScalableTargetAction=bounds)
    standin.until(lambda: count() == 1)
    done, failed = activities()[:2]
    assert "scheduled action name night" in done["Cause"]
    assert failed["StatusCode"] == "Failed" and "AccessDenied" in failed["StatusMessage"]

    # Nothing is left of it.
    scaling().deregister_scalable_target(**VARIANT)
    assert not scaling().describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert not scaling().describe_scheduled_actions(ServiceNamespace="sagemaker")["ScheduledActions"]
    assert not boto3.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert activities()


def shown(policy: dict[str, Any]) -> list[dict[str, Any]]:
    """The alarms of a policy as CloudWatch has them."""
    names = [one["AlarmName"] for one in policy["Alarms"]]
    found = boto3.client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"]
    return sorted(found, key=lambda one: str(one["AlarmName"]))
