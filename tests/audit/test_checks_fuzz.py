"""Whatever the settings of a resource are, the checks and the parsers say something, and nothing fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import PAIRS

from dogbreed.audit import engine
from dogbreed.audit.finding import CHECKS
from dogbreed.audit.parse import documents

engine.load_rules()


def names(value: Any) -> Iterator[str]:
    for key, member in value.items() if isinstance(value, dict) else ():
        yield key
        yield from names(member)
    for member in value if isinstance(value, list) else ():
        yield from names(member)


TYPES = sorted({type for check in CHECKS for type in check.types} | {"AWS::IAM::Role", "AWS::Serverless::Function"})
PROPERTIES = sorted({name for pair in PAIRS for one in (*pair.bad, *pair.good) for name in names(one)})
MORE = ["PolicyDocument", "AssumeRolePolicyDocument", "ManagedPolicyArns", "Policies", "LaunchTemplateData", "UserData"]
FUNCTIONS = st.sampled_from(
    [
        {"Ref": "P"},
        {"Ref": "Lists"},
        {"Ref": "AWS::NoValue"},
        {"Fn::GetAtt": ["A", "Arn"]},
        {"Fn::If": ["C", {"a": 1}, {"Ref": "AWS::NoValue"}]},
        {"Fn::Sub": "${P}-${A.Arn}"},
        {"Fn::Transform": {}},
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 70000)
    | st.sampled_from(["", "*", "Enabled", "0.0.0.0/0", "-1"])
    | FUNCTIONS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(PROPERTIES), inner, max_size=4),
    max_leaves=12,
)
RESOURCES = st.fixed_dictionaries(
    {
        "Type": st.sampled_from(TYPES),
        "Properties": st.dictionaries(st.sampled_from([*PROPERTIES, *MORE]), VALUES, max_size=8),
    }
)


@settings(max_examples=250, deadline=None)
@given(st.dictionaries(st.sampled_from("ABC"), RESOURCES, min_size=1))
def test_any_settings_are_judged(resources: dict[str, Any]) -> None:
    template = {
        "Parameters": {"P": {"Type": "String"}, "Lists": {"Type": "List<String>"}},
        "Conditions": {"C": {"Fn::Equals": [{"Ref": "P"}, "x"]}},
        "Resources": resources,
    }
    corpus = documents.read_text(json.dumps(template), "x", "json")
    assert [one for one in corpus.errors if "could not be read" in one.message] == []
    own = {
        rule.id
        for check in CHECKS
        if check.function.__module__.startswith("dogbreed.audit.checks")
        for rule in check.rules
    }
    report = engine.audit(corpus)
    assert [one for one in report.undecided if one.rule in own and "the rule failed" in one.reason] == []
