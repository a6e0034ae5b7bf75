"""The machines that run: a process tree each, with the disk of an image, metadata, a console, and an end.

They know nothing of EC2's API: `ec2.py` says when they start and end, and hears when one has ended by itself.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dogbreed.errors import DogbreedError
from dogbreed.rehearse import sandbox
from dogbreed.rehearse.image import cloud_init
from dogbreed.rehearse.image.disk import NOTE, Disk
from dogbreed.rehearse.imds import Imds, Table
from dogbreed.rehearse.sandbox import Host, Network, Spec

_CONSOLE_BYTES = 65_536  # what GetConsoleOutput shows at most
_AT_ONCE = 16
_METADATA = "169.254.169.254"
_INLET = "inlet"
# What registries hold, which `docker` fetches: below the folder of the stand-in.
_IMAGES = "images"
# Where a machine notes that a port of it is another one of this computer: see `docker` in image/.
PORTS = "/run/rehearse.ports"
# A busy computer answers late, and one second is all that SDKs give the metadata service.
_PATIENCE = {"AWS_METADATA_SERVICE_TIMEOUT": "5", "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "3"}

Options = Callable[[], Mapping[str, Any]]


@dataclass(frozen=True)
class Facts:
    """What a machine is; `network` names its VPC, `prefix` is the length of that network's prefix."""

    name: str
    address: str
    prefix: int
    network: str
    hostname: str
    user_data: bytes
    cores: tuple[int, ...]


def connect(folder: Path, address: str, port: int, timeout: float) -> socket.socket:
    """A connection to a port of the machine whose files lie in `folder`; OSError where nobody answers there."""
    inlet = folder / _INLET
    if not inlet.exists():
        with suppress(OSError, ValueError, KeyError):
            address, port = json.loads((folder / "disk" / PORTS[1:]).read_text())[str(port)]
        return socket.create_connection((address, port), timeout)
    way = socket.socket(socket.AF_UNIX)
    try:
        way.settimeout(timeout)
        way.connect(os.fspath(inlet))
        way.sendall(b"%d\n" % port)
        if way.recv(1) != b"+":
            raise ConnectionRefusedError(f"{address}:{port}")
    except BaseException:
        way.close()
        raise
    return way


def _claim() -> tuple[int, socket.socket]:
    """A part of the loopback, 127.NUMBER, that no other stand-in of this computer has while the socket is there."""
    for number in range(1, 255):
        holds = socket.socket(socket.AF_UNIX)
        try:
            holds.bind(f"\0dogbreed-rehearse-127.{number}")  # the kernel forgets it with this process
        except OSError:
            holds.close()
        else:
            return number, holds
    raise DogbreedError("too many stand-ins have machines on this computer", "end some: dogbreed rehearse down")


class Machine:
    """One machine, running or not; its disk and console last until it is removed."""

    def __init__(self, facts: Facts, folder: Path, table: Callable[[], Table], options: Options) -> None:
        self.facts = facts
        self.own_root = not sandbox.missing()
        self.disk = Disk(folder / "disk", self.own_root)
        self.console = folder / "console.log"
        self.socket = folder / "imds"
        folder.mkdir(parents=True)
        self.disk.make(facts.hostname, "" if self.own_root else facts.address)
        self.console.touch()
        self.imds = Imds(self.socket if self.own_root else None, table, options)
        self.host: Host | None = None
        # The host that was told to end: its end is no news.
        self.ending: Host | None = None
        self._booted = False

    def environment(self, url: str) -> dict[str, str]:
        """What its programs have in their environment; `url` is where AWS answers."""
        told = self.disk.environment() | {"AWS_ENDPOINT_URL": url, **_PATIENCE}
        return told if self.own_root else told | {"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.imds.url}

    def boot(self, network: Network | None, url: str, server: Path) -> Host:
        """Start it; user data runs the first time only."""
        parts = [] if self._booted else cloud_init.parts(self.facts.user_data)
        port = urlsplit(url).port or 80
        spec = Spec(
            command=[self.disk.install(parts, self.imds.url)],
            output=self.console,
            folder=Path(self.disk.place("/")),
            environment=self.environment(url),
            address=f"{self.facts.address}/{self.facts.prefix}",
            hostname=self.facts.hostname.partition(".")[0],
            covers=self.disk.covers(),
            binds=self.disk.binds(self.console),
            relays=[(_METADATA, 80, self.socket), ("127.0.0.1", port, server)],
            inlet=self.socket.with_name(_INLET),
            keep=[server.with_name(_IMAGES)],
            cores=self.facts.cores,
            stay=True,
            note=self.disk.place(NOTE),
        )
        self.host = Host.start(spec, network)
        self._booted = True
        return self.host


class Machines:
    """All machines of the stand-in, in `folder`. `on_end(name, code)` is called for one that ended by itself."""

    def __init__(self, folder: Path, server: Path, on_end: Callable[[str, int], None]) -> None:
        self._folder = folder
        self._server = server
        self._on_end = on_end
        self._machines: dict[str, Machine] = {}
        self._networks: dict[str, Network | None] = {}
        # Where there are none: by how addresses begin, what they begin with here, and what holds it.
        self._blocks: dict[tuple[str, str], tuple[int, socket.socket]] = {}
        self._lock = threading.Lock()

    def address(self, wanted: str) -> str:
        """The address that a machine can have where EC2 gave out `wanted`: without networks one of the loopback."""
        if not sandbox.missing():
            return wanted
        if sys.platform != "linux":
            return "127.0.0.1"
        first, second, rest = wanted.split(".", 2)
        with self._lock:
            if (first, second) not in self._blocks:
                self._blocks[first, second] = _claim()
            return f"127.{self._blocks[first, second][0]}.{rest}"

    def add(self, facts: Facts, table: Callable[[], Table], options: Options) -> None:
        """A new machine, not yet running."""
        machine = Machine(facts, self._folder / facts.name, table, options)
        with self._lock:
            self._machines[facts.name] = machine
        self._introduce(facts.network)

    def boot(self, name: str, url: str) -> None:
        """Start it. DogbreedError where it cannot start, or is not there any more."""
        with self._lock:
            machine = self._machines.get(name)
            if machine is None:
                raise DogbreedError(f"the machine {name} is gone")
            network = self._networks.get(machine.facts.network)
            if network is None:
                network = self._networks[machine.facts.network] = Network.make()
        host = machine.boot(network, url, self._server)
        if self._machines.get(name) is not machine:  # all was ended meanwhile
            host.end()
            raise DogbreedError(f"the machine {name} is gone")
        threading.Thread(target=self._watch, args=[machine, host], daemon=True).start()

    def run(self, name: str, script: str, limit_s: float, url: str) -> tuple[int | None, str, str]:
        """Run a shell script on a machine: exit code (None: it took longer than `limit_s`), output, errors."""
        machine = self._machines[name]
        assert machine.host
        folder = f"/var/lib/amazon/ssm/{uuid.uuid4().hex}"
        here, there = machine.disk.outside(folder), machine.disk.place(folder)
        here.mkdir(parents=True)
        (here / "script").write_text(script)
        command = ["/bin/sh", "-c", f"exec /bin/sh '{there}/script' >'{there}/stdout' 2>'{there}/stderr' </dev/null"]
        machine.host.run(command, machine.environment(url), here / "status", limit_s)
        deadline = time.monotonic() + limit_s
        while not (here / "status").exists() and time.monotonic() < deadline and machine.host.wait(0.05) is None:
            pass
        texts = [
            path.read_text(errors="replace") if path.exists() else "" for path in (here / "stdout", here / "stderr")
        ]
        code = int((here / "status").read_text()) if (here / "status").exists() else None
        return code, texts[0], texts[1]

    def end(self, name: str, grace_s: float) -> None:
        """End its processes; returns when none is left."""
        machine = self._machines.get(name)
        if machine and machine.host:
            machine.ending = machine.host
            machine.host.end(grace_s)

    def remove(self, name: str) -> None:
        """Remove its disk; its console stays."""
        if machine := self._machines.pop(name, None):
            machine.imds.close()
            shutil.rmtree(machine.disk.folder, ignore_errors=True)

    def console(self, name: str) -> bytes:
        """The end of what its console shows."""
        try:
            return (self._folder / name / "console.log").read_bytes()[-_CONSOLE_BYTES:]
        except OSError:
            return b""

    def running(self) -> list[str]:
        """The names of machines that run."""
        machines = list(self._machines.items())
        return [name for name, machine in machines if machine.host and machine.host.wait(0) is None]

    def close(self) -> None:
        """End and remove all machines and networks."""

        def end(machine: Machine) -> None:
            machine.ending = machine.host
            if machine.host:
                machine.host.end()
            machine.imds.close()

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(end, list(self._machines.values())))
        with self._lock:
            for network in self._networks.values():
                if network:
                    network.close()
            self._networks.clear()
            self._machines.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _watch(self, machine: Machine, host: Host) -> None:
        code = host.wait()
        if machine.ending is not host and code is not None:
            self._on_end(machine.facts.name, code)

    def _introduce(self, network: str) -> None:
        """Tell the machines of a network the names of all of them, as the VPC's name server would."""
        known = [machine for machine in list(self._machines.values()) if machine.facts.network == network]
        lines = [f"{one.facts.address} {one.facts.hostname} {one.facts.hostname.partition('.')[0]}" for one in known]
        for machine in known:
            hosts = machine.disk.outside("/etc/hosts")
            # In place, since the machine sees this very file, and at no moment empty: it may be looking up a name.
            with open(hosts, "r+", encoding="utf-8") as file:
                file.write("\n".join(["127.0.0.1 localhost", *lines, ""]))
                file.truncate()
