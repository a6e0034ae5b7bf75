"""What a launcher does for a run that it follows: it shows that it is there, and replaces machines that are taken away.

Spot machines that get a notice write a checkpoint with the others and end; the others wait for a replacement, but only
as long as somebody follows. It comes into their zone, else all of them move to where there is room.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from dogbreed.cloud import ec2_fleet
from dogbreed.cloud.ec2_fleet import NoCapacityError
from dogbreed.cloud.ec2_start import Starter
from dogbreed.cloud.ec2_watch import Seen, look, state
from dogbreed.cloud.machine_agent import FOLLOWER, FOLLOWER_S, MACHINES
from dogbreed.cloud.remote import RemoteRun
from dogbreed.cloud.session import Aws
from dogbreed.cloud.storage import Store

_SIGN_EVERY_S = FOLLOWER_S / 3
# After no room anywhere, before it is tried again.
_AGAIN_S = 60.0
_ENDING_S = 120.0


class Tender:
    """Looks after one run; `tend` is called every few seconds."""

    def __init__(self, aws: Aws, run: RemoteRun, tell: Callable[[str], None]) -> None:
        self._aws, self._run, self._tell = aws, run, tell
        self._store = Store(aws, run.bucket)
        self._signed = self._next = float("-inf")

    def tend(self) -> Seen:
        """Leave the sign, and start what is missing; what was seen."""
        now = time.monotonic()
        if now - self._signed > _SIGN_EVERY_S:
            self._signed = now
            self._store.put_json(f"{self._run.prefix}{MACHINES}/{FOLLOWER}", {"beat": time.time()})
        seen = look(self._aws, self._store, self._run)
        gone = missing(seen)
        if gone and now > self._next:
            try:
                self._replace(seen, gone)
            except NoCapacityError as error:
                self._next = now + _AGAIN_S
                self._tell(f"{error.message}; trying again in {_AGAIN_S:.0f} s")
        return seen

    def _replace(self, seen: Seen, gone: list[int]) -> None:
        last = seen.launches[max(seen.launches)]
        assert self._run.last
        told = state(self._run, seen)
        spent = replace(self._run.last, seconds=told.seconds, usd=None if told.usd is None else str(told.usd))
        starter = Starter(self._aws, self._run.with_attempt(spent), self._tell)
        self._tell(f"machine(s) {', '.join(map(str, gone))} of {self._run.instances} were taken away: starting others")
        if len(gone) < self._run.instances:
            try:
                starter.some(seen.newest + 1, gone, last)
                return
            except NoCapacityError:
                self._tell("no room beside the others: all machines move")
        self._end_all(seen)
        starter.all(seen.newest + 1, last.until)

    def _end_all(self, seen: Seen) -> None:
        ec2_fleet.terminate(self._aws, [machine.id for machine in seen.alive])
        deadline = time.monotonic() + _ENDING_S
        while ec2_fleet.machines(self._aws, self._run.id) and time.monotonic() < deadline:
            time.sleep(1)


def missing(seen: Seen) -> list[int]:
    """The ranks that want a machine: theirs was taken or is gone, and the run is neither at its end nor ending."""
    said = seen.said.get(seen.newest, {})
    states = {str(told["state"]) for told in said.values()}
    if not seen.launches or seen.stop or states & {"done", "failed", "stopped", "limit"}:
        return []
    if time.time() > seen.launches[max(seen.launches)].until:
        return []
    held = seen.ranks()
    gone = sorted(rank for rank, name in held.items() if _was_taken(seen, name))
    # Those that were left have been ended so that all could move, and there was no room yet.
    return sorted(held) if gone and not seen.alive else gone


def _was_taken(seen: Seen, name: str) -> bool:
    """Whether AWS took a machine away. One that ended without a word may never have started well: it is not tried
    again, since the next would cost the same and do no better.
    """
    words = [told for nodes in seen.said.values() for told in nodes.values() if told.get("instance") == name]
    if any(told.get("ended") and told["state"] == "interrupted" for told in words):
        return True
    machine = seen.machines.get(name)
    if machine is None or machine.alive:
        return False
    return machine.reason.startswith("Server.Spot") or (bool(words) and machine.reason.startswith("Server."))
