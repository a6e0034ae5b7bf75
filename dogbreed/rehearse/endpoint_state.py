"""One endpoint: its state, the fleet that answers, the one that is to follow it, and its requests' way to a replica."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse.endpoint_meters import NAMESPACE, OF_INSTANCES, Meter
from dogbreed.rehearse.endpoint_records import Record
from dogbreed.rehearse.endpoint_usage import Usage

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from dogbreed.rehearse.cloud import Cloud
    from dogbreed.rehearse.endpoint_fleet import Fleet
    from dogbreed.rehearse.endpoint_replica import Replica
    from dogbreed.rehearse.endpoint_variant import Variant

_REASON = 1024  # characters of a failure reason at most
ANSWERS = ("InService", "Updating", "RollingBack", "SystemUpdating")
BUSY = ("Creating", "Updating", "RollingBack", "SystemUpdating", "Deleting")


@dataclass
class Endpoint(Record):
    """An endpoint; `fleets` are those that get traffic by their shares, `pending` is one that does not yet."""

    region: str = ""
    state: str = "Creating"
    failure: str = ""
    config: str = ""
    fleets: list[Fleet] = field(default_factory=list)
    pending: Fleet | None = None
    deployment: dict[str, Any] = field(default_factory=dict)
    capturing: dict[str, Any] | None = None
    meters: dict[str, Meter] = field(default_factory=dict)
    usages: dict[str, Usage] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.RLock = field(default_factory=threading.RLock)
    thread: threading.Thread | None = None

    @property
    def status(self) -> str:
        """Its EndpointStatus."""
        return self.state

    def enter(self, cloud: Cloud, state: str, failure: str = "") -> None:
        """Go on to another state, for a reason where it is a bad one."""
        with self.lock:
            self.state, self.failure, self.changed = state, failure[:_REASON], cloud.clock.now()

    def take(self, asked: str = "", avoid: Collection[Replica] = ()) -> tuple[Fleet, Variant, Replica | None] | None:
        """Fleet, variant and replica for one request; no replica where none answers, None for an unknown variant.

        A fleet that cannot answer leaves its share to one that can.
        """
        while True:
            with self.lock:
                seen = list(self.fleets)
            fleets, last = [one for one in seen if one.share > 0], None
            while fleets:
                fleet = random.choices(fleets, [one.share for one in fleets])[0]
                if (variant := fleet.choose(asked)) is None:
                    return None
                last = (fleet, variant, variant.take(avoid))
                if last[2]:
                    return last
                fleets.remove(fleet)
            # The fleets may have changed over meanwhile.
            with self.lock:
                if seen == self.fleets:
                    return last

    def meter(self, cloud: Cloud, variant: Variant) -> Meter:
        """The meter of a variant, which goes on when another fleet follows."""
        if (meter := self.meters.get(variant.name)) is None:
            dimensions = {"EndpointName": self.name, "VariantName": variant.name}
            made = Meter(cloud, dimensions, serverless=variant.serverless)
            meter = self.meters.setdefault(variant.name, made)
        return meter

    def measured(self, cloud: Cloud) -> Iterator[tuple[str, dict[str, Any]]]:
        """Namespace and datum of all that its variants tell CloudWatch since the last time."""
        running = [variant for fleet in self.fleets for variant in fleet.everything if variant.source]
        pids: dict[str, list[int]] = {}
        for variant in running:
            pids.setdefault(variant.name, []).extend(variant.pids())
        for variant in {variant.name: variant for variant in running}.values():
            meter = self.meter(cloud, variant)
            kept = int(variant.current.get("ProvisionedConcurrency", 0))
            for datum in meter.passed(variant.active, limit=variant.limit, provisioned=kept):
                yield NAMESPACE, datum
            made = Usage(meter.dimensions, str(variant.told.get("InstanceType", "")))
            usage = self.usages.setdefault(variant.name, made)
            for datum in usage.passed(cloud.clock.time(), pids[variant.name]):
                yield OF_INSTANCES, datum

    def everything(self) -> list[Fleet]:
        """All fleets that run."""
        with self.lock:
            return [*self.fleets, *([self.pending] if self.pending and self.pending not in self.fleets else [])]

    def describe(self) -> dict[str, Any]:
        """All that DescribeEndpoint shows."""
        with self.lock:
            shown = self.summary() | {"EndpointConfigName": self.config}
            if self.fleets:
                fleet = self.fleets[0]
                shown["ProductionVariants"] = [one.describe() for one in fleet.variants]
                if fleet.shadows:
                    shown["ShadowProductionVariants"] = [one.describe() for one in fleet.shadows]
                if "MetricsConfig" in fleet.config:
                    shown["MetricsConfig"] = fleet.config["MetricsConfig"]
            if self.capturing:
                shown["DataCaptureConfig"] = self._capture()
            if self.failure:
                shown["FailureReason"] = self.failure
            if self.deployment:
                shown["LastDeploymentConfig"] = self.deployment
            if self.pending and self.state in ("Creating", "Updating", "RollingBack"):
                shown["PendingDeploymentSummary"] = self._pending(self.pending)
            return shown

    def summary(self) -> dict[str, Any]:
        """What a list of endpoints shows."""
        return {
            "EndpointName": self.name,
            "EndpointArn": self.arn,
            "CreationTime": self.created,
            "LastModifiedTime": self.changed,
            "EndpointStatus": self.state,
        }

    def _capture(self) -> dict[str, Any]:
        told = self.capturing or {}
        on = told.get("EnableCapture", True)
        return {
            "EnableCapture": on,
            "CaptureStatus": "Started" if on and self.state in ANSWERS else "Stopped",
            "CurrentSamplingPercentage": told["InitialSamplingPercentage"],
            "DestinationS3Uri": told["DestinationS3Uri"],
            "KmsKeyId": told.get("KmsKeyId", ""),
        }

    def _pending(self, fleet: Fleet) -> dict[str, Any]:
        told: dict[str, Any] = {
            "EndpointConfigName": fleet.name,
            "ProductionVariants": [one.describe() for one in fleet.variants],
            "StartTime": fleet.started,
        }
        if fleet.shadows:
            told["ShadowProductionVariants"] = [one.describe() for one in fleet.shadows]
        return told
