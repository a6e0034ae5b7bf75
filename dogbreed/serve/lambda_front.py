"""The Lambda function in front of one SageMaker endpoint, for programs that have no SDK for it.

Which endpoint stands in the function's environment, never in a request. It needs nothing but Lambda's own Python with
its boto3. The body goes on as it came: the endpoint reads it, looks at its size in pixels, and says what is wrong.
"""

from __future__ import annotations

import json
import os
import random
import time
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from dogbreed import __version__
from dogbreed.serve.lambda_event import MARGIN_S, MAX_BYTES, Reply, Request, answer
from dogbreed.serve.problems import Problem, of_status

_ENDPOINT = os.environ["DOGBREED_ENDPOINT"]
_COMPONENT = os.environ.get("DOGBREED_COMPONENT", "")
_MAX_BYTES = int(os.environ.get("DOGBREED_MAX_BYTES", MAX_BYTES))
# A name leads to several addresses, each of which is tried; serve itself gives up after 20 s.
_CONNECT_S, _ADDRESSES, _READ_S = 1, 3, 22
_TRIES, _FIRST_WAIT_S = 3, 0.1
# Nothing of the request was begun, or AWS itself stumbled. What takes long is not begun a second time, and who has too
# much to do is not asked more often.
_AGAIN = (ConnectTimeoutError, EndpointConnectionError, ConnectionClosedError)
_AGAIN_CODES = {"InternalFailure", "InternalDependencyException", "ServiceUnavailable", "InternalServerException"}
_THROTTLED = {"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"}
_TYPE_LENGTH = 1024


@cache
def _client(read_s: int) -> Any:
    """Tries once: `_ask` knows how much time is left for more."""
    config = Config(
        connect_timeout=_CONNECT_S,
        read_timeout=read_s,
        retries={"mode": "standard", "total_max_attempts": 1},
        user_agent_extra=f"dogbreed/{__version__}",
    )
    return boto3.client("sagemaker-runtime", config=config)


_client(_READ_S)  # while the function starts, which is not paid with a caller's time


def handler(event: Any, context: Any) -> dict[str, Any]:
    """What Lambda calls."""
    return answer(event, context, _work)


def _work(request: Request) -> Reply:
    if not request.body:
        raise Problem(400, "empty", "the request has no body", "send a photo, or JSON with base64")
    if len(request.body) > _MAX_BYTES:
        limit = f"{_MAX_BYTES / 2**20:g} MiB"
        raise Problem(413, "too-large", f"the body is larger than {limit}", "send a smaller photo")
    kind = request.content_type
    if not (kind.isprintable() and kind.isascii() and len(kind) <= _TYPE_LENGTH):
        raise Problem(415, "media-type", "this Content-Type is not read", "send image/jpeg, or JSON with base64")
    given: dict[str, Any] = {"EndpointName": _ENDPOINT, "Body": request.body}
    given["ContentType"] = kind or "application/octet-stream"
    if _COMPONENT:
        given["InferenceComponentName"] = _COMPONENT
    if request.top_k is not None:
        given["CustomAttributes"] = f"top_k={request.top_k}"
    text, tries = _ask(given, request)
    try:
        answers = json.loads(text)
        unsure = sum(bool(one["unsure"]) for one in answers)
    except (ValueError, TypeError, KeyError):
        raise _failed("the endpoint gave an answer of another form") from None
    return Reply(text, {"photos": len(answers), "unsure": unsure, "tries": tries})


def _ask(given: dict[str, Any], request: Request) -> tuple[str, int]:
    """The endpoint's answer, and after how many tries; Problem where there is none in time."""
    for number in range(1, _TRIES + 1):
        read_s = int(min(_READ_S, request.left() - _CONNECT_S * _ADDRESSES - MARGIN_S))
        if read_s < 1:
            raise _late()
        try:
            body: bytes = _client(read_s).invoke_endpoint(**given)["Body"].read()
            return body.decode("utf-8"), number
        except (ClientError, BotoCoreError, ValueError) as error:
            if number == _TRIES or not _worth_repeating(error):
                raise _problem(error) from None
        wait = _FIRST_WAIT_S * 4 ** (number - 1) * random.uniform(0.5, 1)
        time.sleep(max(0.0, min(wait, request.left() - MARGIN_S)))
    raise _late()


def _worth_repeating(error: Exception) -> bool:
    return isinstance(error, _AGAIN) or _code(error) in _AGAIN_CODES


def _problem(error: Exception) -> Problem:
    """What the caller is told of an error; AWS's own words stay here, since they name accounts and roles."""
    if isinstance(error, ReadTimeoutError | ConnectTimeoutError):
        return _late()
    if not isinstance(error, ClientError):
        return _failed("the endpoint does not answer")
    if _code(error) == "ModelError":
        return _of_model(error.response)
    return _of_aws(_code(error), str(error).lower(), error.response["ResponseMetadata"].get("HTTPStatusCode", 0))


def _of_aws(code: str, words: str, status: int) -> Problem:
    """What SageMaker itself answered, before any container was asked."""
    if code in _THROTTLED:
        return _throttled("more requests than the endpoint can answer now")
    if code in ("ModelNotReadyException", "ServiceUnavailable") or (code == "ValidationError" and _is_absent(words)):
        # Also where an endpoint that is scaled to zero has no copy of its model: this very request wakes one.
        hint = "try again in a minute; whoever runs it: dogbreed status"
        return Problem(503, "no-endpoint", "the endpoint is not there, or not ready", hint, {"Retry-After": "30"})
    if status == 413:
        return Problem(413, "too-large", "the body is larger than the endpoint takes", "send a smaller photo")
    if code == "ValidationError":
        return Problem(400, "refused", "the endpoint does not take such a request", "send a photo as image/jpeg")
    if status in (401, 403):
        return _failed("the function may not ask its endpoint", "whoever runs it: dogbreed deploy mends its role")
    return _failed("the endpoint failed")


def _of_model(said: Any) -> Problem:
    """What the container answered: in serve's form its own words, of any other container the status only."""
    status = int(said.get("OriginalStatusCode") or 500)
    told = of_status(status) if 400 <= status < 500 else _failed("the endpoint failed")
    told.hint = ""
    try:
        error = json.loads(said.get("OriginalMessage") or "")["error"]
        code, message, hint = (str(error[key]) for key in ("code", "message", "hint"))
    except (ValueError, TypeError, KeyError):
        code, message, hint = told.code, told.message, told.hint
    if status == 503:
        return Problem(503, code, message, hint or "try again in a second", {"Retry-After": "1"})
    if status == 429:
        return _throttled(message)
    return Problem(status, code, message, hint) if 400 <= status < 500 else told


def _is_absent(words: str) -> bool:
    absent = ("not found", "could not find", "does not exist", "in service", "not ready", "has no capacity")
    return any(said in words for said in absent)


def _late() -> Problem:
    words = "the endpoint did not answer in time"
    return Problem(504, "timeout", words, "try again; it may be starting", {"Retry-After": "5"})


def _throttled(words: str) -> Problem:
    return Problem(429, "too-many-requests", words, "try again in a second", {"Retry-After": "1"})


def _failed(words: str, hint: str = "try again later") -> Problem:
    return Problem(502, "endpoint-failed", words, hint)


def _code(error: Exception) -> str:
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""
