"""One request to the stand-in as the services see it, and the record of all of them.

The record says who did what to which resource, so that least privilege can be proven from it.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

if TYPE_CHECKING:
    from moto.core.model import OperationModel
    from moto.core.request import Request

ACCOUNT = "123456789012"
# The person who rehearses.
PERSON = f"arn:aws:iam::{ACCOUNT}:user/rehearsal"
NOBODY = "anonymous"
_KEPT = 200_000


class _Pass(Enum):
    PASS = "pass"


Passed = Literal[_Pass.PASS]
PASS: Passed = _Pass.PASS


def answers(result: dict[str, Any] | Passed) -> TypeGuard[dict[str, Any]]:
    """Whether a handler has answered."""
    return result is not PASS


class AwsError(Exception):
    """A refusal; `code` as the service spells it, `status` 0 being what the service model says, else 400."""

    def __init__(self, code: str, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def page(told: dict[str, Any], name: str, found: list[Any], most: int) -> dict[str, Any]:
    """One page of a list, with a NextToken where there is more: `most` of it, or what the call's parameters say.

    Raises AwsError for a token that is none.
    """
    token = told.get("NextToken") or "0"
    if not token.isdecimal():
        raise AwsError("InvalidNextTokenException", "The next token is invalid.")
    start, size = int(token), int(told.get("MaxResults") or told.get("MaxRecords") or most)
    more = {"NextToken": str(start + size)} if start + size < len(found) else {}
    return {name: found[start : start + size]} | more


def between(told: dict[str, Any], name: str, moment: datetime) -> bool:
    """Whether `moment` lies within a list's parameters, such as CreationTimeAfter and CreationTimeBefore."""
    after, before = told.get(f"{name}After"), told.get(f"{name}Before")
    plain = moment.replace(tzinfo=None)
    return (after is None or plain > after) and (before is None or plain < before)


@dataclass
class Call:
    """One request: `params` as boto3 was given them, without bodies that are streamed; `passes` are ARNs of roles."""

    service: str
    operation: str
    region: str
    key: str
    who: str
    params: dict[str, Any]
    model: OperationModel
    request: Request
    protocol: str
    action: str = ""
    resources: tuple[str, ...] = ()
    passes: tuple[str, ...] = ()
    malformed: bool = False


@dataclass
class Record:
    """What is kept of a call."""

    time: str
    who: str
    action: str
    resources: tuple[str, ...]
    service: str
    operation: str
    region: str
    platform: bool
    status: int = 0
    error: str = ""


@dataclass
class Calls:
    """The calls so far, oldest first, the last 200,000 of them."""

    _records: deque[Record] = field(default_factory=lambda: deque(maxlen=_KEPT))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, call: Call, *, platform: bool) -> list[Record]:
        """Note a call, after the roles that it passes on; the status is filled in when it is known."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        wanted = [("iam:PassRole", (role,)) for role in call.passes] + [(call.action, call.resources)]
        records = [
            Record(now, call.who or NOBODY, action, resources, call.service, call.operation, call.region, platform)
            for action, resources in wanted
        ]
        with self._lock:
            self._records.extend(records)
        return records

    def clear(self) -> None:
        """Forget them."""
        with self._lock:
            self._records.clear()

    def to_json(self) -> list[dict[str, Any]]:
        """All of them as plain values."""
        with self._lock:
            return [asdict(record) for record in self._records]
