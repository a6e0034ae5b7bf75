"""How an update is told to SageMaker keeps AWS's limits, whatever the settings and the number of instances are."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import apply, unchanged
from standin import until

from dogbreed import plan
from dogbreed.cloud.serving import alarms, endpoint, serverless, update
from dogbreed.cloud.serving.hosted import Configuration
from dogbreed.cloud.serving.hosted_endpoint import Endpoint
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings, DeploySettings
from dogbreed.errors import UsageError
from dogbreed.rehearse.state import Server
from dogbreed.serve import metrics

STRATEGIES = ("all-at-once", "canary", "linear", "rolling")
SETTINGS = st.builds(
    DeploySettings,
    strategy=st.sampled_from(STRATEGIES),
    step_percent=st.integers(5, 50),
    bake_minutes=st.floats(0, 60).map(lambda minutes: round(minutes, 2)),
)


def allowed(own: DeploySettings) -> bool:
    try:
        update.check(own)
    except UsageError:
        return False
    return True


@given(SETTINGS.filter(allowed), st.integers(1, 100))
def test_what_is_told_is_within_the_limits(own: DeploySettings, instances: int) -> None:
    told = update.deployment(own, instances, ["one", "two"])
    assert [one["AlarmName"] for one in told["AutoRollbackConfiguration"]["Alarms"]] == ["one", "two"]
    rolling, green = told.get("RollingUpdatePolicy"), told.get("BlueGreenUpdatePolicy")
    assert (rolling is None) != (green is None)
    policy: dict[str, Any] = rolling or green or {}
    assert 600 <= policy["MaximumExecutionTimeoutInSeconds"] <= 28800
    size = update.batch(own, instances)
    if instances == 1:
        # Nothing can be shared: all moves, and the alarms are watched while the old instance still waits.
        assert policy["TrafficRoutingConfiguration"]["Type"] == "ALL_AT_ONCE"
        assert policy["TerminationWaitInSeconds"] == round(own.bake_minutes * 60)
        return
    assert 1 <= size <= instances / 2
    routing = policy.get("TrafficRoutingConfiguration", {})
    for key in ("CanarySize", "LinearStepSize"):
        if key in routing:
            assert routing[key] == {"Type": "INSTANCE_COUNT", "Value": size}
    if own.strategy == "linear":
        assert size / instances >= 0.1 or instances < 2
    waits = {"canary": 1, "linear": math.ceil(instances / size), "rolling": math.ceil(instances / size)}
    assert update.seconds(own, instances) == round(own.bake_minutes * 60) * waits.get(own.strategy, 1)
    assert update.seconds(own, instances) <= policy["MaximumExecutionTimeoutInSeconds"]


@given(SETTINGS)
def test_what_would_take_longer_than_aws_lets_it_is_refused(own: DeploySettings) -> None:
    steps = math.ceil(100 / own.step_percent)
    too_long = own.strategy in ("linear", "rolling") and round(own.bake_minutes * 60) * steps > 28800
    too_fine = own.strategy == "linear" and own.step_percent < 10
    assert allowed(own) == (not too_long and not too_fine)


@given(st.integers(1, 100), st.integers(5, 50))
def test_more_per_cent_never_means_fewer_instances(instances: int, percent: int) -> None:
    less = DeploySettings(step_percent=5)
    assert update.batch(less, instances) <= update.batch(DeploySettings(step_percent=percent), instances)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"instance_type": "c6i.large"}, "no type of SageMaker's"),
        ({"instance_type": "ml.c7g.large"}, "arm64"),
        ({"strategy": "linear", "step_percent": 5}, "10 to 50"),
        ({"strategy": "rolling", "step_percent": 5, "bake_minutes": 60.0}, "limit of 8 h"),
        ({"image": "docker.io/library/python"}, "no image that SageMaker can run"),
    ],
)
def test_nonsense_for_an_endpoint_is_an_error_before_any_call(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        endpoint.check(DeploySettings(**settings), AwsSettings())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"memory_mb": 1000}, "use --memory-mb 1024|has 1024"),
        ({"memory_mb": 8192}, "1024, 2048"),
        ({"provisioned_concurrency": 6, "max_concurrency": 5}, "more than --max-concurrency"),
        ({"data_capture_percent": 10}, "cannot keep requests"),
    ],
)
def test_nonsense_for_a_serverless_endpoint_is_an_error_before_any_call(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        serverless.check(DeploySettings(to="serverless", **settings), AwsSettings())


def test_copies_that_are_kept_started_are_no_gift() -> None:
    """Their price is not in the table, so what they cost by the hour is unknown, and not nothing."""

    def hourly(**size: int) -> object:
        variant = {"VariantName": "main", "ModelName": "m", "ServerlessConfig": {"MemorySizeInMB": 2048, **size}}
        aws = Aws(AwsSettings(region="us-east-1"))
        return Endpoint(aws, "serverless", Configuration(aws, "serverless", {"ProductionVariants": [variant]})).hourly()

    assert hourly() == 0
    assert hourly(ProvisionedConcurrency=1) is None


def test_an_alarm_about_something_else_is_made_anew_and_rings_no_more(aws: Aws) -> None:
    def watch(figures: str, component: str = "") -> list[Any]:
        return list(alarms.of_endpoint(aws, "endpoint", DeploySettings(), figures, component))

    names = [one.name for one in watch("one")]
    assert apply(watch("one")) == ["+", "+", "+"]
    assert unchanged(watch("one"))
    for name in names:
        aws.client("cloudwatch").set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="of the first")
    # Another model has figures of its own.
    assert [step.resource.name for step in plan.make(watch("two")).changes] == names[2:]
    # The end of an endpoint by a schedule leaves its alarms; the next one may have a component.
    other = watch("two", "dogbreed-endpoint-model")
    assert apply(other) == ["~", "~", "~"]
    assert unchanged(other)
    assert "ALARM" not in {one["StateValue"] for one in alarms.now(aws, names)}


def test_the_alarm_on_unsure_photos_hears_the_containers_of_its_model_alone(aws: Aws, account: Server) -> None:
    account.ask("speed", speed=60)
    logs, where = aws.client("logs"), {"logGroupName": "/aws/sagemaker/Endpoints/dogs", "logStreamName": "main/i-1"}
    logs.create_log_group(logGroupName=where["logGroupName"])
    logs.create_log_stream(**where)
    watch = {name: alarms.of_endpoint(aws, name, DeploySettings(), f"dogs-{name}")[2] for name in ("old", "new")}
    apply(list(watch.values()))

    def rings(name: str) -> bool:
        return bool(alarms.now(aws, [watch[name].name])[0]["StateValue"] == "ALARM")

    def told(name: str) -> bool:
        """A container of this model writes a line as `dogbreed serve --emf` does; whether its alarm rings."""
        line = metrics.emf({"Photos": (20, "Count"), "Unsure": (19, "Count")}, {alarms.SERVICE: f"dogs-{name}"})
        logs.put_log_events(**where, logEvents=[{"timestamp": round(time.time() * 1000), "message": line}])
        return rings(name)

    until(lambda: told("old"))
    assert not rings("new")
    until(lambda: told("new"))
    account.ask("speed", speed=1)
