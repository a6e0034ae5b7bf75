"""CloudWatch's metric data by series, in place of moto's one long list that every question would go through.

Data are kept by the second and counted into periods when asked for, so any period and statistic comes out right. Times
are seconds since 1970 by the clock of the stand-in; a period's point stands at the period's beginning.
"""

from __future__ import annotations

import math
import re
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Points = dict[int, float]
Key = tuple[str, str, str, frozenset[tuple[str, str]]]

# Of one series; a day of points every ten seconds is 8,640.
_KEPT = 50_000
_CENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,10})?|100)")
_PLAIN = ("Average", "Sum", "Minimum", "Maximum", "SampleCount")


class StatisticError(ValueError):
    """What is asked for is no statistic that the stand-in knows."""


@dataclass
class Data:
    """All data of some span: enough for any statistic. `values` counts each; None where only a summary was sent."""

    total: float = 0.0
    count: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    values: Counter[float] | None = field(default_factory=Counter)

    def add(self, other: Data) -> None:
        """Count the data of another span as well."""
        self.total += other.total
        self.count += other.count
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        if self.values is None or other.values is None:
            self.values = None
        else:
            self.values.update(other.values)

    def statistic(self, name: str) -> float | None:
        """One statistic; None where the data do not tell it. Raises StatisticError."""
        if name in _PLAIN:
            average = self.total / self.count if self.count else None
            plain = (average, self.total, self.low, self.high, self.count)
            return dict(zip(_PLAIN, plain, strict=True))[name]
        if not (match := _CENTILE.fullmatch(name)):
            raise StatisticError(name)
        if self.low == self.high:
            return self.low
        if not self.values:
            return None
        rank, seen = max(1, math.ceil(float(match[1]) / 100 * self.values.total() - 1e-9)), 0
        for value in sorted(self.values):
            seen += self.values[value]
            if seen >= rank:
                return value
        return self.high


def data_of(datum: Mapping[str, Any]) -> Data:
    """What one entry of PutMetricData says."""
    if summary := datum.get("StatisticValues"):
        low, high, count = (float(summary[name]) for name in ("Minimum", "Maximum", "SampleCount"))
        return Data(float(summary["Sum"]), count, low, high, Counter({low: round(count)}) if low == high else None)
    values = [float(value) for value in datum.get("Values") or [datum.get("Value", 0)]]
    counts = [float(count) for count in datum.get("Counts") or [1] * len(values)]
    return Data(
        sum(value * count for value, count in zip(values, counts, strict=True)),
        sum(counts),
        min(values),
        max(values),
        Counter({value: round(count) for value, count in zip(values, counts, strict=True)}),
    )


class _Series:
    def __init__(self) -> None:
        self.seconds: list[int] = []
        self.data: dict[int, Data] = {}
        self.unit = "None"

    def put(self, second: int, data: Data, unit: str) -> None:
        self.unit = unit
        if known := self.data.get(second):
            known.add(data)
            return
        self.data[second] = data
        if not self.seconds or second > self.seconds[-1]:
            self.seconds.append(second)
        else:
            self.seconds.insert(bisect_left(self.seconds, second), second)
        if len(self.seconds) > _KEPT:
            del self.data[self.seconds.pop(0)]

    def between(self, begin: int, end: int) -> Iterable[tuple[int, Data]]:
        for second in self.seconds[bisect_left(self.seconds, begin) : bisect_left(self.seconds, end)]:
            yield second, self.data[second]


def key(region: str, namespace: str, name: str, dimensions: Iterable[Mapping[str, str]]) -> Key:
    """What tells one series from another."""
    return region, namespace, name, frozenset((one["Name"], one["Value"]) for one in dimensions)


class Metrics:
    """Every series of the account."""

    def __init__(self) -> None:
        self._series: dict[Key, _Series] = {}
        self._lock = threading.Lock()

    def put(self, told: Iterable[tuple[Key, float, Data, str]]) -> None:
        """Add to series, at times and with units; all of it is seen, or none."""
        with self._lock:
            for where, second, data, unit in told:
                self._series.setdefault(where, _Series()).put(int(second), data, unit)

    def periods(self, where: Key, period: int, begin: float, end: float) -> dict[int, Data]:
        """The data of each period that has any; periods are multiples of their length, `begin` is rounded down."""
        found: dict[int, Data] = {}
        first = int(begin) // period * period
        with self._lock:
            series = self._series.get(where)
            for second, data in series.between(first, math.ceil(end)) if series else ():
                found.setdefault(second // period * period, Data()).add(data)
        return found

    def points(self, where: Key, statistic: str, period: int, begin: float, end: float) -> Points:
        """One statistic of each period that has it. Raises StatisticError, also where there are no data."""
        if statistic not in _PLAIN and not _CENTILE.fullmatch(statistic):
            raise StatisticError(statistic)
        told = {at: data.statistic(statistic) for at, data in self.periods(where, period, begin, end).items()}
        return {at: value for at, value in told.items() if value is not None}

    def unit(self, where: Key) -> str:
        """The unit that was last sent."""
        with self._lock:
            return series.unit if (series := self._series.get(where)) else "None"

    def known(self) -> list[Key]:
        """All series, oldest first."""
        with self._lock:
            return list(self._series)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._series.clear()
