"""First come, first served at a number of servers that changes: how long each request waits.

`Exact` follows every request and is right for any service times. `Fast` takes whole seconds at once and gives every
request the mean service time while it waits; with many servers or many requests a second that differs little, and a
day of a thousand requests a second takes seconds. Times are in seconds; a wait of NaN means that it was refused.
"""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

Seconds = NDArray[np.float64]


class Servers(ABC):
    """`count` servers; whoever would have to wait longer than `longest_wait` is refused at once."""

    def __init__(self, count: int, longest_wait: float) -> None:
        self.count, self.longest_wait = 0, longest_wait
        self.resize(0.0, count)

    @abstractmethod
    def resize(self, now: float, count: int) -> None:
        """More servers, free at once, or fewer: those that are free first go, busy ones when they are done."""

    @abstractmethod
    def serve(self, arrivals: Seconds, services: Seconds) -> Seconds:
        """The wait of each of these requests, which arrive in this order after all before; NaN: refused."""


class Exact(Servers):
    """Every request by itself (Kiefer and Wolfowitz 1955)."""

    def __init__(self, count: int, longest_wait: float) -> None:
        self._free: list[float] = []
        super().__init__(count, longest_wait)

    def resize(self, now: float, count: int) -> None:
        """See `Servers`."""
        while self.count < count:
            heapq.heappush(self._free, now)
            self.count += 1
        while self.count > count:
            heapq.heappop(self._free)
            self.count -= 1

    def serve(self, arrivals: Seconds, services: Seconds) -> Seconds:
        """See `Servers`."""
        free, longest = self._free, self.longest_wait
        waits = np.full(len(arrivals), np.nan)
        if not free:
            return waits
        for number, (arrival, service) in enumerate(zip(arrivals.tolist(), services.tolist(), strict=True)):
            wait = free[0] - arrival
            if wait <= 0:
                wait = 0.0
            elif wait > longest:
                continue
            heapq.heapreplace(free, arrival + wait + service)
            waits[number] = wait
        return waits


class Fast(Servers):
    """A second at a time: with equal service times, FIFO goes round the servers, so each is a line of its own."""

    def __init__(self, count: int, longest_wait: float, mean_service: float) -> None:
        self._free: Seconds = np.empty(0)
        self._mean = mean_service
        super().__init__(count, longest_wait)

    def resize(self, now: float, count: int) -> None:
        """See `Servers`."""
        if count > self.count:
            self._free = np.concatenate([self._free, np.full(count - self.count, now)])
        self._free.sort()
        self._free = self._free[max(0, self.count - count) :] if count < self.count else self._free
        self.count = count

    def serve(self, arrivals: Seconds, services: Seconds) -> Seconds:
        """See `Servers`; of a second with more than there is room for, an even share is refused."""
        waits = np.full(len(arrivals), np.nan)
        if not self.count or not len(arrivals):
            return waits
        taken = np.arange(len(arrivals))
        if np.isfinite(self.longest_wait):
            span = arrivals[-1] - arrivals[0] + self.longest_wait
            room = np.clip((span - (self._free - arrivals[0]).clip(0)) / self._mean, 0, None).sum()
            if room < len(arrivals):
                taken = np.linspace(0, len(arrivals) - 1, max(0, int(room))).astype(np.int64)
        times = arrivals[taken]
        rows = -(-len(times) // self.count)
        if not rows:
            return waits
        grid = np.full((rows, self.count), np.inf)
        grid.ravel()[: len(times)] = times
        # start[r] = max(arrival[r], start[r - 1] + mean): without the r * mean, a running maximum.
        shift = np.arange(rows)[:, None] * self._mean
        lines = grid - shift
        lines[0] = np.maximum(lines[0], self._free)
        starts = np.maximum.accumulate(lines, axis=0) + shift
        ended = starts.ravel()[: len(times)]
        waits[taken] = np.maximum(ended - times, 0.0)
        last = (len(times) - 1 - np.arange(self.count)) // self.count
        served = last >= 0
        columns = np.arange(self.count)[served]
        self._free[columns] = starts[last[served], columns] + self._mean
        self._free.sort()
        return waits
