"""`dogbreed cost` as people run it: sums, a budget that later plans keep, prices read from AWS's list."""

from __future__ import annotations

import json
import os
from pathlib import Path

import scaled
from program import dogbreed

from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings
from dogbreed.pricing import Prices
from dogbreed.rehearse.state import Server

PLACE = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}


def test_an_empty_account_costs_nothing(account: Server, tmp_path: Path) -> None:
    done = dogbreed("cost", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "now: $0.00 an hour" in done.stdout
    assert "no budget: dogbreed cost --budget 50/month" in done.stderr
    told = json.loads(dogbreed("cost", "--json", cwd=tmp_path).stdout)
    assert (told["usd_per_hour"], told["usd_forecast"], told["budget"]) == ("0", "0.0000", None)


def test_a_budget_refuses_what_would_exceed_it(account: Server, tmp_path: Path) -> None:
    there = Aws(AwsSettings(region="us-east-1"))
    before = len(account.ask("calls"))
    made = dogbreed("cost", "--budget", "100/month", "--alert", "me@example.org", "--yes", cwd=tmp_path, **PLACE)
    assert made.returncode == 0, made.stderr
    assert "only once dogbreed:project is activated" in made.stderr
    again = dogbreed("cost", "--budget", "100/month", "--alert", "me@example.org", cwd=tmp_path, **PLACE)
    assert (again.returncode, "nothing to change" in again.stderr) == (0, True)
    assert dogbreed("cost", cwd=tmp_path, **PLACE).returncode == 0
    assert scaled.unlisted(account.ask("calls")[before:], "cost", "status") == set()
    scaled.function(there)
    # 2 GB kept started are $0.03 an hour, $21.90 a month, each.
    within = dogbreed("scale", "--target", "70%", "--max", "4", "--dry-run", cwd=tmp_path, **PLACE)
    assert (within.returncode, "$0.0300 to $0.1200 an hour" in within.stderr) == (0, True), within.stderr
    above = dogbreed("scale", "--target", "70%", "--max", "5", "--yes", cwd=tmp_path, **PLACE)
    assert above.returncode == 1
    assert "the budget of $100.00 a month (dogbreed-budget) does not allow this" in above.stderr
    assert scaled.registered("lambda") == []
    told = json.loads(dogbreed("cost", "--json", cwd=tmp_path, **PLACE).stdout)
    assert told["budget"]["usd_per_month"] == "100"
    assert dogbreed("cost", "--budget", "off", "--yes", cwd=tmp_path, **PLACE).returncode == 0
    assert dogbreed("scale", "--target", "70%", "--max", "5", "--yes", cwd=tmp_path, **PLACE).returncode == 0
    late = dogbreed("cost", "--budget", "5/month", "--dry-run", cwd=tmp_path, **PLACE)
    assert (late.returncode, "what is there already costs $21.90 a month" in late.stderr) == (0, True), late.stderr


def test_prices_are_read_from_awss_list_and_kept(account: Server, tmp_path: Path) -> None:
    cache = {"DOGBREED_CACHE_DIR": os.fspath(tmp_path / "cache")}
    done = dogbreed("cost", "--refresh", "--json", "--region", "us-east-1", cwd=tmp_path, **cache)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["found"] > 100
    assert told["changed"] == []
    table = Prices(json.loads((tmp_path / "cache" / "prices.json").read_text()))
    figure = table.hourly("ml.m5.large", "us-east-1", "hosting")
    assert figure
    assert figure.source.startswith("AWS Price List")
    # Which regions are unknown stays so, and offline the table stays as it is.
    account.ask("fault", kind="deny", target="pricing:*")
    before = (tmp_path / "cache" / "prices.json").read_bytes()
    refused = dogbreed("cost", "--refresh", "--region", "us-east-1", cwd=tmp_path, **cache)
    assert (refused.returncode, "not allowed: pricing:GetProducts" in refused.stderr) == (4, True), refused.stderr
    assert (tmp_path / "cache" / "prices.json").read_bytes() == before


def test_nonsense_is_refused(account: Server, tmp_path: Path) -> None:
    for wrong in ("--budget 0", "--budget 50/day", "--alert a@b.org", "--budget 5 --refresh", "--budget 5 --alert me"):
        done = dogbreed("cost", *wrong.split(), "--yes", cwd=tmp_path)
        assert (done.returncode, "hint: " in done.stderr) == (2, True), wrong
    assert [call for call in account.ask("calls") if ":user/" in call["who"]] == []
