"""Copies of functions: against theory, by hand, and their laws; steps, windows and scaling to zero of instances."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dogbreed.capacity import compare
from dogbreed.capacity.functions import Copies, Prices, simulate
from dogbreed.capacity.policy import Policy, Scaler, Semantics
from dogbreed.capacity.simulate import Instance
from dogbreed.capacity.simulate import simulate as simulate_instances
from dogbreed.capacity.traffic import Trace
from dogbreed.errors import UsageError

PRICES = Prices(Decimal("0.00002"), Decimal("0.0000002"), Decimal("0.000005"), Decimal("0.00001"))


def trace(*counts: int, step_s: int = 60) -> Trace:
    return Trace(np.asarray(counts, np.int64), step_s)


def test_refusals_are_those_of_erlang() -> None:
    """M/M/c/c: what finds all copies at work is lost; Erlang's B formula."""
    rng = np.random.default_rng(5)
    rate, mean, limit = 8.0, 0.5, 6
    poisson = Trace(rng.poisson(rate, 60_000), 1)
    services = tuple(rng.exponential(mean, 200_000).clip(1e-6))
    result = simulate(poisson, Copies("lambda", 1769, services, limit, cold_s=0.0, per_s=1e6), PRICES)
    offered = rate * mean
    terms = [offered**k / math.factorial(k) for k in range(limit + 1)]
    assert result.failed / result.requests == pytest.approx(terms[-1] / sum(terms), rel=0.05)


def test_a_trace_by_hand() -> None:
    """Six requests in a minute, ten seconds apart: the first starts a copy, the rest find it idle."""
    result = simulate(trace(6), Copies("lambda", 1024, (0.1,), cold_s=3.0), PRICES, arrivals="even")
    slower = 1769 / 1024
    assert (result.requests, result.failed, result.cold) == (6, 0, 1)
    billed = 3.0 + 6 * 0.1 * slower
    assert result.usd == pytest.approx(
        Decimal(str(billed)) * PRICES.gb_second + 6 * PRICES.request, rel=Decimal("1e-6")
    )
    # Twenty minutes later the copy has gone.
    later = simulate(trace(1, *[0] * 20, 1), Copies("lambda", 1769, (0.1,), cold_s=3.0), PRICES, arrivals="even")
    assert later.cold == 2
    assert later.in_service[0] == 1 and later.in_service[15] == 0


def test_copies_kept_started_are_paid_for_and_never_start_cold() -> None:
    kept = simulate(trace(60, 60), Copies("lambda", 1024, (0.1,), 10, 10), PRICES, arrivals="even")
    assert kept.cold == 0 and kept.failed == 0
    slower = Decimal(1769) / 1024
    expected = 10 * 120 * PRICES.kept_gb_second + 120 * Decimal("0.1") * slower * PRICES.kept_duration_gb_second
    assert kept.usd == pytest.approx(expected + 120 * PRICES.request, rel=Decimal("1e-6"))
    assert simulate(trace(1), Copies("serverless", 2048, (0.1,)), Prices(None)).cost(None) is None


def test_a_burst_starts_no_more_copies_than_aws_allows() -> None:
    """All at the same moment: the ten seconds' worth of new copies, and the rest is refused."""
    at_once = Trace(np.asarray([5000], np.int64), 1)
    result = simulate(at_once, Copies("lambda", 1769, (30.0,), limit=10_000, per_s=100), PRICES)
    assert 1000 <= result.cold <= 1100
    assert result.failed == 5000 - result.cold


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(0, 200), min_size=1, max_size=8),
    st.integers(1, 20),
    st.integers(0, 3),
    st.floats(0.001, 5.0),
)
def test_no_request_is_lost_and_more_copies_refuse_no_more(
    counts: list[int], limit: int, kept: int, service: float
) -> None:
    kept = min(kept, limit)
    few = simulate(trace(*counts), Copies("lambda", 1769, (service,), limit, kept), PRICES)
    many = simulate(trace(*counts), Copies("lambda", 1769, (service,), limit + 5, kept), PRICES)
    assert few.requests == sum(counts) == few.latencies.count + few.failed
    assert many.failed <= few.failed
    assert sum(few.per_minute) == few.requests and sum(few.failures) == few.failed


@pytest.mark.parametrize(
    "text", ["lambda:64", "lambda:10241", "serverless:512", "serverless:3072/2+3", "lambda:1024/0"]
)
def test_copies_that_cannot_be(text: str) -> None:
    with pytest.raises(UsageError):
        compare.copies(text, Instance((0.01,)), 1.0)


def test_ways_in_a_word() -> None:
    found = compare.copies("serverless:2048/20+3", Instance((0.01,)), 1.5)
    assert found == Copies("serverless", 2048, (0.01,), 20, 3, cold_s=1.5)
    assert compare.copies("1-4@600/min", Instance((0.01,)), 1.5) is None


# -- instances: steps, windows, zero


def fed(scaler: Scaler, values: list[float], in_service: int = 1) -> list[int]:
    """What is wanted after each minute's point, seen without delay."""
    wanted = []
    for minute, value in enumerate(values, 1):
        scaler.put(60.0 * minute, value, in_service)
        wanted.append(scaler.look(60.0 * minute))
    return wanted


def test_steps_by_hand() -> None:
    """From 100 on one more, from 300 on three more; within the cool-down only the difference to a higher step."""
    quick = Semantics(delay_s={"invocations": 0, "concurrency": 0})
    policy = Policy(1, 10, 1e9, steps=((100, 1), (300, 3)), out_cooldown_s=180)
    assert fed(Scaler(policy, quick), [50, 100, 100, 350, 350, 50]) == [1, 2, 2, 4, 4, 4]
    # Once the cool-down of three minutes is over, it adds again.
    assert fed(Scaler(policy, quick), [100, 100, 100, 100, 100]) == [2, 2, 2, 3, 3]


def test_windows_change_the_bounds_at_once() -> None:
    def bounds(second: float) -> tuple[int, int]:
        return (3, 5) if 120 <= second < 240 else (1, 2)

    result = simulate_instances(
        trace(*[1] * 8), Instance((0.01,)), Policy(1, 2, 600, bounds=bounds), Semantics(start_s=60), arrivals="even"
    )
    assert result.wanted == [1, 1, 3, 3, 2, 2, 2, 2]
    assert result.in_service == [1, 1, 1, 3, 2, 2, 2, 2]


def test_from_zero_everything_fails_until_an_instance_has_come() -> None:
    """Observed: 102 s until the decision, 462 s more until an answer."""
    result = simulate_instances(trace(*[60] * 12), Instance((0.01,)), Policy(0, 2, 600), Semantics(), arrivals="even")
    assert result.failures[:9] == [60] * 9
    assert result.failures[10:] == [0, 0]
    assert 540 < result.failed < 600
    idle = simulate_instances(
        trace(*[60] * 12, *[0] * 30), Instance((0.01,)), Policy(0, 2, 600), Semantics(), arrivals="even"
    )
    assert idle.in_service[-1] == 0
    assert idle.instance_seconds < 42 * 60
