"""dogbreed's own roles and policies, judged as in an account of their own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dogbreed.audit import engine
from dogbreed.audit.document import make_policy
from dogbreed.audit.finding import Finding, Location
from dogbreed.audit.model import NOWHERE, Corpus, Kind, Principal
from dogbreed.cloud import people
from dogbreed.cloud.policies import KINDS, trust
from dogbreed.cloud.policy_parts import Document, Scope

ACCOUNT = "123456789012"
PEOPLE = tuple(make for name, make in people.POLICIES.items() if name not in ("setup", "audit"))


def principal(kind: str, arn: str, document: Document, trusts: Document | None = None) -> Principal:
    own = make_policy(document, Kind.IDENTITY, arn, NOWHERE)
    trusted = make_policy(trusts, Kind.TRUST, arn, NOWHERE, attached_to=arn) if trusts else None
    name = arn.rsplit("/", maxsplit=1)[-1]
    return Principal(arn, kind, name, Location(arn), policies=[own], trust=trusted, complete=True)


def findings(boundary: str, *more: Callable[[Scope], Document]) -> list[Finding]:
    scope = Scope(ACCOUNT, "eu-west-1", "dogbreed", "dogs-of-one", boundary=boundary)
    roles = [principal("role", scope.role_arn(one), KINDS[one].policy(scope), trust(scope, one)) for one in KINDS]
    users = [
        principal("user", f"arn:aws:iam::{ACCOUNT}:user/{make.__name__}", make(scope)) for make in (*PEOPLE, *more)
    ]
    report = engine.audit(Corpus(principals=[*roles, *users], complete=True, account=ACCOUNT))
    assert report.undecided == report.errors == []
    return report.findings


@pytest.fixture(scope="module")
def bounded() -> list[Finding]:
    return findings(f"arn:aws:iam::{ACCOUNT}:policy/edge")


def test_under_a_boundary_all_is_confined_and_told_as_information(bounded: list[Finding]) -> None:
    assert {str(one.severity) for one in bounded} == {"info"}
    assert {one.category for one in bounded} == {"privilege-escalation"}
    deployer = [one for one in bounded if one.subject.endswith("/deploy_endpoint")]
    assert any("role/dogbreed-endpoint" in one.message for one in deployer)


def test_roles_that_code_runs_with_have_no_finding(bounded: list[Finding]) -> None:
    assert [one for one in bounded if ":role/" in one.subject] == []


def test_without_a_boundary_who_trains_makes_no_roles_and_has_no_finding_but_information() -> None:
    found = findings("")
    assert {str(one.severity) for one in found} <= {"info"}


def test_who_makes_roles_without_a_boundary_can_give_itself_any_right() -> None:
    """As `dogbreed iam policy --for setup` says itself."""
    severe = [one for one in findings("", people.setup) if one.severity != "info"]
    assert {one.rule for one in severe} >= {"iam-005"}
    assert {one.subject.rsplit("/", maxsplit=1)[-1] for one in severe} == {"setup"}


@pytest.mark.parametrize("make", PEOPLE)
def test_passing_a_role_is_information_also_where_the_role_is_not_shown(make: Callable[[Scope], Document]) -> None:
    scope = Scope(ACCOUNT, "eu-west-1", "dogbreed", "dogs-of-one", boundary=f"arn:aws:iam::{ACCOUNT}:policy/edge")
    alone = make_policy(make(scope), Kind.IDENTITY, make.__name__, NOWHERE)
    passing = [one for one in engine.audit(Corpus(policies=[alone])).findings if "iam:PassRole" in one.actions]
    assert {str(one.severity) for one in passing} <= {"info"}
    assert all("role/dogbreed-" in one.message for one in passing)
