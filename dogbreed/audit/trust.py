"""Trust policies: who can become a role that was not meant to.

Claims and audiences after the IAM User Guide ("Available keys for AWS OIDC federation"), and what GitHub, GitLab,
HCP Terraform, CircleCI, Bitbucket, Buildkite and EKS write about their tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dogbreed.audit.answer import YES
from dogbreed.audit.finding import Category, Confidence, Finding, Rule, Severity, Undecided, check
from dogbreed.audit.model import HOLE, OWN_ACCOUNT, Condition, Corpus, Kind, Policy, Statement
from dogbreed.audit.oidc import subject_is_open
from dogbreed.audit.stranger import can_meet, restricts

_ASSUME = ("sts:assumerole", "sts:assumerolewithwebidentity", "sts:assumerolewithsaml", "sts:*", "*")


def _rule(name: str, severity: Severity, title: str, why: str, fix: str, *references: str) -> Rule:
    return Rule(name, Category.TRUST, severity, title, why, fix, references)


WILDCARD = _rule(
    "IAM-TRUST-WILDCARD",
    Severity.CRITICAL,
    "A role that anybody can assume",
    "Principal * means every principal of every AWS account.",
    "name the roles, users or services that are meant",
    "CKV_AWS_60",
)
EXTERNAL = _rule(
    "IAM-TRUST-FOREIGN",
    Severity.MEDIUM,
    "A role that another account can assume as a whole",
    "Without an external id, whoever makes the other account act for it reaches this role (confused deputy).",
    "require sts:ExternalId by StringEquals, or name the very role of the other account",
)
CONFUSED = _rule(
    "IAM-TRUST-CONFUSED",
    Severity.LOW,
    "A service may use the role on behalf of any account",
    "Resources of strangers can make the service act with this role (cross-service confused deputy).",
    "add a condition on aws:SourceAccount or aws:SourceArn",
)
MULTI = _rule(
    "IAM-TRUST-MULTI",
    Severity.MEDIUM,
    "One role for several compute services",
    "Each of them has the permissions of all, and a weakness in one reaches what belongs to the others.",
    "make a role for each service",
)
SUBJECT = _rule(
    "IAM-OIDC-SUB",
    Severity.CRITICAL,
    "An identity provider without a restricted subject",
    "Every token of the provider is let in, also of other organisations and repositories.",
    'add a condition on the claim sub, such as "repo:my-org/my-repo:ref:refs/heads/main"',
    "CKV_AWS_358",
)
AUDIENCE = _rule(
    "IAM-OIDC-AUD",
    Severity.LOW,
    "An identity provider without a fixed audience",
    "Tokens that were made for other purposes are let in.",
    "add a condition StringEquals on the claim aud",
)
SAML = _rule(
    "IAM-TRUST-SAML",
    Severity.MEDIUM,
    "SAML federation without an audience",
    "Assertions that were made for other services are let in.",
    'add a condition StringEquals on SAML:aud with "https://signin.aws.amazon.com/saml"',
)

# Services that assume roles without telling a source, or only for resources of the role's own account.
_WITHOUT_SOURCE = frozenset(
    {
        "ec2",
        "lambda",
        "edgelambda",
        "replicator.lambda",
        "spotfleet",
        "ec2fleet",
        "autoscaling",
        "application-autoscaling",
        "eks",
        "eks-fargate-pods",
        "eks-nodegroup",
        "pods.eks",
        "vmie",
        "codedeploy",
        "elasticloadbalancing",
        "opsworks",
        "elasticbeanstalk",
        "monitoring.rds",
        "cloudformation",
        "resources.cloudformation",
        "hooks.cloudformation",
        "dax",
    }
)
_COMPUTE = {
    "ec2": "ec2",
    "lambda": "lambda",
    "edgelambda": "lambda",
    "ecs-tasks": "ecs",
    "sagemaker": "sagemaker",
    "glue": "glue",
    "codebuild": "codebuild",
    "batch": "batch",
    "elasticmapreduce": "emr",
    "emr-serverless": "emr",
    "tasks.apprunner": "apprunner",
    "bedrock-agentcore": "agentcore",
    "braket": "braket",
}
_SOURCES = ("aws:sourceaccount", "aws:sourcearn", "aws:sourceorgid", "aws:sourceorgpaths")
_ROOT = re.compile(r"(?:arn:[\w-]+:iam::)?(\d{12})(?::root)?")
_ANY_ACCOUNT = re.compile(r"arn:[\w*-]+:(iam|sts|\*)::\*:")
_FOREIGN = re.compile(r"arn:[\w-]+:(?:iam|sts)::(\d{12}):")


@check(WILDCARD, EXTERNAL, CONFUSED, SUBJECT, AUDIENCE, SAML, over=Policy)
def trust(policy: Policy, corpus: Corpus) -> Iterator[Finding | Undecided]:
    """Each statement of a trust policy."""
    if policy.kind is not Kind.TRUST or "/aws-service-role/" in policy.attached_to:
        return
    for statement in policy.statements:
        if statement.allows and any(
            action.lower() in _ASSUME or "*" in action for action in statement.actions or ("*",)
        ):
            if statement.not_principals is not None:
                yield _finding(WILDCARD, statement, "NotPrincipal", "everybody but the named may assume the role")
            for index, (kind, value) in enumerate(statement.principals or ()):
                yield from _principal(statement, kind, value, index, corpus)


@check(MULTI, over=Policy)
def shared(policy: Policy, _: Corpus) -> Iterator[Finding]:
    """Roles that several compute services use."""
    if policy.kind is not Kind.TRUST:
        return
    services = [
        (value, statement)
        for statement in policy.statements
        for kind, value in statement.principals or ()
        if statement.allows and kind == "Service"
    ]
    families = {_COMPUTE[name]: name for value, _ in services if (name := _service(value)) in _COMPUTE}
    if len(families) > 1:
        names = ", ".join(sorted(families.values()))
        yield _finding(MULTI, services[0][1], "Principal", f"the role is used by {names} alike")


def _principal(
    statement: Statement, kind: str, value: str, index: int, corpus: Corpus
) -> Iterator[Finding | Undecided]:
    """One principal of a statement."""
    match kind.lower():
        case "service":
            yield from _of_service(statement, value)
        case "federated":
            yield from _of_federation(statement, value)
        case "*" | "aws" if value == "*" or _ANY_ACCOUNT.match(value):
            yield from _of_everybody(statement)
        case "aws":
            yield from _of_account(statement, value, corpus)
        case _ if HOLE in value:
            yield Undecided(WILDCARD.id, statement.policy.name, statement.at("Principal"), "the principal is not known")


def _of_everybody(statement: Statement) -> Iterator[Finding]:
    """`*`: only conditions on who they are keep strangers out, no secret and no address does."""
    identity = [one for one in statement.conditions if not _is_weak(one)]
    if any(restricts(one, statement.policy.version) for one in identity):
        return
    if can_meet(statement) is YES:
        yield _finding(WILDCARD, statement, "Principal", "any principal of any AWS account can assume the role")
        return
    if any(condition.operator.lower().startswith("date") for condition in statement.conditions):
        return
    text = "any principal of any AWS account that has the external id or address can assume the role"
    yield _finding(WILDCARD, statement, "Principal", text, Severity.HIGH)


def _is_weak(condition: Condition) -> bool:
    return condition.key.lower() in ("sts:externalid", "aws:sourceip", "sts:rolesessionname", "aws:useragent")


def _of_account(statement: Statement, value: str, corpus: Corpus) -> Iterator[Finding | Undecided]:
    """A principal of an account: a whole account needs an external id unless it is the own one."""
    if HOLE in value:
        if not statement.conditions and (value == HOLE or HOLE in value.split(":", 5)[4:5]):
            reason = "the account that is trusted is not known before it is deployed"
            yield Undecided(EXTERNAL.id, statement.policy.name, statement.at("Principal"), reason)
        return
    root, foreign = _ROOT.fullmatch(value), _FOREIGN.match(value)
    account = root[1] if root else foreign[1] if foreign else ""
    own = _own_account(statement, corpus)
    if not account or account in (own, OWN_ACCOUNT) or account in corpus.friends:
        return
    if any(_protects(one, ("sts:externalid",)) or _is_identity(one) for one in statement.conditions):
        return
    if root:
        sure = own != OWN_ACCOUNT
        text = f"every principal that account {account} lets can assume the role"
        guess = "" if sure else ", unless that is the account of the role itself"
        yield _finding(
            EXTERNAL,
            statement,
            "Principal",
            text + guess,
            # Most roles trust their own account so: where nothing says which that is, it is only worth a look.
            Severity.MEDIUM if sure else Severity.INFO,
            Confidence.HIGH if sure else Confidence.LOW,
        )


def _own_account(statement: Statement, corpus: Corpus) -> str:
    parts = statement.policy.attached_to.split(":", 5)
    return parts[4] if len(parts) > 5 and parts[4] else corpus.account


def _is_identity(condition: Condition) -> bool:
    """Whether a condition says which principals of an account are meant."""
    keys = (
        "aws:principalarn",
        "aws:principalorgid",
        "aws:principalorgpaths",
        "aws:userid",
        "aws:multifactorauthpresent",
    )
    key = condition.key.lower()
    return (
        (key in keys or key.startswith("aws:principaltag/")) and _is_positive(condition) and "*" not in condition.values
    )


def _of_service(statement: Statement, value: str) -> Iterator[Finding]:
    """A service: those that act for others have to be told for whom."""
    if value == "*":
        yield _finding(WILDCARD, statement, "Principal", "every AWS service can assume the role")
        return
    name = _service(value)
    if not name or name in _WITHOUT_SOURCE or HOLE in value:
        return
    if any(_protects(one, _SOURCES) for one in statement.conditions):
        return
    text = f"{value} can be made to use the role by resources of any account"
    yield _finding(CONFUSED, statement, "Principal", text, confidence=Confidence.MEDIUM)


def _service(value: str) -> str:
    """`ec2` of `ec2.amazonaws.com` or `ec2.eu-west-1.amazonaws.com`."""
    name = re.sub(r"\.amazonaws\.com(\.cn)?$", "", value.lower())
    return re.sub(r"\.[a-z]{2}(-[a-z]+)+-\d$", "", name) if name != value.lower() else ""


def _of_federation(statement: Statement, value: str) -> Iterator[Finding | Undecided]:
    """An identity provider: OpenID Connect or SAML."""
    actions = [action.lower() for action in statement.actions or ()]
    if ":saml-provider/" in value or "sts:assumerolewithsaml" in actions:
        fixed = [one for one in statement.conditions if one.key.lower() in ("saml:aud", "saml:recipient")]
        if not any(_is_positive(one) and "*" not in one.values for one in fixed):
            yield _finding(SAML, statement, "Principal", f"{value} can be used with assertions for any audience")
        return
    if value == "*":
        yield _finding(WILDCARD, statement, "Principal", "tokens of every identity provider are let in")
        return
    host = value.split(":oidc-provider/", maxsplit=1)[-1]
    for rule_id, severity, text in subject_is_open(host, statement):
        rule = SUBJECT if rule_id == "sub" else AUDIENCE
        yield _finding(rule, statement, "Condition" if statement.conditions else "Principal", text, severity)


def _protects(condition: Condition, keys: tuple[str, ...]) -> bool:
    """Whether a condition on one of the keys surely narrows it to something: not absent, not everything."""
    if condition.key.lower() not in keys or not _is_positive(condition) or not condition.values:
        return False
    return not any(_is_wide(value) for value in condition.values)


def _is_positive(condition: Condition) -> bool:
    operator = condition.operator.lower()
    base = operator.rpartition(":")[2].removesuffix("ifexists")
    return base.startswith(("string", "arn", "bool")) and "not" not in base and not operator.startswith("forallvalues")


def _is_wide(value: str) -> bool:
    """Whether a value names no account, organisation or resource: `*`, or an ARN without a fixed account and name."""
    if value.strip("*?") == "":
        return True
    parts = value.split(":", 5)
    if len(parts) < 6 or parts[0] != "arn":
        return False
    return parts[4].strip("*?") == "" and parts[5].strip("*?:/") in ("", *_KINDS)


_KINDS = ("notebook-instance/", "training-job", "rule", "stateMachine", "function", "trail", "project", "role")


def _finding(
    rule: Rule,
    statement: Statement,
    element: str,
    text: str,
    severity: Severity | None = None,
    confidence: Confidence = Confidence.HIGH,
) -> Finding:
    policy = statement.policy
    return Finding(
        rule.id,
        rule.category,
        severity or rule.severity,
        policy.attached_to or policy.name,
        statement.at(element),
        f"{text} ({statement.name})",
        rule.fix,
        confidence,
        tuple(statement.actions or ()),
    )
