"""What the policies for services are put together from: lists of actions, ARNs, and statements that several need."""

from __future__ import annotations

import json
from collections.abc import Iterable

from dogbreed.cloud import policies_serving as serving
from dogbreed.cloud.bucket import MODELS
from dogbreed.cloud.people_parts import (
    LOOKS_AT_BUCKET,
    MAKES_BUCKET,
    in_subnets,
    key_use,
    roles,
)
from dogbreed.cloud.policy_parts import Scope, Statement, allow

HOSTED = ("Model", "Endpoint", "EndpointConfig")
DESCRIBES = ("sagemaker:ListTags", *(f"sagemaker:Describe{kind}" for kind in HOSTED))
# These know no resources that could be named.
LISTS_HOSTED = ("sagemaker:ListModels", "sagemaker:ListEndpointConfigs")
LOOKS_AT_FUNCTION = (
    *("lambda:GetFunction", "lambda:GetFunctionConfiguration", "lambda:GetAlias", "lambda:GetPolicy"),
    *("lambda:GetProvisionedConcurrencyConfig", "lambda:GetFunctionUrlConfig", "lambda:ListTags"),
    "lambda:ListVersionsByFunction",
)
MAKES_FUNCTION = (
    *("lambda:CreateFunction", "lambda:UpdateFunctionCode", "lambda:UpdateFunctionConfiguration"),
    *("lambda:PublishVersion", "lambda:CreateAlias", "lambda:UpdateAlias", "lambda:TagResource"),
    *("lambda:PutFunctionConcurrency", "lambda:PutProvisionedConcurrencyConfig", "lambda:CreateFunctionUrlConfig"),
    "lambda:UpdateFunctionUrlConfig",
)
# Settings that a second deployment takes back, and versions that are past.
ENDS_FUNCTION = (
    *("lambda:DeleteFunction", "lambda:DeleteAlias", "lambda:DeleteFunctionConcurrency", "lambda:RemovePermission"),
    *("lambda:DeleteProvisionedConcurrencyConfig", "lambda:DeleteFunctionUrlConfig"),
)
LOOKS_AT_REPOSITORY = (
    *("ecr:DescribeRepositories", "ecr:DescribeImages", "ecr:ListTagsForResource", "ecr:BatchGetImage"),
    *("ecr:GetLifecyclePolicy", "ecr:GetRepositoryPolicy"),
)
MAKES_REPOSITORY = (
    *("ecr:CreateRepository", "ecr:TagResource", "ecr:PutImageTagMutability", "ecr:PutImageScanningConfiguration"),
    *("ecr:PutLifecyclePolicy", "ecr:SetRepositoryPolicy"),
)
PUSHES = (
    *("ecr:BatchCheckLayerAvailability", "ecr:CompleteLayerUpload", "ecr:GetDownloadUrlForLayer"),
    *("ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"),
)
ENDS_BUILDS = tuple(f"codebuild:{verb}" for verb in ("ListBuildsForProject", "BatchGetBuilds", "StopBuild"))
ENDS_BUILDS += ("codebuild:DeleteProject",)
LOOKS_AT_LOGS = ("logs:DescribeLogStreams", "logs:ListTagsForResource")
READS_LOGS = "logs:FilterLogEvents"
MAKES_LOGS = ("logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:TagResource")
SCALES = (
    *("application-autoscaling:RegisterScalableTarget", "application-autoscaling:PutScalingPolicy"),
    *("application-autoscaling:DeregisterScalableTarget", "application-autoscaling:TagResource"),
    *("application-autoscaling:DeleteScalingPolicy", "application-autoscaling:PutScheduledAction"),
    "application-autoscaling:DeleteScheduledAction",
)
LOOKS_AT_SCALING = (
    *("application-autoscaling:DescribeScalableTargets", "application-autoscaling:DescribeScalingPolicies"),
    *("application-autoscaling:DescribeScheduledActions", "application-autoscaling:DescribeScalingActivities"),
)
LISTS_COMPONENTS = "sagemaker:ListInferenceComponents"
# What `deploy --component` and its removal take.
COMPONENT = "InferenceComponent"
CHANGES_COMPONENT = tuple(f"sagemaker:{verb}{COMPONENT}" for verb in ("Create", "Describe", "Update", "Delete"))
CHANGES_COMPONENT += (f"sagemaker:Update{COMPONENT}RuntimeConfig",)
SCALING_SERVICE = "application-autoscaling.amazonaws.com"
GROUPS = (
    *("autoscaling:CreateAutoScalingGroup", "autoscaling:UpdateAutoScalingGroup", "autoscaling:CreateOrUpdateTags"),
    *("autoscaling:StartInstanceRefresh", "autoscaling:CancelInstanceRefresh", "autoscaling:SetInstanceProtection"),
    *("autoscaling:PutScalingPolicy", "autoscaling:DeletePolicy", "autoscaling:DeleteAutoScalingGroup"),
    *("autoscaling:PutScheduledUpdateGroupAction", "autoscaling:DeleteScheduledAction"),
    *("autoscaling:AttachLoadBalancerTargetGroups", "autoscaling:DetachLoadBalancerTargetGroups"),
)
WHOLE = ("CreateAutoScalingGroup", "DeleteAutoScalingGroup", "Tags", "Refresh")
LOOKS_AT_GROUPS = (
    *("autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribePolicies", "autoscaling:DescribeScheduledActions"),
    *("autoscaling:DescribeInstanceRefreshes", "autoscaling:DescribeScalingActivities"),
)
BALANCER = ("LoadBalancer", "TargetGroup", "Listener")
LOOKS_AT_BALANCER = (
    *("elasticloadbalancing:DescribeLoadBalancers", "elasticloadbalancing:DescribeLoadBalancerAttributes"),
    *("elasticloadbalancing:DescribeTargetGroups", "elasticloadbalancing:DescribeTargetGroupAttributes"),
    *("elasticloadbalancing:DescribeListeners", "elasticloadbalancing:DescribeTargetHealth"),
    "elasticloadbalancing:DescribeTags",
)
# Documented: what Elastic Load Balancing looks at with the rights of whoever makes a balancer.
ASKED_BY_BALANCER = (
    *("ec2:DescribeAccountAttributes", "ec2:DescribeAddresses", "ec2:DescribeInternetGateways", "ec2:DescribeVpcs"),
    *("ec2:DescribeSubnets", "ec2:DescribeSecurityGroups"),
)
LOOKS_AT_MACHINES = (
    *("ec2:DescribeInstances", "ec2:DescribeInstanceTypes", "ec2:DescribeInstanceTypeOfferings", "ec2:DescribeImages"),
    *("ec2:DescribeLaunchTemplates", "ec2:DescribeLaunchTemplateVersions", "ec2:DescribeVpcs"),
)


def hosted(scope: Scope, door: str) -> list[Statement]:
    """What both kinds of endpoint take, their front and their end included."""
    changes = [f"sagemaker:{verb}{kind}" for verb in ("Create", "Delete") for kind in HOSTED]
    updates = ["sagemaker:UpdateEndpoint", "sagemaker:UpdateEndpointWeightsAndCapacities", "sagemaker:AddTags"]
    own = [scope.arn("sagemaker", f"endpoint/{scope.project}-{door}")]
    groups, lists = [f"/aws/sagemaker/Endpoints/{scope.project}-{door}"], [*LISTS_HOSTED]
    if door == "endpoint":
        own.append(component_arn(scope))
        updates += CHANGES_COMPONENT
        groups.append(f"/aws/sagemaker/InferenceComponents/{scope.project}-{door}-model")
        lists.append(LISTS_COMPONENTS)
    return [
        *bucket(scope, MODELS),
        *roles(scope, serving.ENDPOINT, serving.END),
        allow("Hosted", [*changes, *updates, *DESCRIBES], hosted_arns(scope, door)),
        allow("LookAtHosted", [*lists, "application-autoscaling:DescribeScalableTargets"], "*"),
        allow("Try", "sagemaker:InvokeEndpoint", own),
        looks_at_image(scope),
        *logs(scope, groups),
        ends(scope),
        *(in_subnets(scope) if scope.subnets and door == "endpoint" else []),
        *key_use(scope),
    ]


def merged(statements: Iterable[Statement]) -> list[Statement]:
    """One statement for all that are about the same things, as a policy may not be long."""
    found: dict[str, Statement] = {}
    for one in statements:
        first = found.setdefault(json.dumps([one["Resource"], one.get("Condition")]), one)
        actions = [first["Action"], one["Action"]]
        listed = {action for part in actions for action in ([part] if isinstance(part, str) else part)}
        first["Action"] = sorted(listed)
    return list(found.values())


def bucket(scope: Scope, *prefixes: str) -> list[Statement]:
    """Make and look at the bucket, and use what lies below prefixes of it."""
    return [
        allow("Bucket", [*LOOKS_AT_BUCKET, *MAKES_BUCKET], scope.bucket_arn),
        allow("Objects", ["s3:GetObject", "s3:PutObject"], scope.objects(*prefixes), scope.own_account),
    ]


def functions(scope: Scope, *names: str) -> list[Statement]:
    """Make, change, look at, ask and end functions of these names."""
    arns = function_arns(scope, *names)
    actions = [*LOOKS_AT_FUNCTION, *MAKES_FUNCTION, *ENDS_FUNCTION, "lambda:InvokeFunction"]
    return [allow("Function", actions, arns)]


def logs(scope: Scope, groups: Iterable[str], *more: str, lists: bool = True) -> list[Statement]:
    """Make, look at and read log groups (`dogbreed logs`), and more of them."""
    made = [allow("LogGroups", [*LOOKS_AT_LOGS, *MAKES_LOGS, READS_LOGS, *more], group_arns(scope, groups))]
    return [*made, *([allow("ListLogGroups", "logs:DescribeLogGroups", "*")] if lists else [])]


def alarms(scope: Scope, door: str) -> list[Statement]:
    """Make, look at and remove a door's alarms; "" for all of the project's."""
    actions = ["cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms", "cloudwatch:TagResource"]
    return [allow("Alarms", actions, alarm_arns(scope, door)), *looks_at_alarms(scope, door)]


def scaling_for(scope: Scope) -> list[Statement]:
    """What Application Auto Scaling asks of whoever has it scale: the rights that it uses itself, alarms of any name
    among them (its guide, "Permissions validation for API calls on target resources").
    """
    own = [scope.arn("sagemaker", f"{kind}/{scope.project}-*") for kind in ("endpoint", "inference-component")]
    changes = ["sagemaker:UpdateEndpointWeightsAndCapacities", "sagemaker:UpdateInferenceComponentRuntimeConfig"]
    alarms = ["cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms"]
    return [
        allow("ScaledByAws", changes, own),
        allow("AlarmsOfAws", alarms, scope.arn("cloudwatch", "alarm:*")),
    ]


def looks_at_alarms(scope: Scope, door: str) -> list[Statement]:
    """To describe alarms by their names is to ask for the right to describe them all."""
    return [
        allow("LookAtAlarms", "cloudwatch:DescribeAlarms", scope.arn("cloudwatch", "alarm:*")),
        allow("LookAtTagsOfAlarms", "cloudwatch:ListTagsForResource", alarm_arns(scope, door)),
    ]


def ends(scope: Scope) -> Statement:
    """Schedule the end of services, and take that back."""
    verbs = ("Create", "Update", "Get", "Delete")
    return allow("Ends", [f"scheduler:{verb}Schedule" for verb in verbs], end_arns(scope))


def looks_at_image(scope: Scope) -> Statement:
    """Look at the project's repository and images."""
    return allow("LookAtImages", LOOKS_AT_REPOSITORY, scope.arn("ecr", f"repository/{scope.project}"))


def hosted_arns(scope: Scope, door: str) -> list[str]:
    """Models and configurations have a digest behind the door's name, the endpoint has not."""
    many = f"{scope.project}-{door}-*" if door != "*" else f"{scope.project}-*"
    kinds = {"model": many, "endpoint-config": many, "endpoint": f"{scope.project}-{door}"}
    arns = [scope.arn("sagemaker", f"{kind}/{name}") for kind, name in kinds.items()]
    return arns if door == "serverless" else [*arns, component_arn(scope)]


def component_arn(scope: Scope) -> str:
    """The inference component of an endpoint."""
    return scope.arn("sagemaker", f"inference-component/{scope.project}-endpoint-model")


def function_arns(scope: Scope, *names: str) -> list[str]:
    """Functions, and their versions and aliases."""
    arns = [scope.arn("lambda", f"function:{scope.project}-{name}") for name in names]
    return [*arns, *(f"{arn}:*" for arn in arns)]


def group_arns(scope: Scope, groups: Iterable[str]) -> list[str]:
    """Log groups, and what is in them."""
    arns = [scope.arn("logs", f"log-group:{group}") for group in groups]
    # A pattern covers what is in its groups, too.
    return [*arns, *(f"{arn}:*" for arn in arns if not arn.endswith("*"))]


def alarm_arns(scope: Scope, door: str) -> str:
    """The alarms of a door; "" for all of the project's."""
    return scope.arn("cloudwatch", f"alarm:{scope.project}-{door}{'-' if door else ''}*")


def end_arns(scope: Scope) -> str:
    """The schedules that end services."""
    return scope.arn("scheduler", f"schedule/default/{scope.project}-end-*")


def balancer_arns(scope: Scope) -> list[str]:
    """The load balancer, its target group and its listeners."""
    kinds = ("loadbalancer/app", "targetgroup", "listener/app")
    return [scope.arn("elasticloadbalancing", f"{kind}/{scope.project}-ec2/*") for kind in kinds]


def linked(scope: Scope, sid: str, service: str) -> Statement:
    """Make the role that a service of AWS works with in the account, once."""
    role = scope.everywhere("iam", f"role/aws-service-role/{service}/*")
    return allow(sid, "iam:CreateServiceLinkedRole", role, {"StringEquals": {"iam:AWSServiceName": service}})


def targets(scope: Scope) -> str:
    """Scalable targets, whose names AWS makes up."""
    return scope.arn("application-autoscaling", "scalable-target/*")
