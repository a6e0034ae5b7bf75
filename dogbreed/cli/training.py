"""What every way of training has in common: options, reading the photos, what can be wrong, progress, the answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dogbreed.ui import ui

if TYPE_CHECKING:
    from dogbreed.config import Settings
    from dogbreed.data.photoset import PhotoSet
    from dogbreed.run import Run

_LOW_EFFICIENCY = 0.6
_SHOWN_PROBLEMS = 5
STOPPING = "stopping: the workers write a checkpoint first (Ctrl-C again ends them at once)"

Data = Annotated[Path | None, typer.Argument(help="Folder of photos; default: the configured one, else a drawn set.")]
Method = Annotated[str | None, typer.Option(help="head (new head, frozen backbone) or finetune (every layer).")]
Backbone = Annotated[str | None, typer.Option(help="starter, or a torchvision classifier such as resnet50.")]
Weights = Annotated[str | None, typer.Option(help="starter, imagenet, none, a run's folder or a file.")]
Epochs = Annotated[int | None, typer.Option(min=1, help="Passes over the photos, at most.")]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Photos per step over all workers together.")]
Lr = Annotated[float | None, typer.Option(help="Highest learning rate.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of training.")]


def flags(
    data: Path | None,
    instances: int | None,
    method: str | None,
    backbone: str | None,
    weights: str | None,
    epochs: int | None,
    batch_size: int | None,
    lr: float | None,
    seed: int | None,
) -> dict[str, Any]:
    """The settings that these options give."""
    return {
        "data.path": str(data) if data else None,
        "train.instances": instances,
        "train.method": method,
        "train.backbone": backbone,
        "train.weights": weights,
        "train.epochs": epochs,
        "train.batch_size": batch_size,
        "train.lr": lr,
        "train.seed": seed,
    }


def read_photos(settings: Settings) -> PhotoSet:
    """Scan the photos and say what is odd about them."""
    from dogbreed.data.photoset import read

    folder = Path(settings.data.path).expanduser() if settings.data.path else _sample(settings.data.seed)
    own = settings.data
    with ui.progress("reading photos", None, "photos") as advance:
        seen = 0

        def show(done: int, total: int) -> None:
            nonlocal seen
            advance(done - seen, f"of {total}")
            seen = done

        photos = read(folder, valid=own.valid, test=own.test, seed=own.seed, progress=show)
    left_out = [problem for problem in photos.problems if not problem.used]
    for problem in photos.problems:
        if problem.used and problem.must_be_mended:
            ui.warn(f"{problem.path}: {problem.detail or problem.kind}")
    for problem in left_out[:_SHOWN_PROBLEMS]:
        ui.warn(f"left out {problem.path}: {problem.detail or problem.kind}")
    if len(left_out) > _SHOWN_PROBLEMS:
        ui.warn(f"and {len(left_out) - _SHOWN_PROBLEMS} more; see: dogbreed data check {folder}")
    counts = ", ".join(f"{len(photos.split(name))} {name}" for name in ("train", "valid", "test"))
    ui.note(f"{len(photos.photos)} photos of {len(photos.breeds)} breeds: {counts}")
    return photos


def check(settings: Settings, photos: PhotoSet, workers: int) -> None:
    """What can be known to be wrong before a run is begun; UsageError."""
    from dogbreed.train import job

    train, count = settings.train, len(photos.split("train"))
    job.check_weights(train.backbone, train.weights)
    shared, batch = job.batch_size(train.batch_size, count, workers), min(train.batch_size, count)
    if shared < batch:
        ui.note(f"batches of {shared} photos, not {batch}, since {workers} workers share them equally")


def _sample(seed: int) -> Path:
    """The drawn set, kept in the cache folder: it is the same for each seed."""
    from dogbreed.data.cache import cache_dir
    from dogbreed.data.sample import draw_sample

    folder = cache_dir() / f"sample-{seed}"
    if not folder.is_dir():
        draw_sample(folder, seed=seed)
    ui.note(f"no folder of photos was named: training on drawings of dogs, not on photos ({folder})")
    return folder


class View:
    """Turns the workers' events into bars in a terminal and into lines elsewhere; to be used in a `with`."""

    def __init__(self, epochs: int) -> None:
        from contextlib import ExitStack

        self._epochs, self._stack = epochs, ExitStack()
        self._advance: Any = None
        self._seen = self._size = 0

    def __enter__(self) -> View:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def show(self, event: dict[str, Any]) -> None:
        """Draw what one event of the worker says."""
        match event["event"]:
            case "start" if event["restarts"]:
                ui.warn("a worker ended unexpectedly; all start again from the last checkpoint")
            case "start":
                where = "GPU" if event["device"].startswith("cuda") else "CPU"
                ui.note(f"{event['world']} worker(s) on the {where}, starting from {event['origin']}")
                if where == "CPU" and event["gpus"]:
                    ui.warn(f"{event['gpus']} GPU(s) for {event['world']} workers: use --instances {event['gpus']}")
            case "features":
                self._bar("features", event["total"], event["count"])
            case "train":
                self._stack.close()
                self._advance, self._seen = None, 0
                self._size = event["steps"] * event["batch"]
                if event["epoch"] >= self._epochs:
                    ui.note("every epoch is trained; what remains is to finish the run")
                elif event["epoch"] or event["step"]:
                    ui.note(f"going on from epoch {event['epoch'] + 1}, step {event['step'] + 1}")
            case "step":
                done = (event["epoch"] - 1) * self._size + event["done"]
                self._bar("training", self._epochs * self._size, done - self._seen, f"loss {event['loss']:.3f}")
                self._seen = done
            case "epoch":
                self._epoch(event)
            case "stopping":
                self._stack.close()
                ui.note(STOPPING)
            case "finish":
                self._stack.close()
                words = {"export": "exporting to ONNX", "parity": "comparing the export with the model"}
                ui.note(words[event["stage"]])

    def _epoch(self, event: dict[str, Any]) -> None:
        best = "  best" if event["best"] else ""
        valid = ""
        if event["valid_loss"] is not None:
            valid = f"valid loss {event['valid_loss']:.4f}  top-1 {event['valid_top1']:.3f}  "
        ui.note(
            f"epoch {event['epoch']:>3}/{self._epochs}  loss {event['train_loss']:.4f}  {valid}"
            f"{event['images_per_second']:.0f} images/s{best}"
        )

    def _bar(self, label: str, total: int, step: int, words: str = "") -> None:
        if self._advance is None:
            self._advance = self._stack.enter_context(ui.progress(label, total, "images"))
        self._advance(step, words)


def answer(run: Run, event: dict[str, Any], *, named: bool) -> None:
    """The answer of a finished training; `named`: the next command has to name the run."""
    test = event["metrics"]["test"]
    efficiency = event["efficiency"]
    if efficiency is not None:
        _say_efficiency(run, efficiency)
    elif run.info["world_size"] > 1:
        ui.note("what the workers gained was not measured: too few photos had features to be computed")
    if ui.json:
        ui.answer({"run": str(run.path), "metrics": event["metrics"], "efficiency": efficiency})
    elif test["photos"]:
        low, high = test["top1_interval"]
        ui.line(f"{run.path}")
        ui.line(
            f"top-1 {test['top1']:.1%} of {test['photos']} test photos (95 % interval {low:.1%} to {high:.1%}), "
            f"top-5 {test['top5']:.1%}"
        )
    else:
        ui.line(f"{run.path}")
    # Without --run the newest run in ./runs answers; one that was put elsewhere has to be named.
    ui.note(f"next: dogbreed predict photo.jpg{f' --run {run.path}' if named else ''}")


def _say_efficiency(run: Run, efficiency: float) -> None:
    size = run.info["world_size"]
    times = f"{efficiency * size:.2f} times as fast as one that has the whole machine"
    ui.note(f"{size} workers were {times}, an efficiency of {efficiency:.0%}")
    if efficiency > 1:
        ui.note("more than 100 % says that other work disturbed the measurement of the one")
    if efficiency < _LOW_EFFICIENCY:
        ui.note("fewer --instances would hardly take longer here: worker processes on one CPU share its cores")
