"""What `dogbreed scale` is asked for: targets with their units, steps, windows of the week; nonsense is refused here.

The unit is part of a target because the metric's own is easily mistaken: SageMaker counts invocations per instance and
minute, so that a target of 10 is one request in six seconds, and not ten at once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from dogbreed.cloud.scaling_schedule import Window
from dogbreed.errors import UsageError

Metric = Literal["invocations", "concurrency", "utilization"]
# Which targets a door can follow, and what it scales.
METRICS: dict[str, tuple[Metric, ...]] = {
    "endpoint": ("invocations", "concurrency"),
    "serverless": ("utilization",),
    "lambda": ("utilization",),
    "ec2": ("invocations", "utilization"),
}
UNITS = {
    "endpoint": "instances",
    "serverless": "copies kept started",
    "lambda": "copies kept started",
    "ec2": "machines",
}
# Documented defaults of target tracking: 300 s for variants, 0 for provisioned concurrency.
COOLDOWN_S = {"endpoint": 300, "serverless": 0, "lambda": 0, "ec2": 300}
# Below a request a second and instance, a target is more likely meant in another unit.
_LOW = 60
_LONGEST_COOLDOWN_S = 3600
_NUMBER = r"(\d+(?:\.\d+)?)"
_TARGET = re.compile(_NUMBER + r"\s*(/min|/s|%)")
_STEP = re.compile(_NUMBER + r"\s*(/min|/s)\s*:\s*\+(\d+)")
_FORM = {
    "endpoint": "write --target 600/min, --target 10/s, or --target-concurrency 4",
    "serverless": "write --target 70%: the share of the copies kept started that is at work",
    "lambda": "write --target 70%: the share of the copies kept started that is at work",
    "ec2": "write --target 600/min, --target 10/s, or --target 60% of the processor",
}


@dataclass(frozen=True)
class Target:
    """A value that scaling keeps: requests a minute, or at once, for each instance; or a share from 0 to 1."""

    metric: Metric
    value: float

    def words(self, door: str = "endpoint") -> str:
        """What the number means, for people."""
        if self.metric == "concurrency":
            return f"{self.value:g} requests at once on each instance"
        if self.metric == "utilization":
            of = "of the processors" if door == "ec2" else "of the copies kept started"
            return f"{self.value:.0%} {of} at work"
        if self.value >= _LOW:
            rate = self.value / 60
            each = "one request a second" if rate == 1 else f"{rate:.4g} requests a second"
        else:
            each = f"one request in {60 / self.value:.3g} seconds"
        return f"{self.value:g}/min is {each} on each instance"

    def doubt(self) -> str:
        """Why the target is probably meant otherwise; "" where nothing speaks for that."""
        if self.metric == "invocations" and self.value < _LOW:
            hint = f"--target-concurrency {self.value:g} or --target {self.value * 60:g}/min"
            return f"{self.words()}: did you mean {hint}?"
        return ""


@dataclass(frozen=True)
class Step:
    """From `above` requests a minute and instance on, `add` instances at once."""

    above: float
    add: int


@dataclass(frozen=True)
class Wanted:
    """How a deployed service is to be scaled; `door` is a key of `METRICS`.

    Cool-downs in seconds. `windows`: other bounds at times of the week, in `timezone`. `zero`: down to no instance.
    """

    door: str
    smallest: int
    largest: int
    target: Target | None = None
    steps: tuple[Step, ...] = ()
    windows: tuple[Window, ...] = ()
    timezone: str = "UTC"
    out_cooldown_s: int = 300
    in_cooldown_s: int = 300
    scale_in: bool = True
    zero: bool = False

    def __post_init__(self) -> None:
        least = 0 if self.zero else 1
        if not least <= self.smallest <= self.largest:
            raise UsageError(
                f"from {self.smallest} to {self.largest} {UNITS[self.door]}",
                "--min is at least 1 and not more than --max; for none at all: --to-zero",
            )
        for cooldown in (self.out_cooldown_s, self.in_cooldown_s):
            if not 0 <= cooldown <= _LONGEST_COOLDOWN_S:
                raise UsageError(f"a cool-down of {cooldown} s", f"0 to {_LONGEST_COOLDOWN_S} seconds")
        if self.target and self.target.metric not in METRICS[self.door]:
            raise UsageError(f"{self.door} cannot follow that target", _FORM[self.door])
        if self.steps and "invocations" not in METRICS[self.door]:
            raise UsageError(f"{self.door} has no requests for each instance to step by", "leave out --step")
        if self.windows and self.zero:
            raise UsageError("--to-zero has no windows", "use --schedule without it, or leave out --schedule")

    @property
    def range(self) -> tuple[int, int]:
        """The fewest and the most that it can ever come to, windows included."""
        bounds = [(self.smallest, self.largest), *((one.smallest, one.largest) for one in self.windows)]
        return min(low for low, _ in bounds), max(high for _, high in bounds)


def target(door: str, text: str, concurrency: float | None) -> Target | None:
    """The target of the options --target and --target-concurrency; None where neither is given."""
    if text and concurrency is not None:
        raise UsageError("two targets", "give one of --target and --target-concurrency")
    if concurrency is not None:
        found = Target("concurrency", concurrency)
    elif text:
        match = _TARGET.fullmatch(text.strip())
        if not match:
            raise UsageError(f"{text!r} is no target", _FORM[door])
        number, unit = float(match[1]), match[2]
        found = Target("utilization", number / 100) if unit == "%" else Target("invocations", number * _minutes(unit))
    else:
        return None
    if found.metric not in METRICS[door]:
        raise UsageError(f"{text or f'{concurrency:g} at once'} is no target for {door}", _FORM[door])
    if not 0 < found.value < 1e9 or (found.metric == "utilization" and found.value >= 1):
        raise UsageError(f"a target of {text or f'{concurrency:g}'}", "more than 0, and a share less than 100 %")
    return found


def steps(texts: Sequence[str]) -> tuple[Step, ...]:
    """The steps of the option --step, lowest first."""
    found = []
    for text in texts:
        match = _STEP.fullmatch(text.strip())
        if not match or not float(match[1]) or not int(match[3]):
            raise UsageError(
                f"{text!r} is no step", "write 1200/min:+2, the requests for each instance and how many more"
            )
        found.append(Step(float(match[1]) * _minutes(match[2]), int(match[3])))
    found.sort(key=lambda step: step.above)
    for before, after in pairwise(found):
        if before.above == after.above or before.add > after.add:
            raise UsageError("steps that do not rise", "a higher rate adds as many instances or more")
    return tuple(found)


def _minutes(unit: str) -> int:
    return 60 if unit == "/s" else 1
