"""Functions of the stand-in really run: what they see, how they fail, what they leave in logs and metrics."""

from __future__ import annotations

import json
import re
from typing import Any

import boto3
import handlers
import pytest
import standin
from botocore.exceptions import ClientError
from handlers import failed, faster, made, reported, said, total

from dogbreed.rehearse.state import Server

pytestmark = pytest.mark.usefixtures("brisk")

WORLD = """
import importlib.util, os, pathlib
import boto3

def handler(event, context):
    pathlib.Path(os.environ.get("TMPDIR", "/tmp"), "kept").write_text("x")
    try:
        pathlib.Path(__file__).with_name("new.py").write_text("")
        written = True
    except OSError:
        written = False
    return {
        "environment": dict(os.environ),
        "who": boto3.client("sts").get_caller_identity()["Arn"],
        "modules": [name for name in ("numpy", "torch", "moto", "dogbreed") if importlib.util.find_spec(name)],
        "home": os.path.isdir("/root/.aws") or bool(os.listdir("/home")),
        "written": written,
        "context": [context.function_name, context.memory_limit_in_mb, context.get_remaining_time_in_millis() > 1000],
    }
"""
TROUBLE = """
import os, sys, time

def handler(event, context):
    print("it begins")
    if event["what"] == "raise":
        raise ValueError("no dog")
    if event["what"] == "sleep":
        time.sleep(60)
    if event["what"] == "grow":
        return len("x" * (300 << 20))
    if event["what"] == "exit":
        os._exit(3)
    while event["what"] == "chatter":
        print("x" * 10_000)
    if event["what"] == "talk":
        return "x" * (7 << 20)
"""


def test_a_handler_sees_what_lambda_gives_and_nothing_of_this_machine(either: Server) -> None:
    made(WORLD, MemorySize=512, Environment={"Variables": {"COLOUR": "brown"}})
    told = said()
    seen = told["environment"]
    assert seen["AWS_LAMBDA_FUNCTION_NAME"] == "f"
    assert seen["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "512"
    assert (seen["COLOUR"], seen["AWS_REGION"]) == ("brown", "eu-west-1")
    assert told["who"] == "arn:aws:sts::123456789012:assumed-role/function/f"
    assert told["context"] == ["f", "512", True]
    assert told["modules"] == []
    assert not {"DOGBREED_CACHE_DIR", "HOME", "PYTHONPATH", "VIRTUAL_ENV"} & set(seen)
    if either.ask("status")["hosts"] == "isolated":
        assert seen["LAMBDA_TASK_ROOT"] == "/var/task"
        assert not told["written"]
        assert not told["home"]


def test_failures_are_told_as_lambda_tells_them(account: Server) -> None:
    given = handlers.role()
    made(TROUBLE, given=given, Timeout=30, MemorySize=128)
    # Long enough for a word before it, on a machine that stands still for a second.
    made(TROUBLE, "short", given=given, Timeout=3)
    made(TROUBLE, "shorter", given=given, Timeout=1)
    told, log = failed({"what": "raise"})
    assert (told["errorType"], told["errorMessage"]) == ("ValueError", "no dog")
    assert "in handler" in told["stackTrace"][0]
    assert "[ERROR] ValueError: no dog" in log
    told, log = failed({"what": "sleep"}, "short")
    assert re.fullmatch(r"RequestId: [0-9a-f-]{36} Error: Task timed out after 3\.00 seconds", told["errorMessage"])
    assert "it begins" in log
    assert "Status: timeout" in log
    assert failed({"what": "chatter"}, "shorter")[0]["errorType"] == "Sandbox.Timedout"
    told, log = failed({"what": "grow"})
    assert told["errorType"] == "Runtime.OutOfMemory"
    assert told["errorMessage"].endswith("Runtime exited with error: signal: killed")
    assert "Max Memory Used: 128 MB" in log
    told, _ = failed({"what": "exit"})
    assert told["errorMessage"].endswith("Runtime exited with error: exit status 3")
    told, _ = failed({"what": "talk"})
    assert told["errorType"] == "Function.ResponseSizeTooLarge"
    # An environment that was killed is not used again, one that only failed is.
    told = account.ask("status")["functions"]
    assert told == ["f: 1 warm, 0 running", "short: 0 warm, 0 running", "shorter: 0 warm, 0 running"]


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("import nowhere", "Runtime.ImportModuleError"),
        ("raise KeyError('breeds')", "KeyError"),
    ],
)
def test_a_function_that_cannot_begin_says_why(account: Server, source: str, kind: str) -> None:
    made(source)
    told, log = failed()
    assert told["errorType"] == kind
    assert "INIT_REPORT" in log


def test_what_is_printed_and_what_it_took_is_logged_as_the_role(account: Server) -> None:
    made("print('cold')\ndef handler(event, context):\n    print('warm')\n")
    said()
    said()
    lines = reported(2)
    assert [line for line in lines if line in ("cold", "warm")] == ["cold", "warm", "warm"]
    first, second = (line for line in lines if line.startswith("REPORT"))
    assert re.search(
        r"\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\tMemory Size: 128 MB\tMax Memory Used: \d+ MB", second
    )
    assert "Init Duration" in first
    assert "Init Duration" not in second
    [stream] = boto3.client("logs").describe_log_streams(logGroupName="/aws/lambda/f")["logStreams"]
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", stream["logStreamName"])
    writers = {call["who"] for call in account.ask("calls") if call["action"] == "logs:PutLogEvents"}
    assert writers == {"arn:aws:sts::123456789012:assumed-role/function/SageMaker"}


def test_a_role_that_may_not_make_log_groups_needs_one_that_is_there(account: Server) -> None:
    boto3.client("logs").create_log_group(logGroupName="/aws/lambda/f")
    made()
    said()
    reported(1)
    asked = [call["operation"] for call in account.ask("calls") if call["who"].endswith("function/SageMaker")]
    assert asked == ["CreateLogStream", "PutLogEvents"]


def test_json_is_logged_where_it_is_asked_for(account: Server) -> None:
    source = "import logging\ndef handler(event, context):\n    logging.getLogger().warning('odd dog')\n"
    made(source, LoggingConfig={"LogFormat": "JSON"})
    told = handlers.client().get_function_configuration(FunctionName="f")["LoggingConfig"]
    assert (told["LogFormat"], told["LogGroup"]) == ("JSON", "/aws/lambda/f")
    said()
    lines = reported(1)
    events = [json.loads(line) for line in lines]
    assert [event["type"] for event in events if "type" in event] == [
        "platform.initStart",
        "platform.start",
        "platform.report",
    ]
    assert next(event["message"] for event in events if event.get("level") == "WARNING") == "odd dog"
    assert events[-1]["record"]["metrics"]["memorySizeMB"] == 128


def test_calls_are_counted_by_function_and_by_alias_and_own_metrics_are_taken(account: Server) -> None:
    metric = {
        "_aws": {"CloudWatchMetrics": [{"Namespace": "dogs", "Dimensions": [["Breed"]], "Metrics": [{"Name": "Seen"}]}]}
    }
    source = f"""
import json, time
def handler(event, context):
    told = {metric!r}
    told["_aws"]["Timestamp"] = int(time.time() * 1000)
    print(json.dumps(told | {{"Breed": "pug", "Seen": 2}}))
    assert not event.get("bad")
"""
    found = made(source)
    version = found.publish_version(FunctionName="f")["Version"]
    found.create_alias(FunctionName="f", Name="live", FunctionVersion=version)
    for _ in range(3):
        said(Qualifier="live")
    failed({"bad": True})
    with faster(account, 200):
        standin.until(lambda: total("Invocations", FunctionName="f") == 4)
    assert total("Errors", FunctionName="f") == 1
    assert total("Invocations", FunctionName="f", Resource="f:live") == 3
    assert total("Errors", FunctionName="f", Resource="f:live") == 0
    assert total("Duration", "SampleCount", FunctionName="f") == 4
    assert total("ConcurrentExecutions", "Maximum", FunctionName="f") == 1
    standin.until(lambda: boto3.client("cloudwatch").list_metrics(Namespace="dogs")["Metrics"])
    [own] = boto3.client("cloudwatch").list_metrics(Namespace="dogs")["Metrics"]
    assert own["Dimensions"] == [{"Name": "Breed", "Value": "pug"}]


def test_an_event_that_fails_is_tried_three_times_with_one_request(account: Server) -> None:
    found = made("def handler(event, context):\n    raise OSError(event['dog'])\n")
    with faster(account, 200):  # events grow too old by this clock
        answer = found.invoke(FunctionName="f", InvocationType="Event", Payload='{"dog": "rex"}')
        assert (answer["StatusCode"], answer["Payload"].read()) == (202, b"")
        lines = reported(3)
        requests = {line.split()[2] for line in lines if line.startswith("START")}
        assert len(requests) == 1
        assert sum("OSError: rex" in line for line in lines) == 3
        standin.until(lambda: total("AsyncEventsDropped", FunctionName="f") == 1)
    assert total("Errors", FunctionName="f") == 3


def test_what_is_no_call_is_refused(account: Server) -> None:
    found = made()
    assert found.invoke(FunctionName="f", InvocationType="DryRun")["StatusCode"] == 204
    for payload, code, status in (
        (b"{dog}", "InvalidRequestContentException", 400),
        (b'"%s"' % (b"x" * (6 << 20)), "RequestTooLargeException", 413),
    ):
        with pytest.raises(ClientError) as caught:
            found.invoke(FunctionName="f", Payload=payload)
        assert caught.value.response["Error"]["Code"] == code
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    with pytest.raises(found.exceptions.ResourceNotFoundException, match=r"Function not found: .*:function:g:live"):
        found.invoke(FunctionName="g", Qualifier="live")
    assert account.ask("status")["functions"] == ["f: 0 warm, 0 running"]


def test_environments_stay_warm_for_minutes_of_the_clock(account: Server) -> None:
    made("import os\ncount = 0\ndef handler(event, context):\n    global count\n    count += 1\n    return count\n")
    assert [said(), said(), said()] == [1, 2, 3]
    with faster(account, 3600):
        standin.until(lambda: account.ask("status")["functions"] == ["f: 0 warm, 0 running"])
    assert said() == 1


def test_code_comes_out_of_a_bucket_with_the_rights_of_who_says_so(account: Server) -> None:
    name = standin.bucket("code")
    boto3.client("s3").put_object(Bucket=name, Key="f.zip", Body=handlers.zipped(app=handlers.ECHO))
    found = made(Code={"S3Bucket": name, "S3Key": "f.zip"})
    assert said({"dog": 1}) == {"dog": 1}
    read = [call for call in account.ask("calls") if call["action"] == "s3:GetObject" and "user/" in call["who"]]
    assert [call["resources"] for call in read] == [["arn:aws:s3:::code/f.zip"]]
    with pytest.raises(ClientError, match="S3 Error Code: NoSuchKey"):
        found.update_function_code(FunctionName="f", S3Bucket=name, S3Key="g.zip")


def test_what_lambda_does_not_take_is_refused(account: Server) -> None:
    found, good = handlers.client(), handlers.role()
    taken: dict[str, Any] = {
        "FunctionName": "f",
        "Runtime": "python3.13",
        "Role": good,
        "Handler": "app.handler",
        "Code": {"ZipFile": handlers.zipped(app=handlers.ECHO)},
    }
    for change, words in (
        ({"Role": standin.role("training")}, "cannot be assumed by Lambda"),
        ({"Role": f"{good}-nobody"}, "cannot be assumed by Lambda"),
        ({"Runtime": "nodejs22.x"}, "runs functions of python3.9 and later"),
        ({"MemorySize": 10_241}, "less than or equal to 10240"),
        ({"Timeout": 901}, "less than or equal to 900"),
        ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, "Reserved keys used in this request: AWS_REGION"),
        ({"Environment": {"Variables": {"LONG": "x" * 4096}}}, "exceeded the 4KB limit"),
        ({"Code": {"ZipFile": b"no zip"}}, "Could not unzip uploaded file"),
        ({"Code": {"ZipFile": handlers.zipped()}}, "non-empty zip"),
        ({"Code": {"ImageUri": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/pets:1"}}, "does not exist"),
        ({"Layers": ["arn:aws:lambda:eu-west-1:123456789012:layer:l:1"]}, "no layers"),
    ):
        with pytest.raises(ClientError, match=words):
            found.create_function(**(taken | change))
    assert found.list_functions()["Functions"] == []
