"""What each principal can become in the end, over any number of steps."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from dogbreed.audit.escalation.actor import Actor
from dogbreed.audit.escalation.power import Power, power, power_of
from dogbreed.audit.escalation.ways import Way, ways
from dogbreed.audit.escalation.world import World
from dogbreed.audit.model import Principal

# Who writes its own permissions, or those of a principal that it can become, has them all.
_GRANTS_OTHERS = ("role-grant", "user-grant", "policy")
WRITES_RIGHTS = frozenset({"policy", "role-grant", "user-grant", "group-grant", "permission-set", "group-boundary"})


@dataclass(frozen=True, slots=True)
class Edge:
    """A way of a principal to others that are known."""

    way: Way
    targets: Sequence[Principal]

    @property
    def writes_rights(self) -> bool:
        """Whether the targets can be given any right."""
        return self.way.path.reach in WRITES_RIGHTS


class Reach:
    """The edges between the principals of a world, and the greatest power that each of them comes to."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ways: dict[str, list[Way]] = {}
        self.edges: dict[str, list[Edge]] = {}
        self.own: Callable[[str], Power] = cache(lambda arn: power_of(self._by_arn[arn]))
        self._by_arn = {one.arn: one for one in world.principals}
        self._best: dict[str, Power] = {}
        self._routes: dict[str, list[tuple[Edge, Principal]]] = {}
        self._strongest: dict[int, tuple[Sequence[Principal], Principal | None]] = {}
        self._arns: dict[frozenset[int], tuple[list[Sequence[Principal]], list[str]]] = {}
        for principal in world.principals:
            actor = Actor.of(principal)
            self.ways[principal.arn] = [*ways(actor), *world.invitations(actor)]
            self.edges[principal.arn] = [edge for edge in self._edges(actor, self.ways[principal.arn]) if edge.targets]
        self._spread()

    def of(self, actor: Actor) -> list[Edge]:
        """Every way of an actor, with the known principals that it leads to."""
        principal = actor.principal
        if principal is not None and principal.arn in self.ways:
            edges = {id(edge.way): edge for edge in self.edges[principal.arn]}
            return [edges.get(id(way)) or Edge(way, ()) for way in self.ways[principal.arn]]
        return self._edges(actor, list(ways(actor)))

    def _edges(self, actor: Actor, own: list[Way]) -> list[Edge]:
        """Ways with whom they lead to. Writing the rights of a role counts where another way leads to that role."""
        edges = [Edge(way, self.world.reached(actor, way)) for way in own]
        if all(edge.targets or edge.way.path.reach not in _GRANTS_OTHERS for edge in edges):
            return edges
        become = {one.arn for edge in edges if not edge.writes_rights for one in edge.targets}
        return [self._handed_on(edge, become) if not edge.targets else edge for edge in edges] if become else edges

    def _handed_on(self, edge: Edge, become: set[str]) -> Edge:
        """A way to write the rights of roles, users or policies, with those to whom another way leads."""
        reach = edge.way.path.reach
        if reach not in _GRANTS_OTHERS:
            return edge
        given = self.world.given(reach, edge.way.target)
        return Edge(edge.way, [one for one in given if one.arn in become])

    def power(self, actor: Actor) -> Power:
        """What an actor's own policies give it."""
        principal = actor.principal
        return self.own(principal.arn) if principal is not None and principal.arn in self.ways else power(actor)

    def best(self, principal: Principal) -> Power:
        """The greatest power that somebody who is this principal comes to."""
        return self._best.get(principal.arn, Power.NARROW)

    def gained(self, edge: Edge) -> Power:
        """The greatest power that an edge leads to."""
        if edge.writes_rights:
            return Power.ADMIN
        strongest = self.strongest(edge)
        return self.best(strongest) if strongest else Power.NARROW

    def strongest(self, edge: Edge) -> Principal | None:
        """The target of an edge that comes to the greatest power."""
        # Many edges share one list of targets, which the world keeps.
        key = id(edge.targets)
        if key not in self._strongest:
            found = max(edge.targets, key=lambda one: (self.best(one), one.arn), default=None)
            self._strongest[key] = (edge.targets, found)
        return self._strongest[key][1]

    def arns(self, edges: Sequence[Edge]) -> list[str]:
        """The ARNs of all targets of some edges, sorted."""
        key = frozenset(id(edge.targets) for edge in edges)
        if key not in self._arns:
            lists = [edge.targets for edge in edges]
            self._arns[key] = (lists, sorted({one.arn for targets in lists for one in targets}))
        return self._arns[key][1]

    def route(self, principal: Principal) -> list[tuple[Edge, Principal]]:
        """The fewest steps from a principal to the greatest power that it comes to; none when it has it already."""
        if principal.arn not in self._routes:
            self._routes[principal.arn] = self._find_route(principal)
        return self._routes[principal.arn]

    def _find_route(self, principal: Principal) -> list[tuple[Edge, Principal]]:
        goal = self.best(principal)
        came: dict[str, tuple[Edge, Principal, Principal] | None] = {principal.arn: None}
        waiting = deque([principal])
        while waiting:
            here = waiting.popleft()
            if self.own(here.arn) >= goal:
                return self._steps(came, here)
            for edge in self.edges[here.arn]:
                if edge.writes_rights:
                    return [*self._steps(came, here), (edge, edge.targets[0])]
                for target in edge.targets:
                    if target.arn not in came and self.best(target) >= goal:
                        came[target.arn] = (edge, target, here)
                        waiting.append(target)
        return []

    @staticmethod
    def _steps(
        came: dict[str, tuple[Edge, Principal, Principal] | None], last: Principal
    ) -> list[tuple[Edge, Principal]]:
        steps: list[tuple[Edge, Principal]] = []
        while (step := came[last.arn]) is not None:
            edge, target, last = step
            steps.insert(0, (edge, target))
        return steps

    def _spread(self) -> None:
        """Give every principal the power of the strongest one that it reaches, the strongest first."""
        leading: dict[int, list[str]] = defaultdict(list)
        inside: dict[str, dict[int, None]] = defaultdict(dict)
        writing = []
        for arn, edges in self.edges.items():
            writing += [arn] if any(edge.writes_rights for edge in edges) else []
            for key, targets in {id(edge.targets): edge.targets for edge in edges}.items():
                if key not in leading:
                    for target in targets:
                        inside[target.arn][key] = None
                leading[key].append(arn)
        for level in sorted(Power, reverse=True):
            if level is not Power.NARROW:
                strong = [arn for arn in self._by_arn if self.own(arn) >= level or self._best.get(arn, 0) >= level]
                for arn in self._leading_to([*strong, *writing], leading, inside):
                    self._best[arn] = max(self._best.get(arn, Power.NARROW), level)

    @staticmethod
    def _leading_to(
        goals: list[str], leading: dict[int, list[str]], inside: dict[str, dict[int, None]]
    ) -> Iterable[str]:
        """The goals and everybody who comes to one; `leading` says who has a list of targets, `inside` who is on it."""
        found, seen = dict.fromkeys(goals), set[int]()
        waiting = list(found)
        while waiting:
            for key in inside.get(waiting.pop(), ()):
                if key not in seen:
                    seen.add(key)
                    new = [arn for arn in leading[key] if arn not in found]
                    found.update(dict.fromkeys(new))
                    waiting += new
        return found
