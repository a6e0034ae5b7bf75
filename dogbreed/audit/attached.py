"""The policies that count for a principal: its own, and the texts of AWS's own policies that it only names."""

from __future__ import annotations

from dogbreed.audit import managed
from dogbreed.audit.document import make_policy
from dogbreed.audit.finding import Location
from dogbreed.audit.model import Kind, Policy, Principal
from dogbreed.audit.source import Fixed


def policies_of(principal: Principal) -> list[Policy]:
    """Every identity policy of a principal whose text is known; AWS's own stand where they are attached."""
    if principal.managed is None:
        principal.managed = [
            make_policy(text, Kind.IDENTITY, arn.rsplit("/", maxsplit=1)[-1], Fixed(place_of(principal, arn)), arn=arn)
            for arn in principal.unresolved
            if (text := managed.document(arn)) is not None
        ]
    return [*principal.policies, *principal.managed] if principal.managed else principal.policies


def place_of(principal: Principal, arn: str) -> Location:
    """Where a policy is attached to a principal."""
    return principal.places.get(arn, principal.location)


def unknown_policies(principal: Principal) -> tuple[str, ...]:
    """The policies that are attached to a principal and whose text nobody here knows."""
    return tuple(arn for arn in principal.unresolved if managed.document(arn) is None)
