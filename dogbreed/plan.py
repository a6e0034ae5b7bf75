"""The Plan: ordered steps from the resources wanted and what is there; shown, priced, confirmed, applied.

A command says which `Resource`s it wants, in the order in which they need each other. `make` looks at each and gives a
`Plan`; `Plan.apply` does exactly its steps and nothing else; `teardown` is the same backwards. Whatever was done when a
command was killed is found by the next one, so no state is kept anywhere but in the account itself.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from dogbreed.errors import DogbreedError

Sign = Literal["+", "~", "-", "=", "!"]
_READY_EVERY_S = 1.0


@dataclass(frozen=True)
class Found:
    """What the account holds of a resource.

    `id`: its ARN or id; `state`: AWS's word; `content`: compared with `Resource.wanted`; `ours`: this project's tag is
    on it; `error`: what AWS says went wrong with it.
    """

    id: str
    content: Mapping[str, Any]
    state: str = ""
    ours: bool = True
    created: datetime | None = None
    error: str = ""


class Resource(ABC):
    """One thing in the account; `kind` and `name` are how people call it."""

    kind: str
    name: str
    # Why `destroy` leaves it, such as "holds your runs"; "" means that it goes.
    keep: str = ""

    def wanted(self) -> Mapping[str, Any]:
        """The content that it should have, in the shape of `Found.content`; what is not named is not compared."""
        return {}

    @abstractmethod
    def find(self) -> Found | None:
        """Look at the account; None when it is not there (or is on its way out)."""

    @abstractmethod
    def create(self) -> None:
        """Make it as wanted. Called again after a kill, so what is half made must be found by `find`."""

    def update(self, found: Found) -> None:
        """Bring `found` to what is wanted."""
        raise DogbreedError(f"{self.kind} {self.name} cannot be changed in place", "destroy it first")

    @abstractmethod
    def delete(self, found: Found) -> None:
        """Remove it; what is already gone is no error."""

    def ready(self) -> bool:
        """Whether what was created or changed can be used now."""
        return True

    def hourly(self) -> Decimal | None:
        """US dollars an hour while it is there as wanted (as it is, where nothing is wanted of it); 0 for what costs by
        use, None where the price is not known.
        """
        return Decimal(0)

    def hourly_now(self) -> Decimal | None:
        """The same of what `find` has seen, before a change."""
        return self.hourly()

    def detail(self) -> str:
        """What a plan says beside the name, such as "2 x ml.c6i.large"."""
        return ""


@dataclass(frozen=True)
class Step:
    """`+` create, `~` change, `-` delete, `=` leave as it is, `!` leave alone although it is in the way."""

    sign: Sign
    resource: Resource
    found: Found | None
    # What changes, or why it is left: "policy: 3 actions fewer".
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        price = self.resource.hourly()
        return {
            "step": self.sign,
            "kind": self.resource.kind,
            "name": self.resource.name,
            "id": self.found.id if self.found else None,
            "why": self.why,
            "usd_per_hour": None if price is None else str(round(price, 6)),
        }


@dataclass(frozen=True)
class Plan:
    """Steps in order. `ceiling`: the most that the job among them can cost, in US dollars; None where there is none."""

    steps: tuple[Step, ...]
    ceiling: Decimal | None = None

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that do something."""
        return tuple(step for step in self.steps if step.sign in "+~-")

    @property
    def blocked(self) -> tuple[Step, ...]:
        """What is in the way."""
        return tuple(step for step in self.steps if step.sign == "!")

    def apply(self, *, wait_s: float = 900) -> Iterator[Step]:
        """Do the changes one after the other, yielding each before it is done; wait until each can be used.

        Raises DogbreedError for a blocked plan, and when something is not ready within `wait_s`.
        """
        for step in self.blocked:
            raise DogbreedError(
                f"{step.resource.kind} {step.resource.name} is there already: {step.why}",
                "choose another [aws] project name, or remove it",
            )
        for step in self.changes:
            yield step
            if step.sign == "+":
                step.resource.create()
            elif step.sign == "~" and step.found:
                step.resource.update(step.found)
            elif step.sign == "-" and step.found:
                step.resource.delete(step.found)
            if step.sign != "-":
                _await(step.resource, wait_s)

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        ceiling = None if self.ceiling is None else str(self.ceiling)
        return {"steps": [step.to_json() for step in self.steps], "ceiling_usd": ceiling}


def make(resources: Sequence[Resource], *, ceiling: Decimal | None = None) -> Plan:
    """Look at every resource and say what is to be done so that all are as wanted."""
    return Plan(tuple(_step(resource) for resource in resources), ceiling)


def teardown(resources: Sequence[Resource]) -> Plan:
    """The reverse: everything that is there and ours goes, last made first, but for what is kept."""
    steps = []
    for resource in reversed(resources):
        found = resource.find()
        if found is None:
            continue
        if not found.ours:
            steps.append(Step("=", resource, found, "not made by this project"))
        elif resource.keep:
            steps.append(Step("=", resource, found, f"kept: {resource.keep}"))
        else:
            steps.append(Step("-", resource, found))
    return Plan(tuple(steps))


def _step(resource: Resource) -> Step:
    found = resource.find()
    if found is None:
        return Step("+", resource, None)
    differs = [key for key, value in resource.wanted().items() if found.content.get(key) != value]
    if not found.ours:
        return Step("!" if differs else "=", resource, found, "not made by this project")
    return Step("~", resource, found, ", ".join(differs)) if differs else Step("=", resource, found)


def _await(resource: Resource, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while not resource.ready():
        if time.monotonic() > deadline:
            raise DogbreedError(f"{resource.kind} {resource.name} is not ready after {wait_s:.0f} s", "dogbreed status")
        time.sleep(_READY_EVERY_S)
