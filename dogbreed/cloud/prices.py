"""Reads AWS's Price List for the machines of the table in one region, and keeps the result on this computer.

Only the hours of machines are read: EC2, and SageMaker's training and hosting. What is not found stays unknown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from dogbreed.cloud.session import Aws
from dogbreed.errors import DogbreedError
from dogbreed.pricing import Prices, refreshed_file

# The service answers from few regions, for all of them.
_ASKED_IN = "us-east-1"
_SOURCE = "P"
_EC2 = {"operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used"}
_USAGE = re.compile(r"(?:^|-)(?:(?P<sagemaker>Host|Train):ml\.|(?P<ec2>BoxUsage):)(?P<type>[\w.-]+)$")
_USES = {"Host": "hosting", "Train": "training", "BoxUsage": "ec2"}


@dataclass(frozen=True)
class Price:
    """US dollars for an hour of a type (without `ml.`), for `use`; `date`: since when, as AWS says it."""

    type: str
    use: str
    usd: Decimal
    date: str


@dataclass(frozen=True)
class Refreshed:
    """What came of it: how many prices were found, and which of them are not as they were in the table before."""

    region: str
    found: int
    changed: tuple[tuple[Price, Decimal | None], ...]
    missing: int


def refresh(aws: Aws, told: Callable[[int], None] = lambda pages: None) -> Refreshed:
    """Ask, and write the table that `Prices.load` prefers from then on; DogbreedError where nothing was found."""
    before, region = Prices.load(), aws.region
    prices = [one for one in _asked(aws, region, told) if one.type in before.instances]
    if not prices:
        raise DogbreedError(f"the price list has nothing for {region}", "the table stays as it is; check --region")
    table = merged(before.table(), region, prices, datetime.now(UTC).date().isoformat())
    path = refreshed_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(table, indent=1), encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise DogbreedError(f"{path} could not be written: {error.strerror}", "set DOGBREED_CACHE_DIR") from error
    changed = []
    for one in prices:
        figure = before.hourly(one.type, region, one.use)  # type: ignore[arg-type]
        if figure is None or figure.usd != one.usd:
            changed.append((one, figure.usd if figure else None))
    known = {(one.type, one.use) for one in prices}
    uses = {name: ["ec2", *_uses(before, name)] for name in before.instances}
    missing = sum((name, use) not in known for name, of in uses.items() for use in of)
    return Refreshed(region, len(known), tuple(changed), missing)


def merged(table: Mapping[str, Any], region: str, prices: list[Price], today: str) -> dict[str, Any]:
    """`table` with these prices of one region in place of those it had; its date is then `today`."""
    made: dict[str, Any] = json.loads(json.dumps(table))
    what = "AWS Price List (pricing:GetProducts), on demand"
    made["sources"][_SOURCE] = {"what": what, "date": today, "kind": "AWS"}
    made["date"] = today
    for one in prices:
        of = made["instances"][one.type]["usd"].setdefault(one.use, {})
        # As a number of JSON it would lose digits; `Prices` reads its text.
        of[region] = {"usd": str(one.usd), "source": _SOURCE, "confidence": "high", "note": f"since {one.date}"}
    return made


def read(item: str) -> Price | None:
    """One entry of a price list, which is JSON in a text; None for what is no machine by the hour in US dollars."""
    told = json.loads(item)
    match = _USAGE.search(str(told.get("product", {}).get("attributes", {}).get("usagetype", "")))
    if not match:
        return None
    for term in told.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term.get("priceDimensions", {}).values():
            usd = Decimal(str(dimension.get("pricePerUnit", {}).get("USD", "0")))
            if usd > 0 and str(dimension.get("unit", "")).lower() in ("hrs", "hour", "hours"):
                use = _USES[match["sagemaker"] or match["ec2"]]
                return Price(match["type"], use, usd.normalize(), str(term.get("effectiveDate", ""))[:10])
    return None


def _asked(aws: Aws, region: str, told: Callable[[int], None]) -> Iterator[Price]:
    paginator = aws.client("pricing", _ASKED_IN).get_paginator("get_products")
    pages = 0
    questions = [("AmazonSageMaker", {"component": component}) for component in ("Hosting", "Training")]
    for service, fields in [*questions, ("AmazonEC2", _EC2)]:
        filters = [
            {"Type": "TERM_MATCH", "Field": field, "Value": value}
            for field, value in {"regionCode": region, **fields}.items()
        ]
        for page in paginator.paginate(ServiceCode=service, Filters=filters, FormatVersion="aws_v1"):
            pages += 1
            told(pages)
            yield from (one for item in page["PriceList"] if (one := read(item)))


def _uses(prices: Prices, name: str) -> list[str]:
    instance = prices.instances[name]
    return [use for use, has in (("training", instance.training), ("hosting", instance.hosting)) if has]
