"""What the account has of one kind of SageMaker's things: by region and name, with tags, in lists and pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from dogbreed.rehearse.calls import between, page
from dogbreed.rehearse.sagemaker_rules import invalid

_PAGE = 10


@dataclass
class Record:
    """One thing: the request that made it, and its tags."""

    name: str
    arn: str
    request: dict[str, Any]
    created: datetime
    changed: datetime
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """Its state; empty where its kind has none."""
        return ""


Kind = TypeVar("Kind", bound=Record)


class Shelf(Generic[Kind]):
    """The things of a kind; `kind` stands in their ARNs, `noun` in what AWS says of them."""

    def __init__(self, kind: str, noun: str) -> None:
        self.kind, self.noun = kind, noun
        self.records: dict[tuple[str, str], Kind] = {}

    def get(self, region: str, name: str, account: str) -> Kind:
        """One of them; AwsError where there is none."""
        if (record := self.records.get((region, name))) is None:
            arn = f"arn:aws:sagemaker:{region}:{account}:{self.kind}/{name}"
            raise invalid(f'Could not find {self.noun} "{arn}".')
        return record

    def add(self, region: str, record: Kind) -> None:
        """Put one on the shelf; AwsError where its name is taken."""
        if self.records.setdefault((region, record.name), record) is not record:
            raise invalid(f'Cannot create already existing {self.noun} "{record.arn}".')

    def of(self, region: str) -> list[Kind]:
        """All of a region."""
        return [record for (place, _), record in list(self.records.items()) if place == region]

    def by_arn(self, arn: str) -> Kind | None:
        """The one with this ARN."""
        return next((one for one in list(self.records.values()) if one.arn == arn), None)

    def page(
        self, region: str, told: dict[str, Any], name: str, show: Callable[[Kind], dict[str, Any]]
    ) -> dict[str, Any]:
        """The answer of a List operation, with its filters, order and pages; `name` is the list's."""
        found = [one for one in self.of(region) if _listed(one, told)]
        by: dict[str, Callable[[Kind], Any]] = {
            "Name": lambda one: one.name,
            "Status": lambda one: one.status,
        }
        key = by.get(told.get("SortBy", ""), lambda one: one.created)
        found.sort(key=key, reverse=told.get("SortOrder", "Descending") == "Descending")
        return page(told, name, [show(one) for one in found], _PAGE)


def tags_of(told: dict[str, Any]) -> dict[str, str]:
    """The tags of a request."""
    return {tag["Key"]: tag["Value"] for tag in told.get("Tags", [])}


def _listed(record: Record, told: dict[str, Any]) -> bool:
    return (
        told.get("NameContains", "").lower() in record.name.lower()
        and told.get("StatusEquals", record.status) == record.status
        and between(told, "CreationTime", record.created)
        and between(told, "LastModifiedTime", record.changed)
    )
