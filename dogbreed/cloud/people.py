"""The exact policies that a person, or CI, needs for a command: `dogbreed iam policy --for train-sagemaker`.

Each lets its holder do what the command does, to this project's own names, and pass only this project's roles, only to
the service that each is for. Who may make roles and pass them can give itself any right. So the policies of commands
hold that only under a permissions boundary; without one an administrator makes the roles, once: `setup`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dogbreed.cloud import people_costs, people_serving
from dogbreed.cloud import policies_serving as serving
from dogbreed.cloud.people_parts import (
    LOOKS_AT_NETWORK,
    bucket_use,
    group_arns,
    in_subnets,
    jobs,
    key_use,
    logs,
    looks,
    looks_at_budget,
    machines,
    making,
    own_things,
    pass_role,
    profiles,
    public_parameter,
    roles,
    tagged,
)
from dogbreed.cloud.policies import EC2_TRAINING, KINDS, SAGEMAKER_TRAINING
from dogbreed.cloud.policy_parts import Document, Scope, allow, document
from dogbreed.cloud.reads import AUDIT
from dogbreed.cloud.session import PROJECT_TAG

_TRAINING_LOGS = "/aws/sagemaker/TrainingJobs"
_LOOKS_AT_MACHINES = (
    *("ec2:DescribeInstances", "ec2:DescribeInstanceTypes", "ec2:DescribeInstanceTypeOfferings"),
    *("ec2:DescribeImages", "ec2:DescribeSpotPriceHistory", "ec2:DescribeLaunchTemplates"),
    "ec2:DescribeLaunchTemplateVersions",
)
_WATCHES_JOBS = ("sagemaker:DescribeTrainingJob", "sagemaker:ListTags", "sagemaker:StopTrainingJob")


def setup(scope: Scope) -> Document:
    """`dogbreed iam setup`: make the roles that jobs, machines and services run with, and bring them up to date."""
    of_machines = (EC2_TRAINING, serving.EC2_SERVICE)
    return document(
        [
            *making(scope, *KINDS, profile=True),
            # To put the role of machines into its profile is to pass it on.
            *(pass_role(kind, scope.role_arn(kind)) for kind in of_machines),
        ]
    )


def train_sagemaker(scope: Scope) -> Document:
    """Bucket, role, photos, a training job of this project's name and its logs."""
    training = jobs(scope)
    confined = {"StringEquals": {f"aws:RequestTag/{PROJECT_TAG}": scope.project}}
    return document(
        [
            *bucket_use(scope),
            *([pass_role(SAGEMAKER_TRAINING, scope.role)] if scope.role else roles(scope, SAGEMAKER_TRAINING)),
            allow("StartJobs", ["sagemaker:CreateTrainingJob", "sagemaker:AddTags"], training, confined),
            allow("WatchJobs", _WATCHES_JOBS, training),
            looks_at_budget(scope),
            # These know no resources that could be named.
            allow("ListJobs", ["sagemaker:ListTrainingJobs", "servicequotas:ListServiceQuotas"], "*"),
            logs(scope, _TRAINING_LOGS),
            *(in_subnets(scope) if scope.subnets else []),
            *key_use(scope),
        ]
    )


def train_ec2(scope: Scope) -> Document:
    """Bucket, role and profile, photos, machines with this project's tag (IMDSv2 only, no key pair) and their logs."""
    also = ("logs:DescribeLogGroups", "servicequotas:GetServiceQuota")
    return document(
        [
            *bucket_use(scope),
            *roles(scope, EC2_TRAINING, profile=True),
            allow("Look", [*LOOKS_AT_NETWORK, *_LOOKS_AT_MACHINES, *also], "*"),
            *own_things(scope, ["security-group", "launch-template"], ["CreateSecurityGroup", "CreateLaunchTemplate"]),
            *machines(scope),
            looks_at_budget(scope),
            allow("NewestImage", "ssm:GetParameter", public_parameter(scope, "deeplearning")),
            logs(scope, scope.log_group, "logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:TagResource"),
            *key_use(scope),
        ]
    )


def status(scope: Scope) -> Document:
    """`dogbreed status`: look at everything of this project, and read its ledger of runs."""
    return document([*looks(scope), *people_serving.looks(scope)])


def destroy(scope: Scope) -> Document:
    """`dogbreed destroy`, with --data too, but for services: look at everything of this project and remove it."""
    all_roles = [scope.role_arn(kind) for kind in KINDS]
    own_profiles = profiles(scope, *KINDS)
    things = [scope.arn("ec2", f"{kind}/*") for kind in ("instance", "launch-template", "security-group")]
    return document(
        [
            *looks(scope),
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
                [*all_roles, *own_profiles],
            ),
            allow("RemoveProfile", "iam:DeleteInstanceProfile", own_profiles),
            allow("StopJobs", "sagemaker:StopTrainingJob", jobs(scope)),
            allow("RemoveLogs", "logs:DeleteLogGroup", group_arns(scope, scope.log_group)),
            # It stays, which is said.
            looks_at_budget(scope),
            allow(
                "RemoveMachines",
                ["ec2:DeleteLaunchTemplate", "ec2:DeleteSecurityGroup", "ec2:TerminateInstances"],
                things,
                tagged(scope),
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
    "deploy-endpoint": people_serving.deploy_endpoint,
    "deploy-serverless": people_serving.deploy_serverless,
    "deploy-lambda": people_serving.deploy_lambda,
    "deploy-ec2": people_serving.deploy_ec2,
    "deploy-ec2-group": people_serving.deploy_ec2_group,
    "front": people_serving.front,
    "image": people_serving.image,
    "scale": people_serving.scale,
    "invoke": people_serving.invoke,
    "status": status,
    "cost": people_costs.cost,
    "leftovers": people_costs.leftovers,
    "destroy": destroy,
    "destroy-services": people_serving.destroy_services,
    "audit": audit,
}

# What else it takes to deploy by a policy, each a policy of its own, as IAM's are short.
_TOO = {
    "deploy-endpoint": "front (also to see that there is none), image (the first time) and scale (once it is scaled)",
    "deploy-serverless": "front (also to see that there is none) and image (the first time)",
    "deploy-lambda": "",
    "deploy-ec2": "deploy-ec2-group, and image for the first deployment",
    "deploy-ec2-group": "deploy-ec2",
    "front": "deploy-endpoint or deploy-serverless",
    "image": "",
    "cost": "status, since cost looks at everything first",
    "destroy": "destroy-services, since destroy looks at and removes services too",
    "destroy-services": "destroy",
}
_PASSES_ROLES = ("train-ec2", *(name for name in _TOO if not name.startswith(("destroy", "cost"))))


def notes(purpose: str, scope: Scope) -> list[str]:
    """What whoever grants the policy should know."""
    said = []
    if purpose == "setup" and not scope.boundary:
        said.append(
            "its holder can give the roles any right: give it to administrators only, or set [aws] permissions_boundary"
        )
    if too := _TOO.get(purpose):
        said.append(f"grant these too: {too}")
    needs_roles = purpose in _PASSES_ROLES or (purpose == "train-sagemaker" and not scope.role)
    if needs_roles and not scope.boundary:
        said.append(
            "it cannot make the roles that it passes on, as its holder could give itself any right by that: an "
            "administrator makes them once, with dogbreed iam setup; or set [aws] permissions_boundary"
        )
    if purpose == "train-sagemaker" and not scope.subnets:
        said.append("jobs run in SageMaker's own network: set [aws] subnets for one of yours")
    if purpose == "scale" or purpose.startswith(("train-", "deploy-")):
        said.append("plans are compared with the project's budget only for who may read it: grant cost too")
    if not scope.kms_key and purpose not in ("audit", "cost", "leftovers"):
        said.append("no key of your own is used: set [aws] kms_key, and this policy names it")
    return said
