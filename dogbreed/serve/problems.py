"""What the service says when it cannot answer: one JSON form for everything, without a word about its inside."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from dogbreed.errors import PhotoError

# Which status a photo that cannot be used gets, where it is the only one of a request.
_OF_PHOTOS = {"not-an-image": 415, "too-large": 413, "bomb": 413, "no-answer": 500}


@dataclass
class Problem(Exception):
    """An answer that is no prediction: HTTP `status`, a `code` for programs, words for people."""

    status: int
    code: str
    message: str
    hint: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def to_json(self, request_id: str) -> dict[str, Any]:
        """The body of the answer."""
        said = {"code": self.code, "message": self.message, "hint": self.hint, "request_id": request_id}
        return {"error": said}


def of_photo(error: PhotoError) -> Problem:
    """The problem with a request whose one photo cannot be used."""
    return Problem(_OF_PHOTOS.get(error.kind, 422), error.kind, error.message, error.hint)


def busy() -> Problem:
    """The queue is full."""
    words = "more requests than this service can answer now"
    return Problem(503, "busy", words, "try again in a second", {"Retry-After": "1"})


def too_many(limit: int) -> Problem:
    """One client has as many requests under way as it may."""
    words = f"more than {limit} requests of one client at the same time"
    return Problem(429, "too-many-requests", words, "wait for an answer", {"Retry-After": "1"})


def bug() -> Problem:
    """Our own mistake; what it was stands in the log alone."""
    return Problem(500, "internal", "the service made a mistake", "its log has it by request_id")


def of_status(status: int, detail: str = "") -> Problem:
    """A problem that the web framework found: an unknown path, a wrong method."""
    phrase = HTTPStatus(status).phrase
    return Problem(status, phrase.lower().replace(" ", "-"), detail or phrase, "see /docs")
