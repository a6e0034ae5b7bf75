"""A service that answers photos elsewhere: the same bytes in, the same answers out as from the Predictor here."""

from __future__ import annotations

import http.client
import json
import os
import re
import threading
import time
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from dogbreed import __version__
from dogbreed.errors import DogbreedError, PhotoError, UsageError
from dogbreed.infer.answering import Answer, Answering

_TIMEOUT_S = 60
_TRIES = 6  # when it is busy; the waits between them come to half a minute at most
_LONGEST_WAIT_S = 10.0
_BUSY = (429, 503)
_LAST_OF_4XX, _TOO_LARGE = 499, 413
# Without http:// a word is an address only where it looks like one: a name with a dot, localhost, or a port.
_BARE = re.compile(
    r"(?:[\w-]+\.)+[\w-]+(?::\d+)?(?:[/?].*)?|[\w-]+:\d+(?:[/?].*)?|localhost(?:/.*)?|\[[\da-f:]+\].*", re.I
)

# Of AWS's own: <id>.lambda-url.<region>.on.aws, and in China .on.amazonwebservices.com.cn.
_SIGNED = re.compile(r"[a-z0-9]+\.lambda-url\.([a-z0-9-]+)\.(?:on\.aws|on\.amazonwebservices\.com\.cn)")


@dataclass(frozen=True)
class Reply:
    """What a service said: an HTTP status, the text with it, and after how long it wants to be asked again."""

    status: int
    body: bytes
    retry_after: str = ""


class Asking(Answering):
    """Asks a service of `dogbreed serve`, however it is reached; `where` is how people call it."""

    where: str

    @abstractmethod
    def ask(self, data: bytes, top_k: int) -> Reply:
        """Send one photo. DogbreedError when there is no answer at all."""

    def predict(self, data: bytes, *, name: str = "", top_k: int = 5) -> Answer:
        """The service's answer. PhotoError for a photo that it cannot use, DogbreedError when it does not answer."""
        for attempt in range(_TRIES):
            reply = self.ask(data, top_k)
            wait = _wait(reply.retry_after, attempt)
            # Who is not to be asked again for long is not there, and a person wants to know that now.
            if reply.status not in _BUSY or attempt == _TRIES - 1 or wait > _LONGEST_WAIT_S:
                break
            time.sleep(wait)
        said = _read(reply.body)
        if reply.status == 200 and isinstance(said, list) and said:
            return _answer(said[0], name)
        error = said.get("error") if isinstance(said, dict) else None
        if isinstance(error, dict) and 400 <= reply.status <= _LAST_OF_4XX and reply.status not in _BUSY:
            raise PhotoError(str(error.get("code")), str(error.get("message")), str(error.get("hint") or ""))
        if reply.status == _TOO_LARGE:  # what stands before the service says it in its own words
            size = f"{len(data) / 2**20:.1f} MiB"
            raise PhotoError("too-large", f"{size}, more than {self.where} takes", "send a smaller photo")
        words = str(error.get("message")) if isinstance(error, dict) else "this is no answer of dogbreed serve"
        hint = "try again later, or see the log of the service"
        raise DogbreedError(f"{self.where}: {words} (status {reply.status})", hint)


class Door(Asking):
    """A service at `url`: its address, or that of its /predict."""

    def __init__(self, url: str) -> None:
        """UsageError where `url` is no http or https address."""
        hint = "give one such as http://127.0.0.1:8080"
        if "://" not in url and not _BARE.fullmatch(url):
            raise UsageError(f"{url or 'nothing'} is no address of a service", hint)
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            parts.port  # noqa: B018 - ValueError for one that cannot be
        except ValueError as error:
            raise UsageError(f"{url} is no address of a service: {error}", hint) from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"{url} is no address of a service", hint)
        self.where = self.url = f"{parts.scheme}://{parts.netloc}"
        self._path = parts.path if parts.path.strip("/") else "/predict"
        self._secure, self._host = parts.scheme == "https", parts.netloc.rpartition("@")[2]
        self._own = threading.local()

    def headers(self, path: str, data: bytes) -> Mapping[str, str]:
        """The headers of a request."""
        return {"Content-Type": "application/octet-stream", "User-Agent": f"dogbreed/{__version__}"}

    def ask(self, data: bytes, top_k: int) -> Reply:
        """Post one photo, over the connection of before if there is one."""
        path = f"{self._path}?top_k={top_k}"
        kept = getattr(self._own, "connection", None)
        connection = kept or self._connect()
        try:
            reply = self._send(connection, path, data)
        except (OSError, http.client.HTTPException):
            connection.close()
            # A connection that was kept may have been closed meanwhile; a new one tells whether the service is there.
            connection = self._connect()
            try:
                reply = self._send(connection, path, data)
            except (OSError, http.client.HTTPException) as error:
                self._own.connection = None
                hint = "is it running? start it with: dogbreed serve"
                raise DogbreedError(f"{self.url} does not answer: {error or type(error).__name__}", hint) from error
        self._own.connection = connection
        return reply

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        return kind(self._host, timeout=_TIMEOUT_S)

    def _send(self, connection: http.client.HTTPConnection, path: str, data: bytes) -> Reply:
        connection.request("POST", path, data, dict(self.headers(path, data)))
        answer = connection.getresponse()
        return Reply(answer.status, answer.read(), answer.getheader("Retry-After") or "")


def is_signed(url: str) -> bool:
    """Whether requests to this address are signed: a function's address at AWS, or at the stand-in on this machine.

    Nowhere else: whoever gets a signature may use it for some minutes.
    """
    return bool(region_of(url)) or is_rehearsed(url)


def is_rehearsed(url: str) -> bool:
    """Whether an address is on this machine, and so are all of AWS's, as the environment has it."""
    return _is_loopback(host_of(url)) and _is_loopback(host_of(os.environ.get("AWS_ENDPOINT_URL", "")))


def region_of(url: str) -> str:
    """The region in the address of a function; "" where it is none."""
    match = _SIGNED.fullmatch(host_of(url))
    return match[1] if match else ""


def host_of(url: str) -> str:
    """The host of an address, with or without its scheme; "" where there is none."""
    with suppress(ValueError):
        return urlsplit(url if "://" in url else f"http://{url}").hostname or ""
    return ""


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return host == "localhost" or ip_address(host).is_loopback
    return False


def _wait(said: str, attempt: int) -> float:
    with suppress(ValueError):
        return max(0.0, float(said))
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
