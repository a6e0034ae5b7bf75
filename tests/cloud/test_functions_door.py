"""The door `lambda`: its memory and price have a reason, and a new run takes over behind the alias."""

from __future__ import annotations

import io
import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from laws import apply, unchanged
from photos import picture

from dogbreed import plan
from dogbreed.cloud.serving import function, function_need, rolling_back
from dogbreed.cloud.serving.deployment import Deployment
from dogbreed.cloud.serving.function_need import Need
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings, DeploySettings
from dogbreed.errors import DogbreedError, UsageError
from dogbreed.rehearse.state import Server
from dogbreed.run import STARTER, Run

SETTINGS = DeploySettings(to="lambda")


@pytest.fixture
def quick(account: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(plan, "_READY_EVERY_S", 0.02)
    account.ask("speed", speed=100)
    yield
    account.ask("speed", speed=1)


def wanted(settings: DeploySettings = SETTINGS, region: str = "us-east-1", run: Run | None = None) -> Deployment:
    return Deployment(Aws(AwsSettings(region=region)), settings, run or Run.open(STARTER))


def apply_plan(made: plan.Plan) -> list[str]:
    return [f"{step.sign} {step.resource.kind}" for step in made.apply()]


def jpeg() -> bytes:
    data = io.BytesIO()
    picture(1, (320, 240)).save(data, "JPEG")
    return data.getvalue()


def other_run(folder: Path) -> Run:
    """The starter, less sure of itself."""
    starter = Run.open(STARTER)
    folder.mkdir()
    shutil.copy(STARTER / "model.onnx", folder)
    info = {key: value for key, value in starter.info.items() if key not in ("sha256", "files")}
    return Run(folder, {}).finish(info | {"temperature": 2.0})


@pytest.mark.slow
def test_another_run_takes_over_behind_the_alias(quick: None, tmp_path: Path) -> None:
    told: list[str] = []
    first = replace(wanted(region=""), tell=told.append)
    apply(function.resources(first))
    assert "1769 MB, one whole processor" in told[0]
    before = function.client(first.aws).predict(jpeg())
    with pytest.raises(DogbreedError, match="one model only"):
        rolling_back.plan(first.aws, "", lambda words: None)
    newer = other_run(tmp_path / "other")
    second = function.resources(replace(first, run=newer))
    assert {step.resource.kind: step.why for step in plan.make(second).changes} == {
        "code": "",
        "function": "code",
        "function alias": "code",
    }
    apply(second)
    assert unchanged(second)
    after = function.client(first.aws).predict(jpeg())
    assert after.breed == before.breed
    assert (after.confidence or 1) < (before.confidence or 0)
    assert set(function.calls(first.aws)) == {"dogbreed", "boto3"}
    # Another size of the same model is no model before.
    apply(function.resources(replace(first, run=newer, settings=replace(SETTINGS, memory_mb=1800))))

    def confidence() -> float:
        return function.client(first.aws).predict(jpeg()).confidence or 0

    for expected in (before.confidence, after.confidence, before.confidence):
        assert apply_plan(rolling_back.plan(first.aws, "", lambda words: None)) == ["~ function alias"]
        assert confidence() == pytest.approx(expected or 0)
    # What went back is deployed again as any other run is.
    apply(second)
    assert confidence() == pytest.approx(after.confidence or 0)
    assert unchanged(second)


@pytest.mark.parametrize(
    ("peak_mb", "given", "expected", "words"),
    [
        (164.0, 0, 1769, "one whole processor"),
        (1179.0, 0, 1769, "one whole processor"),
        (1500.0, 0, 2304, "half as much again"),
        (164.0, 512, 512, "29% of a processor"),
        (700.0, 512, 512, "it may fail"),
    ],
)
def test_memory_is_a_whole_processor_or_what_the_model_needs(
    peak_mb: float, given: int, expected: int, words: str
) -> None:
    memory, why = function.memory(given, Need(peak_mb, load_s=0.3, photo_s=0.02))
    assert memory == expected
    assert words in why and f"{peak_mb:.0f} MB" in why


def test_a_month_costs_by_use_alone_unless_copies_are_kept() -> None:
    gb, second, million = Decimal(1769) / 1024, Decimal("0.0000166667"), Decimal("0.2")
    # Billed by the millisecond.
    took = Decimal(math.ceil(function_need.measured(Run.open(STARTER)).photo_s * 1000)) / 1000
    by_use = 1_000_000 * took * gb * second + million
    assert function.monthly(wanted(), 1_000_000).by_use == by_use
    assert function.monthly(wanted(), 0).usd == 0
    half = function.monthly(wanted(replace(SETTINGS, memory_mb=885)), 1_000_000).by_use
    # Half of a processor takes twice as long, for half the price; both are rounded up to a millisecond.
    assert half is not None and abs(half - by_use) <= 1_000_000 * gb * second / 1000
    kept = function.monthly(wanted(replace(SETTINGS, provisioned_concurrency=1)), 0)
    assert kept.usd == round(gb * Decimal("0.0000041667") * 3600 * 730, 2)
    assert function.monthly(wanted(region="eu-west-1"), 1).usd is None
    assert function.waking(wanted(replace(SETTINGS, provisioned_concurrency=1))) == "always awake"
    assert "quiet" in function.waking(wanted())


@pytest.mark.parametrize(
    "settings", [replace(SETTINGS, image="x"), replace(SETTINGS, memory_mb=64), replace(SETTINGS, memory_mb=127)]
)
def test_what_such_a_function_cannot_have(settings: Any) -> None:
    with pytest.raises(UsageError):
        function.check(settings, AwsSettings())
    function.check(SETTINGS, AwsSettings())


def test_the_measured_process_is_not_this_one() -> None:
    """This one's memory would be counted where the kernel is asked about children."""
    ballast = bytearray(600 * 2**20)
    function_need._measured.cache_clear()
    assert function_need.measured(Run.open(STARTER)).peak_mb < len(ballast) / 2**20
