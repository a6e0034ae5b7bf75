"""Small functions for tests of the stand-in's Lambda, and calls of them."""

from __future__ import annotations

import base64
import io
import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any

import boto3
import standin
from botocore.config import Config

from dogbreed.rehearse.state import Server

ECHO = "def handler(event, context):\n    return event\n"
# Waits until the test lets it go on, and says how its environment was started.
GATED = """
import os, time
import boto3

s3 = boto3.client("s3")

def handler(event, context):
    while event.get("wait") and not s3.list_objects_v2(Bucket="gate", Prefix=event["wait"])["KeyCount"]:
        time.sleep(0.02)
    return os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]
"""


def zipped(**modules: str) -> bytes:
    """A package with modules of these names."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, source in modules.items():
            archive.writestr(f"{name}.py", source)
    return content.getvalue()


def client() -> Any:
    """Lambda, asked once: what it refuses is not asked for again."""
    return _client(os.environ["AWS_ENDPOINT_URL"], os.environ["AWS_ACCESS_KEY_ID"])


@cache
def _client(url: str, key: str) -> Any:
    return boto3.client("lambda", config=Config(retries={"max_attempts": 0}, max_pool_connections=50))


def role(name: str = "function") -> str:
    return standin.role(name, "lambda.amazonaws.com")


def made(source: str = ECHO, name: str = "f", *, given: str = "", **options: Any) -> Any:
    """A function that can be called, from the source of its handler; the client to call it with."""
    found = client()
    # Lambda's own 3 seconds are few where the machine stands still for some.
    options = {"Timeout": 60} | options
    options = {"Runtime": "python3.13", "Handler": "app.handler", "Code": {"ZipFile": zipped(app=source)}} | options
    found.create_function(FunctionName=name, Role=given or role(), **options)
    settled(name)
    return found


def settled(name: str = "f") -> None:
    """Wait until no change of a function is in progress."""
    found = client()

    def is_settled() -> bool:
        told = found.get_function_configuration(FunctionName=name)
        return told["State"] == "Active" and told["LastUpdateStatus"] == "Successful"

    standin.until(is_settled)


def said(event: Any = None, name: str = "f", **options: Any) -> Any:
    """What a function answers; the test fails if it fails."""
    answer = client().invoke(FunctionName=name, Payload=json.dumps(event or {}), **options)
    payload = json.load(answer["Payload"])
    assert "FunctionError" not in answer, payload
    return payload


def failed(event: Any = None, name: str = "f") -> tuple[dict[str, Any], str]:
    """How a function fails: its payload, and what it logged; the test fails if it does not."""
    answer = client().invoke(FunctionName=name, Payload=json.dumps(event or {}), LogType="Tail")
    payload = json.load(answer["Payload"])
    assert answer["FunctionError"] == "Unhandled", payload
    return payload, base64.b64decode(answer["LogResult"]).decode()


def total(name: str, statistic: str = "Sum", *, space: str = "AWS/Lambda", **dimensions: str) -> float:
    """A metric over all time, since the clock of the stand-in runs ahead."""
    values = standin.figures(name, statistic, 3600, datetime(2020, 1, 1, tzinfo=UTC), space, **dimensions)
    return float(max(values, default=0) if statistic == "Maximum" else sum(values))


def logged(group: str = "/aws/lambda/f") -> list[str]:
    """The messages of a log group so far."""
    logs = boto3.client("logs")
    if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
        return []
    return [event["message"] for event in logs.filter_log_events(logGroupName=group)["events"]]


def reported(calls: int) -> list[str]:
    """The log of `f`, as soon as that many calls are reported in it."""

    def found() -> list[str]:
        lines = logged()
        return lines if sum("REPORT" in line or "platform.report" in line for line in lines) == calls else []

    lines: list[str] = standin.until(found)
    return lines


@contextmanager
def faster(server: Server, speed: float) -> Iterator[None]:
    """The clock of the stand-in runs at another speed for a while."""
    before = server.ask("status")["clock"]["speed"]
    server.ask("speed", speed=speed)
    try:
        yield
    finally:
        server.ask("speed", speed=before)
