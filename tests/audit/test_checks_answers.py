"""Settings as calls set them and as AWS answers, also where several calls or resources make one thing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dogbreed.audit import engine
from dogbreed.audit.parse import read

OPEN_POLICY = json.dumps({"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]})
OWN_POLICY = json.dumps(
    {
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
)
BLOCKS = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}
KMS_RULE = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
AES_RULE = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
DATA = [{"ReadWriteType": "All", "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}]}]
ADVANCED = [{"FieldSelectors": [{"Field": "eventCategory", "Equals": ["Data"]}]}]
ALL_ENDPOINTS = [
    {
        "VpcEndpointId": f"vpce-{at}",
        "VpcId": "vpc-1",
        "ServiceName": f"com.amazonaws.eu-west-1.{name}",
        "PolicyDocument": OWN_POLICY,
    }
    for at, name in enumerate(("s3", "sagemaker.runtime", "ecr.api", "ecr.dkr"))
]


def call(service: str, operation: str, response: Any = None, **parameters: Any) -> dict[str, Any]:
    made = {"service": service, "operation": operation, "parameters": parameters}
    return made if response is None else made | {"response": response}


def group(**permission: Any) -> dict[str, Any]:
    return {"SecurityGroups": [{"GroupId": "sg-1", "GroupName": "g", "OwnerId": "1", "IpPermissions": [permission]}]}


def machine(**more: Any) -> dict[str, Any]:
    base = {
        "InstanceId": "i-1",
        "InstanceType": "g5.xlarge",
        "ImageId": "ami-1",
        "MetadataOptions": {"HttpTokens": "required"},
    }
    return {"Reservations": [{"Instances": [base | more]}]}


# rule, an answer or calls that fail, the same that pass
CASES: list[tuple[str, Any, Any]] = [
    (
        "SG-OPEN-ADMIN",
        group(IpProtocol="tcp", FromPort=22, ToPort=22, IpRanges=[{"CidrIp": "0.0.0.0/0"}]),
        group(IpProtocol="tcp", FromPort=22, ToPort=22, IpRanges=[{"CidrIp": "10.0.0.0/8"}], UserIdGroupPairs=[{}]),
    ),
    (
        "SG-OPEN-ALL",
        group(IpProtocol="-1", IpRanges=[], Ipv6Ranges=[{"CidrIpv6": "::/0"}]),
        group(IpProtocol="-1", IpRanges=[], Ipv6Ranges=[], UserIdGroupPairs=[{"GroupId": "sg-1"}]),
    ),
    (
        "SG-OPEN-JUPYTER",
        call(
            "ec2",
            "authorize_security_group_ingress",
            GroupId="sg-1",
            IpProtocol="tcp",
            FromPort=8888,
            ToPort=8888,
            CidrIp="0.0.0.0/0",
        ),
        call(
            "ec2",
            "authorize_security_group_ingress",
            GroupId="sg-1",
            IpProtocol="tcp",
            FromPort=8888,
            ToPort=8888,
            CidrIp="10.9.0.0/16",
        ),
    ),
    (
        "SG-OPEN-ADMIN",
        {
            "SecurityGroupRules": [
                {
                    "SecurityGroupRuleId": "r",
                    "IsEgress": False,
                    "IpProtocol": "tcp",
                    "FromPort": 22,
                    "ToPort": 22,
                    "CidrIpv4": "0.0.0.0/0",
                }
            ]
        },
        {
            "SecurityGroupRules": [
                {
                    "SecurityGroupRuleId": "r",
                    "IsEgress": True,
                    "IpProtocol": "tcp",
                    "FromPort": 22,
                    "ToPort": 22,
                    "CidrIpv4": "0.0.0.0/0",
                }
            ]
        },
    ),
    ("EC2-PUBLIC-IP", machine(PublicIpAddress="3.4.5.6"), machine(PrivateIpAddress="10.0.0.1")),
    ("EC2-IMDSV2", machine(MetadataOptions={"HttpTokens": "optional"}), machine()),
    (
        "EC2-IMDSV2",
        call("ec2", "CreateLaunchTemplate", LaunchTemplateName="t", LaunchTemplateData={"ImageId": "ami-1"}),
        call(
            "ec2",
            "CreateLaunchTemplate",
            LaunchTemplateName="t",
            LaunchTemplateData={"MetadataOptions": {"HttpTokens": "required"}},
        ),
    ),
    (
        "EC2-EBS-ENCRYPT",
        {"Volumes": [{"VolumeId": "v", "Encrypted": False}]},
        {"Volumes": [{"VolumeId": "v", "Encrypted": True}]},
    ),
    ("EC2-EBS-ENCRYPT", {"EbsEncryptionByDefault": False}, {"EbsEncryptionByDefault": True}),
    (
        "S3-BPA",
        {"PublicAccessBlockConfiguration": BLOCKS | {"BlockPublicPolicy": False}},
        {"PublicAccessBlockConfiguration": BLOCKS},
    ),
    (
        "S3-BPA",
        [call("s3", "create_bucket", Bucket="dogs")],
        [
            call("s3", "create_bucket", Bucket="dogs"),
            call("s3", "put_public_access_block", Bucket="dogs", PublicAccessBlockConfiguration=BLOCKS),
        ],
    ),
    (
        "S3-BPA",
        [call("s3", "create_bucket", Bucket="dogs")],
        [
            call("s3", "create_bucket", Bucket="dogs"),
            call("s3control", "put_public_access_block", AccountId="1", PublicAccessBlockConfiguration=BLOCKS),
        ],
    ),
    (
        "S3-KMS",
        {"ServerSideEncryptionConfiguration": {"Rules": [AES_RULE]}},
        {"ServerSideEncryptionConfiguration": {"Rules": [KMS_RULE]}},
    ),
    (
        "S3-VERSION",
        [call("s3", "create_bucket", Bucket="dogs")],
        [
            call("s3", "create_bucket", Bucket="dogs"),
            call("s3", "put_bucket_versioning", Bucket="dogs", VersioningConfiguration={"Status": "Enabled"}),
        ],
    ),
    ("S3-VERSION", {"Status": "Suspended"}, {"Status": "Enabled", "MFADelete": "Disabled"}),
    (
        "S3-VERSION",
        call("s3", "get_bucket_versioning", Bucket="dogs", response={}),
        call("s3", "get_bucket_versioning", Bucket="dogs", response={"Status": "Enabled"}),
    ),
    ("KMS-ROTATION", {"KeyId": "k", "KeyRotationEnabled": False}, {"KeyId": "k", "KeyRotationEnabled": True}),
    ("KMS-ROTATION", call("kms", "disable_key_rotation", KeyId="k"), call("kms", "enable_key_rotation", KeyId="k")),
    (
        "KMS-ROTATION",
        [call("kms", "create_key", Description="k")],
        [call("kms", "create_key", KeySpec="ECC_NIST_P256")],
    ),
    (
        "ECR-SCAN",
        {
            "repositories": [
                {
                    "repositoryName": "d",
                    "imageTagMutability": "IMMUTABLE",
                    "imageScanningConfiguration": {"scanOnPush": False},
                }
            ]
        },
        {
            "repositories": [
                {
                    "repositoryName": "d",
                    "imageTagMutability": "IMMUTABLE",
                    "imageScanningConfiguration": {"scanOnPush": True},
                }
            ]
        },
    ),
    (
        "ECR-IMMUTABLE",
        call("ecr", "put_image_tag_mutability", repositoryName="d", imageTagMutability="MUTABLE"),
        call("ecr", "put_image_tag_mutability", repositoryName="d", imageTagMutability="IMMUTABLE"),
    ),
    (
        "LOG-TRAIL-DATA",
        {"TrailARN": "arn:aws:cloudtrail:a:1:trail/t", "EventSelectors": []},
        {"TrailARN": "arn:aws:cloudtrail:a:1:trail/t", "EventSelectors": DATA},
    ),
    (
        "LOG-TRAIL-DATA",
        {"TrailARN": "t", "EventSelectors": [{"DataResources": []}]},
        {"TrailARN": "t", "AdvancedEventSelectors": ADVANCED},
    ),
    (
        "LAMBDA-URL-NONE",
        {"FunctionUrlConfigs": [{"FunctionUrl": "u", "FunctionArn": "f", "AuthType": "NONE"}]},
        {"FunctionUrlConfigs": [{"FunctionUrl": "u", "FunctionArn": "f", "AuthType": "AWS_IAM"}]},
    ),
    (
        "LAMBDA-RUNTIME",
        {"Configuration": {"FunctionName": "f", "Runtime": "python3.7"}},
        {"Configuration": {"FunctionName": "f", "Runtime": "python3.14"}},
    ),
    (
        "LAMBDA-CONCURRENCY",
        call("lambda", "get_function_concurrency", FunctionName="f", response={}),
        call("lambda", "get_function_concurrency", FunctionName="f", response={"ReservedConcurrentExecutions": 4}),
    ),
    (
        "LAMBDA-CONCURRENCY",
        [call("lambda", "create_function", FunctionName="f", Runtime="python3.13", Role="r", Code={})],
        [
            call("lambda", "create_function", FunctionName="f", Runtime="python3.13", Role="r", Code={}),
            call("lambda", "put_function_concurrency", FunctionName="f", ReservedConcurrentExecutions=4),
        ],
    ),
    ("VPC-ENDPOINTS", {"VpcEndpoints": []}, {"VpcEndpoints": ALL_ENDPOINTS}),
    ("VPC-ENDPOINTS", {"VpcEndpoints": ALL_ENDPOINTS[1:]}, {"VpcEndpoints": ALL_ENDPOINTS}),
    (
        "VPCE-POLICY-OPEN",
        {"VpcEndpoints": [ALL_ENDPOINTS[0] | {"PolicyDocument": OPEN_POLICY}]},
        {"VpcEndpoints": ALL_ENDPOINTS},
    ),
    (
        "VPCE-POLICY-OPEN",
        call("ec2", "create_vpc_endpoint", VpcId="v", ServiceName="com.amazonaws.eu-west-1.s3"),
        call(
            "ec2", "create_vpc_endpoint", VpcId="v", ServiceName="com.amazonaws.eu-west-1.s3", PolicyDocument=OWN_POLICY
        ),
    ),
    (
        "SM-NB-INTERNET",
        {
            "NotebookInstanceName": "n",
            "NotebookInstanceStatus": "InService",
            "DirectInternetAccess": "Enabled",
            "RootAccess": "Disabled",
        },
        {
            "NotebookInstanceName": "n",
            "NotebookInstanceStatus": "InService",
            "DirectInternetAccess": "Disabled",
            "RootAccess": "Disabled",
        },
    ),
    (
        "SM-DOMAIN-KMS",
        {"DomainId": "d", "AuthMode": "SSO", "AppNetworkAccessType": "VpcOnly"},
        {"DomainId": "d", "AuthMode": "SSO", "AppNetworkAccessType": "VpcOnly", "HomeEfsFileSystemKmsKeyId": "k"},
    ),
    (
        "SM-TRAIN-ISOLATION",
        call(
            "sagemaker",
            "create_hyper_parameter_tuning_job",
            HyperParameterTuningJobName="h",
            TrainingJobDefinition={"RoleArn": "r"},
        ),
        call(
            "sagemaker",
            "create_hyper_parameter_tuning_job",
            HyperParameterTuningJobName="h",
            TrainingJobDefinition={"EnableNetworkIsolation": True},
        ),
    ),
]


@pytest.mark.parametrize(("rule", "bad", "good"), CASES, ids=[f"{one[0]}-{at}" for at, one in enumerate(CASES)])
def test_calls_and_answers_are_told_apart(rule: str, bad: Any, good: Any, tmp_path: Path) -> None:
    for name, value in (("bad", bad), ("good", good)):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(value))
        report = engine.audit(read([path]))
        assert not report.errors
        assert [one for one in report.undecided if one.rule == rule] == []
        assert bool([one for one in report.findings if one.rule == rule]) == (name == "bad"), name


def test_a_list_of_summaries_says_nothing_of_settings(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"NotebookInstances": [{"NotebookInstanceName": "a", "InstanceType": "ml.t3.medium"}]}))
    assert not engine.audit(read([path])).findings


def test_what_a_part_does_not_say_is_not_taken_for_the_default(tmp_path: Path) -> None:
    path = tmp_path / "part.json"
    path.write_text(
        json.dumps({"KeyId": "k", "KeyRotationEnabled": True, "x": {"PublicAccessBlockConfiguration": BLOCKS}})
    )
    assert not engine.audit(read([path])).findings


def test_a_call_that_failed_made_nothing(tmp_path: Path) -> None:
    record = {"eventSource": "s3.amazonaws.com", "eventName": "CreateBucket", "errorCode": "AccessDenied"}
    path = tmp_path / "trail.json"
    path.write_text(json.dumps({"Records": [record | {"requestParameters": {"bucketName": "dogs"}}]}))
    report = engine.audit(read([path]))
    assert not report.findings
