"""`dogbreed train` as people run it: what it says where, what it refuses, and what it need not compute twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dogbreed.cli import training as command
from dogbreed.data.sample import draw_sample
from dogbreed.run import MODEL, STARTER

pytestmark = pytest.mark.skipif(not (STARTER / MODEL).is_file(), reason="the starter model is not there")


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_sample(tmp_path_factory.mktemp("cli") / "photos", breeds=3, photos=10, seed=6)


def dogbreed(folder: Path, *words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "dogbreed", *map(str, words)]
    clean = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=400, check=False, env=clean)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.slow
def test_a_training_from_photos_to_the_next_command(tmp_path: Path, drawn: Path) -> None:
    done = dogbreed(tmp_path, "train", drawn, "--epochs", "3", "--instances", "2", "--batch-size", "6")
    (run,) = (tmp_path / "runs").iterdir()
    lines = done.stderr.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("epoch")] == ["1/3", "2/3", "3/3"]
    assert "2 worker(s) on the" in done.stderr
    assert lines[-1].startswith("next: dogbreed predict")
    assert "\x1b" not in done.stderr + done.stdout
    assert done.stdout.splitlines()[0] == f"runs/{run.name}"
    assert "of 6 test photos (95 % interval" in done.stdout
    assert json.loads((run / MODEL).read_text())["world_size"] == 2
    # It is finished: nothing to go on with, and no second run may land in its folder.
    assert "is finished" in dogbreed(tmp_path, "train", "--resume", run, code=1).stderr
    assert "is not empty" in dogbreed(tmp_path, "train", drawn, "--out", run, code=2).stderr
    answers = json.loads(dogbreed(tmp_path, "predict", drawn, "--json").stdout)
    assert len(answers) == 30


@pytest.mark.slow
def test_json_is_one_value_and_quiet_is_quiet(tmp_path: Path, drawn: Path) -> None:
    done = dogbreed(tmp_path, "train", drawn, "--epochs", "1", "--json", "--quiet", "--out", "here")
    value = json.loads(done.stdout)
    assert value["run"] == "here"
    assert value["metrics"]["test"]["photos"] == 6
    assert value["efficiency"] is None
    assert done.stderr == ""


@pytest.mark.parametrize("style", [(), ("--json",)])
def test_a_dry_run_writes_nothing(tmp_path: Path, drawn: Path, style: tuple[str, ...]) -> None:
    done = dogbreed(tmp_path, "train", drawn, "--dry-run", "--instances", "2", *style)
    assert not list(tmp_path.iterdir())
    if style:
        assert json.loads(done.stdout)["train"]["instances"] == 2
    else:
        assert "would train" in done.stdout


def unfinished(folder: Path, drawn: Path, **train: Any) -> Path:
    from dogbreed.config import Settings, TrainSettings
    from dogbreed.data.photoset import read
    from dogbreed.run import Run
    from dogbreed.train import job

    run = Run.create(folder)
    photos = read(drawn, valid=0.15, test=0.15, seed=0)
    job.write(run.path, Settings(train=TrainSettings(**train)).to_json(), photos)
    return run.path


def test_resume_takes_the_run_as_it_was_begun(tmp_path: Path, drawn: Path) -> None:
    import shutil

    copy = shutil.copytree(drawn, tmp_path / "copy")
    run = unfinished(tmp_path / "run", copy)
    content = sorted(run.iterdir())
    for words in (["--epochs", "3"], ["--lr", "1"], [str(drawn)], ["--out", "x"], ["--config", "head"]):
        assert "hint:" in dogbreed(tmp_path, "train", "--resume", run, *words, code=2).stderr
    assert "would go on" in dogbreed(tmp_path, "train", "--resume", run, "--dry-run").stdout
    assert sorted(run.iterdir()) == content
    assert "holds no training job" in dogbreed(tmp_path, "train", "--resume", tmp_path, code=1).stderr
    photo = sorted(copy.rglob("*.jpg"))[0]
    photo.write_bytes(photo.read_bytes() + b"x")
    assert f"{photo} has changed" in dogbreed(tmp_path, "train", "--resume", run, code=1).stderr
    photo.unlink()
    assert f"{photo}: No such file" in dogbreed(tmp_path, "train", "--resume", run, code=1).stderr


def test_wrong_inputs_are_refused_before_anything_starts(tmp_path: Path, drawn: Path) -> None:
    (tmp_path / "empty").mkdir()
    draw_sample(tmp_path / "two", breeds=2, photos=4)
    one = tmp_path / "one"
    (one / "pug").mkdir(parents=True)
    for path in sorted((tmp_path / "two").rglob("*.jpg"))[:3]:
        (one / "pug" / path.name).write_bytes(path.read_bytes())
    cases: list[tuple[list[str | Path], int, str]] = [
        (["nowhere"], 2, "nowhere"),
        (["empty"], 1, "empty"),
        (["one"], 1, "only breed"),
        ([drawn, "--epochs", "0"], 2, "epochs"),
        ([drawn, "--instances", "0"], 2, "instances"),
        ([drawn, "--instances", "65"], 2, "instances"),
        ([drawn, "--method", "magic"], 2, "--method"),
        ([drawn, "--lr", "0"], 2, "--lr"),
        ([drawn, "--out", "a file"], 2, "not empty"),
    ]
    (tmp_path / "a file").write_text("x")
    for words, code, expected in cases:
        done = dogbreed(tmp_path, "train", *words, code=code)
        assert expected in done.stderr
        assert "hint:" in done.stderr
        assert done.stdout == ""
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--backbone", "resnet19", "--weights", "none"], "no backbone resnet19"),
        (["--backbone", "resnet18"], "do not fit resnet18"),
        (["--weights", "nowhere.pth"], "no weights nowhere.pth"),
        (["--batch-size", "1", "--instances", "2"], "use fewer --instances"),
    ],
)
def test_settings_that_cannot_work_leave_no_run_behind(
    tmp_path: Path, drawn: Path, words: list[str], expected: str
) -> None:
    done = dogbreed(tmp_path, "train", drawn, *words, code=2)
    assert expected in done.stderr
    assert "hint:" in done.stderr
    assert not list((tmp_path / "runs").glob("*"))


def test_reading_photos_counts_each_of_them(tmp_path: Path, drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import contextmanager

    from dogbreed.config import load

    steps: list[int] = []

    @contextmanager
    def progress(*_: object, **__: object) -> Any:
        yield lambda step=1, words="": steps.append(step)

    monkeypatch.setattr(command.ui, "progress", progress)
    photos = command.read_photos(load({"data.path": str(drawn)}, use_file=False))
    assert sum(steps) == len(photos.photos) == 30


# -- how the view says it


def shown(capsys: pytest.CaptureFixture[str], *events: dict[str, Any]) -> str:
    with command.View(3) as view:
        for event in events:
            view.show(event)
    return capsys.readouterr().err


def test_the_view_names_restarts_and_resumption(capsys: pytest.CaptureFixture[str]) -> None:
    start = {"event": "start", "world": 2, "device": "cuda:0", "origin": "random", "restarts": 0}
    train = {"event": "train", "steps": 5, "batch": 4, "epoch": 1, "step": 2}
    assert shown(capsys, start, train).splitlines() == [
        "2 worker(s) on the GPU, starting from random",
        "going on from epoch 2, step 3",
    ]
    assert "start again from the last checkpoint" in shown(capsys, start | {"restarts": 1})
    assert "use --instances 1" in shown(capsys, start | {"device": "cpu", "gpus": 1})
    assert "--instances" not in shown(capsys, start | {"device": "cpu", "gpus": 0})


def test_an_epoch_without_validation_photos_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    epoch = {"event": "epoch", "epoch": 2, "train_loss": 0.5, "images_per_second": 9.6, "best": True}
    text = shown(capsys, epoch | {"valid_loss": None, "valid_top1": None})
    assert text == "epoch   2/3  loss 0.5000  10 images/s  best\n"
    text = shown(capsys, epoch | {"valid_loss": 0.25, "valid_top1": 1.0, "best": False})
    assert text == "epoch   2/3  loss 0.5000  valid loss 0.2500  top-1 1.000  10 images/s\n"


@pytest.mark.parametrize(("efficiency", "advice"), [(0.59, True), (0.6, False), (0.97, False)])
def test_the_advice_to_use_fewer_workers(capsys: pytest.CaptureFixture[str], efficiency: float, advice: bool) -> None:
    from dogbreed.run import Run

    command._say_efficiency(Run(Path("runs/x"), {"world_size": 4}), efficiency)
    text = capsys.readouterr().err
    assert f"{efficiency:.0%}" in text
    assert ("fewer --instances" in text) == advice


def test_a_folder_of_something_else_is_no_run_to_go_on_with(tmp_path: Path, drawn: Path) -> None:
    (tmp_path / "thesis.txt").write_text("words")
    refused = dogbreed(tmp_path, "train", drawn, "--out", tmp_path, code=2)
    assert "is not empty" in refused.stderr and "--resume" not in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
