"""What the containers of a variant use: processor and memory, as an instance tells CloudWatch once a minute.

Read from /proc where there is one. A share of memory is of 4 GiB for each core of the type, which most types have.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_MINUTE = 60
_GIB_OF_CORE = 4
_CORES = {"medium": 2, "large": 2, "xlarge": 4, "metal": 96}


class Usage:
    """Of one variant, from look to look; `dimensions` are those of its metrics."""

    def __init__(self, dimensions: list[dict[str, str]], kind: str) -> None:
        self._dimensions = dimensions
        self._memory = cores(kind) * _GIB_OF_CORE * 2**30
        self._before: dict[int, float] = {}
        self._looked = time.monotonic()
        self._minute = 0

    def passed(self, now: float, pids: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Data of the containers with these first processes; none before the minute of `now` is another one."""
        if int(now) // _MINUTE == self._minute:
            return
        first, self._minute = not self._minute, int(now) // _MINUTE
        seen = {pid: found for pid in pids if (found := _read(pid))}
        span, self._looked = time.monotonic() - self._looked, time.monotonic()
        before, self._before = self._before, {pid: seconds for pid, (seconds, _) in seen.items()}
        known = [pid for pid in seen if pid in before]
        if first or not known or span <= 0:
            return
        when = datetime.fromtimestamp((self._minute - 1) * _MINUTE, UTC)
        busy = [max(0.0, seen[pid][0] - before[pid]) / span * 100 for pid in known]
        full = [min(100.0, seen[pid][1] / self._memory * 100) for pid in known]
        for name, values in (("CPUUtilization", busy), ("MemoryUtilization", full)):
            told = {"MetricName": name, "Dimensions": self._dimensions, "Timestamp": when, "Unit": "Percent"}
            yield told | {"Values": values}


def cores(kind: str) -> int:
    """Processor cores of an instance type by its size; an approximation for the few types that differ."""
    size = kind.rsplit(".", maxsplit=1)[-1]
    times = size.removesuffix("xlarge")
    return int(times) * 4 if times.isdigit() else _CORES.get(size, 4)


def _read(pid: int) -> tuple[float, int] | None:
    """Processor seconds and bytes of memory of a process; None where that cannot be seen."""
    with suppress(OSError, ValueError, IndexError):
        parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        seconds = (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")
        return seconds, int(parts[21]) * os.sysconf("SC_PAGE_SIZE")
    return None
