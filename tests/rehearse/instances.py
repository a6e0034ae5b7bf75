"""EC2 instances of a few lines of shell, for the stand-in's own tests."""

from __future__ import annotations

import base64
from typing import Any

import boto3
import standin
from standin import until

PARAMETER = "/aws/service/deeplearning/ami/x86_64/oss-nvidia-driver-gpu-pytorch-2.13-amazon-linux-2023/latest/ami-id"


def image(name: str = PARAMETER) -> str:
    """The id of a Deep Learning AMI."""
    return str(boto3.client("ssm").get_parameter(Name=name)["Parameter"]["Value"])


def profile(name: str = "machines") -> str:
    """An instance profile with a role of the same name."""
    standin.role(name, "ec2.amazonaws.com")
    iam = boto3.client("iam")
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return name


def request(script: str = "true", count: int = 1, **changes: Any) -> dict[str, Any]:
    """Parameters of RunInstances for machines that run `script` in bash and are terminated when they shut down."""
    parts = {
        "ImageId": image(),
        "InstanceType": "g5.xlarge",
        "MinCount": count,
        "MaxCount": count,
        "UserData": f"#!/bin/bash\n{script}\n",
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
    } | changes
    return {name: value for name, value in parts.items() if value is not None}


def run(script: str = "true", count: int = 1, **changes: Any) -> list[str]:
    """Start machines; their ids in the order of their launch index."""
    started = boto3.client("ec2").run_instances(**request(script, count, **changes))["Instances"]
    return [one["InstanceId"] for one in sorted(started, key=lambda one: one["AmiLaunchIndex"])]


def describe(name: str) -> dict[str, Any]:
    found = boto3.client("ec2").describe_instances(InstanceIds=[name])["Reservations"]
    return dict(found[0]["Instances"][0])


def wait_for(name: str, state: str) -> dict[str, Any]:
    """The instance when it has that state."""

    def reached() -> dict[str, Any] | None:
        one = describe(name)
        return one if one["State"]["Name"] == state else None

    return dict(until(reached))


def console(name: str) -> str:
    told = boto3.client("ec2").get_console_output(InstanceId=name)
    # boto3 has undone base64 already.
    return str(told.get("Output", ""))


def shown(name: str, text: str) -> str:
    """The console of a machine when `text` stands in it."""

    def found() -> str | None:
        said = console(name)
        return said if text in said else None

    return str(until(found))


def encoded(script: bytes) -> str:
    return base64.b64encode(script).decode()
