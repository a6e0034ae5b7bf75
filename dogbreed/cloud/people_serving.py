"""The exact policies for services: to deploy through each door, build the image, scale, ask, and look after it all."""

from __future__ import annotations

from dogbreed.cloud import people_serving_parts as parts
from dogbreed.cloud import policies_serving as serving
from dogbreed.cloud.bucket import CODE, MODELS
from dogbreed.cloud.people_parts import (
    LOOKS_AT_NETWORK,
    commands,
    key_use,
    looks_at_budget,
    machines,
    own_things,
    public_parameter,
    roles,
)
from dogbreed.cloud.policy_parts import Document, Scope, Statement, allow, document


def deploy_endpoint(scope: Scope) -> Document:
    """`deploy --to endpoint`, and `rollback`: model, configuration, endpoint, alarms, and what stands around it."""
    return document([*parts.hosted(scope, "endpoint"), *parts.alarms(scope, "endpoint")])


def deploy_serverless(scope: Scope) -> Document:
    """`deploy --to serverless`, and `rollback`."""
    return document(parts.hosted(scope, "serverless"))


def front(scope: Scope) -> Document:
    """The functions in front of endpoints, which `deploy` makes unless `--no-front`."""
    return document(
        [
            *parts.bucket(scope, CODE),
            *roles(scope, serving.FRONT_OF_ENDPOINT, serving.FRONT_OF_SERVERLESS),
            *parts.functions(scope, "endpoint-front", "serverless-front"),
            looks_at_budget(scope),
            allow("LookAtScaling", "application-autoscaling:DescribeScalableTargets", "*"),
            *parts.logs(scope, [f"/aws/lambda/{scope.project}-{door}-front" for door in ("endpoint", "serverless")]),
            *key_use(scope),
        ]
    )


def deploy_lambda(scope: Scope) -> Document:
    """`deploy --to lambda`: one function that holds the model."""
    return document(
        [
            *parts.bucket(scope, CODE),
            *roles(scope, serving.LAMBDA, serving.END),
            *parts.functions(scope, "lambda"),
            allow("LookAtScaling", "application-autoscaling:DescribeScalableTargets", "*"),
            *parts.logs(scope, [f"/aws/lambda/{scope.project}-lambda"]),
            parts.ends(scope),
            looks_at_budget(scope),
            *key_use(scope),
        ]
    )


def deploy_ec2(scope: Scope) -> Document:
    """`deploy --to ec2`, the first half: machines with this project's tag, what they run, their role and logs."""
    also = ("logs:DescribeLogGroups", "servicequotas:GetServiceQuota")
    return document(
        [
            *parts.bucket(scope, MODELS),
            *roles(scope, serving.EC2_SERVICE, profile=True),
            parts.looks_at_image(scope),
            allow("Look", [*LOOKS_AT_NETWORK, *parts.LOOKS_AT_MACHINES, *also], "*"),
            *own_things(scope, ["security-group", "launch-template"], ["CreateSecurityGroup", "CreateLaunchTemplate"]),
            *machines(scope, spot=False),
            allow("NewestImage", "ssm:GetParameter", public_parameter(scope, "ami-amazon-linux-latest")),
            *parts.logs(scope, [scope.log_group], lists=False),
            *key_use(scope),
        ]
    )


def deploy_ec2_group(scope: Scope) -> Document:
    """`deploy --to ec2`, the second half: the group of machines, the balancer in front of it, the scheduled end."""
    name = f"{scope.project}-ec2"
    changes = [f"{verb}{kind}" for verb in ("Create", "Delete") for kind in parts.BALANCER]
    more = [
        *("AddTags", "SetSubnets", "SetSecurityGroups", "ModifyListener", "ModifyTargetGroup"),
        *("ModifyLoadBalancerAttributes", "ModifyTargetGroupAttributes"),
    ]
    services = {"Groups": "autoscaling", "Balancers": "elasticloadbalancing"}
    return document(
        [
            *roles(scope, serving.END),
            allow("Look", [*parts.LOOKS_AT_GROUPS, *parts.LOOKS_AT_BALANCER, *parts.ASKED_BY_BALANCER], "*"),
            allow("Group", parts.GROUPS, scope.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{name}")),
            allow(
                "Balancer", [f"elasticloadbalancing:{verb}" for verb in (*changes, *more)], parts.balancer_arns(scope)
            ),
            allow("Certificate", ["acm:DescribeCertificate", "acm:GetCertificate"], scope.arn("acm", "certificate/*")),
            *commands(scope),
            *(parts.linked(scope, f"Let{what}Work", f"{service}.amazonaws.com") for what, service in services.items()),
            parts.ends(scope),
            looks_at_budget(scope),
        ]
    )


def image(scope: Scope) -> Document:
    """`image push`, and the first `deploy`: the repository and the build in the account."""
    project = scope.arn("codebuild", f"project/{scope.project}-image")
    builds = ["CreateProject", "UpdateProject", "BatchGetProjects", "StartBuild", "BatchGetBuilds", "StopBuild"]
    builds.append("ListBuildsForProject")
    return document(
        [
            *parts.bucket(scope, CODE),
            *roles(scope, serving.IMAGE_BUILD),
            parts.looks_at_image(scope),
            allow(
                "Repository", [*parts.MAKES_REPOSITORY, *parts.PUSHES], scope.arn("ecr", f"repository/{scope.project}")
            ),
            allow("LoginToImages", "ecr:GetAuthorizationToken", "*"),
            allow("Build", [f"codebuild:{verb}" for verb in builds], project),
            *parts.logs(scope, [f"/aws/codebuild/{scope.project}-image"], "logs:GetLogEvents"),
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
    watches = [
        "cloudwatch:GetMetricData",
        *parts.LOOKS_AT_GROUPS,
        *parts.LOOKS_AT_SCALING,
        "ec2:DescribeLaunchTemplateVersions",
    ]
    return document(
        [
            allow("Scale", parts.SCALES, parts.targets(scope)),
            allow("Watch", [*watches, "elasticloadbalancing:DescribeTargetGroups", parts.LISTS_COMPONENTS], "*"),
            allow("Endpoints", ["sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig"], endpoints),
            allow("Components", [f"sagemaker:{verb}InferenceComponent" for verb in verbs], components),
            allow(
                "Functions",
                ["lambda:GetFunctionConfiguration", *(f"lambda:{verb}ProvisionedConcurrencyConfig" for verb in kept)],
                parts.function_arns(scope, "lambda", "endpoint-front", "serverless-front"),
            ),
            allow("Group", [one for one in parts.GROUPS if not one.endswith(parts.WHOLE)], group),
            *parts.alarms(scope, ""),
            *parts.scaling_for(scope),
            looks_at_budget(scope),
            parts.linked(scope, "LetEndpointsScale", f"sagemaker.{parts.SCALING_SERVICE}"),
            parts.linked(scope, "LetFunctionsScale", f"lambda.{parts.SCALING_SERVICE}"),
        ]
    )


def invoke(scope: Scope) -> Document:
    """Ask this project's endpoints and functions for predictions, and nothing else."""
    functions = scope.arn("lambda", f"function:{scope.project}-*")
    endpoints = [scope.arn("sagemaker", f"endpoint/{scope.project}-*")]
    components = [scope.arn("sagemaker", f"inference-component/{scope.project}-*")]
    signed = {"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}}
    return document(
        [
            allow("Endpoints", "sagemaker:InvokeEndpoint", [*endpoints, *components]),
            allow("LookAtComponents", parts.LISTS_COMPONENTS, "*"),
            allow("Functions", "lambda:InvokeFunction", functions),
            allow("Addresses", "lambda:InvokeFunctionUrl", functions, signed),
        ]
    )


# -- looking and removing, for status and destroy


def looks(scope: Scope) -> list[Statement]:
    """What it takes to find every service of the project."""
    everywhere = (*parts.LISTS_HOSTED, *parts.LOOKS_AT_SCALING, *parts.LOOKS_AT_GROUPS, *parts.LOOKS_AT_BALANCER)
    build = f"{scope.project}-image"
    names = [f"/aws/sagemaker/{kind}/{scope.project}-*" for kind in ("Endpoints", "InferenceComponents")]
    names += [f"/aws/lambda/{scope.project}-*", f"/aws/codebuild/{build}"]
    return [
        allow("LookAtServices", everywhere, "*"),
        allow(
            "LookAtHosted", [*parts.DESCRIBES, f"sagemaker:Describe{parts.COMPONENT}"], parts.hosted_arns(scope, "*")
        ),
        allow("LookAtFunctions", parts.LOOKS_AT_FUNCTION, scope.arn("lambda", f"function:{scope.project}-*")),
        *parts.looks_at_alarms(scope, ""),
        allow("LookAtEnds", "scheduler:GetSchedule", parts.end_arns(scope)),
        allow("LookAtBuild", "codebuild:BatchGetProjects", scope.arn("codebuild", f"project/{scope.project}-image")),
        allow("LookAtServiceLogs", parts.LOOKS_AT_LOGS, parts.group_arns(scope, names)),
        parts.looks_at_image(scope),
    ]


def destroy_services(scope: Scope) -> Document:
    """`dogbreed destroy` of services."""
    return document(parts.merged([*looks(scope), *_removals(scope)]))


def _removals(scope: Scope) -> list[Statement]:
    name = f"{scope.project}-ec2"
    groups = [f"/aws/sagemaker/{kind}/{scope.project}-*" for kind in ("Endpoints", "InferenceComponents")]
    groups += [f"/aws/lambda/{scope.project}-*"]
    return [
        allow(
            "RemoveHosted",
            [f"sagemaker:Delete{kind}" for kind in (*parts.HOSTED, parts.COMPONENT)],
            parts.hosted_arns(scope, "*"),
        ),
        allow("RemoveFunctions", parts.ENDS_FUNCTION, scope.arn("lambda", f"function:{scope.project}-*")),
        # Those of target tracking are AWS's to name, and removed with the rights of whoever ends the scaling.
        allow("RemoveAlarms", "cloudwatch:DeleteAlarms", scope.arn("cloudwatch", "alarm:*")),
        allow("RemoveEnds", "scheduler:DeleteSchedule", parts.end_arns(scope)),
        allow("RemoveBuild", parts.ENDS_BUILDS, scope.arn("codebuild", f"project/{scope.project}-image")),
        allow("RemoveImages", "ecr:DeleteRepository", scope.arn("ecr", f"repository/{scope.project}")),
        allow("RemoveScaling", [action for action in parts.SCALES if ":De" in action], parts.targets(scope)),
        allow(
            "RemoveGroup",
            [f"autoscaling:{verb}" for verb in ("DeleteAutoScalingGroup", "UpdateAutoScalingGroup", "DeletePolicy")]
            + ["autoscaling:DeleteScheduledAction"],
            scope.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{name}"),
        ),
        allow(
            "RemoveBalancer",
            [f"elasticloadbalancing:Delete{kind}" for kind in parts.BALANCER],
            parts.balancer_arns(scope),
        ),
        allow(
            "RemoveServiceLogs",
            "logs:DeleteLogGroup",
            parts.group_arns(scope, [*groups, f"/aws/codebuild/{scope.project}-image"]),
        ),
    ]
