"""`dogbreed train-sagemaker`: the same training as a SageMaker job, on one machine or many."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dogbreed.cli import remote_training as shared
from dogbreed.cli import training
from dogbreed.cli.options import Config, DryRun, NoConfig, Region, Yes
from dogbreed.cli.plans import dollars
from dogbreed.cli.training import read_photos
from dogbreed.ui import ui

if TYPE_CHECKING:
    from dogbreed.cloud.remote import RemoteRun
    from dogbreed.cloud.session import Aws
    from dogbreed.config import SagemakerSettings, Settings
    from dogbreed.data.photoset import PhotoSet
    from dogbreed.plan import Resource

# What may be given anew when a run goes on.
_MAY_CHANGE = ("sagemaker.", "aws.")
_KEPT = ("max_usd", "max_hours", "max_wait_hours")


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command("train-sagemaker", rich_help_panel="Train")(train_sagemaker)


def train_sagemaker(
    data: training.Data = None,
    instances: shared.Instances = None,
    instance_type: shared.InstanceType = None,
    spot: shared.Spot = None,
    max_usd: shared.MaxUsd = None,
    max_hours: shared.MaxHours = None,
    image: Annotated[str | None, typer.Option(help="Training image; default: AWS's PyTorch 2.13.")] = None,
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
    """Train on SageMaker machines: shows what it costs at most, asks, uploads, follows, and brings the run home.

    Example: dogbreed train-sagemaker photos --instances 4 --instance-type ml.g5.xlarge --spot --max-usd 20
    """
    from dogbreed import config as settings_module

    flags = training.flags(data, instances, method, backbone, weights, epochs, batch_size, lr, seed) | {
        "sagemaker.instance_type": instance_type,
        "sagemaker.spot": spot,
        "sagemaker.max_usd": max_usd,
        "sagemaker.max_hours": max_hours,
        "sagemaker.image": image,
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
    """Plan, ask, launch and follow; also what `dogbreed train --on sagemaker` does."""
    from dogbreed.cloud import sagemaker_sdk
    from dogbreed.cloud.session import Aws

    sagemaker_sdk.require()
    if resume:
        aws, found = shared.open_run(settings, resume)
        resources, run = _go_on(aws, settings, found)
    else:
        aws = Aws(settings.aws)
        aws.account  # noqa: B018 - without access nothing else is worth doing
        resources, run = _begin(aws, settings)
    launched = shared.start(aws, resources, run, yes=yes, dry_run=dry_run)
    if launched is None:
        return
    if detach:
        shared.say_launched(launched)
        return
    run, state = shared.follow(aws, launched, int(launched.more.get("epochs", 1)), minutes=minutes)
    shared.bring_home(aws, run, state)


def _begin(aws: Aws, settings: Settings) -> tuple[list[Resource], RemoteRun]:
    """What a new run needs; UsageError for everything that can be known to be wrong."""
    from dogbreed.cloud import payload, remote, sagemaker_sdk, training_sagemaker
    from dogbreed.cloud.storage import Store
    from dogbreed.pricing import Prices
    from dogbreed.run import new_name
    from dogbreed.train import job

    store = Store(aws)
    _check_type(aws, settings)
    photos = read_photos(settings)
    # The bar appears when photos are sent.
    data = payload.Photos(store, photos, shared.Upload())
    settings = _chosen(aws, settings, photos, data.size)
    own, prices = settings.sagemaker, Prices.load()
    facts = prices.instance(own.instance_type)
    shared.check_workers(settings, photos, settings.train.instances, facts.gpus if facts else 0)
    figure = prices.hourly(own.instance_type, aws.region)
    price = figure.usd if figure else None
    seconds = training_sagemaker.max_seconds(own, settings.train.instances, price, Decimal(0))
    mode = training_sagemaker.input_mode(own.input_mode, data.size)
    volume = training_sagemaker.volume_gb(own, data.size, mode.name)
    shared.check_start(settings)
    image = own.image or sagemaker_sdk.image(aws.region, own.instance_type)
    packed = payload.pack(settings.train)
    run = remote.RemoteRun(
        id=new_name(),
        backend="sagemaker",
        project=settings.aws.project,
        account=aws.account,
        region=aws.region,
        bucket=store.bucket,
        data=data.prefix,
        code=packed.key,
        instances=settings.train.instances,
        instance_type=own.instance_type,
        spot=own.spot,
        image=image,
        price_per_hour=None if price is None else str(price),
        price_date=(figure.date if figure else "") or prices.date,
        ceiling_usd=None,
        max_seconds=seconds,
        created=remote.now(),
        more={"mode": mode.name, "volume_gb": volume, "epochs": settings.train.epochs} | _kept(own),
    )
    run = replace(run, ceiling_usd=_ceiling(run, own.keep_alive_minutes))
    ui.note(f"{run.instances} x {own.instance_type}{' (spot)' if own.spot else ''}, image {image}")
    ui.note(
        f"  at most {seconds / 3600:.2f} h at {prices.words(own.instance_type, aws.region)} each{_spot_words(own.spot)}"
    )
    ui.note(f"  photos: {data.size / 1e6:.1f} MB in {data.shards} shards, {mode.name}: {mode.why}")
    if prices.warning():
        ui.warn(prices.warning())
    resources = _resources(aws, settings, run, job.content(settings.to_json(), photos))
    return [resources[0], data, payload.Code(store, packed), *resources[1:]], run


def _go_on(aws: Aws, settings: Settings, run: RemoteRun) -> tuple[list[Resource], RemoteRun]:
    """What the next attempt of a run needs: nothing is uploaded again."""
    from dogbreed.cloud import sagemaker_sdk, training_sagemaker
    from dogbreed.pricing import Prices

    run, state, content = shared.reopen(aws, run, "sagemaker")
    before = {"instance_type": run.instance_type, "spot": run.spot, **{name: run.more[name] for name in _KEPT}}
    same = {name: value for name, value in before.items() if f"sagemaker.{name}" not in settings.sources}
    own = replace(settings.sagemaker, **same)
    image = own.image or run.image
    if own.instance_type != run.instance_type and not own.image:
        image = sagemaker_sdk.image(aws.region, own.instance_type)
    settings = replace(settings, sagemaker=own, train=replace(settings.train, instances=run.instances))
    _check_type(aws, settings)
    figure = Prices.load().hourly(own.instance_type, aws.region)
    price = figure.usd if figure else None
    spent = run.spent or Decimal(0)
    run = replace(
        run,
        instance_type=own.instance_type,
        spot=own.spot,
        image=image,
        price_per_hour=None if price is None else str(price),
        max_seconds=training_sagemaker.max_seconds(own, run.instances, price, spent),
    )
    run = replace(run, ceiling_usd=_ceiling(run, own.keep_alive_minutes, spent), more={**run.more, **_kept(own)})
    ui.note(f"going on with {run.id}, which was {state.status} ({state.detail}); {dollars(run.spent)} spent so far")
    return _resources(aws, settings, run, content), run


def _kept(own: SagemakerSettings) -> dict[str, Any]:
    """The limits of a run, which hold when it goes on unless others are given."""
    return {name: getattr(own, name) for name in _KEPT}


def _resources(aws: Aws, settings: Settings, run: RemoteRun, job: bytes) -> list[Resource]:
    """In the order in which they need each other; the job is the last."""
    from dogbreed.cloud.bucket import Bucket
    from dogbreed.cloud.policies import SAGEMAKER_TRAINING
    from dogbreed.cloud.roles import Role
    from dogbreed.cloud.training_sagemaker import TrainingJob, security_group

    own = settings.sagemaker
    made: list[Resource] = [Bucket(aws)]
    role = own.role
    if not role:
        to_make = Role(aws, SAGEMAKER_TRAINING, image=own.image)
        made.append(to_make)
        role = to_make.arn
    group = security_group(aws)
    if group:
        made.append(group)
    tell = ui.note if ui.verbose else lambda text: None
    return [*made, TrainingJob(aws, run, own, job=job, group=group, role=role, tell=tell)]


def _chosen(aws: Aws, settings: Settings, photos: PhotoSet, size: int) -> Settings:
    """The settings with a type (and number) of machines in place of auto; says what it will take and why."""
    from dogbreed.cloud import quotas
    from dogbreed.errors import UsageError

    own = settings.sagemaker
    job, given = shared.estimated_job(settings, photos, size), settings.train.instances
    if own.instance_type != "auto":
        shared.say_estimate(job, own.instance_type, given, aws.region, "training", own.max_usd)
        return settings
    known = set(quotas.training_types(aws))
    unknown = "SageMaker trains on no such type"
    choice = shared.choose_machines(
        job, settings, aws.region, "training", own.max_hours, lambda name, count: "" if name in known else unknown
    )
    for option in choice.options:
        limit = quotas.sagemaker_limit(aws, option.instance, option.count, spot=own.spot)
        if limit.enough is False:
            ui.note(f"left out {option.count} x {option.instance}: {limit.words()}")
            continue
        shared.say_choice(choice, option, own.max_usd)
        chosen = replace(own, instance_type=option.instance)
        return replace(settings, sagemaker=chosen, train=replace(settings.train, instances=option.count))
    raise UsageError("no known type of machine suits this training", "give --instance-type, or more --max-hours")


def _check_type(aws: Aws, settings: Settings) -> None:
    """UsageError for a type that does not exist, DogbreedError for a quota that is known not to suffice."""
    from dogbreed.cloud import quotas
    from dogbreed.errors import UsageError

    own = settings.sagemaker
    if own.spot and own.keep_alive_minutes:
        raise UsageError("spot machines cannot be kept for the next job", "set keep_alive_minutes = 0, or --no-spot")
    if own.instance_type == "auto":
        return
    quotas.require_sagemaker_type(aws, own.instance_type)
    limit = quotas.sagemaker_limit(aws, own.instance_type, settings.train.instances, spot=own.spot)
    limit.require()
    if limit.enough is None:
        ui.note(limit.words())


def _ceiling(run: RemoteRun, keep_alive_minutes: int, spent: Decimal = Decimal(0)) -> str | None:
    """US dollars of the longest training, its end, the time that machines are kept, and what was spent before."""
    from dogbreed.cloud.training_sagemaker import ENDING_S

    most = run.cost(run.max_seconds + ENDING_S + keep_alive_minutes * 60)
    return None if most is None else str(most + spent)


def _spot_words(spot: bool) -> str:
    from dogbreed.pricing import SPOT_STATED

    return f", spot {SPOT_STATED}; the full price is counted" if spot else ""
