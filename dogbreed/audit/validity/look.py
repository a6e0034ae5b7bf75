"""One policy under inspection: collects what is said about it, with the place of each value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dogbreed.audit.finding import Finding, Severity, Undecided
from dogbreed.audit.model import HOLE, UNKNOWN, Kind, Policy
from dogbreed.audit.source import Path
from dogbreed.audit.validity.codes import RULES

IDENTITY = frozenset({Kind.IDENTITY, Kind.BOUNDARY, Kind.PERMISSION_SET, Kind.SESSION})
RESOURCE = frozenset({Kind.RESOURCE, Kind.VPC_ENDPOINT})

_ELEMENTS = {
    name.lower(): name
    for name in (
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
    )
}


class Look:
    """The findings about one policy, in the order in which they were said."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.kind = policy.kind
        self.said: list[Finding | Undecided] = []

    def say(self, code: str, path: Path, message: str, fix: str = "", severity: Severity | None = None) -> None:
        """A finding of a code about the value at `path` in the document."""
        rule, policy = RULES[code], self.policy
        place = policy.source.locate((*policy.path, *path))
        sentence = message if message.endswith((".", "?")) else f"{message}."
        self.said.append(
            Finding(rule.id, rule.category, severity or rule.severity, policy.name, place, sentence, fix or rule.fix)
        )

    def cannot_say(self, code: str, path: Path, reason: str) -> None:
        """A code that could not be decided; the same reason is given once, at its first place."""
        if any(isinstance(one, Undecided) and one.reason == reason for one in self.said):
            return
        place = self.policy.source.locate((*self.policy.path, *path))
        self.said.append(Undecided(RULES[code].id, self.policy.name, place, reason))


class Part:
    """A statement as it was written: its elements by their right names, and the path of each."""

    def __init__(self, value: Mapping[str, Any], path: Path) -> None:
        self.path = path
        self.values: dict[str, Any] = {}
        self.spelled: dict[str, str] = {}
        self.strange: list[str] = []
        for key, member in value.items():
            name = _ELEMENTS.get(str(key).lower())
            if name is None:
                self.strange.append(key)
            else:
                self.values[name], self.spelled[name] = member, key

    def has(self, name: str) -> bool:
        """Whether an element is there."""
        return name in self.values

    def at(self, name: str, *more: str | int) -> Path:
        """The path of an element."""
        return (*self.path, self.spelled.get(name, name), *more)

    def texts(self, name: str) -> list[tuple[Path, str]]:
        """The known strings of an element with their paths."""
        return texts(self.values.get(name), self.at(name))

    @property
    def allows(self) -> bool:
        """Whether it is an Allow."""
        return self.values.get("Effect") == "Allow"

    @property
    def denies(self) -> bool:
        """Whether it is a Deny."""
        return self.values.get("Effect") == "Deny"


def texts(value: Any, path: Path) -> list[tuple[Path, str]]:
    """The known strings of a value or list of values, with their paths."""
    if isinstance(value, str):
        return [(path, value)] if HOLE not in value else []
    if isinstance(value, list):
        return [((*path, at), one) for at, one in enumerate(value) if isinstance(one, str) and HOLE not in one]
    return []


def unknown(value: Any) -> bool:
    """Whether a value cannot be known."""
    return value is UNKNOWN or (isinstance(value, str) and HOLE in value)
