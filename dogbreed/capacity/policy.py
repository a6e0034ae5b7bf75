"""Scaling policies and how AWS carries them out: metrics that come late, alarms of several points, cool-downs, starts.

What AWS documents, what others have observed and what is inferred is marked in `Semantics`; what is not documented is
a number that can be changed, and no result is more certain than these are.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from dogbreed.errors import UsageError

Metric = Literal["invocations", "concurrency"]
# The fewest and most instances at a second of the trace, where windows of the week change them.
Bounds = Callable[[float], tuple[int, int]]


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
    # dogbreed's own alarm for steps: one minute at or above the threshold.
    step_points: int = 1
    # Observed once: from the first failing call of an idle service to the decision, and from there to an answer.
    wake_s: int = 102
    wake_start_s: int = 462


@dataclass(frozen=True)
class Policy:
    """Between `smallest` and `largest` instances at `target` a minute (or at once, for concurrency) for each.

    steps: (requests a minute and instance, instances more at once), rising. bounds: others than smallest and largest
    at times. A `smallest` of 0 is scaling to zero: what comes then fails, until its failing has started an instance.
    """

    smallest: int
    largest: int
    target: float
    metric: Metric = "invocations"
    # Documented defaults for SageMaker variants.
    out_cooldown_s: int = 300
    in_cooldown_s: int = 300
    scale_in: bool = True
    steps: tuple[tuple[float, int], ...] = ()
    bounds: Bounds | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.smallest <= self.largest or not self.largest:
            raise UsageError(
                f"{self.smallest} to {self.largest} instances", "--min is 0 or more and not more than --max"
            )
        if self.steps and self.metric != "invocations":
            raise UsageError("steps go by requests a minute", "give a target such as 600/min with them")
        if not (math.isfinite(self.target) and self.target > 0):
            raise UsageError(f"a target of {self.target:g}", "a number above 0 of requests for each instance")
        if min(self.out_cooldown_s, self.in_cooldown_s) < 0:
            raise UsageError("a cool-down below 0 s", "0 or more seconds")

    def words(self) -> str:
        """For people."""
        unit = "/min" if self.metric == "invocations" else " at once"
        more = "".join(f", +{add} from {above:g}/min" for above, add in self.steps)
        windows = ", by schedule" if self.bounds else ""
        return f"{self.smallest}-{self.largest} at {self.target:g}{unit}{more}{windows}"

    def range(self, now: float) -> tuple[int, int]:
        """The fewest and most instances at a second of the trace."""
        return self.bounds(now) if self.bounds else (self.smallest, self.largest)


@dataclass
class Cooldown:
    """Of scaling out: until when, and to how many the last one went, from `base`."""

    until: float = float("-inf")
    to: int = 0
    base: int = 0

    def lets(self, now: float, capacity: int) -> bool:
        """Documented: while it lasts only a larger scale-out than the last one acts."""
        return now >= self.until or capacity > self.to

    def began_from(self, now: float, wanted: int) -> int:
        """Documented: what a first scale-out has added counts towards the next while the cool-down lasts."""
        return self.base if now < self.until else wanted

    def start(self, now: float, wanted: int, capacity: int, seconds: float) -> None:
        """From `wanted` instances it went to `capacity`."""
        self.base = self.began_from(now, wanted)
        self.to, self.until = capacity, now + seconds


def fitting(in_service: int, value: float, target: float) -> int:
    """The instances that bring the metric to its target.

    Documented: proportional to how far the metric is off, rounded up; the formula itself is inferred.
    """
    return math.ceil(round(in_service * value / target, 9))


def smaller(wanted: int, fit: int, semantics: Semantics) -> int:
    """What a scale-in goes to: one gentle step, never below what fits."""
    return max(fit, wanted - max(1, math.floor(wanted * semantics.in_step)))


class Scaler:
    """The alarms and the policy, fed with metric points; says how many instances are wanted."""

    def __init__(self, policy: Policy, semantics: Semantics) -> None:
        self.policy, self.semantics = policy, semantics
        self.wanted, _ = policy.range(0.0)
        self._period = semantics.period_s[policy.metric]
        self._points: deque[tuple[float, float, int]] = deque()  # seen from, value, instances in service
        self._seen: deque[tuple[float, int]] = deque(maxlen=max(1, semantics.low_s // self._period))
        self._out = Cooldown()
        self._in_until = self._step_until = float("-inf")
        self._stepped = 0
        self._wakes_at: float | None = None

    def put(self, end: float, value: float, in_service: int) -> None:
        """A metric point of the period that ended at `end`; alarms see it later."""
        self._points.append((end + self.semantics.delay_s[self.policy.metric], value, in_service))

    def fail(self, now: float) -> None:
        """A request failed because there is no instance at all."""
        if self._wakes_at is None and not self.wanted:
            self._wakes_at = now + self.semantics.wake_s

    def look(self, now: float) -> int:
        """Evaluate the alarms at `now`; the instances wanted from now on."""
        smallest, largest = self.policy.range(now)
        # Documented: a new minimum or maximum acts at once, whatever the cool-downs.
        self.wanted = min(max(self.wanted, smallest), largest)
        if self._wakes_at is not None and now >= self._wakes_at:
            self._wakes_at = None
            self.wanted = max(self.wanted, min(1, largest))
        fresh = False
        while self._points and self._points[0][0] <= now:
            _, value, in_service = self._points.popleft()
            self._seen.append((value, in_service))
            fresh = True
        if fresh:
            self._act(now, smallest, largest)
        return self.wanted

    def _act(self, now: float, smallest: int, largest: int) -> None:
        policy, own = self.policy, self.semantics
        recent = list(self._seen)[-own.high_points :]
        value, in_service = self._seen[-1]
        fit = fitting(in_service, value, policy.target)
        if len(recent) == own.high_points and all(point > policy.target for point, _ in recent):
            capacity = min(largest, fit)
            if capacity > self.wanted and self._out.lets(now, capacity):
                self._out.start(now, self.wanted, capacity, policy.out_cooldown_s)
                self.wanted, self._in_until = capacity, float("-inf")
        self._step(now, largest)
        low = own.low_share * policy.target
        if (
            policy.scale_in
            and len(self._seen) == self._seen.maxlen
            and all(point < low for point, _ in self._seen)
            and now >= max(self._in_until, self._out.until)
        ):
            capacity = max(smallest, smaller(self.wanted, fit, own))
            if capacity < self.wanted:
                self.wanted = capacity
                self._in_until = now + policy.in_cooldown_s

    def _step(self, now: float, largest: int) -> None:
        """Documented: while a step's cool-down lasts, only what a higher step adds more than it is added."""
        recent = [value for value, _ in list(self._seen)[-self.semantics.step_points :]]
        if len(recent) < self.semantics.step_points:
            return
        add = max((add for above, add in self.policy.steps if min(recent) >= above), default=0)
        already = self._stepped if now < self._step_until else 0
        if add > already and self.wanted < largest:
            self.wanted = min(largest, self.wanted + add - already)
            self._stepped, self._step_until = add, now + self.policy.out_cooldown_s
            self._in_until = float("-inf")
