"""Inference components: copies of a model on an endpoint that was made without one, down to none and back."""

from __future__ import annotations

from typing import Any

import pytest
import serving
import standin
from serving import hosted

from dogbreed.rehearse.state import Server

__all__ = ["hosted"]
SCALING = {"Status": "ENABLED", "MinInstanceCount": 0, "MaxInstanceCount": 2}


@pytest.fixture
def dogs(hosted: Server) -> Server:
    """An endpoint `dogs` for components, and the models `first` and `second`."""
    serving.model("first")
    serving.model("second")
    variant = serving.variant("", ModelName=None, ManagedInstanceScaling=SCALING)
    told = serving.create("dogs", serving.config("one", variant, ExecutionRoleArn=serving.ROLE))
    assert told["EndpointStatus"] == "InService", told.get("FailureReason")
    return hosted


def specification(model: str, cores: float = 1.0) -> dict[str, Any]:
    needs = {"MinMemoryRequiredInMb": 512, "NumberOfCpuCoresRequired": cores}
    return {"ModelName": model, "ComputeResourceRequirements": needs}


def create(name: str, model: str, copies: int = 1, cores: float = 1.0) -> None:
    serving.client().create_inference_component(
        InferenceComponentName=name,
        EndpointName="dogs",
        VariantName="main",
        Specification=specification(model, cores),
        RuntimeConfig={"CopyCount": copies},
    )


def settled(name: str) -> dict[str, Any]:
    def over() -> dict[str, Any] | None:
        told: dict[str, Any] = serving.client().describe_inference_component(InferenceComponentName=name)
        return None if told["InferenceComponentStatus"] in ("Creating", "Updating") else told

    return dict(standin.until(over))


def copies(name: str, count: int) -> dict[str, Any]:
    serving.client().update_inference_component_runtime_config(
        InferenceComponentName=name, DesiredRuntimeConfig={"CopyCount": count}
    )
    return settled(name)


def test_copies_come_and_go_down_to_none_and_back(dogs: Server) -> None:
    assert serving.processes(dogs) == ["dogs InService 0 processes"]
    create("breeds", "first")
    told = settled("breeds")
    assert told["InferenceComponentStatus"] == "InService", told.get("FailureReason")
    assert told["RuntimeConfig"] == {"DesiredCopyCount": 1, "CurrentCopyCount": 1}
    assert serving.ask("dogs", InferenceComponentName="breeds")["name"] == "first"
    assert serving.describe("dogs")["ProductionVariants"][0]["CurrentInstanceCount"] == 1

    told = copies("breeds", 0)
    assert told["RuntimeConfig"] == {"DesiredCopyCount": 0, "CurrentCopyCount": 0}
    assert serving.processes(dogs) == ["dogs InService 0 processes"]
    assert serving.describe("dogs")["ProductionVariants"][0]["CurrentInstanceCount"] == 0
    code, words = serving.refused(serving.ask, "dogs", InferenceComponentName="breeds")
    assert code == "ValidationError" and words.startswith("Inference Component has no capacity to process this request")
    standin.until(lambda: failures() == 1)
    copies("breeds", 2)
    assert {serving.ask("dogs", InferenceComponentName="breeds")["pid"] for _ in range(4)}.__len__() == 2


def failures() -> float:
    """How many requests have found no copy, as the alarm that wakes a component sees it."""
    since = serving.describe("dogs")["CreationTime"]
    return sum(standin.figures("NoCapacityInvocationFailures", "Sum", 60, since, InferenceComponentName="breeds"))


def test_another_model_follows_and_a_second_component_stands_beside(dogs: Server) -> None:
    create("breeds", "first")
    create("others", "second")
    settled("breeds"), settled("others")
    assert serving.ask("dogs", InferenceComponentName="others")["name"] == "second"
    serving.client().update_inference_component(InferenceComponentName="breeds", Specification=specification("second"))
    settled("breeds")
    assert serving.ask("dogs", InferenceComponentName="breeds")["name"] == "second"
    listed = serving.client().list_inference_components(EndpointNameEquals="dogs", SortBy="Name", SortOrder="Ascending")
    assert [one["InferenceComponentName"] for one in listed["InferenceComponents"]] == ["breeds", "others"]
    assert "attached" in serving.refused(serving.client().delete_endpoint, EndpointName="dogs")[1]
    for name in ("breeds", "others"):
        serving.client().delete_inference_component(InferenceComponentName=name)
    standin.until(lambda: not serving.client().list_inference_components()["InferenceComponents"])
    serving.client().delete_endpoint(EndpointName="dogs")
    standin.until(lambda: serving.gone("dogs"))


def test_no_more_copies_than_there_is_room_for(dogs: Server) -> None:
    create("breeds", "first", copies=5, cores=1.0)  # two instances of two cores
    told = settled("breeds")
    assert told["RuntimeConfig"] == {"DesiredCopyCount": 5, "CurrentCopyCount": 4}
    assert "room for 4 copies" in told["FailureReason"]
    assert serving.describe("dogs")["ProductionVariants"][0]["CurrentInstanceCount"] == 2


def test_what_is_refused(dogs: Server) -> None:
    assert "larger than 0" in serving.refused(create, "breeds", "first", 0)[1]
    assert "Could not find model" in serving.refused(create, "breeds", "none")[1]
    create("breeds", "first")
    assert "already existing inference component" in serving.refused(create, "breeds", "first")[1]
    assert serving.refused(copies, "none", 1)[1].startswith("Could not find inference component")
    assert "header is required" in serving.refused(serving.ask, "dogs")[1]
    assert "not found" in serving.refused(serving.ask, "dogs", InferenceComponentName="none")[1]
    plain = serving.config("plain", serving.variant("first"))
    serving.create("cats", plain)
    assert "header is not allowed" in serving.refused(serving.ask, "cats", InferenceComponentName="breeds")[1]
    scaled = serving.variant("first", ManagedInstanceScaling=SCALING)
    words = "ManagedInstanceScaling is only supported for inference component endpoints."
    assert serving.refused(serving.config, "two", scaled)[1] == words
    bare = serving.variant("", ModelName=None)
    assert "ExecutionRoleArn is required" in serving.refused(serving.config, "three", bare)[1]
