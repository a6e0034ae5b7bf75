"""`dogbreed recommend`: the machines for a traffic hold it, more traffic never needs less, and nonsense is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from program import dogbreed

from dogbreed.capacity import recommend, traffic
from dogbreed.pricing import Prices

PRICES = Prices.load()


def test_a_quiet_service_is_cheaper_by_the_call_and_the_commands_are_filled_in(tmp_path: Path) -> None:
    done = dogbreed("recommend", "--traffic", "1/s", "--p99", "500ms", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    best = told["options"][0]
    assert (best["min"], best["max"]) == (1, 1)
    assert best["p99_ms"] <= 500
    assert told["commands"] == [
        f"dogbreed deploy --to endpoint --instance-type {best['instance_type']} --instances 1",
        next(one for one in told["commands"] if "--to lambda" in one),
    ]


def test_the_last_load_test_says_how_long_a_photo_takes(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "loadtests"
    folder.mkdir(parents=True)
    told = {"verdict": {}, "steps": [{"p50_ms": 37.5}]}
    (folder / "1.json").write_text(json.dumps(told))
    done = dogbreed("recommend", "--traffic", "1/s", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["service_ms"] == 37.5


def test_what_no_machine_holds_and_what_cannot_be(tmp_path: Path) -> None:
    done = dogbreed("recommend", "--traffic", "1/s", "--p99", "15ms", "--service-ms", "15", cwd=tmp_path)
    assert (done.returncode, "--service-ms is more than 0 and less than --p99" in done.stderr) == (2, True)
    for wrong in (
        ["--traffic", "0/s"],
        ["--traffic", "1/s", "--p99", "soon"],
        ["--traffic", "missing.csv"],
        ["--traffic", "9/day"],
    ):
        assert dogbreed("recommend", *wrong, cwd=tmp_path).returncode == 2
    done = dogbreed("recommend", "--traffic", "90000/s", "--service-ms", "400", "--p99", "500ms", cwd=tmp_path)
    assert (done.returncode, "no type holds" in done.stderr) == (3, True)


@pytest.mark.parametrize("rate", [5, 150])
def test_each_option_holds_and_types_of_one_size_differ_by_price_alone(rate: float) -> None:
    found = recommend.options(recommend.even(rate), 0.02, 0.2, PRICES, "us-east-1")
    assert found
    assert all(one.p99_ms <= 200 for one in found)
    # What is at work at the same time: no option has less than that.
    assert all(one.machines * one.vcpu >= rate * 0.02 for one in found)
    by_size = {(one.vcpu, one.scales): {other.machines for other in found if other.vcpu == one.vcpu} for one in found}
    assert all(len(machines) <= 2 for machines in by_size.values())
    known = [one.month for one in found if one.month is not None]
    assert known == sorted(known)


def test_more_traffic_never_costs_less() -> None:
    months = [recommend.options(recommend.even(rate), 0.02, 0.2, PRICES, "us-east-1")[0].month for rate in (10, 150)]
    assert months == sorted(months, key=lambda one: one or 0)


def test_an_unknown_price_stays_unknown_and_comes_last() -> None:
    found = recommend.options(recommend.even(1), 0.02, 0.2, PRICES, "eu-west-1")
    unknown = [one.month is None for one in found]
    assert any(unknown)
    assert unknown == sorted(unknown)


def test_a_region_that_cannot_be_is_refused(tmp_path: Path) -> None:
    for words in (("recommend", "--traffic", "1/s", "--p99", "500ms"), ("iam", "policy", "--for", "loadtest")):
        done = dogbreed(*words, "--region", "mars", cwd=tmp_path)
        assert (done.returncode, done.stdout, "there is no AWS region mars" in done.stderr) == (2, "", True), (
            done.stderr
        )


def test_where_no_price_is_known_those_of_another_region_are_shown_as_that() -> None:
    abroad = recommend.options(recommend.even(1), 0.02, 0.2, PRICES, "eu-central-1")
    assert {one.month for one in abroad} == {None}
    shown, region = recommend.priced_in(abroad, PRICES, "eu-central-1")
    at_home = recommend.options(recommend.even(1), 0.02, 0.2, PRICES, "us-east-1")
    assert (shown, region) == (at_home, "us-east-1")
    assert recommend.priced_in(at_home, PRICES, "us-east-1") == (at_home, "us-east-1")


def test_the_busiest_hour() -> None:
    counts = np.full(24 * 60, 10, np.int64)
    counts[600:660] = 50
    hour = recommend.busiest(traffic.Trace(counts, 60))
    assert (len(hour.counts), set(hour.counts.tolist())) == (60, {50})
