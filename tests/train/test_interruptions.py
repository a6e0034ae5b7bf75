"""Killed, interrupted or with a dead worker: training goes on from its checkpoint to the very same weights."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import training
from safetensors import safe_open
from training import FINETUNE, HEAD

from dogbreed.data.photoset import PhotoSet
from dogbreed.train import checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="reads the process table in /proc")]

_DEADLINE_S = 300
_KINDS: dict[str, dict[str, Any]] = {
    # So many epochs that there is time for a signal between two of them.
    "head": HEAD | {"epochs": 60},
    "finetune": FINETUNE | {"epochs": 4, "average": 0.5, "lr": 0.001},
}


@contextmanager
def cli(cache: Path, run: Path) -> Iterator[subprocess.Popen[str]]:
    """`dogbreed train --resume RUN` in a process group of its own; nothing of it is left running afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dogbreed", "train", "--resume", str(run)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=training.clean_environment(cache),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        kill(training.descendants(process.pid) | {process.pid})
        process.communicate()


def kill(pids: set[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def read_until(process: subprocess.Popen[str], start: str) -> list[str]:
    """The lines of stderr up to the first that starts so."""
    assert process.stderr
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith(start):
            return lines
    raise AssertionError(f"it ended without a line that starts with {start!r}: {lines}")


def command(pid: int) -> bytes:
    """The command line of a process; empty when it has gone meanwhile."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def wait_for_end(pids: set[int]) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while running := {pid for pid in pids if training.is_running(pid)}:
        assert time.monotonic() < deadline, f"still running: {running}"
        time.sleep(0.05)


def position(run: Path) -> checkpoint.Progress:
    """Where the checkpoint stands; it can be read at any time."""
    import json

    with safe_open(run / checkpoint.FILE, "pt") as file:
        return checkpoint.Progress(**json.loads(file.metadata()["progress"]))


@pytest.mark.parametrize("instances", [1, 2])
@pytest.mark.parametrize("kind", _KINDS)
def test_killed_at_a_random_step_and_resumed_the_weights_are_bit_identical(
    tmp_path: Path,
    photos: PhotoSet,
    shared_cache: Path,
    undisturbed: Callable[..., Path],
    kind: str,
    instances: int,
) -> None:
    settings = _KINDS[kind]
    whole = undisturbed(instances, **settings)
    run = training.begin(tmp_path / "run", photos, **settings, instances=instances)
    # One of the first, so that the kill comes long before the end; the step in it is up to the machine.
    epoch = random.randint(1, 2)
    with cli(shared_cache, run) as process:
        read_until(process, f"epoch {epoch:>3}/")
        killed = training.descendants(process.pid) | {process.pid}
        kill(killed)
    # The run is locked as long as one of them is there.
    wait_for_end(killed)
    assert not (run / "model.json").exists(), "the kill came too late to test anything"
    assert position(run).epoch >= epoch
    with cli(shared_cache, run) as process:
        out, err = process.communicate(timeout=_DEADLINE_S)
    assert process.returncode == 0, err
    assert "going on from epoch" in err
    assert training.digest(run) == training.digest(whole), f"killed after epoch {epoch}"
    assert training.epochs_written(run) == training.epochs_written(whole) == list(range(1, settings["epochs"] + 1))
    assert str(run) in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_writes_a_checkpoint_and_says_how_to_go_on(
    tmp_path: Path, photos: PhotoSet, shared_cache: Path, undisturbed: Callable[..., Path], number: signal.Signals
) -> None:
    settings = _KINDS["finetune"]
    run = training.begin(tmp_path / "run", photos, **settings, instances=1)
    with cli(shared_cache, run) as process:
        read_until(process, "epoch   1/")
        below = training.descendants(process.pid)
        # As a terminal does it: to the whole foreground group.
        os.killpg(process.pid, number)
        _, err = process.communicate(timeout=_DEADLINE_S)
        wait_for_end(below)
    assert process.returncode == 130, err
    assert "stopping: the workers write a checkpoint first" in err
    assert f"dogbreed train --resume {run}" in err
    assert "Traceback" not in err
    stood = position(run)
    assert (stood.epoch, stood.step) > (1, 0), "the checkpoint is that of the epoch's end"
    assert training.launch_all(run)[-1]["event"] == "done"
    assert training.digest(run) == training.digest(undisturbed(1, **settings))
    assert training.epochs_written(run) == [1, 2, 3, 4]


def test_workers_end_by_themselves_when_the_command_is_killed(
    tmp_path: Path, photos: PhotoSet, shared_cache: Path
) -> None:
    run = training.begin(tmp_path / "run", photos, **_KINDS["head"] | {"instances": 2, "epochs": 5000})
    with cli(shared_cache, run) as process:
        read_until(process, "epoch   1/")
        below = training.descendants(process.pid)
        assert len(below) >= 3  # torchrun and two workers
        process.kill()
        process.wait()
        wait_for_end(below)
    assert position(run).epoch >= 1
    assert not (run / "model.json").exists()


def test_a_dead_worker_is_started_again_from_the_checkpoint(
    tmp_path: Path, photos: PhotoSet, undisturbed: Callable[..., Path]
) -> None:
    """Also stands for torch 2.13's restart: without `_meeting_point` the new workers wait for the dead ones."""
    settings = _KINDS["head"]
    run = training.begin(tmp_path / "run", photos, **settings)
    killed: list[int] = []

    def watch(event: dict[str, Any]) -> None:
        if event["event"] == "epoch" and event["epoch"] == 3 and not killed:
            commands = {pid: command(pid) for pid in training.descendants(os.getpid())}
            workers = {pid for pid, line in commands.items() if b"dogbreed.train.loop" in line}
            agents = {pid for pid, line in commands.items() if b"torch.distributed.run" in line}
            killed.append(max(workers - agents))
            os.kill(killed[0], signal.SIGKILL)

    events = training.launch_all(run, 2, restarts=2, watch=watch)
    starts = [event["restarts"] for event in events if event["event"] == "start"]
    assert killed
    assert starts == [0, 1]
    resumed = next(event for event in reversed(events) if event["event"] == "train")
    assert resumed["epoch"] >= 3
    assert events[-1]["event"] == "done"
    assert training.digest(run) == training.digest(undisturbed(2, **settings))
    assert training.epochs_written(run) == list(range(1, 61))


def test_told_to_stop_while_features_are_computed_it_keeps_them_and_writes_no_checkpoint(
    tmp_path: Path, photos: PhotoSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    def whole(name: str) -> Path:
        monkeypatch.setenv("DOGBREED_CACHE_DIR", str(tmp_path / f"cache of {name}"))
        return training.begin(tmp_path / name, photos, **HEAD | {"epochs": 2})

    run, stop = whole("stopped"), threading.Event()
    stop.set()
    events = training.train_here(run, stop)
    assert [event["event"] for event in events] == ["start", "features", "stopped"]
    assert not (run / checkpoint.FILE).exists()
    again = training.train_here(run)
    computed = [event["count"] for event in events + again if event["event"] == "features"]
    assert (sum(computed), again[-1]["event"]) == (len(photos.photos), "done")
    other = whole("undisturbed")
    training.train_here(other)
    assert training.digest(run) == training.digest(other)


def test_resuming_after_the_last_step_of_an_epoch_evaluates_it(
    tmp_path: Path, photos: PhotoSet, undisturbed: Callable[..., Path]
) -> None:
    """A signal in the last step leaves a checkpoint with an epoch that has no step left but was never evaluated."""
    import threading

    from dogbreed.train import distributed

    settings = HEAD | {"epochs": 3}
    run = training.begin(tmp_path / "run", photos, **settings)
    stop, steps = threading.Event(), 0
    exchange = distributed.World.mean_and_flag

    def stop_in_step_three(self: distributed.World, value: Any, flag: bool) -> tuple[float, bool]:
        nonlocal steps
        steps += 1
        return exchange(self, value, flag or steps == 3)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distributed.World, "mean_and_flag", stop_in_step_three)
        assert training.train_here(run, stop)[-1]["event"] == "stopped"
    assert (position(run).epoch, position(run).step) == (0, 3)
    assert training.train_here(run)[-1]["event"] == "done"
    whole = training.begin(tmp_path / "whole", photos, **settings)
    training.train_here(whole)
    assert training.digest(run) == training.digest(whole)
    assert training.epochs_written(run) == [1, 2, 3]


def test_with_nothing_left_to_train_another_machine_finishes_from_the_checkpoint_alone(
    tmp_path: Path, photos: PhotoSet
) -> None:
    """Stopped after its last epoch, a job on AWS leaves the checkpoint and nothing else."""
    settings = HEAD | {"epochs": 3}
    whole = training.begin(tmp_path / "whole", photos, **settings)
    training.train_here(whole)
    run = training.begin(tmp_path / "run", photos, **settings)
    (run / checkpoint.FILE).parent.mkdir(exist_ok=True)
    shutil.copy(whole / checkpoint.FILE, run / checkpoint.FILE)
    assert training.train_here(run)[-1]["event"] == "done"
    assert training.digest(run) == training.digest(whole)
    assert training.epochs_written(run) == [1, 2, 3]
