"""What AWS refuses of models, configurations and endpoints before anything runs."""

from __future__ import annotations

from typing import Any

import pytest
import serving
import standin
from serving import hosted

from dogbreed.rehearse.state import Server

__all__ = ["hosted"]


def create_model(**changes: Any) -> None:
    told: dict[str, Any] = {
        "ModelName": "first",
        "ExecutionRoleArn": serving.ROLE,
        "PrimaryContainer": {"Image": serving.IMAGE, "ModelDataUrl": "s3://photos/models/first/model.tar.gz"},
    }
    container = changes.pop("container", {})
    told |= changes
    told["PrimaryContainer"] = told["PrimaryContainer"] | container
    serving.client().create_model(**told)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ExecutionRoleArn": serving.ROLE + "s"}, "Could not assume role arn:aws:iam::123456789012:role/trainings"),
        ({"container": {"Image": "docker.io/x"}}, "Using non-ECR image"),
        ({"container": {"Image": serving.IMAGE.replace("small", "none")}}, "Cannot find repository: none in registry"),
        ({"container": {"Image": serving.IMAGE.replace("latest", "old")}}, "Requested image 123456789012.dkr.ecr"),
        ({"container": {"ModelDataUrl": "s3://photos/none.tar.gz"}}, "Could not access model data at s3://photos/none"),
        ({"container": {"ModelDataUrl": "s3://no-such-bucket/m.tar.gz"}}, 'the role has "s3:GetObject" permissions'),
        ({"VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}}, "subnet-1"),
    ],
)
def test_models_that_cannot_be(hosted: Server, changes: dict[str, Any], words: str) -> None:
    serving.client("s3").put_object(Bucket="photos", Key="models/first/model.tar.gz", Body=b"x")
    code, said = serving.refused(create_model, **changes)
    assert code == "ValidationException" and words in said
    create_model()
    assert serving.refused(create_model)[1] == (
        'Cannot create already existing model "arn:aws:sagemaker:eu-west-1:123456789012:model/first".'
    )


def test_a_role_that_may_not_read_the_model(hosted: Server) -> None:
    serving.client("s3").put_object(Bucket="photos", Key="models/first/model.tar.gz", Body=b"x")
    hosted.ask("fault", kind="deny", target="s3:GetObject")
    assert "Could not access model data" in serving.refused(create_model)[1]


def test_what_is_described_is_what_was_told(hosted: Server) -> None:
    serving.client("s3").put_object(Bucket="photos", Key="models/first/model.tar.gz", Body=b"x")
    create_model(container={"Environment": {"A": "1"}}, EnableNetworkIsolation=True)
    told = serving.client().describe_model(ModelName="first")
    assert told["PrimaryContainer"]["Environment"] == {"A": "1"} and told["EnableNetworkIsolation"]
    shadow = serving.variant("first", name="shadow", ContainerStartupHealthCheckTimeoutInSeconds=90)
    serving.config("one", serving.variant("first", 2), ShadowProductionVariants=[shadow])
    told = serving.client().describe_endpoint_config(EndpointConfigName="one")
    assert told["ProductionVariants"] == [serving.variant("first", 2)]
    assert told["ShadowProductionVariants"] == [shadow]
    for number in range(12):
        serving.config(f"more-{number}", serving.variant("first"))
    pages = serving.client().get_paginator("list_endpoint_configs").paginate(NameContains="more")
    names = [one["EndpointConfigName"] for page in pages for one in page["EndpointConfigs"]]
    assert names == [f"more-{number}" for number in reversed(range(12))]
    serving.client().delete_endpoint_config(EndpointConfigName="one")
    missing = 'Could not find endpoint configuration "arn:aws:sagemaker:eu-west-1:123456789012:endpoint-config/one".'
    for operation in ("describe_endpoint_config", "delete_endpoint_config"):
        assert serving.refused(getattr(serving.client(), operation), EndpointConfigName="one")[1] == missing


@pytest.mark.parametrize(
    ("variants", "words"),
    [
        ([{"ModelName": "none"}], "Could not find model"),
        ([{"InstanceType": "ml.m5.tiny"}], "Member must satisfy enum value set"),
        ([{"InstanceType": None}], "InstanceType is required"),
        ([{"InitialInstanceCount": None}], "InitialInstanceCount is required"),
        ([{}, {}], "Duplicate variant names"),
        ([{"InitialVariantWeight": 0.0}], "weight"),
    ],
)
def test_configurations_that_cannot_be(hosted: Server, variants: list[dict[str, Any]], words: str) -> None:
    serving.model("first")
    told = [serving.variant(**{"of": "first"} | change) for change in variants]
    code, said = serving.refused(serving.config, "one", *told)
    assert code == "ValidationException" and words in said


def test_endpoints_that_cannot_be(hosted: Server) -> None:
    create = serving.client().create_endpoint
    assert (
        "Could not find endpoint configuration"
        in serving.refused(create, EndpointName="dogs", EndpointConfigName="none")[1]
    )
    serving.model("first")
    serving.config("one", serving.variant("first"))
    serving.config("many", serving.variant("first", 21))
    code, words = serving.refused(create, EndpointName="dogs", EndpointConfigName="many")
    assert code == "ResourceLimitExceeded" and "'ml.m5.large for endpoint usage' is 20 Instances" in words
    create(EndpointName="dogs", EndpointConfigName="one")
    assert serving.refused(create, EndpointName="dogs", EndpointConfigName="one")[1] == (
        'Cannot create already existing endpoint "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/dogs".'
    )
    assert serving.settled("dogs")["EndpointStatus"] == "InService"
    assert serving.gone("cats")


def test_an_image_of_another_account_and_a_model_that_is_no_archive_fail(hosted: Server) -> None:
    foreign = serving.IMAGE.replace(serving.ACCOUNT, "999999999999")
    serving.model("foreign", foreign)
    told = serving.create("dogs", serving.config("one", serving.variant("foreign")))
    assert told["EndpointStatus"] == "Failed" and "does not grant ecr:GetDownloadUrlForLayer" in told["FailureReason"]
    serving.model("torn", archive=b"no archive")
    told = serving.create("cats", serving.config("two", serving.variant("torn")))
    assert told["EndpointStatus"] == "Failed"
    assert "Failed to extract model data archive" in told["FailureReason"]


def test_an_endpoint_that_changes_may_not_be_deleted_and_reset_ends_it(hosted: Server) -> None:
    serving.model("first")
    hosted.ask("speed", speed=standin.STILL)
    serving.client().create_endpoint(
        EndpointName="dogs", EndpointConfigName=serving.config("one", serving.variant("first"))
    )
    assert serving.refused(serving.client().delete_endpoint, EndpointName="dogs")[1] == (
        'Cannot update in-progress endpoint "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/dogs".'
    )
    hosted.ask("reset")
    assert serving.processes(hosted) == []
    assert standin.until(lambda: serving.gone("dogs"))
