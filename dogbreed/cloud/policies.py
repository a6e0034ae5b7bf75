"""The exact policies of the roles that jobs and machines run as: these actions, on these ARNs, under these conditions.

Pure functions of a `Scope`, so that a policy can be printed and checked without an account. Which actions each role
needs: AWS's pages on SageMaker roles, Session Manager and the CloudWatch agent; what the stand-in records of whole runs
is compared with them in the tests. What people and CI need is in `dogbreed.cloud.people`.
"""

from __future__ import annotations

from typing import Any

from dogbreed.cloud import policies_serving as serving
from dogbreed.cloud.bucket import CHECKPOINTS, CODE, DATA, RUNS
from dogbreed.cloud.policy_parts import (
    Document,
    Kind,
    Scope,
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

SAGEMAKER_TRAINING, EC2_TRAINING = "sagemaker-training", "ec2-training"
# SageMaker's log group is not ours to name.
_TRAINING_LOGS = "/aws/sagemaker/TrainingJobs"


def trust(scope: Scope, kind: str) -> Document:
    """Who may assume the role: one service, and only on behalf of this account's own resources in this region."""
    role = KINDS[kind]
    condition: dict[str, Any] = {"StringEquals": {"aws:SourceAccount": scope.account}}
    if source := role.source(scope):
        condition["ArnLike"] = {"aws:SourceArn": source}
    statement = {
        "Sid": "Assume",
        "Effect": "Allow",
        "Principal": {"Service": role.service},
        "Action": "sts:AssumeRole",
        # EC2 assumes roles without these keys; a machine gets one through its instance profile only.
        **({} if role.service.startswith("ec2.") else {"Condition": condition}),
    }
    return document([statement])


def sagemaker_training(scope: Scope) -> Document:
    """The execution role of a training job: reads photos and code, writes its run and checkpoints, logs."""
    return document(
        [
            *reads(scope, DATA, CODE, RUNS, CHECKPOINTS),
            *writes(scope, RUNS, CHECKPOINTS),
            # SageMaker keeps the prefix as the folder in the container is: what was deleted there, it deletes here,
            # such as the temporary file of a checkpoint that was uploaded before it was renamed.
            allow("FollowCheckpoints", "s3:DeleteObject", scope.objects(CHECKPOINTS), scope.own_account),
            *logs(scope, _TRAINING_LOGS),
            metrics("/aws/sagemaker/*", "dogbreed/*"),
            *images(scope),
            *network(scope),
            *key_use(scope, volumes=True),
        ]
    )


def ec2_training(scope: Scope) -> Document:
    """The role of a training machine: the same prefixes, its log group, and Session Manager in place of SSH."""
    return document(
        [
            *reads(scope, DATA, CODE, RUNS, CHECKPOINTS),
            *writes(scope, RUNS, CHECKPOINTS),
            *logs(scope, scope.log_group),
            metrics("dogbreed/*"),
            *shell(scope),
            *key_use(scope),
        ]
    )


KINDS = {
    SAGEMAKER_TRAINING: Kind("sagemaker.amazonaws.com", lambda scope: scope.arn("sagemaker", "*"), sagemaker_training),
    EC2_TRAINING: Kind("ec2.amazonaws.com", lambda scope: "", ec2_training),
    **serving.KINDS,
}
