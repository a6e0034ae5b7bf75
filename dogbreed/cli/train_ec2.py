"""`dogbreed train-ec2`: the same training on EC2 machines that end themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dogbreed.cli import remote_training as shared
from dogbreed.cli.options import Config, DryRun, Json, NoColor, NoConfig, Quiet, Verbose, Yes
from dogbreed.cli.plans import carry_out, dollars
from dogbreed.cli.training import read_photos
from dogbreed.ui import ui

if TYPE_CHECKING:
    from dogbreed.cloud.network import Network
    from dogbreed.cloud.remote import RemoteRun
    from dogbreed.cloud.session import Aws
    from dogbreed.config import Settings
    from dogbreed.data.photoset import PhotoSet
    from dogbreed.plan import Resource

# What may be given anew when a run goes on.
_MAY_CHANGE = ("ec2.", "aws.")
_TEND_EVERY_S = 3.0


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command("train-ec2", rich_help_panel="Train")(train_ec2)


def train_ec2(
    data: shared.Data = None,
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
    region: shared.Region = None,
    method: shared.Method = None,
    backbone: shared.Backbone = None,
    weights: shared.Weights = None,
    epochs: shared.Epochs = None,
    batch_size: shared.BatchSize = None,
    lr: shared.Lr = None,
    seed: shared.Seed = None,
    resume: shared.Resume = None,
    detach: shared.Detach = False,
    wait_minutes: shared.WaitMinutes = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    config: Config = None,
    no_config: NoConfig = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_color: NoColor = False,
) -> None:
    """Train on EC2 machines, which end themselves: shows what it costs at most, asks, uploads, follows, brings it home.

    Example: dogbreed train-ec2 photos --instances 2 --instance-type g6.xlarge,g5.xlarge --spot --max-usd 10
    """
    from dogbreed import config as settings_module

    flags = shared.training_flags(data, instances, method, backbone, weights, epochs, batch_size, lr, seed) | {
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
    from dogbreed import plan as planning
    from dogbreed.cloud.session import Aws

    if resume:
        aws, found = shared.open_run(settings, resume)
        resources, run = _go_on(aws, settings, found)
    else:
        aws = Aws(settings.aws)
        aws.account  # noqa: B018 - without access nothing else is worth doing
        resources, run = _begin(aws, settings)
    plan = planning.make(resources, ceiling=None if run.ceiling_usd is None else Decimal(run.ceiling_usd))
    if dry_run and ui.json:
        ui.answer(plan.to_json() | {"run": run.to_json()})
        return
    if not carry_out(plan, aws, yes=yes, dry_run=dry_run, question="start training?"):
        return
    machines: Any = resources[-1]
    run = machines.run
    ui.note(f"a shell on one: aws ssm start-session --target {next(iter(machines.launch.machines))}")
    if detach:
        shared.say_launched(run)
        return
    with _tended(aws, run):
        run, state = shared.follow(aws, run, int(run.more["epochs"]), minutes=minutes)
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


def _begin(aws: Aws, settings: Settings) -> tuple[list[Resource], RemoteRun]:
    """What a new run needs; UsageError for everything that can be known to be wrong."""
    from dogbreed.cloud import payload, remote
    from dogbreed.cloud.storage import Store
    from dogbreed.pricing import Prices
    from dogbreed.run import new_name
    from dogbreed.train import job

    photos = read_photos(settings)
    settings, types = _chosen(aws, settings, photos)
    types = _checked(aws, settings, types)
    own, prices = settings.ec2, Prices.load()
    gpus = max((facts.gpus for name in types if (facts := prices.instance(name))), default=0)
    shared.check_workers(settings, photos, settings.train.instances, gpus)
    shared.check_start(settings)
    architecture, image = _image(aws, settings, types)
    packed = payload.pack(settings.train, machine="aarch64" if architecture == "arm64" else architecture)
    store = Store(aws)
    data = payload.Photos(store, photos, None)
    run = remote.RemoteRun(
        id=new_name(),
        backend="ec2",
        project=settings.aws.project,
        account=aws.account,
        region=aws.region,
        bucket=store.bucket,
        data=data.prefix,
        code=packed.key,
        instances=settings.train.instances,
        instance_type=types[0],
        spot=own.spot,
        image=image.id,
        price_per_hour=None,
        price_date=prices.date,
        ceiling_usd=None,
        max_seconds=int(own.max_hours * 3600),
        created=remote.now(),
        more={
            "types": types,
            "fallback": own.on_demand_fallback,
            "max_usd": own.max_usd,
            "sha256": packed.sha256,
            "restarts": settings.train.max_restarts,
            "epochs": settings.train.epochs,
            "bytes": data.size,
        },
    )
    ui.note(f"  photos: {data.size / 1e6:.1f} MB in {data.shards} shards")
    resources, run = _resources(aws, settings, run, image, job.content(settings.to_json(), photos))
    return [resources[0], data, payload.Code(store, packed), *resources[1:]], run


def _go_on(aws: Aws, settings: Settings, run: RemoteRun) -> tuple[list[Resource], RemoteRun]:
    """What the next attempt of a run needs: nothing is uploaded again."""
    from dogbreed.cloud import ec2_fleet, remote
    from dogbreed.cloud.session import listed
    from dogbreed.cloud.storage import Store
    from dogbreed.errors import DogbreedError, UsageError

    if run.backend != "ec2":
        raise UsageError(f"{run.id} trains on {run.backend}", f"dogbreed train-{run.backend} --resume {run.id}")
    run, state = remote.refresh(aws, run)
    if state.status == "finished":
        raise DogbreedError(f"{run.id} is finished", f"dogbreed pull {run.id}")
    alive = [one.id for one in ec2_fleet.machines(aws, run.id) if one.alive]
    if state.status not in remote.ENDED or alive:
        words = f"{state.status}{', with ' + ', '.join(alive) if alive else ''}"
        raise DogbreedError(f"{run.id} has not ended: {words}", f"dogbreed logs {run.id} --follow")
    content = Store(aws, run.bucket).get(f"{run.prefix}{remote.JOB}")
    if content is None:
        raise DogbreedError(f"the job of {run.id} is gone from bucket {run.bucket}", "train again")
    given, own = settings.sources, settings.ec2
    more = dict(run.more)
    if "ec2.instance_type" in given:
        more["types"] = listed(own.instance_type)
    if "ec2.on_demand_fallback" in given:
        more["fallback"] = own.on_demand_fallback
    if "ec2.max_usd" in given:
        more["max_usd"] = own.max_usd
    settings = replace(
        settings,
        ec2=replace(own, spot=own.spot if "ec2.spot" in given else run.spot),
        train=replace(settings.train, instances=run.instances),
    )
    run = replace(
        run,
        spot=settings.ec2.spot,
        max_seconds=int(own.max_hours * 3600) if "ec2.max_hours" in given else run.max_seconds,
        more=more | {"types": _checked(aws, settings, more["types"])},
    )
    ui.note(f"going on with {run.id}, which was {state.status} ({state.detail}); {dollars(run.spent)} spent so far")
    _, image = _image(aws, settings, run.more["types"])
    return _resources(aws, settings, run, image, content)


def _resources(
    aws: Aws, settings: Settings, run: RemoteRun, image: Any, content: bytes
) -> tuple[list[Resource], RemoteRun]:
    """In the order in which they need each other, the machines last; and the run with what it can cost."""
    from dogbreed.cloud import ec2_template
    from dogbreed.cloud.bucket import Bucket
    from dogbreed.cloud.network import SecurityGroup, look
    from dogbreed.cloud.policies import EC2_TRAINING
    from dogbreed.cloud.roles import InstanceProfile, Role
    from dogbreed.cloud.session import listed
    from dogbreed.cloud.training_ec2 import Machines

    ec2_template.check_tags(aws)
    network = look(aws)
    run, price = _priced(aws, run, network)
    role = Role(aws, EC2_TRAINING)
    gigabytes = ec2_template.volume_gb(image, int(run.more["bytes"]), settings.ec2.volume_gb)
    made: list[Resource] = [Bucket(aws), role, InstanceProfile(aws, role)]
    if not listed(settings.aws.security_groups):
        made.append(SecurityGroup(aws, network.vpc))
    made.append(ec2_template.LaunchTemplate(aws, role.name, image, gigabytes))
    return [*made, Machines(aws, run, content, price=price, tell=ui.note)], run


def _priced(aws: Aws, run: RemoteRun, network: Network) -> tuple[RemoteRun, Decimal | None]:
    """The run with its limits, said; and what a machine costs where it is tried first."""
    from dogbreed.cloud import ec2_start
    from dogbreed.pricing import Prices

    places = list(ec2_start.tries(aws, run, network))
    bounds = [place.bound for place in places]
    highest = None if None in bounds else max(bound for bound in bounds if bound is not None)
    seconds = ec2_start.seconds(run, highest)
    amount = Decimal(str(run.more.get("max_usd") or 0))
    spent = run.spent or Decimal(0)
    ceiling = amount or (None if highest is None else highest * run.instances * seconds / 3600 + spent)
    first = places[0]
    run = replace(
        run,
        price_per_hour=None if first.price is None else str(first.price),
        ceiling_usd=None if ceiling is None else f"{ceiling:.4f}",
    )
    prices = Prices.load()
    now = f"spot ${first.price}/h in {first.subnet.zone} now, " if first.spot and first.price is not None else ""
    ui.note(
        f"{run.instances} x {' or '.join(run.more['types'])}{' (spot)' if run.spot else ''}: "
        f"{now}{prices.words(first.type, run.region)}; {prices.warning()}".rstrip("; ")
    )
    ui.note(f"  they end themselves after {seconds / 3600:.2f} h at the latest, also without this computer")
    zones = ", ".join(dict.fromkeys(place.subnet.zone for place in places))
    public = any(place.subnet.public_address() for place in places)
    how = "with a public address, as their subnets have neither NAT nor VPC endpoints" if public else "without one"
    ui.note(
        f"  all in one zone of {zones}; nothing can connect to them, {how} (public address)"
        if not public
        else f"  all in one zone of {zones}, {how}; nothing can connect to them"
    )
    return run, first.price


def _image(aws: Aws, settings: Settings, types: list[str]) -> tuple[str, Any]:
    from dogbreed.cloud import ec2_template

    architecture = ec2_template.architecture(aws, types)
    image = ec2_template.find_image(aws, architecture, settings.ec2.ami_id)
    ui.note(f"  machine image {image.id} ({image.why})")
    return architecture, image


def _checked(aws: Aws, settings: Settings, types: list[str]) -> list[str]:
    """The types that this region offers and the account may have; an error where that is none of them."""
    from dogbreed.cloud import quotas

    for name in types:
        quotas.require_ec2_type(aws, name)
    own = settings.ec2
    limits = {name: quotas.ec2_limit(aws, name, settings.train.instances, spot=own.spot) for name in types}
    left = [name for name, limit in limits.items() if limit.enough is not False]
    if not left and not (own.spot and own.on_demand_fallback):
        limits[types[0]].require()
    for name, limit in limits.items():
        if limit.enough is not True:
            ui.note(f"{name}: {limit.words()}")
    return left or types


def _chosen(aws: Aws, settings: Settings, photos: PhotoSet) -> tuple[Settings, list[str]]:
    """The types as named, or with auto the best three for this job, and why."""
    from dogbreed.cloud import quotas
    from dogbreed.cloud.session import listed
    from dogbreed.errors import UsageError

    if settings.ec2.instance_type != "auto":
        types = listed(settings.ec2.instance_type)
        if not types:
            raise UsageError("no instance type is set", "give --instance-type, such as g6.xlarge,g5.xlarge, or auto")
        return settings, types
    from dogbreed.capacity.choose import COUNTS, Job, choose
    from dogbreed.pricing import Prices

    train = settings.train
    job = Job(
        train_photos=len(photos.split("train")),
        photos=len(photos.photos),
        bytes=sum(photo.path.stat().st_size for photo in photos.photos),
        epochs=train.epochs,
        batch=train.batch_size,
        method=train.method,
        backbone=train.backbone,
    )

    def allowed(name: str, count: int) -> str:
        limit = quotas.ec2_limit(aws, name, count, spot=settings.ec2.spot)
        return limit.words() if limit.enough is False else ""

    counts = (train.instances,) if "train.instances" in settings.sources else COUNTS
    choice = choose(
        job, Prices.load(), aws.region, use="ec2", counts=counts, max_hours=settings.ec2.max_hours, allowed=allowed
    )
    if not choice.options:
        raise UsageError(f"no known type can train this in {settings.ec2.max_hours:g} h", "give more --max-hours")
    for option in choice.best:
        ui.note(f"  {option.words()}")
    for words in choice.advice:
        ui.note(f"  {words}")
    count = choice.options[0].count
    types = list(dict.fromkeys(option.instance for option in choice.options if option.count == count))[:3]
    return replace(settings, train=replace(train, instances=count)), types
