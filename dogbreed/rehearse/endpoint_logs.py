"""The lines that an endpoint's containers print, to CloudWatch Logs; and what CloudWatch reads out of logged lines.

A line in the embedded metric format becomes metrics in whichever log group it is, as with AWS.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud

_EVERY_S = 0.3
_BATCH = 1000
# function_logs sees to the lines of functions.
_SEEN_TO = "/aws/lambda/"
_LINE = 250_000  # bytes of an event at most, less what CloudWatch adds
# Moto refuses events that are two hours ahead of this machine's clock, which the stand-in's may be.
_AHEAD_S = 7000.0


class Lines(threading.Thread):
    """Sends lines to one log group in batches, as a role; what it may not send is lost, as with the real one."""

    def __init__(self, cloud: Cloud, region: str, role: str, group: str) -> None:
        super().__init__(daemon=True, name=group)
        self._cloud, self._region, self._role, self._group = cloud, region, role, group
        self._lines: list[tuple[str, int, str]] = []
        self._streams: set[str] = set()
        self._lock = threading.Lock()
        self._over = threading.Event()

    def line(self, stream: str, text: str) -> None:
        """Take one line."""
        moment = min(self._cloud.clock.time(), time.time() + _AHEAD_S)
        with self._lock:
            self._lines.append((stream, int(moment * 1000), text[:_LINE] or " "))

    def run(self) -> None:
        """Send again and again."""
        while not self._over.wait(_EVERY_S):
            self._send()
        self._send()

    def finish(self) -> None:
        """Send what is left and end."""
        self._over.set()
        if self.is_alive():
            self.join()

    def _send(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
        for stream in dict.fromkeys(stream for stream, _, _ in lines):
            events = [{"timestamp": moment, "message": text} for one, moment, text in lines if one == stream]
            with suppress(ClientError, BotoCoreError):
                client = self._cloud.client("logs", self._region, role=self._role)
                self._make(client, stream)
                for start in range(0, len(events), _BATCH):
                    batch = events[start : start + _BATCH]
                    client.put_log_events(logGroupName=self._group, logStreamName=stream, logEvents=batch)

    def _make(self, client: Any, stream: str) -> None:
        if stream in self._streams:
            return
        for make, name in ((client.create_log_group, {}), (client.create_log_stream, {"logStreamName": stream})):
            with suppress(client.exceptions.ResourceAlreadyExistsException):
                make(logGroupName=self._group, **name)
        self._streams.add(stream)


class Embedded:
    """Turns logged lines in the embedded metric format into metrics."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def logged(self, call: Call, answer: dict[str, Any]) -> None:
        """Called after PutLogEvents."""
        if call.params["logGroupName"].startswith(_SEEN_TO):
            return
        found: dict[str, list[dict[str, Any]]] = {}
        for event in call.params.get("logEvents", []):
            if '"_aws"' in event.get("message", ""):
                for namespace, data in self._metrics(event["message"]):
                    found.setdefault(namespace, []).extend(data)
        client = self._cloud.client("cloudwatch", call.region)
        for namespace, data in found.items():
            for start in range(0, len(data), _BATCH):
                client.put_metric_data(Namespace=namespace, MetricData=data[start : start + _BATCH])

    def _metrics(self, text: str) -> list[tuple[str, list[dict[str, Any]]]]:
        """Namespace and metric data of each directive of a line; none where it is not of the format."""
        try:
            told = json.loads(text)
            moment = told["_aws"]["Timestamp"] / 1000
            # The containers' clock is this machine's, from which the stand-in's may have run away.
            moment += self._cloud.clock.time() - time.time()
            when = datetime.fromtimestamp(moment, UTC)
            return [(one["Namespace"], _data(told, one, when)) for one in told["_aws"]["CloudWatchMetrics"]]
        except (ValueError, TypeError, LookupError, AttributeError):
            return []


def _data(told: dict[str, Any], directive: dict[str, Any], when: datetime) -> list[dict[str, Any]]:
    data = []
    for names in directive["Dimensions"]:
        dimensions = [{"Name": name, "Value": str(told[name])} for name in names]
        for metric in directive["Metrics"]:
            value = told[metric["Name"]]
            shown = {"Values": [float(one) for one in value]} if isinstance(value, list) else {"Value": float(value)}
            unit = metric.get("Unit", "None")
            name = metric["Name"]
            data.append({"MetricName": name, "Dimensions": dimensions, "Timestamp": when, "Unit": unit} | shown)
    return data
