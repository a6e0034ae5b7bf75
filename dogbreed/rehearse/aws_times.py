"""When an expression of AWS is due: at(...), rate(...) and cron(...) with its six fields, in a time zone.

Source: "Schedule types in EventBridge Scheduler" of its user guide; Application Auto Scaling takes the same. When
clocks go forward, a local time that does not exist is left out; when they go back, the first of the two counts.
"""

from __future__ import annotations

import calendar
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_SHAPE = re.compile(r"(at|rate|cron)\((.*)\)", re.DOTALL)
_RATE = re.compile(r"([1-9]\d*)\s+(minute|hour|day)s?")
_LAST, _NEAREST = re.compile(r"L(?:-(\d+))?"), re.compile(r"(\d+|L)W")
_UNITS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
_NAMES_OF_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MONTHS = {name: number for number, name in enumerate(_NAMES_OF_MONTHS, 1)}
_DAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), 1)}
_YEARS = (1970, 2199)
_LOOKED_AHEAD = 366 * 30  # days


class Times(ABC):
    """The moments of one expression."""

    @abstractmethod
    def after(self, moment: datetime, begun: datetime) -> datetime | None:
        """The first one later than `moment` (both aware); `begun` is when the schedule began. None: there is none."""


@dataclass(frozen=True)
class At(Times):
    """Once."""

    when: datetime

    def after(self, moment: datetime, begun: datetime) -> datetime | None:
        """The moment, unless it has passed."""
        return self.when if moment < self.when else None


@dataclass(frozen=True)
class Rate(Times):
    """Again and again, counted from when the schedule began."""

    every: timedelta

    def after(self, moment: datetime, begun: datetime) -> datetime | None:
        """The next of them."""
        return begun + self.every * ((moment - begun) // self.every + 1) if moment >= begun else begun + self.every


@dataclass(frozen=True)
class Cron(Times):
    """By the calendar of a zone."""

    minutes: frozenset[int]
    hours: frozenset[int]
    months: frozenset[int]
    years: frozenset[int]
    days: str
    weekdays: str  # 1 is Sunday
    zone: tzinfo

    def after(self, moment: datetime, begun: datetime) -> datetime | None:
        """The next of them within 30 years."""
        local = max(moment, begun).astimezone(self.zone)
        day = local.date()
        for _ in range(_LOOKED_AHEAD):
            if self._fits(day.year, day.month, day.day):
                for hour in sorted(self.hours):
                    for minute in sorted(self.minutes):
                        found = datetime(day.year, day.month, day.day, hour, minute, tzinfo=self.zone).astimezone(UTC)
                        again = found.astimezone(self.zone)
                        if (again.hour, again.minute) == (hour, minute) and found > moment and found >= begun:
                            return found
            day += timedelta(days=1)
        return None

    def _fits(self, year: int, month: int, day: int) -> bool:
        if year not in self.years or month not in self.months:
            return False
        first, last = calendar.monthrange(year, month)
        # Python counts from Monday as 0, cron from Sunday as 1.
        weekday = (first + day) % 7 + 1
        if self.weekdays != "?":
            return _fits_weekday(self.weekdays, weekday, day, last)
        if match := _LAST.fullmatch(self.days):
            return day == last - int(match[1] or 0)
        if match := _NEAREST.fullmatch(self.days):
            wanted = last if match[1] == "L" else min(int(match[1]), last)
            # The weekday next to a Sunday (1) or Saturday (7), in the same month.
            away = {1: 1 if wanted < last else -2, 7: -1 if wanted > 1 else 2}.get((first + wanted) % 7 + 1, 0)
            return day == wanted + away
        return day in _numbers(self.days, 1, 31, {})


def times(expression: str, zone: str = "UTC") -> Times:
    """The moments of an expression; ValueError for one that AWS does not take."""
    match = _SHAPE.fullmatch(expression.strip())
    if match is None:
        raise ValueError(f"Invalid Schedule Expression {expression}.")
    kind, inside = match.groups()
    try:
        # UTC there is also on a machine without a table of zones.
        place: tzinfo = UTC if zone in ("", "UTC") else ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"Invalid ScheduleExpressionTimezone {zone}.") from None
    try:
        if kind == "at":
            moment = datetime.strptime(inside, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=place)
            return At(moment.astimezone(UTC))
        return _rate(inside) if kind == "rate" else _cron(inside, place)
    except ValueError:
        raise ValueError(f"Invalid Schedule Expression {expression}.") from None


def _rate(inside: str) -> Rate:
    match = _RATE.fullmatch(inside.strip())
    if match is None:
        raise ValueError(inside)
    return Rate(int(match[1]) * _UNITS[match[2]])


def _cron(inside: str, zone: tzinfo) -> Cron:
    fields = inside.upper().split()
    if len(fields) != 6:
        raise ValueError(inside)
    minutes, hours, days, months, weekdays, years = fields
    # Exactly one of the two says nothing.
    if (days == "?") == (weekdays == "?"):
        raise ValueError(inside)
    if days != "?" and not (_LAST.fullmatch(days) or _NEAREST.fullmatch(days)):
        _numbers(days, 1, 31, {})
    if weekdays != "?":
        _fits_weekday(weekdays, 1, 1, 31)
    return Cron(
        _numbers(minutes, 0, 59, {}),
        _numbers(hours, 0, 23, {}),
        _numbers(months, 1, 12, _MONTHS),
        _numbers(years, *_YEARS, {}),
        days,
        weekdays,
        zone,
    )


def _numbers(field: str, least: int, most: int, names: dict[str, int], *, ring: bool = False) -> frozenset[int]:
    """The numbers that a field allows, in a `ring` also from Friday to Monday; ValueError for one that cannot be."""
    found: set[int] = set()
    for part in field.split(","):
        span, slash, step = part.partition("/")
        low, dash, high = span.partition("-")
        start = least if low == "*" else _number(low, names)
        end = most if low == "*" or (slash and not dash) else _number(high, names) if dash else start
        within = least <= start <= most and least <= end <= most
        if not within or (start > end and not ring) or (slash and int(step) < 1):
            raise ValueError(field)
        allowed = [*range(start, end + 1)] or [*range(start, most + 1), *range(least, end + 1)]
        found |= set(allowed[:: int(step) if slash else 1])
    return frozenset(found)


def _number(text: str, names: dict[str, int]) -> int:
    return names[text] if text in names else int(text)


def _fits_weekday(field: str, weekday: int, day: int, last: int) -> bool:
    """Whether a day fits a field of weekdays: numbers, names, `L` (the last of the month), `#` (the n-th)."""
    if match := re.fullmatch(r"(\w+)#([1-5])", field):
        return weekday == _number(match[1], _DAYS) and (day - 1) // 7 + 1 == int(match[2])
    if field.endswith("L") and field != "L":
        return weekday == _number(field[:-1], _DAYS) and day > last - 7
    return weekday in ({7} if field == "L" else _numbers(field, 1, 7, _DAYS, ring=True))
