"""Hosts: process trees that each believe to be alone on a machine of their own.

On Linux, as root or with user namespaces, each has its own network address, name, /opt/ml and process numbers, in a
room that ends with the stand-in. Elsewhere hosts are plain processes that share this machine's network and files.

    hosts = Hosts(folder)
    host = hosts.launch(Spec(name="algo-1", command=[...], ...), line)
    host.terminate(); host.wait()
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

# To see how the stand-in behaves where namespaces are not to be had.
PLAIN = "REHEARSE_PLAIN"


@dataclass
class Spec:
    """What a host is to be.

    `binds` shows folders at absolute paths inside; `hidden` are paths that are empty inside; `relays` leads from
    `address:port` inside to sockets named relative to `folder`; `also_at` are further addresses of the host. All of
    these, and `network` and `address` ("10.0.0.4/24"), need isolation; without it they are left out.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    cwd: str = "/"
    network: str = "hosts"
    address: str = ""
    also_at: list[str] = field(default_factory=list)
    binds: dict[str, str] = field(default_factory=dict)
    hidden: list[str] = field(default_factory=list)
    relays: dict[str, str] = field(default_factory=dict)
    cpus: list[int] = field(default_factory=list)


class Host:
    """A host that runs; `line` was given each line that it prints."""

    def __init__(self, process: subprocess.Popen[bytes], line: Callable[[str], None]) -> None:
        self._process = process
        self._reader = threading.Thread(target=self._read, args=[line], daemon=True)
        self._reader.start()

    def terminate(self) -> None:
        """SIGTERM for its first process, which like in a container is deaf to it unless it set a handler."""
        self._tell(b"TERM\n")

    def kill(self) -> None:
        """End it at once with all of its processes."""
        self._tell(b"KILL\n")

    def poll(self) -> int | None:
        """The exit code of its command, None while it runs; 128 + N for a signal, 125: the host was not made."""
        return self._process.poll()

    def wait(self, timeout: float | None = None) -> int | None:
        """The same after waiting, for at most `timeout` seconds; by then all of its lines have been told."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
            self._reader.join()
        return self._process.poll()

    def _tell(self, word: bytes) -> None:
        if self._process.stdin:
            with suppress(OSError):
                self._process.stdin.write(word)
                self._process.stdin.flush()

    def _read(self, line: Callable[[str], None]) -> None:
        assert self._process.stdout is not None
        for raw in self._process.stdout:
            line(raw.decode("utf-8", "replace").rstrip("\r\n"))


class Hosts:
    """The hosts of one stand-in, which has its files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = 0
        self._lock = threading.Lock()
        self._room: subprocess.Popen[bytes] | None = None
        self._first = 0
        self._why_plain: str | None = None
        self._launched: list[Host] = []

    @property
    def why_plain(self) -> str:
        """Why hosts are plain processes here; empty where they are isolated."""
        with self._lock:
            if self._why_plain is None:
                self._why_plain = self._make_room()
            return self._why_plain

    @property
    def isolated(self) -> bool:
        """Whether each host has a network and files of its own."""
        return not self.why_plain

    def _make_room(self) -> str:
        """Make the room; the reason why there is none."""
        if os.environ.get(PLAIN):
            return f"{PLAIN} is set"
        if sys.platform != "linux":
            return "network and mount namespaces need Linux"
        if not shutil.which("ip"):
            return "there is no ip command (package iproute2)"
        room = subprocess.Popen(
            [sys.executable, "-I", "-m", "dogbreed.rehearse.room"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert room.stdout is not None and room.stderr is not None
        number = room.stdout.readline().strip()
        if not number:
            words = room.stderr.read().decode(errors="replace").strip().splitlines()
            room.wait()
            return words[-1] if words else "namespaces cannot be made here"
        self._room, self._first = room, int(number)
        return ""

    def launch(self, spec: Spec, line: Callable[[str], None]) -> Host:
        """Start a host; each line that its processes print goes to `line`, called in a thread."""
        isolated = self.isolated
        with self._lock:
            self._numbers += 1
            number = self._numbers
        told = asdict(spec) | {"room": 0, "folder": os.fspath(self._folder)}
        if isolated:
            told |= {"room": self._first, "link": f"v{number}", "bridge": f"b{_short(spec.network)}"}
            told["spare"] = os.fspath(self._folder / "spare" / str(number))
        else:
            told |= {"binds": {}, "hidden": [], "relays": {}, "also_at": []}
        file = self._folder / "hosts" / f"{number}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(told), encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, "-I", "-m", "dogbreed.rehearse.host", os.fspath(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        host = Host(process, line)
        with self._lock:
            self._launched = [one for one in self._launched if one.poll() is None] + [host]
        return host

    def end(self) -> None:
        """End every host, and the room."""
        with self._lock:
            room, self._room, self._why_plain = self._room, None, None
            launched, self._launched = self._launched, []
        for host in launched:
            host.kill()
        if room and room.stdin:
            room.stdin.close()
            room.wait()


def _short(name: str) -> str:
    """A name that fits into the 15 characters of a network interface."""
    import hashlib

    return hashlib.sha256(name.encode()).hexdigest()[:10]
