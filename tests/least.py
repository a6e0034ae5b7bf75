"""Least privilege, from what the stand-in has recorded: whether a policy allows each call."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from typing import Any

from dogbreed.cloud.policy_parts import Document


def allows(document: Document, call: dict[str, Any]) -> bool:
    """Whether statements of a policy name the action and each resource of a call (conditions aside)."""

    def listed(value: Any) -> list[str]:
        return [value] if isinstance(value, str) else list(value)

    def covers(resource: str) -> bool:
        return any(
            call["action"] in listed(one["Action"])
            and any(fnmatch.fnmatchcase(resource, pattern) for pattern in listed(one["Resource"]))
            for one in document["Statement"]
        )

    # An inline policy is no resource, and the role that a call is given is looked at where it is passed.
    named = [one for one in call["resources"] if ":policy/" not in one]
    passed = [one for one in named if ":role/" not in one]
    return all(covers(resource) for resource in (passed or named or ["*"]))


def beyond(document: Document, calls: Iterable[dict[str, Any]]) -> list[str]:
    """The calls that a policy does not allow; sts:GetCallerIdentity needs none."""
    asked = (call for call in calls if call["action"] != "sts:GetCallerIdentity")
    return sorted({f"{call['action']} {call['resources']}" for call in asked if not allows(document, call)})
