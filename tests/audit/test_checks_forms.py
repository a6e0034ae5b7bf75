"""Calls in every spelling, networks, and values that only a deployment decides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dogbreed.audit import engine
from dogbreed.audit.parse import read

OWN_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "*",
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:PrincipalAccount": "111122223333"}},
        }
    ],
}
JOB = {"TrainingJobName": "j", "RoleArn": "r", "EnableNetworkIsolation": False}
SPELLINGS: list[Any] = [
    {"service": "sagemaker", "operation": "CreateTrainingJob", "parameters": JOB},
    {"Service": "SageMaker", "Operation": "create-training-job", "params": JOB},
    {"operation": "sagemaker:CreateTrainingJob", "request": JOB},
    {"api": "sagemaker.create_training_job", "kwargs": JOB},
    {"operation": "CreateTrainingJob", "input": {"EnableNetworkIsolation": False}},
    {"CreateTrainingJob": {"EnableNetworkIsolation": False}},
    [{"calls": [{"client": "sagemaker", "method": "create_training_job", "kwargs": JOB}]}],
    {
        "eventSource": "sagemaker.amazonaws.com",
        "eventName": "CreateTrainingJob",
        "requestParameters": {"trainingJobName": "j", "enableNetworkIsolation": False},
    },
    {"service": "sagemaker", "operation": "describe_training_job", "parameters": {}, "response": JOB},
    {"Type": "AWS::SageMaker::TrainingJob", "Properties": JOB},
    JOB,
]


@pytest.mark.parametrize("value", SPELLINGS, ids=range(len(SPELLINGS)))
def test_calls_are_known_however_they_were_recorded(value: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(value))
    assert "SM-TRAIN-ISOLATION" in {one.rule for one in engine.audit(read([path])).findings}


def network(*services: str, **more: Any) -> dict[str, Any]:
    resources: dict[str, Any] = {"Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}}, **more}
    for at, service in enumerate(services):
        name = {"Fn::Sub": "com.amazonaws.${AWS::Region}." + service}
        properties = {"ServiceName": name, "VpcId": {"Ref": "Vpc"}, "PolicyDocument": OWN_POLICY}
        resources[f"E{at}"] = {"Type": "AWS::EC2::VPCEndpoint", "Properties": properties}
    return {"Resources": resources}


QUEUE = {"Type": "AWS::RDS::DBInstance", "Properties": {}}
MODEL = {"Type": "AWS::SageMaker::Model", "Properties": {}}


@pytest.mark.parametrize(
    ("template", "lacks"),
    [
        (network(), True),
        (network("s3", "ecr.api"), True),
        (network("s3", "sagemaker.runtime", "ecr.api", "ecr.dkr"), False),
        (network("s3", "sagemaker.api", "ecr.dkr", Model=MODEL), False),
        (network(Model=MODEL), True),
        (network(Database=QUEUE), False),
    ],
    ids=range(6),
)
def test_a_vpc_for_jobs_has_endpoints(template: Any, lacks: bool, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(template))
    assert ("VPC-ENDPOINTS" in {one.rule for one in engine.audit(read([path])).findings}) == lacks


UNKNOWN = [
    ("SM-NB-INTERNET", "SageMaker::NotebookInstance", {"DirectInternetAccess": {"Ref": "P"}}),
    ("SM-MODEL-ISOLATION", "SageMaker::Model", {"EnableNetworkIsolation": {"Ref": "P"}}),
    ("SM-NB-KMS", "SageMaker::NotebookInstance", {"KmsKeyId": {"Fn::If": ["C", "k", {"Ref": "AWS::NoValue"}]}}),
    ("SM-MODEL-FOREIGN-IMAGE", "SageMaker::Model", {"PrimaryContainer": {"Image": {"Ref": "P"}}}),
    ("SM-EP-COUNT", "SageMaker::EndpointConfig", {"ProductionVariants": [{"InitialInstanceCount": {"Ref": "P"}}]}),
    ("S3-VERSION", "S3::Bucket", {"VersioningConfiguration": {"Status": {"Ref": "P"}}}),
    ("S3-BPA", "S3::Bucket", {"PublicAccessBlockConfiguration": {"Fn::If": ["C", {"BlockPublicAcls": True}, {}]}}),
    (
        "SG-OPEN-ADMIN",
        "EC2::SecurityGroup",
        {"SecurityGroupIngress": [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": {"Ref": "P"}}]},
    ),
    ("EC2-IMDSV2", "EC2::Instance", {"MetadataOptions": {"HttpTokens": {"Ref": "P"}}}),
    ("LAMBDA-SECRET-ENV", "Lambda::Function", {"Environment": {"Variables": {"DB_PASSWORD": {"Ref": "P"}}}}),
    ("KMS-ROTATION", "KMS::Key", {"EnableKeyRotation": {"Ref": "P"}}),
]


@pytest.mark.parametrize(("rule", "type", "properties"), UNKNOWN, ids=[one[0] for one in UNKNOWN])
def test_a_value_that_is_not_known_is_undecided(rule: str, type: str, properties: Any, tmp_path: Path) -> None:
    template = {
        "Parameters": {"P": {"Type": "String"}},
        "Conditions": {"C": {"Fn::Equals": [{"Ref": "P"}, "x"]}},
        "Resources": {"It": {"Type": f"AWS::{type}", "Properties": properties}},
    }
    path = tmp_path / "x.json"
    path.write_text(json.dumps(template))
    report = engine.audit(read([path]))
    assert [one for one in report.undecided if one.rule == rule]
    assert not [one for one in report.findings if one.rule == rule]
    set_key = {"SM-NB-KMS": {"KmsKeyId": {"Ref": "P"}}}.get(rule)
    if set_key:
        template["Resources"]["It"]["Properties"] = set_key  # type: ignore[index]
        path.write_text(json.dumps(template))
        assert not [one for one in engine.audit(read([path])).undecided if one.rule == rule]
