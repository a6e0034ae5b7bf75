"""Serverless variants: an environment for each request at a time, started when it is needed, kept while it is warm."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse.calls import AwsError
from dogbreed.rehearse.endpoint_variant import UnhealthyError, Variant

if TYPE_CHECKING:
    from collections.abc import Collection

    from dogbreed.rehearse.cloud import Cloud
    from dogbreed.rehearse.endpoint_replica import Replica
    from dogbreed.rehearse.endpoint_variant import Source

# AWS does not say how long an idle environment is kept; by the clock.
_WARM_S = float(os.environ.get("REHEARSE_WARM_S", "600"))
_LOOK_S = 5.0
_DRAIN_S, _DRAIN_LOOK_S = 90.0, 0.05
# What AWS gives a serverless container to answer /ping.
_HEALTHY_S = 180.0


class ServerlessVariant(Variant):
    """The environments of a serverless variant; each answers one request at a time."""

    serverless = True

    def __init__(self, cloud: Cloud, told: dict[str, Any], source: Source | None) -> None:
        super().__init__(cloud, told, source)
        self.current = dict(told["ServerlessConfig"])
        self.wanted = dict(self.current)
        self._healthy_s = _HEALTHY_S
        self._open, self._closed = 0, False
        self._over = threading.Event()
        self._reaper = threading.Thread(target=self._reap, daemon=True, name=f"{self.name} reaper")

    @property
    def can_answer(self) -> bool:
        """Always: an environment is started when none is there."""
        return not self._closed

    def take(self, avoid: Collection[Replica] = ()) -> Replica | None:
        """A warm environment, else a new one, which takes its time; AwsError where all are busy."""
        with self.lock:
            if self._closed:
                return None
            if self._open >= self.current["MaxConcurrency"]:
                raise AwsError("ThrottlingException", "Rate exceeded", 429)
            self._open += 1
            if warm := [one for one in self._idle() if one not in avoid]:
                # The one that was used last, so that others may cool down.
                chosen = max(warm, key=lambda one: one.idle_since)
                chosen.take()
                return chosen
        return self._cold()

    def _idle(self) -> list[Replica]:
        return [one for one in self.replicas if one.ready and not one.closing and one.taken == 0]

    def _cold(self) -> Replica | None:
        assert self.source
        begun = time.monotonic()
        try:
            self.source.fetch()
            replica = self.source.replica(self.name, self._healthy_s)
            replica.take()
            with self.lock:
                self.replicas.append(replica)
            trouble = replica.wait(self._over)
        except UnhealthyError as error:
            replica, trouble = None, str(error)
        if replica and not trouble:
            replica.setup_s = time.monotonic() - begun
            return replica
        with self.lock:
            self._open -= 1
        if replica:
            replica.give_back()
            self._end([replica])
        raise AwsError("ModelError", self._why(trouble), 424)

    def give_back(self, replica: Replica) -> None:
        """Say that an environment has answered."""
        with self.lock:
            self._open -= 1
        replica.give_back()

    def start(self, count: int, stop: threading.Event) -> None:
        """Start what is provisioned, or one environment to see that it answers. Raises UnhealthyError."""
        super().start(max(1, self.wanted.get("ProvisionedConcurrency", 0)), stop)
        self._reaper.start()

    def resize(self, stop: threading.Event) -> None:
        """Come to the wanted concurrency. Raises UnhealthyError."""
        missing = self.wanted.get("ProvisionedConcurrency", 0) - self.count
        if missing > 0:
            Variant.start(self, missing, stop)
        self.current = dict(self.wanted)

    def end(self) -> None:
        """Drain and end all; who waits for an environment that starts gets its answer."""
        with self.lock:
            self._closed = True
        until = time.monotonic() + _DRAIN_S
        while self._open and time.monotonic() < until and not self._over.wait(_DRAIN_LOOK_S):
            pass
        self._over.set()
        super().end()
        self._end_reaper()

    def abandon(self) -> None:
        """End all at once."""
        self._closed = True
        self._over.set()
        super().abandon()
        self._end_reaper()

    def capacity(self) -> dict[str, Any]:
        """What of it depends on its kind."""
        return {"CurrentServerlessConfig": dict(self.current), "DesiredServerlessConfig": dict(self.wanted)}

    def _end_reaper(self) -> None:
        if self._reaper.is_alive():
            self._reaper.join()

    def _reap(self) -> None:
        """End environments that have been idle for long, but for those that are provisioned."""
        while not self.cloud.clock.sleep(_LOOK_S, self._over):
            now, cold = self.cloud.clock.time(), []
            with self.lock:
                # While more are being provisioned, those that are there already stay.
                kept = max(one.get("ProvisionedConcurrency", 0) for one in (self.current, self.wanted))
                idle = sorted(self._idle(), key=lambda one: one.idle_since)
                spare = max(0, self.count - kept)
                for one in idle[:spare]:
                    if now - one.idle_since > _WARM_S:
                        one.closing = True
                        cold.append(one)
            if cold:
                self._end(cold)
