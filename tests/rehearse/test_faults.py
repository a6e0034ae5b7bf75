"""Faults on demand: the codes and words of AWS, the share that was asked for, and an end to them."""

from __future__ import annotations

import functools
from typing import Any

import boto3
import pytest
import standin
from botocore.config import Config
from botocore.exceptions import ClientError

from dogbreed.errors import DogbreedError
from dogbreed.rehearse.state import Server

ONCE: Any = Config(retries={"total_max_attempts": 1})


@functools.cache
def client(service: str) -> Any:
    return boto3.client(service, config=ONCE)


def code(service: str, operation: str, **params: Any) -> tuple[str, int]:
    """How one attempt ends."""
    try:
        getattr(client(service), operation)(**params)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    return "", 200


@pytest.mark.parametrize(
    ("service", "operation", "params", "throttled", "denied"),
    [
        ("s3", "list_objects_v2", {"Bucket": "photos"}, ("SlowDown", 503), ("AccessDenied", 403)),
        ("ec2", "describe_vpcs", {}, ("RequestLimitExceeded", 503), ("UnauthorizedOperation", 403)),
        ("sagemaker", "list_training_jobs", {}, ("ThrottlingException", 400), ("AccessDeniedException", 400)),
        ("iam", "list_roles", {}, ("Throttling", 400), ("AccessDenied", 403)),
        ("lambda", "list_functions", {}, ("TooManyRequestsException", 429), ("AccessDeniedException", 403)),
    ],
)
def test_each_service_throttles_and_denies_in_its_own_form(
    account: Server,
    service: str,
    operation: str,
    params: dict[str, Any],
    throttled: tuple[str, int],
    denied: tuple[str, int],
) -> None:
    standin.bucket()
    account.ask("fault", kind="throttle")
    assert code(service, operation, **params) == throttled
    account.ask("clear", kind="throttle")
    account.ask("fault", kind="deny", target=f"{service}:*")
    assert code(service, operation, **params) == denied
    account.ask("clear")
    assert code(service, operation, **params) == ("", 200)


def test_a_denial_names_who_what_and_on_what(account: Server) -> None:
    standin.bucket()
    account.ask("fault", kind="deny", target="s3:getobject")
    with pytest.raises(ClientError) as caught:
        boto3.client("s3").get_object(Bucket="photos", Key="a/b.jpg")
    assert caught.value.response["Error"]["Message"] == (
        "User: arn:aws:iam::123456789012:user/rehearsal is not authorized to perform: s3:GetObject on resource: "
        '"arn:aws:s3:::photos/a/b.jpg" because no identity-based policy allows the s3:GetObject action'
    )


def test_a_share_of_the_calls_the_same_ones_for_a_seed_and_not_more_than_a_count(account: Server) -> None:
    standin.bucket()

    def pattern(**fault: Any) -> list[str]:
        account.ask("clear")
        account.ask("fault", kind="s3-500", **fault)
        return [code("s3", "list_objects_v2", Bucket="photos")[0] for _ in range(60)]

    first = pattern(share=0.3, seed=1)
    assert pattern(share=0.3, seed=1) == first
    assert pattern(share=0.3, seed=2) != first
    assert 5 <= first.count("InternalError") <= 31
    assert pattern(share=1.0, count=2).count("InternalError") == 2


def test_clients_that_retry_get_through(account: Server) -> None:
    standin.bucket()
    account.ask("fault", kind="throttle", share=0.3)
    account.ask("fault", kind="s3-500", share=0.3)
    s3 = boto3.client("s3", config=Config(retries={"mode": "standard", "max_attempts": 10}))
    for number in range(12):
        s3.put_object(Bucket="photos", Key=str(number), Body=b"x")
    account.ask("clear")
    assert s3.list_objects_v2(Bucket="photos")["KeyCount"] == 12
    assert {"SlowDown", "InternalError"} <= {call["error"] for call in account.ask("calls")}


def test_a_role_that_may_not_be_passed_on(account: Server) -> None:
    account.ask("fault", kind="deny", target="iam:PassRole")
    with pytest.raises(ClientError, match=r"perform: iam:PassRole on resource: arn:aws:iam::123456789012:role/r "):
        boto3.client("sagemaker").create_model(ModelName="m", ExecutionRoleArn="arn:aws:iam::123456789012:role/r")


def test_a_fault_that_is_none_is_refused(account: Server) -> None:
    with pytest.raises(DogbreedError, match="no fault rain"):
        account.ask("fault", kind="rain")
