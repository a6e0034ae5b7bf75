"""Several ways on the same traffic, each written in a word, compared, or searched for the cheapest that holds.

`1-4@600/min` is a policy for instances, `0-4@600/min` one that scales to zero, `lambda:3008+2` a function of 3,008 MB
of which 2 copies are kept started, `serverless:3072/20` a serverless endpoint that answers at most 20 requests at once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dogbreed.capacity import functions
from dogbreed.capacity.functions import Copies, Kind, Prices
from dogbreed.capacity.policy import Metric, Policy, Semantics
from dogbreed.capacity.simulate import Instance, Result, simulate
from dogbreed.capacity.traffic import Trace
from dogbreed.errors import UsageError

_POLICY = re.compile(r"(\d+)-(\d+)@(\d+(?:\.\d+)?)(/min|/s|x)?")
_COPIES = re.compile(r"(lambda|serverless)(?::(\d+))?(?:/(\d+))?(?:\+(\d+))?")
_FORM = "write 1-4@600/min, 1-4@4x for requests at once, lambda:3008+2, or serverless:3072/20"
# Memory in MB and requests at once, where nothing is said: one processor and the account's usual limit for Lambda,
# for serverless what `dogbreed deploy` takes.
_USUAL = {"lambda": (1769, 1000), "serverless": (3072, 5)}
# What the course projects that this tool grew from had set, each with its cool-down in seconds.
FAMILY = {
    "1-3@3/min": 300,
    "1-4@10/min": 30,
    "1-3@20/min": 30,
    "1-3@25/min": 30,
    "1-5@30/min": 30,
    "1-4@100/min": 10,
}
# Shares of what an instance can do at which the search puts the target.
_SHARES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_FAILING = 0.001


def parse(text: str, policy: Policy | None = None) -> Policy:
    """A policy in one word; what it does not say is as in `policy`. UsageError where it is none."""
    match = _POLICY.fullmatch(text.strip())
    if not match:
        raise UsageError(f"{text!r} is no policy", _FORM)
    smallest, largest, target, unit = match.groups()
    base = policy or Policy(1, 1, 1.0)
    value = float(target) * (60 if unit == "/s" else 1)
    metric: Metric = "concurrency" if unit == "x" else "invocations"
    return replace(base, smallest=int(smallest), largest=int(largest), target=value, metric=metric)


def copies(text: str, instance: Instance, cold_s: float) -> Copies | None:
    """A function or serverless endpoint in one word; None where it is none, UsageError where it cannot be."""
    match = _COPIES.fullmatch(text.strip())
    if not match:
        return None
    memory, limit, kept = match.groups()[1:]
    kind: Kind = "lambda" if match[1] == "lambda" else "serverless"
    usual = _USUAL[kind]
    return Copies(
        kind, int(memory or usual[0]), instance.services, int(limit or usual[1]), int(kept or 0), cold_s=cold_s
    )


def family() -> list[Policy]:
    """The policies of the projects that this tool grew from."""
    return [replace(parse(text), out_cooldown_s=cool, in_cooldown_s=cool) for text, cool in FAMILY.items()]


def capacity(instance: Instance) -> float:
    """Requests a minute that one instance can serve at most."""
    return 60 * instance.threads / float(np.mean(instance.services))


@dataclass(frozen=True)
class Goal:
    """What has to hold over the whole trace: 99 % within `p99_s`, and at most one request in a thousand failed."""

    p99_s: float

    def holds(self, result: Result) -> bool:
        """Whether it did."""
        served = result.requests - result.failed
        if not result.requests:
            return True
        return (
            bool(served)
            and result.latencies.centile(0.99) <= self.p99_s
            and result.failed <= _FAILING * result.requests
        )


def candidates(instance: Instance, policy: Policy) -> Iterator[Policy]:
    """Policies worth a try: how many stay in the quiet hours, and how full an instance may get; else as `policy`."""
    most = capacity(instance)
    for smallest in _counts(policy.largest):
        for share in _SHARES:
            yield replace(policy, smallest=smallest, target=most * share, metric="invocations")


def search(
    trace: Trace,
    instance: Instance,
    goal: Goal,
    policy: Policy,
    semantics: Semantics,
    seed: int,
    tell: Callable[[Policy], None] = lambda _: None,
) -> tuple[Result | None, list[Result]]:
    """The cheapest of `candidates` that holds the goal (None: none does), and all that were tried.

    tell: called with each policy once it has been tried.
    """
    results = []
    for one in candidates(instance, policy):
        results.append(simulate(trace, instance, one, semantics, seed=seed))
        tell(one)
    holding = [result for result in results if goal.holds(result)]
    return min(holding, key=_dearness, default=None), sorted(results, key=_dearness)


def compare(
    trace: Trace,
    instance: Instance,
    ways: Sequence[Policy | Copies],
    semantics: Semantics,
    seed: int,
    prices: Callable[[Copies], Prices] = lambda _: Prices(None),
    tell: Callable[[Policy | Copies], None] = lambda _: None,
) -> list[Result]:
    """One result for each way, all on the same arrivals and service times; tell: called with each once it is done."""
    results = []
    for way in ways:
        if isinstance(way, Copies):
            results.append(functions.simulate(trace, way, prices(way), seed=seed))
        else:
            results.append(simulate(trace, instance, way, semantics, seed=seed))
        tell(way)
    return results


def _dearness(result: Result) -> tuple[float, float]:
    late = result.latencies.centile(0.99)
    return result.instance_seconds, math.inf if math.isnan(late) else late


def _counts(largest: int) -> list[int]:
    counts = [1]
    while counts[-1] < largest:
        counts.append(min(largest, max(counts[-1] + 1, math.ceil(counts[-1] * 1.5))))
    return counts
