"""What `audit-iam --live` reads, as a table: lists, the call that describes a member, and the calls for its parts.

Settings and policies only, no content of any object or log.
"""

from __future__ import annotations

from typing import NamedTuple


class Part(NamedTuple):
    """A call about one thing whose answer is a part of it: the operation, its argument, the type that it gives."""

    operation: str
    argument: str
    type: str
    # What an answer that the part is not there stands for: an empty answer, or nothing at all.
    absent_is_empty: bool = False
    fixed: tuple[tuple[str, str], ...] = ()


class Reader(NamedTuple):
    """A list of things of one type: the operation, where its answer has them, what names one."""

    service: str
    list: str
    key: str
    type: str
    id: str = ""
    describe: str = ""
    argument: str = ""
    inside: str = ""
    parts: tuple[Part, ...] = ()
    fixed: tuple[tuple[str, object], ...] = ()
    # Read once, not in every region.
    everywhere: bool = False


def _sagemaker(kind: str, plural: str, id: str = "", argument: str = "") -> Reader:
    """SageMaker's lists and describes are all alike."""
    snake = "".join(f"_{char.lower()}" if char.isupper() else char for char in kind).lstrip("_")
    name = id or f"{kind}Name"
    listed = f"list_{snake}s"
    return Reader("sagemaker", listed, plural, f"SageMaker::{kind}", name, f"describe_{snake}", argument or name)


_NEWEST = (("SortBy", "CreationTime"), ("SortOrder", "Descending"), ("MaxResults", 100))
# Of jobs that ran, the newest page: what is set wrong today is set wrong there.
FIRST_PAGE_ONLY = {"list_training_jobs"}
READERS = (
    _sagemaker("NotebookInstance", "NotebookInstances"),
    Reader(
        "sagemaker",
        "list_notebook_instance_lifecycle_configs",
        "NotebookInstanceLifecycleConfigs",
        "SageMaker::NotebookInstanceLifecycleConfig",
        "NotebookInstanceLifecycleConfigName",
        "describe_notebook_instance_lifecycle_config",
        "NotebookInstanceLifecycleConfigName",
    ),
    _sagemaker("Model", "Models"),
    _sagemaker("EndpointConfig", "EndpointConfigs"),
    *(
        _sagemaker(f"{kind}JobDefinition", "JobDefinitionSummaries", "MonitoringJobDefinitionName", "JobDefinitionName")
        for kind in ("DataQuality", "ModelQuality", "ModelBias", "ModelExplainability")
    ),
    _sagemaker("MonitoringSchedule", "MonitoringScheduleSummaries"),
    _sagemaker("TrainingJob", "TrainingJobSummaries")._replace(fixed=_NEWEST),
    _sagemaker("Domain", "Domains", "DomainId"),
    _sagemaker("FeatureGroup", "FeatureGroupSummaries"),
    Reader(
        "lambda",
        "list_functions",
        "Functions",
        "Lambda::Function",
        "FunctionName",
        parts=(
            Part("get_function_concurrency", "FunctionName", "Lambda::Concurrency", True),
            Part("get_policy", "FunctionName", "Lambda::FunctionPolicy"),
            Part("list_function_url_configs", "FunctionName", "Lambda::Url"),
        ),
    ),
    Reader("ec2", "describe_instances", "Reservations", "EC2::Instance", "InstanceId", inside="Instances"),
    Reader(
        "ec2",
        "describe_launch_templates",
        "LaunchTemplates",
        "EC2::LaunchTemplate",
        "LaunchTemplateId",
        "describe_launch_template_versions",
        "LaunchTemplateId",
    ),
    Reader("ec2", "describe_security_groups", "SecurityGroups", "EC2::SecurityGroup", "GroupId"),
    Reader("ec2", "describe_volumes", "Volumes", "EC2::Volume", "VolumeId"),
    Reader("ec2", "describe_vpc_endpoints", "VpcEndpoints", "EC2::VPCEndpoint", "VpcEndpointId"),
    Reader("ec2", "describe_vpcs", "Vpcs", "EC2::VPC", "VpcId"),
    Reader("ec2", "describe_subnets", "Subnets", "EC2::Subnet", "SubnetId"),
    Reader("ec2", "get_ebs_encryption_by_default", "", "EC2::EbsEncryptionByDefault"),
    Reader(
        "kms",
        "list_keys",
        "Keys",
        "KMS::Key",
        "KeyId",
        "describe_key",
        "KeyId",
        "KeyMetadata",
        parts=(
            Part("get_key_rotation_status", "KeyId", "KMS::Rotation"),
            Part("get_key_policy", "KeyId", "KMS::KeyPolicy", fixed=(("PolicyName", "default"),)),
        ),
    ),
    Reader(
        "ecr",
        "describe_repositories",
        "repositories",
        "ECR::Repository",
        "repositoryName",
        parts=(Part("get_repository_policy", "repositoryName", "ECR::RepositoryPolicy"),),
    ),
    Reader(
        "ecr",
        "get_registry_scanning_configuration",
        "",
        "ECR::RegistryScanningConfiguration",
        inside="scanningConfiguration",
    ),
    Reader(
        "cloudtrail",
        "describe_trails",
        "trailList",
        "CloudTrail::Trail",
        "Name",
        parts=(Part("get_event_selectors", "TrailName", "CloudTrail::EventSelectors"),),
    ),
    Reader("sns", "list_topics", "Topics", "SNS::Topic", "TopicArn", "get_topic_attributes", "TopicArn", "Attributes"),
    Reader("sqs", "list_queues", "QueueUrls", "SQS::Queue", "", "get_queue_attributes", "QueueUrl", "Attributes"),
    Reader(
        "s3",
        "list_buckets",
        "Buckets",
        "S3::Bucket",
        "Name",
        parts=(
            Part("get_public_access_block", "Bucket", "S3::PublicAccessBlock", True),
            Part("get_bucket_encryption", "Bucket", "S3::Encryption", True),
            Part("get_bucket_versioning", "Bucket", "S3::Versioning", True),
            Part("get_bucket_policy", "Bucket", "S3::BucketPolicy"),
        ),
        everywhere=True,
    ),
    Reader(
        "iam",
        "list_open_id_connect_providers",
        "OpenIDConnectProviderList",
        "IAM::OIDCProvider",
        "Arn",
        "get_open_id_connect_provider",
        "OpenIDConnectProviderArn",
        everywhere=True,
    ),
)
ACCOUNT = (
    "get_account_authorization_details",
    "generate_service_last_accessed_details",
    "get_service_last_accessed_details",
)

# Calls whose IAM action is not called like them.
_ACTIONS = {
    "s3:ListBuckets": "s3:ListAllMyBuckets",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3control:GetPublicAccessBlock": "s3:GetAccountPublicAccessBlock",
}


def action(service: str, operation: str) -> str:
    """The IAM action of a call as boto3 spells it: `list_open_id_connect_providers` of `iam`."""
    words = "".join(word[:1].upper() + word[1:] for word in operation.split("_"))
    words = words.replace("OpenIdConnect", "OpenIDConnect")
    return _ACTIONS.get(f"{service}:{words}", f"{service}:{words}")


def actions() -> list[str]:
    """Every action that an audit of an account asks for, for the auditor's policy."""
    calls = {("iam", name) for name in ACCOUNT} | {("s3control", "get_public_access_block")}
    for one in READERS:
        calls.add((one.service, one.list))
        if one.describe:
            calls.add((one.service, one.describe))
        calls |= {(one.service, part.operation) for part in one.parts}
    return sorted(action(*call) for call in calls)
