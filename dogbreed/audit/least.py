"""Least privilege: what is granted, compared with the calls that were made.

The policies of a principal are compared with its own calls; a policy that stands alone with everybody's. A Deny, a
NotAction and what is not known are left as they are. Conditions stay: a call that was made has met them.
"""

from __future__ import annotations

import json
import os.path
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from dogbreed.audit import facts
from dogbreed.audit.answer import YES
from dogbreed.audit.calls import IMPLIED, Calls, Use, caller, read_calls
from dogbreed.audit.engine import Report
from dogbreed.audit.finding import RULES, Category, Finding, Rule, Severity, Undecided
from dogbreed.audit.model import HOLE, Corpus, Kind, Policy, Principal, Statement
from dogbreed.audit.pattern import arn_matches, has_wildcard, matches

__all__ = ["Tight", "add_unused", "not_compared", "read_calls", "shown", "tighten"]

_WHY = "What nobody uses helps only somebody who should not be there."
STATEMENT = Rule(
    "LP-UNUSED-STATEMENT",
    Category.UNUSED,
    Severity.LOW,
    "No recorded call needs this statement",
    _WHY,
    "remove the statement",
)
ACTION = Rule(
    "LP-UNUSED-ACTION",
    Category.UNUSED,
    Severity.LOW,
    "Actions are granted that no recorded call needs",
    _WHY,
    "remove the actions: dogbreed audit-iam --calls FILE --fix",
)
WIDE_ACTION = Rule(
    "LP-WIDE-ACTION",
    Category.WILDCARD,
    Severity.MEDIUM,
    "A wildcard grants more actions than are used",
    _WHY,
    "name the actions: dogbreed audit-iam --calls FILE --fix",
)
WIDE_RESOURCE = Rule(
    "LP-WIDE-RESOURCE",
    Category.WILDCARD,
    Severity.MEDIUM,
    "A wildcard grants more resources than are used",
    _WHY,
    "name the resources: dogbreed audit-iam --calls FILE --fix",
)
for _rule in (STATEMENT, ACTION, WIDE_ACTION, WIDE_RESOURCE):
    RULES.setdefault(_rule.id, _rule)

# In the ARN of a policy of AWS's own.
_AWS = ":aws:policy/"
# So many resources are listed; of more, what their names have in common.
_LISTED = 4
# A part of a name that differs from run to run; not the number of an account, nor a region.
_CHANGES = re.compile(r"(?!(?!20)\d{12}$)(?:\d+|\d{6,}\w*|(?=[a-f]*\d)[0-9a-f]{6,}|[0-9a-f]{8,})", re.IGNORECASE)
_REGION = re.compile(r"\b[a-z]{2}(?:-[a-z]+)+-\d\b")
# What stands between the words of a name.
_BETWEEN = "-_/.:"
_TYPE = re.compile(r"[a-z-]*[:/]|")


@dataclass(frozen=True, slots=True)
class Tight:
    """A statement beside what it should be: its new parts, and none when it can go."""

    statement: Statement
    parts: tuple[dict[str, Any], ...]
    unused: tuple[str, ...] = ()
    wide_actions: tuple[tuple[int, tuple[str, ...]], ...] = ()
    wide_resources: tuple[tuple[int, tuple[str, ...]], ...] = ()

    @property
    def changes(self) -> bool:
        """Whether anything is to be done."""
        return not self.parts or bool(self.unused or self.wide_actions or self.wide_resources)


def add_unused(report: Report, corpus: Corpus, calls: Calls) -> Report:
    """The report with what the calls do not need."""
    found = [finding for tight in tighten(corpus, calls) for finding in _findings(tight)]
    undecided = list(report.undecided)
    for one in sorted(calls.unknown):
        place = corpus.policies[0].location if corpus.policies else corpus.principals[0].location
        undecided.append(Undecided(ACTION.id, one, place, "which action this operation needs is not known"))
    findings = sorted(dict.fromkeys([*report.findings, *found]), key=lambda one: one.order)
    return replace(report, findings=findings, undecided=sorted(undecided, key=lambda one: one.order))


def tighten(corpus: Corpus, calls: Calls) -> Iterator[Tight]:
    """Each Allow statement that grants more than was used."""
    seen: set[int] = set()
    for principal in corpus.principals:
        uses = _own(principal, calls)
        for policy in principal.policies:
            if uses and _AWS not in policy.arn and id(policy) not in seen:
                seen.add(id(policy))
                yield from _of_policy(policy, uses)
    everybody = calls.of_all()
    for policy in corpus.policies:
        if policy.kind in (Kind.IDENTITY, Kind.PERMISSION_SET) and _AWS not in policy.arn:
            yield from _of_policy(policy, everybody)


def not_compared(corpus: Corpus, calls: Calls) -> Iterator[str]:
    """What `tighten` is silent about, in words: who made no call that was recorded, and policies of AWS's own."""
    for principal in corpus.principals:
        name = f"{principal.kind}/{principal.name}"
        if not _own(principal, calls):
            if principal.policies or principal.unresolved:
                yield f"{principal.location}: {name} made none of the recorded calls: what it may do is not compared"
            continue
        for arn in (*(policy.arn for policy in principal.policies), *principal.unresolved):
            if _AWS in arn:
                own = arn.rpartition("/")[2]
                yield f"{principal.location}: {own} of {name} is AWS's own: write one that grants what it called"
            elif HOLE in arn:
                yield f"{principal.location}: a policy of {name} is not known, and is not compared"


def _own(principal: Principal, calls: Calls) -> set[Use]:
    return calls.of(caller(principal.arn)) or calls.of(f"{principal.kind}/{principal.name}")


def _of_policy(policy: Policy, uses: set[Use]) -> Iterator[Tight]:
    for statement in policy.statements:
        if statement.allows and statement.actions is not None and statement.resources is not None:
            named = (*statement.actions, *statement.resources)
            if not any(HOLE in text or "${" in text for text in named) and not statement.malformed:
                tight = _of_statement(statement, uses)
                if tight.changes:
                    yield tight


def _of_statement(statement: Statement, uses: set[Use]) -> Tight:
    actions, resources = statement.actions or (), statement.resources or ()
    used = [use for use in uses if _covers(actions, resources, use)]
    keys = [entry for entry in actions if entry.lower().startswith("kms:")]
    used += [Use(name, "") for name in IMPLIED if _fits(keys, name)]
    if not used:
        return Tight(statement, ())
    by_entry = [_fitting(entry, used) for entry in actions]
    unused = tuple(entry for entry, fitting in zip(actions, by_entry, strict=True) if not fitting)
    wide = tuple(
        (at, tuple(fitting)) for at, fitting in enumerate(by_entry) if fitting and _is_wide(actions[at], fitting)
    )
    whole = dict(wide)
    wanted = dict.fromkeys(name for at, entry in enumerate(actions) if by_entry[at] for name in whole.get(at, (entry,)))
    return _with_resources(statement, list(wanted), used, unused, wide)


def _with_resources(
    statement: Statement,
    actions: list[str],
    used: list[Use],
    unused: tuple[str, ...],
    wide: tuple[tuple[int, tuple[str, ...]], ...],
) -> Tight:
    """The statement with its resources made narrow: those of actions that know resources, and * for the others."""
    resources = statement.resources or ()
    vague = [entry for entry in resources if _is_vague(entry)]
    free = [action for action in actions if not _knows_resources(action)]
    bound = [action for action in actions if action not in free]
    recorded = [use for use in used if any(matches(one.lower(), use.action.lower()) is YES for one in bound)]
    close = [entry for entry in resources if entry not in vague]
    narrow: list[str] = []
    wide_resources = []
    if bound and vague and all(use.resource for use in recorded):
        for at, entry in enumerate(resources):
            named = sorted({use.resource for use in recorded if _only(entry, use.resource, close)})
            if entry in vague and (named or close):
                few = tuple(_common(named, entry))
                if any(_is_vague(one) for one in few):
                    narrow.append(entry)
                    continue
                wide_resources.append((at, few))
                narrow += few
            elif entry not in vague:
                narrow.append(entry)
    if not wide_resources or not narrow:
        return Tight(statement, (_part(statement, actions, list(resources)),), unused, wide)
    parts = [_part(statement, bound, list(dict.fromkeys(narrow)))]
    if free:
        parts.append(_part(statement, free, ["*"] if "*" in resources else list(resources)))
    return Tight(statement, tuple(parts), unused, wide, tuple(wide_resources))


def _only(entry: str, resource: str, others: list[str]) -> bool:
    """Whether a resource is used through this entry and none of the others."""
    return arn_matches(entry, resource) is YES and not any(arn_matches(one, resource) is YES for one in others)


def _part(statement: Statement, actions: list[str], resources: list[str]) -> dict[str, Any]:
    return {"sid": statement.sid, "actions": actions, "resources": resources}


def _fits(entries: list[str], action: str) -> bool:
    return any(matches(entry.lower(), action.lower()) is YES for entry in entries)


def _covers(actions: Iterable[str], resources: Iterable[str], use: Use) -> bool:
    if not _fits(list(actions), use.action):
        return False
    return not use.resource or any(arn_matches(one, use.resource) is YES for one in resources)


def _fitting(entry: str, used: list[Use]) -> list[str]:
    return sorted({use.action for use in used if matches(entry.lower(), use.action.lower()) is YES})


def _is_wide(entry: str, fitting: list[str]) -> bool:
    """Whether a pattern names more actions than are used."""
    if not has_wildcard(entry):
        return False
    service, _, verb = entry.lower().partition(":")
    if service not in facts.services():
        return True
    named = [name for name in facts.actions(service) if matches(verb, name) is YES]
    return len(named) > len(fitting)


def _is_vague(resource: str) -> bool:
    """Whether a wildcard stands where a resource's name begins; `bucket/prefix/*` and `dogbreed-*` are narrow."""
    if not has_wildcard(resource):
        return False
    name = resource.split(":", 5)[-1] if resource.count(":") > 4 else resource
    # In S3 a name begins with the bucket, elsewhere with a type: role/..., table/...
    typed = None if ":s3:" in resource else _TYPE.match(name)
    rest = name[typed.end() :] if typed else name
    return not rest or rest[0] in "*?"


def _knows_resources(action: str) -> bool:
    """Whether an action is allowed for single resources; only then can it be confined to them."""
    if has_wildcard(action):
        return False
    try:
        return bool(facts.action(action).get("resourceTypes"))
    except facts.MissingFacts:
        return False


def _common(names: list[str], entry: str) -> list[str]:
    """Names without what changes from run to run; of many, what they have in common. Never more than `entry` grants."""
    names = list(dict.fromkeys(_within(_general(name), name, entry) for name in names))
    if len(names) <= _LISTED:
        return names
    groups: dict[str, list[str]] = {}
    for name in names:
        head, _, tail = name.rpartition(":")
        groups.setdefault(f"{head}:{re.split('[/:]', tail)[0]}", []).append(name)
    found: list[str] = []
    for group in groups.values():
        found += group if len(group) <= _LISTED else _shared(group, entry)
    return found


def _shared(names: list[str], entry: str) -> list[str]:
    """What names begin with, in whole words, and whatever follows; the names where `entry` does not grant that."""
    start = os.path.commonprefix(names)  # noqa: RUF071 - letter by letter is meant
    if all(name[len(start) : len(start) + 1] in _BETWEEN for name in names):
        short = list(dict.fromkeys(name if name == start else f"{name[: len(start) + 1]}*" for name in names))
    else:
        short = [f"{re.sub(f'[^{_BETWEEN}]*$', '', start)}*"]
    return short if all(_holds(entry, one[:-1]) for one in short if one.endswith("*")) else names


def _within(pattern: str, name: str, entry: str) -> str:
    return pattern if _holds(entry, pattern.rstrip("*")) else name


def _holds(entry: str, start: str) -> bool:
    """Whether an entry grants whatever begins so."""
    return all(arn_matches(entry, start + rest) is YES for rest in ("", "~", "~/~:~-~"))


def _general(name: str) -> str:
    """A name up to the last separator before a date, a counter, a hash or a UUID; whole when there is none."""
    parts = name.split(":", 5)
    if len(parts) < 6:
        return name
    regions = [found.span() for found in _REGION.finditer(parts[5])]
    for found in re.finditer(r"[^-_/.:]+", parts[5]):
        inside = any(start <= found.start() < end for start, end in regions)
        if found.start() and not inside and found[0] != parts[4] and _CHANGES.fullmatch(found[0]):
            return f"{':'.join(parts[:5])}:{parts[5][: found.start()]}*"
    return name


def _findings(tight: Tight) -> Iterator[Finding]:
    statement = tight.statement
    subject = statement.policy.name
    # No numbers: they change with every record, and the finding is the same.
    seen = "in the recorded calls"
    if not tight.parts:
        message = f"{statement.name} allows {_listed(statement.actions or ())}, which nobody did {seen}."
        yield _finding(STATEMENT, tight, (), message, STATEMENT.fix, statement.actions or ())
        return
    fix = f"write {json.dumps([shown(part) for part in tight.parts])}"
    actions = statement.actions or ()
    if tight.unused:
        path = ("Action", actions.index(tight.unused[0])) if len(actions) > 1 else ("Action",)
        message = f"{subject} allows {_listed(tight.unused)}, which nobody did {seen}."
        yield _finding(ACTION, tight, path, message, fix, tight.unused)
    for at, used in tight.wide_actions:
        message = f"{actions[at]} is granted, and only {_listed(used)} was done {seen}."
        yield _finding(WIDE_ACTION, tight, ("Action", at) if len(actions) > 1 else ("Action",), message, fix, used)
    resources = statement.resources or ()
    for at, named in tight.wide_resources:
        words = f"only {_listed(named)} was used" if named else "nothing but what stands beside it was used"
        message = f"{resources[at]} is granted, and {words} {seen}."
        place = ("Resource", at) if len(resources) > 1 else ("Resource",)
        yield _finding(WIDE_RESOURCE, tight, place, message, fix, actions)


def _finding(
    rule: Rule, tight: Tight, path: tuple[str | int, ...], message: str, fix: str, actions: tuple[str, ...]
) -> Finding:
    statement = tight.statement
    place = statement.at(*path)
    return Finding(
        rule.id, rule.category, rule.severity, statement.policy.name, place, message, fix, actions=tuple(actions)
    )


def shown(part: dict[str, Any]) -> dict[str, Any]:
    """The part of a statement as a policy has it."""
    return {"Action": part["actions"], "Resource": part["resources"]}


def _listed(names: Iterable[str], most: int = 6) -> str:
    many = list(names)
    more = f" and {len(many) - most} more" if len(many) > most else ""
    return ", ".join(many[:most]) + more
