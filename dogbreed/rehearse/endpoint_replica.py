"""One replica: a container that is kept running, on an instance, in a serverless environment or as a component's copy.

It is ready once /ping answers 200; a container that ends by itself is started again. Whoever asks it takes it first
and gives it back, so that ending one can wait for the last answer.
"""

from __future__ import annotations

import itertools
import logging
import secrets
import threading
import time
from typing import TYPE_CHECKING

from dogbreed.errors import DogbreedError
from dogbreed.rehearse.endpoint_container import GRACE_S, Container

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from dogbreed.rehearse.cloud import Cloud
    from dogbreed.rehearse.endpoint_container import Reply, Served

# What AWS waits for the first healthy answer, by its clock, where nothing else is said.
HEALTHY_S = 480.0
# A container that runs gets this long on this machine's clock, however fast the stand-in's is: the real service starts
# in 2 s, but not on a machine that is ten times slower and busy with others.
_AT_LEAST_S = 120.0
_RESTART_S = 3.0
_PING_EVERY_S = 0.1
_DRAIN_S = 60.0
_numbers = itertools.count(1)


class Replica:
    """Starts at once; `settled` is set when it is ready, has failed for good, or was ended."""

    def __init__(
        self, cloud: Cloud, served: Served, line: Callable[[str, str], None], healthy_s: float = HEALTHY_S
    ) -> None:
        self._cloud, self._served = cloud, served
        self.id = f"i-{secrets.token_hex(8)}"
        self.ready = False
        self.closing = False
        self.trouble = ""
        self.taken = 0
        self.setup_s = 0.0
        self.idle_since = cloud.clock.time()
        self.settled = threading.Event()
        self._healthy_s, self._grace_s = healthy_s, GRACE_S
        self._over = threading.Event()
        self._idle = threading.Condition()
        self._folder: Path = cloud.folder / "serving" / f"{next(_numbers):x}"
        self._line = line
        self._container = self._new()
        self._thread = threading.Thread(target=self._keep, daemon=True, name=self.id)
        self._thread.start()

    @property
    def pid(self) -> int:
        """The first process of its container, 0 where it has none."""
        return self._container.pid

    def take(self) -> None:
        """Count one more request that it answers."""
        with self._idle:
            self.taken += 1

    def give_back(self) -> None:
        """Count one less."""
        with self._idle:
            self.taken -= 1
            self.idle_since = self._cloud.clock.time()
            self._idle.notify_all()

    def ask(self, body: bytes, headers: Mapping[str, str], timeout: float) -> Reply:
        """The answer of /invocations. Raises BrokenError."""
        return self._container.ask("POST", "/invocations", body, headers, timeout)

    def wait(self, stop: threading.Event) -> str:
        """Wait until it is ready; why it is not, else empty."""
        while not self.settled.wait(0.05):
            if stop.is_set():
                return "stopped"
        return "" if self.ready else self.trouble or "ended"

    def drain(self, seconds: float = _DRAIN_S) -> None:
        """Wait until nobody has taken it any more."""
        until = time.monotonic() + seconds
        with self._idle:
            while self.taken > 0 and (left := until - time.monotonic()) > 0:
                self._idle.wait(min(left, 0.5))
                if self._over.is_set():
                    return

    def end(self, grace_s: float = GRACE_S) -> None:
        """End it, at once without a grace; nothing of it runs when this returns."""
        self._grace_s = grace_s
        self.closing, self.ready = True, False
        self._over.set()
        self.settled.set()
        self._thread.join()

    # -- its thread

    def _new(self) -> Container:
        return Container(self._cloud, self._served, self._folder, lambda text: self._line(self.id, text))

    def _keep(self) -> None:
        begun, crashes = (self._cloud.clock.time(), time.monotonic()), 0
        try:
            while not self._over.is_set():
                if self._run(begun, crashes):
                    return
                crashes += 1
                if self._cloud.clock.sleep(_RESTART_S, self._over):
                    return
                self._container = self._new()
        except Exception:
            logging.exception("replica %s", self.id)
            self.trouble = "InternalServerError: We encountered an internal error. Please try again."
        finally:
            self.ready = False
            self.settled.set()
            self._container.end(0.0)

    def _run(self, begun: tuple[float, float], crashes: int) -> bool:
        """Run a container to its end; whether no other is to follow."""
        container = self._container
        try:
            container.start()
        except DogbreedError as error:
            if self._over.is_set():
                return True
            self.trouble = error.message
            return True
        while not self.ready and not self._over.wait(_PING_EVERY_S):
            if container.wait(0) is not None:
                break
            if (status := container.ping()) == 200:
                self.idle_since = self._cloud.clock.time()
                self.ready = not self._over.is_set()
                self.settled.set()
            elif not self.settled.is_set() and self._too_late(begun, alive=not status):
                return True
        while self.ready and not self._over.wait(_PING_EVERY_S):
            if container.wait(0) is not None:
                break
        self.ready = False
        container.end(self._grace_s if self._over.is_set() else 0.0)
        # Once it was healthy it is started again for ever.
        return self._over.is_set() or (not self.settled.is_set() and self._too_late(begun, alive=crashes == 0))

    def _too_late(self, begun: tuple[float, float], *, alive: bool) -> bool:
        """Whether the clock says so; one that is `alive` may only be slow on this machine, whose clock counts too."""
        by_clock = self._cloud.clock.time() - begun[0] > self._healthy_s
        return by_clock and (not alive or time.monotonic() - begun[1] > _AT_LEAST_S)
