"""Functions in the account: made, left alone, changed behind their alias, closed, and mended by repeating."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from laws import apply, remove, survives_kills, unchanged

from dogbreed import plan
from dogbreed.cloud.policies_serving import FRONT_OF_ENDPOINT
from dogbreed.cloud.roles import Role
from dogbreed.cloud.serving import deploying, front
from dogbreed.cloud.serving.deployment import Deployment
from dogbreed.cloud.serving.function_alias import Alias, Provisioned, Url
from dogbreed.cloud.serving.function_resources import Function, patiently
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings, DeploySettings
from dogbreed.plan import Resource
from dogbreed.rehearse.state import Server
from dogbreed.run import STARTER, Run

RUN = Run.open(STARTER)
NAME = "dogbreed-endpoint-front"
FULL = DeploySettings(function_url="iam", provisioned_concurrency=2, reserved_concurrency=5)
LIVE = {"FunctionName": NAME, "Qualifier": "live"}


@pytest.fixture(autouse=True)
def quick(account: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What Lambda does by the clock takes no time here."""
    monkeypatch.setattr(plan, "_READY_EVERY_S", 0.02)
    account.ask("speed", speed=100)
    yield
    account.ask("speed", speed=1)


def wanted(aws: Aws, settings: DeploySettings = FULL) -> list[Resource]:
    return front.resources(Deployment(aws, settings, RUN))


def signs(aws: Aws, settings: DeploySettings = FULL) -> dict[str, str]:
    return {step.resource.kind: step.sign + step.why for step in plan.make(wanted(aws, settings)).steps}


def test_it_is_made_left_alone_and_removed(aws: Aws) -> None:
    assert apply(wanted(aws)) == ["+"] * 6
    assert unchanged(wanted(aws))
    client = aws.client("lambda")
    function = client.get_function(FunctionName=NAME)
    configuration = function["Configuration"]
    assert function["Concurrency"]["ReservedConcurrentExecutions"] == 5
    assert function["Tags"]["dogbreed:project"] == "dogbreed"
    assert configuration["Role"] == Role(aws, FRONT_OF_ENDPOINT).arn
    assert configuration["Environment"]["Variables"]["DOGBREED_ENDPOINT"] == "dogbreed-endpoint"
    assert (configuration["TracingConfig"]["Mode"], configuration["Timeout"]) == ("PassThrough", 29)
    url = client.get_function_url_config(**LIVE)
    assert url["AuthType"] == "AWS_IAM" and "Cors" not in url
    assert client.get_provisioned_concurrency_config(**LIVE)["Status"] == "READY"
    group = aws.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{NAME}")["logGroups"][0]
    assert group["retentionInDays"] == 30
    everything = front.everything(aws, "endpoint")
    assert [one.find() is not None for one in everything] == [True] * 5
    assert set(remove(everything)) == {"-", "="}
    assert [one.kind for one in everything if one.find()] == ["log group"]
    assert client.list_functions()["Functions"] == []


def test_a_change_is_published_and_the_alias_moves_with_all_that_hangs_on_it(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(wanted(aws))
    client = aws.client("lambda")
    address = client.get_function_url_config(**LIVE)["FunctionUrl"]
    for memory in (640, 768):
        monkeypatch.setattr(front, "MEMORY_MB", memory)
        assert {kind: sign for kind, sign in signs(aws).items() if sign != "="} == {
            "function": "~memory",
            "function alias": "~memory",
        }
        apply(wanted(aws))
        assert unchanged(wanted(aws))
        assert client.get_function_configuration(**LIVE)["MemorySize"] == memory
    assert client.get_function_url_config(**LIVE)["FunctionUrl"] == address
    assert client.get_provisioned_concurrency_config(**LIVE)["RequestedProvisionedConcurrentExecutions"] == 2
    # The one that answers and the one before it.
    versions = [one["Version"] for one in client.list_versions_by_function(FunctionName=NAME)["Versions"]]
    assert versions == ["$LATEST", "2", "3"]


def test_logs_that_the_function_made_between_the_look_and_the_change_are_kept_as_long_and_named(aws: Aws) -> None:
    logs = [one for one in wanted(aws) if one.kind == "log group"]
    made = plan.make(logs)
    aws.client("logs").create_log_group(logGroupName=logs[0].name)
    assert [step.sign for step in made.apply()] == ["+"]
    assert unchanged(logs)


def test_copies_and_address_go_when_they_are_not_wanted_any_more(aws: Aws) -> None:
    apply(wanted(aws))
    plain = Deployment(aws, DeploySettings(), RUN)
    made = deploying.joined(front.resources(plain), front.surplus(plain))
    left_out = "not asked for any more: "
    assert {step.resource.kind: (step.sign, step.why) for step in made.changes} == {
        "function": ("~", f"reserved; {left_out}--reserved-concurrency 5"),
        "function url": ("-", f"{left_out}--function-url iam"),
        "provisioned concurrency": ("-", f"{left_out}--provisioned-concurrency 2"),
    }
    for _ in made.apply():
        pass
    assert deploying.joined(front.resources(plain), front.surplus(plain)).changes == ()
    assert set(signs(aws, plain.settings).values()) == {"="}
    # Without a front all of it goes, and that is said too.
    none = Deployment(aws, DeploySettings(front=False), RUN)
    gone = deploying.joined((), front.surplus(none)).changes
    assert {step.resource.kind: step.why for step in gone}["function"] == f"{left_out}--front"


def test_what_is_asked_for_still_is_no_loss(aws: Aws) -> None:
    apply(wanted(aws))
    fewer = Deployment(aws, replace(FULL, provisioned_concurrency=1), RUN)
    made = deploying.joined(front.resources(fewer), front.surplus(fewer))
    assert [(step.resource.kind, step.sign, step.why) for step in made.changes] == [
        ("provisioned concurrency", "~", "copies")
    ]


def test_what_others_have_opened_is_closed(aws: Aws) -> None:
    apply(wanted(aws))
    client = aws.client("lambda")
    everyone: Any = {"Principal": "*", "Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"}
    client.add_permission(**LIVE, StatementId="public-url", **everyone)
    client.add_permission(FunctionName=NAME, StatementId="public", Principal="*", Action="lambda:InvokeFunction")
    known: Any = {"Principal": "events.amazonaws.com", "Action": "lambda:InvokeFunction"}
    client.add_permission(**LIVE, StatementId="known", **known)
    client.update_function_url_config(**LIVE, AuthType="NONE", Cors={"AllowOrigins": ["*"]})
    assert {kind: sign for kind, sign in signs(aws).items() if sign != "="} == {
        "function": "~open to",
        "function alias": "~open to",
        "function url": "~auth, cors",
    }
    apply(wanted(aws))
    assert unchanged(wanted(aws))
    left = json.loads(client.get_policy(**LIVE)["Policy"])["Statement"]
    assert [one["Sid"] for one in left] == ["known"]


def test_a_share_of_the_calls_that_went_elsewhere_comes_back(aws: Aws) -> None:
    apply(wanted(aws, DeploySettings()))
    client = aws.client("lambda")
    client.update_function_configuration(FunctionName=NAME, MemorySize=1024)
    patiently(lambda: client.publish_version(FunctionName=NAME))
    routing: Any = {"AdditionalVersionWeights": {"2": 0.1}}
    client.update_alias(FunctionName=NAME, Name="live", FunctionVersion="1", RoutingConfig=routing)
    assert signs(aws, DeploySettings())["function alias"] == "~also"
    apply(wanted(aws, DeploySettings()))
    assert unchanged(wanted(aws, DeploySettings()))


def test_a_function_of_that_name_that_is_not_ours_is_left_alone(aws: Aws) -> None:
    mine = wanted(aws, DeploySettings())
    apply(mine)
    aws.client("lambda").untag_resource(Resource=Function(aws, NAME).arn, TagKeys=["dogbreed:project"])
    steps = {step.resource.kind: step.sign for step in plan.make(wanted(aws, DeploySettings())).steps}
    assert (steps["function"], steps["function alias"]) == ("!", "=")
    removed = {step.resource.kind: step.sign for step in plan.teardown(front.everything(aws, "endpoint")).steps}
    assert set(removed.values()) == {"="}


def test_it_costs_by_the_hour_only_what_is_kept_started(account: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    aws = Aws(AwsSettings(region="us-east-1"))
    assert [one.hourly() for one in wanted(aws, DeploySettings())] == [0, 0, 0, 0]
    apply(wanted(aws))
    # 2 copies x 0.5 GB x 3600 s.
    price = 2 * Decimal("0.5") * 3600 * Decimal("0.0000041667")
    found = [one for one in front.everything(aws, "endpoint") if one.find()]
    assert sum((one.hourly() or Decimal(0) for one in found), Decimal(0)) == price
    everything = front.month("us-east-1", 1_000_000, 0.02, 512).by_use
    # 10,000 GB-seconds and a million requests.
    assert everything == 10_000 * Decimal("0.0000166667") + Decimal("0.2")
    kept = front.month("us-east-1", 1_000_000, 0.02, 512, 2)
    assert (kept.by_use, kept.fixed.hourly) == (10_000 * Decimal("0.0000097222") + Decimal("0.2"), price)
    assert front.month("mars-north-1", 1, 1, 512).usd is None


def test_lambda_says_why_a_function_cannot_be(aws: Aws) -> None:
    """A thousand kept copies are more than the account has."""
    settings = replace(DeploySettings(), reserved_concurrency=950)
    with pytest.raises(aws.client("lambda").exceptions.InvalidParameterValueException, match="below its minimum"):
        apply(wanted(aws, settings))
    assert signs(aws, settings)["function"] == "~reserved"


def test_a_role_that_lambda_does_not_know_yet_is_waited_for(aws: Aws) -> None:
    role, _, function, *_ = wanted(aws, DeploySettings())
    later = threading.Timer(0.7, role.create)
    later.start()
    function.create()
    later.join()
    assert function.find()


def test_lambda_is_at_one_change_after_the_other(account: Server, aws: Aws) -> None:
    """Right after it was made, and while it is changed, Lambda refuses the next change for a second."""
    account.ask("speed", speed=2)
    role, _, function, *_ = wanted(aws)
    assert isinstance(function, Function) and function.spec
    role.create()
    function.create()
    for memory in (640, 768):
        more = Function(aws, NAME, replace(function.spec, memory=memory))
        found = more.find()
        assert found
        more.update(found)
    Alias(more).create()
    published = aws.client("lambda").get_function_configuration(**LIVE)
    assert (published["MemorySize"], published["Version"]) == (768, "1")


def test_each_part_is_found_by_its_name_alone(aws: Aws) -> None:
    function = Function(aws, NAME)
    assert [one.find() for one in (function, Alias(function), Provisioned(function), Url(function))] == [None] * 4
    apply(wanted(aws))
    for one in (Url(function), Provisioned(function), Alias(function), function):
        found = one.find()
        assert found and found.ours
        one.delete(found)
        one.delete(found)


@pytest.mark.slow
def test_a_kill_at_any_call_is_mended_by_repeating(account: Server) -> None:
    """Function and alias: the parts that take several calls."""

    def fresh() -> Aws:
        account.ask("reset")
        aws = Aws(AwsSettings())
        Role(aws, FRONT_OF_ENDPOINT).create()
        return aws

    def parts(aws: Aws) -> list[Resource]:
        made = wanted(aws, DeploySettings(reserved_concurrency=5))
        return [one for one in made if one.kind in ("function", "function alias")]

    assert survives_kills(fresh, parts, [True]) > 8
