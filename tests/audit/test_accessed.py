"""Last-accessed data of a live account: what is granted and not used is said once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from dogbreed.audit.accessed import FACT, unused_services
from dogbreed.audit.document import make_policy
from dogbreed.audit.finding import Location
from dogbreed.audit.model import NOWHERE, Corpus, Kind, Principal

ARN = "arn:aws:iam::123456789012:role/worker"


def said(*accessed: dict[str, Any], arn: str = "") -> list[str]:
    statement = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "sqs:*", "*"], "Resource": "*"}
    policy = make_policy({"Version": "2012-10-17", "Statement": [statement]}, Kind.IDENTITY, "p", NOWHERE, arn=arn)
    facts = {FACT: list(accessed)} if accessed else {}
    principal = Principal(ARN, "role", "worker", Location("-"), policies=[policy], facts=facts)
    return [one.message for one in unused_services(principal, Corpus(principals=[principal]))]


def test_services_that_were_not_used() -> None:
    recent = datetime.now(UTC) - timedelta(days=3)
    old = datetime.now(UTC) - timedelta(days=200)
    (message,) = said({"ServiceNamespace": "s3", "LastAuthenticated": recent}, {"ServiceNamespace": "sqs"})
    assert message == "worker may use sqs (statement 1 of p) and never used it."
    (message,) = said({"ServiceNamespace": "s3", "LastAuthenticated": old.isoformat()})
    assert f"last used it on {old:%Y-%m-%d}" in message


def test_nothing_is_said_without_data_or_of_policies_of_aws() -> None:
    assert said() == []
    assert said({"ServiceNamespace": "s3"}, arn="arn:aws:iam::aws:policy/AmazonS3FullAccess") == []
    assert said({"ServiceNamespace": "ec2"}) == []
