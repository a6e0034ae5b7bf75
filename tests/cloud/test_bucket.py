"""The bucket: what it is like, what is not ours, and that a kill at any call leaves nothing half done."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import apply, remove, survives_kills, unchanged

from dogbreed import plan
from dogbreed.cloud.bucket import Bucket, policy
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings
from dogbreed.errors import AccessError, DogbreedError
from dogbreed.rehearse.state import Server


def test_it_is_made_closed_encrypted_and_versioned(aws: Aws) -> None:
    assert apply([Bucket(aws)]) == ["+"]
    assert unchanged([Bucket(aws)])
    s3, name = aws.client("s3"), aws.bucket
    assert name == f"dogbreed-{aws.account}-eu-west-1"
    assert all(s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values())
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    rule = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    controls = s3.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]
    assert controls["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    rules = {one["ID"]: one for one in s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]}
    assert rules["checkpoints"]["Filter"] == {"Prefix": "checkpoints/"}
    assert {"NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"} <= set(rules["rests"])
    said = json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])["Statement"]
    assert {one["Effect"] for one in said} == {"Deny"}
    s3.put_object(Bucket=name, Key="own", Body=b"may still be written")


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_every_region_takes_it(account: Server, region: str) -> None:
    aws = Aws(AwsSettings(region=region))
    assert apply([Bucket(aws)]) == ["+"]
    assert unchanged([Bucket(aws)])


def test_with_a_key_of_ones_own(account: Server) -> None:
    plain = Aws(AwsSettings())
    key = plain.client("kms").create_key()["KeyMetadata"]
    plain.client("kms").create_alias(AliasName="alias/dogs", TargetKeyId=key["KeyId"])
    aws = Aws(AwsSettings(kms_key="alias/dogs"))
    apply([Bucket(aws)])
    assert unchanged([Bucket(aws)])
    answer = aws.client("s3").get_bucket_encryption(Bucket=aws.bucket)
    rule = answer["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key["Arn"]}
    assert rule["BucketKeyEnabled"] is True


def test_what_somebody_has_changed_is_put_back_and_named(aws: Aws) -> None:
    apply([Bucket(aws)])
    s3, name = aws.client("s3"), aws.bucket
    s3.delete_public_access_block(Bucket=name)
    s3.delete_bucket_policy(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"})
    (step,) = plan.make([Bucket(aws)]).steps
    assert (step.sign, step.why) == ("~", "public access, versioning, policy")
    apply([Bucket(aws)])
    assert unchanged([Bucket(aws)])


def test_tags_of_others_stay(aws: Aws) -> None:
    apply([Bucket(aws)])
    s3, name = aws.client("s3"), aws.bucket
    tags = [{"Key": "dogbreed:project", "Value": "dogbreed"}, {"Key": "cost-centre", "Value": "7"}]
    s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": tags})
    apply([Bucket(aws)])
    found = {tag["Key"] for tag in s3.get_bucket_tagging(Bucket=name)["TagSet"]}
    assert found == {"dogbreed:project", "dogbreed:role", "cost-centre"}
    assert unchanged([Bucket(aws)])


def test_a_bucket_of_ones_own_is_used_as_it_is(account: Server) -> None:
    aws = Aws(AwsSettings(bucket="my-own-photos"))
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="my-own-photos", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket="my-own-photos", Key="mine", Body=b"1")
    assert apply([Bucket(aws)]) == ["="]
    assert remove([Bucket(aws, keep="")]) == ["="]
    assert s3.list_objects_v2(Bucket="my-own-photos")["KeyCount"] == 1


def test_another_account_s_bucket_is_an_error_that_says_so(account: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    aws = Aws(AwsSettings(bucket="taken"))
    monkeypatch.setitem(aws.__dict__, "account", "999999999999")
    theirs = Aws(AwsSettings())
    theirs.client("s3").create_bucket(Bucket="taken", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    with pytest.raises(DogbreedError, match="taken belongs to another account") as error:
        apply([Bucket(aws)])
    assert isinstance(error.value, AccessError)
    assert "[aws] bucket" in error.value.hint


def test_a_bucket_of_another_region_is_an_error_that_says_so(account: Server) -> None:
    here, there = (Aws(AwsSettings(bucket="my-own-photos", region=region)) for region in ("eu-west-1", "us-west-2"))
    apply([Bucket(there)])
    with pytest.raises(DogbreedError, match="my-own-photos is in us-west-2, not in eu-west-1"):
        apply([Bucket(here)])


def test_it_is_kept_unless_its_content_is_to_go(aws: Aws) -> None:
    apply([Bucket(aws)])
    s3 = aws.client("s3")
    for body in (b"1", b"2"):
        s3.put_object(Bucket=aws.bucket, Key="photo", Body=body)
    s3.delete_object(Bucket=aws.bucket, Key="photo")
    s3.create_multipart_upload(Bucket=aws.bucket, Key="begun")
    (step,) = plan.teardown([Bucket(aws)]).steps
    assert (step.sign, step.why) == ("=", "kept: holds your photos and runs")
    assert remove([Bucket(aws, keep="")]) == ["-"]
    assert Bucket(aws).find() is None


def test_more_than_a_page_of_versions_goes(aws: Aws) -> None:
    apply([Bucket(aws)])
    for number in range(3):
        aws.client("s3").put_object(Bucket=aws.bucket, Key=f"{number}", Body=b"")
    from dogbreed.cloud import bucket as module

    before, module._AT_ONCE = module._AT_ONCE, 2
    try:
        assert list(Bucket(aws).empty()) == [2, 1]
    finally:
        module._AT_ONCE = before


@pytest.mark.slow
def test_a_kill_at_any_call_is_mended_by_repeating(account: Server) -> None:
    def fresh() -> Aws:
        account.ask("reset")
        return Aws(AwsSettings())

    def named() -> Aws:
        account.ask("reset")
        return Aws(AwsSettings(bucket="of-this-name"))

    assert survives_kills(fresh, lambda aws: [Bucket(aws, keep="")]) > 8
    assert survives_kills(named, lambda aws: [Bucket(aws, keep="")], [True]) > 8


@settings(deadline=None)
@given(st.from_regex(r"[0-9]{12}", fullmatch=True), st.from_regex(r"[a-z][a-z0-9-]{1,40}[a-z0-9]", fullmatch=True))
def test_the_policy_only_denies_and_names_this_bucket_alone(account: str, name: str) -> None:
    arn = f"arn:aws:s3:::{name}"
    for statement in policy(arn, account)["Statement"]:
        assert statement["Effect"] == "Deny"
        assert statement["Resource"] == [arn, f"{arn}/*"]
        assert statement["Condition"]
