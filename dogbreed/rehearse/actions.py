"""Which IAM action a call is, and on which resources, from its parameters alone.

Sources: the tables of actions and resources in AWS's Service Authorization Reference.
"""

from __future__ import annotations

from typing import Any

# Where an operation's action is not PREFIX:OPERATION.
_ACTIONS = {
    ("s3", "HeadObject"): "GetObject",
    ("s3", "HeadBucket"): "ListBucket",
    ("s3", "ListObjects"): "ListBucket",
    ("s3", "ListObjectsV2"): "ListBucket",
    ("s3", "ListObjectVersions"): "ListBucketVersions",
    ("s3", "ListBuckets"): "ListAllMyBuckets",
    ("s3", "ListMultipartUploads"): "ListBucketMultipartUploads",
    ("s3", "ListParts"): "ListMultipartUploadParts",
    ("s3", "CreateMultipartUpload"): "PutObject",
    ("s3", "UploadPart"): "PutObject",
    ("s3", "UploadPartCopy"): "PutObject",
    ("s3", "CompleteMultipartUpload"): "PutObject",
    ("s3", "CopyObject"): "PutObject",
    ("s3", "DeleteObjects"): "DeleteObject",
    ("s3", "GetBucketEncryption"): "GetEncryptionConfiguration",
    ("s3", "PutBucketEncryption"): "PutEncryptionConfiguration",
    ("s3", "DeleteBucketEncryption"): "PutEncryptionConfiguration",
    ("s3", "GetBucketLifecycleConfiguration"): "GetLifecycleConfiguration",
    ("s3", "PutBucketLifecycleConfiguration"): "PutLifecycleConfiguration",
    ("s3", "DeleteBucketLifecycle"): "PutLifecycleConfiguration",
    ("s3", "GetPublicAccessBlock"): "GetBucketPublicAccessBlock",
    ("s3", "PutPublicAccessBlock"): "PutBucketPublicAccessBlock",
    ("s3", "DeletePublicAccessBlock"): "PutBucketPublicAccessBlock",
    ("s3", "DeleteBucketTagging"): "PutBucketTagging",
    ("lambda", "Invoke"): "InvokeFunction",
    ("budgets", "DescribeBudget"): "ViewBudget",
    ("budgets", "DescribeBudgets"): "ViewBudget",
    ("budgets", "DescribeNotificationsForBudget"): "ViewBudget",
    ("budgets", "DescribeSubscribersForNotification"): "ViewBudget",
    **{
        ("budgets", f"{verb}{what}"): "ModifyBudget"
        for verb in ("Create", "Update", "Delete")
        for what in ("Budget", "Notification", "Subscriber")
    },
}
_PREFIXES = {
    "cloudwatch": "cloudwatch",
    "service-quotas": "servicequotas",
    "sagemaker-runtime": "sagemaker",
    "sagemaker-metrics": "sagemaker",
    "elbv2": "elasticloadbalancing",
    "stepfunctions": "states",
    "accessanalyzer": "access-analyzer",
    "resourcegroupstaggingapi": "tag",
}
# Parameter -> the resource that it names; {0} is the value.
_REGIONAL = {
    "sagemaker": {
        "TrainingJobName": "training-job/{0}",
        "ModelName": "model/{0}",
        "EndpointName": "endpoint/{0}",
        "EndpointConfigName": "endpoint-config/{0}",
        "InferenceComponentName": "inference-component/{0}",
        "HyperParameterTuningJobName": "hyper-parameter-tuning-job/{0}",
    },
    "logs": {"logGroupName": "log-group:{0}"},
    "lambda": {"FunctionName": "function:{0}"},
    "cloudwatch": {"AlarmName": "alarm:{0}", "AlarmNames": "alarm:{0}"},
    "scheduler": {"Name": "schedule/default/{0}"},
    "ecr": {"repositoryName": "repository/{0}", "repositoryNames": "repository/{0}"},
    # A build is no resource: who may look at it or stop it, IAM decides by its project.
    "codebuild": dict.fromkeys(("name", "names", "projectName", "id", "ids"), "project/{0}"),
    "kms": {"KeyId": "key/{0}"},
    "ssm": {"Name": "parameter/{0}"},
    "ec2": {
        "InstanceId": "instance/{0}",
        "InstanceIds": "instance/{0}",
        "ImageId": "image/{0}",
        "SubnetId": "subnet/{0}",
        "GroupId": "security-group/{0}",
        "SecurityGroupIds": "security-group/{0}",
        "VpcId": "vpc/{0}",
        "VolumeId": "volume/{0}",
    },
}
# Parameters that hand a role to a service.
_PASSED = ("RoleArn", "ExecutionRoleArn", "Role")
_GLOBAL = {
    "iam": {
        "RoleName": "role/{0}",
        "UserName": "user/{0}",
        "InstanceProfileName": "instance-profile/{0}",
        "PolicyName": "policy/{0}",
    },
    "budgets": {"BudgetName": "budget/{0}"},
}


def action(service: str, operation: str) -> str:
    """The action that a policy must allow for an operation, such as `s3:ListBucket`."""
    return f"{_PREFIXES.get(service, service)}:{_ACTIONS.get((service, operation), operation)}"


def resources(service: str, params: dict[str, Any], region: str, account: str) -> tuple[str, ...]:
    """ARNs of what the parameters name; empty where they name nothing, which is the resource `*`."""
    if service == "s3":
        return _objects(params)
    found: list[str] = []
    prefix = _PREFIXES.get(service, service)
    for name, value in params.items():
        for one in value if isinstance(value, list) else [value]:
            if not isinstance(one, str):
                continue
            if one.startswith("arn:"):
                found.append(one)
            elif shape := _REGIONAL.get(prefix, {}).get(name):
                found.append(f"arn:aws:{prefix}:{region}:{account}:{_filled(shape, one)}")
            elif shape := _GLOBAL.get(service, {}).get(name):
                found.append(f"arn:aws:{prefix}::{account}:{shape.format(one)}")
    if service == "lambda" and (qualifier := params.get("Qualifier")):
        # A version or an alias is a resource of its own.
        found = [f"{arn}:{qualifier}" for arn in found]
    return tuple(dict.fromkeys(found))


def _filled(shape: str, value: str) -> str:
    if value.startswith("alias/"):
        return value
    if shape.startswith("project/"):
        return shape.format(value.split(":", maxsplit=1)[0])
    # The names of parameters begin with the slash that their ARNs have anyway.
    return shape.format(value.removeprefix("/") if shape.startswith("parameter") else value)


def passed_roles(service: str, operation: str, params: dict[str, Any]) -> list[str]:
    """ARNs of the roles that a call hands to a service, for which its caller needs iam:PassRole as well."""
    if service in ("iam", "sts"):
        return []
    given = [params.get(name) for name in _PASSED] if operation.startswith(("Create", "Run", "Update")) else []
    return [arn for arn in given if isinstance(arn, str) and ":role/" in arn]


def _objects(params: dict[str, Any]) -> tuple[str, ...]:
    if not (bucket := params.get("Bucket")):
        return ()
    keys = [params["Key"]] if "Key" in params else []
    keys += [entry["Key"] for entry in (params.get("Delete") or {}).get("Objects", [])]
    return tuple(f"arn:aws:s3:::{bucket}/{key}" for key in keys) or (f"arn:aws:s3:::{bucket}",)
