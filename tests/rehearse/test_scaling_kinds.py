"""What else is scaled in the stand-in: copies of a component from none, kept ones of a function, groups of machines."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import handlers
import pytest
import serving
import standin
from botocore.exceptions import ClientError
from serving import hosted

from dogbreed.rehearse.state import Server

__all__ = ["hosted"]
GROUP = {"AutoScalingGroupName": "pack"}
COPIES = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "inference-component/breeds",
    "ScalableDimension": "sagemaker:inference-component:DesiredCopyCount",
}
KEPT = {
    "ServiceNamespace": "lambda",
    "ResourceId": "function:f:live",
    "ScalableDimension": "lambda:function:ProvisionedConcurrency",
}


@pytest.fixture
def fast(account: Server) -> Iterator[Server]:
    """An account in which a minute takes half a second."""
    account.ask("speed", speed=120)
    yield account
    account.ask("speed", speed=1)


def scaling() -> Any:
    return boto3.client("application-autoscaling")


@pytest.mark.slow
def test_a_component_without_a_copy_is_woken_by_the_requests_that_fail(hosted: Server) -> None:
    """As AWS describes scaling to zero: a step policy, on an alarm for what found no copy."""
    serving.model("small")
    instances = {"Status": "ENABLED", "MinInstanceCount": 0, "MaxInstanceCount": 2}
    empty = serving.variant("", ModelName=None, ManagedInstanceScaling=instances)
    serving.create("dogs", serving.config("one", empty, ExecutionRoleArn=serving.ROLE))
    needs = {"MinMemoryRequiredInMb": 512, "NumberOfCpuCoresRequired": 1}
    serving.client().create_inference_component(
        InferenceComponentName="breeds",
        EndpointName="dogs",
        VariantName="main",
        Specification={"ModelName": "small", "ComputeResourceRequirements": needs},
        RuntimeConfig={"CopyCount": 1},
    )

    def status() -> str:
        told = serving.client().describe_inference_component(InferenceComponentName="breeds")
        return str(told["InferenceComponentStatus"])

    standin.until(lambda: status() == "InService")
    # One at most: while it is slow to come, the alarm goes on to ask for more.
    scaling().register_scalable_target(**COPIES, MinCapacity=0, MaxCapacity=1)
    serving.client().update_inference_component_runtime_config(
        InferenceComponentName="breeds", DesiredRuntimeConfig={"CopyCount": 0}
    )
    standin.until(lambda: status() == "InService")
    step = {
        "AdjustmentType": "ChangeInCapacity",
        "MetricAggregationType": "Maximum",
        "Cooldown": 60,
        "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
    }
    policy = scaling().put_scaling_policy(
        **COPIES, PolicyName="wake", PolicyType="StepScaling", StepScalingPolicyConfiguration=step
    )
    boto3.client("cloudwatch").put_metric_alarm(
        AlarmName="asleep",
        Namespace="AWS/SageMaker",
        MetricName="NoCapacityInvocationFailures",
        Dimensions=[{"Name": "InferenceComponentName", "Value": "breeds"}],
        Statistic="Maximum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        AlarmActions=[policy["PolicyARN"]],
    )
    failures = []

    def answered() -> bool:
        try:
            return bool(serving.ask("dogs", InferenceComponentName="breeds"))
        except ClientError as error:
            failures.append(error.response["Error"]["Message"])
            return False

    standin.until(answered)
    assert failures and "no capacity" in failures[0]
    (one,) = scaling().describe_scaling_activities(ServiceNamespace="sagemaker")["ScalingActivities"]
    assert one["Description"] == "Setting desired copy count to 1."
    assert one["Cause"] == "monitor alarm asleep in state ALARM triggered policy wake"


@pytest.mark.slow
def test_kept_copies_of_a_function_follow_their_use(fast: Server) -> None:
    client = handlers.made(Publish=True)
    client.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
    with pytest.raises(ClientError, match="cannot be read"):
        scaling().register_scalable_target(**KEPT | {"ResourceId": "function:f:dead"}, MinCapacity=1, MaxCapacity=3)
    scaling().register_scalable_target(**KEPT, MinCapacity=1, MaxCapacity=3)

    def kept() -> int:
        told = client.get_provisioned_concurrency_config(FunctionName="f", Qualifier="live")
        return int(told["AllocatedProvisionedConcurrentExecutions"])

    standin.until(lambda: kept() == 1)
    metric = {"PredefinedMetricType": "LambdaProvisionedConcurrencyUtilization"}
    scaling().put_scaling_policy(
        **KEPT,
        PolicyName="use",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={"TargetValue": 0.7, "PredefinedMetricSpecification": metric},
    )

    def used() -> bool:
        data = {"MetricName": "ProvisionedConcurrencyUtilization", "Value": 0.9}
        data |= {"Timestamp": datetime.fromtimestamp(fast.ask("time"), UTC)}
        data |= {"Dimensions": [{"Name": "FunctionName", "Value": "f"}, {"Name": "Resource", "Value": "f:live"}]}
        boto3.client("cloudwatch").put_metric_data(Namespace="AWS/Lambda", MetricData=[data])
        return kept() > 1

    standin.until(used)
    # 0.9 of one copy at 0.7 is two copies; at the same use of two it is three.
    counts = [
        one["Description"]
        for one in scaling().describe_scaling_activities(ServiceNamespace="lambda")["ScalingActivities"]
    ]
    assert counts[-2:] == ["Setting provisioned concurrency to 2.", "Setting provisioned concurrency to 1."]


def test_groups_of_machines_have_policies_and_schedules_of_their_own(fast: Server) -> None:
    client, ec2 = boto3.client("autoscaling"), boto3.client("ec2")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    data = {"ImageId": image, "InstanceType": "m5.large"}
    ec2.create_launch_template(LaunchTemplateName="pack", LaunchTemplateData=data)
    client.create_auto_scaling_group(
        **GROUP,
        MinSize=0,
        MaxSize=2,
        DesiredCapacity=0,
        LaunchTemplate={"LaunchTemplateName": "pack", "Version": "$Latest"},
        VPCZoneIdentifier=ec2.describe_subnets()["Subnets"][0]["SubnetId"],
    )
    label = "app/pack/1/targetgroup/pack/2"
    tracking = {
        "TargetValue": 600,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "ALBRequestCountPerTarget", "ResourceLabel": label},
    }
    with pytest.raises(ClientError, match="not found"):
        track(client, tracking, AutoScalingGroupName="other")
    made = track(client, tracking, **GROUP)
    alarms = boto3.client("cloudwatch").describe_alarms(AlarmNames=[one["AlarmName"] for one in made["Alarms"]])
    high, low = sorted(alarms["MetricAlarms"], key=lambda one: str(one["AlarmName"]))
    assert high["Dimensions"] == [{"Name": "TargetGroup", "Value": "targetgroup/pack/2"}]
    assert (high["Threshold"], low["Threshold"]) == (600.0, 420.0)
    (policy,) = client.describe_policies(**GROUP)["ScalingPolicies"]
    assert policy["TargetTrackingConfiguration"] == {**tracking, "DisableScaleIn": False}

    one_more = {"AdjustmentType": "ChangeInCapacity", "ScalingAdjustment": 1}
    client.put_scaling_policy(**GROUP, PolicyName="more", PolicyType="SimpleScaling", **one_more)
    client.execute_policy(**GROUP, PolicyName="more")
    assert group(client)["DesiredCapacity"] == 1
    client.put_scheduled_update_group_action(
        **GROUP, ScheduledActionName="night", Recurrence="* * * * *", MinSize=0, MaxSize=0, DesiredCapacity=0
    )
    standin.until(lambda: (group(client)["MaxSize"], group(client)["DesiredCapacity"]) == (0, 0))

    client.delete_auto_scaling_group(**GROUP, ForceDelete=True)
    # The alarms of its policies go last.
    standin.until(lambda: not boto3.client("cloudwatch").describe_alarms()["MetricAlarms"])
    assert not client.describe_policies()["ScalingPolicies"]
    assert not client.describe_scheduled_actions()["ScheduledUpdateGroupActions"]


def track(client: Any, tracking: dict[str, Any], **where: str) -> dict[str, Any]:
    told = {"PolicyName": "track", "PolicyType": "TargetTrackingScaling", "TargetTrackingConfiguration": tracking}
    return dict(client.put_scaling_policy(**told, **where))


def group(client: Any) -> dict[str, Any]:
    return dict(client.describe_auto_scaling_groups(AutoScalingGroupNames=["pack"])["AutoScalingGroups"][0])
