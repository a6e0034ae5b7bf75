"""Hosts on this machine: process trees with a network, files and name of their own, that cannot outlive this process.

    network = Network.make()                   None where there are no namespaces; `missing()` says why
    host = Host.start(Spec(command=[...], output=folder / "log", folder=..., address="10.0.0.1/24", ...), network)
    host.wait(timeout) -> exit code or None    host.end(grace_s) SIGTERM to all, SIGKILL later, returns when all is gone
    network.close()                            after its hosts

Without a network the same Spec runs as plain processes: covers, binds, hostname, address, relays and inlet mean
nothing then. Where this process is killed, the hosts end, and the kernel removes what was made for them.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO

import dogbreed
from dogbreed.errors import DogbreedError
from dogbreed.rehearse.image.host import HALTED, REBOOTED

__all__ = ["HALTED", "REBOOTED", "Host", "Network", "Spec", "missing", "shares", "what_python_needs"]
_READY_S = 120.0  # one that fails says so at once


@dataclass(frozen=True)
class Spec:
    """What one host is: `covers` puts own folders over folders of this machine, `binds` files or folders anywhere.

    `relays` are (address, port, path of a unix socket): who connects there reaches that socket. `inlet` is the path of
    one that leads the other way: who says a port there reaches that port of the host (image/host.py). `stay`
    keeps the host when its main program has ended. What Python needs stays visible below covers, read-only. A file
    `note` (a path inside) gets the number of the process to send HALTS of image/host.py to, which end the host. With
    `first` the command itself is process 1, as in a container: deaf to every signal that it does not handle.
    `root` is a whole file system in place of this machine's, read-only but for `binds`; covers mean nothing in it, and
    Python is its own. The command then runs as `user` (USER:GROUP by number), where this machine lets users change.
    """

    command: Sequence[str]
    output: Path
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    hostname: str = "localhost"
    covers: Mapping[str, Path] = field(default_factory=dict)
    binds: Mapping[str, Path] = field(default_factory=dict)
    relays: Sequence[tuple[str, int, Path]] = ()
    inlet: Path | None = None
    cores: Sequence[int] = ()
    stay: bool = False
    read_only: bool = True
    keep: Sequence[Path] = ()
    note: str = ""
    first: bool = False
    root: Path | None = None
    user: str = ""


class Network:
    """A switch between hosts, in a network namespace that lives as long as this object's process."""

    def __init__(self, holder: subprocess.Popen[bytes]) -> None:
        self._holder = holder

    @property
    def pid(self) -> int:
        """The process whose namespaces are the network."""
        return self._holder.pid

    @classmethod
    def make(cls) -> Network | None:
        """A new network; None where this machine gives no namespaces."""
        return None if missing() else cls(_hold())

    def close(self) -> None:
        """Remove it."""
        _close(self._holder.stdin)
        self._holder.wait()


class Host:
    """A host that runs; `pid` is its first process, as this machine counts."""

    def __init__(self, process: subprocess.Popen[bytes], pid: int) -> None:
        self._process = process
        self._lock = threading.Lock()
        self.pid = pid

    @classmethod
    def start(cls, spec: Spec, network: Network | None) -> Host:
        """Start a host; it runs when this returns. DogbreedError says why it does not."""
        process = subprocess.Popen(
            _program("host.main", spec.hostname), stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert process.stdin and process.stdout
        try:
            process.stdin.write(json.dumps(_told(spec, network)).encode() + b"\n")
            process.stdin.flush()
            answer = json.loads(_first_line(process.stdout) or b'{"error": "it said nothing"}')
            if "error" in answer:
                raise DogbreedError(f"the host {spec.hostname} did not start: {answer['error']}")
        except (OSError, ValueError, DogbreedError) as error:
            _close(process.stdin)
            process.wait()
            raise (
                error if isinstance(error, DogbreedError) else DogbreedError(f"a host did not start: {error}")
            ) from error
        finally:
            _close(process.stdout)
        return cls(process, answer["pid"])

    def run(self, command: Sequence[str], environment: Mapping[str, str], status: Path, limit_s: float) -> None:
        """Run one more program in the host; its exit code is written to the file `status` when it ends."""
        told = {"command": list(command), "environment": dict(environment)}
        line = json.dumps(told | {"status": os.fspath(status), "limit_s": limit_s})
        with self._lock:
            if self._process.stdin is None or self._process.stdin.closed:
                raise DogbreedError("the host does not run")
            self._process.stdin.write(f"run {line}\n".encode())
            self._process.stdin.flush()

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit code of the main program, HALTED or REBOOTED; None while it runs."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def end(self, grace_s: float = 0.0) -> int:
        """SIGTERM to all, after `grace_s` SIGKILL; all is gone when this returns the exit code."""
        with self._lock:
            if self._process.poll() is None and self._process.stdin and not self._process.stdin.closed:
                try:
                    if grace_s > 0:
                        self._process.stdin.write(f"end {grace_s}\n".encode())
                        self._process.stdin.flush()
                    else:
                        self._process.stdin.close()
                except OSError:
                    pass
        code = self._process.wait()
        _close(self._process.stdin)
        return code


@cache
def missing() -> str:
    """Why there are no namespaces here; empty where there are."""
    if sys.platform != "linux":
        return f"{sys.platform} has no namespaces"
    if os.environ.get("REHEARSE_PLAIN"):
        return "REHEARSE_PLAIN is set"
    if not shutil.which("ip", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
        return "the program ip is not installed (package iproute2)"
    try:
        network = Network(_hold())
    except DogbreedError as error:
        return error.message
    try:
        folder = Path(os.devnull).parent
        spec = Spec(["true"], Path(os.devnull), folder, dict(os.environ), address="10.0.0.1/24")
        Host.start(spec, network).end()
    except DogbreedError as error:
        return error.message
    finally:
        network.close()
    return ""


def shares(count: int) -> list[list[int]]:
    """The cores of this machine dealt to `count` hosts: equal shares, and at least one core each."""
    if not hasattr(os, "sched_getaffinity"):
        return [[] for _ in range(count)]
    cores = sorted(os.sched_getaffinity(0))
    each = max(1, len(cores) // count)
    return [[cores[(number * each + step) % len(cores)] for step in range(each)] for number in range(count)]


def what_python_needs() -> list[Path]:
    """The folders without which this interpreter and this package do not run, outermost only."""
    wanted = {sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path, os.fspath(Path(dogbreed.__file__).parent)}
    paths = {path for name in wanted if name for path in (Path(name).absolute(), Path(name).resolve()) if path.exists()}
    return sorted(path for path in paths if path != Path("/") and not paths & set(path.parents) - {Path("/")})


def _program(function: str, name: str) -> list[str]:
    # Isolated and without site-packages: neither the folder nor the environment changes it, and it starts quickly.
    root = os.fspath(Path(dogbreed.__file__).parent.parent)
    code = f"import sys; sys.path.insert(0, {root!r}); from dogbreed.rehearse.image import host, kernel; "
    code += f"sys.exit({function}())"
    return [sys.executable, "-I", "-S", "-c", code, name]


def _hold() -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        _program("kernel.hold_network", "switch"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin and process.stdout and process.stderr
    try:
        if _first_line(process.stdout) != b"ready\n":
            _close(process.stdin)
            words = process.stderr.read().decode(errors="replace").strip().splitlines()
            process.wait()
            raise DogbreedError(f"no network namespace: {words[-1] if words else 'no word of why'}")
    finally:
        _close(process.stdout)
        _close(process.stderr)
    return process


def _told(spec: Spec, network: Network | None) -> dict[str, object]:
    return {
        "command": list(spec.command),
        "environment": dict(spec.environment),
        "output": os.fspath(spec.output),
        "folder": os.fspath(spec.folder),
        "network": network.pid if network else 0,
        "address": spec.address,
        "hostname": spec.hostname,
        "covers": {inside: os.fspath(outside) for inside, outside in spec.covers.items()},
        "binds": {inside: os.fspath(outside) for inside, outside in spec.binds.items()},
        "keep": [os.fspath(path) for path in (*what_python_needs(), *spec.keep)],
        "relays": [(address, port, os.fspath(path)) for address, port, path in spec.relays if network],
        "inlet": os.fspath(spec.inlet) if network and spec.inlet else "",
        "cores": list(spec.cores),
        "note": spec.note,
        "stay": spec.stay,
        "first": spec.first,
        "root": os.path.realpath(spec.root) if spec.root else "",
        "user": spec.user,
        "read_only": spec.read_only,
    }


def _first_line(stream: IO[bytes]) -> bytes:
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        return stream.readline() if selector.select(_READY_S) else b""


def _close(stream: IO[bytes] | None) -> None:
    if stream and not stream.closed:
        with suppress(OSError):
            stream.close()
