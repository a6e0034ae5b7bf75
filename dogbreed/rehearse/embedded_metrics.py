"""What CloudWatch reads out of logged lines: those in the embedded metric format become metrics, in any log group.

Source: "Embedded metric format specification" in CloudWatch's user guide.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud

_AT_ONCE = 1000  # what PutMetricData takes


def add(cloud: Cloud) -> None:
    """Register with the cloud."""

    def logged(call: Call, answer: dict[str, Any]) -> None:
        found: dict[str, list[dict[str, Any]]] = {}
        # Who prints goes by this machine's clock, from which the stand-in's may have run away.
        ahead = cloud.clock.time() - time.time()
        for event in call.params.get("logEvents", []):
            for namespace, data in _metrics(event["message"], ahead):
                found.setdefault(namespace, []).extend(data)
        for namespace, data in found.items():
            for start in range(0, len(data), _AT_ONCE):
                try:
                    cloudwatch = cloud.client("cloudwatch", call.region)
                    cloudwatch.put_metric_data(Namespace=namespace, MetricData=data[start : start + _AT_ONCE])
                except (ClientError, BotoCoreError) as error:
                    logging.warning("metrics in %s were not taken: %s", call.params["logGroupName"], error)

    cloud.after("logs", "PutLogEvents", logged)


def _metrics(text: str, ahead: float) -> list[tuple[str, list[dict[str, Any]]]]:
    """Namespace and metric data of each directive of a line; none where it is not of the format."""
    if '"_aws"' not in text:
        return []
    try:
        told = json.loads(text)
        when = datetime.fromtimestamp(told["_aws"]["Timestamp"] / 1000 + ahead, UTC)
        return [(one["Namespace"], list(_data(told, one, when))) for one in told["_aws"]["CloudWatchMetrics"]]
    except (ValueError, TypeError, LookupError, AttributeError):
        return []


def _data(told: dict[str, Any], directive: dict[str, Any], when: datetime) -> Iterator[dict[str, Any]]:
    for names in directive.get("Dimensions") or [[]]:
        for metric in directive["Metrics"]:
            if metric["Name"] in told:
                value = told[metric["Name"]]
                yield {
                    "MetricName": metric["Name"],
                    "Dimensions": [{"Name": name, "Value": str(told[name])} for name in names],
                    "Timestamp": when,
                    "Values": [float(one) for one in (value if isinstance(value, list) else [value])],
                    "Unit": metric.get("Unit", "None"),
                    "StorageResolution": metric.get("StorageResolution", 60),
                }
