"""Which door is the cheapest for a traffic: what each costs a month, and how its first answer comes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from botocore.exceptions import ClientError

from dogbreed import priced
from dogbreed.cloud.errors import is_refused
from dogbreed.cloud.serving import deployment
from dogbreed.cloud.serving.deployment import Deployment, Door
from dogbreed.cloud.session import Aws
from dogbreed.errors import DogbreedError, UsageError
from dogbreed.priced import Month
from dogbreed.pricing import HOURS_A_MONTH

_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(s|sec|min|h|hour|d|day|month)")
_REFERENCE = "us-east-1"
# What a door says that never sleeps.
AWAKE = "always awake"
_MONTH_S = HOURS_A_MONTH * 3600
_SECONDS = {"s": 1, "sec": 1, "min": 60, "h": 3600, "hour": 3600, "d": 86400, "day": 86400, "month": _MONTH_S}


@dataclass(frozen=True)
class Option:
    """One door for one traffic: US dollars a month (None: not known), the first answer, and what is to be said.

    `month`: what of it is by the hour, how many instances are needed; None where that is not known. `region`: another
    one than is asked for, whose prices these are.
    """

    to: str
    usd: Decimal | None
    waking: str
    note: str
    month: Month | None = None
    region: str = ""

    @property
    def instances(self) -> int:
        """How many are needed for the traffic; 0 where there are none to count."""
        return self.month.instances if self.month else 0

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        usd = None if self.usd is None else str(self.usd)
        told = {"to": self.to, "usd_per_month": usd, "first_answer": self.waking, "note": self.note}
        if self.month is None or self.usd is None:
            return told
        always = priced.month(self.month.fixed.hourly) or Decimal(0)
        told |= {"usd_per_month_by_the_hour": str(always), "usd_per_month_by_use": str(self.usd - always)}
        told |= {"prices_of": self.region} if self.region else {}
        return told | ({"instances": self.instances} if self.instances else {})


def per_month(traffic: str) -> float:
    """Requests a month of 730 hours of a traffic such as 200/day, 600/min or 5/s; UsageError for anything else."""
    match = _RATE.fullmatch(traffic.strip())
    if not match or not float(match[1]):
        raise UsageError(f"--traffic {traffic}: not a traffic", "one such as 200/day, 600/min or 5/s, more than 0")
    return float(match[1]) * _MONTH_S / _SECONDS[match[2]]


def options(wanted: Deployment, requests: float, *, look: bool = False) -> list[Option]:
    """Every door at `requests` a month, the cheapest first, those of unknown price last.

    Where no price of the region is known, all are of another one, which is said: the order is much the same. What one
    door alone costs elsewhere is no more than noted. `look`: what is in the account decides, as for a plan.
    """
    found = _priced(wanted, requests, look=look)
    if any(option.month and option.usd is None for option in found):
        known = any(option.usd is not None for option in found)
        elsewhere = replace(wanted, aws=Aws(replace(wanted.aws.settings, region=_REFERENCE)))
        there = _priced(elsewhere, requests, _REFERENCE, look=False)
        found = [_noted(*pair) for pair in zip(found, there, strict=True)] if known else there
    order = list(deployment.DOORS)
    return sorted(found, key=lambda option: (option.usd is None, option.usd or 0, order.index(option.to)))


def _noted(here: Option, there: Option) -> Option:
    """With what it costs elsewhere, where that is known and here it is not."""
    if here.usd is not None or there.usd is None:
        return here
    return replace(here, note=f"{here.note}; ${priced.cents(there.usd)} in {there.region}")


def _priced(wanted: Deployment, requests: float, region: str = "", *, look: bool) -> list[Option]:
    found = []
    for to in deployment.DOORS:
        one = wanted.through(to)
        module = deployment.door(to)
        month, note = None, ""
        try:
            month = _month(module, one, requests, look=look)
        except DogbreedError as error:
            note = error.message
        usd = month.usd if month else None
        if month and usd is None:
            note = f"a price in {wanted.aws.configured_region or 'this region'} is not known"
        found.append(Option(to, usd, module.waking(one), note, month, region if usd is not None else ""))
    return found


def _month(module: Door, wanted: Deployment, requests: float, *, look: bool) -> Month:
    """As the account decides, or as if it had nothing yet for who may not look: rights for one door are enough."""
    try:
        return module.monthly(wanted, requests, look=look)
    except ClientError as error:
        if not is_refused(error):
            raise
        return module.monthly(wanted, requests)


def best(found: Sequence[Option]) -> Option:
    """The cheapest; UsageError where no price is known at all."""
    if not found or found[0].usd is None:
        raise UsageError("no door has a known price here, so none can be chosen", "say which: --to endpoint")
    return found[0]
