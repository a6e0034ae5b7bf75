"""What a scaling policy makes of an alarm: how many are wanted, by how much a step goes, and what cool-downs hold back.

Pure functions with the numbers of `dogbreed.capacity.policy.Semantics`, which the simulator goes by as well and which
says what AWS documents, what was observed and what is inferred.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dogbreed.capacity.policy import Semantics

SEMANTICS = Semantics()
_NEVER = float("-inf")


@dataclass
class Cooldown:
    """Until when one more scale-out or scale-in waits, and to how many the last scale-out went."""

    out_until: float = _NEVER
    in_until: float = _NEVER
    out_to: int = 0

    def lets_out(self, now: float, capacity: int) -> bool:
        """Documented: during the cool-down only a larger scale-out than the last one acts."""
        return now >= self.out_until or capacity > self.out_to

    def lets_in(self, now: float) -> bool:
        """Documented: neither cool-down may be running."""
        return now >= max(self.in_until, self.out_until)

    def went_out(self, now: float, capacity: int, seconds: float) -> None:
        """Documented: a scale-out ends the cool-down of a scale-in."""
        self.out_to, self.out_until, self.in_until = capacity, now + seconds, _NEVER

    def went_in(self, now: float, seconds: float) -> None:
        """Start the cool-down of a scale-in."""
        self.in_until = now + seconds


def fitting(in_service: int, value: float, target: float) -> int:
    """How many would bring the metric to its target: proportional and rounded up."""
    return math.ceil(round(in_service * value / target, 9))


def smaller(desired: int, fits: Sequence[int]) -> int:
    """What a scale-in goes to: one gentle step, and no further than the most cautious of the policies would."""
    step = max(1, math.floor(desired * SEMANTICS.in_step))
    return max(desired - step, *fits)


def stepped(config: dict[str, Any], current: int, beyond: float) -> int | None:
    """The capacity that a step policy asks for, `beyond` being the metric less the alarm's threshold.

    None where no step covers that. Bounds and the rounding of percents as documented.
    """
    steps = config.get("StepAdjustments") or [{"ScalingAdjustment": config.get("ScalingAdjustment", 0)}]
    for step in steps:
        low = step.get("MetricIntervalLowerBound", -math.inf)
        high = step.get("MetricIntervalUpperBound", math.inf)
        if low <= beyond < high or (beyond <= 0 and low < beyond <= high):
            return _adjusted(config, current, step["ScalingAdjustment"])
    return None


def _adjusted(config: dict[str, Any], current: int, by: int) -> int:
    kind = config.get("AdjustmentType", "ChangeInCapacity")
    if kind == "ExactCapacity":
        return by
    if kind == "ChangeInCapacity":
        return max(0, current + by)
    exact = current * by / 100
    change = math.trunc(exact) if abs(exact) > 1 else int(math.copysign(1, exact)) if exact else 0
    least = config.get("MinAdjustmentMagnitude", 0)
    if abs(change) < least:
        change = int(math.copysign(least, by))
    return max(0, current + change)
