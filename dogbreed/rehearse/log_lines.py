"""What containers, functions and builds print, on its way to CloudWatch Logs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from dogbreed.rehearse.cloud import Cloud

_EVERY_S = 0.2
_BATCH = 1000
_LINE = 250_000  # bytes of an event at most, less what CloudWatch adds
# Moto refuses events that are two hours ahead of this machine's clock, which the stand-in's may be.
_AHEAD_S = 7000.0


@dataclass(frozen=True)
class Stream:
    """Where lines go, and as whom."""

    region: str
    role: str
    group: str
    name: str


class Lines:
    """Sends lines in batches until it is ended; what the role may not send is lost, as with the real one."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._lock = threading.Lock()
        self._waiting: dict[Stream, list[dict[str, Any]]] = {}
        self._made: set[Stream] = set()
        self._sender: threading.Thread | None = None
        self._over = threading.Event()

    def add(self, stream: Stream, lines: Iterable[str]) -> None:
        """Take lines; once it is ended, they are dropped."""
        with self._lock:
            moment = int(min(self._cloud.clock.time(), time.time() + _AHEAD_S) * 1000)
            events = [{"timestamp": moment, "message": line[:_LINE] or " "} for line in lines]
            if not events or self._over.is_set():
                return
            self._waiting.setdefault(stream, []).extend(events)
            if self._sender is None:
                self._sender = threading.Thread(target=self._run, daemon=True)
                self._sender.start()

    def end(self) -> None:
        """Send what is left, and no more after that."""
        with self._lock:
            self._over.set()
        if self._sender:
            self._sender.join()

    def _run(self) -> None:
        while not self._over.wait(_EVERY_S):
            self._send()
        self._send()

    def _send(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for stream, events in waiting.items():
            with suppress(ClientError, BotoCoreError):
                logs = self._cloud.client("logs", stream.region, role=stream.role)
                where = {"logGroupName": stream.group, "logStreamName": stream.name}
                if stream not in self._made:
                    _make(logs, where)
                    self._made.add(stream)
                for start in range(0, len(events), _BATCH):
                    logs.put_log_events(**where, logEvents=events[start : start + _BATCH])


def _make(logs: Any, where: dict[str, str]) -> None:
    """The stream; and its group only where there is none, since few roles may make groups."""
    try:
        logs.create_log_stream(**where)
    except logs.exceptions.ResourceNotFoundException:
        logs.create_log_group(logGroupName=where["logGroupName"])
        logs.create_log_stream(**where)
    except logs.exceptions.ResourceAlreadyExistsException:
        pass
