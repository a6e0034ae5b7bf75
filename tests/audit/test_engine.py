"""The engine: whatever the input, it ends, says the same again, and hides nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from cases import allow, document
from hypothesis import given, settings
from hypothesis import strategies as st

from dogbreed.audit import engine, finding, tables
from dogbreed.audit.document import make_policy, read_policies
from dogbreed.audit.finding import CHECKS, Category, Finding, Rule, Severity, check
from dogbreed.audit.model import HOLE, NOWHERE, UNKNOWN, Corpus, Kind, Policy

ACTIONS = st.sampled_from(
    [
        *(f"{one}" for one in tables.sinks()[::40]),
        "iam:PassRole",
        "iam:*",
        "*",
        "sts:Assume*",
        "s3:Get?bject",
        HOLE,
        "",
        ":",
        "x",
    ]
)
ARNS = st.sampled_from(
    [
        "*",
        "arn:aws:iam::*:role/*",
        "arn:aws:iam::123456789012:user/${aws:username}",
        "arn:aws:s3:::b/*",
        HOLE,
        "",
        "arn:",
        "::::::",
        "a" * 300,
    ]
)
TEXT = st.text(max_size=8) | st.sampled_from(
    ["*", "${", "${aws:x}", "${aws:x, 'y'}", "arn:aws:iam::1:*", "true", "0.0.0.0/0", HOLE]
)
ODD = (
    st.none()
    | st.booleans()
    | st.integers()
    | TEXT
    | st.lists(TEXT, max_size=2)
    | st.dictionaries(TEXT, TEXT, max_size=2)
)
OPERATORS = st.sampled_from(
    ["StringLike", "ForAllValues:StringEquals", "Null", "IpAddress", "Bool", "DateLessThan", "ArnLike", "Numeric", ""]
)
KEYS = st.sampled_from(["aws:SourceIp", "iam:PassedToService", "aws:PrincipalArn", "sts:ExternalId", "", "x", HOLE])
CONDITIONS = st.dictionaries(
    OPERATORS, st.dictionaries(KEYS, TEXT | st.lists(TEXT, max_size=3), max_size=2) | ODD, max_size=2
)
PRINCIPALS = st.sampled_from(
    ["*", {"AWS": "*"}, {"AWS": ["123456789012", HOLE]}, {"Service": "ec2.amazonaws.com"}, {"Federated": "x"}, 5, None]
)
STATEMENTS = st.fixed_dictionaries(
    {"Effect": st.sampled_from(["Allow", "Deny", "allow", HOLE]) | ODD},
    optional={
        "Action": ACTIONS | st.lists(ACTIONS, max_size=4) | ODD,
        "NotAction": ACTIONS | ODD,
        "Resource": ARNS | st.lists(ARNS, max_size=3) | ODD,
        "NotResource": ARNS | ODD,
        "Principal": PRINCIPALS,
        "NotPrincipal": PRINCIPALS,
        "Condition": CONDITIONS | ODD,
        "Sid": ODD,
    },
)
DOCUMENTS = st.fixed_dictionaries(
    {"Statement": st.lists(STATEMENTS | st.just(UNKNOWN), max_size=4) | STATEMENTS},
    optional={"Version": st.sampled_from(["2012-10-17", "2008-10-17"]) | ODD},
)


@settings(deadline=None)
@given(st.lists(st.tuples(DOCUMENTS, st.sampled_from(list(Kind))), max_size=3))
def test_no_document_makes_a_rule_fail(documents: list[tuple[Any, Kind]]) -> None:
    policies = [make_policy(one, kind, f"p{number}", NOWHERE) for number, (one, kind) in enumerate(documents)]
    report = engine.audit(Corpus(policies=policies))
    assert [one for one in report.undecided if "failed" in one.reason] == []
    again = engine.audit(Corpus(policies=policies))
    assert json.dumps(report.to_json()) == json.dumps(again.to_json())


def calls_for(statements: int) -> int:
    """How many Python functions an audit of one policy calls: a measure of work that no other process disturbs."""
    many = [
        allow([f"s3:Get{number}", "lambda:Update*"], f"arn:aws:s3:::bucket-{number}/*", Sid=f"S{number}")
        for number in range(statements)
    ]
    policies, _ = read_policies(json.dumps(document(*many)), "big.json")
    count = 0

    def look(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        engine.audit(Corpus(policies=policies))
    finally:
        sys.setprofile(before)
    return count


def test_work_grows_with_the_number_of_statements_and_no_faster() -> None:
    calls_for(10)
    assert calls_for(2_000) < 13 * calls_for(200)


@pytest.fixture
def own_checks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A registry in which only the checks of the test stand."""
    monkeypatch.setattr(engine, "RULE_MODULES", ())
    monkeypatch.setattr(engine, "CHECKS", [])
    monkeypatch.setattr(finding, "CHECKS", engine.CHECKS)
    monkeypatch.setattr(finding, "RULES", {})
    yield
    assert CHECKS is not engine.CHECKS


@pytest.mark.usefixtures("own_checks")
def test_a_rule_that_fails_is_undecided_and_hides_no_other() -> None:
    good = Rule("GOOD", Category.TRUST, Severity.LOW, "t", "w", "f")
    bad = Rule("BAD", Category.TRUST, Severity.LOW, "t", "w", "f")

    @check(bad, over=Policy)
    def breaks(policy: Policy, corpus: Corpus) -> Iterator[Finding]:
        raise ZeroDivisionError("by design")

    @check(good, over=Policy)
    def works(policy: Policy, corpus: Corpus) -> Iterator[Finding]:
        yield Finding(good.id, good.category, good.severity, policy.name, policy.location, "found", "mend")

    made = make_policy(document(allow("s3:GetObject")), Kind.IDENTITY, "p", NOWHERE)
    report = engine.audit(Corpus(policies=[made]))
    assert [one.rule for one in report.findings] == ["GOOD"]
    assert [(one.rule, one.subject) for one in report.undecided] == [("BAD", "p")]
    assert "by design" in report.undecided[0].reason


def test_statements_that_are_not_known_are_undecided() -> None:
    known = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    statements = [UNKNOWN, 5, known, {**known, "Action": ["s3:GetObject", f"s3:{HOLE}"]}, {**known, "Resource": HOLE}]
    report = engine.audit(Corpus(policies=[make_policy({"Statement": statements}, None, "p", NOWHERE)]))
    assert len([one for one in report.undecided if one.rule == "policy"]) == 3


def test_rules_say_what_they_are() -> None:
    engine.load_rules()
    for rule in finding.RULES.values():
        assert rule.title and rule.why and rule.fix, rule.id
        assert rule.id.strip() == rule.id
