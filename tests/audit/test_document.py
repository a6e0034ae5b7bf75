"""Reading policies: positions, broken input, tolerant reading, several documents."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dogbreed.audit import document, jsontext
from dogbreed.audit.finding import BrokenInput
from dogbreed.audit.model import HOLE, UNKNOWN, Kind

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def every_path(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[tuple[str | int, ...], Any]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(path, value), *(pair for key, member in members for pair in every_path(member, (*path, key)))]


@given(VALUES, st.sampled_from([None, 2]), st.sampled_from(["", "\ufeff", "\n\n "]))
def test_every_value_is_found_at_its_place(value: Any, indent: int | None, before: str) -> None:
    text = before + json.dumps(value, indent=indent, ensure_ascii=False)
    read, source = jsontext.parse(text, "a.json")
    assert read == value
    lines = text.removeprefix("\ufeff").split("\n")
    for path, member in every_path(value):
        place = source.locate(path)
        rest = "\n".join([lines[place.line - 1][place.column - 1 :], *lines[place.line :]])
        assert json.JSONDecoder().raw_decode(rest)[0] == member


@given(st.text())
def test_any_text_is_read_or_broken_at_a_place_inside(text: str) -> None:
    documents, errors = jsontext.parse_many(text, "a.json")
    for error in errors:
        assert 1 <= error.location.line <= text.count("\n") + 1
    assert documents or errors or not text.removeprefix("\ufeff").strip(" \t\r\n")


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [('{"a": 1,\n  b: 2}', 2, 3), ("[" * 100_000, 1, 201), ('{"a": NaN}', 1, 1), ('{"a":1} x', 1, 9)],
)
def test_broken_text_says_where(text: str, line: int, column: int) -> None:
    _, errors = jsontext.parse_many(text, "a.json")
    assert (errors[0].location.line, errors[0].location.column) == (line, column)


def test_a_broken_line_costs_only_itself() -> None:
    documents, errors = jsontext.parse_many('{"a": 1}\n{"b": \n{"c": 3}\n', "a.jsonl")
    assert [value for value, _ in documents] == [{"a": 1}, {"c": 3}]
    assert len(errors) == 1


def test_a_key_that_stands_twice_is_an_error_at_the_second() -> None:
    documents, errors = jsontext.parse_many('{"a": {"b": 1,\n "b": 2}}', "a.json")
    assert documents[0][0] == {"a": {"b": 2}}
    assert [(error.location.line, error.location.column) for error in errors] == [(2, 2)]


def test_single_values_become_lists_and_keep_their_place() -> None:
    text = '{"Statement": {"Effect": "Allow",\n "Action": "s3:*", "Resource": ["*", 5],\n'
    text += ' "Condition": {"Bool": {"a": true}}}}'
    (policy,), errors = document.read_policies(text, "a.json")
    (one,) = policy.statements
    assert not errors
    assert (one.actions, one.resources, one.conditions[0].values) == (("s3:*",), ("*",), ("true",))
    assert one.malformed == ("Resource holds a number instead of text",)
    assert one.at("Action", 0)[1:] == (2, 12)
    assert one.at("Resource", 1)[1:] == (2, 38)


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ({"Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}, Kind.TRUST),
        ({"Principal": "*", "Action": "s3:GetObject", "Resource": "*"}, Kind.RESOURCE),
        ({"Action": "sts:AssumeRole", "Resource": "*"}, Kind.IDENTITY),
    ],
)
def test_the_kind_follows_from_the_statements(statement: dict[str, Any], kind: Kind) -> None:
    (policy,), _ = document.read_policies(json.dumps({"Statement": [statement | {"Effect": "Allow"}]}), "a.json")
    assert policy.kind == kind


def test_policies_are_found_inside_other_values_and_in_strings() -> None:
    inner = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    encoded = "%7B%22Statement%22%3A%5B%5D%7D"
    value = {"Roles": [{"AssumeRolePolicyDocument": inner, "Policies": [json.dumps(inner), encoded]}]}
    policies, errors = document.read_policies(json.dumps(value), "a.json")
    assert not errors
    assert [policy.kind for policy in policies] == [Kind.TRUST, Kind.IDENTITY, Kind.IDENTITY]


@pytest.mark.parametrize(
    "statements",
    [
        [{"Effect": "Allow", "Action": "*", "Resource": "*"}, {"Efect": "Allow", "Action": "*", "Resource": "*"}],
        [{"Efect": "Allow", "Action": "*", "Resource": "*"}],
        ["Allow everything"],
    ],
)
def test_a_policy_with_broken_statements_is_still_one(statements: list[dict[str, str]]) -> None:
    text = json.dumps({"Version": "2012-10-17", "Statement": statements})
    (policy,), broken = document.read_policies(text, "policy.json")
    assert (len(policy.statements), broken) == (len(statements), [])


@pytest.mark.parametrize("key", ["Statment", "Statements", "statemnet"])
def test_a_policy_whose_statement_is_misspelled_is_still_one(key: str) -> None:
    value = {"Version": "2012-10-17", key: [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    (policy,), broken = document.read_policies(json.dumps(value), "policy.json")
    assert (policy.statements, broken) == ((), [])
    assert document.read_policies(json.dumps({"Version": "2012-10-17", "Estate": []}), "a.json") == ([], [])


def test_statements_of_something_else_are_no_policy() -> None:
    assert document.read_policies('{"Statement": [{"Amount": 3}], "Version": "2"}', "bank.json") == ([], [])


def test_the_unknown_stays_unknown() -> None:
    value = {"Statement": [UNKNOWN, {"Effect": "Allow", "Action": UNKNOWN, "Resource": ["a", UNKNOWN]}]}
    policy = document.make_policy(value, None, "p", jsontext.JsonSource("a.json", "{}"))
    assert [one.effect for one in policy.statements] == [HOLE, "Allow"]
    assert policy.statements[1].actions == (HOLE,)
    assert policy.statements[1].resources == ("a", HOLE)


@given(VALUES | st.fixed_dictionaries({"Statement": VALUES | st.lists(st.fixed_dictionaries({"Effect": VALUES}))}))
def test_no_value_crashes_the_reader(value: Any) -> None:
    source = jsontext.JsonSource("a.json", json.dumps(value))
    try:
        policy = document.make_policy(value, None, "p", source)
    except BrokenInput:
        return
    for statement in policy.statements:
        assert statement.at("Action").line == 1
