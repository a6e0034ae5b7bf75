"""Names, ARNs and what a reference gives, by CloudFormation type: the same strings wherever a resource is mentioned.

A resource without a name of its own is called by its logical id; account and region are those where it is deployed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from dogbreed.audit.model import HOLE, OWN_ACCOUNT, OWN_PARTITION, OWN_REGION


class Naming(NamedTuple):
    """The property that holds the name ("" where AWS gives an id), the ARN's form, and what Ref gives."""

    property: str
    arn: str
    ref: str = "name"


_HERE = f"{OWN_REGION}:{OWN_ACCOUNT}"


def _arn(service: str, resource: str, place: str = _HERE) -> str:
    return f"arn:{OWN_PARTITION}:{service}:{place}:{resource}"


_GLOBAL = f":{OWN_ACCOUNT}"
NAMINGS = {
    "AWS::IAM::Role": Naming("RoleName", _arn("iam", "role{path}{name}", _GLOBAL)),
    "AWS::IAM::User": Naming("UserName", _arn("iam", "user{path}{name}", _GLOBAL)),
    "AWS::IAM::Group": Naming("GroupName", _arn("iam", "group{path}{name}", _GLOBAL)),
    "AWS::IAM::ManagedPolicy": Naming("ManagedPolicyName", _arn("iam", "policy{path}{name}", _GLOBAL), "arn"),
    "AWS::IAM::InstanceProfile": Naming("InstanceProfileName", _arn("iam", "instance-profile{path}{name}", _GLOBAL)),
    "AWS::IAM::OIDCProvider": Naming("", _arn("iam", "oidc-provider/{name}", _GLOBAL), "arn"),
    "AWS::S3::Bucket": Naming("BucketName", _arn("s3", "{name}", ":")),
    "AWS::Lambda::Function": Naming("FunctionName", _arn("lambda", "function:{name}")),
    "AWS::KMS::Key": Naming("", _arn("kms", "key/{name}")),
    "AWS::KMS::Alias": Naming("AliasName", _arn("kms", "{name}")),
    "AWS::SQS::Queue": Naming(
        "QueueName", _arn("sqs", "{name}"), f"https://sqs.{OWN_REGION}.amazonaws.com/{OWN_ACCOUNT}/{{name}}"
    ),
    "AWS::SNS::Topic": Naming("TopicName", _arn("sns", "{name}"), "arn"),
    "AWS::SecretsManager::Secret": Naming("Name", _arn("secretsmanager", "secret:{name}"), "arn"),
    "AWS::SSM::Parameter": Naming("Name", _arn("ssm", "parameter/{name}")),
    "AWS::SSM::Document": Naming("Name", _arn("ssm", "document/{name}")),
    "AWS::ECR::Repository": Naming("RepositoryName", _arn("ecr", "repository/{name}")),
    "AWS::DynamoDB::Table": Naming("TableName", _arn("dynamodb", "table/{name}")),
    "AWS::Kinesis::Stream": Naming("Name", _arn("kinesis", "stream/{name}")),
    "AWS::Logs::LogGroup": Naming("LogGroupName", _arn("logs", "log-group:{name}:*")),
    "AWS::Events::Rule": Naming("Name", _arn("events", "rule/{name}")),
    "AWS::StepFunctions::StateMachine": Naming("StateMachineName", _arn("states", "stateMachine:{name}"), "arn"),
    "AWS::CloudTrail::Trail": Naming("TrailName", _arn("cloudtrail", "trail/{name}")),
    "AWS::CodeBuild::Project": Naming("Name", _arn("codebuild", "project/{name}")),
    "AWS::CodePipeline::Pipeline": Naming("Name", _arn("codepipeline", "{name}")),
    "AWS::Glue::Job": Naming("Name", _arn("glue", "job/{name}")),
    "AWS::ECS::TaskDefinition": Naming("Family", _arn("ecs", "task-definition/{name}:1"), "arn"),
    "AWS::ECS::Cluster": Naming("ClusterName", _arn("ecs", "cluster/{name}")),
    "AWS::CloudFormation::Stack": Naming("", _arn("cloudformation", "stack/{name}/1"), "arn"),
    "AWS::EC2::Instance": Naming("", _arn("ec2", "instance/{name}")),
    "AWS::EC2::SecurityGroup": Naming("", _arn("ec2", "security-group/{name}")),
    "AWS::EC2::VPC": Naming("", _arn("ec2", "vpc/{name}")),
    "AWS::EC2::Subnet": Naming("", _arn("ec2", "subnet/{name}")),
    "AWS::EC2::VPCEndpoint": Naming("", _arn("ec2", "vpc-endpoint/{name}")),
    "AWS::EC2::LaunchTemplate": Naming("", _arn("ec2", "launch-template/{name}")),
    "AWS::EC2::Volume": Naming("", _arn("ec2", "volume/{name}")),
}
_SAGEMAKER = {
    "NotebookInstance": "notebook-instance",
    "NotebookInstanceLifecycleConfig": "notebook-instance-lifecycle-config",
    "Model": "model",
    "EndpointConfig": "endpoint-config",
    "Endpoint": "endpoint",
    "FeatureGroup": "feature-group",
    "Pipeline": "pipeline",
    "Project": "project",
    "ModelPackageGroup": "model-package-group",
    "MonitoringSchedule": "monitoring-schedule",
    "DataQualityJobDefinition": "data-quality-job-definition",
    "ModelQualityJobDefinition": "model-quality-job-definition",
    "ModelBiasJobDefinition": "model-bias-job-definition",
    "ModelExplainabilityJobDefinition": "model-explainability-job-definition",
    "TrainingJob": "training-job",
    "ProcessingJob": "processing-job",
    "TransformJob": "transform-job",
    "HyperParameterTuningJob": "hyper-parameter-tuning-job",
}
NAMINGS |= {
    f"AWS::SageMaker::{kind}": Naming(
        "JobDefinitionName" if kind.endswith("JobDefinition") else f"{kind}Name",
        _arn("sagemaker", f"{word}/{{name}}"),
        "name" if kind in ("FeatureGroup", "Pipeline") else "arn",
    )
    for kind, word in _SAGEMAKER.items()
}
NAMINGS["AWS::SageMaker::Domain"] = Naming("", _arn("sagemaker", "domain/{name}"))
NAMINGS["AWS::Serverless::Function"] = NAMINGS["AWS::Lambda::Function"]
_NAME_ATTRIBUTES = ("Name", "Id", "GroupId", "VpcId", "InstanceId", "KeyId", "DomainId", "QueueName", "TopicName")


def name_of(type: str, id: str, properties: dict[str, Any]) -> str:
    """A resource's name: its property, else its logical id; a name that is not known is the logical id too."""
    naming = NAMINGS.get(type)
    own = properties.get(naming.property) if naming and naming.property else None
    return own if isinstance(own, str) and own and own != HOLE else id


def arn_of(type: str, id: str, properties: dict[str, Any]) -> str:
    """A resource's ARN, "" for types whose ARN has no known form."""
    if (naming := NAMINGS.get(type)) is None:
        return ""
    path = properties.get("Path", "/")
    path = path if isinstance(path, str) and path.startswith("/") and path.endswith("/") else "/"
    return naming.arn.format(name=name_of(type, id, properties).lstrip("/"), path=path)


def reference(type: str, id: str, properties: dict[str, Any]) -> str:
    """What `Ref` of a resource gives; the logical id for types that are not known."""
    naming = NAMINGS.get(type)
    if naming is None or naming.ref == "name":
        return name_of(type, id, properties)
    if naming.ref == "arn":
        return arn_of(type, id, properties)
    return naming.ref.format(name=name_of(type, id, properties))


def attribute(type: str, id: str, properties: dict[str, Any], name: str) -> str:
    """What `GetAtt` gives: the ARN, a name or an id; HOLE for the rest."""
    if name in ("Arn", "TopicArn", "EndpointArn", "StateMachineArn") and (arn := arn_of(type, id, properties)):
        return arn
    naming = NAMINGS.get(type)
    if name in _NAME_ATTRIBUTES or (naming and name == naming.property):
        return name_of(type, id, properties)
    own = properties.get(name)
    return own if isinstance(own, str) else HOLE


def own_value(pseudo: str) -> str | None:
    """The value of a pseudo parameter such as `AWS::Region`; None for what is none."""
    return {
        "AWS::AccountId": OWN_ACCOUNT,
        "AWS::Region": OWN_REGION,
        "AWS::Partition": OWN_PARTITION,
        "AWS::URLSuffix": "amazonaws.com",
        "AWS::StackName": HOLE,
        "AWS::StackId": HOLE,
    }.get(pseudo)
