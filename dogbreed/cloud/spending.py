"""What a project costs: by resource and by run, this month so far, and what the month will come to if nothing changes.

Everything is computed from what is there, its age and the price table; what AWS bills comes some hours later and is
what counts. What costs by use is named, and not counted. Money is US dollars; None is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from botocore.exceptions import ClientError

from dogbreed import priced
from dogbreed.cloud import inventory, remote
from dogbreed.cloud.errors import is_missing
from dogbreed.cloud.inventory import Row
from dogbreed.cloud.remote import RemoteRun
from dogbreed.cloud.session import Aws
from dogbreed.cloud.storage import Store
from dogbreed.priced import Price

_CENT = Decimal("0.0001")
# What a kind costs by use, and the entry of the price table that says how much.
BY_USE = {
    "bucket": ("s3_standard_gb_month", "a GB and month"),
    "repository": ("ecr_gb_month", "a GB and month"),
    "function": ("lambda_request", "a million requests, and the time that they take"),
    "endpoint": ("sagemaker_endpoint_data_gb", "a GB in or out"),
    "load balancer": ("alb_lcu_hour", "an hour of each unit of what it passes on"),
    "alarm": ("cloudwatch_alarm_standard_month", "a month of each figure watched, after an account's first ten"),
    "log group": ("cloudwatch_logs_ingest_gb", "a GB written"),
}


@dataclass(frozen=True)
class Run:
    """A training run of the ledger: when it was begun, its machines, and what all its attempts have cost."""

    id: str
    created: str
    machines: str
    usd: Decimal | None
    running: bool
    # The most that it can come to.
    ceiling: Decimal | None

    @property
    def left(self) -> Decimal:
        """What it can still come to while it trains."""
        if not self.running or self.ceiling is None:
            return Decimal(0)
        return max(self.ceiling - (self.usd or Decimal(0)), Decimal(0))

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        money = {"usd": _text(self.usd), "ceiling_usd": _text(self.ceiling)}
        return {"id": self.id, "created": self.created, "machines": self.machines, "running": self.running, **money}


@dataclass(frozen=True)
class Spending:
    """All of it at `now`. Sums leave out what has no known price, which `unknown` names."""

    now: datetime
    rows: tuple[Row, ...]
    runs: tuple[Run, ...]

    @property
    def hourly(self) -> Decimal:
        """Of everything that is there now."""
        return sum((row.hourly for row in self.rows if row.hourly), Decimal(0))

    @property
    def lasting(self) -> Decimal:
        """An hour of what stays until it is removed; training ends by itself."""
        return sum((row.hourly for row in self.rows if row.hourly and not row.trains), Decimal(0))

    @property
    def price(self) -> Price:
        """What stays line by line, what is not known too."""
        return priced.total(row.price for row in self.rows if not row.trains)

    @property
    def unknown(self) -> tuple[str, ...]:
        """What has a price by the hour that is not known."""
        return tuple(f"{row.resource.kind} {row.resource.name}" for row in self.rows if row.hourly is None)

    @property
    def this_month(self) -> Decimal:
        """Since the first of the month (UTC), of what is still there, and of runs that were begun in it."""
        begin = _month(self.now)
        lasting = sum((_since(row, begin, self.now) for row in self.rows if not row.trains), Decimal(0))
        trained = sum((run.usd for run in self.runs if run.usd and _begun(run) >= begin), Decimal(0))
        return (lasting + trained).quantize(_CENT)

    @property
    def forecast(self) -> Decimal:
        """The whole month, if all that is there stays and every run that trains takes all that it may."""
        hours = Decimal((_next_month(self.now) - self.now).total_seconds()) / 3600
        training = sum((run.left for run in self.runs), Decimal(0))
        return (self.this_month + self.lasting * hours + training).quantize(_CENT)

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        return {
            "resources": [row.to_json() for row in self.rows],
            "runs": [run.to_json() for run in self.runs],
            "usd_per_hour": str(self.hourly),
            "usd_per_month": str(priced.month(self.lasting)),
            "price": [part.to_json() for part in self.price.parts],
            "usd_this_month": str(self.this_month),
            "usd_forecast": str(self.forecast),
            "price_unknown": list(self.unknown),
        }


def look(aws: Aws) -> Spending:
    """Everything of the project in the account, and the ledger of its runs."""
    rows = inventory.look(inventory.resources(aws), aws.now)
    spent = {row.resource.name: row.usd for row in rows if row.resource.kind == "training run"}
    return Spending(datetime.now(UTC), tuple(rows), tuple(_runs(_ledger(aws), spent)))


def _ledger(aws: Aws) -> Sequence[RemoteRun]:
    try:
        return [run for run in remote.listed(Store(aws)) if run.project == aws.settings.project]
    except ClientError as error:
        if is_missing(error):  # no bucket, no run
            return ()
        raise


def _runs(ledger: Iterable[RemoteRun], running: dict[str, Decimal | None]) -> Iterable[Run]:
    for one in sorted(ledger, key=lambda run: run.created, reverse=True):
        yield Run(
            id=one.id,
            created=one.created,
            machines=f"{one.instances} x {one.instance_type}" + (", spot" if one.spot else ""),
            usd=running.get(one.id, one.spent),
            running=one.id in running,
            ceiling=None if one.ceiling_usd is None else Decimal(one.ceiling_usd),
        )


def _since(row: Row, begin: datetime, now: datetime) -> Decimal:
    created = row.found.created
    if not row.hourly or created is None:
        return Decimal(0)
    return row.hourly * Decimal(max(0.0, (now - max(created, begin)).total_seconds())) / 3600


def _begun(run: Run) -> datetime:
    when = datetime.fromisoformat(run.created)
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _month(now: datetime) -> datetime:
    return now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _next_month(now: datetime) -> datetime:
    return _month(_month(now) + timedelta(days=32))


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)
