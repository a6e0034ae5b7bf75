"""Machines of train-ec2 without a cloud: real user data and the real agent, an `aws` command whose S3 is a folder, a
metadata service on loopback, and in place of torchrun a program that counts steps."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import processes

from dogbreed.cloud import ec2_boot, ec2_machine, ec2_worker, machine_agent
from dogbreed.cloud.machine_agent import Orders

RUN, BUCKET = "r1", "b"
STEPS = 20
# No test waits this long on a machine that has something to do.
_PATIENCE_S = 300

# `aws s3 cp|sync`, `aws logs`, `aws cloudwatch` on the folder $CLOUD; what a real one would refuse, it refuses.
_AWS = """#!{python} -IS
import fnmatch, json, os, shutil, sys
from pathlib import Path
cloud = Path(os.environ["CLOUD"])
words = sys.argv[1:]
with open(cloud / "calls.jsonl", "a") as file:
    file.write(json.dumps(words) + "\\n")
denied = (cloud / "denied").read_text().split() if (cloud / "denied").exists() else []
if words[0] in denied:
    sys.exit("An error occurred (AccessDeniedException) when calling the operation: no")
def here(name):
    return cloud / name.removeprefix("s3://") if name.startswith("s3://") else Path(name)
def copy(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    whole = target.with_name("." + target.name + str(os.getpid()))
    shutil.copyfile(source, whole)
    whole.replace(target)
if words[0] == "s3":
    places, excluded, rest = [], [], words[2:]
    while rest:
        word = rest.pop(0)
        if word == "--exclude":
            excluded.append(rest.pop(0))
        elif not word.startswith("--"):
            places.append(here(word))
    source, target = places
    if words[1] == "cp" and "--recursive" not in words:
        if not source.exists():
            sys.exit("fatal error: An error occurred (404) when calling the HeadObject operation: Not Found")
        copy(source, target)
    else:
        for file in sorted(path for path in source.rglob("*") if path.is_file() and path.name[0] != "."):
            name = file.relative_to(source)
            if not any(fnmatch.fnmatch(str(name), pattern) for pattern in excluded):
                copy(file, target / name)
elif words[:2] == ["logs", "put-log-events"]:
    name = words[words.index("--log-stream-name") + 1].replace("/", "_")
    for event in json.loads(Path(words[-1].removeprefix("file://")).read_text()):
        with open(cloud / ("log " + name), "a") as file:
            file.write(event["message"] + "\\n")
elif words[:2] == ["cloudwatch", "put-metric-data"]:
    with open(cloud / "metrics", "a") as file:
        file.write(Path(words[-1].removeprefix("file://")).read_text() + "\\n")
"""

# What torchrun and the loop do together: count to STEPS from the checkpoint, all machines stopping at the same step.
# With a file `hold` they come to the step in it, and go on when one of them is told to stop.
_TORCHRUN = """
import json, os, sys, time
from pathlib import Path
options = dict(word[2:].split("=", 1) for word in sys.argv[1:] if word.startswith("--") and "=" in word)
rank, nodes = int(options["node-rank"]), int(options["nnodes"])
work, cloud = Path(sys.argv[-1]), Path(os.environ["CLOUD"])
meeting = cloud / ("meeting-" + options["master-port"])
meeting.mkdir(exist_ok=True)
checkpoint = work / "checkpoints" / "last.safetensors"
step = int(checkpoint.read_text()) if checkpoint.exists() else 0
def tell(event, **more):
    if rank == 0:
        print(json.dumps({"event": event, **more}), flush=True)
def save(step):
    if rank == 0:
        checkpoint.parent.mkdir(exist_ok=True)
        part = checkpoint.with_suffix(".tmp")
        part.write_text(str(step))
        part.replace(checkpoint)
def held():
    try:
        return step >= int((cloud / "hold").read_text())
    except OSError:
        return False
tell("train", step=step)
while step < STEPS:
    while held():
        if (work / "host" / "stop").exists():
            (cloud / "hold").unlink(missing_ok=True)
        time.sleep(0.01)
    part = meeting / f".{rank}"
    part.write_text("stop" if (work / "host" / "stop").exists() else "")
    part.replace(meeting / f"{rank}-{step}")
    deadline = time.monotonic() + 200
    while len(here := list(meeting.glob(f"*-{step}"))) < nodes:
        if time.monotonic() > deadline or (meeting / "crash").exists():
            print("RuntimeError: Connection closed by peer", file=sys.stderr)
            sys.exit(1)
        time.sleep(0.01)
    stop = any(path.read_text() for path in here)
    with open(cloud / f"steps-{rank}", "a") as file:
        file.write(f"{step}\\n")
    step += 1
    time.sleep(1 if (cloud / "slow").exists() else 0.1)
    crash = cloud / f"crash-{rank}"
    if crash.exists() and int(crash.read_text()) == step:
        if (cloud / "once").exists():
            crash.unlink()
        print("ValueError: the cause", file=sys.stderr)
        (meeting / "crash").touch()
        sys.exit(1)
    if stop:
        save(step)
        tell("stopped")
        sys.exit(75)
    if step % 5 == 0:
        save(step)
        tell("epoch", epoch=step // 5, train_loss=1 / step, valid_loss=None, images_per_second=10.0)
if rank == 0:
    (work / "output").mkdir(exist_ok=True)
    (work / "output" / "model.safetensors").write_text(str(step))
tell("trained")
"""


class Machine:
    """One machine: the user data runs in a process group of its own, which `shutdown -h now` ends.

    `passed`: the seconds that it has been on for already, as its user data counts them.
    """

    def __init__(self, bench: Bench, instance: str, index: int, user_data: str, passed: int = 0) -> None:
        self.home = bench.folder / instance
        programs = self.home / "bin"
        programs.mkdir(parents=True)
        self.off = self.home / "off"
        # As an operating system does it: the processes end, and the machine is seen to be off.
        script = f'#!/bin/bash\n[ "$2" = now ] || exit 0\ntouch {self.off}; sleep 0.1; kill -KILL -- -$MACHINE\n'
        write_program(programs / "shutdown", script)
        write_program(programs / "aws", _AWS.format(python=sys.executable))
        hangs = bench.cloud / "hangs"
        write_program(programs / "python3", f'#!/bin/sh\n[ -e {hangs} ] && kill -STOP $$\nexec {sys.executable} "$@"\n')
        self._server = _metadata(instance, index)
        self.notice: Callable[[str], None] = self._server.notice  # type: ignore[attr-defined]
        environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "CLOUD": os.fspath(bench.cloud),
            "TMPDIR": os.fspath(self.home),
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{self._server.server_port}",
        }
        script_file = self.home / "user-data"
        script_file.write_text(f"export MACHINE=$$ SECONDS={passed}\n" + user_data)
        with open(self.home / "console", "wb") as console:
            self._process = subprocess.Popen(
                ["bash", os.fspath(script_file)],
                env=environment,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )

    @property
    def console(self) -> str:
        return (self.home / "console").read_text(errors="replace")

    def wait(self) -> None:
        """Until it is off."""
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.home.name} is still on:\n{self.console}") from None
        assert self.off.exists(), self.console

    def kill(self) -> None:
        """What a power cut does, also to what is in a group of its own."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pid in processes.having(f"TMPDIR={self.home}\0"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._server.shutdown()
        self._server.server_close()


class Bench:
    """A bucket with one run in it, and its machines."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cloud, self.machines = folder, folder / "cloud", dict[str, Machine]()
        code = folder / "code"
        for module in (ec2_machine, ec2_worker, machine_agent):
            target = code / "dogbreed" / "cloud" / Path(str(module.__file__)).name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(str(module.__file__), target)
        (code / "torch" / "distributed").mkdir(parents=True)
        for package in ("dogbreed", "dogbreed/cloud", "torch", "torch/distributed"):
            (code / package / "__init__.py").touch()
        (code / "torch" / "distributed" / "run.py").write_text(f"STEPS = {STEPS}\n{_TORCHRUN}")
        packed = self.cloud / BUCKET / "code" / "p.tar.gz"
        packed.parent.mkdir(parents=True)
        with tarfile.open(packed, "w:gz") as archive:
            for path in sorted(code.iterdir()):
                archive.add(path, path.name)
        import hashlib

        self.sha256 = hashlib.sha256(packed.read_bytes()).hexdigest()
        (self.cloud / BUCKET / "data" / "d").mkdir(parents=True)
        self.run.mkdir(parents=True)
        (self.run / "job.json").write_text("{}")

    def start(
        self, ranks: list[int], nodes: int = 2, attempt: int = 1, passed: int = 0, **orders: Any
    ) -> list[Machine]:
        """As RunInstances does: machines that share the user data and differ in their launch index."""
        told = {"limit_s": 600, "wait_s": 200, "log_group": "/dogbreed/x", "look_s": 0.2, **orders}
        made = Orders(BUCKET, RUN, "data/d", nodes, ranks, attempt, **told)
        text = ec2_boot.user_data(made, region="eu-west-1", key="code/p.tar.gz", sha256=self.sha256)
        started = []
        for index in range(len(ranks)):
            name = f"i-{len(self.machines)}"
            self.machines[name] = Machine(self, name, index, text, passed)
            started.append(self.machines[name])
        return started

    def told(self, rank: int, attempt: int = 1) -> dict[str, Any]:
        path = self.run / "machines" / str(attempt) / f"node-{rank}.json"
        return json.loads(path.read_text()) if path.exists() else {}

    @property
    def checkpoint(self) -> Path:
        return self.cloud / BUCKET / "checkpoints" / RUN / "last.safetensors"

    @property
    def run(self) -> Path:
        return self.cloud / BUCKET / "runs" / RUN

    def steps(self, rank: int = 0) -> list[int]:
        path = self.cloud / f"steps-{rank}"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def hold(self, step: int) -> None:
        """Let the machines train up to this step, and on when one of them is told to stop: none is too fast."""
        (self.cloud / "hold").write_text(str(step))

    def cut(self) -> None:
        """Let those that wait for a machine that has gone see that: their connections to it break. Nobody is held."""
        for meeting in self.cloud.glob("meeting-*"):
            (meeting / "crash").touch()
        (self.cloud / "hold").unlink(missing_ok=True)

    def until(self, condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not condition():
            words = "\n".join(f"-- {name}\n{machine.console}" for name, machine in self.machines.items())
            assert time.monotonic() < deadline, words
            time.sleep(0.02)


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    made = Bench(folder)
    try:
        yield made
    finally:
        for machine in made.machines.values():
            machine.kill()


def write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def _metadata(instance: str, index: int) -> ThreadingHTTPServer:
    """IMDSv2: nothing without a token from PUT; `notice` makes it announce an interruption. It is busy at first."""
    notices: list[str] = []
    asked: list[str] = []
    texts = {"instance-id": instance, "local-ipv4": "127.0.0.1", "ami-launch-index": str(index)}

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            lasts = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
            self._answer("token" if self.path == "/latest/api/token" and lasts else "")

        def do_GET(self) -> None:
            if self.headers.get("X-aws-ec2-metadata-token") != "token":
                self.send_error(401)
                return
            name = self.path.removeprefix("/latest/meta-data/")
            asked.append(name)
            if len(asked) == 1:
                self.send_error(503)
            elif name == "spot/instance-action" and notices:
                self._answer(json.dumps({"action": "terminate", "time": notices[0]}))
            else:
                self._answer(texts.get(name, ""))

        def _answer(self, text: str) -> None:
            if not text:
                self.send_error(404)
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *words: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.notice = notices.append  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    return server
