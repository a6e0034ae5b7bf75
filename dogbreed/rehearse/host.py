"""One host, from the inside: makes its surroundings, runs its command as the first process, and ends all of it.

`python -m dogbreed.rehearse.host SPEC.json`, where SPEC is a `hosts.Spec`. Lines on standard input are signals for the
first process (`TERM`, `KILL`); the end of the input is KILL. Its exit code is that of the command, 128 + N for a signal
and 125 where the surroundings could not be made. Like in a container, a first process that has set no handler for
SIGTERM does not hear it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from dogbreed.rehearse import namespaces as ns

_NO_SURROUNDINGS = 125
_PIECE = 65536
_HANDLED = "SigCgt:"


def main() -> int:
    """Run the host to its end."""
    spec = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        inside = bool(spec["room"])
        if inside and (code := _enter_room(spec)) is not None:
            return code
        if inside:
            _make_surroundings(spec)
        holder, child = _start_as_first(spec) if inside else (0, _start(spec, inside=False))
    except OSError as error:
        os.write(2, f"the host could not be made: {error}\n".encode())
        return _NO_SURROUNDINGS
    for listen, path in spec["relays"].items():
        threading.Thread(target=_relay, args=[listen, path], daemon=True).start()
    threading.Thread(target=_obey, args=[child, inside], daemon=True).start()
    code = _wait(holder or child)
    if not inside:
        _end_descendants()
    return code


def _wait(pid: int) -> int:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


def _enter_room(spec: dict[str, Any]) -> int | None:
    """Go into the room; in the process that stays outside, the exit code of the one that went in."""
    room = Path(f"/proc/{spec['room']}/ns")
    kinds = ["net", "mnt", "ipc", "pid"]
    if (room / "user").readlink() != Path("/proc/self/ns/user").readlink():
        kinds.insert(0, "user")
    for descriptor in [os.open(room / kind, os.O_RDONLY) for kind in kinds]:
        ns.enter(descriptor)
        os.close(descriptor)
    # Only children are in the room's process tree.
    if child := os.fork():
        return _wait(child)
    ns.die_with_parent()
    return None


def _make_surroundings(spec: dict[str, Any]) -> None:
    """A network with one address, a name, and files of its own."""
    outside = os.open("/proc/self/ns/net", os.O_RDONLY)
    ns.unshare(ns.NEWNS | ns.NEWUTS | ns.NEWIPC | ns.NEWNET)
    ns.keep_mounts_private()
    me = os.getpid()
    bridge, link = spec["bridge"], spec["link"]
    with contextlib.suppress(OSError):  # it is there already, for the second host
        ns.links([f"link add {bridge} type bridge", f"link set {bridge} up"], lambda: ns.enter(outside))
    commands = [f"link add {link} type veth peer name eth0 netns {me}", f"link set {link} master {bridge} up"]
    ns.links(commands, lambda: ns.enter(outside))
    os.close(outside)
    mine = [f"addr add {spec['address']} dev eth0", "link set eth0 up", "link set lo up"]
    mine += [f"addr add {address}/32 dev lo" for address in spec["also_at"]]
    ns.links(mine)
    socket.sethostname(spec["name"])
    # Before anything is hidden, since the sockets that are relayed to may lie below.
    os.chdir(spec["folder"])
    for path in spec["hidden"]:
        ns.empty(path)
    made: set[Path] = set()
    for target, source in spec["binds"].items():
        ns.place(target, Path(spec["spare"]) / target.strip("/").replace("/", "_"), made)
        ns.bind(source, target)


def _start_as_first(spec: dict[str, Any]) -> tuple[int, int]:
    """Start the command as the first process of a tree of its own; the processes that holds and that is the tree.

    The holder is needed since a process that has made such a tree cannot have threads any more.
    """
    read, write = os.pipe()
    if holder := os.fork():
        os.close(write)
        return holder, int(os.read(read, 32))
    code = _NO_SURROUNDINGS
    try:
        ns.die_with_parent()
        ns.unshare(ns.NEWPID)
        child = _start(spec, inside=True)
        os.write(write, str(child).encode())
        code = _wait(child)
    finally:
        os._exit(code)


def _start(spec: dict[str, Any], *, inside: bool) -> int:
    """Start the command; its process number."""
    if not inside and sys.platform == "linux":
        ns.adopt_orphans()
    child = os.fork()
    if child:
        return child
    try:
        if sys.platform == "linux":
            ns.die_with_parent()
        if inside:
            ns.own_proc()
        os.setsid()
        if spec["cpus"] and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, spec["cpus"])
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(1, 2)
        os.chdir(spec["cwd"])
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.execvpe(spec["command"][0], spec["command"], spec["environment"])
    except BaseException as error:  # noqa: BLE001  (this is the child: nothing may return from here)
        os.write(1, f"{spec['command'][0]}: {error}\n".encode())
    os._exit(127)


def _obey(child: int, inside: bool) -> None:
    """Pass on the signals that are asked for."""
    for line in sys.stdin:
        if line.strip() == "TERM" and (inside or _hears(child)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)
        elif line.strip() == "KILL":
            break
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)


def _hears(pid: int) -> bool:
    """Whether a process has a handler for SIGTERM, where there is no namespace that would see to it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True
    mask = next(line for line in status.splitlines() if line.startswith(_HANDLED)).split()[1]
    return bool(int(mask, 16) >> (signal.SIGTERM - 1) & 1)


def _end_descendants() -> None:
    """Kill what the command has left running, which on Linux has become our own."""
    while True:
        found = [int(path.name) for path in Path("/proc").glob("[0-9]*") if _parent(path) == os.getpid()]
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for _ in found:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, 0)
        if not found:
            return


def _parent(path: Path) -> int:
    try:
        return int((path / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _relay(listen: str, path: str) -> None:
    """Connect whoever comes to `listen` (address:port) with the unix socket at `path`."""
    address, _, port = listen.rpartition(":")
    server = socket.create_server((address, int(port)), backlog=128)
    while True:
        near, _ = server.accept()
        far = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            far.connect(path)
        except OSError:
            near.close()
            time.sleep(0.05)
            continue
        for source, target in ((near, far), (far, near)):
            threading.Thread(target=_pump, args=[source, target], daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    sys.exit(main())
