"""Versions, aliases, changes in progress, tags and policies of the stand-in's functions."""

from __future__ import annotations

import json
from typing import Any

import boto3
import handlers
import pytest
import standin
from handlers import made, said, settled

from dogbreed.rehearse.state import Server

pytestmark = pytest.mark.usefixtures("brisk")


def answers(number: int) -> dict[str, bytes]:
    return {"ZipFile": handlers.zipped(app=f"def handler(event, context):\n    return {number}\n")}


def change(found: Any, number: int) -> str:
    """The next version of the function, which answers `number`."""
    found.update_function_code(FunctionName="f", **answers(number))
    settled()
    return str(found.publish_version(FunctionName="f")["Version"])


def test_a_version_stays_what_it_was_and_an_alias_moves(account: Server) -> None:
    found = made(Code=answers(1))
    first = found.publish_version(FunctionName="f", Description="the first")
    assert found.publish_version(FunctionName="f")["Version"] == first["Version"] == "1"
    found.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
    assert change(found, 2) == "2"
    assert [said(Qualifier=name) for name in ("1", "2", "live", "$LATEST")] == [1, 2, 1, 2]
    assert said(name="f:live") == said(name="arn:aws:lambda:eu-west-1:123456789012:function:f:live") == 1
    found.update_alias(FunctionName="f", Name="live", FunctionVersion="2")
    assert said(Qualifier="live") == 2
    asked = {one for call in account.ask("calls") if call["operation"] == "Invoke" for one in call["resources"]}
    assert asked == {
        f"arn:aws:lambda:eu-west-1:123456789012:function:f:{name}" for name in ("1", "2", "live", "$LATEST")
    }
    told = found.get_function(FunctionName="f", Qualifier="live")["Configuration"]
    assert (told["Version"], told["FunctionArn"]) == ("2", "arn:aws:lambda:eu-west-1:123456789012:function:f:live")
    listed = found.list_versions_by_function(FunctionName="f")["Versions"]
    assert [one["Version"] for one in listed] == ["$LATEST", "1", "2"]
    assert [one["Description"] for one in listed] == ["", "the first", ""]
    assert listed[1]["CodeSha256"] == first["CodeSha256"] != listed[2]["CodeSha256"]
    with pytest.raises(found.exceptions.ResourceConflictException, match="referenced by aliases"):
        found.delete_function(FunctionName="f", Qualifier="2")
    found.delete_function(FunctionName="f", Qualifier="1")
    with pytest.raises(found.exceptions.ResourceNotFoundException):
        said(Qualifier="1")


def test_an_alias_deals_its_calls_to_two_versions_by_weight(account: Server) -> None:
    found = made(Code=answers(1))
    found.publish_version(FunctionName="f")
    change(found, 2)
    found.create_alias(
        FunctionName="f", Name="live", FunctionVersion="1", RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}}
    )
    # That one of the two is not met in 30 calls is as likely as one in 2**29.
    assert {said(Qualifier="live") for _ in range(30)} == {1, 2}
    found.update_alias(FunctionName="f", Name="live", RoutingConfig={"AdditionalVersionWeights": {"2": 1.0}})
    assert {said(Qualifier="live") for _ in range(5)} == {2}
    with pytest.raises(found.exceptions.ResourceNotFoundException):
        found.update_alias(FunctionName="f", Name="live", RoutingConfig={"AdditionalVersionWeights": {"9": 0.1}})


def test_while_a_change_is_made_there_is_no_other_and_the_old_one_answers(account: Server) -> None:
    found = made(Code=answers(1))
    # So slow that the change lasts as long as the test.
    with handlers.faster(account, 0.001):
        told = found.update_function_code(FunctionName="f", **answers(2))
        assert told["LastUpdateStatus"] == "InProgress"
        assert said() == 1
        for again in (
            lambda: found.update_function_code(FunctionName="f", **answers(3)),
            lambda: found.update_function_configuration(FunctionName="f", Timeout=5),
            lambda: found.publish_version(FunctionName="f"),
        ):
            with pytest.raises(found.exceptions.ResourceConflictException, match="An update is in progress"):
                again()
    settled()
    assert said() == 2


def test_a_new_function_is_pending_first(account: Server) -> None:
    found = handlers.client()
    with handlers.faster(account, 0.001):
        told = found.create_function(
            FunctionName="f",
            Runtime="python3.12",
            Handler="app.handler",
            Role=handlers.role(),
            Code=answers(1),
            Timeout=60,
        )
        assert told["State"] == "Pending"
        with pytest.raises(found.exceptions.ResourceConflictException, match="state: Pending"):
            found.invoke(FunctionName="f")
    found.get_waiter("function_active_v2").wait(FunctionName="f", WaiterConfig={"Delay": 1})
    assert said() == 1
    with pytest.raises(found.exceptions.ResourceConflictException, match="already exist"):
        made(given="arn:aws:iam::123456789012:role/function")


def test_configuration_changes_only_in_what_is_given(account: Server) -> None:
    source = "import os\ndef handler(event, context):\n    return os.environ.get('DOG'), context.memory_limit_in_mb\n"
    found = made(source, Environment={"Variables": {"DOG": "rex"}})
    assert said() == ["rex", "128"]
    before = found.get_function_configuration(FunctionName="f")
    found.update_function_configuration(FunctionName="f", MemorySize=256)
    settled()
    assert said() == ["rex", "256"]
    after = found.get_function_configuration(FunctionName="f")
    changed = {key for key in after if after[key] != before.get(key)}
    assert changed <= {"MemorySize", "LastModified", "RevisionId", "ResponseMetadata"}
    with pytest.raises(found.exceptions.PreconditionFailedException):
        found.update_function_configuration(FunctionName="f", Timeout=9, RevisionId=before["RevisionId"])


def test_a_deleted_function_is_gone_with_its_environments(account: Server) -> None:
    found = made()
    said()
    assert account.ask("status")["functions"] == ["f: 1 warm, 0 running"]
    found.delete_function(FunctionName="f")
    assert account.ask("status")["functions"] == []
    assert found.list_functions()["Functions"] == []
    with pytest.raises(found.exceptions.ResourceNotFoundException):
        found.delete_function(FunctionName="f")


def test_functions_are_found_by_their_tags(account: Server) -> None:
    found = made(Tags={"dogbreed:project": "p"})
    arn = "arn:aws:lambda:eu-west-1:123456789012:function:f"
    found.tag_resource(Resource=arn, Tags={"stage": "test"})
    assert found.list_tags(Resource=arn)["Tags"] == {"dogbreed:project": "p", "stage": "test"}
    tagging = boto3.client("resourcegroupstaggingapi")
    for values, expected in ((["p"], [arn]), (["q"], [])):
        wanted = [{"Key": "dogbreed:project", "Values": values}]
        hits = tagging.get_resources(TagFilters=wanted)["ResourceTagMappingList"]
        assert [one["ResourceARN"] for one in hits] == expected
    found.untag_resource(Resource=arn, TagKeys=["stage"])
    assert found.get_function(FunctionName="f")["Tags"] == {"dogbreed:project": "p"}


def test_permissions_are_kept_by_qualifier(account: Server) -> None:
    found = made()
    found.publish_version(FunctionName="f")
    found.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
    given = {"FunctionName": "f", "StatementId": "events", "Action": "lambda:InvokeFunction"}
    given |= {"Principal": "events.amazonaws.com", "SourceArn": "arn:aws:events:eu-west-1:123456789012:rule/r"}
    found.add_permission(**given, Qualifier="live")
    with pytest.raises(found.exceptions.ResourceConflictException):
        found.add_permission(**given, Qualifier="live")
    with pytest.raises(found.exceptions.ResourceNotFoundException):
        found.get_policy(FunctionName="f")
    [statement] = json.loads(found.get_policy(FunctionName="f", Qualifier="live")["Policy"])["Statement"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Resource"].endswith(":function:f:live")
    assert statement["Condition"] == {"ArnLike": {"AWS:SourceArn": given["SourceArn"]}}
    found.remove_permission(FunctionName="f", StatementId="events", Qualifier="live")
    with pytest.raises(found.exceptions.ResourceNotFoundException):
        found.get_policy(FunctionName="f", Qualifier="live")


def test_how_events_are_tried_again_is_kept(account: Server) -> None:
    found = made("def handler(event, context):\n    raise OSError\n")
    found.put_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=0)
    told = found.get_function_event_invoke_config(FunctionName="f")
    assert (told["MaximumRetryAttempts"], told["FunctionArn"].rsplit(":", 1)[1]) == (0, "$LATEST")
    with handlers.faster(account, 600):
        found.invoke(FunctionName="f", InvocationType="Event")
        standin.until(lambda: "AsyncEventsDropped" in names())
    assert sum(line.startswith("START") for line in handlers.reported(1)) == 1
    found.delete_function_event_invoke_config(FunctionName="f")
    with pytest.raises(found.exceptions.ResourceNotFoundException):
        found.get_function_event_invoke_config(FunctionName="f")


def names() -> set[str]:
    return {one["MetricName"] for one in boto3.client("cloudwatch").list_metrics(Namespace="AWS/Lambda")["Metrics"]}
