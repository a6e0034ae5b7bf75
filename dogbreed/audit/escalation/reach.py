"""What each principal can become in the end, over any number of steps."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
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
        self._gained: dict[int, tuple[Sequence[Principal], Power]] = {}
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
        # Many edges share one list of targets, which the world keeps.
        key = id(edge.targets)
        if key not in self._gained:
            self._gained[key] = (edge.targets, max(map(self.best, edge.targets), default=Power.NARROW))
        return self._gained[key][1]

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
        for level in sorted(Power, reverse=True):
            if level is Power.NARROW:
                break
            inside = {arn for arn in self._by_arn if self.own(arn) >= level or self._best.get(arn, 0) >= level}
            grew = True
            while grew:
                grew = False
                meets: dict[int, bool] = {}
                for arn, edges in self.edges.items():
                    if arn not in inside and any(self._leads(edge, inside, level, meets) for edge in edges):
                        inside.add(arn)
                        grew = True
            for arn in inside:
                self._best[arn] = max(self._best.get(arn, Power.NARROW), level)

    @staticmethod
    def _leads(edge: Edge, inside: set[str], level: Power, meets: dict[int, bool]) -> bool:
        if edge.writes_rights:
            return level <= Power.ADMIN
        if not meets.get(id(edge.targets)):
            meets[id(edge.targets)] = any(target.arn in inside for target in edge.targets)
        return meets[id(edge.targets)]
