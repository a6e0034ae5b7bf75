"""Namespaces by way of the C library: the switch between hosts, the network and the file system of one."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

_NEW_NS, _NEW_UTS, _NEW_IPC, _NEW_USER, _NEW_PID, _NEW_NET = (
    0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
_SEEN = {"uts": _NEW_UTS, "ipc": _NEW_IPC, "mnt": _NEW_NS}
_RDONLY, _REMOUNT, _BIND, _REC, _PRIVATE, _RELATIME = 1, 32, 4096, 16384, 1 << 18, 1 << 21
_NOSUID, _NODEV, _NOEXEC = 2, 4, 8
_DETACH = 2
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 24, 36, 38
_LAST_RIGHT = 63  # numbers beyond the kernel's last one are refused, which is no harm
# CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_TIME, CAP_MKNOD: linux/capability.h.
_RIGHTS = (16, 17, 25, 27)
# What reaches the whole computer from inside a namespace.
_PERILS = ("/proc/sysrq-trigger", "/proc/kcore")

_SWITCH = "switch0"
# Where a machine finds its metadata, and a container the credentials of its role.
_PLATFORM = ("169.254.169.254", "169.254.170.2")

_libc = ctypes.CDLL(None, use_errno=True)


def _do(name: str, *arguments: Any) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str | None, flags: int) -> None:
    code = kind.encode() if kind else None
    _do("mount", source.encode(), target.encode(), code, ctypes.c_ulong(flags), None)


def _ip(commands: str, *, descriptor: int | None = None) -> None:
    program = shutil.which("ip", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") or "ip"
    subprocess.run(
        [program, "-batch", "-"],
        input=commands,
        text=True,
        check=True,
        capture_output=True,
        pass_fds=() if descriptor is None else (descriptor,),
    )


def separate_processes() -> None:
    """Make the next child process 1 of processes of its own."""
    _do("unshare", _NEW_PID)


def adopt_orphans() -> None:
    """Become the parent of whatever descends from this process and loses its own (Linux only)."""
    if sys.platform == "linux":
        _do("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, however that ends (Linux only)."""
    if sys.platform == "linux":
        _do("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


# -- networks


def hold_network() -> None:
    """A network of its own with a switch in it, until standard input closes."""
    owner, group = os.geteuid(), os.getegid()
    if owner == 0:
        _do("unshare", _NEW_NET)
    else:
        _do("unshare", _NEW_USER | _NEW_NET)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {owner} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _ip(f"link set lo up\nlink add {_SWITCH} type bridge\nlink set {_SWITCH} up\n")
    os.write(1, b"ready\n")
    while os.read(0, 4096):
        pass


def join(holder: int, address: str) -> None:
    """Enter the user namespace of the switch, and plug a network of one's own into it."""
    if os.geteuid() != 0:
        _enter(holder, "user", _NEW_USER)
    there = os.open(f"/proc/{holder}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    _do("unshare", _NEW_NET)
    here = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    _do("setns", there, _NEW_NET)
    name = f"p{os.getpid()}"
    _ip(
        f"link add {name} type veth peer name eth0 netns /proc/self/fd/{here}\n"
        f"link set {name} master {_SWITCH}\nlink set {name} up\n",
        descriptor=here,
    )
    _do("setns", here, _NEW_NET)
    _ip(f"link set lo up\naddr add {address} dev eth0\nlink set eth0 up\n")
    _ip("".join(f"addr add {platform}/32 dev lo\n" for platform in _PLATFORM))
    os.close(there)
    os.close(here)


def _enter(holder: int, kind: str, flag: int) -> None:
    descriptor = os.open(f"/proc/{holder}/ns/{kind}", os.O_RDONLY)
    _do("setns", descriptor, flag)
    os.close(descriptor)


# -- files


def furnish(told: dict[str, Any]) -> None:
    """Die with the parent; a name and mounts of its own: own folders over those of this machine, the rest read-only.

    Where there is a `root`, that takes the place of this machine's files.
    """
    die_with_parent()
    _do("unshare", _NEW_NS | _NEW_UTS | _NEW_IPC)
    socket.sethostname(told["hostname"])
    _mount("none", "/", None, _REC | _PRIVATE)
    root = told["root"]
    if root:
        _lay_out(root, told["binds"])
    else:
        _cover(told)
    _devices(f"{root}/dev")
    _mount("proc", f"{root}/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    nothing = os.open("/dev/null", os.O_PATH | os.O_CLOEXEC)
    for path in _PERILS:
        with suppress(OSError):
            _bind(nothing, f"{root}{path}")
    os.close(nothing)
    for path in (f"{root}/proc/sys", f"{root}/sys"):
        with suppress(OSError):
            _mount(path, path, None, _BIND)
            _make_read_only(path)
    if root:
        os.chdir(root)
        # The old root lies on the new one then, until it is taken off: pivot_root(2).
        _do("pivot_root", b".", b".")
        _do("umount2", b".", _DETACH)
        os.chdir("/")
    give_up_rights()


def _lay_out(root: str, binds: dict[str, str]) -> None:
    """Make a folder a mount, with `binds` and this machine's /sys in it; the rest is read-only."""
    _mount(root, root, None, _BIND)
    shown = binds | {"/sys": "/sys"}
    for inside in (*shown, "/dev", "/proc"):
        if os.path.realpath(root + inside) != root + inside:
            raise OSError(f"{inside} of the image is a link")
    for inside, outside in shown.items():
        descriptor = os.open(outside, os.O_PATH | os.O_CLOEXEC)
        _bind(descriptor, root + inside)
        os.close(descriptor)
    for name in ("dev", "proc"):
        Path(root, name).mkdir(exist_ok=True)
    _make_read_only(root)


def _cover(told: dict[str, Any]) -> None:
    before = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    kept, covers, binds = (
        {inside: os.open(outside, os.O_PATH | os.O_CLOEXEC) for inside, outside in paths if Path(outside).exists()}
        for paths in (zip(told["keep"], told["keep"], strict=True), told["covers"].items(), told["binds"].items())
    )
    covered = [inside for inside in covers if Path(inside).is_dir()]
    for inside in covered:
        _bind(covers[inside], inside)
    for path, descriptor in kept.items():
        if any(path.startswith(f"{inside}/") for inside in covered):
            _bind(descriptor, path)
            _make_read_only(path)
    for inside, descriptor in binds.items():
        # Never make something to mount on in the files of this machine.
        if Path(inside).exists() or any(inside.startswith(f"{place}/") for place in covered):
            _bind(descriptor, inside)
    own = (*covered, *told["binds"], "/proc", "/sys", "/dev")
    for path in before:
        if told["read_only"] and not any(path == inside or path.startswith(f"{inside}/") for inside in own):
            with suppress(OSError):
                _make_read_only(path)


def give_up_rights() -> None:
    """Have no program from here on load modules, make devices, touch ports of the hardware or set the clock.

    A host may run as root, and what it runs is written for a machine that can be thrown away.
    """
    for number in _RIGHTS:
        with suppress(OSError):
            _do("prctl", _PR_CAPBSET_DROP, number, 0, 0, 0)


# -- a container in a machine


def unshare_files() -> None:
    """Mounts of one's own, which end with the process."""
    _do("unshare", _NEW_NS)
    _mount("none", "/", None, _REC | _PRIVATE)


def show(outside: Path, inside: str) -> None:
    """Show a folder at another place, read-only."""
    descriptor = os.open(outside, os.O_PATH | os.O_CLOEXEC)
    _bind(descriptor, inside)
    os.close(descriptor)
    _make_read_only(inside)


def empty(inside: str) -> None:
    """An empty folder in memory, which everybody may write to."""
    _mount("tmpfs", inside, "tmpfs", _NOSUID | _NODEV)
    Path(inside).chmod(0o1777)


def all_read_only(but: Sequence[str]) -> None:
    """Make every mount read-only but those of the kernel and those in `but`."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        path = line.split()[4]
        if path not in but and not path.startswith(("/proc", "/sys", "/dev")):
            with suppress(OSError):
                _make_read_only(path)


def give_up_all_rights() -> None:
    """No capability can be had from here on, also not by a program that is root's."""
    for number in range(_LAST_RIGHT):
        with suppress(OSError):
            _do("prctl", _PR_CAPBSET_DROP, number, 0, 0, 0)


def no_new_privileges() -> None:
    """No program from here on gets more rights than this one has."""
    _do("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def has_users() -> bool:
    """Whether there are other users here than the one that this process is."""
    return int(Path("/proc/self/uid_map").read_text().split()[2]) > 1


def become_user(told: str) -> None:
    """Go on as USER:GROUP, or USER and the group of the same number."""
    user, _, group = told.partition(":")
    os.setgroups([])
    os.setgid(int(group or user))
    os.setuid(int(user))


def _devices(top: str) -> None:
    """A /dev, at `top`, with what every program may use, and graphics cards; no disks."""
    names = [Path("/dev", name) for name in ("null", "zero", "full", "random", "urandom", "tty")]
    names += [path for kind in ("nvidia*", "dri", "kfd") for path in Path("/dev").glob(kind)]
    opened = {path.relative_to("/dev"): os.open(path, os.O_PATH | os.O_CLOEXEC) for path in names if path.exists()}
    _mount("tmpfs", top, "tmpfs", _NOSUID | _NOEXEC)
    for place, descriptor in opened.items():
        _bind(descriptor, f"{top}/{place}")
        os.close(descriptor)
    for name in ("shm", "pts"):
        Path(top, name).mkdir()
    _mount("tmpfs", f"{top}/shm", "tmpfs", _NOSUID | _NODEV)
    with suppress(OSError):
        kind = b"devpts"
        options = b"newinstance,ptmxmode=0666"
        _do("mount", kind, f"{top}/pts".encode(), kind, ctypes.c_ulong(_NOSUID | _NOEXEC), options)
        Path(top, "ptmx").symlink_to("pts/ptmx")
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        Path(top, name).symlink_to(f"/proc/self/fd{target}")


def enter_files(process: int) -> None:
    """See files and name of this computer as `process` does."""
    opened = [(os.open(f"/proc/{process}/ns/{kind}", os.O_RDONLY), flag) for kind, flag in _SEEN.items()]
    for descriptor, flag in opened:
        _do("setns", descriptor, flag)
        os.close(descriptor)
    os.chdir("/")
    give_up_rights()


def _bind(descriptor: int, inside: str) -> None:
    """Show an open file or folder at a path, which is made where it can be."""
    outside, place = Path(f"/proc/self/fd/{descriptor}"), Path(inside)
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.mkdir() if outside.is_dir() else place.touch()
    _mount(os.fspath(outside), inside, None, _BIND | _REC)


def _make_read_only(path: str) -> None:
    # Flags that a mount has must be said again: in a user namespace they are locked.
    has = os.statvfs(path).f_flag
    flags = (has & (2 | 4 | 8 | 1024 | 2048)) | (_RELATIME if has & 4096 else 0)
    _mount("none", path, None, _REMOUNT | _BIND | _RDONLY | flags)
