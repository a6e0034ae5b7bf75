"""From a report to an exit code: chosen rules, suppressions, baseline, and the severity from which a finding fails."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from fnmatch import fnmatchcase

from dogbreed.audit import baseline
from dogbreed.audit.engine import Report
from dogbreed.audit.finding import RULES, Severity
from dogbreed.audit.suppress import Sorted, Suppression, apply
from dogbreed.errors import EXIT_FAILED, EXIT_FOUND, UsageError

NEVER = "never"


@dataclass(slots=True)
class Outcome:
    """What is left of a report, what became of the suppressions, and how many findings the baseline knows."""

    report: Report
    suppressions: Sorted = field(default_factory=Sorted)
    known: int = 0
    failing: int = 0

    @property
    def exit_code(self) -> int:
        """3 for findings that fail, else 1 for what was not decided or read, else 0."""
        if self.failing:
            return EXIT_FOUND
        return EXIT_FAILED if self.report.undecided or self.report.errors else 0


def threshold(word: str) -> Severity | None:
    """The severity of --fail-on; None for never. Raises UsageError."""
    if word == NEVER:
        return None
    try:
        return Severity(word)
    except ValueError:
        raise UsageError(f"--fail-on {word}: no such severity", f"one of: {', '.join(Severity)}, {NEVER}") from None


def settle(
    report: Report,
    *,
    fail_on: Severity | None,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    suppressions: Iterable[Suppression] = (),
    known: frozenset[str] = frozenset(),
    today: date,
) -> Outcome:
    """Apply all choices to a report, in this order: rules, suppressions, baseline, severity."""
    report = choose(report, only, skip)
    sorted_ = apply(suppressions, report.findings, report.undecided, today)
    new, old = baseline.split_known(sorted_.findings, known)
    checked = dict(report.checked)
    if sorted_.hidden:
        checked["suppressed"] = sorted_.hidden
    if old:
        checked["known"] = len(old)
    report = replace(report, findings=new, undecided=sorted_.undecided, checked=checked)
    failing = sum(1 for one in new if fail_on and one.severity.reaches(fail_on))
    return Outcome(report, sorted_, len(old), failing)


def choose(report: Report, only: Sequence[str], skip: Sequence[str]) -> Report:
    """The report without the rules that are not wanted. Raises UsageError for a pattern that no rule matches."""
    for option, patterns in (("--only", only), ("--skip", skip)):
        for pattern in patterns:
            if not any(fnmatchcase(rule, pattern) for rule in RULES):
                raise unknown_rule(option, pattern)
    if not only and not skip:
        return report

    def wanted(rule: str) -> bool:
        if rule not in RULES:  # input that no rule could look at
            return True
        inside = not only or any(fnmatchcase(rule, pattern) for pattern in only)
        return inside and not any(fnmatchcase(rule, pattern) for pattern in skip)

    return replace(
        report,
        findings=[one for one in report.findings if wanted(one.rule)],
        undecided=[one for one in report.undecided if wanted(one.rule)],
        checked=report.checked | {"rules": sum(map(wanted, RULES))},
    )


def unknown_rule(option: str, name: str) -> UsageError:
    """The error for a rule that does not exist."""
    near = difflib.get_close_matches(name, list(RULES), n=1)
    mean = f"did you mean {near[0]}? " if near else ""
    return UsageError(f"{option} {name}: no such rule", f"{mean}all of them: dogbreed audit-iam --rules")
