"""Around every request: an id, a measure, one line in the log, and no traceback for the caller.

Those that `refusing` answers never come here. Nothing that a client sent is written but the id it may choose: no names
of files, no addresses, no content.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dogbreed.serve import problems
from dogbreed.serve.metrics import PREDICTING
from dogbreed.serve.problems import Problem

if TYPE_CHECKING:
    from dogbreed.serve.app import State

Answering = Callable[[Request], Awaitable[Response]]

log = logging.getLogger("dogbreed.serve")
_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
# Asked every few seconds by machines.
_QUIET = ("/ping", "/metrics")


class Observed:
    """An ASGI application around `app`; `answers` are the routes that predict, which are not routed through it.

    What the framework does around a route costs as much as a tenth of a prediction; the rest of `app` may cost it.
    """

    def __init__(self, app: ASGIApp, state: State, answers: Mapping[str, Answering]) -> None:
        self.app, self.service, self._answers = app, state, answers
        self._of_client: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (or follow the server's start and end)."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = id_of(given)
        said: dict[str, Any] = {}
        scope.setdefault("state", {}).update(id=request_id, said=said)
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        try:
            if scope["path"] in self._answers and scope["method"] == "POST":
                await self._admit(scope, receive, sending, request_id)
            else:
                await self.app(scope, receive, sending)
        # Our bug: its traceback goes to the log.
        except Exception as error:
            log.error("bug", exc_info=error, extra={"fields": {"request_id": request_id}})
            if not status:
                await _send(problems.bug(), request_id, sending)
        self._note(scope, status, time.perf_counter() - began, request_id, said)

    async def _admit(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        """Answer, or refuse before anything is read or routed; see also `refusing`, which comes before this."""
        if self.service.workers.is_full():
            await _send(problems.busy(), request_id, send)
            return
        client, limit = str((scope.get("client") or ("",))[0]), self.service.settings.per_client
        if limit and self._of_client[client] >= limit:
            await _send(problems.too_many(limit), request_id, send)
            return
        self._of_client[client] += 1
        try:
            response = await self._answers[scope["path"]](Request({**scope, "app": self.app}, receive))
            await response(scope, receive, send)
        except Problem as problem:
            await _send(problem, request_id, send)
        finally:
            self._of_client[client] -= 1
            if not self._of_client[client]:
                del self._of_client[client]

    def _note(self, scope: Scope, status: int, took: float, request_id: str, said: dict[str, Any]) -> None:
        known = scope["path"] if scope["path"] in PREDICTING else "other"
        route = str(getattr(scope.get("route"), "path", known))
        self.service.metrics.requests.labels(route, str(status)).inc()
        self.service.metrics.seconds.labels(route).observe(took)
        fields = {"request_id": request_id, "method": scope["method"], "route": route, "status": status}
        fields |= {"ms": round(took * 1000, 1), **said}
        log.log(logging.DEBUG if route in _QUIET else logging.INFO, "request", extra={"fields": fields})


def id_of(given: str) -> str:
    """The id of a request: the one that it came with where that may stand in a log, else a new one."""
    return given if _ID.fullmatch(given) else secrets.token_hex(8)


async def _send(told: Problem, request_id: str, send: Send) -> None:
    body = json.dumps(told.to_json(request_id)).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **told.headers}
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": told.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
