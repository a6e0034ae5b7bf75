"""The metrics of functions in AWS/Lambda, put once a minute of the stand-in's clock, with that minute's start.

By function, and by function and what was called (`name` or `name:alias`), as AWS has them; none for a minute in which
nothing happened. Source: "Types of metrics for Lambda functions" in AWS's developer guide.
"""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from dogbreed.rehearse.cloud import Cloud

NAMESPACE = "AWS/Lambda"
_VALUES = 150  # different ones in a datum, at most
_DATA = 500
_UNITS = {"Duration": "Milliseconds", "AsyncEventAge": "Milliseconds", "ProvisionedConcurrencyUtilization": "None"}
# Region, minute, dimensions, name.
_Key = tuple[str, int, tuple[tuple[str, str], ...], str]


class Metrics:
    """Gathers values until their minute is over."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._lock = threading.Lock()
        self._values: dict[_Key, Counter[float]] = {}

    def note(
        self,
        region: str,
        function: str,
        qualifier: str,
        values: dict[str, float],
        executed: str = "",
        moment: float | None = None,
    ) -> None:
        """Take values by name of the metric, of now or of a `moment` of the clock.

        `executed` is the version, where an alias has two.
        """
        resource = f"{function}:{qualifier}" if qualifier else function
        sets = [(("FunctionName", function),), (("FunctionName", function), ("Resource", resource))]
        if executed:
            sets.append((*sets[1], ("ExecutedVersion", executed)))
        minute = int((moment or self._cloud.clock.time()) // 60)
        with self._lock:
            for name, value in values.items():
                for dimensions in sets:
                    counter = self._values.setdefault((region, minute, dimensions, name), Counter())
                    counter[round(value, 3)] += 1

    def send(self) -> None:
        """Put the minutes that are over."""
        minute = int(self._cloud.clock.time() // 60)
        with self._lock:
            over = {key: self._values.pop(key) for key in [key for key in self._values if key[1] < minute]}
        by_region: dict[str, list[dict[str, Any]]] = {}
        for (region, when, dimensions, name), counter in sorted(over.items()):
            pairs = list(counter.items())
            by_region.setdefault(region, []).extend(
                _datum(name, when, dimensions, pairs[start : start + _VALUES])
                for start in range(0, len(pairs), _VALUES)
            )
        for region, data in by_region.items():
            for start in range(0, len(data), _DATA):
                with suppress(ClientError, BotoCoreError):
                    cloudwatch = self._cloud.client("cloudwatch", region)
                    cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=data[start : start + _DATA])

    def clear(self) -> None:
        """Forget what was not sent."""
        with self._lock:
            self._values.clear()


def _datum(
    name: str, minute: int, dimensions: tuple[tuple[str, str], ...], pairs: list[tuple[float, int]]
) -> dict[str, Any]:
    return {
        "MetricName": name,
        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions],
        "Timestamp": datetime.fromtimestamp(minute * 60, UTC),
        "Values": [value for value, _ in pairs],
        "Counts": [float(count) for _, count in pairs],
        "Unit": _UNITS.get(name, "Count"),
    }
