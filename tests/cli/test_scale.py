"""`dogbreed scale` as people run it: what the plan says, what it refuses before any call, and that it repeats."""

from __future__ import annotations

import json
from pathlib import Path

import scaled
from program import dogbreed

from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings
from dogbreed.rehearse.state import Server


def test_an_endpoint_is_scaled_and_the_price_and_meaning_are_said(account: Server, tmp_path: Path) -> None:
    scaled.endpoint(Aws(AwsSettings()))
    words = ["scale", "--target", "600/min", "--max", "8", "--region", "eu-west-1"]
    dry = dogbreed(*words, "--dry-run", cwd=tmp_path)
    assert dry.returncode == 0, dry.stderr
    assert "600/min is 10 requests a second on each instance" in dry.stderr
    assert "1 to 8 x ml.m5.large" in dry.stderr
    assert "dry run: nothing was changed" in dry.stderr
    assert scaled.registered() == []
    assert dogbreed(*words, cwd=tmp_path).returncode == 2  # no terminal, no --yes
    assert dogbreed(*words, "--yes", cwd=tmp_path).returncode == 0
    (target,) = scaled.registered()
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 8)
    again = dogbreed(*words, "--json", cwd=tmp_path)
    assert (again.returncode, "nothing to change" in again.stderr) == (0, True)
    assert {step["step"] for step in json.loads(again.stdout)["steps"]} == {"="}
    zero = dogbreed("scale", "--to-zero", "--yes", cwd=tmp_path)
    assert (zero.returncode, "9 min 24 s" in zero.stderr) == (1, True)
    assert "dogbreed deploy --to serverless" in zero.stderr
    assert dogbreed("scale", "--off", "--yes", cwd=tmp_path).returncode == 0
    assert scaled.registered() == []
    assert "nothing to change" in dogbreed("scale", "--off", cwd=tmp_path).stderr
    doubtful = dogbreed("scale", "--target", "10/min", cwd=tmp_path)
    assert doubtful.returncode == 2
    assert "one request in 6 seconds on each instance: did you mean --target-concurrency 10" in doubtful.stderr
    assert scaled.registered() == []


NONSENSE = (
    "",
    "--min 5 --max 2 --target 600/min",
    "--to lambda --target 600/min",
    "--to moon --target 600/min",
    "--schedule weekdays_20-8:2-8",
    "--off --target 600/min",
    "--target 600/min --compare family",
)


def test_nonsense_is_refused_before_any_call(account: Server, tmp_path: Path) -> None:
    for wrong in NONSENSE:
        words = [word.replace("_", " ") for word in wrong.split()]
        done = dogbreed("scale", *words, "--yes", cwd=tmp_path)
        assert (done.returncode, "hint: " in done.stderr) == (2, True), wrong
    assert [call for call in account.ask("calls") if ":user/" in call["who"]] == []


def test_the_last_load_test_suggests_a_target(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "loadtests"
    folder.mkdir(parents=True)
    (folder / "20261125.json").write_text(json.dumps({"verdict": {"capacity": 40, "target_per_minute": 1680.0}}))
    done = dogbreed("scale", cwd=tmp_path)
    assert (done.returncode, "dogbreed scale --target 1680/min" in done.stderr) == (2, True)


def test_nothing_deployed(account: Server, tmp_path: Path) -> None:
    done = dogbreed("scale", "--target", "600/min", "--yes", cwd=tmp_path)
    assert done.returncode == 2
    assert "nothing is deployed by project dogbreed" in done.stderr
    assert "dogbreed deploy" in done.stderr
