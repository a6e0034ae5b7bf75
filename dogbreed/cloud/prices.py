"""Reads AWS's Price List for one region, and keeps the result on this computer.

The hours of machines, EC2's and SageMaker's for training and hosting, and what goes with a service: disks, public
addresses, load balancers, functions. What is not found stays unknown, as do serverless endpoints of SageMaker.
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
# What stands before a usage type in all regions but the first.
_REGION = re.compile(r"^(?!TS-)[A-Z]{2,4}\d?-")
_OTHER_USAGE = {
    "EBS:VolumeUsage.gp3": "ec2_ebs_gp3_gb_month",
    "PublicIPv4:InUseAddress": "public_ipv4_hour",
    "LoadBalancerUsage": "alb_hour",
    "LCUUsage": "alb_lcu_hour",
}
_OTHER_GROUP = {
    "AWS-Lambda-Requests": "lambda_request",
    "AWS-Lambda-Duration": "lambda_x86_gb_second",
    "AWS-Lambda-Duration-ARM": "lambda_arm_gb_second",
    "AWS-Lambda-Provisioned-Concurrency": "lambda_provisioned_x86_gb_second",
    "AWS-Lambda-Provisioned-Concurrency-ARM": "lambda_provisioned_arm_gb_second",
    "AWS-Lambda-Duration-Provisioned": "lambda_provisioned_x86_duration_gb_second",
}
# Of one request in AWS's list, of a million in the table.
_EACH = {"lambda_request": 1_000_000}
_OTHER = "other"
_QUESTIONS: tuple[tuple[str, Mapping[str, str]], ...] = (
    ("AmazonSageMaker", {"component": "Hosting"}),
    ("AmazonSageMaker", {"component": "Training"}),
    ("AmazonEC2", _EC2),
    ("AmazonEC2", {"productFamily": "Storage", "volumeApiName": "gp3"}),
    ("AmazonVPC", {"group": "VPCPublicIPv4Address"}),
    ("AWSELB", {"productFamily": "Load Balancer-Application"}),
    *(("AWSLambda", {"group": group}) for group in _OTHER_GROUP),
)
_USES = {"Host": "hosting", "Train": "training", "BoxUsage": "ec2"}


@dataclass(frozen=True)
class Price:
    """US dollars for an hour of a type (without `ml.`), for `use`; `date`: since when, as AWS says it.

    Of something else than a machine, `use` is "other", and `type` its key in the table.
    """

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
    asked = {(one.type, one.use): one for one in _asked(aws, region, told)}
    prices = [one for one in asked.values() if one.use == _OTHER or one.type in before.instances]
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
        use: Any = one.use
        figure = before.other(one.type, region) if use == _OTHER else before.hourly(one.type, region, use)
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
        other = one.use == _OTHER
        of = made["other"].setdefault(one.type, {}) if other else made["instances"][one.type]["usd"]
        of = of if other else of.setdefault(one.use, {})
        # As a number of JSON it would lose digits; `Prices` reads its text.
        of[region] = {"usd": f"{one.usd:f}", "source": _SOURCE, "confidence": "high", "note": f"since {one.date}"}
    return made


def read(item: str) -> Price | None:
    """One entry of a price list, which is JSON in a text; None for what the table has not, or not in US dollars."""
    told = json.loads(item)
    attributes = told.get("product", {}).get("attributes", {})
    usage = str(attributes.get("usagetype", ""))
    key = _OTHER_USAGE.get(_REGION.sub("", usage)) or _OTHER_GROUP.get(str(attributes.get("group", "")))
    if key:
        return _other(told, key)
    match = _USAGE.search(usage)
    if not match:
        return None
    for term in told.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term.get("priceDimensions", {}).values():
            usd = Decimal(str(dimension.get("pricePerUnit", {}).get("USD", "0")))
            if usd > 0 and str(dimension.get("unit", "")).lower() in ("hrs", "hour", "hours"):
                use = _USES[match["sagemaker"] or match["ec2"]]
                return Price(match["type"], use, usd.normalize(), str(term.get("effectiveDate", ""))[:10])
    return None


def _other(told: Mapping[str, Any], key: str) -> Price | None:
    """Of what costs less in large amounts, the price of the first."""
    for term in told.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term.get("priceDimensions", {}).values():
            usd = Decimal(str(dimension.get("pricePerUnit", {}).get("USD", "0"))) * _EACH.get(key, 1)
            if usd > 0 and str(dimension.get("beginRange", "0")) == "0":
                return Price(key, _OTHER, usd.normalize(), str(term.get("effectiveDate", ""))[:10])
    return None


def _asked(aws: Aws, region: str, told: Callable[[int], None]) -> Iterator[Price]:
    paginator = aws.client("pricing", _ASKED_IN).get_paginator("get_products")
    pages = 0
    for service, fields in _QUESTIONS:
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
