"""Serverless endpoints: environments that start when they are needed, and no more than are allowed."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import serving
import standin
from serving import hosted

from dogbreed.rehearse.state import Server

__all__ = ["hosted"]


def serverless(of: str, concurrency: int = 2, **more: Any) -> dict[str, Any]:
    config = {"MemorySizeInMB": 2048, "MaxConcurrency": concurrency, **more}
    return {"VariantName": "main", "ModelName": of, "ServerlessConfig": config}


def running(server: Server) -> int:
    (words,) = serving.processes(server)
    return int(words.split()[2])


def test_environments_start_on_demand_up_to_the_limit_and_cool_down(hosted: Server) -> None:
    serving.model("slow")
    hosted.ask("speed", speed=10)
    told = serving.create("dogs", serving.config("one", serverless("slow")))
    hosted.ask("speed", speed=1)  # it stays warm
    (variant,) = told["ProductionVariants"]
    assert variant["CurrentServerlessConfig"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 2}
    assert "CurrentInstanceCount" not in variant and running(hosted) == 1
    runtime = serving.client("sagemaker-runtime")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(serving.ask, "dogs", b"wait", runtime=runtime)
        standin.until(lambda: busy(hosted) == 1)
        second = pool.submit(serving.ask, "dogs", b"wait", runtime=runtime)
        standin.until(lambda: busy(hosted) == 2)
        with pytest.raises(serving.ClientError) as refusal:
            serving.ask("dogs", runtime=runtime)
        serving.let_go()
        assert first.result()["pid"] != second.result()["pid"], "each has its own environment"
    told = refusal.value.response
    assert (told["Error"]["Code"], told["ResponseMetadata"]["HTTPStatusCode"]) == ("ThrottlingException", 429)
    assert running(hosted) == 2
    hosted.ask("speed", speed=2000)
    standin.until(lambda: running(hosted) == 0)
    hosted.ask("speed", speed=60)
    assert serving.ask("dogs")["name"] == "slow", "and starts again"
    assert "exceeded 4194304 bytes" in serving.refused(serving.ask, "dogs", bytes(4 * 2**20 + 1))[1]


def busy(server: Server) -> int:
    return int(server.ask("busy", endpoint="dogs"))


def test_provisioned_environments_stay_and_can_be_changed(hosted: Server) -> None:
    serving.model("first")
    serving.create("dogs", serving.config("one", serverless("first", 5, ProvisionedConcurrency=2)))
    assert running(hosted) == 2
    wanted: dict[str, Any] = {"VariantName": "main", "ServerlessUpdateConfig": {"ProvisionedConcurrency": 3}}
    change = serving.client().update_endpoint_weights_and_capacities
    change(EndpointName="dogs", DesiredWeightsAndCapacities=[wanted])
    (variant,) = serving.settled("dogs")["ProductionVariants"]
    assert variant["CurrentServerlessConfig"]["ProvisionedConcurrency"] == 3 and running(hosted) == 3
    wanted["ServerlessUpdateConfig"] = {"ProvisionedConcurrency": 9}
    assert "less than or equal" in serving.refused(change, EndpointName="dogs", DesiredWeightsAndCapacities=[wanted])[1]
    wanted["ServerlessUpdateConfig"] = {"ProvisionedConcurrency": 1}
    change(EndpointName="dogs", DesiredWeightsAndCapacities=[wanted])
    serving.settled("dogs")
    hosted.ask("speed", speed=2000)
    standin.until(lambda: running(hosted) == 1)
    hosted.ask("speed", speed=60)


def test_an_update_of_a_serverless_endpoint_loses_nothing(hosted: Server) -> None:
    serving.model("old")
    serving.model("new")
    serving.create("dogs", serving.config("old", serverless("old", 5)))
    serving.config("new", serverless("new", 5))
    with serving.asked("dogs") as answers:
        serving.client().update_endpoint(EndpointName="dogs", EndpointConfigName="new")
        serving.settled("dogs")
        errors = answers.anew()
        answers.come(10)
    assert (set(answers.names), errors + answers.errors) == ({"new"}, [])


def test_a_serverless_model_that_does_not_start_fails(hosted: Server) -> None:
    serving.model("bad", CRASH="1")
    hosted.ask("speed", speed=600)
    told = serving.create("dogs", serving.config("one", serverless("bad")))
    assert told["EndpointStatus"] == "Failed" and "ping health check" in told["FailureReason"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ServerlessConfig": {"MemorySizeInMB": 1500, "MaxConcurrency": 1}}, "MemorySizeInMB 1500"),
        ({"ServerlessConfig": {"MemorySizeInMB": 7168, "MaxConcurrency": 1}}, "less than or equal to 6144"),
        ({"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 201}}, "less than or equal to 200"),
        ({"InstanceType": "ml.m5.large"}, "InstanceType is not supported"),
        ({"ModelName": "none"}, 'Could not find model "arn:aws:sagemaker:eu-west-1:123456789012:model/none"'),
    ],
)
def test_what_no_serverless_variant_can_be(hosted: Server, change: dict[str, Any], words: str) -> None:
    serving.model("first")
    code, said = serving.refused(serving.config, "one", serverless("first") | change)
    assert code == "ValidationException" and words in said, json.dumps(change)


def test_what_no_serverless_endpoint_can_have(hosted: Server) -> None:
    serving.model("first")
    capture = {
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": "s3://photos/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }
    told = serving.refused(serving.config, "one", serverless("first"), DataCaptureConfig=capture)
    assert "Data capture is not supported" in told[1]
    other = serving.variant("first", name="other")
    assert "one production variant only" in serving.refused(serving.config, "one", serverless("first"), other)[1]
