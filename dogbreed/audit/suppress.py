"""Suppressions: findings that somebody has looked at and accepted, with a reason and until a day.

They stand in `.dogbreed-audit.toml`, one [[suppress]] each. What is past its day counts again; what hides nothing is
named, so that it can be removed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from dogbreed.audit.finding import Finding, Undecided
from dogbreed.errors import UsageError

FILE_NAME = ".dogbreed-audit.toml"
_KEYS = {"rule", "path", "subject", "reason", "until"}
_HINT = "each [[suppress]] has rule and reason, and may have path, subject and until = 2027-01-31"


@dataclass(frozen=True, slots=True)
class Suppression:
    """Patterns (`*`, `?`) that a finding must match all, why it is accepted, and the last day on which it is."""

    rule: str
    reason: str
    path: str = "*"
    subject: str = "*"
    until: date | None = None

    def covers(self, one: Finding | Undecided) -> bool:
        """Whether it is about this finding."""
        file = one.location.file.replace("\\", "/").removeprefix("./")
        return (
            fnmatchcase(one.rule, self.rule) and fnmatchcase(file, self.path) and fnmatchcase(one.subject, self.subject)
        )

    def __str__(self) -> str:
        patterns = (("path", self.path), ("subject", self.subject))
        return self.rule + "".join(f" {name} {pattern}" for name, pattern in patterns if pattern != "*")


@dataclass(slots=True)
class Sorted:
    """What is left, what is hidden, and what is to be said about the suppressions."""

    findings: list[Finding] = field(default_factory=list)
    undecided: list[Undecided] = field(default_factory=list)
    hidden: int = 0
    expired: list[Suppression] = field(default_factory=list)
    unused: list[Suppression] = field(default_factory=list)
    endless: list[Suppression] = field(default_factory=list)


def read_suppressions(path: Path) -> list[Suppression]:
    """The suppressions in a file; raises UsageError for anything in it that is not one."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "give another file with --suppressions") from error
    except ValueError as error:  # no text, or no TOML
        raise UsageError(f"{path} is no TOML: {error}", _HINT) from error
    entries = content.pop("suppress", [])
    if content or not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        odd = next(iter(content), "suppress")
        raise UsageError(f"{path}: {odd} is no list of [[suppress]]", _HINT)
    return [_suppression(path, number, entry) for number, entry in enumerate(entries, 1)]


def _suppression(path: Path, number: int, entry: dict[str, Any]) -> Suppression:
    place = f"{path}: suppression {number}"
    if unknown := sorted(set(entry) - _KEYS):
        raise UsageError(f"{place} has the unknown key {unknown[0]}", _HINT)
    for key in ("rule", "reason"):
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            raise UsageError(f"{place} has no {key}", _HINT)
    for key in ("path", "subject"):
        if not isinstance(entry.get(key, ""), str):
            raise UsageError(f"{place}: {key} is no text", _HINT)
    until = entry.get("until")
    if until is not None and (isinstance(until, datetime) or not isinstance(until, date)):
        raise UsageError(f"{place}: until is no day", _HINT)
    return Suppression(entry["rule"], entry["reason"], entry.get("path", "*"), entry.get("subject", "*"), until)


def apply(
    suppressions: Iterable[Suppression], findings: list[Finding], undecided: list[Undecided], today: date
) -> Sorted:
    """Take away what is suppressed on this day."""
    result = Sorted()
    live: list[Suppression] = []
    for one in suppressions:
        (result.expired if one.until and one.until < today else live).append(one)
    used: set[Suppression] = set()

    def hides(found: Finding | Undecided) -> bool:
        covering = [one for one in live if one.covers(found)]
        used.update(covering)
        return bool(covering)

    result.findings = [one for one in findings if not hides(one)]
    result.undecided = [one for one in undecided if not hides(one)]
    result.hidden = len(findings) + len(undecided) - len(result.findings) - len(result.undecided)
    result.unused = [one for one in live if one not in used]
    result.endless = [one for one in live if one.until is None]
    return result
