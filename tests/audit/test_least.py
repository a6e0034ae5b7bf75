"""Least privilege: what is proposed allows every call that was made, allows no more than before, and is stable."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dogbreed.audit import parse
from dogbreed.audit.answer import YES
from dogbreed.audit.calls import Calls, Use, actions_of, caller, read_calls
from dogbreed.audit.document import read_policies
from dogbreed.audit.least import not_compared, tighten
from dogbreed.audit.model import Corpus, Kind, Policy
from dogbreed.audit.pattern import arn_matches, matches
from dogbreed.audit.rewrite import _apply, _edits, diff
from dogbreed.errors import UsageError
from dogbreed.rehearse.calls import Record

ROW = {"who": "arn:aws:iam::123456789012:role/w", "service": "s3", "operation": "GetObject", "resource": "*"}
ACTIONS = [
    "kms:Decrypt",
    "kms:DeleteAlias",
    "s3:GetObject",
    "s3:PutObject",
    "s3:ListAllMyBuckets",
    "sqs:SendMessage",
    "ecr:GetAuthorizationToken",
]
RESOURCES = ["arn:aws:s3:::a/x", "arn:aws:s3:::a/y", "arn:aws:s3:::b/x", "arn:aws:sqs:us-east-1:123456789012:q", ""]
uses = st.sets(st.builds(Use, st.sampled_from(ACTIONS), st.sampled_from(RESOURCES)), max_size=5)
granted_actions = st.lists(
    st.sampled_from([*ACTIONS, "s3:*", "s3:Get*", "sqs:*", "kms:*", "*"]), min_size=1, max_size=4
)
granted_resources = st.lists(
    st.sampled_from(["*", "arn:aws:s3:::*", "arn:aws:s3:::a/*", "arn:aws:s3:::a/x", "arn:aws:sqs:*:*:*"]),
    min_size=1,
    max_size=3,
)
grants = st.lists(st.tuples(granted_actions, granted_resources), min_size=1, max_size=4)


def written(policy: list[tuple[list[str], list[str]]], indent: int | None) -> str:
    body = [{"Effect": "Allow", "Action": actions, "Resource": resources} for actions, resources in policy]
    return json.dumps({"Version": "2012-10-17", "Statement": body}, indent=indent)


def one_policy(text: str) -> Policy:
    (policy,), errors = read_policies(text, "p.json", Kind.IDENTITY)
    assert not errors
    return policy


def tightened(text: str, used: set[Use]) -> str:
    policy = one_policy(text)
    group = list(tighten(Corpus(policies=[policy]), Calls({"role/w": used}, count=len(used))))
    if not group or sum(1 for one in group if not one.parts) == len(policy.statements):
        return text
    return _apply(text, _edits(text, group))


def allows(policy: Policy, use: Use) -> bool:
    return any(
        any(matches(one.lower(), use.action.lower()) is YES for one in statement.actions or ())
        and (not use.resource or any(arn_matches(one, use.resource) is YES for one in statement.resources or ()))
        for statement in policy.statements
    )


@given(grants, uses, st.sampled_from([None, 2, 4]))
@settings(deadline=None, max_examples=300)
def test_what_was_used_stays_allowed_and_nothing_is_added(
    policy: list[tuple[list[str], list[str]]], used: set[Use], indent: int | None
) -> None:
    before = one_policy(written(policy, indent))
    text = tightened(written(policy, indent), used)
    after = one_policy(text)
    for use in used:
        assert allows(after, use) == allows(before, use), use
    for action in ACTIONS:
        for resource in filter(None, RESOURCES):
            assert not allows(after, Use(action, resource)) or allows(before, Use(action, resource))
    assert tightened(text, used) == text


@given(st.lists(st.datetimes(), min_size=1, max_size=8), st.datetimes(), st.sampled_from(["%Y%m%d-%H%M%S", "%H%M%S"]))
@settings(deadline=None)
def test_a_job_of_another_day_stays_allowed(days: list[datetime], other: datetime, form: str) -> None:
    start = "arn:aws:sagemaker:eu-west-1:123456789012:training-job/dogbreed-"
    used = {Use("sagemaker:CreateTrainingJob", start + day.strftime(form)) for day in days}
    after = one_policy(tightened(written([(["sagemaker:CreateTrainingJob"], ["*"])], 2), used))
    assert allows(after, Use("sagemaker:CreateTrainingJob", start + other.strftime(form)))
    assert after.statements[0].resources == (f"{start}*",)


@pytest.mark.parametrize(
    ("entry", "name", "wanted"),
    [
        ("*", "arn:aws:s3:::photos/rex.jpg", "arn:aws:s3:::photos/rex.jpg"),
        ("*", "arn:aws:s3:::dogbreed-123456789012", "arn:aws:s3:::dogbreed-123456789012"),
        ("*", "arn:aws:s3:::dogbreed-eu-west-1", "arn:aws:s3:::dogbreed-eu-west-1"),
        ("*", "arn:aws:s3:::photos/runs/0f3a9c1e-77aa-4b1e-9d2f-000000000000/x", "arn:aws:s3:::photos/runs/*"),
        ("arn:aws:s3:::*.jpg", "arn:aws:s3:::photos/12.jpg", "arn:aws:s3:::photos/12.jpg"),
    ],
)
def test_what_changes_from_run_to_run_is_left_open(entry: str, name: str, wanted: str) -> None:
    after = one_policy(tightened(written([(["s3:GetObject"], [entry])], 2), {Use("s3:GetObject", name)}))
    assert after.statements[0].resources == (wanted,)


def test_the_rest_of_the_file_stays_as_it_is() -> None:
    text = """{
\t"Version" : "2012-10-17",
\t"Statement": [
\t\t{"Effect":"Allow",   "Action":"s3:*", "Resource":"arn:aws:s3:::a/*"},
\t\t{ "Effect":"Deny", "Action":"*",  "Resource":"*" }
\t]
}
"""
    after = tightened(text, {Use("s3:GetObject", "arn:aws:s3:::a/x")})
    assert after == text.replace('"s3:*"', '"s3:GetObject"')
    assert diff("p.json", text, after).count("\n+") == 2


def test_keys_are_used_by_services_and_so_are_kept() -> None:
    text = written([(["kms:Decrypt", "kms:DeleteAlias", "s3:GetObject"], ["*"])], 2)
    after = one_policy(tightened(text, {Use("s3:GetObject", "arn:aws:s3:::a/x")}))
    assert after.statements[0].actions == ("kms:Decrypt", "s3:GetObject")
    every = one_policy(tightened(written([(["kms:*"], ["*"]), (["s3:GetObject"], ["*"])], 2), set()))
    assert "kms:GenerateDataKey" in (every.statements[0].actions or ())
    assert "kms:*" not in (every.statements[0].actions or ())


def test_a_copy_reads_too(tmp_path: Path) -> None:
    (tmp_path / "calls.json").write_text(json.dumps([ROW | {"operation": "CopyObject", "action": "s3:PutObject"}]))
    calls = read_calls(tmp_path / "calls.json")
    assert calls.of("role/w") == {Use("s3:PutObject", ""), Use("s3:GetObject", "")}


def test_a_session_counts_as_its_role() -> None:
    assert caller("arn:aws:sts::123456789012:assumed-role/worker/session") == "role/worker"
    assert caller("arn:aws:iam::123456789012:role/team/worker") == "role/worker"
    assert caller("arn:aws:iam::123456789012:user/ann") == "user/ann"


@pytest.mark.parametrize(
    ("service", "operation", "actions"),
    [
        ("s3", "ListObjectsV2", ("s3:ListBucket",)),
        ("s3", "HeadObject", ("s3:GetObject",)),
        ("s3", "CompleteMultipartUpload", ("s3:PutObject",)),
        ("lambda", "Invoke", ("lambda:InvokeFunction",)),
        ("sagemaker-runtime", "InvokeEndpoint", ("sagemaker:InvokeEndpoint",)),
        ("elbv2", "DescribeLoadBalancers", ("elasticloadbalancing:DescribeLoadBalancers",)),
        ("sesv2", "SendEmail", ("ses:SendEmail",)),
        ("resourcegroupstaggingapi", "GetResources", ("tag:GetResources",)),
        ("apigateway", "CreateRestApi", ("apigateway:POST",)),
        ("sts", "GetCallerIdentity", ()),
        ("s3", "NoSuchThing", None),
        ("nosuch", "Thing", None),
    ],
)
def test_which_action_an_operation_needs(service: str, operation: str, actions: tuple[str, ...] | None) -> None:
    assert actions_of(service, operation) == actions


@pytest.mark.parametrize(
    "text", [json.dumps([ROW]), json.dumps({"calls": [ROW]}), json.dumps(ROW) + "\n" + json.dumps(ROW)]
)
def test_records_of_calls(tmp_path: Path, text: str) -> None:
    (tmp_path / "calls.json").write_text(text)
    assert read_calls(tmp_path / "calls.json").uses == {"role/w": {Use("s3:GetObject", "")}}


def test_the_record_of_the_stand_in_cloud(tmp_path: Path) -> None:
    record = Record(
        time="2026-11-25T15:00:00Z",
        who="arn:aws:sts::123456789012:assumed-role/w/job",
        action="s3:ListBucket",
        resources=("arn:aws:s3:::photos",),
        service="s3",
        operation="ListObjectsV2",
        region="eu-west-1",
        platform=False,
    )
    (tmp_path / "calls.json").write_text(json.dumps([asdict(record)]))
    assert read_calls(tmp_path / "calls.json").uses == {"role/w": {Use("s3:ListBucket", "arn:aws:s3:::photos")}}


def test_passed_roles_and_unknown_operations(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        ROW | {"service": "sagemaker", "operation": "CreateModel", "roles": ["arn:aws:iam::123456789012:role/x"]},
        ROW | {"operation": "NoSuchThing"},
    ]
    (tmp_path / "calls.json").write_text(json.dumps(rows))
    calls = read_calls(tmp_path / "calls.json")
    assert Use("iam:PassRole", "arn:aws:iam::123456789012:role/x") in calls.of("role/w")
    assert calls.unknown == {"s3 NoSuchThing"}


@pytest.mark.parametrize("text", ["", "1", "{", '[{"who": "x"}]', '{"calls": 1}'])
def test_no_record_of_calls(tmp_path: Path, text: str) -> None:
    (tmp_path / "calls.json").write_text(text)
    with pytest.raises(UsageError):
        read_calls(tmp_path / "calls.json")


def test_of_many_names_the_whole_words_in_common_stay() -> None:
    bucket = "arn:aws:s3:::dogbreed-123456789012-us-east-1"
    used = {Use("s3:GetObject", f"{bucket}/{folder}/x") for folder in ("a", "b", "c", "d", "e")}
    used.add(Use("s3:ListBucket", bucket))
    after = one_policy(tightened(written([(["s3:*"], ["*"])], 2), used))
    assert after.statements[0].resources == (bucket, f"{bucket}/*")
    used = {Use("s3:GetObject", f"arn:aws:s3:::photos/dog{letter}") for letter in "abcde"}
    after = one_policy(tightened(written([(["s3:*"], ["*"])], 2), used))
    assert after.statements[0].resources == ("arn:aws:s3:::photos/*",)


def test_what_was_not_compared_is_said(tmp_path: Path) -> None:
    machines = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Statement": [machines]})
    roles = "".join(
        f"""
        resource "aws_iam_role" "{name}" {{
          name               = "{name}"
          assume_role_policy = {json.dumps(trust)}
        }}
        resource "aws_iam_role_policy_attachment" "{name}" {{
          role       = aws_iam_role.{name}.name
          policy_arn = "arn:aws:iam::aws:policy/AmazonS3FullAccess"
        }}
        """
        for name in ("idle", "w")
    )
    (tmp_path / "main.tf").write_text(roles)
    (tmp_path / "calls.json").write_text(json.dumps([ROW]))
    corpus = parse.read([tmp_path])
    recorded = read_calls(tmp_path / "calls.json")
    assert not list(tighten(corpus, recorded))
    said = sorted(words.partition(": ")[2] for words in not_compared(corpus, recorded))
    assert said[0].startswith("AmazonS3FullAccess of role/w is AWS's own")
    assert said[1].startswith("role/idle made none of the recorded calls")
