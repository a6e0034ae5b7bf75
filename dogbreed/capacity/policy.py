"""Scaling policies and how AWS carries them out: metrics that come late, alarms of several points, cool-downs, starts.

What AWS documents, what others have observed and what is inferred is marked in `Semantics`; what is not documented is
a number that can be changed, and no result is more certain than these are.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from dogbreed.errors import UsageError

Metric = Literal["invocations", "concurrency"]


@dataclass(frozen=True)
class Semantics:
    """How Application Auto Scaling and SageMaker behave. Times in seconds."""

    # Documented: invocations per instance come once a minute, concurrent requests every 10 s.
    period_s: dict[Metric, int] = field(default_factory=lambda: {"invocations": 60, "concurrency": 10})
    # Observed: two to three minutes until the alarm has a minute's invocations; 10 s for the fast metric is inferred.
    delay_s: dict[Metric, int] = field(default_factory=lambda: {"invocations": 120, "concurrency": 10})
    # Documented for Lambda, observed for others: 3 points above the target; for the fast metric inferred.
    high_points: int = 3
    # Observed: 15 minutes below; 15 points of a minute, 90 of ten seconds.
    low_s: int = 900
    # Documented for Lambda, observed for others: below is less than nine tenths of the target.
    low_share: float = 0.9
    # Inferred: the most of the instances that one step takes away; at least one goes.
    in_step: float = 0.1
    # Observed: four to seven minutes until a new instance answers.
    start_s: int = 330


@dataclass(frozen=True)
class TargetTracking:
    """Between `smallest` and `largest` instances at `target` a minute (or at once, for concurrency) for each."""

    smallest: int
    largest: int
    target: float
    metric: Metric = "invocations"
    # Documented defaults for SageMaker variants.
    out_cooldown_s: int = 300
    in_cooldown_s: int = 300
    scale_in: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.smallest <= self.largest:
            raise UsageError(
                f"{self.smallest} to {self.largest} instances", "--min is at least 1 and not more than --max"
            )
        if not (math.isfinite(self.target) and self.target > 0):
            raise UsageError(f"a target of {self.target:g}", "a number above 0 of requests for each instance")
        if min(self.out_cooldown_s, self.in_cooldown_s) < 0:
            raise UsageError("a cool-down below 0 s", "0 or more seconds")

    def words(self) -> str:
        """For people."""
        unit = "/min" if self.metric == "invocations" else " at once"
        return f"{self.smallest}-{self.largest} at {self.target:g}{unit}"


class Scaler:
    """The alarms and the policy, fed with metric points; says how many instances are wanted."""

    def __init__(self, policy: TargetTracking, semantics: Semantics) -> None:
        self.policy, self.semantics = policy, semantics
        self.wanted = policy.smallest
        self._period = semantics.period_s[policy.metric]
        self._points: deque[tuple[float, float, int]] = deque()  # seen from, value, instances in service
        self._seen: deque[tuple[float, int]] = deque(maxlen=max(1, semantics.low_s // self._period))
        self._out_until = self._in_until = float("-inf")
        self._out_to = 0

    def put(self, end: float, value: float, in_service: int) -> None:
        """A metric point of the period that ended at `end`; alarms see it later."""
        self._points.append((end + self.semantics.delay_s[self.policy.metric], value, in_service))

    def look(self, now: float) -> int:
        """Evaluate the alarms at `now`; the instances wanted from now on."""
        fresh = False
        while self._points and self._points[0][0] <= now:
            _, value, in_service = self._points.popleft()
            self._seen.append((value, in_service))
            fresh = True
        if fresh:
            self._act(now)
        return self.wanted

    def _act(self, now: float) -> None:
        policy, own = self.policy, self.semantics
        recent = list(self._seen)[-own.high_points :]
        value, in_service = self._seen[-1]
        # Documented: proportional to how far the metric is off, rounded up; the formula itself is inferred.
        fitting = math.ceil(round(in_service * value / policy.target, 9))
        if len(recent) == own.high_points and all(point > policy.target for point, _ in recent):
            capacity = min(policy.largest, fitting)
            # During the cool-down only a larger scale-out than the last one acts.
            if capacity > self.wanted and (now >= self._out_until or capacity > self._out_to):
                self.wanted = self._out_to = capacity
                self._out_until = now + policy.out_cooldown_s
                self._in_until = float("-inf")
        low = own.low_share * policy.target
        if (
            policy.scale_in
            and len(self._seen) == self._seen.maxlen
            and all(point < low for point, _ in self._seen)
            and now >= max(self._in_until, self._out_until)
        ):
            step = max(1, math.floor(self.wanted * own.in_step))
            capacity = max(policy.smallest, fitting, self.wanted - step)
            if capacity < self.wanted:
                self.wanted = capacity
                self._in_until = now + policy.in_cooldown_s
