"""The Run: what model.json holds, that no changed byte passes, and which Run is meant."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from dogbreed import run as runs
from dogbreed.errors import DogbreedError, UsageError
from dogbreed.run import MODEL, ONNX, STARTER, WEIGHTS, Run, find, write_atomically

INFO = {"labels": ["b", "a"], "temperature": 1.0}


def finished(folder: Path, age: float = 0.0) -> Path:
    run = Run.create(folder)
    (folder / WEIGHTS).write_bytes(b"weights of " + folder.name.encode())
    (folder / ONNX).write_bytes(b"onnx of " + folder.name.encode())
    run.finish(INFO)
    os.utime(folder / MODEL, (1e9 - age, 1e9 - age))
    return folder


def test_finish_names_every_file_of_the_model_with_its_sha256(tmp_path: Path) -> None:
    folder = finished(tmp_path / "run")
    for name in ("metrics.jsonl", "curve.png"):
        (folder / name).write_text(name)
    # Files that are no part of the model: they may still change, or were left by a crash.
    for name in ("job.json", "worker.log", ".model.onnx.1.tmp"):
        (folder / name).write_text(name)
    info = Run.open(folder).finish(INFO).info
    assert sorted(info["files"]) == sorted([WEIGHTS, ONNX, "metrics.jsonl", "curve.png"])
    for name, digest in info["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert json.loads((folder / MODEL).read_text()) == info
    assert Run.open(folder).labels == ("b", "a")


@pytest.mark.parametrize("name", [WEIGHTS, ONNX])
@pytest.mark.parametrize("place", [0, -1])
def test_a_changed_byte_is_noticed(tmp_path: Path, name: str, place: int) -> None:
    folder = finished(tmp_path / "run")
    assert Run.open(folder).read(name)
    data = bytearray((folder / name).read_bytes())
    data[place] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(DogbreedError, match="sha256 differs") as caught:
        Run.open(folder).read(name)
    assert caught.value.hint


def test_a_changed_model_json_is_noticed(tmp_path: Path) -> None:
    folder = finished(tmp_path / "run")
    path = folder / MODEL
    path.write_text(json.dumps({**json.loads(path.read_text()), "labels": ["a", "b"]}))
    with pytest.raises(DogbreedError, match="changed since it was written"):
        Run.open(folder)


def test_a_missing_file_and_one_that_was_never_named(tmp_path: Path) -> None:
    folder = finished(tmp_path / "run")
    (folder / "smuggled.bin").write_bytes(b"x")
    with pytest.raises(DogbreedError, match="sha256 differs"):
        Run.open(folder).read("smuggled.bin")
    (folder / ONNX).unlink()
    with pytest.raises(DogbreedError, match="No such file"):
        Run.open(folder).read(ONNX)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    folder = finished(tmp_path / "run")
    info = json.loads((folder / MODEL).read_text())
    (folder / MODEL).write_text(json.dumps(info | {"format": runs.FORMAT + 1}))
    with pytest.raises(DogbreedError, match="newer dogbreed") as caught:
        Run.open(folder)
    assert "upgrade" in caught.value.hint


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": "x"}', "\xff"])
def test_a_damaged_model_json_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / MODEL).write_bytes(content.encode("latin-1"))
    with pytest.raises(DogbreedError, match=r"model\.json cannot be read"):
        Run.open(tmp_path)


def test_an_unfinished_run_has_the_hint_to_go_on(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run")
    with pytest.raises(DogbreedError, match="no finished run") as caught:
        Run.open(run.path)
    assert "resume" not in caught.value.hint
    (run.path / "job.json").write_text("{}")
    with pytest.raises(DogbreedError, match="no finished run") as caught:
        Run.open(run.path)
    assert caught.value.hint == f"dogbreed train --resume {run.path}"


def test_which_run_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DogbreedError, match="no finished run"):
        find("latest")
    with pytest.raises(UsageError, match="no run elsewhere"):
        find("elsewhere")
    old, new = finished(Path("runs/old"), age=100), finished(Path("runs/new"))
    Run.create(Path("runs/unfinished"))
    other = finished(tmp_path / "other")
    assert runs.finished() == [old, new]
    assert find("").path == new
    assert find("latest").path == new
    assert find("old").path == old
    assert find(str(other)).path == other
    with pytest.raises(DogbreedError, match="no finished run"):
        find("unfinished")


@pytest.mark.skipif(not (STARTER / MODEL).is_file(), reason="the starter model is not there")
def test_without_a_run_the_starter_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find("").path == STARTER
    finished(Path("runs/mine"))
    assert find("").path == Path("runs/mine")
    assert find("starter").path == STARTER


def test_new_runs_have_names_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = [Run.create() for _ in range(5)]
    assert len({run.name for run in made}) == 5
    assert all(run.path.parent == runs.RUNS and not list(run.path.iterdir()) for run in made)


def test_writing_leaves_the_old_content_or_the_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(DogbreedError, match="No space left"):
        patch.setattr(os, "fsync", full)
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    with pytest.raises(DogbreedError, match="cannot write"):
        write_atomically(path / "below a file", b"x")
