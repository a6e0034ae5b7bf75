"""The training processes on one machine: start torchrun, hear what it tells, keep what it makes in S3.

Travels to the machine: standard library only.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from dogbreed.cloud.ec2_machine import Bucket, CallError, Telemetry

# Folders and files of a machine below its working folder; `ec2_entry` tells them to the workers.
CODE, SHARDS, CHECKPOINTS, OUTPUT, HOST, FAILURE = "code", "shards", "checkpoints", "output", "host", "failure"
JOB, LAST = "job.json", "last.safetensors"
# After a notice AWS leaves 2 minutes: for the step under way, the checkpoint and its upload.
GRACE_S = 75.0
# torchrun waits for the others after the last step, in vain where one has gone.
_PARTING_S = 30.0
_LOOK_EVERY_S = 1.0
STOP = "stop"  # dogbreed.train.host looks for it
_SIOCGIFADDR = 0x8915  # linux/sockios.h
_RANK = re.compile(r"^\[rank\d+\]: ?")
_KEPT_LINES = 200
# What gloo, NCCL and torchrun say when a worker elsewhere has gone.
_FOLLOWS = (
    "closed by peer",
    "reset by peer",
    "Broken pipe",
    "remote process exited",
    "DistNetworkError",
    "DistStoreError",
    "ChildFailedError",
    "SignalException",
)

Event = dict[str, Any]


class Worker:
    """torchrun with its processes; `leads` on the machine whose rank 0 writes checkpoints and the model."""

    def __init__(
        self, work: Path, bucket: Bucket, telemetry: Telemetry, say: Callable[[str], None], *, leads: bool
    ) -> None:
        self._work, self._bucket, self._telemetry, self._say, self._leads = work, bucket, telemetry, say, leads
        self._last = work / CHECKPOINTS / LAST
        self._process: subprocess.Popen[str] | None = None
        self._threads: list[threading.Thread] = []
        self._words: deque[str] = deque(maxlen=_KEPT_LINES)
        self._stop_by = self._part_by = float("inf")
        self._ended = threading.Event()
        self._kept = self._changed()
        self.done = False
        self.error: Event | None = None

    def start(self, command: list[str], environment: dict[str, str]) -> None:
        """Start torchrun, and the threads that read what it says and upload what it writes."""
        for name in (FAILURE, f"{HOST}/{STOP}"):
            with suppress(FileNotFoundError):
                (self._work / name).unlink()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
            env={**os.environ, **environment},
        )
        assert self._process.stdout and self._process.stderr
        self._thread(self._hear, self._process.stdout)
        self._thread(self._log, self._process.stderr)
        if self._leads:
            self._thread(self._keep)

    def running(self) -> bool:
        """Whether it runs; one that was told to stop is ended when it takes too long."""
        assert self._process
        if self._process.poll() is not None:
            return False
        now = time.monotonic()
        if now > min(self._stop_by, self._part_by):
            self._kill()
        return True

    def stop(self) -> None:
        """Let the workers write a checkpoint and end."""
        self._stop_by = min(self._stop_by, time.monotonic() + GRACE_S)
        (self._work / HOST).mkdir(exist_ok=True)
        (self._work / HOST / STOP).touch()

    def close(self) -> int:
        """Read what is left, upload the last checkpoint and a finished model; torchrun's exit code."""
        assert self._process
        self._kill()
        code = self._process.wait()
        self._ended.set()
        for thread in self._threads:
            thread.join()
        if self._leads:
            self._upload_checkpoint()
            if self.done:
                self._bucket.add(self._work / OUTPUT, f"{self._bucket.runs}/{OUTPUT}")
        return code

    def cause(self) -> str:
        """The error that ended training, if it began here; "" where it only followed from the end of another."""
        with suppress(OSError):
            # What the first worker to fail left.
            self._words.append((self._work / FAILURE).read_text(encoding="utf-8").splitlines()[0])
        named = [line for line in self._errors() if not any(words in line for words in _FOLLOWS)]
        return named[-1].strip()[:300] if named else ""

    def last_words(self) -> str:
        """The last line that names an error."""
        return (self._errors() or ["it ended without a word"])[-1].strip()[:300]

    def _errors(self) -> list[str]:
        own = [_RANK.sub("", line) for line in self._words]
        return [line for line in own if "Error: " in line and not line.startswith((" ", "\t"))]

    def _thread(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _hear(self, stream: IO[str]) -> None:
        for line in stream:
            self._telemetry.line(line)
            try:
                event = json.loads(line)
                name = event["event"]
            except (ValueError, KeyError, TypeError):
                continue
            if name == "error":
                self.error = event
            elif name in ("trained", "done", "stopped"):
                self.done = self.done or name != "stopped"
                self._part_by = time.monotonic() + _PARTING_S
            elif name == "epoch":
                names = ("train_loss", "valid_loss", "valid_top1", "images_per_second")
                self._telemetry.figures({key: event.get(key) for key in names})

    def _log(self, stream: IO[str]) -> None:
        for line in stream:
            self._words.append(line.rstrip("\n"))
            self._telemetry.line(line)

    def _keep(self) -> None:
        """Upload each new checkpoint while training goes on."""
        while not self._ended.wait(_LOOK_EVERY_S):
            self._upload_checkpoint()

    def _upload_checkpoint(self) -> None:
        changed = self._changed()
        if changed == self._kept:
            return
        # A large file is read in parts; a second name keeps them from being of two checkpoints.
        whole = self._work / LAST
        try:
            with suppress(FileNotFoundError):
                whole.unlink()
            os.link(self._last, whole)
            # First what training computed once (features), so that whoever goes on finds it.
            self._bucket.add(self._last.parent, self._bucket.checkpoints, but=(LAST, "*.tmp"))
            self._bucket.put(whole, f"{self._bucket.checkpoints}/{LAST}")
            self._kept = changed
        except (OSError, CallError) as error:
            self._say(f"the checkpoint was not uploaded: {error}")

    def _changed(self) -> int:
        try:
            return self._last.stat().st_mtime_ns
        except OSError:
            return 0

    def _kill(self) -> None:
        assert self._process
        if self._process.poll() is None:
            # The workers have sessions of their own; they end when they see that torchrun has gone.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


def torchrun(name: str, rank: int, nodes: int, first: str, worker: list[str]) -> list[str]:
    """The command that starts `worker` on each GPU of this machine, or once.

    `name` is the same on all machines and another one for each start; `first` is HOST:PORT of rank 0's machine.
    """
    host, _, port = first.rpartition(":")
    together = [f"--nnodes={nodes}", f"--node-rank={rank}", f"--master-addr={host}", f"--master-port={port}"]
    each = [f"--nproc-per-node={max(1, gpus())}", "--max-restarts=0", f"--rdzv-id={name}"]
    return [sys.executable, "-m", "torch.distributed.run", *together, *each, "-m", *worker]


def network(address: str) -> dict[str, str]:
    """The variables that keep gloo and NCCL on the interface that has this address."""
    name = interface(address)
    return {"GLOO_SOCKET_IFNAME": name, "NCCL_SOCKET_IFNAME": name} if name else {}


def gpus() -> int:
    """The GPUs of this machine, by NVIDIA's own tool, which comes with the driver."""
    try:
        shown = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in shown.stdout.splitlines()) if shown.returncode == 0 else 0


def interface(address: str) -> str:
    """The name of the network interface with an IPv4 address; "" where there is none."""
    import fcntl  # Linux only, as the machines are

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, name in socket.if_nameindex():
            with suppress(OSError):
                told = fcntl.ioctl(asked.fileno(), _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
                if socket.inet_ntoa(told[20:24]) == address:
                    return name
    return ""
