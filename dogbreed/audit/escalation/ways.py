"""The ways of one actor: which paths of the tables its rights complete, and on which resources."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, product

from dogbreed.audit import pattern, tables
from dogbreed.audit.answer import NO, YES, Answer, all_of
from dogbreed.audit.escalation.actor import SELF, Actor, passing_to, resources_of
from dogbreed.audit.grants import Grant
from dogbreed.audit.stranger import OTHER
from dogbreed.audit.tables import PASS_ROLE, EscalationPath, Need

# More combinations of statements than that say nothing new.
_MOST = 400
_CREDENTIALS = ("user",)
_DOMAIN, _CHINA = ".amazonaws.com", ".cn"
_UNCHANGEABLE = ("arn:*:iam::*:role/aws-service-role/*", "arn:*:iam::*:role/aws-reserved/*")


@dataclass(frozen=True, slots=True)
class Way:
    """A path that an actor can go: the grants of its steps, and the grant of iam:PassRole where one is needed.

    `target` is the pattern of what is gained: the role, user, group, policy or workload.
    """

    path: EscalationPath
    steps: tuple[Grant, ...]
    passing: Grant | None = None

    @property
    def target(self) -> str:
        """The pattern of the ARNs of what is reached."""
        return self.passing.resource if self.passing else self.steps[0].resource

    @property
    def sure(self) -> Answer:
        """UNKNOWN when a value on the way is not known."""
        return all_of(grant.sure for grant in (*self.steps, *([self.passing] if self.passing else [])))


def ways(actor: Actor) -> Iterator[Way]:
    """Every path that the actor's rights complete, one way for each pattern of targets."""
    granted = frozenset(actor.rights.identity.granted())
    if not granted:
        return
    passing: dict[tuple[tuple[str, ...], frozenset[str]], list[Grant]] = {}
    for path in tables.begun(granted):
        if any(all(need.action not in granted for need in step) for step in path.needs):
            continue
        kind = (path.passes, _takers(path))
        if path.passes and kind not in passing:
            passing[kind] = _passable(actor, *kind)
        if path.passes and not passing[kind]:
            continue
        yield from _ways_of(actor, path, passing.get(kind, []))


def _takers(path: EscalationPath) -> frozenset[str]:
    """The services whose resources get the role that a path passes."""
    callers = {need.action.partition(":")[0] for step in path.needs for need in step}
    return frozenset(callers | {service.removesuffix(_DOMAIN).rpartition(".")[2] for service in path.passes})


def _passable(actor: Actor, services: tuple[str, ...], takers: frozenset[str]) -> list[Grant]:
    """The grants of iam:PassRole to one of the services, in China under its name there."""
    statements = actor.rights.identity.allows(PASS_ROLE)
    texts = [text for one in statements for condition in one.conditions for text in condition.values]
    said = tuple(_said(services, texts))
    found = _passed(actor, said, takers)
    if not found and any(_DOMAIN + _CHINA in text for text in texts):
        found = _passed(actor, tuple(one + _CHINA for one in said), takers)
    return found


def _said(services: Iterable[str], texts: list[str]) -> Iterator[str]:
    """Patterns of services as policies speak of them: parts of a service by their names, or as any part of it."""
    for service in services:
        if service.startswith("*."):
            # Else "other-service.*" would count as the name of a part.
            yield OTHER + service[1:]
            yield from (text for text in texts if "*" not in text and pattern.matches(service, text) is YES)
        else:
            yield service


def _passed(actor: Actor, services: tuple[str, ...], takers: frozenset[str]) -> list[Grant]:
    facts = actor.facts(iam_passedtoservice=passing_to(services), iam_associatedresourcearn=resources_of(takers))
    roles = tables.need("iam:PassRole").arns
    return [grant for grant in actor.rights.on(PASS_ROLE, roles, facts) if not _fixed_role(grant.resource)]


def _ways_of(actor: Actor, path: EscalationPath, passing: list[Grant]) -> Iterator[Way]:
    facts = actor.facts()
    steps: list[list[tuple[Need, Grant]]] = []
    for step in path.needs:
        found = [(need, grant) for need in step for grant in actor.rights.on(need.action, need.arns, facts)]
        found = [(need, grant) for need, grant in found if _gives(path, grant)]
        if not found:
            return
        steps.append(_distinct(found))
    for combination in islice(_combinations(steps), _MOST):
        if all(_together(a, b) for a in combination for b in combination if a is not b):
            grants = tuple(grant for _, grant in combination)
            if not path.passes:
                yield Way(path, grants)
            else:
                yield from (Way(path, grants, grant) for grant in _wide_first(passing))
                return


def _combinations(steps: list[list[tuple[Need, Grant]]]) -> Iterator[tuple[tuple[Need, Grant], ...]]:
    """One grant for each step: first those that all speak of the same resources, then any."""
    if len(steps) > 1:
        by_resource = [{grant.resource: (need, grant) for need, grant in step} for step in steps]
        for resource in by_resource[0]:
            if all(resource in other for other in by_resource[1:]):
                yield tuple(other[resource] for other in by_resource)
    yield from product(*steps)


def _gives(path: EscalationPath, grant: Grant) -> bool:
    """Whether rights on this resource give anything: not the own password, not roles that belong to AWS."""
    if path.reach in _CREDENTIALS and SELF in grant.resource:
        return False
    return not (path.reach.startswith("role") and _fixed_role(grant.resource))


def _fixed_role(glob: str) -> bool:
    """Whether a pattern names only roles that nobody can pass on or change."""
    return any(pattern.arn_contains(fixed, glob) is YES for fixed in _UNCHANGEABLE)


def _together(one: tuple[Need, Grant], other: tuple[Need, Grant]) -> bool:
    """Whether two steps can be gone on the same thing, where both work on the same kind of thing."""
    (first, a), (second, b) = one, other
    if first.arns != second.arns:
        return True
    return pattern.arn_overlaps(a.resource, b.resource) is not NO


def _distinct(found: list[tuple[Need, Grant]]) -> list[tuple[Need, Grant]]:
    """One grant for each pattern, the widest first."""
    by_pattern: dict[str, tuple[Need, Grant]] = {}
    for need, grant in found:
        by_pattern.setdefault(grant.resource, (need, grant))
    return sorted(by_pattern.values(), key=lambda pair: width(pair[1].resource), reverse=True)


def _wide_first(grants: list[Grant]) -> list[Grant]:
    by_pattern = {grant.resource: grant for grant in reversed(grants)}
    return sorted(by_pattern.values(), key=lambda grant: (-width(grant.resource), grant.resource))


@lru_cache(1 << 14)
def width(glob: str) -> int:
    """2 for a pattern of every resource of a kind, 1 for some of them, 0 for one."""
    name = glob.split(":", 5)[-1]
    if "*" not in glob and "?" not in name:
        return 0
    kind, slash, rest = name.partition("/")
    if not slash:
        kind, slash, rest = name.partition(":")
    anything = rest.strip("*?:/") == "" if slash else name.strip("*?") == ""
    return 2 if anything and "*" not in kind.rstrip("*") else 1 if "*" in name or "?" in name else 0
