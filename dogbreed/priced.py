"""What a thing that runs costs by the hour, line by line: the one place that says so, for plans, status and forecasts.

A machine is paid with its disk and its public address, a load balancer with its addresses. What costs by use is no part
of it. Where the price of one line is not known in the region, that of the whole is not known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from dogbreed.plan import Resource
from dogbreed.pricing import HOURS_A_MONTH, Figure, Prices

_CENT, _HUNDREDTH = Decimal("0.01"), Decimal("0.0001")
# So fine that sums are exact, and the same in whatever order they are made.
_FINE = Decimal("1e-10")
_DISKS = ("gp3",)


@dataclass(frozen=True, slots=True)
class Part:
    """One line: what it is for, and US dollars an hour, None where not known; `of`: when that was the price, or ""."""

    name: str
    hourly: Decimal | None
    of: str = ""

    def aged(self, today: date | None = None) -> bool:
        """Whether the price is more than a year old, as prices of some regions in the table are."""
        now = today or date.today()
        return bool(self.of) and self.of[:7] < f"{now.year - 1}-{now.month:02}"

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        return {"name": self.name} | told(self.hourly) | ({"price_of": self.of} if self.of else {})


@dataclass(frozen=True, slots=True)
class Price:
    """Lines of different names; none for what costs nothing by the hour."""

    parts: tuple[Part, ...] = ()

    @property
    def hourly(self) -> Decimal | None:
        """US dollars an hour; None as soon as one line is not known."""
        return None if any(part.hourly is None for part in self.parts) else self.known

    @property
    def known(self) -> Decimal:
        """The same of those lines that are known: it costs that much at least."""
        return sum((part.hourly for part in self.parts if part.hourly), Decimal(0))

    def times(self, count: int) -> Price:
        """So many of it; none costs nothing, whatever one would."""
        if not count:
            return Price()
        return Price(
            tuple(replace(one, hourly=None if one.hourly is None else count * one.hourly) for one in self.parts)
        )

    def __add__(self, other: Price) -> Price:
        """Both; lines of one name become one, of the older of both dates."""
        sums: dict[str, Part] = {}
        for part in (*self.parts, *other.parts):
            before = sums.get(part.name)
            sums[part.name] = part if before is None else _both(before, part)
        return Price(tuple(sums.values()))


@dataclass(frozen=True, slots=True)
class Month:
    """A month at some traffic: what is there by the hour, and US dollars by use on top, None where not known.

    `instances`: so many are needed for it; 0 where there are none to count.
    """

    fixed: Price
    by_use: Decimal | None
    instances: int = 0

    @property
    def usd(self) -> Decimal | None:
        """US dollars, what is by the hour to the cent."""
        always = month(self.fixed.hourly)
        return None if always is None or self.by_use is None else always + self.by_use.quantize(_HUNDREDTH)


def machine(kind: str, region: str, *, gb: int | None, address: bool, disk: str = "gp3", runs: bool = True) -> Price:
    """A machine of EC2 with its disk of `gb` (None: not known; 0: it has none) and its public `address`; a stopped one
    is its disk.
    """
    prices = Prices.load()
    figure = prices.other("ec2_ebs_gp3_gb_month", region) if disk in _DISKS and gb is not None else None
    parts = [] if gb == 0 else [_line("disk", figure, Decimal(gb or 0) / HOURS_A_MONTH)]
    if runs:
        parts.insert(0, _line("machine", prices.hourly(kind, region, "ec2")))
        parts += [_line("address", prices.other("public_ipv4_hour", region))] if address else []
    return Price(tuple(parts))


def balancer(region: str, addresses: int) -> Price:
    """A load balancer with so many public addresses; what it passes on costs by use."""
    prices = Prices.load()
    alone = Price((_line("load balancer", prices.other("alb_hour", region)),))
    return alone + Price((_line("address", prices.other("public_ipv4_hour", region)),)).times(addresses)


def instances(kind: str, region: str, count: int) -> Price:
    """Instances of an endpoint."""
    return Price((_line("instance", Prices.load().hourly(kind, region, "hosting")),)).times(count)


def copies(region: str, memory_mb: int, count: int, *, arm: bool = False) -> Price:
    """Copies of a function that are kept started; what they answer costs by use."""
    figure = Prices.load().other(f"lambda_provisioned_{'arm' if arm else 'x86'}_gb_second", region)
    return Price((_line("copies kept started", figure, Decimal(3600 * memory_mb) / 1024),)).times(count)


def copies_of_endpoint(region: str, memory_mb: int, count: int) -> Price:
    """The same of a serverless endpoint; the table that comes with dogbreed has no price for them."""
    figure = Prices.load().other(f"sagemaker_serverless_provisioned_second_{memory_mb}", region)
    return Price((_line("copies kept started", figure, Decimal(3600)),)).times(count)


def of(resource: Resource) -> Price:
    """Of a resource as it is wanted: its own lines where it has some, else one of its kind."""
    own = getattr(resource, "price", None)
    if own is not None:
        price: Price = own()
        return price
    hourly = resource.hourly()
    return Price() if hourly is not None and not hourly else Price((Part(resource.kind, hourly),))


def total(prices: Iterable[Price]) -> Price:
    """All of them."""
    return sum(prices, Price())


def month(hourly: Decimal | None) -> Decimal | None:
    """A month of an hour's price, to the cent."""
    return None if hourly is None else cents(hourly * HOURS_A_MONTH)


def cents(amount: Decimal) -> Decimal:
    """Rounded to cents, half of one up."""
    return amount.quantize(_CENT, ROUND_HALF_UP)


def told(hourly: Decimal | None) -> dict[str, str | None]:
    """The price of an hour and of a month for --json, as text, so that no digit is lost."""
    usd = month(hourly)
    return {
        "usd_per_hour": None if hourly is None else f"{hourly.normalize():f}",
        "usd_per_month": None if usd is None else str(usd),
    }


def _line(name: str, figure: Figure | None, times: Decimal = Decimal(1)) -> Part:
    return Part(name, None) if figure is None else Part(name, (figure.usd * times).quantize(_FINE), figure.date)


def _both(one: Part, other: Part) -> Part:
    hourly = None if one.hourly is None or other.hourly is None else one.hourly + other.hourly
    return Part(one.name, hourly, min(filter(None, (one.of, other.of)), default=""))
