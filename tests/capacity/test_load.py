"""The load generator against servers whose capacity and stalls are known."""

from __future__ import annotations

import asyncio
import json
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from program import dogbreed

from dogbreed.capacity.histogram import Histogram
from dogbreed.capacity.load import Step, Target, judge, press, rates
from dogbreed.capacity.traffic import Arrivals
from dogbreed.cli.loadtest import _plan
from dogbreed.errors import DogbreedError, UsageError

Result = TypeVar("Result")


class Jumping(selectors.SelectSelector):
    """Waits for nothing: a loop that uses it has a clock that jumps to whatever comes next."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found:
            self.now += timeout or 0.0
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.selector = Jumping()
        super().__init__(self.selector)

    def time(self) -> float:
        return self.selector.now


class Synthetic(Target):
    """A service without a network: answers `slots` requests at once, each after `service_s`; the rest waits in line."""

    def __init__(self, slots: int, service_s: float, stall: tuple[float, float] = (0.0, 0.0)) -> None:
        super().__init__("http://nowhere", [b"photo"])
        self.free, self.service_s, self.stall = asyncio.Semaphore(slots), service_s, stall

    async def ask(self, number: int) -> str:
        async with self.free:
            now = asyncio.get_running_loop().time()
            begin, end = self.stall
            await asyncio.sleep(max(self.service_s, end - now if begin <= now < end else 0.0))
        return "200"


def virtually(main: Coroutine[Any, Any, Result]) -> Result:
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


async def pressed(target: Target, plan: list[float], seconds: float, arrivals: Arrivals = "poisson") -> list[Step]:
    done = [step async for step in press(target, plan, seconds, seed=1, arrivals=arrivals)]
    target.close()
    return done


def test_it_finds_the_capacity_of_a_server() -> None:
    """Four at once, 50 ms each: 80 a second."""

    async def main() -> list[Step]:
        return await pressed(Synthetic(4, 0.05), rates(20, 160, 4), 60)

    verdict = judge(virtually(main()), p99_s=0.5, errors=0, safety=0.5, instances=2)
    assert verdict.capacity == pytest.approx(80, rel=0.1)
    assert verdict.saturated
    # 40 a second are held; at 80 the line never empties. The target is for one of two instances.
    assert verdict.held == pytest.approx(40)
    assert verdict.target_per_minute == pytest.approx(40 * 60 * 0.5 / 2)


@pytest.mark.parametrize("arrivals", ["poisson", "even"])
def test_a_quiet_step_asks_nothing_and_takes_its_time(arrivals: Arrivals) -> None:
    async def main() -> tuple[list[Step], float]:
        return await pressed(Synthetic(4, 0.05), [10.0, 0.0, 5.0], 20, arrivals), asyncio.get_running_loop().time()

    steps, took = virtually(main())
    assert [step.sent > 0 for step in steps] == [True, False, True]
    # Beside three steps the very first request, which is in none of them.
    assert took == pytest.approx(3 * 20 + 0.05, abs=0.2)
    quiet = steps[1]
    assert (quiet.answered, quiet.failed, quiet.to_json()["p99_ms"]) == (0, 0, None)
    verdict = judge(steps, p99_s=0.5, errors=0, safety=1, instances=1)
    assert (verdict.held, verdict.saturated) == (10, False)
    assert judge([quiet], p99_s=0.5, errors=0, safety=1, instances=1).held == 0


@given(st.lists(st.integers(0, 200), min_size=1, max_size=5), st.integers(1, 120))
@settings(max_examples=30, deadline=None)
def test_even_arrivals_are_those_of_a_trace_to_the_last(counts: list[int], seconds: int) -> None:
    async def main() -> list[Step]:
        return await pressed(Synthetic(1000, 0.001), [count / seconds for count in counts], seconds, "even")

    steps = virtually(main())
    assert [step.sent for step in steps] == counts
    assert all(step.late == 0 and step.outcomes["200"] == step.sent and step.took_s <= seconds for step in steps)
    assert not judge(steps, 1, 0, 1, 1).saturated


@pytest.mark.parametrize("rate", [0.5, 2.0, 30.0])
def test_a_slow_service_is_not_saturated_by_taking_its_time(rate: float) -> None:
    """Whatever chance sends, and however long one answer takes, as long as none waits for another."""
    (step,) = virtually(pressed(Synthetic(1000, 2.0), [rate], 10))
    assert step.sent and not judge([step], 5, 0, 1, 1).saturated
    (full,) = virtually(pressed(Synthetic(1, 2.0), [rate], 60))
    assert judge([full], 5, 0, 1, 1).saturated == (rate >= 0.5)


def test_a_stall_counts_for_everyone_who_would_have_come() -> None:
    """A server that stands still for 1 s of 5: a fifth of all requests wait, which a client that waits hardly sees."""

    async def open_loop() -> Histogram:
        return (await pressed(Synthetic(1000, 0.002, (2.0, 3.0)), [1000.0], 5))[0].latencies

    async def closed_loop() -> Histogram:
        target, found, loop = Synthetic(1000, 0.002, (2.0, 3.0)), Histogram(), asyncio.get_running_loop()
        while (began := loop.time()) < 5:
            await target.ask(0)
            found.add(loop.time() - began)
        return found

    opened, closed = virtually(open_loop()), virtually(closed_loop())
    # Waits are spread from 0 to 1 s over the fifth that came in the stall: the slowest 1 % took 0.95 s and more.
    assert opened.centile(0.99) == pytest.approx(0.95, abs=0.02)
    assert opened.centile(0.90) == pytest.approx(0.5, abs=0.05)
    assert closed.centile(0.99) == pytest.approx(0.002, rel=0.02)


# -- over HTTP


# Statuses that a server answers in chunks.
CHUNKED = 202


@contextmanager
def answering(*statuses: int) -> Iterator[str]:
    """A server that answers with these statuses in turn, and for 0 hangs up."""
    turn = iter(range(10**6))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status = statuses[next(turn) % len(statuses)]
            if not status:
                self.close_connection = True
                return
            self.send_response(status)
            if status == CHUNKED:
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"1;some=thing\r\n[\r\n1\r\n]\r\n0\r\nTrailer: here\r\n\r\n")
                return
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        # All that were due while this process had to wait come at once.
        request_queue_size = 1000

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_refusals_and_silence_are_counted_by_kind() -> None:
    with answering(200, 503, 200, 0, 200) as url:
        step = asyncio.run(pressed(Target(url, [b"a", b"bc"]), [100.0], 1))[0]
    assert set(step.outcomes) == {"200", "503", "broken connection"}
    assert sum(step.outcomes.values()) == step.sent > 50
    assert step.latencies.count == step.outcomes["200"]
    assert 0.2 < step.failed < 0.6


def test_answers_in_chunks_leave_the_connection_as_it_should_be() -> None:
    class Told(Target):
        def outcome(self, status: str, head: bytes, body: bytes) -> str:
            return f"{status} {body.decode()}"

    async def asked(url: str) -> list[str]:
        target = Told(url, [b"photo"])
        said = [await target.ask(number) for number in range(6)]
        # One connection for all of them.
        assert target._open == len(target._idle) == 1
        target.close()
        return said

    with answering(200, CHUNKED, CHUNKED) as url:
        assert asyncio.run(asked(url)) == ["200 []", "202 []", "202 []"] * 2


def test_nobody_there() -> None:
    with pytest.raises(DogbreedError, match="does not answer"):
        asyncio.run(pressed(Target("http://127.0.0.1:9", [b"a"]), [10.0], 1))


@given(st.lists(st.floats(1e-4, 200), min_size=1, max_size=200), st.floats(0.01, 1))
@settings(deadline=None)
def test_centiles_are_right_to_one_per_cent(durations: list[float], share: float) -> None:
    histogram = Histogram()
    histogram.add(durations)
    exact = float(np.quantile(durations, share, method="inverted_cdf"))
    assert histogram.centile(share) == pytest.approx(exact, rel=0.011)


@pytest.mark.parametrize("wrong", [(0, 1, 1), (5, 1, 3), (-1, 5, 3), (1, 1e9, 3), (1, 2, 0)])
def test_rates_that_make_no_sense(wrong: tuple[float, float, int]) -> None:
    with pytest.raises(UsageError):
        rates(*wrong)


@pytest.mark.slow
def test_the_command_tests_a_run(tmp_path: Path) -> None:
    words = ["loadtest", "--run", "starter", "--rate", "2..4", "--steps", 2, "--duration", 4, "--p99", 20_000, "--json"]
    result = dogbreed(*words, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    said = json.loads(result.stdout)
    assert [set(step["outcomes"]) for step in said["steps"]] == [{"200"}, {"200"}]
    assert said["verdict"]["held"] == 4 and said["verdict"]["target_per_minute"] == pytest.approx(168)


@pytest.mark.parametrize(
    ("rate", "steps", "duration", "planned"),
    [
        ("10", 8, "5m", ([10.0], 300.0)),
        ("1..4", 3, "60", ([1.0, 2.0, 4.0], 20.0)),
        ("5..5", 3, " 0.5h ", ([5.0], 1800.0)),
        ("0.5", 1, "1s", ([0.5], 1.0)),
    ],
)
def test_what_is_planned(rate: str, steps: int, duration: str, planned: tuple[list[float], float]) -> None:
    rates, seconds = _plan(rate, steps, duration)
    assert (rates, seconds) == (pytest.approx(planned[0]), planned[1])


@pytest.mark.parametrize("rate", ["", "fast", "0", "-5", "9..3", "1..2..3", "nan", "1..nan", "1e9", "5..", "..5"])
def test_what_is_no_rate(rate: str) -> None:
    with pytest.raises(UsageError, match="rate"):
        _plan(rate, 8, "60s")


@pytest.mark.parametrize("duration", ["", "0", "0.5s", "5d", "-3s", "1e3", "m", "nan", "2 days", "48h", "5 m"])
def test_what_is_no_duration(duration: str) -> None:
    with pytest.raises(UsageError, match="duration"):
        _plan("5", 8, duration)


def test_what_was_measured_is_kept_when_it_is_interrupted(tmp_path: Path) -> None:
    photo = tmp_path / "photos" / "a.jpg"
    photo.parent.mkdir()
    photo.write_bytes(b"photo")
    with answering(200) as url:
        (tmp_path / "trace.csv").write_text("\n".join(f"{second},20" for second in range(60)))
        words = ["--url", url, "--photos", "photos", "--arrivals", "even", "--trace", "trace.csv"]
        command = [sys.executable, "-m", "dogbreed", "loadtest", *words]
        with subprocess.Popen(command, cwd=tmp_path, stdout=-1, stderr=-1, text=True, bufsize=1) as testing:
            assert testing.stderr
            while "/s answered" not in testing.stderr.readline():
                assert testing.poll() is None
            testing.send_signal(signal.SIGINT)
            shown, said = testing.communicate(timeout=300)
    assert testing.returncode == 130 and "interrupted" in said and "Traceback" not in said, said
    (kept,) = (tmp_path / "runs" / "loadtests").iterdir()
    steps = json.loads(kept.read_text())["steps"]
    assert 1 <= len(steps) < 60 and all(step["sent"] == 20 for step in steps)
    # A line for each, and the verdict.
    assert len(shown.splitlines()) >= len(steps) + 1


AT = ("--url", "http://127.0.0.1:9")


def test_a_trace_is_planned_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text("0,10\n1,0\n2,5\n")
    result = dogbreed("loadtest", *AT, "--dry-run", "--trace", "trace.csv", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, "")
    assert "about 15 requests in 3 steps of 1.0 s, 0 to 10 a second" in result.stderr


def test_the_command_refuses(tmp_path: Path) -> None:
    for wrong, word in (
        ([], "name what to test"),
        ([*AT, "--run", "starter"], "name what to test"),
        ([*AT, "--rate", "fast"], "'fast' is no rate"),
        ([*AT, "--rate", "0.01", "--duration", "5s"], "no request"),
        ([*AT, "--trace", "none.csv"], "none.csv"),
        ([*AT, "--max-usd", "nan"], "objective"),
        (["--url", "ftp://example.org", "--yes"], "no address"),
        (["--run", "nosuch"], "nosuch"),
    ):
        result = dogbreed("loadtest", *wrong, cwd=tmp_path)
        assert result.returncode in (1, 2), wrong
        assert word in result.stderr and "hint: " in result.stderr, (wrong, result.stderr)
    asked = dogbreed("loadtest", "--url", "https://example.org", cwd=tmp_path)
    assert asked.returncode == 2 and "--yes" in asked.stderr
