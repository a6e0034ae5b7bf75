"""Resource policies that are open to strangers, and those that only look so."""

from __future__ import annotations

from typing import Any

import pytest

from dogbreed.audit import public
from dogbreed.audit.document import make_policy
from dogbreed.audit.finding import Finding
from dogbreed.audit.model import HOLE, NOWHERE, UNKNOWN, Corpus, Kind, Resource

OWN, OTHER = "123456789012", "210987654321"
ANYBODY = [
    {"Principal": "*"},
    {"Principal": {"AWS": "*"}},
    {"Principal": {"AWS": ["*"]}},
    {"NotPrincipal": {"AWS": OWN}},
]
SERVICES = {
    "s3:GetObject": "S3-POLICY-PUBLIC",
    "kms:Decrypt": "KMS-PUBLIC",
    "lambda:InvokeFunction": "LAMBDA-PUBLIC",
    "sqs:SendMessage": "RESOURCE-PUBLIC",
    "sns:Publish": "RESOURCE-PUBLIC",
    "ecr:BatchGetImage": "RESOURCE-PUBLIC",
    "secretsmanager:GetSecretValue": "RESOURCE-PUBLIC",
}


def found(*statements: dict[str, Any], account: str = "000000000000") -> set[str]:
    policy = make_policy({"Version": "2012-10-17", "Statement": list(statements)}, Kind.RESOURCE, "r", NOWHERE)
    return {
        one.rule if isinstance(one, Finding) else f"undecided {one.rule}"
        for one in public.public(policy, Corpus(account=account))
    }


def allow(condition: Any = None, action: str = "s3:GetObject", **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"Effect": "Allow", "Action": action, "Resource": "*", **more}
    if not {"Principal", "NotPrincipal"} & set(made):
        made["Principal"] = "*"
    return {**made, "Condition": condition} if condition else made


@pytest.mark.parametrize("action", SERVICES)
@pytest.mark.parametrize("principal", ANYBODY)
def test_anybody(action: str, principal: dict[str, Any]) -> None:
    assert found(allow(action=action, **principal)) == {SERVICES[action]}


@pytest.mark.parametrize(
    "condition",
    [
        {"Bool": {"aws:SecureTransport": "true"}},
        {"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}},
        {"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "::/0"]}},
        {"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}},
        {"IpAddressIfExists": {"aws:SourceIp": "192.0.2.0/24"}},
        {"StringLike": {"aws:PrincipalArn": "*"}},
        {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/Reader"}},
        {"StringLike": {"aws:PrincipalOrgID": "o-*"}},
        {"StringNotEquals": {"aws:PrincipalAccount": OTHER}},
        {"StringEqualsIfExists": {"aws:SourceVpc": "vpc-1"}},
        {"ForAllValues:StringEquals": {"aws:SourceVpce": "vpce-1"}},
        {"StringLike": {"aws:Referer": "https://example.com/*"}},
        {"StringEquals": {"aws:UserAgent": "secret"}},
        {"StringEquals": {"aws:PrincipalTag/team": "dogs"}},
        {"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}},
        {"Null": {"aws:PrincipalOrgID": "false"}},
        # An account in no organisation has neither key.
        {"Null": {"aws:PrincipalOrgID": "true"}},
        {"StringEqualsIfExists": {"aws:PrincipalOrgID": "o-abc123"}},
        {"ForAllValues:StringLike": {"aws:PrincipalOrgPaths": ["o-abc123/*"]}},
        {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}},
        {"StringLike": {"aws:SourceAccount": "*"}},
        {"ArnLike": {"aws:SourceArn": "arn:aws:s3:*:*:*"}},
    ],
)
def test_conditions_that_keep_nobody_out(condition: dict[str, Any]) -> None:
    assert found(allow(condition)) == {"S3-POLICY-PUBLIC"}


@pytest.mark.parametrize(
    "condition",
    [
        {"StringEquals": {"aws:PrincipalOrgID": "o-abc123"}},
        {"StringEquals": {"aws:PrincipalAccount": OWN}},
        {"StringLike": {"aws:PrincipalArn": f"arn:aws:iam::{OWN}:role/*"}},
        {"ArnLike": {"aws:SourceArn": f"arn:aws:sns:*:{OWN}:topic"}},
        {"ArnEquals": {"aws:SourceArn": "arn:aws:s3:::photos"}},
        {"StringEquals": {"aws:SourceAccount": OWN}},
        {"StringEquals": {"aws:SourceVpce": "vpce-1"}},
        {"StringEquals": {"aws:SourceVpc": "vpc-1"}},
        {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}},
        {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
        {"StringEquals": {"kms:CallerAccount": OWN}},
        {"StringLike": {"aws:PrincipalOrgPaths": "o-abc123/r-1/ou-1/*"}},
        {"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": "o-abc123/*"}},
        {"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}},
        {"StringEquals": {"AWS:SourceOwner": OWN}},
    ],
)
def test_conditions_that_keep_strangers_out(condition: dict[str, Any]) -> None:
    assert found(allow(condition)) == set()
    assert found(allow({**condition, "Bool": {"aws:SecureTransport": "true"}})) == set()


def test_a_deny_that_keeps_strangers_out() -> None:
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}
    assert found(allow(), {**deny, "Condition": {"StringNotEquals": {"aws:PrincipalOrgID": "o-abc"}}}) == set()
    assert found(allow(), {**deny, "Condition": {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}}) == set()
    assert found(allow(), {**deny, "Condition": {"Bool": {"aws:SecureTransport": "false"}}}) == {"S3-POLICY-PUBLIC"}
    for operator in ("StringNotLikeIfExists", "StringNotEqualsIfExists", "ForAllValues:StringNotLike"):
        assert found(allow(), {**deny, "Condition": {operator: {"aws:PrincipalOrgID": "o-abc"}}}) == set()
    in_none = {"Null": {"aws:PrincipalOrgID": "true"}}
    assert found(allow(), {**deny, "Condition": in_none}) == {"S3-POLICY-PUBLIC"}, "other organisations are let in"
    other = {**deny, "Action": "s3:PutObject", "Condition": {"StringNotEquals": {"aws:PrincipalOrgID": "o-abc"}}}
    assert found(allow(), other) == {"S3-POLICY-PUBLIC"}


@pytest.mark.parametrize(
    ("restricts", "expected"), [(True, set()), (False, {"S3-POLICY-PUBLIC"}), (UNKNOWN, {"S3-POLICY-PUBLIC"})]
)
def test_a_bucket_that_blocks_public_access_is_not_public(restricts: Any, expected: set[str]) -> None:
    policy = make_policy({"Statement": allow()}, Kind.RESOURCE, "r", NOWHERE, attached_to="arn:aws:s3:::a")
    block = {"PublicAccessBlockConfiguration": {"RestrictPublicBuckets": restricts}}
    bucket = Resource("AWS::S3::Bucket", "B", block, NOWHERE, arn="arn:aws:s3:::a", policies=[policy])
    assert {one.rule for one in public.public(policy, Corpus(resources=[bucket]))} == expected


def test_other_accounts_count_where_the_own_one_is_known() -> None:
    other = allow(Principal={"AWS": f"arn:aws:iam::{OTHER}:root"})
    assert found(other) == set()
    assert found(other, account=OWN) == {"RESOURCE-CROSS-ACCOUNT"}
    assert found(other, account=OTHER) == set()


def test_what_is_not_known_is_not_decided() -> None:
    assert found(allow({"StringEquals": {"aws:PrincipalOrgID": HOLE}})) == {"undecided S3-POLICY-PUBLIC"}


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"Principal": "*"}, {"LAMBDA-PUBLIC"}),
        ({"Principal": "*", "PrincipalOrgID": "o-abc"}, set()),
        ({"Principal": "*", "FunctionUrlAuthType": "NONE"}, {"LAMBDA-PUBLIC"}),
        ({"Principal": "s3.amazonaws.com"}, {"LAMBDA-PERM-SOURCE"}),
        ({"Principal": "s3.amazonaws.com", "SourceArn": "arn:aws:s3:::photos"}, set()),
        ({"Principal": "s3.amazonaws.com", "SourceAccount": OWN}, set()),
        ({"Principal": "sns.amazonaws.com", "SourceArn": UNKNOWN}, set()),
        ({"Principal": OWN}, set()),
        ({"Principal": UNKNOWN}, set()),
    ],
)
def test_permissions_of_functions(properties: dict[str, Any], expected: set[str]) -> None:
    resource = Resource("AWS::Lambda::Permission", "P", properties, NOWHERE)
    assert {one.rule for one in public.permission(resource, Corpus())} == expected
