"""Several conditions on one key: they hold together only where one value of the key meets them all."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from deciding import policy, statement
from hypothesis import given
from hypothesis import strategies as st

from dogbreed.audit.conditions import ABSENT, ANY, Value, all_hold, known

KEY = "aws:x"
DAY = "2023-01-01T00:00:00Z"


def together(value: Value, conditions: dict[str, Any]) -> str:
    made = policy(statement(Condition={operator: {KEY: wanted} for operator, wanted in conditions.items()}))
    return str(all_hold(made.statements[0], lambda key: value if key == KEY else ABSENT))


@pytest.mark.parametrize(
    "conditions",
    [
        {"StringEquals": "a", "StringNotEquals": "a"},
        {"StringEquals": ["a", "b"], "StringNotEquals": ["b", "a"]},
        {"StringLike": "a*", "StringNotLike": "a*"},
        {"StringLike": "ab*", "StringNotLike": "a*"},
        {"StringEquals": "ab", "StringNotLike": "a*"},
        {"ArnLike": "arn:aws:iam::1:role/a", "ArnNotLike": "arn:aws:iam::1:role/*"},
        {"StringEqualsIgnoreCase": "a", "StringNotEqualsIgnoreCase": "A"},
        {"Null": "true", "StringEquals": "a"},
        {"Null": ["true"], "NumericLessThan": "5"},
        {"NumericLessThan": "1", "NumericGreaterThan": "100"},
        {"NumericLessThan": "5", "NumericGreaterThanEquals": "5"},
        {"DateLessThan": DAY, "DateGreaterThan": DAY},
        {"Bool": "true", "BoolIfExists": "false"},
        {"IpAddress": "10.1.0.0/16", "NotIpAddress": "10.0.0.0/8"},
    ],
)
def test_what_excludes_each_other_never_holds(conditions: dict[str, Any]) -> None:
    assert together(ANY, conditions) == "no"
    assert {together(ANY, {operator: wanted}) for operator, wanted in conditions.items()} == {"unknown"}


@pytest.mark.parametrize(
    "conditions",
    [
        {"StringEqualsIfExists": "a", "StringNotEquals": "a"},
        {"StringEquals": ["a", "b"], "StringNotEquals": "a"},
        {"StringLike": "a*", "StringNotLike": "ab*"},
        {"StringLike": ["a*"], "StringNotEquals": ["a", "ab"]},
        {"StringEqualsIgnoreCase": "a", "StringNotEquals": "a"},
        {"StringNotLike": ["", "???*"], "Null": "false"},
        {"Null": "true", "StringNotEquals": "a"},
        {"NumericLessThan": "2", "NumericGreaterThan": "1"},
        {"DateLessThan": "2023-01-02", "DateGreaterThan": DAY},
        {"IpAddress": "10.0.0.0/8", "NotIpAddress": "10.1.0.0/16"},
        {"ForAnyValue:StringEquals": "a", "ForAnyValue:StringLike": "b*"},
        {"NumericEquals": "1", "StringNotEquals": "1.0"},
    ],
)
def test_what_some_value_meets_may_hold(conditions: dict[str, Any]) -> None:
    assert together(ANY, conditions) == "unknown"


def test_an_unknown_value_excludes_nothing() -> None:
    made = {"StringEquals": "${aws:y}", "StringNotEquals": "a"}
    condition = {operator: {KEY: wanted} for operator, wanted in made.items()}
    (one,) = policy(statement(Condition=condition)).statements
    assert str(all_hold(one, lambda key: ANY)) == "unknown"


TEXTS = ["".join(letters) for length in range(4) for letters in product("ab", repeat=length)]
GLOBS = st.lists(st.sampled_from(["", "a", "b", "ab", "?", "*", "a*", "*b", "a?", "??", "*a*"]), min_size=1, max_size=3)
OPERATORS = st.sampled_from(
    ["StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "StringEqualsIfExists", "StringNotLikeIfExists"]
)
CONDITIONS = st.dictionaries(OPERATORS, GLOBS, min_size=2, max_size=3)


@given(CONDITIONS, st.booleans())
def test_no_value_is_overlooked(conditions: dict[str, Any], exists: bool) -> None:
    """NO is said only where every text, and the absent key, fails."""
    conditions |= {"Null": "false"} if exists else {}
    met = any(together(known(text), conditions) == "yes" for text in TEXTS) or together(ABSENT, conditions) == "yes"
    assert not met or together(ANY, conditions) != "no"


@given(st.dictionaries(st.sampled_from(["StringEquals", "StringNotEquals", "Null"]), GLOBS, min_size=2))
def test_without_wildcards_it_is_exact(conditions: dict[str, Any]) -> None:
    exact = {"Null": "true"} if "Null" in conditions else {}
    conditions = {name: [one.strip("*?") for one in globs] for name, globs in conditions.items()} | exact
    met = any(together(known(text), conditions) == "yes" for text in TEXTS) or together(ABSENT, conditions) == "yes"
    assert met == (together(ANY, conditions) != "no")


LIMITS = st.dictionaries(
    st.sampled_from(
        ["NumericLessThan", "NumericGreaterThan", "NumericEquals", "NumericNotEquals", "NumericLessThanIfExists"]
    ),
    st.lists(st.sampled_from(["0", "1", "1.5", "2"]), min_size=1, max_size=2),
    min_size=2,
)


@given(LIMITS)
def test_numbers_are_exact(conditions: dict[str, Any]) -> None:
    numbers = [str(quarter / 4) for quarter in range(-4, 13)]
    met = any(together(known(text), conditions) == "yes" for text in numbers) or together(ABSENT, conditions) == "yes"
    assert met == (together(ANY, conditions) != "no")
