"""The functions of an account as Lambda keeps them: configurations, versions, aliases, and how names lead to them.

A `Version` never changes; an update makes another one that takes the place of $LATEST.
"""

from __future__ import annotations

import itertools
import random
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse.calls import AwsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dogbreed.rehearse.clock import Clock

LATEST = "$LATEST"
_PARTS_OF_AN_ARN = 7
_serials = itertools.count(1)


@dataclass(frozen=True)
class Code:
    """What a function runs: a folder of this machine, and what AWS says about where it came from.

    An image has `files` besides, the folder with all that it holds, and sets `variables`.
    """

    folder: Path
    sha256: str
    size: int
    location: dict[str, str]
    files: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Version:
    """One configuration with its code; until `ready_at` (of the stand-in's clock) it is pending or being updated."""

    number: str
    arn: str
    config: dict[str, Any]
    code: Code
    created: bool
    ready_at: float
    serial: int = field(default_factory=lambda: next(_serials))

    @property
    def role(self) -> str:
        """ARN of the execution role."""
        return str(self.config["Role"])

    @property
    def memory(self) -> int:
        """In MB."""
        return int(self.config["MemorySize"])

    @property
    def timeout(self) -> float:
        """In seconds."""
        return float(self.config["Timeout"])

    def told(self, clock: Clock) -> dict[str, Any]:
        """The configuration as the API shows it."""
        ready = clock.time() >= self.ready_at
        pending = self.created and not ready
        answer = self.config | {"FunctionArn": self.arn, "Version": self.number, "CodeSha256": self.code.sha256}
        answer |= {"CodeSize": self.code.size, "State": "Pending" if pending else "Active"}
        answer["LastUpdateStatus"] = "Successful" if ready or pending else "InProgress"
        if pending:
            answer |= {"StateReason": "The function is being created.", "StateReasonCode": "Creating"}
        elif not ready:
            answer["LastUpdateStatusReason"] = "The function is being created."
            answer["LastUpdateStatusReasonCode"] = "Creating"
        return answer


@dataclass
class Alias:
    """A name for a version, and maybe a second version that gets a share of the calls."""

    name: str
    arn: str
    version: str
    description: str = ""
    weights: dict[str, float] = field(default_factory=dict)
    revision: str = field(default_factory=lambda: str(uuid.uuid4()))

    def told(self) -> dict[str, Any]:
        """As the API shows it."""
        answer = {"AliasArn": self.arn, "Name": self.name, "FunctionVersion": self.version}
        routing = {"RoutingConfig": {"AdditionalVersionWeights": self.weights}} if self.weights else {}
        return answer | {"Description": self.description, "RevisionId": self.revision} | routing


@dataclass
class Function:
    """A function; `before` is what runs while an update is in progress, `policy` the statements by qualifier."""

    region: str
    name: str
    arn: str
    latest: Version
    tags: dict[str, str]
    before: Version | None = None
    versions: dict[str, Version] = field(default_factory=dict)
    counted: int = 0
    published: int = 0  # serial of the $LATEST that was published last
    aliases: dict[str, Alias] = field(default_factory=dict)
    reserved: int | None = None
    provisioned: dict[str, tuple[int, datetime]] = field(default_factory=dict)
    policy: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    policy_revision: str = ""
    on_events: dict[str, dict[str, Any]] = field(default_factory=dict)

    def version(self, qualifier: str) -> Version:
        """What a qualifier names, an alias being followed; AwsError where it names nothing."""
        number = self.aliases[qualifier].version if qualifier in self.aliases else qualifier
        if number in ("", LATEST):
            return self.latest
        if number not in self.versions:
            raise not_found(f"Function not found: {self.arn}:{qualifier}")
        return self.versions[number]

    def chosen(self, qualifier: str, clock: Clock) -> Version:
        """The version that one call goes to: by an alias's weights, and the one before while an update is made."""
        alias = self.aliases.get(qualifier)
        if alias and alias.weights:
            lot = random.random()
            for number, weight in alias.weights.items():
                lot -= weight
                if lot < 0:
                    return self.versions[number]
        found = self.version(qualifier)
        if found is self.latest and self.before and clock.time() < found.ready_at:
            return self.before
        return found

    def qualified(self, qualifier: str) -> str:
        """ARN with a qualifier, if there is one."""
        return f"{self.arn}:{qualifier}" if qualifier else self.arn

    def everything(self) -> list[Version]:
        """$LATEST and all versions."""
        return [self.latest, *self.versions.values()]


class Records:
    """The functions of an account, by region and name."""

    def __init__(self, account: str) -> None:
        self._account = account
        self.functions: dict[tuple[str, str], Function] = {}

    def arn(self, region: str, name: str) -> str:
        """The ARN of a function."""
        return f"arn:aws:lambda:{region}:{self._account}:function:{name}"

    def find(self, region: str, params: dict[str, Any]) -> tuple[Function, str]:
        """The function and the qualifier ("" for none) that the parameters of a call name; AwsError for an unknown."""
        name, qualifier = split(params["FunctionName"])
        given = params.get("Qualifier") or ""
        if qualifier and given and qualifier != given:
            words = "The derived qualifier from the function name does not match the specified qualifier."
            raise invalid(words)
        qualifier = qualifier or given
        function = self.functions.get((region, name))
        if function is None:
            raise not_found(f"Function not found: {self.arn(region, name)}{f':{qualifier}' if qualifier else ''}")
        return function, qualifier

    def of(self, region: str) -> list[Function]:
        """Those of a region, by name."""
        return [one for (place, _), one in sorted(self.functions.items()) if place == region]


def split(name: str) -> tuple[str, str]:
    """Name and qualifier out of a name, a partial or a whole ARN, each with or without a qualifier."""
    parts = name.split(":")
    if "function" in parts[:-1]:
        parts = parts[parts.index("function") + 1 :]
    return parts[0], parts[1] if len(parts) > 1 else ""


def invalid(message: str) -> AwsError:
    """A value that Lambda does not take."""
    return AwsError("InvalidParameterValueException", message)


def not_found(message: str) -> AwsError:
    """Something that is not there."""
    return AwsError("ResourceNotFoundException", message)


def conflict(message: str) -> AwsError:
    """Something that is there already, or not in the state for it."""
    return AwsError("ResourceConflictException", message)
