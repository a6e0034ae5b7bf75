"""The stand-in cloud for tests: one server for a session, emptied before each test.

    from standin import account, cloud     # in a conftest.py

`account` is an empty account; boto3, the SDKs and `dogbreed` started from the test reach it. The grace after SIGTERM
is shorter there than on AWS, though long enough for a busy machine; who waits for its end sets another ("grace"). A
function may take longer to begin than on AWS, where it would begin anew after 10 seconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from dogbreed.rehearse.state import Server, StandIn

QUICK = {"REHEARSE_GRACE_S": "20", "REHEARSE_SPOT_BACK_S": "0.2", "REHEARSE_INIT_S": "120"}
# A speed at which the clock hardly moves: what goes by it stays as it is.
STILL = 1e-3
_WAIT_S = 300


@pytest.fixture(scope="session")
def cloud(own_world: None) -> Iterator[Server]:
    with StandIn(**QUICK) as server:
        yield server


@pytest.fixture
def account(cloud: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    return emptied(cloud, monkeypatch)


def emptied(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server with an empty account, and the environment that leads to it."""
    server.ask("reset")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    # boto3 keeps a session, which would keep the region of an earlier one.
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    return server


def bucket(name: str = "photos") -> str:
    where: Any = {"LocationConstraint": "eu-west-1"}
    boto3.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration=where)
    return name


def role(name: str = "training", service: str = "sagemaker.amazonaws.com") -> str:
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    return str(boto3.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"])


def until(what: Callable[[], Any], seconds: float = _WAIT_S) -> Any:
    """What `what` says as soon as that is true; the test fails if it is not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not (said := what()):
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)
    return said


def figures(
    name: str, stat: str, period: int, since: datetime, space: str = "AWS/SageMaker", **dimensions: str
) -> list[float]:
    """One figure of each period of a metric from `since` on, oldest first; however far the clock has gone."""
    where = [{"Name": key, "Value": value} for key, value in dimensions.items()]
    metric = {"Namespace": space, "MetricName": name, "Dimensions": where}
    told = boto3.client("cloudwatch").get_metric_data(
        MetricDataQueries=[{"Id": "m", "MetricStat": {"Metric": metric, "Period": period, "Stat": stat}}],
        StartTime=since - timedelta(minutes=2),
        EndTime=datetime(2099, 1, 1, tzinfo=UTC),
        ScanBy="TimestampAscending",
    )
    return list(told["MetricDataResults"][0]["Values"])
