"""Windows of the week in which other bounds hold, such as `weekdays 8-20: 2-8`, and the moments at which bounds change.

A week is minutes from Monday 0:00 in a time zone. Where one window begins as another ends, only the beginning counts.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dogbreed.errors import UsageError

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_NAMED = {"weekdays": range(5), "weekends": range(5, 7), "daily": range(7)}
_WINDOW = re.compile(r"([a-z,-]+)\s+(\d{1,2}(?::\d\d)?)\s*-\s*(\d{1,2}(?::\d\d)?)\s*:\s*(\d+)\s*-\s*(\d+)")
_FORM = "write days, hours and bounds: 'weekdays 8-20: 2-8', 'sat,sun 10:30-18: 1-4' or 'daily 0-6: 1-1'"
_DAY = 24 * 60
_WEEK = 7 * _DAY


@dataclass(frozen=True)
class Window:
    """Days (0 is Monday) and minutes of the day from `begin` to `end`, in which `smallest` to `largest` hold."""

    days: tuple[int, ...]
    begin: int
    end: int
    smallest: int
    largest: int

    def holds(self, minute: int) -> bool:
        """Whether a minute of the week is in it."""
        day, rest = divmod(minute % _WEEK, _DAY)
        return day in self.days and self.begin <= rest < self.end


@dataclass(frozen=True)
class Change:
    """At `minute` of each of these days, bounds become `smallest` to `largest`."""

    days: tuple[int, ...]
    minute: int
    smallest: int
    largest: int

    @property
    def name(self) -> str:
        """Short, and different for each change of a schedule."""
        return f"at-{self.minute // 60:02}{self.minute % 60:02}-{self.smallest}-{self.largest}"

    @property
    def cron(self) -> str:
        """In the form of Application Auto Scaling, six fields with names of days."""
        days = ",".join(_DAYS[day].upper() for day in self.days) if len(self.days) < 7 else "*"
        return f"cron({self.minute % 60} {self.minute // 60} ? * {days} *)"

    @property
    def unix_cron(self) -> str:
        """In the form of EC2 Auto Scaling, five fields in which Sunday is 0."""
        days = ",".join(str(day) for day in sorted((day + 1) % 7 for day in self.days)) if len(self.days) < 7 else "*"
        return f"{self.minute % 60} {self.minute // 60} * * {days}"


def windows(texts: Sequence[str]) -> tuple[Window, ...]:
    """The windows of the option --schedule; UsageError for what is none, and for windows that overlap."""
    found = tuple(_window(text) for text in texts)
    for index, one in enumerate(found):
        for other in found[index + 1 :]:
            if set(one.days) & set(other.days) and one.begin < other.end and other.begin < one.end:
                raise UsageError(f"{texts[index]!r} overlaps another window", "let one end where the next begins")
    return found


def zone(name: str) -> tzinfo:
    """A time zone by its IANA name; UsageError where there is none."""
    if name == "UTC":  # known also where the machine has no table of zones
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(f"there is no time zone {name}", "one such as Europe/Berlin or UTC") from None


def changes(found: Sequence[Window], smallest: int, largest: int) -> tuple[Change, ...]:
    """Every moment of the week at which bounds change, those outside of windows being `smallest` to `largest`."""
    at: dict[int, tuple[int, int]] = {}
    for one in found:
        at |= {day * _DAY + one.begin: (one.smallest, one.largest) for day in one.days}
    for one in found:
        for day in one.days:
            at.setdefault((day * _DAY + one.end) % _WEEK, (smallest, largest))
    days: Mapping[tuple[int, int, int], list[int]] = defaultdict(list)
    for minute, bounds in sorted(at.items()):
        days[minute % _DAY, *bounds].append(minute // _DAY)
    return tuple(Change(tuple(which), *key) for key, which in sorted(days.items()))


def bounds_at(when: datetime, found: Sequence[Window], smallest: int, largest: int, timezone: str) -> tuple[int, int]:
    """The bounds that hold at an aware time."""
    local = when.astimezone(zone(timezone))
    minute = local.weekday() * _DAY + local.hour * 60 + local.minute
    return next(((one.smallest, one.largest) for one in found if one.holds(minute)), (smallest, largest))


def _window(text: str) -> Window:
    match = _WINDOW.fullmatch(text.strip().lower())
    if not match:
        raise UsageError(f"{text!r} is no window", _FORM)
    begin, end = _minute(match[2], text), _minute(match[3], text)
    if end <= begin:
        hint = "over midnight it takes two windows: 'daily 20-24: 2-8' and 'daily 0-6: 2-8'"
        raise UsageError(f"{text!r} ends before it begins", hint)
    smallest, largest = int(match[4]), int(match[5])
    if not 1 <= smallest <= largest:
        raise UsageError(f"{text!r}: from {smallest} to {largest}", "at least 1, and not more than the second")
    return Window(_days(match[1], text), begin, end, smallest, largest)


def _minute(text: str, of: str) -> int:
    hour, _, minute = text.partition(":")
    value = int(hour) * 60 + int(minute or 0)
    if int(minute or 0) > 59 or value > _DAY:
        raise UsageError(f"{of!r}: there is no hour {text}", "hours go from 0 to 24, minutes to 59")
    return value


def _days(text: str, of: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if part in _NAMED:
            found |= set(_NAMED[part])
        elif first in _DAYS and (last in _DAYS if dash else not last):
            begin, end = _DAYS.index(first), _DAYS.index(last or first)
            found |= {day % 7 for day in range(begin, end + 1 if end >= begin else end + 8)}
        else:
            raise UsageError(f"{of!r}: there is no day {part!r}", f"{', '.join(_DAYS)}, or {', '.join(_NAMED)}")
    return tuple(sorted(found))
