"""What both Lambda functions share: an event in, an answer out, one line in the log, no word about the inside.

Read are events of function URLs and of API Gateway (both payload formats), their form `{"body": base64,
"isBase64Encoded": true}` from whoever calls the function directly, and the JSON that the service takes as it is.
Nothing of the event, the context or the account stands in an answer or the log.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dogbreed.serve import asked, problems
from dogbreed.serve.problems import Problem

# What Lambda takes in one call, base64 included; what it decodes to is less.
MAX_BYTES = 6 * 2**20
# Given to what is to be said when time runs out.
MARGIN_S = 0.5
_HOP = ("connection",)

log = logging.getLogger("dogbreed.function")
# The runtime's root logger takes warnings only.
log.setLevel(logging.INFO)


@dataclass(frozen=True)
class Request:
    """A body and what it is; `top_k` as it stands beside the body; `left()`: seconds until Lambda ends the call."""

    content_type: str
    body: bytes
    top_k: int | None
    left: Callable[[], float]


@dataclass(frozen=True)
class Reply:
    """A JSON text, and what the log is to say of it."""

    body: str
    notes: dict[str, Any] = field(default_factory=dict)


class Line(dict[str, Any]):
    """One line of the log: Lambda's JSON format takes it as an object, its text format as what it is as a text."""

    def __str__(self) -> str:
        return json.dumps(self)


def answer(event: Any, context: Any, work: Callable[[Request], Reply]) -> dict[str, Any]:
    """What Lambda is to return for an event: what `work` says, or a problem; never an exception."""
    began = time.perf_counter()
    request_id = str(context.aws_request_id)
    notes: dict[str, Any] = {}
    headers = {}
    try:
        reply = work(_read(event, lambda: context.get_remaining_time_in_millis() / 1000))
        status, body, notes = 200, reply.body, reply.notes
    except Problem as problem:
        status, body = problem.status, json.dumps(problem.to_json(request_id))
        headers = {name: value for name, value in problem.headers.items() if name.lower() not in _HOP}
        notes = {"problem": problem.code}
    # Our own mistake, or that of a library: its words may name anything, so the log has its kind and its place only.
    except Exception as error:  # noqa: BLE001
        status, body, notes = 500, json.dumps(problems.bug().to_json(request_id)), {"bug": place(error)}
    took = round((time.perf_counter() - began) * 1000, 1)
    fields = {"request_id": request_id, "status": status, "took_ms": took, **notes}
    log.log(logging.ERROR if status == 500 else logging.INFO, Line(fields))
    headers |= {"Content-Type": "application/json", "X-Request-Id": request_id, "X-Content-Type-Options": "nosniff"}
    return {"statusCode": status, "headers": headers, "body": body, "isBase64Encoded": False}


def place(error: BaseException) -> str:
    """The kind of an error and the line that raised it."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    file = trace.tb_frame.f_code.co_filename.rsplit("/", 1)[-1] if trace else ""
    return f"{type(error).__name__} in {file}:{trace.tb_lineno if trace else 0}"


def _read(event: Any, left: Callable[[], float]) -> Request:
    """Problem 400, 405 or 422 for what is no request."""
    if not isinstance(event, dict):
        raise Problem(422, "form", "the event is no JSON object", asked.JSON_FORM)
    if not ({"body", "requestContext", "httpMethod"} & event.keys()):
        return Request("application/json", json.dumps(event).encode(), None, left)
    method = event.get("httpMethod", _at(event, "requestContext", "http", "method"))
    if method not in (None, "POST"):
        raise Problem(405, "method-not-allowed", "only POST is answered", asked.TYPES, {"Allow": "POST"})
    kind = next((value for name, value in _texts(event.get("headers")) if name.lower() == "content-type"), "")
    top_k = next((value for name, value in _texts(event.get("queryStringParameters")) if name == "top_k"), None)
    return Request(kind, _body(event), asked.top_k_of(top_k), left)


def _body(event: dict[str, Any]) -> bytes:
    body = event.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise Problem(422, "form", "the body is no text", asked.JSON_FORM)
    if not event.get("isBase64Encoded"):
        return body.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise Problem(400, "no-base64", "the body is no base64 text", "see isBase64Encoded") from None


def _texts(value: Any) -> list[tuple[str, str]]:
    pairs = value.items() if isinstance(value, dict) else ()
    return [(str(name), text) for name, text in pairs if isinstance(text, str)]


def _at(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value
