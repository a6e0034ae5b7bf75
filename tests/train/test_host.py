"""A worker on a machine elsewhere: from what was sent there to what is brought home, and how it is told to stop."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import training
from training import HEAD

from dogbreed.data import shards
from dogbreed.data.photoset import PhotoSet
from dogbreed.run import BROUGHT_HOME, ONNX
from dogbreed.train import finish, host, loop, process_one
from dogbreed.train.host import Places

_DEADLINE_S = 300


@pytest.fixture
def places(tmp_path: Path, photos: PhotoSet, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A machine's folders as a platform fills them."""
    code, sent = tmp_path / "code", tmp_path / "sent"
    training.begin(code, photos, **HEAD)
    sent.mkdir()
    packed = shards.plan(photos)
    for shard in packed:
        (sent / shard.name).write_bytes(shard.pack())
    (sent / shards.INDEX).write_bytes(shards.index(photos, packed))
    monkeypatch.setattr(host, "_WATCH_EVERY_S", 0.01)
    return Places(code, sent, tmp_path / "kept", tmp_path / "out", tmp_path / "work", failure=tmp_path / "failure")


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_trained_on_a_machine_and_finished_at_home_it_is_the_same_run(
    places: Places, photos: PhotoSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert host.main(places) == 0
    told = events(capsys)
    assert told[-1]["event"] == "trained"
    assert sorted(path.name for path in places.output.iterdir()) == sorted(BROUGHT_HOME)
    home = training.begin(tmp_path / "home", photos, **HEAD)
    for name in BROUGHT_HOME:
        (home / name).write_bytes((places.output / name).read_bytes())
    finish.complete(home, lambda stage: None)
    here = training.begin(tmp_path / "here", photos, **HEAD)
    training.train_here(here)
    assert training.digest(home) == training.digest(here)
    assert (home / ONNX).read_bytes() == (here / ONNX).read_bytes()


def test_stopped_by_the_file_it_goes_on_from_what_was_kept_without_computing_features_again(
    places: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOGBREED_CACHE_DIR")
    exchange, steps, others = loop.World.mean_and_flag, 0, set(threading.enumerate())

    def slowly(self: loop.World, value: Any, flag: bool) -> tuple[float, bool]:
        nonlocal steps
        steps += 1
        if steps == 4:
            (watch,) = (one for one in set(threading.enumerate()) - others if one.name.endswith("(_watch)"))
            places.stop.touch()
            # It ends once it has seen the file.
            watch.join(_DEADLINE_S)
        return exchange(self, value, flag)

    monkeypatch.setattr(loop.World, "mean_and_flag", slowly)
    assert host.main(places) == host.INTERRUPTED
    assert not places.output.exists()
    assert events(capsys)[-1]["event"] == "stopped"
    # The next machine has the checkpoints and nothing else.
    fresh = Places(places.code, places.photos, places.checkpoints, places.output, tmp_path / "another")
    monkeypatch.delenv("DOGBREED_CACHE_DIR")
    assert host.main(fresh) == 0
    told = events(capsys)
    assert next(event for event in told if event["event"] == "train")["step"] > 0
    assert not [event for event in told if event["event"] == "features"]


def test_a_photo_that_did_not_come_is_said_and_is_the_reason_of_the_failure(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    job = json.loads((places.code / "job.json").read_text())
    job["photos"].append(["more/x.jpg", job["data"]["breeds"][0], "train", "0" * 64])
    (places.code / "job.json").write_text(json.dumps(job))
    assert host.main(places) == 1
    assert events(capsys)[-1]["event"] == "error"
    assert places.failure is not None
    assert "1 photos are not in the shards, such as more/x.jpg" in places.failure.read_text()


def test_a_long_epoch_is_saved_in_its_middle(tmp_path: Path, photos: PhotoSet, monkeypatch: pytest.MonkeyPatch) -> None:
    run = training.begin(tmp_path / "run", photos, **HEAD | {"epochs": 2})
    saved: list[tuple[int, int]] = []
    write = loop.checkpoint.write

    def note(*arguments: Any) -> None:
        saved.append((arguments[-1].epoch, arguments[-1].step))
        write(*arguments)

    monkeypatch.setattr(loop.checkpoint, "write", note)
    monkeypatch.setattr(loop, "tell", lambda event, **values: None)
    assert loop.train(run, None, threading.Event(), save_every_s=0)
    assert saved == [(0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (1, 3), (2, 0)]


def test_process_one_turns_sigterm_into_the_file_and_waits_for_the_end(tmp_path: Path) -> None:
    stop = tmp_path / "later" / "stop"
    # Deaf to signals, as what the SDK starts is; an orphan of it has to be reaped.
    script = f"trap '' TERM; (sleep 0.1 &); echo ready; while [ ! -e {stop} ]; do sleep 0.05; done; exit 75"
    command = [sys.executable, "-I", process_one.__file__, str(stop), "/bin/bash", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(_DEADLINE_S) == 75


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("kill -9 $$", 137), ("true", 0)])
def test_process_one_ends_as_its_command_did(tmp_path: Path, script: str, code: int) -> None:
    command = [sys.executable, "-I", process_one.__file__, str(tmp_path / "stop"), "/bin/bash", "-c", script]
    assert subprocess.run(command, check=False, timeout=_DEADLINE_S).returncode == code


def test_a_damaged_checkpoint_is_an_error_not_another_beginning(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    places.checkpoints.mkdir()
    (places.checkpoints / "last.safetensors").write_bytes(b"half")
    assert host.main(places) == 1
    assert "is damaged" in events(capsys)[-1]["message"]
