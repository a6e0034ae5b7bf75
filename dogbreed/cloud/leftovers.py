"""What costs money in an account and seems to serve nobody: read only, whoever made it; one area at a time.

An area that may not be read is named, and keeps no other from being read. A price that is not known stays unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dogbreed.cloud.errors import translate
from dogbreed.cloud.session import Aws
from dogbreed.priced import cents
from dogbreed.pricing import HOURS_A_MONTH, Prices

_AT_ONCE = 8
_DAY_S = 86_400
# Of a GetMetricData call.
_METRICS = 500


@dataclass(frozen=True)
class Leftover:
    """One thing. `month`: US dollars, None where not known; `remove`: the command that removes it."""

    kind: str
    name: str
    why: str
    month: Decimal | None
    remove: str

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        return {name: getattr(self, name) for name in ("kind", "name", "why", "remove")} | {
            "usd_per_month": None if self.month is None else str(self.month)
        }


class Account:
    """What an area needs: the account, the time, and for how many days nobody may have used what is called idle."""

    def __init__(self, aws: Aws, days: int) -> None:
        self.aws, self.days = aws, days
        self.now = datetime.now(UTC)
        self.region = aws.region
        self._prices = Prices.load()

    def pages(self, service: str, operation: str, key: str, **asked: Any) -> Iterator[Any]:
        """Every item of every page."""
        for page in self.aws.client(service).get_paginator(operation).paginate(**asked):
            yield from page.get(key, ())

    def by_hour(self, machine: str, count: float = 1) -> Decimal | None:
        """A month of machines."""
        figure = self._prices.hourly(machine, self.region, "hosting" if machine.startswith("ml.") else "ec2")
        return None if figure is None else cents(figure.usd * Decimal(str(count)) * HOURS_A_MONTH)

    def of(self, key: str, amount: float, hours: int = 1) -> Decimal | None:
        """A month of something else of the price table, such as so many GB of it; by the hour: 730 `hours`."""
        figure = self._prices.other(key, self.region)
        return None if figure is None else cents(figure.usd * Decimal(str(amount)) * hours)

    def unused(self, namespace: str, metric: str, things: Sequence[Mapping[str, str]]) -> list[bool]:
        """For each of these dimensions, whether the sum of a metric over the days is nothing."""
        begin, found = self.now - timedelta(days=self.days), []
        for first in range(0, len(things), _METRICS):
            part = things[first : first + _METRICS]
            queries = [
                {
                    "Id": f"m{index}",
                    "MetricStat": {
                        "Metric": {
                            "Namespace": namespace,
                            "MetricName": metric,
                            "Dimensions": [{"Name": name, "Value": value} for name, value in thing.items()],
                        },
                        "Period": _DAY_S,
                        "Stat": "Sum",
                    },
                }
                for index, thing in enumerate(part)
            ]
            sums = dict.fromkeys((one["Id"] for one in queries), 0.0)
            asked = {"MetricDataQueries": queries, "StartTime": begin, "EndTime": self.now}
            for one in self.pages("cloudwatch", "get_metric_data", "MetricDataResults", **asked):
                sums[one["Id"]] += sum(one["Values"])
            found += [not sums[one["Id"]] for one in queries]
        return found

    def old(self, when: datetime | None) -> bool:
        """Whether something is older than the days in which it might have been used."""
        return when is not None and self.now - when > timedelta(days=self.days)


Area = Callable[[Account], Iterable[Leftover]]


@dataclass(frozen=True)
class Found:
    """The leftovers, dearest first, unknown prices before what costs nothing; and why areas were not read."""

    leftovers: tuple[Leftover, ...]
    unread: Mapping[str, str]

    @property
    def month(self) -> Decimal:
        """US dollars a month of what has a known price."""
        return sum((one.month for one in self.leftovers if one.month), Decimal(0))


def look(aws: Aws, days: int = 14, areas: Mapping[str, Area] | None = None) -> Found:
    """Read all areas at the same time."""
    from dogbreed.cloud import leftovers_areas

    account, wanted = Account(aws, days), areas or leftovers_areas.AREAS
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        results = dict(zip(wanted, pool.map(lambda area: _read(area, account), wanted.values()), strict=True))
    found = [one for result in results.values() for one in result[0]]
    found.sort(key=lambda one: (one.month == 0, one.month is None, -(one.month or 0), one.kind, one.name))
    return Found(tuple(found), {name: why for name, (_, why) in results.items() if why})


def areas() -> int:
    """How many areas there are."""
    from dogbreed.cloud import leftovers_areas

    return len(leftovers_areas.AREAS)


def _read(area: Area, account: Account) -> tuple[list[Leftover], str]:
    try:
        return list(area(account)), ""
    except (ClientError, BotoCoreError) as error:
        told = translate(error)
        return [], told.message if told else str(error)
