"""How many a step policy wants; what target tracking wants stands in `dogbreed.capacity.policy`.

Stand-in and simulator go by the numbers of its `Semantics`, which says what is documented, observed and inferred.
"""

from __future__ import annotations

import math
from typing import Any

from dogbreed.capacity.policy import Semantics

SEMANTICS = Semantics()


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
