"""What a training on EC2 will be, decided and said before anything is made: types, image, limits, price, network."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from dogbreed.cli import remote_training as shared
from dogbreed.cli.plans import dollars
from dogbreed.cli.training import read_photos
from dogbreed.ui import ui

if TYPE_CHECKING:
    from dogbreed.cloud.ec2_template import Image
    from dogbreed.cloud.network import Network
    from dogbreed.cloud.remote import RemoteRun
    from dogbreed.cloud.session import Aws
    from dogbreed.config import Settings
    from dogbreed.data.photoset import PhotoSet
    from dogbreed.plan import Resource

_TYPES_TRIED = 3


def begin(aws: Aws, settings: Settings) -> tuple[list[Resource], RemoteRun]:
    """What a new run needs; UsageError for everything that can be known to be wrong."""
    from dogbreed.cloud import payload, remote
    from dogbreed.cloud.session import listed
    from dogbreed.cloud.storage import Store
    from dogbreed.pricing import Prices
    from dogbreed.run import new_name
    from dogbreed.train import job

    store = Store(aws)
    if settings.ec2.instance_type != "auto":
        _checked(aws, settings, listed(settings.ec2.instance_type))
    photos = read_photos(settings)
    data = payload.Photos(store, photos, shared.Upload())
    settings, types = _chosen(aws, settings, photos, data.size)
    types = _checked(aws, settings, types, say=True)
    own, prices = settings.ec2, Prices.load()
    gpus = max((facts.gpus for name in types if (facts := prices.instance(name))), default=0)
    shared.check_workers(settings, photos, settings.train.instances, gpus)
    shared.check_start(settings)
    architecture, image = _image(aws, settings, types)
    packed = payload.pack(settings.train, machine="aarch64" if architecture == "arm64" else architecture)
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


def go_on(aws: Aws, settings: Settings, run: RemoteRun) -> tuple[list[Resource], RemoteRun]:
    """What the next attempt of a run needs: nothing is uploaded again."""
    from dogbreed.cloud import ec2_fleet
    from dogbreed.cloud.session import listed
    from dogbreed.errors import DogbreedError

    run, state, content = shared.reopen(aws, run, "ec2")
    if alive := [one.id for one in ec2_fleet.machines(aws, run.id) if one.alive]:
        words = f"{run.id} has not ended: {state.status}, with {', '.join(alive)}"
        raise DogbreedError(words, f"dogbreed logs {run.id} --follow")
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
        more=more | {"types": _checked(aws, settings, more["types"], say=True)},
    )
    ui.note(f"going on with {run.id}, which was {state.status} ({state.detail}); {dollars(run.spent)} spent so far")
    _, image = _image(aws, settings, run.more["types"])
    return _resources(aws, settings, run, image, content)


def _resources(
    aws: Aws, settings: Settings, run: RemoteRun, image: Image, content: bytes
) -> tuple[list[Resource], RemoteRun]:
    """In the order in which they need each other, the machines last; and the run with what it can cost."""
    from dogbreed.cloud import ec2_template
    from dogbreed.cloud.bucket import Bucket
    from dogbreed.cloud.network import SecurityGroup, look
    from dogbreed.cloud.policies import EC2_TRAINING
    from dogbreed.cloud.roles import InstanceProfile, Role
    from dogbreed.cloud.session import listed
    from dogbreed.cloud.training_ec2 import LogGroup, Machines

    ec2_template.check_tags(aws)
    network = look(aws)
    run, price = _priced(aws, run, network)
    role = Role(aws, EC2_TRAINING)
    gigabytes = ec2_template.volume_gb(image, int(run.more["bytes"]), settings.ec2.volume_gb)
    made: list[Resource] = [Bucket(aws), LogGroup(aws), role, InstanceProfile(aws, role)]
    if not listed(settings.aws.security_groups):
        made.append(SecurityGroup(aws, network.vpc))
    made.append(ec2_template.LaunchTemplate(aws, role.name, image, gigabytes))
    return [*made, Machines(aws, run, content, price=price, tell=ui.note)], run


def _priced(aws: Aws, run: RemoteRun, network: Network) -> tuple[RemoteRun, Decimal | None]:
    """The run with its limits, said; and what a machine costs where it is tried first."""
    from dogbreed.cloud import ec2_start
    from dogbreed.errors import UsageError
    from dogbreed.pricing import Prices

    places = list(ec2_start.tries(aws, run, network))
    amount = Decimal(str(run.more.get("max_usd") or 0))
    unknown = sorted({place.type for place in places if place.bound is None})
    if unknown and amount:
        raise UsageError(
            f"the price of {', '.join(unknown)} is not known here, so --max-usd cannot be kept",
            "limit the time instead: --max-hours, or choose types with a known price",
        )
    highest = None if unknown else max(place.bound for place in places if place.bound is not None)
    seconds = ec2_start.seconds(run, highest)
    spent = run.spent or Decimal(0)
    ceiling = amount or (
        None if highest is None else highest * run.instances * (seconds + ec2_start.RESERVED_S) / 3600 + spent
    )
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
        f"{now}{prices.words(first.type, run.region)}"
    )
    if prices.warning():
        ui.warn(prices.warning())
    if unknown:
        ui.note(
            f"  the price of {', '.join(unknown)} is not known, so no ceiling can be told; --max-hours limits the time"
        )
    ui.note(f"  they end themselves after {seconds / 3600:.2f} h at the latest, also without this computer")
    zones = ", ".join(dict.fromkeys(place.subnet.zone for place in places))
    how = "no public address"
    if any(place.subnet.public_address() for place in places):
        how = "a public address, since their subnets have neither NAT nor endpoints for s3 and logs"
    ui.note(f"  all in one zone of {zones}; nothing can connect to them; {how}")
    return run, first.price


def _image(aws: Aws, settings: Settings, types: list[str]) -> tuple[str, Image]:
    from dogbreed.cloud import ec2_template

    architecture = ec2_template.architecture(aws, types)
    image = ec2_template.find_image(aws, architecture, settings.ec2.ami_id)
    ui.note(f"  machine image {image.id} ({image.why})")
    return architecture, image


def _checked(aws: Aws, settings: Settings, types: list[str], *, say: bool = False) -> list[str]:
    """The types of which the account may have so many; an error where this region offers one not, or none is left."""
    from dogbreed.cloud import quotas
    from dogbreed.errors import UsageError

    if not types:
        raise UsageError("no instance type is set", "give --instance-type, such as g6.xlarge,g5.xlarge, or auto")
    for name in types:
        quotas.require_ec2_type(aws, name)
    own, count = settings.ec2, settings.train.instances
    limits = {name: quotas.ec2_limit(aws, name, count, spot=own.spot) for name in types}
    left = [name for name, limit in limits.items() if limit.enough is not False]
    if not left and not (own.spot and own.on_demand_fallback):
        limits[types[0]].require()
    for name, limit in limits.items():
        if say and limit.enough is not True:
            ui.note(f"{name}: {limit.words()}")
    return left or types


def _chosen(aws: Aws, settings: Settings, photos: PhotoSet, size: int) -> tuple[Settings, list[str]]:
    """The types as named, or with auto the best for this job and those that may stand in; says why."""
    from dogbreed.cloud import quotas
    from dogbreed.cloud.session import listed
    from dogbreed.errors import UsageError

    own, given = settings.ec2, settings.train.instances
    job = shared.estimated_job(settings, photos, size)
    if own.instance_type != "auto":
        types = listed(own.instance_type)
        shared.say_estimate(job, types[0], given, aws.region, "ec2", own.max_usd)
        return settings, types

    def allowed(name: str, count: int) -> str:
        limit = quotas.ec2_limit(aws, name, count, spot=own.spot)
        return limit.words() if limit.enough is False else ""

    choice = shared.choose_machines(job, settings, aws.region, "ec2", own.max_hours, allowed)
    for chosen in choice.options:
        if quotas.zones(aws, chosen.instance) == ():
            continue
        shared.say_choice(choice, chosen, own.max_usd)
        others = (option.instance for option in choice.options if option.count == chosen.count)
        types = list(dict.fromkeys([chosen.instance, *others]))[:_TYPES_TRIED]
        return replace(settings, train=replace(settings.train, instances=chosen.count)), types
    raise UsageError("no known type of machine suits this training", "give --instance-type, or more --max-hours")
