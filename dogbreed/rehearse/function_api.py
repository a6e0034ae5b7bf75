"""Lambda's Runtime API for one environment: the runtime asks it for events, and tells it what came of them.

Source: "Using the Lambda runtime API for custom runtimes" in AWS's developer guide, version 2018-06-01.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

_PREFIX = "/2018-06-01/runtime/"
_ERROR = "Lambda-Runtime-Function-Error-Type"


@dataclass(frozen=True)
class Said:
    """What the runtime says: `next` (it is free), `response`, `error` or `init/error`, with its body."""

    kind: str
    request: str = ""
    body: bytes = b""
    error: str = ""


@dataclass(frozen=True)
class Event:
    """What the runtime is given."""

    request: str
    payload: bytes
    arn: str
    timeout: float


class Api:
    """Answers on the unix socket `path`, or without one on a port of 127.0.0.1, until closed.

    The runtime client knows no secret to show, so every user of this machine can speak with such a port.
    """

    def __init__(self, path: Path | None) -> None:
        self.said: queue.Queue[Said] = queue.Queue()
        self._events: queue.Queue[Event | None] = queue.Queue()
        if path:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(path))
        else:
            self._listener = socket.socket()
            self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(16)
        self._closed = False
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def port(self) -> int:
        """The port on 127.0.0.1, where there is no path."""
        return int(self._listener.getsockname()[1])

    def give(self, event: Event) -> None:
        """Let the runtime have an event."""
        self._events.put(event)

    def close(self) -> None:
        """Stop answering."""
        self._closed = True
        self._events.put(None)
        with suppress(OSError):
            # What waits in accept() is not woken by closing alone.
            socket.socket(self._listener.family).connect(self._listener.getsockname())
        self._listener.close()

    def next(self) -> Event | None:
        """The next event, as soon as there is one; None when there will be none."""
        self.said.put(Said("next"))
        return self._events.get()

    def _serve(self) -> None:
        while not self._closed:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=[connection], daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            if not self._closed:
                _Handler(connection, "", self)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    server: Any
    protocol_version = "HTTP/1.1"
    # Headers and body leave in one piece.
    wbufsize = -1

    def do_GET(self) -> None:
        """The next event."""
        event = self.server.next() if self.path == f"{_PREFIX}invocation/next" else None
        if event is None:
            self._send(410, b"")
            return
        trace = f"Root=1-{int(time.time()):08x}-{event.request.replace('-', '')[:24]};Sampled=0"
        headers = {
            "Lambda-Runtime-Aws-Request-Id": event.request,
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + event.timeout) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": event.arn,
            "Lambda-Runtime-Trace-Id": trace,
        }
        self._send(200, event.payload, headers)

    def do_POST(self) -> None:
        """A response or an error."""
        body = b"".join(self._body())
        words = self.path.removeprefix(_PREFIX).split("/")
        error = self.headers.get(_ERROR, "")
        if words == ["init", "error"]:
            self.server.said.put(Said("init/error", "", body, error))
        elif len(words) == 3 and words[0] == "invocation":
            self.server.said.put(Said(words[2], words[1], body, error))
        self._send(202, b'{"status":"OK"}')

    def _body(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            yield self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
