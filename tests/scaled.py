"""Services to scale, made straight in the account: they need not answer."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import boto3
import standin
from rehearse import serving

from dogbreed.cloud.session import Aws


def endpoint(aws: Aws, *, instances: int = 1, door: str = "endpoint", suffix: str = "", **size: Any) -> str:
    """An endpoint of the name that a door has; by default on ml.m5.large. `suffix`: of its configuration."""
    name = aws.name(door)
    if not suffix:
        standin.bucket()
        role = standin.role()
        serving.model(name, serving.image(), role)
    variant = serving.variant(name, **{"InstanceType": None, "InitialInstanceCount": None, **size} if size else {})
    if not size:
        variant["InitialInstanceCount"] = instances
    made = serving.create(name, serving.config(f"{name}{suffix}", variant))
    assert made["EndpointStatus"] == "InService", made
    return name


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
