"""How much a principal can do by itself: the measure of what is gained by becoming it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import IntEnum

from dogbreed.audit import tables
from dogbreed.audit.attached import unknown_policies
from dogbreed.audit.conditions import Facts
from dogbreed.audit.escalation.actor import Actor
from dogbreed.audit.model import Policy, Principal, Statement

_READS = re.compile(
    r"[^:]*:(get|list|describe|batchget|head|lookup|search|view|query|select|check|validate)", re.IGNORECASE
)
# What every job does and nobody gains by: writing its logs, metrics and traces, and pulling images.
_HARMLESS = re.compile(
    r"(logs|cloudwatch|xray|ssmmessages|ec2messages|ecr|ecr-public|application-autoscaling):", re.IGNORECASE
)
# Data of others, and rights: on every resource they are as good as much more.
_SENSITIVE = re.compile(
    r"(iam:(\*|put|attach|create|update|add|set|pass)|sts:assume|secretsmanager:(\*|get)|kms:(\*|decrypt)|s3:(\*|get|put)"
    r"|ssm:(\*|send|start|getparam)|dynamodb:(\*|get|scan|query)|lambda:(\*|update|create)|organizations:|sso:)",
    re.IGNORECASE,
)
# Granted by whoever can do anything.
_ADMIN_PROBE = ("iam:createpolicyversion", "iam:putrolepolicy", "iam:attachuserpolicy", "iam:passrole")


class Power(IntEnum):
    """NARROW: named things only; SOME: changes things of a service; STRONG: much of an account; ADMIN: all of it."""

    NARROW = 0
    SOME = 1
    STRONG = 2
    ADMIN = 3


def is_admin(actor: Actor, facts: Facts | None = None) -> Statement | None:
    """The statement that allows everything, when one does and nothing takes the rights over IAM away."""
    facts = facts or actor.facts()
    for policy in actor.rights.identity.policies:
        for statement in policy.statements:
            if not statement.allows or "*" not in (statement.resources or ()):
                continue
            if not {"*", "*:*"} & set(statement.actions or ()):
                continue
            if all(_everywhere(actor, action, facts) for action in _ADMIN_PROBE):
                return statement
    return None


def _everywhere(actor: Actor, action: str, facts: Facts) -> bool:
    """Whether an action is granted on every resource it works on."""
    arns = _arns(action)
    return any(grant.resource in ("*", *arns) for grant in actor.rights.on(action, arns, facts))


def _arns(action: str) -> tuple[str, ...]:
    return next(need.arns for path in _paths_and_pass() for step in path for need in step if need.action == action)


def _paths_and_pass() -> Iterable[Iterable[Iterable[tables.Need]]]:
    yield from (path.needs for path in tables.paths())
    yield ((tables.need("iam:PassRole"),),)


def power(actor: Actor) -> Power:
    """What the actor's own policies give it, without any escalation."""
    if is_admin(actor):
        return Power.ADMIN
    return max((_of_policy(policy) for policy in actor.rights.identity.policies), default=Power.NARROW)


def power_of(principal: Principal) -> Power:
    """`power` of a principal; policies whose text is not known count as strong."""
    own = power(Actor.of(principal))
    return max(own, Power.STRONG) if unknown_policies(principal) else own


def _of_policy(policy: Policy) -> Power:
    return max((_of_statement(one) for one in policy.statements if one.allows), default=Power.NARROW)


def _of_statement(statement: Statement) -> Power:
    wide = statement.resources is None or any(text.strip("*:/") in ("", "arn:aws:s3") for text in statement.resources)
    if statement.not_actions is not None:
        return Power.STRONG if wide else Power.SOME
    best = Power.NARROW
    for action in statement.actions or ():
        if _HARMLESS.match(action):
            continue
        if not wide:
            continue
        if action == "*" or _SENSITIVE.match(action):
            return Power.STRONG
        if not _READS.match(action):
            best = Power.SOME
    return best
