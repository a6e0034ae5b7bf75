"""Spot prices that look like real ones: a share of the price on demand in dogbreed's own table, each zone its own.

The shares are made up and always the same; a type without a known price has no spot price either.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS

from dogbreed.pricing import Prices

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud

_LEAST, _SPAN = 0.30, 0.25  # of the price on demand
_SINCE = timedelta(hours=3)  # when a price last changed
_SYSTEM = "Linux/UNIX"


def history(call: Call) -> dict[str, Any]:
    """DescribeSpotPriceHistory: one price for each type and zone, in pages."""
    asked = call.params
    filters = {one["Name"]: one.get("Values", []) for one in asked.get("Filters") or []}
    types = asked.get("InstanceTypes") or filters.get("instance-type")
    zone = asked.get("AvailabilityZone")
    zones = [zone] if zone else filters.get("availability-zone")
    systems = asked.get("ProductDescriptions") or filters.get("product-description") or [_SYSTEM]
    now = datetime.now(UTC).replace(microsecond=0)
    found = []
    for offer in INSTANCE_TYPE_OFFERINGS["availability-zone"].get(call.region, ()) if _SYSTEM in systems else ():
        kind, place = offer["InstanceType"], offer["Location"]
        if (types and kind not in types) or (zones and place not in zones):
            continue
        if price := spot(kind, place):
            told = {"AvailabilityZone": place, "InstanceType": kind, "ProductDescription": _SYSTEM}
            found.append(told | {"SpotPrice": price, "Timestamp": now - _SINCE})
    start, size = int(asked.get("NextToken") or 0), asked.get("MaxResults") or 1000
    more = str(start + size) if start + size < len(found) else ""
    return {"SpotPriceHistory": found[start : start + size], "NextToken": more}


def spot(kind: str, zone: str) -> str:
    """The spot price of an hour in a zone, as the API writes it; empty where none is known."""
    figure = Prices.load().hourly(kind, zone[:-1], "ec2")
    return f"{float(figure.usd) * _share(kind, zone):.6f}" if figure else ""


def _share(kind: str, zone: str) -> float:
    number = int.from_bytes(hashlib.sha256(f"{kind} {zone}".encode()).digest()[:4])
    return _LEAST + _SPAN * number / 2**32


def add(cloud: Cloud) -> None:
    """Register with the cloud."""
    cloud.handle("ec2", "DescribeSpotPriceHistory", history)
