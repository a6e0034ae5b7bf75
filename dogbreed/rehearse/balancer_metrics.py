"""The figures of load balancers, put to CloudWatch for each minute of the stand-in's clock.

Names, units and dimensions: AWS, "CloudWatch metrics for your Application Load Balancer". Minutes without requests are
told as zero as long as there are targets, and HealthyHostCount as it is at the end of the minute.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse.balancer_proxy import Done
from dogbreed.rehearse.balancer_targets import Group

if TYPE_CHECKING:
    from dogbreed.rehearse.cloud import Cloud

_MINUTE_S = 60
_SHORTEST_S = 0.5  # of this computer's clock: minutes that pass in less are told together
_AT_ONCE = 500  # metrics in one call; CloudWatch takes 1,000
_VALUES = 150  # different values in one metric


@dataclass
class _Minute:
    """What happened in one minute, of one target group behind one load balancer."""

    counts: Counter[str] = field(default_factory=Counter)
    seconds: Counter[float] = field(default_factory=Counter)


class Metrics:
    """Counts requests by minute, and tells; `groups(arn)` gives the target groups behind a load balancer."""

    def __init__(self, cloud: Cloud, groups: Callable[[str], list[Group]]) -> None:
        self._cloud, self._groups = cloud, groups
        self._minutes: dict[tuple[str, str, int], _Minute] = {}
        self._balancers: dict[str, tuple[str, int]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, balancer: str, region: str) -> None:
        """Tell of this load balancer (ARN) from now on."""
        with self._lock:
            self._balancers[balancer] = (region, self._now())
            if self._thread is None:
                self._stop = threading.Event()
                self._thread = threading.Thread(target=self._tell_all, args=[self._stop], daemon=True)
                self._thread.start()

    def end(self, balancer: str) -> None:
        """Tell of it no more."""
        with self._lock:
            self._balancers.pop(balancer, None)

    def close(self) -> None:
        """Forget all."""
        with self._lock:
            self._stop.set()
            self._thread = None
            self._balancers.clear()
            self._minutes.clear()

    def count(self, balancer: str, done: Done) -> None:
        """Note a request."""
        with self._lock:
            minute = self._minutes.setdefault((balancer, done.group, self._now()), _Minute())
            if done.by_target:
                minute.counts["RequestCount"] += 1
                minute.counts[f"HTTPCode_Target_{done.status // 100}XX_Count"] += 1
                minute.seconds[round(done.seconds, 4)] += 1
            else:
                minute.counts["RequestCount"] += done.status != 400
                minute.counts[f"HTTPCode_ELB_{done.status // 100}XX_Count"] += 1
                minute.counts[f"HTTPCode_ELB_{done.status}_Count"] += 1
                minute.counts["TargetConnectionErrorCount"] += done.status == 502

    def _now(self) -> int:
        return int(self._cloud.clock.time() // _MINUTE_S)

    def _tell_all(self, stop: threading.Event) -> None:
        while not stop.wait(max(_SHORTEST_S, min(5.0, _MINUTE_S / self._cloud.clock.speed / 4))):
            try:
                self._tell()
            except Exception:
                if not stop.is_set():
                    logging.exception("figures of load balancers")

    def _tell(self) -> None:
        with self._lock:
            now = self._now()
            over = [(arn, region, list(range(first, now))) for arn, (region, first) in self._balancers.items()]
            for arn, region, _ in over:
                self._balancers[arn] = (region, now)
            taken = {key: self._minutes.pop(key) for key in list(self._minutes) if key[2] < now}
        for arn, region, minutes in over:
            data = [
                datum
                for group in self._groups(arn)
                for number in minutes
                for datum in _data(arn, group, number, taken.get((arn, group.record.arn, number), _Minute()))
            ]
            client = self._cloud.client("cloudwatch", region)
            for first in range(0, len(data), _AT_ONCE):
                client.put_metric_data(Namespace="AWS/ApplicationELB", MetricData=data[first : first + _AT_ONCE])


def _data(balancer: str, group: Group, number: int, minute: _Minute) -> list[dict[str, Any]]:
    """The metrics of one minute; none where there are no targets and were no requests."""
    targets = [one for one in group.targets.values() if one.state != "draining"]
    if not targets and not minute.counts:
        return []
    of_group = {"Name": "TargetGroup", "Value": group.record.arn.split(":")[-1]}
    of_balancer = {"Name": "LoadBalancer", "Value": balancer.rsplit(":loadbalancer/", maxsplit=1)[-1]}
    when = datetime.fromtimestamp(number * _MINUTE_S, UTC)
    healthy = sum(one.state == "healthy" for one in targets)
    made: list[dict[str, Any]] = []

    def put(name: str, unit: str, dimensions: list[dict[str, str]], **value: Any) -> None:
        made.append({"MetricName": name, "Unit": unit, "Dimensions": dimensions, "Timestamp": when, **value})

    both = [of_balancer, of_group]
    for name in sorted({"RequestCount", *minute.counts}):
        put(name, "Count", both, Value=float(minute.counts[name]))
        put(name, "Count", [of_balancer], Value=float(minute.counts[name]))
    each = minute.counts["RequestCount"] / max(1, healthy)
    for dimensions in ([of_group], both):
        put("RequestCountPerTarget", "None", dimensions, Value=float(each))
    if seconds := dict(minute.seconds.most_common(_VALUES)):
        values = {"Values": list(seconds), "Counts": [float(count) for count in seconds.values()]}
        for dimensions in (both, [of_balancer]):
            put("TargetResponseTime", "Seconds", dimensions, **values)
    put("HealthyHostCount", "Count", both, Value=float(healthy))
    put("UnHealthyHostCount", "Count", both, Value=float(sum(one.state == "unhealthy" for one in targets)))
    return made
