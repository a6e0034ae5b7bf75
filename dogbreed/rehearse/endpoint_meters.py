"""What an endpoint measures, to CloudWatch: per minute and variant, every ten seconds for requests at the same time.

Zeros are sent where there is no traffic, as SageMaker does. Who publishes looks at the clock of the stand-in and sends
all that has passed since, so a fast clock loses no minute.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from dogbreed.rehearse.cloud import Cloud

NAMESPACE, OF_INSTANCES = "AWS/SageMaker", "/aws/sagemaker/Endpoints"
_MINUTE, _SLOT = 60, 10
_BATCH = 500
_VALUES = 150  # of a datum at most
# A clock that has run away is followed with zeros this far at most: an hour, at once.
_BEHIND = 60
_Datum = dict[str, Any]


@dataclass
class _Minute:
    requests: int = 0
    per_instance: float = 0.0
    client_errors: int = 0
    server_errors: int = 0
    model_errors: int = 0
    no_capacity: int = 0
    model_us: list[float] = field(default_factory=list)
    overhead_us: list[float] = field(default_factory=list)
    setup_us: list[float] = field(default_factory=list)


class Meter:
    """Counts for one variant or component; `dimensions` are those of its metrics."""

    def __init__(self, cloud: Cloud, dimensions: dict[str, str], *, serverless: bool = False) -> None:
        self._cloud = cloud
        self.dimensions = [{"Name": name, "Value": value} for name, value in dimensions.items()]
        self._component = "InferenceComponentName" in dimensions
        self._serverless = serverless
        self._minutes: dict[int, _Minute] = {}
        self._next_minute = int(cloud.clock.time()) // _MINUTE
        self._next_slot = int(cloud.clock.time()) // _SLOT
        self._lock = threading.Lock()
        # Requests at the same time: the area below their curve, and its peak, since the last look.
        self._open, self._area, self._peak = 0, 0.0, 0
        self._since = self._looked = time.monotonic()

    def opened(self) -> None:
        """A request has come."""
        with self._lock:
            self._advance()
            self._open += 1
            self._peak = max(self._peak, self._open)

    def moved(self) -> None:
        """It was not answered here, but goes elsewhere."""
        with self._lock:
            self._advance()
            self._open -= 1

    def closed(
        self, status: int, *, instances: int, model_s: float | None, overhead_s: float, setup_s: float = 0.0
    ) -> None:
        """It was answered with `status`; `model_s` seconds in the container, None where it did not come to that."""
        with self._lock:
            self._advance()
            self._open -= 1
            minute = self._minute()
            minute.requests += 1
            minute.per_instance += 1 / max(1, instances)
            minute.client_errors += 400 <= status < 500
            minute.server_errors += status >= 500
            minute.model_errors += model_s is not None and not 200 <= status < 300
            if model_s is not None:
                minute.model_us.append(round(model_s * 1e6))
                minute.overhead_us.append(round(max(0.0, overhead_s) * 1e6))
            if setup_s:
                minute.setup_us.append(round(setup_s * 1e6))

    def had_no_capacity(self) -> None:
        """A request has found no copy of its component."""
        with self._lock:
            self._minute().no_capacity += 1

    def passed(self, count: int, *, limit: int = 0, provisioned: int = 0) -> Iterator[_Datum]:
        """Data of what has passed since the last look, by `count` replicas.

        `limit` is the most requests at once and `provisioned` the environments that are kept, of serverless variants.
        """
        now = self._cloud.clock.time()
        with self._lock:
            self._advance()
            span = time.monotonic() - self._looked
            average = self._area / span if span > 0 else float(self._open)
            peak, self._peak, self._area, self._looked = self._peak, self._open, 0.0, time.monotonic()
            slots = range(max(self._next_slot, int(now) // _SLOT - _BEHIND * 6), int(now) // _SLOT)
            minutes = set(range(max(self._next_minute, int(now) // _MINUTE - _BEHIND), int(now) // _MINUTE))
            # What was counted is told, however late.
            minutes.update(one for one in self._minutes if one < int(now) // _MINUTE)
            self._next_slot, self._next_minute = int(now) // _SLOT, int(now) // _MINUTE
            counted = [(one, self._minutes.pop(one, _Minute())) for one in sorted(minutes)]
            self._minutes = {one: kept for one, kept in self._minutes.items() if one >= self._next_minute}
        for slot in slots:
            when = _when(slot * _SLOT)
            if not self._serverless:
                yield self._concurrency(when, average / max(1, count), peak / max(1, count))
            for name, most in (("ConcurrentExecutions", limit), ("ProvisionedConcurrency", provisioned)):
                if most and self._serverless:
                    used = {"Value": min(1.0, peak / most)}
                    yield self._datum(f"Serverless{name}Utilization", when, "None", used)
        for minute, counts in counted:
            yield from self._counts(_when(minute * _MINUTE), counts)

    # -- helpers

    def _advance(self) -> None:
        now = time.monotonic()
        self._area += self._open * (now - self._since)
        self._since = now

    def _minute(self) -> _Minute:
        return self._minutes.setdefault(int(self._cloud.clock.time()) // _MINUTE, _Minute())

    def _concurrency(self, when: datetime, average: float, peak: float) -> _Datum:
        """Requests at the same time at one replica: SageMaker's instances tell theirs one by one."""
        name = "ConcurrentRequestsPerCopy" if self._component else "ConcurrentRequestsPerModel"
        sums = {"SampleCount": 10.0, "Sum": average * 10, "Minimum": min(average, peak), "Maximum": peak}
        return self._datum(name, when, "Count", {"StatisticValues": sums}) | {"StorageResolution": 1}

    def _counts(self, when: datetime, counts: _Minute) -> Iterator[_Datum]:
        def of(name: str, total: float, one: float = 1.0) -> _Datum:
            if not counts.requests:
                return self._datum(name, when, "None", {"Value": 0.0})
            all_, any_ = total >= counts.requests * one, total > 0
            sums = {"Minimum": one if all_ else 0.0, "Maximum": one if any_ else 0.0}
            sums |= {"SampleCount": float(counts.requests), "Sum": float(total)}
            return self._datum(name, when, "None", {"StatisticValues": sums})

        yield of("Invocations", counts.requests)
        yield of("Invocation4XXErrors", counts.client_errors)
        yield of("Invocation5XXErrors", counts.server_errors)
        yield of("InvocationModelErrors", counts.model_errors)
        if self._component:
            yield of("InvocationsPerCopy", counts.per_instance, counts.per_instance / max(1, counts.requests))
            yield self._datum("NoCapacityInvocationFailures", when, "None", {"Value": float(counts.no_capacity)})
        elif not self._serverless:
            each = counts.per_instance / max(1, counts.requests)
            yield of("InvocationsPerInstance", counts.per_instance, each)
        for name, values in (
            ("ModelLatency", counts.model_us),
            ("OverheadLatency", counts.overhead_us),
            ("ModelSetupTime", counts.setup_us),
        ):
            for start in range(0, len(values), _VALUES):
                yield self._datum(name, when, "Microseconds", {"Values": values[start : start + _VALUES]})

    def _datum(self, name: str, when: datetime, unit: str, told: _Datum) -> _Datum:
        return {"MetricName": name, "Dimensions": self.dimensions, "Timestamp": when, "Unit": unit, **told}


class Publisher(threading.Thread):
    """Sends what `collect` gives, (region, namespace, datum), every ten seconds of the clock until it is ended."""

    def __init__(self, cloud: Cloud, collect: Callable[[], list[tuple[str, str, _Datum]]]) -> None:
        super().__init__(daemon=True, name="endpoint metrics")
        self._cloud, self._collect = cloud, collect
        self._over = threading.Event()

    def run(self) -> None:
        """Send again and again."""
        clock = self._cloud.clock
        while not clock.sleep(max(_SLOT - clock.time() % _SLOT, 0.2 * clock.speed), self._over):
            try:
                self._send()
            except (ClientError, BotoCoreError) as error:
                logging.warning("metrics of endpoints were not taken: %s", error)
            except Exception:  # a thread that ends would leave all endpoints without metrics
                logging.exception("metrics of endpoints")

    def end(self) -> None:
        """End it."""
        self._over.set()
        if self.is_alive():
            self.join()

    def _send(self) -> None:
        found: dict[tuple[str, str], list[_Datum]] = {}
        for region, namespace, datum in self._collect():
            found.setdefault((region, namespace), []).append(datum)
        for (region, namespace), data in found.items():
            client = self._cloud.client("cloudwatch", region)
            for start in range(0, len(data), _BATCH):
                client.put_metric_data(Namespace=namespace, MetricData=data[start : start + _BATCH])


def _when(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
