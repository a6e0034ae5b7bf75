"""How many calls of a function run at a time: reservations, provisioned environments, what the account has."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import boto3
import handlers
import pytest
import standin
from botocore.exceptions import ClientError
from handlers import GATED, made

from dogbreed.rehearse.state import Server, StandIn

pytestmark = pytest.mark.usefixtures("brisk")

RESERVED = "ReservedFunctionConcurrentInvocationLimitExceeded"


def called(event: dict[str, str], qualifier: str = "$LATEST") -> str:
    """What the function answers, or why it was not called."""
    try:
        answer = handlers.client().invoke(FunctionName="f", Qualifier=qualifier, Payload=json.dumps(event))
    except ClientError as error:
        assert error.response["Error"]["Code"] == "TooManyRequestsException"
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 429
        return str(error.response["Reason"])
    said = json.load(answer["Payload"])
    assert "FunctionError" not in answer, said
    return str(said)


@contextmanager
def calls(number: int, gate: str, qualifier: str = "$LATEST") -> Iterator[list[Future[str]]]:
    """That many calls at a time, which go on when the block is over."""
    with ThreadPoolExecutor(number) as pool:
        running = [pool.submit(called, {"wait": gate}, qualifier) for _ in range(number)]
        try:
            yield running
        finally:
            boto3.client("s3").put_object(Bucket="gate", Key=gate)


@pytest.fixture
def gated(account: Server) -> Any:
    standin.bucket("gate")
    return made(GATED, Timeout=60)


def test_exactly_those_calls_beyond_the_reservation_are_refused(gated: Any, account: Server) -> None:
    for reserved, wanted in ((1, 3), (3, 7), (4, 4), (0, 2)):
        gated.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=reserved)
        with calls(wanted, f"{reserved}-{wanted}") as running:
            # Nobody goes on before all others run or are refused, so that all of them overlap.
            refused = max(0, wanted - reserved)
            standin.until(partial(are_done, running, refused))
            standin.until(partial(are_running, account, min(reserved, wanted)))
        assert Counter(one.result() for one in running) == Counter(
            {"on-demand": min(reserved, wanted), RESERVED: refused}
        )
    # The next calls find the environments of those before.
    assert account.ask("status")["functions"] == ["f: 4 warm, 0 running"]
    gated.delete_function_concurrency(FunctionName="f")
    assert called({}) == "on-demand"
    with handlers.faster(account, 200):
        standin.until(lambda: handlers.total("Throttles", FunctionName="f") == 8)


def are_done(running: list[Future[str]], number: int) -> bool:
    return sum(one.done() for one in running) == number


def are_running(server: Server, number: int) -> bool:
    return bool(server.ask("status")["functions"][0].endswith(f" {number} running"))


def test_provisioned_environments_are_ready_before_they_are_called(gated: Any, account: Server) -> None:
    gated.publish_version(FunctionName="f")
    gated.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
    named = {"FunctionName": "f", "Qualifier": "live"}
    with handlers.faster(account, standin.STILL):
        told = gated.put_provisioned_concurrency_config(**named, ProvisionedConcurrentExecutions=1)
        assert (told["Status"], told["AvailableProvisionedConcurrentExecutions"]) == ("IN_PROGRESS", 0)
        assert called({}, "live") == "on-demand"
    with handlers.faster(account, 200):
        standin.until(lambda: gated.get_provisioned_concurrency_config(**named)["Status"] == "READY")
    with calls(2, "both", "live") as running:
        standin.until(partial(are_running, account, 2))
    # One finds the environment that is kept for it, the other one spills over.
    assert {one.result() for one in running} == {"provisioned-concurrency", "on-demand"}
    # Who calls the version gets none of the alias's.
    assert called({}, "1") == "on-demand"
    [listed] = gated.list_provisioned_concurrency_configs(FunctionName="f")["ProvisionedConcurrencyConfigs"]
    assert listed["FunctionArn"].endswith(":function:f:live")
    assert listed["AllocatedProvisionedConcurrentExecutions"] == 1
    with handlers.faster(account, 200):
        names = {"ProvisionedConcurrencyUtilization", "ProvisionedConcurrencySpilloverInvocations"}
        standin.until(lambda: names <= measured())
    gated.delete_provisioned_concurrency_config(**named)
    with pytest.raises(gated.exceptions.ProvisionedConcurrencyConfigNotFoundException):
        gated.get_provisioned_concurrency_config(**named)
    assert called({}, "live") == "on-demand"


def measured() -> set[str]:
    told = boto3.client("cloudwatch").list_metrics(Namespace="AWS/Lambda")["Metrics"]
    return {one["MetricName"] for one in told if {"Name": "Resource", "Value": "f:live"} in one["Dimensions"]}


def test_provisioned_environments_follow_their_alias(account: Server) -> None:
    source = "import os\ndef handler(event, context):\n    return [context.function_version, os.environ[{name!r}]]\n"
    found = made(source.format(name="AWS_LAMBDA_INITIALIZATION_TYPE"))
    found.publish_version(FunctionName="f")
    found.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
    named = {"FunctionName": "f", "Qualifier": "live"}

    def ready() -> bool:
        return bool(found.get_provisioned_concurrency_config(**named)["Status"] == "READY")

    found.put_provisioned_concurrency_config(**named, ProvisionedConcurrentExecutions=2)
    with handlers.faster(account, 200):
        standin.until(ready)
        assert handlers.said(Qualifier="live") == ["1", "provisioned-concurrency"]
        found.update_function_configuration(FunctionName="f", Timeout=9)
        handlers.settled()
        found.publish_version(FunctionName="f")
        with handlers.faster(account, standin.STILL):
            found.update_alias(FunctionName="f", Name="live", FunctionVersion="2")
            assert not ready()
        standin.until(ready)
    assert handlers.said(Qualifier="live") == ["2", "provisioned-concurrency"]
    with pytest.raises(ClientError, match="Alias with weights"):
        found.update_alias(FunctionName="f", Name="live", RoutingConfig={"AdditionalVersionWeights": {"1": 0.5}})
    found.delete_function(FunctionName="f")
    assert account.ask("status")["functions"] == []


def test_what_is_ready_stays_so_while_more_is_provisioned(account: Server) -> None:
    source = "import os\ndef handler(event, context):\n    return os.environ['AWS_LAMBDA_INITIALIZATION_TYPE']\n"
    found = made(source)
    found.publish_version(FunctionName="f")
    named = {"FunctionName": "f", "Qualifier": "1"}

    def told() -> tuple[str, int]:
        answer = found.get_provisioned_concurrency_config(**named)
        return answer["Status"], answer["AllocatedProvisionedConcurrentExecutions"]

    def put(number: int) -> tuple[str, int]:
        found.put_provisioned_concurrency_config(**named, ProvisionedConcurrentExecutions=number)
        return told()

    put(1)
    with handlers.faster(account, 200):
        standin.until(lambda: told() == ("READY", 1))
    with handlers.faster(account, standin.STILL):
        assert put(3) == ("IN_PROGRESS", 1)
        assert handlers.said(Qualifier="1") == "provisioned-concurrency"
    with handlers.faster(account, 200):
        standin.until(lambda: told() == ("READY", 3))
    assert put(2) == ("READY", 2)
    assert account.ask("status")["functions"] == ["f: 2 warm, 0 running"]


def test_what_cannot_start_is_not_provisioned(account: Server) -> None:
    found = made("import nowhere")
    found.publish_version(FunctionName="f")
    named = {"FunctionName": "f", "Qualifier": "1"}
    found.put_provisioned_concurrency_config(**named, ProvisionedConcurrentExecutions=1)
    standin.until(lambda: found.get_provisioned_concurrency_config(**named)["Status"] == "FAILED")


def test_a_hundred_stay_unreserved(account: Server) -> None:
    found = made()
    found.publish_version(FunctionName="f")
    given = "arn:aws:iam::123456789012:role/function"
    made(name="g", given=given)
    with pytest.raises(ClientError, match=r"below its minimum value of \[100\]"):
        found.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=901)
    found.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=800)
    assert found.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"] == 200
    with pytest.raises(ClientError, match=r"below its minimum value of \[100\]"):
        found.put_function_concurrency(FunctionName="g", ReservedConcurrentExecutions=101)
    found.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=1)
    assert found.get_function_concurrency(FunctionName="f")["ReservedConcurrentExecutions"] == 1
    assert found.get_function(FunctionName="f")["Concurrency"] == {"ReservedConcurrentExecutions": 1}
    with pytest.raises(ClientError, match="should not be greater than the reservedConcurrentExecution"):
        found.put_provisioned_concurrency_config(FunctionName="f", Qualifier="1", ProvisionedConcurrentExecutions=2)
    with pytest.raises(ClientError, match="cannot be applied to unpublished function versions"):
        found.put_provisioned_concurrency_config(
            FunctionName="f", Qualifier="$LATEST", ProvisionedConcurrentExecutions=1
        )


def test_a_call_that_a_reset_cuts_off_leaves_nothing(gated: Any, account: Server) -> None:
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(handlers.failed, {"wait": "nothing"})
        # It has begun when it asks for its gate.
        standin.until(lambda: any(call["operation"] == "ListObjectsV2" for call in account.ask("calls")))
        account.ask("reset")
    assert running.result()[0]["errorType"] == "Runtime.ExitError"
    made()
    assert account.ask("status")["functions"] == ["f: 0 warm, 0 running"]
    handlers.said()
    assert sum(line.startswith("START") for line in handlers.reported(1)) == 1


def test_a_machine_without_memory_refuses_what_it_cannot_run(own_world: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with StandIn(REHEARSE_SPARE_MB=str(1 << 30)) as server:
        standin.emptied(server, monkeypatch)
        found = made()
        with pytest.raises(found.exceptions.TooManyRequestsException, match="too little for one more call"):
            found.invoke(FunctionName="f")
        assert server.ask("status")["functions"] == ["f: 0 warm, 0 running"]
