"""Counts of durations in boxes that grow by 1 %: any centile to 1 %, in the same memory for any number of them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

# From a tenth of a millisecond on, 1,500 boxes reach five minutes.
_LEAST_S, _GROWTH, _BOXES = 1e-4, math.log(1.01), 1_500


class Histogram:
    """Durations in seconds."""

    def __init__(self) -> None:
        self.boxes: NDArray[np.int64] = np.zeros(_BOXES, np.int64)

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.boxes.sum())

    def add(self, seconds: ArrayLike) -> None:
        """Count these durations."""
        boxes = np.log(np.maximum(np.atleast_1d(seconds), _LEAST_S) / _LEAST_S) / _GROWTH
        self.boxes += np.bincount(np.minimum(boxes.astype(np.int64), _BOXES - 1), minlength=_BOXES)

    def merge(self, other: Histogram) -> None:
        """Count those of another histogram as well."""
        self.boxes += other.boxes

    def mean(self) -> float:
        """Seconds on average, to 1 %; NaN where there are none."""
        total = self.count
        middles = _LEAST_S * np.exp((np.arange(_BOXES) + 0.5) * _GROWTH)
        return float((self.boxes * middles).sum() / total) if total else math.nan

    def centile(self, share: float) -> float:
        """Seconds within which this share lies, to 1 %; NaN where there are none."""
        total = self.count
        if not total:
            return math.nan
        # The smallest box that has at least this share at or below it, and never less than one.
        box = int(np.searchsorted(np.cumsum(self.boxes), max(1, math.ceil(share * total))))
        return float(_LEAST_S * math.exp((box + 0.5) * _GROWTH))


def milliseconds(seconds: float) -> float | None:
    """For JSON: rounded, None for NaN."""
    return None if math.isnan(seconds) else round(seconds * 1000, 1)
