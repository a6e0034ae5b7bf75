"""`dogbreed rehearse`: up, down, status, run, fault and calls, as a person types them."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import standin
from program import dogbreed

from dogbreed.rehearse import state


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("DOGBREED_CACHE_DIR", str(tmp_path / "cache"))
    yield tmp_path
    if server := state.find():
        state.end(server)


def test_up_twice_use_it_and_down(here: Path) -> None:
    first = dogbreed("rehearse", "up", cwd=here)
    assert first.returncode == 0, first.stderr
    words = [shlex.split(line) for line in first.stdout.splitlines()]
    assert all(word[0] == "export" and len(word) == 2 for word in words)
    environment = dict(word[1].split("=", 1) for word in words)
    assert set(environment) == {
        "AWS_ENDPOINT_URL",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
    }
    second = dogbreed("rehearse", "up", cwd=here)
    assert second.stdout == first.stdout
    assert "already" in second.stderr
    script = 'import boto3; print(boto3.client("sts").get_caller_identity()["Account"])'
    asked = dogbreed("rehearse", "run", "--", sys.executable, "-c", script, cwd=here)
    assert asked.stdout == "123456789012\n"
    (call,) = json.loads(dogbreed("rehearse", "calls", "--json", cwd=here).stdout)
    assert call["action"] == "sts:GetCallerIdentity"
    told = json.loads(dogbreed("rehearse", "status", "--json", cwd=here).stdout)
    assert told["up"] and told["url"] == environment["AWS_ENDPOINT_URL"] and told["calls"] == 1
    down = dogbreed("rehearse", "down", cwd=here)
    assert (down.returncode, state.find()) == (0, None)
    assert gone(told["pid"])
    assert dogbreed("rehearse", "status", cwd=here).stdout == "not up\n"


def test_faults_are_set_listed_and_lifted(here: Path) -> None:
    refused = dogbreed("rehearse", "fault", "throttle", cwd=here)
    assert (refused.returncode, refused.stderr.splitlines()[1]) == (2, "hint: start it: dogbreed rehearse up")
    dogbreed("rehearse", "up", cwd=here)
    assert dogbreed("rehearse", "fault", "rain", cwd=here).returncode == 2
    assert dogbreed("rehearse", "fault", "deny", cwd=here).returncode == 2
    assert dogbreed("rehearse", "fault", "deny", "PutObject", cwd=here).returncode == 2
    dogbreed("rehearse", "fault", "throttle", "--dry-run", cwd=here)
    assert dogbreed("rehearse", "fault", "--list", "--json", cwd=here).stdout == "[]\n"
    dogbreed("rehearse", "fault", "throttle", cwd=here)
    told = dogbreed("rehearse", "fault", "deny", "s3:PutObject", "--count", "1", "--json", cwd=here)
    assert [(one["kind"], one["share"], one["count"]) for one in json.loads(told.stdout)] == [
        ("throttle", 0.1, None),
        ("deny", 1.0, 1),
    ]
    assert dogbreed("rehearse", "fault", "--clear", "--json", cwd=here).stdout == "[]\n"
    assert "nothing on spot" in dogbreed("rehearse", "fault", "spot-interrupt", cwd=here).stderr


def test_one_that_was_killed_counts_as_none_and_is_cleaned_up(here: Path) -> None:
    dogbreed("rehearse", "up", cwd=here)
    server = state.find()
    assert server is not None
    os.kill(server.pid, signal.SIGKILL)
    standin.until(lambda: state.find() is None)
    assert "killed" in dogbreed("rehearse", "down", cwd=here).stderr
    assert sorted(path.name for path in server.folder.iterdir()) == ["lock", "server.log"]
    again = dogbreed("rehearse", "up", "--json", cwd=here)
    assert json.loads(again.stdout)["environment"]["AWS_REGION"] == "eu-west-1"


def test_a_command_without_a_stand_in_gets_one_for_itself(here: Path) -> None:
    ended = dogbreed("rehearse", "run", "--", "sh", "-c", "test -n $AWS_ENDPOINT_URL && exit 3", cwd=here)
    assert ended.returncode == 3
    assert state.find() is None
    assert dogbreed("rehearse", "run", "--", "no-such-command", cwd=here).returncode == 2


def test_a_package_that_is_missing_is_named_with_what_brings_it(here: Path) -> None:
    (here / "moto.py").write_text("raise ModuleNotFoundError(\"No module named 'moto'\", name='moto')")
    refused = dogbreed("rehearse", "up", cwd=here, PYTHONPATH=str(here))
    assert refused.returncode == 1
    assert refused.stderr == "error: the stand-in needs moto\nhint: pip install 'dogbreed[rehearse]'\n"


def test_two_at_once_start_one(here: Path) -> None:
    command = [sys.executable, "-m", "dogbreed", "rehearse", "up", "--json"]
    both = [subprocess.Popen(command, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(2)]
    told = [json.loads(one.communicate()[0]) for one in both]
    assert told[0] == told[1]


def test_a_port_that_is_taken_is_said(here: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = dogbreed("rehearse", "up", "--port", taken.getsockname()[1], cwd=here)
    assert ended.returncode == 1
    assert "in use" in ended.stderr
    assert len(ended.stderr.splitlines()) == 2


def test_a_server_of_a_test_ends_with_the_test(here: Path) -> None:
    script = """
import os
from dogbreed.rehearse.state import StandIn
with StandIn() as server:
    print(server.pid, server.folder, flush=True)
    os._exit(1)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    pid, folder = ended.stdout.split()
    standin.until(lambda: gone(int(pid)) and not Path(folder).exists())


def gone(pid: int) -> bool:
    """Whether a process has ended, asked for or not."""
    try:
        return "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    except OSError:
        return True
