"""Who calls, and what IAM's simulator says: that everything is allowed, since IAM is a stub here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dogbreed.rehearse.calls import PASS, PERSON, Passed

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud


def add(cloud: Cloud) -> None:
    """Register with the cloud."""
    cloud.handle("sts", "GetCallerIdentity", lambda call: _identity(cloud, call))
    for operation in ("SimulatePrincipalPolicy", "SimulateCustomPolicy"):
        cloud.handle("iam", operation, _simulate)


def _identity(cloud: Cloud, call: Call) -> dict[str, Any] | Passed:
    if call.who != PERSON:
        return PASS
    return {"UserId": "AIDAREHEARSALEXAMPLE1", "Account": cloud.account, "Arn": PERSON}


def _simulate(call: Call) -> dict[str, Any]:
    results = [
        {"EvalActionName": action, "EvalResourceName": resource, "EvalDecision": "allowed", "MatchedStatements": []}
        for action in call.params.get("ActionNames", [])
        for resource in call.params.get("ResourceArns") or ["*"]
    ]
    return {"EvaluationResults": results, "IsTruncated": False}
