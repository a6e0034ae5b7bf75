"""What a deployed service writes: the lines of its containers and functions, from CloudWatch Logs, as they come."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from dogbreed.cloud.errors import is_missing
from dogbreed.cloud.remote import LogLine
from dogbreed.cloud.session import Aws
from dogbreed.errors import UsageError

_LOOK_EVERY_S = 2.0
# A line may be a little late in CloudWatch, so what is read overlaps what was read before.
_OVERLAP_MS = 60_000
# Training on machines writes into the same group as the machines of a service, whose streams begin with this.
_OF_MACHINES = "ec2/"


def groups(aws: Aws, door: str) -> list[str]:
    """The log groups of a service, with that of the function in front of it."""
    if door in ("endpoint", "serverless"):
        containers = f"/aws/sagemaker/Endpoints/{aws.name(door)}"
        more = [f"/aws/sagemaker/InferenceComponents/{aws.name(door)}-model"] if door == "endpoint" else []
        return [containers, *more, f"/aws/lambda/{aws.name(door)}-front"]
    return [f"/aws/lambda/{aws.name(door)}"] if door == "lambda" else [f"/dogbreed/{aws.settings.project}"]


def lines(aws: Aws, door: str, since: float, *, follow: bool) -> Iterator[LogLine | None]:
    """Lines from `since` (seconds since 1970) on, in order; with `follow` for ever, None when there was nothing new.

    UsageError where the service has never written anything.
    """
    names, seen, begin = groups(aws, door), dict[str, int](), int(max(0.0, since) * 1000)
    prefix = _OF_MACHINES if door == "ec2" else ""
    with ThreadPoolExecutor(len(names)) as pool:
        while True:
            found = list(pool.map(partial(_events, aws, begin, prefix), names))
            if not follow and all(one is None for one in found):
                raise UsageError(f"{aws.name(door)} has written nothing in {aws.region}", "see: dogbreed status")
            fresh = [one for events in found for one in events or () if one["eventId"] not in seen]
            fresh.sort(key=lambda event: event["timestamp"])
            seen |= {one["eventId"]: one["timestamp"] for one in fresh}
            for one in fresh:
                yield LogLine(one["timestamp"] / 1000, one["host"], one["message"].rstrip())
            if not follow:
                return
            if fresh:
                begin = max(begin, fresh[-1]["timestamp"] - _OVERLAP_MS)
                seen = {event: when for event, when in seen.items() if when >= begin}
            else:
                yield None
            time.sleep(_LOOK_EVERY_S)


def _events(aws: Aws, begin: int, prefix: str, group: str) -> list[dict[str, Any]] | None:
    """FilterLogEvents from `begin` (ms since 1970) on, of streams that begin so; None where there is no such group."""
    pages = aws.client("logs").get_paginator("filter_log_events")
    only = {"logStreamNamePrefix": prefix} if prefix else {}
    try:
        found = [
            {**event, "host": event["logStreamName"].rsplit("/", 1)[-1][-20:]}
            for page in pages.paginate(logGroupName=group, startTime=begin, **only)
            for event in page["events"]
            if event["logStreamName"].startswith(prefix)
        ]
    except ClientError as error:
        if is_missing(error):
            return None
        raise
    return found
