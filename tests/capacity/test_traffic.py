"""Traces: what a file may hold, what is refused by line, and the arrivals that follow from counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from program import dogbreed

from dogbreed.capacity.traffic import SHAPES, Trace, make, read
from dogbreed.errors import UsageError


def write(folder: Path, text: str) -> Path:
    path = folder / "trace.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        "time,requests\n0,5\n60,0\n120,7\n",
        "0,5\n60,0\n120,7",
        "2026-11-25T10:00:00Z,5\n2026-11-25T10:01:00Z,0\n2026-11-25T10:02:00Z,7\n",
        "\ufefftime,requests\r\n0,5.0\r\n60,0\r\n120,7\r\n\r\n",
    ],
)
def test_forms_of_a_trace(tmp_path: Path, text: str) -> None:
    found = read(write(tmp_path, text))
    assert (found.counts.tolist(), found.step_s, found.requests, found.seconds) == ([5, 0, 7], 60, 12, 180)


def test_fractions_of_a_second_are_no_gap(tmp_path: Path) -> None:
    """Seconds since 1970 are exact to a quarter of a microsecond: the steps of this file differ by that."""
    begin = datetime(2026, 11, 25, 10, 0, 0, 123_457, tzinfo=UTC)
    steps = [begin + timedelta(seconds=30 * number) for number in range(100)]
    found = read(write(tmp_path, "\n".join(f"{when.isoformat()},{number}" for number, when in enumerate(steps))))
    assert (found.step_s, found.requests, found.begin) == (30, sum(range(100)), begin)


WRONG = [
    ("", "0 steps"),
    ("time,requests\n0,5\n", "1 steps"),
    ("0,5\n60,5\n180,5\n", ":3: a step of 120 s"),
    ("0,5\n60,5\n30,5\n", ":3: its time is not after"),
    ("0,5\n0,5\n", "not after"),
    ("0,5\n60,-1\n", ":2:"),
    ("0,5\n60,many\n", ":2:"),
    ("0,5\n60\n", ":2:"),
    ("0,5\n60,nan\n", ":2:"),
    ("0,5\n0.5,5\n", "steps of 0.5 s"),
    ("0,5\n86400,5\n", "steps of 86400 s"),
    ("0,5\n1e-7,5\n", "steps of 0 s"),
    ("2026-13-01,5\n2026-12-02,5\n", ":1:"),
    # Milliseconds since 1970, and what is no time at all.
    ("1795630000000,5\n1795630001000,5\n", ":1:"),
    ("-1e308,5\n1e308,5\n", ":1:"),
]


@pytest.mark.parametrize(("text", "words"), WRONG, ids=[words for _, words in WRONG])
def test_what_is_no_trace_is_named_by_its_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read(write(tmp_path, text))


@pytest.mark.parametrize("shape", SHAPES)
def test_made_traffic_reaches_its_peak_and_not_more(shape: str) -> None:
    trace = make(shape, 5.0)
    assert trace.seconds == 86_400
    assert 0.85 * 300 < trace.counts.max() < 1.3 * 300


@given(st.lists(st.integers(0, 50), min_size=1, max_size=10), st.integers(1, 90), st.sampled_from(["poisson", "even"]))
@settings(max_examples=60, deadline=None)
def test_every_request_arrives_once_in_its_step(counts: list[int], step_s: int, kind: str) -> None:
    trace = Trace(np.asarray(counts, np.int64), step_s)
    seconds = list(trace.arrivals(kind, seed=1))  # type: ignore[arg-type]
    assert [begin for begin, _ in seconds] == list(range(trace.seconds))
    times = np.concatenate([part for _, part in seconds])
    assert (np.diff(times) >= 0).all()
    assert all(((begin <= part) & (part <= begin + 1)).all() for begin, part in seconds)
    assert np.histogram(times, np.arange(len(counts) + 1) * step_s)[0].tolist() == counts


def test_the_command_computes_and_refuses(tmp_path: Path) -> None:
    write(tmp_path, "0,600\n60,600\n120,900\n")
    words = ["scale", "--simulate", "trace.csv", "--compare", "family", "--compare", "2-2@100/min"]
    result = dogbreed(*words, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 8
    for wrong in (
        ["--min", 3, "--max", 2],
        ["--target", "0/min"],
        ["--target", "10/fortnight"],
        ["--service-ms", 0],
        ["--min", 0],
        ["--start-minutes", "nan"],
        ["--start-minutes", -1],
        ["--compare", "lambda", "--cold-start-ms", "inf"],
        ["--compare", "everything"],
        ["--compare", "1-2@100/min", "--compare", ""],
        ["--search", "--p99", -3],
        ["--search", "--target", "600/min"],
        ["--picture", "nowhere/day.png"],
        ["--instance-type", "ml.bogus"],
    ):
        refused = dogbreed("scale", "--simulate", "trace.csv", *wrong, cwd=tmp_path)
        assert refused.returncode == 2 and refused.stderr.startswith("error:"), (wrong, refused.stderr)
    for missing in ("nothing.csv", "weekly:3/s", "daily:fast", "daily:0/s"):
        assert dogbreed("scale", "--simulate", missing, cwd=tmp_path).returncode == 2


def test_a_search_without_a_find_says_so(tmp_path: Path) -> None:
    words = ["scale", "--simulate", "ramp:50/s", "--hours", 1, "--max", 2, "--service-ms", 500, "--search"]
    result = dogbreed(*words, cwd=tmp_path)
    assert result.returncode == 3
    assert "none of" in result.stderr and "--max" in result.stderr


def test_a_search_ends_with_the_command_that_applies_what_it_found(tmp_path: Path) -> None:
    words = ["scale", "--simulate", "ramp:5/s", "--hours", 1, "--max", 2, "--search"]
    result = dogbreed(*words, cwd=tmp_path)
    assert result.returncode == 0 and "next: dogbreed scale --min 1 --max 2 --target" in result.stderr
