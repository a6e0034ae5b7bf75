"""What `dogbreed audit-iam --live` reads, by service: settings and policies, and no content of any object or log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

AUDIT: Mapping[str, Sequence[str]] = {
    "Iam": (
        *("iam:GenerateServiceLastAccessedDetails", "iam:GetAccountAuthorizationDetails", "iam:GetAccountSummary"),
        *("iam:GetOpenIDConnectProvider", "iam:GetPolicy", "iam:GetPolicyVersion", "iam:GetRole", "iam:GetRolePolicy"),
        *("iam:GetServiceLastAccessedDetails", "iam:ListAttachedRolePolicies", "iam:ListInstanceProfiles"),
        *("iam:ListOpenIDConnectProviders", "iam:ListRolePolicies", "iam:ListRoles", "iam:ListUsers"),
    ),
    "SageMaker": (
        *("sagemaker:DescribeDomain", "sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig"),
        *("sagemaker:DescribeFeatureGroup", "sagemaker:DescribeModel", "sagemaker:DescribeMonitoringSchedule"),
        *("sagemaker:DescribeNotebookInstance", "sagemaker:DescribeNotebookInstanceLifecycleConfig"),
        *("sagemaker:DescribeTrainingJob", "sagemaker:ListDomains", "sagemaker:ListEndpointConfigs"),
        *("sagemaker:ListEndpoints", "sagemaker:ListFeatureGroups", "sagemaker:ListModels"),
        *("sagemaker:ListMonitoringSchedules", "sagemaker:ListNotebookInstanceLifecycleConfigs"),
        *("sagemaker:ListNotebookInstances", "sagemaker:ListTags", "sagemaker:ListTrainingJobs"),
    ),
    "Lambda": (
        *("lambda:GetFunctionConcurrency", "lambda:GetFunctionConfiguration", "lambda:GetPolicy"),
        *("lambda:ListFunctions", "lambda:ListFunctionUrlConfigs"),
    ),
    "Ec2": (
        *("ec2:DescribeImages", "ec2:DescribeInstances", "ec2:DescribeLaunchTemplates"),
        *("ec2:DescribeLaunchTemplateVersions", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets"),
        *("ec2:DescribeVolumes", "ec2:DescribeVpcEndpoints", "ec2:GetEbsEncryptionByDefault"),
    ),
    "S3": (
        *("s3:GetAccountPublicAccessBlock", "s3:GetBucketPolicy", "s3:GetBucketPolicyStatus"),
        *("s3:GetBucketPublicAccessBlock", "s3:GetBucketVersioning", "s3:GetEncryptionConfiguration"),
        "s3:ListAllMyBuckets",
    ),
    "Kms": ("kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListKeys"),
    "Ecr": ("ecr:DescribeRepositories", "ecr:GetRegistryScanningConfiguration", "ecr:GetRepositoryPolicy"),
    "Trails": ("cloudtrail:DescribeTrails", "cloudtrail:GetEventSelectors"),
    "Topics": ("sns:GetTopicAttributes", "sns:ListTopics", "sqs:GetQueueAttributes", "sqs:ListQueues"),
}
