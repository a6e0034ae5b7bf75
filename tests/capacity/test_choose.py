"""The choice of machines: laws of the model, and that money is never spent on a guess."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dogbreed.capacity import backbones
from dogbreed.capacity.choose import Job, choose, compute_seconds, estimate, fewer, training_seconds
from dogbreed.pricing import Prices

PRICES = Prices.load()
SMALL = Job(1000, 1231, 18_000_000, 40, 64, "head", "starter")
LARGE = Job(100_000, 120_000, 12_000_000_000, 30, 256, "finetune", "resnet50")
JOBS = st.builds(
    Job,
    train_photos=st.integers(1, 200_000),
    photos=st.integers(200_000, 300_000),
    bytes=st.integers(10**6, 10**11),
    epochs=st.integers(1, 100),
    batch=st.sampled_from([16, 64, 256]),
    method=st.sampled_from(["head", "finetune"]),
    backbone=st.sampled_from([*backbones.SIZES, "of_my_own"]),
)
# Those that PyTorch trains on; of others no speed is known.
MACHINES = st.sampled_from([one for one in PRICES.instances.values() if not one.name.startswith("inf")])
COUNTS = st.integers(1, 16)
USES = st.sampled_from(["training", "ec2"])


@settings(deadline=None)
@given(JOBS, MACHINES, COUNTS)
def test_more_machines_never_make_the_arithmetic_longer(job: Job, machine: object, count: int) -> None:
    one, more = (compute_seconds(job, machine, number) for number in (count, count + 1))  # type: ignore[arg-type]
    assert more <= one * 1.000001


@settings(deadline=None)
@given(JOBS, MACHINES, COUNTS)
def test_more_of_anything_never_takes_less_time(job: Job, machine: object, count: int) -> None:
    seconds = training_seconds(job, machine, count)[0]  # type: ignore[arg-type]
    assert seconds > 0
    for larger in (replace(job, epochs=job.epochs + 1), replace(job, bytes=job.bytes * 2)):
        assert training_seconds(larger, machine, count)[0] >= seconds * 0.999999  # type: ignore[arg-type]


@settings(deadline=None)
@given(JOBS, MACHINES, COUNTS, USES)
def test_the_cost_is_the_machines_hours_from_the_start(job: Job, machine: object, count: int, use: str) -> None:
    option = estimate(job, machine, count, PRICES, "us-east-1", use=use)  # type: ignore[arg-type]
    assert option.seconds > option.start_s > 100
    figure = PRICES.hourly(option.instance, "us-east-1")
    if figure is None:
        assert option.usd is None
    else:
        assert option.usd == pytest.approx(figure.usd * count * Decimal(option.seconds) / 3600, abs=Decimal("0.0001"))


@settings(deadline=None)
@given(JOBS, st.sampled_from(["us-east-1", "eu-west-1", "eu-central-1"]), USES)
def test_what_costs_an_unknown_amount_comes_after_what_does_not(job: Job, region: str, use: str) -> None:
    choice = choose(job, PRICES, region, use=use)  # type: ignore[arg-type]
    known = [option.usd is not None for option in choice.options]
    assert known == sorted(known, reverse=True)
    for option in choice.options:
        assert (option.usd is None) == (PRICES.hourly(option.instance, region) is None)
        if option.usd is None:
            assert "cost unknown" in option.words() and "unknown" in option.price
    assert {option.instance for option in choice.options}.isdisjoint(choice.left_out)


def test_a_region_without_prices_is_not_sold_the_fastest_machine() -> None:
    best = choose(SMALL, PRICES, "eu-central-1").best[0]
    assert best.instance == choose(SMALL, PRICES, "us-east-1").best[0].instance
    assert any("no price is known" in said for said in choose(SMALL, PRICES, "eu-central-1").advice)


def test_a_small_job_gets_one_small_machine_and_hears_why() -> None:
    choice = choose(SMALL, PRICES, "us-east-1")
    assert len(choice.best) == 3
    best = choice.best[0]
    assert (best.count, best.limit) == (1, "the start-up")
    assert best.usd is not None and best.usd < Decimal("0.05")
    assert any("is about as fast as 8" in said for said in choice.advice)
    assert fewer(
        next(one for one in choice.options if one.instance == best.instance and one.count == 8), choice.options
    )


def test_a_large_job_gets_gpus_and_hears_what_more_would_bring() -> None:
    choice = choose(LARGE, PRICES, "us-east-1")
    best = choice.best[0]
    assert PRICES.instance(best.instance).gpus > 0  # type: ignore[union-attr]
    assert any("would take" in said and "in place of" in said for said in choice.advice)
    assert not fewer(best, choice.options)


def test_what_was_measured_takes_the_place_of_the_estimate() -> None:
    machine = PRICES.instance("g5.xlarge")
    assert machine is not None
    guessed = estimate(LARGE, machine, 1, PRICES, "us-east-1")
    slow = estimate(LARGE, machine, 1, PRICES, "us-east-1", measured={"g5.xlarge": guessed.images_per_second / 10})
    assert (guessed.source, slow.source) == ("estimated", "measured")
    assert slow.seconds > 5 * guessed.seconds
    cpu = PRICES.instance("c7i.4xlarge")
    assert cpu is not None
    from_here = estimate(LARGE, cpu, 1, PRICES, "us-east-1", cpu_rate=1.0)
    assert "this machine" in from_here.source
    assert estimate(LARGE, machine, 1, PRICES, "us-east-1", cpu_rate=1.0).source == "estimated"


def test_what_may_not_be_used_is_left_out_with_the_reason() -> None:
    choice = choose(LARGE, PRICES, "us-east-1", allowed=lambda name, count: "no quota" if "g5" in name else "")
    assert not [option for option in choice.options if "g5" in option.instance]
    assert choice.left_out["ml.g5.xlarge"] == "no quota"
    assert "x86-64" in choose(LARGE, PRICES, "us-east-1", use="ec2").left_out["c7g.xlarge"]
    assert "may not fit" in choose(replace(LARGE, batch=4096), PRICES, "us-east-1").left_out["ml.g4dn.xlarge"]
    quick = choose(LARGE, PRICES, "us-east-1", max_hours=1)
    assert all(option.seconds <= 3600 for option in quick.options)
    assert "max_hours" in quick.left_out["ml.m5.xlarge"]
    none = choose(LARGE, PRICES, "us-east-1", allowed=lambda name, count: "no")
    assert (none.best, none.advice) == ((), ())


@pytest.mark.slow
def test_sizes_of_backbones_are_those_of_torchvision() -> None:
    from dogbreed.train.torchvision_cpu import torchvision

    models = torchvision().models
    for name, (gmacs, weights) in backbones.SIZES.items():
        if name != "starter":
            made = [one.meta for one in models.get_model_weights(name)]
            smallest = min(made, key=lambda meta: meta["_ops"])
            assert (gmacs, weights) == (smallest["_ops"], round(smallest["num_params"] / 1e6, 1)), name
    known = {name for name in models.list_models(module=models) if list(models.get_model_weights(name))}
    assert known == set(backbones.SIZES) - {"starter"}
