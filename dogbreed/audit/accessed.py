"""Least privilege in a live account: services that a principal may use and has not used for 90 days, or ever.

IAM's last-accessed data (`ServicesLastAccessed` of GetServiceLastAccessedDetails) stands in the facts of a principal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from dogbreed.audit.finding import Category, Finding, Rule, Severity, check
from dogbreed.audit.model import HOLE, Corpus, Principal, Statement

FACT = "ServicesLastAccessed"
_DAYS = 90

SERVICE = Rule(
    "LP-UNUSED-SERVICE",
    Category.UNUSED,
    Severity.LOW,
    f"A service is granted that was not used for {_DAYS} days",
    "What nobody uses helps only somebody who should not be there.",
    "remove the actions of the service",
    ("Access Analyzer unused access",),
)


@check(SERVICE, over=Principal)
def unused_services(principal: Principal, corpus: Corpus) -> Iterator[Finding]:
    """One finding for each granted service that was not used; nothing where there is no last-accessed data."""
    accessed = principal.facts.get(FACT)
    if not isinstance(accessed, list):
        return
    now = datetime.now(UTC)
    unused = {str(one["ServiceNamespace"]).lower(): one for one in accessed if _is_old(one, now)}
    said: set[str] = set()
    for service, statement, at in _granted(principal):
        if service in unused and service not in said:
            said.add(service)
            when = _when(unused[service])
            last = f"last used it on {when:%Y-%m-%d}" if when else "never used it"
            message = f"{principal.name} may use {service} ({statement.name} of {statement.policy.name}) and {last}."
            place = statement.at(*at)
            yield Finding(SERVICE.id, SERVICE.category, SERVICE.severity, principal.arn, place, message, SERVICE.fix)


def _granted(principal: Principal) -> Iterator[tuple[str, Statement, tuple[str | int, ...]]]:
    """Services that the principal's own policies name in an Allow, with the place of the action."""
    for policy in principal.policies:
        if ":aws:policy/" in policy.arn:
            continue
        for statement in policy.statements:
            actions = statement.actions or ()
            for number, action in enumerate(actions if statement.allows else ()):
                service = action.partition(":")[0].lower()
                if "*" not in service and HOLE not in service:
                    yield service, statement, ("Action", number) if len(actions) > 1 else ("Action",)


def _is_old(one: Mapping[str, Any], now: datetime) -> bool:
    when = _when(one)
    return when is None or (now - when).days > _DAYS


def _when(one: Mapping[str, Any]) -> datetime | None:
    """When a service was last used: as boto3 gives it, or as text."""
    value = one.get("LastAuthenticated")
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)
