"""Control policies and boundaries limit whom they bind, wherever they stand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cases import ACCOUNT, allow, deny, document
from test_discovery import tree

from dogbreed.audit import engine
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
