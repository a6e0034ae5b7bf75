"""What an alarm's state is by its data points, as CloudWatch documents it, and the words that say why.

M of N points must breach; missing ones are treated as the alarm says. Source: "Configuring how CloudWatch alarms treat
missing data"; how many points beyond N are looked at is not documented, its examples look at two more.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]
Datum = tuple[int, float | None]  # the beginning of its period, and its value if there is one

MORE = 2
_COMPARE: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "GreaterThanThreshold": (operator.gt, "greater than"),
    "GreaterThanOrEqualToThreshold": (operator.ge, "greater than or equal to"),
    "LessThanThreshold": (operator.lt, "less than"),
    "LessThanOrEqualToThreshold": (operator.le, "less than or equal to"),
}
COMPARISONS = tuple(_COMPARE)
_TREATED = {"breaching": "Breaching", "notBreaching": "NonBreaching"}


@dataclass(frozen=True)
class Rule:
    """`breaching` of `periods` points on the wrong side of `threshold`; `missing` is TreatMissingData."""

    comparison: str
    threshold: float
    periods: int
    breaching: int
    missing: str = "missing"

    def breaks(self, value: float) -> bool:
        """Whether a value is on the wrong side."""
        return _COMPARE[self.comparison][0](value, self.threshold)


def judge(rule: Rule, data: Sequence[Datum], before: State) -> tuple[State, str]:
    """The state after the points of the evaluation range, oldest first, and why."""
    real = [(at, value) for at, value in data if value is not None][-rule.periods :]
    breaking = [one for one in real if rule.breaks(one[1])]
    lacking = rule.periods - len(real)
    if not real and rule.missing not in _TREATED:
        if rule.missing == "ignore":
            return before, ""
        unknown = "1 datapoint was" if rule.periods == 1 else f"{rule.periods} datapoints were"
        return "INSUFFICIENT_DATA", f"Insufficient Data: {unknown} unknown."
    filled = lacking if rule.missing == "breaching" else 0
    alarm = len(breaking) + filled >= rule.breaching
    if lacking and not alarm and rule.missing == "missing":
        alarm = _settled(rule, data)
    if lacking and not alarm and rule.missing == "ignore" and len(breaking) == len(real):
        return before, ""
    state: State = "ALARM" if alarm else "OK"
    return state, _words(rule, real, lacking, alarm=alarm)


def _settled(rule: Rule, data: Sequence[Datum]) -> bool:
    """Whether all there is breaks and the oldest of it is M points old: waiting would tell no more."""
    ages = [len(data) - at for at, (_, value) in enumerate(data) if value is not None]
    return all(rule.breaks(value) for _, value in data if value is not None) and ages[0] >= rule.breaching


def _words(rule: Rule, real: Sequence[tuple[int, float]], lacking: int, *, alarm: bool) -> str:
    shown = [(at, value) for at, value in real if rule.breaks(value) == alarm]
    treated = ""
    if lacking and rule.missing in _TREATED:
        are = "1 missing datapoint was" if lacking == 1 else f"{lacking} missing datapoints were"
        treated = f"{are} treated as [{_TREATED[rule.missing]}]"
    if not shown and treated:
        over = f"{rule.periods} period{'s' if rule.periods > 1 else ''}"
        return f"Threshold Crossed: no datapoints were received for {over} and {treated}."
    listed = ", ".join(f"{value} ({_stamp(at)})" for at, value in reversed(shown))
    least = rule.breaching if alarm else rule.periods - rule.breaching + 1
    points = f"{least} datapoint{'s' if least > 1 else ''}"
    verb = f"w{'as' if len(shown) == 1 else 'ere'}{'' if alarm else ' not'}"
    change = "OK -> ALARM" if alarm else "ALARM -> OK"
    return (
        f"Threshold Crossed: {len(shown)} out of the last {rule.periods} datapoints [{listed}] {verb} "
        f"{_COMPARE[rule.comparison][1]} the threshold ({rule.threshold}) "
        f"{f'and {treated} ' if treated else ''}(minimum {points} for {change} transition)."
    )


def _stamp(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%d/%m/%y %H:%M:%S")
