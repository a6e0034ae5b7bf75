"""Trains once in a real AWS account, for money: only with --live, within LIVE_MAX_USD, and nothing is left behind.

    AWS_PROFILE=me AWS_REGION=eu-west-1 LIVE_MAX_USD=1 pytest tests/live --live

The account is that of the environment; every resource bears a project name of its own, is looked for before and
removed afterwards. With AWS_ENDPOINT_URL of `dogbreed rehearse up` the same is rehearsed.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.live, pytest.mark.slow]

# As it is before the other tests' world is made, in which no account can be reached.
_ENVIRONMENT = dict(os.environ)
_MAX_USD = Decimal(_ENVIRONMENT.get("LIVE_MAX_USD", "1"))
_HOUR_S = 3600
_WORDS = {
    "train-sagemaker": ["--instances", "2", "--instance-type", "ml.m5.xlarge", "--epochs", "3"],
    "train-ec2": ["--instances", "2", "--instance-type", "m5.xlarge", "--epochs", "3"],
}


class Account:
    """The command, in a project that is this test's alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = _ENVIRONMENT | {
            "DOGBREED_AWS_PROJECT": f"live-{secrets.token_hex(4)}",
            "DOGBREED_CACHE_DIR": str(folder / "cache"),
        }

    def __call__(self, *words: str, code: int = 0) -> str:
        result = subprocess.run(
            [sys.executable, "-m", "dogbreed", *words],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_HOUR_S,
        )
        assert result.returncode == code, result.stderr
        return result.stdout

    def answer(self, *words: str) -> Any:
        return json.loads(self(*words, "--json"))

    def left(self) -> list[str]:
        """What costs money or was made, by kind."""
        status = self.answer("status")
        return [row["kind"] for row in status["resources"] if row["ours"]] + status["also_tagged"]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Account]:
    account = Account(tmp_path)
    assert account.left() == [], "something of this name is in the account already"
    try:
        yield account
    finally:
        account("destroy", "--data", "--yes")
        assert [kind for kind in account.left() if kind != "training job"] == []


@pytest.mark.parametrize("command", _WORDS)
def test_two_machines_train_what_two_processes_here_do(own: Account, tmp_path: Path, command: str) -> None:
    own("data", "sample", "drawings")
    words = [command, "drawings", *_WORDS[command], "--max-usd", str(_MAX_USD)]
    ceiling = own.answer(*words, "--dry-run")["ceiling_usd"]
    assert ceiling is not None and Decimal(ceiling) <= _MAX_USD
    run = own.answer(*words, "--yes")["run"]
    own("train", "drawings", "--instances", "2", "--epochs", "3", "--out", "here")
    there, here = (json.loads((tmp_path / name / "model.json").read_text()) for name in (run, "here"))
    # Other processors add up in another order, so the weights are close, not equal.
    assert there["metrics"]["test"]["top1"] == pytest.approx(here["metrics"]["test"]["top1"], abs=0.05)
    assert there["world_size"] == 2
    listed = {Path(one["run"]).name: one for one in own.answer("runs")}
    assert Decimal(listed[Path(run).name]["usd"]) <= _MAX_USD
    again = own.answer(*words, "--dry-run")
    assert {step["kind"]: step["step"] for step in again["steps"]}["photos"] == "=", "nothing is uploaded twice"
