"""Load on a service: requests that arrive whether or not there is an answer yet, and how long each of them takes.

Time counts from when a request was due, not from when it could be sent: a service that stalls is not spared the
requests that would have come meanwhile (what is called coordinated omission). HTTP/1.1 over asyncio's streams, with as
little work for each request as possible, since a load generator that is slow itself measures itself.
"""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from dogbreed.capacity.histogram import Histogram, milliseconds
from dogbreed.capacity.traffic import Arrivals
from dogbreed.errors import DogbreedError, UsageError

_CONNECTIONS = 1_000
_OK = "200"
# A service is saturated when it answers less than this share of the requests a second that came.
_SATURATED = 0.95
_LATE_S = 0.05


@dataclass
class Step:
    """`rate` requests a second for `seconds`; `outcomes` counts statuses, or what kept an answer from coming."""

    rate: float
    seconds: float
    sent: int = 0
    # Requests that were sent more than 50 ms late: then this computer, not the service, is the limit.
    late: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    latencies: Histogram = field(default_factory=Histogram)
    took_s: float = 0.0

    @property
    def answered(self) -> float:
        """Good answers a second, over the time until the last one came, less what the fastest of them took."""
        # Without any waiting answers come as long as requests did, only later by as much as one takes.
        fastest = self.latencies.centile(0) if self.latencies.count else 0.0
        return self.outcomes[_OK] / max(self.seconds, self.took_s - fastest)

    @property
    def failed(self) -> float:
        """The share without a good answer."""
        return 1 - self.outcomes[_OK] / self.sent if self.sent else 0.0

    def to_json(self) -> dict[str, Any]:
        """For --json; times in milliseconds."""
        shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99_9": 0.999}
        times = {f"{name}_ms": milliseconds(self.latencies.centile(share)) for name, share in shares.items()}
        said = {"rate": round(self.rate, 2), "seconds": self.seconds, "sent": self.sent, "sent_late": self.late}
        return said | {"answered_per_s": round(self.answered, 2), "outcomes": dict(self.outcomes), **times}


@dataclass(frozen=True)
class Verdict:
    """What the steps say. capacity: the most good answers a second; held: the highest rate within the objective."""

    capacity: float
    held: float
    saturated: bool
    # Requests a minute for one instance: `held` with a margin, for scaling by invocations per instance.
    target_per_minute: float

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        return {name: round(value, 2) if isinstance(value, float) else value for name, value in vars(self).items()}


def judge(steps: Sequence[Step], p99_s: float, errors: float, safety: float, instances: int) -> Verdict:
    """`p99_s` and `errors` (a share) are the objective; `safety` is the share of the held rate to aim at."""
    held = max((step.rate for step in steps if _holds(step, p99_s, errors)), default=0.0)
    capacity = max((step.answered for step in steps), default=0.0)
    # What was sent, not what was meant: chance sends more or fewer.
    saturated = any(step.answered < _SATURATED * step.sent / step.seconds for step in steps)
    return Verdict(capacity, held, saturated, held * 60 * safety / instances)


def _holds(step: Step, p99_s: float, errors: float) -> bool:
    return bool(step.sent) and step.failed <= errors and step.latencies.centile(0.99) <= p99_s


def rates(first: float, last: float, steps: int) -> list[float]:
    """Rates from the first to the last, each the same factor above the one before."""
    if not 0 < first <= last <= 1e5 or steps < 1:
        raise UsageError(f"a rate from {first:g} to {last:g}", "requests a second, such as 20 or 5..200")
    return [float(rate) for rate in np.geomspace(first, last, steps if first < last else 1)]


class Target:
    """Where the requests go, and the photos that are sent in turn; a subclass may make and read them otherwise."""

    # For how many seconds a request may be sent again as it is.
    fresh_s = math.inf

    def __init__(self, url: str, photos: Sequence[bytes], timeout_s: float = 30.0) -> None:
        """UsageError where `url` is no http or https address."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"{url} is no address of a service", "give one such as http://127.0.0.1:8080")
        self.host, self.secure = parts.hostname, parts.scheme == "https"
        self.port = parts.port or (443 if self.secure else 80)
        self.timeout_s = timeout_s
        # Reading the certificates takes longer than a request.
        self._context = ssl.create_default_context() if self.secure else None
        self._host_header, self._path = parts.netloc, parts.path if parts.path.strip("/") else "/predict"
        self._photos = photos
        self._made: dict[int, tuple[float, bytes]] = {}
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._open = 0

    def request(self, number: int) -> bytes:
        """The bytes of the request of this number."""
        index, now = number % len(self._photos), time.monotonic()
        made, request = self._made.get(index, (-math.inf, b""))
        if not request or now - made > self.fresh_s:
            request = self.build(self._photos[index])
            self._made[index] = now, request
        return request

    def build(self, photo: bytes) -> bytes:
        """The request for a photo."""
        head = f"POST {self._path} HTTP/1.1\r\nHost: {self._host_header}\r\nContent-Type: application/octet-stream\r\n"
        return f"{head}Content-Length: {len(photo)}\r\n\r\n".encode() + photo

    def outcome(self, status: str, head: bytes, body: bytes) -> str:
        """What came of a request: its status, or what the answer says beside it. `head` is in small letters."""
        return status

    async def ask(self, number: int) -> str:
        """Send a photo; the status of the answer, or what kept it from coming."""
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._ask(self.request(number))
        except TimeoutError:
            return "timeout"
        except ConnectionRefusedError:
            return "refused"
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, IndexError):
            return "broken connection"

    async def _ask(self, request: bytes) -> str:
        if not self._idle and self._open >= _CONNECTIONS:
            return "no connection left"
        if self._idle:
            reader, writer = self._idle.pop()
        else:
            self._open += 1
            try:
                reader, writer = await asyncio.open_connection(self.host, self.port, ssl=self._context)
            except BaseException:
                self._open -= 1
                raise
        kept = False
        try:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            body = await _body(reader, head)
            kept = b"connection: close" not in head
            return self.outcome(head.split(b" ", 2)[1].decode("ascii"), head, body)
        finally:
            if kept:
                self._idle.append((reader, writer))
            else:
                self._open -= 1
                writer.close()

    def close(self) -> None:
        """Close what is open."""
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    """The body of an answer, of a known length or in chunks (RFC 9112, 7.1)."""
    if b"transfer-encoding: chunked" not in head:
        return await reader.readexactly(int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]))
    body = b""
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2]
    while (await reader.readline()).strip():
        pass
    return body


async def press(
    target: Target, plan: Sequence[float], seconds: float, seed: int = 0, arrivals: Arrivals = "poisson"
) -> AsyncGenerator[Step]:
    """Each rate of `plan` for `seconds`; each step is yielded when it is done, and the caller may end it there.

    arrivals: independent of each other (poisson), or at equal distances (even). Raises DogbreedError when the very
    first request gets no answer at all.
    """
    if (said := await target.ask(0)) in ("refused", "broken connection", "timeout"):
        raise DogbreedError(f"{target.host}:{target.port} does not answer: {said}", "is it running? dogbreed serve")
    rng = np.random.default_rng(seed)
    for rate in plan:
        step = Step(rate, seconds)
        await _step(target, step, _due(rate, seconds, arrivals, rng))
        yield step


def _due(rate: float, seconds: float, arrivals: Arrivals, rng: np.random.Generator) -> list[float]:
    """When requests are due, in seconds from the beginning of a step."""
    if not rate:
        return []
    if arrivals == "even":
        return [(number + 0.5) / rate for number in range(round(rate * seconds))]
    due = np.cumsum(rng.exponential(1 / rate, int(rate * seconds + 10 * (rate * seconds) ** 0.5 + 10)))
    return [float(at) for at in due[due < seconds]]


async def _step(target: Target, step: Step, due: Sequence[float]) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    under_way: set[asyncio.Task[None]] = set()

    async def one(number: int, at: float) -> None:
        outcome = await target.ask(number)
        took = loop.time() - began - at
        step.outcomes[outcome] += 1
        if outcome == _OK:
            step.latencies.add(took)
        step.took_s = max(step.took_s, loop.time() - began)

    for number, at in enumerate(due):
        if (wait := began + at - loop.time()) > 0:
            await asyncio.sleep(wait)
        step.sent += 1
        step.late += loop.time() - began - at > _LATE_S
        task = asyncio.create_task(one(number, at))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    if (rest := began + step.seconds - loop.time()) > 0:
        await asyncio.sleep(rest)
    while under_way:
        await asyncio.wait(under_way)
