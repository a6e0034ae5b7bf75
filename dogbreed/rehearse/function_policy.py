"""The resource-based policy of a function, by qualifier; and whether it lets everybody use the function's URL."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse.calls import AwsError
from dogbreed.rehearse.function_records import LATEST, Function, conflict, invalid, not_found

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.function_aliases import Operations
    from dogbreed.rehearse.function_records import Records

# Since October 2025 a URL needs both ("Control access to Lambda function URLs" in AWS's developer guide).
URL_ACTIONS = ("lambda:InvokeFunctionUrl", "lambda:InvokeFunction")
_ACCOUNT_DIGITS = 12


class Policies:
    """Adds, shows and removes statements."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def operations(self) -> Operations:
        """What it answers, by operation."""
        return {"AddPermission": self._add, "GetPolicy": self._get, "RemovePermission": self._remove}

    def _add(self, call: Call) -> dict[str, Any]:
        function, qualifier = self._found(call)
        told = call.params
        statements = function.policy.setdefault(qualifier, [])
        if any(one["Sid"] == told["StatementId"] for one in statements):
            words = f"The statement id ({told['StatementId']}) provided already exists. Please provide a new statement "
            raise conflict(f"{words}id, or remove the existing statement.")
        if told.get("FunctionUrlAuthType") and told["Action"] != URL_ACTIONS[0]:
            raise invalid(f"FunctionUrlAuthType is only supported for {URL_ACTIONS[0]} action")
        statement = {
            "Sid": told["StatementId"],
            "Effect": "Allow",
            "Principal": _principal(told["Principal"]),
            "Action": told["Action"],
            "Resource": function.qualified(qualifier),
        }
        if condition := _condition(told):
            statement["Condition"] = condition
        statements.append(statement)
        function.policy_revision = str(uuid.uuid4())
        return {"Statement": json.dumps(statement)}

    def _get(self, call: Call) -> dict[str, Any]:
        function, qualifier = self._found(call)
        if not (statements := function.policy.get(qualifier)):
            raise not_found("The resource you requested does not exist.")
        document = {"Version": "2012-10-17", "Id": "default", "Statement": statements}
        return {"Policy": json.dumps(document), "RevisionId": function.policy_revision}

    def _remove(self, call: Call) -> dict[str, Any]:
        function, qualifier = self._found(call)
        statements = function.policy.get(qualifier, [])
        left = [one for one in statements if one["Sid"] != call.params["StatementId"]]
        if len(left) == len(statements):
            raise not_found(f"Statement {call.params['StatementId']} is not found in resource policy.")
        function.policy[qualifier] = left
        function.policy_revision = str(uuid.uuid4())
        return {}

    def _found(self, call: Call) -> tuple[Function, str]:
        function, qualifier = self._records.find(call.region, call.params)
        if qualifier == LATEST:
            raise invalid("We currently do not support adding policies for $LATEST.")
        function.version(qualifier)
        given = call.params.get("RevisionId")
        if given and given != function.policy_revision:
            raise AwsError(
                "PreconditionFailedException", "The RevisionId provided does not match the latest RevisionId."
            )
        return function, qualifier


def is_public(function: Function, qualifier: str) -> bool:
    """Whether the policy lets everybody call the function by its URL without signing."""
    allowed = set()
    context = {"lambda:FunctionUrlAuthType": "NONE", "lambda:InvokedViaFunctionUrl": "true"}
    for statement in function.policy.get(qualifier, []):
        tests = [pair for keys in statement.get("Condition", {}).values() for pair in keys.items()]
        if statement["Principal"] == "*" and all(context.get(key) == value for key, value in tests):
            allowed.add(statement["Action"])
    return "lambda:*" in allowed or allowed.issuperset(URL_ACTIONS)


def _principal(given: str) -> Any:
    if given == "*":
        return "*"
    if given.endswith((".amazonaws.com", ".amazon.com")):
        return {"Service": given}
    if given.isdecimal() and len(given) == _ACCOUNT_DIGITS:
        return {"AWS": f"arn:aws:iam::{given}:root"}
    if not given.startswith("arn:"):
        raise invalid("The provided principal was invalid. Please check the principal and try again.")
    return {"AWS": given}


def _condition(told: dict[str, Any]) -> dict[str, dict[str, str]]:
    condition: dict[str, dict[str, str]] = {}
    equal = {
        "lambda:FunctionUrlAuthType": told.get("FunctionUrlAuthType"),
        "AWS:SourceAccount": told.get("SourceAccount"),
        "aws:PrincipalOrgID": told.get("PrincipalOrgID"),
    }
    if found := {key: value for key, value in equal.items() if value}:
        condition["StringEquals"] = found
    if source := told.get("SourceArn"):
        condition["ArnLike"] = {"AWS:SourceArn": source}
    if told.get("InvokedViaFunctionUrl"):
        condition["Bool"] = {"lambda:InvokedViaFunctionUrl": "true"}
    return condition
