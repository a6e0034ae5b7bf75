"""Photos from a request: raw bytes, multipart, or JSON with base64; nothing is read beyond the limits.

An address in a request is never fetched: whoever may send photos may not make the service open connections.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from dogbreed.serve.problems import Problem

_RAW = ("application/octet-stream", "application/x-image", "binary/octet-stream")
_TYPES = "send image/jpeg (or another image type), multipart/form-data, or JSON with base64; see /docs"
_JSON_FORM = '{"image": "<base64>"} or {"images": ["<base64>", {"name": "rex.jpg", "data": "<base64>"}], "top_k": 3}'
_NAME_LENGTH = 200


@dataclass(frozen=True)
class Limits:
    """Of one request: bytes of its body, photos, breeds named for each, and seconds until it has arrived."""

    max_bytes: int
    max_photos: int
    body_s: float


@dataclass(frozen=True)
class Asked:
    """The photos as (name, bytes), how many breeds to name (None: not said), and whether it can only be one photo."""

    photos: tuple[tuple[str, bytes], ...]
    top_k: int | None
    alone: bool


async def read(request: Request, limits: Limits) -> Asked:
    """What is asked; Problem 400, 408, 413, 415 or 422 where that cannot be known."""
    kind, options = parse_options_header(request.headers.get("content-type", "").encode("latin-1"))
    media = kind.decode("latin-1").lower()
    is_json = media == "application/json" or media.endswith("+json")
    if not (media in ("", "multipart/form-data", *_RAW) or media.startswith("image/") or is_json):
        raise Problem(415, "media-type", f"bodies of type {media[:80]!r} are not read", _TYPES)
    body = await _whole(request, limits)
    if not body:
        raise Problem(400, "empty", "the request has no body", _TYPES)
    if is_json:
        asked = _from_json(body, limits)
    elif media == "multipart/form-data":
        asked = _from_parts(body, options.get(b"boundary", b""), limits)
    else:
        asked = Asked((("", body),), None, alone=True)
    if len(asked.photos) > limits.max_photos:
        words = f"{len(asked.photos)} photos in one request, more than {limits.max_photos}"
        raise Problem(413, "too-many", words, "send them in several requests")
    return asked


def top_k_of(text: str | None) -> int | None:
    """The number in `?top_k=` or in SageMaker's custom attributes; Problem 422 when it is none."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 1000):
        raise Problem(422, "top-k", f"top_k is {text[:20]!r}", "a number from 1 to 1000")
    return int(text)


async def _whole(request: Request, limits: Limits) -> bytes:
    said = request.headers.get("content-length", "0")
    if said.isdigit() and int(said[:18]) > limits.max_bytes:
        raise _too_large(limits)
    pieces, size = [], 0
    try:
        async with asyncio.timeout(limits.body_s):
            async for piece in request.stream():
                size += len(piece)
                if size > limits.max_bytes:
                    raise _too_large(limits)
                pieces.append(piece)
    except TimeoutError:
        raise Problem(408, "slow", f"the body did not arrive within {limits.body_s:g} s", "send it faster") from None
    except ClientDisconnect:
        raise Problem(400, "gone", "the sender left before the end of the body") from None
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _too_large(limits: Limits) -> Problem:
    limit = f"{limits.max_bytes / 2**20:g} MiB"
    return Problem(
        413, "too-large", f"the body is larger than {limit}", "send a smaller photo", {"Connection": "close"}
    )


def _from_json(body: bytes, limits: Limits) -> Asked:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Problem(400, "no-json", "the body is no JSON", _JSON_FORM) from None
    if not isinstance(value, dict):
        raise _form("the body is no JSON object")
    if unknown := [str(key) for key in value if key not in ("image", "images", "top_k", "name")]:
        words = f"unknown field {unknown[0][:40]!r}"
        raise _form(words + ("; addresses are never fetched" if unknown[0] in ("url", "urls", "uri") else ""))
    if ("image" in value) == ("images" in value):
        raise _form("exactly one of image and images is needed")
    top_k = value.get("top_k")
    if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int)):
        raise _form("top_k is no number")
    images = value.get("images", [value.get("image")])
    if not isinstance(images, list) or not images:
        raise _form("images is no list, or an empty one")
    if len(images) > limits.max_photos:
        return Asked((("", b""),) * len(images), None, alone=False)
    photos = tuple(_photo(item, number) for number, item in enumerate(images))
    return Asked(photos, None if top_k is None else top_k_of(str(top_k)), alone="image" in value)


def _photo(item: Any, number: int) -> tuple[str, bytes]:
    name, data = "", item
    if isinstance(item, dict):
        if set(item) - {"name", "data"} or not isinstance(item.get("name", ""), str):
            raise _form(f"photo {number} is none of the forms")
        name, data = item.get("name", ""), item.get("data")
    if not isinstance(data, str):
        raise _form(f"photo {number} is no base64 text")
    if data.startswith(("http://", "https://", "s3://", "file:")):
        raise _form(f"photo {number} is an address, which is never fetched")
    try:
        # What a browser gives for a file: data:image/jpeg;base64,...
        return name[:_NAME_LENGTH], base64.b64decode(
            data.partition(",")[2] if data[:5] == "data:" else data, validate=True
        )
    except (binascii.Error, ValueError):
        raise _form(f"photo {number} is no base64 text") from None


def _form(words: str) -> Problem:
    return Problem(422, "form", words, _JSON_FORM)


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
            self.files.append((name[:_NAME_LENGTH], content))
        elif options.get(b"name") == b"top_k":
            self.top_k = content[:20].decode("utf-8", "replace").strip()


def _from_parts(body: bytes, boundary: bytes, limits: Limits) -> Asked:
    parts = _Parts()
    try:
        if not boundary:
            raise FormParserError("no boundary")
        parser = MultipartParser(boundary, parts.callbacks(), max_size=limits.max_bytes)
        parser.write(body)
        parser.finalize()
    except FormParserError:
        raise Problem(400, "no-multipart", "the body is no multipart/form-data", _TYPES) from None
    if not parts.files:
        raise Problem(422, "form", "no part of the body is a file", "curl -F photo=@rex.jpg ...")
    return Asked(tuple(parts.files), top_k_of(parts.top_k), alone=len(parts.files) == 1)
