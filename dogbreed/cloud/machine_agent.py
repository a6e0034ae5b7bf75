"""The agent on an EC2 machine, read from top to bottom: it meets the other machines, trains with them, and ends.

Started by the user data as `python -m dogbreed.cloud.machine_agent ORDERS SECONDS`; when it ends, however it ends, the
user data turns the machine off. Each keeps a file in S3, runs/RUN/machines/ATTEMPT/node-RANK.json, and reads those of
the others: so they find each other's address, stop together and know why. An attempt is a set of machines that
train together; after an interruption the survivors and a replacement go on in the next one, from the last checkpoint.
Travels to the machine: standard library only.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dogbreed.cloud import ec2_worker as places
from dogbreed.cloud.ec2_machine import Bucket, CallError, Metadata, Telemetry
from dogbreed.cloud.ec2_worker import Worker, network, torchrun

_TICK_S = 0.5
_BEAT_EVERY_S = 30.0
# A notice comes 120 s ahead. AWS advises to look every 5 s; asking this machine's own service more often costs nothing.
_NOTICE_EVERY_S = 1.0
# The part of the time limit that is kept for the checkpoint and its upload.
_MARGIN_S, _MARGIN_SHARE = 150.0, 0.2
# How long the first machines wait for each other (they boot at different speeds), and how long those that are left do.
_MEET_S, _MEET_AGAIN_S = 900.0, 300.0
# How long a machine on which training failed may take to say so; others know only that their connection to it is gone.
_WORD_S = 20.0
# Below runs/RUN/MACHINES. A launcher that follows leaves a sign at least this often; nobody else sends a replacement.
MACHINES = "machines"
FOLLOWER, FOLLOWER_S = "follower.json", 150.0
# A machine shows that it is alive every _BEAT_EVERY_S; one that was cut off does not, and nobody tells the others.
SILENT_S = 180.0
STOP = "stop.json"
_PORT = 29400
# Why training stops, the most important first: what one machine says holds for all.
REASONS = ("failed", "stopped", "limit", "interrupted", "broken")


@dataclass(frozen=True)
class Orders:
    """What the launcher wrote into the user data; `ranks` are of the machines started together, in their order."""

    bucket: str
    run: str
    data: str
    nodes: int
    ranks: list[int]
    attempt: int
    limit_s: float
    wait_s: float
    log_group: str
    # The attempt of the run as its launcher counts, which may span several of the machines'.
    launch: str = ""
    restarts: int = 0
    # Seconds between two looks at what the others say, or half of that.
    look_s: float = 5.0


@dataclass(frozen=True)
class Outcome:
    """How it ended: `done` or one of REASONS."""

    state: str
    why: str = ""
    hint: str = ""


@dataclass
class Peers:
    """What all machines say in S3, as last seen in `folder`."""

    folder: Path
    _signs: dict[str, tuple[str, float]] = field(default_factory=dict)

    def of(self, attempt: int) -> dict[int, dict[str, Any]]:
        """The files of an attempt by rank."""
        found = {}
        for path in sorted(self.folder.glob(f"{attempt}/node-*.json")):
            told = _read(path)
            if told:
                found[int(path.stem.split("-")[1])] = told
        return found

    def newest(self) -> int:
        """The number of the newest attempt that a machine is in."""
        return max((int(path.parent.name) for path in self.folder.glob("*/node-*.json")), default=0)

    def reason(self, attempt: int, own: int, launch: str) -> Outcome | None:
        """Why the others of an attempt stop, if one does; a person's `stop` counts as one."""
        if _read(self.folder / STOP).get("launch") == launch:
            return Outcome("stopped", "it was asked to stop")
        said = {told["state"]: told for rank, told in self.of(attempt).items() if rank != own}
        for state in REASONS:
            if state in said:
                return Outcome(state, said[state].get("why", ""), said[state].get("hint", ""))
        return None

    def followed(self) -> bool:
        """Whether a launcher still follows."""
        return (self.folder / FOLLOWER).exists() and self._quiet_s(FOLLOWER) < FOLLOWER_S

    def silent(self, attempt: int) -> int | None:
        """A machine that has said nothing for long, not even that it ends; None when there is none."""
        for rank, told in self.of(attempt).items():
            if not told.get("ended") and self._quiet_s(f"{attempt}/node-{rank}.json") > SILENT_S:
                return rank
        return None

    def _quiet_s(self, name: str) -> float:
        """Since when, by this machine's clock, a file has not changed."""
        text, now = json.dumps(_read(self.folder / name)), time.monotonic()
        before, seen = self._signs.get(name, ("", now))
        if text != before:
            seen = now
        self._signs[name] = (text, seen)
        return now - seen


class Agent:
    """One machine of a run."""

    def __init__(self, orders: Orders, work: Path, elapsed: float) -> None:
        self._orders, self._work, self._attempt = orders, work, orders.attempt
        self._metadata, self._bucket = Metadata(), Bucket(orders.bucket, orders.run)
        self._peers = Peers(work / MACHINES)
        # Machines that were started together are numbered by AWS in the order of their launch.
        self._rank = orders.ranks[int(self._metadata.known("ami-launch-index"))]
        self._instance, self._address = self._metadata.known("instance-id"), self._metadata.known("local-ipv4")
        stream = f"{orders.run}/node-{self._rank}/{self._instance}"
        self._telemetry = Telemetry(orders.log_group, stream, orders.run, work)
        self._since, self._began = time.time() - elapsed, time.monotonic() - elapsed
        self._limit_s = orders.limit_s - min(_MARGIN_S, _MARGIN_SHARE * orders.limit_s)
        self._state, self._taken, self._words = "preparing", "", ("", "")
        self._last = {"notice": 0.0, "sync": 0.0, "beat": 0.0}

    def run(self) -> Outcome:
        """Everything that a machine does; the outcome has been told to all."""
        try:
            outcome = self._run()
        except CallError as error:
            outcome = Outcome("failed", f"machine {self._rank}: {error}")
        self.say(f"this machine ends: {outcome.state} {outcome.why}".rstrip())
        self._telemetry.close()
        if outcome.state != "done":
            (self._work / "log").write_text("\n".join(self._telemetry.tail) + "\n", encoding="utf-8")
            self._put(self._work / "log", f"{self._attempt}/log-{self._rank}.txt")
        self._post(outcome.state, outcome.why, outcome.hint, ended=True)
        return outcome

    def say(self, text: str) -> None:
        """A line of the log, and of the machine's console."""
        self._telemetry.line(text)
        logging.info(text)

    def _run(self) -> Outcome:
        self._post("preparing")
        self.say(f"machine {self._rank} of {self._orders.nodes}: {self._instance} at {self._address}")
        self._bucket.get(f"{self._bucket.runs}/{places.JOB}", self._work / places.JOB)
        self._bucket.fetch(self._orders.data, self._work / places.SHARDS)
        broken, wait_s = 0, _MEET_S
        while True:
            outcome = self._meet(wait_s) or self._train()
            wait_s = _MEET_AGAIN_S
            if outcome.state == "interrupted" and not self._taken and self._wait_for_replacement():
                self.say(f"a replacement has come: going on in attempt {self._attempt}")
            elif outcome.state == "broken" and broken < self._orders.restarts:
                broken += 1
                self.say(f"{outcome.why}; all machines start again from the last checkpoint")
                self._attempt += 1
            elif outcome.state == "broken":
                return Outcome("failed", outcome.why, outcome.hint)
            else:
                return outcome

    # ---- finding each other

    def _meet(self, wait_s: float) -> Outcome | None:
        """Wait until all machines of the attempt are here; an outcome where that is not to be."""
        deadline = time.monotonic() + wait_s
        self._post("here")
        while True:
            self._sync(force=True)
            self._attempt, before = max(self._attempt, self._peers.newest()), self._attempt
            if self._attempt != before:
                self._post("here")
            here = [rank for rank, told in self._peers.of(self._attempt).items() if told["state"] in ("here", "trains")]
            if len(here) == self._orders.nodes:
                return None
            stop = self._why_stop()
            if stop:
                return stop
            if time.monotonic() > deadline:
                missing = sorted(set(range(self._orders.nodes)) - set(here))
                return Outcome("interrupted", f"machine {missing[0]} did not come within {wait_s:.0f} s")
            time.sleep(min(1.0, self._orders.look_s))

    def _wait_for_replacement(self) -> bool:
        """Whether another machine has come in time, for the next attempt."""
        deadline = time.monotonic() + self._orders.wait_s
        self._post("waits")
        self.say("a machine was taken away; waiting for a replacement")
        while time.monotonic() < deadline:
            self._sync(force=True)
            if self._peers.newest() > self._attempt:
                self._attempt = self._peers.newest()
                return True
            stop = self._why_stop(waiting=True)
            if stop or not self._peers.followed():
                self.say(stop.why if stop else "nobody follows this run, so none will come")
                return False
            time.sleep(min(1.0, self._orders.look_s))
        return False

    # ---- training

    def _train(self) -> Outcome:
        """Train in this attempt until it ends, here or on another machine."""
        self._bucket.fetch(self._bucket.checkpoints, self._work / places.CHECKPOINTS)
        first = self._peers.of(self._attempt)[0]["address"]
        entry = ["dogbreed.cloud.ec2_entry", os.fspath(self._work)]
        name, place = f"{self._orders.run}.{self._attempt}", f"{first}:{_PORT + self._attempt % 100}"
        command = torchrun(name, self._rank, self._orders.nodes, place, entry)
        worker = Worker(self._work, self._bucket, self._telemetry, self.say, leads=self._rank == 0)
        worker.start(command, network(self._address))
        self._post("trains")
        stop: Outcome | None = None
        while worker.running():
            if stop is None:
                self._sync()
                stop = self._why_stop()
                if stop:
                    # The others must know before this machine's workers end.
                    self._post(stop.state, stop.why, stop.hint)
                    self.say(f"stopping with a checkpoint: {stop.why}")
                    worker.stop()
            time.sleep(_TICK_S)
        code = worker.close()
        if worker.error:
            return Outcome("failed", worker.error.get("message", ""), worker.error.get("hint", ""))
        if worker.done:
            return Outcome("done")
        cause = worker.cause()
        if stop is None and cause:
            return self._broken(cause)
        self._sync(force=True)
        stop = stop or self._why_stop()
        if stop is None and code != 0:
            stop = self._hear_why()
        if stop:
            return stop
        return Outcome("done") if code == 0 and self._rank != 0 else self._broken(worker.last_words())

    def _hear_why(self) -> Outcome | None:
        """Why another machine ended, which has ended this one's training; None where none says so in time."""
        deadline = time.monotonic() + _WORD_S
        while (stop := self._why_stop()) is None and time.monotonic() < deadline:
            time.sleep(self._orders.look_s)
            self._sync(force=True)
        return stop

    def _broken(self, why: str) -> Outcome:
        outcome = Outcome("broken", f"training failed on machine {self._rank}: {why}")
        self._post(outcome.state, outcome.why)
        return outcome

    def _why_stop(self, *, waiting: bool = False) -> Outcome | None:
        """Why this machine has to stop now, if it has; one that waits already knows what the others said."""
        now = time.monotonic()
        if now - self._last["notice"] > min(_NOTICE_EVERY_S, self._orders.look_s):
            self._last["notice"] = now
            self._taken = self._taken or self._metadata.interruption()
        if self._taken:
            return Outcome("interrupted", f"AWS takes machine {self._rank} back at {self._taken}")
        if now - self._began > self._limit_s:
            return Outcome("limit", "the time limit or the budget is reached")
        if self._state == "trains":
            if self._peers.newest() > self._attempt:
                return Outcome("interrupted", "a machine has gone, and its replacement is here")
            if (rank := self._peers.silent(self._attempt)) is not None:
                return Outcome("interrupted", f"machine {rank} is silent")
        said = self._peers.reason(self._attempt, self._rank, self._orders.launch)
        return None if said is None or (waiting and said.state in ("interrupted", "broken")) else said

    # ---- talking with the others

    def _sync(self, *, force: bool = False) -> None:
        """Read what the others say, and show that this machine is alive; S3 may be away for a while."""
        now = time.monotonic()
        if now - self._last["beat"] > _BEAT_EVERY_S:
            self._post(self._state, *self._words)
        if force or now - self._last["sync"] > 2 * self._orders.look_s:
            self._last["sync"] = now
            try:
                self._bucket.fetch(f"{self._bucket.runs}/{MACHINES}", self._peers.folder)
            except CallError as error:
                self.say(f"S3: {error}")
            self._peers.followed()  # so that it is known since when nobody does

    def _post(self, state: str, why: str = "", hint: str = "", *, ended: bool = False) -> None:
        self._state, self._words, self._last["beat"] = state, (why, hint), time.monotonic()
        told = {
            "state": state,
            "instance": self._instance,
            "address": self._address,
            "since": round(self._since, 1),
            "time": round(time.time(), 1),
            "ended": ended,
            "why": why,
            "hint": hint,
        }
        path = self._work / "node.json"
        path.write_text(json.dumps(told), encoding="utf-8")
        self._put(path, f"{self._attempt}/node-{self._rank}.json")

    def _put(self, path: Path, name: str) -> None:
        try:
            self._bucket.put(path, f"{self._bucket.runs}/{MACHINES}/{name}")
        except CallError as error:
            self.say(f"S3: {error}")


def _read(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return told if isinstance(told, dict) else {}
    except (OSError, ValueError):
        return {}


def main() -> None:
    """Read the orders, and do them; the exit code says whether training is done."""
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stdout)
    work = Path(sys.argv[1]).resolve().parent
    orders = Orders(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    # A shutdown ends this agent together with its workers, which write a checkpoint on their own.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    outcome = Agent(orders, work, float(sys.argv[2])).run()
    os._exit(0 if outcome.state == "done" else 1)


if __name__ == "__main__":
    main()
