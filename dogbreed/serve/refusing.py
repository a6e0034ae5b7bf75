"""What a full queue refuses is answered as soon as its head has arrived; the rest of the server never hears of it.

On the way that answers take, a refusal costs 90 us; so at ten times what two cores can answer, refusing would take a
third of one of them from the photos that were accepted. Here it costs 20.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from http import HTTPStatus
from typing import Any

from dogbreed.serve import problems
from dogbreed.serve.metrics import PREDICTING, Metrics
from dogbreed.serve.observed import id_of
from dogbreed.serve.workers import Workers

log = logging.getLogger("dogbreed.serve")
_TELL_S = 1.0


class Refusals:
    """Says no. Each one is counted in the metrics; the log is told once a second how many there were."""

    def __init__(self, workers: Workers, metrics: Metrics) -> None:
        self.workers, self._metrics = workers, metrics
        problem = problems.busy()
        self._status = problem.status
        self._before, self._after = json.dumps(problem.to_json("ID")).encode().split(b"ID")
        headers = {"content-type": "application/json", "x-content-type-options": "nosniff", **problem.headers}
        lines = [f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}"]
        lines += [f"{name.lower()}: {value}" for name, value in headers.items()]
        self._head = "\r\n".join(lines).encode()
        self._untold: Counter[str] = Counter()
        self._coming = 0

    def is_due(self) -> bool:
        """Whether a request whose head has arrived is refused."""
        return self.workers.is_full(1, self._coming)

    def spare(self) -> None:
        """Keep a place for a request that was not refused, whose task has just been made, until that task has begun.

        Many heads arrive in one turn of the loop, and all of them would find the same free thread.
        """
        self._coming += 1
        asyncio.get_running_loop().call_soon(self._begun)

    def _begun(self) -> None:
        # Its photo is queued now, if all of it has arrived; a slow sender keeps no place.
        self._coming -= 1

    def answer(self, path: str, given_id: str, began: float) -> bytes:
        """The whole answer to a request for `path`; `began` by `time.perf_counter`. Needs a running loop."""
        if not self._untold:
            asyncio.get_running_loop().call_later(_TELL_S, self.tell)
        self._untold[path] += 1
        name = id_of(given_id).encode()
        body = self._before + name + self._after
        answer = b"%b\r\ncontent-length: %d\r\nx-request-id: %b\r\n\r\n%b" % (self._head, len(body), name, body)
        self._metrics.requests.labels(path, str(self._status)).inc()
        self._metrics.seconds.labels(path).observe(time.perf_counter() - began)
        return answer

    def tell(self) -> None:
        """Write to the log what it has not been told yet."""
        for path, count in self._untold.items():
            log.info("refused", extra={"fields": {"route": path, "status": self._status, "requests": count}})
        self._untold.clear()


class _Refused:
    """Stands where uvicorn keeps a request: this one has its answer, and what is still to come of it is dropped."""

    response_complete = True
    message_event = asyncio.Event()


def protocol(refusals: Refusals) -> Any:
    """What uvicorn makes of each connection. Without httptools (Windows) its own; refusals then take the long way."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError:
        return "auto"

    class Protocol(HttpToolsProtocol):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            # What comes of a request after its answer ends uvicorn's wait for the next one, and it begins no other.
            over = self.cycle is not None and self.cycle.response_complete
            if over and self.timeout_keep_alive_task is None and not self.transport.is_closing():
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )

        def on_headers_complete(self) -> None:
            began = time.perf_counter()
            path = self.url.partition(b"?")[0].decode("latin-1")
            asks = path in PREDICTING and self.parser.get_method() == b"POST"
            # Whether one is due is asked last, since that it is counts as a refusal.
            if asks and self._is_plain() and refusals.is_due():
                given = next((value for name, value in self.headers if name.lower() == b"x-request-id"), b"")
                self.transport.write(refusals.answer(path, given.decode("latin-1"), began))
                cycle: Any = _Refused
                self.cycle = cycle
                self.on_response_complete()
            else:
                super().on_headers_complete()
                if asks:
                    refusals.spare()

        def _is_plain(self) -> bool:
            # Whatever is not takes the long way: an answer before this one is not done or not yet read, a connection
            # that ends or changes after it, a body that waits for a word.
            done = (self.cycle is None or self.cycle.response_complete) and not self.flow.write_paused
            kept = self.parser.get_http_version() == "1.1" and self.parser.should_keep_alive()
            return done and kept and not self.parser.should_upgrade() and not self.expect_100_continue

    return Protocol
