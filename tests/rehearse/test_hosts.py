"""Isolated hosts: what each sees of the machine and of the others, and that nothing of them is left."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import jobs
import pytest
import standin

from dogbreed.rehearse.state import Server, StandIn, find


@pytest.fixture
def role(isolated: Server) -> str:
    standin.bucket()
    return standin.role()


def test_hosts_meet_by_name_and_each_has_files_of_its_own(role: str) -> None:
    script = """
import json, pathlib, socket, time
config = json.load(open("/opt/ml/input/config/resourceconfig.json"))
me = config["current_host"]
assert socket.gethostname() == me and config["network_interface_name"] == "eth0"
pathlib.Path("/opt/ml/mine").write_text(me); pathlib.Path("/tmp/mine").write_text(me)
if me == "algo-1":
    server = socket.create_server((socket.gethostbyname(me), 7777))
    near, far = server.accept()
    near.sendall(me.encode())
    print("met", far[0] == socket.gethostbyname("algo-2"))
else:
    while True:
        try:
            peer = socket.create_connection(("algo-1", 7777)); break
        except OSError: time.sleep(0.05)
    print("met", peer.recv(20).decode())
print(pathlib.Path("/opt/ml/mine").read_text() == me == pathlib.Path("/tmp/mine").read_text())
"""
    job = jobs.run("pair", role, script, python=True, ResourceConfig=jobs.hosts(2), EnableNetworkIsolation=True)
    assert job["TrainingJobStatus"] == "Completed", "\n".join(jobs.lines("pair"))
    assert sorted(jobs.lines("pair")) == ["True", "True", "met True", "met algo-1"]


def test_network_isolation_leaves_no_way_out_and_no_credentials(isolated: Server, role: str) -> None:
    script = f"""
import os, socket
print(sorted(name for name in os.environ if name.startswith("AWS")))
for place in (("127.0.0.1", {isolated.port}), ("169.254.170.2", 80), ("192.0.2.2", 80)):
    try:
        socket.create_connection(place, 2); print("reached", place)
    except OSError as error: print("shut")
try:
    import dogbreed.config; print("dogbreed is here")
except ImportError: print("no dogbreed")
"""
    jobs.run("alone", role, script, python=True, EnableNetworkIsolation=True)
    assert jobs.lines("alone") == ["['AWS_REGION']", "shut", "shut", "shut", "no dogbreed"]


def test_each_host_has_its_share_of_the_cores(role: str) -> None:
    cores = len(os.sched_getaffinity(0))
    jobs.run("cores", role, "nproc", ResourceConfig=jobs.hosts(2))
    assert jobs.lines("cores") == [str(max(1, cores // 2))] * 2


def traces() -> tuple[list[str], list[str], bool]:
    links = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=False).stdout
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if "/opt" in line or "rehearse" in line]
    return [line.split()[0] for line in links.splitlines()], mounts, Path("/opt/ml").exists()


@pytest.mark.parametrize("plain", ["", "1"], ids=["isolated", "plain"])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_nothing_is_left_however_the_server_ends(
    isolated: Server, how: signal.Signals, plain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = traces()
    # Seconds, of which there must be enough where processes have small numbers.
    mark = f"{10**6 + os.getpid()}.{time.monotonic_ns()}"
    with StandIn(**standin.QUICK, REHEARSE_PLAIN=plain) as server:
        standin.emptied(server, monkeypatch)
        standin.bucket()
        # A session of its own, as torchrun gives its workers.
        jobs.start("long", standin.role(), f"setsid sleep {mark} & sleep {mark}", ResourceConfig=jobs.hosts(2))
        standin.until(lambda: len(running(mark)) >= 4)
        os.kill(server.pid, how)
        standin.until(lambda: not running(mark) and find(server.folder) is None)
    assert traces() == before


def running(mark: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[:2] == [b"sleep", mark.encode()]:
            found.append(path.parent.name)
    return found
