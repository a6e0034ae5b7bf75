"""The function in front of an endpoint: what goes on, what comes back, what is repeated, and that it is never late."""

from __future__ import annotations

import base64
import json
import logging
from typing import Any

import lambda_calls
import pytest
from lambda_calls import ACCOUNT, ANSWER, Context, Says, sagemaker, said
from standin import until

PHOTO = b"\xff\xd8\xff a photo \x00\x80"
SECRETS = (ACCOUNT, "arn:aws", "Traceback", "secret-function", "dogs-endpoint", "AKIA")
WORDS = f"User: arn:aws:sts::{ACCOUNT}:assumed-role/x is not authorized ... Endpoint dogs-endpoint of account {ACCOUNT}"


def model_error(status: int, message: str) -> Says:
    body = {"Message": f"Received {status} from arn:aws:x:{ACCOUNT}", "OriginalStatusCode": status}
    return Says({**body, "OriginalMessage": message, "LogStreamArn": f"arn:aws:logs:{ACCOUNT}"}, 424, "ModelError")


def refusal(code: str, message: str) -> str:
    return json.dumps({"error": {"code": code, "message": message, "hint": "do so", "request_id": "inner"}})


@pytest.mark.parametrize(
    ("event", "kind", "top_k"),
    [
        (lambda_calls.direct(PHOTO), "application/octet-stream", None),
        (lambda_calls.over_http(PHOTO, "image/jpeg"), "image/jpeg", None),
        (lambda_calls.over_http(PHOTO, "image/png", "2.0", "3"), "image/png", "top_k=3"),
        (lambda_calls.over_http(PHOTO, "image/webp", "1.0", "7"), "image/webp", "top_k=7"),
        (lambda_calls.over_http(PHOTO, "multipart/form-data; boundary=x"), "multipart/form-data; boundary=x", None),
    ],
)
def test_the_body_goes_on_as_it_came(monkeypatch: pytest.MonkeyPatch, event: Any, kind: str, top_k: str | None) -> None:
    with sagemaker(Says()) as (url, asked):
        answer = lambda_calls.front(monkeypatch, url).handler(event, Context())
    assert answer["statusCode"] == 200
    assert said(answer) == [ANSWER]
    (one,) = asked
    assert one.path == "/endpoints/dogs-endpoint/invocations"
    assert (one.body, one.headers["content-type"]) == (PHOTO, kind)
    assert one.headers.get("x-amzn-sagemaker-custom-attributes") == top_k


def test_json_goes_on_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    event = {"image": base64.b64encode(PHOTO).decode(), "top_k": 3}
    with sagemaker(Says()) as (url, asked):
        answer = lambda_calls.front(monkeypatch, url).handler(event, Context())
    assert answer["statusCode"] == 200
    assert asked[0].headers["content-type"] == "application/json"
    assert json.loads(asked[0].body) == event


PROBLEMS = [
    (model_error(415, refusal("not-an-image", "not a JPEG")), 415, "not-an-image", ""),
    (model_error(422, refusal("truncated", "cut off")), 422, "truncated", ""),
    (model_error(413, refusal("bomb", "too many pixels")), 413, "bomb", ""),
    (model_error(404, f"<html>{WORDS}"), 404, "not-found", ""),
    (model_error(429, refusal("too-many-requests", "one client")), 429, "too-many-requests", "1"),
    (model_error(503, refusal("busy", "too much to do")), 503, "busy", "1"),
    (model_error(500, f"Traceback {WORDS}"), 502, "endpoint-failed", ""),
    (model_error(500, refusal("internal", f"Traceback {WORDS}")), 502, "endpoint-failed", ""),
    (Says({"Message": WORDS}, 400, "ThrottlingException"), 429, "too-many-requests", "1"),
    (Says({"Message": WORDS}, 429, "ModelNotReadyException"), 503, "no-endpoint", "30"),
    (Says({"Message": f"{WORDS} not found."}, 400, "ValidationError"), 503, "no-endpoint", "30"),
    (Says({"Message": WORDS}, 400, "ValidationError"), 400, "refused", ""),
    (Says({"Message": WORDS}, 403, "AccessDeniedException"), 502, "endpoint-failed", ""),
    (Says(b"<html>", 413), 413, "too-large", ""),
    (Says({"Message": WORDS}, 503, "ServiceUnavailable"), 503, "no-endpoint", "30"),
    (Says({"Message": WORDS}, 500, "InternalFailure"), 502, "endpoint-failed", ""),
    (Says({"logits": [1.0]}), 502, "endpoint-failed", ""),
    (Says(b"\xff"), 502, "endpoint-failed", ""),
]


@pytest.mark.parametrize(("says", "status", "code", "again"), PROBLEMS)
def test_every_problem_has_its_status_and_tells_nothing_of_the_account(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, says: Says, status: int, code: str, again: str
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with sagemaker(says) as (url, _), caplog.at_level(logging.INFO):
        answer = lambda_calls.front(monkeypatch, url).handler(lambda_calls.direct(PHOTO), Context())
    error = said(answer)["error"]
    assert (answer["statusCode"], error["code"]) == (status, code)
    assert answer["headers"].get("Retry-After", "") == again
    assert error["request_id"] == answer["headers"]["X-Request-Id"] == Context.aws_request_id
    (line,) = [one.getMessage() for one in caplog.records if one.name == "dogbreed.function"]
    assert json.loads(line).items() >= {"request_id": Context.aws_request_id, "status": status}.items()
    assert not [secret for secret in SECRETS if secret in line or secret in json.dumps(answer)]


@pytest.mark.parametrize(
    ("says", "times"),
    [
        (Says({}, 500, "InternalFailure"), 3),
        (Says({}, 503, "ServiceUnavailable"), 3),
        (Says({}, 400, "ThrottlingException"), 1),
        (model_error(503, ""), 1),
        (model_error(500, ""), 1),
        (Says(b"<html>"), 1),
    ],
)
def test_only_what_did_no_work_is_repeated(monkeypatch: pytest.MonkeyPatch, says: Says, times: int) -> None:
    with sagemaker(says) as (url, asked):
        lambda_calls.front(monkeypatch, url).handler(lambda_calls.direct(PHOTO), Context())
    assert len(asked) == times


def test_what_failed_once_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    with sagemaker(Says({}, 500, "InternalFailure"), Says()) as (url, asked):
        answer = lambda_calls.front(monkeypatch, url).handler(lambda_calls.direct(PHOTO), Context())
    assert (answer["statusCode"], len(asked)) == (200, 2)


@pytest.mark.parametrize("seconds", [0.2, 3, 5.4])
def test_it_answers_before_lambda_ends_it(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Whatever the function's timeout is, and however long the endpoint takes."""
    context = Context(seconds)
    with sagemaker(Says(after_s=8)) as (url, asked):
        answer = lambda_calls.front(monkeypatch, url).handler(lambda_calls.direct(PHOTO), context)
        left_ms = context.get_remaining_time_in_millis()
        until(lambda: asked or seconds < 4)
    assert (answer["statusCode"], said(answer)["error"]["code"]) == (504, "timeout")
    assert len(asked) == (1 if seconds > 4 else 0)
    # Of 5.4 seconds it waits for one. Where it does not wait at all, there is nothing to measure.
    assert left_ms > 0 or not asked


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = lambda_calls.front(monkeypatch, "http://127.0.0.1:9").handler(lambda_calls.direct(PHOTO), Context())
    assert answer["statusCode"] == 502


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (lambda_calls.direct(b""), 400),
        ({"body": "no base64!", "isBase64Encoded": True}, 400),
        (lambda_calls.direct(bytes(2**20 + 1)), 413),
        (lambda_calls.over_http(PHOTO, "image/jpeg\r\nX-Evil: 1"), 415),
        (lambda_calls.over_http(PHOTO, "image/jpeg", "2.0", "0"), 422),
        (lambda_calls.over_http(PHOTO, "image/jpeg", "1.0", "3,EndpointName=x"), 422),
        (lambda_calls.over_http(b"", "", "2.0", method="GET"), 405),
        (lambda_calls.over_http(b"", "", "1.0", method="OPTIONS"), 405),
        ([], 422),
        (None, 422),
        ({"body": 3}, 422),
    ],
)
def test_what_is_no_request_never_gets_to_the_endpoint(
    monkeypatch: pytest.MonkeyPatch, event: Any, status: int
) -> None:
    with sagemaker(Says()) as (url, asked):
        module = lambda_calls.front(monkeypatch, url, DOGBREED_MAX_BYTES=str(2**20))
        answer = module.handler(event, Context())
    assert (answer["statusCode"], asked) == (status, [])
    assert said(answer)["error"]["request_id"] == Context.aws_request_id
