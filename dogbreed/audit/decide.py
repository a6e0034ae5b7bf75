"""Is a request allowed? AWS's evaluation logic over everything that applies, with the statement that decides.

After the IAM User Guide, "Policy evaluation logic": an explicit Deny first; in one account the identity policies or the
resource policy suffice, across accounts both are needed; boundaries, session policies and SCPs only limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from dogbreed.audit import facts as iam_facts
from dogbreed.audit import pattern
from dogbreed.audit.answer import NO, UNKNOWN, YES, Answer, all_of, any_of
from dogbreed.audit.conditions import ABSENT, Facts, Value, all_hold, holds, known, substitute
from dogbreed.audit.model import HOLE, Kind, Policy, Statement
from dogbreed.audit.who import How, Who, named, read
from dogbreed.audit.who import Kind as WhoKind

Comparing = Callable[[str, str], Answer]
_ALWAYS = ("sts:getcalleridentity",)
# What not even an administrator can do to a service-linked role.
_NOT_TO_LINKED = frozenset(
    {
        "attachrolepolicy",
        "detachrolepolicy",
        "putrolepolicy",
        "deleterolepolicy",
        "deleterole",
        "passrole",
        "updateassumerolepolicy",
        "putrolepermissionsboundary",
    }
)
_OF_RESOURCES = (Kind.RESOURCE, Kind.TRUST)
_TRUST = ("sts:assumerole", "sts:assumerolewithwebidentity", "sts:assumerolewithsaml")


@dataclass(frozen=True)
class Request:
    """A request. Keys that `context` does not name are absent from it, but for the time and those of the principal.

    `account` is the account that owns the resource; by default the ARN's, else the principal's own.
    """

    principal: str
    action: str
    resource: str
    context: Mapping[str, Sequence[str]] = field(default_factory=dict)
    account: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def who(self) -> Who:
        """Who asks."""
        return read(self.principal)

    @property
    def owner(self) -> str:
        """The account that owns the resource, "" when that is not said."""
        parts = self.resource.split(":", 5)
        named_account = parts[4] if len(parts) > 5 else ""
        return self.account or (named_account if named_account.isdigit() else "")


@dataclass(frozen=True)
class Layers:
    """The policies that apply to a request. None means that there is no such thing, empty that nothing is allowed.

    `scps` are levels (root, units, account), each of which has to allow; the levels of `rcps` only deny.
    """

    identity: Sequence[Policy] = ()
    resource: Sequence[Policy] | None = None
    boundary: Policy | None = None
    session: Sequence[Policy] | None = None
    scps: Sequence[Sequence[Policy]] = ()
    rcps: Sequence[Sequence[Policy]] = ()
    endpoint: Policy | None = None


@dataclass(frozen=True)
class Decision:
    """The answer, the statement that decides (none for an implicit deny) and a sentence that explains."""

    answer: Answer
    explanation: str
    statement: Statement | None = None


def decide(request: Request, layers: Layers) -> Decision:
    """Whether the request is allowed by these layers of policies."""
    if request.action.lower() in _ALWAYS:
        return Decision(YES, f"{request.action} needs no permission")
    if belongs_to_aws(request.action, request.resource):
        return Decision(NO, "it belongs to AWS and cannot be changed or passed on")
    who, facts = request.who, facts_of(request)
    denied, statement = _deny(request, layers, who, facts)
    if denied is YES and statement:
        return Decision(NO, f"{cited(statement)} denies it", statement)
    allowed, why, deciding = _allow(request, layers, who, facts)
    for name, answer in _limits(request, layers, who, facts):
        if answer < allowed:
            allowed, why, deciding = answer, f"{name} {_verb(answer)} it", None
    if allowed is NO and deciding is None:
        why += _nearly(request, layers, facts)
    if denied is UNKNOWN and allowed is not NO and statement:
        return Decision(UNKNOWN, f"{why}, but {cited(statement)} may deny it", statement)
    return Decision(allowed, why, deciding)


def belongs_to_aws(action: str, resource: str) -> bool:
    """Whether an action is one that nobody can do, whatever is allowed: to AWS's own policies and roles."""
    service, _, verb = action.lower().partition(":")
    parts = resource.split(":", 5)
    if service != "iam" or len(parts) < 6 or pattern.has_wildcard(resource):
        return False
    if parts[4] == "aws" and parts[5].startswith("policy/"):
        return verb.startswith(("create", "delete", "setdefault", "tag", "untag"))
    if parts[5].startswith("role/aws-reserved/"):
        return not verb.startswith(("get", "list", "simulate", "generate"))
    linked = parts[5].startswith("role/aws-service-role/")
    return linked and verb in _NOT_TO_LINKED


def facts_of(request: Request) -> Facts:
    """The condition keys of a request: those that were given, and those that AWS always adds."""
    who = request.who
    now = datetime.now(UTC)
    region = request.resource.split(":", 5)[3] if request.resource.count(":") >= 5 else ""
    implied = {
        "aws:currenttime": now.isoformat(timespec="seconds"),
        "aws:epochtime": str(int(now.timestamp())),
        "aws:viaawsservice": "false",
        "aws:principalisawsservice": str(who.kind is WhoKind.SERVICE).lower(),
        "aws:principaltype": who.kind.value,
        "aws:requestedregion": region,
        "aws:principalarn": who.role or (who.arn if who.account else ""),
        "aws:principalaccount": who.account,
        "aws:username": who.name if who.kind is WhoKind.USER else "",
        "aws:principalservicename": who.arn if who.kind is WhoKind.SERVICE else "",
        "aws:resourceaccount": request.owner or who.account,
    }
    values = {key: known(value) for key, value in implied.items() if value}
    values |= {f"aws:principaltag/{key.lower()}": known(value) for key, value in request.tags.items()}
    values |= {key.lower(): Value(tuple(given)) for key, given in request.context.items()}
    return lambda key: values.get(key, ABSENT)


def applies(statement: Statement, request: Request, facts: Facts) -> Answer:
    """Whether action, resource and conditions of a statement fit the request, the principal aside.

    A `*` in the request's action or resource asks whether some such request is allowed: an Allow has to overlap it, a
    Deny to hold all of it.
    """
    if statement.effect == HOLE:
        return UNKNOWN
    action = _element(statement.actions, statement.not_actions, request.action.lower(), statement, None)
    if action is NO:
        return NO
    resource = _resource(statement, request, facts)
    if resource is NO:
        return NO
    return all_of((action, resource, all_hold(statement, facts)))


def cited(statement: Statement) -> str:
    """How to point at a statement in a sentence."""
    return f"{statement.name} of {statement.policy.name} ({statement.at()})"


def _resource(statement: Statement, request: Request, facts: Facts) -> Answer:
    if statement.resources is None and statement.not_resources is None:
        # Trust policies, and those of ECR, speak of the thing that they are attached to.
        return YES if statement.policy.kind in (Kind.RESOURCE, Kind.TRUST) else NO
    return _element(statement.resources, statement.not_resources, request.resource, statement, facts, request.action)


def _element(
    names: tuple[str, ...] | None,
    not_names: tuple[str, ...] | None,
    wanted: str,
    statement: Statement,
    facts: Facts | None,
    action: str = "",
) -> Answer:
    """Whether an element, or its Not-form, names an action (`facts` None) or a resource."""
    globs = names if names is not None else not_names
    if globs is None:
        return NO
    matches: Comparing = pattern.matches
    overlaps: Comparing = pattern.overlaps
    contains: Comparing = pattern.contains
    if facts is None:
        globs = tuple(glob.lower() for glob in globs)
    else:
        version = statement.policy.version
        globs = tuple(one for glob in globs if (one := substitute(glob, facts, version)) is not None)
        overlaps, contains, matches = pattern.arn_overlaps, pattern.arn_contains, pattern.arn_matches
        if _only_star(action):
            wanted = "*"
    asks_some = ("*" in wanted or "?" in wanted) and not (facts is not None and _only_star(action))
    if not asks_some:
        compare = matches
    elif statement.allows is (names is not None):
        compare = overlaps
    else:
        compare = contains
    found = any_of(compare(glob, wanted) for glob in globs)
    return found if names is not None else ~found


def _only_star(action: str) -> bool:
    """Whether an action works on no resource, so that only `*` grants it; False when the data does not say."""
    if not action or "*" in action or "?" in action or ":" not in action:
        return False
    try:
        return not iam_facts.action(action)["resourceTypes"]
    except iam_facts.MissingFacts:
        return False


def _deny(request: Request, layers: Layers, who: Who, facts: Facts) -> tuple[Answer, Statement | None]:
    """The surest explicit Deny of all layers."""
    policies = [*layers.identity, *(layers.resource or ()), *(layers.session or ())]
    policies += [policy for policy in (layers.boundary, layers.endpoint) if policy]
    policies += [policy for level in layers.rcps for policy in level]
    if who.account and not who.service_linked:
        policies += [policy for level in layers.scps for policy in level]
    best: tuple[Answer, Statement | None] = (NO, None)
    for policy in policies:
        for statement in policy.statements:
            if statement.allows or (not statement.denies and statement.effect != HOLE):
                continue
            answer = min(applies(statement, request, facts), _speaks_of(statement, who, layers))
            if answer > best[0]:
                best = (answer, statement)
    return best


def _speaks_of(statement: Statement, who: Who, layers: Layers) -> Answer:
    """Whether a Deny speaks of somebody; one with NotPrincipal always hits who has a boundary."""
    if statement.not_principals is not None and layers.boundary is not None and statement.policy.kind in _OF_RESOURCES:
        return YES
    return _addressed(statement, who)[0]


def _addressed(statement: Statement, who: Who) -> tuple[Answer, How]:
    """Whether a statement speaks of somebody: only policies of resources have to say of whom, those of users cannot."""
    kind = statement.policy.kind
    silent = statement.principals is None and statement.not_principals is None
    if kind in _OF_RESOURCES:
        return (NO, How.EVERYONE) if silent else named(statement, who)
    if kind in (Kind.VPC_ENDPOINT, Kind.RCP):
        return named(statement, who)
    return YES, How.DIRECT


def _allows(policies: Iterable[Policy], request: Request, facts: Facts) -> tuple[Answer, Statement | None]:
    """The surest Allow of some policies."""
    best: tuple[Answer, Statement | None] = (NO, None)
    for policy in policies:
        for statement in policy.statements:
            if statement.allows or statement.effect == HOLE:
                answer = applies(statement, request, facts)
                if answer > best[0]:
                    best = (answer, statement)
                if answer is YES:
                    return best
    return best


def _allow(request: Request, layers: Layers, who: Who, facts: Facts) -> tuple[Answer, str, Statement | None]:
    """What allows the request: (answer, sentence, statement)."""
    by_resource: dict[How, tuple[Answer, Statement | None]] = dict.fromkeys(How, (NO, None))
    for policy in layers.resource or ():
        for statement in policy.statements:
            if statement.allows or statement.effect == HOLE:
                speaks, how = _addressed(statement, who)
                answer = min(speaks, applies(statement, request, facts)) if speaks is not NO else NO
                if answer > by_resource[how][0]:
                    by_resource[how] = (answer, statement)
    granted = max(by_resource.values(), key=lambda pair: pair[0])
    if who.kind in (WhoKind.SERVICE, WhoKind.WEB, WhoKind.ANONYMOUS):
        return granted[0], _sentence(granted, "no resource policy allows it"), granted[1]

    own = _allows(layers.identity, request, facts)
    if who.kind is WhoKind.ROOT:
        own = (YES, None)
    limited = all_of(answer for _, answer in _own_limits(request, layers, facts))
    if request.owner and request.owner != who.account:
        both = min(own[0], limited, granted[0])
        if both is NO:
            missing = "the resource's policy does not" if granted[0] is NO else "the principal's policies do not"
            return NO, f"nothing allows it: across accounts both sides have to, and {missing}", None
        return both, _sentence(granted if granted[0] < own[0] else own, ""), own[1]
    if _needs_resource_policy(request) and not granted[0].possible:
        return NO, "the policy of the key or role itself has to allow it, and it does not", None

    needed = granted[0] if _needs_resource_policy(request) else YES
    ways = [(min(own[0], limited, needed), own)]
    for how, found in by_resource.items():
        if how is How.ACCOUNT:
            continue
        free = how is How.DIRECT or (how is How.EVERYONE and not who.role)
        ways.append((found[0] if free else min(found[0], limited), found))
    answer, deciding = max(ways, key=lambda way: way[0])
    if answer is NO and own[0].possible and limited is NO:
        names = [name for name, one in _own_limits(request, layers, facts) if one is NO]
        return NO, f"{names[0]} does not allow it", None
    return answer, _sentence(deciding, "nothing allows it") if answer.possible else "nothing allows it", deciding[1]


def _nearly(request: Request, layers: Layers, facts: Facts) -> str:
    """What stands in the way of the first statement that would allow the request but for its conditions."""
    for policy in (*layers.identity, *(layers.resource or ())):
        for one in policy.statements:
            if one.allows and applies(replace(one, conditions=()), request, facts).possible and one.conditions:
                version = policy.version
                unmet = [each.key for each in one.conditions if holds(each, facts, version) is NO]
                if unmet:
                    return f"; {cited(one)} would, under its condition on {', '.join(dict.fromkeys(unmet))}"
    return ""


def _own_limits(request: Request, layers: Layers, facts: Facts) -> list[tuple[str, Answer]]:
    """Boundary and session policy: they have to allow what the identity policies or the role are granted."""
    limits = []
    if layers.boundary is not None:
        limits.append(("the permissions boundary", _allows([layers.boundary], request, facts)[0]))
    if layers.session is not None:
        limits.append(("the session policy", _allows(layers.session, request, facts)[0]))
    return limits


def _limits(request: Request, layers: Layers, who: Who, facts: Facts) -> list[tuple[str, Answer]]:
    """What limits everything, whoever grants it."""
    limits = []
    if who.account and not who.service_linked:
        limits += [("a service control policy", _allows(level, request, facts)[0]) for level in layers.scps]
    if layers.endpoint is not None:
        speaking = [one for one in layers.endpoint.statements if _addressed(one, who)[0].possible]
        granted = any_of(applies(one, request, facts) for one in speaking if one.allows or one.effect == HOLE)
        limits.append(("the policy of the VPC endpoint", granted))
    return limits


def _needs_resource_policy(request: Request) -> bool:
    """Keys and roles decide themselves who may use them, also in their own account."""
    action = request.action.lower()
    return action in _TRUST or (action.startswith("kms:") and ":key/" in request.resource)


def _sentence(found: tuple[Answer, Statement | None], otherwise: str) -> str:
    answer, statement = found
    if not answer.possible or statement is None:
        return otherwise if not answer.possible else "the account's root user may do everything"
    return f"{cited(statement)} {'allows' if answer is YES else 'may allow'} it"


def _verb(answer: Answer) -> str:
    return "does not allow" if answer is NO else "may not allow"
