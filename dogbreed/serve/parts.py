"""Photos in a multipart body, as forms send them."""

from __future__ import annotations

from typing import Any

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from dogbreed.serve.asked import NAME_LENGTH, TYPES
from dogbreed.serve.problems import Problem


def read(content_type: str, body: bytes, max_bytes: int) -> tuple[tuple[tuple[str, bytes], ...], str | None]:
    """The files as (name, bytes), and the field top_k; Problem 400 or 422 where there is none."""
    _, options = parse_options_header(content_type.encode("latin-1", "replace"))
    boundary = options.get(b"boundary", b"")
    parts = _Parts()
    try:
        if not boundary:
            raise FormParserError("no boundary")
        parser = MultipartParser(boundary, parts.callbacks(), max_size=max_bytes)
        parser.write(body)
        parser.finalize()
    except FormParserError:
        raise Problem(400, "no-multipart", "the body is no multipart/form-data", TYPES) from None
    if not parts.files:
        raise Problem(422, "form", "no part of the body is a file", "curl -F photo=@rex.jpg ...")
    return tuple(parts.files), parts.top_k


class _Parts:
    """The parts of a multipart body, by name: files and the field top_k; anything else is ignored."""

    def __init__(self) -> None:
        self.files: list[tuple[str, bytes]] = []
        self.top_k: str | None = None
        self._field, self._value = b"", b""
        self._headers: dict[str, bytes] = {}
        self._data: list[bytes] = []

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self.begin,
            "on_header_field": lambda data, start, end: self._add("_field", data[start:end]),
            "on_header_value": lambda data, start, end: self._add("_value", data[start:end]),
            "on_header_end": self.header,
            "on_part_data": lambda data, start, end: self._data.append(data[start:end]),
            "on_part_end": self.end,
        }

    def _add(self, name: str, piece: bytes) -> None:
        setattr(self, name, getattr(self, name) + piece)

    def begin(self) -> None:
        self._headers, self._data = {}, []

    def header(self) -> None:
        self._headers[self._field.decode("latin-1").lower()] = self._value
        self._field = self._value = b""

    def end(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", b""))
        content = b"".join(self._data)
        if b"filename" in options:
            name = options[b"filename"].decode("utf-8", "replace")
            self.files.append((name[:NAME_LENGTH], content))
        elif options.get(b"name") == b"top_k":
            self.top_k = content[:20].decode("utf-8", "replace").strip()
