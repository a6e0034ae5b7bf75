"""The instance metadata service of one machine, as EC2 answers it on 169.254.169.254.

What there is to read is a table of paths, asked for anew with each request; this file knows the protocol: session
tokens (IMDSv2), listings, 404s. The hop limit is shown by the API and has no meaning here, where nothing is forwarded.
"""

from __future__ import annotations

import re
import secrets
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.message import Message
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

_TOKEN = "X-aws-ec2-metadata-token"
_TOKEN_TTL = "X-aws-ec2-metadata-token-ttl-seconds"
_LONGEST_S = 21_600
_VERSION = re.compile(r"latest|1\.0|\d{4}-\d\d-\d\d")
_REASONS = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Not Allowed"}

# Path below /latest/ -> its text.
Table = Mapping[str, str | bytes]


class Imds:
    """Serves on a unix socket, or on a port of 127.0.0.1, until closed.

    `table` gives what there is to read, `options` the metadata options of the instance, as the API shows them.
    """

    def __init__(self, path: Path | None, table: Callable[[], Table], options: Callable[[], Mapping[str, Any]]) -> None:
        self._table = table
        self._options = options
        self._tokens: dict[str, float] = {}
        imds = self

        class Handler(_Handler):
            service = imds

        # Where it answers, if on a port: below a secret, since everybody on this computer reaches a port, and whoever
        # reads it has the keys of the role.
        self.url, self._secret = "", "" if path else f"/{secrets.token_urlsafe(16)}"
        self._server: socketserver.BaseServer
        if path:
            self._server = _Unix(str(path), Handler)
        else:
            self._server = tcp = _Tcp(("127.0.0.1", 0), Handler)
            self.url = f"http://127.0.0.1:{tcp.socket.getsockname()[1]}{self._secret}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, headers: Message) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers for a request."""
        options = self._options()
        knows = path.startswith(f"{self._secret}/")
        path = path.removeprefix(self._secret)
        if not knows or options.get("HttpEndpoint") == "disabled":
            return 403 if knows else 404, b"", {}
        if method == "PUT":
            return self._new_token(path, headers)
        if method != "GET":
            return 405, b"", {}
        return self._read(path) if self._admits(headers.get(_TOKEN), options) else (401, b"", {})

    def _admits(self, token: str | None, options: Mapping[str, Any]) -> bool:
        """Without a token version 1 is meant; a wrong one is refused there too."""
        if token is None:
            return options.get("HttpTokens") != "required"
        return self._tokens.get(token, 0) >= time.monotonic()

    def _new_token(self, path: str, headers: Message) -> tuple[int, bytes, dict[str, str]]:
        if path.strip("/") != "latest/api/token":
            return 405, b"", {}
        if "X-Forwarded-For" in headers:
            return 403, b"", {}
        given = headers.get(_TOKEN_TTL, "")
        if not given.isdecimal() or not 1 <= int(given) <= _LONGEST_S:
            return 400, b"", {}
        token = f"AQAEA{secrets.token_urlsafe(37)}=="
        self._tokens[token] = time.monotonic() + int(given)
        return 200, token.encode(), {_TOKEN_TTL: given}

    def _read(self, path: str) -> tuple[int, bytes, dict[str, str]]:
        version, _, rest = path.split("?", maxsplit=1)[0].strip("/").partition("/")
        if not version:
            return 200, b"1.0\n2021-07-15\nlatest", {}
        if not _VERSION.fullmatch(version):
            return 404, b"", {}
        table = self._table()
        if rest in table:
            found = table[rest]
            return 200, found if isinstance(found, bytes) else found.encode(), {}
        below = f"{rest}/" if rest else ""
        names: dict[str, None] = {}
        for key in table:
            if key.startswith(below):
                name, slash, _ = key.removeprefix(below).partition("/")
                names[name + slash] = None
        return (200, "\n".join(names).encode(), {}) if names else (404, b"", {})


class _Unix(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


class _Tcp(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    service: Imds
    protocol_version = "HTTP/1.1"
    server_version = "EC2ws"
    sys_version = ""

    def answer(self) -> None:
        """Answer any method."""
        with suppress(OSError):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body, headers = self.service.answer(self.command, self.path, self.headers)
            if status != 200:
                body = _page(status)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "text/plain" if status == 200 else "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _page(status: int) -> bytes:
    title = f"{status} - {_REASONS[status]}"
    return (
        '<?xml version="1.0" encoding="iso-8859-1"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"\n'
        '\t"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">\n'
        '<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">\n'
        f" <head>\n  <title>{title}</title>\n </head>\n <body>\n  <h1>{title}</h1>\n </body>\n</html>\n"
    ).encode()
