"""The policy behind every other command: `dogbreed iam policy --for loadtest`, `--for rollback`, `--for logs`.

Most commands need what another policy holds already; two hold less than any of those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dogbreed.cloud import people, people_serving
from dogbreed.cloud import people_serving_parts as parts
from dogbreed.cloud.policy_parts import Document, Scope, allow, document

_EC2 = "train-ec2, for runs on EC2"
# Commands that need the rights of another: its policy, and which else it could be.
_SAME = {
    "predict": ("invoke", ""),
    "train": ("train-sagemaker", _EC2),
    "runs": ("train-sagemaker", _EC2),
    "stop": ("train-sagemaker", _EC2),
    "pull": ("train-sagemaker", _EC2),
    "audit-iam": ("audit", ""),
}
_OF_A_DOOR = ("deploy", "rollback")
_NONE = ("data", "serve", "rehearse", "recommend", "config", "doctor")


def loadtest(scope: Scope) -> Document:
    """Ask this project's endpoints and functions, and look at their machines and memory, which the price follows."""
    endpoints = [scope.arn("sagemaker", f"{kind}/{scope.project}-*") for kind in ("endpoint", "endpoint-config")]
    functions = scope.arn("lambda", f"function:{scope.project}-*")
    return document(
        [
            *people_serving.invoke(scope)["Statement"],
            allow("LookAtEndpoints", ["sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig"], endpoints),
            allow("LookAtFunctions", "lambda:GetFunctionConfiguration", functions),
        ]
    )


def logs(scope: Scope) -> Document:
    """Read what this project's services have written."""
    kinds = ("sagemaker/Endpoints", "sagemaker/InferenceComponents", "lambda")
    groups = [f"/aws/{kind}/{scope.project}-*" for kind in kinds]
    return document([allow("ReadLogs", parts.READS_LOGS, parts.group_arns(scope, [*groups, scope.log_group]))])


POLICIES: Mapping[str, Callable[[Scope], Document]] = {**people.POLICIES, "loadtest": loadtest, "logs": logs}


def policy_of(command: str, door: str) -> str | None:
    """The name of the policy that a command needs, "" where it asks no account, None where there is none such.

    door: what is deployed to, for the commands that are about that.
    """
    if command in POLICIES:
        return command
    if command in _NONE:
        return ""
    return f"deploy-{door}" if command in _OF_A_DOOR else _SAME.get(command, (None, ""))[0]


def notes(command: str, door: str) -> list[str]:
    """Which policy it is that a command is given, and which it could be."""
    if command == "logs":
        return [f"this reads what services write; of runs: train-sagemaker, or {_EC2}"]
    if command in _OF_A_DOOR:
        return [f"this is deploy-{door}; for what runs elsewhere: deploy-endpoint, -serverless, -lambda or -ec2"]
    if command in _SAME:
        name, other = _SAME[command]
        return [f"this is {name}" + (f"; or {other}" if other else "")]
    return []
