"""What goes wrong is said once, with a hint, and the last good checkpoint stays."""

from __future__ import annotations

import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import training
from safetensors import safe_open
from training import FINETUNE, HEAD

from dogbreed import launch
from dogbreed.data.photoset import PhotoSet
from dogbreed.errors import DogbreedError, UsageError
from dogbreed.run import Run
from dogbreed.train import checkpoint, loop, tasks


def good_checkpoint(run: Path) -> checkpoint.Progress:
    """The checkpoint of `run`, which must be readable and finite."""
    import json

    with safe_open(run / checkpoint.FILE, "pt") as file:
        names = list(file.keys())
        assert all(bool(file.get_tensor(name).isfinite().all()) for name in names)
        return checkpoint.Progress(**json.loads(file.metadata()["progress"]))


def after_one_epoch(folder: Path, photos: PhotoSet, **settings: Any) -> Path:
    """A run that was stopped in the first step of its second epoch."""
    import threading

    run, stop = training.begin(folder, photos, **settings), threading.Event()
    write = checkpoint.write

    def write_and_stop(*arguments: Any) -> None:
        write(*arguments)
        stop.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "write", write_and_stop)
        assert training.train_here(run, stop)[-1]["event"] == "stopped"
    return run


def bytes_of(run: Path) -> bytes:
    return (run / checkpoint.FILE).read_bytes()


def test_a_loss_that_is_no_number_keeps_the_last_good_checkpoint(tmp_path: Path, photos: PhotoSet) -> None:
    run = after_one_epoch(tmp_path / "run", photos, **HEAD)
    before = bytes_of(run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks.HeadTask, "loss", lambda self, module, *_: module.weight.sum() * float("nan"))
        with pytest.raises(DogbreedError, match="loss became nan in epoch 2") as caught:
            training.train_here(run)
    assert "--lr" in caught.value.hint
    assert bytes_of(run) == before
    assert good_checkpoint(run).epoch == 1
    assert training.train_here(run)[-1]["event"] == "done"


def test_weights_that_became_infinite_in_the_last_step_are_not_written(tmp_path: Path, photos: PhotoSet) -> None:
    """The loss of a step is that before its update, so it looks well in the step that breaks the weights."""
    run = after_one_epoch(tmp_path / "run", photos, **HEAD)
    before = bytes_of(run)

    class Broken(torch.optim.AdamW):
        steps = 0

        def step(self, closure: Any = None) -> Any:
            super().step(closure)
            self.steps += 1
            if self.steps == 2:  # the third of the epoch: one is done already
                self.param_groups[1]["params"][0].data.fill_(float("inf"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "AdamW", Broken)
        with pytest.raises(DogbreedError, match="kept"):
            training.train_here(run)
    assert bytes_of(run) == before


@pytest.mark.slow
def test_a_diverged_training_of_two_workers_is_one_error_and_no_storm_of_restarts(
    tmp_path: Path, photos: PhotoSet
) -> None:
    run = training.begin(tmp_path / "run", photos, **HEAD | {"lr": 1e30, "max_restarts": 2})
    starts = []

    def watch(event: dict[str, Any]) -> None:
        if event["event"] == "start":
            starts.append(event["restarts"])

    with pytest.raises(DogbreedError, match="the loss became") as caught:
        training.launch_all(run, 2, restarts=2, watch=watch)
    assert not isinstance(caught.value, UsageError)
    assert starts == [0]
    assert not (run / "model.json").exists()


@pytest.mark.slow
def test_a_full_disk_is_an_error_and_the_last_checkpoint_stays(
    tmp_path: Path, photos: PhotoSet, shared_cache: Path
) -> None:
    run = after_one_epoch(tmp_path / "run", photos, **HEAD)
    before = bytes_of(run)
    done = subprocess.run(
        [sys.executable, "-m", "dogbreed", "train", "--resume", str(run)],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
        env=training.clean_environment(shared_cache),
        # No file may grow beyond this: what a full disk looks like to the worker that writes a checkpoint.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000)),
    )
    assert done.returncode == 1, done.stderr
    assert "error: cannot write" in done.stderr
    assert "hint: free some space" in done.stderr
    assert "ended unexpectedly" not in done.stderr
    assert "Traceback" not in done.stderr
    assert bytes_of(run) == before
    assert not list(run.rglob(".*.tmp"))
    assert good_checkpoint(run).epoch == 1


@pytest.mark.parametrize("stage", ["curve.png", "model.onnx", "model.json", "metrics.jsonl"])
def test_a_disk_that_fills_up_at_the_end_is_an_error_as_well(tmp_path: Path, photos: PhotoSet, stage: str) -> None:
    run = training.begin(tmp_path / "run", photos, **HEAD | {"epochs": 2})
    (run / stage).mkdir()  # a folder where the file has to go, which stops root too
    with pytest.raises(DogbreedError, match="cannot write"):
        training.train_here(run)
    (run / stage).rmdir()
    assert training.train_here(run)[-1]["event"] == "done"


def test_a_folder_that_cannot_be_written(tmp_path: Path, photos: PhotoSet) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DogbreedError, match="cannot write to") as caught:
        Run.create(tmp_path / "file" / "run")
    assert "--out" in caught.value.hint
    run = training.begin(tmp_path / "run", photos, **HEAD | {"epochs": 1})
    (run / "checkpoints").write_text("in the way")
    with pytest.raises(DogbreedError, match="cannot write"):
        training.train_here(run)


@pytest.mark.parametrize("harm", ["cut", "garbage", "other model"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, photos: PhotoSet, harm: str) -> None:
    run = after_one_epoch(tmp_path / "run", photos, **HEAD)
    path = run / checkpoint.FILE
    if harm == "other model":
        checkpoint.write(run, torch.nn.Linear(2, 2), torch.optim.SGD([torch.zeros(1)]), {}, checkpoint.Progress())
    else:
        path.write_bytes(path.read_bytes()[:-100] if harm == "cut" else b"\0" * 500)
    with pytest.raises(DogbreedError, match="damaged or of another model") as caught:
        training.train_here(run)
    assert str(path) in caught.value.hint


def test_a_photo_that_vanishes_or_changes_is_named(tmp_path: Path, drawn: Path, photos: PhotoSet) -> None:
    import shutil

    copy = shutil.copytree(drawn, tmp_path / "copy")
    moved = replace(
        photos, root=copy, photos=tuple(replace(p, path=copy / p.path.relative_to(drawn)) for p in photos.photos)
    )
    run = training.begin(tmp_path / "run", moved, **FINETUNE)
    gone = next(photo.path for photo in moved.photos if photo.split == "train")
    gone.write_bytes(b"\xff\xd8\xff no photo")
    with pytest.raises(DogbreedError, match=gone.name):
        training.train_here(run)
    gone.unlink()
    with pytest.raises(DogbreedError, match=gone.name):
        training.train_here(run)


@pytest.mark.slow
def test_an_error_in_the_second_worker_alone_reaches_the_person(tmp_path: Path, drawn: Path, photos: PhotoSet) -> None:
    import shutil

    copy = shutil.copytree(drawn, tmp_path / "copy")
    moved = replace(
        photos, root=copy, photos=tuple(replace(p, path=copy / p.path.relative_to(drawn)) for p in photos.photos)
    )
    # Another backbone: nothing is cached yet, and each worker reads every second photo.
    run = training.begin(tmp_path / "run", moved, **FINETUNE | {"method": "head"})
    gone = [photo for name in ("train", "valid", "test") for photo in moved.split(name)][1].path
    gone.unlink()
    with pytest.raises(DogbreedError, match=gone.name) as caught:
        training.launch_all(run, 2)
    assert caught.value.hint


@pytest.mark.slow
def test_wrong_settings_found_by_a_worker_are_errors_of_usage(tmp_path: Path, photos: PhotoSet) -> None:
    run = training.begin(tmp_path / "run", photos, **HEAD | {"backbone": "resnet19"})
    with pytest.raises(UsageError, match="no backbone resnet19"):
        training.launch_all(run, 1)
    assert (run / launch.LOG).exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"data": {}}', '{"settings": {"train": {"nose": 1}}}'])
def test_a_damaged_job_is_named(tmp_path: Path, content: str) -> None:
    from dogbreed.train.job import Job

    (tmp_path / "job.json").write_text(content)
    with pytest.raises(DogbreedError, match="holds no training job"):
        Job.read(tmp_path)


@pytest.mark.parametrize("empty", [("valid",), ("test",), ("valid", "test")])
def test_splits_without_photos_do_not_stop_the_training(
    tmp_path: Path, photos: PhotoSet, empty: tuple[str, ...]
) -> None:
    full = tuple(replace(p, split="train") if p.split in empty else p for p in photos.photos)
    run = training.begin(tmp_path / "run", replace(photos, photos=full), **HEAD | {"epochs": 3, "patience": 1})
    assert training.train_here(run)[-1]["event"] == "done"
    info = training.info(run)
    for split in empty:
        assert info["metrics"][split] == {"photos": 0}
    if "valid" in empty:
        assert info["best_epoch"] == 3
        assert info["temperature"] == 1.0
