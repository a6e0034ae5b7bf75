"""The alarms of the account as the API shows them: put, described, set by hand, switched, tagged, deleted."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse.alarm_queries import check_period, period_of
from dogbreed.rehearse.alarm_state import COMPARISONS, Datum, Rule, State
from dogbreed.rehearse.calls import PASS, AwsError, Passed, page

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud

_HISTORY = 500
_PAGE = 100
_DAY_S = 86_400
_FIRST = "Unchecked: Initial alarm creation"
_METRIC = ("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Dimensions", "Period", "Unit")
_SHOWN = (
    *("AlarmName", "AlarmDescription", "OKActions", "AlarmActions", "InsufficientDataActions", "Metrics"),
    *("EvaluationPeriods", "DatapointsToAlarm", "Threshold", "ComparisonOperator", "TreatMissingData"),
    *("EvaluateLowSampleCountPercentile", "ThresholdMetricId", *_METRIC),
)


@dataclass(eq=False)
class Alarm:
    """One alarm: `request` as PutMetricAlarm was given it; the other times are the clock's."""

    region: str
    arn: str
    request: dict[str, Any]
    updated: datetime
    state: State = "INSUFFICIENT_DATA"
    before: State = "INSUFFICIENT_DATA"
    reason: str = _FIRST
    reason_data: str = ""
    changed: datetime | None = None
    value: float | None = None
    value_at: float = 0.0
    due: float = 0.0
    asked_at: float = 0.0
    tags: dict[str, str] = field(default_factory=dict)
    history: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_HISTORY))

    @property
    def name(self) -> str:
        """Its name, one of its kind in the region."""
        return str(self.request["AlarmName"])

    @cached_property
    def queries(self) -> list[dict[str, Any]]:
        """What it looks at, as GetMetricData is asked."""
        if metrics := self.request.get("Metrics"):
            return list(metrics)
        told = self.request
        metric = {"Namespace": told["Namespace"], "MetricName": told["MetricName"]}
        metric["Dimensions"] = told.get("Dimensions", [])
        stat = told.get("Statistic") or told.get("ExtendedStatistic")
        return [{"Id": "m1", "MetricStat": {"Metric": metric, "Period": told["Period"], "Stat": stat}}]

    @cached_property
    def told(self) -> str:
        """The id of the query that is compared with the threshold."""
        return str(next(one["Id"] for one in self.queries if one.get("ReturnData", True)))

    @cached_property
    def period(self) -> int:
        """Seconds of one point."""
        return period_of(self.queries)

    @cached_property
    def rule(self) -> Rule:
        """How its points are judged."""
        told, periods = self.request, self.request["EvaluationPeriods"]
        least = told.get("DatapointsToAlarm") or periods
        missing = told.get("TreatMissingData") or "missing"
        return Rule(told["ComparisonOperator"], float(told["Threshold"]), periods, least, missing)

    def to_api(self) -> dict[str, Any]:
        """As DescribeAlarms shows it."""
        shown = {name: self.request[name] for name in _SHOWN if self.request.get(name) is not None}
        lists = ("OKActions", "AlarmActions", "InsufficientDataActions")
        shown = {name: [] for name in lists} | shown | {"AlarmArn": self.arn, "StateValue": self.state}
        if "Metrics" not in shown:
            shown.setdefault("Dimensions", [])
        shown |= {"StateReason": self.reason, "AlarmConfigurationUpdatedTimestamp": self.updated}
        shown |= {"ActionsEnabled": self.request.get("ActionsEnabled", True)}
        shown |= {"StateUpdatedTimestamp": self.changed or self.updated}
        if self.reason_data:
            shown["StateReasonData"] = self.reason_data
        return shown | ({"StateTransitionedTimestamp": self.changed} if self.changed else {})


class Records:
    """All alarms by region and name. `wake` is called when one is new, `changed` when its state was set by hand."""

    def __init__(self, cloud: Cloud, wake: Callable[[], None], changed: Callable[[Alarm], None]) -> None:
        self._cloud, self._wake, self._changed = cloud, wake, changed
        self._alarms: dict[tuple[str, str], Alarm] = {}
        self._gone: deque[dict[str, Any]] = deque(maxlen=_HISTORY)
        self._lock = threading.RLock()

    def register(self) -> None:
        """Answer the operations."""
        for name, function in {
            "PutMetricAlarm": self._put,
            "DescribeAlarms": self._describe,
            "DescribeAlarmsForMetric": self._for_metric,
            "DescribeAlarmHistory": self._past,
            "SetAlarmState": self._set,
            "DeleteAlarms": self._delete,
            "EnableAlarmActions": self._switch,
            "DisableAlarmActions": self._switch,
            "TagResource": self._tag,
            "UntagResource": self._tag,
            "ListTagsForResource": self._tag,
        }.items():
            self._cloud.handle("cloudwatch", name, function)

    def all(self) -> list[Alarm]:
        """Every alarm of every region."""
        with self._lock:
            return list(self._alarms.values())

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._alarms.clear()
            self._gone.clear()

    def status(self) -> dict[str, Any]:
        """For people: the alarms that are not OK."""
        found = {alarm.name: alarm.state for alarm in self.all() if alarm.state != "OK"}
        return {"alarms": found} if found else {}

    def judged(self, alarm: Alarm, state: State, reason: str, data: Sequence[Datum]) -> bool:
        """Note what an evaluation came to; whether the state is another than before."""
        at, alarm.value = next((one for one in reversed(data) if one[1] is not None), (0, None))
        alarm.value_at = at + alarm.period / 2
        if state == alarm.state:
            return False
        told = alarm.queries[0].get("MetricStat", {})
        seen = [value for _, value in data if value is not None][-alarm.rule.periods :]
        now = self._cloud.clock.now()
        reason_data = {
            "version": "1.0",
            "queryDate": _stamp(now),
            **({"startDate": _stamp(datetime.fromtimestamp(data[0][0], UTC))} if data else {}),
            **({"statistic": told["Stat"]} if told and "Metrics" not in alarm.request else {}),
            "period": alarm.period,
            "recentDatapoints": seen,
            "threshold": alarm.rule.threshold,
        }
        self._turn(alarm, state, reason, json.dumps(reason_data))
        return True

    def acted(self, alarm: Alarm, action: str) -> None:
        """Note an action that was done."""
        self._note(alarm, "Action", f"Successfully executed action {action}", {"actionResource": action})

    def _turn(self, alarm: Alarm, state: State, reason: str, data: str) -> None:
        new = {"stateValue": state, "stateReason": reason} | ({"stateReasonData": json.loads(data)} if data else {})
        with self._lock:
            old = {"stateValue": alarm.state, "stateReason": alarm.reason}
            alarm.before, alarm.state, alarm.reason, alarm.reason_data = alarm.state, state, reason, data
            alarm.changed = self._cloud.clock.now()
            # In one step: who sees the state finds it in the history.
            summary = f"Alarm updated from {alarm.before} to {state}"
            self._note(alarm, "StateUpdate", summary, {"version": "1.0", "oldState": old, "newState": new})

    def _note(self, alarm: Alarm, kind: str, summary: str, data: dict[str, Any]) -> None:
        told = {"AlarmName": alarm.name, "AlarmType": "MetricAlarm", "Timestamp": self._cloud.clock.now()}
        told |= {"HistoryItemType": kind, "HistorySummary": summary, "HistoryData": json.dumps(data, default=str)}
        with self._lock:
            alarm.history.append(told)

    def _put(self, call: Call) -> dict[str, Any]:
        told = call.params
        _check(told)
        name, now = told["AlarmName"], self._cloud.clock.now()
        with self._lock:
            old = self._alarms.get((call.region, name))
            arn = f"arn:aws:cloudwatch:{call.region}:{self._cloud.account}:alarm:{name}"
            alarm = Alarm(call.region, arn, dict(told), now)
            if old:
                alarm.state, alarm.before, alarm.reason = old.state, old.before, old.reason
                alarm.reason_data, alarm.changed, alarm.tags = old.reason_data, old.changed, old.tags
                alarm.history = old.history
            else:
                alarm.tags = {one["Key"]: one["Value"] for one in told.get("Tags", [])}
            self._alarms[call.region, name] = alarm
            self._note(alarm, "ConfigurationUpdate", f'Alarm "{name}" {"updated" if old else "created"}', told)
        self._wake()
        return {}

    def _describe(self, call: Call) -> dict[str, Any] | Passed:
        told = call.params
        if "MetricAlarm" not in told.get("AlarmTypes", ["MetricAlarm"]):
            return PASS
        with self._lock:  # a state, its reason and its data belong together
            fitting = [
                alarm.to_api()
                for alarm in sorted(self._of(call.region), key=lambda one: one.name)
                if ("AlarmNames" not in told or alarm.name in told["AlarmNames"])
                and alarm.name.startswith(told.get("AlarmNamePrefix", ""))
                and told.get("StateValue") in (None, alarm.state)
                and ("ActionPrefix" not in told or any(map(_begins(told["ActionPrefix"]), _actions(alarm))))
            ]
        return page(told, "MetricAlarms", fitting, _PAGE // 2) | {"CompositeAlarms": []}

    def _for_metric(self, call: Call) -> dict[str, Any]:
        told = call.params
        names = ("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Period", "Unit")
        wanted = {name: told[name] for name in names if name in told}
        where = _pairs(told)
        fitting = [
            alarm.to_api()
            for alarm in self._of(call.region)
            if all(alarm.request.get(name) == value for name, value in wanted.items())
            and _pairs(alarm.request) == where
        ]
        return {"MetricAlarms": fitting}

    def _past(self, call: Call) -> dict[str, Any]:
        told = call.params
        with self._lock:
            items = [one for alarm in self._of(call.region) for one in alarm.history] + list(self._gone)
        items = [
            one
            for one in items
            if told.get("AlarmName") in (None, one["AlarmName"])
            and told.get("HistoryItemType") in (None, one["HistoryItemType"])
            and ("StartDate" not in told or one["Timestamp"] >= told["StartDate"])
            and ("EndDate" not in told or one["Timestamp"] <= told["EndDate"])
        ]
        items.sort(key=lambda one: one["Timestamp"], reverse=told.get("ScanBy") != "TimestampAscending")
        return page(told, "AlarmHistoryItems", items, _PAGE)

    def _set(self, call: Call) -> dict[str, Any]:
        told = call.params
        alarm = self._alarms.get((call.region, told["AlarmName"]))
        if alarm is None:
            raise AwsError("ResourceNotFound", f"Unknown alarm {told['AlarmName']}", 404)
        data = told.get("StateReasonData", "")
        try:
            json.loads(data or "{}")
        except ValueError as error:
            raise AwsError("InvalidFormat", "StateReasonData is no JSON") from error
        if told["StateValue"] != alarm.state:
            self._turn(alarm, told["StateValue"], told["StateReason"], data)
            self._changed(alarm)
        return {}

    def _delete(self, call: Call) -> dict[str, Any]:
        names = call.params["AlarmNames"]
        with self._lock:
            # A single one that is not there is no error; among several, nothing is deleted.
            if len(names) > 1 and any((call.region, name) not in self._alarms for name in names):
                raise AwsError("ResourceNotFound", "One of the alarms does not exist.", 404)
            for name in names:
                if alarm := self._alarms.pop((call.region, name), None):
                    self._note(alarm, "ConfigurationUpdate", f'Alarm "{name}" deleted', {"type": "Delete"})
                    self._gone.extend(alarm.history)
        return {}

    def _switch(self, call: Call) -> dict[str, Any]:
        for alarm in self._of(call.region):
            if alarm.name in call.params["AlarmNames"]:
                alarm.request["ActionsEnabled"] = call.operation.startswith("Enable")
        return {}

    def _tag(self, call: Call) -> dict[str, Any] | Passed:
        alarm = next((one for one in self._of(call.region) if one.arn == call.params["ResourceARN"]), None)
        if alarm is None:
            return PASS
        alarm.tags |= {one["Key"]: one["Value"] for one in call.params.get("Tags", [])}
        for name in call.params.get("TagKeys", []):
            alarm.tags.pop(name, None)
        if not call.operation.startswith("List"):
            return {}
        return {"Tags": [{"Key": name, "Value": value} for name, value in alarm.tags.items()]}

    def _of(self, region: str) -> list[Alarm]:
        return [alarm for alarm in self.all() if alarm.region == region]


def _check(told: dict[str, Any]) -> None:
    metrics, single = told.get("Metrics"), told.get("MetricName")
    if bool(metrics) == bool(single):
        raise _wrong("Exactly one element of the metrics list should be provided, or MetricName and Namespace.")
    if single and not (told.get("Period") and (told.get("Statistic") or told.get("ExtendedStatistic"))):
        raise _wrong("Period and one of Statistic and ExtendedStatistic must be given with MetricName.")
    if told["ComparisonOperator"] not in COMPARISONS or told.get("Threshold") is None:
        raise _wrong("The stand-in has alarms with a threshold only: anomaly detection is beyond what it knows.")
    if metrics and sum(one.get("ReturnData", True) for one in metrics) != 1:
        raise _wrong("Exactly one element of the metrics list should return data.")
    period = period_of(metrics or [told])
    check_period(period)
    if (least := told.get("DatapointsToAlarm", 1)) > told["EvaluationPeriods"]:
        raise _wrong(f"DatapointsToAlarm {least} is more than EvaluationPeriods {told['EvaluationPeriods']}.")
    if period * told["EvaluationPeriods"] > (_DAY_S if period < 3600 else 7 * _DAY_S):
        raise _wrong("Metrics cannot be checked across more than a day (EvaluationPeriods * Period must be <= 86400).")


def _wrong(words: str) -> AwsError:
    return AwsError("ValidationError", words)


def _pairs(told: dict[str, Any]) -> set[tuple[str, str]]:
    return {(one["Name"], one["Value"]) for one in told.get("Dimensions", [])}


def _actions(alarm: Alarm) -> list[str]:
    lists = ("AlarmActions", "OKActions", "InsufficientDataActions")
    return [action for name in lists for action in alarm.request.get(name, [])]


def _begins(prefix: str) -> Callable[[str], bool]:
    return lambda text: text.startswith(prefix)


def _stamp(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"
