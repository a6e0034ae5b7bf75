"""Replay traffic against copies of a function that start when they are needed: Lambda, and serverless endpoints.

A copy answers one request at a time. A request takes a copy that is idle; where there is none, another is started, and
the request waits for it (a cold start), as long as there are fewer than `limit`; else it is refused with 429: nothing
queues. Copies kept started (provisioned concurrency) are taken first.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

import numpy as np

from dogbreed.capacity.histogram import Histogram
from dogbreed.capacity.simulate import Result
from dogbreed.capacity.traffic import Arrivals, Trace
from dogbreed.errors import UsageError

# Documented: Lambda gives one virtual processor at this memory, less below; of serverless endpoints it is inferred.
ONE_PROCESSOR_MB = 1769
Kind = Literal["lambda", "serverless"]
# Documented: the least and the most memory of each kind.
_MEMORY_MB = {"lambda": (128, 10_240), "serverless": (1024, 6144)}
# Every request is followed; more would take minutes.
MOST_REQUESTS = 5_000_000


@dataclass(frozen=True)
class Prices:
    """US dollars; None where a price is not known. `kept_*`: for the copies kept started."""

    gb_second: Decimal | None
    request: Decimal | None = Decimal(0)
    kept_gb_second: Decimal | None = None
    kept_duration_gb_second: Decimal | None = None


@dataclass(frozen=True)
class Copies:
    """A function, or a serverless endpoint, of `memory_mb`; times in seconds.

    services: measured service times of a whole processor, drawn from at random. limit: requests at once. kept: copies
    kept started. cold_s: until a new copy answers. idle_s: after which an idle copy goes (not documented; minutes were
    observed). per_s: new copies a second, ten seconds' worth at once (documented for Lambda: 1,000 in 10 s).
    """

    kind: Kind
    memory_mb: int
    services: tuple[float, ...]
    limit: int = 1000
    kept: int = 0
    cold_s: float = 2.0
    idle_s: float = 600.0
    per_s: float = 100.0

    def __post_init__(self) -> None:
        if not self.services or not all(0 < seconds < 900 for seconds in self.services):
            raise UsageError("a service time that is not between 0 and 15 minutes", "give --service-ms, such as 12.5")
        least, most = _MEMORY_MB[self.kind]
        if not least <= self.memory_mb <= most:
            raise UsageError(f"{self.kind} of {self.memory_mb} MB", f"{least} to {most} MB")
        if self.limit < 1 or not 0 <= self.kept <= self.limit:
            words = f"{self.kept} copies kept of at most {self.limit}"
            raise UsageError(words, "at least one at once, and no more copies kept than may be at work at once")
        if not 0 <= self.cold_s < 900:
            raise UsageError(f"a copy that starts in {self.cold_s:g} s", "from 0 to 15 minutes")

    @property
    def slower(self) -> float:
        """How many times longer a photo takes than on a whole processor."""
        return max(1.0, ONE_PROCESSOR_MB / self.memory_mb)

    def words(self) -> str:
        """For people."""
        kept = f", {self.kept} kept started" if self.kept else ""
        return f"{self.kind} of {self.memory_mb} MB, at most {self.limit} at once{kept}"


def simulate(trace: Trace, copies: Copies, prices: Prices, *, arrivals: Arrivals = "poisson", seed: int = 0) -> Result:
    """Replay `trace`; UsageError above `MOST_REQUESTS` requests."""
    if trace.requests > MOST_REQUESTS:
        words = f"{trace.requests:,} requests are too many for {copies.kind}, whose copies are followed one by one"
        raise UsageError(words, f"give a shorter trace, of at most {MOST_REQUESTS:,}, or leave {copies.kind} out")
    return _Replay(trace, copies, prices).run(arrivals, seed)


class _Replay:
    def __init__(self, trace: Trace, copies: Copies, prices: Prices) -> None:
        self.trace, self.copies, self.prices = trace, copies, prices
        self.result = Result(copies.words(), by_use=True)
        self.busy: list[tuple[float, bool]] = []  # until when, and whether it is kept started
        self.idle: deque[float] = deque()  # since when; the last one is taken first, so the first ones go
        self.kept_idle = copies.kept
        self.may_start, self.seen = 10 * copies.per_s, 0.0
        self.billed_s = self.kept_billed_s = 0.0

    def run(self, arrivals: Arrivals, seed: int) -> Result:
        copies, result = self.copies, self.result
        services = np.asarray(copies.services) * copies.slower
        rng = np.random.default_rng([seed, 1])
        minute: list[float] = []
        requests = failed = 0
        for second, times in self.trace.arrivals(arrivals, seed):
            drawn = services[rng.integers(0, len(services), len(times))]
            for at, service in zip(times.tolist(), drawn.tolist(), strict=True):
                took = self.answer(at, service)
                requests += 1
                if took is None:
                    failed += 1
                else:
                    minute.append(took)
            if (int(second) + 1) % 60 == 0 or int(second) + 1 == self.trace.seconds:
                self.end_minute(second + 1, minute, requests, failed)
                minute, requests, failed = [], 0, 0
        result.usd = self.cost()
        return result

    def answer(self, at: float, service: float) -> float | None:
        """Seconds until the answer; None where the request is refused."""
        self.settle(at)
        copies = self.copies
        if self.kept_idle:
            self.kept_idle -= 1
            self.kept_billed_s += service
            heapq.heappush(self.busy, (at + service, True))
            return service
        if len(self.busy) >= copies.limit:
            return None
        wait = 0.0
        if self.idle:
            self.idle.pop()
        elif self.may_start < 1:
            return None
        else:
            self.may_start -= 1
            self.result.cold += 1
            wait = copies.cold_s
        # Since August 2025 Lambda bills the start of a copy as well.
        self.billed_s += wait + service
        heapq.heappush(self.busy, (at + wait + service, False))
        return wait + service

    def settle(self, at: float) -> None:
        """What has ended since, and what was idle for too long."""
        self.may_start = min(10 * self.copies.per_s, self.may_start + (at - self.seen) * self.copies.per_s)
        self.seen = at
        while self.busy and self.busy[0][0] <= at:
            ended, kept = heapq.heappop(self.busy)
            if kept:
                self.kept_idle += 1
            else:
                self.idle.append(ended)
        while self.idle and self.idle[0] + self.copies.idle_s <= at:
            self.idle.popleft()

    def end_minute(self, now: float, minute: list[float], requests: int, failed: int) -> None:
        """A minute, or the part of one, that ends `now`; copies are counted at its end."""
        self.settle(now)
        alive = len(self.busy) + len(self.idle) + self.kept_idle
        latencies = Histogram()
        latencies.add(minute)
        self.result.end_minute(alive, alive, requests, failed, latencies)
        self.result.instance_seconds += ((now - 1) % 60 + 1) * alive

    def cost(self) -> Decimal | None:
        """US dollars, free tiers left out."""
        gb = Decimal(self.copies.memory_mb) / 1024
        served = self.result.requests - self.result.failed
        own = self.prices
        parts = [(own.gb_second, gb * Decimal(str(self.billed_s))), (own.request, Decimal(served))]
        if self.copies.kept:
            parts.append((own.kept_gb_second, gb * self.copies.kept * self.trace.seconds))
            parts.append((own.kept_duration_gb_second, gb * Decimal(str(self.kept_billed_s))))
        if any(price is None for price, _ in parts):
            return None
        return sum((price * amount for price, amount in parts if price is not None), Decimal(0))
