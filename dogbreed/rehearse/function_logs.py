"""What functions print: to CloudWatch Logs as their role, and metrics in the embedded format out of it to CloudWatch.

Source of the format: "Embedded metric format specification" in CloudWatch's user guide.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dogbreed.rehearse.cloud import Cloud

_EVERY_S = 0.2
_BATCH = 1000
_LINE = 250_000
_AT_ONCE = 500  # metrics in one request; AWS takes 1,000
# CloudWatch refuses what is two hours ahead of this machine's clock, which the stand-in's may be.
_AHEAD_S = 7000.0


@dataclass(frozen=True)
class Stream:
    """Where lines go, and as whom."""

    region: str
    role: str
    group: str
    name: str


class Logs:
    """Sends lines in batches; what the role may not send is lost, as with the real one."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._lock = threading.Lock()
        self._lines: dict[Stream, list[dict[str, Any]]] = {}
        self._known: set[Stream] = set()
        self._sender: threading.Thread | None = None
        self._over = threading.Event()

    def add(self, stream: Stream, lines: Iterable[str]) -> None:
        """Take lines."""
        moment = int(min(self._cloud.clock.time(), time.time() + _AHEAD_S) * 1000)
        events = [{"timestamp": moment, "message": line[:_LINE]} for line in lines if line]
        if not events:
            return
        with self._lock:
            self._lines.setdefault(stream, []).extend(events)
            if self._sender is None:
                self._over.clear()
                self._sender = threading.Thread(target=self._run, daemon=True)
                self._sender.start()

    def end(self) -> None:
        """Stop sending, and forget what was to be sent."""
        self._over.set()
        if self._sender:
            self._sender.join()
        with self._lock:
            self._sender = None
            self._lines.clear()
            self._known.clear()

    def _run(self) -> None:
        while not self._over.wait(_EVERY_S):
            with self._lock:
                lines, self._lines = self._lines, {}
            for stream, events in lines.items():
                # An account that is being emptied loses them.
                with suppress(ClientError, BotoCoreError):
                    self._send(stream, events)

    def _send(self, stream: Stream, events: list[dict[str, Any]]) -> None:
        logs = self._cloud.client("logs", stream.region, role=stream.role)
        where = {"logGroupName": stream.group, "logStreamName": stream.name}
        if stream not in self._known:
            self._make(logs, stream, where)
            self._known.add(stream)
        events.sort(key=lambda event: event["timestamp"])
        for start in range(0, len(events), _BATCH):
            logs.put_log_events(**where, logEvents=events[start : start + _BATCH])
        self._measure(stream.region, (event["message"] for event in events))

    def _make(self, logs: Any, stream: Stream, where: dict[str, str]) -> None:
        """The stream; and its group only where there is none, since few roles may make groups."""
        try:
            logs.create_log_stream(**where)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "ResourceNotFoundException":
                logs.create_log_group(logGroupName=stream.group)
                logs.create_log_stream(**where)
            elif code != "ResourceAlreadyExistsException":
                raise

    def _measure(self, region: str, messages: Iterator[str]) -> None:
        found: dict[str, list[dict[str, Any]]] = {}
        for message in messages:
            for namespace, metrics in embedded(message):
                found.setdefault(namespace, []).extend(metrics)
        for namespace, metrics in found.items():
            for start in range(0, len(metrics), _AT_ONCE):
                cloudwatch = self._cloud.client("cloudwatch", region)
                cloudwatch.put_metric_data(Namespace=namespace, MetricData=metrics[start : start + _AT_ONCE])


def embedded(line: str) -> list[tuple[str, list[dict[str, Any]]]]:
    """Namespace and MetricData (as PutMetricData takes it) of a line in the embedded format; nothing for another."""
    if '"_aws"' not in line:
        return []
    found = []
    with suppress(ValueError, TypeError, KeyError, AttributeError):
        told = json.loads(line[line.index("{") :])
        moment = datetime.fromtimestamp(told["_aws"]["Timestamp"] / 1000, UTC)
        for one in told["_aws"]["CloudWatchMetrics"]:
            sets = one.get("Dimensions") or [[]]
            metrics = [
                _metric(told, metric, names, moment)
                for metric in one["Metrics"]
                for names in sets
                if metric["Name"] in told
            ]
            found.append((one["Namespace"], metrics))
    return found


def _metric(told: dict[str, Any], metric: dict[str, Any], names: list[str], moment: datetime) -> dict[str, Any]:
    value = told[metric["Name"]]
    values = [float(one) for one in (value if isinstance(value, list) else [value])]
    return {
        "MetricName": metric["Name"],
        "Dimensions": [{"Name": name, "Value": str(told[name])} for name in names],
        "Timestamp": moment,
        "Values": values,
        "Unit": metric.get("Unit", "None"),
        "StorageResolution": metric.get("StorageResolution", 60),
    }
