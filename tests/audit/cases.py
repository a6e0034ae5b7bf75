"""Escalating policies and their look-alikes, made from the shipped paths along the lines on which other tools go wrong.

A look-alike is as near to its path as can be, and gives nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dogbreed.audit import tables

ACCOUNT = "123456789012"
PAST, FUTURE = "2020-01-01T00:00:00Z", "2090-01-01T00:00:00Z"
Document = dict[str, Any]
Case = tuple[str, Document]


def allow(actions: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resource, **more}


def deny(actions: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Deny", "Action": actions, "Resource": resource, **more}


def deny_all_but(actions: Any) -> dict[str, Any]:
    return {"Effect": "Deny", "NotAction": actions, "Resource": "*"}


def document(*statements: dict[str, Any]) -> Document:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def needs(path: tables.EscalationPath) -> list[str]:
    """One action for each step; with iam:PassRole where a role is passed."""
    passing = ["iam:PassRole"] if path.passes else []
    return list(dict.fromkeys([*passing, *(step[0].name for step in path.needs)]))


def scoped(action: str) -> str:
    """Everything of the action's service in one account, as an ARN."""
    arns = tables.need(action).arns
    parts = arns[0].split(":", 5)
    account = "" if arns[0].startswith("arn:*:sso:::") else ACCOUNT
    kind = parts[5].split("/")[0] if parts[2] == "iam" else ""
    region = "" if parts[2] in ("iam", "sso") else "*"
    return f"arn:aws:{parts[2]}:{region}:{account}:{kind + '/' if kind else ''}*"


PATHS = [path for path in tables.paths() if "boundary" not in path.reach]


def escalating() -> Iterator[Case]:
    for path in PATHS:
        actions = needs(path)
        rest = [one for one in actions if one != "iam:PassRole"]
        yield f"{path.id} plain", document(allow(actions))
        yield f"{path.id} one statement for each", document(*(allow(one) for one in actions))
        yield f"{path.id} upper and lower case", document(allow([one.swapcase() for one in actions]))
        yield f"{path.id} cut actions", document(allow([one[:-2] + "*" for one in actions]))
        yield f"{path.id} scoped to an account", document(*(allow(one, scoped(one)) for one in actions))
        yield f"{path.id} always true", document(allow(actions, Condition={"StringLike": {"aws:PrincipalArn": "*"}}))
        yield f"{path.id} only TLS", document(allow(actions, Condition={"Bool": {"aws:SecureTransport": "true"}}))
        yield f"{path.id} until 2090", document(allow(actions, Condition={"DateLessThan": {"aws:CurrentTime": FUTURE}}))
        yield f"{path.id} mfa", document(allow(actions, Condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}}))
        yield (
            f"{path.id} deny without mfa",
            document(allow(actions), deny("*", Condition={"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}})),
        )
        yield (
            f"{path.id} deny from outside",
            document(allow(actions), deny(actions, Condition={"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}})),
        )
        yield (
            f"{path.id} expired deny",
            document(allow(actions), deny(actions, Condition={"DateLessThan": {"aws:CurrentTime": PAST}})),
        )
        yield (
            f"{path.id} deny of other things",
            document(allow(actions), deny(actions, "arn:aws:iam::aws:policy/Nothing")),
        )
        yield f"{path.id} deny of all but these", document(allow(actions), deny_all_but(actions))
        yield (
            f"{path.id} not action",
            document({"Effect": "Allow", "NotAction": ["s3:*", "dynamodb:*"], "Resource": "*"}),
        )
        if path.passes:
            service = path.passes[0]
            to = {"StringEquals": {"iam:PassedToService": service}}
            yield f"{path.id} to its service", document(allow("iam:PassRole", Condition=to), allow(rest))
            like = {"StringLike": {"iam:PassedToService": "*.amazonaws.com"}}
            yield f"{path.id} to any service", document(allow("iam:PassRole", Condition=like), allow(rest))
            role = f"arn:aws:iam::{ACCOUNT}:role/Build*"
            yield f"{path.id} some roles", document(allow("iam:PassRole", role), allow(rest))
            partly = deny("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/Admin*")
            yield f"{path.id} deny of some roles", document(allow(actions), partly)


def look_alikes() -> Iterator[Case]:
    for path in PATHS:
        actions = needs(path)
        rest = [one for one in actions if one != "iam:PassRole"]
        yield f"{path.id} denied", document(allow(actions), deny(actions[-1]))
        yield f"{path.id} all denied", document(allow("*"), deny("*"))
        yield (
            f"{path.id} deny by not action",
            document(allow(actions), deny_all_but(["s3:Get*", "logs:*"])),
        )
        yield f"{path.id} expired", document(allow(actions, Condition={"DateLessThan": {"aws:CurrentTime": PAST}}))
        yield f"{path.id} not yet", document(allow(actions, Condition={"DateGreaterThan": {"aws:CurrentTime": FUTURE}}))
        yield f"{path.id} on a bucket", document(allow(actions, ["arn:aws:s3:::photos", "arn:aws:s3:::photos/*"]))
        yield (
            f"{path.id} always denied",
            document(allow(actions), deny(actions, Condition={"StringLike": {"aws:PrincipalArn": "*"}})),
        )
        if path.passes:
            yield f"{path.id} passing only", document(allow("iam:PassRole"), allow(["s3:GetObject", "ec2:Describe*"]))
            if path.id not in ALONE:
                yield f"{path.id} without passing", document(allow(rest))
            other = {"StringEquals": {"iam:PassedToService": "config.amazonaws.com"}}
            if path.id not in ALONE:
                yield f"{path.id} to another service", document(allow("iam:PassRole", Condition=other), allow(rest))
                yield f"{path.id} passing denied", document(allow(actions), deny("iam:PassRole"))
                linked = "arn:aws:iam::*:role/aws-service-role/*"
                yield f"{path.id} linked roles", document(allow("iam:PassRole", linked), allow(rest))
                unless = {"StringNotEquals": {"iam:PassedToService": "config.amazonaws.com"}}
                yield (
                    f"{path.id} denied to its service",
                    document(allow(actions), deny("iam:PassRole", Condition=unless)),
                )
        if path.reach == "user":
            yield f"{path.id} for itself", document(allow(actions, "arn:aws:iam::*:user/${aws:username}"))
        if path.reach.endswith("grant"):
            bounded = {"StringEquals": {"iam:PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/edge"}}
            yield f"{path.id} under a boundary", document(allow(actions, Condition=bounded))
        for dropped in actions if len(actions) > 1 else ():
            left = [one for one in actions if one != dropped]
            if not completes(left):
                yield f"{path.id} without {dropped}", document(allow(left))
    for attach in ("iam:AttachUserPolicy", "iam:AttachRolePolicy", "iam:AttachGroupPolicy"):
        one = {"ArnEquals": {"iam:PolicyARN": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"}}
        yield f"{attach} of one policy", document(allow(attach, Condition=one))
    yield "versions of AWS's policies", document(allow("iam:CreatePolicyVersion", "arn:aws:iam::aws:policy/*"))
    harmless = "arn:aws:ssm:*::document/AWS-UpdateSSMAgent"
    yield "a harmless command", document(allow("ssm:SendCommand", [harmless, "arn:aws:ec2:*:*:instance/*"]))


def completes(actions: list[str]) -> bool:
    """Whether actions are all that some path needs."""
    granted = {one.lower() for one in actions}
    passes = "iam:passrole" in granted
    return any(
        (passes or not path.passes) and all(any(need.action in granted for need in step) for step in path.needs)
        for path in tables.paths()
    )


# Paths whose other actions give something also without passing a role.
ALONE = {
    path.id
    for path in tables.paths()
    if path.passes
    and any(
        not other.passes and all(set(step) & {need for own in path.needs for need in own} for step in other.needs)
        for other in tables.paths()
    )
} | {"batch-001", "codebuild-001", "codebuild-004", "bedrock-001", "bedrock-006"}
