"""The clock of the stand-in's services: that of this machine, or a faster one, so that an hour passes in a minute.

    cloud.clock.now()              what services put into answers, metrics and logs: an aware datetime
    cloud.clock.sleep(300, stop)   five minutes of this clock; True as soon as the event `stop` is set

Only what AWS does by the clock goes by it: delays of starts, periods of metrics, alarms, cool-downs, schedules. A photo
takes as long as it takes.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

_FASTEST = 3600.0
# How soon a sleeper notices that the speed has changed.
_LOOK_S = 0.2


class Clock:
    """Runs on from the present at `speed` times the pace of this machine's clock; never back."""

    def __init__(self, speed: float = 1.0) -> None:
        self._lock = threading.Lock()
        self._speed = speed
        self._real, self._shown = time.monotonic(), datetime.now(UTC)

    @property
    def speed(self) -> float:
        """Seconds that pass here in one second."""
        return self._speed

    def set_speed(self, speed: float) -> None:
        """Go on at another pace from now; ValueError for one that is not in (0, 3600]."""
        if not 0 < speed <= _FASTEST:
            raise ValueError(f"a clock cannot run at {speed} times; more than 0, at most {_FASTEST:.0f}")
        with self._lock:
            self._real, self._shown = time.monotonic(), self._now()
            self._speed = speed

    def now(self) -> datetime:
        """The time, in UTC."""
        with self._lock:
            return self._now()

    def time(self) -> float:
        """The same in seconds since 1970."""
        return self.now().timestamp()

    def sleep(self, seconds: float, stop: threading.Event | None = None) -> bool:
        """Wait until `seconds` have passed on this clock; True at once when `stop` is set."""
        until = self.now() + timedelta(seconds=seconds)
        while (left := (until - self.now()).total_seconds()) > 0:
            wait = min(_LOOK_S, left / self._speed)
            if stop is None:
                time.sleep(wait)
            elif stop.wait(wait):
                return True
        return stop is not None and stop.is_set()

    def _now(self) -> datetime:
        return self._shown + timedelta(seconds=(time.monotonic() - self._real) * self._speed)
