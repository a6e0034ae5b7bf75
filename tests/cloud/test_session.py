"""The door to AWS: names, tags, keys and regions follow from the settings, and nothing is asked before it is needed."""

from __future__ import annotations

import time

import pytest
from botocore import exceptions as sdk
from standin import until

from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings
from dogbreed.rehearse.state import Server


def test_nothing_is_asked_before_it_is_needed(aws: Aws, account: Server) -> None:
    def asked() -> list[str]:
        """By a person: what the stand-in was at for another test may come late."""
        return [call["operation"] for call in account.ask("calls") if not call["platform"] and ":user/" in call["who"]]

    assert aws.region == "eu-west-1"
    assert aws.arn("iam", "role/x", regional=False, account=False) == "arn:aws:iam:::role/x"
    aws.client("s3")
    assert asked() == []
    assert aws.account == "123456789012" == aws.account
    assert asked() == ["GetCallerIdentity"]


def test_the_time_is_the_accounts(aws: Aws, account: Server) -> None:
    account.ask("speed", speed=3600)
    until(lambda: account.ask("time") > time.time() + 600)
    account.ask("speed", speed=1)
    before = int(account.ask("time"))
    assert before <= aws.now().timestamp() <= account.ask("time")


def test_names_and_tags() -> None:
    aws = Aws(AwsSettings(project="dogs", tags="team=vision, cost = 7,dogbreed:project=theirs"))
    assert aws.name("machines") == "dogs-machines"
    tags = aws.tags("bucket", "run-1")
    assert tags == {
        "dogbreed:project": "dogs",
        "dogbreed:role": "bucket",
        "dogbreed:run": "run-1",
        "team": "vision",
        "cost": "7",
    }
    assert aws.is_ours(tags)
    assert not aws.is_ours({"dogbreed:project": "theirs"})
    assert aws.seen(tags | {"added": "later"}, "bucket", "run-1") == tags


def test_the_key_is_an_arn_however_it_was_named(account: Server) -> None:
    kms = Aws(AwsSettings()).client("kms")
    key = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName="alias/dogs", TargetKeyId=key["KeyId"])
    for given in (key["KeyId"], key["Arn"], "alias/dogs"):
        assert Aws(AwsSettings(kms_key=given)).kms_key == key["Arn"]
    assert Aws(AwsSettings()).kms_key == ""
    with pytest.raises(sdk.ClientError, match="NotFound"):
        Aws(AwsSettings(kms_key="alias/none")).kms_key  # noqa: B018


def test_where_the_calls_go(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    assert aws.rehearsal.startswith("http://127.0.0.1:")
    for address, stays_here in (("http://localhost:1", True), ("https://s3.example.com", False), ("", False)):
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        assert bool(Aws(AwsSettings()).rehearsal) == stays_here


def test_what_can_be_known_without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    aws = Aws(AwsSettings(region="cn-north-1"))
    assert (aws.configured_region, aws.partition_of("cn-north-1"), aws.partition_of("<REGION>")) == (
        *("cn-north-1", "aws-cn"),
        "aws",
    )
    with pytest.raises(sdk.NoCredentialsError):
        aws.client("s3")
