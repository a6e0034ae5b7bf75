"""The execution environments of all functions: kept warm, kept ready, counted against limits, ended when unused.

One environment answers one call at a time. A call takes a provisioned environment of its qualifier, else a warm one,
else a new one; more calls at a time than a reservation or the account has are refused, never queued.
"""

from __future__ import annotations

import os
import threading
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed.rehearse.calls import AwsError
from dogbreed.rehearse.function_process import EndedError, Environment, Place, make_runtime
from dogbreed.rehearse.function_rules import CONCURRENCY
from dogbreed.rehearse.sandbox import Network

if TYPE_CHECKING:
    from collections.abc import Callable

    from dogbreed.rehearse.cloud import Cloud
    from dogbreed.rehearse.function_records import Function, Records, Version

Key = tuple[str, str]
# By the clock: how long an unused environment is kept, and how long it takes until provisioned ones are allocated.
WARM_S, ALLOCATED_S = 600.0, 60.0
_INIT_S = 900.0  # for provisioned environments
_AT_ONCE = 4
# Lambda has room for a thousand; this machine must not die of them.
_SPARE_MB = int(os.environ.get("REHEARSE_SPARE_MB", "512"))
_NO_ROOM = f"the machine of the stand-in has less than {_SPARE_MB} MB of memory left, too little for one more call"


@dataclass
class Shelf:
    """The provisioned environments of one qualifier; the latest of them are allocated at `ready_at`."""

    wanted: int
    serial: int
    ready_at: float
    made: list[Environment] = field(default_factory=list)
    free: list[Environment] = field(default_factory=list)
    failed: str = ""
    given_up: bool = False

    def allocated(self, now: float) -> int:
        """How many there are to be used."""
        return min(self.wanted, sum(one.ready_at <= now for one in self.made))

    def take(self, now: float) -> Environment | None:
        """One that is free."""
        found = next((one for one in self.free if one.ready_at <= now), None)
        if found:
            self.free.remove(found)
        return found

    @property
    def complete(self) -> bool:
        """Whether all of them have started."""
        return len(self.made) >= self.wanted


@dataclass(frozen=True)
class Lease:
    """An environment for one call; `running` calls of the function there are with it, `shelf` is of its qualifier."""

    environment: Environment
    running: int
    shelf: Shelf | None
    shelf_busy: int


class Pool:
    """All environments; `log` gets the lines of provisioned ones as they start."""

    def __init__(self, cloud: Cloud, records: Records, log: Callable[[Environment], None]) -> None:
        self._cloud = cloud
        self._records = records
        self._log = log
        self._lock = threading.Lock()
        self._free: list[Environment] = []
        self._all: set[Environment] = set()
        self._running: Counter[Key] = Counter()
        self._shelves: dict[tuple[str, str, str], Shelf] = {}
        self._place: Place | None = None

    # -- calls

    def take(self, function: Function, qualifier: str, version: Version) -> Lease:
        """An environment for a call, maybe one that has not started; AwsError (429) where none is to be had."""
        key = (function.region, function.name)
        place = self._made_place()
        with self._lock:
            self._admit(function, key)
            self._running[key] += 1
            shelf = self._shelves.get((*key, qualifier))
            if shelf and (shelf.serial != version.serial or not shelf.allocated(self._cloud.clock.time())):
                shelf = None
            found = shelf.take(self._cloud.clock.time()) if shelf else None
            found = found or self._warm(version)
            running = self._running[key]
            unused = self._free if found is None and not _has_room() else []
            self._free = [one for one in self._free if one not in unused]
        self._end(unused)
        if found is None and not unused and not _has_room():
            with self._lock:
                self._running[key] -= 1
            raise throttled("ConcurrentInvocationLimitExceeded", _NO_ROOM)
        with self._lock:
            if found is None:
                found = Environment(self._cloud, place, function, version, provisioned=False)
                self._all.add(found)
            busy = len(shelf.made) - len(shelf.free) if shelf else 0
            return Lease(found, running, shelf, busy)

    def give_back(self, lease: Lease) -> None:
        """The call is over."""
        environment = lease.environment
        key = (environment.function.region, environment.function.name)
        environment.idle_since = self._cloud.clock.time()
        keep = environment.lives()
        with self._lock:
            # Calls of an account that was emptied meanwhile are counted no more.
            if environment in self._all:
                self._running[key] -= 1
            shelf = lease.shelf
            kept = shelf is not None and environment in shelf.made
            if keep and kept and shelf and not shelf.given_up and len(shelf.made) <= shelf.wanted:
                shelf.free.append(environment)
            elif keep and not kept and environment in self._all:
                self._free.append(environment)
            else:
                keep = False
                if shelf and kept:
                    shelf.made.remove(environment)
        if not keep:
            self._end([environment])
            if shelf and kept and not shelf.given_up:
                self._fill_later(shelf, environment.function, environment.version)

    # -- provisioned concurrency

    def provision(self, function: Function, qualifier: str, wanted: int, version: Version) -> Shelf:
        """Keep `wanted` environments ready for a qualifier; they are started in the background."""
        key = (function.region, function.name, qualifier)
        with self._lock:
            shelf = self._shelves.get(key)
            if shelf and shelf.serial == version.serial and not shelf.failed:
                grows = wanted > shelf.wanted
                shelf.wanted = wanted
                surplus = [shelf.free.pop() for _ in range(min(len(shelf.made) - wanted, len(shelf.free)))]
                shelf.made = [one for one in shelf.made if one not in surplus]
                if grows:
                    shelf.ready_at = self._cloud.clock.time() + ALLOCATED_S
            else:
                surplus = self._dropped(key)
                shelf = self._shelves[key] = Shelf(wanted, version.serial, self._cloud.clock.time() + ALLOCATED_S)
        self._end(surplus)
        self._fill_later(shelf, function, version)
        return shelf

    def release(self, function: Function, qualifier: str) -> None:
        """Keep none ready any more."""
        with self._lock:
            surplus = self._dropped((function.region, function.name, qualifier))
        self._end(surplus)

    def shelf(self, function: Function, qualifier: str) -> Shelf | None:
        """The provisioned environments of a qualifier."""
        return self._shelves.get((function.region, function.name, qualifier))

    # -- all of them

    def sweep(self) -> None:
        """End what nobody needs: long unused, or of code that has been replaced or deleted."""
        now = self._cloud.clock.time()
        functions = list(self._records.functions.values())
        current = {version.serial for function in functions for version in function.everything()}
        current |= {one.before.serial for one in functions if one.before}
        with self._lock:
            stale = [
                one
                for one in self._free
                if one.version.serial not in current or now - one.idle_since > WARM_S or not one.lives()
            ]
            self._free = [one for one in self._free if one not in stale]
        self._end(stale)

    def count(self) -> dict[str, tuple[int, int]]:
        """By function: how many environments there are, and how many calls run."""
        with self._lock:
            made = Counter((one.function.region, one.function.name) for one in self._all)
            return {key[1]: (made[key], self._running[key]) for key in list(self._records.functions)}

    def end(self) -> None:
        """End everything at once."""
        with self._lock:
            everything, self._all = list(self._all), set()
            for shelf in self._shelves.values():
                shelf.given_up = True
            self._shelves.clear()
            self._free.clear()
            self._running.clear()
            place, self._place = self._place, None
        self._end(everything)
        if place and place.network:
            place.network.close()

    def _admit(self, function: Function, key: Key) -> None:
        if function.reserved is not None:
            if self._running[key] >= function.reserved:
                raise throttled("ReservedFunctionConcurrentInvocationLimitExceeded")
            return
        others = [one for one in self._records.of(function.region) if one.reserved is None]
        reserved = sum(one.reserved or 0 for one in self._records.of(function.region))
        if sum(self._running[one.region, one.name] for one in others) >= CONCURRENCY - reserved:
            raise throttled("ConcurrentInvocationLimitExceeded")

    def _warm(self, version: Version) -> Environment | None:
        """The one that was used last."""
        for number in range(len(self._free) - 1, -1, -1):
            if self._free[number].version.serial == version.serial:
                found = self._free.pop(number)
                if found.lives():
                    return found
        return None

    def _dropped(self, key: tuple[str, str, str]) -> list[Environment]:
        """Take a shelf down; those of it that are free. The busy ones end after their call."""
        shelf = self._shelves.pop(key, None)
        if shelf is None:
            return []
        shelf.given_up = True
        free, shelf.free = shelf.free, []
        shelf.made = [one for one in shelf.made if one not in free]
        return free

    def _fill_later(self, shelf: Shelf, function: Function, version: Version) -> None:
        threading.Thread(target=self._fill, args=[shelf, function, version], daemon=True).start()

    def _fill(self, shelf: Shelf, function: Function, version: Version) -> None:
        def start(_: int) -> None:
            if not _has_room():
                shelf.failed = _NO_ROOM
            if shelf.given_up or shelf.failed:
                return
            made = Environment(self._cloud, self._made_place(), function, version, provisioned=True)
            try:
                made.start(_INIT_S, new_stream(self._cloud, version))
            except EndedError:
                shelf.failed = "FUNCTION_ERROR_INIT_FAILURE"
            with self._lock:
                # What an account that was emptied meanwhile would find in its logs is of another one.
                if not shelf.given_up:
                    self._log(made)
                keep = not (shelf.given_up or shelf.failed or shelf.complete)
                if keep:
                    made.ready_at = shelf.ready_at
                    self._all.add(made)
                    shelf.made.append(made)
                    shelf.free.append(made)
            if not keep:
                made.end()

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(start, range(shelf.wanted - len(shelf.made))))

    def _made_place(self) -> Place:
        with self._lock:
            if self._place is None:
                folder = self._cloud.folder / "functions"
                make_runtime(folder / "runtime")
                self._place = Place(folder / "environments", Network.make(), folder / "runtime")
            return self._place

    def _end(self, environments: list[Environment]) -> None:
        with self._lock:
            self._all -= set(environments)
        if environments:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                list(pool.map(Environment.end, environments))


def new_stream(cloud: Cloud, version: Version) -> str:
    """The name of a log stream for a new environment."""
    return f"{cloud.clock.now():%Y/%m/%d}/[{version.number}]{uuid.uuid4().hex}"


def throttled(reason: str, words: str = "Rate Exceeded.") -> AwsError:
    """Too many calls at a time."""
    error = AwsError("TooManyRequestsException", words, 429)
    # Members of this refusal beside its message.
    error.Reason, error.Type = reason, "User"  # type: ignore[attr-defined]
    return error


def _has_room() -> bool:
    """Whether this machine has memory for one more environment, as far as /proc tells."""
    with suppress(OSError, ValueError, IndexError):
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        return int(text.split("MemAvailable:", 1)[1].split(None, 1)[0]) // 1024 >= _SPARE_MB
    return True
