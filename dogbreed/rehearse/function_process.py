"""One execution environment: a host that runs the real runtime client, awslambdaric, with a function's code.

It is this machine's Python, whatever version the function names, isolated from its site-packages: it sees the standard
library, the runtime client, boto3 and the code. Where hosts are isolated, code lies in /var/task and is read-only, and
the folders of the person are hidden. Processors are not limited to the share that the memory would buy; memory is, by
looking at the peak of the runtime's own process, where /proc tells it.
"""

from __future__ import annotations

import itertools
import logging
import os
import queue
import shutil
import site
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed.errors import DogbreedError
from dogbreed.rehearse import container
from dogbreed.rehearse.function_api import Api, Event, Said
from dogbreed.rehearse.sandbox import Host, Spec

if TYPE_CHECKING:
    from dogbreed.rehearse.cloud import Cloud
    from dogbreed.rehearse.function_records import Function, Version
    from dogbreed.rehearse.sandbox import Network

# What the runtime has beside the standard library: the client with what it needs, and AWS's SDK.
_IN_C = "runtime_client"
_CLIENT = ("awslambdaric", _IN_C, "simplejson", "snapshot_restore_py")
_SDK = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3")
_BOOT = """
import os, sys
places = [os.environ["LAMBDA_TASK_ROOT"], *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
sys.path[:] = [*dict.fromkeys(places), *sys.path, *sys.argv[1:], os.environ["LAMBDA_RUNTIME_DIR"]]
from awslambdaric.__main__ import main
main(["awslambdaric", os.environ["_HANDLER"]])
"""
_API = ("127.0.0.1", 9001)
_OWN = ("/opt", "/tmp", "/root", "/home", "/var")
_LOOK_S = 0.05
# Only a runtime that hangs needs as long; one that stands still with this machine goes on in time.
_LAST_WORDS_S = 30.0
_PIPE = 1 << 20
_READS = 16
_numbers = itertools.count(1)


class EndedError(Exception):
    """The runtime is gone: `kind` is timeout, memory, exit or init, `body` what it said of it, if anything."""

    def __init__(self, kind: str, body: bytes = b"", error: str = "") -> None:
        super().__init__(kind)
        self.kind = kind
        self.body = body
        self.error = error


@dataclass(frozen=True)
class Place:
    """Where environments are made: the folder of all of them, the network of isolated hosts, the runtime's modules."""

    folder: Path
    network: Network | None
    runtime: Path


class Environment:
    """Runs one call at a time; `idle_since` and `ready_at`, when it may be used first, are by the stand-in's clock."""

    def __init__(self, cloud: Cloud, place: Place, function: Function, version: Version, *, provisioned: bool) -> None:
        self.version = version
        self.provisioned = provisioned
        self.function = function
        self.idle_since = self.ready_at = 0.0
        self._usable = True
        self.init_s = 0.0
        self.peak_mb = 0
        self.stream = ""
        self._cloud = cloud
        self._place = place
        self._image = version.code.files
        self._number = next(_numbers)
        self._folder = place.folder / str(self._number)
        # Beside the server's own, since the path of a socket has 107 characters at most.
        self._socket = cloud.folder / f"f{self._number}"
        self._api: Api | None = None
        self._host: Host | None = None
        self._output = -1
        self._rest = b""
        self._lines: list[bytes] = []
        self._lock = threading.Lock()

    def start(self, limit_s: float, stream: str) -> None:
        """Start and wait until the runtime asks for its first event; EndedError where it does not come to that."""
        self.stream, self._usable = stream, True
        begun = time.monotonic()
        for name in (*(one.lstrip("/") for one in _OWN), "var/tmp", "nothing"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        pipe = self._folder / "printed"
        os.mkfifo(pipe)
        self._output = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        isolated = self._place.network is not None
        self._api = Api(self._socket if isolated else None)
        if isolated:
            for name, target in (("task", self.version.code.folder), ("runtime", self._place.runtime)):
                (self._folder / "var" / name).symlink_to(target)
            for path in (self._image / "opt").glob("*") if self._image else ():
                (self._folder / "opt" / path.name).symlink_to(path)
        try:
            self._host = Host.start(self._spec(pipe), self._place.network)
        except DogbreedError as error:
            if self._folder.is_dir():  # else the account was emptied meanwhile
                logging.warning("function %s: %s", self.function.name, error.message)
            raise self._ended("exit", b"1") from error
        _widen(self._output)
        try:
            said = self._hear(begun + limit_s)
        finally:
            self.init_s = time.monotonic() - begun
        if said.kind == "init/error":
            self._wait_for_end()
            raise self._ended("init", said.body, said.error)

    def call(self, request: str, payload: bytes, arn: str) -> Said:
        """Let it answer one event, within the function's timeout; EndedError where it cannot."""
        assert self._api
        timeout = self.version.timeout
        self._api.give(Event(request, payload, arn, timeout))
        deadline = time.monotonic() + timeout
        while (said := self._hear(deadline)).kind not in ("response", "error") or said.request != request:
            pass
        # It is free, and has printed all of it, when it asks for the next one.
        with suppress(EndedError):
            # Where that fails, this call was answered all the same.
            self._hear(time.monotonic() + _LAST_WORDS_S)
        if self.peak_mb > self.version.memory:
            raise self._ended("memory")
        return said

    def printed(self) -> list[str]:
        """The lines that were printed since the last look, also one that was not ended."""
        self._drain()
        lines, self._lines = self._lines, []
        if self._rest:
            lines.append(self._rest)
            self._rest = b""
        return [line.decode("utf-8", "replace") for line in lines]

    def lives(self) -> bool:
        """Whether it can take another call."""
        return self._usable and self._host is not None and self._host.wait(0) is None

    def end(self) -> None:
        """End it at once, and leave nothing."""
        with self._lock:
            host, api, self._host, self._api = self._host, self._api, None, None
        if host:
            host.end()
        if api:
            api.close()
        self._socket.unlink(missing_ok=True)
        if self._output >= 0:
            self._drain()
            os.close(self._output)
            self._output = -1
        shutil.rmtree(self._folder, ignore_errors=True)

    def _hear(self, deadline: float) -> Said:
        """What the runtime says next; EndedError when it takes too long, too much memory, or ends."""
        api, host = self._api, self._host
        if api is None or host is None:
            raise self._ended("exit")
        while True:
            try:
                said = api.said.get(timeout=max(0.0, min(_LOOK_S, deadline - time.monotonic())))
            except queue.Empty:
                said = None
            self.peak_mb = max(self.peak_mb, _peak_mb(host.pid))
            self._drain()
            if said:
                return said
            if self.peak_mb > self.version.memory:
                raise self._ended("memory")
            if (code := host.wait(0)) is not None and api.said.empty():
                raise self._ended("exit", str(code).encode())
            if time.monotonic() >= deadline:
                raise self._ended("timeout")

    def _ended(self, kind: str, body: bytes = b"", error: str = "") -> EndedError:
        """What is to be raised; no call is given to it any more, even if it still runs."""
        self._usable = False
        return EndedError(kind, body, error)

    def _wait_for_end(self) -> None:
        if self._host:
            self._host.wait(_LAST_WORDS_S)
        self._drain()

    def _drain(self) -> None:
        with self._lock:
            if self._output < 0:
                return
            with suppress(BlockingIOError):
                # No more at a time, since who prints without end must still meet its time limit.
                for _ in range(_READS):
                    if not (data := os.read(self._output, 1 << 16)):
                        break
                    *whole, self._rest = (self._rest + data).split(b"\n")
                    self._lines += [line for line in whole if line.strip()]

    def _spec(self, pipe: Path) -> Spec:
        cloud, isolated = self._cloud, self._place.network is not None
        code = self.version.code.folder
        relays = [(*_API, self._socket), ("127.0.0.1", int(cloud.url.rsplit(":", 1)[1]), cloud.socket)]
        return Spec(
            # The packages of this interpreter stand for those that an image brings.
            command=[sys.executable, "-I", "-S", "-c", _BOOT, *(site.getsitepackages() if self._image else [])],
            output=pipe,
            folder=Path("/var/task") if isolated else code,
            environment=self._environment(isolated=isolated),
            address=f"10.{64 + self._number // 62_500 % 64}.{self._number // 250 % 250}.{1 + self._number % 250}/10",
            hostname="localhost",
            covers={name: self._folder / name[1:] for name in _OWN},
            binds=container.hidden(self._folder),
            relays=relays,
            keep=[code, self._place.runtime, *([self._image] if self._image else [])],
            first=True,
        )

    def _here(self, text: str) -> str:
        """A text in which an image's /opt is what it is here."""
        isolated = self._place.network is not None
        return text if isolated or not self._image else text.replace("/opt/", f"{self._image}/opt/")

    def _environment(self, *, isolated: bool) -> dict[str, str]:
        function, version, cloud = self.function, self.version, self._cloud
        key, secret, token = cloud.credentials(version.role, function.name, platform=False)
        assert self._api
        host, port = _API if isolated else ("127.0.0.1", self._api.port)
        config = version.config
        handler = config.get("Handler") or next(iter(config.get("ImageConfig", {}).get("Command", [])), "")
        variables = {name: self._here(value) for name, value in version.code.variables.items()}
        variables |= config.get("Environment", {}).get("Variables", {})
        variables.setdefault("LANG", "C.UTF-8")
        variables.setdefault("TZ", ":UTC")
        temporary = {} if isolated else {"TMPDIR": os.fspath(self._folder / "tmp")}
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin",
            "AWS_ENDPOINT_URL": cloud.url,
            **temporary,
            **variables,
            "AWS_LAMBDA_RUNTIME_API": f"{host}:{port}",
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": version.number,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(version.memory),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency" if self.provisioned else "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": log_group(function, version),
            "AWS_LAMBDA_LOG_STREAM_NAME": self.stream,
            **_logging(config.get("LoggingConfig", {})),
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{config.get('Runtime') or 'Image'}",
            "AWS_REGION": function.region,
            "AWS_DEFAULT_REGION": function.region,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_SESSION_TOKEN": token,
            "LAMBDA_TASK_ROOT": "/var/task" if isolated else os.fspath(version.code.folder),
            "LAMBDA_RUNTIME_DIR": "/var/runtime" if isolated else os.fspath(self._place.runtime),
            "_HANDLER": handler,
        }


def log_group(function: Function, version: Version) -> str:
    """The log group of a function."""
    return str(version.config.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{function.name}")


def _logging(told: dict[str, str]) -> dict[str, str]:
    """What tells the runtime client how to log, where that is not in plain lines."""
    if told.get("LogFormat") != "JSON":
        return {}
    return {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": told.get("ApplicationLogLevel", "INFO")}


def missing() -> str:
    """Which module that a runtime needs is not installed; empty where all are."""
    # The client's own module in C only makes it faster.
    return next((name for name in (*_CLIENT, *_SDK) if name != _IN_C and find_spec(name) is None), "")


def make_runtime(folder: Path) -> None:
    """Fill a folder with links to the modules that a runtime has."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*_CLIENT, *_SDK):
        spec = find_spec(name)
        if spec is None or not spec.origin:
            continue
        origin = Path(spec.origin)
        source = origin.parent if spec.submodule_search_locations else origin
        if not (folder / source.name).exists():
            (folder / source.name).symlink_to(source)


def _peak_mb(process: int) -> int:
    """The most memory that a process has had so far, in whole MB; 0 where /proc does not tell."""
    with suppress(OSError, ValueError, IndexError):
        text = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace")
        return -(-int(text.split("VmHWM:", 1)[1].split(None, 1)[0]) // 1024)
    return 0


def _widen(pipe: int) -> None:
    """Let a pipe hold more, so that a function that prints much is not held up."""
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)
