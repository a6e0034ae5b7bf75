"""`dogbreed train`: photos to a Run, by one process or many on this machine."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dogbreed.cli import training
from dogbreed.cli.options import Config, DryRun, NoConfig, Yes
from dogbreed.cli.training import STOPPING, View, answer, check, read_photos
from dogbreed.ui import ui

if TYPE_CHECKING:
    from dogbreed.config import Settings
    from dogbreed.data.photoset import PhotoSet
    from dogbreed.run import Run


Where = Literal["here", "sagemaker", "ec2"]


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command(rich_help_panel="Train")(train)


def train(
    data: training.Data = None,
    instances: Annotated[int | None, typer.Option(min=1, max=64, help="Worker processes, 1 if not set.")] = None,
    method: training.Method = None,
    backbone: training.Backbone = None,
    weights: training.Weights = None,
    epochs: training.Epochs = None,
    batch_size: training.BatchSize = None,
    lr: training.Lr = None,
    seed: training.Seed = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the new run; default: runs/<date>.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with this unfinished run.")] = None,
    on: Annotated[Where, typer.Option(help="train-sagemaker and train-ec2 have more options.")] = "here",
    yes: Yes = False,
    dry_run: DryRun = False,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:
    """Train a classifier, here or --on machines of AWS; N workers share the work of one and reach the same weights.

    Examples: dogbreed train photos --instances 2; dogbreed train photos --config finetune
    """
    import shutil

    from dogbreed import config as settings_module
    from dogbreed.errors import UsageError
    from dogbreed.run import RUNS, Run

    if resume and (data or out or config):
        raise UsageError("--resume goes on with a run as it was begun", "leave out DATA, --out and --config")
    flags = training.flags(data, instances, method, backbone, weights, epochs, batch_size, lr, seed)
    settings = settings_module.load(flags, config=config, use_file=not no_config)
    if on != "here":
        if resume or out:
            raise UsageError(f"--resume and --out are not for --on {on}", f"dogbreed train-{on} --resume RUN")
        # Loaded here, since a training on this machine needs nothing of it.
        elsewhere = import_module(f"dogbreed.cli.train_{on}")
        elsewhere.launch(settings, yes=yes, dry_run=dry_run)
        return
    if resume:
        run, settings = _reopen(resume, flags)
        if dry_run:
            if ui.json:
                ui.answer({"resume": str(run.path), "train": settings.to_json()["train"]})
            else:
                ui.line(f"would go on with {run.path} in {settings.train.instances} worker process(es)")
            return
    else:
        photos = read_photos(settings)
        check(settings, photos, settings.train.instances)
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
    answer(Run.open(run.path), event, named=run.path.parent != RUNS)


def _begin(settings: Settings, photos: PhotoSet, out: Path | None) -> Run:
    from dogbreed.errors import UsageError
    from dogbreed.run import MODEL, Run
    from dogbreed.train import job

    if out and out.exists() and any(out.iterdir() if out.is_dir() else [out]):
        begun = (out / job.FILE).exists() and not (out / MODEL).exists()
        hint = f"go on with it: dogbreed train --resume {out}" if begun else "name a new folder"
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
    if (folder / "remote.json").exists():
        raise UsageError(f"{folder} trains elsewhere", f"see: dogbreed logs {folder.name}")
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
            with View(train.epochs) as view:
                for last in events:
                    view.show(last)
        except KeyboardInterrupt:
            if last.get("event") != "stopping":
                ui.note(STOPPING)
                events.close()
            if (run.path / MODEL).exists():
                ui.note(f"the run was finished all the same: {run.path}")
            else:
                ui.note(f"go on with: dogbreed train --resume {run.path}")
            raise
    if last.get("event") == "done":
        return last
    ui.note(f"stopped; go on with: dogbreed train --resume {run.path}")
    from dogbreed.errors import EXIT_INTERRUPTED

    raise typer.Exit(EXIT_INTERRUPTED)
