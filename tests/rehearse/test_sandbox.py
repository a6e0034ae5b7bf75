"""Hosts in namespaces and as plain processes: apart from each other, and gone when they are to be gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standin import until

from dogbreed.errors import DogbreedError
from dogbreed.rehearse import sandbox
from dogbreed.rehearse.image import host as program
from dogbreed.rehearse.sandbox import Host, Network, Spec


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network.make()
    if made is None:
        pytest.skip(sandbox.missing())
    yield made
    made.close()


@pytest.fixture(params=["isolated", "plain"])
def either(request: pytest.FixtureRequest) -> Network | None:
    return request.getfixturevalue("network") if request.param == "isolated" else None


def spec(folder: Path, script: str, **changes: Any) -> Spec:
    parts: dict[str, Any] = {
        "command": ["/bin/sh", "-c", textwrap.dedent(script)],
        "output": folder / "log",
        "folder": Path("/"),
        "environment": {"PATH": os.environ["PATH"]},
        "address": "10.20.0.1/16",
    }
    return Spec(**parts | changes)


def said(folder: Path) -> str:
    return (folder / "log").read_text()


def running(mark: str) -> list[str]:
    """Processes in whose command line `mark` stands, this and its own children apart."""
    listed = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if mark in line and "ps -A" not in line]


@pytest.mark.parametrize("code", [0, 7])
def test_the_exit_code_is_that_of_the_program(either: Network | None, tmp_path: Path, code: int) -> None:
    assert Host.start(spec(tmp_path, f"echo out; echo err >&2; exit {code}"), either).wait(300) == code
    assert said(tmp_path) == "out\nerr\n"


def test_a_program_that_is_not_there_is_said(either: Network | None, tmp_path: Path) -> None:
    assert Host.start(spec(tmp_path, "", command=["/no/such/program"]), either).wait(300) == 127
    assert "/no/such/program" in said(tmp_path)


def test_a_host_that_cannot_start_says_why(either: Network | None, tmp_path: Path) -> None:
    with pytest.raises(DogbreedError, match="no-such-folder"):
        Host.start(spec(tmp_path, "true", output=tmp_path / "no-such-folder" / "log"), either)


def test_what_goes_to_the_background_ends_with_the_host(either: Network | None, tmp_path: Path) -> None:
    mark = f"98{uuid.uuid4().int % 10**9}"
    host = Host.start(spec(tmp_path, f"setsid sleep {mark} & (setsid sleep {mark} &) ; echo ready"), either)
    assert host.wait(300) == 0
    assert running(mark) == []


def test_sigterm_comes_first(either: Network | None, tmp_path: Path) -> None:
    host = Host.start(spec(tmp_path, "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done"), either)
    until(lambda: "ready" in said(tmp_path))
    host.end(grace_s=300)
    assert said(tmp_path).endswith("bye\n")


def test_sigkill_comes_when_the_grace_is_over(either: Network | None, tmp_path: Path) -> None:
    host = Host.start(spec(tmp_path, "trap '' TERM; echo ready; while :; do sleep 0.05; done"), either)
    until(lambda: "ready" in said(tmp_path))
    assert host.end(grace_s=0.2) != 0


def test_a_host_that_stays_can_be_ended_from_inside(either: Network | None, tmp_path: Path) -> None:
    number = next(number for number, meaning in program.HALTS.items() if meaning == sandbox.HALTED)
    note = tmp_path / "note"
    script = f"echo ready; sleep 0.1; kill -{number} $(cat {note})"
    host = Host.start(spec(tmp_path, script, stay=True, note=os.fspath(note), read_only=False), either)
    assert host.wait(300) == sandbox.HALTED


def test_one_more_program_runs_in_a_host(either: Network | None, tmp_path: Path) -> None:
    host = Host.start(spec(tmp_path, "true", stay=True, hostname="first", covers={"/mnt": tmp_path}), either)
    script = f"hostname >'{tmp_path}/name'; exit 3" if either is None else "hostname >/mnt/name; exit 3"
    host.run(["/bin/sh", "-c", script], {"PATH": os.environ["PATH"]}, tmp_path / "status", limit_s=300)
    until((tmp_path / "status").exists)
    assert (tmp_path / "status").read_text() == "3"
    if either:
        assert (tmp_path / "name").read_text() == "first\n"
    host.end()


def test_hosts_reach_each_other_and_nothing_else(network: Network, tmp_path: Path) -> None:
    serve = """
    python3 - <<'END'
    import socket
    server = socket.create_server(("10.20.0.1", 7000))
    near, far = server.accept()
    near.sendall(far[0].encode())
    END
    """
    call = """
    python3 - <<'END'
    import socket, time
    while True:
        try:
            print(socket.create_connection(("10.20.0.1", 7000), 60).recv(99).decode()); break
        except OSError: time.sleep(0.05)
    try: socket.create_connection(("192.0.2.1", 80), 5)
    except OSError as error: print(error.strerror)
    END
    """
    for name in "ab":
        (tmp_path / name).mkdir()
    first = Host.start(spec(tmp_path / "a", serve), network)
    second = Host.start(spec(tmp_path / "b", call, address="10.20.0.2/16"), network)
    assert (first.wait(300), second.wait(300)) == (0, 0)
    assert said(tmp_path / "b") == "10.20.0.2\nNetwork is unreachable\n"


def test_a_host_has_folders_of_its_own_and_writes_nowhere_else(network: Network, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    script = """
    ls -A /mnt | wc -l; echo x >/mnt/file
    (echo x >/usr/file) 2>/dev/null || echo refused
    hostname; cat /etc/hosts; ps -A -o pid= | wc -l
    python3 -c 'import os; print(sorted(os.sched_getaffinity(0)))'
    """
    hosts = tmp_path / "hosts"
    hosts.write_text("10.20.0.9 friend\n")
    core = min(os.sched_getaffinity(0))
    parts: dict[str, Any] = {"covers": {"/mnt": own}, "binds": {"/etc/hosts": hosts}, "cores": [core]}
    assert Host.start(spec(tmp_path, script, hostname="algo-7", **parts), network).wait(300) == 0
    empty, refused, name, friend, processes, cores = said(tmp_path).splitlines()
    assert (empty, refused, name, friend, cores) == ("0", "refused", "algo-7", "10.20.0.9 friend", f"[{core}]")
    assert int(processes) < 6
    assert (own / "file").read_text() == "x\n"
    assert not Path("/usr/file").exists()


def test_a_root_takes_the_place_of_this_machines_files(network: Network, tmp_path: Path) -> None:
    """A root with nothing in it but the programs that the script calls."""
    root, own = tmp_path / "root", tmp_path / "own"
    root.mkdir()
    own.mkdir()
    script = """
    echo /*
    (echo x >/file) 2>/dev/null || echo refused
    echo x >/own/file
    echo x >/dev/null && ls /proc | grep -c '^[0-9]'
    """
    programs = {name: Path(name) for name in ("/bin", "/lib", "/lib64", "/usr") if Path(name).exists()}
    made = spec(tmp_path, script, root=root, binds={"/own": own, **programs}, covers={"/mnt": own})
    assert Host.start(made, network).wait(300) == 0
    seen, refused, processes = said(tmp_path).splitlines()
    assert (seen.split(), refused) == (sorted([*programs, "/dev", "/own", "/proc", "/sys"]), "refused")
    assert int(processes) < 6
    assert (own / "file").read_text() == "x\n"


def test_a_root_whose_folders_lead_elsewhere_is_refused(network: Network, tmp_path: Path) -> None:
    root, own = tmp_path / "root", tmp_path / "own"
    root.mkdir()
    own.mkdir()
    (root / "tmp").symlink_to(own)
    with pytest.raises(DogbreedError, match="/tmp of the image is a link"):
        Host.start(spec(tmp_path, "", root=root, binds={"/tmp": tmp_path}), network)


def test_a_host_cannot_reach_the_hardware(network: Network, tmp_path: Path) -> None:
    script = """
    ls /dev; echo x >/dev/null; head -c3 /dev/urandom | wc -c; echo shm >/dev/shm/x
    [ -b /dev/sda ] || [ -b /dev/vda ] || echo no disks
    mknod /dev/disk b 8 0 2>/dev/null || echo no devices
    (echo 1 >/proc/sys/kernel/sysrq) 2>/dev/null || echo no settings
    [ -f /proc/sysrq-trigger ] || echo no keys
    python3 -c 'from multiprocessing.shared_memory import *; SharedMemory(None, True, 1).unlink(); print("shared")'
    python3 -c 'import os; os.openpty(); print("terminal")'
    """
    assert Host.start(spec(tmp_path, script), network).wait(300) == 0
    lines = said(tmp_path).splitlines()
    wanted = ["3", "no disks", "no devices", "no settings", "no keys", "shared", "terminal"]
    assert [line for line in lines if line in wanted] == wanted
    assert not any(line.startswith(("sd", "vd", "nvme", "loop", "mem")) for line in lines)


def test_what_python_needs_is_seen_below_a_covered_folder(network: Network, tmp_path: Path) -> None:
    """Also where the interpreter lives in a home folder that the host covers."""
    top = Path(sys.executable).resolve().parents[-2]
    own = tmp_path / "own"
    own.mkdir()
    script = f"{sys.executable} -c 'import dogbreed.errors; print(dogbreed.__file__)'"
    assert Host.start(spec(tmp_path, script, covers={os.fspath(top): own}), network).wait(300) == 0, said(tmp_path)


def test_relays_lead_to_a_unix_socket(network: Network, tmp_path: Path) -> None:
    import socket
    import threading

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.fspath(tmp_path / "s"))
    listener.listen()
    content = os.urandom(3_000_000)

    def serve() -> None:
        near, _ = listener.accept()
        assert near.recv(99) == b"please"
        near.sendall(content)
        near.close()

    threading.Thread(target=serve, daemon=True).start()
    script = """
    python3 - <<'END'
    import hashlib, socket
    link = socket.create_connection(("169.254.169.254", 80), 60)
    link.sendall(b"please")
    print(hashlib.sha256(link.makefile("rb").read()).hexdigest())
    END
    """
    host = Host.start(spec(tmp_path, script, relays=[("169.254.169.254", 80, tmp_path / "s")]), network)
    assert host.wait(300) == 0
    import hashlib

    assert said(tmp_path).strip() == hashlib.sha256(content).hexdigest()
    listener.close()


@pytest.mark.parametrize("mode", ["isolated", "plain"])
def test_nothing_outlives_a_killed_owner(mode: str, tmp_path: Path) -> None:
    if mode == "isolated" and sandbox.missing():
        pytest.skip(sandbox.missing())
    mark = f"97{uuid.uuid4().int % 10**9}"
    code = f"""
import os, sys, time
from pathlib import Path
from dogbreed.rehearse.sandbox import Host, Network, Spec
network = Network.make()
script = "setsid sleep {mark} & (setsid sleep {mark} &); trap '' TERM HUP INT; echo ready; sleep {mark}"
command, log = ["/bin/sh", "-c", script], Path(r"{tmp_path}/log")
Host.start(Spec(command, log, Path("/"), dict(os.environ), "10.0.0.1/24", stay=True), network)
time.sleep(600)
"""
    plain = {"REHEARSE_PLAIN": "1"} if mode == "plain" else {}
    owner = subprocess.Popen([sys.executable, "-c", code], env=os.environ | plain)
    until(lambda: (tmp_path / "log").exists() and "ready" in said(tmp_path))
    until(lambda: len(running(f"sleep {mark}")) >= 3)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    until(lambda: not running(mark))


@given(st.integers(min_value=1, max_value=300))
def test_cores_are_shared_evenly(count: int) -> None:
    shares = sandbox.shares(count)
    assert len(shares) == count
    sizes = {len(share) for share in shares}
    assert len(sizes) == 1 and (sizes.pop() >= 1 or not hasattr(os, "sched_getaffinity"))
    used = [core for share in shares for core in share]
    if used:
        assert set(used) <= os.sched_getaffinity(0)
        assert max(map(used.count, used)) - min(map(used.count, used)) <= 1
