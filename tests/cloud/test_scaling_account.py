"""Scaling in an account: what is made for each door, that repeating changes nothing, and that a kill leaves no mess."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import boto3
import pytest
import scaled
import standin
from botocore.exceptions import ClientError
from laws import Killed
from rehearse import serving

from dogbreed.cloud import scaling, scaling_deployed
from dogbreed.cloud.scaling_schedule import windows
from dogbreed.cloud.scaling_wanted import Step, Target, Wanted
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings
from dogbreed.errors import DogbreedError, UsageError
from dogbreed.plan import Plan
from dogbreed.rehearse.state import Server


@pytest.fixture
def full(account: Server) -> Wanted:
    """All that can be wanted of an endpoint, its window being open."""
    return Wanted(
        "endpoint",
        1,
        8,
        Target("invocations", 600),
        steps=(Step(1200, 2), Step(2400, 4)),
        windows=windows(["daily 8-20: 1-6"]),
        timezone=by_day(datetime.now(UTC), datetime.fromtimestamp(account.ask("time"), UTC)),
    )


def by_day(here: datetime, there: datetime) -> str:
    """A time zone where it is day by the clock here, and where by neither clock (the account's may be ahead) the window
    of eight to eight opens or closes within the hour: what is looked at twice is the same.
    """
    for ahead in range(-12, 13):
        hours = [(one.hour + ahead) % 24 for one in (here, there)]
        if 8 <= hours[0] < 19 and hours[1] not in (7, 19):
            return f"Etc/GMT{-ahead:+d}"
    raise AssertionError("there are eleven such zones, and at most two of them are none by the other clock")


def carried_out(plan: Plan) -> list[str]:
    for _ in plan.apply():
        pass
    return [f"{step.sign} {step.resource.kind} {step.resource.name}" for step in plan.steps]


def applied(aws: Aws, wanted: Wanted) -> list[str]:
    return carried_out(scaling.make(aws, wanted, scaling_deployed.find(aws, wanted.door)))


@contextmanager
def within_its_policy(server: Server) -> Iterator[None]:
    """What is called in it, `dogbreed iam policy --for scale` allows."""
    before = len(server.ask("calls"))
    yield
    assert scaled.unlisted(server.ask("calls")[before:], "scale") == set()


def signs(steps: Iterable[str]) -> set[str]:
    return {step[0] for step in steps}


def policies(namespace: str = "sagemaker") -> list[dict[str, Any]]:
    client = boto3.client("application-autoscaling")
    return list(client.describe_scaling_policies(ServiceNamespace=namespace)["ScalingPolicies"])


def test_everything_that_an_endpoint_can_be_scaled_by(account: Server, aws: Aws, full: Wanted) -> None:
    name = scaled.endpoint(aws)
    with within_its_policy(account):
        done = applied(aws, full)
    assert done == [
        f"+ scalable target {name}",
        f"+ scaling policy {name}-target",
        f"+ scheduled change {name}-at-0800-1-6",
        f"+ scheduled change {name}-at-2000-1-8",
        f"+ scaling policy {name}-step",
        f"+ alarm {name}-step",
    ]
    (target,) = scaled.registered()
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 6), "those of the window"
    tracking, stepping = policies()
    configuration = tracking["TargetTrackingScalingPolicyConfiguration"]
    assert configuration["TargetValue"] == 600
    metric = configuration["PredefinedMetricSpecification"]["PredefinedMetricType"]
    assert metric == "SageMakerVariantInvocationsPerInstance"
    assert stepping["StepScalingPolicyConfiguration"]["StepAdjustments"] == [
        {"MetricIntervalLowerBound": 0.0, "MetricIntervalUpperBound": 1200.0, "ScalingAdjustment": 2},
        {"MetricIntervalLowerBound": 1200.0, "ScalingAdjustment": 4},
    ]
    (alarm,) = boto3.client("cloudwatch").describe_alarms(AlarmNames=[f"{name}-step"])["MetricAlarms"]
    assert alarm["AlarmActions"] == [stepping["PolicyARN"]]
    assert signs(applied(aws, full)) == {"="}
    left = [one for one in applied(aws, replace(full, steps=(), windows=())) if one.startswith("-")]
    assert sorted(left) == [
        f"- alarm {name}-step",
        f"- scaling policy {name}-step",
        f"- scheduled change {name}-at-0800-1-6",
        f"- scheduled change {name}-at-2000-1-8",
    ]
    with within_its_policy(account):
        assert signs(carried_out(scaling.off(aws, scaling_deployed.find(aws)))) == {"-"}
    assert (scaled.registered(), policies(), scaling.everything(aws)) == ([], [], [])


def test_what_others_have_put_on_an_endpoint_and_another_target(aws: Aws) -> None:
    name = scaled.endpoint(aws)
    applied(aws, Wanted("endpoint", 1, 4, Target("invocations", 600)))
    done = applied(aws, Wanted("endpoint", 1, 6, Target("concurrency", 4), scale_in=False))
    assert signs(done) == {"~"}
    (policy,) = policies()
    configuration = policy["TargetTrackingScalingPolicyConfiguration"]
    metric = configuration["PredefinedMetricSpecification"]["PredefinedMetricType"]
    assert (configuration["TargetValue"], configuration["DisableScaleIn"]) == (4, True)
    assert metric == "SageMakerVariantConcurrentRequestsPerModelHighResolution"
    boto3.client("application-autoscaling").put_scaling_policy(
        PolicyName="byhand",
        ServiceNamespace="sagemaker",
        ResourceId=f"endpoint/{name}/variant/main",
        ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 50,
            "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
        },
    )
    assert scaling.foreign(aws, scaling_deployed.find(aws)) == ["byhand"]
    assert signs(applied(aws, Wanted("endpoint", 1, 6, Target("concurrency", 4), scale_in=False))) == {"="}
    put_off(aws)
    assert [one["PolicyName"] for one in policies()] == ["byhand"]
    assert len(scaled.registered()) == 1, "to take the target off would remove that policy too"
    with pytest.raises(DogbreedError, match="inference component") as refused:
        applied(aws, Wanted("endpoint", 0, 2, zero=True))
    assert "dogbreed deploy --to lambda" in refused.value.hint


def test_copies_of_a_function_are_scaled_by_how_many_are_at_work(account: Server, aws: Aws) -> None:
    name = scaled.function(aws)
    wanted = Wanted("lambda", 1, 5, Target("utilization", 0.7), out_cooldown_s=0, in_cooldown_s=0)
    with within_its_policy(account):
        assert applied(aws, wanted) == [f"+ scalable target {name}", f"+ scaling policy {name}-target"]
    (target,) = scaled.registered("lambda")
    assert target["ResourceId"] == f"function:{name}:live"
    (policy,) = policies("lambda")
    configuration = policy["TargetTrackingScalingPolicyConfiguration"]
    assert configuration["TargetValue"] == 0.7
    assert signs(applied(aws, wanted)) == {"="}
    deployed = scaling_deployed.find(aws)
    assert (deployed.door, deployed.unit) == ("lambda", "copy of 2048 MB kept started")
    with within_its_policy(account):
        put_off(aws)
    assert scaled.registered("lambda") == []


def test_a_serverless_endpoint_is_scaled_if_it_keeps_copies_started(aws: Aws) -> None:
    size = {"MemorySizeInMB": 2048, "MaxConcurrency": 4}
    name = scaled.endpoint(aws, door="serverless", ServerlessConfig=size)
    wanted = Wanted("serverless", 1, 4, Target("utilization", 0.7))
    with pytest.raises(DogbreedError, match="keeps no copy started"):
        applied(aws, wanted)
    client = aws.client("sagemaker")
    client.delete_endpoint(EndpointName=name)
    standin.until(lambda: not client.list_endpoints()["Endpoints"])
    scaled.endpoint(aws, door="serverless", suffix="-2", ServerlessConfig=size | {"ProvisionedConcurrency": 1})
    with pytest.raises(UsageError, match="at most 4 requests at once"):
        applied(aws, replace(wanted, largest=5))
    assert applied(aws, wanted) == [f"+ scalable target {name}", f"+ scaling policy {name}-target"]
    (target,) = scaled.registered()
    assert target["ScalableDimension"] == "sagemaker:variant:DesiredProvisionedConcurrency"
    assert signs(applied(aws, wanted)) == {"="}
    put_off(aws)
    assert scaled.registered() == []


def test_machines_are_scaled_by_requests_of_the_load_balancer(account: Server, aws: Aws, full: Wanted) -> None:
    name = scaled.group(aws)
    wanted = replace(full, door="ec2")
    with within_its_policy(account):
        assert signs(applied(aws, wanted)) == {"~", "+"}
    client = boto3.client("autoscaling")
    (group,) = client.describe_auto_scaling_groups()["AutoScalingGroups"]
    assert (group["MinSize"], group["MaxSize"]) == (1, 6), "those of the window"
    found = {one["PolicyName"]: one for one in client.describe_policies()["ScalingPolicies"]}
    metric = found[f"{name}-target"]["TargetTrackingConfiguration"]["PredefinedMetricSpecification"]
    assert metric["PredefinedMetricType"] == "ALBRequestCountPerTarget"
    balancer, _, target = metric["ResourceLabel"].partition("/targetgroup/")
    assert balancer.startswith(f"app/{name}/")
    assert target.startswith(f"{name}/")
    assert signs(applied(aws, wanted)) == {"="}
    done = applied(aws, Wanted("ec2", 1, 4, Target("utilization", 0.6)))
    assert f"~ scaling policy {name}-target" in done
    with within_its_policy(account):
        assert signs(carried_out(scaling.off(aws, scaling_deployed.find(aws)))) == {"-"}
    assert client.describe_policies()["ScalingPolicies"] == []


def test_without_a_load_balancer_nobody_counts_requests(aws: Aws, full: Wanted) -> None:
    scaled.group(aws, balanced=False)
    with pytest.raises(UsageError, match="load balancer"):
        applied(aws, replace(full, door="ec2"))


def copies(component: str) -> int:
    told = serving.client().describe_inference_component(InferenceComponentName=component)
    return int(told["RuntimeConfig"]["CurrentCopyCount"])


def test_to_zero_through_an_inference_component_and_awake_again(account: Server, aws: Aws) -> None:
    name = scaled.component(aws)
    wanted = Wanted("endpoint", 0, 2, zero=True)
    with within_its_policy(account):
        assert applied(aws, wanted) == [
            f"+ scalable target {name}",
            f"+ scaling policy {name}-target",
            f"+ scaling policy {name}-step",
            f"+ alarm {name}-step",
        ]
    assert signs(applied(aws, wanted)) == {"="}
    (alarm,) = boto3.client("cloudwatch").describe_alarms(AlarmNames=[f"{name}-step"])["MetricAlarms"]
    assert (alarm["MetricName"], alarm["Threshold"]) == ("NoCapacityInvocationFailures", 1.0)
    account.ask("speed", speed=600)
    try:
        standin.until(lambda: copies(name) == 0)
        code, _ = serving.refused(serving.ask, "dogbreed-endpoint", InferenceComponentName=name)
        assert code == "ValidationError", "real-time requests do not wait for a copy: they fail, and wake one"
        standin.until(lambda: woken(name))
    finally:
        account.ask("speed", speed=1)
    put_off(aws)
    assert (scaled.registered(), policies(), scaling.everything(aws)) == ([], [], [])


def test_what_is_deployed_is_found_or_asked_for(aws: Aws) -> None:
    with pytest.raises(UsageError, match="nothing is deployed"):
        scaling_deployed.find(aws)
    scaled.group(aws)
    deployed = scaling_deployed.find(aws)
    assert (deployed.door, deployed.unit, deployed.count) == ("ec2", "m5.large", 0)
    scaled.function(aws)
    with pytest.raises(UsageError, match="lambda and ec2 are deployed"):
        scaling_deployed.find(aws)
    assert scaling_deployed.find(aws, "lambda").door == "lambda"


def woken(component: str) -> bool:
    """Whether one more request, or those before it, woke it: at a high speed it may sleep again before one looks."""
    with suppress(ClientError):
        serving.ask("dogbreed-endpoint", InferenceComponentName=component)
    return "Setting desired copy count to 1." in activities(component)


def activities(component: str) -> list[str]:
    """What scaling has done, in its words."""
    found = boto3.client("application-autoscaling").describe_scaling_activities(
        ServiceNamespace="sagemaker", ResourceId=f"inference-component/{component}"
    )
    return [one["Description"] for one in found["ScalingActivities"]]


def put_off(aws: Aws) -> None:
    carried_out(scaling.off(aws, scaling_deployed.find(aws)))


def test_a_kill_at_any_change_is_mended_by_repeating(aws: Aws, full: Wanted) -> None:
    scaled.endpoint(aws)
    wanted = replace(full, steps=full.steps[:1])
    for number in range(100):
        fresh = Aws(AwsSettings())
        fresh.__dict__["_made"] = aws.session
        fresh.account  # noqa: B018  (asked once, before the calls are counted)
        died = [killed(fresh, number, partial(applied, fresh, wanted))]
        assert signs(applied(fresh, wanted)) == {"="}
        died.append(killed(fresh, number, partial(put_off, fresh)))
        assert (scaled.registered(), policies(), scaling.everything(fresh)) == ([], [], [])
        if not any(died):
            return
    raise AssertionError("more than 100 changes")


def killed(aws: Aws, number: int, deed: Callable[[], object]) -> bool:
    """Whether `deed` died when AWS had carried out that many of its changes; it is repeated in any case.

    To die before a change is sent is to die after the one before it, and looks change nothing.
    """
    changes = 0

    def count(model: Any, **_: Any) -> None:
        nonlocal changes
        changes += not model.name.startswith(("Describe", "List", "Get"))
        if changes > number:
            raise Killed

    # Clients take the handlers that the session has when they are made.
    aws._clients.clear()
    aws.session.events.register("after-call.*.*", count)
    died = False
    try:
        deed()
    except Killed:
        died = True
    finally:
        aws.session.events.unregister("after-call.*.*", count)
        aws._clients.clear()
    deed()
    return died
