"""The parent of everything that one host of the stand-in runs; a program of its own, started by sandbox.py.

Its standard input says what to run (one line of JSON), then `end SECONDS`; where it closes, the host ends at once. So
nothing outlives the server, whatever kills it. With namespaces, this process sits in the network of the host and
relays ports, and its child is process 1 of everything else; without, the child adopts what is orphaned.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from dogbreed.rehearse.image import kernel

# How a host that ended itself says so; below these, the exit code is that of its main program.
HALTED, REBOOTED = 250, 251
# What ends a host from inside, as with systemd: halt, power off, reboot.
if sys.platform == "linux":
    HALTS = {int(signal.SIGRTMIN) + 3: HALTED, int(signal.SIGRTMIN) + 4: HALTED, int(signal.SIGRTMIN) + 5: REBOOTED}
else:
    HALTS = {int(signal.SIGUSR1): HALTED, int(signal.SIGUSR2): REBOOTED}
_HALT_GRACE_S = 5.0

# -- one host


def main() -> int:
    """Run one host; its exit code."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # only standard input says when to end
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    told = json.loads(_line())
    try:
        if told["cores"] and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, told["cores"])
        if told["network"]:
            kernel.join(told["network"], told["address"])
        else:
            kernel.adopt_orphans()
        relays = [_listen(address, port) for address, port, _ in told["relays"]]
        if told["network"]:
            kernel.separate_processes()
    except (OSError, subprocess.CalledProcessError) as error:
        return _refuse(str(error))
    going, ready = os.pipe()
    child = os.fork()
    if child == 0:
        for relay in relays:
            relay.close()
        os.close(going)
        _first(told, ready)
    os.close(ready)
    why = _all(going)
    if why:
        os.waitpid(child, 0)
        return _refuse(why.decode(errors="replace"))
    # Not before it is known that the host runs.
    os.write(1, f"{json.dumps({'pid': child})}\n".encode())
    paths = [path for _, _, path in told["relays"]]
    import asyncio

    deaf = told["first"] and not told["network"]
    inlet = (told["inlet"], told["address"].partition("/")[0])
    ways = list(zip(relays, paths, strict=True))
    code = asyncio.run(_serve(child, ways, inlet, separate=bool(told["network"]), deaf=deaf))
    if not told["network"]:
        end_descendants(signal.SIGKILL)
    return code


def _refuse(why: str) -> int:
    os.write(1, f"{json.dumps({'error': why})}\n".encode())
    return 1


def _code(status: int) -> int:
    """As a shell tells how a process ended."""
    return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _line() -> bytes:
    found = b""
    while not found.endswith(b"\n"):
        if not (more := os.read(0, 1)):
            raise SystemExit(1)
        found += more
    return found


def _all(descriptor: int) -> bytes:
    found = b""
    while more := os.read(descriptor, 4096):
        found += more
    os.close(descriptor)
    return found


# -- relays


def _listen(address: str, port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(128)
    return listener


async def _serve(
    child: int, relays: list[tuple[socket.socket, str]], inlet: tuple[str, str], *, separate: bool, deaf: bool
) -> int:
    """Relay, obey standard input and wait for the child, in one thread: after unshare there may be no second.

    `inlet`: the path of a socket by which this computer comes in, or "", and the address of the host. A child that is
    `deaf` hears SIGTERM only if it handles it, as the kernel has it for a process 1.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    for listener, path in relays:
        await asyncio.start_server(partial(_relay, path), sock=listener)
    if inlet[0]:
        Path(inlet[0]).unlink(missing_ok=True)
        await asyncio.start_unix_server(partial(_let_in, inlet[1]), inlet[0])
    ended: asyncio.Future[int] = loop.create_future()
    others: dict[int, str] = {}
    said = b""

    def reap() -> None:
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] == child and not ended.done():
                    ended.set_result(_code(found[1]))
                elif found[0] in others:
                    _note(others.pop(found[0]), _code(found[1]))

    def obey() -> None:
        nonlocal said
        if not (words := os.read(0, 1 << 16)):
            loop.remove_reader(0)
            _signal(child, signal.SIGKILL)
        *lines, said = (said + words).split(b"\n")
        for line in lines:
            word, _, rest = line.partition(b" ")
            if word == b"end":
                if not deaf or _handles(child, signal.SIGTERM):
                    _signal(child, signal.SIGTERM)
                loop.call_later(float(rest), _signal, child, signal.SIGKILL)
            elif word == b"run":
                order = json.loads(rest)
                pid = _start(order, child if separate else 0)
                others[pid] = order["status"]
                loop.call_later(order["limit_s"], _signal, -pid, signal.SIGKILL)

    loop.add_signal_handler(signal.SIGCHLD, reap)
    loop.add_reader(0, obey)
    reap()
    return await ended


def _signal(pid: int, number: int) -> None:
    """To a process, or with a negative number to its group."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _handles(pid: int, number: int) -> bool:
    """Whether a process handles a signal; where that cannot be seen, it counts as handling it."""
    with suppress(OSError, StopIteration, ValueError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        caught = next(line for line in lines if line.startswith("SigCgt:")).split()[1]
        return bool(int(caught, 16) >> (number - 1) & 1)
    return True


def _note(path: str, code: int) -> None:
    Path(f"{path}.new").write_text(str(code))
    Path(f"{path}.new").replace(path)


async def _relay(path: str, reader: Any, writer: Any) -> None:
    import asyncio

    try:
        inner_reader, inner_writer = await asyncio.open_unix_connection(path)
    except OSError:
        writer.close()
        return
    await _join((reader, writer), (inner_reader, inner_writer))


async def _let_in(address: str, reader: Any, writer: Any) -> None:
    """Lead who says a port and a line end to that port of this host: `+` where somebody listens, else `-`."""
    import asyncio

    try:
        inner_reader, inner_writer = await asyncio.open_connection(address, int(await reader.readline()))
    except (OSError, ValueError, OverflowError):
        writer.write(b"-")
        writer.close()
        return
    writer.write(b"+")
    await _join((reader, writer), (inner_reader, inner_writer))


async def _join(one: tuple[Any, Any], other: tuple[Any, Any]) -> None:
    """Pour both ways until both have ended; where the host ends before, that is no error."""
    import asyncio

    with suppress(asyncio.CancelledError):
        await asyncio.gather(_pour(one[0], other[1]), _pour(other[0], one[1]))
    for _, writer in (one, other):
        writer.close()


async def _pour(source: Any, target: Any) -> None:
    with suppress(OSError):
        while data := await source.read(1 << 17):
            target.write(data)
            await target.drain()
        target.write_eof()


# -- process 1 of a host


class _Ends(BaseException):
    def __init__(self, code: int | None) -> None:
        self.code = code


def _first(told: dict[str, Any], ready: int) -> None:
    """Set up the file system, run the main program, adopt and reap; never returns."""
    code = 1
    try:
        try:
            output = os.open(told["output"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            nothing = os.open(os.devnull, os.O_RDONLY)
            if told["network"]:
                kernel.furnish(told)
            else:
                kernel.die_with_parent()
                kernel.adopt_orphans()
                os.setsid()
            os.dup2(nothing, 0)
            for number in (1, 2):
                os.dup2(output, number)
            os.chdir(told["folder"])
            if told["note"]:
                Path(told["note"]).write_text(str(os.getpid()))
        except (OSError, subprocess.CalledProcessError) as error:
            os.write(ready, f"{error}".encode())
            os._exit(1)
        if told["first"]:
            os.close(ready)
            _become(told)
        code = _tend(told, ready)
    finally:
        os._exit(code)


def _tend(told: dict[str, Any], ready: int) -> int:
    asked: list[int | None] = []

    def on_signal(number: int, _: FrameType | None) -> None:
        asked.append(HALTS.get(number))
        raise _Ends(asked[0])

    for number in (signal.SIGTERM, *HALTS):
        signal.signal(number, on_signal)
    code = 0
    try:
        main_program = _start(told) if told["command"] else 0
        os.close(ready)
        while True:
            try:
                done, status = os.waitpid(-1, 0)
            except ChildProcessError:
                if told["stay"]:
                    signal.pause()
                return code
            if done == main_program:
                code = _code(status)
                if not told["stay"]:
                    return code
    except _Ends as ends:
        for number in (signal.SIGTERM, *HALTS):
            signal.signal(number, signal.SIG_IGN)
        _end_all(signal.SIGTERM)
        # Asked from outside, only the parent's patience counts.
        deadline = time.monotonic() + (_HALT_GRACE_S if ends.code else 1e9)
        with suppress(ChildProcessError):
            while time.monotonic() < deadline:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    time.sleep(0.02)
        _end_all(signal.SIGKILL)
        return 128 + signal.SIGTERM if ends.code is None else ends.code


def _start(told: dict[str, Any], first: int = 0) -> int:
    """Start a program, among the files of the process `first` if that is given; its process id."""
    if (pid := os.fork()) == 0:
        try:
            if first:
                kernel.enter_files(first)
            os.setsid()
            _become(told)
        finally:
            os._exit(127)
    return pid


def _become(told: dict[str, Any]) -> None:
    """Go on as the program; where there is none, say so and exit with 127 as a shell does."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGPIPE, *HALTS):
        signal.signal(number, signal.SIG_DFL)
    try:
        if told.get("user") and kernel.has_users():
            kernel.become_user(told["user"])
            kernel.die_with_parent()  # which the kernel forgets with the user
        os.execvpe(told["command"][0], told["command"], told["environment"])
    except OSError as error:
        os.write(2, f"{told['command'][0]}: {error.strerror}\n".encode())
    os._exit(127)


def _end_all(number: int) -> None:
    if os.getpid() == 1:
        with suppress(ProcessLookupError):
            os.kill(-1, number)
    else:
        end_descendants(number)


def end_descendants(number: int) -> None:
    """Send a signal to all that descend from this process; SIGKILL until nothing is left that this user may end."""
    while [pid for pid in _descendants() if _reaches(pid, number)]:
        if number != signal.SIGKILL:
            return
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.01)


def _reaches(pid: int, number: int) -> bool:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
        return True
    return False


def _descendants() -> list[int]:
    """All of them but the dead."""
    children: dict[int, list[int]] = {}
    for pid, parent, state in _processes():
        if not state.startswith("Z"):
            children.setdefault(parent, []).append(pid)
    found, wave = [], [os.getpid()]
    while wave:
        wave = [pid for parent in wave for pid in children.get(parent, [])]
        found += wave
    return found


def _processes() -> list[tuple[int, int, str]]:
    """Number, parent and state of each process of this computer."""
    found = []
    if Path("/proc/self/stat").exists():
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it has ended meanwhile
                state, parent = path.read_text(errors="replace").rpartition(")")[2].split()[:2]
                found.append((int(path.parent.name), int(parent), state))
        return found
    # The listing is a child as well, and gone when it has been read.
    with subprocess.Popen(["ps", "-A", "-o", "pid=,ppid=,stat="], stdout=subprocess.PIPE, text=True) as listing:
        lines = listing.communicate()[0].splitlines()
    told = [line.split(maxsplit=2) for line in lines]
    return [(int(pid), int(parent), state) for pid, parent, state in told if int(pid) != listing.pid]
