"""CloudWatch's alarms, which moto records and never looks at: here they are evaluated, by the clock.

Alarms of 10, 20 and 30 s are looked at every 10 s, others every minute, each once its points may count. On a change of
state its actions follow: policies that scale (again each minute while the state lasts, as AWS repeats them), and SNS.
REHEARSE_METRIC_DELAY_S is how long points take to count (10; 120 was seen with SageMaker's invocations); never more
than 10 s for alarms of less than a minute.
"""

from __future__ import annotations

import json
import logging
import math
import os
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from dogbreed.rehearse.alarm_math import MathError
from dogbreed.rehearse.alarm_metrics import Metrics, Points, StatisticError
from dogbreed.rehearse.alarm_queries import Queries
from dogbreed.rehearse.alarm_records import Alarm, Records
from dogbreed.rehearse.alarm_state import MORE, Datum, State, judge

if TYPE_CHECKING:
    from dogbreed.rehearse.cloud import Cloud

_FAST_S, _SLOW_S = 10, 60
_SCALES = "arn:aws:autoscaling:"
_BY_STATE: dict[State, str] = {
    "ALARM": "AlarmActions",
    "OK": "OKActions",
    "INSUFFICIENT_DATA": "InsufficientDataActions",
}


@dataclass(frozen=True)
class Fired:
    """An alarm that asks an action of its own; `value` is the newest point that it was judged by, `at` its middle."""

    region: str
    action: str
    alarm: str
    state: State
    value: float | None
    at: float


class Alarms:
    """Evaluates the alarms in one thread and does what they ask in another."""

    def __init__(self, cloud: Cloud, queries: Queries) -> None:
        self._cloud, self._queries = cloud, queries
        self._delay = float(os.environ.get("REHEARSE_METRIC_DELAY_S", "10"))
        self._wake = threading.Event()
        self._asked: queue.SimpleQueue[tuple[Alarm, Fired, State, str]] = queue.SimpleQueue()
        self._scaling: list[Callable[[Fired], None]] = []
        self.records = Records(cloud, self._wake.set, self._ask)
        for work in (self._watch, self._act):
            threading.Thread(target=work, daemon=True).start()

    def on_scaling(self, function: Callable[[Fired], None]) -> None:
        """Let `function` hear of every alarm whose action is a scaling policy: AWS has no call for that."""
        self._scaling.append(function)

    def _watch(self) -> None:
        clock = self._cloud.clock
        while True:
            alarms = self.records.all()
            soonest = min((alarm.due for alarm in alarms), default=math.inf)
            if soonest == math.inf:
                self._wake.wait()
            elif (left := soonest - clock.time()) > 0:
                clock.sleep(left, self._wake)
            self._wake.clear()
            now = clock.time()
            for alarm in alarms:
                if alarm.due <= now:
                    self._evaluate(alarm, now)

    def _evaluate(self, alarm: Alarm, now: float) -> None:
        fast = alarm.period < _SLOW_S
        step, delay = (_FAST_S, min(self._delay, _FAST_S)) if fast else (_SLOW_S, self._delay)
        alarm.due = (math.floor((now - delay) / step) + 1) * step + delay
        try:
            data = self._data(alarm, now - delay)
            state, reason = judge(alarm.rule, data, alarm.state)
        except (MathError, StatisticError) as error:
            data, state = [], "INSUFFICIENT_DATA"
            reason = f"The stand-in cannot evaluate this alarm: {error} is beyond what it knows."
        except Exception:  # a thread that ends would stop all alarms
            logging.exception("alarm %s", alarm.name)
            return
        if self.records.judged(alarm, state, reason, data):
            self._ask(alarm)
        elif now - alarm.asked_at >= _SLOW_S - 1:
            # A policy is asked again each minute for as long as its alarm lasts.
            self._ask(alarm, only=_SCALES)

    def _data(self, alarm: Alarm, until: float) -> list[Datum]:
        """The points of the evaluation range, oldest first."""
        period = alarm.period
        end = math.floor(until / period) * period
        times = range(end - (alarm.rule.periods + MORE) * period, end, period)
        values = self._queries.values(alarm.region, alarm.queries, times.start, end)
        value = values[alarm.told]
        points: Points = value if isinstance(value, dict) else dict.fromkeys(times, value)
        return [(at, points.get(at)) for at in times]

    def _ask(self, alarm: Alarm, only: str = "") -> None:
        if not alarm.request.get("ActionsEnabled", True):
            return
        for action in alarm.request.get(_BY_STATE[alarm.state], []):
            if action.startswith(only):
                alarm.asked_at = self._cloud.clock.time()
                fired = Fired(alarm.region, action, alarm.name, alarm.state, alarm.value, alarm.value_at)
                self._asked.put((alarm, fired, alarm.before, alarm.reason))

    def _act(self) -> None:
        while True:
            alarm, fired, before, reason = self._asked.get()
            try:
                if fired.action.startswith(_SCALES):
                    for function in self._scaling:
                        function(fired)
                elif fired.action.startswith("arn:aws:sns:"):
                    self._publish(alarm, fired, before, reason)
            except Exception:
                logging.exception("action %s of alarm %s", fired.action, fired.alarm)

    def _publish(self, alarm: Alarm, fired: Fired, before: State, reason: str) -> None:
        message = {
            "AlarmName": fired.alarm,
            "AlarmDescription": alarm.request.get("AlarmDescription"),
            "AWSAccountId": self._cloud.account,
            "NewStateValue": fired.state,
            "NewStateReason": reason,
            "OldStateValue": before,  # by now it may be in another
            "StateChangeTime": self._cloud.clock.now().isoformat(timespec="milliseconds"),
            "Region": fired.region,
            "AlarmArn": alarm.arn,
        }
        with suppress(ClientError, BotoCoreError):
            self._cloud.client("sns", fired.region).publish(
                TopicArn=fired.action,
                Subject=f'{fired.state}: "{fired.alarm}" in {fired.region}'[:100],
                Message=json.dumps(message),
            )
        self.records.acted(alarm, fired.action)


def add(cloud: Cloud) -> None:
    """Register with the cloud."""
    metrics = Metrics()
    queries = Queries(cloud, metrics)
    cloud.handle("cloudwatch", "PutMetricData", queries.put)
    cloud.handle("cloudwatch", "ListMetrics", queries.list)
    cloud.handle("cloudwatch", "GetMetricStatistics", queries.statistics)
    cloud.handle("cloudwatch", "GetMetricData", queries.data)
    cloud.alarms = alarms = Alarms(cloud, queries)
    alarms.records.register()
    cloud.on_reset(metrics.clear)
    cloud.on_reset(alarms.records.clear)
    cloud.on_status(alarms.records.status)
    cloud.on_status(lambda: {"clock": {"now": f"{cloud.clock.now():%F %T} UTC", "speed": cloud.clock.speed}})
    cloud.control("time", lambda told: cloud.clock.time())
