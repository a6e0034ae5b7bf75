"""Who calls, and what IAM says of rights: that everything is allowed and nothing was used, since it is a stub here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from dogbreed.rehearse.calls import PASS, PERSON, Passed

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud


def add(cloud: Cloud) -> None:
    """Register with the cloud."""
    cloud.handle("sts", "GetCallerIdentity", lambda call: _identity(cloud, call))
    for operation in ("SimulatePrincipalPolicy", "SimulateCustomPolicy"):
        cloud.handle("iam", operation, _simulate)
    cloud.handle("iam", "GenerateServiceLastAccessedDetails", lambda call: {"JobId": str(uuid4())})
    cloud.handle("iam", "GetServiceLastAccessedDetails", lambda call: _last_accessed(cloud))


def _identity(cloud: Cloud, call: Call) -> dict[str, Any] | Passed:
    if call.who != PERSON:
        return PASS
    return {"UserId": "AIDAREHEARSALEXAMPLE1", "Account": cloud.account, "Arn": PERSON}


def _last_accessed(cloud: Cloud) -> dict[str, Any]:
    """A report of no service at all: an account of today has no past to judge by."""
    now = cloud.clock.now()
    return {"JobStatus": "COMPLETED", "JobCreationDate": now, "JobCompletionDate": now, "ServicesLastAccessed": []}


def _simulate(call: Call) -> dict[str, Any]:
    results = [
        {"EvalActionName": action, "EvalResourceName": resource, "EvalDecision": "allowed", "MatchedStatements": []}
        for action in call.params.get("ActionNames", [])
        for resource in call.params.get("ResourceArns") or ["*"]
    ]
    return {"EvaluationResults": results, "IsTruncated": False}
