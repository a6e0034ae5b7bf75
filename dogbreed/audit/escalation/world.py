"""The principals and workloads that are known, and which of them a pattern reaches.

In a complete account (a dump) only what exists counts. Elsewhere a pattern may also name what is not shown: then it
is open, and stands for something that exists, trusts whom it has to, and is more powerful.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property

from dogbreed.audit import pattern, tables
from dogbreed.audit.answer import NO, YES
from dogbreed.audit.conditions import ANY, Facts, all_hold
from dogbreed.audit.escalation.actor import SELF, Actor
from dogbreed.audit.escalation.ways import Way
from dogbreed.audit.grants import Grant
from dogbreed.audit.model import HOLE, Corpus, Principal, Statement
from dogbreed.audit.tables import ASSUME_ROLE
from dogbreed.audit.who import How, Who, named, read

# The services that run what a path takes over, by the service of its first action.
_RUNNERS = {
    "lambda": ("lambda.amazonaws.com", "edgelambda.amazonaws.com"),
    "ec2": ("ec2.amazonaws.com",),
    "ec2-instance-connect": ("ec2.amazonaws.com",),
    "ssm": ("ec2.amazonaws.com", "ssm.amazonaws.com"),
    "ecs": ("ecs-tasks.amazonaws.com",),
    "batch": ("ecs-tasks.amazonaws.com", "batch.amazonaws.com"),
    "apprunner": ("tasks.apprunner.amazonaws.com", "build.apprunner.amazonaws.com"),
    "elasticmapreduce": ("ec2.amazonaws.com", "elasticmapreduce.amazonaws.com"),
    "codedeploy": ("ec2.amazonaws.com", "codedeploy.amazonaws.com"),
    "airflow": ("airflow.amazonaws.com", "airflow-env.amazonaws.com"),
}


class World:
    """The principals of a corpus, by what they trust and are called."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.principals = [one for one in corpus.principals if one.arn]
        self._by_arn = {one.arn: one for one in self.principals}
        self._trusted: dict[tuple[str, tuple[str, ...]], list[Principal]] = {}
        self._openings: dict[str, tuple[list[Statement], list[Statement]]] = {}
        self._lets: dict[str, list[str]] = {}
        self._matched: dict[tuple[str, str], list[Principal]] = {}
        self._arns: dict[str, frozenset[str]] = {}

    @cached_property
    def roles(self) -> list[Principal]:
        """The roles that can be passed on or assumed by others than AWS itself."""
        return [one for one in self.principals if one.kind == "role" and "/aws-service-role/" not in one.arn]

    @cached_property
    def _members(self) -> dict[str, list[Principal]]:
        groups: dict[str, list[Principal]] = defaultdict(list)
        for one in self.principals:
            for group in one.groups:
                groups[group.rsplit("/", maxsplit=1)[-1]].append(one)
        return groups

    def named(self, glob: str, kind: str) -> list[Principal]:
        """The principals of a kind whose ARN a pattern matches."""
        if (glob, kind) not in self._matched:
            if not pattern.has_wildcard(glob):
                found = [self._by_arn[glob]] if glob in self._by_arn and self._by_arn[glob].kind == kind else []
            else:
                among = self.roles if kind == "role" else [one for one in self.principals if one.kind == kind]
                finder = pattern.arn_finder(glob)
                found = [one for one in among if finder.fullmatch(one.arn)]
            self._matched[glob, kind] = found
        return self._matched[glob, kind]

    def is_whole(self, actor: Actor) -> bool:
        """Whether all is known that an actor can reach: a whole account, which holds other roles than the actor."""
        return self.corpus.complete and any(one is not actor.principal for one in self.roles)

    def is_open(self, glob: str, kind: str) -> bool:
        """Whether a pattern may also name something that is not shown, where not everything is."""
        return pattern.has_wildcard(glob) or not self.named(glob, kind)

    def passable(self, glob: str, services: tuple[str, ...]) -> list[Principal]:
        """The roles that a pattern names and that trust one of the services."""
        key = (glob, services)
        if key not in self._trusted:
            self._trusted[key] = [one for one in self.named(glob, "role") if self._trusts(one, services)]
        return self._trusted[key]

    def _trusts(self, role: Principal, services: tuple[str, ...]) -> bool:
        """Whether a role lets one of the services in."""
        if role.arn not in self._lets:
            self._lets[role.arn] = _services_of(role)
        lets = self._lets[role.arn]
        return any(value == "*" or pattern.overlaps(one, value) is not NO for value in lets for one in services)

    def assumable(self, actor: Actor, glob: str) -> list[Principal]:
        """The roles that a pattern names and that let this actor in, given that it may call sts:AssumeRole."""
        own = actor.principal
        facts = actor.facts()
        if own is None:
            # Somebody of the account, so that the account itself has to be trusted.
            somebody = {
                one.account: read(f"arn:aws:iam::{one.account}:user/{SELF}") for one in self.named(glob, "role")
            }
            return [one for one in self.named(glob, "role") if self._lets_in(one, somebody[one.account], facts)]
        who, among = read(own.arn), self._named_arns(glob)
        trusting = [one for one in self._trusting(own) if one.arn in among and one is not own]
        return [one for one in trusting if self._lets_in(one, who, facts)]

    def _named_arns(self, glob: str) -> frozenset[str]:
        """The ARNs of the roles that a pattern names."""
        if glob not in self._arns:
            self._arns[glob] = frozenset(one.arn for one in self.named(glob, "role"))
        return self._arns[glob]

    def _trusting(self, own: Principal) -> list[Principal]:
        """The roles whose trust policies may speak of a principal: by its name, its account, or of anybody."""
        keys = ("", "*", own.account, _last(own.arn))
        return list({one.arn: one for key in keys for one in self._by_trust.get(key, ())}.values())

    @cached_property
    def _by_trust(self) -> dict[str, list[Principal]]:
        """The roles by whom their trust policies let in: an account, the name of a principal, "*"; "" where unclear."""
        found: dict[str, dict[str, Principal]] = defaultdict(dict)
        for role in self.roles:
            for statement in _of_people(role, "Allow"):
                for kind, value in _named_in(statement):
                    found[_trust_key(kind, value)][role.arn] = role
        return {key: list(roles.values()) for key, roles in found.items()}

    def _lets_in(self, role: Principal, who: Who, facts: Facts) -> bool:
        """Whether the trust policy of a role possibly lets somebody in, and does not surely keep it out."""
        if role.arn in self._open_to.get(who.account, ()):
            return True
        if role.arn not in self._openings:
            self._openings[role.arn] = (_of_people(role, "Allow"), _of_people(role, "Deny"))
        opening, closing = self._openings[role.arn]
        let_in = any(named(one, who)[0] is not NO and all_hold(one, facts) is not NO for one in opening)
        return let_in and not any(_keeps_out(one, who, facts) for one in closing)

    @cached_property
    def _open_to(self) -> dict[str, set[str]]:
        """The roles that all of an account are let into, by the account: those that need no closer look."""
        found: dict[str, set[str]] = defaultdict(set)
        for role in self.roles:
            for statement in _of_people(role, "Allow") if not _of_people(role, "Deny") else ():
                for kind, value in statement.principals or () if not statement.conditions else ():
                    if kind.lower() == "aws" and (value.isdigit() or value.endswith(":root")):
                        found[_trust_key(kind, value)].add(role.arn)
        return found

    def invitations(self, actor: Actor) -> list[Way]:
        """The ways to roles of the own account that name the actor itself, so that it needs no policy to assume them.

        Limits and Denies of the actor still count.
        """
        own = actor.principal
        if own is None or own.kind not in ("user", "role"):
            return []
        who, facts = read(own.arn), actor.facts()
        roles = {one.arn: one for key in ("*", _last(own.arn)) for one in self._by_trust.get(key, ())}
        found = []
        for role in roles.values():
            if role is own or role.account != own.account or not self._lets_in(role, who, facts):
                continue
            for statement in self._openings[role.arn][0]:
                answer, how = named(statement, who)
                sure = min(answer, all_hold(statement, facts))
                grant = Grant(ASSUME_ROLE, role.arn, statement, sure)
                if sure is not NO and how is not How.ACCOUNT and actor.rights.invited(grant, facts):
                    found.append(Way(tables.assuming(), (grant,)))
                    break
        return found

    def reached(self, actor: Actor, way: Way) -> list[Principal]:
        """The known principals that a way leads to; the actor itself stands for rights that it gives itself."""
        path, target, own = way.path, way.target, actor.principal
        found: list[Principal] = []
        match path.reach:
            case "passed" | "used":
                found = self.passable(target, path.passes)
            case "role":
                found = self.assumable(actor, target) if path.id == "sts-001" else self.named(target, "role")
            case "user":
                found = [one for one in self.named(target, "user") if one is not own]
            case "group-join":
                found = self._joined(target)
            case "workload":
                found = self._running(way)
            case "role-grant" | "user-grant" | "policy":
                found = self._mine(self.given(path.reach, target), actor)
            case _:
                found = [own] if own is not None and self._is_own(own, path.reach, target) else []
        return found

    def given(self, reach: str, target: str) -> list[Principal]:
        """The users and roles to which a way to write roles, users or policies gives rights."""
        if reach == "policy":
            return self._holders(target)
        return self.named(target, reach.removesuffix("-grant"))

    def _holders(self, glob: str) -> list[Principal]:
        """The users and roles that have a policy which a pattern names."""
        key = (glob, "policy")
        if key not in self._matched:
            arns = [arn for arn in self._attached if pattern.arn_matches(glob, arn) is not NO]
            self._matched[key] = list({one.arn: one for arn in arns for one in self._attached[arn]}.values())
        return self._matched[key]

    @cached_property
    def _attached(self) -> dict[str, list[Principal]]:
        """The users and roles by the managed policies that they have."""
        found: dict[str, list[Principal]] = defaultdict(list)
        for one in self.principals:
            for arn in {policy.arn for policy in one.policies if policy.arn} if one.kind != "group" else ():
                found[arn].append(one)
        return found

    def _is_own(self, own: Principal, reach: str, target: str) -> bool:
        """Whether a pattern names something through which the actor changes its own rights."""
        match reach:
            case "group-grant":
                return _is_member(own, target)
            case "user-boundary" | "role-boundary":
                bounded = own.boundary is not None or bool(own.boundary_unresolved)
                return bounded and pattern.arn_matches(target, own.arn) is not NO
            case _:
                return True

    def _mine(self, targets: list[Principal], actor: Actor) -> list[Principal]:
        """Of principals whose policies can be written: the actor itself, and those that it can become."""
        own = actor.principal
        if own is None or not targets:
            return []
        if any(one is own for one in targets):
            return [own]
        facts, who = actor.facts(), read(own.arn)
        invited = {way.target for way in self.invitations(actor)}
        found: list[Principal] = []
        for one in targets:
            if one.kind == "role":
                may = next(iter(actor.rights.on(ASSUME_ROLE, (one.arn,), facts)), None)
                if one.arn in invited or (may and self._lets_in(one, who, facts)):
                    found.append(one)
            elif any(
                next(iter(actor.rights.on(action, (one.arn,), facts)), None)
                for action in ("iam:createaccesskey", "iam:createloginprofile", "iam:updateloginprofile")
            ):
                found.append(one)
        return found

    def _joined(self, glob: str) -> list[Principal]:
        """The members of the groups that a pattern names: who joins has the rights of the group."""
        names = {name for name in self._members if pattern.arn_overlaps(glob, f"arn:*:iam::*:group/*{name}") is not NO}
        groups = [
            one for one in self.principals if one.kind == "group" and pattern.arn_matches(glob, one.arn) is not NO
        ]
        return groups or [one for name in sorted(names) for one in self._members[name]]

    def _running(self, way: Way) -> list[Principal]:
        """The roles of the workloads that a way takes over: of those known, else of all that run there."""
        shown = [one for one in self.corpus.resources if one.roles and one.arn]
        matched = [one for one in shown if pattern.arn_matches(way.target, one.arn) is not NO]
        if matched:
            return [self._by_arn[arn] for one in matched for arn in one.roles if arn in self._by_arn]
        prefix = way.path.needs[0][0].action.partition(":")[0]
        return self.passable("*", _RUNNERS.get(prefix, (f"{prefix}.amazonaws.com",)))


def _services_of(role: Principal) -> list[str]:
    """The services, as they are written, that a role's trust policy lets in and does not surely keep out."""
    statements = [one for one in (role.trust.statements if role.trust else ()) if _speaks_of_assuming(one)]
    closing = [one for one in statements if one.denies]
    return [
        # As outside China, where no service is called otherwise.
        value.removesuffix(".cn")
        for statement in statements
        if statement.allows
        for kind, value in statement.principals or ()
        if kind in ("*", "Service") and not any(_keeps_out(one, read(value), lambda key: ANY) for one in closing)
    ]


def _speaks_of_assuming(statement: Statement) -> bool:
    if statement.not_actions is not None:
        return not any(pattern.matches(glob.lower(), ASSUME_ROLE) is YES for glob in statement.not_actions)
    return any(pattern.matches(glob.lower(), ASSUME_ROLE) is not NO for glob in statement.actions or ())


def _of_people(role: Principal, effect: str) -> list[Statement]:
    """The statements of a role's trust policy on assuming it, but those of services and identity providers only."""
    statements = role.trust.statements if role.trust else ()
    found = [one for one in statements if one.effect == effect and _speaks_of_assuming(one)]
    return [one for one in found if any(kind.lower() not in ("service", "federated") for kind, _ in _named_in(one))]


def _trust_key(kind: str, value: str) -> str:
    """What somebody is found by whom an element of a trust policy names."""
    if kind == "*" or (kind.lower() == "aws" and value == "*"):
        return "*"
    if kind.lower() != "aws" or HOLE in value:
        return ""
    parts = value.split(":", 5)
    if len(parts) < 6:
        return value
    return parts[4] if parts[5] == "root" else _last(value)


def _last(arn: str) -> str:
    """The name in the ARN of a user or role, without its path."""
    return arn.rsplit("/", maxsplit=1)[-1]


def _named_in(statement: Statement) -> Iterable[tuple[str, str]]:
    """Whom a statement may speak of."""
    return statement.principals or (("*", "*"),)


def _keeps_out(denying: Statement, who: Who, facts: Facts) -> bool:
    """Whether a Deny of a trust policy surely speaks of somebody."""
    actions = denying.actions
    sure = actions is None or any(pattern.matches(glob.lower(), ASSUME_ROLE) is YES for glob in actions)
    return sure and named(denying, who)[0] is YES and all_hold(denying, facts) is YES


def _is_member(own: Principal, glob: str) -> bool:
    account = own.account
    arns = [group if group.startswith("arn:") else f"arn:aws:iam::{account}:group/{group}" for group in own.groups]
    return any(pattern.arn_matches(glob, arn) is not NO for arn in arns)
