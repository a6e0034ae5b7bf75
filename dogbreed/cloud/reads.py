"""What `dogbreed audit-iam --live` reads, by service: settings and policies, and no content of any object or log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

AUDIT: Mapping[str, Sequence[str]] = {
    "Iam": (
        *("iam:GenerateServiceLastAccessedDetails", "iam:GetAccountAuthorizationDetails"),
        *("iam:GetOpenIDConnectProvider", "iam:GetServiceLastAccessedDetails", "iam:ListOpenIDConnectProviders"),
    ),
    "SageMaker": (
        *("sagemaker:DescribeDomain", "sagemaker:DescribeEndpointConfig", "sagemaker:DescribeFeatureGroup"),
        *("sagemaker:DescribeModel", "sagemaker:DescribeMonitoringSchedule", "sagemaker:DescribeNotebookInstance"),
        *("sagemaker:DescribeNotebookInstanceLifecycleConfig", "sagemaker:DescribeTrainingJob"),
        *("sagemaker:ListDomains", "sagemaker:ListEndpointConfigs", "sagemaker:ListFeatureGroups"),
        *("sagemaker:ListModels", "sagemaker:ListMonitoringSchedules", "sagemaker:ListNotebookInstances"),
        *("sagemaker:ListNotebookInstanceLifecycleConfigs", "sagemaker:ListTrainingJobs"),
    ),
    "Monitoring": (
        *("sagemaker:DescribeDataQualityJobDefinition", "sagemaker:DescribeModelBiasJobDefinition"),
        *("sagemaker:DescribeModelExplainabilityJobDefinition", "sagemaker:DescribeModelQualityJobDefinition"),
        *("sagemaker:ListDataQualityJobDefinitions", "sagemaker:ListModelBiasJobDefinitions"),
        *("sagemaker:ListModelExplainabilityJobDefinitions", "sagemaker:ListModelQualityJobDefinitions"),
    ),
    "Lambda": (
        *("lambda:GetFunctionConcurrency", "lambda:GetPolicy", "lambda:ListFunctions"),
        "lambda:ListFunctionUrlConfigs",
    ),
    "Ec2": (
        *("ec2:DescribeInstances", "ec2:DescribeLaunchTemplates", "ec2:DescribeLaunchTemplateVersions"),
        *("ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVolumes", "ec2:DescribeVpcEndpoints"),
        *("ec2:DescribeVpcs", "ec2:GetEbsEncryptionByDefault"),
    ),
    "S3": (
        *("s3:GetAccountPublicAccessBlock", "s3:GetBucketPolicy", "s3:GetBucketPublicAccessBlock"),
        *("s3:GetBucketVersioning", "s3:GetEncryptionConfiguration", "s3:ListAllMyBuckets"),
    ),
    "Kms": ("kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListKeys"),
    "Ecr": ("ecr:DescribeRepositories", "ecr:GetRegistryScanningConfiguration", "ecr:GetRepositoryPolicy"),
    "Trails": ("cloudtrail:DescribeTrails", "cloudtrail:GetEventSelectors"),
    "Topics": ("sns:GetTopicAttributes", "sns:ListTopics", "sqs:GetQueueAttributes", "sqs:ListQueues"),
}
