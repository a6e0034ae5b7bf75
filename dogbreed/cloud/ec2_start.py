"""Start the machines of a run, all of them or replacements, within what is left of its time and money."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from decimal import Decimal

from dogbreed.cloud import ec2_fleet
from dogbreed.cloud.ec2_boot import user_data
from dogbreed.cloud.ec2_fleet import Order, Place
from dogbreed.cloud.ec2_template import LaunchTemplate
from dogbreed.cloud.ec2_watch import LAUNCH, Launch
from dogbreed.cloud.ec2_worker import GRACE_S
from dogbreed.cloud.machine_agent import MACHINES, Orders
from dogbreed.cloud.network import Network, SecurityGroup, look
from dogbreed.cloud.policies import EC2_TRAINING
from dogbreed.cloud.policy_parts import Scope
from dogbreed.cloud.remote import RemoteRun
from dogbreed.cloud.session import Aws, listed
from dogbreed.cloud.storage import Store
from dogbreed.errors import DogbreedError, UsageError

# Paid too: from the launch to the first line of the user data, which counts the time, and from the time limit until
# the machine has ended, for which what its agent needs for a last checkpoint is kept.
RESERVED_S = 60 + int(GRACE_S)
_SHORTEST_S = 60
_REPLACEMENT_S = 900.0
Tell = Callable[[str], None]


def seconds(run: RemoteRun, bound: Decimal | None) -> int:
    """How long machines of this price may run in the next attempt: max_hours, or less where max_usd buys less.

    What earlier attempts took is taken off both, and of money what is paid before and after that time. Raises
    UsageError where less than a minute is left, or the price is unknown and there is an amount to keep.
    """
    used = sum(attempt.seconds for attempt in run.attempts)
    left = run.max_seconds - used
    amount = Decimal(str(run.more.get("max_usd") or 0))
    if amount:
        if not bound:
            raise UsageError("the price of these machines is not known, so --max-usd cannot be kept", "use --max-hours")
        spent = sum((Decimal(attempt.usd or 0) for attempt in run.attempts), Decimal(0))
        bought = math.floor((amount - spent) / (bound * run.instances) * 3600) - RESERVED_S
        if bought < _SHORTEST_S:
            already = f", and ${spent} are spent already" if spent else ""
            raise UsageError(
                f"--max-usd {amount} buys less than a minute of these machines: their start and end take "
                f"{RESERVED_S} s more{already}",
                "give a higher --max-usd",
            )
        left = min(left, bought)
    if left < min(_SHORTEST_S, run.max_seconds):
        raise UsageError(f"nothing is left of the time of run {run.id}", "give more: --max-hours")
    return int(left)


def tries(aws: Aws, run: RemoteRun, network: Network) -> Iterator[Place]:
    """The places for the machines of a run, in order; one is asked for only when the one before has no room."""
    return ec2_fleet.places(
        aws,
        run.more["types"],
        network.with_room(run.instances),
        spot=run.spot,
        fallback=bool(run.more.get("fallback")),
    )


class Starter:
    """Starts machines of one run; what `run` says of its attempts, the newest included, is what they have cost."""

    def __init__(self, aws: Aws, run: RemoteRun, tell: Tell) -> None:
        self._aws, self._run, self._tell = aws, run, tell
        self._store = Store(aws, run.bucket)

    def all(self, attempt: int, until: float = 0.0) -> Launch:
        """Start all machines wherever there is room; `until` is when they must have ended, where that is fixed."""
        network = look(self._aws)
        return self._start(attempt, list(range(self._run.instances)), tries(self._aws, self._run, network), until)

    def some(self, attempt: int, ranks: Sequence[int], beside: Launch) -> Launch:
        """Start replacements in the zone and of the type of the others."""
        network = look(self._aws)
        places = tries(self._aws, self._run, network)
        near = (place for place in places if place.subnet.id == beside.subnet and place.type == beside.type)
        return self._start(attempt, list(ranks), near, beside.until)

    def _start(self, attempt: int, ranks: list[int], places: Iterator[Place], until: float) -> Launch:
        run, scope = self._run, Scope.of(self._aws)
        assert run.last
        template = LaunchTemplate(self._aws, scope.role_name(EC2_TRAINING)).find()
        if template is None:
            raise DogbreedError("the launch template is gone", f"dogbreed train-ec2 --resume {run.id}")
        group = listed(self._aws.settings.security_groups) or [SecurityGroup(self._aws, look(self._aws).vpc).id()]
        ends: dict[Place, float] = {}

        def script(place: Place) -> str:
            # A replacement may be dearer than what it stands for, so the money is counted anew.
            limit = min(seconds(run, place.bound), int(until - time.time()) if until else run.max_seconds)
            ends[place] = time.time() + limit
            orders = Orders(
                bucket=run.bucket,
                run=run.id,
                data=run.data.rstrip("/"),
                nodes=run.instances,
                ranks=ranks,
                attempt=attempt,
                limit_s=limit,
                wait_s=_REPLACEMENT_S,
                log_group=scope.log_group,
                launch=run.last.name if run.last else "",
                restarts=int(run.more.get("restarts", 0)),
                look_s=float(run.more.get("look_s", 5.0)),
            )
            return user_data(orders, region=run.region, key=run.code, sha256=str(run.more["sha256"]))

        order = Order(
            template=template.id,
            version=int(template.content["version"]),
            group=group,
            user_data=script,
            tags=self._aws.tags(ec2_fleet.MACHINE, run.id) | {"Name": f"{run.project} {run.id}"},
            count=len(ranks),
            # Of this very attempt to launch: repeated calls find its machines, another command starts others.
            name=f"{run.project} {run.id} {run.last.created} {attempt}",
        )
        place, ids = ec2_fleet.launch(self._aws, order, places, self._tell)
        launch = Launch(
            launch=run.last.name,
            machines=dict(zip(ids, ranks, strict=True)),
            type=place.type,
            zone=place.subnet.zone,
            subnet=place.subnet.id,
            spot=place.spot,
            price=None if place.price is None else str(place.price),
            at=time.time(),
            until=ends[place],
        )
        self._store.put_json(f"{run.prefix}{MACHINES}/{attempt}/{LAUNCH}", asdict(launch))
        self._tell(f"started {', '.join(ids)}: {place.words}")
        return launch
