"""One price: what a plan says of a month is what `auto` said before, and `cost` and `status` say afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from deployed import TINY, deploy, pushed, wanted
from hypothesis import given
from hypothesis import strategies as st
from program import dogbreed

from dogbreed import plan as planning
from dogbreed import priced
from dogbreed.cloud import budget
from dogbreed.cloud.budget import Budget
from dogbreed.cloud.serving import choosing, deploying
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings
from dogbreed.errors import DogbreedError
from dogbreed.priced import Part, Price
from dogbreed.rehearse.state import Server
from dogbreed.run import STARTER, Run

PLACE = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
MACHINE, DISK, ADDRESS, BALANCER = Decimal("0.085"), Decimal("0.08") * 16 / 730, Decimal("0.005"), Decimal("0.0225")


def said(command: str, folder: Path) -> dict[str, Any]:
    done = dogbreed(command, "--json", cwd=folder, **PLACE)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def lines(told: list[dict[str, Any]]) -> dict[str, Decimal]:
    return {one["name"]: Decimal(one["usd_per_month"]) for one in told}


@pytest.fixture
def hasty(account: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """An account of the region whose prices are known, with a fast clock."""
    for name, value in PLACE.items():
        monkeypatch.setenv(name, value)
    account.ask("speed", speed=20)
    yield account
    account.ask("speed", speed=1)


def apply(wanted: list[Budget]) -> None:
    for _ in planning.make(wanted).apply():
        pass


@pytest.mark.slow
@pytest.mark.parametrize(
    ("to", "settings", "hour", "names"),
    [
        ("ec2", {"single": True}, MACHINE + DISK + ADDRESS, ["machine", "disk", "address"]),
        (
            "ec2",
            {"instances": 2},
            2 * (MACHINE + DISK + ADDRESS) + BALANCER,
            ["machine", "disk", "address", "load balancer"],
        ),
        ("endpoint", {"instances": 2, "instance_type": "ml.m5.large"}, 2 * Decimal("0.115"), ["instance"]),
    ],
    ids=["a single machine", "machines behind a balancer", "an endpoint"],
)
def test_the_plan_and_what_is_there_cost_the_same(
    hasty: Server, tmp_path: Path, to: str, settings: dict[str, Any], hour: Decimal, names: list[str]
) -> None:
    aws = Aws(AwsSettings(region="us-east-1"))
    # A balancer asks what machines run, which is the service itself.
    one = wanted(aws, Run.open(STARTER), "" if "load balancer" in names else pushed(aws, TINY), to, **settings)
    made = deploying.plan(one)
    plan = deploying.price(made)
    month = priced.month(plan.hourly) or Decimal(0)
    assert month == priced.cents(hour * 730)
    # A budget refuses it by the same price, to the cent.
    apply([Budget(aws, month - Decimal("0.01"))])
    with pytest.raises(DogbreedError, match=f"an hour, \\${month} a month"):
        budget.check(aws, made)
    apply([Budget(aws, month)])
    budget.check(aws, made)
    (auto,) = [found for found in choosing.options(one, 0, look=True) if found.to == to]
    assert auto.usd == month
    flags = [f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}") for name, value in settings.items()]
    words = ("deploy", "--to", to, "--run", "starter", *flags, "--dry-run", "--json")
    told = json.loads(dogbreed(*words, cwd=tmp_path, DOGBREED_DEPLOY_IMAGE=one.settings.image, **PLACE).stdout)
    assert Decimal(told["usd_per_month"]) == month
    assert sorted(lines(told["price"])) == sorted(names)
    deploy(one)
    assert deploying.price(deploying.plan(one)) == plan
    for command in ("cost", "status"):
        told = said(command, tmp_path)
        assert Decimal(told["usd_per_month"]) == month
        assert priced.month(Decimal(told["usd_per_hour"])) == month
        parts = lines(told["price"])
        assert sorted(parts) == sorted(names)
        assert parts == {part.name: priced.month(part.hourly) for part in plan.parts}


amounts = st.decimals("0.0000000001", 100, places=10)
prices = st.lists(st.tuples(st.sampled_from("abc"), st.none() | amounts), max_size=3).map(
    lambda those: Price(tuple(Part(name, usd) for name, usd in dict(those).items()))
)


@given(st.lists(prices, max_size=4), st.integers(0, 5))
def test_sums_are_the_same_in_every_order_and_unknown_stays_unknown(those: list[Price], count: int) -> None:
    whole = priced.total(those)
    assert whole.hourly == priced.total(reversed(those)).hourly
    assert (whole.hourly is None) == any(one.hourly is None for one in those)
    assert whole.times(count).hourly == priced.total([whole] * count).hourly
    by_name = [part.hourly for one in those for part in one.parts]
    assert whole.hourly is None or whole.hourly == whole.known
    if None not in by_name:
        assert whole.hourly == sum(filter(None, by_name), Decimal(0))


def test_what_a_region_lacks_is_unknown_by_name() -> None:
    here = priced.machine("c6i.large", "us-east-1", gb=16, address=True)
    assert [part.name for part in here.parts] == ["machine", "disk", "address"]
    assert here.times(2).hourly == 2 * (MACHINE + round(DISK, 10) + ADDRESS)
    there = priced.machine("c6i.large", "eu-central-1", gb=16, address=True)
    assert [part.hourly for part in there.parts] == [None, None, None]
    assert (there.hourly, priced.month(there.hourly), there.times(0).hourly) == (None, None, 0)
    # A disk of another kind, or one that nobody may look at.
    assert priced.machine("c6i.large", "us-east-1", gb=16, disk="io2", address=False).hourly is None
    assert priced.machine("c6i.large", "us-east-1", gb=None, address=False).hourly is None
    # A price of long ago says so.
    (old,) = priced.instances("ml.m5.xlarge", "eu-west-1", 2).parts
    assert (old.of, old.aged(), here.parts[0].aged(date(2026, 11, 25))) == ("2023-12", True, False)
    assert (priced.instances("ml.m5.xlarge", "eu-west-1", 1) + Price((replace(old, of="2026-09-27"),))).parts[0].aged()
    stopped = priced.machine("c6i.large", "us-east-1", gb=16, address=True, runs=False)
    assert priced.month(stopped.hourly) == Decimal("1.28")
    # Without a disk there is no price of one that could be unknown.
    (alone,) = priced.machine("c6i.large", "us-east-1", gb=0, disk="io2", address=False).parts
    assert (alone.name, alone.hourly) == ("machine", MACHINE)
