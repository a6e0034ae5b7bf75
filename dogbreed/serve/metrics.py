"""Figures of the service: for Prometheus at /metrics, and for CloudWatch as lines in its embedded metric format.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
NAMESPACE = "dogbreed"


class Metrics:
    """The figures of one service process."""

    def __init__(self, waiting: Callable[[], int]) -> None:
        own = self.registry = CollectorRegistry()
        labels = ("route", "status")
        self.requests = Counter("dogbreed_requests", "Requests answered.", labels, registry=own)
        self.seconds = Histogram(
            "dogbreed_request_seconds", "From the first byte to the answer.", ("route",), buckets=_SECONDS, registry=own
        )
        self.waited = Histogram("dogbreed_queue_seconds", "Waiting for a free thread.", buckets=_SECONDS, registry=own)
        self.photos = Counter("dogbreed_photos", "Photos by what was said of them.", ("answer",), registry=own)
        Gauge("dogbreed_queue_photos", "Photos waiting now.", registry=own).set_function(waiting)
        for answer in ("sure", "unsure", "error"):
            self.photos.labels(answer)

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)


def emf(figures: dict[str, tuple[float | int, str]], dimensions: dict[str, str], **more: object) -> str:
    """One line that CloudWatch Logs turns into metrics; `figures`: name -> (value, unit)."""
    metrics = [{"Name": name, "Unit": unit} for name, (_, unit) in figures.items()]
    directive = {"Namespace": NAMESPACE, "Dimensions": [list(dimensions)], "Metrics": metrics}
    head = {"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}}
    return json.dumps({**head, **dimensions, **{name: value for name, (value, _) in figures.items()}, **more})
