"""The real Access Analyzer, spoken to as boto3 does: what it says decides, and is placed where it belongs."""

from __future__ import annotations

import json
from typing import Any

from dogbreed.audit.access_analyzer import merge
from dogbreed.audit.document import read_policies
from dogbreed.audit.engine import Report
from dogbreed.audit.finding import Finding
from dogbreed.audit.model import Corpus, Kind
from dogbreed.audit.validity.check import look_at_policy

TEXT = """{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": ["s3:GetObjct", "s3:NewThing"], "Resource": "*"}]}"""


class Client:
    """Answers as Access Analyzer does, and keeps what it was asked."""

    def __init__(self, findings: list[dict[str, Any]], result: str = "PASS") -> None:
        self.findings, self.result, self.asked = findings, result, []

    def get_paginator(self, operation: str) -> Client:
        assert operation == "validate_policy"
        return self

    def paginate(self, **given: Any) -> list[dict[str, Any]]:
        self.asked.append(given)
        return [{"findings": [one]} for one in self.findings]

    def check_no_public_access(self, **given: Any) -> dict[str, Any]:
        self.asked.append(given)
        return {"result": self.result, "message": "it is public.", "reasons": [{"statementIndex": 0}]}


def said(code: str, *path: Any) -> dict[str, Any]:
    steps = [{"index": one} if isinstance(one, int) else {"value": one} for one in path]
    return {
        "issueCode": code,
        "findingType": "ERROR",
        "findingDetails": f"{code} it is.",
        "learnMoreLink": "the documentation",
        "locations": [{"path": steps, "span": {}}],
    }


def merged(text: str, client: Client, kind: Kind = Kind.IDENTITY, attached_to: str = "") -> list[Finding]:
    policies, _ = read_policies(text, "p.json", kind)
    policies[0].attached_to = attached_to
    own = [one for policy in policies for one in look_at_policy(policy) if isinstance(one, Finding)]
    report = Report(findings=sorted(own, key=lambda one: one.order))
    return merge(report, Corpus(policies=policies), client).findings


def test_what_both_say_is_said_once_in_our_words() -> None:
    found = merged(TEXT, Client([said("INVALID_ACTION", "Statement", 0, "Action", 0)]))
    assert [one.rule for one in found] == ["AA-INVALID_ACTION"] * 2
    assert "did you mean s3:GetObject?" in found[0].message


def test_what_it_does_not_say_is_dropped_and_what_only_it_says_is_added() -> None:
    (found,) = merged(TEXT, Client([said("BRAND_NEW_CODE", "Statement", 0, "Resource")]))
    assert found.rule == "AA-BRAND_NEW_CODE"
    assert (found.location.line, found.location.column) == (2, 77)
    assert found.message == "BRAND_NEW_CODE it is."


def test_a_policy_is_sent_as_what_it_is() -> None:
    trust = TEXT.replace('"Resource": "*"', '"Principal": {"AWS": "123456789012"}')
    for kind, attached_to, expected in (
        (Kind.IDENTITY, "", {"policyType": "IDENTITY_POLICY"}),
        (Kind.SCP, "", {"policyType": "SERVICE_CONTROL_POLICY"}),
        (Kind.RCP, "", {"policyType": "RESOURCE_CONTROL_POLICY"}),
        (
            Kind.TRUST,
            "",
            {"policyType": "RESOURCE_POLICY", "validatePolicyResourceType": "AWS::IAM::AssumeRolePolicyDocument"},
        ),
        (
            Kind.RESOURCE,
            "arn:aws:s3:::photos",
            {"policyType": "RESOURCE_POLICY", "validatePolicyResourceType": "AWS::S3::Bucket"},
        ),
    ):
        client = Client([])
        merged(trust, client, kind, attached_to)
        asked = dict(client.asked[0])
        assert json.loads(asked.pop("policyDocument")) == json.loads(trust)
        assert asked == expected


def test_public_access() -> None:
    public = TEXT.replace('"Resource"', '"Principal": "*", "Resource"')
    for result, count in ("FAIL", 1), ("PASS", 0):
        found = merged(public, Client([], result), Kind.RESOURCE, "arn:aws:s3:::photos")
        assert [one.rule for one in found] == ["AA-PUBLIC-ACCESS"] * count
    assert not merged(public, Client([], "FAIL"), Kind.RESOURCE, "")


def test_what_is_not_known_in_full_is_not_sent() -> None:
    client = Client([])
    merged(TEXT.replace("NewThing", "\ue000"), client)
    assert client.asked == []
