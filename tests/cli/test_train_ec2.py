"""`dogbreed train-ec2` before anything is made: its plan, what it refuses, and what it says to whom may not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from photos import tree
from program import dogbreed

from dogbreed.rehearse.state import Server

FEW = ("--instances", 2, "--instance-type", "c5.large", "--no-config")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tree(tmp_path_factory.mktemp("photos"), {"akita": 8, "boxer": 8})


def changes(account: Server) -> list[str]:
    looks = ("Get", "List", "Describe", "Head", "Filter")
    return [call["action"] for call in account.ask("calls") if not call["operation"].startswith(looks)]


def test_a_dry_run_shows_the_whole_plan_and_changes_nothing(account: Server, photos: Path, tmp_path: Path) -> None:
    result = dogbreed("train-ec2", photos, *FEW, "--max-usd", 3, "--dry-run", "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    plan = json.loads(result.stdout)
    kinds = [step["kind"] for step in plan["steps"]]
    assert kinds == [
        *("bucket", "photos", "code", "log group", "role", "instance profile", "security group", "launch template"),
        "machines",
    ]
    assert {step["step"] for step in plan["steps"]} == {"+"}
    assert plan["ceiling_usd"] == "3.0000" or float(plan["ceiling_usd"]) == 3
    assert plan["run"]["instances"] == 2
    assert not changes(account)
    assert not (tmp_path / "runs").exists()
    assert "the AWS account has no runs" in dogbreed("runs", cwd=tmp_path).stderr


WRONG: list[tuple[tuple[Any, ...], int, str]] = [
    (("--instance-type", "g5.tiny"), 2, "no type g5.tiny"),
    (("--instance-type", "c5.large,c6g.large"), 2, "different processors"),
    (("--instance-type", ","), 2, "no instance type"),
    (("--ami-id", "ami-0000000000000dead"), 2, "no machine image"),
    (("--instances", 64), 2, "cannot be shared"),
    (("--max-hours", 0), 2, "max-hours"),
    (("--max-usd", 0.0001), 2, "buys less than a minute"),
    (("--max-usd", 0), 2, "--max-usd 0 is no amount"),
    (("--resume", "nothing"), 2, "no remote run nothing"),
    (("--weights", "imagenet"), 2, "no weights for the starter"),
]


@pytest.mark.parametrize(("words", "code", "said"), WRONG, ids=[" ".join(map(str, words)) for words, _, _ in WRONG])
def test_what_is_wrong_is_said_before_anything_is_made(
    account: Server, photos: Path, tmp_path: Path, words: tuple[Any, ...], code: int, said: str
) -> None:
    few = ("--no-config",) if "--resume" in words else (photos, *FEW)
    result = dogbreed("train-ec2", *few, *words, "--yes", cwd=tmp_path)
    assert (result.returncode, "Traceback" in result.stderr) == (code, False), result.stderr
    assert said in result.stderr
    assert "hint: " in result.stderr
    assert not changes(account)


def test_a_denied_action_ends_with_exit_code_4_and_its_name(account: Server, photos: Path, tmp_path: Path) -> None:
    account.ask("fault", kind="deny", target="ec2:RunInstances")
    result = dogbreed("train-ec2", photos, *FEW, "--yes", cwd=tmp_path)
    assert result.returncode == 4
    assert "error: not allowed: ec2:RunInstances" in result.stderr
    assert not boto3.client("ec2").describe_instances()["Reservations"]


def test_no_capacity_is_said_with_what_was_tried_and_a_second_command_finds_everything_made(
    account: Server, photos: Path, tmp_path: Path
) -> None:
    account.ask("fault", kind="no-capacity", target="*")
    words = ("train-ec2", photos, "--instances", 2, "--no-config", "--instance-type", "c5.large,m5.large", "--spot")
    result = dogbreed(*words, "--on-demand-fallback", "--yes", cwd=tmp_path)
    assert result.returncode == 1, result.stderr
    for place in ("c5.large in eu-west-1a, spot", "m5.large in eu-west-1c, spot", "m5.large in eu-west-1b ("):
        assert place in result.stderr
    again = json.loads(dogbreed(*words, "--dry-run", "--json", cwd=tmp_path).stdout)
    assert [step["kind"] for step in again["steps"] if step["step"] == "+"] == ["machines"]
    (run,) = json.loads(dogbreed("runs", "--json", cwd=tmp_path).stdout)
    assert (run["state"], float(run["usd"])) == ("failed", 0) and "not launched: no place has" in run["hint"]
    ended = dogbreed("logs", Path(run["run"]).name, "--follow", cwd=tmp_path)
    assert ended.returncode == 1 and "not launched" in ended.stderr


def test_without_a_terminal_it_asks_for_yes_and_without_credentials_it_ends_at_once(
    account: Server, photos: Path, tmp_path: Path
) -> None:
    result = dogbreed("train-ec2", photos, *FEW, cwd=tmp_path)
    assert result.returncode == 2 and "--yes" in result.stderr
    assert not changes(account)
    nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    result = dogbreed("train-ec2", photos, *FEW, "--yes", cwd=tmp_path, **nobody)
    assert result.returncode == 4 and "no AWS credentials" in result.stderr
