"""`dogbreed image` as people call it: what would be done, what was, and what to do where neither way is open."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from program import dogbreed
from standin import until

from dogbreed.rehearse.state import Server

NOBODY = {"AWS_ENDPOINT_URL": "", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}


def test_built_in_the_account_once_shown_before_and_told_afterwards(account: Server, tmp_path: Path) -> None:
    planned = dogbreed("image", "build", "--dry-run", "--json", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    told = json.loads(planned.stdout)
    assert (told["changed"], told["engine"]) == (False, "codebuild")
    kinds = [step["kind"] for step in told["steps"] if step["step"] == "+"]
    assert kinds == ["bucket", "role", "image repository", "log group", "build project", "image"]
    assert "minutes at most; one costs $0.0050 in us-east-1 (here it is not known)" in planned.stderr
    assert "dry run: nothing was changed" in planned.stderr

    asked = dogbreed("image", "build", cwd=tmp_path)
    assert asked.returncode == 2
    assert "add --yes" in asked.stderr

    done = dogbreed("image", "build", "--yes", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["changed"]
    assert made["image"] == f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/dogbreed:{made['tag']}"
    assert account.ask("image", uri=made["image"])["code"]
    assert "| [Container] Running command docker push" in done.stderr
    assert "AWS4" not in done.stderr + done.stdout

    for word in ("build", "push"):
        again = dogbreed("image", word, "--yes", cwd=tmp_path)
        assert again.returncode == 0
        assert "nothing to change" in again.stderr
        assert again.stdout == f"{made['image']}\n"


def test_another_region_has_its_price_and_a_ceiling(account: Server, tmp_path: Path) -> None:
    planned = dogbreed("image", "push", "--dry-run", "--json", "--region", "us-east-1", cwd=tmp_path)
    told = json.loads(planned.stdout)
    assert told["ceiling_usd"] == "0.075"
    assert ".ecr.us-east-1." in told["image"]
    assert "at most $0.0750 in all" in planned.stderr


def test_without_a_program_and_without_an_account_it_says_what_to_do(tmp_path: Path) -> None:
    done = dogbreed("image", "build", "--yes", cwd=tmp_path, PATH=os.fspath(tmp_path), **NOBODY)
    assert done.returncode == 4
    assert done.stderr.startswith("error: there is neither docker nor podman here, nor an AWS account to build in\n")
    assert "aws sso login" in done.stderr
    assert "dogbreed rehearse up" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--base", "a b"], "a b is no name of an image"),
        (["--tag", "mine:1"], "--tag names an image on this machine"),
        (["--run", "nowhere"], "nowhere"),
        (["--engine", "kaniko"], "kaniko"),
    ],
)
def test_wrong_words_are_refused_before_any_call(account: Server, tmp_path: Path, words: list[str], said: str) -> None:
    before = len(account.ask("calls"))
    done = dogbreed("image", "build", "--yes", *words, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(account.ask("calls")) == before


def test_a_failed_build_ends_the_command_with_its_reason(account: Server, tmp_path: Path) -> None:
    account.ask("fault", kind="deny", target="ecr:PutImage")
    done = dogbreed("image", "build", "--yes", "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "not authorized to perform: ecr:PutImage" in done.stderr


def test_interrupted_it_says_what_goes_on_and_the_same_command_follows_it(account: Server, tmp_path: Path) -> None:
    account.ask("fault", kind="throttle", target="codebuild:BatchGetBuilds")
    command = [sys.executable, "-m", "dogbreed", "image", "build", "--yes"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as going:
        assert going.stderr
        until(lambda: "| build dogbreed-image:" in going.stderr.readline())
        going.send_signal(signal.SIGINT)
        said = going.stderr.read()
    assert going.returncode == 130
    assert "a build that has begun goes on in the account, for 15 minutes at most" in said
    account.ask("clear")
    again = dogbreed("image", "build", "--yes", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    builds = [call for call in account.ask("calls") if call["action"] == "codebuild:StartBuild"]
    assert len(builds) == 1
