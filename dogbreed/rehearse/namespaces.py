"""What a host of its own is made of on Linux: namespaces, mounts and links. Standard library only.

It runs in small processes of its own (room.py, host.py), since a namespace can only be left by ending.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
_MS_BIND, _MS_REC, _MS_PRIVATE, _MS_NOSUID, _MS_NODEV = 0x1000, 0x4000, 0x40000, 0x2, 0x4
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Put this process into new namespaces; OSError where that is not allowed."""
    _check(_libc().unshare(flags), "unshare")


def enter(descriptor: int, kind: int = 0) -> None:
    """Put this process into the namespace that a file descriptor of /proc/PID/ns stands for."""
    _check(_libc().setns(descriptor, kind), "setns")


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it ends, however that ends."""
    _check(_libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")


def adopt_orphans() -> None:
    """Become the parent of all descendants whose own parent ends."""
    _check(_libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def become_root_of_own() -> None:
    """A user namespace in which this user is root, for those who are not root outside."""
    user, group = os.getuid(), os.getgid()
    unshare(NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")


def keep_mounts_private() -> None:
    """Let no mount made from here be seen outside."""
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)


def bind(source: str, target: str) -> None:
    """Show a file or folder at another place, which must exist."""
    _mount(source, target, None, _MS_BIND | _MS_REC)


def empty(target: str) -> None:
    """Show nothing at a place: an empty folder in memory, or an empty file."""
    if Path(target).is_dir():
        _mount("tmpfs", target, "tmpfs", _MS_NOSUID | _MS_NODEV)
    else:
        bind("/dev/null", target)


def own_proc() -> None:
    """Show the processes of this namespace alone; left undone where the machine does not allow it."""
    try:
        _mount("proc", "/proc", "proc", _MS_NOSUID | _MS_NODEV)
    except OSError:
        return


def place(target: str, spare: Path, made: set[Path]) -> None:
    """Make sure that there is a `target` (`/opt/ml`) to bind to, without a trace outside.

    Where it is missing, its parent gets a folder in memory with everything that was there bound into it; `made`
    remembers these.
    """
    path = Path(target)
    if path.exists():
        return
    if path.parent not in made:
        spare.mkdir(parents=True, exist_ok=True)
        there = sorted(path.parent.iterdir())
        bind(str(path.parent), str(spare))
        empty(str(path.parent))
        for one in there:
            _show_again(spare / one.name, one)
        made.add(path.parent)
    path.mkdir()


def _show_again(kept: Path, path: Path) -> None:
    if kept.is_symlink():
        path.symlink_to(kept.readlink())
        return
    if kept.is_dir():
        path.mkdir()
    else:
        path.touch()
    bind(str(kept), str(path))


def links(commands: Iterable[str], before: Callable[[], None] | None = None) -> None:
    """Run commands of `ip`, one a line; OSError with its words. `before` runs in the child, to change namespace."""
    result = subprocess.run(
        ["ip", "-batch", "-"],
        input="\n".join(commands),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=before,  # these processes have one thread
    )
    if result.returncode != 0:
        raise OSError(f"ip: {result.stderr.strip()}")


def _mount(source: str | None, target: str, kind: str | None, flags: int) -> None:
    def text(value: str | None) -> bytes | None:
        return None if value is None else os.fsencode(value)

    _check(_libc().mount(text(source), text(target), text(kind), flags, None), f"mount {target}")
