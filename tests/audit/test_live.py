"""An account read through boto3, against the stand-in cloud: the same findings as from files, and denials said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from standin import account, bucket, cloud, role  # noqa: F401

from dogbreed.audit import engine, reads
from dogbreed.audit.checks import unused
from dogbreed.audit.live import read_account
from dogbreed.audit.model import Corpus
from dogbreed.cloud import session
from dogbreed.cloud.people import POLICIES
from dogbreed.cloud.policy_parts import Scope
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings

REGION = "eu-west-1"


@pytest.fixture
def aws(account: Any, monkeypatch: pytest.MonkeyPatch) -> Aws:  # noqa: F811
    # What the stand-in does not have is asked for once.
    quick = Config(retries={"total_max_attempts": 1})
    monkeypatch.setattr(session, "CONFIG", session.CONFIG.merge(quick))
    return Aws(AwsSettings(region=REGION))


def findings(corpus: Corpus) -> set[tuple[str, str]]:
    return {(one.rule, one.subject.split(" ", 1)[-1]) for one in engine.audit(corpus).findings}


def test_an_account_is_read_like_its_templates(aws: Aws) -> None:
    arn = role("runs")
    bucket("dogs")
    boto3.client("s3").put_public_access_block(
        Bucket="dogs",
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
    )
    bucket("open")
    ec2 = boto3.client("ec2", region_name=REGION)
    group = ec2.create_security_group(GroupName="g", Description="d")["GroupId"]
    permission = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    boto3.client("ecr", region_name=REGION).create_repository(repositoryName="dogs")
    key = boto3.client("kms", region_name=REGION).create_key()["KeyMetadata"]["KeyId"]
    sagemaker = boto3.client("sagemaker", region_name=REGION)
    sagemaker.create_notebook_instance(NotebookInstanceName="nb", InstanceType="ml.t3.medium", RoleArn=arn)
    corpus = read_account(aws)
    found = findings(corpus)
    assert {("S3-BPA", "open"), ("ECR-IMMUTABLE", "dogs"), ("KMS-ROTATION", key), ("SG-OPEN-ADMIN", group)} <= found
    assert ("S3-BPA", "dogs") not in found
    assert {("S3-VERSION", "dogs"), ("S3-VERSION", "open"), ("SM-NB-VPC", "nb")} <= found
    assert corpus.complete
    assert arn in {one.arn for one in corpus.principals}
    notebook = next(one for one in corpus.resources if one.type.endswith("NotebookInstance"))
    assert notebook.roles == (arn,)
    assert notebook.location.file == f"{REGION}/sagemaker/nb"


def test_a_denied_call_is_undecided(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket("dogs")
    real = aws.client

    def guarded(service: str, region: str = "") -> Any:
        client = real(service, region)
        if service in ("s3", "kms"):

            def refuse(*_: Any, **__: Any) -> None:
                raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "x")

            name = "get_bucket_versioning" if service == "s3" else "get_paginator"
            monkeypatch.setattr(client, name, refuse)
        return client

    monkeypatch.setattr(aws, "client", guarded)
    report = engine.audit(read_account(aws))
    denied = {one.subject for one in report.undecided if one.rule == "live"}
    assert {"s3:GetBucketVersioning", "kms:ListKeys"} <= denied
    assert [one for one in report.undecided if one.rule == "S3-VERSION"]
    assert not [one for one in report.findings if one.rule == "S3-VERSION"]


def test_every_call_is_one_that_the_list_of_actions_names(aws: Aws, account: Any) -> None:  # noqa: F811
    bucket("dogs")
    boto3.client("kms", region_name=REGION).create_key()
    read_account(aws)
    made = {f"{one['service']}:{one['operation']}" for one in account.ask("calls")}
    assert made
    known = {f"{name.split(':')[0]}:{name.split(':')[1]}" for name in reads.actions()}
    spelled = {reads._ACTIONS.get(name, name) for name in made}
    setup = {"s3:CreateBucket", "kms:CreateKey", "sts:GetCallerIdentity"}
    assert spelled - setup <= known


def test_the_auditors_policy_allows_what_is_read_and_nothing_else() -> None:
    scope = Scope("111122223333", REGION, "dogs", "dogs-111122223333")
    allowed = {action for one in POLICIES["audit"](scope)["Statement"] for action in one["Action"]}
    assert allowed == set(reads.actions())


def test_a_role_that_nobody_uses_is_said() -> None:
    from dogbreed.audit.finding import Location
    from dogbreed.audit.model import Principal

    now = datetime(2026, 11, 25, tzinfo=UTC)

    def made(**facts: Any) -> Principal:
        return Principal("arn:aws:iam::1:role/r", "role", "r", Location("-"), facts={"ReadAt": now, **facts})

    old, new = now - timedelta(days=200), now - timedelta(days=3)
    services = [{"ServiceNamespace": "s3", "LastAuthenticated": new}, {"ServiceNamespace": "kms"}]
    cases = {
        "never used": made(CreateDate=old),
        "last used": made(CreateDate=old, RoleLastUsed={"LastUsedDate": old}),
        "never used kms": made(CreateDate=old, RoleLastUsed={"LastUsedDate": new}, ServicesLastAccessed=services),
    }
    for words, principal in cases.items():
        (one,) = unused.unused(principal, Corpus())
        assert words.split()[0] in one.message
        assert words.rsplit(" ", 1)[-1] in one.message
    assert not list(unused.unused(made(CreateDate=new), Corpus()))
    assert not list(unused.unused(made(CreateDate=old, RoleLastUsed={"LastUsedDate": new}), Corpus()))
