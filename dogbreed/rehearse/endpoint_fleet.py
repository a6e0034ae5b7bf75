"""What one endpoint configuration is when it runs: its variants with their weights, and the shadows beside them."""

from __future__ import annotations

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse.endpoint_serverless import ServerlessVariant
from dogbreed.rehearse.endpoint_variant import Source, Variant

if TYPE_CHECKING:
    from collections.abc import Callable

    from dogbreed.rehearse.cloud import Cloud


class Fleet:
    """The variants of `config` (the request of CreateEndpointConfig) for an endpoint; nothing runs before `start`."""

    def __init__(
        self, cloud: Cloud, region: str, endpoint: str, config: dict[str, Any], model: Callable[[str], dict[str, Any]]
    ) -> None:
        self._cloud, self._region, self._endpoint = cloud, region, endpoint
        self.config = config
        self.started = cloud.clock.now()
        self.share = 1.0
        self.variants = [self._variant(told, model) for told in config["ProductionVariants"]]
        self.shadows = [self._variant(told, model) for told in config.get("ShadowProductionVariants", [])]
        capture = config.get("DataCaptureConfig")
        self.capture: dict[str, Any] | None = dict(capture) if capture else None
        self.role = self._role(model)

    @property
    def name(self) -> str:
        """The name of its configuration."""
        return str(self.config["EndpointConfigName"])

    @property
    def everything(self) -> list[Variant]:
        """Variants and shadows."""
        return [*self.variants, *self.shadows]

    @property
    def instances(self) -> int:
        """Instances of its variants."""
        return sum(variant.count for variant in self.variants)

    @property
    def wanted(self) -> Counter[str]:
        """Instances by their type, as many as are desired or there."""
        counts: Counter[str] = Counter()
        for one in self.everything:
            if kind := one.told.get("InstanceType"):
                counts[kind] += max(one.desired, one.count)
        return counts

    def variant(self, name: str) -> Variant | None:
        """A variant by its name."""
        return next((one for one in self.variants if one.name == name), None)

    def start(self, stop: threading.Event) -> None:
        """Start all instances that are desired. Raises UnhealthyError."""
        with ThreadPoolExecutor(max(1, len(self.everything))) as pool:
            list(pool.map(lambda one: one.start(one.desired, stop), self.everything))

    def choose(self, asked: str = "") -> Variant | None:
        """The variant for one request: the one that is asked for, else by weight among those that can answer."""
        if asked:
            return self.variant(asked)
        weighted = [one for one in self.variants if one.weight > 0] or self.variants
        # Among those that can answer, unless there are none.
        able = [one for one in weighted if one.can_answer] or weighted
        return random.choices(able, [one.weight or 1.0 for one in able])[0]

    def end(self) -> None:
        """Drain and end all of it."""
        self._each(lambda one: one.end())

    def abandon(self) -> None:
        """End all of it at once."""
        self._each(lambda one: one.abandon())

    def enter(self, status: str, words: str) -> None:
        """Show at each variant what happens; `{count}` in the words is its number of instances."""
        for one in self.variants:
            one.enter(status, words.format(count=one.desired))

    def _each(self, function: Callable[[Variant], None]) -> None:
        with ThreadPoolExecutor(max(1, len(self.everything))) as pool:
            list(pool.map(function, self.everything))

    def _variant(self, told: dict[str, Any], model: Callable[[str], dict[str, Any]]) -> Variant:
        source = None
        if name := told.get("ModelName"):
            request = model(name)
            source = Source(self._cloud, self._region, self._endpoint, request, request["ExecutionRoleArn"])
        kind = ServerlessVariant if "ServerlessConfig" in told else Variant
        return kind(self._cloud, told, source)

    def _role(self, model: Callable[[str], dict[str, Any]]) -> str:
        if role := self.config.get("ExecutionRoleArn"):
            return str(role)
        return str(model(self.config["ProductionVariants"][0]["ModelName"])["ExecutionRoleArn"])
