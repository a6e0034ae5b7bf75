"""Answers to many photos, shared among threads; what gives the answer to one of them is up to the subclass."""

from __future__ import annotations

import queue
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any

from dogbreed.errors import PhotoError
from dogbreed.infer.sources import Source
from dogbreed.processors import processors

_AHEAD = 8  # photos per worker that may be under way before the oldest has been answered
_LET_OUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said about one photo: either `error`, or the rest.

    confidence and the probabilities are calibrated shares in 0..1; `top` is sorted, the most likely breed first.
    """

    file: str
    breed: str | None = None
    confidence: float | None = None
    unsure: bool | None = None
    top: tuple[tuple[str, float], ...] = ()
    error: str | None = None
    hint: str = ""

    def to_json(self) -> dict[str, Any]:
        """The answer as `--json` and the service give it."""
        return {
            "file": self.file,
            "breed": self.breed,
            "confidence": None if self.confidence is None else round(self.confidence, 6),
            "unsure": self.unsure,
            "top": [{"breed": breed, "probability": round(share, 6)} for breed, share in self.top],
            "error": self.error,
        }


def readable(label: str) -> str:
    """A label as people write it: `n02107574-Greater_Swiss_mountain_dog` is "greater swiss mountain dog"."""
    head, dash, tail = label.partition("-")
    wordnet = bool(dash) and head[:1] == "n" and head[1:].isdigit()
    return (tail if wordnet else label).replace("_", " ").strip().lower()


class Answering(ABC):
    """Answers photos; safe to use from several threads at once."""

    # Below this confidence an answer is unsure, and what that means in words; 0 and "" where it is not known.
    unsure_below: float = 0.0
    unsure_meaning: str = ""

    @abstractmethod
    def predict(self, data: bytes, *, name: str = "", top_k: int = 5) -> Answer:
        """The answer to one photo's bytes; PhotoError when they are no usable photo."""

    def predict_many(
        self, sources: Iterable[Source], top_k: int = 5, *, workers: int | None = None
    ) -> Generator[Answer]:
        """An Answer for each source, in their order, as soon as it is known; errors stand inside the Answers.

        `sources` is read only a little ahead of the answers, so it may be endless.
        """
        count = workers or processors()
        jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        # Daemons, so that an interrupted process does not wait for a slow download ...
        threads = [threading.Thread(target=self._work, args=(jobs, top_k), daemon=True) for _ in range(count)]
        waiting: deque[_Job] = deque()
        try:
            for thread in threads:
                thread.start()
            for source in sources:
                job = _Job(source)
                jobs.put(job)
                waiting.append(job)
                if len(waiting) >= count * _AHEAD:
                    yield waiting.popleft().wait()
            while waiting:
                yield waiting.popleft().wait()
        finally:
            for job in waiting:
                job.cancelled = True
            for _ in threads:
                jobs.put(None)
            # ... but one that is inside the model is let out, since ending the process there would abort it.
            deadline = time.monotonic() + _LET_OUT_S
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))

    def answer(self, source: Source, top_k: int = 5) -> Answer:
        """The answer to one source, with what went wrong inside it."""
        try:
            return self.predict(source.read(), name=source.name, top_k=top_k)
        except PhotoError as error:
            return Answer(source.name, error=error.message, hint=error.hint)

    def _work(self, jobs: queue.SimpleQueue[_Job | None], top_k: int) -> None:
        while job := jobs.get():
            if not job.cancelled:
                try:
                    job.answer = self.answer(job.source, top_k)
                except BaseException as error:  # our own bug: raised where the answer is waited for  # noqa: BLE001
                    job.bug = error
            job.done.set()


class _Job:
    """A source on its way through the workers."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.done = threading.Event()
        self.cancelled = False
        self.answer: Answer | None = None
        self.bug: BaseException | None = None

    def wait(self) -> Answer:
        self.done.wait()
        if self.bug:
            raise self.bug
        assert self.answer
        return self.answer
