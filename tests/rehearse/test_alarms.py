"""Alarms: how points are judged, metric math, statistics, and that they are evaluated and acted on by the clock."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import standin
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from program import dogbreed

from dogbreed.rehearse.alarm_math import MathError, Value, compute
from dogbreed.rehearse.alarm_metrics import Metrics, data_of, key
from dogbreed.rehearse.alarm_state import Rule, State, judge
from dogbreed.rehearse.state import Server

# The tables of "Configuring how CloudWatch alarms treat missing data": points (0 right, X beyond, - missing), and the
# state under missing, ignore, breaching and notBreaching; "" is the state before.
_ALL_OF_3 = {
    "0-X-X": ("OK", "OK", "OK", "OK"),
    "----0": ("OK", "OK", "OK", "OK"),
    "-----": ("INSUFFICIENT_DATA", "", "ALARM", "OK"),
    "0XX-X": ("ALARM", "ALARM", "ALARM", "ALARM"),
    "--X--": ("ALARM", "", "ALARM", "OK"),
    # From the text beside them: one new point that is beyond is not enough.
    "----X": ("OK", "", "ALARM", "OK"),
    "---X-": ("OK", "", "ALARM", "OK"),
}
_TWO_OF_3 = {
    "0-X-X": ("ALARM", "ALARM", "ALARM", "ALARM"),
    "00X0X": ("ALARM", "ALARM", "ALARM", "ALARM"),
    "0-X--": ("OK", "OK", "ALARM", "OK"),
    "----0": ("OK", "OK", "ALARM", "OK"),
    "---X-": ("ALARM", "", "ALARM", "OK"),
}
_TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")


@pytest.mark.parametrize(("least", "table"), [(3, _ALL_OF_3), (2, _TWO_OF_3)])
@pytest.mark.parametrize("before", ["OK", "ALARM", "INSUFFICIENT_DATA"])
def test_missing_points_are_treated_as_documented(least: int, table: dict[str, Any], before: State) -> None:
    values = {"0": 1.0, "X": 9.0, "-": None}
    for points, expected in table.items():
        data = [(60 * at, values[sign]) for at, sign in enumerate(points)]
        for missing, state in zip(_TREATMENTS, expected, strict=True):
            rule = Rule("GreaterThanThreshold", 5.0, 3, least, missing)
            assert judge(rule, data, before)[0] == (state or before), (points, missing)


def test_the_reason_of_a_state_is_in_the_words_of_cloudwatch() -> None:
    rule = Rule("GreaterThanOrEqualToThreshold", 5.0, 2, 2)
    assert judge(rule, [(0, 6.0), (60, 7.0)], "OK") == (
        "ALARM",
        "Threshold Crossed: 2 out of the last 2 datapoints [7.0 (01/01/70 00:01:00), 6.0 (01/01/70 00:00:00)] were "
        "greater than or equal to the threshold (5.0) (minimum 2 datapoints for OK -> ALARM transition).",
    )
    assert judge(rule, [(0, 6.0), (60, 1.0)], "ALARM") == (
        "OK",
        "Threshold Crossed: 1 out of the last 2 datapoints [1.0 (01/01/70 00:01:00)] was not "
        "greater than or equal to the threshold (5.0) (minimum 1 datapoint for ALARM -> OK transition).",
    )
    assert judge(rule, [(0, None), (60, None)], "OK")[1] == "Insufficient Data: 2 datapoints were unknown."


KNOWN: dict[str, Value] = {
    "m5xx": {0: 1.0, 60: 0.0, 120: 3.0},
    "m4xx": {0: 1.0, 60: 2.0},
    "calls": {0: 10.0, 60: 0.0, 120: 4.0},
}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("m5xx / calls * 100", {0: 10.0, 120: 75.0}),
        ("IF(calls > 2, 100 * m5xx / calls, 0)", {0: 10.0, 60: 0.0, 120: 75.0}),
        ("(m5xx + FILL(m4xx, 0)) - 1", {0: 1.0, 60: 1.0, 120: 2.0}),
        ("FILL(m4xx, REPEAT)", {0: 1.0, 60: 2.0, 120: 2.0}),
        ("SUM([m5xx, m4xx])", {0: 2.0, 60: 2.0, 120: 3.0}),
        ('MAX(METRICS("m"))', {0: 1.0, 60: 2.0, 120: 3.0}),
        ("AVG(m4xx)", 1.5),
        ("m5xx >= 1 AND calls < 5", {0: 0.0, 60: 0.0, 120: 1.0}),
        ("-CEIL(m5xx * 0.4)", {0: -1.0, 60: 0.0, 120: -2.0}),
    ],
)
def test_metric_math(expression: str, value: Value) -> None:
    assert compute(expression, KNOWN, [0, 60, 120]) == value


@pytest.mark.parametrize("expression", ["ANOMALY_DETECTION_BAND(m5xx)", "m5xx.real", "other", "m5xx +", "[m5xx]", "''"])
def test_math_that_is_not_known_is_refused_and_nothing_else_runs(expression: str) -> None:
    with pytest.raises(MathError):
        compute(expression, KNOWN, [0, 60, 120])


@given(
    st.lists(st.tuples(st.integers(0, 3_000), st.floats(-1e6, 1e6)), min_size=1, max_size=80), st.sampled_from([10, 60])
)
def test_statistics_of_periods_are_those_of_the_values_in_them(data: list[tuple[int, float]], period: int) -> None:
    metrics, where = Metrics(), key("r", "N", "M", [{"Name": "a", "Value": "b"}])
    for second, value in data:
        metrics.put([(where, second, data_of({"Value": value}), "None")])
    expected: dict[int, list[float]] = {}
    for second, value in data:
        expected.setdefault(second // period * period, []).append(value)
    functions = {
        "Sum": sum,
        "Minimum": min,
        "Maximum": max,
        "SampleCount": len,
        "Average": lambda of: sum(of) / len(of),
    }
    functions["p90"] = lambda of: sorted(of)[math.ceil(0.9 * len(of)) - 1]
    for name, function in functions.items():
        told = metrics.points(where, name, period, 0, 3_001)
        assert told.keys() == expected.keys()
        assert all(math.isclose(told[at], function(values), abs_tol=1e-6) for at, values in expected.items()), name


# -- in the account


@pytest.fixture
def fast(request: pytest.FixtureRequest, account: Server) -> Iterator[Server]:
    """An account in which a minute takes a tenth of a second, if no other speed is wanted."""
    account.ask("speed", speed=getattr(request, "param", 600))
    yield account
    account.ask("speed", speed=1)


def put(server: Server, value: float, *, ago: float = 0, **others: float) -> None:
    """Values of a moment, some seconds ago: of the metric Errors, and of others by their names, which come first."""
    when = datetime.fromtimestamp(server.ask("time") - ago, UTC)
    data = [{"MetricName": name, "Value": one, "Timestamp": when} for name, one in (others | {"Errors": value}).items()]
    boto3.client("cloudwatch").put_metric_data(Namespace="N", MetricData=data)


def alarm(name: str, **more: Any) -> None:
    told = {"MetricName": "Errors", "Namespace": "N", "Period": 60, "Statistic": "Sum", "EvaluationPeriods": 1}
    told |= {"Threshold": 5, "ComparisonOperator": "GreaterThanThreshold", "AlarmName": name}
    boto3.client("cloudwatch").put_metric_alarm(**{key: value for key, value in (told | more).items() if value != ""})


def shown(name: str) -> dict[str, Any]:
    (one,) = boto3.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return dict(one)


def until_state(server: Server, name: str, state: str, value: float | None = None) -> dict[str, Any]:
    """The alarm as it was when it had that state, which may be over at once; `value` is put until then."""

    def there() -> dict[str, Any] | None:
        if value is not None:
            put(server, value)
        one = shown(name)
        return one if one["StateValue"] == state else None

    return dict(standin.until(there))


def test_an_alarm_follows_its_metric_and_tells_a_topic(fast: Server) -> None:
    sns, sqs, cloudwatch = boto3.client("sns"), boto3.client("sqs"), boto3.client("cloudwatch")
    topic, queue = sns.create_topic(Name="t")["TopicArn"], sqs.create_queue(QueueName="q")["QueueUrl"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:eu-west-1:{topic.split(':')[4]}:q")
    alarm("busy", AlarmActions=[topic], TreatMissingData="notBreaching", Tags=[{"Key": "project", "Value": "p"}])
    until_state(fast, "busy", "OK")
    told = until_state(fast, "busy", "ALARM", 9.0)
    assert re.match(r"Threshold Crossed: 1 out of the last 1 datapoints \[", told["StateReason"])
    assert json.loads(told["StateReasonData"])["threshold"] == 5.0
    (message,) = standin.until(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"))
    notice = json.loads(json.loads(message["Body"])["Message"])
    assert (notice["AlarmName"], notice["OldStateValue"], notice["NewStateValue"]) == ("busy", "OK", "ALARM")
    until_state(fast, "busy", "OK")

    def history(kind: str) -> list[str]:
        told = cloudwatch.describe_alarm_history(AlarmName="busy", HistoryItemType=kind, ScanBy="TimestampAscending")
        return [one["HistorySummary"] for one in told["AlarmHistoryItems"]]

    # What comes after these: the last values may ring once more.
    assert history("StateUpdate")[1:3] == ["Alarm updated from OK to ALARM", "Alarm updated from ALARM to OK"]
    assert standin.until(lambda: history("Action"))[0] == f"Successfully executed action {topic}"
    arn = told["AlarmArn"]
    assert cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "project", "Value": "p"}]


def test_an_alarm_of_math_over_two_metrics(fast: Server) -> None:
    def query(name: str, metric: str) -> dict[str, Any]:
        stat = {"Metric": {"Namespace": "N", "MetricName": metric}, "Period": 60, "Stat": "Sum"}
        return {"Id": name, "MetricStat": stat, "ReturnData": False}

    share = {"Id": "share", "Expression": "IF(calls > 0, 100 * errors / calls, 0)", "Label": "errors in percent"}
    metrics = [share, query("errors", "Errors"), query("calls", "Calls")]
    none = dict.fromkeys(("MetricName", "Namespace", "Period", "Statistic"), "")
    alarm("share", Metrics=metrics, **none)

    def ringing() -> dict[str, Any] | None:
        put(fast, 4, Calls=50)
        one = shown("share")
        return one if one["StateValue"] == "ALARM" else None

    value = json.loads(standin.until(ringing)["StateReasonData"])["recentDatapoints"][-1]
    assert 5.0 < value <= 8.0  # the alarm may look when the calls of the next pair are there, and the errors are not


def test_what_cannot_be_evaluated_says_so(fast: Server) -> None:
    stat = {"Metric": {"Namespace": "N", "MetricName": "Errors"}, "Period": 60, "Stat": "tm99"}
    none = dict.fromkeys(("MetricName", "Namespace", "Period", "Statistic"), "")
    alarm("odd", Metrics=[{"Id": "m", "MetricStat": stat}], TreatMissingData="breaching", **none)
    boto3.client("cloudwatch").set_alarm_state(AlarmName="odd", StateValue="OK", StateReason="by hand")
    assert (
        "The stand-in cannot evaluate this alarm: tm99" in until_state(fast, "odd", "INSUFFICIENT_DATA")["StateReason"]
    )


@pytest.mark.parametrize("fast", [standin.STILL], indirect=True)
def test_a_state_set_by_hand_holds_until_the_next_evaluation(fast: Server) -> None:
    alarm("set", TreatMissingData="notBreaching")
    until_state(fast, "set", "OK")
    boto3.client("cloudwatch").set_alarm_state(AlarmName="set", StateValue="ALARM", StateReason="a rehearsal")
    assert shown("set")["StateReason"] == "a rehearsal"
    fast.ask("speed", speed=600)
    until_state(fast, "set", "OK")


@pytest.mark.parametrize("fast", [standin.STILL], indirect=True)
def test_alarms_of_ten_seconds_are_faster_than_those_of_a_minute(fast: Server) -> None:
    for ago in range(0, 121, 10):
        put(fast, 9.0, ago=ago)
    for name, period in (("fast", 10), ("slow", 60)):
        alarm(name, Period=period, EvaluationPeriods=3)
    until_state(fast, "fast", "ALARM")
    # In these two minutes at most two of its own have ended.
    until_state(fast, "slow", "OK")


def test_what_cloudwatch_refuses(account: Server) -> None:
    wrong = [
        {"Period": 45},
        {"DatapointsToAlarm": 2},
        {"EvaluationPeriods": 25, "Period": 3540},
        {"Statistic": ""},
        {"MetricName": ""},
        {"ComparisonOperator": "GreaterThanUpperThreshold"},
    ]
    for one in wrong:
        with pytest.raises(ClientError):
            alarm("wrong", **one)
    client = boto3.client("cloudwatch")
    assert client.describe_alarms()["MetricAlarms"] == []
    with pytest.raises(client.exceptions.ResourceNotFound):
        client.set_alarm_state(AlarmName="none", StateValue="OK", StateReason="x")
    now = datetime.now(UTC)
    with pytest.raises(ClientError, match="1440"):
        client.get_metric_statistics(
            Namespace="N", MetricName="M", Period=60, Statistics=["Sum"], StartTime=now - timedelta(days=2), EndTime=now
        )


def test_alarms_are_listed_in_pages_and_by_what_they_look_at(account: Server) -> None:
    client = boto3.client("cloudwatch")
    for number in range(5):
        alarm(f"a{number}")
    alarm("other", MetricName="Calls")
    pages = list(client.get_paginator("describe_alarms").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["MetricAlarms"]) for page in pages] == [2, 2, 2]
    assert len(client.describe_alarms(AlarmNamePrefix="a")["MetricAlarms"]) == 5
    found = client.describe_alarms_for_metric(MetricName="Calls", Namespace="N")["MetricAlarms"]
    assert [one["AlarmName"] for one in found] == ["other"]
    client.disable_alarm_actions(AlarmNames=["other"])
    assert not shown("other")["ActionsEnabled"]
    client.delete_alarms(AlarmNames=["other"])
    assert not client.describe_alarms(AlarmNames=["other"])["MetricAlarms"]


def test_the_clock_is_made_faster_by_command(fast: Server, tmp_path: Path) -> None:
    where = {"DOGBREED_CACHE_DIR": str(tmp_path)}
    absent = dogbreed("rehearse", "speed", 60, cwd=tmp_path, **where)
    assert (absent.returncode, absent.stderr.splitlines()[1]) == (2, "hint: start it: dogbreed rehearse up")
    # The command finds the one that runs by this file.
    (tmp_path / "rehearse").mkdir()
    (tmp_path / "rehearse" / "state.json").write_bytes((fast.folder / "state.json").read_bytes())
    assert dogbreed("rehearse", "speed", 30, "--dry-run", cwd=tmp_path, **where).returncode == 0
    assert fast.ask("status")["clock"]["speed"] == 600
    told = json.loads(dogbreed("rehearse", "speed", 30, "--json", cwd=tmp_path, **where).stdout)
    assert told["speed"] == 30 == fast.ask("status")["clock"]["speed"]
    refused = dogbreed("rehearse", "speed", 0, cwd=tmp_path, **where)
    assert refused.returncode == 2 and "cannot run at 0 times" in refused.stderr
