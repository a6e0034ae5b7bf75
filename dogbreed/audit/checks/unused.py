"""Roles that nobody uses, and services that a role may use and never has; known of live accounts and dumps only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from dogbreed.audit.finding import Category, Finding, Rule, Severity, check
from dogbreed.audit.model import Corpus, Principal

UNUSED_DAYS = 90
_RULE = Rule(
    "IAM-UNUSED",
    Category.UNUSED,
    Severity.LOW,
    "Role or grant that is not used",
    "What nobody uses nobody watches, and whoever gets hold of it may do all that it allows.",
    "Remove the role, or the services that it has not used from its policies.",
    ("IAM.22", "prowler iam_role_access_not_stale_to_sagemaker"),
)


@check(_RULE, over=Principal)
def unused(role: Principal, corpus: Corpus) -> Iterator[Finding]:
    """A role without a use for 90 days; else the services of its last-accessed report that it has never used."""
    now = _time(role.facts.get("ReadAt"))
    if role.kind != "role" or now is None or "/aws-service-role/" in role.arn:
        return
    last = _time((role.facts.get("RoleLastUsed") or {}).get("LastUsedDate"))
    since = last or _time(role.facts.get("CreateDate"))
    if since is not None and (now - since).days > UNUSED_DAYS:
        when = f"was last used on {last.date()}" if last else f"was never used since {since.date()}"
        yield _finding(role, f"{role.name} {when}", f"Delete the role {role.name} if it is not needed any more.")
        return
    report: list[dict[str, Any]] = role.facts.get("ServicesLastAccessed") or []
    never = sorted(str(one.get("ServiceNamespace")) for one in report if not one.get("LastAuthenticated"))
    made = _time(role.facts.get("CreateDate"))
    if never and last is not None and made is not None and (now - made).days > UNUSED_DAYS:
        named = ", ".join(never[:8]) + (f" and {len(never) - 8} more" if len(never) > 8 else "")
        yield _finding(role, f"{role.name} has never used {named}", f"Take {named} out of the policies of {role.name}.")


def _finding(role: Principal, what: str, fix: str) -> Finding:
    message = f"{_RULE.title}: {what}. {_RULE.why}"
    return Finding(_RULE.id, _RULE.category, _RULE.severity, role.arn, role.location, message, fix)


def _time(value: Any) -> datetime | None:
    """A time as the SDK or a dump gives it, in UTC; None for what is none."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)
