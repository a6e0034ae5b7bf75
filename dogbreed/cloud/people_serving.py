"""The exact policies for services: to deploy through each door, build the image, scale, ask, and look after it all."""

from __future__ import annotations

import json
from collections.abc import Iterable

from dogbreed.cloud import policies_serving as serving
from dogbreed.cloud.bucket import CODE, MODELS
from dogbreed.cloud.people_parts import (
    LOOKS_AT_BUCKET,
    LOOKS_AT_NETWORK,
    MAKES_BUCKET,
    commands,
    in_subnets,
    key_use,
    machines,
    own_things,
    public_parameter,
    roles,
)
from dogbreed.cloud.policy_parts import Document, Scope, Statement, allow, document

_HOSTED = ("Model", "Endpoint", "EndpointConfig")
_DESCRIBES = ("sagemaker:ListTags", *(f"sagemaker:Describe{kind}" for kind in _HOSTED))
# These know no resources that could be named.
_LISTS_HOSTED = ("sagemaker:ListModels", "sagemaker:ListEndpointConfigs")
_LOOKS_AT_FUNCTION = (
    *("lambda:GetFunction", "lambda:GetFunctionConfiguration", "lambda:GetAlias", "lambda:GetPolicy"),
    *("lambda:GetProvisionedConcurrencyConfig", "lambda:GetFunctionUrlConfig", "lambda:ListTags"),
    "lambda:ListVersionsByFunction",
)
_MAKES_FUNCTION = (
    *("lambda:CreateFunction", "lambda:UpdateFunctionCode", "lambda:UpdateFunctionConfiguration"),
    *("lambda:PublishVersion", "lambda:CreateAlias", "lambda:UpdateAlias", "lambda:TagResource"),
    *("lambda:PutFunctionConcurrency", "lambda:PutProvisionedConcurrencyConfig", "lambda:CreateFunctionUrlConfig"),
    "lambda:UpdateFunctionUrlConfig",
)
# Settings that a second deployment takes back, and versions that are past.
_ENDS_FUNCTION = (
    *("lambda:DeleteFunction", "lambda:DeleteAlias", "lambda:DeleteFunctionConcurrency", "lambda:RemovePermission"),
    *("lambda:DeleteProvisionedConcurrencyConfig", "lambda:DeleteFunctionUrlConfig"),
)
_LOOKS_AT_REPOSITORY = (
    *("ecr:DescribeRepositories", "ecr:DescribeImages", "ecr:ListTagsForResource", "ecr:BatchGetImage"),
    *("ecr:GetLifecyclePolicy", "ecr:GetRepositoryPolicy"),
)
_MAKES_REPOSITORY = (
    *("ecr:CreateRepository", "ecr:TagResource", "ecr:PutImageTagMutability", "ecr:PutImageScanningConfiguration"),
    *("ecr:PutLifecyclePolicy", "ecr:SetRepositoryPolicy"),
)
_PUSHES = (
    *("ecr:BatchCheckLayerAvailability", "ecr:CompleteLayerUpload", "ecr:GetDownloadUrlForLayer"),
    *("ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"),
)
_ENDS_BUILDS = tuple(f"codebuild:{verb}" for verb in ("ListBuildsForProject", "BatchGetBuilds", "StopBuild"))
_ENDS_BUILDS += ("codebuild:DeleteProject",)
_LOOKS_AT_LOGS = ("logs:DescribeLogStreams", "logs:ListTagsForResource")
_MAKES_LOGS = ("logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:TagResource")
_SCALES = (
    *("application-autoscaling:RegisterScalableTarget", "application-autoscaling:PutScalingPolicy"),
    *("application-autoscaling:DeregisterScalableTarget", "application-autoscaling:TagResource"),
    *("application-autoscaling:DeleteScalingPolicy", "application-autoscaling:PutScheduledAction"),
    "application-autoscaling:DeleteScheduledAction",
)
_LOOKS_AT_SCALING = (
    *("application-autoscaling:DescribeScalableTargets", "application-autoscaling:DescribeScalingPolicies"),
    *("application-autoscaling:DescribeScheduledActions", "application-autoscaling:DescribeScalingActivities"),
)
_LISTS_COMPONENTS = "sagemaker:ListInferenceComponents"
_SCALING_SERVICE = "application-autoscaling.amazonaws.com"
_GROUPS = (
    *("autoscaling:CreateAutoScalingGroup", "autoscaling:UpdateAutoScalingGroup", "autoscaling:CreateOrUpdateTags"),
    *("autoscaling:StartInstanceRefresh", "autoscaling:CancelInstanceRefresh", "autoscaling:SetInstanceProtection"),
    *("autoscaling:PutScalingPolicy", "autoscaling:DeletePolicy", "autoscaling:DeleteAutoScalingGroup"),
    *("autoscaling:PutScheduledUpdateGroupAction", "autoscaling:DeleteScheduledAction"),
    *("autoscaling:AttachLoadBalancerTargetGroups", "autoscaling:DetachLoadBalancerTargetGroups"),
)
_WHOLE = ("CreateAutoScalingGroup", "DeleteAutoScalingGroup", "Tags", "Refresh")
_LOOKS_AT_GROUPS = (
    *("autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribePolicies", "autoscaling:DescribeScheduledActions"),
    *("autoscaling:DescribeInstanceRefreshes", "autoscaling:DescribeScalingActivities"),
)
_BALANCER = ("LoadBalancer", "TargetGroup", "Listener")
_LOOKS_AT_BALANCER = (
    *("elasticloadbalancing:DescribeLoadBalancers", "elasticloadbalancing:DescribeLoadBalancerAttributes"),
    *("elasticloadbalancing:DescribeTargetGroups", "elasticloadbalancing:DescribeTargetGroupAttributes"),
    *("elasticloadbalancing:DescribeListeners", "elasticloadbalancing:DescribeTargetHealth"),
    "elasticloadbalancing:DescribeTags",
)
_LOOKS_AT_MACHINES = (
    *("ec2:DescribeInstances", "ec2:DescribeInstanceTypes", "ec2:DescribeInstanceTypeOfferings", "ec2:DescribeImages"),
    *("ec2:DescribeLaunchTemplates", "ec2:DescribeLaunchTemplateVersions", "ec2:DescribeVpcs"),
)


def deploy_endpoint(scope: Scope) -> Document:
    """`deploy --to endpoint`, and `rollback`: model, configuration, endpoint, alarms, and what stands around it."""
    return document([*_hosted(scope, "endpoint"), *_alarms(scope, "endpoint")])


def deploy_serverless(scope: Scope) -> Document:
    """`deploy --to serverless`, and `rollback`."""
    return document(_hosted(scope, "serverless"))


def front(scope: Scope) -> Document:
    """The functions in front of endpoints, which `deploy` makes unless `--no-front`."""
    return document(
        [
            *_bucket(scope, CODE),
            *roles(scope, serving.FRONT_OF_ENDPOINT, serving.FRONT_OF_SERVERLESS),
            *_functions(scope, "endpoint-front", "serverless-front"),
            *_logs(scope, [f"/aws/lambda/{scope.project}-{door}-front" for door in ("endpoint", "serverless")]),
            *key_use(scope),
        ]
    )


def deploy_lambda(scope: Scope) -> Document:
    """`deploy --to lambda`: one function that holds the model."""
    return document(
        [
            *_bucket(scope, CODE),
            *roles(scope, serving.LAMBDA, serving.END),
            *_functions(scope, "lambda"),
            *_logs(scope, [f"/aws/lambda/{scope.project}-lambda"]),
            _ends(scope),
            *key_use(scope),
        ]
    )


def deploy_ec2(scope: Scope) -> Document:
    """`deploy --to ec2`, the first half: machines with this project's tag, what they run, their role and logs."""
    return document(
        [
            *_bucket(scope, MODELS),
            *roles(scope, serving.EC2_SERVICE, profile=True),
            _looks_at_image(scope),
            allow("Look", [*LOOKS_AT_NETWORK, *_LOOKS_AT_MACHINES, "logs:DescribeLogGroups"], "*"),
            *own_things(scope, ["security-group", "launch-template"], ["CreateSecurityGroup", "CreateLaunchTemplate"]),
            *machines(scope, spot=False),
            allow("NewestImage", "ssm:GetParameter", public_parameter(scope, "ami-amazon-linux-latest")),
            *_logs(scope, [scope.log_group], lists=False),
            *key_use(scope),
        ]
    )


def deploy_ec2_group(scope: Scope) -> Document:
    """`deploy --to ec2`, the second half: the group of machines, the balancer in front of it, the scheduled end."""
    name = f"{scope.project}-ec2"
    changes = [f"{verb}{kind}" for verb in ("Create", "Delete") for kind in _BALANCER]
    more = [
        *("AddTags", "SetSubnets", "SetSecurityGroups", "ModifyListener", "ModifyTargetGroup"),
        *("ModifyLoadBalancerAttributes", "ModifyTargetGroupAttributes"),
    ]
    services = {"Groups": "autoscaling", "Balancers": "elasticloadbalancing"}
    return document(
        [
            *roles(scope, serving.END),
            allow("Look", [*_LOOKS_AT_GROUPS, *_LOOKS_AT_BALANCER], "*"),
            allow("Group", _GROUPS, scope.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{name}")),
            allow("Balancer", [f"elasticloadbalancing:{verb}" for verb in (*changes, *more)], _balancer_arns(scope)),
            allow("Certificate", ["acm:DescribeCertificate", "acm:GetCertificate"], scope.arn("acm", "certificate/*")),
            *commands(scope),
            *(_linked(scope, f"Let{what}Work", f"{service}.amazonaws.com") for what, service in services.items()),
            _ends(scope),
        ]
    )


def image(scope: Scope) -> Document:
    """`image push`, and the first `deploy`: the repository and the build in the account."""
    project = scope.arn("codebuild", f"project/{scope.project}-image")
    builds = ["CreateProject", "UpdateProject", "BatchGetProjects", "StartBuild", "BatchGetBuilds", "StopBuild"]
    builds.append("ListBuildsForProject")
    return document(
        [
            *_bucket(scope, CODE),
            *roles(scope, serving.IMAGE_BUILD),
            _looks_at_image(scope),
            allow("Repository", [*_MAKES_REPOSITORY, *_PUSHES], scope.arn("ecr", f"repository/{scope.project}")),
            allow("LoginToImages", "ecr:GetAuthorizationToken", "*"),
            allow("Build", [f"codebuild:{verb}" for verb in builds], project),
            *_logs(scope, [f"/aws/codebuild/{scope.project}-image"], "logs:GetLogEvents"),
            *key_use(scope),
        ]
    )


def scale(scope: Scope) -> Document:
    """`dogbreed scale` for what is deployed: targets, policies, their alarms, and the metrics of traffic."""
    endpoints = [scope.arn("sagemaker", f"{kind}/{scope.project}-*") for kind in ("endpoint", "endpoint-config")]
    components = scope.arn("sagemaker", f"inference-component/{scope.project}-*")
    verbs = ("Create", "Describe", "Update", "Delete")
    group = scope.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{scope.project}-ec2")
    kept = ("Put", "Get", "Delete")
    watches = ["cloudwatch:GetMetricData", *_LOOKS_AT_GROUPS, *_LOOKS_AT_SCALING, "ec2:DescribeLaunchTemplateVersions"]
    return document(
        [
            allow("Scale", _SCALES, _targets(scope)),
            allow("Watch", [*watches, "elasticloadbalancing:DescribeTargetGroups", _LISTS_COMPONENTS], "*"),
            allow("Endpoints", ["sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig"], endpoints),
            allow("Components", [f"sagemaker:{verb}InferenceComponent" for verb in verbs], components),
            allow(
                "Functions",
                ["lambda:GetFunctionConfiguration", *(f"lambda:{verb}ProvisionedConcurrencyConfig" for verb in kept)],
                _function_arns(scope, "lambda", "endpoint-front", "serverless-front"),
            ),
            allow("Group", [one for one in _GROUPS if not one.endswith(_WHOLE)], group),
            *_alarms(scope, ""),
            _linked(scope, "LetEndpointsScale", f"sagemaker.{_SCALING_SERVICE}"),
            _linked(scope, "LetFunctionsScale", f"lambda.{_SCALING_SERVICE}"),
        ]
    )


def invoke(scope: Scope) -> Document:
    """Ask this project's endpoints and functions for predictions, and nothing else."""
    functions = scope.arn("lambda", f"function:{scope.project}-*")
    signed = {"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}}
    return document(
        [
            allow("Endpoints", "sagemaker:InvokeEndpoint", scope.arn("sagemaker", f"endpoint/{scope.project}-*")),
            allow("Functions", "lambda:InvokeFunction", functions),
            allow("Addresses", "lambda:InvokeFunctionUrl", functions, signed),
        ]
    )


# -- looking and removing, for status and destroy


def looks(scope: Scope) -> list[Statement]:
    """What it takes to find every service of the project."""
    everywhere = (*_LISTS_HOSTED, *_LOOKS_AT_SCALING, *_LOOKS_AT_GROUPS, *_LOOKS_AT_BALANCER)
    build = f"{scope.project}-image"
    names = [f"/aws/sagemaker/Endpoints/{scope.project}-*", f"/aws/lambda/{scope.project}-*", f"/aws/codebuild/{build}"]
    return [
        allow("LookAtServices", everywhere, "*"),
        allow("LookAtHosted", _DESCRIBES, _hosted_arns(scope, "*")),
        allow("LookAtFunctions", _LOOKS_AT_FUNCTION, scope.arn("lambda", f"function:{scope.project}-*")),
        *_looks_at_alarms(scope, ""),
        allow("LookAtEnds", "scheduler:GetSchedule", _end_arns(scope)),
        allow("LookAtBuild", "codebuild:BatchGetProjects", scope.arn("codebuild", f"project/{scope.project}-image")),
        allow("LookAtServiceLogs", _LOOKS_AT_LOGS, _group_arns(scope, names)),
        _looks_at_image(scope),
    ]


def destroy_services(scope: Scope) -> Document:
    """`dogbreed destroy` of services."""
    return document(_merged([*looks(scope), *_removals(scope)]))


def _removals(scope: Scope) -> list[Statement]:
    name = f"{scope.project}-ec2"
    groups = [f"/aws/sagemaker/Endpoints/{scope.project}-*", f"/aws/lambda/{scope.project}-*"]
    return [
        allow("RemoveHosted", [f"sagemaker:Delete{kind}" for kind in _HOSTED], _hosted_arns(scope, "*")),
        allow(
            "RemoveComponents",
            "sagemaker:DeleteInferenceComponent",
            scope.arn("sagemaker", f"inference-component/{scope.project}-*"),
        ),
        allow("RemoveFunctions", _ENDS_FUNCTION, scope.arn("lambda", f"function:{scope.project}-*")),
        allow("RemoveAlarms", "cloudwatch:DeleteAlarms", _alarm_arns(scope, "")),
        allow("RemoveEnds", "scheduler:DeleteSchedule", _end_arns(scope)),
        allow("RemoveBuild", _ENDS_BUILDS, scope.arn("codebuild", f"project/{scope.project}-image")),
        allow("RemoveImages", "ecr:DeleteRepository", scope.arn("ecr", f"repository/{scope.project}")),
        allow("RemoveScaling", [action for action in _SCALES if ":De" in action], _targets(scope)),
        allow(
            "RemoveGroup",
            ["autoscaling:DeleteAutoScalingGroup", "autoscaling:UpdateAutoScalingGroup", "autoscaling:DeletePolicy"],
            scope.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{name}"),
        ),
        allow("RemoveBalancer", [f"elasticloadbalancing:Delete{kind}" for kind in _BALANCER], _balancer_arns(scope)),
        allow(
            "RemoveServiceLogs",
            "logs:DeleteLogGroup",
            _group_arns(scope, [*groups, f"/aws/codebuild/{scope.project}-image"]),
        ),
    ]


# -- parts


def _hosted(scope: Scope, door: str) -> list[Statement]:
    """What both kinds of endpoint take, their front and their end included."""
    changes = [f"sagemaker:{verb}{kind}" for verb in ("Create", "Delete") for kind in _HOSTED]
    updates = ["sagemaker:UpdateEndpoint", "sagemaker:UpdateEndpointWeightsAndCapacities", "sagemaker:AddTags"]
    own = scope.arn("sagemaker", f"endpoint/{scope.project}-{door}")
    return [
        *_bucket(scope, MODELS),
        *roles(scope, serving.ENDPOINT, serving.END),
        allow("Hosted", [*changes, *updates, *_DESCRIBES], _hosted_arns(scope, door)),
        allow("LookAtHosted", [*_LISTS_HOSTED, "application-autoscaling:DescribeScalableTargets"], "*"),
        allow("Try", "sagemaker:InvokeEndpoint", own),
        _looks_at_image(scope),
        *_logs(scope, [f"/aws/sagemaker/Endpoints/{scope.project}-{door}"]),
        _ends(scope),
        *(in_subnets(scope) if scope.subnets and door == "endpoint" else []),
        *key_use(scope),
    ]


def _merged(statements: Iterable[Statement]) -> list[Statement]:
    """One statement for all that are about the same things, as a policy may not be long."""
    found: dict[str, Statement] = {}
    for one in statements:
        first = found.setdefault(json.dumps([one["Resource"], one.get("Condition")]), one)
        actions = [first["Action"], one["Action"]]
        listed = {action for part in actions for action in ([part] if isinstance(part, str) else part)}
        first["Action"] = sorted(listed)
    return list(found.values())


def _bucket(scope: Scope, *prefixes: str) -> list[Statement]:
    return [
        allow("Bucket", [*LOOKS_AT_BUCKET, *MAKES_BUCKET], scope.bucket_arn),
        allow("Objects", ["s3:GetObject", "s3:PutObject"], scope.objects(*prefixes), scope.own_account),
    ]


def _functions(scope: Scope, *names: str) -> list[Statement]:
    arns = _function_arns(scope, *names)
    actions = [*_LOOKS_AT_FUNCTION, *_MAKES_FUNCTION, *_ENDS_FUNCTION, "lambda:InvokeFunction"]
    return [allow("Function", actions, arns)]


def _logs(scope: Scope, groups: Iterable[str], *more: str, lists: bool = True) -> list[Statement]:
    made = [allow("LogGroups", [*_LOOKS_AT_LOGS, *_MAKES_LOGS, *more], _group_arns(scope, groups))]
    return [*made, *([allow("ListLogGroups", "logs:DescribeLogGroups", "*")] if lists else [])]


def _alarms(scope: Scope, door: str) -> list[Statement]:
    actions = ["cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms", "cloudwatch:TagResource"]
    return [allow("Alarms", actions, _alarm_arns(scope, door)), *_looks_at_alarms(scope, door)]


def _looks_at_alarms(scope: Scope, door: str) -> list[Statement]:
    """To describe alarms by their names is to ask for the right to describe them all."""
    return [
        allow("LookAtAlarms", "cloudwatch:DescribeAlarms", scope.arn("cloudwatch", "alarm:*")),
        allow("LookAtTagsOfAlarms", "cloudwatch:ListTagsForResource", _alarm_arns(scope, door)),
    ]


def _ends(scope: Scope) -> Statement:
    verbs = ("Create", "Update", "Get", "Delete")
    return allow("Ends", [f"scheduler:{verb}Schedule" for verb in verbs], _end_arns(scope))


def _looks_at_image(scope: Scope) -> Statement:
    return allow("LookAtImages", _LOOKS_AT_REPOSITORY, scope.arn("ecr", f"repository/{scope.project}"))


def _hosted_arns(scope: Scope, door: str) -> list[str]:
    """Models and configurations have a digest behind the door's name, the endpoint has not."""
    many = f"{scope.project}-{door}-*" if door != "*" else f"{scope.project}-*"
    kinds = {"model": many, "endpoint-config": many, "endpoint": f"{scope.project}-{door}"}
    return [scope.arn("sagemaker", f"{kind}/{name}") for kind, name in kinds.items()]


def _function_arns(scope: Scope, *names: str) -> list[str]:
    """Functions, and their versions and aliases."""
    arns = [scope.arn("lambda", f"function:{scope.project}-{name}") for name in names]
    return [*arns, *(f"{arn}:*" for arn in arns)]


def _group_arns(scope: Scope, groups: Iterable[str]) -> list[str]:
    """Log groups, and what is in them."""
    arns = [scope.arn("logs", f"log-group:{group}") for group in groups]
    # A pattern covers what is in its groups, too.
    return [*arns, *(f"{arn}:*" for arn in arns if not arn.endswith("*"))]


def _alarm_arns(scope: Scope, door: str) -> str:
    return scope.arn("cloudwatch", f"alarm:{scope.project}-{door}{'-' if door else ''}*")


def _end_arns(scope: Scope) -> str:
    return scope.arn("scheduler", f"schedule/default/{scope.project}-end-*")


def _balancer_arns(scope: Scope) -> list[str]:
    kinds = ("loadbalancer/app", "targetgroup", "listener/app")
    return [scope.arn("elasticloadbalancing", f"{kind}/{scope.project}-ec2/*") for kind in kinds]


def _linked(scope: Scope, sid: str, service: str) -> Statement:
    """Make the role that a service of AWS works with in the account, once."""
    role = scope.everywhere("iam", f"role/aws-service-role/{service}/*")
    return allow(sid, "iam:CreateServiceLinkedRole", role, {"StringEquals": {"iam:AWSServiceName": service}})


def _targets(scope: Scope) -> str:
    return scope.arn("application-autoscaling", "scalable-target/*")
