"""AWS's evaluation logic, case by case, and the laws that hold for all policies."""

from __future__ import annotations

from typing import Any

import pytest
from deciding import ACCOUNT, OBJECT, OTHER, ROLE, SESSION, USER, answer, policy, resource_policy, statement
from hypothesis import given
from hypothesis import strategies as st

from dogbreed.audit.decide import Layers, Request, decide
from dogbreed.audit.model import HOLE, Kind

ROOT = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (statement(), "yes"),
        (statement(action="S3:getobject"), "yes"),
        (statement(action="s3:Get*"), "yes"),
        (statement(action="s3:GetObjec?"), "yes"),
        (statement(action="s3:GetObject?"), "no"),
        (statement(action="s3:GetObject "), "no"),
        (statement(action="s3:GetObject,PutObject"), "no"),
        (statement(action="*"), "yes"),
        (statement(action=[]), "no"),
        (statement(action=None, NotAction="iam:*"), "yes"),
        (statement(action=None, NotAction=["s3:Get*"]), "no"),
        (statement(resource="arn:aws:s3:::bucket/*"), "yes"),
        (statement(resource="arn:aws:s3:::Bucket/*"), "no"),
        (statement(resource="arn:aws:s3:::bucket"), "no"),
        (statement(resource="arn:aws:s3:::bucket/ann/photo.jp?"), "yes"),
        (statement(resource=None, NotResource="arn:aws:s3:::bucket/ann/*"), "no"),
        (statement(resource=None, NotResource="arn:aws:s3:::other/*"), "yes"),
        (statement(resource=None), "no"),
        (statement(resource="arn:aws:s3:::bucket/${aws:username}/*"), "yes"),
        (statement(resource="arn:aws:s3:::bucket/${aws:PrincipalTag/team}/*"), "no"),
        (statement(resource="arn:aws:s3:::bucket/${aws:PrincipalTag/team, 'ann'}/*"), "yes"),
        (statement(resource="arn:aws:s3:::bucket/ann/${*}"), "no"),
        (statement(effect="Deny"), "no"),
        (statement(resource=f"arn:aws:s3:::{HOLE}/*"), "unknown"),
        (statement(resource=f"arn:aws:s3:::{HOLE}", action="s3:Put*"), "no"),
        (statement(action=HOLE), "unknown"),
    ],
)
def test_a_single_identity_statement(one: dict[str, Any], expected: str) -> None:
    assert answer(one) == expected


def test_variables_are_plain_text_in_the_old_version() -> None:
    one = statement(resource="arn:aws:s3:::bucket/${aws:username}/*")
    assert answer(one, version="2008-10-17") == "no"
    assert answer(one, version="2008-10-17", resource="arn:aws:s3:::bucket/${aws:username}/x") == "yes"


def test_a_value_with_a_star_is_no_wildcard() -> None:
    one = statement(resource="arn:aws:s3:::bucket/${aws:PrincipalTag/team}/*")
    assert answer(one, tags={"team": "*"}) == "no"
    assert answer(one, tags={"Team": "ann"}) == "yes"


def test_an_explicit_deny_wins_in_every_layer() -> None:
    allow, deny = statement(), statement("Deny", "s3:*", Principal="*")
    everything = policy(statement(action="*"))
    assert answer(allow) == "yes"
    assert answer(allow, statement("Deny", "s3:*")) == "no"
    assert answer(allow, resource=OBJECT, boundary=policy(statement(action="*"), statement("Deny", "s3:*"))) == "no"
    assert answer(allow, scps=[[everything], [everything, policy(statement("Deny", "s3:Get*"))]]) == "no"
    for layers in ({"resource": [resource_policy(deny)]}, {"session": [policy(statement(action="*"), deny)]}):
        assert decide(Request(SESSION, "s3:GetObject", OBJECT), Layers([everything], **layers)).answer.name == "NO"


@pytest.mark.parametrize(
    ("principal", "expected"),
    [
        ({"AWS": USER}, "yes"),
        ({"AWS": [ROLE, USER]}, "yes"),
        (USER, "yes"),
        ("*", "yes"),
        ({"AWS": "*"}, "yes"),
        (ROOT, "no"),
        ({"AWS": ACCOUNT}, "no"),
        ({"AWS": ROLE}, "no"),
        ({"AWS": USER.upper()}, "no"),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:user/*"}, "no"),
        ({"Service": "s3.amazonaws.com"}, "no"),
        ({"AWS": HOLE}, "unknown"),
    ],
)
def test_in_one_account_the_resource_policy_suffices_when_it_names_the_user(principal: Any, expected: str) -> None:
    request = Request(USER, "s3:GetObject", OBJECT)
    layers = Layers(resource=[resource_policy(statement(Principal=principal))])
    assert str(decide(request, layers).answer) == expected


def test_across_accounts_both_sides_have_to_allow() -> None:
    both = [resource_policy(statement(Principal=ROOT))]
    request = Request(USER, "s3:GetObject", OBJECT, account=OTHER)
    allow = [policy(statement())]
    assert str(decide(request, Layers(allow, both)).answer) == "yes"
    assert str(decide(request, Layers([], both)).answer) == "no"
    assert str(decide(request, Layers(allow)).answer) == "no"
    assert str(decide(request, Layers(allow, [resource_policy(statement(Principal={"AWS": OTHER}))])).answer) == "no"


def with_limit(principal: str, by: str, **limit: Any) -> str:
    layers = Layers(resource=[resource_policy(statement(Principal={"AWS": by}))], **limit)
    return str(decide(Request(principal, "s3:GetObject", OBJECT), layers).answer)


@pytest.mark.parametrize(
    ("principal", "by", "boundary", "session"),
    [
        (USER, USER, "yes", "yes"),
        (ROLE, ROLE, "no", "no"),
        (SESSION, ROLE, "no", "no"),
        (SESSION, SESSION, "yes", "yes"),
    ],
)
def test_what_a_boundary_does_not_mention(principal: str, by: str, boundary: str, session: str) -> None:
    """A resource policy that names a user or a session itself is not limited by what is only left out."""
    narrow = policy(statement(action="ec2:*"))
    assert with_limit(principal, by, boundary=narrow) == boundary
    assert with_limit(principal, by, session=[narrow]) == session
    assert with_limit(principal, by, boundary=policy(statement("Deny", "s3:*"))) == "no"
    assert with_limit(principal, by, scps=[[narrow]]) == "no"


def test_boundaries_and_session_policies_grant_nothing() -> None:
    everything = policy(statement(action="*"))
    assert answer(boundary=everything) == "no"
    assert answer(session=[everything]) == "no"
    assert answer(statement(), boundary=everything, session=[everything]) == "yes"
    assert answer(statement(), boundary=policy(statement(action="ec2:*"))) == "no"


def test_each_level_of_scps_has_to_allow() -> None:
    everything = policy(statement(action="*"))
    assert answer(statement(), scps=[[everything], [everything]]) == "yes"
    assert answer(statement(), scps=[[everything], []]) == "no"
    linked = f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/x.amazonaws.com/X"
    assert answer(statement(), principal=linked, scps=[[]]) == "yes"


@pytest.mark.parametrize(
    ("listed", "principal", "expected"),
    [
        ([USER], USER, "yes"),
        ([ROLE], USER, "no"),
        ([ROLE, SESSION], SESSION, "yes"),
        ([ROLE], SESSION, "no"),
        ([ROLE, ROOT["AWS"]], SESSION, "no"),
        # The account beside somebody lets that one pass, not everybody else of the account.
        ([ROOT["AWS"]], USER, "no"),
        ([ROLE, ROOT["AWS"]], USER, "no"),
        ([ROLE, ACCOUNT], USER, "no"),
        ([USER, ROOT["AWS"]], USER, "yes"),
        ([ROOT["AWS"]], ROOT["AWS"], "yes"),
        ([USER], ROOT["AWS"], "no"),
    ],
)
def test_a_deny_with_not_principal(listed: list[str], principal: str, expected: str) -> None:
    deny = resource_policy(statement("Deny", "s3:*", NotPrincipal={"AWS": listed}))
    request = Request(principal, "s3:GetObject", OBJECT)
    assert str(decide(request, Layers([policy(statement())], [deny])).answer) == expected
    bounded = Layers([policy(statement())], [deny], boundary=policy(statement()))
    assert str(decide(request, bounded).answer) == "no", "with a boundary it always denies"


def test_keys_and_roles_decide_themselves() -> None:
    key = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1"
    allow = [policy(statement(action="kms:*"))]
    request = Request(USER, "kms:Decrypt", key)
    delegates = [resource_policy(statement(action="kms:*", Principal=ROOT))]
    assert str(decide(request, Layers(allow)).answer) == "no"
    assert str(decide(request, Layers(allow, delegates)).answer) == "yes"
    assert str(decide(request, Layers([], delegates)).answer) == "no"
    trust = policy({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": USER}}, kind=Kind.TRUST)
    assert str(decide(Request(USER, "sts:AssumeRole", ROLE), Layers([], [trust])).answer) == "yes"
    assert (
        str(decide(Request(SESSION, "sts:AssumeRole", ROLE), Layers([policy(statement(action="*"))], [trust])).answer)
        == "no"
    )


def test_services_and_strangers_only_have_the_resource_policy() -> None:
    service = [resource_policy(statement(Principal={"Service": "logs.amazonaws.com"}))]
    anyone = [resource_policy(statement(Principal="*"))]
    for principal, layers, expected in (
        ("logs.amazonaws.com", service, "yes"),
        ("sns.amazonaws.com", service, "no"),
        ("*", service, "no"),
        ("*", anyone, "yes"),
        ("sns.amazonaws.com", anyone, "yes"),
    ):
        assert str(decide(Request(principal, "s3:GetObject", OBJECT), Layers(resource=layers)).answer) == expected


def test_actions_without_resources_need_a_star() -> None:
    listing = {"action": "s3:ListAllMyBuckets", "resource": "*"}
    assert answer(statement(action="s3:*"), **listing) == "yes"
    assert answer(statement(action="s3:*", resource="arn:aws:s3:::bucket"), **listing) == "no"
    deny = statement("Deny", "s3:*", None, NotResource="arn:aws:s3:::bucket")
    assert answer(statement(action="s3:*"), deny, **listing) == "no"


def test_a_question_with_a_star_asks_whether_some_such_request_is_allowed() -> None:
    assert answer(statement(resource="arn:aws:s3:::a/*"), resource="*") == "yes"
    assert answer(statement(resource="arn:aws:s3:::*/logs/*"), resource="arn:aws:s3:::a/*") == "yes"
    assert answer(statement(), statement("Deny", resource="arn:aws:s3:::a/*"), resource="*") == "yes"
    assert answer(statement(), statement("Deny"), resource="*") == "no"
    assert answer(statement(action="s3:GetObject"), action="s3:*") == "yes"


def test_a_decision_names_the_statement() -> None:
    decision = decide(Request(USER, "s3:GetObject", OBJECT), Layers([policy(statement(Sid="Reading"))]))
    assert decision.statement and decision.statement.sid == "Reading"
    assert "Reading" in decision.explanation


def test_a_policy_of_a_resource_has_to_say_of_whom_it_speaks() -> None:
    request = Request(USER, "s3:GetObject", OBJECT)
    assert str(decide(request, Layers(resource=[resource_policy(statement())])).answer) == "no"
    assert str(decide(request, Layers([policy(statement())], [resource_policy(statement("Deny"))])).answer) == "yes"
    assert answer(statement(Principal={"AWS": ROLE})) == "yes", "in an identity policy the element means nothing"


def test_what_belongs_to_aws_stays_as_it_is() -> None:
    every = statement(action="*")
    for action, resource, expected in (
        ("iam:CreatePolicyVersion", "arn:aws:iam::aws:policy/AdministratorAccess", "no"),
        ("iam:GetPolicy", "arn:aws:iam::aws:policy/AdministratorAccess", "yes"),
        ("iam:CreatePolicyVersion", f"arn:aws:iam::{ACCOUNT}:policy/x", "yes"),
        ("iam:PutRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/aws-reserved/sso.amazonaws.com/X", "no"),
        ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/x.amazonaws.com/X", "no"),
        ("iam:PassRole", ROLE, "yes"),
    ):
        assert answer(every, action=action, resource=resource) == expected


def test_control_policies_bind_the_principals_of_accounts() -> None:
    anyone, deny = [resource_policy(statement(Principal="*"))], policy(statement("Deny", Principal="*"), kind=Kind.RCP)
    request = Request("*", "s3:GetObject", OBJECT)
    assert str(decide(request, Layers(resource=anyone, scps=[[policy(statement("Deny"))]])).answer) == "yes"
    assert str(decide(request, Layers(resource=anyone, rcps=[[], [deny]])).answer) == "no"
    assert answer(statement(), rcps=[[]]) == "yes", "one that allows everything is always there"


def test_the_policy_of_a_vpc_endpoint_limits() -> None:
    narrow = policy(statement(Principal={"AWS": ROLE}), kind=Kind.VPC_ENDPOINT)
    assert answer(statement(), endpoint=narrow) == "no"
    assert answer(statement(), principal=ROLE, endpoint=narrow) == "yes"


def test_a_no_says_which_condition_was_missing() -> None:
    tls = policy(statement(Condition={"Bool": {"aws:SecureTransport": "true"}}))
    request = Request(USER, "s3:GetObject", OBJECT)
    assert "aws:SecureTransport" in decide(request, Layers([tls])).explanation
    met = Request(USER, "s3:GetObject", OBJECT, {"aws:securetransport": ["true"]})
    assert str(decide(met, Layers([tls])).answer) == "yes"


PARTS = {
    "action": st.sampled_from(["s3:GetObject", "s3:*", "*", "s3:Put*", "iam:PassRole", HOLE]),
    "resource": st.sampled_from([OBJECT, "*", "arn:aws:s3:::bucket/*", "arn:aws:s3:::other/*", f"arn:aws:s3:::{HOLE}"]),
}
CONDITIONS = st.sampled_from(
    [
        {},
        {"Condition": {"StringEquals": {"aws:username": "ann"}}},
        {"Condition": {"StringNotEquals": {"aws:username": "ann"}}},
        {"Condition": {"Bool": {"aws:SecureTransport": HOLE}}},
        {"Condition": {"IpAddressIfExists": {"aws:SourceIp": "10.0.0.0/8"}}},
    ]
)
STATEMENTS = st.builds(
    lambda effect, more, **parts: statement(effect, **parts, **more),
    st.sampled_from(["Allow", "Deny"]),
    CONDITIONS,
    **PARTS,
)
RANK = {"no": 0, "unknown": 1, "yes": 2}


@given(st.lists(STATEMENTS, max_size=4), STATEMENTS, st.sampled_from([USER, SESSION, ROLE, "*"]))
def test_a_deny_never_adds_and_an_allow_never_takes(before: list[Any], one: dict[str, Any], principal: str) -> None:
    kept, more = answer(*before, principal=principal), answer(*before, one, principal=principal)
    assert RANK[more] <= RANK[kept] if one["Effect"] == "Deny" else RANK[more] >= RANK[kept]


@given(st.lists(STATEMENTS, max_size=4), st.lists(STATEMENTS, max_size=3))
def test_a_boundary_only_limits(own: list[Any], limit: list[Any]) -> None:
    assert RANK[answer(*own, boundary=policy(*limit))] <= RANK[answer(*own)]
    assert RANK[answer(*own, scps=[[policy(*limit)]])] <= RANK[answer(*own)]
