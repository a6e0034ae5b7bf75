"""GitHub's workflow commands, which put a finding beside its line in a pull request."""

from __future__ import annotations

from dogbreed.audit.engine import Report
from dogbreed.audit.finding import Location
from dogbreed.audit.report.words import GITHUB_COMMAND, SARIF_LEVEL


def to_annotations(report: Report) -> str:
    """One command a line, the worst first: GitHub shows ten of each kind."""
    lines = [
        _command(
            GITHUB_COMMAND[SARIF_LEVEL[one.severity]], one.location, one.rule, _words(one.message, one.path, one.fix)
        )
        for one in report.findings
    ]
    lines += [_command("warning", one.location, f"{one.rule} not decided", one.reason) for one in report.undecided]
    lines += [_command("error", one.location, "not read", one.message) for one in report.errors]
    return "".join(f"{line}\n" for line in lines)


def _words(message: str, path: tuple[str, ...], fix: str) -> str:
    return "\n".join([message, *(f"{number}. {step}" for number, step in enumerate(path, 1)), f"Fix: {fix}"])


def _command(kind: str, location: Location, title: str, message: str) -> str:
    places = {"file": location.file.replace("\\", "/").removeprefix("./")}
    if location.line:
        places |= {"line": str(location.line), "col": str(location.column)}
    properties = ",".join(f"{name}={_property(value)}" for name, value in {**places, "title": title}.items())
    return f"::{kind} {properties}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
