"""How a run on EC2 stands: what its machines say of themselves in the bucket, and what EC2 says of them."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from dogbreed.cloud import ec2_fleet
from dogbreed.cloud.ec2_fleet import Machine
from dogbreed.cloud.machine_agent import MACHINES, REASONS, STOP
from dogbreed.cloud.remote import RemoteRun, State, Status
from dogbreed.cloud.session import Aws
from dogbreed.cloud.storage import Store

LAUNCH = "launch.json"
_AT_ONCE = 8
_NODE = re.compile(r"(\d+)/node-(\d+)\.json")
_LAUNCHED = re.compile(rf"(\d+)/{re.escape(LAUNCH)}")
# How long after it was asked for a machine may say nothing.
_SILENT_S = 900.0
_CENT = Decimal("0.0001")


@dataclass(frozen=True)
class Launch:
    """Machines that were started together, or as replacements. Times in seconds since 1970.

    launch: the attempt of the run (see `remote.Attempt`) that this belongs to; machines: id -> rank; until: when all
    of that attempt end at the latest; price: US dollars for one and hour, as text, None where it is not known.
    """

    launch: str
    machines: Mapping[str, int]
    type: str
    zone: str
    subnet: str
    spot: bool
    price: str | None
    at: float
    until: float


@dataclass(frozen=True)
class Seen:
    """One look: `said` and `launches` by number of the machines' attempt, `machines` by id."""

    said: Mapping[int, Mapping[int, Mapping[str, Any]]]
    launches: Mapping[int, Launch]
    machines: Mapping[str, Machine]
    stop: str

    @property
    def newest(self) -> int:
        """The number of the newest attempt; 0 before the first."""
        return max([0, *self.said, *self.launches])

    @property
    def alive(self) -> list[Machine]:
        """The machines that run."""
        return [machine for machine in self.machines.values() if machine.alive]

    def ranks(self) -> dict[int, str]:
        """The machine of each rank in the newest attempt; survivors are not in its launch, but say so themselves."""
        held: dict[int, str] = {}
        for number in sorted(self.launches):
            held |= {rank: machine for machine, rank in self.launches[number].machines.items()}
        return held


def look(aws: Aws, store: Store, run: RemoteRun) -> Seen:
    """Read all of it."""
    prefix = f"{run.prefix}{MACHINES}/"
    names = [item.key.removeprefix(prefix) for item in store.objects(prefix)]
    wanted = [name for name in names if _NODE.fullmatch(name) or _LAUNCHED.fullmatch(name) or name == STOP]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        content = dict(zip(wanted, pool.map(lambda name: store.get_json(prefix + name) or {}, wanted), strict=True))
    said: dict[int, dict[int, Mapping[str, Any]]] = {}
    launches = {}
    for name, value in content.items():
        if match := _NODE.fullmatch(name):
            said.setdefault(int(match[1]), {})[int(match[2])] = value
        elif match := _LAUNCHED.fullmatch(name):
            launches[int(match[1])] = Launch(**value)
    found = ec2_fleet.machines(aws, run.id, only_alive=False)
    return Seen(said, launches, {machine.id: machine for machine in found}, content.get(STOP, {}).get("launch", ""))


def state(run: RemoteRun, seen: Seen) -> State:
    """What that amounts to for the newest attempt of the run."""
    assert run.last
    status, detail = _status(run, seen)
    own = [launch for launch in seen.launches.values() if launch.launch == run.last.name]
    paid = [(_seconds(seen, name, launch), launch) for launch in own for name in launch.machines]
    usd = Decimal(0)
    for seconds, launch in paid:
        usd += Decimal(launch.price or 0) * Decimal(str(seconds)) / 3600
    known = all(launch.price for launch in own)
    return State(
        status,
        detail,
        started=datetime.fromtimestamp(min(launch.at for launch in own), UTC) if own else None,
        seconds=sum(seconds for seconds, _ in paid) / max(1, run.instances),
        usd=usd.quantize(_CENT) if known else None,
    )


def _status(run: RemoteRun, seen: Seen) -> tuple[Status, str]:
    assert run.last
    if any(nodes.get(0, {}).get("state") == "done" for nodes in seen.said.values()):
        return "finished", ""
    launched = any(launch.launch == run.last.name for launch in seen.launches.values())
    if not launched and not seen.alive:
        age = (datetime.now(UTC) - datetime.fromisoformat(run.last.created)).total_seconds()
        return ("launching", "") if age < _SILENT_S else ("failed", "no machine was started")
    said = seen.said.get(seen.newest, {})
    states = {str(told["state"]) for told in said.values()}
    if "failed" in states:
        return "failed", _why(said, "failed")
    if seen.alive:
        over = bool(said) and all(told.get("ended") for told in said.values())
        return _going(states, stopping=over or seen.stop == run.last.name)
    reason = next((reason for reason in REASONS if reason in states), "")
    if reason or seen.said:
        return "stopped", _why(said, reason) if reason else "its machines are gone"
    return "failed", "its machines ended without a word; their consoles: aws ec2 get-console-output"


def _going(states: set[str], *, stopping: bool) -> tuple[Status, str]:
    if stopping:
        return "stopping", ""
    if "trains" in states:
        return "running", ""
    return "starting", "waiting for a replacement" if "waits" in states else ""


def _why(said: Mapping[int, Mapping[str, Any]], reason: str) -> str:
    whys = [str(told.get("why", "")) for _, told in sorted(said.items()) if told["state"] == reason]
    return next((why for why in whys if why), reason)


def _seconds(seen: Seen, name: str, launch: Launch) -> float:
    """How long a machine has been paid for, as far as that shows: its last word is a minute before its end at most."""
    machine = seen.machines.get(name)
    if machine and machine.alive:
        return max(0.0, time.time() - machine.launched.timestamp())
    words = [told["time"] for nodes in seen.said.values() for told in nodes.values() if told.get("instance") == name]
    return max([0.0, *(float(word) - launch.at for word in words)])
