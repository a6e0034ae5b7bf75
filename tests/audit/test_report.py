"""The forms of a report: valid for whoever reads them, safe with foreign text, and always the same."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from reports import AWKWARD, EMPTY, ESCALATION, REPORT, reports

from dogbreed.audit.engine import Report, load_rules
from dogbreed.audit.finding import Severity
from dogbreed.audit.report.annotations import to_annotations
from dogbreed.audit.report.junit import to_junit
from dogbreed.audit.report.markdown import to_markdown
from dogbreed.audit.report.sarif import to_sarif

load_rules()
FORMS: list[Callable[[Report], str]] = [to_sarif, to_junit, to_markdown, to_annotations]


def check_sarif(log: Any) -> None:
    """What SARIF 2.1.0 requires of the parts that are used, and what GitHub needs to show an alert."""
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"]
    ids = [rule["id"] for rule in driver["rules"]]
    assert len(ids) == len(set(ids))
    for rule in driver["rules"]:
        assert rule["shortDescription"]["text"]
        assert rule["fullDescription"]["text"]
        assert rule["help"]["text"]
        assert rule["help"]["markdown"]
        assert rule["defaultConfiguration"]["level"] in ("none", "note", "warning", "error")
        assert 0 < float(rule["properties"]["security-severity"]) <= 10
    for result in run["results"]:
        assert ids[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in ("note", "warning", "error")
        assert "text" in result["message"]
        (place,) = result["locations"]
        check_place(place)
        for flow in result.get("codeFlows", []):
            for step in flow["threadFlows"][0]["locations"]:
                check_place(step["location"])
        assert all(isinstance(one, str) and one for one in result["partialFingerprints"].values())
    prints = [tuple(result["partialFingerprints"].values()) for result in run["results"]]
    assert len(prints) == len(set(prints))
    (invocation,) = run["invocations"]
    assert isinstance(invocation["executionSuccessful"], bool)
    for note in invocation["toolExecutionNotifications"]:
        assert "text" in note["message"]
        check_place(note["locations"][0])


def check_place(place: Any) -> None:
    artifact, region = place["physicalLocation"]["artifactLocation"], place["physicalLocation"]["region"]
    parts = urlsplit(artifact["uri"])
    assert not parts.scheme
    assert not parts.netloc
    assert re.fullmatch(r"[A-Za-z0-9._~/%-]*", artifact["uri"])
    assert region["startLine"] >= 1
    assert region["startColumn"] >= 1


def test_sarif() -> None:
    log = json.loads(to_sarif(REPORT))
    check_sarif(log)
    results = log["runs"][0]["results"]
    assert [one["level"] for one in results] == ["error", "warning", "note"]
    first = results[0]["locations"][0]["physicalLocation"]
    assert first["artifactLocation"]["uri"] == "infra/roles.yaml"
    assert first["region"] == {"startLine": 12, "startColumn": 7}
    assert "1. builder passes role/admin" in results[0]["message"]["text"]
    assert unquote(results[1]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]) == "odd, name:\u2603.json"
    steps = results[0]["codeFlows"][0]["threadFlows"][0]["locations"]
    assert [one["location"]["message"]["text"] for one in steps] == list(ESCALATION.path)
    assert steps[1]["location"]["physicalLocation"]["region"] == {"startLine": 30, "startColumn": 9}
    assert steps[1]["location"]["physicalLocation"]["artifactLocation"]["uri"] == "infra/functions.yaml"
    assert log["runs"][0]["invocations"][0]["executionSuccessful"] is False


@given(reports)
def test_any_report_is_valid_sarif(report: Report) -> None:
    check_sarif(json.loads(to_sarif(report)))


@pytest.mark.parametrize(
    ("threshold", "failures"), [(Severity.HIGH, 1), (Severity.MEDIUM, 2), (Severity.INFO, 3), (None, 0)]
)
def test_junit(threshold: Severity | None, failures: int) -> None:
    root = ET.fromstring(to_junit(REPORT, threshold))
    (suite,) = root
    assert suite.attrib == {
        "name": "dogbreed audit-iam",
        "tests": "5",
        "failures": str(failures),
        "errors": "2",
        "skipped": "0",
    }
    assert len(suite.findall("testcase")) == 5
    assert len(suite.findall("testcase/failure")) == failures
    assert len(suite.findall("testcase/error")) == 2
    assert suite[0].attrib["file"] == "infra/roles.yaml"


def test_junit_of_nothing_is_a_test_that_passed() -> None:
    (suite,) = ET.fromstring(to_junit(EMPTY))
    assert [one.tag for one in suite] == ["testcase"]
    assert not list(suite[0])


@given(reports)
def test_any_report_is_xml(report: Report) -> None:
    ET.fromstring(to_junit(report))


def test_markdown_shows_foreign_text_as_text() -> None:
    text = to_markdown(REPORT)
    assert text.startswith("### audit-iam: 1 critical, 1 medium, 1 low\n")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 5
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 5 for row in rows)
    assert "<script>" not in text
    assert "@everyone" not in text
    assert "1. builder passes role/admin to a function" in text
    assert "SM-NB-VPC" in text
    assert "broken.json:1:9" in text


def test_a_long_report_fits_a_comment() -> None:
    text = to_markdown(Report([ESCALATION] * 2_000, checked={}, data={}))
    assert len(text) < 65_536
    assert "did not fit" in text


@given(reports)
def test_an_annotation_is_one_line_and_one_command(report: Report) -> None:
    lines = to_annotations(report).split("\n")
    assert lines.pop() == ""
    assert len(lines) == len(report.findings) + len(report.undecided) + len(report.errors)
    for line in lines:
        properties, _, message = line.removeprefix("::").partition("::")
        command, _, pairs = properties.partition(" ")
        assert command in ("error", "warning", "notice")
        assert {pair.split("=")[0] for pair in pairs.split(",")} <= {"file", "line", "col", "title"}
        assert "\r" not in message


def test_annotations() -> None:
    first, second, *_ = to_annotations(REPORT).splitlines()
    assert first == (
        "::error file=infra/roles.yaml,line=12,col=7,title=lambda-001::builder can become an administrator.%0A"
        "1. builder passes role/admin to a function%0A2. the function runs it (infra/functions.yaml:30:9)%0A"
        "Fix: name the roles that may be passed"
    )
    assert second.startswith("::warning file=odd%2C name%3A\u2603.json,line=3,col=31,title=AA-INVALID_ACTION::")
    assert AWKWARD.fix.replace("%", "%25") in second


@pytest.mark.parametrize("form", FORMS)
@given(report=reports)
def test_the_same_report_gives_the_same_bytes(form: Callable[[Report], str], report: Report) -> None:
    text = form(report)
    assert form(report) == text
    assert text.endswith("\n") or not text


def test_json() -> None:
    value = json.loads(json.dumps(REPORT.to_json()))
    assert list(value) == ["findings", "undecided", "errors", "checked", "data"]
    assert list(value["findings"][0]) == [
        *("rule", "category", "severity", "confidence", "subject", "location", "actions", "path", "message", "fix"),
    ]
    assert value["findings"][0]["location"] == {"file": "infra/roles.yaml", "line": 12, "column": 7}
