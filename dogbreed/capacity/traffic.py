"""Traffic by time: read from a CSV file or made, and the arrival times of its requests."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dogbreed.errors import UsageError

Arrivals = Literal["poisson", "even"]
_FORM = "two columns, time (seconds or ISO 8601) and requests, in equal steps"
_LONGEST_STEP_S = 3600
_DAY_S = 86_400
_EPOCH_S = 1e9
# The year 5138: what is later is no time in seconds.
_LATEST_S = 1e11
SHAPES = ("daily", "spiky", "ramp", "flash")


@dataclass(frozen=True)
class Trace:
    """counts[i] requests (int64) arrive from i * step_s to (i + 1) * step_s seconds after the beginning.

    begin: when that was (aware), None where it is not known; then it is as good as a Monday's midnight.
    """

    counts: NDArray[np.int64]
    step_s: int
    begin: datetime | None = None

    @property
    def seconds(self) -> int:
        """How long it is."""
        return len(self.counts) * self.step_s

    @property
    def requests(self) -> int:
        """How many there are in all."""
        return int(self.counts.sum())

    def arrivals(self, kind: Arrivals, seed: int) -> Iterator[tuple[float, NDArray[np.float64]]]:
        """Second by second: its beginning, and the sorted times of its requests in seconds from the beginning.

        poisson: independent of each other, as visitors come; even: at equal distances within each step.
        """
        rng = np.random.default_rng(seed)
        for step, count in enumerate(self.counts.tolist()):
            begin = step * self.step_s
            if kind == "even":
                times = begin + (np.arange(count) + 0.5) * (self.step_s / max(1, count))
                cuts = np.searchsorted(times, np.arange(begin + 1, begin + self.step_s))
                for second, part in enumerate(np.split(times, cuts)):
                    yield float(begin + second), part
                continue
            # Requests that come independently fall into the seconds of a step as into equal boxes.
            shares = rng.multinomial(count, [1 / self.step_s] * self.step_s) if self.step_s > 1 else [count]
            for second, number in enumerate(shares):
                part = rng.random(int(number))
                part.sort()
                yield float(begin + second), begin + second + part


def read(path: Path) -> Trace:
    """A trace in a CSV file; UsageError that names the line for gaps, disorder, and what is no count."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [(number, row) for number, row in enumerate(csv.reader(file), 1) if any(map(str.strip, row))]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: {getattr(error, 'strerror', None) or error}", f"a trace has {_FORM}") from error
    if rows and _time(rows[0][1]) is _count(rows[0][1]) is None:
        rows = rows[1:]  # the names of the columns
    times, counts = [], []
    for number, row in rows:
        time, count = _time(row), _count(row)
        if time is None or count is None:
            raise UsageError(f"{path}:{number}: {','.join(row)[:60]!r} is no step of a trace", f"a trace has {_FORM}")
        times.append(time)
        counts.append(count)
    if len(times) < 2:
        raise UsageError(f"{path} has {len(times)} steps", f"a trace has {_FORM}")
    # To a microsecond: times since 1970 are not more exact than that.
    step = round(times[1] - times[0], 6)
    for (number, _), before, after in zip(rows[1:], times, times[1:], strict=False):
        if after <= before:
            raise UsageError(f"{path}:{number}: its time is not after the one before it", "sort the trace by time")
        if abs(after - before - step) > 1e-5:
            words = f"{path}:{number}: a step of {after - before:g} s among steps of {step:g} s"
            raise UsageError(words, "fill the gap; a step without requests has the count 0")
    if step != int(step) or not 1 <= step <= _LONGEST_STEP_S:
        raise UsageError(f"{path} has steps of {step:g} s", f"whole seconds, at most {_LONGEST_STEP_S}")
    # Small numbers are seconds from some beginning, large ones from 1970.
    begin = datetime.fromtimestamp(times[0], UTC) if times[0] > _EPOCH_S else None
    return Trace(np.asarray(counts, np.int64), int(step), begin)


def of(counts: Sequence[int], step_s: int, begin: datetime) -> Trace:
    """A trace of counts that are known; UsageError where there are none."""
    if not sum(counts):
        raise UsageError("there were no requests in that time", "give more --hours, or made traffic such as daily:20/s")
    return Trace(np.asarray(counts, np.int64), step_s, begin)


def make(shape: str, peak: float, hours: float = 24.0, seed: int = 0) -> Trace:
    """A trace of one of `SHAPES` that reaches `peak` requests a second, in steps of a minute.

    daily: a wave with its low at four in the morning, an eighth of the peak. spiky: a third of the peak with ten
    bursts of five minutes. ramp: from nothing to the peak. flash: an eighth of the peak, and from the middle on,
    for an hour, the peak at once.
    """
    if not (0 < peak <= 1e6 and 0 < hours <= 24 * 31):
        raise UsageError(f"{peak:g} requests a second for {hours:g} hours", "up to a million a second, up to a month")
    minutes = np.arange(max(1, round(hours * 60)))
    share = minutes / len(minutes)
    rng = np.random.default_rng(seed)
    if shape == "daily":
        rate = 1 / 8 + 7 / 8 * (1 - np.cos(2 * np.pi * (minutes / 1440 - 4 / 24))) / 2
    elif shape == "spiky":
        rate = np.full(len(minutes), 1 / 3)
        for begin in rng.integers(0, len(minutes), 10):
            rate[begin : begin + 5] = 1
    elif shape == "ramp":
        rate = (minutes + 1) / len(minutes)
    elif shape == "flash":
        rate = np.where((share >= 0.5) & (minutes < len(minutes) // 2 + 60), 1.0, 1 / 8)
    else:
        raise UsageError(f"there is no traffic {shape}", f"one of {', '.join(SHAPES)}, or a CSV file with {_FORM}")
    return Trace(rng.poisson(rate * peak * 60).astype(np.int64), 60)


def _time(row: list[str]) -> float | None:
    text = row[0].strip() if row else ""
    try:
        value = float(text)
    except ValueError:
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            return None
        value = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    return value if abs(value) < _LATEST_S else None


def _count(row: list[str]) -> int | None:
    try:
        value = float(row[1])
    except (ValueError, IndexError):
        return None
    return round(value) if 0 <= value <= 1e9 else None
