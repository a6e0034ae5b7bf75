"""The simulator against theory, against traces computed by hand, and its laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dogbreed.capacity import compare
from dogbreed.capacity.policy import Bounds, Policy, Scaler, Semantics
from dogbreed.capacity.queueing import Exact, Fast
from dogbreed.capacity.simulate import Instance, simulate
from dogbreed.capacity.traffic import Trace
from dogbreed.errors import UsageError

NEVER = 1e9


def fixed(count: int) -> Policy:
    """So many instances, always."""
    return Policy(count, count, NEVER)


def trace(*counts: int, step_s: int = 60) -> Trace:
    return Trace(np.asarray(counts, np.int64), step_s)


# -- theory


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (1, 0.7), (2, 0.7), (4, 0.8), (10, 0.8)])
def test_mean_waits_are_those_of_erlang(servers: int, load: float) -> None:
    """M/M/c: Poisson arrivals, exponential service times; Erlang's C formula."""
    rate, requests = 100.0 * load, 1_500_000
    mean = servers / 100.0
    rng = np.random.default_rng(3)
    poisson = Trace(rng.poisson(rate, int(requests / rate)), 1)
    services = tuple(rng.exponential(mean, 400_000))
    result = simulate(poisson, Instance(services, servers, NEVER), fixed(1), exact=True, seed=1)
    offered = rate * mean
    busy = offered**servers / math.factorial(servers) / (1 - offered / servers)
    waiting = busy / (sum(offered**k / math.factorial(k) for k in range(servers)) + busy)
    theory = waiting / (servers / mean - rate)
    assert result.waited_s / result.requests == pytest.approx(theory, rel=0.05)


def test_fast_and_exact_agree_where_service_times_are_equal() -> None:
    rng = np.random.default_rng(4)
    arrivals = np.sort(rng.uniform(0, 20, 4000))
    services = np.full(4000, 0.02)
    for count, longest in ((3, NEVER), (4, NEVER), (5, NEVER)):
        exact, fast = Exact(count, longest), Fast(count, longest, 0.02)
        together = exact.serve(arrivals, services)
        parts = [
            fast.serve(part, services[: len(part)])
            for part in np.split(arrivals, np.searchsorted(arrivals, range(1, 20)))
        ]
        assert np.concatenate(parts) == pytest.approx(together, abs=1e-9)


# -- by hand


def test_waits_by_hand() -> None:
    servers = Exact(2, 0.5)
    arrivals = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 5.0])
    services = np.ones(6)
    # Two begin at once; the others would wait 0.8, 0.8, 0.7 s, more than 0.5: refused.
    assert servers.serve(arrivals, services).tolist()[:2] == [0.0, 0.0]
    assert np.isnan(Exact(2, 0.5).serve(arrivals, services)).tolist() == [False, False, True, True, True, False]
    waits = Exact(2, NEVER).serve(arrivals, services)
    assert waits == pytest.approx([0, 0, 0.8, 0.8, 1.6, 0])
    late = Exact(1, NEVER)
    late.resize(0.05, 2)
    assert late.serve(arrivals, services) == pytest.approx([0, 0, 0.8, 0.8, 1.6, 0])


def test_instances_by_hand() -> None:
    """600 requests a minute against a target of 100: three points, two minutes late, then as many as fit, at once."""
    semantics = Semantics(start_s=120)
    result = simulate(trace(*[600] * 12), Instance((0.01,)), Policy(1, 4, 100), semantics, arrivals="even")
    # The third point ends at 180 s and is seen at 300 s: 4 are wanted from the minute that begins then.
    assert result.wanted == [1] * 5 + [4] * 7
    # They answer 120 s later.
    assert result.in_service == [1] * 7 + [4] * 5
    # One for the first 300 s, four for the other 420 s: they are paid from their launch.
    assert result.instance_seconds == 300 + 4 * 420


def test_scale_in_by_hand() -> None:
    policy = Policy(1, 4, 100, out_cooldown_s=0, in_cooldown_s=120)
    scaler = Scaler(policy, Semantics())
    scaler.wanted = 4
    wanted = []
    for minute in range(1, 26):
        scaler.put(minute * 60, 10.0, 4)
        wanted.append(scaler.look(minute * 60))
    # 15 points below 90, seen 2 minutes late: minute 17. Then one for each cool-down of 2 minutes.
    assert wanted == [4] * 16 + [3] * 2 + [2] * 2 + [1] * 5


def test_a_target_taken_for_requests_at_once() -> None:
    """The mistake of the family: 10 was meant as ten at once, and is one in six seconds."""
    quiet = trace(*[30] * 60)
    family = simulate(quiet, Instance((0.05,)), compare.parse("1-4@10/min"))
    meant = simulate(quiet, Instance((0.05,)), compare.parse("1-4@10x"))
    assert max(family.in_service) >= 3 and max(meant.in_service) == 1
    assert family.instance_seconds > 2.5 * meant.instance_seconds


# -- laws

COUNTS = st.lists(st.integers(0, 400), min_size=1, max_size=40)
STEPS = st.sets(st.integers(1, 300), max_size=3).flatmap(
    lambda above: st.sets(st.integers(1, 5), min_size=len(above), max_size=len(above)).map(
        lambda more: tuple(zip(sorted(above), sorted(more), strict=True))
    )
)


def windows(smallest: int, largest: int, change_s: int, more: int) -> Bounds:
    """Every other `change_s` seconds so many more, at the least and at the most."""
    return lambda now: (smallest, largest) if now // change_s % 2 else (smallest + more, largest + more)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    smallest, more = draw(st.integers(0, 4)), draw(st.integers(1, 6))
    metric = draw(st.sampled_from(["invocations", "concurrency"]))
    bounds = windows(smallest, smallest + more, draw(st.integers(30, 900)), draw(st.integers(1, 3)))
    return Policy(
        smallest,
        smallest + more,
        draw(st.floats(0.5, 500)),
        metric,  # type: ignore[arg-type]
        *draw(st.tuples(st.integers(0, 600), st.integers(0, 600))),
        scale_in=draw(st.booleans()),
        steps=draw(STEPS) if metric == "invocations" else (),
        bounds=draw(st.none() | st.just(bounds)),
    )


@given(COUNTS, policies(), st.integers(1, 90), st.booleans(), st.integers(1, 3), st.integers(0, 400))
@settings(max_examples=60, deadline=None)
def test_requests_in_are_served_or_failed(
    counts: list[int], policy: Policy, step_s: int, exact: bool, threads: int, start_s: int
) -> None:
    """Also with steps, with windows, and from none; and there are never fewer or more instances than allowed."""
    instance, semantics = Instance((0.5, 0.1), threads, longest_wait=1.0), Semantics(start_s=start_s)
    asked = trace(*counts, step_s=step_s)
    result = simulate(asked, instance, policy, semantics, exact=exact)
    assert result.requests == sum(counts) == result.failed + result.latencies.count
    assert (sum(result.per_minute), sum(result.failures)) == (result.requests, result.failed)
    seconds = asked.seconds
    assert len(result.in_service) == len(result.wanted) == len(result.p95) == math.ceil(seconds / 60)
    for minute, (in_service, wanted) in enumerate(zip(result.in_service, result.wanted, strict=True), 1):
        smallest, largest = policy.range(min(60 * minute, seconds) - 1)
        assert 0 <= in_service <= wanted and smallest <= wanted <= largest
    allowed = [policy.range(float(second)) for second in range(seconds)]
    assert sum(few for few, _ in allowed) <= result.instance_seconds <= sum(most for _, most in allowed)
    if policy.smallest and not policy.bounds:
        assert min(result.in_service) >= policy.smallest


@given(COUNTS, st.integers(0, 2000))
@settings(max_examples=20, deadline=None)
def test_none_at_all_costs_nothing_until_somebody_comes(counts: list[int], wake_s: int) -> None:
    semantics = Semantics(wake_s=wake_s, wake_start_s=100)
    result = simulate(trace(*counts), Instance((0.1,)), Policy(0, 2, NEVER), semantics, arrivals="even")
    first = next((minute for minute, count in enumerate(counts) if count), len(counts))
    assert result.in_service[:first] == [0] * first
    # The first minute with requests begins the wait, one second of it at the earliest.
    assert result.instance_seconds <= 2 * max(0, 60 * (len(counts) - first) - wake_s)
    assert result.failed >= min(1, sum(counts))


@given(COUNTS, st.integers(1, 5), st.integers(1, 3), st.booleans())
@settings(max_examples=40, deadline=None)
def test_more_instances_never_wait_longer_nor_cost_less(counts: list[int], few: int, more: int, exact: bool) -> None:
    instance = Instance((0.8,), 1, NEVER)
    small = simulate(trace(*counts), instance, fixed(few), exact=exact)
    large = simulate(trace(*counts), instance, fixed(few + more), exact=exact)
    assert large.waited_s <= small.waited_s + 1e-6
    assert large.instance_seconds >= small.instance_seconds


def test_the_same_seed_gives_the_same_result() -> None:
    one, other = (simulate(trace(500, 700, 20), Instance((0.1, 0.2), 2), fixed(2), seed=5) for _ in range(2))
    assert one.to_json(None) == other.to_json(None)


def test_the_search_finds_the_cheapest_that_holds() -> None:
    busy = trace(*([60] * 20 + [600] * 20))
    instance, goal = Instance((0.5,), 2, 10.0), compare.Goal(3.0)
    told: list[Policy] = []
    best, tried = compare.search(busy, instance, goal, Policy(1, 5, 1.0), Semantics(start_s=60), 0, told.append)
    assert told == list(compare.candidates(instance, Policy(1, 5, 1.0))) and len(told) == len(tried)
    assert best is not None and goal.holds(best)
    assert all(not goal.holds(other) or other.instance_seconds >= best.instance_seconds for other in tried)
    nothing, _ = compare.search(
        busy, Instance((0.9,), 1, 10.0), compare.Goal(0.1), Policy(1, 2, 1.0), Semantics(), seed=0
    )
    assert nothing is None


@given(st.integers(1, 8), st.floats(1e-4, 900.0), st.integers(0, 900), st.integers(0, 900))
@settings(max_examples=30, deadline=None)
def test_the_search_tries_policies_of_the_same_cool_downs(largest: int, service_s: float, out: int, into: int) -> None:
    instance = Instance((service_s,))
    asked = Policy(0, largest, 5.0, "concurrency", out, into, scale_in=False)
    tried = list(compare.candidates(instance, asked))
    assert {(one.largest, one.out_cooldown_s, one.in_cooldown_s, one.scale_in) for one in tried} == {
        (largest, out, into, False)
    }
    assert all(1 <= one.smallest <= largest and 0 < one.target < compare.capacity(instance) for one in tried)
    assert len({(one.smallest, one.target) for one in tried}) == len(tried)


@pytest.mark.parametrize(
    "text", ["", "4", "1-4", "0-0@10", "4-1@10", "1-4@0", "1-4@-3", "1-4@nan", "1-4@10/h", "a-b@c", "1-4@1e400"]
)
def test_nonsense_is_no_policy(text: str) -> None:
    with pytest.raises(UsageError):
        compare.parse(text)
