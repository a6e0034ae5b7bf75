"""Requests over HTTP, sent as cheaply as Python can: the load shares two cores with the service that it measures.

An answer has two times. `seen` ends when this process reads it; `there` when it lies in its socket, by the kernel's
stamp (socket(7), SO_TIMESTAMPNS). Between the two this process waits for a core, which a client elsewhere would not.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from dataclasses import dataclass

_STAMP = 35  # SO_TIMESTAMPNS on Linux, which Python does not name


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` is 0 where the connection was lost; times are seconds since it was sent, `late` until it was sent."""

    status: int
    late: float
    there: float
    seen: float


class _Connection:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, _STAMP, 1)
        self.socket.setblocking(False)
        self.unsent = memoryview(b"")
        self.got = b""
        self.due = self.sent = 0.0


class Load:
    """Connections to one service, each kept for another request."""

    def __init__(self, port: int, photo: bytes) -> None:
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {len(photo)}\r\n\r\n"
        self._request = memoryview(head.encode() + photo)
        self._port = port
        self._poll = select.epoll()
        self._busy: dict[int, _Connection] = {}
        self._idle: list[_Connection] = []
        self._answers: list[Answer] = []

    def closed(self, clients: int, seconds: float) -> list[Answer]:
        """Answers to clients that ask again as soon as they have one."""
        self._answers = []
        end = time.time() + seconds
        for _ in range(clients):
            self._ask(time.time())
        while self._busy:
            for _ in range(self._read_all(1.0)):
                if (now := time.time()) < end:
                    self._ask(now)
        return self._answers

    def opened(self, rate: float, seconds: float) -> list[Answer]:
        """Answers to `rate` requests a second, which come whether or not there is an answer to the one before."""
        self._answers = []
        began, count, total = time.time(), 0, int(rate * seconds)
        while count < total or self._busy:
            while count < total and (due := began + count / rate) <= time.time():
                self._ask(due)
                count += 1
            self._read_all(0.001 if count < total else 1.0)
        return self._answers

    def _ask(self, due: float) -> None:
        if self._idle:
            connection = self._idle.pop()
        else:
            connection = _Connection(self._port)
            self._poll.register(connection.socket, select.EPOLLIN)
        self._busy[connection.socket.fileno()] = connection
        connection.unsent, connection.got = self._request, b""
        connection.due, connection.sent = due, time.time()
        self._send(connection)

    def _send(self, connection: _Connection) -> None:
        try:
            connection.unsent = connection.unsent[connection.socket.send(connection.unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            return  # reading says so too
        if connection.unsent:
            self._poll.modify(connection.socket, select.EPOLLIN | select.EPOLLOUT)

    def _read_all(self, wait_s: float) -> int:
        """How many answers became whole, or were lost."""
        before = len(self._answers)
        for number, what in self._poll.poll(wait_s):
            connection = self._busy.get(number)
            if connection and what & select.EPOLLOUT:
                self._send(connection)
                if not connection.unsent:
                    self._poll.modify(connection.socket, select.EPOLLIN)
            if connection and what & ~select.EPOLLOUT:
                self._read(connection)
        return len(self._answers) - before

    def _read(self, connection: _Connection) -> None:
        try:
            data, notes, _, _ = connection.socket.recvmsg(65536, 64)
        except OSError:
            data, notes = b"", []
        now = time.time()
        connection.got += data
        status = _status(connection.got)
        if data and status is None:
            return
        stamps = [struct.unpack("qq", value) for _, kind, value in notes if kind == _STAMP]
        there = stamps[0][0] + stamps[0][1] / 1e9 if stamps else now
        late = connection.sent - connection.due
        self._answers.append(Answer(status or 0, late, there - connection.sent, now - connection.sent))
        del self._busy[connection.socket.fileno()]
        if data:
            self._idle.append(connection)
        else:
            self._poll.unregister(connection.socket)
            connection.socket.close()


def _status(got: bytes) -> int | None:
    """Of a whole answer; None where there is more to come."""
    head, end, body = got.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    return int(got[9:12]) if end and len(body) >= int(length) else None
