"""When an expression of AWS is due next: at(...), rate(...) and cron(...) with its six fields, in a time zone.

`next_time("cron(0 8 ? * MON-FRI *)", "Europe/Berlin", after)` gives an aware datetime, or None when it is over.
When clocks go forward, a local time that does not exist is left out; when they go back, the first of the two counts.
"""

from __future__ import annotations

import calendar
import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_FORM = re.compile(r"(at|rate|cron)\(\s*(.+?)\s*\)")
_RATE = re.compile(r"(\d+)\s+(minute|hour|day)s?")
_SECONDS = {"minute": 60, "hour": 3600, "day": 86_400}
_MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), 1)}
_LONGEST_DAYS = 366 * 5


class TimeError(ValueError):
    """An expression that AWS would not take."""


def next_time(expression: str, zone: str, after: datetime, begin: datetime | None = None) -> datetime | None:
    """The first moment later than `after`; `begin` is what a rate counts from. Raises TimeError."""
    match = _FORM.fullmatch(expression.strip())
    if not match:
        raise TimeError(f"{expression} is none of at(), rate() and cron()")
    try:
        where = ZoneInfo(zone or "UTC")
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise TimeError(f"there is no time zone {zone}") from error
    kind, inside = match.groups()
    if kind == "at":
        try:
            moment = datetime.fromisoformat(inside)
        except ValueError as error:
            raise TimeError(f"{inside} is no time such as 2026-11-25T08:00:00") from error
        if moment.tzinfo:
            raise TimeError(f"{inside} has a time zone of its own")
        moment = moment.replace(tzinfo=where)
        return moment if moment > after else None
    if kind == "rate":
        return _next_rate(inside, begin or after, after)
    return _Cron(inside).next(after.astimezone(where), where)


def _next_rate(inside: str, begin: datetime, after: datetime) -> datetime:
    match = _RATE.fullmatch(inside)
    if not match or int(match[1]) < 1:
        raise TimeError(f"rate({inside}) is no rate such as rate(5 minutes)")
    step = timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
    return begin if begin > after else begin + ((after - begin) // step + 1) * step


class _Cron:
    """Minutes, hours, day of the month, month, day of the week (1 is Sunday), year."""

    def __init__(self, text: str) -> None:
        fields = text.upper().split()
        if len(fields) != 6:
            raise TimeError(f"cron({text}) has {len(fields)} fields, not six")
        minute, hour, self._day, month, self._weekday, year = fields
        if "?" not in (self._day, self._weekday):
            raise TimeError(f"cron({text}): day of the month or day of the week must be ?")
        self._minutes = sorted(_numbers(minute, 0, 59, {}))
        self._hours = sorted(_numbers(hour, 0, 23, {}))
        self._months = _numbers(month, 1, 12, _MONTHS)
        self._years = _numbers(year, 1970, 2199, {})
        self._fits(date(2024, 2, 29))  # says what is wrong with the days

    def next(self, after: datetime, where: ZoneInfo) -> datetime | None:
        day = after.date()
        for _ in range(_LONGEST_DAYS):
            if day.year in self._years and day.month in self._months and self._fits(day):
                for hour in self._hours:
                    for minute in self._minutes:
                        moment = datetime(day.year, day.month, day.day, hour, minute, tzinfo=where)
                        there = moment.astimezone(UTC).astimezone(where).replace(tzinfo=None)
                        if there == moment.replace(tzinfo=None) and moment.astimezone(UTC) > after.astimezone(UTC):
                            return moment
            day += timedelta(days=1)
        return None

    def _fits(self, day: date) -> bool:
        return _fits_month(self._day, day) if self._weekday == "?" else _fits_week(self._weekday, day)


def _fits_month(field: str, day: date) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    if field in ("*", "?"):
        return True
    if field == "L":
        return day.day == last
    if match := re.fullmatch(r"(\d+|L)W", field):
        wanted = date(day.year, day.month, last if match[1] == "L" else min(int(match[1]), last))
        # The weekday next to it, in the same month.
        away = {5: -1 if wanted.day > 1 else 2, 6: 1 if wanted.day < last else -2}.get(wanted.weekday(), 0)
        return day == wanted + timedelta(days=away)
    return day.day in _numbers(field, 1, 31, {})


def _fits_week(field: str, day: date) -> bool:
    number = day.isoweekday() % 7 + 1
    if field == "*":
        return True
    if match := re.fullmatch(r"(\w+)#([1-5])", field):
        return number in _numbers(match[1], 1, 7, _DAYS) and (day.day - 1) // 7 + 1 == int(match[2])
    if match := re.fullmatch(r"(\w+)L", field):
        in_last_week = day.day + 7 > calendar.monthrange(day.year, day.month)[1]
        return number in _numbers(match[1], 1, 7, _DAYS) and in_last_week
    return number in _numbers(field, 1, 7, _DAYS)


def _numbers(field: str, least: int, most: int, names: dict[str, int]) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        match = re.fullmatch(r"(\*|\w+)(?:-(\w+))?(?:/(\d+))?", part)
        if not match:
            raise TimeError(f"{field} is no part of a cron expression")
        first, last, step = match.groups()
        begin = least if first == "*" else _number(first, names)
        end = _number(last, names) if last else most if first == "*" or step else begin
        if not (least <= begin <= most and least <= end <= most) or step == "0":
            raise TimeError(f"{field} is beyond {least} to {most}")
        span = range(begin, end + 1) if begin <= end else [*range(begin, most + 1), *range(least, end + 1)]
        found |= set(list(span)[:: int(step or 1)])
    return found


def _number(text: str, names: dict[str, int]) -> int:
    if text in names:
        return names[text]
    if not text.isdecimal():
        raise TimeError(f"{text} is no number")
    return int(text)
