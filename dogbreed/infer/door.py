"""A service that answers photos elsewhere: the same bytes in, the same answers out as from the Predictor here."""

from __future__ import annotations

import http.client
import json
import threading
import time
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from dogbreed import __version__
from dogbreed.errors import DogbreedError, PhotoError, UsageError
from dogbreed.infer.answering import Answer, Answering

_TIMEOUT_S = 60
_TRIES = 6  # when it is busy; the waits between them come to half a minute at most
_LONGEST_WAIT_S = 10.0
_BUSY = (429, 503)


class Door(Answering):
    """A service of `dogbreed serve` at `url`: its address, or that of its /predict."""

    def __init__(self, url: str) -> None:
        """UsageError where `url` is no http or https address."""
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"{url} is no address of a service", "give one such as http://127.0.0.1:8080")
        self.url = f"{parts.scheme}://{parts.netloc}"
        self._path = parts.path if parts.path.strip("/") else "/predict"
        self._secure, self._host = parts.scheme == "https", parts.netloc.rpartition("@")[2]
        self._own = threading.local()

    def predict(self, data: bytes, *, name: str = "", top_k: int = 5) -> Answer:
        """The service's answer. PhotoError for a photo that it cannot use, DogbreedError when it does not answer."""
        for attempt in range(_TRIES):
            status, headers, body = self._ask(data, f"{self._path}?top_k={top_k}")
            if status not in _BUSY or attempt == _TRIES - 1:
                break
            time.sleep(_wait(headers.get("retry-after", ""), attempt))
        said = _read(body)
        if status == 200 and isinstance(said, list) and said:
            return _answer(said[0], name)
        error = said.get("error") if isinstance(said, dict) else None
        if isinstance(error, dict) and 400 <= status < 500 and status not in _BUSY:
            raise PhotoError(str(error.get("code")), str(error.get("message")), str(error.get("hint") or ""))
        words = str(error.get("message")) if isinstance(error, dict) else "this is no answer of dogbreed serve"
        raise DogbreedError(f"{self.url}: {words} (status {status})", "try again later, or see the log of the service")

    def _ask(self, data: bytes, path: str) -> tuple[int, dict[str, str], bytes]:
        kept = getattr(self._own, "connection", None)
        connection = kept or self._connect()
        try:
            answer = self._send(connection, path, data)
        except (OSError, http.client.HTTPException):
            connection.close()
            # A connection that was kept may have been closed meanwhile; a new one tells whether the service is there.
            connection = self._connect()
            try:
                answer = self._send(connection, path, data)
            except (OSError, http.client.HTTPException) as error:
                self._own.connection = None
                hint = "is it running? start it with: dogbreed serve"
                raise DogbreedError(f"{self.url} does not answer: {error or type(error).__name__}", hint) from error
        self._own.connection = connection
        return answer

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        return kind(self._host, timeout=_TIMEOUT_S)

    def _send(
        self, connection: http.client.HTTPConnection, path: str, data: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        headers = {"Content-Type": "application/octet-stream", "User-Agent": f"dogbreed/{__version__}"}
        connection.request("POST", path, data, headers)
        answer = connection.getresponse()
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()


def _wait(said: str, attempt: int) -> float:
    with suppress(ValueError):
        return min(_LONGEST_WAIT_S, max(0.0, float(said)))
    return float(min(_LONGEST_WAIT_S, 2**attempt))


def _read(body: bytes) -> Any:
    with suppress(ValueError):
        return json.loads(body)
    return None


def _answer(said: Any, name: str) -> Answer:
    try:
        top = tuple((str(guess["breed"]), float(guess["probability"])) for guess in said["top"])
        return Answer(name, str(said["breed"]), float(said["confidence"]), bool(said["unsure"]), top)
    except (KeyError, TypeError, ValueError) as error:
        raise DogbreedError(f"the service gave an answer of another form: {error}", "is it dogbreed serve?") from error
