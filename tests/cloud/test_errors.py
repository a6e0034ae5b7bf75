"""Every error of AWS becomes words: the stand-in's own answers, and all that the SDK can raise."""

from __future__ import annotations

import inspect
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore import exceptions as sdk
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import apply

from dogbreed.cloud import errors
from dogbreed.cloud.bucket import Bucket
from dogbreed.cloud.session import Aws
from dogbreed.cloud.storage import Store
from dogbreed.config import AwsSettings
from dogbreed.errors import EXIT_ACCESS, EXIT_USAGE, AccessError, DogbreedError, UsageError
from dogbreed.rehearse.state import Server


class Anything(dict[str, str]):
    """Fills whatever a message of the SDK asks for."""

    def __missing__(self, key: str) -> str:
        return f"some {key}"


def of_the_sdk() -> list[type[Exception]]:
    classes = [one for _, one in inspect.getmembers(sdk, inspect.isclass)]
    return [one for one in classes if issubclass(one, sdk.BotoCoreError)]


def answer(code: str, message: str = "", call: str = "CreateThing") -> sdk.ClientError:
    return sdk.ClientError({"Error": {"Code": code, "Message": message}}, call)


def told(error: BaseException) -> DogbreedError:
    words = errors.translate(error)
    assert words is not None
    return words


@pytest.mark.parametrize("kind", of_the_sdk(), ids=lambda kind: kind.__name__)
def test_whatever_the_sdk_raises_is_told_in_words(kind: type[Exception]) -> None:
    raised = kind.__new__(kind)
    Exception.__init__(raised, getattr(kind, "fmt", "it failed").format_map(Anything()))
    words = told(raised)
    assert words.message.strip() and words.hint
    assert "\n" not in words.message and "{" not in words.message


@settings(deadline=None)
@given(st.text(), st.text())
def test_any_answer_is_told_in_one_line(code: str, message: str) -> None:
    words = told(answer(code, message))
    assert words.message.splitlines() == [words.message]
    assert words.hint


@pytest.mark.parametrize(
    ("code", "message", "kind", "says", "hint"),
    [
        ("ExpiredToken", "", AccessError, "have expired", "aws sso login"),
        ("InvalidClientTokenId", "", AccessError, "does not know these credentials", "AWS_PROFILE"),
        ("RequestTimeTooSkewed", "", AccessError, "signature", "clock"),
        ("ThrottlingException", "Rate exceeded", DogbreedError, "fewer calls", "wait"),
        ("ResourceLimitExceeded", "The limit is 0", DogbreedError, "quota", "Service Quotas"),
        ("InsufficientInstanceCapacity", "none", DogbreedError, "no such machines", "--instance-type"),
        ("DependencyViolation", "sg-1 has a dependent object", DogbreedError, "still in use", "in a minute"),
        ("InternalError", "We encountered", DogbreedError, "also when asked again", "repeat"),
        ("NoSuchBucket", "no such", DogbreedError, "CreateThing: no such", "destroy --data"),
        ("ValidationException", "Could not find job", DogbreedError, "Could not find", "status"),
        ("ValidationException", "1 error", DogbreedError, "AWS refused CreateThing", "setting"),
        ("OptInRequired", "not subscribed", AccessError, "not subscribed", "enable"),
    ],
)
def test_what_aws_says_and_what_mends_it(
    code: str, message: str, kind: type[DogbreedError], says: str, hint: str
) -> None:
    words = told(answer(code, message))
    assert type(words) is kind
    assert says in words.message
    assert hint in words.hint


def test_an_explicit_deny_is_said_to_be_one() -> None:
    message = (
        "User: arn:aws:iam::123456789012:user/me is not authorized to perform: sagemaker:CreateTrainingJob on "
        "resource: arn:aws:sagemaker:eu-west-1:123456789012:training-job/x with an explicit deny in a service "
        "control policy"
    )
    words = told(answer("AccessDeniedException", message))
    assert "sagemaker:CreateTrainingJob on arn:aws:sagemaker" in words.message
    assert "explicit deny in a service control policy" in words.hint


def test_the_encoded_part_of_a_refusal_is_left_out() -> None:
    words = told(answer("UnauthorizedOperation", "You may not. Encoded authorization failure message: " + "x" * 900))
    assert words.message == "not allowed: CreateThing (You may not.)"


def test_other_errors_are_not_ours() -> None:
    assert errors.translate(ValueError("a bug")) is None


# -- the stand-in's answers

DENIED: list[tuple[str, Callable[[Aws], Any], str]] = [
    ("s3:GetObject", lambda aws: Store(aws).exists("runs/1/x"), "runs/1/x"),
    ("s3:GetObject", lambda aws: Store(aws).get("runs/1/x"), "runs/1/x"),
    ("s3:PutObject", lambda aws: Store(aws).put("runs/1/x", b""), "runs/1/x"),
    ("iam:GetRole", lambda aws: aws.client("iam").get_role(RoleName="dogs"), "role/dogs"),
    ("ec2:DescribeSubnets", lambda aws: aws.client("ec2").describe_subnets(), ""),
    ("logs:DescribeLogGroups", lambda aws: aws.client("logs").describe_log_groups(), ""),
    (
        "sagemaker:DescribeTrainingJob",
        lambda aws: aws.client("sagemaker").describe_training_job(TrainingJobName="dogs"),
        "training-job/dogs",
    ),
]


@pytest.mark.parametrize(
    ("action", "call", "on"), DENIED, ids=[f"{action}-{at}" for at, (action, *_) in enumerate(DENIED)]
)
def test_a_denied_action_is_named_with_what_it_was_for(
    aws: Aws, account: Server, action: str, call: Callable[[Aws], Any], on: str
) -> None:
    apply([Bucket(aws)])
    account.ask("fault", kind="deny", target=action)
    with pytest.raises(sdk.ClientError) as error:
        call(aws)
    words = told(error.value)
    assert words.exit_code == EXIT_ACCESS
    assert f"not allowed: {action}" in words.message
    assert on in words.message
    assert "iam policy" in words.hint


def test_an_upload_that_is_denied_is_told_as_such(aws: Aws, account: Server, tmp_path: Path) -> None:
    apply([Bucket(aws)])
    (tmp_path / "file").write_bytes(b"1")
    account.ask("fault", kind="deny", target="s3:PutObject")
    with pytest.raises(Exception, match="AccessDenied") as error:
        Store(aws).upload(tmp_path, "runs/1/")
    words = told(error.value)
    assert (words.exit_code, "s3:PutObject" in words.message) == (EXIT_ACCESS, True)


def test_what_is_not_there_is_told_from_what_is_denied(aws: Aws) -> None:
    apply([Bucket(aws)])
    calls: list[Callable[[], Any]] = [
        lambda: aws.client("iam").get_role(RoleName="none"),
        lambda: aws.client("s3").head_object(Bucket=aws.bucket, Key="none"),
        lambda: aws.client("s3").get_object(Bucket="nobodys", Key="none"),
        lambda: aws.client("sagemaker").describe_training_job(TrainingJobName="none"),
        lambda: aws.client("ec2").describe_subnets(SubnetIds=["subnet-0123456789abcdef0"]),
        lambda: aws.client("logs").get_log_events(logGroupName="none", logStreamName="none"),
        lambda: aws.client("ssm").get_parameter(Name="none"),
        lambda: aws.client("lambda").get_function(FunctionName="none"),
    ]
    for call in calls:
        with pytest.raises(sdk.ClientError) as error:
            call()
        assert errors.is_missing(error.value), error.value


def test_a_little_throttling_goes_unnoticed(aws: Aws, account: Server) -> None:
    account.ask("fault", kind="throttle", share=1.0, count=2)
    assert apply([Bucket(aws)]) == ["+"]


# -- before any answer


def test_no_region_names_how_to_give_one(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    with pytest.raises(UsageError, match="no AWS region") as error:
        Aws(AwsSettings()).client("s3")
    assert error.value.exit_code == EXIT_USAGE
    assert "--region" in error.value.hint


def test_a_profile_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(sdk.ProfileNotFound) as error:
        Aws(AwsSettings(profile="nobody")).client("s3")
    words = told(error.value)
    assert (type(words), "nobody" in words.message) == (UsageError, True)


def test_a_stand_in_that_is_not_up_is_no_storm_of_calls(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    # Bound, so that nobody else takes the port, and not listening: who connects is refused.
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{bound.getsockname()[1]}")
        down = Aws(AwsSettings())
        down.client("sts").meta.events.register("before-send", lambda **_: asked.append(1))
        with pytest.raises(sdk.EndpointConnectionError) as error:
            down.account  # noqa: B018
    assert "does not answer" in told(error.value).message
    assert len(asked) <= 4


def test_without_credentials_a_silent_metadata_service_is_asked_no_more_than_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a container or behind a firewall that swallows what is sent to 169.254.169.254."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        asked: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    asked.append(silent.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(sdk.NoCredentialsError) as error:
            Aws(AwsSettings(region="eu-west-1")).client("s3")
        assert told(error.value).exit_code == EXIT_ACCESS
        assert "rehearse up" in told(error.value).hint
        assert len(asked) <= 2
        for one in asked:
            one.close()
