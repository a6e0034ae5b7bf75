"""The real Access Analyzer: its ValidatePolicy and CheckNoPublicAccess over the policies that are known in full.

Where it has looked at a policy, it decides: findings of ours that it does not share are dropped, its others are added.
ValidatePolicy is free; AWS charges for each CheckNoPublicAccess.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from dogbreed.audit.engine import Report
from dogbreed.audit.finding import RULES, Category, Finding, Rule, Severity
from dogbreed.audit.model import Corpus, Kind, Policy
from dogbreed.audit.validity.codes import PREFIX
from dogbreed.audit.validity.codes import RULES as CODES
from dogbreed.audit.validity.elements import size_of

PUBLIC = Rule(
    "AA-PUBLIC-ACCESS",
    Category.PUBLIC_ACCESS,
    Severity.HIGH,
    "Access Analyzer finds that the policy allows public access",
    "Anyone, also outside of the organisation, can use the resource.",
    "name the principals, or add a condition on aws:PrincipalOrgID or aws:SourceAccount",
)
RULES.setdefault(PUBLIC.id, PUBLIC)
_TYPES = {Kind.SCP: "SERVICE_CONTROL_POLICY", Kind.RCP: "RESOURCE_CONTROL_POLICY"}
_RESOURCE = (Kind.RESOURCE, Kind.TRUST, Kind.VPC_ENDPOINT)
# The types that CheckNoPublicAccess knows, by the service of the resource's ARN.
_CHECKED = {
    "s3": "AWS::S3::Bucket",
    "kms": "AWS::KMS::Key",
    "lambda": "AWS::Lambda::Function",
    "sqs": "AWS::SQS::Queue",
    "sns": "AWS::SNS::Topic",
    "secretsmanager": "AWS::SecretsManager::Secret",
    "elasticfilesystem": "AWS::EFS::FileSystem",
    "kinesis": "AWS::Kinesis::Stream",
    "dynamodb": "AWS::DynamoDB::Table",
    "backup": "AWS::Backup::BackupVault",
    "codeartifact": "AWS::CodeArtifact::PackageGroup",
    "opensearch": "AWS::OpenSearchService::Domain",
    "es": "AWS::OpenSearchService::Domain",
    "apigateway": "AWS::ApiGateway::RestApi",
}
_SEVERITY = {
    "ERROR": Severity.MEDIUM,
    "SECURITY_WARNING": Severity.MEDIUM,
    "WARNING": Severity.LOW,
    "SUGGESTION": Severity.INFO,
}


def merge(report: Report, corpus: Corpus, client: Any) -> Report:
    """The report with the answers of an `accessanalyzer` client of boto3."""
    kept: dict[Finding, None] = dict.fromkeys(report.findings)
    looked = 0
    for policy in corpus.every_policy():
        if size_of(policy) is None or not isinstance(policy.document, dict) or ":aws:policy/" in policy.arn:
            continue
        looked += 1
        real = list(_validate(policy, client))
        own = [one for one in kept if _is_about(policy, one) and one.rule.removeprefix(PREFIX) in CODES]
        same = {one.rule for one in real}
        for finding in own:
            if finding.rule not in same:
                del kept[finding]
        known = {one.rule for one in own}
        kept |= dict.fromkeys(one for one in real if one.rule not in known)
        kept |= dict.fromkeys(_public(policy, client, list(kept)))
    findings = sorted(kept, key=lambda one: one.order)
    return replace(report, findings=findings, checked=report.checked | {"access analyzer": looked})


def charged(corpus: Corpus) -> int:
    """How many policies CheckNoPublicAccess would be asked about, for each of which AWS charges."""
    return sum(1 for policy in corpus.every_policy() if size_of(policy) is not None and _checked_type(policy))


def _is_about(policy: Policy, finding: Finding) -> bool:
    return finding.subject == policy.name and finding.location.file == policy.location.file


def _checked_type(policy: Policy) -> str:
    """The type that CheckNoPublicAccess knows a policy's resource by; "" where it knows none."""
    if policy.kind is Kind.TRUST:
        return "AWS::IAM::AssumeRolePolicyDocument"
    service = next(iter(policy.attached_to.split(":")[2:3]), "")
    return _CHECKED.get(service, "") if policy.kind is Kind.RESOURCE else ""


def _validate(policy: Policy, client: Any) -> Iterator[Finding]:
    kind = _TYPES.get(policy.kind, "RESOURCE_POLICY" if policy.kind in _RESOURCE else "IDENTITY_POLICY")
    given = {"policyDocument": json.dumps(policy.document), "policyType": kind}
    if policy.kind is Kind.TRUST:
        given["validatePolicyResourceType"] = "AWS::IAM::AssumeRolePolicyDocument"
    elif policy.attached_to.split(":")[2:3] == ["s3"]:
        given["validatePolicyResourceType"] = "AWS::S3::Bucket"
    for page in client.get_paginator("validate_policy").paginate(**given):
        for found in page["findings"]:
            yield _finding(policy, found)


def _finding(policy: Policy, found: dict[str, Any]) -> Finding:
    code = str(found["issueCode"])
    severity = _SEVERITY.get(found["findingType"], Severity.MEDIUM)
    details = str(found["findingDetails"])
    rule = CODES.get(code) or Rule(
        PREFIX + code, Category.INVALID_POLICY, severity, code, details, f"see {found['learnMoreLink']}"
    )
    path: list[str | int] = []
    for step in next((place["path"] for place in found.get("locations", [])), []):
        named = step.get("index", step.get("key", step.get("value")))
        if named is not None:
            path.append(named)
    place = policy.source.locate((*policy.path, *path))
    return Finding(rule.id, rule.category, rule.severity, policy.name, place, details, rule.fix)


def _public(policy: Policy, client: Any, known: list[Finding]) -> Iterator[Finding]:
    """What CheckNoPublicAccess says, unless our own rules have said it."""
    kind = _checked_type(policy)
    if not kind or any(one.category is Category.PUBLIC_ACCESS and _is_about(policy, one) for one in known):
        return
    answer = client.check_no_public_access(policyDocument=json.dumps(policy.document), resourceType=kind)
    if answer["result"] == "FAIL":
        reasons = answer.get("reasons") or [{}]
        at = reasons[0].get("statementIndex")
        place = policy.statements[at].at() if isinstance(at, int) and at < len(policy.statements) else policy.location
        message = str(answer.get("message") or PUBLIC.title)
        yield Finding(PUBLIC.id, PUBLIC.category, PUBLIC.severity, policy.name, place, message, PUBLIC.fix)
