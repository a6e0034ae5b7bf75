"""Endpoints in the stand-in: deployed, left alone, updated, scaled, rolled back; killed anywhere and repeated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from deployed import TINY, another, changed, deploy, pushed, wanted
from laws import apply, through_every_state

from dogbreed import plan
from dogbreed.cloud import inventory, network
from dogbreed.cloud.policies_serving import LAMBDA
from dogbreed.cloud.roles import Role
from dogbreed.cloud.serving import deploying, deployment, function_code, rolling_back
from dogbreed.cloud.serving.function_resources import Function, Spec
from dogbreed.cloud.serving.hosted import REPLACES, configurations, models, tags_of
from dogbreed.cloud.serving.hosted_endpoint import Endpoint
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings
from dogbreed.errors import DogbreedError, UsageError
from dogbreed.rehearse.state import Server
from dogbreed.run import STARTER, Run

_PLACE: dict[str, Any] = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/dogbreed-endpoint/variant/main",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}


@pytest.fixture
def hasty(account: Server) -> Iterator[Aws]:
    """An account whose clock is fast, but leaves containers on a busy machine the time to start."""
    account.ask("speed", speed=60)
    yield Aws(AwsSettings())
    account.ask("speed", speed=1)


@pytest.fixture
def image(hasty: Aws) -> str:
    return pushed(hasty, TINY)


@pytest.fixture(scope="session")
def others(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    folder = tmp_path_factory.mktemp("others")
    return [another(folder / "two", 2.0), another(folder / "three", 3.0)]


def seen(aws: Aws, name: str = "dogbreed-endpoint") -> dict[str, Any]:
    return dict(aws.client("sagemaker").describe_endpoint(EndpointName=name))


def roll_back(aws: Aws) -> list[str]:
    made = rolling_back.plan(aws, "", lambda words: None)
    for _ in made.apply():
        pass
    return [step.sign for step in made.changes]


def scaled(aws: Aws) -> None:
    """As `dogbreed scale` leaves it: a target with a policy, a scheduled change, and 2 instances by now."""
    scaling = aws.client("application-autoscaling")
    scaling.register_scalable_target(**_PLACE, MinCapacity=2, MaxCapacity=4)
    metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    tracking = {"TargetValue": 600.0, "PredefinedMetricSpecification": metric}
    scaling.put_scaling_policy(
        **_PLACE,
        PolicyName="dogbreed-tracking",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration=tracking,
    )
    action = {"MinCapacity": 2, "MaxCapacity": 3}
    # Not due by a fast clock while it is looked at, whatever the time is.
    scaling.put_scheduled_action(
        **_PLACE, ScheduledActionName="night", Schedule="at(2099-01-01T22:00:00)", ScalableTargetAction=action
    )


def of_scaling(aws: Aws) -> tuple[Any, ...]:
    scaling = aws.client("application-autoscaling")
    targets = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    policies = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    actions = scaling.describe_scheduled_actions(ServiceNamespace="sagemaker")["ScheduledActions"]
    return (
        [(one["MinCapacity"], one["MaxCapacity"]) for one in targets],
        [(one["PolicyName"], one["TargetTrackingScalingPolicyConfiguration"]["TargetValue"]) for one in policies],
        [(one["ScheduledActionName"], one["Schedule"]) for one in actions],
    )


def assert_watched(aws: Aws) -> None:
    """The alarm on unsure photos is about the model that answers."""
    alarm = aws.client("cloudwatch").describe_alarms(AlarmNames=["dogbreed-endpoint-unsure"])["MetricAlarms"][0]
    stats = [one["MetricStat"]["Metric"] for one in alarm["Metrics"] if "MetricStat" in one]
    sagemaker = aws.client("sagemaker")
    config = sagemaker.describe_endpoint_config(EndpointConfigName=seen(aws)["EndpointConfigName"])
    model = sagemaker.describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])
    name = model["PrimaryContainer"]["Environment"]["DOGBREED_SERVE_NAME"]
    assert name.startswith("dogbreed-endpoint-")
    assert {one["Value"] for stat in stats for one in stat["Dimensions"]} == {name}


@pytest.mark.slow
def test_three_models_after_another_and_the_way_back(hasty: Aws, image: str, others: list[Run]) -> None:
    starter = Run.open(STARTER)
    first = wanted(hasty, starter, image)
    assert deploy(first)[-1] == "+ endpoint"
    assert deploy(first) == deploy(first) == []
    with pytest.raises(DogbreedError, match="one model only"):
        roll_back(hasty)
    assert deploy(wanted(hasty, others[0], image)) == [
        *("+ model data", "+ model", "+ endpoint configuration", "~ alarm", "~ endpoint")
    ]
    one, two = (config.name for config in configurations(hasty, "endpoint"))
    assert seen(hasty)["EndpointConfigName"] == two
    # Back, and forth again, as often as one likes.
    for there in (one, two, one):
        assert roll_back(hasty) == ["~", "~"]
        assert seen(hasty)["EndpointConfigName"] == there
        assert_watched(hasty)
    assert deploy(first) == []
    # A third takes the place of the first; the second has had its time.
    done = deploy(wanted(hasty, others[1], image))
    assert [step for step in done if step[0] == "-"] == ["- endpoint configuration", "- model"]
    left = [config.name for config in configurations(hasty, "endpoint")]
    assert left == [one, seen(hasty)["EndpointConfigName"]]
    assert len(models(hasty, "endpoint")) == 2
    arn = seen(hasty)["EndpointArn"].replace(":endpoint/dogbreed-endpoint", f":endpoint-config/{left[1]}")
    assert tags_of(hasty, arn)[REPLACES] == one


@pytest.mark.slow
def test_what_scaling_has_done_stays_and_steps_aside_for_another_type(
    hasty: Aws, image: str, others: list[Run]
) -> None:
    first = wanted(hasty, Run.open(STARTER), image, instance_type="ml.c5.large")
    deploy(first)
    scaled(hasty)
    hasty.client("sagemaker").get_waiter("endpoint_in_service").wait(
        EndpointName="dogbreed-endpoint", WaiterConfig={"Delay": 1}
    )
    before = of_scaling(hasty)
    assert all(before)
    assert deploy(first) == []
    # Another model: the two instances stay two, and the policy is not touched.
    deploy(wanted(hasty, others[0], image, instance_type="ml.c5.large"))
    assert seen(hasty)["ProductionVariants"][0]["DesiredInstanceCount"] == 2
    assert of_scaling(hasty) == before
    # Another type: AWS refuses it under a target, so that steps aside and comes back.
    done = deploy(wanted(hasty, others[0], image, instance_type="ml.m5.large"))
    about = [step for step in done if step.endswith(("scaling", " endpoint", "as before"))]
    assert about == ["+ pause of scaling", "~ endpoint", "+ scaling as before"]
    assert of_scaling(hasty) == before
    assert deploy(wanted(hasty, others[0], image, instance_type="ml.m5.large")) == []


@pytest.mark.slow
def test_a_shadow_comes_and_goes_and_the_count_follows_the_settings(hasty: Aws, image: str, others: list[Run]) -> None:
    starter = Run.open(STARTER)
    deploy(wanted(hasty, starter, image, shadow=others[0]))
    assert [one["VariantName"] for one in seen(hasty)["ShadowProductionVariants"]] == ["challenger"]
    rows = inventory.look(inventory.resources(hasty))
    price = next(row.hourly for row in rows if row.resource.kind == "endpoint")
    without = deploying.plan(wanted(hasty, starter, image)).changes
    assert "configuration; not asked for any more: --shadow" in [step.why for step in without]
    deploy(wanted(hasty, starter, image))
    assert deploy(wanted(hasty, starter, image)) == []
    assert not seen(hasty).get("ShadowProductionVariants")
    rows = inventory.look(inventory.resources(hasty))
    alone = next(row.hourly for row in rows if row.resource.kind == "endpoint")
    assert price is alone is None or price == 2 * (alone or 0)
    # Nothing scales it, so the number is the settings'; that takes no other configuration.
    assert deploy(wanted(hasty, starter, image, instances=2)) == ["~ endpoint"]
    assert seen(hasty)["ProductionVariants"][0]["DesiredInstanceCount"] == 2
    assert deploy(wanted(hasty, starter, image, instances=2)) == []


@pytest.mark.slow
def test_the_way_back_leads_to_another_model_past_shadows_and_capture(
    hasty: Aws, image: str, others: list[Run]
) -> None:
    deploy(wanted(hasty, Run.open(STARTER), image))
    first = seen(hasty)["EndpointConfigName"]
    deploy(wanted(hasty, others[0], image))
    deploy(wanted(hasty, others[0], image, shadow=others[1]))
    deploy(wanted(hasty, others[0], image, data_capture_percent=5))
    second = seen(hasty)["EndpointConfigName"]
    deploy(wanted(hasty, others[0], image, data_capture_percent=5, instances=2))
    for there in (first, second, first):
        assert set(roll_back(hasty)) == {"~"}
        assert seen(hasty)["EndpointConfigName"] == there
    # The same model with a shadow is no other model: its way back is the newer one still.
    deploy(wanted(hasty, Run.open(STARTER), image, shadow=others[1]))
    roll_back(hasty)
    assert seen(hasty)["EndpointConfigName"] == second
    # Where a function is there too, it must be said which one goes back.
    role = Role(hasty, LAMBDA)
    apply([role, Function(hasty, "dogbreed-lambda", Spec(function_code.front(), role.arn, 128, 10))])
    with pytest.raises(UsageError, match="endpoint and lambda are deployed"):
        roll_back(hasty)


@pytest.mark.slow
def test_an_inference_component_goes_back_too(hasty: Aws, image: str, others: list[Run]) -> None:
    def answering() -> str:
        said = hasty.client("sagemaker").describe_inference_component(InferenceComponentName="dogbreed-endpoint-model")
        return str(said["Specification"]["ModelName"])

    deploy(wanted(hasty, Run.open(STARTER), image, component=True, strategy="rolling"))
    first = answering()
    with pytest.raises(DogbreedError, match="one model only"):
        roll_back(hasty)
    deploy(wanted(hasty, others[0], image, component=True, strategy="rolling"))
    second = answering()
    for there in (first, second):
        assert roll_back(hasty) == ["~", "~"]
        assert answering() == there


@pytest.mark.slow
def test_an_endpoint_that_failed_is_made_anew(hasty: Aws, image: str, account: Server) -> None:
    broken = pushed(hasty, {"dogbreed/__init__.py": b"", "dogbreed/__main__.py": b"raise SystemExit('no')"}, "broken")
    with pytest.raises(DogbreedError, match="is Failed: "):
        deploy(wanted(hasty, Run.open(STARTER), broken))
    assert "~ endpoint" in deploy(wanted(hasty, Run.open(STARTER), image))
    assert seen(hasty)["EndpointStatus"] == "InService"


@pytest.mark.slow
def test_a_model_that_does_not_start_changes_nothing(hasty: Aws, image: str) -> None:
    first = wanted(hasty, Run.open(STARTER), image)
    deploy(first)
    before = seen(hasty)["EndpointConfigName"]
    broken = pushed(hasty, {"dogbreed/__init__.py": b"", "dogbreed/__main__.py": b"raise SystemExit('no')"}, "broken")
    with pytest.raises(DogbreedError, match="taken back"):
        deploy(wanted(hasty, Run.open(STARTER), broken))
    assert (seen(hasty)["EndpointStatus"], seen(hasty)["EndpointConfigName"]) == ("InService", before)
    # What was tried last goes, and the first is as it was.
    assert {step[0] for step in deploy(first)} <= {"-", "~"}
    assert deploy(first) == []


@pytest.mark.slow
@pytest.mark.parametrize("to", ["endpoint", "serverless"])
def test_killed_after_every_change_it_converges_and_destroy_leaves_nothing(
    hasty: Aws, image: str, others: list[Run], to: str
) -> None:
    # A twentieth of it is far longer than this takes by the fast clock, so the end is not put off meanwhile.
    first = wanted(hasty, Run.open(STARTER), image, to, ttl="100d")
    assert through_every_state(hasty, lambda: deploy(first)) > 15
    assert deploy(first) == []
    second = wanted(hasty, others[0], image, to, ttl="100d")
    assert through_every_state(hasty, lambda: deploy(second)) >= 4
    assert deploy(second) == []
    assert seen(hasty, second.name)["EndpointStatus"] == "InService"
    assert roll_back(hasty) == (["~", "~"] if to == "endpoint" else ["~"])

    def destroy() -> None:
        made = plan.teardown(inventory.resources(hasty, data=True))
        for _ in inventory.carry_out(made, wait_s=300):
            pass

    assert through_every_state(hasty, destroy) > 12
    assert inventory.look(inventory.resources(hasty, data=True)) == []
    left = inventory.unaccounted(inventory.tagged(hasty), [])
    assert [arn for arn in left if "of-tests" not in arn] == []


@pytest.mark.slow
def test_an_alarm_that_rings_already_does_not_stop_the_cure(hasty: Aws, image: str, others: list[Run]) -> None:
    deploy(wanted(hasty, Run.open(STARTER), image, instance_type="ml.m5.large"))
    # Set by hand, and kept by figures that last, whenever it is looked at again.
    watch, now = hasty.client("cloudwatch"), hasty.now()
    of = [{"Name": "EndpointName", "Value": "dogbreed-endpoint"}, {"Name": "VariantName", "Value": "main"}]
    data: list[Any] = [
        {"MetricName": name, "Dimensions": of, "Value": 1000.0, "Timestamp": now + timedelta(minutes=minute)}
        for name in ("Invocations", "Invocation5XXErrors")
        for minute in range(-5, 115)
    ]
    watch.put_metric_data(Namespace="AWS/SageMaker", MetricData=data)
    watch.set_alarm_state(
        AlarmName="dogbreed-endpoint-errors", StateValue="ALARM", StateReason="the model of before fails"
    )
    told: list[str] = []
    # The type that it has is good enough for auto.
    cure = replace(wanted(hasty, others[0], image), tell=told.append)
    assert deploy(cure)[-1] == "~ endpoint"
    assert any("dogbreed-endpoint-errors rings already" in words for words in told)
    assert seen(hasty)["ProductionVariants"][0]["DesiredInstanceCount"] == 1
    assert {row.found.content.get("type") for row in inventory.look([Endpoint(hasty, "endpoint")])} == {"ml.m5.large"}


@pytest.mark.slow
def test_in_ones_own_network_with_ones_own_key_and_captured_requests(hasty: Aws, image: str) -> None:
    ec2 = hasty.client("ec2")
    found = network.look(hasty)
    subnets = [zone.id for zone in list(found.zones.values())[:2]]
    only = [{"Name": "vpc-id", "Values": [found.vpc]}]
    tables = [one["RouteTableId"] for one in ec2.describe_route_tables(Filters=only)["RouteTables"]]
    s3 = {"VpcEndpointType": "Gateway", "ServiceName": "com.amazonaws.eu-west-1.s3"}
    ec2.create_vpc_endpoint(VpcId=found.vpc, RouteTableIds=tables, **s3)
    key = hasty.client("kms").create_key()["KeyMetadata"]["Arn"]
    aws = Aws(AwsSettings(subnets=",".join(subnets), kms_key=key))
    service = wanted(aws, Run.open(STARTER), image, data_capture_percent=20)
    assert "+ security group" in deploy(service)
    assert deploy(service) == []
    sagemaker = aws.client("sagemaker")
    (model,) = (sagemaker.describe_model(ModelName=one.name) for one in models(aws, "endpoint"))
    assert sorted(model["VpcConfig"]["Subnets"]) == sorted(subnets)
    assert all(group.startswith("sg-") for group in model["VpcConfig"]["SecurityGroupIds"])
    assert model["EnableNetworkIsolation"]
    config = sagemaker.describe_endpoint_config(EndpointConfigName=seen(aws)["EndpointConfigName"])
    capture = config["DataCaptureConfig"]
    assert (config["KmsKeyId"], capture["KmsKeyId"], capture["InitialSamplingPercentage"]) == (key, key, 20)
    assert capture["DestinationS3Uri"] == f"s3://{aws.bucket}/captured/dogbreed-endpoint"
    for _ in inventory.carry_out(plan.teardown(inventory.resources(aws, data=True)), wait_s=300):
        pass
    assert inventory.look(inventory.resources(aws, data=True)) == []


def test_what_is_not_there_cannot_go_back(aws: Aws, account: Server) -> None:
    # Whoever may not look at machines has none to go back to.
    account.ask("fault", kind="deny", target="autoscaling:DescribeAutoScalingGroups")
    with pytest.raises(DogbreedError, match="nothing is deployed"):
        roll_back(aws)
    for to in ("endpoint", "serverless", "lambda"):
        with pytest.raises(DogbreedError, match=f"nothing is deployed to {to}"):
            rolling_back.plan(aws, to, lambda words: None)
    with pytest.raises(DogbreedError, match="machines keep no model before") as raised:
        rolling_back.plan(aws, "ec2", lambda words: None)
    assert "dogbreed deploy --to ec2 --run OLD" in raised.value.hint


def test_every_door_says_what_can_be_there(aws: Aws) -> None:
    for to in deployment.DOORS:
        found = deployment.door(to).everything(aws)
        assert [one for one in found if one.find()] == []


def test_a_plan_for_settings_that_differ_in_scaling_alone_is_empty(hasty: Aws, image: str) -> None:
    first = wanted(hasty, Run.open(STARTER), image)
    deploy(first)
    # Alarms have limits of their own, which change in place.
    assert deploy(changed(first, alarm_p99_ms=500.0)) == ["~ alarm"]
    assert deploying.price(deploying.plan(first)).hourly is None
