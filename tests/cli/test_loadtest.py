"""`dogbreed loadtest` of what is deployed, and `scale --simulate` on what an endpoint was really asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
import standin
from program import dogbreed
from rehearse import handlers, serving

from dogbreed.capacity import load
from dogbreed.cli.loadtest_target import Price
from dogbreed.cloud.serving.load_targets import EndpointTarget, FunctionTarget
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings
from dogbreed.pricing import Prices
from dogbreed.rehearse.state import Server, StandIn

pytestmark = pytest.mark.slow

# Both answer with the status that the photo says; the function fails at 0.
CONTAINER = serving.SMALL.replace(b"        told = {", b"        return self.say(int(body), b'{}')\n        told = {")
FUNCTION = """
import base64

def handler(event, context):
    return {"statusCode": int(base64.b64decode(event["body"])) or 1 / 0, "body": "{}"}
"""
# Of the few whose price in this region the packaged table knows.
SIZE = "ml.m5.xlarge"


@pytest.fixture(scope="module")
def deployed(own_world: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The function of `dogbreed deploy`, and an endpoint and a function `told` that answer as they are told."""
    with StandIn(**standin.QUICK, REHEARSE_ENDPOINT_START_S="0.1") as server, pytest.MonkeyPatch.context() as patch:
        standin.emptied(server, patch)
        done = dogbreed("deploy", "--to", "lambda", "--run", "starter", "--yes", cwd=tmp_path_factory.mktemp("deploy"))
        assert done.returncode == 0, done.stderr
        standin.bucket()
        standin.role()
        picture = serving.image("told", {"dogbreed/__init__.py": b"", "dogbreed/__main__.py": CONTAINER})
        variant = serving.variant(serving.model("told", picture), InstanceType=SIZE)
        serving.create("told", serving.config("told", variant))
        client = handlers.made(FUNCTION, "told", Timeout=60)
        client.publish_version(FunctionName="told")
        client.create_alias(FunctionName="told", Name="live", FunctionVersion="1")
        yield server


def photos(folder: Path, *told: int) -> Path:
    folder.mkdir()
    for number, status in enumerate(told):
        (folder / f"{number}.jpg").write_text(str(status))
    return folder


def pressed(folder: Path, *words: object, code: int = 0) -> dict[str, Any]:
    """What a test with even arrivals says; it is kept, too."""
    done = dogbreed("loadtest", "--arrivals", "even", "--json", "--yes", *words, cwd=folder)
    assert done.returncode == code, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    assert said in [json.loads(path.read_text()) for path in (folder / "runs" / "loadtests").iterdir()]
    return said


def invocations(server: Server) -> int:
    return sum("Invoke" in call["action"] for call in server.ask("calls"))


def test_a_deployed_function(deployed: Server, tmp_path: Path) -> None:
    # Few at a time: where a slow machine lets all of them wait, each starts an environment of its own.
    words = ["--function", "dogbreed-lambda", "--rate", "2..4", "--steps", 2, "--duration", "2s"]
    said = pressed(tmp_path, *words, "--p99", 30_000, "--picture", "waits.png")
    assert [step["outcomes"] for step in said["steps"]] == [{"200": 2}, {"200": 4}]
    assert said["verdict"]["held"] == 4 and said["tested"] == "function dogbreed-lambda of 1769 MB"
    # The packaged table does not know what Lambda costs here.
    assert said["usd_per_million"] is None
    assert (tmp_path / "waits.png").read_bytes().startswith(b"\x89PNG")


def test_an_endpoint_counts_what_its_container_says(deployed: Server, tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 200, 200, 200, 503, 400)
    words = ["--endpoint", "told", "--rate", 10, "--duration", "2s", "--photos", folder]
    said = pressed(tmp_path, *words, "--errors", 0.5, "--p99", 30_000)
    assert [step["outcomes"] for step in said["steps"]] == [{"200": 12, "503": 4, "400": 4}]
    assert (said["tested"], said["instances"]) == (f"endpoint told (1 x {SIZE})", 1)
    hourly = Prices.load().hourly(SIZE, "eu-west-1", "hosting")
    assert hourly and Decimal(said["usd_per_million"]) == round(hourly.usd / 36_000 * 1_000_000, 4)
    # A trace is replayed, also where nobody comes.
    (tmp_path / "trace.csv").write_text("0,10\n1,0\n2,5\n")
    replayed = pressed(tmp_path, *words[:2], *words[-2:], "--trace", "trace.csv", "--errors", 0.5, "--p99", 30_000)
    assert [step["sent"] for step in replayed["steps"]] == [10, 0, 5]


def test_a_function_counts_what_it_answers_and_that_it_fails(deployed: Server, tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 200, 200, 200, 503, 0)
    words = ["--function", "told", "--rate", 10, "--duration", "2s", "--photos", folder]
    said = pressed(tmp_path, *words, code=3)
    assert said["steps"][0]["outcomes"] == {"200": 12, "503": 4, "function error": 4}
    assert said["verdict"]["held"] == 0 and said["usd_per_million"] is None
    client = handlers.client()
    client.put_function_concurrency(FunctionName="told", ReservedConcurrentExecutions=0)
    refused = dogbreed("loadtest", *words[:2], "--rate", "5..10", "--duration", "4s", "--yes", cwd=tmp_path)
    client.delete_function_concurrency(FunctionName="told")
    assert refused.returncode == 3 and "stopped: half of the requests failed" in refused.stderr
    assert " 429" in refused.stderr and refused.stderr.count("/s answered") == 1, refused.stderr


def test_a_price_of_elsewhere_is_a_limit_and_no_answer() -> None:
    here = Price(request=Decimal("2e-7"), second=Decimal("3e-5"), by_use=True)
    assert here.of_request(0.5) == Decimal("1.52e-5") and here.per_million(10, 0.5) == Decimal("15.2")
    there = replace(here, elsewhere="us-east-1")
    assert there.of_request(0.5) == here.of_request(0.5) and there.per_million(10, 0.5) is None
    assert Price(by_use=True).of_request(1) is None
    assert Price(hourly=Decimal(1)).of_request(1) == 0


def test_it_stops_before_it_costs_more(deployed: Server, tmp_path: Path) -> None:
    """A million requests cost 20 cents or more: four thousand of them are not sent for a third of a tenth of a cent."""
    folder = photos(tmp_path / "photos", 200)
    words = ["--function", "told", "--rate", "2..2000", "--steps", 2, "--duration", "4s", "--photos", folder]
    some = pressed(tmp_path, *words, "--max-usd", 0.0003, "--p99", 30_000)
    assert [step["sent"] for step in some["steps"]] == [4]
    before = invocations(deployed)
    none = dogbreed("loadtest", *words, "--max-usd", 0, "--yes", cwd=tmp_path)
    assert none.returncode == 3 and "go above --max-usd 0" in none.stderr, none.stderr
    assert invocations(deployed) == before


def test_nothing_is_sent_without_a_yes_or_to_what_is_not_there(deployed: Server, tmp_path: Path) -> None:
    boto3.client("lambda").create_function(
        FunctionName="alone",
        Runtime="python3.13",
        Handler="app.handler",
        Role=handlers.role("alone"),
        Code={"ZipFile": handlers.zipped(app=FUNCTION)},
    )
    before = invocations(deployed)
    asked = dogbreed("loadtest", "--endpoint", "told", cwd=tmp_path)
    assert asked.returncode == 2 and "--yes" in asked.stderr
    dry = dogbreed("loadtest", "--endpoint", "told", "--dry-run", cwd=tmp_path)
    assert (dry.returncode, dry.stdout) == (0, "") and "nothing was sent" in dry.stderr
    for way, name, word in (
        ("--endpoint", "nothing", "no endpoint nothing"),
        ("--function", "nothing", "no function nothing"),
        ("--function", "alone", "no function alone with an alias live"),
        ("--endpoint", "", "--endpoint and --function"),
    ):
        refused = dogbreed("loadtest", way, name, "--yes", cwd=tmp_path)
        assert refused.returncode in (1, 2) and refused.stdout == "", name
        assert "error: " in refused.stderr and "hint: " in refused.stderr and word in refused.stderr, refused.stderr
    assert invocations(deployed) == before
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("kind", [EndpointTarget, FunctionTarget])
def test_signatures_are_renewed_while_aws_takes_them(
    deployed: Server, monkeypatch: pytest.MonkeyPatch, kind: type[EndpointTarget | FunctionTarget]
) -> None:
    now = [1000.0]
    monkeypatch.setattr(load, "time", SimpleNamespace(monotonic=lambda: now[0]))
    target = kind(Aws(AwsSettings()), "told", [b"one", b"two"])
    first = target.request(0)
    assert b"\r\nAuthorization: AWS4-HMAC-SHA256 Credential=" in first
    now[0] += 59
    assert target.request(2) is first
    now[0] += 2
    again = target.request(0)
    assert again is not first
    now[0] += 59
    assert target.request(0) is again
    for body in (b"", b"[]", b'"text"', b"{}", b"{", b"\xff"):
        assert target.outcome("500", b"http/1.1 500\r\n", body) == "500"


def test_traffic_of_an_endpoint_is_simulated(deployed: Server, tmp_path: Path) -> None:
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    counts = {90: 600, 89: 1200, 31: 60}
    dimensions = [{"Name": "EndpointName", "Value": "told"}, {"Name": "VariantName", "Value": "main"}]
    metric: dict[str, Any] = {"MetricName": "Invocations", "Dimensions": dimensions}
    for ago, count in counts.items():
        when = minute - timedelta(minutes=ago)
        # In two parts, as from two instances.
        data = [{**metric, "Timestamp": when + timedelta(seconds=s), "Value": count / 2} for s in (1, 31)]
        boto3.client("cloudwatch").put_metric_data(Namespace="AWS/SageMaker", MetricData=data)
    words = ["scale", "--simulate", "endpoint:told"]
    done = dogbreed(*words, "--hours", 2, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["minutes"]["requests"]
    assert len(found) == 120
    # What this module's other tests have asked came in the last minutes, and the clock has gone on meanwhile.
    assert [count for count in found[:100] if count] == [600, 1200, 60]
    for wrong, word in (
        (["scale", "--simulate", "endpoint:nosuch"], "there is no endpoint nosuch in eu-west-1"),
        ([*words, "--region", "eu-central-1"], "there is no endpoint told in eu-central-1"),
        ([*words, "--hours", 361], "at most 360"),
        ([*words, "--hours", 0], "at most 360"),
    ):
        refused = dogbreed(*wrong, cwd=tmp_path)
        assert refused.returncode == 2 and word in refused.stderr, refused.stderr
