"""`dogbreed logs` of a service: the lines of all that belongs to it, in order, once, and as they come."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import boto3
from least import beyond
from program import dogbreed

from dogbreed.cloud import people, people_commands
from dogbreed.cloud.policy_parts import Scope
from dogbreed.cloud.serving.deployment import DOORS
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings
from dogbreed.rehearse.state import Server

ENDPOINT, FRONT = "/aws/sagemaker/Endpoints/dogbreed-endpoint", "/aws/lambda/dogbreed-endpoint-front"


def write(group: str, stream: str, *lines: tuple[float, str], now: float | None = None) -> None:
    """Lines with how many seconds ago, or before `now`, they were written."""
    logs, now = boto3.client("logs"), now or time.time()
    if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
        logs.create_log_group(logGroupName=group)
    if not logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=stream)["logStreams"]:
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
    events = [{"timestamp": round((now - ago) * 1000), "message": text} for ago, text in lines]
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def texts(shown: str) -> list[str]:
    return [line.split(" ", 2)[2] for line in shown.splitlines()]


def test_lines_of_the_service_and_its_front_in_order(account: Server, tmp_path: Path) -> None:
    now = time.time()
    write(ENDPOINT, "main/i-1", (7300, "long ago"), (50, "first"), (30, "third"), now=now)
    write(FRONT, "2026/11/25/[1]abc", (40, "second"), (20, "fourth\n"), now=now)
    shown = dogbreed("logs", "endpoint", cwd=tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert texts(shown.stdout) == ["first", "second", "third", "fourth"]
    assert shown.stdout.splitlines()[0].split()[1] == "i-1"
    further = dogbreed("logs", "dogbreed-endpoint", "--hours", "inf", "--json", cwd=tmp_path)
    assert [line["text"] for line in json.loads(further.stdout)][:2] == ["long ago", "first"]
    write("/aws/lambda/dogbreed-lambda", "one", (7300, "long ago"))
    quiet = dogbreed("logs", "lambda", cwd=tmp_path)
    assert (quiet.returncode, quiet.stdout) == (0, "") and "--hours" in quiet.stderr


def test_machines_that_train_are_not_the_service(account: Server, tmp_path: Path) -> None:
    write("/dogbreed/dogbreed", "20261125-145338-ab12/node-0/i-1", (30, "an epoch"))
    write("/dogbreed/dogbreed", "ec2/i-2", (20, "a request"))
    assert texts(dogbreed("logs", "ec2", cwd=tmp_path).stdout) == ["a request"]


def test_who_may_deploy_may_read_what_is_written(account: Server, tmp_path: Path) -> None:
    scope = Scope.of(Aws(AwsSettings()))
    for door in DOORS:
        policies = [f"deploy-{door}", *(["front"] if door in ("endpoint", "serverless") else [])]
        statements = [one for name in policies for one in people.POLICIES[name](scope)["Statement"]]
        before = len(account.ask("calls"))
        dogbreed("logs", door, cwd=tmp_path)
        asked = [call for call in account.ask("calls")[before:] if ":user/" in call["who"]]
        assert "logs:FilterLogEvents" in {call["action"] for call in asked}
        assert beyond({"Statement": statements}, asked) == []
        assert beyond(people_commands.POLICIES["logs"](scope), asked) == []


def test_it_follows_until_it_is_interrupted(account: Server, tmp_path: Path) -> None:
    write(ENDPOINT, "main/i-1", (30, "first"))
    command = [sys.executable, "-m", "dogbreed", "logs", "endpoint", "--follow"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    ) as following:
        assert following.stdout and following.stderr
        assert texts(following.stdout.readline()) == ["first"]
        # Late by more than what was seen, and in a group that was not there before.
        write(FRONT, "one", (40, "late"))
        assert texts(following.stdout.readline()) == ["late"]
        write(ENDPOINT, "main/i-1", (0, "second"))
        assert texts(following.stdout.readline()) == ["second"]
        following.send_signal(signal.SIGINT)
        rest, said = following.communicate(timeout=300)
    assert (following.returncode, rest) == (130, "")
    assert "Traceback" not in said and len(said.splitlines()) <= 1, said


def test_what_has_no_logs_is_said(account: Server, tmp_path: Path) -> None:
    for words, word in (
        (["nosuch"], "no remote run nosuch"),
        (["lambda"], "dogbreed-lambda has written nothing in eu-west-1"),
        (["other-lambda"], "other-lambda is no service of the project dogbreed"),
        (["lambda", "--follow", "--json"], "--json is one value"),
        (["lambda", "--hours", 0], "--hours"),
    ):
        refused = dogbreed("logs", *words, cwd=tmp_path)
        assert refused.returncode == 2 and word in refused.stderr and "Traceback" not in refused.stderr, refused.stderr
