"""What SageMaker refuses: the same codes and words as on AWS."""

from __future__ import annotations

import re
from typing import Any

import boto3
import jobs
import pytest
import standin
from botocore.exceptions import ClientError

from dogbreed.rehearse.state import Server

SPOT = {"EnableManagedSpotTraining": True}


@pytest.fixture
def role(account: Server) -> str:
    standin.bucket()
    return standin.role()


def refused(role: str, **changes: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        jobs.start("refused", role, "true", **changes)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (SPOT, "MaxWaitTimeInSeconds must be specified when EnableManagedSpotTraining"),
        (
            SPOT | {"StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 59}},
            "greater than or equal to MaxRuntimeInSeconds",
        ),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60}}, "supported only when"),
        ({"ResourceConfig": jobs.hosts(1) | {"InstanceType": "ml.m5.tiny"}}, "Member must satisfy enum value set"),
        ({"TrainingJobName": "no_underscores"}, "Member must satisfy regular expression pattern"),
        ({"RoleArn": "arn:aws:iam::123456789012:role/nobody"}, "Could not assume role"),
        ({"InputDataConfig": [jobs.channel("train", "s3://photos/nothing/")]}, "No S3 objects found under S3 URL"),
        ({"InputDataConfig": [jobs.channel("train", "s3://elsewhere/x/")]}, "The specified bucket does not exist"),
        ({"Environment": {"1": "x"}}, "regular expression pattern"),
        ({"VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}}, "subnet-1"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_is_refused(role: str, changes: dict[str, Any], words: str) -> None:
    code, message = refused(role, **changes)
    assert code == "ValidationException"
    assert words in message
    assert boto3.client("sagemaker").list_training_jobs()["TrainingJobSummaries"] == []


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("docker.io/library/python:3.12", "non-ECR image"),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/mine:1", "Cannot find repository: mine"),
    ],
)
def test_an_image_that_cannot_be_there_is_refused(role: str, image: str, words: str) -> None:
    algorithm = jobs.request("image", role, "true")["AlgorithmSpecification"] | {"TrainingImage": image}
    code, message = refused(role, AlgorithmSpecification=algorithm)
    assert code == "ValidationException"
    assert words in message


def test_a_role_for_another_service_is_refused(role: str) -> None:
    other = standin.role("for-ec2", "ec2.amazonaws.com")
    code, message = refused(role, RoleArn=other)
    assert code == "ValidationException"
    assert "allows principal 'sagemaker.amazonaws.com'" in message


def test_a_name_can_be_used_once(role: str) -> None:
    jobs.run("refused", role, "true")
    assert refused(role)[0] == "ResourceInUse"
    boto3.client("sagemaker").delete_training_job(TrainingJobName="refused")
    assert jobs.run("refused", role, "true")["TrainingJobStatus"] == "Completed"


def test_quotas_can_be_looked_up_set_and_are_kept(account: Server, role: str) -> None:
    quotas = boto3.client("service-quotas")
    pages = quotas.get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker")
    found = {one["QuotaName"]: one for page in pages for one in page["Quotas"]}
    name = "ml.m5.large for training job usage"
    code = found[name]["QuotaCode"]
    assert found[name]["Value"] >= 4
    account.ask("quota", service="sagemaker", name=name, value=1)
    assert quotas.get_service_quota(ServiceCode="sagemaker", QuotaCode=code)["Quota"]["Value"] == 1
    refusal, message = refused(role, ResourceConfig=jobs.hosts(2))
    assert refusal == "ResourceLimitExceeded"
    assert re.search(f"'{name}' is 1 Instances, with current utilization of 0 .* delta of 2 Instances", message)
    ec2 = quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-DB2E81BA")["Quota"]
    assert ec2["QuotaName"] == "Running On-Demand G and VT instances"


def test_without_capacity_a_job_fails_and_a_spot_job_waits(account: Server, role: str) -> None:
    account.ask("fault", kind="no-capacity", target="ml.m5.*")
    job = jobs.run("now", role, "true")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("CapacityError: Unable to provision requested ML compute capacity.")
    limits = {"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 600}
    jobs.start("later", role, "true", StoppingCondition=limits, **SPOT)
    standin.until(lambda: len(jobs.stages(jobs.describe("later"))) == 2)
    assert "Insufficient capacity" in jobs.describe("later")["SecondaryStatusTransitions"][-1]["StatusMessage"]
    account.ask("clear", kind="no-capacity")
    assert jobs.ended("later")["TrainingJobStatus"] == "Completed"


def test_a_spot_job_gives_up_when_its_wait_is_over(account: Server, role: str) -> None:
    account.ask("fault", kind="no-capacity")
    limits = {"MaxRuntimeInSeconds": 1, "MaxWaitTimeInSeconds": 1}
    job = jobs.run("never", role, "true", StoppingCondition=limits, **SPOT)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")


def test_what_the_role_may_not_do_fails_the_job(account: Server, role: str) -> None:
    told = jobs.request("denied", role, "true")
    account.ask("fault", kind="deny", target="s3:PutObject")
    with pytest.raises(ClientError, match="s3:PutObject"):
        jobs.put("x")
    boto3.client("sagemaker").create_training_job(**told)
    job = jobs.ended("denied")
    assert "is not authorized to perform: s3:PutObject" in job["FailureReason"]
    assert "assumed-role/training/SageMaker" in job["FailureReason"]
