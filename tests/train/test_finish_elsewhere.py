"""A Run that is trained where there is no ONNX and finished at home is the Run that was finished where it was made."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import training
from training import FINETUNE, HEAD

from dogbreed.data.photoset import PhotoSet
from dogbreed.errors import DogbreedError
from dogbreed.run import LEFT, METRICS, ONNX, WEIGHTS, Run
from dogbreed.train import finish, loop


@pytest.mark.parametrize("settings", [HEAD, FINETUNE | {"epochs": 1, "half": True}], ids=["head", "finetune, half"])
def test_finished_elsewhere_every_file_is_the_same(
    tmp_path: Path, photos: PhotoSet, settings: dict[str, object]
) -> None:
    here, left = (
        training.begin(tmp_path / "here", photos, **settings),
        training.begin(tmp_path / "left", photos, **settings),
    )
    training.train_here(here)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "tell", lambda event, **values: None)
        assert loop.train(left, None, threading.Event(), export=False)
    assert not (left / ONNX).exists()
    stages: list[str] = []
    said = finish.complete(left, stages.append)
    assert stages == ["export", "parity"]
    for name in (WEIGHTS, ONNX, "curve.png"):
        assert (left / name).read_bytes() == (here / name).read_bytes(), name
    one, other = training.info(here), training.info(left)
    # Each has a name, a time and a speed of its own; all else is equal.
    own = ("id", "created", "images_per_second", "sha256", "files")
    assert {key: value for key, value in one.items() if key not in own} == {
        key: value for key, value in other.items() if key not in own
    }
    assert said["metrics"] == one["metrics"]
    assert set(one["files"]) == set(other["files"]) >= {WEIGHTS, ONNX, METRICS}
    assert Run.open(left).labels == photos.breeds
    assert not (left / LEFT).exists()


def test_what_was_left_and_damaged_is_said(tmp_path: Path, photos: PhotoSet) -> None:
    run = training.begin(tmp_path / "run", photos, **HEAD)
    (run / LEFT).write_bytes(b"no tensors")
    with pytest.raises(DogbreedError, match="cannot be used"):
        finish.complete(run, lambda stage: None)


def test_a_machine_needs_no_onnx_to_train() -> None:
    code = "import dogbreed.train.loop, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"onnx", "onnxruntime", "pydantic", "typer", "rich", "boto3"} & set(done.stdout.split())
