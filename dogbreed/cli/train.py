"""`dogbreed train`: photos to a Run, by one process or many on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dogbreed.cli.options import Config, DryRun, Json, NoColor, NoConfig, Quiet, Verbose
from dogbreed.ui import ui

if TYPE_CHECKING:
    from dogbreed.config import Settings
    from dogbreed.data.photoset import PhotoSet
    from dogbreed.run import Run

_LOW_EFFICIENCY = 0.6
_SHOWN_PROBLEMS = 5
_STOPPING = "stopping: the workers write a checkpoint first (Ctrl-C again ends them at once)"


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command(rich_help_panel="Train")(train)


def train(
    data: Annotated[
        Path | None, typer.Argument(help="Folder of photos; default: the configured one, else a drawn set.")
    ] = None,
    instances: Annotated[int | None, typer.Option(min=1, max=64, help="Worker processes, 1 if not set.")] = None,
    method: Annotated[
        str | None, typer.Option(help="head (new head, frozen backbone) or finetune (every layer).")
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="starter, or a torchvision classifier such as resnet50.")] = None,
    weights: Annotated[str | None, typer.Option(help="starter, imagenet, none, a run's folder or a file.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the photos, at most.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Photos per step over all workers together.")] = None,
    lr: Annotated[float | None, typer.Option(help="Highest learning rate.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of training.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the new run; default: runs/<date>.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with this unfinished run.")] = None,
    dry_run: DryRun = False,
    config: Config = None,
    no_config: NoConfig = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_color: NoColor = False,
) -> None:
    """Train a classifier on this machine; N workers share the work of one and reach the same weights.

    Examples: dogbreed train photos --instances 2; dogbreed train photos --config finetune
    """
    import shutil

    from dogbreed import config as settings_module
    from dogbreed.errors import UsageError
    from dogbreed.run import RUNS, Run

    if resume and (data or out or config):
        raise UsageError("--resume goes on with a run as it was begun", "leave out DATA, --out and --config")
    flags: dict[str, Any] = {
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
    settings = settings_module.load(flags, config=config, use_file=not no_config)
    if resume:
        run, settings = _reopen(resume, flags)
        if dry_run:
            if ui.json:
                ui.answer({"resume": str(run.path), "train": settings.to_json()["train"]})
            else:
                ui.line(f"would go on with {run.path} in {settings.train.instances} worker process(es)")
            return
    else:
        photos = _read(settings)
        _check(settings, photos)
        if dry_run:
            _say_plan(settings, photos)
            return
        run = _begin(settings, photos, out)
    try:
        event = _follow(run, settings)
    except UsageError:
        if not resume:
            # Nothing was trained, and these settings never will be: no run to go on with.
            shutil.rmtree(run.path, ignore_errors=True)
        raise
    _answer(Run.open(run.path), event, named=run.path.parent != RUNS)


def _read(settings: Settings) -> PhotoSet:
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


def _check(settings: Settings, photos: PhotoSet) -> None:
    """What can be known to be wrong before a run is begun; UsageError."""
    from dogbreed.errors import UsageError

    train, count = settings.train, len(photos.split("train"))
    if train.weights == "starter" and train.backbone != "starter":
        raise UsageError(
            f"the starter's weights do not fit {train.backbone}", "choose --weights imagenet, none or a file"
        )
    if train.weights not in ("starter", "imagenet", "none") and not Path(train.weights).exists():
        raise UsageError(f"there are no weights {train.weights}", "starter, imagenet, none, a run's folder, or a file")
    if train.instances > min(count, train.batch_size):
        raise UsageError(
            f"{count} photos in batches of {train.batch_size} cannot be shared by {train.instances} workers",
            "use fewer --instances",
        )
    batch = min(train.batch_size, count)
    if batch % train.instances:
        shared = batch // train.instances * train.instances
        ui.note(f"batches of {shared} photos, not {batch}, since {train.instances} workers share them equally")


def _sample(seed: int) -> Path:
    """The drawn set, kept in the cache folder: it is the same for each seed."""
    from dogbreed.data.cache import cache_dir
    from dogbreed.data.sample import draw_sample

    folder = cache_dir() / f"sample-{seed}"
    if not folder.is_dir():
        draw_sample(folder, seed=seed)
    ui.note(f"no folder of photos was named: training on drawings of dogs, not on photos ({folder})")
    return folder


def _begin(settings: Settings, photos: PhotoSet, out: Path | None) -> Run:
    from dogbreed.errors import UsageError
    from dogbreed.run import MODEL, Run
    from dogbreed.train import job

    if out and out.exists() and any(out.iterdir() if out.is_dir() else [out]):
        hint = f"go on with it: dogbreed train --resume {out}" if not (out / MODEL).exists() else "name a new folder"
        raise UsageError(f"{out} is not empty", hint)
    run = Run.create(out)
    job.write(run.path, settings.to_json(), photos)
    return run


def _reopen(folder: Path, flags: dict[str, Any]) -> tuple[Run, Settings]:
    from dogbreed.config import Settings, TrainSettings
    from dogbreed.errors import DogbreedError, UsageError
    from dogbreed.run import MODEL, Run
    from dogbreed.train.job import Job

    given = [key for key, value in flags.items() if value is not None and key != "train.instances"]
    if given:
        raise UsageError(f"{given[0]} cannot change when a run goes on", "only --instances may be given with --resume")
    if (folder / MODEL).exists():
        raise DogbreedError(f"{folder} is finished", f"dogbreed predict --run {folder} photo.jpg")
    job = Job.read(folder)
    job.check_photos()
    train = {**job.all_settings["train"], "instances": flags["train.instances"] or job.settings.instances}
    return Run(folder, {}), Settings(train=TrainSettings(**train))


def _say_plan(settings: Settings, photos: PhotoSet) -> None:
    train = settings.train
    plan = {"train": settings.to_json()["train"], "photos": len(photos.photos), "digest": photos.digest()}
    if ui.json:
        ui.answer(plan)
    else:
        what = "a new head on frozen features" if train.method == "head" else "every layer"
        ui.line(f"would train {what} of {train.backbone} ({train.weights} weights) for up to {train.epochs} epochs")
        ui.line(f"in {train.instances} worker process(es) on this machine; no run was begun")


def _follow(run: Run, settings: Settings) -> dict[str, Any]:
    """Run the workers and draw what they tell; the last event."""
    import signal
    from contextlib import closing

    from dogbreed import launch
    from dogbreed.run import MODEL

    train = settings.train
    # What ends a process politely is treated like Ctrl-C, so that it says how to go on.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    last: dict[str, Any] = {}
    with closing(launch.follow(run.path, train.instances, train.max_restarts)) as events:
        try:
            with _View(train.epochs) as view:
                for last in events:
                    view.show(last)
        except KeyboardInterrupt:
            if last.get("event") != "stopping":
                ui.note(_STOPPING)
                events.close()
            if (run.path / MODEL).exists():
                ui.note(f"the run was finished all the same: {run.path}")
            else:
                ui.note(f"go on with: dogbreed train --resume {run.path}")
            raise
    if last.get("event") == "done":
        return last
    ui.note(f"stopped with a checkpoint; go on with: dogbreed train --resume {run.path}")
    from dogbreed.errors import EXIT_INTERRUPTED

    raise typer.Exit(EXIT_INTERRUPTED)


class _View:
    """Turns the workers' events into bars in a terminal and into lines elsewhere."""

    def __init__(self, epochs: int) -> None:
        from contextlib import ExitStack

        self._epochs, self._stack = epochs, ExitStack()
        self._advance: Any = None
        self._seen = self._size = 0

    def __enter__(self) -> _View:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def show(self, event: dict[str, Any]) -> None:
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
                if event["epoch"] or event["step"]:
                    ui.note(f"going on from epoch {event['epoch'] + 1}, step {event['step'] + 1}")
            case "step":
                done = (event["epoch"] - 1) * self._size + event["done"]
                self._bar("training", self._epochs * self._size, done - self._seen, f"loss {event['loss']:.3f}")
                self._seen = done
            case "epoch":
                self._epoch(event)
            case "stopping":
                self._stack.close()
                ui.note(_STOPPING)
            case "finish":
                self._stack.close()
                words = {"export": "exporting to ONNX", "parity": "comparing the export with the model"}
                ui.note(words[event["stage"]])

    def _epoch(self, event: dict[str, Any]) -> None:
        best = "  best so far" if event["best"] else ""
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


def _answer(run: Run, event: dict[str, Any], *, named: bool) -> None:
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
    if efficiency < _LOW_EFFICIENCY:
        ui.note("fewer --instances would hardly take longer here: worker processes on one CPU share its cores")
