"""What endpoints tell of themselves: metrics with zeros, shadows, captured requests, figures out of logged lines."""

from __future__ import annotations

import base64
import json
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import jobs
import pytest
import serving
import standin
from serving import hosted

from dogbreed.rehearse.state import Server

__all__ = ["hosted"]


def sums(
    name: str, stat: str = "Sum", period: int = 60, space: str = "AWS/SageMaker", **dimensions: str
) -> list[float]:
    """One figure of each minute (or of each `period` seconds) of a metric since the endpoint is there, oldest first."""
    since = serving.describe("dogs")["CreationTime"]
    return standin.figures(name, stat, period, since, space, **dimensions or OF_DOGS)


OF_DOGS = {"EndpointName": "dogs", "VariantName": "main"}


def test_each_minute_has_its_figures_and_zeros_where_nobody_asks(hosted: Server) -> None:
    serving.model("first")
    serving.model("broken", BROKEN="design")
    serving.create("dogs", serving.config("one", serving.variant("first", 2)))
    serving.config("two", serving.variant("broken", 2))
    hosted.ask("speed", speed=240)
    for _ in range(12):
        serving.ask("dogs")
    standin.until(lambda: sum(sums("Invocations")) == 12)
    assert sum(sums("InvocationsPerInstance")) == pytest.approx(6)
    assert sum(sums("Invocation5XXErrors")) == sum(sums("InvocationModelErrors")) == 0
    latency = sums("ModelLatency", "Maximum")
    assert 50 < max(latency) < 60e6, "microseconds, of a request that has a minute"
    assert len(sums("OverheadLatency", "Average")) == len(latency)
    busy = len(sums("Invocations"))
    standin.until(lambda: len(sums("Invocations")) >= busy + 2)
    assert sums("Invocations")[-1] == 0 and sums("InvocationsPerInstance")[-1] == 0

    def used(name: str) -> list[float]:
        return sums(name, "Maximum", space="/aws/sagemaker/Endpoints")

    assert 0.01 < max(standin.until(lambda: used("MemoryUtilization"))) < 100
    # A minute may end between the two questions.
    standin.until(lambda: len(used("CPUUtilization")) == len(used("MemoryUtilization")))

    serving.client().update_endpoint(EndpointName="dogs", EndpointConfigName="two")
    serving.settled("dogs")
    for _ in range(4):
        serving.refused(serving.ask, "dogs")
    standin.until(lambda: sum(sums("Invocation5XXErrors")) == 4)
    assert sum(sums("InvocationModelErrors")) == 4 and sum(sums("Invocation4XXErrors")) == 0
    assert sum(sums("Invocations")) == 16
    rates = [rate for rate in sums("Invocation5XXErrors", "Average") if rate]
    assert max(rates) == 1.0, "the average is the share of the requests"


def test_requests_at_the_same_time_are_told_every_ten_seconds(hosted: Server) -> None:
    serving.model("slow", SLOW="0.3")
    serving.create("dogs", serving.config("one", serving.variant("slow")))
    name = "ConcurrentRequestsPerModel"
    with serving.asked("dogs", threads=4, pause_s=0):
        standin.until(lambda: max(sums(name, "Maximum", 10), default=0) >= 3)
    standin.until(lambda: sums(name, "Maximum", 10)[-2:] == [0, 0])
    assert len(sums(name, "Average", 10)) > len(sums(name, "Average"))


def test_a_serverless_endpoint_tells_its_cold_starts_and_its_use(hosted: Server) -> None:
    serving.model("first")
    config = {"MemorySizeInMB": 1024, "MaxConcurrency": 4}
    serving.create(
        "dogs", serving.config("one", {"VariantName": "main", "ModelName": "first", "ServerlessConfig": config})
    )
    hosted.ask("speed", speed=1000)
    standin.until(lambda: serving.processes(hosted) == ["dogs InService 0 processes"])
    hosted.ask("speed", speed=60)
    serving.ask("dogs")
    standin.until(lambda: sums("ModelSetupTime", "Maximum"))
    assert max(sums("ModelSetupTime", "Maximum")) > 1000
    standin.until(lambda: max(sums("ServerlessConcurrentExecutionsUtilization", "Maximum", 10), default=0) == 0.25)


def test_a_shadow_gets_copies_and_never_hurts(hosted: Server) -> None:
    serving.model("first")
    serving.model("bad", BROKEN="design", SLOW="1")
    shadow = serving.variant("bad", name="shadow")
    serving.create("dogs", serving.config("one", serving.variant("first"), ShadowProductionVariants=[shadow]))
    told = serving.describe("dogs")
    assert [one["VariantName"] for one in told["ShadowProductionVariants"]] == ["shadow"]
    assert serving.processes(hosted) == ["dogs InService 2 processes"]
    assert {serving.ask("dogs")["name"] for _ in range(8)} == {"first"}
    standin.until(lambda: sum(sums("Invocations", EndpointName="dogs", VariantName="shadow")) == 8)
    assert sum(sums("InvocationModelErrors", EndpointName="dogs", VariantName="shadow")) == 8
    assert sum(sums("Invocation5XXErrors")) == 0
    hosted.ask("crash", endpoint="dogs")


@pytest.mark.parametrize("share", [100, 0])
def test_captured_requests_are_in_the_bucket_as_aws_lays_them_out(hosted: Server, share: int) -> None:
    capture: dict[str, Any] = {
        "InitialSamplingPercentage": share,
        "DestinationS3Uri": "s3://photos/captured/",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
    }
    serving.model("first")
    serving.create("dogs", serving.config("one", serving.variant("first"), DataCaptureConfig=capture))
    assert serving.describe("dogs")["DataCaptureConfig"] == {
        "EnableCapture": True,
        "CaptureStatus": "Started",
        "CurrentSamplingPercentage": share,
        "DestinationS3Uri": "s3://photos/captured/",
        "KmsKeyId": "",
    }
    serving.ask("dogs", b"\xff\xd8", ContentType="image/jpeg", InferenceId="number-1", CustomAttributes="a")
    serving.client().delete_endpoint(EndpointName="dogs")
    standin.until(lambda: serving.gone("dogs"))
    if not share:
        assert jobs.keys("captured/") == []
        return
    (key,) = jobs.keys("captured/")
    assert re.fullmatch(r"captured/dogs/main/\d{4}/\d\d/\d\d/\d\d/\d\d-\d\d-\d{3}-[0-9a-f-]{36}\.jsonl", key)
    (line,) = serving.client("s3").get_object(Bucket="photos", Key=key)["Body"].read().decode().splitlines()
    told = json.loads(line)
    sent, said = told["captureData"]["endpointInput"], told["captureData"]["endpointOutput"]
    assert (sent["encoding"], sent["mode"], sent["observedContentType"]) == ("BASE64", "INPUT", "image/jpeg")
    assert base64.b64decode(sent["data"]) == b"\xff\xd8"
    assert (said["encoding"], json.loads(said["data"])["name"]) == ("JSON", "first")
    assert told["eventMetadata"]["inferenceId"] == "number-1" and told["eventVersion"] == "0"


def test_a_logged_line_in_the_embedded_format_becomes_metrics(account: Server) -> None:
    logs, group, stream = serving.client("logs"), "/any/group", "any"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    now = int(time.time() * 1000)
    metrics = [{"Name": "Unsure", "Unit": "Count"}, {"Name": "Photos"}]
    told = {"_aws": {"Timestamp": now, "CloudWatchMetrics": [{"Namespace": "dogs", "Dimensions": [["Run"]]}]}}
    told["_aws"]["CloudWatchMetrics"][0]["Metrics"] = metrics  # type: ignore[index]
    lines = [json.dumps({**told, "Run": "first", "Unsure": 3, "Photos": [4, 6]}), "plain", '{"_aws": 1}', '"_aws"']
    events = [{"timestamp": now, "message": line} for line in lines]
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
    seen = serving.client("cloudwatch").get_metric_statistics(
        Namespace="dogs",
        MetricName="Photos",
        Dimensions=[{"Name": "Run", "Value": "first"}],
        StartTime=datetime.now(UTC) - timedelta(days=1),
        EndTime=datetime.now(UTC) + timedelta(days=99),  # by the clock of the stand-in, which runs ahead in tests
        Period=86400,
        Statistics=["Sum", "SampleCount"],
    )["Datapoints"]
    assert [(one["Sum"], one["SampleCount"]) for one in seen] == [(10.0, 2.0)]
