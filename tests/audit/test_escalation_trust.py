"""Escalation through trust policies: whom a role lets in by name, whom it keeps out, and what still limits them."""

from __future__ import annotations

from typing import Any

import pytest
from cases import ACCOUNT, allow, deny, document
from test_escalation import ADMIN, PASS_TO_EC2, ROOT, judged, policy, role

from dogbreed.audit.model import Kind, Policy, Principal

ANN = f"arn:aws:iam::{ACCOUNT}:user/ann"
BOSS = f"arn:aws:iam::{ACCOUNT}:role/boss"


def trusted(*statements: dict[str, Any]) -> Policy:
    made = [{"Effect": "Allow", "Action": "sts:AssumeRole", **one} for one in statements]
    return policy(document(*made), Kind.TRUST)


def boss(*statements: dict[str, Any]) -> Principal:
    one = role("boss", ADMIN)
    one.trust = trusted(*statements)
    return one


def rules_of(*principals: Principal, name: str = "ann") -> set[tuple[str, str]]:
    return {(one.rule, str(one.severity)) for one in judged(*principals, role("other", trusts="config"))[name]}


CRITICAL = {("sts-001", "critical")}
NAMED = {"Principal": {"AWS": ANN}}
OF_ACCOUNT = {"Principal": {"AWS": ROOT}}


def test_who_is_named_by_a_role_needs_no_policy_of_its_own() -> None:
    assert rules_of(role("ann", kind="user"), boss(NAMED)) == CRITICAL
    assert rules_of(role("ann", kind="user"), boss({"Principal": "*"})) == CRITICAL
    assert rules_of(role("ann", kind="user"), boss(OF_ACCOUNT)) == set(), "the account has to let it, too"
    assert rules_of(role("bob", kind="user"), boss(NAMED), name="bob") == set()
    app = f"arn:aws:iam::{ACCOUNT}:role/app"
    assert rules_of(role("app", trusts="ec2"), boss({"Principal": {"AWS": app}}), name="app") == CRITICAL
    elsewhere = boss(NAMED)
    elsewhere.arn = elsewhere.arn.replace(ACCOUNT, "210987654321")
    assert rules_of(role("ann", kind="user"), elsewhere) == set(), "in another account both have to"


def test_a_chain_goes_through_a_role_that_names_somebody() -> None:
    middle = role("middle", PASS_TO_EC2)
    middle.trust = trusted(NAMED)
    assert rules_of(role("ann", kind="user"), middle, role("boss", ADMIN, trusts="ec2")) == CRITICAL


def test_writing_the_rights_of_a_role_that_names_oneself() -> None:
    writes = allow("iam:PutRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/middle")
    middle = role("middle", trusts=ANN)
    assert ("iam-005", "critical") in rules_of(role("ann", writes, kind="user"), middle)
    barred = role("ann", writes, deny("sts:AssumeRole"), kind="user")
    assert rules_of(barred, middle) == set()


@pytest.mark.parametrize(
    ("edge", "expected"),
    [(deny("sts:*"), set()), (deny("sts:AssumeRole", BOSS), set()), (deny("sts:AssumeRole", BOSS + "2"), CRITICAL)],
)
def test_denies_of_all_layers_count(edge: dict[str, Any], expected: set[tuple[str, str]]) -> None:
    assert rules_of(role("ann", edge, kind="user"), boss(NAMED)) == expected
    limit = document(allow("*"), edge)
    bounded = role("ann", kind="user", boundary=policy(limit, Kind.BOUNDARY))
    assert rules_of(bounded, boss(NAMED)) == expected
    controlled = role("ann", kind="user", scps=[[policy(limit, Kind.SCP)]])
    assert rules_of(controlled, boss(NAMED)) == expected


def test_what_a_limit_leaves_out() -> None:
    """A boundary that is silent does not limit what names a user; it does limit roles, and SCPs limit all."""
    silent = policy(document(allow("s3:*")), Kind.BOUNDARY)
    assert rules_of(role("ann", kind="user", boundary=silent), boss(NAMED)) == CRITICAL
    app = role("app", trusts="ec2", boundary=silent)
    assert rules_of(app, boss({"Principal": {"AWS": app.arn}}), name="app") == set()
    controlled = role("ann", kind="user", scps=[[policy(document(allow("s3:*")), Kind.SCP)]])
    assert rules_of(controlled, boss(NAMED)) == set()


ASSUMES = allow("sts:AssumeRole")


@pytest.mark.parametrize(
    ("closing", "expected"),
    [
        ({"Principal": "*"}, set()),
        ({"Principal": {"AWS": ANN}}, set()),
        ({"Principal": {"AWS": ROOT}, "Action": "sts:*"}, set()),
        ({"NotPrincipal": {"AWS": [ANN, ROOT]}}, CRITICAL),
        ({"NotPrincipal": {"AWS": [BOSS, ROOT]}}, set()),
        ({"Principal": {"AWS": ANN + "2"}}, CRITICAL),
        ({"Principal": {"Service": "ec2.amazonaws.com"}}, CRITICAL),
        ({"Principal": "*", "Action": "sts:TagSession"}, CRITICAL),
        ({"Principal": "*", "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "false"}}}, CRITICAL),
        ({"Principal": "*", "Condition": {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/ann"}}}, set()),
    ],
)
@pytest.mark.parametrize("opening", [NAMED, OF_ACCOUNT], ids=["named", "account"])
def test_a_deny_in_a_trust_policy_keeps_out(
    opening: dict[str, Any], closing: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    ann = role("ann", ASSUMES, kind="user")
    assert rules_of(ann, boss(opening, {"Effect": "Deny", **closing})) == expected


def test_a_deny_in_a_trust_policy_keeps_services_out() -> None:
    ec2, config = ({"Principal": {"Service": f"{name}.amazonaws.com"}} for name in ("ec2", "config"))
    ann = role("ann", PASS_TO_EC2, kind="user")
    assert rules_of(ann, boss(ec2)) == {("ec2-001", "critical")}
    assert rules_of(ann, boss(ec2, {"Effect": "Deny", **config})) == {("ec2-001", "critical")}
    assert rules_of(ann, boss(ec2, {"Effect": "Deny", **ec2})) == set()
    assert rules_of(ann, boss(ec2, {"Effect": "Deny", "Principal": "*"})) == set()
    people = {"Effect": "Deny", "Principal": "*", "Condition": {"Bool": {"aws:PrincipalIsAWSService": "false"}}}
    assert rules_of(ann, boss(ec2, people)) == {("ec2-001", "critical")}
