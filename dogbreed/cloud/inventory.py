"""Everything of this project in the account: what is there, what it costs, and whether anything was left behind.

The resources follow from the settings, so nothing has to be remembered; what runs is looked up, and tags are a second
opinion: whatever bears the project's tag and is none of these is named.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dogbreed import priced
from dogbreed.cloud import running, scaling, training_ec2
from dogbreed.cloud.bucket import Bucket
from dogbreed.cloud.network import GROUP, SecurityGroup
from dogbreed.cloud.policies import EC2_TRAINING, KINDS
from dogbreed.cloud.policies_serving import EC2_SERVICE
from dogbreed.cloud.roles import InstanceProfile, Role
from dogbreed.cloud.serving import deployment, image
from dogbreed.cloud.session import PROJECT_TAG, Aws
from dogbreed.plan import Found, Plan, Resource, Step
from dogbreed.priced import Price

# Rows that the ledger of runs accounts for.
_TRAINING = ("training run", "training job")
_AT_ONCE = 8
_CENT = Decimal("0.0001")
_LOOK_EVERY_S = 2.0
_JOB = ":training-job/"


@dataclass(frozen=True)
class Row:
    """One resource as it was found. `hourly` and `usd` (so far) in US dollars, None where not known.

    `age_s`: seconds since it was made; None where AWS does not say. `price`: `hourly` line by line.
    """

    resource: Resource
    found: Found
    hourly: Decimal | None
    usd: Decimal | None
    age_s: float | None
    price: Price = field(default_factory=Price)

    @property
    def trains(self) -> bool:
        """Whether it belongs to training, which ends by itself. A service has a run too: the one that answers."""
        machine = self.resource.kind == running.Machine.kind and bool(self.found.content.get("run"))
        return machine or self.resource.kind in _TRAINING

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        age = self.age_s
        return {
            "kind": self.resource.kind,
            "name": self.resource.name,
            "id": self.found.id,
            "state": self.found.state,
            "ours": self.found.ours,
            "kept": self.resource.keep,
            "age_seconds": None if age is None else round(age),
            **priced.told(self.hourly),
            "price": [part.to_json() for part in self.price.parts],
            "usd": None if self.usd is None else str(self.usd),
            "error": self.found.error,
            "details": {key: value for key, value in self.found.content.items() if isinstance(value, str | int | bool)},
        }


def resources(aws: Aws, *, data: bool = False) -> list[Resource]:
    """Everything that the project can have, in the order in which it is made; `data`: what is kept goes as well."""
    roles = [Role(aws, kind) for kind in KINDS]
    profiles = [InstanceProfile(aws, role) for role in roles if role.of in (EC2_TRAINING, EC2_SERVICE)]
    found: list[Resource] = [Bucket(aws), *roles, *profiles]
    found += [SecurityGroup(aws, vpc) for vpc in _vpcs(aws)]
    found += training_ec2.resources(aws)
    # What runs is looked up here for all of them, machine by machine.
    found = [one for one in found if one.kind not in running.GROUPED]
    services = _services(aws)
    if data:
        for one in [*found, *services]:
            one.keep = ""
    # Services last, so that they go first: a group of machines that is there makes up for each that is ended.
    return list({(one.kind, one.name): one for one in [*found, *running.everything(aws), *services]}.values())


def _services(aws: Aws) -> list[Resource]:
    """The image, what each door has deployed, and what scales it."""
    found = list(image.everything(aws))
    for to in deployment.DOORS:
        found += deployment.door(to).everything(aws)
    found += scaling.everything(aws)
    # Roles are listed once for all, and go after everything that runs with them.
    return [one for one in found if not isinstance(one, Role)]


def look(wanted: Sequence[Resource], clock: Callable[[], datetime] | None = None) -> list[Row]:
    """Those that are there, in order; `clock` gives the account's time, where the one here proves to be behind it."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(lambda resource: resource.find(), wanted))
    rows = []
    for resource, one in zip(wanted, found, strict=True):
        if one is not None:
            price, age = priced.of(resource), _age(one.created, clock)
            rows.append(Row(resource, one, price.hourly, _so_far(one, price.hourly, age), age, price))
    return rows


def tagged(aws: Aws) -> list[str] | None:
    """The ARNs of all that bears the project's tag here, sorted; None where that may not be looked up.

    The tags of what was deleted stay listed for a while, so a name here is a hint, not proof.
    """
    wanted = [{"Key": PROJECT_TAG, "Values": [aws.settings.project]}]
    try:
        pages = aws.client("resourcegroupstaggingapi").get_paginator("get_resources").paginate(TagFilters=wanted)
        return sorted(one["ResourceARN"] for page in pages for one in page["ResourceTagMappingList"])
    except (ClientError, BotoCoreError):
        return None


def unaccounted(arns: Sequence[str] | None, rows: Sequence[Row]) -> list[str]:
    """ARNs that are none of the rows, nor a part of one, as volumes are of a machine. Jobs and machines are left out:
    what runs of them is looked up by itself, and of what has ended AWS keeps a record.
    """
    ids = {_last(row.found.id) for row in rows}
    ids |= {part for row in rows for part in row.found.content.get("parts", ())}
    past = (_JOB, ":instance/")
    return [arn for arn in arns or () if _last(arn) not in ids and not any(kind in arn for kind in past)]


def ended_jobs(arns: Sequence[str] | None, rows: Sequence[Row]) -> list[str]:
    """The names of the training jobs among ARNs that do not run any more: records, which cost nothing."""
    ids = {_last(row.found.id) for row in rows}
    return [_last(arn) for arn in arns or () if _JOB in arn and _last(arn) not in ids]


def _last(arn: str) -> str:
    return arn.rsplit("/", 1)[-1].rsplit(":", 1)[-1]


def carry_out(plan: Plan, *, wait_s: float) -> Iterator[Step]:
    """Apply a teardown, yielding each step before it is done, and waiting up to `wait_s` until each has gone.

    A run is given time for its checkpoint before its machines go, and a group cannot go before the machines in it.
    What does not go in time is passed over; a look afterwards finds it.
    """
    before: Step | None = None
    for step in plan.apply():
        _await_gone(before, wait_s)
        yield step
        before = step
    _await_gone(before, wait_s)


def _await_gone(step: Step | None, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while step is not None and step.resource.find() is not None and time.monotonic() < deadline:
        time.sleep(_LOOK_EVERY_S)


def _age(created: datetime | None, clock: Callable[[], datetime] | None) -> float | None:
    """Seconds; never below 0, since what the account has made was made before now."""
    if created is None:
        return None
    now = datetime.now(UTC)
    if created > now and clock:
        now = clock()
    return max(0.0, (now - created).total_seconds())


def _so_far(found: Found, hourly: Decimal | None, age: float | None) -> Decimal | None:
    """What it has cost: as the ledger knows, else by its age; 0 for what costs by use only."""
    if "usd" in found.content:
        known: Decimal | None = found.content["usd"]
        return known
    if hourly is None or not hourly:
        return hourly
    return None if age is None else (hourly * Decimal(age) / 3600).quantize(_CENT)


def _vpcs(aws: Aws) -> list[str]:
    """The VPCs that hold a group of this project."""
    filters = [{"Name": "group-name", "Values": [aws.name(GROUP)]}]
    pages = aws.client("ec2").get_paginator("describe_security_groups").paginate(Filters=filters)
    return [group["VpcId"] for page in pages for group in page["SecurityGroups"]]
