"""What the forms of a report share: levels, counts, and places as others write them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from urllib.parse import quote

from dogbreed.audit.finding import RULES, Finding, Location, Rule, Severity

# How other programs name severities: SARIF's levels, and GitHub's commands.
SARIF_LEVEL = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
    Severity.INFO: "note",
}
GITHUB_COMMAND = {"error": "error", "warning": "warning", "note": "notice"}


def uri(location: Location) -> str:
    """The file as a relative URI reference, also where its name holds colons or spaces."""
    return quote(location.file.replace("\\", "/").removeprefix("./"), safe="/~")


def counted(findings: Iterable[Finding]) -> str:
    """`2 high, 1 low`, or `no findings`."""
    counts = Counter(finding.severity for finding in findings)
    return ", ".join(f"{counts[one]} {one}" for one in Severity if counts[one]) or "no findings"


def rule_of(finding: Finding) -> Rule:
    """The rule of a finding; one of the real Access Analyzer may have none here."""
    known = RULES.get(finding.rule)
    return known or Rule(finding.rule, finding.category, finding.severity, finding.rule, finding.message, finding.fix)


def one_line(text: str) -> str:
    """The text without line breaks and control characters."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
