"""The load generator against servers whose capacity and stalls are known."""

from __future__ import annotations

import asyncio
import json
import selectors
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


async def pressed(target: Target, plan: list[float], seconds: float) -> list[Step]:
    done = [step async for step in press(target, plan, seconds, seed=1)]
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
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
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


def test_the_command_refuses(tmp_path: Path) -> None:
    for wrong in ([], ["--url", "http://a", "--run", "b"], ["--url", "http://127.0.0.1:9", "--rate", "fast"]):
        result = dogbreed("loadtest", *wrong, cwd=tmp_path)
        assert result.returncode == 2 and "error:" in result.stderr, wrong
    asked = dogbreed("loadtest", "--url", "https://example.org", cwd=tmp_path)
    assert asked.returncode == 2 and "--yes" in asked.stderr
