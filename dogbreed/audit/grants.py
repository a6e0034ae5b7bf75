"""What somebody can surely or possibly do with an action: the patterns of resources that remain after every limit.

An Allow counts unless its conditions can never hold; a Deny takes away only what it surely denies; boundaries and SCPs
narrow a pattern to what they allow too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from dogbreed.audit import pattern, tables
from dogbreed.audit.answer import NO, YES, Answer
from dogbreed.audit.attached import policies_of
from dogbreed.audit.conditions import ABSENT, Facts, Value, all_hold, substitute
from dogbreed.audit.model import HOLE, Policy, Principal, Statement

# Prefixes of keys that requests of every service can have, and keys that come with the credentials of a workload.
_ANYWHERE = frozenset({"aws", "sts", "saml"})
_OF_SESSIONS = frozenset(
    {
        "ec2:roledelivery",
        "ec2:sourceinstancearn",
        "glue:credentialissuingservice",
        "glue:roleassumedby",
        "identitystore:groupid",
        "identitystore:userid",
        "lambda:sourcefunctionarn",
        "ssm:sourceinstancearn",
    }
)
# Services whose requests have keys of one other service.
_ALSO = {"ec2-instance-connect": "ec2", "sts": "iam"}


@dataclass(frozen=True, slots=True)
class Grant:
    """Resources that match `resource`, granted by `statement`; `sure` is UNKNOWN when a value is not known.

    `index` is the place of the action in the statement, for its position.
    """

    action: str
    resource: str
    statement: Statement
    sure: Answer = YES


def keys_of(action: str, facts: Facts) -> Facts:
    """The keys of a request for an action: those of other services are absent from it, whatever else they hold."""
    service = action.partition(":")[0]
    foreign = _ALSO.get(service, "")

    def value(key: str) -> Value:
        prefix, colon, _ = key.partition(":")
        # Issuers of tokens are named like hosts.
        kept = not colon or "." in prefix or prefix in (service, foreign) or prefix in _ANYWHERE or key in _OF_SESSIONS
        return facts(key) if kept else ABSENT

    return value


class Layer:
    """The statements of some policies, found by action."""

    def __init__(self, policies: Iterable[Policy]) -> None:
        self.policies = list(policies)

    @cached_property
    def _index(self) -> tuple[dict[str, list[Statement]], dict[str, list[Statement]]]:
        allows: dict[str, list[Statement]] = {}
        denies: dict[str, list[Statement]] = {}
        for policy in self.policies:
            for statement in policy.statements:
                index = allows if statement.allows else denies if statement.denies else None
                if index is not None:
                    for action in actions_of(statement):
                        index.setdefault(action, []).append(statement)
        return allows, denies

    def allows(self, action: str) -> list[Statement]:
        """The Allow statements for an action, in lower case."""
        return self._index[0].get(action, [])

    def denies(self, action: str) -> list[Statement]:
        """The Deny statements for it."""
        return self._index[1].get(action, [])

    def granted(self) -> Iterable[str]:
        """The known actions that some statement allows."""
        return self._index[0].keys()


def actions_of(statement: Statement) -> frozenset[str]:
    """The known actions that a statement speaks of."""
    if statement.actions is not None:
        if len(statement.actions) == 1:
            return tables.expand(statement.actions[0])
        return frozenset().union(*(tables.expand(one) for one in statement.actions))
    if statement.not_actions is not None:
        return tables.everything().difference(*(tables.expand(one) for one in statement.not_actions))
    return frozenset()


class Rights:
    """Everything that decides what one principal may do."""

    def __init__(self, identity: Iterable[Policy], limits: Iterable[Iterable[Policy]] = ()) -> None:
        self.identity = Layer(identity)
        self.limits = [Layer(policies) for policies in limits]
        self._limits_of_invited = self.limits

    @classmethod
    def of(cls, principal: Principal) -> Rights:
        """Those of a principal of the corpus; its SCPs do not bind a service-linked role."""
        limits = [[principal.boundary]] if principal.boundary else []
        linked = "/aws-service-role/" in principal.arn
        rights = cls(policies_of(principal), [*limits, *([] if linked else principal.scps)])
        # What a resource's policy grants to a user by name is not limited by the user's boundary.
        rights._limits_of_invited = rights.limits[len(limits) :] if principal.kind == "user" else rights.limits
        return rights

    def on(self, action: str, arns: Iterable[str], facts: Facts) -> Iterator[Grant]:
        """What is granted of an action on resources that match one of `arns`."""
        facts = keys_of(action, facts)
        denied: _Denied | None = None
        for statement in self.identity.allows(action):
            sure = all_hold(statement, facts)
            if sure is NO:
                continue
            for glob, known in resources(statement, arns, facts):
                denied = denied or _Denied(self._sure_denies(action, facts), facts)
                for grant in _within(self.limits, Grant(action, glob, statement, min(sure, known)), facts):
                    yield from denied.rest(grant)

    def invited(self, grant: Grant, facts: Facts) -> bool:
        """Whether a grant that a resource's own policy makes by name is left by limits and Denies."""
        facts = keys_of(grant.action, facts)
        denied = _Denied(self._sure_denies(grant.action, facts), facts)
        return any(denied.rest(one) for one in _within(self._limits_of_invited, grant, facts))

    def _sure_denies(self, action: str, facts: Facts) -> list[Statement]:
        """The Denies of all layers whose conditions surely hold."""
        layers = (self.identity, *self.limits)
        return [one for layer in layers for one in layer.denies(action) if all_hold(one, facts) is YES]


def _within(limits: Iterable[Layer], grant: Grant, facts: Facts) -> list[Grant]:
    """The parts of a grant that every limit allows, too."""
    grants = [grant]
    for layer in limits:
        grants = [
            replace(one, resource=glob)
            for one in grants
            for statement in layer.allows(one.action)
            if all_hold(statement, facts) is not NO
            for glob, _ in resources(statement, (one.resource,), facts)
        ]
    return list(dict.fromkeys(grants))


class _Denied:
    """What some Deny statements take away, found by the text before the first wildcard of what they name."""

    def __init__(self, statements: Iterable[Statement], facts: Facts) -> None:
        self._globs: dict[str, list[str]] = {}
        self._all_but: list[list[str]] = []
        for statement in statements:
            version = statement.policy.version
            texts = statement.resources if statement.resources is not None else statement.not_resources or ()
            globs = [glob for text in texts if (glob := substitute(text, facts, version)) is not None]
            if statement.resources is not None:
                for glob in globs:
                    self._globs.setdefault(glob[: pattern.fixed(glob)], []).append(glob)
            elif statement.not_resources is not None:
                self._all_but.append(globs)
        self._lengths = sorted({len(beginning) for beginning in self._globs})

    def rest(self, grant: Grant) -> list[Grant]:
        """What is left of a grant: nothing, itself, or the parts that a NotResource leaves out."""
        resource = grant.resource
        for length in self._lengths:
            for glob in self._globs.get(resource[:length], ()):
                if pattern.arn_contains(glob, resource) is YES:
                    return []
        grants = [grant]
        for globs in self._all_but:
            grants = [
                replace(one, resource=narrower(glob, one.resource))
                for one in grants
                for glob in globs
                if pattern.arn_overlaps(glob, one.resource) is not NO
            ]
        return grants


def resources(statement: Statement, arns: Iterable[str], facts: Facts) -> Iterator[tuple[str, Answer]]:
    """The part of a statement's resources that matches one of `arns`: (the narrower pattern, whether it is known)."""
    version = statement.policy.version
    for arn in arns:
        if statement.resources is not None:
            for text in statement.resources:
                glob = substitute(text, facts, version)
                answer = pattern.arn_overlaps(glob, arn) if glob is not None else NO
                if glob is not None and answer is not NO:
                    yield narrower(glob, arn), answer
        elif statement.not_resources is not None:
            left_out = [substitute(text, facts, version) for text in statement.not_resources]
            if not any(glob is not None and pattern.arn_contains(glob, arn) is YES for glob in left_out):
                yield arn, YES


def narrower(one: str, other: str) -> str:
    """The pattern that holds less; the first when neither holds the other."""
    if pattern.arn_contains(other, one) is YES or HOLE in one:
        return one
    return other if pattern.arn_contains(one, other) is YES else one
