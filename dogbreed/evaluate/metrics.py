"""Metrics with intervals: what a model got right, and how sure that figure is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Z95 = 1.959964


def wilson(hits: int, count: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of a share; (0, 1) when nothing was counted."""
    if not count:
        return 0.0, 1.0
    share, z2 = hits / count, _Z95**2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z95 / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def report(probabilities: NDArray[np.floating], truth: NDArray[np.integer], breeds: tuple[str, ...]) -> dict[str, Any]:
    """Top-1 with its interval, top-5, loss (nats), calibration error and recall by breed.

    probabilities [n, breeds], truth [n]. The calibration error is the expected calibration error over 15 bins of
    equal width (Guo et al. 2017). Breeds without a photo are left out of `by_breed`.
    """
    count = len(truth)
    if not count:
        return {"photos": 0}
    order = np.argsort(-probabilities, axis=1, kind="stable")
    right = order[:, 0] == truth
    in_five = (order[:, :5] == truth[:, None]).any(axis=1)
    chosen = probabilities[np.arange(count), truth]
    low, high = wilson(int(right.sum()), count)
    by_breed = {}
    for index, breed in enumerate(breeds):
        of_breed = truth == index
        if of_breed.any():
            by_breed[breed] = {"photos": int(of_breed.sum()), "top1": round(float(right[of_breed].mean()), 4)}
    return {
        "photos": count,
        "top1": round(float(right.mean()), 4),
        "top1_interval": [round(low, 4), round(high, 4)],
        "top5": round(float(in_five.mean()), 4),
        "loss": round(float(-np.log(np.maximum(chosen, 1e-12)).mean()), 4),
        "calibration_error": round(_calibration_error(probabilities.max(axis=1), right), 4),
        "by_breed": by_breed,
    }


def _calibration_error(confidence: NDArray[np.floating], right: NDArray[np.bool_], bins: int = 15) -> float:
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    error = 0.0
    for number in range(bins):
        inside = index == number
        if inside.any():
            error += float(inside.mean()) * abs(float(right[inside].mean()) - float(confidence[inside].mean()))
    return error
