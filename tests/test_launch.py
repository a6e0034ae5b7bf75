"""Starting the workers and following them, with a stand-in for torchrun that does what a test needs."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import pytest

from dogbreed import launch
from dogbreed.errors import DogbreedError, UsageError


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script that `launch.follow` starts in place of torchrun."""
    script = tmp_path / "worker.py"
    monkeypatch.setattr(launch, "argv", lambda run, instances, restarts: [sys.executable, str(script)])
    return script


def write(script: Path, body: str) -> None:
    head = "import json, os, signal, sys, time\ndef tell(**event): print(json.dumps(event), flush=True)\n"
    script.write_text(head + textwrap.dedent(body))


def test_the_command_is_torchrun_with_the_same_worker_for_any_number(tmp_path: Path) -> None:
    command = launch.argv(tmp_path, 3, 2)
    assert command[:3] == [sys.executable, "-m", "torch.distributed.run"]
    assert {"--nproc-per-node=3", "--max-restarts=2", launch.WORKER, str(tmp_path)} <= set(command)


def test_without_pytorch_nothing_is_started_and_it_is_said_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="PyTorch") as raised:
        next(launch.follow(tmp_path, 1, 0))
    assert raised.value.hint == "pip install 'dogbreed[train]'"
    assert not list(tmp_path.iterdir())


def test_events_are_passed_on_and_the_talk_of_libraries_is_not(tmp_path: Path, worker: Path) -> None:
    write(
        worker,
        """
        print("a library talks", flush=True)
        print("[1, 2]", flush=True)
        tell(event="start", n=1)
        print("to the log", file=sys.stderr)
        tell(event="done")
    """,
    )
    assert [event["event"] for event in launch.follow(tmp_path, 1, 0)] == ["start", "done"]
    assert (tmp_path / launch.LOG).read_text() == "to the log\n"


@pytest.mark.parametrize(("code", "kind"), [(1, DogbreedError), (2, UsageError)])
def test_an_error_event_is_raised_and_ends_the_workers(
    tmp_path: Path, worker: Path, code: int, kind: type[DogbreedError]
) -> None:
    write(
        worker,
        f"""
        tell(event="error", message="no", hint="do this", exit_code={code})
        sys.stdin.read()
        open({str(tmp_path / "ended")!r}, "w").close()
    """,
    )
    with pytest.raises(DogbreedError, match="no") as caught:
        list(launch.follow(tmp_path, 1, 0))
    assert type(caught.value) is kind
    assert caught.value.hint == "do this"


def test_workers_that_die_are_an_error_that_quotes_the_log(tmp_path: Path, worker: Path) -> None:
    write(
        worker,
        """
        tell(event="start")
        raise ValueError("the cat sat on the keyboard")
    """,
    )
    with pytest.raises(DogbreedError, match="ValueError: the cat sat on the keyboard") as caught:
        list(launch.follow(tmp_path, 1, 0))
    assert f"--resume {tmp_path}" in caught.value.hint
    assert str(tmp_path / launch.LOG) in caught.value.hint


def test_the_cause_is_quoted_and_not_what_followed_from_it(tmp_path: Path) -> None:
    (tmp_path / launch.LOG).write_text(
        "[rank1]: Traceback (most recent call last):\n[rank1]:     raise KeyError: here\n[rank1]: KeyError: 'pug'\n"
        "[rank0]: RuntimeError: [gloo] Connection closed by peer [127.0.0.1]:1234\n"
        "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: \n"
    )
    assert launch._last_words(tmp_path / launch.LOG) == "KeyError: 'pug'"


def test_a_death_without_a_word(tmp_path: Path, worker: Path) -> None:
    write(worker, "os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(DogbreedError, match="without a word"):
        list(launch.follow(tmp_path, 1, 0))


def test_a_consumer_that_stops_lets_the_workers_write_their_checkpoint(tmp_path: Path, worker: Path) -> None:
    write(
        worker,
        f"""
        signal.signal(signal.SIGTERM, lambda *_: None)
        tell(event="start", pid=os.getpid())
        sys.stdin.read()  # ends when the launcher closes its end
        for _ in range(5000):  # more than a pipe holds: somebody must read on
            tell(event="step", words="x" * 100)
        open({str(tmp_path / "checkpoint")!r}, "w").close()
    """,
    )
    with closing(launch.follow(tmp_path, 1, 0)) as events:
        pid = next(events)["pid"]
    assert (tmp_path / "checkpoint").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_workers_that_hang_are_killed_in_the_end(tmp_path: Path, worker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_PATIENCE_S", 0.2)
    write(
        worker,
        """
        signal.signal(signal.SIGTERM, lambda *_: None)
        tell(event="start", pid=os.getpid())
        while True:
            time.sleep(60)
    """,
    )
    with closing(launch.follow(tmp_path, 1, 0)) as events:
        pid = next(events)["pid"]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_users_environment_wins_over_ours(tmp_path: Path, worker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    write(worker, 'tell(event="done", omp=os.environ["OMP_NUM_THREADS"], malloc=os.environ["MALLOC_TRIM_THRESHOLD_"])')
    (event,) = launch.follow(tmp_path, 1, 0)
    assert event["omp"] == "7"
    assert json.loads(event["malloc"]) > 2**20


@pytest.mark.skipif(sys.platform == "win32", reason="locks of files are those of Unix")
def test_one_run_is_trained_by_one_at_a_time(tmp_path: Path, worker: Path) -> None:
    write(worker, 'tell(event="step")\nsys.stdin.read()\n')
    assert not launch.is_busy(tmp_path)
    with closing(launch.follow(tmp_path, 1, 0)) as events:
        assert next(events)["event"] == "step"
        assert launch.is_busy(tmp_path)
        with pytest.raises(DogbreedError, match="is being trained") as raised:
            next(launch.follow(tmp_path, 1, 0))
        # After wrong usage, `dogbreed train` removes the run that it has begun.
        assert not isinstance(raised.value, UsageError)
        assert launch.is_busy(tmp_path)
    assert not launch.is_busy(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="locks of files are those of Unix")
def test_who_looks_at_the_same_time_is_not_taken_for_a_trainer(tmp_path: Path) -> None:
    (tmp_path / launch.LOG).touch()
    with open(tmp_path / launch.LOG, "rb") as log:
        assert launch._lock(log, look=True)
        assert not launch.is_busy(tmp_path)
