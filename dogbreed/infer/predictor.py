"""The Predictor: the bytes of a photo in, ranked breeds with a calibrated confidence out.

The session computes each photo on one thread, and many photos are shared among several threads: that loads faster and
gets through a folder faster than several threads inside one photo or batch, and its memory does not grow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dogbreed.errors import DogbreedError, PhotoError
from dogbreed.infer.answering import Answer, Answering
from dogbreed.infer.photo import read_photo
from dogbreed.infer.preprocess import Preprocessing
from dogbreed.infer.session import MEND, Session
from dogbreed.run import MODEL, Run

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHUNK = 16  # photos per run of the session in `logits`; bounds its memory


class Predictor(Answering):
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
