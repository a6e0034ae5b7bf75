"""Schedules of the stand-in: when they are due, and that what they name is done, as their role."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import boto3
import handlers
import pytest
import standin
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from dogbreed.rehearse.aws_times import times
from dogbreed.rehearse.state import Server

MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
TOPIC = "arn:aws:scheduler:::aws-sdk:sns:deleteTopic"


def when(expression: str, moment: datetime, zone: str = "UTC") -> datetime | None:
    return times(expression, zone).after(moment, moment - timedelta(days=1))


@given(MOMENTS, ZONES, st.integers(0, 59), st.integers(0, 23))
def test_a_daily_time_is_the_next_one_of_its_zone(moment: datetime, zone: str, minute: int, hour: int) -> None:
    found = when(f"cron({minute} {hour} * * ? *)", moment, zone)
    assert found
    local = found.astimezone(ZoneInfo(zone))
    assert (local.hour, local.minute, local.second) == (hour, minute, 0)
    # A day on which the time does not exist is left out, and a day has 25 hours at most.
    assert moment < found <= moment + timedelta(hours=50)


@given(MOMENTS, st.integers(1, 500), st.sampled_from(["minute", "hour", "day"]), st.integers(0, 10**8))
def test_a_rate_counts_from_its_beginning(moment: datetime, number: int, unit: str, passed: int) -> None:
    begun = moment - timedelta(seconds=passed)
    every = number * timedelta(**{f"{unit}s": 1})
    found = times(f"rate({number} {unit}s)").after(moment, begun)
    assert found
    assert moment < found <= moment + every
    assert (found - begun) % every == timedelta(0)


@pytest.mark.parametrize(
    ("expression", "zone", "expected"),
    [
        ("at(2026-03-01T12:00:00)", "UTC", "2026-03-01T12:00"),
        ("at(2026-07-01T12:00:00)", "Europe/Berlin", "2026-07-01T10:00"),
        ("at(2025-03-01T12:00:00)", "UTC", None),
        ("cron(0 9 ? * MON-FRI *)", "UTC", "2026-02-02T09:00"),
        ("cron(0 9 ? * SUN-MON *)", "UTC", "2026-02-01T09:00"),
        ("cron(0 9 ? * FRI-SUN *)", "UTC", "2026-02-01T09:00"),
        ("cron(0 9 ? * MON-FRI *)", "Europe/Berlin", "2026-02-02T08:00"),
        ("cron(0 9 15W * ? *)", "UTC", "2026-02-16T09:00"),
        ("cron(0 9 LW * ? *)", "UTC", "2026-02-27T09:00"),
        ("cron(0 9 1W 8 ? *)", "UTC", "2026-08-03T09:00"),
        ("cron(0/20 8 * * ? *)", "UTC", "2026-02-01T08:00"),
        ("cron(0 0 L * ? *)", "UTC", "2026-02-28T00:00"),
        ("cron(0 0 L-3 * ? *)", "UTC", "2026-02-25T00:00"),
        ("cron(15 10 ? * 6L 2026-2027)", "UTC", "2026-02-27T10:15"),
        ("cron(0 8 ? * 2#3 *)", "UTC", "2026-02-16T08:00"),
        ("cron(0 8 29 2 ? *)", "UTC", "2028-02-29T08:00"),
        ("cron(0 8 30 2 ? *)", "UTC", None),
        ("cron(0 8 1 1 ? 2020)", "UTC", None),
        # 29 March 2026 has no half past two in Berlin.
        ("cron(30 2 29 3 ? *)", "Europe/Berlin", "2027-03-29T00:30"),
    ],
)
def test_when_a_schedule_is_due(expression: str, zone: str, expected: str | None) -> None:
    moment = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
    wanted = datetime.fromisoformat(f"{expected}+00:00") if expected else None
    assert when(expression, moment, zone) == wanted


@pytest.mark.parametrize(
    "expression",
    [
        *(
            "",
            "at(tomorrow)",
            "rate(0 days)",
            "rate(1.5 hours)",
            "rate(5)",
            "daily",
            "cron(a b ? * 1 *)",
            "cron(0 9 * * *)",
            "cron(0 9 * * * *)",
        ),
        *("cron(0 9 ? * ? *)", "cron(60 9 * * ? *)", "cron(0 9 ? * 8 *)", "cron(5-1 9 * * ? *)"),
    ],
)
def test_an_expression_that_says_nothing_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match="Invalid Schedule Expression"):
        times(expression)
    with pytest.raises(ValueError, match="Invalid ScheduleExpressionTimezone"):
        times("rate(1 day)", "Mars/Olympus")


# -- carried out


def now(account: Server) -> datetime:
    """By the clock of the stand-in."""
    return datetime.strptime(account.ask("status")["clock"]["now"], "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)


def soon(account: Server, minutes: int = 30) -> str:
    return f"at({now(account) + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%S})"


def topic(name: str = "t") -> str:
    return str(boto3.client("sns").create_topic(Name=name)["TopicArn"])


def topics() -> int:
    return len(boto3.client("sns").list_topics()["Topics"])


def schedule(name: str, expression: str, target: dict[str, Any], **options: Any) -> Any:
    found = boto3.client("scheduler")
    window = {"Mode": "OFF"}
    found.create_schedule(Name=name, ScheduleExpression=expression, Target=target, FlexibleTimeWindow=window, **options)
    return found


def names() -> list[str]:
    return [one["Name"] for one in boto3.client("scheduler").list_schedules()["Schedules"]]


def last(account: Server, name: str) -> str:
    """What came of a schedule last; empty as long as nothing has."""
    told = next(line for line in account.ask("status")["schedules"] if line.startswith(f"{name}:"))
    return str(told.partition("last: ")[2])


def test_what_is_due_is_done_as_the_role_and_the_schedule_goes(account: Server) -> None:
    given = standin.role("end", "scheduler.amazonaws.com")
    target = {"Arn": TOPIC, "RoleArn": given, "Input": json.dumps({"TopicArn": topic()})}
    found = schedule("p-end", soon(account), target, ActionAfterCompletion="DELETE")
    schedule("kept", soon(account), target | {"Input": json.dumps({"TopicArn": topic("u")})})
    schedule("off", soon(account), target | {"Input": json.dumps({"TopicArn": topic("v")})}, State="DISABLED")
    schedule("later", soon(account, 600_000), target | {"Input": json.dumps({"TopicArn": topic("w")})})
    told = found.get_schedule(Name="p-end")
    assert (told["GroupName"], told["State"], told["ActionAfterCompletion"]) == ("default", "ENABLED", "DELETE")
    assert told["Target"]["RetryPolicy"]["MaximumRetryAttempts"] == 185
    assert topics() == 4
    with handlers.faster(account, 3600):
        standin.until(lambda: topics() == 2)
        standin.until(lambda: names() == ["kept", "later", "off"])
    who = {call["who"] for call in account.ask("calls") if call["action"] == "sns:DeleteTopic"}
    assert who == {"arn:aws:sts::123456789012:assumed-role/end/SageMaker"}
    passed = [call for call in account.ask("calls") if call["action"] == "iam:PassRole"]
    assert {tuple(call["resources"]) for call in passed} == {(given,)}
    with pytest.raises(found.exceptions.ResourceNotFoundException):
        found.get_schedule(Name="p-end")


def test_a_function_gets_an_event_at_each_time(account: Server) -> None:
    handlers.made("import json\ndef handler(event, context):\n    print(json.dumps(event))\n")
    target = {"Arn": "arn:aws:lambda:eu-west-1:123456789012:function:f"}
    target["RoleArn"] = standin.role("end", "scheduler.amazonaws.com")
    found = schedule("plain", "rate(1 hour)", target)
    with handlers.faster(account, 3600):
        standin.until(lambda: sum("Scheduled Event" in line for line in handlers.logged()) >= 2)
    event = json.loads(next(line for line in handlers.logged() if "Scheduled Event" in line))
    assert event["resources"] == ["arn:aws:scheduler:eu-west-1:123456789012:schedule/default/plain"]
    text = '{"due": "<aws.scheduler.scheduled-time>", "try": "<aws.scheduler.attempt-number>"}'
    found.update_schedule(
        Name="plain",
        ScheduleExpression="cron(0 0/2 * * ? *)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target=target | {"Input": text},
    )
    with handlers.faster(account, 3600):
        standin.until(lambda: any('"due"' in line for line in handlers.logged()))
    told = json.loads(next(line for line in handlers.logged() if '"due"' in line))
    assert told["try"] == "1"
    assert datetime.fromisoformat(told["due"]).hour % 2 == 0


def test_what_a_service_refuses_is_told_and_not_tried_again(account: Server) -> None:
    target = {"Arn": "arn:aws:scheduler:::aws-sdk:sagemaker:deleteEndpoint", "Input": '{"EndpointName": "p-endpoint"}'}
    target["RoleArn"] = standin.role("end", "scheduler.amazonaws.com")
    schedule("p-end", soon(account, -5), target)
    told = standin.until(lambda: last(account, "p-end"))
    assert told.startswith("failed: ValidationException: Could not find endpoint")
    asked = [call for call in account.ask("calls") if call["action"] == "sagemaker:DeleteEndpoint"]
    assert len(asked) == 1


@pytest.mark.slow  # AWS's client tries several times as well
def test_what_fails_for_now_is_tried_again(account: Server) -> None:
    found = handlers.made()
    found.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=0)
    target = {"Arn": "arn:aws:scheduler:::aws-sdk:lambda:invoke", "Input": '{"FunctionName": "f"}'}
    target["RoleArn"] = standin.role("end", "scheduler.amazonaws.com")
    schedule("call", soon(account, -5), target)
    assert standin.until(lambda: last(account, "call")).startswith("failed: TooManyRequestsException")
    found.delete_function_concurrency(FunctionName="f")
    standin.until(lambda: last(account, "call") == "done")


def test_what_no_schedule_can_do_is_refused(account: Server) -> None:
    given = standin.role("end", "scheduler.amazonaws.com")
    good = {"Arn": TOPIC, "RoleArn": given, "Input": '{"TopicArn": "x"}'}
    for change, expression, words in (
        ({}, "at(soon)", "Invalid Schedule Expression"),
        ({"Arn": "arn:aws:scheduler:::aws-sdk:sns:deleteEverything"}, "rate(1 day)", "names no action"),
        ({"Arn": "arn:aws:scheduler:::aws-sdk:sns:listTopics"}, "rate(1 day)", "only reads"),
        ({"Arn": "arn:aws:sqs:eu-west-1:123456789012:q"}, "rate(1 day)", "is not a target"),
        ({"Input": "{"}, "rate(1 day)", "not valid JSON"),
        ({"RoleArn": handlers.role()}, "rate(1 day)", "must allow AWS EventBridge Scheduler"),
        ({"RoleArn": f"{given}-nobody"}, "rate(1 day)", "must allow AWS EventBridge Scheduler"),
    ):
        with pytest.raises(ClientError, match=words) as caught:
            schedule("p-end", expression, good | change)
        assert caught.value.response["Error"]["Code"] == "ValidationException"
    found = schedule("p-end", "rate(1 day)", good)
    with pytest.raises(found.exceptions.ConflictException):
        schedule("p-end", "rate(1 day)", good)
    with pytest.raises(found.exceptions.ResourceNotFoundException):
        schedule("p-end", "rate(1 day)", good, GroupName="none")
    found.delete_schedule(Name="p-end")
    assert names() == []


def test_a_role_is_trusted_on_behalf_of_the_group_and_not_of_a_schedule(account: Server) -> None:
    given = standin.role("end", "scheduler.amazonaws.com")
    target = {"Arn": TOPIC, "RoleArn": given, "Input": '{"TopicArn": "x"}'}
    for source, refused in (
        ("schedule/default/p-*", True),
        ("schedule-group/other", True),
        ("schedule-group/*", False),
    ):
        condition = {"ArnLike": {"aws:SourceArn": f"arn:aws:scheduler:eu-west-1:123456789012:{source}"}}
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "scheduler.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": condition,
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        boto3.client("iam").update_assume_role_policy(RoleName="end", PolicyDocument=document)
        if refused:
            with pytest.raises(ClientError, match="must allow AWS EventBridge Scheduler"):
                schedule("p-end", "rate(1 day)", target)
        else:
            schedule("p-end", "rate(1 day)", target)
