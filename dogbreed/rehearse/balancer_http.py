"""HTTP/1.1 as a load balancer passes it on: heads are read and written, bodies stream through as they come."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

_HEAD_BYTES = 65_536  # an ALB takes 64 KB of headers
_PIECE = 1 << 16
# They are about one connection, so they go no further.
_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", "expect"}


class MalformedError(Exception):
    """This is no HTTP/1.1."""


class ClosedError(Exception):
    """The other side has closed the connection before it said anything."""


@dataclass
class Head:
    """The first line's three words and the headers of a request or an answer."""

    words: tuple[str, str, str]
    headers: list[tuple[str, str]] = field(default_factory=list)

    def get(self, name: str) -> str:
        """A header, "" where it is absent."""
        return next((value for key, value in self.headers if key.lower() == name), "")

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection may be used again afterwards."""
        version = self.words[0] if self.words[0].startswith("HTTP/") else self.words[2]
        said = self.get("connection").lower()
        return said != "close" and (version == "HTTP/1.1" or said == "keep-alive")

    @property
    def length(self) -> int | None:
        """Bytes of the body; None where it is chunked, -1 where nothing is said. MalformedError for nonsense."""
        if "chunked" in self.get("transfer-encoding").lower():
            return None
        said = self.get("content-length")
        if said and not said.isdecimal():
            raise MalformedError(f"content-length {said}")
        return int(said) if said else -1

    def written(self, more: list[tuple[str, str]]) -> bytes:
        """As bytes, without headers of this connection and those that `more` replaces."""
        replaced = _HOP | {name.lower() for name, _ in more}
        kept = [(name, value) for name, value in self.headers if name.lower() not in replaced]
        lines = [" ".join(self.words).rstrip(), *(f"{name}: {value}" for name, value in [*kept, *more])]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Stream:
    """One side of a connection; `left` is what was read and not yet used."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.left = b""

    def head(self) -> Head:
        """The next head. ClosedError where none begins, MalformedError for what is none, TimeoutError."""
        while b"\r\n\r\n" not in self.left:
            piece = self.connection.recv(_PIECE)
            if not piece:
                raise MalformedError("the head ends early") if self.left else ClosedError
            self.left += piece
            if len(self.left) > _HEAD_BYTES:
                raise MalformedError("the head is too long")
        text, _, self.left = self.left.partition(b"\r\n\r\n")
        first, *lines = text.decode("latin-1").split("\r\n")
        words = first.split(" ", 2)
        if len(words) < 2 or not any(word.startswith("HTTP/1.") for word in words):
            raise MalformedError(first[:80])
        headers = []
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip():
                raise MalformedError(line[:80])
            headers.append((name, value.strip()))
        return Head((words[0], words[1], words[2] if len(words) > 2 else ""), headers)

    def body(self, length: int | None) -> Iterator[bytes]:
        """The bytes of a body as they are on the wire; chunked ones (None) with their frames."""
        if length is None:
            yield from self._chunks()
            return
        while length > 0:
            piece = self._piece(length)
            length -= len(piece)
            yield piece

    def rest(self) -> Iterator[bytes]:
        """Everything until the other side closes."""
        if self.left:
            yield self.left
            self.left = b""
        while piece := self.connection.recv(_PIECE):
            yield piece

    def speaks(self) -> bool:
        """Whether there is something to read, or the end."""
        return bool(self.left) or bool(select.select([self.connection], [], [], 0)[0])

    def close(self) -> None:
        """Close it."""
        self.connection.close()

    def _chunks(self) -> Iterator[bytes]:
        while True:
            line = self._line()
            try:
                size = int(line.split(b";")[0], 16)
            except ValueError:
                raise MalformedError("no chunk") from None
            yield line
            if size == 0:
                break
            yield from self.body(size)
            yield self._line()
        while (line := self._line()) != b"\r\n":  # trailers
            yield line
        yield line

    def _line(self) -> bytes:
        while b"\n" not in self.left:
            self.left += self._more()
        line, newline, self.left = self.left.partition(b"\n")
        return line + newline

    def _piece(self, most: int) -> bytes:
        if not self.left:
            self.left = self._more()
        piece, self.left = self.left[:most], self.left[most:]
        return piece

    def _more(self) -> bytes:
        piece = self.connection.recv(_PIECE)
        if not piece:
            raise MalformedError("the body ends early")
        return piece


def send_body(target: Stream, pieces: Iterator[bytes], patience_s: float) -> bool:
    """Send a body; False when the other side began to answer before it had all. TimeoutError when it takes nothing."""
    for piece in pieces:
        view = memoryview(piece)
        while view:
            readable, writable, _ = select.select([target.connection], [target.connection], [], patience_s)
            if readable:
                return False
            if not writable:
                raise TimeoutError
            view = view[target.connection.send(view) :]
    return True
