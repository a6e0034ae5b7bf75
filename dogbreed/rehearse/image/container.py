"""The process of a container on a machine: started as docker would, looked after, its lines sent to CloudWatch Logs.

Where the machine has files of its own, so has the container: read-only if asked, the model mounted, no rights, and
another user if that one gets at the interpreter. It shares the machine's network; that no container gets through to
the metadata service, whose answers go one hop far, is shown by AWS_EC2_METADATA_DISABLED.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dogbreed.rehearse.image import kernel

ROOT = os.environ.get("REHEARSE_ROOT", "")
# The machine's own address where it has no network of its own, else empty.
_ADDRESS = os.environ.get("REHEARSE_ADDRESS", "")
PORTS = Path(f"{ROOT}/run/rehearse.ports")
_DEFAULTS = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/tmp"}
_FIRST_WAIT_S, _LONGEST_WAIT_S, _STEADY_S = 0.1, 60.0, 10.0
_SHIP_EVERY_S = 1.0
_LINES_A_CALL = 1000
_KNOWN_DRIVERS = ("json-file", "awslogs")
_KNOWN_RESTARTS = ("no", "always", "unless-stopped", "on-failure")


@dataclass
class Container:
    """A container as it was asked for; `state` is kept in its file."""

    path: Path
    id: str
    name: str
    image: str
    command: list[str]
    told: dict[str, Any]
    state: dict[str, Any]

    @classmethod
    def of(cls, folder: Path, number: str, name: str, told: dict[str, Any]) -> Container:
        """One that is to be started; ValueError where docker, or the stand-in, would refuse."""
        if told["restart"].partition(":")[0] not in _KNOWN_RESTARTS:
            raise ValueError(f"invalid restart policy: {told['restart']}")
        if told["log-driver"] not in _KNOWN_DRIVERS:
            raise ValueError(f"logger: no log driver named '{told['log-driver']}' is registered")
        made = cls(folder / f"{number}.json", number, name, told["image"], list(told["command"]), told, {})
        for source, _ in made.mounts:
            if not source.is_dir():
                raise ValueError(f'invalid mount config for type "bind": bind source path does not exist: {source}')
        for outer, inner in made.ports:
            if outer != inner:
                raise ValueError("the stand-in publishes a port under its own number only")
        made.state = {"Status": "created", "Pid": 0, "RestartCount": 0, "ExitCode": 0, "Supervisor": 0}
        made.save()
        return made

    @classmethod
    def read(cls, path: Path) -> Container:
        """One that was asked for before."""
        told = json.loads(path.read_text())
        return cls(path, told["id"], told["name"], told["image"], told["command"], told["told"], told["state"])

    def save(self, **state: Any) -> None:
        """Write it down, its state changed."""
        self.state |= state
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(".new")
        keys = ("id", "name", "image", "command", "told", "state")
        new.write_text(json.dumps({key: getattr(self, key) for key in keys}))
        new.replace(self.path)

    @property
    def log(self) -> Path:
        """All that it has written."""
        return self.path.with_suffix(".log")

    @property
    def stop_timeout(self) -> float:
        """Seconds between SIGTERM and SIGKILL."""
        return float(self.told["stop-timeout"])

    @property
    def mounts(self) -> list[tuple[Path, str]]:
        """(folder of the machine, folder of the container) of its mounts, all of which are read-only binds."""
        found = []
        for text in self.told["mount"]:
            parts = dict(part.partition("=")[::2] for part in text.split(","))
            source, target = parts.pop("src", parts.pop("source", "")), parts.pop("dst", parts.pop("target", ""))
            if parts.pop("type", "") != "bind" or not source or not target:
                raise ValueError(f"the stand-in has mounts of the type bind alone: {text}")
            if set(parts) - {"readonly", "ro"} or not parts:
                raise ValueError(f"the stand-in mounts read-only alone: {text}")
            found.append((Path(source), target))
        return found

    @property
    def ports(self) -> list[tuple[int, int]]:
        """(port of the machine, port of the container)."""
        pairs = [text.removesuffix("/tcp").split(":")[-2:] for text in self.told["publish"]]
        return [(int(pair[0]), int(pair[-1])) for pair in pairs]

    def shown(self) -> dict[str, Any]:
        """As `docker inspect` has it, as far as that goes."""
        options = {
            "ReadonlyRootfs": self.told["read-only"],
            "RestartPolicy": {"Name": self.told["restart"]},
            "CapDrop": self.told["cap-drop"],
            "SecurityOpt": self.told["security-opt"],
            "LogConfig": {"Type": self.told["log-driver"], "Config": _pairs(self.told["log-opt"])},
        }
        state = {key: value for key, value in self.state.items() if key not in ("RestartCount", "Supervisor")}
        told = {"Id": self.id, "Name": f"/{self.name}", "State": state, "HostConfig": options}
        config = {"Image": self.image, "User": self.told["user"], "Cmd": self.command}
        return told | {"RestartCount": self.state["RestartCount"], "Config": config}


def in_background(work: Callable[[], None]) -> bool:
    """Do `work` in a process that outlives this one, and which nobody waits for; True here."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            nothing = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(nothing, number)
            os.closerange(3, 64)
            work()
        os._exit(0)
    with suppress(ChildProcessError):
        os.wait()
    return True


def supervise(made: Container) -> None:
    """Run its process, again and again as its restart policy says, until it is told to end."""
    ending: list[int] = []
    child = 0

    def on_signal(number: int, _: object) -> None:
        ending.append(number)
        if child:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM if number == signal.SIGTERM else signal.SIGKILL)

    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, on_signal)
    shipper = _Shipper(made)
    wait = _FIRST_WAIT_S
    while True:
        began = time.monotonic()
        reading, writing = os.pipe()
        if (child := os.fork()) == 0:
            os.close(reading)
            _become(made, writing)
        os.close(writing)
        made.save(Status="running", Pid=child, Supervisor=os.getpid())
        reader = threading.Thread(target=shipper.read, args=[reading], daemon=True)
        reader.start()
        code = _wait(child, made.stop_timeout, ending)
        reader.join(2)
        policy = made.told["restart"].partition(":")[0]
        if ending or policy == "no" or (policy == "on-failure" and code == 0):
            break
        wait = _FIRST_WAIT_S if time.monotonic() - began > _STEADY_S else min(2 * wait, _LONGEST_WAIT_S)
        made.save(Status="restarting", ExitCode=code, RestartCount=made.state["RestartCount"] + 1)
        deadline = time.monotonic() + wait
        while time.monotonic() < deadline and not ending:
            time.sleep(0.05)
        if ending:
            break
    shipper.close()
    made.save(Status="exited", ExitCode=code, Pid=0)


def _wait(child: int, patience_s: float, ending: list[int]) -> int:
    """The exit code of the process; killed when it has been told to end for `patience_s`."""
    deadline = 0.0
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        if ending:
            deadline = deadline or time.monotonic() + patience_s
            if time.monotonic() > deadline:
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
        time.sleep(0.05)


# -- the process itself


def _become(made: Container, output: int) -> None:
    """Go on as the container's process; never returns."""
    try:
        for one in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(one, signal.SIG_DFL)
        os.setsid()
        for number in (1, 2):
            os.dup2(output, number)
        config, root = made.told["config"], Path(made.told["root"])
        environment = _DEFAULTS | _pairs(config.get("Env") or []) | _pairs(made.told["env"])
        environment["AWS_EC2_METADATA_DISABLED"] = "true"
        # The modules of the image; the interpreter and all other modules are those of this computer.
        modules = [place for place in environment.get("PYTHONPATH", "").split(":") if (root / place[1:]).is_dir()]
        if ROOT:
            # No files of its own: the model is where the machine has it, the port at the machine's address.
            for source, target in made.mounts:
                environment = {key: value.replace(target, str(source)) for key, value in environment.items()}
            environment |= _listens(made) | {"HOME": f"{ROOT}/tmp"}
            environment["PYTHONPATH"] = ":".join(os.fspath(root / place[1:]) for place in modules)
        else:
            _furnish(made, {place: root / place[1:] for place in modules})
        os.chdir("/")
        words = [*(config.get("Entrypoint") or []), *(made.command or config.get("Cmd") or [])]
        program = sys.executable if words[0].startswith("python") else words[0]
        os.execve(program, [program, *words[1:]], environment)
    except BaseException as error:  # it would be the supervisor that goes on  # noqa: BLE001
        os.write(2, f"container: {error}\n".encode())
    os._exit(127)


def _listens(made: Container) -> dict[str, str]:
    """Where the service listens: at the machine's address, or at any port where all machines have the same one."""
    port = made.ports[0][1] if made.ports else 8080
    if _ADDRESS == "127.0.0.1":
        with socket.socket() as probe:
            probe.bind((_ADDRESS, 0))
            port = probe.getsockname()[1]
    if made.ports:
        PORTS.write_text(json.dumps({str(made.ports[0][0]): [_ADDRESS, port]}))
    return {"DOGBREED_SERVE_HOST": _ADDRESS, "DOGBREED_SERVE_PORT": str(port)}


def _furnish(made: Container, modules: dict[str, Path]) -> None:
    """The image's modules, mounts, read-only files, another user and no rights, as far as they were asked for."""
    kernel.unshare_files()
    folders = []
    for target, source in modules.items():
        kernel.show(source, target)
    for source, target in made.mounts:
        kernel.show(source, target)
        folders.append(target)
    for text in made.told["tmpfs"]:
        target = text.partition(":")[0]
        # An interpreter that lies below it would be gone; then the machine's own folder does.
        if not any(Path(place).is_relative_to(target) for place in (sys.prefix, sys.base_prefix, *sys.path)):
            kernel.empty(target)
        folders.append(target)
    if made.told["read-only"]:
        kernel.all_read_only(folders)
    rights = [name.upper() for name in made.told["cap-drop"]]
    if "ALL" in rights:
        kernel.give_up_all_rights()
    if any(text.startswith("no-new-privileges") for text in made.told["security-opt"]):
        kernel.no_new_privileges()
    user = made.told["user"] or made.told["config"].get("User")
    if user and kernel.has_users() and _may_run(user):
        kernel.become_user(user)


def _may_run(user: str) -> bool:
    """Whether another user gets at this interpreter, which may lie below somebody's home."""
    if (child := os.fork()) == 0:
        try:
            kernel.become_user(user)
            os._exit(0 if os.access(sys.executable, os.X_OK) else 1)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


# -- its lines


class _Shipper:
    """Keeps the lines of a container, and sends them to CloudWatch Logs where that is its driver."""

    def __init__(self, made: Container) -> None:
        self._log, self._options = made.log, _pairs(made.told["log-opt"])
        self._sends = made.told["log-driver"] == "awslogs"
        self._stream = self._options.get("awslogs-stream", made.id)
        self._lines: deque[tuple[int, str]] = deque()
        self._client: Any = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ship_all, daemon=True)
        if self._sends:
            self._thread.start()

    def read(self, descriptor: int) -> None:
        """Read until the end."""
        with open(descriptor, encoding="utf-8", errors="replace") as lines, open(self._log, "a") as log:
            for line in lines:
                log.write(line)
                log.flush()
                if self._sends and line.strip():
                    self._lines.append((int(time.time() * 1000), line.rstrip("\n")))

    def close(self) -> None:
        """Send what is left."""
        self._ended.set()
        if self._sends:
            self._thread.join(10)

    def _ship_all(self) -> None:
        while not self._ended.wait(_SHIP_EVERY_S):
            with suppress(Exception):  # logs that do not arrive end no container
                self._ship()
        with suppress(Exception):
            self._ship()

    def _ship(self) -> None:
        while self._lines:
            group = {"logGroupName": self._options["awslogs-group"], "logStreamName": self._stream}
            if self._client is None:
                import botocore.session

                session = botocore.session.Session()
                self._client = session.create_client("logs", region_name=self._options.get("awslogs-region"))
                with suppress(self._client.exceptions.ResourceAlreadyExistsException):
                    self._client.create_log_stream(**group)
            events = [{"timestamp": when, "message": text} for when, text in list(self._lines)[:_LINES_A_CALL]]
            self._client.put_log_events(**group, logEvents=events)
            for _ in events:
                self._lines.popleft()


def _pairs(words: list[str]) -> dict[str, str]:
    return dict(word.partition("=")[::2] for word in words)
