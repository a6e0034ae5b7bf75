"""The roles of services: an endpoint, the functions, the machines, the build of the image, and the end on a schedule.

Names of resources that a role may use are exact: each door of a project has one name, so one ARN.
"""

from __future__ import annotations

from dataclasses import replace

from dogbreed.cloud.bucket import CAPTURED, CODE, MODELS
from dogbreed.cloud.policy_parts import (
    Document,
    Kind,
    Scope,
    Statement,
    allow,
    document,
    images,
    key_use,
    logs,
    metrics,
    network,
    reads,
    shell,
    writes,
)

ENDPOINT, EC2_SERVICE, LAMBDA = "endpoint", "ec2-service", "lambda"
FRONT_OF_ENDPOINT, FRONT_OF_SERVERLESS = "endpoint-front", "serverless-front"
IMAGE_BUILD, END = "image-build", "end"
_ENDPOINT_LOGS, _COMPONENT_LOGS = "/aws/sagemaker/Endpoints", "/aws/sagemaker/InferenceComponents"


def endpoint(scope: Scope) -> Document:
    """The execution role of an endpoint: reads models, keeps what was asked, and no more of the bucket."""
    return document(
        [
            *reads(scope, MODELS),
            *writes(scope, CAPTURED),
            *logs(scope, f"{_ENDPOINT_LOGS}/*", f"{_COMPONENT_LOGS}/*"),
            metrics("/aws/sagemaker/*", "dogbreed/*"),
            # An update that alarms take back is watched as this role; to describe one by its name asks for all.
            allow("WatchAlarms", "cloudwatch:DescribeAlarms", scope.arn("cloudwatch", "alarm:*")),
            *_images(scope),
            *network(scope),
            *key_use(scope, volumes=True),
        ]
    )


def front(scope: Scope, door: str) -> Document:
    """The role of the function in front of one endpoint: asks that endpoint, and logs."""
    asked = [scope.arn("sagemaker", f"endpoint/{scope.project}-{door}")]
    if door == "endpoint":
        asked.append(scope.arn("sagemaker", f"inference-component/{scope.project}-{door}-model"))
    return document(
        [
            allow("Invoke", "sagemaker:InvokeEndpoint", asked),
            _logs_of_function(scope, f"{door}-front"),
        ]
    )


def function(scope: Scope) -> Document:
    """The role of the function that holds the model: it logs, and that is all."""
    return document([_logs_of_function(scope, "lambda")])


def ec2_service(scope: Scope) -> Document:
    """The role of a machine of the service: fetches image and model, logs, measures; Session Manager, no SSH."""
    return document(
        [
            *reads(scope, MODELS),
            *logs(scope, scope.log_group),
            metrics("dogbreed/*"),
            *_images(scope),
            *shell(scope),
            *key_use(scope, writes=False),
        ]
    )


def image_build(scope: Scope) -> Document:
    """The role of the build: reads its source from the bucket, writes the image to the project's own repository."""
    repository = scope.arn("ecr", f"repository/{scope.project}")
    push = ("CompleteLayerUpload", "InitiateLayerUpload", "PutImage", "UploadLayerPart")
    pull = ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer")
    return document(
        [
            *reads(scope, CODE),
            # The bucket keeps versions, and CodeBuild names the one that it fetches.
            allow("ReadVersions", "s3:GetObjectVersion", scope.objects(CODE), scope.own_account),
            *logs(scope, f"/aws/codebuild/{scope.project}-image"),
            allow("LoginToImages", "ecr:GetAuthorizationToken", "*"),
            allow("PushImage", [f"ecr:{action}" for action in (*push, *pull)], repository),
            *key_use(scope, writes=False),
        ]
    )


def end(scope: Scope) -> Document:
    """The role of the schedule that ends a service: it deletes what costs by the hour, by its exact name."""
    endpoints = [scope.arn("sagemaker", f"endpoint/{scope.project}-{door}") for door in ("endpoint", "serverless")]
    functions = [
        scope.arn("lambda", f"function:{scope.project}-{name}")
        for name in ("endpoint-front", "serverless-front", "lambda")
    ]
    group = scope.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{scope.project}-ec2")
    balancer = scope.arn("elasticloadbalancing", f"loadbalancer/app/{scope.project}-ec2/*")
    return document(
        [
            allow("EndEndpoints", "sagemaker:DeleteEndpoint", endpoints),
            allow(
                "EndComponent",
                "sagemaker:DeleteInferenceComponent",
                scope.arn("sagemaker", f"inference-component/{scope.project}-endpoint-model"),
            ),
            # Of an endpoint that is scaled, SageMaker takes the target off with the caller's rights.
            allow(
                "EndScaling",
                "application-autoscaling:DeregisterScalableTarget",
                scope.arn("application-autoscaling", "scalable-target/*"),
            ),
            allow("EndFunctions", "lambda:DeleteFunction", functions),
            allow("EndMachines", "autoscaling:DeleteAutoScalingGroup", group),
            allow("EndBalancer", "elasticloadbalancing:DeleteLoadBalancer", balancer),
        ]
    )


def _images(scope: Scope) -> list[Statement]:
    """The project's own image, if no other is set."""
    own = f"{scope.account}.dkr.ecr.{scope.region}.amazonaws.com/{scope.project}"
    return images(scope if scope.image else replace(scope, image=own))


def _logs_of_function(scope: Scope, name: str) -> Statement:
    group = scope.arn("logs", f"log-group:/aws/lambda/{scope.project}-{name}:*")
    return allow("Log", ["logs:CreateLogStream", "logs:PutLogEvents"], group)


def _schedules(scope: Scope) -> str:
    # Documented: the service says the group, never the schedule, on whose behalf it assumes a role.
    return scope.arn("scheduler", "schedule-group/default")


def _function(scope: Scope) -> str:
    return scope.arn("lambda", f"function:{scope.project}-*")


KINDS = {
    ENDPOINT: Kind("sagemaker.amazonaws.com", lambda scope: scope.arn("sagemaker", "*"), endpoint),
    FRONT_OF_ENDPOINT: Kind("lambda.amazonaws.com", _function, lambda scope: front(scope, "endpoint")),
    FRONT_OF_SERVERLESS: Kind("lambda.amazonaws.com", _function, lambda scope: front(scope, "serverless")),
    LAMBDA: Kind("lambda.amazonaws.com", _function, function),
    EC2_SERVICE: Kind("ec2.amazonaws.com", lambda scope: "", ec2_service),
    IMAGE_BUILD: Kind(
        "codebuild.amazonaws.com", lambda scope: scope.arn("codebuild", f"project/{scope.project}-image"), image_build
    ),
    END: Kind("scheduler.amazonaws.com", _schedules, end),
}
