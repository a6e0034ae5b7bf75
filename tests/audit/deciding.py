"""Short ways to write requests and policies in tests."""

from __future__ import annotations

from typing import Any

from dogbreed.audit.decide import Layers, Request, decide
from dogbreed.audit.document import make_policy
from dogbreed.audit.model import NOWHERE, Kind, Policy

ACCOUNT, OTHER = "123456789012", "210987654321"
USER = f"arn:aws:iam::{ACCOUNT}:user/team/ann"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/app"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/app/s1"
OBJECT = "arn:aws:s3:::bucket/ann/photo.jpg"


def statement(effect: str = "Allow", action: Any = "s3:GetObject", resource: Any = "*", **more: Any) -> dict[str, Any]:
    made = {"Effect": effect, "Action": action, "Resource": resource, **more}
    return {key: value for key, value in made.items() if value is not None}


def policy(*statements: dict[str, Any], kind: Kind = Kind.IDENTITY, version: str = "2012-10-17") -> Policy:
    return make_policy({"Version": version, "Statement": list(statements)}, kind, str(kind), NOWHERE)


def resource_policy(*statements: dict[str, Any]) -> Policy:
    return policy(*statements, kind=Kind.RESOURCE)


def answer(
    *identity: dict[str, Any],
    principal: str = USER,
    action: str = "s3:GetObject",
    resource: str = OBJECT,
    context: dict[str, Any] | None = None,
    account: str = "",
    tags: dict[str, str] | None = None,
    version: str = "2012-10-17",
    **layers: Any,
) -> str:
    """yes, no or unknown for a request under identity statements and other layers."""
    given = {key: [value] if isinstance(value, str) else value for key, value in (context or {}).items()}
    request = Request(principal, action, resource, given, account, tags or {})
    return str(decide(request, Layers(identity=[policy(*identity, version=version)], **layers)).answer)
