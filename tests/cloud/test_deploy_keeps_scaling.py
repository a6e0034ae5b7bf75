"""A deployment leaves to scaling what is scaling's: how many there are, between which bounds, and by which rules."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
import scaled
from deployed import TINY, another, changed, deploy, pushed, wanted
from laws import apply
from standin import until

from dogbreed.cloud import scaling, scaling_deployed
from dogbreed.cloud.scaling_wanted import Target, Wanted
from dogbreed.cloud.serving import deploying, rolling_back
from dogbreed.cloud.serving.group import BEGUN
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings
from dogbreed.errors import UsageError
from dogbreed.rehearse.state import Server
from dogbreed.run import STARTER, Run

NAME = "dogbreed-serverless"


@pytest.fixture
def hasty(account: Server) -> Iterator[Aws]:
    account.ask("speed", speed=60)
    yield Aws(AwsSettings())
    account.ask("speed", speed=1)


def scale(aws: Aws, door: str, most: int) -> None:
    # Nobody asks for anything, so that it would take copies away meanwhile.
    asked = Wanted(door, 1, most, Target("utilization", 0.7), out_cooldown_s=0, scale_in=False)
    for _ in scaling.make(aws, asked, scaling_deployed.find(aws, door)).apply():
        pass


def rules(namespace: str = "sagemaker") -> list[tuple[Any, ...]]:
    """Bounds and policies, and when they were made: what was put back would be younger."""
    policies = boto3.client("application-autoscaling").describe_scaling_policies(ServiceNamespace=namespace)
    targets = scaled.registered(namespace)
    bounds: list[tuple[Any, ...]] = [(one["MinCapacity"], one["MaxCapacity"], one["CreationTime"]) for one in targets]
    return bounds + [(one["PolicyARN"], one["CreationTime"]) for one in policies["ScalingPolicies"]]


def copies() -> tuple[int, str]:
    """How many are kept started, and by which configuration; once nothing is going on."""
    client = boto3.client("sagemaker")
    seen = partial(client.describe_endpoint, EndpointName=NAME)
    until(lambda: seen()["EndpointStatus"] == "InService")
    there = seen()
    size = there["ProductionVariants"][0]["CurrentServerlessConfig"]
    return size.get("ProvisionedConcurrency", 0), there["EndpointConfigName"]


@pytest.mark.slow
def test_the_copies_of_a_serverless_endpoint_stay(hasty: Aws, tmp_path: Path) -> None:
    image, other = pushed(hasty, TINY), another(tmp_path / "other")
    first = wanted(hasty, Run.open(STARTER), image, "serverless", provisioned_concurrency=2, max_concurrency=4)
    deploy(first)
    begun = copies()[1]
    scale(hasty, "serverless", 3)
    before = rules()
    assert len(before) == 2
    # As scaling does when they are all at work.
    more = [{"VariantName": "main", "ServerlessUpdateConfig": {"ProvisionedConcurrency": 3}}]
    boto3.client("sagemaker").update_endpoint_weights_and_capacities(
        EndpointName=NAME, DesiredWeightsAndCapacities=more
    )
    assert copies() == (3, begun)
    # The same again, with the number of the beginning, another one or none: nothing to do.
    for number in (2, 1, 0):
        assert deploy(changed(first, provisioned_concurrency=number)) == []
    # Another model, whatever number is asked for, starts with as many as there are.
    second = wanted(hasty, other, image, "serverless", max_concurrency=4)
    plan = deploying.plan(second)
    assert not [step.why for step in plan.steps if "provisioned" in step.why]
    deploy(second)
    assert copies()[0] == 3
    assert deploy(second) == []
    # So does the way back; what it leads to is what would be deployed.
    for _ in rolling_back.plan(hasty, "serverless", lambda words: None).apply():
        pass
    assert copies()[0] == 3
    assert [step for step in deploy(first) if step[0] != "-"] == []
    assert rules() == before
    # Fewer at once than scaling may want would break it later.
    with pytest.raises(UsageError, match="less than the 3 copies that scaling may keep") as refused:
        deploying.plan(changed(first, max_concurrency=2))
    assert "dogbreed scale --to serverless --max 2" in refused.value.hint
    # Once nothing scales it, the number is the deployment's again.
    for _ in scaling.off(hasty, scaling_deployed.find(hasty, "serverless")).apply():
        pass
    deploy(wanted(hasty, other, image, "serverless", max_concurrency=4))
    assert copies()[0] == 0


def test_the_copies_of_a_function_stay(hasty: Aws, tmp_path: Path) -> None:
    first = wanted(hasty, Run.open(STARTER), "", "lambda", provisioned_concurrency=1)
    deploy(first)
    scale(hasty, "lambda", 3)
    before = rules("lambda")
    client, which = boto3.client("lambda"), {"FunctionName": "dogbreed-lambda", "Qualifier": "live"}
    client.put_provisioned_concurrency_config(**which, ProvisionedConcurrentExecutions=2)
    for number in (1, 3, 0):
        assert deploy(changed(first, provisioned_concurrency=number)) == []
    done = deploy(wanted(hasty, another(tmp_path / "other"), "", "lambda"))
    assert "~ function alias" in done
    kept = client.get_provisioned_concurrency_config(**which)
    assert kept["RequestedProvisionedConcurrentExecutions"] == 2
    assert rules("lambda") == before


def test_the_number_of_machines_is_scalings_while_there_is_a_policy(hasty: Aws) -> None:
    # Two other machines' worth of settings: only what differs of the number is looked at.
    name = scaled.group(hasty, balanced=False)
    client = boto3.client("autoscaling")
    tags = hasty.tags("ec2") | {BEGUN: "2"}
    told = {"ResourceId": name, "ResourceType": "auto-scaling-group", "PropagateAtLaunch": False}
    client.create_or_update_tags(Tags=[{**told, "Key": key, "Value": value} for key, value in tags.items()])
    one = wanted(hasty, Run.open(STARTER), pushed(hasty, TINY), "ec2", single=True)

    def differs() -> str:
        return next(step.why for step in deploying.plan(one).steps if step.resource.kind == "machine group")

    assert "begun with" in differs()
    client.put_scheduled_update_group_action(
        AutoScalingGroupName=name, ScheduledActionName="night", Recurrence="0 22 * * *", MaxSize=1
    )
    assert "begun with" not in differs()
    client.delete_scheduled_action(AutoScalingGroupName=name, ScheduledActionName="night")
    assert "begun with" in differs()
    apply(scaling._resources(hasty, Wanted("ec2", 1, 4, Target("utilization", 0.5)), scaling_deployed.find(hasty)))
    assert "begun with" not in differs()
