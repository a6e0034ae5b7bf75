"""Questions to everything that was found."""

from __future__ import annotations

import pytest
from deciding import ACCOUNT, OBJECT, ROLE, SESSION, USER, policy, statement

from dogbreed.audit.ask import can
from dogbreed.audit.finding import BrokenInput, Location
from dogbreed.audit.model import NOWHERE, Corpus, Kind, Principal, Resource


def ask(corpus: Corpus, principal: str = USER, action: str = "s3:GetObject", resource: str = OBJECT) -> str:
    return str(can(corpus, principal, action, resource).answer)


def role(**more: object) -> Principal:
    return Principal(ROLE, "role", "app", Location("x"), **more)  # type: ignore[arg-type]


def test_policies_that_stand_alone_count_by_their_kind() -> None:
    own, everything = policy(statement()), statement(action="*")
    assert ask(Corpus(policies=[own])) == "yes"
    assert ask(Corpus(policies=[own, policy(statement(action="ec2:*"), kind=Kind.BOUNDARY)])) == "no"
    assert ask(Corpus(policies=[own, policy(everything, kind=Kind.SESSION)])) == "yes"
    assert ask(Corpus(policies=[own, policy(statement("Deny", "iam:*"), kind=Kind.SCP)])) == "yes"
    assert ask(Corpus(policies=[own, policy(statement("Deny", "s3:*"), kind=Kind.SCP)])) == "no"
    assert ask(Corpus(policies=[policy(statement(Principal=USER), kind=Kind.RESOURCE)])) == "yes"


@pytest.mark.parametrize("name", [ROLE, SESSION, "app"])
def test_a_principal_that_was_found_has_its_own_policies(name: str) -> None:
    corpus = Corpus(principals=[role(policies=[policy(statement())])], policies=[policy(statement(action="iam:*"))])
    assert ask(corpus, name) == "yes"
    assert ask(corpus, name, "iam:GetUser", USER) == "no"


def test_the_policy_of_the_bucket_and_the_trust_of_the_role_are_found() -> None:
    of_bucket = policy(statement(Principal={"AWS": ROLE}), kind=Kind.RESOURCE)
    of_bucket.attached_to = "arn:aws:s3:::bucket"
    bucket = Resource("AWS::S3::Bucket", "B", {}, NOWHERE, policies=[of_bucket])
    trust = policy({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": USER}}, kind=Kind.TRUST)
    trust.attached_to = ROLE
    corpus = Corpus(principals=[role(trust=trust)], resources=[bucket])
    assert ask(corpus, ROLE) == "yes"
    assert ask(corpus, ROLE, resource="arn:aws:s3:::bucket2/x") == "no"
    assert ask(corpus, USER, "sts:AssumeRole", ROLE) == "yes"
    assert ask(corpus, f"arn:aws:iam::{ACCOUNT}:user/bob", "sts:AssumeRole", ROLE) == "no"


def test_policies_whose_text_is_not_known_leave_it_open() -> None:
    assert ask(Corpus(principals=[role(unresolved=("arn:aws:iam::1:policy/x",))]), ROLE) == "unknown"
    denied = role(policies=[policy(statement("Deny"))], unresolved=("arn:aws:iam::1:policy/x",))
    assert ask(Corpus(principals=[denied]), ROLE) == "no"
    bounded = role(policies=[policy(statement())], boundary_unresolved="arn:aws:iam::1:policy/edge")
    assert ask(Corpus(principals=[bounded]), ROLE) == "unknown"


@pytest.mark.parametrize("name", ["role/app", "app", ROLE, SESSION])
@pytest.mark.parametrize("arn", [ROLE, "arn:aws:iam::000000000000:role/app"])
def test_every_way_to_name_a_principal_means_the_same(name: str, arn: str) -> None:
    found = Principal(arn, "role", "app", Location("x"), policies=[policy(statement())])
    assert ask(Corpus(principals=[found]), name) == "yes"
    assert ask(Corpus(principals=[found]), name, "iam:GetUser", USER) == "no"
    assert ask(Corpus(principals=[found]), name, resource=f"arn:aws:s3:eu-west-1:{ACCOUNT}:accesspoint/a") == "yes"


@pytest.mark.parametrize("name", ["role/nobody", "nobody", "user/app", f"arn:aws:iam::{ACCOUNT}:role/nobody"])
def test_who_was_not_read_is_unknown_unless_a_resource_policy_decides(name: str) -> None:
    loose = policy(statement(action="*"))
    corpus = Corpus(principals=[role(policies=[loose])], policies=[loose])
    assert ask(corpus, name) == "unknown"
    for effect, said in ("Allow", "yes"), ("Deny", "no"):
        corpus.policies = [loose, policy(statement(effect, Principal="*"), kind=Kind.RESOURCE)]
        assert ask(corpus, name) == said


def test_a_file_that_cannot_be_read_leaves_only_an_explicit_deny_sure() -> None:
    broken = [BrokenInput(Location("y.json"), "is no JSON")]
    for effect, said in ("Allow", "unknown"), ("Deny", "no"):
        corpus = Corpus(principals=[role(policies=[policy(statement(effect))])], errors=broken)
        assert ask(corpus, ROLE) == said
