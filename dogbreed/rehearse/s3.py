"""S3's bucket policies with their conditions, and whose a bucket is: moto looks at neither.

Without the conditions it would deny whatever a Deny names. A call to the stand-in counts as one over TLS, by a
principal of this account.
"""

from __future__ import annotations

import fnmatch
import json
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse.calls import ACCOUNT, PASS, AwsError, Passed

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud

_CONTEXT = {
    "aws:securetransport": "true",
    "aws:principalaccount": ACCOUNT,
    "aws:resourceaccount": ACCOUNT,
    "aws:principalisawsservice": "false",
}
_TESTS = {
    "Bool": lambda value, wanted: value == wanted.lower(),
    "StringEquals": lambda value, wanted: value == wanted,
    "StringNotEquals": lambda value, wanted: value != wanted,
    "StringLike": fnmatch.fnmatchcase,
}


def add(cloud: Cloud) -> None:
    """Register with the cloud."""
    from moto.core.utils import get_service_model
    from moto.iam.access_control import IAMPolicy, PermissionResult
    from moto.s3.models import FakeBucket

    def permission(bucket: Any, action: str, resource: str) -> Any:
        if bucket.policy is None:
            return PermissionResult.NEUTRAL
        document = json.loads(bucket.policy)
        statements = document["Statement"] if isinstance(document["Statement"], list) else [document["Statement"]]
        held = [
            {key: value for key, value in statement.items() if key != "Condition"}
            for statement in statements
            if holds(statement.get("Condition", {}))
        ]
        return IAMPolicy(json.dumps({**document, "Statement": held})).is_action_permitted(action, resource)

    for operation in get_service_model("s3").operation_names:
        cloud.handle("s3", operation, _check_owner)
    FakeBucket.get_permission = permission  # type: ignore[method-assign,assignment]


def _check_owner(call: Call) -> Passed:
    """Refuse a call that expects the bucket to be another account's than it is."""
    from moto.s3.models import s3_backends

    expected = call.params.get("ExpectedBucketOwner")
    owner = s3_backends.bucket_accounts.get(call.params.get("Bucket", ""), ("", expected))[1]
    if expected and owner != expected:
        raise AwsError("AccessDenied", "Access Denied", 403)
    return PASS


def holds(condition: dict[str, dict[str, Any]]) -> bool:
    """Whether every part of a condition holds; one that is not known here counts as holding, as moto has it."""
    for operator, keys in condition.items():
        test = _TESTS.get(operator.removesuffix("IfExists"))
        for key, wanted in keys.items():
            value = _CONTEXT.get(key.lower())
            if test is None or value is None:
                continue
            results = [test(value, one) for one in (wanted if isinstance(wanted, list) else [wanted])]
            if not (all(results) if "Not" in operator else any(results)):
                return False
    return True
