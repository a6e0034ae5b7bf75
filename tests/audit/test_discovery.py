"""What is found in a working tree: told by content, in a fixed order, broken files named, nothing hanging."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dogbreed.audit import engine
from dogbreed.audit.model import HOLE, Corpus, Kind
from dogbreed.audit.parse import documents, read

ALLOW = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
POLICY = {"Version": "2012-10-17", "Statement": [ALLOW]}
TRUST = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
TEMPLATE = "Resources:\n  Bucket:\n    Type: AWS::S3::Bucket\n"


def tree(folder: Path, files: dict[str, Any]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def test_it_finds_what_can_be_audited_by_what_is_in_it(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "a/policy": POLICY,
            "a/two.jsonl": json.dumps(POLICY) + "\n" + json.dumps(TRUST) + "\n",
            "b/stack.yml": TEMPLATE,
            "b/main.tf": 'resource "aws_s3_bucket" "b" {}\n',
            "package.json": {"name": "x", "dependencies": {}},
            "values.yaml": "replicas: 2\nkind: Deployment\n",
            "broken.json": "{ // no JSON\n",
            "notes.md": json.dumps(POLICY),
            ".git/policy.json": POLICY,
            "node_modules/x/policy.json": POLICY,
            "env/pyvenv.cfg": "",
            "env/policy.json": POLICY,
            "image.bin": "\0\0{",
        },
    )
    corpus = read([tmp_path])
    assert [Path(name).name for name in corpus.files] == ["policy", "two.jsonl", "stack.yml", "main.tf"]
    assert (len(corpus.policies), len(corpus.resources), corpus.errors) == (3, 2, [])
    assert [one.kind for one in corpus.policies] == [Kind.IDENTITY, Kind.IDENTITY, Kind.TRUST]


def test_the_working_folder_is_read_when_nothing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, {"iam/policy.json": POLICY})
    monkeypatch.chdir(tmp_path)
    assert read().files == ["iam/policy.json"]


def test_a_file_that_was_meant_is_an_error_when_it_is_broken(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "a.json": '{"Version": "2012-10-17",\n "Statement": [{"Effect": "Allow",}]}',
            "b.yaml": "AWSTemplateFormatVersion: 2010-09-09\nResources:\n  A: [\n",
            "c.tf": 'resource "aws_iam_role" "r" {\n',
            "good.json": POLICY,
            "other.json": "{broken",
        },
    )
    corpus = read([tmp_path])
    assert len(corpus.policies) == 1
    places = {Path(one.location.file).name: one.location for one in corpus.errors}
    assert set(places) == {"a.json", "b.yaml", "c.tf"}
    assert places["a.json"].line == 2
    assert all(place.line for place in places.values())


@pytest.mark.parametrize("content", ["", "hello", "{}", "[]", "[1, 2]", '{"a": 1}', "{broken"])
def test_a_named_file_that_holds_nothing_is_said(content: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    (error,) = read([path]).errors
    assert error.location.file.endswith("x.json")


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    (error,) = read([tmp_path / "nowhere"]).errors
    assert "no such file" in error.message


def test_links_lead_nowhere_twice(tmp_path: Path) -> None:
    tree(tmp_path, {"a/policy.json": POLICY})
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "same.json").symlink_to(tmp_path / "a" / "policy.json")
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.json")
    assert len(read([tmp_path]).policies) == 1


def test_a_file_is_read_once_however_often_it_is_named(tmp_path: Path) -> None:
    path = tree(tmp_path, {"policy.json": POLICY}) / "policy.json"
    assert len(read([path, tmp_path, path]).policies) == 1


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("scp.json", Kind.SCP),
        ("scps/a.json", Kind.SCP),
        ("boundary.json", Kind.BOUNDARY),
        ("escape.json", Kind.IDENTITY),
    ],
)
def test_a_name_tells_the_kind_that_the_text_does_not(name: str, kind: Kind, tmp_path: Path) -> None:
    assert read([tree(tmp_path, {name: POLICY})]).policies[0].kind == kind


WRAPPED = [
    {"PolicyVersion": {"Document": POLICY, "VersionId": "v1"}},
    {"Role": {"RoleName": "r", "AssumeRolePolicyDocument": TRUST}},
    {"Policy": json.dumps(POLICY), "RevisionId": "x"},
    {"PolicyDocument": POLICY, "PolicyName": "p", "RoleName": "r"},
    [POLICY],
    {"first": POLICY},
    {"policyText": json.dumps(POLICY), "repositoryName": "r"},
]


@pytest.mark.parametrize("value", WRAPPED, ids=range(len(WRAPPED)))
def test_answers_of_the_aws_cli_are_opened(value: Any, tmp_path: Path) -> None:
    corpus = read([tree(tmp_path, {"x.json": value})])
    assert len(list(corpus.every_policy())) == 1
    assert not corpus.errors


def test_roles_that_the_aws_cli_lists_are_principals(tmp_path: Path) -> None:
    arn = "arn:aws:iam::111122223333:role/r"
    boundary = {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": "arn:aws:iam::111122223333:policy/b"}
    roles = [{"RoleName": "r", "Arn": arn, "AssumeRolePolicyDocument": TRUST, "PermissionsBoundary": boundary}]
    inline = {"RoleName": "r", "PolicyName": "p", "PolicyDocument": quote(json.dumps(POLICY))}
    (role,) = read([tree(tmp_path, {"x.json": [{"Roles": roles}, inline]})]).principals
    assert (role.arn, role.boundary_unresolved) == (arn, boundary["PermissionsBoundaryArn"])
    assert role.trust is not None and role.trust.attached_to == arn
    assert [one.name for one in role.policies] == ["p"]


def test_an_account_dump_is_complete(tmp_path: Path) -> None:
    policy = {"PolicyName": "p", "Arn": "arn:aws:iam::111122223333:policy/p", "DefaultVersionId": "v2"}
    versions = [
        {"VersionId": "v1", "IsDefaultVersion": False, "Document": {"Statement": []}},
        {"VersionId": "v2", "IsDefaultVersion": True, "Document": POLICY},
    ]
    attached = [{"PolicyName": "p", "PolicyArn": policy["Arn"]}]
    dump = {
        "UserDetailList": [{"UserName": "u", "Arn": "arn:aws:iam::111122223333:user/u", "GroupList": ["g"]}],
        "GroupDetailList": [
            {"GroupName": "g", "Arn": "arn:aws:iam::111122223333:group/g", "AttachedManagedPolicies": attached}
        ],
        "RoleDetailList": [
            {
                "RoleName": "r",
                "Arn": "arn:aws:iam::111122223333:role/r",
                "AssumeRolePolicyDocument": quote(json.dumps(TRUST)),
                "RolePolicyList": [{"PolicyName": "own", "PolicyDocument": POLICY}],
                "AttachedManagedPolicies": [{"PolicyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}],
                "PermissionsBoundary": {"PermissionsBoundaryArn": policy["Arn"]},
                "InstanceProfileList": [{"Arn": "arn:aws:iam::111122223333:instance-profile/i"}],
            }
        ],
        "Policies": [policy | {"PolicyVersionList": versions}],
    }
    corpus = read([tree(tmp_path, {"dump.json": dump})])
    assert (corpus.complete, corpus.account, corpus.errors) == (True, "111122223333", [])
    group, user, role = corpus.principals
    assert user.policies == group.policies != []
    assert role.trust is not None and role.trust.statements[0].principals == (("Service", "ec2.amazonaws.com"),)
    assert role.boundary is not None and role.boundary.kind == Kind.BOUNDARY
    assert role.unresolved == ("arn:aws:iam::aws:policy/ReadOnlyAccess",)
    assert role.instance_profiles == ("arn:aws:iam::111122223333:instance-profile/i",)
    assert not corpus.policies


SETTINGS = '[aws]\nkms_key = ""\n\n[sagemaker]\nnetwork_isolation = false\nencrypt_traffic = "no"\n'


def test_own_settings_are_audited(tmp_path: Path) -> None:
    report = engine.audit(read([tree(tmp_path, {"dogbreed.toml": SETTINGS})]))
    lines = {one.rule: one.location.line for one in report.findings}
    assert (lines["SM-TRAIN-ISOLATION"], lines["SM-TRAIN-ENCRYPT"], lines["SM-TRAIN-KMS"]) == (5, 6, 2)
    clean = engine.audit(read([tree(tmp_path, {"dogbreed.toml": "[sagemaker]\nspot = true\n"})]))
    assert not clean.findings
    (error,) = read([tree(tmp_path, {"dogbreed.toml": "[aws\n"})]).errors
    assert error.location.line == 1


# -- whatever is in a file, the audit ends and says something

KEYS = st.sampled_from(
    [
        "Version",
        "Statement",
        "Effect",
        "Action",
        "Resource",
        "Principal",
        "Condition",
        "Resources",
        "Type",
        "Properties",
        "Ref",
        "Fn::Sub",
        "Fn::If",
        "PolicyDocument",
        "RoleDetailList",
        "Policies",
        "PolicyVersionList",
        "Document",
        "planned_values",
        "root_module",
        "resources",
        "type",
        "values",
        "address",
        "service",
        "operation",
        "parameters",
        "eventSource",
        "eventName",
        "requestParameters",
        "SecurityGroups",
        "IpPermissions",
        "IpRanges",
        "Environment",
        "Variables",
        "Containers",
        "NotebookInstanceName",
        "RoleArn",
        "AuthMode",
        "DomainName",
        "Bucket",
        "Globals",
        "Function",
        "Outputs",
        "Parameters",
        "Conditions",
        "AttachedManagedPolicies",
        "VpcEndpoints",
        "KeyMetadata",
        "TrainingJobName",
        "HyperParameters",
    ]
)
TYPES = st.sampled_from(
    ["AWS::IAM::Role", "AWS::S3::Bucket", "AWS::Serverless::Function", "aws_iam_role", "Allow", "*", HOLE]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 99) | st.text(max_size=5) | TYPES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | TYPES, inner, max_size=5),
    max_leaves=25,
)


@settings(max_examples=300, deadline=None)
@given(VALUES, st.sampled_from(["json", "yaml"]))
def test_any_document_is_audited(value: Any, kind: str) -> None:
    corpus = Corpus()
    corpus.add(documents.read_text(json.dumps(value), "x", kind))
    engine.audit(corpus)
    for one in corpus.resources:
        assert one.location.file == "x"
