"""The figures of a report: their values, and the laws that hold for any answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dogbreed.evaluate.calibration import softmax
from dogbreed.evaluate.metrics import report, wilson


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [
        # From R: binom::binom.confint(hits, count, methods = "wilson").
        (0, 10, 0.0, 0.277533),
        (5, 10, 0.236593, 0.763407),
        (10, 10, 0.722467, 1.0),
        (81, 263, 0.255291, 0.366228),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson_intervals(hits: int, count: int, low: float, high: float) -> None:
    assert wilson(hits, count) == pytest.approx((low, high), abs=2e-5)


def test_a_report_counted_by_hand() -> None:
    probabilities = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7]])
    made = report(probabilities, np.array([0, 1, 1, 2]), ("a", "b", "c", "d"))
    assert (made["photos"], made["top1"], made["top5"]) == (4, 0.75, 1.0)
    assert made["loss"] == pytest.approx(-(math.log(0.8) + math.log(0.3) + math.log(0.5) + math.log(0.7)) / 4, abs=1e-4)
    one = {"photos": 1, "top1": 1.0}
    assert made["by_breed"] == {"a": one, "b": {"photos": 2, "top1": 0.5}, "c": one}
    # Four bins with one answer each: |1 - .8|, |0 - .6|, |1 - .5|, |1 - .7|.
    assert made["calibration_error"] == pytest.approx((0.2 + 0.6 + 0.5 + 0.3) / 4, abs=1e-4)
    assert report(np.zeros((0, 3)), np.zeros(0, np.int64), ("a", "b", "c")) == {"photos": 0}


@given(seed=st.integers(0, 2**31), count=st.integers(1, 80), breeds=st.integers(2, 12))
def test_the_laws_of_a_report(seed: int, count: int, breeds: int) -> None:
    random = np.random.default_rng(seed)
    probabilities, truth = softmax(random.normal(0, 2, (count, breeds))), random.integers(0, breeds, count)
    names = tuple(f"breed {index}" for index in range(breeds))
    made = report(probabilities, truth, names)
    assert 0 <= made["top1"] <= made["top5"] <= 1
    low, high = made["top1_interval"]
    assert 0 <= low <= made["top1"] <= high <= 1
    assert made["loss"] >= 0
    assert 0 <= made["calibration_error"] <= 1
    by_breed = made["by_breed"].values()
    assert sum(breed["photos"] for breed in by_breed) == count
    mean = sum(breed["photos"] * breed["top1"] for breed in by_breed) / count
    assert mean == pytest.approx(made["top1"], abs=2e-4)
    # Neither the order of the photos nor counting all of them twice changes a share or a mean.
    order = random.permutation(count)
    assert report(probabilities[order], truth[order], names) == made
    twice = report(np.repeat(probabilities, 2, 0), np.repeat(truth, 2), names)
    assert {key: twice[key] for key in ("top1", "top5", "loss")} == {key: made[key] for key in ("top1", "top5", "loss")}
    if breeds <= 5:
        assert made["top5"] == 1.0


def test_a_wrong_answer_of_no_probability_at_all_has_a_finite_loss() -> None:
    assert report(np.array([[1.0, 0.0]]), np.array([1]), ("a", "b"))["loss"] == pytest.approx(
        -math.log(1e-12), abs=1e-3
    )
