"""Every operator, with keys that are known, absent, or chosen by somebody."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dogbreed.audit.conditions import ABSENT, ANY, OPERATORS, Value, holds, known
from dogbreed.audit.model import HOLE, Condition


def outcome(operator: str, wanted: Any, value: Any, key: str = "aws:x", **others: str) -> str:
    values = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    held = (
        value
        if isinstance(value, Value)
        else ABSENT
        if value is None
        else known(*([value] if isinstance(value, str) else value))
    )
    facts = {key.lower(): held} | {name.replace("_", ":"): known(text) for name, text in others.items()}
    return str(holds(Condition(operator, key, values), lambda name: facts.get(name, ABSENT)))


@pytest.mark.parametrize(
    ("operator", "wanted", "value", "expected"),
    [
        ("StringEquals", "a", "a", "yes"),
        ("StringEquals", "a", "A", "no"),
        ("StringEquals", "a*", "ab", "no"),
        ("StringEquals", ["a", "b"], "b", "yes"),
        ("StringEquals", "a", None, "no"),
        ("StringEquals", [], "a", "no"),
        ("stringequals", "a", "a", "yes"),
        ("StringNotEquals", "a", None, "yes"),
        ("StringNotEquals", ["a", "b"], "b", "no"),
        ("StringNotEquals", ["a", "b"], "c", "yes"),
        ("StringEqualsIgnoreCase", "A", "a", "yes"),
        ("StringNotEqualsIgnoreCase", "A", "a", "no"),
        ("StringLike", "a*", "ab", "yes"),
        ("StringLike", "a?", "abc", "no"),
        ("StringLike", "A*", "ab", "no"),
        ("StringNotLike", "a*", "ab", "no"),
        ("StringEqualsIfExists", "a", None, "yes"),
        ("StringEqualsIfExists", "a", "b", "no"),
        ("StringEquals", "a", ["a", "b"], "no"),
        ("ForAnyValue:StringEquals", "a", ["a", "b"], "yes"),
        ("ForAnyValue:StringEquals", "c", ["a", "b"], "no"),
        ("ForAnyValue:StringEquals", "a", None, "no"),
        ("ForAnyValue:StringNotEquals", "a", None, "no"),
        ("ForAnyValue:StringNotEquals", "a", ["a", "b"], "yes"),
        ("ForAllValues:StringEquals", ["a", "b"], ["a", "b"], "yes"),
        ("ForAllValues:StringEquals", "a", ["a", "b"], "no"),
        ("ForAllValues:StringEquals", "a", None, "yes"),
        ("ForAllValues:StringLike", "a*", [], "yes"),
        ("ForAllValues:StringNotLike", "a*", ["b", "c"], "yes"),
        ("ForAllValues:StringEquals", "a", "a", "yes"),
        ("ForAnyValue:StringEqualsIfExists", "a", None, "yes"),
        ("NumericEquals", "10", "10.0", "yes"),
        ("NumericLessThan", "10", "9", "yes"),
        ("NumericLessThan", "10", "10", "no"),
        ("NumericLessThanEquals", "10", "10", "yes"),
        ("NumericGreaterThan", "10", "9", "no"),
        ("NumericGreaterThanEquals", "10", "x", "no"),
        ("NumericNotEquals", "10", "9", "yes"),
        ("DateLessThan", "2030-01-01T00:00:00Z", "2029-12-31T23:59:59Z", "yes"),
        ("DateGreaterThan", "2030-01-01", "2030-01-01T00:00:01Z", "yes"),
        ("DateEquals", "0", "1970-01-01T00:00:00Z", "yes"),
        ("DateEquals", "2030-01-01T01:00:00+01:00", "2030-01-01T00:00:00Z", "yes"),
        ("DateLessThan", "soon", "2029-12-31T23:59:59Z", "no"),
        ("Bool", "true", "true", "yes"),
        ("Bool", "True", "true", "yes"),
        ("Bool", "false", None, "no"),
        ("BoolIfExists", "false", None, "yes"),
        ("BinaryEquals", "QmluYXJ5", "QmluYXJ5", "yes"),
        ("IpAddress", "203.0.113.0/24", "203.0.113.9", "yes"),
        ("IpAddress", "203.0.113.9", "203.0.113.9", "yes"),
        ("IpAddress", "203.0.113.0/24", "203.0.114.9", "no"),
        ("IpAddress", "2001:db8::/32", "2001:db8::1", "yes"),
        ("IpAddress", "2001:db8::/32", "203.0.113.9", "no"),
        ("NotIpAddress", ["10.0.0.0/8", "203.0.113.0/24"], "203.0.113.9", "no"),
        ("NotIpAddress", "10.0.0.0/8", "203.0.113.9", "yes"),
        ("NotIpAddress", "10.0.0.0/8", None, "yes"),
        ("ArnEquals", "arn:aws:s3:::a*", "arn:aws:s3:::abc", "yes"),
        ("ArnLike", "arn:aws:iam::*:role/x", "arn:aws:iam::123456789012:role/x", "yes"),
        ("ArnLike", "arn:aws:iam::*:x", "arn:aws:iam::123456789012:role:x", "no"),
        ("ArnNotLike", "arn:aws:iam::1:*", "arn:aws:iam::2:role/x", "yes"),
        ("Null", "true", None, "yes"),
        ("Null", "false", None, "no"),
        ("Null", "false", "a", "yes"),
        ("Null", "true", ANY, "unknown"),
        ("NoSuchOperator", "a", "a", "no"),
    ],
)
def test_operators(operator: str, wanted: Any, value: Any, expected: str) -> None:
    assert outcome(operator, wanted, value) == expected


@pytest.mark.parametrize(
    ("operator", "wanted", "value", "expected"),
    [
        ("StringEquals", "a", ANY, "unknown"),
        ("StringLike", "*", ANY, "unknown"),
        ("StringLike", "*", Value(None), "yes"),
        ("StringNotLike", "*", Value(None), "no"),
        ("StringNotEquals", "a", ANY, "unknown"),
        ("IpAddress", "0.0.0.0/0", Value(None), "yes"),
        ("NotIpAddress", "0.0.0.0/0", Value(None), "no"),
        # No request comes from the machine itself, its link, or nowhere.
        ("IpAddress", ["127.0.0.0/8", "::1", "169.254.0.0/16", "fe80::/10", "0.0.0.0/32", "::"], ANY, "no"),
        ("NotIpAddress", "127.0.0.1", ANY, "yes"),
        ("IpAddressIfExists", "127.0.0.1", ANY, "unknown"),
        ("IpAddress", ["127.0.0.0/8", "10.0.0.0/8"], ANY, "unknown"),
        ("IpAddress", "126.0.0.0/7", ANY, "unknown"),
        ("IpAddress", ["127.0.0.1", HOLE], ANY, "unknown"),
        ("StringEquals", "arn:aws:iam::1:role/x", Value(("arn:aws:iam::2:role/*",), patterns=True), "no"),
        ("ArnLike", "arn:aws:iam::*:role/x", Value(("arn:aws:iam::2:role/*",), patterns=True), "unknown"),
        ("ArnLike", "arn:*:iam::*:role/*", Value(("arn:aws:iam::2:role/*",), patterns=True), "yes"),
        ("ArnNotLike", "arn:aws:iam::1:*", Value(("arn:aws:iam::2:role/*",), patterns=True), "yes"),
        ("StringEquals", "a", known(HOLE), "unknown"),
        ("StringEquals", HOLE, known("a"), "unknown"),
        (HOLE, "a", known("a"), "unknown"),
    ],
)
def test_what_is_not_known_or_chosen_by_an_attacker(operator: str, wanted: str, value: Value, expected: str) -> None:
    assert outcome(operator, wanted, value) == expected


def test_variables_in_values() -> None:
    assert outcome("StringEquals", "${aws:username}", "ann", aws_username="ann") == "yes"
    assert outcome("StringEquals", "${aws:username}", "ann") == "no"
    assert outcome("StringEquals", "${aws:username, 'ann'}", "ann") == "yes"
    assert outcome("StringLike", "a${*}b", "axb") == "no"
    assert outcome("StringLike", "a${*}b", "a*b") == "yes"
    assert outcome("StringLike", "${aws:username}*", "*", aws_username="ann") == "no"


@given(
    st.sampled_from(["", "ForAllValues:", "ForAnyValue:"]),
    st.sampled_from(sorted(OPERATORS)),
    st.sampled_from(["", "IfExists"]),
    st.lists(st.text("a*?1.:/$-{}T ", max_size=12), max_size=3),
    st.none() | st.lists(st.text("a*1.:/", max_size=8), min_size=1, max_size=3),
)
def test_nothing_crashes_and_what_is_sure_holds_for_each_case(
    quantifier: str, operator: str, ending: str, wanted: list[str], value: list[str] | None
) -> None:
    name = quantifier + operator + ending
    # AWS takes several values without a quantifier for no match, and keys that are true or false hold nothing else.
    value = value if quantifier or value is None else value[:1]
    value = ["true"] if operator == "bool" else value
    one = outcome(name, wanted, value)
    assert one in ("yes", "no")
    free = outcome(name, wanted, ANY)
    assert free in ("unknown", one)
