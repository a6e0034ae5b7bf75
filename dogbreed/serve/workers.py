"""Threads that answer photos, and the queue before them, which is bounded and empty when there is too much to do.

A queue that is always full gives every request the longest wait and saves none of them. So once a request had to be
refused, hardly any may wait until there has been room for a while, and none while most are refused: what is accepted is
answered about as fast as in a quiet hour, and the rest is told at once to come back. Where others use the cores too,
that may be fewer photos at once than there are threads.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from dogbreed.errors import PhotoError
from dogbreed.infer.answering import Answer
from dogbreed.infer.predictor import Predictor

_CALM_S = 1.0  # without a refusal for so long, photos may wait again
_RECENT, _MOST = 32, 0.7  # requests; their share
_LAST = 8  # photos whose times are remembered, about
# How much longer than its work a photo takes where threads wait for a core, and where they do not.
_CROWDED, _ROOMY = 1.5, 1.15


class Busy(Exception):
    """The queue is full; nothing of the request was begun."""


@dataclass
class Job:
    """The photos of one request; the clock times are those of `time.perf_counter`."""

    photos: Sequence[tuple[str, bytes]]
    top_k: int
    arrived: float = field(default_factory=time.perf_counter)
    # Seconds that the first photo waited for a thread.
    waited: float = 0.0
    # Where a photo cannot be used, what is wrong with it stands here too, with its kind.
    errors: dict[int, PhotoError] = field(default_factory=dict)
    cancelled: bool = False

    def __post_init__(self) -> None:
        self.answers: list[Answer] = [Answer(name) for name, _ in self.photos]
        self.left = len(self.photos)
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()


class Workers:
    """`threads` that share one Predictor; at most `waiting` photos wait for them."""

    def __init__(self, predictor: Predictor, threads: int, waiting: int) -> None:
        self.predictor, self.threads, self.room = predictor, threads, waiting
        self._queue: deque[tuple[Job, int]] = deque()
        self._changed = threading.Condition()
        # When one was refused last, and the share of the recent ones that were.
        self._refused_at, self._refused = float("-inf"), 0.0
        self._free = threads
        # Photos at once while requests are refused, and what that is learnt from: see `_learn`.
        self._at_once, self._learnt_at, self._took, self._worked = threads, 0.0, 0.0, 0.0
        self._ending = False
        self._threads = [threading.Thread(target=self._work, name=f"predict-{i}") for i in range(threads)]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Photos that no thread has taken yet."""
        return len(self._queue)

    def is_full(self, photos: int = 1, coming: int = 0) -> bool:
        """Whether so many more photos are refused now, with so many `coming` that were let in but are not queued yet.

        Asked before a body is read, since a no should be cheap.
        """
        now = time.monotonic()
        # Photos for which there is no free thread; below 0 there are threads to spare.
        waiting = len(self._queue) + coming - self._free
        calm = now - self._refused_at > _CALM_S
        # Where none waits, a request of any size that the limits allow is taken.
        full = waiting + photos > max(self.room, photos)
        if not calm:
            # Where few are refused, the next one may be long in coming, and a thread would be without work till then.
            full = waiting >= self._at_once - self.threads + (self._refused < _MOST)
        if full:
            self._refused_at = now
            self._refused += (1 - self._refused) / _RECENT
        return full

    async def answer(self, job: Job, timeout_s: float) -> None:
        """Fill `job.answers`. Raises Busy at once, TimeoutError after `timeout_s`; then nothing more is done for it."""
        with self._changed:
            if self.is_full(len(job.photos)):
                raise Busy
            self._refused -= self._refused / _RECENT
            self._queue.extend((job, number) for number in range(len(job.photos)))
            self._changed.notify(len(job.photos))
        try:
            await asyncio.wait_for(job.future, timeout_s)
        finally:
            job.cancelled = True

    def close(self) -> None:
        """Answer what was accepted, then end the threads."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while item := self._next():
            job, number = item
            began, worked = time.perf_counter(), time.thread_time()
            bug = None if job.cancelled else self._answer(job, number)
            took, worked = time.perf_counter() - began, time.thread_time() - worked
            # Before the answer is sent: who has it may ask again at once.
            with self._changed:
                self._free += 1
                self._learn(took, worked)
            if not job.cancelled:
                job.loop.call_soon_threadsafe(_done, job, bug)

    def _learn(self, took: float, worked: float) -> None:
        """From a photo's seconds by the clock and by its thread's own: whether each thread still has a core.

        Where the cores are shared with others, two photos at once take twice as long and not one more is answered.
        """
        self._took += took - self._took / _LAST
        self._worked += worked - self._worked / _LAST
        now, change = time.monotonic(), 0
        if self._took > _CROWDED * self._worked:
            change = -1
        elif self._took < _ROOMY * self._worked and now - self._learnt_at > _CALM_S:
            change = 1
        if 1 <= self._at_once + change <= self.threads and change:
            self._at_once += change
            # What was before says nothing of what is now.
            self._learnt_at, self._took = now, (_CROWDED + _ROOMY) / 2 * self._worked

    def _answer(self, job: Job, number: int) -> Exception | None:
        if number == 0:
            job.waited = time.perf_counter() - job.arrived
        name, data = job.photos[number]
        try:
            job.answers[number] = self.predictor.predict(data, name=name, top_k=job.top_k)
        except PhotoError as error:
            job.errors[number] = error
            job.answers[number] = Answer(name, error=error.message, hint=error.hint)
        # Our own mistake: the request ends with a 500, the thread goes on.
        except Exception as error:  # noqa: BLE001
            return error
        return None

    def _next(self) -> tuple[Job, int] | None:
        with self._changed:
            while not self._queue:
                if self._ending:
                    return None
                self._changed.wait()
            self._free -= 1
            return self._queue.popleft()


def _done(job: Job, bug: Exception | None) -> None:
    job.left -= 1
    if not job.future.done():
        if bug:
            job.future.set_exception(bug)
        elif not job.left:
            job.future.set_result(None)
