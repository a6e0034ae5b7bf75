"""Starting and finding the stand-in: one at a time below the cache folder, or one of one's own for a test.

A state file names the process, its port and when it began. One whose process is gone, or is another process by now,
counts as none.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from dogbreed.data.cache import cache_dir, write_atomically
from dogbreed.errors import DogbreedError, UsageError
from dogbreed.rehearse.access import HEADER

REGION = "eu-west-1"
SECRET = "rehearsal"
_FILE = "state.json"
_LOG, _LOCK = "server.log", "lock"
_START_S = 120.0  # it takes a few, on a busy machine many
_LONGEST = 103  # bytes in the path of a unix socket, on macOS
_END_S = 20.0


@dataclass(frozen=True)
class Server:
    """A stand-in that runs."""

    folder: Path
    pid: int
    port: int
    region: str
    since: float
    key: str = field(repr=False)
    birth: str  # tells its process from a later one with the same number

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What lets any AWS client reach it, and nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
        }

    def ask(self, name: str, /, **told: Any) -> Any:
        """Ask the running stand-in; see control.py. Raises DogbreedError where it refuses or is gone."""
        body = json.dumps(told).encode()
        request = urllib.request.Request(f"{self.url}/_rehearse/{name}", body, {HEADER: self.key})
        # Never by way of a proxy: it is on this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=150) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise DogbreedError(json.load(error)["error"]) from error
        except OSError as error:
            hint = "start it again: dogbreed rehearse up"
            raise DogbreedError(f"the stand-in does not answer: {error}", hint) from error


def home() -> Path:
    """The folder of the one stand-in of this person."""
    return cache_dir() / "rehearse"


def find(folder: Path | None = None) -> Server | None:
    """The stand-in that runs there; None where there is none."""
    folder = folder or home()
    try:
        told = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        server = Server(folder, told["pid"], told["port"], told["region"], told["since"], told["key"], told["birth"])
    except (OSError, ValueError, KeyError):
        return None
    return server if _lives(server) else None


def start(
    folder: Path | None = None,
    *,
    port: int = 0,
    region: str = REGION,
    owned: bool = False,
    environment: dict[str, str] | None = None,
) -> tuple[Server, subprocess.Popen[bytes] | None]:
    """Start one and wait until it answers; one that is `owned` ends with this process. DogbreedError if it does not.

    Where somebody else has started one there in the meantime, it is that one, without a process.
    """
    folder = folder or home()
    if len(os.fsencode(folder / "server.sock")) > _LONGEST:
        raise UsageError(f"the path of {folder} is too long for a socket", "set DOGBREED_CACHE_DIR to a shorter one")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # what is in there can run commands
    with _alone(folder):
        if server := find(folder):
            return server, None
        clean(folder)
        return _start(folder, port, region, environment or {}, owned=owned)


def _start(
    folder: Path, port: int, region: str, environment: dict[str, str], *, owned: bool
) -> tuple[Server, subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "dogbreed.rehearse.server", os.fspath(folder), region, str(port)]
    log: IO[bytes]
    with open(folder / _LOG, "wb") as log:
        process = subprocess.Popen(
            command + (["owned"] if owned else []),
            stdin=subprocess.PIPE if owned else subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=_without_aws() | environment,
        )
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise _failed(folder, port)
        if server := find(folder):
            return server, process
        time.sleep(0.02)
    process.kill()
    raise DogbreedError(f"the stand-in did not answer within {_START_S:.0f} s", f"see {folder / _LOG}")


def _failed(folder: Path, port: int) -> DogbreedError:
    words = (folder / _LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    why = words[-1] if words else "no word of why"
    if port and "in use" in why:
        return DogbreedError(f"port {port} is in use by another program", "leave --port out, or give another")
    if missing := re.fullmatch(r"ModuleNotFoundError: No module named '(\w+).*", why):
        return DogbreedError(f"the stand-in needs {missing[1]}", "pip install 'dogbreed[rehearse]'")
    return DogbreedError(f"the stand-in did not start: {why}", f"see {folder / _LOG}")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let no two start one in the same folder at once."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with open(folder / _LOCK, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def end(server: Server) -> None:
    """End it and all that it started."""
    with suppress(ProcessLookupError):
        os.kill(server.pid, signal.SIGTERM)
    deadline = time.monotonic() + _END_S
    while _lives(server) and time.monotonic() < deadline:
        time.sleep(0.02)
    if _lives(server):
        with suppress(ProcessLookupError):
            os.kill(server.pid, signal.SIGKILL)
    clean(server.folder)


def clean(folder: Path | None = None) -> bool:
    """Remove what a stand-in left that was killed; whether there was anything."""
    folder = folder or home()
    left = [path for path in folder.glob("*") if path.name not in (_LOG, _LOCK)]
    for path in left:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return bool(left)


def write(folder: Path, *, port: int, region: str, key: str) -> None:
    """Note that this process serves."""
    pid = os.getpid()
    told = {"pid": pid, "port": port, "region": region, "since": time.time(), "birth": _age(pid), "key": key}
    write_atomically(folder / _FILE, json.dumps(told).encode())


def forget(folder: Path) -> None:
    """Note that it does no more."""
    (folder / _FILE).unlink(missing_ok=True)


class StandIn:
    """A stand-in of one's own: `with StandIn() as cloud: client(**...)`; ends with the block or the process."""

    def __init__(self, *, region: str = REGION, **environment: str) -> None:
        self._region = region
        self._environment = environment

    def __enter__(self) -> Server:
        # Short, since the path of a unix socket has 107 characters at most.
        self._folder = Path(tempfile.mkdtemp(prefix="rehearse-"))
        try:
            self._server, self._process = start(
                self._folder, region=self._region, owned=True, environment=self._environment
            )
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        return self._server

    def __exit__(self, *_: object) -> None:
        end(self._server)
        if self._process and self._process.stdin:
            self._process.stdin.close()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def _without_aws() -> dict[str, str]:
    """The environment without anything that could lead to a real account."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


def _lives(server: Server) -> bool:
    return _age(server.pid) == server.birth


def _age(pid: int) -> str:
    """When a process began, to tell it from a later one with its number; empty where there is none."""
    try:
        if sys.platform == "linux":
            state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return "" if state == "Z" else rest[18]  # Z: it has ended, and nobody has asked how
        shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return shown.stdout.strip()
    except OSError:
        return ""
