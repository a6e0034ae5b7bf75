"""Whether a type of machine exists here, and whether the account may have that many: asked before anything is uploaded.

What cannot be looked up (not allowed, not offered, a new quota) is unknown, which is said and refuses nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from botocore.exceptions import BotoCoreError, ClientError

from dogbreed.cloud.errors import code
from dogbreed.cloud.session import Aws
from dogbreed.errors import DogbreedError, UsageError
from dogbreed.pricing import Prices

# EC2's quotas count vCPUs by family, with codes of their own: (letters, on-demand, spot).
# Source: the Service Quotas pages of EC2; the codes of G and P were found in public copies of the same list.
_FAMILIES = (
    ("G VT", "L-DB2E81BA", "L-3819A6DF"),
    ("P", "L-417A185B", "L-7212CCBC"),
    ("A C D H I M R T Z", "L-1216C47A", "L-34B43A08"),
)


@dataclass(frozen=True, slots=True)
class Limit:
    """A quota: its name, what it allows, and what is wanted, in the same unit. `allowed` None: not known, `why`."""

    name: str
    wanted: float
    allowed: float | None
    unit: str
    why: str = ""

    @property
    def enough(self) -> bool | None:
        """Whether it suffices; None when not known."""
        return None if self.allowed is None else self.wanted <= self.allowed

    def words(self) -> str:
        """One line for people."""
        if self.allowed is None:
            return f"quota not known: {self.name} ({self.why})"
        return f"quota {self.name}: {self.allowed:g} {self.unit}, {self.wanted:g} wanted"

    def require(self) -> None:
        """DogbreedError when it is known not to suffice."""
        if self.enough is False:
            raise DogbreedError(
                f"the account may not have that many: {self.words()}",
                "ask for more in the Service Quotas console, or use fewer --instances or another --instance-type",
            )


def training_types(aws: Aws) -> tuple[str, ...]:
    """The types that SageMaker takes for training jobs, as the SDK's model of the service has them."""
    return _enum(aws, "TrainingInstanceType")


def require_sagemaker_type(aws: Aws, name: str) -> None:
    """UsageError for a type that SageMaker has not, naming those that are spelt alike."""
    known = training_types(aws)
    if name in known:
        return
    if f"ml.{name}" in known:
        raise UsageError(f"SageMaker has no type {name}", f"did you mean --instance-type ml.{name}?")
    raise UsageError(f"SageMaker trains on no type {name}", _alike(name, known))


def zones(aws: Aws, name: str) -> tuple[str, ...] | None:
    """The availability zones of the region that offer an EC2 type, sorted; () for none, None when not known."""
    filters = [{"Name": "instance-type", "Values": [name]}]
    try:
        pages = aws.client("ec2").get_paginator("describe_instance_type_offerings")
        found = pages.paginate(LocationType="availability-zone", Filters=filters)
        return tuple(sorted(one["Location"] for page in found for one in page["InstanceTypeOfferings"]))
    except (ClientError, BotoCoreError) as error:
        if _is_unknown(error):
            return None
        raise


def require_ec2_type(aws: Aws, name: str) -> tuple[str, ...] | None:
    """The zones that offer the type (None: not known); UsageError when none does."""
    found = zones(aws, name)
    if found == ():
        known = aws.client("ec2").meta.service_model.shape_for("InstanceType").enum
        if name not in known:
            raise UsageError(f"EC2 has no type {name}", _alike(name, known))
        raise UsageError(f"{aws.region} does not offer {name}", "choose another --instance-type or --region")
    return found


def sagemaker_limit(aws: Aws, name: str, count: int, *, spot: bool) -> Limit:
    """The quota of a type for (spot) training jobs, in instances. AWS does not say how many of them are in use."""
    quota = f"{name} for {'spot ' if spot else ''}training job usage"
    known, why = _looked_up(aws, "sagemaker", partial(_all, service="sagemaker"))
    # Quotas that stand at their default are sometimes left out of the list.
    return Limit(quota, count, known.get(quota), "instances", why or "not listed")


def ec2_limit(aws: Aws, name: str, count: int, *, spot: bool) -> Limit:
    """The vCPU quota that the type falls under."""
    family = name.split(".", maxsplit=1)[0]
    letters = "".join(sign for sign in family if sign.isalpha())[:1].upper()
    facts = Prices.load().instance(name)
    wanted = float(facts.vcpu * count) if facts else 0.0
    for named, on_demand, of_spot in _FAMILIES:
        # Families of accelerators such as inf, trn and dl have quotas of their own, and longer names.
        if letters not in named.split() or family.startswith(("inf", "trn", "dl", "hpc", "mac", "u-")):
            continue
        words = f"{'spot' if spot else 'on-demand'} vCPUs of {named.replace(' ', ', ')}"
        if facts is None:
            return Limit(words, wanted, None, "vCPUs", f"the vCPUs of {name} are not in the table")
        key = of_spot if spot else on_demand
        known, why = _looked_up(aws, key, partial(_one, service="ec2", quota=key))
        return Limit(words, wanted, known.get(key), "vCPUs", why)
    return Limit(f"vCPUs of {family}", wanted, None, "vCPUs", "its quota's code is not known")


# Many types are asked about in a row, and SageMaker's quotas fill a dozen pages.
_CACHE: WeakKeyDictionary[Aws, dict[str, tuple[dict[str, float], str]]] = WeakKeyDictionary()


def _looked_up(aws: Aws, key: str, look: Callable[[Any], dict[str, float]]) -> tuple[dict[str, float], str]:
    """(values by name or code, why there are none), asked for once in a session."""
    cache = _CACHE.setdefault(aws, {})
    if key not in cache:
        try:
            cache[key] = look(aws.client("service-quotas")), ""
        except (ClientError, BotoCoreError) as error:
            if not _is_unknown(error):
                raise
            cache[key] = {}, code(error) or type(error).__name__
    return cache[key]


def _all(client: Any, service: str) -> dict[str, float]:
    pages = client.get_paginator("list_service_quotas").paginate(ServiceCode=service)
    return {one["QuotaName"]: float(one["Value"]) for page in pages for one in page["Quotas"]}


def _one(client: Any, service: str, quota: str) -> dict[str, float]:
    return {quota: float(client.get_service_quota(ServiceCode=service, QuotaCode=quota)["Quota"]["Value"])}


def _enum(aws: Aws, shape: str) -> tuple[str, ...]:
    found: Any = aws.client("sagemaker").meta.service_model.shape_for(shape).enum
    return tuple(found)


def _alike(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, known, n=3)
    return f"did you mean {' or '.join(close)}?" if close else "see the types in AWS's pages on training instances"


def _is_unknown(error: BaseException) -> bool:
    """Whether a look-up that is not allowed or not offered failed, which tells nothing of the quota."""
    if isinstance(error, BotoCoreError):
        return "Endpoint" in type(error).__name__
    said = code(error)
    denied = ("AccessDenied", "Unauthorized", "NoSuchResource", "UnknownOperation", "InvalidAction", "NotImplemented")
    return said.startswith(denied) or said in ("InternalFailure", "500", "404")
