"""Photos in the body of a request: raw bytes, multipart, or JSON with base64, whoever received it.

The service and the Lambda functions read bodies here alike; standard library only, but for multipart. An address in a
request is never fetched: whoever may send photos may not make the service open connections.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from dogbreed.serve.problems import Problem

_RAW = ("application/octet-stream", "application/x-image", "binary/octet-stream")
TYPES = "send image/jpeg (or another image type), multipart/form-data, or JSON with base64; see /docs"
JSON_FORM = '{"image": "<base64>"} or {"images": ["<base64>", {"name": "rex.jpg", "data": "<base64>"}], "top_k": 3}'
NAME_LENGTH = 200


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


def check_type(content_type: str) -> None:
    """Problem 415 for a body that is not read, known before it has arrived."""
    media = _media(content_type)
    if not (media in ("", "multipart/form-data", *_RAW) or media.startswith("image/") or _is_json(media)):
        raise Problem(415, "media-type", f"bodies of type {media[:80]!r} are not read", TYPES)


def read(content_type: str, body: bytes, limits: Limits) -> Asked:
    """What is asked by a body that has arrived; Problem 400, 413, 415 or 422 where that cannot be known."""
    check_type(content_type)
    media = _media(content_type)
    if not body:
        raise Problem(400, "empty", "the request has no body", TYPES)
    if len(body) > limits.max_bytes:
        raise too_large(limits)
    if _is_json(media):
        asked = _from_json(body, limits)
    elif media == "multipart/form-data":
        from dogbreed.serve import parts

        files, top_k = parts.read(content_type, body, limits.max_bytes)
        asked = Asked(files, top_k_of(top_k), alone=len(files) == 1)
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


def too_large(limits: Limits) -> Problem:
    """The body has more bytes than are read."""
    limit = f"{limits.max_bytes / 2**20:g} MiB"
    return Problem(
        413, "too-large", f"the body is larger than {limit}", "send a smaller photo", {"Connection": "close"}
    )


def _media(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _is_json(media: str) -> bool:
    return media == "application/json" or media.endswith("+json")


def _from_json(body: bytes, limits: Limits) -> Asked:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Problem(400, "no-json", "the body is no JSON", JSON_FORM) from None
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
        return name[:NAME_LENGTH], base64.b64decode(
            data.partition(",")[2] if data[:5] == "data:" else data, validate=True
        )
    except (binascii.Error, ValueError):
        raise _form(f"photo {number} is no base64 text") from None


def _form(words: str) -> Problem:
    return Problem(422, "form", words, JSON_FORM)
