"""Calibration: the temperature that makes confidences honest, and the confidence below which an answer is unsure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

KEEP_RIGHT = 0.95
UNSURE_MEANING = (
    "An answer is unsure when its confidence is below unsure_below. On the validation split that confidence was "
    f"reached by {KEEP_RIGHT:.0%} of the right answers; a photo below it is more likely hard, of another breed, "
    "or not of a dog."
)
_TEMPERATURES = np.geomspace(0.05, 20.0, 400)


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities of logits [..., breeds] divided by `temperature`."""
    scaled = np.asarray(logits, np.float64) / temperature
    scaled -= scaled.max(axis=-1, keepdims=True)
    exponents = np.exp(scaled)
    result: NDArray[np.float64] = exponents / exponents.sum(axis=-1, keepdims=True)
    return result


def fit_temperature(logits: NDArray[np.floating], truth: NDArray[np.integer]) -> float:
    """The temperature with the least cross-entropy on held-out logits [n, breeds] and truth [n]; 1.0 without any.

    Guo et al. 2017, "On Calibration of Modern Neural Networks". The targets are softened by Platt's rule: the right
    breed gets (n + 1) / (n + 2), since a split without a single error would otherwise ask for a temperature of zero.
    """
    count, breeds = logits.shape
    if not count:
        return 1.0
    right = (count + 1) / (count + 2)
    targets = np.full((count, breeds), (1 - right) / max(1, breeds - 1))
    targets[np.arange(count), truth] = right

    def loss(temperature: float) -> float:
        return float(-(targets * np.log(softmax(logits, temperature) + 1e-30)).sum(axis=1).mean())

    return float(min(_TEMPERATURES, key=loss))


def unsure_threshold(probabilities: NDArray[np.floating], truth: NDArray[np.integer]) -> float:
    """The confidence that `KEEP_RIGHT` of the right answers reach; 0.0 (never unsure) where there are none."""
    right = probabilities.argmax(axis=1) == truth
    if not right.any():
        return 0.0
    # "lower", so that no fewer reach it; between two of a handful of answers there is no other honest value.
    return float(np.quantile(probabilities.max(axis=1)[right], 1 - KEEP_RIGHT, method="lower"))
