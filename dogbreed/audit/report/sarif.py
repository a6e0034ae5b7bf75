"""SARIF 2.1.0, as GitHub code scanning takes it: rules with help, line and column, stable fingerprints."""

from __future__ import annotations

import json
import re
from typing import Any

from dogbreed import __version__
from dogbreed.audit.baseline import fingerprints
from dogbreed.audit.engine import Report
from dogbreed.audit.finding import Finding, Location, Rule, Severity
from dogbreed.audit.report.words import SARIF_LEVEL, rule_of, uri

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_PLACE = re.compile(r"\(([^()\n]+):(\d+):(\d+)\)")
_CODES = "https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-reference-policy-checks.html"
# GitHub sorts alerts by this number: from 9.0 critical, 7.0 high, 4.0 medium, 0.1 low.
_SCORE = {
    Severity.CRITICAL: "9.5",
    Severity.HIGH: "8.0",
    Severity.MEDIUM: "5.5",
    Severity.LOW: "2.5",
    Severity.INFO: "0.5",
}


def to_sarif(report: Report) -> str:
    """The report as one SARIF document."""
    rules = {rule.id: rule for rule in sorted(map(rule_of, report.findings))}
    index = {name: at for at, name in enumerate(rules)}
    prints = fingerprints(report.findings)
    results = [_result(one, index[one.rule], print_) for one, print_ in zip(report.findings, prints, strict=True)]
    notes = [
        _note(one.location, f"{one.rule} could not be decided for {one.subject}: {one.reason}", "warning")
        for one in report.undecided
    ]
    notes += [_note(one.location, one.message, "error") for one in report.errors]
    driver = {
        "name": "dogbreed audit-iam",
        "version": __version__,
        "rules": [_rule(rule) for rule in rules.values()],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"%SRCROOT%": {"description": {"text": "the folder in which the audit ran"}}},
        "invocations": [{"executionSuccessful": not report.errors, "toolExecutionNotifications": notes}],
        "results": results,
        "properties": {"data": report.data, "checked": report.checked},
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False) + "\n"


def _rule(rule: Rule) -> dict[str, Any]:
    seen = f"\n\nAlso known as: {', '.join(rule.references)}." if rule.references else ""
    fix = rule.fix.removesuffix(".")
    help_page = {"helpUri": _CODES} if rule.id.startswith("AA-") else {}
    return {
        "id": rule.id,
        **help_page,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {
            "text": f"{rule.why}\n\nFix: {fix}.{seen}",
            "markdown": f"{rule.why}\n\n**Fix:** {fix}.{seen}",
        },
        "defaultConfiguration": {"level": SARIF_LEVEL[rule.severity]},
        "properties": {
            "tags": ["security", str(rule.category)],
            "security-severity": _SCORE[rule.severity],
            "precision": "high",
        },
    }


def _result(finding: Finding, index: int, fingerprint: str) -> dict[str, Any]:
    text = finding.message
    for number, step in enumerate(finding.path, 1):
        text += f"\n{number}. {step}"
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": SARIF_LEVEL[finding.severity],
        "message": {"text": f"{text}\nFix: {finding.fix}"},
        "locations": [_location(finding.location, finding.subject)],
        "partialFingerprints": {"dogbreedAudit/v1": fingerprint},
        "properties": {
            "severity": str(finding.severity),
            "confidence": str(finding.confidence),
            "subject": finding.subject,
            "actions": list(finding.actions),
        },
    }
    if finding.path:
        steps = [{"location": _step(step, finding.location)} for step in finding.path]
        result["codeFlows"] = [{"threadFlows": [{"locations": steps}]}]
    return result


def _step(step: str, otherwise: Location) -> dict[str, Any]:
    """A step of a path, at the place that it names, such as (infra/roles.yaml:17:9)."""
    named = _PLACE.search(step)
    place = Location(named[1], int(named[2]), int(named[3])) if named else otherwise
    return {**_location(place), "message": {"text": step}}


def _location(location: Location, subject: str = "") -> dict[str, Any]:
    artifact = {"uri": uri(location), "uriBaseId": "%SRCROOT%"}
    # GitHub shows no alert without a line.
    region = {"startLine": max(location.line, 1), "startColumn": max(location.column, 1)}
    place: dict[str, Any] = {"physicalLocation": {"artifactLocation": artifact, "region": region}}
    if subject:
        place["logicalLocations"] = [{"fullyQualifiedName": subject}]
    return place


def _note(location: Location, text: str, level: str) -> dict[str, Any]:
    return {"level": level, "message": {"text": text}, "locations": [_location(location)]}
