"""CloudWatch's questions about metrics: PutMetricData, ListMetrics, GetMetricStatistics, GetMetricData.

They are answered from `alarm_metrics`, since moto knows neither percentiles nor math nor periods that begin at whole
minutes. What moto makes up by itself, the sizes of buckets, it answers still.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse import alarm_math
from dogbreed.rehearse.alarm_math import MathError, Value
from dogbreed.rehearse.alarm_metrics import Metrics, Points, StatisticError, data_of, key
from dogbreed.rehearse.calls import PASS, AwsError, Passed, page

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud

_MOTOS = "AWS/S3"
_LISTED = 500
_MOST_POINTS = 1440
_FUTURE_S = 2 * 3600


def check_period(period: int) -> None:
    """Raise AwsError for a period that CloudWatch does not have."""
    if period not in (1, 5, 10, 20, 30) and (period < 60 or period % 60):
        words = f"The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60, not {period}."
        raise AwsError("InvalidParameterValue", words)


class Queries:
    """The four operations."""

    def __init__(self, cloud: Cloud, metrics: Metrics) -> None:
        self._cloud, self._metrics = cloud, metrics

    def put(self, call: Call) -> dict[str, Any]:
        """PutMetricData."""
        now = self._cloud.clock.time()
        namespace, data = call.params["Namespace"], call.params.get("MetricData", [])
        for number, datum in enumerate(data, 1):
            _check(number, datum)
        told = []
        for datum in data:
            when = datum.get("Timestamp")
            second = when.timestamp() if when else now
            if second > now + _FUTURE_S:
                raise AwsError("InvalidParameterValue", "The parameter Timestamp is more than two hours in the future.")
            where = key(call.region, namespace, datum["MetricName"], datum.get("Dimensions", []))
            told.append((where, second, data_of(datum), datum.get("Unit", "None")))
        self._metrics.put(told)
        return {}

    def list(self, call: Call) -> dict[str, Any] | Passed:
        """ListMetrics, in pages."""
        told = call.params
        if told.get("Namespace") == _MOTOS:
            return PASS
        wanted = [(one["Name"], one.get("Value")) for one in told.get("Dimensions", [])]
        fitting = [
            {"Namespace": space, "MetricName": name, "Dimensions": [{"Name": n, "Value": v} for n, v in sorted(where)]}
            for region, space, name, where in self._metrics.known()
            if region == call.region
            and told.get("Namespace") in (None, space)
            and told.get("MetricName") in (None, name)
            and all(any(n == one and v in (None, value) for one, value in where) for n, v in wanted)
        ]
        return page(told, "Metrics", fitting, _LISTED)

    def statistics(self, call: Call) -> dict[str, Any] | Passed:
        """GetMetricStatistics."""
        told = call.params
        if told["Namespace"] == _MOTOS:
            return PASS
        begin, end, period = told["StartTime"].timestamp(), told["EndTime"].timestamp(), told["Period"]
        check_period(period)
        if begin >= end:
            words = "The parameter StartTime must be less than the parameter EndTime."
            raise AwsError("InvalidParameterValue", words)
        if (end - begin) / period > _MOST_POINTS:
            count = math.ceil((end - begin) / period)
            words = f"You have requested up to {count} datapoints, which exceeds the limit of {_MOST_POINTS}. "
            words += "You may reduce the datapoints requested by increasing Period, or decreasing the time range."
            raise AwsError("InvalidParameterCombination", words)
        plain, extended = told.get("Statistics", []), told.get("ExtendedStatistics", [])
        if not plain and not extended:
            words = "Must specify either Statistics or ExtendedStatistics"
            raise AwsError("InvalidParameterCombination", words)
        where = key(call.region, told["Namespace"], told["MetricName"], told.get("Dimensions", []))
        unit = self._metrics.unit(where)
        points = []
        for at, data in self._metrics.periods(where, period, begin, end).items():
            point: dict[str, Any] = {"Timestamp": datetime.fromtimestamp(at, UTC), "Unit": unit}
            point |= {name: data.statistic(name) for name in plain}
            try:
                more = {name: value for name in extended if (value := data.statistic(name)) is not None}
            except StatisticError as error:
                raise AwsError("InvalidParameterValue", f"The stand-in has no statistic {error}.") from error
            points.append(point | ({"ExtendedStatistics": more} if more else {}))
        return {"Label": told["MetricName"], "Datapoints": points if told.get("Unit") in (None, unit) else []}

    def data(self, call: Call) -> dict[str, Any] | Passed:
        """GetMetricData."""
        told = call.params
        queries = told["MetricDataQueries"]
        if any(query.get("MetricStat", {}).get("Metric", {}).get("Namespace") == _MOTOS for query in queries):
            return PASS
        begin, end = told["StartTime"].timestamp(), told["EndTime"].timestamp()
        if begin >= end:
            raise AwsError("ValidationError", "The parameter EndTime must be greater than StartTime.")
        try:
            values = self.values(call.region, queries, begin, end)
        except (MathError, StatisticError) as error:
            raise AwsError("ValidationError", f"The stand-in cannot compute: {error}") from error
        newest_first = told.get("ScanBy", "TimestampDescending") == "TimestampDescending"
        results = []
        for query in queries:
            if not query.get("ReturnData", True):
                continue
            points = sorted(_points(values[query["Id"]], begin, end).items(), reverse=newest_first)
            named = query.get("MetricStat", {}).get("Metric", {}).get("MetricName")
            results.append(
                {
                    "Id": query["Id"],
                    "Label": query.get("Label") or named or query["Id"],
                    "Timestamps": [datetime.fromtimestamp(at, UTC) for at, _ in points],
                    "Values": [value for _, value in points],
                    "StatusCode": "Complete",
                }
            )
        return {"MetricDataResults": results, "Messages": []}

    def values(self, region: str, queries: Sequence[dict[str, Any]], begin: float, end: float) -> dict[str, Value]:
        """The value of each query by its id, whichever order they stand in. Raises MathError and StatisticError."""
        known: dict[str, Value] = {}
        for query in queries:
            if stat := query.get("MetricStat"):
                check_period(stat["Period"])
                metric = stat["Metric"]
                where = key(region, metric["Namespace"], metric["MetricName"], metric.get("Dimensions", []))
                known[query["Id"]] = self._metrics.points(where, stat["Stat"], stat["Period"], begin, end)
        step = period_of(queries)
        timeline = range(int(begin) // step * step, math.ceil(end), step)
        left = [query for query in queries if "MetricStat" not in query]
        while left:
            ready = [one for one in left if alarm_math.identifiers(one.get("Expression", "")) <= known.keys()]
            if not ready:
                raise MathError(left[0].get("Expression", left[0]["Id"]))
            for query in ready:
                known[query["Id"]] = alarm_math.compute(query.get("Expression", ""), known, timeline)
            left = [query for query in left if query["Id"] not in known]
        return known


def period_of(queries: Sequence[Mapping[str, Any]]) -> int:
    """The period of the points that come out: the longest that is in them."""
    periods = [query.get("MetricStat", query).get("Period") for query in queries]
    return max((int(period) for period in periods if period), default=60)


def _points(value: Value, begin: float, end: float) -> Points:
    return value if isinstance(value, dict) else {int(begin): value} if end > begin else {}


def _check(number: int, datum: Mapping[str, Any]) -> None:
    at = f"MetricData.member.{number}"
    given = [name for name in ("Value", "Values", "StatisticValues") if datum.get(name) is not None]
    if len(given) > 1:
        words = (
            f"The parameters {at}.{given[0]} and {at}.{given[1]} are mutually exclusive and you have specified both."
        )
        raise AwsError("InvalidParameterCombination", words)
    values = [datum.get("Value", 0.0), *datum.get("Values", [])]
    if not all(math.isfinite(float(value)) for value in values):
        raise AwsError("InvalidParameterValue", f"The value for parameter {at}.Value is invalid.")
    if "Counts" in datum and len(datum["Counts"]) != len(datum.get("Values", [])):
        raise AwsError("InvalidParameterValue", f"The parameters {at}.Values and {at}.Counts must be of the same size.")
