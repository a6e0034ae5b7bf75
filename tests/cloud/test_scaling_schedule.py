"""Windows of the week and the targets of scaling: what is read, what is refused, and that changes tell the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dogbreed.cloud import scaling_wanted as asking
from dogbreed.cloud.scaling_schedule import Window, bounds_at, changes, windows, zone
from dogbreed.errors import UsageError

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
BASE = (1, 4)


def test_a_window_is_read_and_written_as_cron() -> None:
    found = windows(["weekdays 8-20: 2-8"])
    assert found == (Window((0, 1, 2, 3, 4), 480, 1200, 2, 8),)
    said = [(one.name, one.cron, one.unix_cron) for one in changes(found, *BASE)]
    assert said == [
        ("at-0800-2-8", "cron(0 8 ? * MON,TUE,WED,THU,FRI *)", "0 8 * * 1,2,3,4,5"),
        ("at-2000-1-4", "cron(0 20 ? * MON,TUE,WED,THU,FRI *)", "0 20 * * 1,2,3,4,5"),
    ]


def test_what_ends_at_midnight_ends_on_the_next_day() -> None:
    end = changes(windows(["sat,sun 20:30-24: 2-3"]), *BASE)[0]
    assert (end.days, end.cron, end.unix_cron) == ((0, 6), "cron(0 0 ? * MON,SUN *)", "0 0 * * 0,1")


def test_every_day_is_a_star() -> None:
    assert {one.cron for one in changes(windows(["daily 9-10: 2-2"]), *BASE)} == {
        "cron(0 9 ? * * *)",
        "cron(0 10 ? * * *)",
    }


def test_the_hour_is_that_of_the_time_zone() -> None:
    found = windows(["daily 8-9: 3-5"])
    winter, summer = datetime(2026, 1, 5, 7, 30, tzinfo=UTC), datetime(2026, 7, 6, 6, 30, tzinfo=UTC)
    for when in (winter, summer):
        assert bounds_at(when, found, *BASE, "Europe/Berlin") == (3, 5)
        assert bounds_at(when, found, *BASE, "UTC") == BASE


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("weekdays 20-8: 2-8", "ends before it begins"),
        ("weekdays 8-8: 2-8", "ends before it begins"),
        ("weekdays 8-25: 2-8", "there is no hour 25"),
        ("weekdays 8:75-20: 2-8", "there is no hour 8:75"),
        ("workdays 8-20: 2-8", "there is no day 'workdays'"),
        ("weekdays 8-20: 8-2", "from 8 to 2"),
        ("weekdays 8-20: 0-2", "from 0 to 2"),
        ("weekdays 8-20", "is no window"),
        ("", "is no window"),
    ],
)
def test_what_is_no_window(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        windows([text])


def test_windows_may_touch_but_not_overlap() -> None:
    assert len(windows(["daily 8-12: 2-4", "daily 12-14: 1-1"])) == 2
    with pytest.raises(UsageError, match="overlaps"):
        windows(["daily 8-12: 2-4", "mon 11-14: 1-1"])


def test_there_is_no_such_time_zone() -> None:
    with pytest.raises(UsageError, match="Mars"):
        zone("Mars/Base")


@st.composite
def schedules(draw: st.DrawFn) -> tuple[Window, ...]:
    found: list[Window] = []
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, 95)) * 15
        end = draw(st.integers(begin // 15 + 1, 96)) * 15
        low = draw(st.integers(1, 5))
        days = tuple(sorted(draw(st.sets(st.integers(0, 6), min_size=1))))
        window = Window(days, begin, end, low, low + draw(st.integers(0, 5)))
        overlaps = any(set(days) & set(one.days) and begin < one.end and one.begin < end for one in found)
        if not overlaps:
            found.append(window)
    assume(found)
    return tuple(found)


@given(found=schedules(), quarter=st.integers(0, 7 * 96 - 1))
def test_the_last_change_before_any_moment_says_the_bounds_of_that_moment(
    found: tuple[Window, ...], quarter: int
) -> None:
    """The changes, as crons carry them out, and the windows say the same at every quarter of an hour of the week."""
    minute = quarter * 15
    at = {day * 1440 + one.minute: (one.smallest, one.largest) for one in changes(found, *BASE) for day in one.days}
    last = max(at, key=lambda moment: (moment - minute - 1) % (7 * 1440))
    assert at[last] == bounds_at(MONDAY + timedelta(minutes=minute), found, *BASE, "UTC")


@pytest.mark.parametrize(
    ("door", "text", "metric", "value"),
    [
        ("endpoint", "600/min", "invocations", 600),
        ("ec2", "10/s", "invocations", 600),
        ("lambda", "70%", "utilization", 0.7),
        ("ec2", "60 %", "utilization", 0.6),
    ],
)
def test_targets_have_units(door: str, text: str, metric: str, value: float) -> None:
    found = asking.target(door, text, None)
    assert found
    assert (found.metric, found.value) == (metric, pytest.approx(value))


@pytest.mark.parametrize(
    ("door", "text", "at_once"),
    [
        ("endpoint", "600", None),
        ("endpoint", "70%", None),
        ("endpoint", "0/min", None),
        ("endpoint", "600/min", 4.0),
        ("endpoint", "", 0.0),
        ("endpoint", "", float("nan")),
        ("lambda", "600/min", None),
        ("lambda", "100%", None),
        ("lambda", "", 4.0),
        ("ec2", "", 4.0),
        ("endpoint", "-5/min", None),
    ],
)
def test_targets_that_cannot_be(door: str, text: str, at_once: float | None) -> None:
    with pytest.raises(UsageError):
        asking.target(door, text, at_once)


def test_ten_a_minute_is_doubted_as_the_number_means_one_in_six_seconds() -> None:
    low = asking.target("endpoint", "10/min", None)
    assert low
    assert "one request in 6 seconds" in low.doubt()
    assert "--target-concurrency 10 or --target 600/min" in low.doubt()
    high = asking.target("endpoint", "600/min", None)
    assert high
    assert (high.doubt(), high.words()) == ("", "600/min is 10 requests a second on each instance")


def test_steps_rise() -> None:
    assert asking.steps(["20/s:+3", "600/min:+1"]) == (asking.Step(600, 1), asking.Step(1200, 3))
    for wrong in (["600/min:+0"], ["0/min:+1"], ["600:+1"], ["600/min:+2", "900/min:+1"], ["60/min:+1", "1/s:+2"]):
        with pytest.raises(UsageError):
            asking.steps(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"smallest": 4, "largest": 2},
        {"smallest": 0},
        {"in_cooldown_s": -1},
        {"out_cooldown_s": 4000},
        {"zero": True, "smallest": 0, "windows": windows(["daily 8-9: 1-2"])},
        {"door": "lambda", "steps": (asking.Step(60, 1),)},
        {"door": "lambda", "target": asking.Target("invocations", 600)},
    ],
)
def test_what_cannot_be_wanted(wrong: dict[str, object]) -> None:
    right: dict[str, object] = {"door": "endpoint", "smallest": 1, "largest": 4}
    asking.Wanted(**right)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        asking.Wanted(**(right | wrong))  # type: ignore[arg-type]
