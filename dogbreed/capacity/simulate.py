"""Replay traffic against a scaling policy: instances over time, waits, failures, cost."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogbreed.capacity.histogram import Histogram, milliseconds
from dogbreed.capacity.policy import Policy, Scaler, Semantics
from dogbreed.capacity.queueing import Exact, Fast, Servers
from dogbreed.capacity.traffic import Arrivals, Trace
from dogbreed.errors import UsageError

# Above so many requests whole seconds are computed at once.
EXACT_LIMIT = 1_000_000


@dataclass(frozen=True)
class Instance:
    """What one instance can do. Times in seconds.

    services: measured service times, drawn from at random; threads: how many it works on at once; longest_wait: after
    which a request fails (SageMaker gives a container 60 s; dogbreed serve refuses when 16 photos wait).
    """

    services: tuple[float, ...]
    threads: int = 1
    longest_wait: float = 60.0

    def __post_init__(self) -> None:
        if not self.services or not all(0 < seconds < 3600 for seconds in self.services):
            raise UsageError("a service time that is not between 0 and an hour", "give --service-ms, such as 12.5")
        if self.threads < 1:
            raise UsageError(f"{self.threads} threads", "an instance has at least 1")


@dataclass
class Result:
    """What came of it; lists have an entry for each minute. `words`: what was tried."""

    words: str
    requests: int = 0
    failed: int = 0
    instance_seconds: float = 0.0
    latencies: Histogram = field(default_factory=Histogram)
    in_service: list[int] = field(default_factory=list)
    wanted: list[int] = field(default_factory=list)
    per_minute: list[int] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    p95: list[float] = field(default_factory=list)
    # Sum of all waits, for comparison with theory.
    waited_s: float = 0.0
    # Requests that waited for a copy of a function to start.
    cold: int = 0
    # US dollars, where they do not follow from hours of instances.
    usd: Decimal | None = None
    by_use: bool = False

    def end_minute(self, in_service: int, wanted: int, requests: int, failed: int, latencies: Histogram) -> None:
        """Add a minute, or what is left of one at the end."""
        self.in_service.append(in_service)
        self.wanted.append(wanted)
        self.per_minute.append(requests)
        self.failures.append(failed)
        self.p95.append(latencies.centile(0.95))
        self.requests += requests
        self.failed += failed
        self.latencies.merge(latencies)

    def cost(self, per_hour: Decimal | None) -> Decimal | None:
        """US dollars of the instances, from launch to end, or of what was used."""
        if self.by_use:
            return self.usd
        return None if per_hour is None else per_hour * Decimal(str(round(self.instance_seconds / 3600, 6)))

    def to_json(self, per_hour: Decimal | None) -> dict[str, Any]:
        """For --json; times in milliseconds."""
        cost = self.cost(per_hour)
        shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
        return {
            "policy": self.words,
            "requests": self.requests,
            "failed": self.failed,
            "cold_starts": self.cold,
            **{f"{name}_ms": milliseconds(self.latencies.centile(share)) for name, share in shares.items()},
            "instance_hours": round(self.instance_seconds / 3600, 3),
            "usd": None if cost is None else str(round(cost, 4)),
            "most_instances": max(self.in_service, default=0),
            "minutes": {
                "in_service": self.in_service,
                "wanted": self.wanted,
                "requests": self.per_minute,
                "failed": self.failures,
                "p95_ms": [milliseconds(value) for value in self.p95],
            },
        }


def simulate(
    trace: Trace,
    instance: Instance,
    policy: Policy,
    semantics: Semantics | None = None,
    *,
    arrivals: Arrivals = "poisson",
    seed: int = 0,
    exact: bool | None = None,
) -> Result:
    """Replay `trace`; `exact` follows every request (the default up to a million of them)."""
    semantics = semantics or Semantics()
    mean = float(np.mean(instance.services))
    precise = trace.requests <= EXACT_LIMIT if exact is None else exact
    count = policy.range(0.0)[0] * instance.threads
    servers: Servers = Exact(count, instance.longest_wait) if precise else Fast(count, instance.longest_wait, mean)
    return _Replay(trace, instance, policy, semantics, servers).run(arrivals, seed)


class _Replay:
    def __init__(
        self, trace: Trace, instance: Instance, policy: Policy, semantics: Semantics, servers: Servers
    ) -> None:
        self.trace, self.instance, self.servers = trace, instance, servers
        self.scaler = Scaler(policy, semantics)
        self.start_s, self.wake_start_s = semantics.start_s, semantics.wake_start_s
        self.period = semantics.period_s[policy.metric]
        self.concurrency = policy.metric == "concurrency"
        self.in_service = self.launched = self.scaler.wanted
        self.starting: deque[float] = deque()  # when each new instance begins to answer
        self.result = Result(policy.words())
        self.in_period = 0.0
        self.minute = Histogram()
        self.minute_requests = self.minute_failed = 0

    def run(self, arrivals: Arrivals, seed: int) -> Result:
        services = np.asarray(self.instance.services)
        rng = np.random.default_rng([seed, 1])
        # Drawing for each second would take longer than all the rest; one long draw is gone round.
        pool = services[rng.integers(0, len(services), max(len(services), 1 << 16))]
        at, result = 0, self.result
        for second, times in self.trace.arrivals(arrivals, seed):
            self.scale(second)
            drawn = pool[at : at + len(times)]
            if len(drawn) < len(times):
                drawn = np.resize(np.concatenate([pool[at:], pool]), len(times))
            at = (at + len(times)) % len(pool)
            waits = self.servers.serve(times, drawn)
            self.count(times, waits, drawn)
            if len(times) and not self.in_service:
                self.scaler.fail(second)
            result.instance_seconds += self.launched
            end = int(second) + 1
            if end % self.period == 0:
                self.put(float(end))
            if end % 60 == 0:
                self.end_minute()
        if self.trace.seconds % 60:
            self.end_minute()
        return result

    def scale(self, now: float) -> None:
        """What the policy wants, and what has started since."""
        wanted = self.scaler.look(now)
        while self.launched < wanted:
            self.starting.append(now + (self.start_s if self.launched else self.wake_start_s))
            self.launched += 1
        while self.launched > wanted:
            self.launched -= 1
            if self.starting:
                self.starting.pop()
            else:
                self.in_service -= 1
        while self.starting and self.starting[0] <= now:
            self.starting.popleft()
            self.in_service += 1
        servers = self.in_service * self.instance.threads
        if servers != self.servers.count:
            self.servers.resize(now, servers)

    def count(self, times: NDArray[np.float64], waits: NDArray[np.float64], services: NDArray[np.float64]) -> None:
        """Add a second's requests to the figures."""
        served = ~np.isnan(waits)
        waited = waits[served]
        latencies = waited + services[served]
        self.minute.add(latencies)
        failed = len(times) - len(waited)
        self.minute_requests += len(times)
        self.minute_failed += failed
        self.result.waited_s += float(waited.sum())
        # Concurrency is the mean number under way, by Little's law the seconds spent in a period.
        self.in_period += float(latencies.sum()) if self.concurrency else len(times)

    def put(self, end: float) -> None:
        """A metric point: requests a minute, or requests at once, for each instance in service; none without any."""
        if not self.in_service:
            self.in_period = 0.0
            return
        scale = 1 / self.period if self.concurrency else 60 / self.period
        self.scaler.put(end, self.in_period * scale / self.in_service, self.in_service)
        self.in_period = 0.0

    def end_minute(self) -> None:
        """Keep the minute's figures, and begin the next."""
        figures = self.minute_requests, self.minute_failed, self.minute
        self.result.end_minute(self.in_service, self.scaler.wanted, *figures)
        self.minute = Histogram()
        self.minute_requests = self.minute_failed = 0
