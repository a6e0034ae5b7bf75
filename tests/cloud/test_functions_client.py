"""What a person is told who asks an endpoint or a function, whatever AWS says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from lambda_calls import ANSWER, Says, sagemaker

from dogbreed.cloud.serving.client import OfEndpoint, OfFunction
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings
from dogbreed.errors import DogbreedError, PhotoError, UsageError
from dogbreed.rehearse.state import Server

REFUSED = json.dumps({"error": {"code": "truncated", "message": "cut off", "hint": "again", "request_id": "1"}})
BUSY = json.dumps({"error": {"code": "busy", "message": "too much to do", "hint": "", "request_id": "1"}})


def model_error(status: int, message: str) -> Says:
    return Says({"Message": "m", "OriginalStatusCode": status, "OriginalMessage": message}, 424, "ModelError")


def ask(patch: pytest.MonkeyPatch, *answers: Says) -> tuple[Callable[[], Any], Any]:
    """Asks an endpoint once; and what was asked of SageMaker by then."""
    asked: list[Any] = []

    def once() -> Any:
        with sagemaker(*answers) as (url, seen):
            patch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", url)
            try:
                return OfEndpoint(Aws(AwsSettings()), "dogs").predict(b"photo", name="a.jpg", top_k=3)
            finally:
                asked.extend(seen)

    return once, asked


@pytest.fixture(autouse=True)
def hurry(account: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)


def test_the_same_bytes_in_and_the_same_answer_out(monkeypatch: pytest.MonkeyPatch) -> None:
    once, asked = ask(monkeypatch, Says())
    assert once().to_json() == ANSWER | {"file": "a.jpg"}
    assert (asked[0].path, asked[0].body) == ("/endpoints/dogs/invocations", b"photo")
    assert asked[0].headers["x-amzn-sagemaker-custom-attributes"] == "top_k=3"


@pytest.mark.parametrize("busy", [Says({}, 400, "ThrottlingException"), model_error(503, BUSY), model_error(429, BUSY)])
def test_who_is_busy_is_asked_again(monkeypatch: pytest.MonkeyPatch, busy: Says) -> None:
    once, asked = ask(monkeypatch, busy, busy, Says())
    assert once().breed == ANSWER["breed"]
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("says", "error", "words"),
    [
        (model_error(422, REFUSED), PhotoError, "cut off"),
        (model_error(503, BUSY), DogbreedError, "too much to do"),
        (model_error(500, "<html>"), DogbreedError, "no answer of dogbreed serve"),
        (Says(b"", 413), PhotoError, "more than endpoint dogs takes"),
        (Says({"Message": "Endpoint dogs of account 1 not found."}, 400, "ValidationError"), UsageError, "no endpoint"),
        (Says([{}]), DogbreedError, "another form"),
        (Says([1.5, -3.0]), DogbreedError, "another form"),
    ],
)
def test_what_cannot_be_answered(
    monkeypatch: pytest.MonkeyPatch, says: Says, error: type[DogbreedError], words: str
) -> None:
    once, _ = ask(monkeypatch, says)
    with pytest.raises(error, match=words) as raised:
        once()
    assert raised.value.hint


def test_one_that_is_there_but_not_ready(account: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    aws = Aws(AwsSettings())
    door = OfEndpoint(aws, "dogbreed-endpoint")
    listed = {"Endpoints": [{"EndpointName": "dogbreed-endpoint"}]}
    aws.client("sagemaker").meta.events.register("before-call.sagemaker.ListEndpoints", lambda **_: (_Ok(), listed))
    with pytest.raises(DogbreedError, match="is there, but not ready") as raised:
        door.predict(b"photo")
    assert not isinstance(raised.value, UsageError)


class _Ok:
    status_code = 200


@pytest.mark.parametrize(
    ("name", "plain", "version"),
    [
        ("dogs", "dogs", "live"),
        ("dogs:3", "dogs", "3"),
        ("arn:aws:lambda:eu-west-1:1:function:dogs", "arn:aws:lambda:eu-west-1:1:function:dogs", "live"),
        ("arn:aws:lambda:eu-west-1:1:function:dogs:beta", "arn:aws:lambda:eu-west-1:1:function:dogs", "beta"),
    ],
)
def test_how_people_call_a_function(monkeypatch: pytest.MonkeyPatch, name: str, plain: str, version: str) -> None:
    answer = {"statusCode": 200, "headers": {}, "body": json.dumps([ANSWER])}
    with sagemaker(Says(answer)) as (url, asked):
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", url)
        OfFunction(Aws(AwsSettings()), name).predict(b"photo")
    path = plain.replace(":", "%3A")
    assert asked[0].path == f"/2015-03-31/functions/{path}/invocations?Qualifier={version}"


@pytest.mark.parametrize("said", [[], {"errorMessage": "x"}, {"statusCode": 200}, {"statusCode": 200, "body": 3}, "x"])
def test_a_function_of_somebody_elses_is_noticed(monkeypatch: pytest.MonkeyPatch, said: Any) -> None:
    with sagemaker(Says(said)) as (url, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", url)
        with pytest.raises(DogbreedError, match="of another form"):
            OfFunction(Aws(AwsSettings()), "theirs").predict(b"photo")
