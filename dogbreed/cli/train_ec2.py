"""`dogbreed train-ec2`: the same training on EC2 machines that end themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dogbreed.cli import ec2_planning, training
from dogbreed.cli import remote_training as shared
from dogbreed.cli.options import Config, DryRun, NoConfig, Region, Yes
from dogbreed.ui import ui

if TYPE_CHECKING:
    from dogbreed.cloud.remote import RemoteRun
    from dogbreed.cloud.session import Aws
    from dogbreed.config import Settings

# What may be given anew when a run goes on.
_MAY_CHANGE = ("ec2.", "aws.")
_TEND_EVERY_S = 3.0


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command("train-ec2", rich_help_panel="Train")(train_ec2)


def train_ec2(
    data: training.Data = None,
    instances: shared.Instances = None,
    instance_type: Annotated[
        str | None, typer.Option(help="Type of the machines, or several by preference: g6.xlarge,g5.xlarge; or auto.")
    ] = None,
    spot: shared.Spot = None,
    on_demand_fallback: Annotated[
        bool | None,
        typer.Option("--on-demand-fallback/--no-on-demand-fallback", help="Full price where no spot is to be had."),
    ] = None,
    max_usd: shared.MaxUsd = None,
    max_hours: shared.MaxHours = None,
    ami_id: Annotated[
        str | None, typer.Option(help="Machine image; default: the Deep Learning AMI with PyTorch 2.13.")
    ] = None,
    region: Region = None,
    method: training.Method = None,
    backbone: training.Backbone = None,
    weights: training.Weights = None,
    epochs: training.Epochs = None,
    batch_size: training.BatchSize = None,
    lr: training.Lr = None,
    seed: training.Seed = None,
    resume: shared.Resume = None,
    detach: shared.Detach = False,
    wait_minutes: shared.WaitMinutes = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:
    """Train on EC2 machines, which end themselves: shows what it costs at most, asks, uploads, follows, brings it home.

    Example: dogbreed train-ec2 photos --instances 2 --instance-type g6.xlarge,g5.xlarge --spot --max-usd 10
    """
    from dogbreed import config as settings_module

    flags = training.flags(data, instances, method, backbone, weights, epochs, batch_size, lr, seed) | {
        "ec2.instance_type": instance_type,
        "ec2.spot": spot,
        "ec2.on_demand_fallback": on_demand_fallback,
        "ec2.max_usd": max_usd,
        "ec2.max_hours": max_hours,
        "ec2.ami_id": ami_id,
        "aws.region": region,
    }
    settings = settings_module.load(flags, config=config, use_file=not no_config)
    if resume:
        shared.refuse_changes(flags, _MAY_CHANGE)
    launch(settings, resume=resume, detach=detach, minutes=wait_minutes, yes=yes, dry_run=dry_run)


def launch(
    settings: Settings,
    *,
    resume: str | None = None,
    detach: bool = False,
    minutes: float | None = None,
    yes: bool = False,
    dry_run: bool = False,
) -> None:
    """Plan, ask, launch and follow; also what `dogbreed train --on ec2` does."""
    from dogbreed.cloud.session import Aws

    if resume:
        aws, found = shared.open_run(settings, resume)
        resources, run = ec2_planning.go_on(aws, settings, found)
    else:
        aws = Aws(settings.aws)
        aws.account  # noqa: B018 - without access nothing else is worth doing
        resources, run = ec2_planning.begin(aws, settings)
    launched = shared.start(aws, resources, run, yes=yes, dry_run=dry_run)
    if launched is None:
        return
    machines: Any = resources[-1]
    ui.note(f"a shell on one: aws ssm start-session --target {next(iter(machines.launch.machines))}")
    if detach:
        shared.say_launched(launched)
        return
    with _tended(aws, launched):
        run, state = shared.follow(aws, launched, int(run.more["epochs"]), minutes=minutes)
    shared.bring_home(aws, run, state)


@contextmanager
def _tended(aws: Aws, run: RemoteRun) -> Iterator[None]:
    """Replace machines that AWS takes away, for as long as this command follows."""
    import threading

    from dogbreed.cloud.ec2_tend import Tender
    from dogbreed.cloud.errors import translate

    over = threading.Event()
    tender = Tender(aws, run, ui.note)

    def tend() -> None:
        while not over.is_set():
            try:
                tender.tend()
            except Exception as error:  # noqa: BLE001 - the run itself goes on, whatever the matter is here
                told = translate(error)
                ui.warn(f"no machine can be replaced now: {told.message if told else error}")
                over.wait(10 * _TEND_EVERY_S)
            over.wait(_TEND_EVERY_S)

    thread = threading.Thread(target=tend, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=30)
