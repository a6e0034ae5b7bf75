"""What an audit says: findings, what it could not decide, what it could not read; and the rules that say it.

A rule module registers its rules and their checks with `check`; `dogbreed.audit.engine` runs them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple


class Severity(StrEnum):
    """How bad it is; `rank` 0 is the worst."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for critical up to 4 for info."""
        return list(Severity).index(self)

    def reaches(self, threshold: Severity) -> bool:
        """Whether this is as bad as `threshold` or worse."""
        return self.rank <= threshold.rank


class Category(StrEnum):
    """What kind of weakness it is."""

    PRIVILEGE_ESCALATION = "privilege-escalation"
    ADMIN = "admin"
    TRUST = "trust"
    PUBLIC_ACCESS = "public-access"
    CROSS_ACCOUNT = "cross-account"
    INVALID_POLICY = "invalid-policy"
    WILDCARD = "wildcard"
    DATA_EXPOSURE = "data-exposure"
    NETWORK = "network"
    ENCRYPTION = "encryption"
    LOGGING = "logging"
    ISOLATION = "isolation"
    UNUSED = "unused"


class Confidence(StrEnum):
    """How sure it is: high follows from what was read, medium needs a likely assumption, low an unknown value."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Location(NamedTuple):
    """A place in a file; line and column count from 1, and 0 means that it is not known."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return self.file if not self.line else f"{self.file}:{self.line}:{self.column}"


class Rule(NamedTuple):
    """A rule as `--rules` and `--explain` show it; `severity` is the usual one, a finding may have another."""

    id: str
    category: Category
    severity: Severity
    title: str
    why: str
    fix: str
    # Ids of the same thing elsewhere: pathfinding.cloud, Security Hub ("SageMaker.1"), checkov ("CKV_AWS_122").
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One weakness. `path` holds the steps of an attack, in order; `fix` is what to change here."""

    rule: str
    category: Category
    severity: Severity
    subject: str
    location: Location
    message: str
    fix: str
    confidence: Confidence = Confidence.HIGH
    actions: tuple[str, ...] = ()
    path: tuple[str, ...] = ()

    @property
    def order(self) -> tuple[Any, ...]:
        """Sort key: the worst first, then by place, so that the same input gives the same bytes."""
        return (self.severity.rank, self.location, self.rule, self.subject, self.message, self.path, self.actions)

    def to_json(self) -> dict[str, Any]:
        """The finding as the issue's JSON has it."""
        return {
            "rule": self.rule,
            "category": str(self.category),
            "severity": str(self.severity),
            "confidence": str(self.confidence),
            "subject": self.subject,
            "location": self.location._asdict(),
            "actions": list(self.actions),
            "path": list(self.path),
            "message": self.message,
            "fix": self.fix,
        }


@dataclass(frozen=True, slots=True)
class Undecided:
    """A rule that could not be decided for a subject: never a pass."""

    rule: str
    subject: str
    location: Location
    reason: str

    @property
    def order(self) -> tuple[Any, ...]:
        """Sort key."""
        return (self.location, self.rule, self.subject, self.reason)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "rule": self.rule,
            "subject": self.subject,
            "location": self.location._asdict(),
            "reason": self.reason,
        }


class BrokenInput(Exception):  # noqa: N818 - a fact about a file, kept in the report as often as it is raised
    """Input that cannot be read, with its place. Parsers raise it or collect it; the other files are still audited."""

    def __init__(self, location: Location, message: str) -> None:
        super().__init__(f"{location}: {message}")
        self.location = location
        self.message = message

    @property
    def order(self) -> tuple[Any, ...]:
        """Sort key."""
        return (self.location, self.message)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"location": self.location._asdict(), "message": self.message}


# A check looks at one subject of the corpus (a Policy, Principal, Resource, or the Corpus itself) and yields what it
# found: function(subject, corpus).
CheckFunction = Callable[..., Iterable[Finding | Undecided]]


@dataclass(frozen=True, slots=True)
class Check:
    """A registered check function, the type of subject it looks at, and for resources the CloudFormation types."""

    rules: tuple[Rule, ...]
    over: type
    function: CheckFunction
    types: frozenset[str] = field(default_factory=frozenset)


RULES: dict[str, Rule] = {}
CHECKS: list[Check] = []


def check(*rules: Rule, over: type, types: Iterable[str] = ()) -> Callable[[CheckFunction], CheckFunction]:
    """Register `rules` and the function that decides them for every subject of the type `over`.

    `types` limits a check over resources to these CloudFormation types. What the function raises becomes an
    `Undecided` of its rules for that subject.
    """

    def register(function: CheckFunction) -> CheckFunction:
        for rule in rules:
            if RULES.setdefault(rule.id, rule) != rule:
                raise ValueError(f"two rules are called {rule.id}")
        CHECKS.append(Check(rules, over, function, frozenset(types)))
        return function

    return register
