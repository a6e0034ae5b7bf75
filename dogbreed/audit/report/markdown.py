"""Markdown for a comment on a pull request or the summary of a job."""

from __future__ import annotations

import re
from html import escape

from dogbreed.audit.engine import Report
from dogbreed.audit.finding import Finding
from dogbreed.audit.report.words import counted, one_line

# A comment on GitHub holds 65,536 characters.
_LIMIT = 60_000
_ACTIVE = re.compile(r"([\\`*_{}\[\]<>#|~@&])")


def to_markdown(report: Report) -> str:
    """A heading with the counts, a table, and for each finding its steps and its fix."""
    lines = [f"### audit-iam: {counted(report.findings)}", ""]
    if report.findings:
        lines += ["| severity | rule | where | what |", "| --- | --- | --- | --- |"]
        lines += [_row(one) for one in report.findings]
        lines.append("")
        for one in report.findings:
            lines += _details(one)
    for title, found in (
        ("Not decided", [(one.location, f"{one.rule}: {one.reason}") for one in report.undecided]),
        ("Not read", [(one.location, one.message) for one in report.errors]),
    ):
        if found:
            lines += [f"**{title}**", "", *(f"- {_code(str(place))}: {_plain(words)}" for place, words in found), ""]
    looked = ", ".join(f"{count} {what}" for what, count in report.checked.items())
    facts = ", ".join(f"{name} of {date}" for name, date in report.data.items())
    lines.append(f"Checked: {looked}. Data: {facts}.")
    return _cut(lines) + "\n"


def _row(finding: Finding) -> str:
    where, what = _code(str(finding.location)), _plain(finding.message)
    return f"| {finding.severity} | {_code(finding.rule)} | {where} | {what} |"


def _details(finding: Finding) -> list[str]:
    steps = [f"{number}. {_plain(step)}" for number, step in enumerate(finding.path, 1)]
    title = f"{finding.rule} of {finding.subject}" if finding.subject else finding.rule
    head = f"<details><summary>{escape(one_line(title)).replace('@', '&#64;')}</summary>"
    return [head, "", *steps, *([""] if steps else []), f"Fix: {_plain(finding.fix)}", "", "</details>", ""]


def _cut(lines: list[str]) -> str:
    """All lines, or those that fit and a word about the rest."""
    size = 0
    for kept, line in enumerate(lines):
        size += len(line) + 1
        if size > _LIMIT:
            return "\n".join([*lines[:kept], "", "The rest did not fit here; see the other forms of this report."])
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Foreign text that Markdown shows as it is: no markup, no mentions."""
    return _ACTIVE.sub(r"\\\1", one_line(text)).replace(r"\@", "&#64;").replace(r"\<", "&lt;").replace(r"\&", "&amp;")


def _code(text: str) -> str:
    return f"`{one_line(text).replace('`', chr(39)).replace('|', chr(92) + '|')}`" if text else ""
