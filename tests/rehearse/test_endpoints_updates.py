"""Endpoints that change while they are asked: no request is lost, but for those that a bad canary answers."""

from __future__ import annotations

from typing import Any

import pytest
import serving
import standin
from serving import hosted

from dogbreed.rehearse.state import Server

__all__ = ["hosted"]


@pytest.fixture
def dogs(hosted: Server) -> Server:
    """An endpoint `dogs` of two instances of the model `old`; models `new`, `crashing` and `broken` are there."""
    # Slow enough for requests to be open whenever something changes.
    slow = {"SLOW": "0.05"}
    for name, is_ in (("old", slow), ("new", slow), ("crashing", {"CRASH": "1"}), ("broken", {"BROKEN": "new"})):
        serving.model(name, **is_)
        serving.config(name, serving.variant(name, 2))
    told = serving.create("dogs", "old")
    assert told["EndpointStatus"] == "InService", told.get("FailureReason")
    return hosted


def capacity(count: int, **more: Any) -> None:
    wanted = [{"VariantName": "main", "DesiredInstanceCount": count, **more}]
    serving.client().update_endpoint_weights_and_capacities(EndpointName="dogs", DesiredWeightsAndCapacities=wanted)


def update(to: str, deployment: dict[str, Any] | None = None, **more: Any) -> None:
    more |= {"DeploymentConfig": deployment} if deployment else {}
    serving.client().update_endpoint(EndpointName="dogs", EndpointConfigName=to, **more)


def routing(kind: str, wait: int = 60, last: int = 0, alarms: tuple[str, ...] = (), **size: Any) -> dict[str, Any]:
    traffic = {"Type": kind, "WaitIntervalInSeconds": wait, **size}
    told: dict[str, Any] = {
        "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": traffic, "TerminationWaitInSeconds": last}
    }
    if alarms:
        told["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": name} for name in alarms]}
    return told


HALF = {"CanarySize": {"Type": "INSTANCE_COUNT", "Value": 1}}


def alarm(name: str, state: str = "OK") -> None:
    watch = serving.client("cloudwatch")
    watch.put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/SageMaker",
        MetricName="Invocation5XXErrors",
        Statistic="Average",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0.5,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="ignore",
        ActionsEnabled=False,
    )
    ring(name, state)


def ring(name: str, state: str = "ALARM") -> None:
    serving.client("cloudwatch").set_alarm_state(AlarmName=name, StateValue=state, StateReason="a test")


def test_scaling_out_and_in_loses_nothing(dogs: Server) -> None:
    dogs.ask("speed", speed=standin.STILL)
    with serving.asked("dogs") as answers:
        capacity(3)
        assert serving.refused(capacity, 5) == (
            "ValidationException",
            'Cannot update in-progress endpoint "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/dogs".',
        )
        assert serving.refused(serving.client().delete_endpoint, EndpointName="dogs")[0] == "ValidationException"
        dogs.ask("speed", speed=60)
        serving.settled("dogs")
        for count in (1, 2, 1):
            capacity(count)
            (variant,) = serving.settled("dogs")["ProductionVariants"]
            assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (count, count)
            assert serving.processes(dogs) == [f"dogs InService {count} processes"]
            answers.come(10)
    assert answers.errors == []


def test_a_canary_gets_its_share_then_all_and_the_old_fleet_ends(dogs: Server) -> None:
    with serving.asked("dogs") as answers:
        update("new", routing("CANARY", 3600, 60, **HALF))
        assert serving.describe("dogs")["EndpointStatus"] == "Updating"
        standin.until(lambda: "new" in answers.names)
        dogs.ask("speed", speed=1)  # it goes on baking
        told = serving.describe("dogs")
        assert told["EndpointConfigName"] == "old", "until all is done"
        pending = told["PendingDeploymentSummary"]
        assert pending["EndpointConfigName"] == "new"
        assert pending["ProductionVariants"][0]["VariantStatus"][0]["Status"] == "Baking"
        errors = answers.anew()
        answers.come(40)
        assert {"old", "new"} == set(answers.names), "both answer while it bakes"
        dogs.ask("speed", speed=3600)
        told = serving.settled("dogs")
        errors += answers.anew()
        answers.come(10)
    assert set(answers.names) == {"new"} and errors + answers.errors == []
    assert (told["EndpointConfigName"], told["EndpointStatus"]) == ("new", "InService")
    assert "PendingDeploymentSummary" not in told and "FailureReason" not in told
    assert told["LastDeploymentConfig"] == routing("CANARY", 3600, 60, **HALF)
    assert serving.processes(dogs) == ["dogs InService 2 processes"]


@pytest.mark.parametrize("kind", ["LINEAR", "rolling", "none"])
def test_other_ways_to_the_new_fleet_lose_nothing_either(dogs: Server, kind: str) -> None:
    one = {"Type": "INSTANCE_COUNT", "Value": 1}
    deployment = {
        "LINEAR": routing("LINEAR", 30, LinearStepSize={"Type": "CAPACITY_PERCENT", "Value": 25}),
        "rolling": {"RollingUpdatePolicy": {"MaximumBatchSize": one, "WaitIntervalInSeconds": 30}},
        "none": None,
    }[kind]
    with serving.asked("dogs") as answers:
        update("new", deployment)
        told = serving.settled("dogs")
        errors = answers.anew()
        answers.come(10)
    assert (told["EndpointConfigName"], set(answers.names), errors + answers.errors) == ("new", {"new"}, [])
    assert serving.processes(dogs) == ["dogs InService 2 processes"]


@pytest.mark.parametrize("rolling", [False, True])
def test_a_fleet_that_crashes_never_gets_traffic_and_the_old_one_stays(dogs: Server, rolling: bool) -> None:
    one = {"Type": "INSTANCE_COUNT", "Value": 1}
    deployment = {"RollingUpdatePolicy": {"MaximumBatchSize": one, "WaitIntervalInSeconds": 0}}
    dogs.ask("speed", speed=600)
    with serving.asked("dogs") as answers:
        update("crashing", deployment if rolling else routing("CANARY", **HALF))
        told = serving.settled("dogs")
        answers.come(10)
    assert (set(answers.names), answers.errors) == ({"old"}, [])
    assert (told["EndpointStatus"], told["EndpointConfigName"]) == ("InService", "old")
    assert "did not pass the ping health check" in told["FailureReason"]
    assert serving.processes(dogs) == ["dogs InService 2 processes"]
    update("new")
    assert "FailureReason" not in serving.settled("dogs"), "the next update forgets it"


@pytest.mark.parametrize("rolling", [False, True])
def test_an_alarm_gives_the_traffic_back_to_the_old_fleet(dogs: Server, rolling: bool) -> None:
    alarm("dogs-errors")
    half = {"Type": "INSTANCE_COUNT", "Value": 1}
    deployment = routing("CANARY", 3600, alarms=("dogs-errors",), **HALF)
    if rolling:
        policy = {"MaximumBatchSize": half, "WaitIntervalInSeconds": 3600}
        deployment = deployment | {"RollingUpdatePolicy": policy}
        del deployment["BlueGreenUpdatePolicy"]
    with serving.asked("dogs") as answers:
        update("broken", deployment)
        standin.until(lambda: answers.errors)
        ring("dogs-errors")
        told = serving.settled("dogs")
        names, errors = answers.names, answers.anew()
        answers.come(20)
    assert all("broken by new" in words for words in errors), "only the canary's own"
    assert answers.errors == [] and {*names, *answers.names} == {"old"}
    assert (told["EndpointStatus"], told["EndpointConfigName"]) == ("InService", "old")
    assert "dogs-errors" in told["FailureReason"]
    assert serving.processes(dogs) == ["dogs InService 2 processes"]


def test_an_alarm_that_rings_already_stops_an_update_at_once(dogs: Server) -> None:
    alarm("dogs-errors", "ALARM")
    update("new", routing("ALL_AT_ONCE", 0, 3600, alarms=("dogs-errors",)))
    assert serving.settled("dogs")["EndpointConfigName"] == "old"


def test_what_was_changed_is_kept_where_that_is_asked_for(dogs: Server) -> None:
    capacity(1, DesiredWeight=0.5)
    serving.settled("dogs")
    update("new", routing("ALL_AT_ONCE"), RetainAllVariantProperties=True)
    (variant,) = serving.settled("dogs")["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["CurrentWeight"]) == (1, 0.5)
    excluded = [{"VariantPropertyType": "DesiredInstanceCount"}]
    update(
        "old",
        RetainAllVariantProperties=True,
        ExcludeRetainedVariantProperties=excluded,
        RetainDeploymentConfig=True,
    )
    told = serving.settled("dogs")
    (variant,) = told["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["CurrentWeight"]) == (2, 0.5)
    assert told["LastDeploymentConfig"] == routing("ALL_AT_ONCE")


def test_no_capacity_leaves_an_endpoint_as_it_was(dogs: Server) -> None:
    dogs.ask("fault", kind="no-capacity", target="ml.m5.large")
    capacity(3)
    told = serving.settled("dogs")
    (variant,) = told["ProductionVariants"]
    assert told["EndpointStatus"] == "InService" and "InsufficientInstanceCapacity" in told["FailureReason"]
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (2, 2)


def test_updates_that_cannot_be_are_refused(dogs: Server) -> None:
    large = {"CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 60}}
    assert "50%" in serving.refused(update, "new", routing("CANARY", **large))[1]
    assert "CanarySize is required" in serving.refused(update, "new", routing("CANARY"))[1]
    assert "Could not find endpoint configuration" in serving.refused(update, "none")[1]
    serving.client().delete_endpoint_config(EndpointConfigName="old")
    assert serving.refused(update, "new")[1] == (
        'Could not find endpoint configuration "arn:aws:sagemaker:eu-west-1:123456789012:endpoint-config/old".'
    )
    assert "is/are not present" in serving.refused(capacity_of, "other", 1)[1]
    assert "at least 1" in serving.refused(capacity, 0)[1]


def capacity_of(name: str, count: int) -> None:
    wanted = [{"VariantName": name, "DesiredInstanceCount": count}]
    serving.client().update_endpoint_weights_and_capacities(EndpointName="dogs", DesiredWeightsAndCapacities=wanted)


def test_what_scales_an_endpoint_holds_its_type_and_goes_with_it(dogs: Server) -> None:
    scaling = serving.client("application-autoscaling")
    scaling.register_scalable_target(
        ServiceNamespace="sagemaker",
        ResourceId="endpoint/dogs/variant/main",
        ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        MinCapacity=1,
        MaxCapacity=4,
    )
    serving.config("larger", serving.variant("new", 2, InstanceType="ml.m5.xlarge"))
    assert "cannot be changed while it is a scalable target" in serving.refused(update, "larger")[1]
    update("new")
    assert serving.settled("dogs")["EndpointConfigName"] == "new"
    dogs.ask("fault", kind="deny", target="application-autoscaling:DeregisterScalableTarget", count=1)
    assert (
        "does not have application-autoscaling:DeregisterScalableTarget permission"
        in (serving.refused(serving.client().delete_endpoint, EndpointName="dogs")[1])
    )
    assert serving.ask("dogs")["name"] == "new"
    serving.client().delete_endpoint(EndpointName="dogs")
    standin.until(lambda: serving.gone("dogs"))
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []
