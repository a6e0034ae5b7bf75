"""The start script of a machine: what ends it comes first, it holds no secret, and it fits."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dogbreed.cloud.ec2_boot import MOST_BYTES, user_data
from dogbreed.cloud.machine_agent import Orders
from dogbreed.errors import DogbreedError

ORDERS = Orders("b-1", "20261125-1", "data/d", 2, [0, 1], 1, 600, 900, "/dogbreed/x", launch="1", restarts=2)


def script(orders: Orders = ORDERS) -> str:
    return user_data(orders, region="eu-west-1", key="code/c/code.tar.gz", sha256="0" * 64)


def test_the_dead_mans_switch_comes_before_anything_that_can_fail() -> None:
    lines = [line for line in script().splitlines() if line and not line.startswith("#")]
    assert lines[:3] == [
        "shutdown -h +10 'dogbreed: the time limit is reached'",
        "(sleep 600; shutdown -h now) &",
        "trap 'shutdown -h now' EXIT",
    ]


@given(st.floats(min_value=1, max_value=432_000))
def test_the_clock_never_allows_more_than_the_limit_rounded_up_to_a_minute(limit: float) -> None:
    text = script(Orders(**{**asdict(ORDERS), "limit_s": limit}))
    minutes, seconds = (int(re.search(pattern, text)[1]) for pattern in (r"-h \+(\d+)", r"sleep (\d+); shut"))  # type: ignore[index]
    assert seconds <= limit < minutes * 60 + 60
    assert minutes >= 1


def test_the_orders_arrive_as_they_were_given() -> None:
    told = script().split("<<'END'\n")[1].split("\nEND\n")[0]
    assert Orders(**json.loads(told)) == ORDERS


def test_it_is_a_script_and_holds_no_secret() -> None:
    text = script()
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
    assert not re.search(r"AKIA|ASIA|SECRET|TOKEN|PASSWORD", text, re.IGNORECASE)
    assert "sha256sum --check" in text


def test_too_long_a_script_is_refused_here() -> None:
    with pytest.raises(DogbreedError, match="longer"):
        script(Orders(**{**asdict(ORDERS), "log_group": "x" * MOST_BYTES}))
