"""What AWS's API calls and answers are about: tables from operations and from telling keys to CloudFormation types.

The API and CloudFormation spell nearly all properties alike; `RENAMED` has the others.
"""

from __future__ import annotations

from typing import NamedTuple


class Shape(NamedTuple):
    """An object that has all of `keys` and one of `any_of`, but none of `without`, describes a resource of `type`."""

    type: str
    keys: frozenset[str]
    any_of: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()


def _shape(type: str, keys: str, any_of: str = "", without: str = "") -> Shape:
    return Shape(f"AWS::{type}", *(frozenset(words.split()) for words in (keys, any_of, without)))


SHAPES = (
    _shape("IAM::Role", "RoleName AssumeRolePolicyDocument"),
    _shape("IAM::RolePolicy", "RoleName PolicyName PolicyDocument"),
    _shape("IAM::UserPolicy", "UserName PolicyName PolicyDocument"),
    _shape("IAM::GroupPolicy", "GroupName PolicyName PolicyDocument"),
    _shape(
        "SageMaker::NotebookInstance",
        "NotebookInstanceName",
        "DirectInternetAccess RootAccess RoleArn SubnetId PlatformIdentifier KmsKeyId InstanceType",
    ),
    _shape("SageMaker::NotebookInstanceLifecycleConfig", "NotebookInstanceLifecycleConfigName", "OnCreate OnStart"),
    _shape(
        "SageMaker::Model", "ModelName", "PrimaryContainer Containers ExecutionRoleArn EnableNetworkIsolation VpcConfig"
    ),
    _shape(
        "SageMaker::EndpointConfig",
        "EndpointConfigName",
        "ProductionVariants KmsKeyId DataCaptureConfig",
        "EndpointName",
    ),
    _shape(
        "SageMaker::DataQualityJobDefinition", "JobDefinitionName", "DataQualityAppSpecification DataQualityJobInput"
    ),
    _shape(
        "SageMaker::ModelQualityJobDefinition", "JobDefinitionName", "ModelQualityAppSpecification ModelQualityJobInput"
    ),
    _shape("SageMaker::ModelBiasJobDefinition", "JobDefinitionName", "ModelBiasAppSpecification ModelBiasJobInput"),
    _shape(
        "SageMaker::ModelExplainabilityJobDefinition",
        "JobDefinitionName",
        "ModelExplainabilityAppSpecification ModelExplainabilityJobInput",
    ),
    _shape("SageMaker::MonitoringSchedule", "MonitoringScheduleConfig"),
    _shape(
        "SageMaker::TrainingJob",
        "TrainingJobName",
        "AlgorithmSpecification ResourceConfig RoleArn EnableNetworkIsolation HyperParameters Environment VpcConfig "
        "OutputDataConfig InputDataConfig StoppingCondition RemoteDebugConfig EnableInterContainerTrafficEncryption",
    ),
    _shape("SageMaker::HyperParameterTuningJob", "HyperParameterTuningJobName", "TrainingJobDefinition"),
    _shape("SageMaker::ProcessingJob", "ProcessingJobName", "AppSpecification ProcessingResources"),
    _shape("SageMaker::TransformJob", "TransformJobName", "TransformInput TransformResources"),
    _shape(
        "SageMaker::Domain", "AuthMode", "DomainName DomainId DomainArn DefaultUserSettings AppNetworkAccessType VpcId"
    ),
    _shape("SageMaker::Domain", "AppNetworkAccessType"),
    _shape(
        "SageMaker::FeatureGroup",
        "FeatureGroupName",
        "FeatureDefinitions OnlineStoreConfig OfflineStoreConfig RecordIdentifierFeatureName",
    ),
    _shape("Lambda::Url", "AuthType", "FunctionUrl FunctionArn FunctionName TargetFunctionArn"),
    _shape("Lambda::Permission", "FunctionName StatementId", "Principal"),
    _shape(
        "Lambda::Function",
        "FunctionName",
        "Runtime Handler Code CodeSha256 PackageType Role Environment ImageConfigResponse",
    ),
    _shape("EC2::LaunchTemplate", "LaunchTemplateData"),
    _shape("EC2::SecurityGroup", "IpPermissions GroupName"),
    _shape("EC2::SecurityGroup", "IpPermissions GroupId OwnerId"),
    _shape("EC2::SecurityGroupIngress", "GroupId", "IpPermissions CidrIp", "GroupName OwnerId"),
    _shape("EC2::SecurityGroupRule", "SecurityGroupRuleId"),
    _shape("EC2::VPCEndpoint", "ServiceName", "VpcEndpointType VpcEndpointId VpcId PolicyDocument"),
    _shape("EC2::Volume", "VolumeId Encrypted"),
    _shape("EC2::Volume", "AvailabilityZone", "Size SnapshotId", "InstanceId ImageId DBInstanceIdentifier"),
    _shape(
        "EC2::Instance",
        "InstanceType",
        "ImageId InstanceId MinCount MetadataOptions BlockDeviceMappings",
        "ResourceConfig",
    ),
    _shape("EC2::Instance", "InstanceId MetadataOptions"),
    _shape("EC2::Instance", "ImageId", "MinCount MaxCount MetadataOptions"),
    _shape("EC2::VPC", "VpcId CidrBlock", "", "SubnetId"),
    _shape("EC2::Subnet", "SubnetId CidrBlock"),
    _shape("EC2::EbsEncryptionByDefault", "EbsEncryptionByDefault"),
    _shape("ECR::Repository", "RepositoryName", "ImageTagMutability ImageScanningConfiguration RepositoryUri"),
    _shape("KMS::Key", "KeyId", "KeyUsage KeySpec KeyManager CustomerMasterKeySpec EnableKeyRotation"),
    _shape("KMS::Rotation", "KeyRotationEnabled"),
    _shape(
        "CloudTrail::Trail",
        "S3BucketName",
        "IsMultiRegionTrail IncludeGlobalServiceEvents IsLogging TrailARN TrailName",
    ),
    _shape("CloudTrail::EventSelectors", "EventSelectors", "TrailARN TrailName TrailArn"),
    _shape("CloudTrail::EventSelectors", "AdvancedEventSelectors", "TrailARN TrailName TrailArn"),
    _shape("S3::PublicAccessBlock", "PublicAccessBlockConfiguration"),
    _shape("S3::Encryption", "ServerSideEncryptionConfiguration"),
    _shape("S3::Versioning", "VersioningConfiguration"),
    _shape("Lambda::Concurrency", "ReservedConcurrentExecutions"),
    # Cut out of an answer, without a name.
    _shape("SageMaker::NotebookInstance", "DirectInternetAccess"),
    _shape("SageMaker::NotebookInstance", "RootAccess"),
    _shape(
        "EC2::Instance", "InstanceId", "PublicIpAddress PrivateIpAddress NetworkInterfaces", "VolumeId AllocationId"
    ),
    _shape("EC2::SecurityGroup", "IpPermissions"),
    _shape("ECR::Repository", "ImageTagMutability"),
    _shape("ECR::Repository", "ImageScanningConfiguration"),
    _shape("CloudTrail::EventSelectors", "EventSelectors"),
    _shape("CloudTrail::EventSelectors", "AdvancedEventSelectors"),
)

# Operations that are not `Create<X>` of the type <X> of their service; read-only ones as their answers are recorded.
OPERATIONS = {
    "ec2:RunInstances": "EC2::Instance",
    "ec2:DescribeInstances": "EC2::Instance",
    "ec2:AuthorizeSecurityGroupIngress": "EC2::SecurityGroupIngress",
    "ec2:CreateSecurityGroup": "EC2::SecurityGroup",
    "ec2:CreateVpcEndpoint": "EC2::VPCEndpoint",
    "ec2:ModifyVpcEndpoint": "EC2::VPCEndpointPolicy",
    "ec2:CreateVpc": "EC2::VPC",
    "ec2:CreateSubnet": "EC2::Subnet",
    "ec2:CreateLaunchTemplate": "EC2::LaunchTemplate",
    "ec2:CreateLaunchTemplateVersion": "EC2::LaunchTemplate",
    "ec2:CreateVolume": "EC2::Volume",
    "ec2:GetEbsEncryptionByDefault": "EC2::EbsEncryptionByDefault",
    "ec2:DescribeVpcEndpoints": "EC2::VPCEndpoints",
    "lambda:CreateFunction": "Lambda::Function",
    "lambda:GetFunctionConfiguration": "Lambda::Function",
    "lambda:CreateFunctionUrlConfig": "Lambda::Url",
    "lambda:UpdateFunctionUrlConfig": "Lambda::Url",
    "lambda:GetFunctionUrlConfig": "Lambda::Url",
    "lambda:AddPermission": "Lambda::Permission",
    "lambda:PutFunctionConcurrency": "Lambda::Concurrency",
    "lambda:GetFunctionConcurrency": "Lambda::Concurrency",
    "lambda:GetPolicy": "Lambda::FunctionPolicy",
    "s3:CreateBucket": "S3::Bucket",
    "s3:PutPublicAccessBlock": "S3::PublicAccessBlock",
    "s3:GetPublicAccessBlock": "S3::PublicAccessBlock",
    "s3control:PutPublicAccessBlock": "S3::AccountPublicAccessBlock",
    "s3control:GetPublicAccessBlock": "S3::AccountPublicAccessBlock",
    "s3:PutBucketEncryption": "S3::Encryption",
    "s3:GetBucketEncryption": "S3::Encryption",
    "s3:PutBucketVersioning": "S3::Versioning",
    "s3:GetBucketVersioning": "S3::Versioning",
    "s3:PutBucketPolicy": "S3::BucketPolicy",
    "s3:GetBucketPolicy": "S3::BucketPolicy",
    "kms:CreateKey": "KMS::Key",
    "kms:PutKeyPolicy": "KMS::KeyPolicy",
    "kms:GetKeyPolicy": "KMS::KeyPolicy",
    "kms:EnableKeyRotation": "KMS::Rotation",
    "kms:DisableKeyRotation": "KMS::Rotation",
    "kms:GetKeyRotationStatus": "KMS::Rotation",
    "ecr:CreateRepository": "ECR::Repository",
    "ecr:DescribeRepositories": "ECR::Repository",
    "ecr:PutImageTagMutability": "ECR::TagMutability",
    "ecr:PutImageScanningConfiguration": "ECR::Scanning",
    "ecr:SetRepositoryPolicy": "ECR::RepositoryPolicy",
    "ecr:GetRepositoryPolicy": "ECR::RepositoryPolicy",
    "cloudtrail:CreateTrail": "CloudTrail::Trail",
    "cloudtrail:PutEventSelectors": "CloudTrail::EventSelectors",
    "cloudtrail:GetEventSelectors": "CloudTrail::EventSelectors",
    "iam:CreateRole": "IAM::Role",
    "iam:GetRole": "IAM::Role",
    "iam:CreateUser": "IAM::User",
    "iam:CreateGroup": "IAM::Group",
    "iam:CreatePolicy": "IAM::ManagedPolicy",
    "iam:PutRolePolicy": "IAM::RolePolicy",
    "iam:GetRolePolicy": "IAM::RolePolicy",
    "iam:PutUserPolicy": "IAM::UserPolicy",
    "iam:PutGroupPolicy": "IAM::GroupPolicy",
    "iam:AttachRolePolicy": "IAM::PolicyAttachment",
    "iam:AttachUserPolicy": "IAM::PolicyAttachment",
    "iam:AttachGroupPolicy": "IAM::PolicyAttachment",
    "iam:AddRoleToInstanceProfile": "IAM::InstanceProfile",
    "secretsmanager:PutResourcePolicy": "SecretsManager::ResourcePolicy",
    "sagemaker:PutModelPackageGroupPolicy": "SageMaker::ModelPackageGroupPolicy",
}
# Within a type: the API's spelling -> CloudFormation's.
RENAMED = {
    "AWS::SageMaker::NotebookInstance": {
        "SecurityGroups": "SecurityGroupIds",
        "NotebookInstanceLifecycleConfigName": "LifecycleConfigName",
    },
    "AWS::Lambda::Function": {"KMSKeyArn": "KmsKeyArn"},
    "AWS::KMS::Key": {"Policy": "KeyPolicy"},
    "AWS::EC2::SecurityGroup": {"IpPermissions": "SecurityGroupIngress", "IpPermissionsEgress": "SecurityGroupEgress"},
    "AWS::S3::Bucket": {"Bucket": "BucketName"},
    "AWS::S3::BucketPolicy": {"Policy": "PolicyDocument"},
    "AWS::CloudTrail::Trail": {"Name": "TrailName"},
    "AWS::CloudTrail::EventSelectors": {"TrailARN": "TrailName", "TrailArn": "TrailName"},
    "AWS::IAM::ManagedPolicy": {"PolicyName": "ManagedPolicyName"},
    "AWS::SageMaker::Domain": {"DomainId": "DomainId"},
    "AWS::SageMaker::ModelPackageGroupPolicy": {"ResourcePolicy": "Policy"},
}
# Parts of a resource that a call sets or an answer gives: the members that are their value.
VALUE_OF = {
    "AWS::S3::PublicAccessBlock": "PublicAccessBlockConfiguration",
    "AWS::S3::Encryption": "ServerSideEncryptionConfiguration",
    "AWS::S3::Versioning": "VersioningConfiguration",
    "AWS::KMS::Rotation": "KeyRotationEnabled",
    "AWS::ECR::Scanning": "ImageScanningConfiguration",
    "AWS::ECR::TagMutability": "ImageTagMutability",
    "AWS::Lambda::Concurrency": "ReservedConcurrentExecutions",
    "AWS::CloudTrail::EventSelectors": "EventSelectors",
}
# Members of answers that hold only summaries, in which absent does not mean the default.
SUMMARIES = frozenset(
    [
        "NotebookInstances",
        "Models",
        "EndpointConfigs",
        "TrainingJobSummaries",
        "Domains",
        "FeatureGroupSummaries",
        "MonitoringScheduleSummaries",
        "JobDefinitionSummaries",
        "TransformJobSummaries",
        "ProcessingJobSummaries",
    ]
)
# What a part of an API object is, where a template has a resource of its own.
NESTED = {"TrainingJobDefinition": "AWS::SageMaker::TrainingJob", "LaunchSpecification": "AWS::EC2::Instance"}
