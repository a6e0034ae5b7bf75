"""Start training machines where capacity is: zone by zone, type by type, spot before the full price; and end them.

RunInstances, not CreateFleet: with MinCount = MaxCount it gives all machines or none, in one subnet, of one type, with
a number for each; its client token makes a repeated call harmless; and what was tried and refused can be told one by
one. A fleet could spread over zones, which machines that exchange gradients at every step must not.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from botocore import exceptions as sdk
from botocore.config import Config
from botocore.exceptions import ClientError

from dogbreed.cloud.errors import code, is_capacity, is_missing
from dogbreed.cloud.network import NEEDED, Subnet
from dogbreed.cloud.roles import PROPAGATION_S, is_propagating
from dogbreed.cloud.session import CONFIG, PROJECT_TAG, ROLE_TAG, RUN_TAG, Aws, pairs, unpaired
from dogbreed.errors import DogbreedError
from dogbreed.pricing import Prices

MACHINE = "machine"
ALIVE = ("pending", "running")
# Answers that mean: not this type, here, now, in this way; another place may do.
_NOT_HERE = {
    "Unsupported",
    "UnsupportedOperation",
    "SpotMaxPriceTooLow",
    "InsufficientFreeAddressesInSubnet",
    "MaxSpotInstanceCountExceeded",
    "VcpuLimitExceeded",
    "InstanceLimitExceeded",
}
# Answers that mean: the same again, later.
_BUSY = {"RequestLimitExceeded", "Throttling", "InternalError", "InternalFailure", "Unavailable", "ServiceUnavailable"}
_ONCE = Config(retries={"mode": "standard", "total_max_attempts": 1})
# A bid this far above what spot costs now is hardly ever outbid within hours, and keeps the ceiling true.
_BID = Decimal("1.2")
_RETRY_EVERY_S = 3.0
_TOKEN = 64  # characters of a client token at most


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how machines run. `price`: US dollars for one and hour now; `bound`: what it can cost at most, which
    for spot is the bid; None where it is not known.
    """

    type: str
    subnet: Subnet
    spot: bool
    price: Decimal | None
    bound: Decimal | None

    @property
    def words(self) -> str:
        """For people."""
        return f"{self.type} in {self.subnet.zone}{', spot' if self.spot else ''}"


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine as EC2 shows it; `launched` is when it was started, `reason` EC2's code for why it ended."""

    id: str
    type: str
    zone: str
    state: str
    launched: datetime
    spot: bool
    tags: dict[str, str]
    reason: str = ""

    @property
    def alive(self) -> bool:
        """Whether it runs or will."""
        return self.state in ALIVE


@dataclass(frozen=True)
class Order:
    """What is wanted of machines: the template and its version, their group, script, tags; `name` makes tokens."""

    template: str
    version: int
    group: Sequence[str]
    user_data: Callable[[Place], str]
    tags: dict[str, str]
    count: int
    name: str


class NoCapacityError(DogbreedError):
    """No place had room for all machines."""


def places(aws: Aws, types: Sequence[str], subnets: Sequence[Subnet], *, spot: bool, fallback: bool) -> Iterator[Place]:
    """Every place in the order in which it is tried: by market, then type as preferred, then zone, cheapest first."""
    for market in (True, False) if spot and fallback else (spot,):
        for name in types:
            prices = spot_prices(aws, name) if market else {}
            for subnet in sorted(subnets, key=lambda one: prices.get(one.zone, Decimal("Infinity"))):
                full, now = on_demand(aws, name), prices.get(subnet.zone)
                bid = now and min(now * _BID, full or now * _BID)
                yield Place(name, subnet, market, now if market else full, (bid or full) if market else full)


def on_demand(aws: Aws, name: str) -> Decimal | None:
    """The full price of a type here."""
    figure = Prices.load().hourly(name, aws.region, "ec2")
    return figure.usd if figure else None


def spot_prices(aws: Aws, name: str) -> dict[str, Decimal]:
    """What a type costs as spot now, by zone; nothing where that may not be looked up."""
    since = datetime.now(UTC) - timedelta(hours=1)
    asked = {"InstanceTypes": [name], "ProductDescriptions": ["Linux/UNIX"], "StartTime": since}
    try:
        found = aws.client("ec2").describe_spot_price_history(**asked, MaxResults=100)["SpotPriceHistory"]
    except ClientError:
        return {}
    newest: dict[str, tuple[datetime, Decimal]] = {}
    for entry in found:
        told = (entry["Timestamp"], Decimal(entry["SpotPrice"]))
        newest[entry["AvailabilityZone"]] = max(told, newest.get(entry["AvailabilityZone"], told))
    return {zone: price for zone, (_, price) in newest.items()}


def launch(aws: Aws, order: Order, tries: Iterator[Place], tell: Callable[[str], None]) -> tuple[Place, list[str]]:
    """Start all machines in the first place that has them; the place, and their ids in the order of their numbers.

    Raises NoCapacityError naming what was tried. Nothing is left running when this raises.
    """
    refused: list[str] = []
    only_spot = False
    for place in tries:
        only_spot = place.spot  # the full price is tried last
        try:
            return place, _run(aws, order, place)
        except ClientError as error:
            if not is_capacity(error) and code(error) not in _NOT_HERE:
                raise
            refused.append(f"{place.words} ({code(error)})")
            tell(f"not to be had: {refused[-1]}")
    raise NoCapacityError(
        f"no place has {order.count} machine(s) free now: {'; '.join(refused) or 'no zone offers the type'}",
        f"name more types (--instance-type a,b), {'add --on-demand-fallback, ' * only_spot}or try again later",
    )


def machines(aws: Aws, run: str = "", *, only_alive: bool = True) -> list[Machine]:
    """The project's machines, of one run or all; those that have ended are shown by EC2 for an hour."""
    filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in _own_tags(aws).items()]
    if run:
        filters.append({"Name": f"tag:{RUN_TAG}", "Values": [run]})
    if only_alive:
        filters.append({"Name": "instance-state-name", "Values": [*ALIVE, "stopping", "shutting-down"]})
    pages = aws.client("ec2").get_paginator("describe_instances").paginate(Filters=filters)
    found = [one for page in pages for group in page["Reservations"] for one in group["Instances"]]
    return [_machine(one) for one in found]


def terminate(aws: Aws, ids: Sequence[str]) -> None:
    """End machines; those that are gone are no error."""
    if not ids:
        return
    try:
        aws.client("ec2").terminate_instances(InstanceIds=list(ids))
    except ClientError as error:
        if not is_missing(error):
            raise
        # One unknown id makes EC2 refuse all.
        for one in ids if len(ids) > 1 else ():
            terminate(aws, [one])


def _own_tags(aws: Aws) -> dict[str, str]:
    return {PROJECT_TAG: aws.settings.project, ROLE_TAG: MACHINE}


def _run(aws: Aws, order: Order, place: Place) -> list[str]:
    words = f"{order.name} {place.words} {order.count}"
    request: dict[str, Any] = {
        "LaunchTemplate": {"LaunchTemplateId": order.template, "Version": str(order.version)},
        "InstanceType": place.type,
        "MinCount": order.count,
        "MaxCount": order.count,
        "ClientToken": hashlib.sha256(words.encode()).hexdigest()[:_TOKEN],
        "UserData": order.user_data(place),
        "NetworkInterfaces": [
            {
                "DeviceIndex": 0,
                "SubnetId": place.subnet.id,
                "Groups": list(order.group),
                "AssociatePublicIpAddress": place.subnet.public_address(NEEDED),
                "DeleteOnTermination": True,
            }
        ],
        "TagSpecifications": [{"ResourceType": kind, "Tags": pairs(order.tags)} for kind in ("instance", "volume")],
    }
    if place.spot:
        once = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
        once |= {"MaxPrice": f"{place.bound:.4f}"} if place.price and place.bound else {}
        request["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": once}
    started = sorted(_patiently(aws, request), key=lambda one: one.get("AmiLaunchIndex", 0))
    ids = [str(one["InstanceId"]) for one in started]
    if len(ids) != order.count:  # AWS promises not to
        with suppress(ClientError):
            terminate(aws, ids)
        raise DogbreedError(
            f"EC2 started {len(ids)} machines, not {order.count}; they were ended", "repeat the command"
        )
    return ids


def _patiently(aws: Aws, request: dict[str, Any]) -> list[dict[str, Any]]:
    """RunInstances, repeated while EC2 is busy or a fresh instance profile is not known everywhere.

    Not by the SDK, which would repeat the answer that there is no capacity ten times, as its status is 500.
    """
    once = aws.session.client("ec2", region_name=aws.region, config=CONFIG.merge(_ONCE))
    deadline = time.monotonic() + PROPAGATION_S
    while True:
        try:
            return list(once.run_instances(**request)["Instances"])
        except ClientError as error:
            again = code(error) in _BUSY or is_propagating(error)
            if not again or time.monotonic() > deadline:
                raise
        except (sdk.ConnectionError, sdk.HTTPClientError):
            # The client token makes it the same request, whether it was heard or not.
            if time.monotonic() > deadline:
                raise
        time.sleep(_RETRY_EVERY_S)


def _machine(one: dict[str, Any]) -> Machine:
    return Machine(
        id=one["InstanceId"],
        type=one["InstanceType"],
        zone=one.get("Placement", {}).get("AvailabilityZone", ""),
        state=one["State"]["Name"],
        launched=one["LaunchTime"],
        spot=one.get("InstanceLifecycle") == "spot",
        tags=unpaired(one.get("Tags")),
        reason=one.get("StateReason", {}).get("Code", ""),
    )
