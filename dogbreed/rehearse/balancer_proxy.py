"""A load balancer as a reverse proxy on a port of this computer; what it answers itself, it answers as an ALB does.

One port stands for all listeners: who begins with TLS reaches the HTTPS listener, whose certificate is that of the
stand-in's ACM, everybody else the HTTP listener. Of the rules of a listener only the default one is followed.
"""

from __future__ import annotations

import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dogbreed.rehearse.balancer_http import ClosedError, Head, MalformedError, Stream, send_body
from dogbreed.rehearse.balancer_targets import Target, Targets

_CONNECT_S = 10.0  # as an ALB: 504 when a target takes no connection for so long
_IDLE_S = 60.0
_HANDSHAKE = 0x16
_TITLES = {
    400: "400 Bad Request", 502: "502 Bad Gateway", 503: "503 Service Temporarily Unavailable",
    504: "504 Gateway Time-out",
}  # fmt: skip


@dataclass(frozen=True)
class Done:
    """A request that was answered: by whom, with which status, and seconds until the target began to answer."""

    group: str
    status: int
    seconds: float
    by_target: bool


class Proxy:
    """Serves the listeners that `listeners()` gives (moto's records), until closed; `count` hears of each request."""

    def __init__(
        self,
        targets: Targets,
        listeners: Callable[[], list[Any]],
        tls: Callable[[Any], ssl.SSLContext],
        count: Callable[[Done], None],
    ) -> None:
        self._targets, self._listeners, self._tls, self._count = targets, listeners, tls, count
        self._open: set[socket.socket] = set()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Answer nobody any more."""
        # A thread that waits in accept() is woken by a shutdown, not by a close.
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, (address, _) = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=[connection, address], daemon=True).start()

    def _talk(self, connection: socket.socket, address: str) -> None:
        self._open.add(connection)
        secure = False
        try:
            connection.settimeout(_IDLE_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            first = connection.recv(1, socket.MSG_PEEK)
            secure = first[:1] == bytes([_HANDSHAKE])
            listener = self._listener("HTTPS" if secure else "HTTP")
            if listener is None:
                return
            if secure:
                self._open.discard(connection)
                connection = self._tls(listener).wrap_socket(connection, server_side=True)
                self._open.add(connection)
            client = Stream(connection)
            while self._exchange(client, address, secure=secure):
                pass
        except (OSError, MalformedError, ClosedError):
            pass
        finally:
            self._open.discard(connection)
            connection.close()

    def _listener(self, protocol: str) -> Any:
        return next((one for one in self._listeners() if one.protocol == protocol), None)

    def _exchange(self, client: Stream, address: str, *, secure: bool) -> bool:
        """Answer one request; whether another may follow."""
        try:
            asked = client.head()
            length = asked.length
        except MalformedError:
            return self._say(client, 400)
        listener = self._listener("HTTPS" if secure else "HTTP")
        if listener is None:
            return False
        action = listener.default_actions[0]
        if action.type == "redirect":
            return self._redirect(client, asked, action.data.get("RedirectConfig", {}))
        if action.type != "forward":
            return self._say(client, 503)
        if asked.get("expect").lower() == "100-continue":
            client.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        scheme, port = ("https", 443) if secure else ("http", 80)
        before = asked.get("x-forwarded-for")
        more = [
            ("X-Forwarded-For", f"{before}, {address}" if before else address),
            ("X-Forwarded-Proto", scheme),
            ("X-Forwarded-Port", str(port)),
            ("Connection", "keep-alive"),
        ]
        if not asked.get("x-amzn-trace-id"):
            more.append(("X-Amzn-Trace-Id", f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)}"))
        return self._forward(client, asked, length, _group(action), more)

    def _forward(
        self, client: Stream, asked: Head, length: int | None, group: str, more: list[tuple[str, str]]
    ) -> bool:
        target = self._targets.take(group)
        if target is None:
            return self._refuse(client, group, 503)
        kept: socket.socket | None = None
        try:
            try:
                upstream = Stream(self._targets.reach(group, target, _CONNECT_S))
            except TimeoutError:
                return self._refuse(client, group, 504)
            except OSError:
                return self._refuse(client, group, 502)
            try:
                goes_on, reusable = self._pass(client, upstream, asked, length, group, more)
                kept = upstream.connection if reusable else None
            finally:
                if kept is None:
                    upstream.close()
            return goes_on
        finally:
            self._targets.give_back(target, kept)

    def _pass(
        self, client: Stream, upstream: Stream, asked: Head, length: int | None, group: str, more: list[tuple[str, str]]
    ) -> tuple[bool, bool]:
        """Request there, answer back: whether the client's and the target's connection can be used again."""
        upstream.connection.settimeout(_IDLE_S)
        whole = True
        try:
            upstream.connection.sendall(asked.written(more))
            whole = send_body(upstream, client.body(0 if length == -1 else length), _IDLE_S)
        except TimeoutError:
            return self._refuse(client, group, 504), False
        except OSError:
            whole = False  # it may have answered before it closed
        began = time.perf_counter()
        try:
            answer = upstream.head()
            while answer.words[1].startswith("1"):
                answer = upstream.head()
            size = answer.length
        except TimeoutError:
            return self._refuse(client, group, 504), False
        except (OSError, MalformedError, ClosedError):
            return self._refuse(client, group, 502), False
        status = int(answer.words[1])
        self._count(Done(group, status, time.perf_counter() - began, by_target=True))
        if asked.words[0] == "HEAD" or status in (204, 304):
            size = 0
        ends = size == -1
        goes_on = asked.keeps_alive and whole and not ends
        client.connection.sendall(answer.written([("Connection", "keep-alive" if goes_on else "close")]))
        for piece in upstream.rest() if ends else upstream.body(size):
            client.connection.sendall(piece)
        return goes_on, answer.keeps_alive and whole and not ends

    # -- its own answers

    def _refuse(self, client: Stream, group: str, status: int) -> bool:
        self._count(Done(group, status, 0.0, by_target=False))
        return self._say(client, status)

    def _say(self, client: Stream, status: int) -> bool:
        title = _TITLES[status]
        page = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        page += "</body>\r\n</html>\r\n"
        head = f"HTTP/1.1 {title}\r\nServer: awselb/2.0\r\nContent-Type: text/html\r\nContent-Length: {len(page)}\r\n"
        with suppress(OSError):
            client.connection.sendall(f"{head}Connection: close\r\n\r\n{page}".encode())
            # What the client still sends is read, or its side would see a reset in place of the answer.
            client.connection.shutdown(socket.SHUT_WR)
            client.connection.settimeout(1.0)
            while client.connection.recv(1 << 16):
                pass
        return False

    def _redirect(self, client: Stream, asked: Head, told: dict[str, Any]) -> bool:
        host = asked.get("host").rsplit(":", 1)[0]
        place = f"{told.get('Protocol', 'https').lower()}://{host}:{told.get('Port', '443')}{asked.words[1]}"
        status = "302 Found" if told.get("StatusCode") == "HTTP_302" else "301 Moved Permanently"
        head = f"HTTP/1.1 {status}\r\nServer: awselb/2.0\r\nLocation: {place}\r\nContent-Length: 0\r\n"
        client.connection.sendall(f"{head}Connection: close\r\n\r\n".encode())
        return False


def _group(action: Any) -> str:
    """The ARN of the target group that an action leads to; of several the first."""
    groups = action.data.get("ForwardConfig", {}).get("TargetGroups") or [{}]
    return str(action.data.get("TargetGroupArn") or groups[0].get("TargetGroupArn", ""))


__all__ = ["Done", "Proxy", "Target"]
