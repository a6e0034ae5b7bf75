"""The parts that the policies of people are put together from: bucket, roles, machines, logs, key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dogbreed.cloud.bucket import CHECKPOINTS, CODE, DATA, MODELS, RUNS
from dogbreed.cloud.policies import KINDS
from dogbreed.cloud.policy_parts import Scope, Statement, allow
from dogbreed.cloud.session import PROJECT_TAG

LOOKS_AT_BUCKET = (
    *("s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketTagging", "s3:GetBucketPublicAccessBlock"),
    *("s3:GetBucketOwnershipControls", "s3:GetEncryptionConfiguration", "s3:GetBucketVersioning"),
    *("s3:GetBucketPolicy", "s3:GetLifecycleConfiguration", "s3:GetBucketLocation"),
)
MAKES_BUCKET = (
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
LOOKS_AT_NETWORK = (
    *("ec2:DescribeSubnets", "ec2:DescribeRouteTables", "ec2:DescribeVpcEndpoints", "ec2:DescribeSecurityGroups"),
)
_MACHINES = "ec2.amazonaws.com"
_READS_LOGS = ("logs:DescribeLogStreams", "logs:GetLogEvents", "logs:FilterLogEvents")


def looks(scope: Scope) -> list[Statement]:
    """What it takes to find everything of the project."""
    roles = [scope.role_arn(kind) for kind in KINDS]
    # These know no resources that could be named.
    everywhere = (
        *("sagemaker:ListTrainingJobs", "tag:GetResources", "ec2:DescribeSecurityGroups", "ec2:DescribeInstances"),
        "ec2:DescribeVolumes",
        *("ec2:DescribeLaunchTemplates", "ec2:DescribeLaunchTemplateVersions", "logs:DescribeLogGroups"),
    )
    return [
        allow("LookAtBucket", LOOKS_AT_BUCKET, scope.bucket_arn),
        allow("ReadRuns", "s3:GetObject", scope.objects(RUNS), scope.own_account),
        allow("LookAtRoles", _LOOKS_AT_ROLES, roles),
        allow("LookAtProfile", "iam:GetInstanceProfile", profiles(scope, *KINDS)),
        allow("LookAtJobs", ["sagemaker:DescribeTrainingJob", "sagemaker:ListTags"], jobs(scope)),
        allow(
            "LookAtLogs", ["logs:DescribeLogStreams", "logs:ListTagsForResource"], group_arns(scope, scope.log_group)
        ),
        allow("Look", everywhere, "*"),
    ]


def jobs(scope: Scope) -> str:
    """The ARN pattern of this project's training jobs."""
    return scope.arn("sagemaker", f"training-job/{scope.project}-*")


def bucket_use(scope: Scope) -> list[Statement]:
    """Make and look at the bucket, and use what is in it."""
    objects = scope.objects(DATA, CODE, RUNS, CHECKPOINTS)
    return [
        # A bucket that is not there yet belongs to no account: the condition is for the objects.
        allow("Bucket", [*LOOKS_AT_BUCKET, *MAKES_BUCKET], scope.bucket_arn),
        allow("Objects", _OBJECTS, objects, scope.own_account),
    ]


def roles(scope: Scope, *kinds: str, profile: bool = False) -> list[Statement]:
    """Look at the roles and pass them on; make them too, where a boundary keeps what they can be given."""
    arns = [scope.role_arn(kind) for kind in kinds]
    passed = [pass_role(kind, scope.role_arn(kind)) for kind in kinds]
    if scope.boundary:
        return [*making(scope, *kinds, profile=profile), *passed]
    looks = [allow("LookAtRoles", _LOOKS_AT_ROLES, arns)]
    if profile:
        looks.append(allow("LookAtProfile", _LOOKS_AT_PROFILE, profiles(scope, *kinds)))
    return [*looks, *passed]


def making(scope: Scope, *kinds: str, profile: bool = False) -> list[Statement]:
    """Make roles of these kinds, under the boundary if there is one."""
    arns = [scope.role_arn(kind) for kind in kinds]
    bounded = {"StringEquals": {"iam:PermissionsBoundary": scope.boundary}} if scope.boundary else None
    bounds = ["iam:PutRolePermissionsBoundary"] if scope.boundary else []
    made = [
        allow("LookAtRoles", [*_LOOKS_AT_ROLES, "iam:TagRole"], arns),
        allow("MakeRoles", [*_MAKES_ROLES, *bounds], arns, bounded),
    ]
    if profile:
        of_machines = [scope.role_arn(kind) for kind in kinds if KINDS[kind].service == _MACHINES]
        made.append(allow("Profile", [_LOOKS_AT_PROFILE, *_MAKES_PROFILE], [*profiles(scope, *kinds), *of_machines]))
    return made


def looks_at_budget(scope: Scope) -> Statement:
    """The project's budget, above which plans are refused; who may not see it is not held to it."""
    return allow("LookAtBudget", "budgets:ViewBudget", scope.everywhere("budgets", f"budget/{scope.project}-budget"))


def profiles(scope: Scope, *kinds: str) -> list[str]:
    """The ARNs of the instance profiles of machines: those of `kinds` that are for EC2."""
    named = [scope.role_name(kind) for kind in kinds if KINDS[kind].service == _MACHINES]
    return [scope.everywhere("iam", f"instance-profile/{name}") for name in named]


def pass_role(kind: str, role: str) -> Statement:
    """Pass one role on, to the one service that it is for."""
    name = "".join(part.title() for part in kind.split("-"))
    return allow(f"Pass{name}", "iam:PassRole", role, {"StringEquals": {"iam:PassedToService": KINDS[kind].service}})


def in_subnets(scope: Scope) -> list[Statement]:
    """What jobs in subnets of one's own take."""
    own = [] if scope.security_groups else own_things(scope, ["security-group"], ["CreateSecurityGroup"])
    return [allow("LookAtNetwork", LOOKS_AT_NETWORK, "*"), *own]


def own_things(scope: Scope, kinds: Sequence[str], makes: Sequence[str]) -> list[Statement]:
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
        allow("ChangeOwn", [*rules, *of_machines], anything, tagged(scope)),
        allow("TagOwn", "ec2:CreateTags", anything, {"StringEquals": {"ec2:CreateAction": sorted(calls)}}),
    ]


def machines(scope: Scope, *, spot: bool = True) -> list[Statement]:
    """Start machines: with IMDSv2, this project's tag and encrypted disks only."""
    born = {f"aws:RequestTag/{PROJECT_TAG}": scope.project, "ec2:MetadataHttpTokens": "required"}
    starts = "ec2:RunInstances"
    image = f"arn:{scope.partition}:ec2:{scope.region}::image/*"
    used = ("launch-template", "network-interface", "security-group", "spot-instances-request", "subnet")
    service = "spot.amazonaws.com"
    lets = allow(
        "LetSpotWork",
        "iam:CreateServiceLinkedRole",
        scope.everywhere("iam", f"role/aws-service-role/{service}/*"),
        {"StringEquals": {"iam:AWSServiceName": service}},
    )
    return [
        # No key pair is among the resources, so none can be given; and no machine without IMDSv2.
        allow("StartMachines", starts, scope.arn("ec2", "instance/*"), {"StringEquals": born}),
        allow("WithVolumes", starts, scope.arn("ec2", "volume/*"), {"Bool": {"ec2:Encrypted": "true"}}),
        allow("Using", starts, [*(scope.arn("ec2", f"{kind}/*") for kind in used), image]),
        *([lets] if spot else []),
    ]


def tagged(scope: Scope) -> dict[str, Any]:
    """The condition that a thing bears this project's tag."""
    return {"StringEquals": {f"aws:ResourceTag/{PROJECT_TAG}": scope.project}}


def group_arns(scope: Scope, group: str) -> list[str]:
    """The ARNs of a log group and of what is in it."""
    arn = scope.arn("logs", f"log-group:{group}")
    return [arn, f"{arn}:*"]


def logs(scope: Scope, group: str, *more: str) -> Statement:
    """Read a log group, and more of it."""
    return allow("Logs", [*_READS_LOGS, *more], group_arns(scope, group))


def public_parameter(scope: Scope, *names: str) -> list[str]:
    """ARNs of public parameters."""
    return [f"arn:{scope.partition}:ssm:{scope.region}::parameter/aws/service/{name}/*" for name in names]


def key_use(scope: Scope) -> list[Statement]:
    """Use the key, if there is one."""
    if not scope.kms_key:
        return []
    actions = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"]
    grants = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
    return [allow("UseKey", actions, scope.kms_key), allow("LetAwsUseKey", "kms:CreateGrant", scope.kms_key, grants)]


def commands(scope: Scope) -> list[Statement]:
    """Ask a machine on the machine itself, where its network is not reached from here."""
    shell = f"arn:{scope.partition}:ssm:{scope.region}::document/AWS-RunShellScript"
    bears = {"StringEquals": {f"ssm:resourceTag/{PROJECT_TAG}": scope.project}}
    return [
        # The photo goes by the bucket.
        allow("ForgetPhotos", "s3:DeleteObject", scope.objects(f"{MODELS}asked/"), scope.own_account),
        allow("AskOwnMachines", "ssm:SendCommand", scope.arn("ec2", "instance/*"), bears),
        allow("ByShell", "ssm:SendCommand", shell),
        allow("Answers", "ssm:GetCommandInvocation", "*"),  # knows no resources
    ]
