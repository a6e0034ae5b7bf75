"""Whom a role lets in: its trust policy, read by the services that are to assume it."""

from __future__ import annotations

import fnmatch
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dogbreed.rehearse.cloud import Cloud

_ACTIONS = {"sts:AssumeRole", "sts:*", "*"}


def trusted(cloud: Cloud, arn: str, service: str, source: str = "") -> bool:
    """Whether a role exists and lets `service` (such as lambda.amazonaws.com) assume it.

    `source`: the ARN on whose behalf the service says that it assumes the role, if it says that.
    """
    role = next((role for role in list(cloud.moto("iam").roles.values()) if role.arn == arn), None)
    if role is None:
        return False
    statements = _listed(json.loads(role.assume_role_policy_document).get("Statement", []))
    return any(_lets_in(statement, service, source) for statement in statements)


def _lets_in(statement: dict[str, Any], service: str, source: str) -> bool:
    principal = statement.get("Principal", {})
    if not isinstance(principal, dict) or service not in _listed(principal.get("Service", [])):
        return False
    if statement.get("Effect") != "Allow" or not _ACTIONS & set(_listed(statement.get("Action", []))):
        return False
    sources = [
        pattern
        for test, keys in statement.get("Condition", {}).items()
        if test.startswith(("ArnLike", "ArnEquals", "StringLike"))
        for pattern in _listed(keys.get("aws:SourceArn", []))
    ]
    return not (source and sources) or any(fnmatch.fnmatchcase(source, pattern) for pattern in sources)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
