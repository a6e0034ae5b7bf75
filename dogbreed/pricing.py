"""What machines have and cost: a dated table, each figure with its source and how far it is to be trusted.

A price that is not in the table is unknown and stays so: another region's price is only ever told as another region's.
Money is Decimal, in US dollars.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Literal

from dogbreed.data.cache import cache_dir

Use = Literal["training", "hosting", "ec2"]

_FILE = Path(__file__).parent / "prices.json"
_OLD_DAYS = 90
# As AWS counts a month in its own examples of prices.
HOURS_A_MONTH = 730
_SAGEMAKER = "ml."
# AWS's own words on managed spot training; what is seen in the table is less.
SPOT_STATED = "up to 90 % less, as AWS states it"


@dataclass(frozen=True, slots=True)
class Figure:
    """One price: US dollars for one `unit` in `region`, where it was read, of when (or ""), and high|medium|low."""

    usd: Decimal
    unit: str
    region: str
    source: str
    date: str
    confidence: str
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        return {name: str(value) for name in self.__slots__ if (value := getattr(self, name))}


@dataclass(frozen=True, slots=True)
class Instance:
    """A type without its `ml.`: memory in GiB, disk in GB, the network's lasting rate in Gbit/s (None: not known)."""

    name: str
    vcpu: int
    memory_gib: float
    arch: str
    gpu: str
    gpus: int
    gpu_memory_gib: float | None
    network_gbps: float | None
    nvme_gb: int
    burstable: bool
    # Whether SageMaker takes the type with `ml.` for this.
    training: bool
    hosting: bool


class Prices:
    """The table that comes with dogbreed, or another one of the same shape."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self.date = str(table["date"])
        self._table = table
        self.instances = {name: _instance(name, facts) for name, facts in table["instances"].items()}

    @classmethod
    def load(cls) -> Prices:
        """The packaged table, or the one that `dogbreed cost --refresh` has read since; read once."""
        return _newest()

    def table(self) -> Mapping[str, Any]:
        """Everything in it, as in its file."""
        return self._table

    def warning(self, today: date | None = None) -> str:
        """What to say when the table is older than 90 days, else ""."""
        days = ((today or date.today()) - date.fromisoformat(self.date)).days
        if days <= _OLD_DAYS:
            return ""
        return f"the price table is of {self.date}, {days} days ago: compare with AWS's pages before relying on it"

    def instance(self, name: str) -> Instance | None:
        """What a type has, with or without `ml.`; None for one that is not in the table."""
        return self.instances.get(name.removeprefix(_SAGEMAKER))

    def hourly(self, name: str, region: str, use: Use | None = None) -> Figure | None:
        """The on-demand price of an hour, None where it is not known; `ml.*` is SageMaker training unless said."""
        use = use or ("training" if name.startswith(_SAGEMAKER) else "ec2")
        facts = self._table["instances"].get(name.removeprefix(_SAGEMAKER), {})
        return self._figure(facts.get("usd", {}).get(use, {}).get(region), region, "hour")

    def elsewhere(self, name: str, region: str, use: Use | None = None) -> Figure | None:
        """The price in another region, best known first, to be shown as such where `hourly` knows none."""
        kind = use or ("training" if name.startswith(_SAGEMAKER) else "ec2")
        facts = self._table["instances"].get(name.removeprefix(_SAGEMAKER), {})
        others = sorted(set(facts.get("usd", {}).get(kind, {})) - {region}, key=lambda one: (one != "us-east-1", one))
        return self.hourly(name, others[0], use) if others else None

    def words(self, name: str, region: str, use: Use | None = None) -> str:
        """The price of an hour for people, and where it comes from; said to be unknown where it is."""
        figure = self.hourly(name, region, use)
        if figure:
            of = f", {figure.date}" if figure.date else ""
            return f"${figure.usd:f}/h ({figure.confidence} confidence{of})"
        other = self.elsewhere(name, region, use)
        return f"price unknown in {region}" + (f"; ${other.usd:f}/h in {other.region}" if other else "")

    def spot_discount(self, name: str, region: str) -> tuple[float, float] | None:
        """Lowest and highest discount in per cent that one look at EC2's spot prices showed; None: not looked at."""
        facts = self._table["instances"].get(name.removeprefix(_SAGEMAKER), {})
        seen = facts.get("spot_discount_percent", {}).get(region)
        return (float(seen[0]), float(seen[1])) if seen else None

    def month_of_lambda(
        self, region: str, requests: float, seconds: float, memory_mb: int = 1769, *, kept: bool = False
    ) -> Decimal | None:
        """US dollars for so many calls of so many seconds each, free tier left out; None where a price is unknown.

        Billed by the millisecond. `kept`: all go to copies that are kept started, whose seconds are cheaper; what these
        cost by the hour comes on top.
        """
        time = self.other("lambda_provisioned_x86_duration_gb_second" if kept else "lambda_x86_gb_second", region)
        call = self.other("lambda_request", region)
        if time is None or call is None:
            return None
        gigabytes, took = Decimal(memory_mb) / 1024, _billed(seconds)
        return Decimal(str(round(requests, 3))) * (gigabytes * took * time.usd + call.usd / 1_000_000)

    def month_of_serverless(
        self, region: str, requests: float, seconds: float, memory_mb: int = 3072
    ) -> Decimal | None:
        """The same for a serverless endpoint of SageMaker, data in and out left out."""
        figure = self.other(f"sagemaker_serverless_second_{memory_mb}", region)
        if figure is None:
            return None
        return Decimal(str(round(requests, 3))) * _billed(seconds) * figure.usd

    def other(self, key: str, region: str) -> Figure | None:
        """The price of something else, such as `ec2_ebs_gp3_gb_month` or `sagemaker_volume_gb_month`."""
        return self._figure(self._table["other"].get(key, {}).get(region), region, "")

    def _figure(self, facts: Mapping[str, Any] | None, region: str, unit: str) -> Figure | None:
        if not facts:
            return None
        named = self._table["sources"].get(facts["source"], {})
        return Figure(
            # Through its text: 0.115 is meant, not the binary number next to it.
            usd=Decimal(str(facts["usd"])),
            unit=facts.get("unit", unit),
            region=region,
            source=named.get("what", facts["source"]),
            date=named.get("date") or "",
            confidence=facts["confidence"],
            note=facts.get("note", ""),
        )


def refreshed_file() -> Path:
    """Where the table lies that was read from AWS's Price List."""
    return cache_dir() / "prices.json"


@cache
def _newest() -> Prices:
    packaged = Prices(json.loads(_FILE.read_text(encoding="utf-8")))
    try:
        refreshed = Prices(json.loads(refreshed_file().read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return packaged
    # A newer release of dogbreed may know more.
    return refreshed if refreshed.date >= packaged.date else packaged


def _billed(seconds: float) -> Decimal:
    """Rounded up to milliseconds."""
    return Decimal(-(-round(seconds * 1000, 6) // 1)) / 1000


def _instance(name: str, facts: Mapping[str, Any]) -> Instance:
    return Instance(
        name=name,
        vcpu=facts["vcpu"],
        memory_gib=facts["memory_gib"],
        arch=facts["arch"],
        gpu=facts["gpu"] or "",
        gpus=facts["gpus"],
        gpu_memory_gib=facts["gpu_memory_gib"],
        network_gbps=facts["network_gbps"],
        nvme_gb=facts["nvme_gb"] or 0,
        burstable=facts["burstable"],
        training=facts["training"],
        hosting=facts["hosting"],
    )
