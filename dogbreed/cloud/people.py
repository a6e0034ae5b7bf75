"""The exact policies that a person, or CI, needs for a command: `dogbreed iam policy --for train-sagemaker`.

Each lets its holder do what the command does, to this project's own names, and pass only this project's roles, only to
the service that each is for. Who may make roles and pass them can give itself any right. So the policies of commands
hold that only under a permissions boundary; without one an administrator makes the roles, once: `setup`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dogbreed.cloud.bucket import CHECKPOINTS, CODE, DATA, RUNS
from dogbreed.cloud.policies import (
    EC2_TRAINING,
    ENDPOINT,
    KINDS,
    LAMBDA,
    SAGEMAKER_TRAINING,
    Document,
    Scope,
    Statement,
    allow,
    document,
)
from dogbreed.cloud.reads import AUDIT
from dogbreed.cloud.session import PROJECT_TAG

_TRAINING_LOGS = "/aws/sagemaker/TrainingJobs"
_LOOKS_AT_BUCKET = (
    *("s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketTagging", "s3:GetBucketPublicAccessBlock"),
    *("s3:GetBucketOwnershipControls", "s3:GetEncryptionConfiguration", "s3:GetBucketVersioning"),
    *("s3:GetBucketPolicy", "s3:GetLifecycleConfiguration", "s3:GetBucketLocation"),
)
_MAKES_BUCKET = (
    *("s3:CreateBucket", "s3:PutBucketTagging", "s3:PutBucketPublicAccessBlock", "s3:PutBucketOwnershipControls"),
    *("s3:PutEncryptionConfiguration", "s3:PutBucketVersioning", "s3:PutBucketPolicy", "s3:PutLifecycleConfiguration"),
)
_OBJECTS = ("s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject")
_LOOKS_AT_PROFILE = "iam:GetInstanceProfile"
_LOOKS_AT_ROLES = ("iam:GetRole", "iam:GetRolePolicy", "iam:ListRolePolicies", "iam:ListAttachedRolePolicies")
# Not iam:UpdateAssumeRolePolicy, which makes a role one's own: who may assume it is said when it is made.
_MAKES_ROLES = ("iam:CreateRole", "iam:PutRolePolicy", "iam:DeleteRolePolicy", "iam:DetachRolePolicy")
_MAKES_PROFILE = (
    *("iam:CreateInstanceProfile", "iam:AddRoleToInstanceProfile", "iam:RemoveRoleFromInstanceProfile"),
    "iam:TagInstanceProfile",
)
_LOOKS_AT_NETWORK = (
    *("ec2:DescribeSubnets", "ec2:DescribeRouteTables", "ec2:DescribeVpcEndpoints", "ec2:DescribeSecurityGroups"),
)
_LOOKS_AT_MACHINES = (
    *("ec2:DescribeInstances", "ec2:DescribeInstanceTypes", "ec2:DescribeInstanceTypeOfferings"),
    *("ec2:DescribeImages", "ec2:DescribeSpotPriceHistory", "ec2:DescribeLaunchTemplates"),
    "ec2:DescribeLaunchTemplateVersions",
)
_WATCHES_JOBS = ("sagemaker:DescribeTrainingJob", "sagemaker:ListTags", "sagemaker:StopTrainingJob")
_READS_LOGS = ("logs:DescribeLogStreams", "logs:GetLogEvents", "logs:FilterLogEvents")


def setup(scope: Scope) -> Document:
    """`dogbreed iam setup`: make the roles that jobs and machines run with, and bring them up to date."""
    return document(
        [
            *_making(scope, SAGEMAKER_TRAINING, EC2_TRAINING, profile=True),
            # To put the role of machines into its profile is to pass it on.
            _pass(EC2_TRAINING, scope.role_arn(EC2_TRAINING)),
        ]
    )


def train_sagemaker(scope: Scope) -> Document:
    """Bucket, role, photos, a training job of this project's name and its logs."""
    jobs = _jobs(scope)
    confined = {"StringEquals": {f"aws:RequestTag/{PROJECT_TAG}": scope.project}}
    return document(
        [
            *_bucket(scope),
            *([_pass(SAGEMAKER_TRAINING, scope.role)] if scope.role else _roles(scope, SAGEMAKER_TRAINING)),
            allow("StartJobs", ["sagemaker:CreateTrainingJob", "sagemaker:AddTags"], jobs, confined),
            allow("WatchJobs", _WATCHES_JOBS, jobs),
            # These know no resources that could be named.
            allow("ListJobs", ["sagemaker:ListTrainingJobs", "servicequotas:ListServiceQuotas"], "*"),
            _logs(scope, _TRAINING_LOGS),
            *(_in_subnets(scope) if scope.subnets else []),
            *_key(scope),
        ]
    )


def train_ec2(scope: Scope) -> Document:
    """Bucket, role and profile, photos, machines with this project's tag (IMDSv2 only, no key pair) and their logs."""
    return document(
        [
            *_bucket(scope),
            *_roles(scope, EC2_TRAINING, profile=True),
            allow("Look", [*_LOOKS_AT_NETWORK, *_LOOKS_AT_MACHINES, "servicequotas:GetServiceQuota"], "*"),
            *_own(scope, ["security-group", "launch-template"], ["CreateSecurityGroup", "CreateLaunchTemplate"]),
            *_machines(scope),
            allow("NewestImage", "ssm:GetParameter", _public(scope, "deeplearning")),
            _logs(scope, scope.log_group, "logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:TagResource"),
            *_key(scope),
        ]
    )


def deploy(scope: Scope) -> Document:
    """Models, endpoints and functions of this project's names, their scaling, and the images they run."""
    own = [
        scope.arn("sagemaker", f"{kind}/{scope.project}-*")
        for kind in ("model", "endpoint", "endpoint-config", "inference-component")
    ]
    kinds = ("Model", "Endpoint", "EndpointConfig", "InferenceComponent")
    changes = [f"sagemaker:{verb}{kind}" for verb in ("Create", "Delete") for kind in kinds]
    functions = scope.arn("lambda", f"function:{scope.project}-*")
    repository = scope.arn("ecr", f"repository/{scope.project}*")
    scaling = f"arn:{scope.partition}:application-autoscaling:{scope.region}:{scope.account}:scalable-target/*"
    service = {"StringEquals": {"iam:AWSServiceName": "sagemaker.application-autoscaling.amazonaws.com"}}
    return document(
        [
            *_bucket(scope),
            *_roles(scope, ENDPOINT, LAMBDA),
            allow(
                "ServeModels",
                [
                    *changes,
                    *(f"sagemaker:Describe{kind}" for kind in kinds),
                    *("sagemaker:UpdateEndpoint", "sagemaker:UpdateEndpointWeightsAndCapacities", "sagemaker:AddTags"),
                    *("sagemaker:ListTags", "sagemaker:InvokeEndpoint"),
                ],
                own,
            ),
            allow(
                "Functions",
                [
                    *("lambda:CreateFunction", "lambda:DeleteFunction", "lambda:GetFunction", "lambda:InvokeFunction"),
                    *("lambda:UpdateFunctionCode", "lambda:UpdateFunctionConfiguration", "lambda:PublishVersion"),
                    *("lambda:CreateAlias", "lambda:UpdateAlias", "lambda:GetAlias", "lambda:TagResource"),
                    *("lambda:PutFunctionConcurrency", "lambda:DeleteFunctionConcurrency", "lambda:ListTags"),
                    *("lambda:PutProvisionedConcurrencyConfig", "lambda:GetProvisionedConcurrencyConfig"),
                    "lambda:DeleteProvisionedConcurrencyConfig",
                ],
                functions,
            ),
            allow(
                "Scale",
                [
                    *("application-autoscaling:RegisterScalableTarget", "application-autoscaling:PutScalingPolicy"),
                    *("application-autoscaling:DeregisterScalableTarget", "application-autoscaling:TagResource"),
                    *("application-autoscaling:DeleteScalingPolicy", "application-autoscaling:PutScheduledAction"),
                    "application-autoscaling:DeleteScheduledAction",
                ],
                scaling,
            ),
            allow(
                "LookAtScaling",
                [
                    "application-autoscaling:DescribeScalableTargets",
                    "application-autoscaling:DescribeScalingPolicies",
                    "application-autoscaling:DescribeScalingActivities",
                    "cloudwatch:GetMetricData",
                ],
                "*",
            ),
            allow(
                "LetScalingWork",
                "iam:CreateServiceLinkedRole",
                scope.everywhere("iam", "role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/*"),
                service,
            ),
            allow(
                "Images",
                [
                    *("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload"),
                    *("ecr:CreateRepository", "ecr:DescribeImages", "ecr:DescribeRepositories"),
                    *("ecr:GetDownloadUrlForLayer", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:TagResource"),
                    "ecr:UploadLayerPart",
                ],
                repository,
            ),
            allow("LoginToImages", "ecr:GetAuthorizationToken", "*"),
            *_key(scope),
        ]
    )


def invoke(scope: Scope) -> Document:
    """Ask this project's endpoints and functions for predictions, and nothing else."""
    return document(
        [
            allow("Endpoints", "sagemaker:InvokeEndpoint", scope.arn("sagemaker", f"endpoint/{scope.project}-*")),
            allow("Functions", "lambda:InvokeFunction", scope.arn("lambda", f"function:{scope.project}-*")),
        ]
    )


def status(scope: Scope) -> Document:
    """`dogbreed status`: look at everything of this project, and read its ledger of runs."""
    return document(_looks(scope))


def destroy(scope: Scope) -> Document:
    """`dogbreed destroy`, with --data too: look at everything of this project and remove it."""
    roles = [scope.role_arn(kind) for kind in KINDS]
    profile = scope.everywhere("iam", f"instance-profile/{scope.role_name(EC2_TRAINING)}")
    machines = [scope.arn("ec2", f"{kind}/*") for kind in ("instance", "launch-template", "security-group")]
    return document(
        [
            *_looks(scope),
            allow("RemoveBucket", ["s3:DeleteBucket", "s3:ListBucketMultipartUploads"], scope.bucket_arn),
            allow(
                "RemoveObjects",
                ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutObject"],
                scope.objects(""),
                scope.own_account,
            ),
            allow(
                "RemoveRoles",
                [
                    *("iam:DeleteRole", "iam:DeleteRolePolicy", "iam:DetachRolePolicy"),
                    *("iam:ListInstanceProfilesForRole", "iam:RemoveRoleFromInstanceProfile"),
                ],
                [*roles, profile],
            ),
            allow("RemoveProfile", "iam:DeleteInstanceProfile", profile),
            allow("StopJobs", "sagemaker:StopTrainingJob", _jobs(scope)),
            allow("RemoveLogs", "logs:DeleteLogGroup", _group_arns(scope, scope.log_group)),
            allow(
                "RemoveMachines",
                ["ec2:DeleteLaunchTemplate", "ec2:DeleteSecurityGroup", "ec2:TerminateInstances"],
                machines,
                _tagged(scope),
            ),
        ]
    )


def audit(scope: Scope) -> Document:
    """`dogbreed audit-iam --live`: read-only, and no content of any object, log or photo."""
    return document([allow(f"Read{service}", actions, "*") for service, actions in AUDIT.items()])


POLICIES: Mapping[str, Callable[[Scope], Document]] = {
    "setup": setup,
    "train-sagemaker": train_sagemaker,
    "train-ec2": train_ec2,
    "deploy": deploy,
    "invoke": invoke,
    "status": status,
    "destroy": destroy,
    "audit": audit,
}


def notes(purpose: str, scope: Scope) -> list[str]:
    """What whoever grants the policy should know."""
    said = []
    if purpose == "setup" and not scope.boundary:
        said.append(
            "its holder can give the roles any right: give it to administrators only, or set [aws] permissions_boundary"
        )
    needs_roles = purpose in ("train-ec2", "deploy") or (purpose == "train-sagemaker" and not scope.role)
    if needs_roles and not scope.boundary:
        said.append(
            "it cannot make the roles that it passes on, as its holder could give itself any right by that: an "
            "administrator makes them once, with dogbreed iam setup; or set [aws] permissions_boundary"
        )
    if purpose == "train-sagemaker" and not scope.subnets:
        said.append("jobs run in SageMaker's own network: set [aws] subnets for one of yours")
    if not scope.kms_key and purpose != "audit":
        said.append("no key of your own is used: set [aws] kms_key, and this policy names it")
    return said


# -- parts


def _looks(scope: Scope) -> list[Statement]:
    """What it takes to find everything of the project."""
    roles = [scope.role_arn(kind) for kind in KINDS]
    profile = scope.everywhere("iam", f"instance-profile/{scope.role_name(EC2_TRAINING)}")
    # These know no resources that could be named.
    everywhere = (
        *("sagemaker:ListTrainingJobs", "tag:GetResources", "ec2:DescribeSecurityGroups", "ec2:DescribeInstances"),
        *("ec2:DescribeLaunchTemplates", "ec2:DescribeLaunchTemplateVersions", "logs:DescribeLogGroups"),
    )
    return [
        allow("LookAtBucket", _LOOKS_AT_BUCKET, scope.bucket_arn),
        allow("ReadRuns", "s3:GetObject", scope.objects(RUNS), scope.own_account),
        allow("LookAtRoles", _LOOKS_AT_ROLES, roles),
        allow("LookAtProfile", "iam:GetInstanceProfile", profile),
        allow("LookAtJobs", ["sagemaker:DescribeTrainingJob", "sagemaker:ListTags"], _jobs(scope)),
        allow(
            "LookAtLogs", ["logs:DescribeLogStreams", "logs:ListTagsForResource"], _group_arns(scope, scope.log_group)
        ),
        allow("Look", everywhere, "*"),
    ]


def _jobs(scope: Scope) -> str:
    return scope.arn("sagemaker", f"training-job/{scope.project}-*")


def _bucket(scope: Scope) -> list[Statement]:
    objects = scope.objects(DATA, CODE, RUNS, CHECKPOINTS)
    return [
        # A bucket that is not there yet belongs to no account: the condition is for the objects.
        allow("Bucket", [*_LOOKS_AT_BUCKET, *_MAKES_BUCKET], scope.bucket_arn),
        allow("Objects", _OBJECTS, objects, scope.own_account),
    ]


def _roles(scope: Scope, *kinds: str, profile: bool = False) -> list[Statement]:
    """Look at the roles and pass them on; make them too, where a boundary keeps what they can be given."""
    arns = [scope.role_arn(kind) for kind in kinds]
    passed = [_pass(kind, scope.role_arn(kind)) for kind in kinds]
    if scope.boundary:
        return [*_making(scope, *kinds, profile=profile), *passed]
    looks = [allow("LookAtRoles", _LOOKS_AT_ROLES, arns)]
    if profile:
        looks.append(allow("LookAtProfile", _LOOKS_AT_PROFILE, _profiles(scope)))
    return [*looks, *passed]


def _making(scope: Scope, *kinds: str, profile: bool = False) -> list[Statement]:
    arns = [scope.role_arn(kind) for kind in kinds]
    bounded = {"StringEquals": {"iam:PermissionsBoundary": scope.boundary}} if scope.boundary else None
    bounds = ["iam:PutRolePermissionsBoundary"] if scope.boundary else []
    made = [
        allow("LookAtRoles", [*_LOOKS_AT_ROLES, "iam:TagRole"], arns),
        allow("MakeRoles", [*_MAKES_ROLES, *bounds], arns, bounded),
    ]
    if profile:
        of_machines = scope.role_arn(EC2_TRAINING)
        made.append(allow("Profile", [_LOOKS_AT_PROFILE, *_MAKES_PROFILE], [*_profiles(scope), of_machines]))
    return made


def _profiles(scope: Scope) -> list[str]:
    return [scope.everywhere("iam", f"instance-profile/{scope.role_name(EC2_TRAINING)}")]


def _pass(kind: str, role: str) -> Statement:
    name = "".join(part.title() for part in kind.split("-"))
    return allow(f"Pass{name}", "iam:PassRole", role, {"StringEquals": {"iam:PassedToService": KINDS[kind].service}})


def _in_subnets(scope: Scope) -> list[Statement]:
    own = [] if scope.security_groups else _own(scope, ["security-group"], ["CreateSecurityGroup"])
    return [allow("LookAtNetwork", _LOOKS_AT_NETWORK, "*"), *own]


def _own(scope: Scope, kinds: Sequence[str], makes: Sequence[str]) -> list[Statement]:
    """Make groups and templates with this project's tag, and change and end what bears it.

    Tags may be put on only while a thing is made, so that nobody else's can be made to look like this project's.
    """
    anything = scope.arn("ec2", "*/*")
    made = [f"ec2:{call}" for call in makes]
    born = {"StringEquals": {f"aws:RequestTag/{PROJECT_TAG}": scope.project}}
    rules = [f"ec2:{verb}SecurityGroup{way}" for verb in ("Authorize", "Revoke") for way in ("Ingress", "Egress")]
    ends = ["ec2:CreateLaunchTemplateVersion", "ec2:ModifyLaunchTemplate", "ec2:TerminateInstances"]
    of_machines = ends if "launch-template" in kinds else []
    calls = [*makes, *(["RunInstances"] if of_machines else [])]
    return [
        allow("MakeOwn", made, [scope.arn("ec2", f"{kind}/*") for kind in kinds], born),
        allow("MakeGroupInVpc", "ec2:CreateSecurityGroup", scope.arn("ec2", "vpc/*")),
        allow("ChangeOwn", [*rules, *of_machines], anything, _tagged(scope)),
        allow("TagOwn", "ec2:CreateTags", anything, {"StringEquals": {"ec2:CreateAction": sorted(calls)}}),
    ]


def _machines(scope: Scope) -> list[Statement]:
    born = {f"aws:RequestTag/{PROJECT_TAG}": scope.project, "ec2:MetadataHttpTokens": "required"}
    starts = "ec2:RunInstances"
    image = f"arn:{scope.partition}:ec2:{scope.region}::image/*"
    used = ("launch-template", "network-interface", "security-group", "spot-instances-request", "subnet")
    service = "spot.amazonaws.com"
    return [
        # No key pair is among the resources, so none can be given; and no machine without IMDSv2.
        allow("StartMachines", starts, scope.arn("ec2", "instance/*"), {"StringEquals": born}),
        allow("WithVolumes", starts, scope.arn("ec2", "volume/*"), {"Bool": {"ec2:Encrypted": "true"}}),
        allow("Using", starts, [*(scope.arn("ec2", f"{kind}/*") for kind in used), image]),
        allow(
            "LetSpotWork",
            "iam:CreateServiceLinkedRole",
            scope.everywhere("iam", f"role/aws-service-role/{service}/*"),
            {"StringEquals": {"iam:AWSServiceName": service}},
        ),
    ]


def _tagged(scope: Scope) -> dict[str, Any]:
    return {"StringEquals": {f"aws:ResourceTag/{PROJECT_TAG}": scope.project}}


def _group_arns(scope: Scope, group: str) -> list[str]:
    arn = scope.arn("logs", f"log-group:{group}")
    return [arn, f"{arn}:*"]


def _logs(scope: Scope, group: str, *more: str) -> Statement:
    return allow("Logs", [*_READS_LOGS, *more], _group_arns(scope, group))


def _public(scope: Scope, *names: str) -> list[str]:
    return [f"arn:{scope.partition}:ssm:{scope.region}::parameter/aws/service/{name}/*" for name in names]


def _key(scope: Scope) -> list[Statement]:
    if not scope.kms_key:
        return []
    actions = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"]
    grants = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
    return [allow("UseKey", actions, scope.kms_key), allow("LetAwsUseKey", "kms:CreateGrant", scope.kms_key, grants)]
