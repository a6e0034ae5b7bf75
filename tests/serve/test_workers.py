"""The queue: bounded, first come first served, short under overload, and nothing is done for who has left."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dogbreed.errors import PhotoError
from dogbreed.infer.answering import Answer
from dogbreed.serve import workers as module
from dogbreed.serve.workers import Busy, Job, Workers


class Slow:
    """Stands for the Predictor: every photo waits until it is let go, and says when it was begun."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.gate = threading.Semaphore(0)
        self.arrived = threading.Condition()

    def predict(self, data: bytes, *, name: str, top_k: int) -> Answer:
        with self.arrived:
            self.begun.append(name)
            self.arrived.notify_all()
        assert self.gate.acquire(timeout=300)
        if data == b"bad":
            raise PhotoError("truncated", "damaged")
        if data == b"bug":
            raise RuntimeError("our mistake")
        return Answer(name, breed="pug")

    def wait_for(self, count: int) -> None:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.begun) >= count, 300)

    def let(self, count: int) -> None:
        self.gate.release(count)


def run(scenario: Callable[[Slow, Workers], Any], threads: int = 1, waiting: int = 2) -> None:
    async def main() -> None:
        slow = Slow()
        workers = Workers(slow, threads, waiting)  # type: ignore[arg-type]
        try:
            await asyncio.wait_for(scenario(slow, workers), 300)
        finally:
            slow.let(1000)
            await asyncio.to_thread(workers.close)

    asyncio.run(main())


def ask(workers: Workers, *photos: tuple[str, bytes], timeout_s: float = 300) -> asyncio.Task[Job]:
    async def one() -> Job:
        job = Job(photos, 1)
        await workers.answer(job, timeout_s)
        return job

    return asyncio.create_task(one())


@pytest.fixture
def overload(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal is not forgotten, however slow this machine is."""
    monkeypatch.setattr(module, "_CALM_S", 1e6)


def test_one_too_many_is_refused_at_once_and_the_others_answered_in_order() -> None:
    async def scenario(slow: Slow, workers: Workers) -> None:
        first = ask(workers, ("a", b""))
        await asyncio.to_thread(slow.wait_for, 1)
        rest = [ask(workers, ("b", b"")), ask(workers, ("c", b""))]
        await asyncio.sleep(0)
        assert workers.is_full()
        with pytest.raises(Busy):
            await ask(workers, ("d", b""))
        slow.let(3)
        assert [job.answers[0].breed for job in await asyncio.gather(first, *rest)] == ["pug"] * 3
        assert slow.begun == ["a", "b", "c"]

    run(scenario)


def test_after_a_refusal_hardly_any_may_wait(overload: None) -> None:
    async def scenario(slow: Slow, workers: Workers) -> None:
        tasks = [ask(workers, ("0", b""))]
        await asyncio.to_thread(slow.wait_for, 1)
        tasks += [ask(workers, (str(number), b"")) for number in range(1, 5)]
        await asyncio.sleep(0)
        assert workers.waiting == 4
        assert workers.is_full()
        slow.let(3)
        await asyncio.to_thread(slow.wait_for, 4)
        # One waits, and the queue would have room for three more, but that is how queues stay full.
        assert workers.waiting == 1
        assert workers.is_full()
        slow.let(2)
        await asyncio.gather(*tasks)
        assert not workers.is_full()

    run(scenario, waiting=4)


def test_none_waits_while_most_are_refused(overload: None) -> None:
    async def scenario(slow: Slow, workers: Workers) -> None:
        tasks = [ask(workers, (name, b"")) for name in "abc"]
        await asyncio.to_thread(slow.wait_for, 1)
        assert all(workers.is_full() for _ in range(100))
        slow.let(2)
        await asyncio.to_thread(slow.wait_for, 3)
        # One may wait where few are refused.
        assert workers.waiting == 0 and workers.is_full()
        slow.let(1)
        await asyncio.gather(*tasks)
        assert not workers.is_full()

    run(scenario, waiting=2)


def test_while_it_refuses_fewer_are_taken_at_once_where_threads_have_no_core_each(overload: None) -> None:
    async def scenario(slow: Slow, workers: Workers) -> None:
        for number in range(20):
            task = ask(workers, (str(number), b""))
            await asyncio.to_thread(slow.wait_for, number + 1)
            # By the clock a photo takes this long, and its thread does next to nothing in it.
            await asyncio.sleep(0.005)
            slow.let(1)
            await task
        tasks = [ask(workers, (name, b"")) for name in "abc"]
        await asyncio.to_thread(slow.wait_for, 22)
        assert workers.waiting == 1
        assert all(workers.is_full() for _ in range(100))
        slow.let(2)
        await asyncio.to_thread(slow.wait_for, 23)
        while sum(task.done() for task in tasks) < 2:
            await asyncio.sleep(0.001)
        # There is a free thread, which would take the core of the one at work.
        assert workers.waiting == 0 and workers.is_full()
        slow.let(1)
        await asyncio.gather(*tasks)
        assert not workers.is_full()

    run(scenario, threads=2, waiting=1)


def test_who_has_left_is_not_worked_for() -> None:
    async def scenario(slow: Slow, workers: Workers) -> None:
        first = ask(workers, ("a", b""))
        await asyncio.to_thread(slow.wait_for, 1)
        with pytest.raises(TimeoutError):
            await ask(workers, ("gone", b""), timeout_s=0.01)
        last = ask(workers, ("c", b""))
        slow.let(2)
        await asyncio.gather(first, last)
        assert slow.begun == ["a", "c"]

    run(scenario)


def test_a_bad_photo_and_our_own_mistake_stay_with_their_request() -> None:
    async def scenario(slow: Slow, workers: Workers) -> None:
        slow.let(4)
        job = await ask(workers, ("x", b""), ("y", b"bad"))
        assert [answer.breed for answer in job.answers] == ["pug", None]
        assert job.errors[1].kind == "truncated"
        with pytest.raises(RuntimeError):
            await ask(workers, ("z", b"bug"))
        assert (await ask(workers, ("w", b""))).answers[0].breed == "pug"

    run(scenario)


@given(st.lists(st.integers(1, 5), max_size=12), st.integers(1, 4), st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_every_photo_is_answered_once_or_its_request_refused_whole(sizes: list[int], threads: int, room: int) -> None:
    async def scenario(slow: Slow, workers: Workers) -> None:
        photos_of = [[(f"{number}.{part}", b"") for part in range(size)] for number, size in enumerate(sizes)]
        tasks = [ask(workers, *photos) for photos in photos_of]
        await asyncio.sleep(0)
        # Each thread may be about to take one.
        assert workers.waiting <= max([room, *sizes]) + threads
        slow.let(1000)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        done = [photos for photos, result in zip(photos_of, results, strict=True) if isinstance(result, Job)]
        answered = [name for photos in done for name, _ in photos]
        assert all(isinstance(result, Job | Busy) for result in results)
        assert sorted(slow.begun) == sorted(answered)
        assert workers.waiting == 0

    run(scenario, threads, room)
