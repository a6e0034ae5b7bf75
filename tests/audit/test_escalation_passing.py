"""Passing roles: for which resource, to which service and in which partition the right to pass one counts."""

from __future__ import annotations

from typing import Any

import pytest
from cases import ACCOUNT, allow, deny, document
from test_escalation import ADMIN, alone, judged, policy, role

from dogbreed.audit.model import Kind

RUN = allow("ec2:RunInstances")


def passing(operator: str, key: str, wanted: Any, *rest: dict[str, Any]) -> set[str]:
    """The rules that find something in iam:PassRole under a condition, beside other statements."""
    condition = {operator: {f"iam:{key}": wanted}}
    return {one.rule for one in alone(document(allow("iam:PassRole", Condition=condition), *(rest or (RUN,))))}


FUNCTIONS, INSTANCES = "arn:aws:lambda:*:*:function:*", f"arn:aws:ec2:*:{ACCOUNT}:instance/*"


def test_a_role_for_another_kind_of_resource_gives_nothing() -> None:
    for operator in ("StringLike", "ArnLike", "StringLikeIfExists"):
        assert passing(operator, "AssociatedResourceArn", FUNCTIONS) == (
            {"ec2-001"} if operator.endswith("IfExists") else set()
        )
        assert passing(operator, "AssociatedResourceArn", INSTANCES) == {"ec2-001"}
        assert passing(operator, "AssociatedResourceArn", [FUNCTIONS, INSTANCES]) == {"ec2-001"}
    assert passing("ArnNotLike", "AssociatedResourceArn", FUNCTIONS) == {"ec2-001"}
    creates = allow(["lambda:CreateFunction", "lambda:InvokeFunction"])
    assert passing("ArnLike", "AssociatedResourceArn", FUNCTIONS, creates) == {"lambda-001"}
    launches = allow(["autoscaling:CreateLaunchConfiguration", "autoscaling:CreateAutoScalingGroup"])
    assert "db-asg-launch" in passing("ArnLike", "AssociatedResourceArn", INSTANCES, launches), "its instances"


@pytest.mark.parametrize(
    ("service", "found"),
    [
        ("config.amazonaws.com", True),
        ("part.config.amazonaws.com", True),
        ("*.config.amazonaws.com", True),
        ("config*", True),
        ("*.amazonaws.com", True),
        ("vpc-flow-logs.*", False),
        ("part.lambda.amazonaws.com", False),
        ("*.config", False),
    ],
)
def test_a_pattern_of_another_service_is_none_of_a_part_of_this_one(service: str, found: bool) -> None:
    takes = allow("config:PutConfigurationRecorder")
    assert bool(passing("StringLike", "PassedToService", service, takes)) is found


def test_services_are_called_otherwise_in_china() -> None:
    assert passing("StringEquals", "PassedToService", "ec2.amazonaws.com.cn") == {"ec2-001"}
    assert passing("StringLike", "PassedToService", "*.amazonaws.com.cn") == {"ec2-001"}
    assert passing("StringEquals", "PassedToService", "lambda.amazonaws.com.cn") == set()
    refused = deny("iam:PassRole", Condition={"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}})
    assert alone(document(allow("iam:PassRole"), RUN, refused)) == [], (
        "its other name is not taken where nobody says it"
    )
    boss = role("boss", ADMIN, trusts="ec2")
    in_china = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com.cn"}, "Action": "sts:AssumeRole"}
    boss.trust = policy(document(in_china), Kind.TRUST)
    assert [one.rule for one in judged(role("ann", allow("iam:PassRole"), RUN, kind="user"), boss)["ann"]] == [
        "ec2-001"
    ]


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ("arn:aws:ec2:*::image/*", set()),
        (f"arn:aws:ec2:*:{ACCOUNT}:snapshot/*", set()),
        (["arn:aws:ec2:*::image/*", f"arn:aws:ec2:*:{ACCOUNT}:subnet/*"], set()),
        (["arn:aws:ec2:*::image/*", INSTANCES], {"ec2-001"}),
        (f"arn:aws:ec2:*:{ACCOUNT}:*", {"ec2-001"}),
    ],
)
def test_an_instance_starts_only_where_instances_are_allowed(resource: Any, expected: set[str]) -> None:
    found = alone(document(allow("iam:PassRole"), allow("ec2:RunInstances", resource)))
    assert {one.rule for one in found} == expected


def test_a_shell_in_a_task_needs_the_task() -> None:
    clusters, tasks = (f"arn:aws:ecs:*:{ACCOUNT}:{kind}/*" for kind in ("cluster", "task"))
    assert not alone(document(allow("ecs:ExecuteCommand", clusters)))
    assert alone(document(allow("ecs:ExecuteCommand", [clusters, tasks])))
