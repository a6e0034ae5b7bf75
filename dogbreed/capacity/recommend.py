"""Which machines, and how many, answer a traffic within an objective, and what a month of that costs.

What is assumed, as nobody has measured every type: a photo takes as long on each type as where it was measured, and a
machine works on one photo per vCPU. Newer generations are faster than that, so where it errs it errs on the safe side.
Types with the same number of vCPU then need the same machines and differ by price alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np

from dogbreed.capacity import compare
from dogbreed.capacity.simulate import Instance, Result, simulate
from dogbreed.capacity.traffic import Trace
from dogbreed.priced import cents
from dogbreed.pricing import HOURS_A_MONTH, Prices
from dogbreed.pricing import Instance as Machine

_HOUR_S = 3600
# More machines than this are another kind of problem.
_MOST = 64
_MEMORY_GIB = 4
# Where prices are known best; they order types alike in all regions.
REFERENCE = "us-east-1"
# Shares of the fixed number to keep in quiet hours, and how full a machine may get: what is tried.
_FEWEST, _FULL = (1 / 4, 1 / 2), (0.5, 0.75)
_FINEST = 16
# Fewest and most machines, and the target for each.
_Way = tuple[int, int, float]


@dataclass(frozen=True)
class Option:
    """From `smallest` to `largest` machines of a type, at `target` requests a minute for each where they differ.

    `machines`: on average; `month`: US dollars, None where the price is unknown in the region.
    """

    type: str
    vcpu: int
    smallest: int
    largest: int
    target: float
    p99_ms: float
    machines: float
    month: Decimal | None

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        return {
            "instance_type": self.type,
            "vcpu": self.vcpu,
            "min": self.smallest,
            "max": self.largest,
            "target_per_minute": self.target if self.scales else None,
            "p99_ms": round(self.p99_ms, 1),
            "mean_machines": round(self.machines, 2),
            "usd_per_month": None if self.month is None else str(self.month),
        }

    @property
    def scales(self) -> bool:
        """Whether their number changes."""
        return self.smallest < self.largest


@dataclass(frozen=True)
class ByUse:
    """A service that is paid by the call, at this traffic. `month` as above."""

    to: str
    month: Decimal | None
    note: str


def options(
    trace: Trace,
    service_s: float,
    p99_s: float,
    prices: Prices,
    region: str,
    told: Callable[[str], None] = lambda words: None,
) -> list[Option]:
    """The types that hold the objective with at most 64 machines, cheapest first, those of unknown price last.

    A fixed number of machines is chosen, and its p99 told, for the busiest hour; a policy for all of the traffic.
    """
    ways: list[tuple[int, _Way, float, float]] = []
    hour = busiest(trace)
    for vcpu in sorted({one.vcpu for one in prices.instances.values() if _fits(one)}):
        told(f"{vcpu} vCPU")
        instance = Instance((service_s,), vcpu)
        held = next((pair for pair in _fixed(hour, instance) if compare.Goal(p99_s).holds(pair[1])), None)
        if held:
            count, result = held
            way = (count, count, compare.capacity(instance))
            ways.append((vcpu, way, float(count), result.latencies.centile(0.99)))
            if count == 1:  # larger machines cost more for nothing
                break
    # Of the sizes that need several, the one of which there are the most to take away, within reason.
    several = [one for one in ways if 1 < one[1][0] <= _FINEST]
    if several:
        vcpu, way, _, _ = several[0]
        told("policies")
        instance = Instance((service_s,), vcpu)
        for policy, result in _scaled(trace, instance, way[0]):
            if compare.Goal(p99_s).holds(result):
                mean = result.instance_seconds / trace.seconds
                ways.append((vcpu, policy, mean, result.latencies.centile(0.99)))
    found = [option for way in ways for option in _options(*way, prices, region)]
    best: dict[tuple[str, bool], Option] = {}
    for one in sorted(found, key=lambda one: one.machines):
        best.setdefault((one.type, one.scales), one)
    found = list(best.values())
    return sorted(found, key=_order)


def by_use(trace: Trace, service_s: float, prices: Prices, region: str) -> list[ByUse]:
    """What services cost that are paid by the call, free tiers left out."""
    requests = trace.requests * HOURS_A_MONTH * _HOUR_S / trace.seconds
    cold = "the first call of each copy waits for its start, seconds"
    of_lambda = prices.month_of_lambda(region, requests, service_s)
    serverless = prices.month_of_serverless(region, requests, service_s)
    return [
        ByUse("lambda", of_lambda and cents(of_lambda), f"1769 MB; {cold}"),
        ByUse("serverless", serverless and cents(serverless), f"3072 MB; {cold}"),
    ]


def priced_in(found: list[Option], prices: Prices, region: str) -> tuple[list[Option], str]:
    """The same, and the region whose prices they have: another one where none is known in theirs."""
    if not found or any(one.month is not None for one in found):
        return found, region
    there = [replace(one, month=_month(prices, REFERENCE, one.type, one.machines)) for one in found]
    return sorted(there, key=_order), REFERENCE


def even(rate: float) -> Trace:
    """An hour of `rate` requests a second."""
    counts = np.full(60, round(rate * 60), np.int64)
    return Trace(counts, 60)


def _fits(one: Machine) -> bool:
    """Whether the service runs on a type as it is: on x86-64, without a GPU, and with no credits to spend."""
    special = one.gpus or one.burstable or one.name.startswith(("inf", "trn"))
    return one.hosting and not special and one.arch == "x86_64" and one.memory_gib >= _MEMORY_GIB


def busiest(trace: Trace) -> Trace:
    """The hour with the most requests, or all of a shorter trace."""
    steps = max(1, _HOUR_S // trace.step_s)
    if len(trace.counts) <= steps:
        return trace
    sums = np.convolve(trace.counts, np.ones(steps, np.int64), "valid")
    begin = int(sums.argmax())
    return Trace(trace.counts[begin : begin + steps], trace.step_s)


def _order(one: Option) -> tuple[bool, Decimal, int, str]:
    """The cheapest first, of equally cheap ones the later generation: c6i before c5."""
    age = "".join(chr(255 - ord(sign)) for sign in one.type)
    return one.month is None, one.month or Decimal(0), one.vcpu, age


def _month(prices: Prices, region: str, kind: str, machines: float) -> Decimal | None:
    figure = prices.hourly(kind, region, "hosting")
    return None if figure is None else cents(figure.usd * Decimal(str(round(machines * HOURS_A_MONTH, 6))))


def _options(vcpu: int, way: _Way, machines: float, p99_s: float, prices: Prices, region: str) -> Iterator[Option]:
    for one in prices.instances.values():
        if one.vcpu == vcpu and _fits(one):
            name = f"ml.{one.name}"
            month = _month(prices, region, name, machines)
            yield Option(name, vcpu, *way, p99_s * 1000, machines, month)


def _fixed(hour: Trace, instance: Instance) -> Iterator[tuple[int, Result]]:
    """More and more machines, from as many as the busiest step keeps at work."""
    most = compare.capacity(instance)
    count = max(1, math.ceil(float(hour.counts.max()) / hour.step_s * 60 / most))
    while count <= _MOST:
        yield count, simulate(hour, instance, compare.parse(f"{count}-{count}@{most:.1f}/min"))
        count = max(count + 1, math.ceil(count * 1.1))


def _scaled(trace: Trace, instance: Instance, count: int) -> Iterator[tuple[_Way, Result]]:
    """Policies that keep fewer than `count` machines in quiet hours, on the whole of the traffic."""
    most = compare.capacity(instance)
    for fewest in sorted({max(1, round(count * share)) for share in _FEWEST} - {count}):
        for full in _FULL:
            way = (fewest, count + 1, round(most * full, 1))
            yield way, simulate(trace, instance, compare.parse("{}-{}@{}/min".format(*way)))
