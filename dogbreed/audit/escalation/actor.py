"""The one whose rights are judged, and what the condition keys of their requests can hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from dogbreed.audit.conditions import ABSENT, ANY, Facts, Value, known
from dogbreed.audit.finding import Location
from dogbreed.audit.grants import Rights
from dogbreed.audit.model import Policy, Principal

# Stands for the user's own name: rights to one's own password or keys give nothing.
SELF = "\ue003"
_PRESENT = Value(None)
_ANY_ACCOUNT = "?" * 12
# The managed policies that somebody who may choose one would attach, or one of the account's own.
_POLICIES = Value(
    (
        "arn:aws:iam::aws:policy/AdministratorAccess",
        "arn:aws:iam::aws:policy/IAMFullAccess",
        "arn:aws:iam::aws:policy/PowerUserAccess",
        f"arn:*:iam::{_ANY_ACCOUNT}:policy/*",
    ),
    patterns=True,
)


@dataclass(slots=True)
class Actor:
    """A principal of the corpus, or a policy that is judged as the only one of some principal (`principal` None)."""

    name: str
    location: Location
    rights: Rights
    principal: Principal | None = None

    @classmethod
    def of(cls, principal: Principal) -> Actor:
        """A principal of the corpus."""
        return cls(principal.arn or principal.name, principal.location, Rights.of(principal), principal)

    @classmethod
    def alone(cls, policy: Policy, limits: Iterable[Iterable[Policy]] = ()) -> Actor:
        """The principal that has just this policy, within limits from outside."""
        return cls(policy.name, policy.location, Rights([policy], limits))

    def facts(self, **keys: Value) -> Facts:
        """The keys of a request that this actor shapes to its liking; `keys` with `_` for `:`."""
        fixed = {**_of_everybody(), **self._own(), **{name.replace("_", ":"): value for name, value in keys.items()}}

        def value(key: str) -> Value:
            if key in fixed:
                return fixed[key]
            if key.startswith("aws:principaltag/"):
                return self._tag(key.removeprefix("aws:principaltag/"))
            return ANY

        return value

    def _own(self) -> Mapping[str, Value]:
        principal = self.principal
        if principal is None or not principal.arn or principal.kind == "group":
            # Some user or role: identity policies and groups have no others.
            arns = (f"arn:aws:iam::{_ANY_ACCOUNT}:user/*", f"arn:aws:iam::{_ANY_ACCOUNT}:role/*")
            return {
                "aws:principalarn": Value(arns, patterns=True),
                "aws:principaltype": Value(("User", "AssumedRole", "FederatedUser"), patterns=True),
                "aws:username": known(SELF),
            }
        user = principal.kind == "user"
        return {
            "aws:principalarn": known(principal.arn),
            "aws:principalaccount": known(principal.account),
            "aws:principaltype": known("User" if user else "AssumedRole"),
            "aws:username": known(SELF) if user else ABSENT,
        }

    def _tag(self, name: str) -> Value:
        principal = self.principal
        if principal is None or not principal.complete:
            return ANY
        tags = {key.lower(): text for key, text in principal.tags.items()}
        return known(tags[name]) if name in tags else ABSENT


@cache
def _of_everybody() -> dict[str, Value]:
    """What holds for every direct request. A boundary on the target, where asked for, keeps the target small."""
    now = datetime.now(UTC)
    return {
        "aws:currenttime": known(now.isoformat(timespec="seconds")),
        "aws:epochtime": known(str(int(now.timestamp()))),
        "aws:securetransport": known("true"),
        "aws:principalisawsservice": known("false"),
        "aws:principalarn": _PRESENT,
        "aws:principalaccount": _PRESENT,
        "aws:requestedregion": _PRESENT,
        "aws:resourceaccount": _PRESENT,
        "aws:userid": _PRESENT,
        "iam:permissionsboundary": ABSENT,
        "iam:policyarn": _POLICIES,
    }


def passing_to(services: Iterable[str]) -> Value:
    """`iam:PassedToService` for one of these services."""
    return Value(tuple(services), patterns=True)


def resources_of(services: Iterable[str]) -> Value:
    """`iam:AssociatedResourceArn` for a resource of one of these services; not every service gives it."""
    return Value(tuple(f"arn:*:{service}:*:*:*" for service in sorted(services)), missing=True, patterns=True)
