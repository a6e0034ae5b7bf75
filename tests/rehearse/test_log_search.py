"""Lines are searched in the streams that are asked for alone: those of one run are not another's."""

from __future__ import annotations

import time

import boto3

from dogbreed.rehearse.state import Server


def test_only_streams_with_the_prefix_are_searched(account: Server) -> None:
    logs, group = boto3.client("logs"), "/dogbreed/dogbreed"
    logs.create_log_group(logGroupName=group)
    for stream in ("first/node-0", "first/node-1", "second/node-0"):
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        event = {"timestamp": round(time.time() * 1000), "message": stream}
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[event])
    found = logs.filter_log_events(logGroupName=group, logStreamNamePrefix="first/")
    assert [one["message"] for one in found["events"]] == ["first/node-0", "first/node-1"]
    assert [one["logStreamName"] for one in found["searchedLogStreams"]] == ["first/node-0", "first/node-1"]
    assert len(logs.filter_log_events(logGroupName=group)["events"]) == 3
