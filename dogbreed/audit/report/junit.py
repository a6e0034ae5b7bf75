"""JUnit XML: a failure for each finding that counts, an error for what was not decided or read."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr

from dogbreed.audit.engine import Report
from dogbreed.audit.finding import Finding, Location, Severity

# XML 1.0 has no place for these, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_junit(report: Report, threshold: Severity | None = Severity.HIGH) -> str:
    """The report as one test suite; findings below `threshold` (None: all) are tests that passed, with their words."""
    cases = [_finding(one, threshold) for one in report.findings]
    failures = sum(1 for one in report.findings if threshold and one.severity.reaches(threshold))
    problems = [(one.rule, one.subject, one.location, one.reason) for one in report.undecided]
    problems += [("input", one.location.file, one.location, one.message) for one in report.errors]
    for rule, subject, location, reason in problems:
        words = f"{location}: {reason}"
        inside = f"<error type={_attribute(rule)} message={_attribute(reason)}>{_text(words)}</error>"
        cases.append(_case("undecided", f"{rule} {subject}", location, inside))
    if not cases:
        cases = [_case("audit-iam", "nothing was found", Location(""), "")]
    counts = f'tests="{len(cases)}" failures="{failures}" errors="{len(problems)}"'
    body = "\n".join(cases)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuites {counts}>\n<testsuite name="dogbreed audit-iam" {counts} skipped="0">\n{body}\n'
        "</testsuite>\n</testsuites>\n"
    )


def _finding(finding: Finding, threshold: Severity | None) -> str:
    steps = [f"{number}. {step}" for number, step in enumerate(finding.path, 1)]
    words = "\n".join([f"{finding.location}: {finding.message}", *steps, f"fix: {finding.fix}"])
    kind = f"type={_attribute(str(finding.severity))} message={_attribute(finding.message)}"
    counts = threshold is not None and finding.severity.reaches(threshold)
    inside = f"<failure {kind}>{_text(words)}</failure>" if counts else f"<system-out>{_text(words)}</system-out>"
    return _case(str(finding.category), f"{finding.rule} {finding.subject}", finding.location, inside)


def _case(group: str, name: str, location: Location, inside: str) -> str:
    place = f" file={_attribute(location.file)}" if location.file else ""
    place += f' line="{location.line}"' if location.line else ""
    start = f"<testcase classname={_attribute(f'audit-iam.{group}')} name={_attribute(name)}{place}"
    return f"{start}>{inside}</testcase>" if inside else f"{start}/>"


def _text(text: str) -> str:
    return escape(_FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text))


def _attribute(text: str) -> str:
    entities = {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
    return quoteattr(_FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text), entities)
