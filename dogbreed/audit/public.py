"""Resource policies that let strangers in: buckets, keys, functions, queues, topics, repositories, secrets and others.

What makes a condition no restriction is decided by what a stranger can hold under each key (dogbreed.audit.stranger).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dogbreed.audit import pattern
from dogbreed.audit.answer import NO, UNKNOWN, YES
from dogbreed.audit.conditions import Value
from dogbreed.audit.document import make_policy
from dogbreed.audit.finding import Category, Confidence, Finding, Location, Rule, Severity, Undecided, check
from dogbreed.audit.model import HOLE, OWN_ACCOUNT, Corpus, Kind, Policy, Resource, Statement
from dogbreed.audit.stranger import OTHER, can_meet, must_meet, restricts


def _rule(name: str, severity: Severity, what: str, why: str, fix: str, *references: str) -> Rule:
    return Rule(name, Category.PUBLIC_ACCESS, severity, f"{what} that is open to the public", why, fix, references)


_NAME_THEM = "name the accounts, roles or services that are meant, or require aws:PrincipalOrgID or aws:SourceAccount"
BUCKET = _rule(
    "S3-POLICY-PUBLIC",
    Severity.CRITICAL,
    "A bucket policy",
    "Anybody reads or writes the objects.",
    _NAME_THEM,
    "S3.2",
    "S3.3",
)
KEY = _rule("KMS-PUBLIC", Severity.CRITICAL, "A key policy", "Anybody uses the key to decrypt.", _NAME_THEM, "KMS.5")
FUNCTION = _rule(
    "LAMBDA-PUBLIC", Severity.CRITICAL, "A function policy", "Anybody runs the function.", _NAME_THEM, "Lambda.1"
)
OTHERS = _rule(
    "RESOURCE-PUBLIC",
    Severity.CRITICAL,
    "A resource policy",
    "Anybody uses the resource.",
    _NAME_THEM,
    "SNS.4",
    "SQS.3",
)
SOURCE = Rule(
    "LAMBDA-PERM-SOURCE",
    Category.PUBLIC_ACCESS,
    Severity.HIGH,
    "A service may call the function on behalf of anybody",
    "Buckets, topics or APIs of strangers can make the service call it (confused deputy).",
    "set SourceArn, and SourceAccount for S3",
    ("CKV_AWS_364",),
)
CROSS = Rule(
    "RESOURCE-CROSS-ACCOUNT",
    Category.CROSS_ACCOUNT,
    Severity.LOW,
    "A resource policy that lets another account in",
    "The other account decides who of its principals uses the resource.",
    "name the role of the other account, and the actions that it needs",
    ("S3.6",),
)
_RULES = {"s3": BUCKET, "kms": KEY, "lambda": FUNCTION}
# Actions that tell a stranger nothing and change nothing.
_WITHOUT_HARM = frozenset({"s3:getbucketlocation", "sts:getcalleridentity"})
# Services that call functions on behalf of whoever has set them up.
_ACTS_FOR_ANYBODY = frozenset(
    {
        "alexa-appkit",
        "apigateway",
        "bedrock",
        "cloudtrail",
        "cloudwatch",
        "cognito-idp",
        "config",
        "connect",
        "delivery.logs",
        "elasticloadbalancing",
        "events",
        "iot",
        "lambda.alarms.cloudwatch",
        "lex",
        "lexv2",
        "logs",
        "rds",
        "s3",
        "scheduler",
        "secretsmanager",
        "ses",
        "sns",
        "sqs",
        "ssm",
        "states",
    }
)
_ACCOUNT = re.compile(r"(?:arn:[\w-]+:(?:iam|sts)::)?(\d{12})(?::.*)?")
_SERVICE_MADE = {
    "aws:principalisawsservice": Value(("true",)),
    "aws:sourceaccount": Value((OTHER,)),
    "aws:sourceowner": Value((OTHER,)),
    "aws:sourceorgid": Value((f"o-{OTHER}",)),
    "aws:sourceorgpaths": Value((f"o-{OTHER}/r-{OTHER}/",)),
    "aws:sourcearn": Value((f"arn:aws:*:*:{OTHER}:*", f"arn:aws:s3:::{OTHER}*"), patterns=True),
}


@check(BUCKET, KEY, FUNCTION, OTHERS, SOURCE, CROSS, over=Policy)
def public(policy: Policy, corpus: Corpus) -> Iterator[Finding | Undecided]:
    """Each Allow of a resource policy, less what its Denies surely take away from strangers."""
    if policy.kind is Kind.RESOURCE:
        yield from _of_policy(policy, corpus)


@check(FUNCTION, SOURCE, over=Resource, types=("AWS::Lambda::Permission", "AWS::Lambda::LayerVersionPermission"))
def permission(resource: Resource, corpus: Corpus) -> Iterator[Finding | Undecided]:
    """A permission of a function, which is a statement of its policy in other words."""
    yield from _of_policy(_as_policy(resource), corpus)


def _of_policy(policy: Policy, corpus: Corpus) -> Iterator[Finding | Undecided]:
    for statement in policy.statements:
        if not statement.allows or not _harmful(statement):
            continue
        denied = any(other.denies and _covers(other, statement) and must_meet(other) for other in policy.statements)
        if statement.not_principals is not None and not denied:
            yield _open(statement, "everybody but those in NotPrincipal", Severity.CRITICAL)
        strangers = [value for kind, value in statement.principals or () if _is_everybody(kind, value)]
        if strangers and not denied and not _is_shielded(policy, corpus):
            yield from _of_everybody(statement)
        for kind, value in statement.principals or ():
            if kind.lower() == "service" and not denied:
                yield from _of_service(statement, value)
            elif kind.lower() == "aws" and value != "*":
                yield from _of_account(statement, value, corpus)


def _is_shielded(policy: Policy, corpus: Corpus) -> bool:
    """Whether Block Public Access of the bucket keeps the policy from letting the public in."""
    buckets = [one for one in corpus.resources if one.type == "AWS::S3::Bucket" and one.arn == policy.attached_to]
    block = "PublicAccessBlockConfiguration"
    return any(one.get(block, "RestrictPublicBuckets") in (True, "true") for one in buckets if one.arn)


def _of_everybody(statement: Statement) -> Iterator[Finding | Undecided]:
    answer = max(can_meet(statement), can_meet(statement, _SERVICE_MADE))
    if answer is UNKNOWN:
        reason = "whether its conditions keep strangers out depends on a value that is not known before it is deployed"
        yield Undecided(_rule_of(statement).id, _subject(statement), statement.at("Condition"), reason)
    elif answer is YES:
        guarded = "; its conditions keep nobody out" if statement.conditions else ""
        yield _open(statement, f"anybody{guarded}", _rule_of(statement).severity)


def _of_service(statement: Statement, value: str) -> Iterator[Finding]:
    """A service that others can make act: it has to be told for whom."""
    name = re.sub(r"(\.[a-z]{2}(-[a-z]+)+-\d)?\.amazon(aws)?\.com(\.cn)?$", "", value.lower())
    if name not in _ACTS_FOR_ANYBODY or _service_of(statement) != "lambda":
        return
    if can_meet(statement, _SERVICE_MADE) is YES and not any(restricts(one) for one in statement.conditions):
        yield Finding(
            SOURCE.id,
            SOURCE.category,
            SOURCE.severity,
            _subject(statement),
            statement.at("Principal"),
            f"{value} can be made to call it by resources of any account ({statement.name})",
            SOURCE.fix,
            actions=tuple(statement.actions or ()),
        )


def _of_account(statement: Statement, value: str, corpus: Corpus) -> Iterator[Finding]:
    """Another account, where the own one is known."""
    match = _ACCOUNT.fullmatch(value)
    parts = statement.policy.attached_to.split(":", 5)
    own = parts[4] if len(parts) > 5 and parts[4] else corpus.account
    if not match or own == OWN_ACCOUNT or match[1] in (own, OWN_ACCOUNT) or match[1] in corpus.friends:
        return
    yield Finding(
        CROSS.id,
        CROSS.category,
        CROSS.severity,
        _subject(statement),
        statement.at("Principal"),
        f"account {match[1]} may use it ({statement.name})",
        CROSS.fix,
        actions=tuple(statement.actions or ()),
    )


def _open(statement: Statement, who: str, severity: Severity) -> Finding:
    rule = _rule_of(statement)
    names = tuple(statement.actions or (f"everything but {', '.join(statement.not_actions or ())}",))
    return Finding(
        rule.id,
        rule.category,
        severity,
        _subject(statement),
        statement.at("Principal") if statement.principals is not None else statement.at("NotPrincipal"),
        f"open to {who}: {', '.join(names[:5])} ({statement.name})",
        rule.fix,
        Confidence.HIGH,
        names,
    )


def _is_everybody(kind: str, value: str) -> bool:
    """`*`, and ARNs of any account."""
    if value == "*" and kind.lower() in ("*", "aws", "federated"):
        return True
    return kind.lower() == "aws" and bool(re.fullmatch(r"arn:[\w*-]+:(iam|sts|\*)::\*:.*", value))


def _harmful(statement: Statement) -> bool:
    """Whether a stranger gains anything by what is allowed."""
    return statement.actions is None or any(action.lower() not in _WITHOUT_HARM for action in statement.actions)


def _covers(denying: Statement, allowing: Statement) -> bool:
    """Whether a Deny speaks of everything that an Allow allows to strangers."""
    if denying.principals is not None and not any(_is_everybody(kind, value) for kind, value in denying.principals):
        return False
    actions = all(
        any(pattern.contains(glob.lower(), action.lower()) is YES for glob in denying.actions or ())
        if denying.actions is not None
        else all(pattern.overlaps(glob.lower(), action.lower()) is NO for glob in denying.not_actions or ())
        for action in allowing.actions or ("*",)
    )
    if denying.resources is None and denying.not_resources is None:
        return actions
    resources = all(
        any(pattern.arn_contains(glob, resource) is YES for glob in denying.resources or ())
        if denying.resources is not None
        else all(pattern.arn_overlaps(glob, resource) is NO for glob in denying.not_resources or ())
        for resource in allowing.resources or ("*",)
    )
    return actions and resources


def _service_of(statement: Statement) -> str:
    named = [text.partition(":")[0].lower() for text in statement.actions or statement.not_actions or ()]
    attached = statement.policy.attached_to.split(":", 3)
    return next((name for name in named if name != "*"), attached[2] if len(attached) > 3 else "")


def _rule_of(statement: Statement) -> Rule:
    return _RULES.get(_service_of(statement), OTHERS)


def _subject(statement: Statement) -> str:
    return statement.policy.attached_to or statement.policy.name


def _as_policy(resource: Resource) -> Policy:
    """A function's permission as a policy of one statement."""
    principal = resource.get("Principal")
    service = isinstance(principal, str) and principal.endswith((".amazonaws.com", ".amazon.com", ".amazonaws.com.cn"))
    conditions: dict[str, dict[str, object]] = {}
    for name, operator, key in (
        ("SourceArn", "ArnLike", "aws:SourceArn"),
        ("SourceAccount", "StringEquals", "aws:SourceAccount"),
        ("PrincipalOrgID", "StringEquals", "aws:PrincipalOrgID"),
        ("OrganizationId", "StringEquals", "aws:PrincipalOrgID"),
        ("EventSourceToken", "StringEquals", "lambda:EventSourceToken"),
        ("FunctionUrlAuthType", "StringEquals", "lambda:FunctionUrlAuthType"),
    ):
        value = resource.get(name)
        if value is not None:
            conditions.setdefault(operator, {})[key] = value
    statement = {
        "Effect": "Allow",
        "Action": resource.get("Action", default="lambda:InvokeFunction"),
        "Resource": "*",
        "Principal": {"Service": principal} if service else "*" if principal == "*" else {"AWS": principal},
        "Condition": conditions,
    }
    if not isinstance(principal, str):
        statement["Principal"] = {"AWS": HOLE}
    made = make_policy({"Version": "2012-10-17", "Statement": [statement]}, Kind.RESOURCE, resource.id, _At(resource))
    made.attached_to = resource.arn or resource.id
    return made


class _At:
    """The source of a policy that was made from a resource: every element stands where the property stands."""

    def __init__(self, resource: Resource) -> None:
        self.file = resource.source.file
        self._resource = resource

    def locate(self, path: tuple[str | int, ...]) -> Location:
        """The place of the property that an element came from."""
        return self._resource.at(*(str(step) for step in path[2:3]))
