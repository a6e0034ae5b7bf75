"""Grants that are wider than a machine-learning pipeline needs: of any policy, and of the roles that code runs with."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dogbreed.audit import pattern, tables
from dogbreed.audit.answer import NO, YES
from dogbreed.audit.ask import can
from dogbreed.audit.attached import policies_of, unknown_policies
from dogbreed.audit.escalation.actor import Actor
from dogbreed.audit.escalation.power import is_admin
from dogbreed.audit.escalation.rules import reach_of
from dogbreed.audit.escalation.ways import width
from dogbreed.audit.finding import Category, Confidence, Finding, Location, Rule, Severity, check
from dogbreed.audit.limits import of_alone
from dogbreed.audit.model import Corpus, Kind, Policy, Principal, Resource, Statement
from dogbreed.audit.tables import PASS_ROLE


def _rule(name: str, category: Category, severity: Severity, title: str, why: str, fix: str, *references: str) -> Rule:
    return Rule(name, category, severity, title, why, fix, references)


_C, _S = Category, Severity
PASS_STAR = _rule(
    "IAM-PASSROLE-STAR", _C.WILDCARD, _S.HIGH, "iam:PassRole on every role, or to every service",
    "It is one half of every path that hands a role to a service.",
    "name the roles in the Resource, and the service in a condition on iam:PassedToService", "CKV_AWS_110",
)  # fmt: skip
DEFAULT_BUCKET = _rule(
    "IAM-DEFAULT-BUCKET", _C.DATA_EXPOSURE, _S.MEDIUM, "A grant on buckets with a name that others can guess",
    "A bucket called sagemaker-<region>-<account> may belong to somebody else, who then gets the data.",
    "name the bucket, or add a condition on aws:ResourceAccount",
)  # fmt: skip
KMS_STAR = _rule(
    "IAM-KMS-STAR", _C.DATA_EXPOSURE, _S.MEDIUM, "kms:Decrypt with every key",
    "It opens everything in the account that is encrypted.",
    "name the keys, or the service by a condition on kms:ViaService", "KMS.1", "KMS.2",
)  # fmt: skip
EXEC_ADMIN = _rule(
    "IAM-EXEC-ADMIN", _C.ADMIN, _S.CRITICAL, "Code runs as an administrator",
    "Any code in a job, notebook, function or machine with this role owns the account.",
    "give the role the few rights of its task: dogbreed iam policy --for train-sagemaker", "IAM.1",
)  # fmt: skip
EXEC_SAGEMAKER = _rule(
    "IAM-EXEC-SM-FULL", _C.WILDCARD, _S.MEDIUM, "Code runs with every right over SageMaker",
    "A job can start other jobs, pass roles and read any bucket with sagemaker in its name; none of it needs that.",
    "give the role the few rights of its task: dogbreed iam policy --for train-sagemaker",
)  # fmt: skip
EXEC_S3 = _rule(
    "IAM-EXEC-S3-FULL", _C.DATA_EXPOSURE, _S.HIGH, "Code runs with every right over all buckets",
    "A job can read and overwrite every bucket, also other models.",
    "name the prefixes that it reads, and the one that it writes",
)  # fmt: skip
EXEC_PASS = _rule(
    "IAM-EXEC-SELF-PASS", _C.PRIVILEGE_ESCALATION, _S.HIGH, "Code can hand its own role, or others, to new jobs",
    "Whoever runs code with the role hops to any role that it may pass, by starting a job.",
    "take iam:PassRole away from roles that code runs with",
)  # fmt: skip
EXEC_PRESIGN = _rule(
    "IAM-EXEC-PRESIGN", _C.PRIVILEGE_ESCALATION, _S.HIGH, "Code can open the notebooks of others",
    "A presigned address is a login to somebody else's notebook and role.",
    "take sagemaker:CreatePresigned*Url away from roles that code runs with", "pathfinding.cloud sagemaker-004",
)  # fmt: skip
INVOKE_STAR = _rule(
    "IAM-INVOKE-STAR", _C.WILDCARD, _S.MEDIUM, "Code may invoke every endpoint",
    "It can copy the models of others by asking them, or run up their cost.",
    "name the endpoint in the Resource of sagemaker:InvokeEndpoint",
)  # fmt: skip
MODEL_WRITE = _rule(
    "IAM-MODEL-WRITE", _C.DATA_EXPOSURE, _S.HIGH, "What serves a model can overwrite it",
    "Who takes over the endpoint or function replaces model.tar.gz, which is loaded as code the next time.",
    "let only training and deployment write the model's prefix",
)  # fmt: skip

# Services that run code of the account, or of whoever can reach it.
_RUN_CODE = (
    "sagemaker",
    "lambda",
    "ec2",
    "ecs-tasks",
    "codebuild",
    "glue",
    "batch",
    "emr-serverless",
    "tasks.apprunner",
)
_KMS_LIMITS = (
    "kms:viaservice",
    "kms:encryptioncontext",
    "kms:calleraccount",
    "kms:requestalias",
    "kms:resourcealiases",
)
_PRESIGN = ("sagemaker:createpresignednotebookinstanceurl", "sagemaker:createpresigneddomainurl")


@check(PASS_STAR, DEFAULT_BUCKET, KMS_STAR, INVOKE_STAR, over=Policy)
def wide_grants(policy: Policy, corpus: Corpus) -> Iterator[Finding]:
    """Single statements of an identity policy."""
    if policy.kind not in (Kind.IDENTITY, Kind.PERMISSION_SET) or _is_admin_policy(policy):
        return
    left = _left_of_passing(policy, corpus)
    for one in policy.statements:
        if not one.allows or one.resources is None:
            continue
        if one.index in left:
            yield from _passing(one, left[one.index])
        if _names(one, "kms:decrypt") and any(_is_wide(text) for text in one.resources) and not _has(one, _KMS_LIMITS):
            yield _finding(KMS_STAR, one, policy.name, "it can decrypt with every key", actions=("kms:Decrypt",))
        if _names(one, "sagemaker:invokeendpoint") and any(_is_wide(text) for text in one.resources):
            invoke = ("sagemaker:InvokeEndpoint",)
            yield _finding(INVOKE_STAR, one, policy.name, "it may invoke every endpoint", actions=invoke)
        buckets = [text for text in one.resources if _guessable(text)]
        if buckets and not _has(one, ("aws:resourceaccount", "s3:resourceaccount")):
            text = f"{buckets[0]} may be a bucket of another account"
            yield _finding(DEFAULT_BUCKET, one, policy.name, text, confidence=Confidence.MEDIUM)


def _passing(one: Statement, left: set[str]) -> Iterator[Finding]:
    """A statement that lets somebody pass the roles `left`."""
    everywhere = any(width(glob) == 2 for glob in left)
    to_any = not _has(one, ("iam:passedtoservice",))
    if everywhere and to_any:
        severity, text = Severity.HIGH, "it passes every role to every service"
    elif everywhere:
        severity, text = Severity.MEDIUM, "it passes every role to a service"
    elif to_any:
        severity, text = Severity.LOW, "it passes the role to every service that the role trusts"
    else:
        return
    yield _finding(PASS_STAR, one, one.policy.name, text, severity, actions=("iam:PassRole",))


def _left_of_passing(policy: Policy, corpus: Corpus) -> dict[int, set[str]]:
    """{index of a statement: the roles that it lets somebody pass}, after all that limits those who have the policy."""
    if "holders" not in corpus.computed:
        holders: dict[int, list[Principal]] = {}
        for principal in corpus.principals:
            for own in principal.policies:
                holders.setdefault(id(own), []).append(principal)
        corpus.computed["holders"] = holders
    have: list[Principal] = corpus.computed["holders"].get(id(policy), [])
    left: dict[int, set[str]] = {}
    for actor in [Actor.of(principal) for principal in have] or [Actor.alone(policy, of_alone(corpus))]:
        for grant in actor.rights.on(PASS_ROLE, tables.need("iam:PassRole").arns, actor.facts()):
            if grant.statement.policy is policy:
                left.setdefault(grant.statement.index, set()).add(grant.resource)
    return left


@check(EXEC_ADMIN, EXEC_SAGEMAKER, EXEC_S3, EXEC_PASS, EXEC_PRESIGN, over=Principal)
def runtime_role(principal: Principal, corpus: Corpus) -> Iterator[Finding]:
    """What a role can do that code runs with."""
    services = [name for name in _RUN_CODE if _trusts(principal, name)]
    if principal.kind != "role" or not services or "/aws-service-role/" in principal.arn:
        return
    actor = Actor.of(principal)
    who = f"code in {', '.join(services)}"
    managed = {policy.arn.rsplit("/", maxsplit=1)[-1] for policy in policies_of(principal)}
    managed |= {arn.rsplit("/", maxsplit=1)[-1] for arn in unknown_policies(principal)}
    if (statement := is_admin(actor)) or "AdministratorAccess" in managed:
        yield _of_role(EXEC_ADMIN, principal, statement, f"{who} is administrator of the account")
        return
    if (found := _everywhere(principal, "sagemaker:deleteendpoint")) or "AmazonSageMakerFullAccess" in managed:
        yield _of_role(EXEC_SAGEMAKER, principal, found, f"{who} has every right over SageMaker")
    if (found := _everywhere(principal, "s3:deleteobject")) or "AmazonS3FullAccess" in managed:
        yield _of_role(EXEC_S3, principal, found, f"{who} has every right over all buckets")
    if found := next(
        (one for name in _PRESIGN if (one := _everywhere(principal, name, lambda text: width(text) > 0))), None
    ):
        yield _of_role(EXEC_PRESIGN, principal, found, f"{who} can open the notebooks of others")
    if "sagemaker" in services:
        yield from _self_pass(principal, actor, who, corpus)


def _self_pass(principal: Principal, actor: Actor, who: str, corpus: Corpus) -> Iterator[Finding]:
    """A role of SageMaker that it hands to SageMaker again, or others with it."""
    for edge in reach_of(corpus).of(actor):
        way = edge.way
        if not way.passing or "sagemaker.amazonaws.com" not in way.path.passes:
            continue
        own = pattern.arn_matches(way.target, principal.arn) is not NO
        if own or width(way.target) > 0:
            text = f"{who} can start jobs with {'its own role' if own else 'other roles'}"
            yield _of_role(EXEC_PASS, principal, way.passing.statement, text)
            return


@check(MODEL_WRITE, over=Resource, types=("AWS::SageMaker::Model", "AWS::Lambda::Function"))
def model_write(resource: Resource, corpus: Corpus) -> Iterator[Finding]:
    """Whether the role of a model or function may write where a model lies."""
    models = [one for one in corpus.resources if one.type == "AWS::SageMaker::Model"]
    own = [resource] if resource.type == "AWS::SageMaker::Model" else models
    for url in sorted({url for model in own for url in _model_files(model)}):
        for role in resource.roles:
            decision = can(corpus, role, "s3:PutObject", f"arn:aws:s3:::{url.removeprefix('s3://')}")
            if decision.answer is YES:
                yield Finding(
                    MODEL_WRITE.id,
                    MODEL_WRITE.category,
                    MODEL_WRITE.severity,
                    resource.id,
                    resource.location,
                    f"its role {role} may overwrite {url}: {decision.explanation}",
                    MODEL_WRITE.fix,
                    actions=("s3:PutObject",),
                )


@check(MODEL_WRITE, over=Principal)
def model_write_of_function(principal: Principal, _: Corpus) -> Iterator[Finding]:
    """A function's role that may write a prefix for models, where no model says which one that is."""
    if principal.kind != "role" or not _trusts(principal, "lambda") or _trusts(principal, "sagemaker"):
        return
    for policy in principal.policies:
        for one in policy.statements:
            if (
                one.allows
                and _names(one, "s3:putobject")
                and any("model" in text.lower() for text in one.resources or ())
            ):
                text = "a function can overwrite what looks like models"
                yield _finding(MODEL_WRITE, one, principal.arn or principal.name, text, confidence=Confidence.MEDIUM)


def _model_files(model: Resource) -> Iterator[str]:
    for container in (model.get("PrimaryContainer"), *(model.get("Containers", default=()) or ())):
        url = container.get("ModelDataUrl") if isinstance(container, dict) else None
        if isinstance(url, str) and url.startswith("s3://"):
            yield url


def _names(statement: Statement, action: str) -> bool:
    """Whether a statement speaks of an action, in lower case."""
    if statement.actions is not None:
        return any(pattern.matches(glob.lower(), action) is YES for glob in statement.actions)
    return all(pattern.matches(glob.lower(), action) is NO for glob in statement.not_actions or ("*",))


def _has(statement: Statement, keys: tuple[str, ...]) -> bool:
    """Whether a condition requires something of one of the keys."""
    return any(
        one.key.lower().startswith(keys) and "not" not in one.operator.lower() and "*" not in one.values
        for one in statement.conditions
    )


def _is_wide(text: str) -> bool:
    return text == "*" or (text.startswith("arn:") and width(text) == 2)


def _guessable(text: str) -> bool:
    """Whether a resource is a bucket with the name that SageMaker's tools give by default."""
    if not text.startswith("arn:") or ":s3:::" not in text:
        return False
    bucket = text.split(":", 5)[-1].partition("/")[0].lower()
    return bucket.startswith("sagemaker-") or ("sagemaker" in bucket and "*" in bucket)


def _is_admin_policy(policy: Policy) -> bool:
    return any(one.allows and {"*", "*:*"} & set(one.actions or ()) for one in policy.statements)


def _everywhere(
    principal: Principal, action: str, wide: Callable[[str], bool] = lambda text: text in ("*", "arn:aws:s3:::*")
) -> Statement | None:
    """The statement of a principal that allows an action on everything, and that no Deny of it names."""
    statements = [one for policy in policies_of(principal) for one in policy.statements if _names(one, action)]
    if any(one.denies and not one.conditions and "*" in (one.resources or ()) for one in statements):
        return None
    return next((one for one in statements if one.allows and any(map(wide, one.resources or ()))), None)


def _trusts(principal: Principal, service: str) -> bool:
    trust = principal.trust
    names = {f"{service}.amazonaws.com", f"{service}.amazonaws.com.cn"}
    return trust is not None and any(
        one.allows and kind == "Service" and value in names
        for one in trust.statements
        for kind, value in one.principals or ()
    )


def _of_role(rule: Rule, principal: Principal, statement: Statement | None, text: str) -> Finding:
    place = statement.at("Action") if statement is not None else principal.location
    actions = tuple(statement.actions or ()) if statement is not None else ()
    subject = principal.arn or principal.name
    return Finding(rule.id, rule.category, rule.severity, subject, place, text, rule.fix, actions=actions)


def _finding(
    rule: Rule,
    statement: Statement,
    subject: str,
    text: str,
    severity: Severity | None = None,
    confidence: Confidence = Confidence.HIGH,
    actions: tuple[str, ...] = (),
) -> Finding:
    place: Location = statement.at("Resource")
    return Finding(
        rule.id,
        rule.category,
        severity or rule.severity,
        subject,
        place,
        f"{text} ({statement.name})",
        rule.fix,
        confidence,
        actions or tuple(statement.actions or ()),
    )
