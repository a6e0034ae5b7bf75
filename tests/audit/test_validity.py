"""Validity: one policy for each thing that ValidatePolicy says, and none of it for what it calls clean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dogbreed.audit import facts
from dogbreed.audit.document import make_policy
from dogbreed.audit.finding import Finding, Severity, Undecided
from dogbreed.audit.model import HOLE, NOWHERE, UNKNOWN, Kind
from dogbreed.audit.validity.check import look_at_policy
from dogbreed.audit.validity.codes import PREFIX, RULES

VERSION = "2012-10-17"
ACCOUNT = "123456789012"
GITHUB = f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"


def policy(*statements: dict[str, Any], **top: Any) -> dict[str, Any]:
    return {"Version": VERSION, "Statement": list(statements)} | top


def allow(**elements: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/*"} | elements


def when(operator: str, key: str, value: Any, **elements: Any) -> dict[str, Any]:
    return policy(allow(Condition={operator: {key: value}}, **elements))


def to(resource: str, **elements: Any) -> dict[str, Any]:
    return policy(allow(Resource=resource, **elements))


def trust(principal: Any, action: Any = "sts:AssumeRole", **elements: Any) -> dict[str, Any]:
    return policy({"Effect": "Allow", "Principal": principal, "Action": action} | elements)


def on_resource(principal: Any, **elements: Any) -> dict[str, Any]:
    return policy(allow(Principal=principal, **elements))


def without(statement: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in statement.items() if key != name}


def codes(document: Any, kind: Kind = Kind.IDENTITY) -> list[str]:
    found = look_at_policy(make_policy(document, kind, "p", NOWHERE))
    return [one.rule.removeprefix(PREFIX) for one in found if isinstance(one, Finding)]


WEB = "sts:AssumeRoleWithWebIdentity"
WRONG: list[tuple[str, Any]] = [
    ("DATA_TYPE_MISMATCH", policy(allow(Action=[1]))),
    ("DATA_TYPE_MISMATCH", policy(allow(Condition=[]))),
    ("DATA_TYPE_MISMATCH", policy(allow(Effect=True))),
    ("EMPTY_VARIABLE", to("arn:aws:s3:::photos/${}")),
    ("INVALID_CONDITION_KEY_FORMAT", when("StringEquals", "username", "a")),
    ("INVALID_CONDITION_OPERATOR", when("StringEqual", "aws:username", "a")),
    ("INVALID_CONDITION_OPERATOR", when("ForSome:StringEquals", "aws:username", "a")),
    ("INVALID_EFFECT", policy(allow(Effect="allow"))),
    ("INVALID_POLICY_ELEMENT", policy(allow(Resources="*"))),
    ("INVALID_POLICY_ELEMENT", policy(allow(), Statements=[])),
    ("INVALID_VERSION", policy(allow(), Version="2012-10-18")),
    ("MISSING_ACTION", policy(without(allow(), "Action"))),
    ("MISSING_ARN_FIELD", to("arn:aws:s3")),
    ("MISSING_BRACE_IN_VARIABLE", to("arn:aws:s3:::photos/${aws:username")),
    ("MISSING_EFFECT", policy(without(allow(), "Effect"))),
    ("MISSING_QUOTE_IN_VARIABLE", to("arn:aws:s3:::photos/${aws:username, nobody}")),
    ("MISSING_RESOURCE", policy(without(allow(), "Resource"))),
    ("MISSING_STATEMENT", {"Version": VERSION}),
    ("NULL_WITH_IF_EXISTS", when("NullIfExists", "aws:username", "true")),
    ("UNIQUE_SIDS_REQUIRED", policy(allow(Sid="a"), allow(Sid="a", Action="s3:PutObject"))),
    ("UNSUPPORTED_ELEMENT_COMBINATION", policy(allow(NotAction="s3:PutObject"))),
    ("UNSUPPORTED_PRINCIPAL", policy(allow(Principal="*"))),
    ("UNSUPPORTED_SID", policy(allow(Sid="read photos"))),
    ("UNSUPPORTED_SPACE_IN_VARIABLE", to("arn:aws:s3:::photos/${aws user}")),
    ("UNSUPPORTED_SYMBOL_IN_VARIABLE", to("arn:aws:s3:::photos/${aws:user%name}")),
    ("VARIABLE_UNSUPPORTED_IN_VERSION", to("arn:aws:s3:::photos/${aws:username}") | {"Version": "2008-10-17"}),
    ("VARIABLE_UNSUPPORTED_IN_ELEMENT", policy(allow(Action="s3:${aws:username}"))),
    ("PRIVATE_NOT_IP_ADDRESS", when("NotIpAddress", "aws:SourceIp", "10.0.0.0/8")),
    ("PRIVATE_IP_ADDRESS", when("IpAddress", "aws:SourceIp", "192.168.1.0/24")),
    ("PRIVATE_IP_ADDRESS_SUBSET", when("IpAddress", "aws:SourceIp", ["10.0.0.0/8", "203.0.113.0/24"])),
    ("PRIVATE_NOT_IP_ADDRESS_SUBSET", when("NotIpAddress", "aws:SourceIp", ["10.0.0.0/8", "203.0.113.0/24"])),
    ("ARN_ACCOUNT_NOT_ALLOWED", to(f"arn:aws:s3::{ACCOUNT}:photos")),
    ("ARN_REGION_NOT_ALLOWED", to(f"arn:aws:iam:us-east-1:{ACCOUNT}:role/worker", Action="iam:GetRole")),
    ("DUPLICATE_KEYS_WITH_DIFFERENT_CASE", policy(
        allow(Condition={"StringEquals": {"aws:username": "a", "aws:UserName": "b"}}))),
    ("INVALID_ACTION", policy(allow(Action="s3:GetObjct"))),
    ("INVALID_ACTION", policy(allow(Action="s3:Gett*"))),
    ("INVALID_ACTION", policy(allow(Action="s3"))),
    ("INVALID_ARN_ACCOUNT", to("arn:aws:dynamodb:us-east-1:1234:table/t", Action="dynamodb:GetItem")),
    ("INVALID_ARN_PREFIX", to("photos")),
    ("INVALID_ARN_REGION", to(f"arn:aws:dynamodb:moon-1:{ACCOUNT}:table/t", Action="dynamodb:GetItem")),
    ("INVALID_ARN_RESOURCE", to(f"arn:aws:lambda:us-east-1:{ACCOUNT}:functon:f", Action="lambda:InvokeFunction")),
    ("INVALID_ARN_SERVICE_CASE", to("arn:aws:S3:::photos")),
    ("INVALID_CONDITION_DATA_TYPE", when("StringEquals", "aws:username", ["a", 1])),
    ("INVALID_CONDITION_MULTIPLE_BOOLEAN", when("Bool", "aws:SecureTransport", ["true", "false"])),
    ("INVALID_GLOBAL_CONDITION_KEY", when("StringEquals", "aws:SourceVpcx", "vpc-1234abcd")),
    ("INVALID_PARTITION", to("arn:awz:s3:::photos")),
    ("INVALID_REGION", when("StringEquals", "aws:RequestedRegion", "us-esat")),
    ("INVALID_SERVICE", to("arn:aws:nosuchservice:::photos")),
    ("INVALID_SERVICE", when("StringEquals", "nosuchservice:Key", "a")),
    ("INVALID_SERVICE_CONDITION_KEY", when("StringEquals", "s3:nosuchkey", "a")),
    ("INVALID_SERVICE_IN_ACTION", policy(allow(Action="nosuchservice:Get"))),
    ("INVALID_VARIABLE_FOR_OPERATOR", when("NumericEquals", "s3:max-keys", "${aws:username}")),
    ("INVALID_SERVICE_PRINCIPAL_FORMAT", when("ForAnyValue:StringEquals", "aws:CalledVia", "cloudformation")),
    ("INVALID_VPC_FORMAT", when("StringEquals", "aws:SourceVpc", "my-vpc")),
    ("INVALID_VPCE_FORMAT", when("StringEquals", "aws:SourceVpce", "vpc-1234abcd")),
    ("INVALID_KMS_KEY_VALUE", when("StringEquals", "s3:x-amz-server-side-encryption-aws-kms-key-id", "alias/mine")),
    ("MISSING_ARN_ACCOUNT", to("arn:aws:iam:::role/worker", Action="iam:GetRole")),
    ("MISSING_ARN_REGION", to(f"arn:aws:lambda::{ACCOUNT}:function:f", Action="lambda:InvokeFunction")),
    ("MISSING_QUALIFIER", when("StringEquals", "aws:TagKeys", "a")),
    ("MISSING_TAG_KEY_IN_CONDITION", when("StringEquals", "aws:ResourceTag", "a")),
    ("TYPE_MISMATCH_IP_RANGE", when("IpAddress", "aws:SourceIp", "203.0.113.0/33")),
    ("UNSUPPORTED_GLOBAL_CONDITION_KEY", when("ArnLike", "aws:ARN", "arn:aws:iam::*:role/a")),
    ("FORALLVALUES_WITH_SINGLE_VALUED_KEY", when("ForAllValues:StringEquals", "aws:PrincipalOrgID", "o-1")),
    ("MISSING_PAIRED_CONDITION_KEYS", when("IpAddress", "aws:VpcSourceIp", "10.0.0.0/8")),
    ("STRING_LIKE_OPERATOR_WITH_ARN_CONDITION_KEYS", when("StringLike", "aws:PrincipalArn", "arn:aws:iam::1*:role/a")),
    ("PASS_ROLE_WITH_STAR_IN_RESOURCE", policy(allow(Action="iam:PassRole", Resource="*"))),
    ("PASS_ROLE_WITH_STAR_IN_ACTION_AND_RESOURCE", policy(allow(Action="iam:*", Resource="*"))),
    ("PASS_ROLE_WITH_STAR_IN_RESOURCE_AND_NOT_ACTION", policy(
        without(allow(NotAction="s3:*", Resource="*"), "Action"))),
    ("PASS_ROLE_WITH_NOT_RESOURCE", policy(
        without(allow(Action="iam:PassRole", NotResource=f"arn:aws:iam::{ACCOUNT}:role/admin"), "Resource"))),
    ("CREATE_SLR_WITH_STAR_IN_RESOURCE", policy(allow(Action="iam:CreateServiceLinkedRole", Resource="*"))),
    ("CREATE_SLR_WITH_STAR_IN_ACTION_AND_RESOURCE", policy(allow(Action="*", Resource="*"))),
    ("INVALID_DATE_VALUE", when("DateLessThan", "aws:CurrentTime", "1700000000")),
    ("MISSING_VERSION", without(policy(allow()), "Version")),
    ("POLICY_SIZE_EXCEEDS_IDENTITY_POLICY_QUOTA", policy(
        *(allow(Resource=f"arn:aws:s3:::photos-{n}/*") for n in range(200)))),
    ("TYPE_MISMATCH", when("NumericEquals", "aws:username", "1")),
    ("TYPE_MISMATCH_BOOLEAN", when("Bool", "aws:SecureTransport", "yes")),
    ("TYPE_MISMATCH_DATE", when("DateLessThan", "aws:CurrentTime", "2024-02-31")),
    ("TYPE_MISMATCH_NUMBER", when("NumericLessThan", "aws:MultiFactorAuthAge", "an hour")),
    ("TYPE_MISMATCH_STRING", when("BinaryEquals", "aws:username", "?")),
    ("WILDCARD_WITHOUT_LIKE_OPERATOR", when("StringEquals", "aws:username", "dog*")),
    ("ALLOW_WITH_UNSUPPORTED_TAG_CONDITION_KEY_FOR_SERVICE", when(
        "StringEquals", "aws:ResourceTag/team", "a", Action="dax:GetItem", Resource="*")),
    ("EMPTY_ARRAY_ACTION", policy(allow(Action=[]))),
    ("EMPTY_ARRAY_RESOURCE", policy(allow(Resource=[]))),
    ("EMPTY_ARRAY_CONDITION", when("StringEquals", "aws:username", [])),
    ("EMPTY_ARRAY_CONDITION_FORALLVALUES", when("ForAllValues:StringEquals", "aws:TagKeys", [])),
    ("EMPTY_ARRAY_CONDITION_FORANYVALUE", when("ForAnyValue:StringEquals", "aws:TagKeys", [])),
    ("EMPTY_ARRAY_CONDITION_IFEXISTS", when("StringEqualsIfExists", "aws:username", [])),
    ("EMPTY_OBJECT_CONDITION", policy(allow(Condition={}))),
    ("EMPTY_SID_VALUE", policy(allow(Sid=""))),
    ("EQUIVALENT_TO_NULL_FALSE", when("StringLike", "aws:username", "*")),
    ("EQUIVALENT_TO_NULL_TRUE", when("StringNotLike", "aws:username", "*")),
    ("IMPROVE_IP_RANGE", when("IpAddress", "aws:SourceIp", "203.0.113.7/24")),
    ("NULL_WITH_QUALIFIER", when("ForAnyValue:Null", "aws:TagKeys", "true")),
    ("REDUNDANT_ACTION", policy(allow(Action=["s3:Get*", "s3:GetObject"]))),
    ("REDUNDANT_ACTION", policy(allow(Action=["s3:GetObject", "S3:getobject"]))),
    ("REDUNDANT_CONDITION_VALUE_NUM", when("NumericLessThan", "aws:MultiFactorAuthAge", ["60", "3600"])),
    ("REDUNDANT_RESOURCE", policy(allow(Resource=["arn:aws:s3:::photos/*", "arn:aws:s3:::photos/dogs/*"]))),
    ("REDUNDANT_STATEMENT", policy(allow(Sid="a"), allow(Sid="b"))),
    ("WILDCARD_IN_SERVICE_NAME", to(f"arn:aws:*code*::{ACCOUNT}:x")),
]  # fmt: skip
WRONG_ON_RESOURCES: list[tuple[str, Kind, Any]] = [
    ("MISSING_PRINCIPAL", Kind.RESOURCE, policy(allow())),
    ("INVALID_PRINCIPAL_FORMAT", Kind.RESOURCE, on_resource([ACCOUNT])),
    ("INVALID_PRINCIPAL_KEY", Kind.RESOURCE, on_resource({"Account": ACCOUNT})),
    ("EMPTY_OBJECT_PRINCIPAL", Kind.RESOURCE, on_resource({})),
    ("EMPTY_ARRAY_PRINCIPAL", Kind.RESOURCE, on_resource({"AWS": []})),
    ("INVALID_SERVICE_PRINCIPAL_FORMAT", Kind.RESOURCE, on_resource({"Service": "cloudtrail"})),
    ("UNSUPPORTED_WILDCARD_IN_PRINCIPAL", Kind.RESOURCE, on_resource({"AWS": f"arn:aws:iam::{ACCOUNT}:role/*"})),
    ("INVALID_ROLE_REFERENCE", Kind.RESOURCE, on_resource({"AWS": "AROAEXAMPLEEXAMPLE123"})),
    ("INVALID_USER_REFERENCE", Kind.RESOURCE, on_resource({"AWS": "AIDAEXAMPLEEXAMPLE123"})),
    ("FEDERATED_PRINCIPAL_NOT_SUPPORTED", Kind.RESOURCE, on_resource({"Federated": GITHUB})),
    ("ALLOW_WITH_NOT_PRINCIPAL", Kind.RESOURCE, policy(allow(NotPrincipal={"AWS": ACCOUNT}))),
    ("RESTRICT_ACCESS_TO_SERVICE_PRINCIPAL", Kind.RESOURCE, on_resource({"Service": "cloudtrail.amazonaws.com"})),
    ("UNIQUE_SIDS_RECOMMENDED", Kind.RESOURCE, policy(
        allow(Sid="a", Principal="*"), allow(Sid="a", Principal="*", Action="s3:PutObject"))),
    ("ROLE_TRUST_POLICY_SYNTAX_ERROR_RESOURCE", Kind.TRUST, trust({"AWS": ACCOUNT}, Resource="*")),
    ("ROLE_TRUST_POLICY_SYNTAX_ERROR_NOTPRINCIPAL", Kind.TRUST, policy(
        {"Effect": "Allow", "NotPrincipal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"})),
    ("ROLE_TRUST_POLICY_UNSUPPORTED_WILDCARD_IN_PRINCIPAL", Kind.TRUST, trust({"AWS": "arn:aws:iam::1*:root"})),
    ("INVALID_FEDERATED_PRINCIPAL_SYNTAX_IN_ROLE_TRUST_POLICY", Kind.TRUST, trust({"Federated": "github"}, WEB)),
    ("MISMATCHED_ACTION_FOR_PRINCIPAL", Kind.TRUST, trust({"Federated": GITHUB}, "sts:AssumeRole")),
    ("MISSING_ACTION_FOR_ROLES_ANYWHERE_TRUST_POLICY", Kind.TRUST, trust({"Service": "rolesanywhere.amazonaws.com"})),
    ("MISSING_ACTION_FOR_CONDITION_KEY", Kind.TRUST, trust(
        {"AWS": ACCOUNT}, Condition={"StringEquals": {"sts:SourceIdentity": "a"}})),
    ("MISSING_GITHUB_REPO_CONDITION_KEY", Kind.TRUST, trust({"Federated": GITHUB}, WEB)),
    ("MISSING_CONDITION_KEY_FOR_OIDC_PRINCIPAL", Kind.TRUST, trust({"Federated": "accounts.google.com"}, WEB)),
    ("SPECIFIC_GITHUB_REPO_AND_BRANCH_RECOMMENDED", Kind.TRUST, trust({"Federated": GITHUB}, WEB, Condition={
        "StringLike": {"token.actions.githubusercontent.com:sub": "repo:owner/*"}})),
    ("POLICY_SIZE_EXCEEDS_ROLE_TRUST_POLICY_QUOTA", Kind.TRUST, trust(
        {"AWS": [f"arn:aws:iam::{ACCOUNT}:role/worker-{n}" for n in range(60)]})),
    ("POLICY_SIZE_EXCEEDS_RESOURCE_POLICY_QUOTA", Kind.RESOURCE, policy(
        *(allow(Principal="*", Resource=f"arn:aws:s3:::photos-{n}/*") for n in range(300)))),
    ("SCP_SYNTAX_ERROR_PRINCIPAL", Kind.SCP, on_resource("*")),
    ("POLICY_SIZE_EXCEEDS_SCP_QUOTA", Kind.SCP, policy(*(allow(Resource=f"arn:aws:s3:::b-{n}/*") for n in range(99)))),
    ("RCP_SYNTAX_ERROR_ALLOW", Kind.RCP, on_resource("*")),
    ("RCP_SYNTAX_ERROR_PRINCIPAL", Kind.RCP, on_resource({"AWS": ACCOUNT}, Effect="Deny")),
    ("RCP_SYNTAX_ERROR_ACTION", Kind.RCP, on_resource("*", Effect="Deny", Action="ec2:RunInstances")),
    ("RCP_SYNTAX_ERROR_NOTACTION", Kind.RCP, policy(
        without(allow(Effect="Deny", Principal="*", NotAction="s3:GetObject"), "Action"))),
    ("UNSUPPORTED_ACTION_IN_POLICY", Kind.TRUST, trust({"AWS": ACCOUNT}, "iam:PassRole")),
    ("DENY_NOTACTION_WITH_UNSUPPORTED_TAG_CONDITION_KEY_FOR_SERVICE", Kind.IDENTITY, policy(without(
        allow(Effect="Deny", NotAction="s3:*", Resource="*",
              Condition={"StringEquals": {"aws:ResourceTag/team": "a"}}), "Action"))),
    ("DENY_WITH_UNSUPPORTED_TAG_CONDITION_KEY_FOR_SERVICE", Kind.IDENTITY, policy(
        allow(Effect="Deny", Action="dax:GetItem", Resource="*",
              Condition={"StringEquals": {"aws:ResourceTag/team": "a"}}))),
]  # fmt: skip
CLEAN: list[tuple[Kind, Any]] = [
    (Kind.IDENTITY, policy(allow())),
    (Kind.IDENTITY, policy(allow(Sid="Read"), allow(Sid="Write", Action="s3:PutObject"))),
    (Kind.IDENTITY, to("arn:aws:s3:::photos/${aws:username}/*")),
    (Kind.IDENTITY, to("arn:aws:s3:::photos/${aws:username, 'nobody'}/${*}")),
    (Kind.IDENTITY, to(f"arn:aws:logs:*:{ACCOUNT}:log-group:/aws/*:log-stream:*", Action="logs:PutLogEvents")),
    (Kind.IDENTITY, when("StringEquals", "iam:PassedToService", "sagemaker.amazonaws.com",
                         Action="iam:PassRole", Resource="*")),
    (Kind.IDENTITY, when("ForAllValues:StringEquals", "aws:TagKeys", ["a", "b"])),
    (Kind.IDENTITY, when("StringEquals", "aws:ResourceTag/team", "dogs", Action="ec2:StartInstances", Resource="*")),
    (Kind.IDENTITY, when("Null", "aws:TagKeys", "false")),
    (Kind.IDENTITY, when("Bool", "aws:SecureTransport", True)),
    (Kind.IDENTITY, when("DateGreaterThan", "aws:CurrentTime", "2027-01-31T12:00:00Z")),
    (Kind.IDENTITY, when("StringEquals", "ec2:ResourceTag/a", "b", Action="ec2:StartInstances", Resource="*")),
    (Kind.IDENTITY, to("arn:aws:ssm:*::parameter/aws/service/ami-amazon-linux-latest/*", Action="ssm:GetParameter")),
    (Kind.IDENTITY, policy(allow(Action="*:*", Effect="Deny", Resource="*"))),
    (Kind.TRUST, trust({"Service": "sagemaker.amazonaws.com"})),
    (Kind.TRUST, trust({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, ["sts:AssumeRole", "sts:TagSession"])),
    (Kind.TRUST, trust({"Federated": GITHUB}, WEB, Condition={"StringEquals": {
        "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
        "token.actions.githubusercontent.com:sub": "repo:owner/name:ref:refs/heads/main"}})),
    (Kind.RESOURCE, on_resource({"AWS": ACCOUNT})),
    (Kind.RESOURCE, on_resource({"Service": "cloudtrail.amazonaws.com"},
                                Condition={"StringEquals": {"aws:SourceAccount": ACCOUNT}})),
    (Kind.RESOURCE, on_resource("*", Effect="Deny", Condition={"Bool": {"aws:SecureTransport": "false"}})),
    (Kind.SCP, policy(allow(Effect="Deny", Action="organizations:LeaveOrganization", Resource="*"))),
    (Kind.RCP, on_resource("*", Effect="Deny", Action="s3:*", Resource="*",
                           Condition={"StringNotEqualsIfExists": {"aws:PrincipalOrgID": "o-1"}})),
]  # fmt: skip


def cases() -> Iterator[Any]:
    for number, (code, document) in enumerate(WRONG):
        yield pytest.param(code, Kind.IDENTITY, document, id=f"{code}-{number}")
    for number, (code, kind, document) in enumerate(WRONG_ON_RESOURCES):
        yield pytest.param(code, kind, document, id=f"{code}-{kind}-{number}")


@pytest.mark.parametrize(("code", "kind", "document"), list(cases()))
def test_what_is_wrong_is_said(code: str, kind: Kind, document: Any) -> None:
    assert code in codes(document, kind)


@pytest.mark.parametrize(("kind", "document"), CLEAN)
def test_nothing_is_said_of_what_is_clean(kind: Kind, document: Any) -> None:
    assert codes(document, kind) == []


@pytest.mark.parametrize(
    ("elements", "code"),
    [
        ({"Action": "sqs:SendMessage"}, "UNSUPPORTED_ACTION_IN_POLICY"),
        ({"Resource": "arn:aws:s3:::others/*"}, "UNSUPPORTED_RESOURCE_ARN_IN_POLICY"),
        ({}, None),
        ({"Resource": ["arn:aws:s3:::photos", "arn:aws:s3:::photos/*"]}, None),
    ],
)
def test_a_bucket_policy_is_about_its_bucket(elements: dict[str, Any], code: str | None) -> None:
    made = make_policy(on_resource({"AWS": ACCOUNT}, **elements), Kind.RESOURCE, "p", NOWHERE)
    made.attached_to = "arn:aws:s3:::photos"
    assert [one.rule for one in look_at_policy(made)] == ([PREFIX + code] if code else [])


def test_most_rules_have_a_case() -> None:
    shown = {code for code, _ in WRONG} | {code for code, _, _ in WRONG_ON_RESOURCES}
    assert shown <= set(RULES)
    assert len(set(RULES) - shown) <= 20, sorted(set(RULES) - shown)


def test_a_statement_alone_is_as_good_as_a_list() -> None:
    for code, document in WRONG:
        if len(document.get("Statement", [])) == 1:
            assert code in codes(document | {"Statement": document["Statement"][0]})


def test_what_aws_refuses_is_high() -> None:
    (found,) = look_at_policy(make_policy(policy(allow(Effect="allow")), Kind.IDENTITY, "p", NOWHERE))
    assert isinstance(found, Finding)
    assert found.severity is Severity.HIGH


def test_did_you_mean() -> None:
    (found,) = look_at_policy(make_policy(policy(allow(Action="s3:GetObjct")), Kind.IDENTITY, "p", NOWHERE))
    assert isinstance(found, Finding)
    assert "did you mean s3:GetObject?" in found.message
    assert found.fix == "write s3:GetObject"


@pytest.mark.parametrize("unknown", [HOLE, UNKNOWN])
@pytest.mark.parametrize("element", ["Action", "Resource", "Effect", "Condition", "Sid"])
def test_nothing_is_claimed_of_what_is_not_known(element: str, unknown: Any) -> None:
    assert codes(policy(allow(**{element: unknown}))) == []


def test_a_service_that_the_data_misses_is_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    """The canary: neither clean nor wrong, since the service exists."""
    known = facts.services() - {"sagemaker"}
    for one in (facts.actions, facts.condition_keys, facts.resource_types):
        one.cache_clear()
    from dogbreed.audit.validity import actions, keys, resources

    caches = (actions.expand, actions._all, keys._in_service, keys._patterns, resources.forms, resources.find_fault)
    for cache in caches:
        cache.cache_clear()
    monkeypatch.setattr(facts, "services", lambda: known)
    arn = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:training-job/a"
    condition = {"StringEquals": {"sagemaker:RootAccess": "Disabled"}}
    for document in (
        policy(allow(Action="sagemaker:CreateTrainingJob")),
        policy(allow(Resource=arn)),
        policy(allow(Condition=condition)),
    ):
        found = look_at_policy(make_policy(document, Kind.IDENTITY, "p", NOWHERE))
        assert found
        assert all(isinstance(one, Undecided) and "sagemaker" in one.reason for one in found)
    monkeypatch.undo()
    for cache in caches:
        cache.cache_clear()
