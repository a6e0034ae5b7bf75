"""For every check of settings: a resource that fails and ones that pass, as CloudFormation has them.

The other forms (requests, Terraform, plans) are made from these by `forms.py`.
"""

from __future__ import annotations

from typing import Any

from pairs_sagemaker import DIGEST, KEY, OWN, ROLE, Pair, packed
from pairs_sagemaker import PAIRS as OF_SAGEMAKER

FUNCTION = {"FunctionName": "dogs", "Handler": "a.b", "Role": ROLE, "Code": {"S3Bucket": "a", "S3Key": "b"}}
MACHINE = {"ImageId": "ami-1", "InstanceType": "g5.xlarge"}
DISK = {"DeviceName": "/dev/sda1", "Ebs": {"Encrypted": True}}
ALL_FOUR = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}
DEFAULT_KMS = {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}}


def opened(**rule: Any) -> dict[str, Any]:
    return {"GroupName": "g", "GroupDescription": "d", "SecurityGroupIngress": [rule]}


def tcp(first: int, last: int, **source: str) -> dict[str, Any]:
    return opened(IpProtocol="tcp", FromPort=first, ToPort=last, **source)


PAIRS = [
    *OF_SAGEMAKER,
    Pair(
        "LAMBDA-URL-NONE",
        "Lambda::Url",
        [{"TargetFunctionArn": "dogs", "AuthType": "NONE"}],
        [{"TargetFunctionArn": "dogs", "AuthType": "AWS_IAM"}],
    ),
    Pair(
        "LAMBDA-RUNTIME",
        "Lambda::Function",
        [FUNCTION | {"Runtime": one} for one in ("python3.7", "nodejs16.x", "go1.x")],
        [FUNCTION | {"Runtime": one} for one in ("python3.13", "nodejs24.x", "provided.al2023")],
    ),
    Pair(
        "LAMBDA-SECRET-ENV",
        "Lambda::Function",
        [
            FUNCTION | {"Environment": {"Variables": one}}
            for one in (
                {"DB_PASSWORD": "hunter22"},
                {"KEY": "AKIAIOSFODNN7EXAMPLE"},
                {"URL": "postgres://admin:s3cr3tpw@db.internal/x"},
                {"apiKey": "9f8a7b6c5d4e3f2a1b0c"},
            )
        ],
        [
            FUNCTION | {"Environment": {"Variables": one}}
            for one in (
                {"ENDPOINT": "dogs", "LOG_LEVEL": "INFO"},
                {"DB_PASSWORD": "{{resolve:secretsmanager:db:SecretString:password}}"},
                {"API_KEY": "<your key>", "TOKEN": "changeme"},
                {
                    "IMAGE": OWN + DIGEST,
                    "SECRET_NAME": "prod/db",
                    "PASSWORD_PARAMETER": "/prod/db",
                    "DB_SECRET": "prod/db/login",
                },
                {"DB_SECRET": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:a-Ab12Cd"},
            )
        ],
    ),
    Pair(
        "LAMBDA-ENV-KMS",
        "Lambda::Function",
        [FUNCTION | {"Environment": {"Variables": {"A": "b"}}}],
        [FUNCTION, FUNCTION | {"Environment": {"Variables": {"A": "b"}}, "KmsKeyArn": KEY}],
    ),
    Pair(
        "LAMBDA-CONCURRENCY",
        "Lambda::Function",
        [FUNCTION],
        [FUNCTION | {"ReservedConcurrentExecutions": one} for one in (10, 0, "5")],
    ),
    Pair(
        "EC2-IMDSV2",
        "EC2::Instance",
        [MACHINE, MACHINE | {"MetadataOptions": {"HttpTokens": "optional"}}],
        [
            MACHINE | {"MetadataOptions": {"HttpTokens": "required"}},
            MACHINE | {"MetadataOptions": {"HttpEndpoint": "disabled"}},
        ],
    ),
    Pair(
        "EC2-PUBLIC-IP",
        "EC2::Instance",
        [MACHINE | {"NetworkInterfaces": [{"DeviceIndex": 0, "AssociatePublicIpAddress": True}]}],
        [MACHINE, MACHINE | {"NetworkInterfaces": [{"DeviceIndex": 0, "AssociatePublicIpAddress": False}]}],
    ),
    Pair(
        "EC2-EBS-ENCRYPT",
        "EC2::Instance",
        [
            MACHINE | {"BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 8}}]},
            MACHINE | {"BlockDeviceMappings": [DISK, {"DeviceName": "/dev/sdb", "Ebs": {"Encrypted": False}}]},
        ],
        [MACHINE | {"BlockDeviceMappings": [DISK]}],
    ),
    Pair(
        "EC2-USERDATA-SECRET",
        "EC2::Instance",
        [MACHINE | {"UserData": packed("#!/bin/bash\nexport DB_PASSWORD='hunter22'\n")}],
        [MACHINE, MACHINE | {"UserData": packed("#!/bin/bash\necho hello\n")}],
    ),
    Pair(
        "EC2-EBS-ENCRYPT",
        "EC2::Volume",
        [{"AvailabilityZone": "a", "Size": 8}],
        [{"AvailabilityZone": "a", "Size": 8, "Encrypted": True}],
    ),
    Pair(
        "SG-OPEN-ADMIN",
        "EC2::SecurityGroup",
        [
            tcp(22, 22, CidrIp="0.0.0.0/0"),
            tcp(3389, 3389, CidrIpv6="::/0"),
            tcp(20, 30, CidrIp="0.0.0.0/0"),
            opened(IpProtocol="-1", CidrIp="0.0.0.0/0"),
        ],
        [
            tcp(22, 22, CidrIp="10.0.0.0/8"),
            tcp(443, 443, CidrIp="0.0.0.0/0"),
            tcp(23, 80, CidrIpv6="::/0"),
            tcp(22, 22, SourcePrefixListId="pl-1"),
        ],
    ),
    Pair(
        "SG-OPEN-JUPYTER",
        "EC2::SecurityGroup",
        [tcp(port, port, CidrIp="0.0.0.0/0") for port in (8888, 6006, 5000, 8265)] + [tcp(8000, 9000, CidrIpv6="::/0")],
        [
            tcp(8888, 8888, CidrIp="192.168.0.0/16"),
            tcp(443, 443, CidrIp="0.0.0.0/0"),
            tcp(8888, 8888, SourceSecurityGroupId="sg-1"),
        ],
    ),
    Pair(
        "SG-OPEN-ALL",
        "EC2::SecurityGroup",
        [
            opened(IpProtocol="-1", CidrIp="0.0.0.0/0"),
            opened(IpProtocol=-1, CidrIpv6="::/0"),
            tcp(0, 65535, CidrIp="0.0.0.0/0"),
        ],
        [
            opened(IpProtocol="-1", SourceSecurityGroupId="sg-1"),
            tcp(443, 443, CidrIp="0.0.0.0/0"),
            opened(IpProtocol="-1", CidrIp="10.0.0.0/16"),
        ],
    ),
    Pair(
        "SG-OPEN-ADMIN",
        "EC2::SecurityGroupIngress",
        [{"GroupId": "sg-1", "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "0.0.0.0/0"}],
        [{"GroupId": "sg-1", "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "10.1.0.0/16"}],
    ),
    Pair(
        "S3-BPA",
        "S3::Bucket",
        [
            {"BucketName": "dogs"},
            {"BucketName": "dogs", "PublicAccessBlockConfiguration": ALL_FOUR | {"IgnorePublicAcls": False}},
        ],
        [{"BucketName": "dogs", "PublicAccessBlockConfiguration": ALL_FOUR}],
    ),
    Pair(
        "S3-KMS",
        "S3::Bucket",
        [
            {"BucketName": "dogs"},
            {
                "BucketName": "dogs",
                "BucketEncryption": {
                    "ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
                },
            },
        ],
        [{"BucketName": "dogs", "BucketEncryption": {"ServerSideEncryptionConfiguration": [DEFAULT_KMS]}}],
    ),
    Pair(
        "S3-VERSION",
        "S3::Bucket",
        [{"BucketName": "dogs"}, {"BucketName": "dogs", "VersioningConfiguration": {"Status": "Suspended"}}],
        [{"BucketName": "dogs", "VersioningConfiguration": {"Status": "Enabled"}}],
    ),
    Pair(
        "KMS-ROTATION",
        "KMS::Key",
        [{"Description": "k"}, {"Description": "k", "EnableKeyRotation": False}],
        [{"Description": "k", "EnableKeyRotation": True}, {"Description": "k", "KeySpec": "RSA_2048"}],
    ),
    Pair(
        "ECR-IMMUTABLE",
        "ECR::Repository",
        [{"RepositoryName": "dogs"}, {"RepositoryName": "dogs", "ImageTagMutability": "MUTABLE"}],
        [{"RepositoryName": "dogs", "ImageTagMutability": "IMMUTABLE"}],
    ),
    Pair(
        "ECR-SCAN",
        "ECR::Repository",
        [{"RepositoryName": "dogs"}, {"RepositoryName": "dogs", "ImageScanningConfiguration": {"ScanOnPush": False}}],
        [{"RepositoryName": "dogs", "ImageScanningConfiguration": {"ScanOnPush": True}}],
    ),
    Pair(
        "LOG-TRAIL-DATA",
        "CloudTrail::Trail",
        [{"TrailName": "t", "S3BucketName": "b", "IsLogging": True}],
        [
            {
                "TrailName": "t",
                "S3BucketName": "b",
                "IsLogging": True,
                "EventSelectors": [{"DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::dogs/"]}]}],
            }
        ],
    ),
]
