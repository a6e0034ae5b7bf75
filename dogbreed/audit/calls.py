"""Recorded calls: who needed which IAM action on what. `dogbreed rehearse calls --json` writes such a record.

A call is {who, service, operation, resource}; `action` and `resources` count where a record has them. Which action an
operation needs is in AWS's Service Authorization Reference; scripts/make_operations.py makes the services' prefixes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from dogbreed.audit import facts
from dogbreed.errors import UsageError

# Operations that need another action than their own name, or several.
_ACTIONS: dict[str, tuple[str, ...]] = {
    "lambda:invoke": ("lambda:InvokeFunction",),
    "lambda:invokewithresponsestream": ("lambda:InvokeFunction",),
    "s3:completemultipartupload": ("s3:PutObject",),
    "s3:copyobject": ("s3:PutObject",),
    "s3:createmultipartupload": ("s3:PutObject",),
    "s3:deletebucketencryption": ("s3:PutEncryptionConfiguration",),
    "s3:deletebucketlifecycle": ("s3:PutLifecycleConfiguration",),
    "s3:deletebucketreplication": ("s3:PutReplicationConfiguration",),
    "s3:deletebuckettagging": ("s3:PutBucketTagging",),
    "s3:deletebucketcors": ("s3:PutBucketCORS",),
    "s3:deleteobjects": ("s3:DeleteObject",),
    "s3:deletepublicaccessblock": ("s3:PutBucketPublicAccessBlock",),
    "s3:getbucketaccelerateconfiguration": ("s3:GetAccelerateConfiguration",),
    "s3:getbucketencryption": ("s3:GetEncryptionConfiguration",),
    "s3:getbucketlifecycle": ("s3:GetLifecycleConfiguration",),
    "s3:getbucketlifecycleconfiguration": ("s3:GetLifecycleConfiguration",),
    "s3:getbucketnotificationconfiguration": ("s3:GetBucketNotification",),
    "s3:getbucketreplication": ("s3:GetReplicationConfiguration",),
    "s3:getobjectlockconfiguration": ("s3:GetBucketObjectLockConfiguration",),
    "s3:getpublicaccessblock": ("s3:GetBucketPublicAccessBlock",),
    "s3:headbucket": ("s3:ListBucket",),
    "s3:headobject": ("s3:GetObject",),
    "s3:listbuckets": ("s3:ListAllMyBuckets",),
    "s3:listmultipartuploads": ("s3:ListBucketMultipartUploads",),
    "s3:listobjects": ("s3:ListBucket",),
    "s3:listobjectsv2": ("s3:ListBucket",),
    "s3:listobjectversions": ("s3:ListBucketVersions",),
    "s3:listparts": ("s3:ListMultipartUploadParts",),
    "s3:putbucketaccelerateconfiguration": ("s3:PutAccelerateConfiguration",),
    "s3:putbucketencryption": ("s3:PutEncryptionConfiguration",),
    "s3:putbucketlifecycleconfiguration": ("s3:PutLifecycleConfiguration",),
    "s3:putbucketnotificationconfiguration": ("s3:PutBucketNotification",),
    "s3:putbucketreplication": ("s3:PutReplicationConfiguration",),
    "s3:putobjectlockconfiguration": ("s3:PutBucketObjectLockConfiguration",),
    "s3:putpublicaccessblock": ("s3:PutBucketPublicAccessBlock",),
    "s3:selectobjectcontent": ("s3:GetObject",),
    "s3:uploadpart": ("s3:PutObject",),
    "s3:uploadpartcopy": ("s3:PutObject",),
    # Everybody may ask who they are.
    "sts:getcalleridentity": (),
    "sts:getsessiontoken": (),
}
# Operations that need another action as well, on a resource that the record does not name.
_ALSO = {"s3:copyobject": "s3:GetObject", "s3:uploadpartcopy": "s3:GetObject"}
# Services use keys in the name of whoever calls them, so that calls do not show whether these are used.
IMPLIED = (
    "kms:CreateGrant",
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
)
# API Gateway is allowed by HTTP method.
_METHODS = {"Get": "GET", "Create": "POST", "Update": "PATCH", "Delete": "DELETE", "Put": "PUT", "Import": "POST"}
_DATA = Path(__file__).parent / "data" / "operations.json"


@dataclass(frozen=True, slots=True)
class Use:
    """One action, on one resource ("" where it was not recorded)."""

    action: str
    resource: str


@dataclass(slots=True)
class Calls:
    """The uses of each caller, by kind and name such as `role/worker`, and operations whose action is not known."""

    uses: dict[str, set[Use]] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    count: int = 0

    def of(self, who: str) -> set[Use]:
        """What one caller used."""
        return self.uses.get(who, set())

    def of_all(self) -> set[Use]:
        """What anybody used."""
        return set().union(*self.uses.values())


def read_calls(path: Path) -> Calls:
    """The calls in a file of JSON or JSON Lines; raises UsageError for anything else."""
    hint = "record calls with: dogbreed rehearse calls --json > calls.json"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {(error.strerror or 'unknown reason').lower()}", hint) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no text", hint) from error
    try:
        content = json.loads(text)
    except ValueError:
        try:
            content = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as error:
            raise UsageError(f"{path} is no JSON: {error}", hint) from error
    rows = content.get("calls") if isinstance(content, dict) else content
    if not isinstance(rows, list) or not all(isinstance(row, dict) and _named(row) for row in rows):
        raise UsageError(f"{path} is no record of calls", hint)
    if not rows:
        raise UsageError(f"{path} holds no calls, and says nothing about what is used", hint)
    calls = Calls(count=len(rows))
    for row in rows:
        uses = calls.uses.setdefault(caller(str(row.get("who", ""))), set())
        for use in _uses(row, calls.unknown):
            uses.add(use)
    return calls


def caller(arn: str) -> str:
    """`role/NAME` or `user/NAME` of an ARN; a session counts as its role, a path is left out."""
    kind, _, rest = arn.rpartition(":")[2].partition("/")
    if kind == "assumed-role":
        return f"role/{rest.partition('/')[0]}"
    return f"{kind}/{rest.rpartition('/')[2]}" if rest else kind


def actions_of(service: str, operation: str) -> tuple[str, ...] | None:
    """The IAM actions that an operation of boto3 needs; None when that is not known."""
    prefix = _prefixes().get(service, service).lower()
    key = f"{prefix}:{operation}".lower()
    if key in _ACTIONS:
        return _ACTIONS[key]
    if prefix == "apigateway":
        return next((("apigateway:" + verb,) for word, verb in _METHODS.items() if operation.startswith(word)), None)
    if prefix not in facts.services():
        return None
    for name in (operation, operation.removesuffix("V2")):
        if spelled := facts.actions(prefix).get(name.lower()):
            return (f"{prefix}:{spelled}",)
    return None


@cache
def _prefixes() -> dict[str, str]:
    content: dict[str, dict[str, str]] = json.loads(_DATA.read_text(encoding="utf-8"))
    return content["prefixes"]


def _named(row: dict[str, Any]) -> bool:
    return bool(row.get("action")) or bool(row.get("service") and row.get("operation"))


def _uses(row: dict[str, Any], unknown: set[str]) -> Iterator[Use]:
    """What one row needed: its actions, and iam:PassRole for the roles that it passed."""
    for role in row.get("roles") or row.get("passed_roles") or ():
        yield Use("iam:PassRole", str(role))
    named = row.get("resources") or row.get("resource") or ()
    resources = [str(one) for one in (named if isinstance(named, list | tuple) else [named])] or [""]
    service, operation = str(row.get("service", "")), str(row.get("operation", ""))
    actions = (str(row["action"]),) if row.get("action") else actions_of(service, operation)
    if also := _ALSO.get(f"{service}:{operation}".lower()):
        yield Use(also, "")
    if actions is None:
        unknown.add(f"{service} {operation}")
        return
    for action in actions:
        if action.lower() in ("sts:getcalleridentity", "sts:getsessiontoken"):
            continue
        for resource in resources:
            yield Use(action, "" if resource == "*" else resource)
