"""What is to be deployed, and what every door offers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dogbreed.cloud.session import Aws
    from dogbreed.config import DeploySettings
    from dogbreed.infer.answering import Answering
    from dogbreed.plan import Resource
    from dogbreed.run import Run

# What `--to` takes -> the module of this folder that does it.
DOORS = {"endpoint": "endpoint", "serverless": "serverless", "lambda": "function", "ec2": "machines"}


@dataclass(frozen=True)
class Deployment:
    """A Run, and how it is to be served; `settings.to` names a door."""

    aws: Aws
    settings: DeploySettings
    run: Run

    @property
    def name(self) -> str:
        """The name of what answers in the account: endpoint, function or auto-scaling group."""
        return self.aws.name(self.settings.to)


class Door(Protocol):
    """What a module of `DOORS` has."""

    def resources(self, wanted: Deployment) -> list[Resource]:
        """Everything that it takes, in the order in which it is made; looks at the account where it must choose."""

    def everything(self, aws: Aws) -> list[Resource]:
        """What of it can be in the account, in the order in which it was made: for status and destroy.

        Also what an earlier deployment left: models and configurations by the project's prefix, and scaling.
        """

    def monthly(self, wanted: Deployment, requests_per_month: float) -> Decimal | None:
        """US dollars for a month at this traffic, free tiers left out; None where a price is not known."""

    def client(self, aws: Aws) -> Answering:
        """Asks what is deployed, as the person whose credentials `aws` has."""

    def calls(self, aws: Aws) -> Mapping[str, str]:
        """How to call it, by way: "dogbreed", "boto3", "curl" -> a text to paste."""


def door(to: str) -> Door:
    """The module of a door."""
    module: Door = import_module(f"dogbreed.cloud.serving.{DOORS[to]}")
    return module
