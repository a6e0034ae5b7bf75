"""Validity over many policies: AWS's own are clean where AWS says so, and nothing that is thrown at it breaks it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dogbreed.audit import managed, tables
from dogbreed.audit.document import make_policy
from dogbreed.audit.finding import Finding
from dogbreed.audit.model import HOLE, NOWHERE, UNKNOWN, Kind, Policy
from dogbreed.audit.validity.actions import expand
from dogbreed.audit.validity.check import look_at_policy

FLAGGED = {
    name
    for line in (Path(__file__).parent / "flagged_by_aws.txt").read_text().splitlines()
    if not line.startswith("#")
    for name in line.split()
}


def of_aws() -> dict[str, Policy]:
    texts = managed._data()["policies"]
    return {name: make_policy(json.loads(text), Kind.IDENTITY, name, NOWHERE) for name, text in texts.items()}


@pytest.mark.slow
def test_what_aws_calls_clean_is_clean() -> None:
    policies = {name: one for name, one in of_aws().items() if name.rpartition("/")[2] not in FLAGGED}
    said = {name for name, one in policies.items() if any(isinstance(x, Finding) for x in look_at_policy(one))}
    assert len(policies) > 1000
    # Policies that AWS has changed since are among them: of those older than the answers, 1 in 500 is wrong.
    assert len(said) / len(policies) <= 0.025, sorted(said)


@pytest.mark.slow
def test_most_of_what_aws_flags_is_flagged() -> None:
    policies = {name: one for name, one in of_aws().items() if name.rpartition("/")[2] in FLAGGED}
    silent = [name for name, one in policies.items() if not look_at_policy(one)]
    # Some have been mended since.
    assert len(silent) / len(policies) <= 0.1, silent


texts = st.sampled_from(
    [
        *("", "*", "s3:*", "s3:Get*", "s3:GetObject", "iam:PassRole", "nosuch:Thing", "s3", ":", "*:*", "S3:getobject"),
        *("arn:aws:s3:::b/*", "arn:aws:iam::123456789012:role/x", "arn:*", "arn:::::", "${aws:username}", "${", "${}"),
        *("${aws:a, 'b'}", "10.0.0.0/8", "::/0", "999.1.1.1/99", "true", "2024-01-01", "1e9", "-1", "nan", HOLE),
        *("Allow", "Deny", "2012-10-17", "AWS", "Service", "aws:SourceIp", "aws:TagKeys", "StringLike", "IpAddress"),
        *(
            "ForAllValues:StringEqualsIfExists",
            "Null",
            "NullIfExists",
            "Bool",
            "NumericLessThan",
            "DateEquals",
            "é\u2028",
        ),
    ]
) | st.text(max_size=8)
scalars = st.one_of(texts, st.booleans(), st.none(), st.integers(), st.floats(allow_nan=False), st.just(UNKNOWN))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(
    ["Effect", "Action", "NotAction", "Resource", "NotResource", "Principal", "NotPrincipal", "Condition", "Sid", "x"]
)
conditions = st.dictionaries(texts, st.dictionaries(texts, values, max_size=3) | values, max_size=3)
statements = st.dictionaries(names, values, max_size=6) | st.builds(
    lambda effect, action, resource, condition: {
        "Effect": effect,
        "Action": action,
        "Resource": resource,
        "Condition": condition,
    },
    texts,
    values,
    values,
    conditions,
)
documents = st.dictionaries(st.sampled_from(["Version", "Id", "Statement", "statement", "Foo"]), values) | st.builds(
    lambda version, inside: {"Version": version, "Statement": inside},
    values,
    st.lists(statements, max_size=4) | statements | values,
)


@given(documents, st.sampled_from(list(Kind)))
@settings(max_examples=400, deadline=None)
def test_nothing_breaks_it(document: dict[str, Any], kind: Kind) -> None:
    policy = make_policy(document, kind, "fuzzed", NOWHERE)
    found = look_at_policy(policy)
    assert found == look_at_policy(policy)
    for one in found:
        assert one.rule.startswith("AA-")
        json.dumps(one.to_json()).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    ("long", "short"),
    [
        ("iam:" + "*" * 300 + "P", "iam:*P"),
        ("iam:Put" + "*" * 300, "iam:Put*"),
        ("iam:*" + "*?" * 12 + "y", "iam:????????????*y"),
        ("iam:" + "*e" * 200, "iam:nothing"),
    ],
)
def test_runs_of_wildcards_mean_what_one_means_and_end(long: str, short: str) -> None:
    assert expand(long) == expand(short)
    assert tables.expand(long) == tables.expand(short)
    document = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": long, "Resource": "*"}}
    look_at_policy(make_policy(document, Kind.IDENTITY, "p", NOWHERE))
