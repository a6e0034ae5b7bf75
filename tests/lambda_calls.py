"""The handlers of Lambda functions, called here as Lambda calls them, and a SageMaker that says what it is told to."""

from __future__ import annotations

import base64
import importlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any

import pytest

ACCOUNT = "123456789012"
ANSWER = {"file": "", "breed": "pug", "confidence": 0.9, "unsure": False, "top": [], "error": None}


class Context:
    """What Lambda gives beside the event; nothing of it but the id may be told."""

    aws_request_id = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
    function_name = "secret-function"
    log_group_name = "/aws/lambda/secret-function"
    invoked_function_arn = f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:secret-function"

    def __init__(self, seconds: float = 29) -> None:
        self._seconds, self._begun = seconds, 0.0

    def get_remaining_time_in_millis(self) -> int:
        """Its time begins when it is first asked for: what a test prepares before is not the function's."""
        self._begun = self._begun or time.monotonic()
        return int((self._begun + self._seconds - time.monotonic()) * 1000)


@dataclass(frozen=True)
class Says:
    """One answer of SageMaker's: `after_s` seconds, `status`, the kind of error, a JSON value or bytes."""

    body: Any = field(default_factory=lambda: [ANSWER])
    status: int = 200
    kind: str = ""
    after_s: float = 0


@dataclass
class Asked:
    path: str
    headers: dict[str, str]
    body: bytes


@contextmanager
def sagemaker(*answers: Says) -> Iterator[tuple[str, list[Asked]]]:
    """A server that gives these answers one after the other, the last one for ever; its address, what was asked."""
    asked: list[Asked] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            says = answers[min(len(asked), len(answers) - 1)]
            asked.append(Asked(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            time.sleep(says.after_s)
            content = says.body if isinstance(says.body, bytes) else json.dumps(says.body).encode()
            self.send_response(says.status)
            if says.kind:
                self.send_header("x-amzn-errortype", says.kind)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            asked.append(Asked(self.path, {}, b""))
            self.send_error(404)

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Who was kept waiting has gone."""

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def front(patch: pytest.MonkeyPatch, url: str, endpoint: str = "dogs-endpoint", **more: str) -> ModuleType:
    """The handler's module as Lambda would load it, with an environment whose SageMaker is at `url`."""
    names = {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "eu-west-1"}
    for name, value in {
        **names,
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": url,
        "DOGBREED_ENDPOINT": endpoint,
        **more,
    }.items():
        patch.setenv(name, value)
    import dogbreed.serve.lambda_front as module

    return importlib.reload(module)


def direct(data: bytes, **more: Any) -> dict[str, Any]:
    return {"body": base64.b64encode(data).decode(), "isBase64Encoded": True, **more}


def over_http(data: bytes, kind: str, payload: str = "2.0", top_k: str | None = None, method: str = "POST") -> Any:
    """The event of a function URL or HTTP API (2.0), or of a REST API (1.0)."""
    event = direct(data, version=payload, queryStringParameters={"top_k": top_k} if top_k else None)
    if payload == "2.0":
        event |= {"rawPath": "/predict", "headers": {"content-type": kind}}
        return event | {"requestContext": {"http": {"method": method, "path": "/predict"}, "accountId": ACCOUNT}}
    return event | {"httpMethod": method, "path": "/predict", "headers": {"Content-Type": kind}}


def said(answer: dict[str, Any]) -> Any:
    """The body of an answer, which must have the form that Lambda's addresses take."""
    assert set(answer) == {"statusCode", "headers", "body", "isBase64Encoded"}
    assert answer["headers"]["Content-Type"] == "application/json"
    assert not [name for name in answer["headers"] if name.lower().startswith("access-control-")]
    return json.loads(answer["body"])
