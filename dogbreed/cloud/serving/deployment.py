"""What is to be deployed, and what every door offers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from dogbreed.errors import DogbreedError
from dogbreed.pricing import HOURS_A_MONTH, Prices

if TYPE_CHECKING:
    from dogbreed.cloud.session import Aws
    from dogbreed.config import AwsSettings, DeploySettings
    from dogbreed.infer.answering import Answering
    from dogbreed.plan import Resource
    from dogbreed.priced import Month
    from dogbreed.run import Run

# One photo takes one core about 25 ms with its JPEG of 500 x 333 decoded (README, performance); half of what all
# cores could do is planned with, as AWS advises for targets of scaling.
PHOTO_S, _SHARE = 0.025, 0.5
_MOST = 100
# What `--to` takes -> the module of this folder that does it.
DOORS = {"endpoint": "endpoint", "serverless": "serverless", "lambda": "function", "ec2": "machines"}


@dataclass(frozen=True)
class Deployment:
    """A Run, and how it is to be served; `settings.to` names a door, never auto.

    `shadow`: a challenger, which is asked the same and whose answers nobody sees. `tell` says in words how far
    something is that takes minutes; `detail` is given every line of a build.
    """

    aws: Aws
    settings: DeploySettings
    run: Run
    shadow: Run | None = None
    tell: Callable[[str], None] = lambda words: None
    detail: Callable[[str], None] = lambda line: None

    @property
    def name(self) -> str:
        """The name of what answers in the account: endpoint, function or auto-scaling group."""
        return self.aws.name(self.settings.to)

    def through(self, to: str, instances: int = 0) -> Deployment:
        """The same through another door, with at least so many instances."""
        way: Any = to
        count = max(instances, self.settings.instances)
        return replace(self, settings=replace(self.settings, to=way, instances=count))


class Door(Protocol):
    """What a module of `DOORS` has."""

    def check(self, settings: DeploySettings, aws: AwsSettings) -> None:
        """UsageError for settings that cannot be together; nothing is asked of AWS. May be absent."""

    def resources(self, wanted: Deployment) -> list[Resource]:
        """Everything that it takes, in the order in which it is made; looks at the account where it must choose."""

    def surplus(self, wanted: Deployment) -> list[Resource]:
        """What an earlier deployment made and this one has no use for, in the order in which it was made; it is
        deleted last. May be absent.
        """

    def everything(self, aws: Aws) -> list[Resource]:
        """What of it can be in the account, in the order in which it was made: for status and destroy.

        Also what an earlier deployment left: models and configurations by the project's prefix, and scaling.
        """

    def monthly(self, wanted: Deployment, requests_per_month: float, *, look: bool = False) -> Month:
        """What a month at this traffic costs, free tiers left out; DogbreedError where it cannot carry it.

        The region is `wanted.aws.configured_region`. `look`: what the account has decides, as for `resources`; without
        that nothing is asked of AWS.
        """

    def waking(self, wanted: Deployment) -> str:
        """How long the first request after a quiet time takes, in a few words for a table. May be absent."""

    def client(self, aws: Aws) -> Answering:
        """Asks what is deployed, as the person whose credentials `aws` has."""

    def calls(self, aws: Aws) -> Mapping[str, str]:
        """How to call it, by way: "dogbreed", "boto3", "curl" -> a text to paste."""


def enough(instance_type: str, requests_per_month: float, least: int) -> int:
    """How many instances of a type, with or without `ml.`, a traffic takes; DogbreedError for too many."""
    facts = Prices.load().instance(instance_type)
    if facts is None:
        return least
    needed = math.ceil(requests_per_month / (HOURS_A_MONTH * 3600) / (facts.vcpu / PHOTO_S * _SHARE))
    if needed > _MOST:
        raise DogbreedError(f"{needed} x {instance_type} would be needed, and {_MOST} are the most that are deployed")
    return max(least, needed)


def door(to: str) -> Door:
    """The module of a door, which is loaded when it is asked for."""
    module: Door = import_module(f"dogbreed.cloud.serving.{DOORS[to]}")
    return module
