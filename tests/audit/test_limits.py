"""Control policies and boundaries limit whom they bind, wherever they stand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cases import ACCOUNT, allow, deny, document
from test_discovery import tree

from dogbreed.audit import engine
from dogbreed.audit.ask import can
from dogbreed.audit.parse import read

WRITES = document(allow("iam:PutUserPolicy"))
NO_IAM, ALL_BUT_IAM = document(deny("iam:*")), document(allow("*"), deny("iam:*"))
EVERYTHING, ONLY_S3 = document(allow("*")), document(allow("s3:*"))
USER = f"arn:aws:iam::{ACCOUNT}:user/ann"


def escalates(folder: Path, **files: Any) -> bool:
    """Whether somebody gains rights by what lies in a folder: {name of a file without .json: what it holds}."""
    report = engine.audit(read([tree(folder, {f"{name}.json": content for name, content in files.items()})]))
    return any(one.category.value in ("privilege-escalation", "admin") for one in report.findings)


def dump(**more: Any) -> dict[str, Any]:
    user = {"UserName": "ann", "Arn": USER, "UserPolicyList": [{"PolicyName": "p", "PolicyDocument": WRITES}]}
    return {"UserDetailList": [user], "GroupDetailList": [], "RoleDetailList": [], "Policies": [], **more}


@pytest.mark.parametrize(
    ("scp", "expected"), [(NO_IAM, False), (ALL_BUT_IAM, False), (ONLY_S3, False), (EVERYTHING, True)]
)
def test_a_control_policy_binds_policies_and_principals(tmp_path: Path, scp: Any, expected: bool) -> None:
    assert escalates(tmp_path / "policy", policy=WRITES, scp=scp) is expected
    assert escalates(tmp_path / "dump", dump=dump(), scp=scp) is expected


def test_every_control_policy_counts(tmp_path: Path) -> None:
    assert escalates(tmp_path / "a", policy=WRITES, scp=document(deny("s3:*")), **{"scp-2": document(deny("ec2:*"))})
    assert not escalates(tmp_path / "b", policy=WRITES, scp=document(deny("s3:*")), **{"scp-2": NO_IAM})


def test_what_aws_adds_to_control_policies_is_nothing_to_judge(tmp_path: Path) -> None:
    tree(tmp_path, {"dump.json": dump(), "scp.json": NO_IAM})
    corpus = read([tmp_path])
    assert all(one.scps for one in corpus.principals)
    assert [one.name for one in corpus.every_policy()].count("FullAWSAccess") == 0, "AWS's own is nothing to mend"


@pytest.mark.parametrize(("boundary", "expected"), [(ONLY_S3, False), (EVERYTHING, True)])
def test_a_boundary_limits_the_one_policy_that_it_lies_beside(tmp_path: Path, boundary: Any, expected: bool) -> None:
    assert escalates(tmp_path / "one", policy=WRITES, boundary=boundary) is expected
    assert escalates(tmp_path / "two", policy=WRITES, other=document(allow("s3:GetObject")), boundary=boundary)
    assert escalates(tmp_path / "dump", dump=dump(), boundary=boundary), "a dump says itself who has a boundary"


def test_control_policies_of_a_terraform_module(tmp_path: Path) -> None:
    module = (
        'resource "aws_organizations_policy" "s" {\n  name = "s"\n  content = jsonencode(%s)\n}\n'
        'resource "aws_organizations_policy_attachment" "a" {\n'
        "  policy_id = aws_organizations_policy.s.id\n  target_id = %s\n}\n"
        'resource "aws_iam_user" "u" {\n  name = "u"\n}\n'
        'resource "aws_iam_user_policy" "p" {\n  user = aws_iam_user.u.name\n  policy = jsonencode(%s)\n}\n'
    )
    for scp, expected in ((NO_IAM, False), (EVERYTHING, True)):
        (tmp_path / "main.tf").write_text(module % (json.dumps(scp), json.dumps(ACCOUNT), json.dumps(WRITES)))
        assert escalates(tmp_path) is expected


@pytest.mark.parametrize("text", [f"arn:aws:iam::{ACCOUNT}:policy/edge", {"Ref": "Edge"}])
def test_what_a_boundary_without_text_may_take_away_is_said_with_less_confidence(tmp_path: Path, text: Any) -> None:
    properties = {"Policies": [{"PolicyName": "p", "PolicyDocument": WRITES}], "PermissionsBoundary": text}
    user = {"Type": "AWS::IAM::User", "Properties": properties}
    template = {"Parameters": {"Edge": {"Type": "String"}}, "Resources": {"U": user}}
    found = engine.audit(read([tree(tmp_path, {"t.json": template})])).findings
    bounded = [one for one in found if one.category.value == "privilege-escalation"]
    assert bounded and all(one.confidence.value == "low" and "boundary" in one.message for one in bounded)
    del properties["PermissionsBoundary"]
    free = engine.audit(read([tree(tmp_path, {"t.json": template})])).findings
    assert [one.confidence.value for one in free if one.category.value == "privilege-escalation"] == ["high"]


def test_can_answers_for_the_policies_of_one_object(tmp_path: Path) -> None:
    corpus = read([tree(tmp_path, {"one.json": {"identity": [WRITES, ONLY_S3], "boundary": ONLY_S3}})])
    assert str(can(corpus, USER, "s3:GetObject", "arn:aws:s3:::b/x").answer) == "yes"
    assert str(can(corpus, USER, "iam:PutUserPolicy", USER).answer) == "no"


OWN_KEYS = ["identity", "IdentityPolicy", "identity_policy", "identity-policies", "policy", "Policies", "attached"]


@pytest.mark.parametrize("own", OWN_KEYS)
@pytest.mark.parametrize(
    ("limit", "content", "expected"),
    [
        ("boundary", ONLY_S3, False),
        ("boundary", EVERYTHING, True),
        ("PermissionsBoundary", ONLY_S3, False),
        ("permissions_boundary", "arn:aws:iam::aws:policy/ReadOnlyAccess", False),
        ("scp", NO_IAM, False),
        ("scps", [document(deny("s3:*")), NO_IAM], False),
        ("ServiceControlPolicies", [EVERYTHING], True),
        ("trust", {"Statement": allow("sts:AssumeRole", None, Principal={"Service": "ec2.amazonaws.com"})}, True),
    ],
)
def test_what_stands_in_one_object_is_of_one_principal(
    tmp_path: Path, own: str, limit: str, content: Any, expected: bool
) -> None:
    held = {own: WRITES, limit: content}
    assert escalates(tmp_path / "one", one=held) is expected
    assert escalates(tmp_path / "many", one=held, two=held, three=[held, held]) is expected
    assert escalates(tmp_path / "beside", one=held, policy=WRITES), "its limits are its own"


@pytest.mark.parametrize("own", OWN_KEYS)
def test_several_policies_in_one_object_add_up_and_those_of_a_list_do_not(tmp_path: Path, own: str) -> None:
    halves = [document(allow("iam:PassRole")), document(allow("lambda:*"), deny("lambda:Update*"))]
    made = {path.rule for path in engine.audit(read([tree(tmp_path / "a", {"one.json": {own: halves}})])).findings}
    each = {path.rule for path in engine.audit(read([tree(tmp_path / "b", {"one.json": halves})])).findings}
    assert "lambda-001" in made and "lambda-001" not in each


@pytest.mark.parametrize(
    ("type", "kind"),
    [("SERVICE_CONTROL_POLICY", "scp"), ("RESOURCE_CONTROL_POLICY", "rcp"), ("TAG_POLICY", "identity")],
)
def test_the_answer_of_describe_policy_says_what_it_is(tmp_path: Path, type: str, kind: str) -> None:
    answer = {"Policy": {"PolicySummary": {"Id": "p-1", "Type": type}, "Content": json.dumps(WRITES)}}
    assert [str(one.kind) for one in read([tree(tmp_path, {"x.json": answer})]).policies] == [kind]


def test_control_policies_beside_a_dump_in_one_file(tmp_path: Path) -> None:
    assert not escalates(tmp_path / "a", dump=dump(ServiceControlPolicies=[NO_IAM]))
    assert escalates(tmp_path / "b", dump=dump(ServiceControlPolicies=[EVERYTHING]))
