"""Services to scale, made straight in the account: they need not answer."""

from __future__ import annotations

import io
import zipfile
from functools import partial
from typing import Any

import boto3
import standin
from rehearse import serving

from dogbreed.cloud import people
from dogbreed.cloud.policy_parts import Scope
from dogbreed.cloud.session import Aws


def endpoint(aws: Aws, *, instances: int = 1, door: str = "endpoint", suffix: str = "", **size: Any) -> str:
    """An endpoint of the name that a door has; by default on ml.m5.large. `suffix`: of its configuration."""
    name = aws.name(door)
    if not suffix:
        _model(name)
    variant = serving.variant(name, **{"InstanceType": None, "InitialInstanceCount": None, **size} if size else {})
    if not size:
        variant["InitialInstanceCount"] = instances
    made = serving.create(name, serving.config(f"{name}{suffix}", variant))
    assert made["EndpointStatus"] == "InService", made
    return name


def component(aws: Aws) -> str:
    """The endpoint, which holds its model by an inference component and can come to zero; the component's name."""
    name = aws.name("endpoint")
    _model(name)
    managed = {"Status": "ENABLED", "MinInstanceCount": 0, "MaxInstanceCount": 2}
    variant = serving.variant("", ModelName=None, ManagedInstanceScaling=managed)
    serving.create(name, serving.config(name, variant, ExecutionRoleArn=serving.ROLE))
    client = serving.client()
    client.create_inference_component(
        InferenceComponentName=f"{name}-model",
        EndpointName=name,
        VariantName="main",
        Specification={
            "ModelName": name,
            "ComputeResourceRequirements": {"MinMemoryRequiredInMb": 512, "NumberOfCpuCoresRequired": 1},
        },
        RuntimeConfig={"CopyCount": 1},
    )
    seen = partial(client.describe_inference_component, InferenceComponentName=f"{name}-model")
    standin.until(lambda: seen()["InferenceComponentStatus"] == "InService")
    return f"{name}-model"


def function(aws: Aws) -> str:
    """A function of 2 GB with the alias `live`."""
    client, name = aws.client("lambda"), aws.name("lambda")
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as file:
        file.writestr("code.py", "def handler(event, context):\n    return 1\n")
    client.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=standin.role("function", "lambda.amazonaws.com"),
        Handler="code.handler",
        MemorySize=2048,
        Code={"ZipFile": code.getvalue()},
        Publish=True,
    )
    client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    return name


def group(aws: Aws, *, balanced: bool = True) -> str:
    """An auto-scaling group of no machine, behind a load balancer if it is to be `balanced`."""
    ec2, name = aws.client("ec2"), aws.name("ec2")
    subnets = ec2.describe_subnets()["Subnets"][:2]
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    data = {"ImageId": image, "InstanceType": "m5.large"}
    ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
    targets = []
    if balanced:
        client = aws.client("elbv2")
        balancer = client.create_load_balancer(Name=name, Subnets=[one["SubnetId"] for one in subnets])
        vpc = subnets[0]["VpcId"]
        target = client.create_target_group(Name=name, Protocol="HTTP", Port=8080, VpcId=vpc)["TargetGroups"][0]
        forward = {"Type": "forward", "TargetGroupArn": target["TargetGroupArn"]}
        where = balancer["LoadBalancers"][0]["LoadBalancerArn"]
        client.create_listener(LoadBalancerArn=where, Protocol="HTTP", Port=80, DefaultActions=[forward])
        targets.append(target["TargetGroupArn"])
    aws.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName=name,
        MinSize=0,
        MaxSize=1,
        DesiredCapacity=0,
        LaunchTemplate={"LaunchTemplateName": name, "Version": "$Latest"},
        VPCZoneIdentifier=",".join(one["SubnetId"] for one in subnets),
        TargetGroupARNs=targets,
    )
    return name


def registered(namespace: str = "sagemaker") -> list[dict[str, Any]]:
    """The scalable targets of the account."""
    return list(
        boto3.client("application-autoscaling").describe_scalable_targets(ServiceNamespace=namespace)["ScalableTargets"]
    )


def unlisted(calls: list[dict[str, Any]], *names: str) -> set[str]:
    """Actions that people have called and that policies of these names (of `people.POLICIES`) do not list.

    AWS asks for its own two rights on budgets, whatever the operation.
    """
    scope = Scope("123456789012", "eu-west-1", "dogbreed", "bucket")
    statements = [one for name in names for one in people.POLICIES[name](scope)["Statement"]]
    allowed = {
        action
        for one in statements
        for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
    }
    called = {call["action"] for call in calls if ":user/" in call["who"]} - {"sts:GetCallerIdentity"}
    rights = {"budgets:Describe": "budgets:ViewBudget", "budgets:Create": "budgets:ModifyBudget"}
    return {
        next((right for start, right in rights.items() if action.startswith(start)), action) for action in called
    } - allowed


def _model(name: str) -> None:
    standin.bucket()
    standin.role()
    serving.image()
    serving.model(name)
