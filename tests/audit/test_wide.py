"""The rows of the checklist about policies, each with what fails and what passes."""

from __future__ import annotations

from typing import Any

import pytest
from cases import ACCOUNT, allow, deny, document

from dogbreed.audit import wide
from dogbreed.audit.document import make_policy
from dogbreed.audit.finding import Location
from dogbreed.audit.model import NOWHERE, Corpus, Kind, Principal, Resource

ROLE = f"arn:aws:iam::{ACCOUNT}:role/job"
SM_FULL, S3_FULL = "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess", "arn:aws:iam::aws:policy/AmazonS3FullAccess"
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"


def role(service: str, *statements: dict[str, Any], unresolved: tuple[str, ...] = ()) -> Principal:
    trusts = {"Effect": "Allow", "Principal": {"Service": f"{service}.amazonaws.com"}, "Action": "sts:AssumeRole"}
    trust = make_policy(document(trusts), Kind.TRUST, "t", NOWHERE)
    own = make_policy(document(*statements), Kind.IDENTITY, "p", NOWHERE)
    place = Location("x")
    return Principal(ROLE, "role", "job", place, policies=[own], trust=trust, unresolved=unresolved, complete=True)


def of_role(service: str, *statements: dict[str, Any], unresolved: tuple[str, ...] = ()) -> set[str]:
    one = role(service, *statements, unresolved=unresolved)
    corpus = Corpus(principals=[one], complete=True)
    return {found.rule for check in (wide.runtime_role, wide.model_write_of_function) for found in check(one, corpus)}


def of_policy(*statements: dict[str, Any]) -> set[tuple[str, str]]:
    policy = make_policy(document(*statements), Kind.IDENTITY, "p", NOWHERE)
    return {(one.rule, str(one.severity)) for one in wide.wide_grants(policy, Corpus())}


ENDPOINT = f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:endpoint/"
TO_SAGEMAKER = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}


@pytest.mark.parametrize(
    ("service", "bad", "good", "rule"),
    [
        ("sagemaker", [allow("*")], [allow("s3:GetObject", "arn:aws:s3:::a/*")], "IAM-EXEC-ADMIN"),
        ("lambda", [allow("sagemaker:*")], [allow("sagemaker:InvokeEndpoint", ENDPOINT + "a")], "IAM-EXEC-SM-FULL"),
        ("ec2", [allow("s3:*")], [allow("s3:*", "arn:aws:s3:::a/*")], "IAM-EXEC-S3-FULL"),
        ("ec2", [allow("s3:*", "arn:aws:s3:::*")], [allow("s3:*"), deny("s3:*")], "IAM-EXEC-S3-FULL"),
        (
            "sagemaker",
            [allow("iam:PassRole", Condition=TO_SAGEMAKER), allow("sagemaker:CreateTrainingJob")],
            [allow("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/x"), allow("sagemaker:CreateTrainingJob")],
            "IAM-EXEC-SELF-PASS",
        ),
        (
            "sagemaker",
            [allow("iam:PassRole", ROLE), allow("sagemaker:CreateProcessingJob")],
            [allow("iam:PassRole", ROLE)],
            "IAM-EXEC-SELF-PASS",
        ),
        (
            "sagemaker",
            [allow("sagemaker:CreatePresigned*")],
            [
                allow(
                    "sagemaker:CreatePresignedNotebookInstanceUrl",
                    f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:notebook-instance/a",
                )
            ],
            "IAM-EXEC-PRESIGN",
        ),
        (
            "lambda",
            [allow("s3:PutObject", "arn:aws:s3:::dogs/models/*")],
            [allow("s3:GetObject", "arn:aws:s3:::dogs/models/*")],
            "IAM-MODEL-WRITE",
        ),
    ],
)
def test_roles_that_code_runs_with(service: str, bad: list[Any], good: list[Any], rule: str) -> None:
    assert rule in of_role(service, *bad)
    assert rule not in of_role(service, *good)
    assert rule not in of_role("config", *bad), "no code runs with this role"


@pytest.mark.parametrize(
    ("arn", "rule"),
    [(ADMINISTRATOR, "IAM-EXEC-ADMIN"), (SM_FULL, "IAM-EXEC-SM-FULL"), (S3_FULL, "IAM-EXEC-S3-FULL")],
)
def test_policies_of_aws_count_by_their_name_and_text(arn: str, rule: str) -> None:
    assert rule in of_role("sagemaker", unresolved=(arn,))


def test_passing_roles() -> None:
    one = f"arn:aws:iam::{ACCOUNT}:role/x"
    assert of_policy(allow("iam:PassRole")) == {("IAM-PASSROLE-STAR", "high")}
    assert of_policy(allow("iam:Pass*", "arn:aws:iam::*:role/*")) == {("IAM-PASSROLE-STAR", "high")}
    assert of_policy(allow("iam:PassRole", Condition=TO_SAGEMAKER)) == {("IAM-PASSROLE-STAR", "medium")}
    assert of_policy(allow("iam:PassRole", one)) == {("IAM-PASSROLE-STAR", "low")}
    assert of_policy(allow("iam:PassRole", one, Condition=TO_SAGEMAKER)) == set()


def test_passing_roles_counts_as_far_as_it_is_left() -> None:
    assert of_policy(allow("iam:PassRole"), deny("iam:*")) == set()
    assert of_policy(allow("iam:PassRole", "arn:aws:s3:::a")) == set()
    only = {"Effect": "Deny", "Action": "iam:PassRole", "NotResource": f"arn:aws:iam::{ACCOUNT}:role/x"}
    assert of_policy(allow("iam:PassRole"), only) == {("IAM-PASSROLE-STAR", "low")}
    one = role("config", allow("iam:PassRole"))
    one.boundary = make_policy(document(allow("s3:*")), Kind.BOUNDARY, "edge", NOWHERE)
    assert list(wide.wide_grants(one.policies[0], Corpus(principals=[one]))) == []


def test_buckets_with_a_name_that_others_can_guess() -> None:
    own = {"StringEquals": {"aws:ResourceAccount": ACCOUNT}}
    for bucket in (
        "arn:aws:s3:::sagemaker-*/*",
        "arn:aws:s3:::*SageMaker*",
        f"arn:aws:s3:::sagemaker-eu-west-1-{ACCOUNT}/*",
    ):
        assert of_policy(allow("s3:GetObject", bucket)) == {("IAM-DEFAULT-BUCKET", "medium")}
        assert of_policy(allow("s3:GetObject", bucket, Condition=own)) == set()
    assert of_policy(allow("s3:GetObject", "arn:aws:s3:::dogs/*")) == set()


def test_every_key() -> None:
    via = {"StringLike": {"kms:ViaService": "s3.*.amazonaws.com"}}
    assert of_policy(allow("kms:Decrypt")) == {("IAM-KMS-STAR", "medium")}
    assert of_policy(allow("kms:*", "arn:aws:kms:*:*:key/*")) == {("IAM-KMS-STAR", "medium")}
    assert of_policy(allow("kms:Decrypt", Condition=via)) == set()
    assert of_policy(allow("kms:Decrypt", f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1")) == set()


def test_every_endpoint() -> None:
    assert of_policy(allow("sagemaker:InvokeEndpoint")) == {("IAM-INVOKE-STAR", "medium")}
    assert of_policy(allow("sagemaker:Invoke*", ENDPOINT + "*")) == {("IAM-INVOKE-STAR", "medium")}
    assert of_policy(allow("sagemaker:InvokeEndpoint", ENDPOINT + "dogs")) == set()


def test_a_model_that_its_own_role_can_overwrite() -> None:
    def found(*statements: dict[str, Any]) -> set[str]:
        container = {"PrimaryContainer": {"ModelDataUrl": "s3://dogs/releases/1/model.tar.gz"}}
        model = Resource("AWS::SageMaker::Model", "Model", container, NOWHERE, roles=(ROLE,))
        corpus = Corpus(principals=[role("sagemaker", *statements)], resources=[model])
        return {one.rule for one in wide.model_write(model, corpus)}

    assert found(allow("s3:*", "arn:aws:s3:::dogs/*")) == {"IAM-MODEL-WRITE"}
    assert found(allow("s3:PutObject", "arn:aws:s3:::dogs/capture/*")) == set()
    assert found(allow("s3:*"), deny("s3:Put*", "arn:aws:s3:::dogs/releases/*")) == set()
