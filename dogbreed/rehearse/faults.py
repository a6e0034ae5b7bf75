"""Faults on demand: throttling, refusals, server errors, no capacity; deterministic for a seed.

An interruption is no standing fault: it is asked for once, and the services that run jobs and machines carry it out
(the control `interrupt`).
"""

from __future__ import annotations

import fnmatch
import random
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse.calls import AwsError

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call

KINDS = ("throttle", "deny", "s3-500", "no-capacity")
# How a service says that it is asked too often; by service, then by protocol.
_THROTTLED: dict[str, tuple[str, str, int]] = {
    "s3": ("SlowDown", "Please reduce your request rate.", 503),
    "ec2": ("RequestLimitExceeded", "Request limit exceeded.", 503),
    "query": ("Throttling", "Rate exceeded", 400),
    "json": ("ThrottlingException", "Rate exceeded", 400),
    "rest-json": ("TooManyRequestsException", "Rate exceeded", 429),
}


@dataclass
class Fault:
    """One fault: which calls (`target` is an action, or for no-capacity a type), which share, how often at most."""

    kind: str
    target: str = "*"
    share: float = 1.0
    count: int | None = None
    zone: str = "*"
    market: str = "*"
    seed: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(f"{self.kind} {self.seed}")

    def strikes(self) -> bool:
        """Whether it hits now, which uses up one of `count`."""
        if self.count == 0 or self._random.random() >= self.share:
            return False
        if self.count is not None:
            self.count -= 1
        return True


class Faults:
    """The faults that are in force."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Put a fault in force."""
        with self._lock:
            self._faults.append(fault)

    def clear(self, kind: str = "") -> None:
        """Lift the faults of a kind, or all."""
        with self._lock:
            self._faults = [fault for fault in self._faults if kind and fault.kind != kind]

    def to_json(self) -> list[dict[str, Any]]:
        """What is in force."""
        with self._lock:
            return [asdict(fault) for fault in self._faults]

    def no_capacity(self, instance_type: str, zone: str = "*", market: str = "*") -> bool:
        """Whether no instance of this type is to be had in `zone`, or in no zone at all, for what starts machines.

        `market` is `spot` or `on-demand` for services that tell them apart.
        """

        def concerns(fault: Fault) -> bool:
            asked = ((instance_type, fault.target), (zone, fault.zone), (market, fault.market))
            return all(fnmatch.fnmatchcase(name, pattern) for name, pattern in asked)

        return bool(self._struck("no-capacity", concerns))

    def strike(self, call: Call, *, platform: bool) -> None:
        """Raise the AwsError of a fault that hits this call; what the services do themselves can only be denied."""
        for action, resources in [*(("iam:PassRole", (role,)) for role in call.passes), (call.action, call.resources)]:
            if self._struck("deny", partial(_concerns, action)):
                raise denied(call, action, resources)
        if platform:
            return
        if self._struck("throttle", partial(_concerns, call.action)):
            raise AwsError(*_THROTTLED.get(call.service) or _THROTTLED.get(call.protocol, _THROTTLED["json"]))
        if call.service == "s3" and self._struck("s3-500", lambda fault: True):
            raise AwsError("InternalError", "We encountered an internal error. Please try again.", 500)

    def _struck(self, kind: str, concerns: Callable[[Fault], bool]) -> list[Fault]:
        with self._lock:
            return [fault for fault in self._faults if fault.kind == kind and concerns(fault) and fault.strikes()]


def denied(call: Call, action: str, resources: tuple[str, ...]) -> AwsError:
    """What AWS says to one who may not do `action`, which `call` needs."""
    resource = resources[0] if resources else "*"
    if call.service == "s3":
        resource = f'"{resource}"'
    words = (
        f"User: {call.who} is not authorized to perform: {action} on resource: {resource} "
        f"because no identity-based policy allows the {action} action"
    )
    if call.service == "ec2":
        return AwsError("UnauthorizedOperation", f"You are not authorized to perform this operation. {words}", 403)
    if call.protocol in ("query", "rest-xml"):
        return AwsError("AccessDenied", words, 403)
    return AwsError("AccessDeniedException", words, 403 if call.protocol == "rest-json" else 400)


def _concerns(action: str, fault: Fault) -> bool:
    return fnmatch.fnmatchcase(action.lower(), fault.target.lower())
