"""An endpoint with an inference component: deployed, asked, updated, put to sleep and woken; nothing is left of it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
import scaled
import standin
from deployed import TINY, another, changed, deploy, pushed, real, wanted
from hypothesis import given
from hypothesis import strategies as st
from laws import through_every_state

from dogbreed import plan
from dogbreed.cli import loadtest_target
from dogbreed.cloud import inventory, scaling, scaling_deployed
from dogbreed.cloud.scaling_wanted import Target, Wanted
from dogbreed.cloud.serving import deploying, endpoint, rolling_back, update
from dogbreed.cloud.serving.client import OfFunction, component_of
from dogbreed.cloud.serving.deployment import Deployment
from dogbreed.cloud.serving.hosted import models
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings, DeploySettings
from dogbreed.errors import DogbreedError, UsageError
from dogbreed.rehearse.state import Server
from dogbreed.run import STARTER, Run

NAME = "dogbreed-endpoint-model"


@pytest.fixture
def hasty(account: Server) -> Iterator[Aws]:
    account.ask("speed", speed=60)
    yield Aws(AwsSettings())
    account.ask("speed", speed=1)


def seen(aws: Aws) -> dict[str, Any]:
    return dict(aws.client("sagemaker").describe_inference_component(InferenceComponentName=NAME))


def copies(aws: Aws) -> int:
    return int(seen(aws)["RuntimeConfig"]["CurrentCopyCount"])


def answers(service: Deployment) -> bool:
    """Whether it answers as it should, and not that it sleeps."""
    try:
        return deploying.trial(service).same
    except DogbreedError as error:
        assert "sleeps" in error.message, error.message
        return False


@pytest.mark.slow
def test_it_answers_changes_its_model_sleeps_wakes_and_goes(hasty: Aws, account: Server, tmp_path: Any) -> None:
    first = wanted(hasty, Run.open(STARTER), pushed(hasty, real()), component=True)
    before = len(account.ask("calls"))
    assert deploy(first)[-2:] == ["+ endpoint", "+ inference component"]
    assert deploy(first) == []
    assert deploying.trial(first).same
    assert NAME in endpoint.calls(hasty)["boto3"]
    assert NAME in endpoint.calls(hasty)["curl"]
    # Another model: copy by copy, watched by the alarms of the component.
    second = replace(first, run=another(tmp_path / "two"))
    assert deploy(second) == ["+ model data", "+ model", "~ alarm", "~ inference component"]
    assert deploy(second) == []
    assert deploying.trial(second).same
    calls = [one for one in account.ask("calls")[before:] if one["action"].startswith("sagemaker:")]
    assert scaled.unlisted(calls, "deploy-endpoint") == set()
    service = scaling_deployed.find(hasty, "endpoint")
    for _ in scaling.make(hasty, Wanted("endpoint", 0, 2, zero=True), service).apply():
        pass
    account.ask("speed", speed=600)
    standin.until(lambda: copies(hasty) == 0)
    # Slower, or it would be idle for a quarter of an hour before its container has started.
    account.ask("speed", speed=60)
    with pytest.raises(DogbreedError, match="sleeps"):
        deploying.trial(second)
    # As people would: ask again until there is an answer.
    standin.until(lambda: answers(second))
    # How many copies there are is what scaling makes of it.
    account.ask("speed", speed=1)
    standin.until(lambda: seen(hasty)["InferenceComponentStatus"] == "InService")
    assert deploy(second) == []

    # Scaled like any other endpoint as well, by its copies.
    service = scaling_deployed.find(hasty, "endpoint")
    busy = scaling.make(hasty, Wanted("endpoint", 1, 2, Target("invocations", 600)), service)
    signs = [f"{step.sign} {step.resource.kind}" for step in busy.changes]
    assert signs == ["- alarm", "- scaling policy", "~ scalable target", "~ scaling policy"]
    for _ in busy.apply():
        pass
    (target,) = scaled.registered()
    assert (target["ResourceId"], target["MinCapacity"]) == (f"inference-component/{NAME}", 1)
    standin.until(lambda: copies(hasty) == 1 and seen(hasty)["InferenceComponentStatus"] == "InService")
    # Back to the model before, and by the function in front of it.
    back = rolling_back.plan(hasty, "endpoint", lambda words: None)
    assert [f"{step.sign} {step.resource.kind}" for step in back.changes] == ["~ inference component", "~ alarm"]
    for _ in back.apply():
        pass
    fronted = replace(first, settings=replace(first.settings, front=True))
    assert "+ function" in deploy(fronted)
    asked = OfFunction(hasty, "dogbreed-endpoint-front").predict(deploying.a_photo(), top_k=5)
    assert asked.top == deploying.trial(fronted).there.top
    photo = deploying.a_photo()
    load = loadtest_target.endpoint(hasty, "dogbreed-endpoint", [photo]).target
    where = urlsplit(hasty.client("sagemaker-runtime").meta.endpoint_url)
    with socket.create_connection((where.hostname, where.port)) as line:
        line.sendall(load.build(photo))
        assert line.recv(4096).startswith(b"HTTP/1.1 200")
    rows = {row.resource.kind: row for row in inventory.look(inventory.resources(hasty))}
    assert rows["inference component"].found.state.startswith("InService, ")
    account.ask("speed", speed=60)
    gone(hasty)
    assert component_of(hasty, "dogbreed-endpoint") == ""


@pytest.mark.slow
def test_an_update_killed_after_every_change_converges(hasty: Aws, tmp_path: Any) -> None:
    first = wanted(hasty, Run.open(STARTER), pushed(hasty, TINY), component=True)
    deploy(first)
    for number in (2, 3):
        fresh = replace(first, run=another(tmp_path / str(number), float(number)))
        assert through_every_state(hasty, partial(deploy, fresh)) >= 3
        assert deploy(fresh) == []
    # What answers, and the one to go back to.
    assert len(models(hasty, "endpoint")) == 2
    gone(hasty)


@pytest.mark.slow
def test_neither_kind_becomes_the_other_in_place(hasty: Aws) -> None:
    image = pushed(hasty, TINY)
    plain, copied = (wanted(hasty, Run.open(STARTER), image, component=one) for one in (False, True))
    deploy(plain)
    with pytest.raises(UsageError, match="cannot be changed into one with") as refused:
        deploying.plan(copied)
    assert "dogbreed destroy, then dogbreed deploy --to endpoint --component" in refused.value.hint
    with pytest.raises(DogbreedError, match="holds its model by itself") as refused:
        scaling.make(hasty, Wanted("endpoint", 0, 2, zero=True), scaling_deployed.find(hasty))
    assert "dogbreed deploy --to endpoint --component" in refused.value.hint
    assert "dogbreed deploy --to lambda" in refused.value.hint
    gone(hasty)
    deploy(replace(copied, settings=replace(copied.settings, ttl="8h")))
    ends = hasty.client("scheduler").list_schedules()["Schedules"]
    assert {one["Name"] for one in ends} == {"dogbreed-end-endpoint", "dogbreed-end-endpoint-model"}
    with pytest.raises(UsageError, match="cannot be changed into one without"):
        deploying.plan(plain)
    with pytest.raises(UsageError, match="keeps its instance type"):
        deploying.plan(changed(copied, instance_type="ml.m5.xlarge"))
    with pytest.raises(UsageError, match="at most 10 instances"):
        scaling.make(hasty, Wanted("endpoint", 0, 11, zero=True), scaling_deployed.find(hasty))
    gone(hasty)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"to": "lambda"}, "--component is for --to endpoint"),
        ({"strategy": "linear"}, "not linear"),
        ({"instances": 11}, "at most 10"),
        ({"data_capture_percent": 10}, "not combined"),
    ],
)
def test_what_does_not_go_with_a_component(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        deploying.check(DeploySettings(**{"component": True, **settings}), AwsSettings(), shadow=False)


def test_a_component_has_no_shadow_and_no_subnets() -> None:
    own = DeploySettings(component=True)
    deploying.check(own, AwsSettings(), shadow=False)
    with pytest.raises(UsageError, match="no shadow"):
        deploying.check(own, AwsSettings(), shadow=True)
    with pytest.raises(UsageError, match="subnets"):
        deploying.check(own, AwsSettings(subnets="subnet-0123456789abcdef0"), shadow=False)


@given(st.integers(0, 10), st.sampled_from(["all-at-once", "canary", "rolling"]), st.floats(0, 60), st.integers(5, 50))
def test_every_update_of_a_component_is_one_that_aws_takes(
    copies: int, strategy: Any, bake_minutes: float, step_percent: int
) -> None:
    own = DeploySettings(component=True, strategy=strategy, bake_minutes=bake_minutes, step_percent=step_percent)
    try:
        update.check(own)
    except UsageError:
        return
    policy = update.of_component(own, copies, ["errors"])["RollingUpdatePolicy"]
    assert 1 <= policy["MaximumBatchSize"]["Value"] <= max(1, copies // 2)
    assert 0 <= policy["WaitIntervalInSeconds"] <= 3600
    assert 600 <= policy["MaximumExecutionTimeoutInSeconds"] <= 28800


def gone(aws: Aws) -> None:
    """Destroy all of it, and look that nothing is left."""
    for _ in inventory.carry_out(plan.teardown(inventory.resources(aws, data=True)), wait_s=300):
        pass
    assert inventory.look(inventory.resources(aws, data=True)) == []
