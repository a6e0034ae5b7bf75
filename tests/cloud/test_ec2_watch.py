"""What a run on EC2 is said to be doing, what is replaced, and what it may still cost."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dogbreed.cloud.ec2_fleet import Machine
from dogbreed.cloud.ec2_start import RESERVED_S, seconds
from dogbreed.cloud.ec2_tend import missing
from dogbreed.cloud.ec2_watch import Launch, Seen, state
from dogbreed.cloud.remote import Attempt, RemoteRun, now
from dogbreed.errors import UsageError

RUN = RemoteRun(
    id="r1",
    backend="ec2",
    project="dogbreed",
    account="1",
    region="eu-west-1",
    bucket="b",
    data="data/d/",
    code="code/c",
    instances=2,
    instance_type="g5.xlarge",
    spot=True,
    image="ami-1",
    price_per_hour="1.0",
    price_date="2026-11-23",
    ceiling_usd=None,
    max_seconds=7200,
    created=now(),
    attempts=(Attempt("1", now()),),
)


# Those that are made when this file is read are looked at when all other tests before these are over.
LONG_S = 10 * 86400


def launch(ranks: dict[str, int], *, price: str | None = "1.0", age: float = 600, left: float = LONG_S) -> Launch:
    at = time.time() - age
    return Launch("1", ranks, "g5.xlarge", "eu-west-1a", "subnet-1", True, price, at, time.time() + left)


def machine(name: str, state: str = "running", reason: str = "", age: float = 600) -> Machine:
    began = datetime.now(UTC) - timedelta(seconds=age)
    return Machine(name, "g5.xlarge", "eu-west-1a", state, began, True, {}, reason)


def said(state: str, name: str, *, ended: bool = False, ago: float = 0, why: str = "") -> dict[str, Any]:
    return {"state": state, "instance": name, "ended": ended, "time": time.time() - ago, "why": why}


BOTH = launch({"i-0": 0, "i-1": 1})
ALIVE = {"i-0": machine("i-0"), "i-1": machine("i-1")}
GONE = {name: replace(one, state="terminated") for name, one in ALIVE.items()}


def seen(nodes: dict[int, dict[int, Any]], machines: Any = None, launches: Any = None, stop: str = "") -> Seen:
    return Seen(nodes, {1: BOTH} if launches is None else launches, ALIVE if machines is None else machines, stop)


def trains(first: str = "trains", second: str = "trains", **more: Any) -> dict[int, dict[int, Any]]:
    return {1: {0: said(first, "i-0", **more), 1: said(second, "i-1", **more)}}


@pytest.mark.parametrize(
    ("looked", "status", "detail"),
    [
        (seen({}), "starting", ""),
        (seen(trains("here", "preparing")), "starting", ""),
        (seen(trains()), "running", ""),
        (seen(trains(), stop="1"), "stopping", ""),
        (seen(trains(), stop="0"), "running", ""),
        (seen(trains("waits", "interrupted")), "starting", "waiting for a replacement"),
        (seen(trains("done", "done", ended=True), GONE), "finished", ""),
        (seen(trains("done", "done", ended=True)), "finished", ""),
        (seen(trains("failed", "failed", why="ValueError"), GONE), "failed", "ValueError"),
        (seen(trains("limit", "limit", ended=True, why="the limit"), GONE), "stopped", "the limit"),
        (seen(trains("limit", "interrupted", ended=True, why="x"), GONE), "stopped", "x"),
        (seen(trains(), GONE), "stopped", "its machines are gone"),
        (seen({}, GONE), "failed", "their consoles"),
        (seen({}, {}, {}), "launching", ""),
    ],
)
def test_state(looked: Seen, status: str, detail: str) -> None:
    # Launched now, not when this file was read: a launch of which nothing is seen for long has failed.
    told = state(replace(RUN, created=now(), attempts=(Attempt("1", now()),)), looked)
    assert (told.status, detail in told.detail) == (status, True), told


def test_cost_is_that_of_every_machine_that_was_started_while_it_ran() -> None:
    launches = {1: launch({"i-0": 0, "i-1": 1}), 2: launch({"i-2": 1}, age=300)}
    nodes = {1: {0: said("waits", "i-0"), 1: said("interrupted", "i-1", ended=True, ago=240)}}
    machines = {"i-0": machine("i-0"), "i-1": machine("i-1", "terminated"), "i-2": machine("i-2", age=300)}
    told = state(RUN, seen(nodes, machines, launches))
    assert told.usd is not None
    assert float(told.usd) == pytest.approx((600 + 360 + 300) / 3600, abs=0.01)
    unknown = state(RUN, seen(nodes, machines, {**launches, 2: launch({"i-2": 1}, price=None)}))
    assert unknown.usd is None


@pytest.mark.parametrize(
    ("nodes", "machines", "gone"),
    [
        (trains(), ALIVE, []),
        # Announced, and ended with a checkpoint; or taken without a word from the machine.
        ({1: {0: said("waits", "i-0"), 1: said("interrupted", "i-1", ended=True)}}, ALIVE, [1]),
        (trains(), ALIVE | {"i-1": machine("i-1", "terminated", "Server.SpotInstanceTermination")}, [1]),
        (trains(), ALIVE | {"i-0": machine("i-0", "terminated", "Server.InternalError")}, [0]),
        # Never started well, or ended by a person: another would fare no better.
        ({}, ALIVE | {"i-1": machine("i-1", "terminated", "Server.InternalError")}, []),
        ({}, ALIVE | {"i-1": machine("i-1", "terminated", "Client.InstanceInitiatedShutdown")}, []),
        (trains(), ALIVE | {"i-1": machine("i-1", "terminated", "Client.UserInitiatedShutdown")}, []),
        # The last one was ended so that all could move.
        ({1: {0: said("waits", "i-0"), 1: said("interrupted", "i-1", ended=True)}}, GONE, [0, 1]),
        # At its end.
        (trains("done", "done", ended=True), GONE, []),
        (trains("failed", "interrupted", ended=True), GONE, []),
        (trains("limit", "interrupted", ended=True), GONE, []),
    ],
)
def test_what_is_replaced(nodes: Any, machines: Any, gone: list[int]) -> None:
    assert missing(seen(nodes, machines)) == gone
    assert missing(seen(nodes, machines, stop="1")) == []
    assert missing(seen(nodes, machines, {1: launch({"i-0": 0, "i-1": 1}, left=-1)})) == []


def test_a_replacement_stands_for_the_machine_before_it() -> None:
    launches = {1: BOTH, 2: launch({"i-2": 1})}
    nodes = {1: {1: said("interrupted", "i-1", ended=True)}, 2: {0: said("here", "i-0")}}
    assert missing(seen(nodes, ALIVE | {"i-2": machine("i-2")}, launches)) == []


hours = st.floats(min_value=0.1, max_value=120)
amounts = st.decimals(min_value=Decimal("0.5"), max_value=1000, places=2)


@given(hours, amounts, st.decimals(min_value=Decimal("0.01"), max_value=50, places=3), st.integers(1, 16), amounts)
def test_no_attempt_may_run_longer_than_what_is_left_of_time_and_money(
    limit: float, amount: Decimal, price: Decimal, count: int, spent: Decimal
) -> None:
    run = replace(
        RUN,
        instances=count,
        max_seconds=int(limit * 3600),
        more={"max_usd": float(amount)},
        attempts=(Attempt("1", now(), "stopped", 600, str(spent)),),
    )
    try:
        allowed = seconds(run, price)
    except UsageError:
        dear = spent + price * count * (60 + RESERVED_S) / 3600 > amount
        assert dear or limit * 3600 - 600 < 60
        return
    assert 60 <= allowed <= limit * 3600 - 600
    assert spent + price * count * (allowed + RESERVED_S) / 3600 <= amount


def test_an_amount_needs_a_price() -> None:
    with pytest.raises(UsageError, match="price"):
        seconds(replace(RUN, more={"max_usd": 5.0}), None)
    assert seconds(replace(RUN, more={}), None) == RUN.max_seconds
