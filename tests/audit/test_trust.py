"""Trust policies that let others in, and those that do not."""

from __future__ import annotations

from typing import Any

import pytest

from dogbreed.audit import trust
from dogbreed.audit.document import make_policy
from dogbreed.audit.finding import Finding, Undecided
from dogbreed.audit.model import HOLE, NOWHERE, OWN_ACCOUNT, Corpus, Kind

OWN, OTHER = "123456789012", "210987654321"
ROLE = f"arn:aws:iam::{OWN}:role/deployer"
GITHUB = "token.actions.githubusercontent.com"
AUD = {f"{GITHUB}:aud": "sts.amazonaws.com"}
LIKE, EQUALS = "StringLike", "StringEquals"


def found(
    principal: Any, condition: Any = None, action: str = "sts:AssumeRole", account: str = OWN_ACCOUNT, **more: Any
) -> set[str]:
    statement = {"Effect": "Allow", "Principal": principal, "Action": action, **more}
    if condition:
        statement["Condition"] = condition
    if principal is None:
        del statement["Principal"]
    attached = ROLE if account == OWN else ""
    policy = make_policy(
        {"Version": "2012-10-17", "Statement": [statement]}, Kind.TRUST, "t", NOWHERE, attached_to=attached
    )
    corpus = Corpus(policies=[policy], account=account)
    results = [*trust.trust(policy, corpus), *trust.shared(policy, corpus)]
    return {one.rule if isinstance(one, Finding) else f"undecided {one.rule}" for one in results}


def web(host: str, condition: Any = None) -> set[str]:
    provider = (
        host
        if "amazonaws.com" in host and "eks" not in host and "/" not in host
        else f"arn:aws:iam::{OWN}:oidc-provider/{host}"
    )
    return found({"Federated": provider}, condition, "sts:AssumeRoleWithWebIdentity")


def github(sub: Any, operator: str = LIKE, aud: Any = None) -> set[str]:
    both = {"StringEquals": AUD if aud is None else aud}
    both = {key: dict(value) for key, value in both.items() if value}
    both.setdefault(operator, {})[f"{GITHUB}:sub"] = sub
    return web(GITHUB, both)


@pytest.mark.parametrize(
    ("principal", "condition"),
    [
        ("*", None),
        ({"AWS": "*"}, None),
        ({"AWS": ["*"]}, {"Bool": {"aws:SecureTransport": "true"}}),
        ({"AWS": "*"}, {"StringLike": {"aws:PrincipalArn": "*"}}),
        ({"AWS": "*"}, {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/Admin"}}),
        ({"AWS": "*"}, {"StringEquals": {"sts:ExternalId": "1"}}),
        ({"AWS": "*"}, {"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}),
        ({"AWS": "*"}, {"StringNotEquals": {"aws:PrincipalAccount": OTHER}}),
        ({"AWS": "*"}, {"StringEqualsIfExists": {"aws:SourceVpc": "vpc-1"}}),
        ({"AWS": "*"}, {"ForAllValues:StringEquals": {"aws:SourceVpce": "vpce-1"}}),
        ({"AWS": "*"}, {"Null": {"aws:PrincipalOrgID": "false"}}),
        ({"AWS": "*"}, {"Null": {"aws:PrincipalOrgID": "true"}}),
        ({"AWS": "*"}, {"StringEqualsIfExists": {"aws:PrincipalOrgID": "o-abc123"}}),
        ({"AWS": "*"}, {"ForAllValues:StringLike": {"aws:PrincipalOrgPaths": "o-abc123/*"}}),
    ],
)
def test_anybody(principal: Any, condition: Any) -> None:
    assert found(principal, condition) == {"IAM-TRUST-WILDCARD"}


@pytest.mark.parametrize(
    ("principal", "condition"),
    [
        ({"AWS": "*"}, {"StringEquals": {"aws:PrincipalOrgID": "o-abc123"}}),
        ({"AWS": "*"}, {"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{OWN}:role/build-*"}}),
        ({"AWS": "*"}, {"StringEquals": {"aws:PrincipalAccount": OWN}}),
        ({"AWS": f"arn:aws:iam::{OTHER}:role/build"}, None),
        ({"AWS": f"arn:aws:iam::{OTHER}:user/ann"}, None),
        ({"AWS": OTHER}, {"StringEquals": {"sts:ExternalId": "9d8f"}}),
        ({"AWS": f"arn:aws:iam::{OTHER}:root"}, {"StringEquals": {"aws:PrincipalOrgID": "o-abc123"}}),
        ({"Service": "ec2.amazonaws.com"}, None),
        ({"Service": "lambda.amazonaws.com"}, None),
        ({"Service": ["lambda.amazonaws.com", "edgelambda.amazonaws.com"]}, None),
        ({"Service": "sagemaker.amazonaws.com"}, {"StringEquals": {"aws:SourceAccount": OWN}}),
        ({"Service": "sagemaker.amazonaws.com"}, {"ArnLike": {"aws:SourceArn": f"arn:aws:sagemaker:*:{OWN}:*"}}),
        ({"AWS": f"arn:aws:iam::{OWN_ACCOUNT}:root"}, None),
    ],
)
def test_those_who_are_meant(principal: Any, condition: Any) -> None:
    assert found(principal, condition) == set()


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (None, {"IAM-TRUST-CONFUSED"}),
        ({"StringLike": {"aws:SourceAccount": "*"}}, {"IAM-TRUST-CONFUSED"}),
        ({"ArnLike": {"aws:SourceArn": "arn:aws:sagemaker:*:*:*"}}, {"IAM-TRUST-CONFUSED"}),
        ({"StringNotEquals": {"aws:SourceAccount": OTHER}}, {"IAM-TRUST-CONFUSED"}),
        ({"ForAllValues:StringEquals": {"aws:SourceAccount": OWN}}, {"IAM-TRUST-CONFUSED"}),
    ],
)
def test_services_that_act_for_others(condition: Any, expected: set[str]) -> None:
    assert found({"Service": "sagemaker.amazonaws.com"}, condition) == expected


def test_accounts() -> None:
    root = {"AWS": f"arn:aws:iam::{OTHER}:root"}
    assert found(root) == found(root, account=OWN) == {"IAM-TRUST-FOREIGN"}
    assert found(root, {"StringLike": {"sts:ExternalId": "*"}}) == {"IAM-TRUST-FOREIGN"}
    assert found(root, {"StringNotEquals": {"sts:ExternalId": "x"}}) == {"IAM-TRUST-FOREIGN"}
    assert found({"AWS": f"arn:aws:iam::{OWN}:root"}, account=OWN) == set()
    assert found({"AWS": HOLE}) == {"undecided IAM-TRUST-FOREIGN"}
    assert found(None, NotPrincipal={"AWS": OTHER}) == {"IAM-TRUST-WILDCARD"}


def test_an_account_counts_as_foreign_only_where_something_says_which_is_the_own() -> None:
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": f"arn:aws:iam::{OTHER}:root"}}
    lone = make_policy({"Statement": statement}, Kind.TRUST, "trust", NOWHERE)
    of_role = make_policy({"Statement": statement}, Kind.TRUST, "r", NOWHERE, attached_to=f"arn:aws:iam::{OWN}:role/r")
    severities = [
        str(one.severity)
        for policy, corpus in ((lone, Corpus()), (lone, Corpus(account=OWN)), (of_role, Corpus()))
        for one in trust.trust(policy, corpus)
        if isinstance(one, Finding)
    ]
    assert severities == ["info", "medium", "medium"]


def test_one_role_for_several_services() -> None:
    account = {"StringEquals": {"aws:SourceAccount": OWN}}
    assert found({"Service": ["ec2.amazonaws.com", "sagemaker.amazonaws.com"]}, account) == {"IAM-TRUST-MULTI"}


@pytest.mark.parametrize(
    "sub",
    [
        "*",
        "repo:*",
        "repo:org*",
        "repo:*/app:*",
        "repo:*:ref:refs/heads/main",
        "r?po:org/app:*",
        ["repo:org/app:*", "*"],
    ],
)
def test_subjects_that_name_others_too(sub: Any) -> None:
    assert github(sub) == {"IAM-OIDC-SUB"}


@pytest.mark.parametrize(
    ("sub", "operator"),
    [
        ("repo:org/app:*", LIKE),
        ("repo:org/app:ref:refs/heads/main", EQUALS),
        ("repo:org/*", LIKE),
        ("repo:org/app*:environment:prod", LIKE),
        (["repo:org/a:*", "repo:org/b:*"], LIKE),
        ("repo:org/app:*", "ForAnyValue:StringLike"),
        ("repository_owner_id:1234:*", LIKE),
    ],
)
def test_subjects_that_name_the_own(sub: Any, operator: str) -> None:
    assert github(sub, operator) == set()


def test_github_without_a_subject_or_an_audience() -> None:
    assert web(GITHUB) == {"IAM-OIDC-SUB", "IAM-OIDC-AUD"}
    assert web(GITHUB, {"StringEquals": AUD}) == {"IAM-OIDC-SUB"}
    assert github("repo:org/app:*", aud={}) == {"IAM-OIDC-AUD"}
    assert github("repo:org/app:*", "ForAllValues:StringLike") == {"IAM-OIDC-SUB"}
    assert github("repo:evil/app:*", "StringNotLike") == {"IAM-OIDC-SUB"}
    assert web(GITHUB, {"StringEquals": {**AUD, f"{GITHUB}:repository": "org/app"}}) == set()


@pytest.mark.parametrize(
    ("host", "good", "bad"),
    [
        ("gitlab.com", "project_path:group/app:ref_type:branch:ref:main", "project_path:*"),
        ("app.terraform.io", "organization:acme:project:*:workspace:prod:run_phase:*", "organization:*:workspace:prod"),
        ("oidc.circleci.com/org/1234", "org/1234/project/5678/user/*", "*"),
        ("api.bitbucket.org/2.0/workspaces/acme/pipelines-config/identity/oidc", "{app}:*", "*"),
        (
            "api.bitbucket.org/2.0/workspaces/acme/pipelines-config/identity/oidc",
            "*{1fc9a4a5-aaaa-bbbb-cccc-dddddddddddd}*",
            "*{1fc9a4a5-*}*",
        ),
        ("agent.buildkite.com", "organization:acme:pipeline:app:*", "organization:*"),
        ("oidc.eks.eu-west-1.amazonaws.com/id/ABC", "system:serviceaccount:ns:app", "system:serviceaccount:*"),
    ],
)
def test_other_issuers(host: str, good: str, bad: str) -> None:
    aud = {f"{host}:aud": "https://example.com"}
    assert web(host, {"StringEquals": aud, "StringLike": {f"{host}:sub": good}}) == set()
    assert web(host, {"StringEquals": aud, "StringLike": {f"{host}:sub": bad}}) == {"IAM-OIDC-SUB"}
    assert web(host, {"StringEquals": aud}) == {"IAM-OIDC-SUB"}


def test_providers_for_applications() -> None:
    cognito = "cognito-identity.amazonaws.com"
    amr = {"ForAnyValue:StringLike": {f"{cognito}:amr": "authenticated"}}
    assert web(cognito, amr) == {"IAM-OIDC-SUB"}
    assert web(cognito, {**amr, "StringEquals": {f"{cognito}:aud": "eu-west-1:1234"}}) == set()
    assert web("accounts.google.com", {"StringEquals": {"accounts.google.com:aud": "1.apps"}}) == set()


def test_saml() -> None:
    principal = {"Federated": f"arn:aws:iam::{OWN}:saml-provider/idp"}
    fixed = {"StringEquals": {"SAML:aud": "https://signin.aws.amazon.com/saml"}}
    assert found(principal, fixed, "sts:AssumeRoleWithSAML") == set()
    assert found(principal, None, "sts:AssumeRoleWithSAML") == {"IAM-TRUST-SAML"}


def test_findings_are_of_trust() -> None:
    statement = {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}
    policy = make_policy({"Statement": [statement]}, Kind.TRUST, "t", NOWHERE)
    (one,) = trust.trust(policy, Corpus())
    assert not isinstance(one, Undecided)
    assert (one.category, one.severity) == ("trust", "critical")
