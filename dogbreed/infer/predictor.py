"""The Predictor: the bytes of a photo in, ranked breeds with a calibrated confidence out.

The session computes each photo on one thread, and many photos are shared among several threads: that loads faster and
gets through a folder faster than several threads inside one photo or batch, and its memory does not grow.
"""

from __future__ import annotations

import math
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dogbreed.errors import DogbreedError, PhotoError
from dogbreed.infer.photo import read_photo
from dogbreed.infer.preprocess import Preprocessing
from dogbreed.infer.session import MEND, Session
from dogbreed.infer.sources import Source
from dogbreed.run import MODEL, Run

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHUNK = 16  # photos per run of the session in `logits`; bounds its memory
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


class Predictor:
    """A Run's model, ready to answer; safe to use from several threads at once."""

    def __init__(self, info: Mapping[str, Any]) -> None:
        """Use `Predictor.open`; `info` is the content of model.json. Raises KeyError, TypeError or ValueError."""
        self.labels: tuple[str, ...] = tuple(info["labels"])
        self.preprocessing = Preprocessing.from_json(info["preprocessing"])
        self.temperature = float(info["temperature"])
        self.unsure_below = float(info["unsure_below"])
        self.unsure_meaning = str(info.get("unsure_meaning", ""))
        if not (self.labels and 0 < self.temperature < math.inf and math.isfinite(self.unsure_below)):
            raise ValueError("labels, temperature or unsure_below make no sense")
        self._session: Session | None = None

    @classmethod
    def open(cls, run: Run, *, threads: int | None = None, session: Session | None = None) -> Predictor:
        """Load and verify the Run's model; `threads` work on one photo (or batch) together, one when not given.

        Raises DogbreedError when a file of the Run is missing, changed or does not fit the others. With a `session`
        that is being loaded already, this does not wait for it: its first use waits and raises.
        """
        try:
            self = cls(run.info)
        except (KeyError, TypeError, ValueError) as error:
            raise DogbreedError(f"{run.path / MODEL} is damaged: {type(error).__name__} {error}", MEND) from error
        self._session = session or Session(run, threads)
        if not session:
            self._session.wait()
        return self

    def logits(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [n, 3, crop, crop], as `Preprocessing` makes them, to raw outputs float32 [n, len(labels)]."""
        assert self._session, "made without Predictor.open"
        chunks = [pixels[start : start + _CHUNK] for start in range(0, len(pixels), _CHUNK)]
        parts = [self._session.run(chunk) for chunk in chunks]
        return np.concatenate(parts) if parts else np.empty((0, len(self.labels)), np.float32)

    def predict(self, data: bytes, *, name: str = "", top_k: int = 5) -> Answer:
        """The answer to one photo's bytes; `name` becomes `Answer.file`.

        Raises PhotoError when the bytes are no usable photo or the model's outputs are not finite.
        """
        image = read_photo(data, name=name, at_least=self.preprocessing.resize).image
        return replace(self._rank(self.logits(self.preprocessing(image)[None])[0], top_k), file=name)

    def predict_many(
        self, sources: Iterable[Source], top_k: int = 5, *, workers: int | None = None
    ) -> Generator[Answer]:
        """An Answer for each source, in their order, as soon as it is known; errors stand inside the Answers.

        `sources` is read only a little ahead of the answers, so it may be endless.
        """
        count = workers or _processors()
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

    def _rank(self, logits: NDArray[np.float32], top_k: int) -> Answer:
        if not np.isfinite(logits).all():
            raise PhotoError("no-answer", "the model gave no finite numbers", f"it is damaged: {MEND}")
        scaled = logits.astype(np.float64) / self.temperature
        shares = np.exp(scaled - scaled.max())
        shares /= shares.sum()
        order = np.argsort(-shares, kind="stable")[:top_k]
        top = tuple((self.labels[index], float(shares[index])) for index in order)
        breed, confidence = top[0]
        return Answer("", breed, confidence, confidence < self.unsure_below, top)


def _processors() -> int:
    """The processors that this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
