"""The record of calls: who did which action on what, as least privilege needs it."""

from __future__ import annotations

import boto3
import pytest
import serving
import standin
from botocore.exceptions import ClientError

from dogbreed.rehearse.state import Server


def recorded(account: Server) -> list[tuple[str, list[str], int, str]]:
    """What the person has called: a service may still be ending what it did for a test before."""
    told = [one for one in account.ask("calls") if not one["platform"]]
    return [(one["action"], one["resources"], one["status"], one["error"]) for one in told]


def test_actions_and_resources(account: Server) -> None:
    s3, photos = boto3.client("s3"), "arn:aws:s3:::photos"
    standin.bucket()
    s3.put_object(Bucket="photos", Key="a", Body=b"x")
    s3.head_object(Bucket="photos", Key="a")
    s3.list_objects_v2(Bucket="photos", Prefix="a")
    s3.get_bucket_versioning(Bucket="photos")
    s3.delete_objects(Bucket="photos", Delete={"Objects": [{"Key": "a"}, {"Key": "b"}]})
    assert recorded(account) == [
        ("s3:CreateBucket", [photos], 200, ""),
        ("s3:PutObject", [f"{photos}/a"], 200, ""),
        ("s3:GetObject", [f"{photos}/a"], 200, ""),
        ("s3:ListBucket", [photos], 200, ""),
        ("s3:GetBucketVersioning", [photos], 200, ""),
        ("s3:DeleteObject", [f"{photos}/a", f"{photos}/b"], 200, ""),
    ]


def test_roles_that_are_passed_and_calls_that_are_refused(account: Server) -> None:
    arn = standin.role()
    image = {"Image": serving.image("dogs")}
    boto3.client("sagemaker").create_model(ModelName="m", ExecutionRoleArn=arn, PrimaryContainer=image)
    with pytest.raises(ClientError):
        boto3.client("logs").describe_log_streams(logGroupName="/nothing")
    with pytest.raises(ClientError):
        boto3.client("iam").get_role(RoleName="nobody")
    here = "eu-west-1:123456789012"
    assert [one for one in recorded(account) if not one[0].startswith("ecr:")][1:] == [
        ("iam:PassRole", [arn], 200, ""),
        ("sagemaker:CreateModel", [f"arn:aws:sagemaker:{here}:model/m", arn], 200, ""),
        ("logs:DescribeLogStreams", [f"arn:aws:logs:{here}:log-group:/nothing"], 400, "ResourceNotFoundException"),
        ("iam:GetRole", ["arn:aws:iam::123456789012:role/nobody"], 404, "NoSuchEntity"),
    ]


def test_who_and_where(account: Server) -> None:
    boto3.client("ec2", region_name="us-east-2").describe_vpcs()
    (call,) = (one for one in account.ask("calls") if one["operation"] == "DescribeVpcs")
    assert (call["who"], call["region"], call["platform"]) == (
        "arn:aws:iam::123456789012:user/rehearsal",
        "us-east-2",
        False,
    )
    assert call["time"].endswith("Z")
