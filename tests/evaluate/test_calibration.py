"""Temperatures are found again, and the threshold of `unsure` is what model.json says it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dogbreed.evaluate.calibration import KEEP_RIGHT, UNSURE_MEANING, fit_temperature, softmax, unsure_threshold


@pytest.mark.parametrize("known", [0.3, 0.7, 1.0, 1.9, 4.0])
def test_a_known_temperature_is_found_again(known: float) -> None:
    random = np.random.default_rng(3)
    honest = random.normal(0, 2, (6000, 10))
    truth = np.array([random.choice(10, p=p) for p in softmax(honest)])
    assert fit_temperature(honest * known, truth) == pytest.approx(known, rel=0.06)


def test_a_split_without_errors_does_not_ask_for_a_temperature_of_zero() -> None:
    truth = np.arange(30) % 3
    logits = np.eye(3)[truth] * 8
    temperature = fit_temperature(logits, truth)
    confidence = softmax(logits, temperature).max()
    # (n + 1) / (n + 2): what 30 right answers of 30 allow to say.
    assert confidence == pytest.approx(31 / 32, abs=0.005)


def test_without_photos_nothing_is_changed() -> None:
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, np.int64)) == 1.0
    assert unsure_threshold(np.zeros((0, 3)), np.zeros(0, np.int64)) == 0.0


@given(st.integers(0, 2**31), st.integers(1, 200), st.integers(2, 8))
def test_the_share_of_right_answers_that_stay_sure_is_the_documented_one(seed: int, count: int, breeds: int) -> None:
    random = np.random.default_rng(seed)
    probabilities = softmax(random.normal(0, 3, (count, breeds)))
    truth = random.integers(0, breeds, count)
    threshold = unsure_threshold(probabilities, truth)
    right = probabilities.max(axis=1)[probabilities.argmax(axis=1) == truth]
    if not len(right):
        assert threshold == 0.0
        return
    # As many as documented reach it, and no higher confidence is reached by as many.
    assert (right >= threshold).mean() >= KEEP_RIGHT
    assert (right > threshold).mean() <= KEEP_RIGHT + 1e-9 or (right > threshold).sum() >= len(right) - 1
    assert f"{KEEP_RIGHT:.0%}" in UNSURE_MEANING


@given(st.integers(0, 2**31), st.floats(0.05, 20))
def test_softmax_gives_probabilities_whatever_the_size_of_the_logits(seed: int, temperature: float) -> None:
    logits = np.random.default_rng(seed).normal(0, 500, (4, 5))
    shares = softmax(logits, temperature)
    assert shares.sum(axis=1) == pytest.approx(1.0)
    assert (shares.argmax(axis=1) == logits.argmax(axis=1)).all()
    assert softmax(logits + 1000, temperature) == pytest.approx(shares)
