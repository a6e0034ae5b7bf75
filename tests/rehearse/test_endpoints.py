"""Endpoints of the stand-in: they really answer, in AWS's shapes, and leave nothing behind."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import boto3
import photos
import pytest
import serving
import standin
from serving import hosted

from dogbreed.infer.predictor import Predictor
from dogbreed.rehearse.state import Server
from dogbreed.run import STARTER, Run

__all__ = ["hosted"]


def photo(number: int = 1) -> bytes:
    content = io.BytesIO()
    photos.picture(number, (300, 200)).save(content, "JPEG")
    return content.getvalue()


def test_the_real_service_answers_as_the_predictor_here_does(either: Server) -> None:
    standin.bucket()
    standin.role()
    serving.model("starter", serving.image("real", serving.package()), serving.starter())
    either.ask("speed", speed=20)
    told = serving.create("dogs", serving.config("one", serving.variant("starter")))
    either.ask("speed", speed=1)
    assert told["EndpointStatus"] == "InService", told.get("FailureReason")
    runtime = serving.client("sagemaker-runtime")
    answer = runtime.invoke_endpoint(
        EndpointName="dogs", Body=photo(), ContentType="image/jpeg", CustomAttributes="top_k=3"
    )
    (said,) = json.loads(answer["Body"].read())
    here = Predictor.open(Run.open(STARTER)).predict(photo(), top_k=3)
    assert (answer["ContentType"], answer["InvokedProductionVariant"]) == ("application/json", "main")
    assert [one["breed"] for one in said["top"]] == [one["breed"] for one in here.to_json()["top"]]
    for one, other in zip(said["top"], here.to_json()["top"], strict=True):
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-6)
    code, words = serving.refused(runtime.invoke_endpoint, EndpointName="dogs", Body=b"no photo")
    assert code == "ModelError" and words.startswith("Received client error (415) from primary with message")


def test_an_endpoint_from_its_creation_to_its_end(hosted: Server) -> None:
    serving.model("first")
    serving.config("one", serving.variant("first", 2), Tags=[{"Key": "project", "Value": "dogs"}])
    hosted.ask("speed", speed=standin.STILL)  # until it has been seen
    made = serving.client().create_endpoint(
        EndpointName="dogs", EndpointConfigName="one", Tags=[{"Key": "project", "Value": "dogs"}]
    )
    told = serving.describe("dogs")
    assert told["EndpointStatus"] == "Creating" and "ProductionVariants" not in told
    assert serving.refused(serving.ask, "dogs")[0] == "ValidationError"
    hosted.ask("speed", speed=60)
    told = serving.settled("dogs")
    (variant,) = told["ProductionVariants"]
    assert told["EndpointStatus"] == "InService" and told["EndpointConfigName"] == "one"
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (2, 2)
    assert (variant["CurrentWeight"], variant["DesiredWeight"]) == (1.0, 1.0)
    assert variant["DeployedImages"][0]["SpecifiedImage"] == serving.IMAGE
    assert serving.processes(hosted) == ["dogs InService 2 processes"]

    asked = {serving.ask("dogs", runtime=serving.client("sagemaker-runtime"))["pid"] for _ in range(6)}
    assert len(asked) == 2, "the instances take turns"
    answer = serving.client("sagemaker-runtime").invoke_endpoint(
        EndpointName="dogs", Body=bytes(range(256)), ContentType="image/jpeg", Accept="a/b", CustomAttributes="abc"
    )
    said = json.loads(answer["Body"].read())
    assert (said["size"], said["type"], said["accept"], said["model"]) == (256, "image/jpeg", "a/b", ["weights"])
    assert answer["CustomAttributes"] == "cba"

    tagging = boto3.client("resourcegroupstaggingapi")
    found = tagging.get_resources(TagFilters=[{"Key": "project", "Values": ["dogs"]}])["ResourceTagMappingList"]
    assert {one["ResourceARN"].split(":")[-1] for one in found} == {"endpoint/dogs", "endpoint-config/one"}
    serving.client().delete_tags(ResourceArn=made["EndpointArn"], TagKeys=["project"])
    assert serving.client().list_tags(ResourceArn=made["EndpointArn"])["Tags"] == []
    assert [one["EndpointName"] for one in serving.client().list_endpoints(NameContains="DOG")["Endpoints"]] == ["dogs"]

    serving.client().delete_endpoint(EndpointName="dogs")
    standin.until(lambda: serving.gone("dogs"))
    assert serving.processes(hosted) == []
    assert not list((Path(hosted.folder) / "serving").iterdir())


def test_what_containers_print_is_in_the_logs_as_their_role(hosted: Server) -> None:
    serving.model("first")
    serving.create("dogs", serving.config("one", serving.variant("first")))
    logs, group = serving.client("logs"), "/aws/sagemaker/Endpoints/dogs"

    def lines() -> list[str]:
        try:
            (stream,) = logs.describe_log_streams(logGroupName=group)["logStreams"]
        except (ValueError, logs.exceptions.ResourceNotFoundException):
            return []
        assert stream["logStreamName"].startswith("main/i-")
        events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
        return [event["message"] for event in events]

    assert standin.until(lines) == ["listening"]
    acting = {call["action"] for call in hosted.ask("calls") if "assumed-role/training" in call["who"]}
    assert {"s3:GetObject", "logs:PutLogEvents"} <= acting


def test_a_crash_is_one_failed_request_while_the_other_instance_answers(hosted: Server) -> None:
    serving.model("first")
    serving.create("dogs", serving.config("one", serving.variant("first", 2)))
    with serving.asked("dogs") as answers:
        answers.come(10)
        code, words = serving.refused(serving.ask, "dogs", b"crash")
        assert code == "ModelError" and "Received server error (0) from primary" in words
        standin.until(lambda: serving.processes(hosted) == ["dogs InService 2 processes"])
        answers.come(20)
    # At most those that were open at that instance.
    assert len(answers.errors) <= 2 and all("connection" in one for one in answers.errors), answers.errors
    assert os.getpid() != hosted.ask("crash", endpoint="dogs") > 0


def test_the_models_own_errors_and_what_is_too_large(hosted: Server) -> None:
    serving.model("bad", BROKEN="design")
    serving.create("dogs", serving.config("one", serving.variant("bad")))
    try:
        serving.ask("dogs")
    except serving.ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 424
        assert (error.response["OriginalStatusCode"], error.response["OriginalMessage"]) == (500, "broken by design")
        assert error.response["LogStreamArn"].endswith("log-group:/aws/sagemaker/Endpoints/dogs")
    else:
        raise AssertionError("it has answered")
    assert "exceeded 6291456 bytes" in serving.refused(serving.ask, "dogs", bytes(6 * 2**20 + 1))[1]
    assert serving.refused(serving.ask, "cats") == (
        "ValidationError",
        "Endpoint cats of account 123456789012 not found.",
    )


@pytest.mark.parametrize("trouble", ["CRASH", "SICK"])
def test_an_endpoint_that_never_is_healthy_fails_and_can_be_deleted(hosted: Server, trouble: str) -> None:
    serving.model("bad", **{trouble: "1"})
    hosted.ask("speed", speed=1000)
    told = serving.create("dogs", serving.config("one", serving.variant("bad")))
    assert told["EndpointStatus"] == "Failed"
    assert told["FailureReason"] == (
        "The primary container for production variant main did not pass the ping health check. "
        "Please check CloudWatch logs for this endpoint."
    )
    assert serving.processes(hosted) == ["dogs Failed 0 processes"]
    serving.client().delete_endpoint(EndpointName="dogs")
    standin.until(lambda: serving.gone("dogs"))


def test_two_variants_share_by_weight_and_one_can_be_asked_for(hosted: Server) -> None:
    serving.model("first")
    serving.model("second")
    many = serving.variant("first", InitialVariantWeight=3)
    few = serving.variant("second", name="other", InitialVariantWeight=1)
    serving.create("dogs", serving.config("one", many, few))
    runtime = serving.client("sagemaker-runtime")
    names = [serving.ask("dogs", runtime=runtime)["name"] for _ in range(200)]
    # Three quarters of 200, within five standard deviations.
    assert 119 <= names.count("first") <= 181
    assert {serving.ask("dogs", TargetVariant="other")["name"] for _ in range(5)} == {"second"}
    assert serving.refused(serving.ask, "dogs", TargetVariant="third")[0] == "ValidationError"
