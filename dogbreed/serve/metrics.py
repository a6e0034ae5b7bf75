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
PREDICTING = ("/predict", "/invocations")


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


class Minutes:
    """The figures since the last look, as CloudWatch wants them; see `line`."""

    def __init__(self, metrics: Metrics, dimensions: dict[str, str]) -> None:
        self._metrics, self._dimensions = metrics, dimensions
        self._before = self._sums()

    def line(self) -> str:
        """One line in the embedded metric format: requests, errors, refusals, photos, unsure ones, milliseconds."""
        now = self._sums()
        passed = {name: value - self._before.get(name, 0.0) for name, value in now.items()}
        self._before = now
        requests, answered = passed["Requests"], passed["Answered"]
        figures: dict[str, tuple[float, str]] = {
            name: (passed[name], "Count") for name in ("Requests", "Errors", "Refused", "Photos", "Unsure")
        }
        if requests:
            figures["Latency"] = (round(passed["Seconds"] / requests * 1000, 2), "Milliseconds")
        if answered:
            figures["QueueTime"] = (round(passed["Waited"] / answered * 1000, 2), "Milliseconds")
        return emf(figures, self._dimensions)

    def _sums(self) -> dict[str, float]:
        sums = dict.fromkeys(
            ("Requests", "Errors", "Refused", "Photos", "Unsure", "Seconds", "Answered", "Waited"), 0.0
        )
        for family in self._metrics.registry.collect():
            for sample in family.samples:
                route, status = sample.labels.get("route", ""), sample.labels.get("status", "")
                if sample.name == "dogbreed_requests_total" and route in PREDICTING:
                    sums["Requests"] += sample.value
                    sums["Errors"] += sample.value * (status == "500")
                    sums["Refused"] += sample.value * (status in ("429", "503"))
                elif sample.name == "dogbreed_request_seconds_sum" and route in PREDICTING:
                    sums["Seconds"] += sample.value
                elif sample.name == "dogbreed_photos_total":
                    sums["Photos"] += sample.value
                    sums["Unsure"] += sample.value * (sample.labels["answer"] == "unsure")
                elif sample.name == "dogbreed_queue_seconds_sum":
                    sums["Waited"] += sample.value
                elif sample.name == "dogbreed_queue_seconds_count":
                    sums["Answered"] += sample.value
        return sums


def emf(figures: dict[str, tuple[float, str]], dimensions: dict[str, str]) -> str:
    """One line that CloudWatch Logs turns into metrics; `figures`: name -> (value, unit)."""
    metrics = [{"Name": name, "Unit": unit} for name, (_, unit) in figures.items()]
    directive = {"Namespace": NAMESPACE, "Dimensions": [list(dimensions)], "Metrics": metrics}
    head = {"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}}
    return json.dumps({**head, **dimensions, **{name: value for name, (value, _) in figures.items()}})
