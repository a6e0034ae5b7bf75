"""The `docker` of a machine: what start scripts use of it, for one kind of image, dogbreed's own.

Words that are not known are refused, as docker does. An image's process runs on the machine itself, see container.py;
it has no network of its own, so a port is published under its own number only.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

from dogbreed.rehearse.image import container
from dogbreed.rehearse.image.container import Container

# What the machine's folders lie below; empty where it sees them at their names.
ROOT = os.environ.get("REHEARSE_ROOT", "")
INSTALLED, STARTED = Path(f"{ROOT}/var/lib/rehearse.docker"), Path(f"{ROOT}/run/rehearse.docker")
_STATE = Path(f"{ROOT}/var/lib/docker")
_ECR = re.compile(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[\w-]+)\.amazonaws\.com/(?P<name>[^:@]+)[:@](?P<tag>.+)")
_RUN = {
    "name": "", "restart": "no", "user": "", "log-driver": "json-file", "stop-timeout": "10", "memory": "",
    "pids-limit": "", "hostname": "", "pull": "missing",
}  # fmt: skip
_RUN_LISTS = ("publish", "tmpfs", "cap-drop", "security-opt", "mount", "env", "log-opt")
_LETTERS = {"publish": "-p", "user": "-u", "env": "-e", "memory": "-m"}


class DockerError(Exception):
    """What docker says, and its exit code."""

    def __init__(self, words: str, code: int = 1) -> None:
        super().__init__(words)
        self.code = code


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise DockerError(f"{message}\nSee 'docker {self.prog} --help'.", 125)


def main() -> int:
    """Run the command that the first word names."""
    words = sys.argv[1:]
    if not INSTALLED.exists():
        _say("docker: command not found")
        return 127
    if not words or words[0] in ("--version", "version"):
        _say("Docker version 25.0.14, build stand-in", 1)
        return 0
    known = {
        "login": _login, "pull": _pull, "run": _run, "ps": _ps, "logs": _logs, "stop": _stop, "rm": _remove,
        "inspect": _inspect, "kill": _kill, "restart": _restart,
    }  # fmt: skip
    try:
        if words[0] not in known:
            raise DockerError(f"docker: '{words[0]}' is not a docker command.\nSee 'docker --help'")
        if not STARTED.exists():
            raise DockerError(
                "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
            )
        return known[words[0]](words[1:])
    except DockerError as error:
        _say(str(error))
        return error.code


# -- images


def _login(words: list[str]) -> int:
    parser = _Parser("login", add_help=False)
    parser.add_argument("-u", "--username", required=True)
    parser.add_argument("--password-stdin", action="store_true", required=True)
    parser.add_argument("registry")
    told = parser.parse_args(words)
    password = sys.stdin.read().strip()
    if not password:
        raise DockerError("Error: Cannot perform an interactive login from a non TTY device")
    known = _read(_STATE / "logins.json")
    _write(_STATE / "logins.json", known | {told.registry.removeprefix("https://").rstrip("/"): told.username})
    _say("Login Succeeded", 1)
    return 0


def _pull(words: list[str]) -> int:
    parser = _Parser("pull", add_help=False)
    parser.add_argument("-q", "--quiet", action="store_true")
    parser.add_argument("image")
    told = parser.parse_args(words)
    _have(told.image)
    _say(told.image, 1)
    return 0


def _have(image: str) -> None:
    """Fetch an image unless it is here: asks the registry whether it is there and may be read."""
    images = _read(_STATE / "images.json")
    if image in images:
        return
    found = _ECR.fullmatch(image)
    if not found:
        raise DockerError(f"Error response from daemon: pull access denied for {image}: the stand-in has ECR alone")
    registry = image.partition("/")[0]
    if registry not in _read(_STATE / "logins.json"):
        address = f"https://{registry}/v2/{found['name']}/manifests/{found['tag']}"
        raise DockerError(f'Error response from daemon: Head "{address}": no basic auth credentials')
    one = f"imageDigest={found['tag']}" if found["tag"].startswith("sha256:") else f"imageTag={found['tag']}"
    asked = _aws(
        "ecr", "batch-get-image", "--region", found["region"], "--registry-id", found["account"],
        "--repository-name", found["name"], "--image-ids", one,
    )  # fmt: skip
    if not asked.get("images"):
        raise DockerError(f"Error response from daemon: manifest for {image} not found: manifest unknown")
    manifest = json.loads(asked["images"][0]["imageManifest"])
    where = [f"--region={found['region']}", f"--registry-id={found['account']}", f"--repository-name={found['name']}"]
    root = _STATE / "images" / secrets.token_hex(8)
    for layer in manifest["layers"]:
        with tarfile.open(_blob(where, layer["digest"])) as tar:
            tar.extractall(root, filter="data")
    config = json.loads(_blob(where, manifest["config"]["digest"]).read_bytes())["config"]
    _write(_STATE / "images.json", images | {image: {"root": os.fspath(root), "config": config}})


def _blob(where: list[str], digest: str) -> Path:
    """A part of an image; the registry of the stand-in names a file."""
    told = _aws("ecr", "get-download-url-for-layer", *where, f"--layer-digest={digest}")
    return Path(unquote(urlsplit(told["downloadUrl"]).path))


def _aws(*words: str) -> dict[str, Any]:
    done = subprocess.run(["aws", *words, "--output", "json"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise DockerError(f"Error response from daemon: {done.stderr.strip()}")
    answer: dict[str, Any] = json.loads(done.stdout or "{}")
    return answer


# -- containers


def _run(words: list[str]) -> int:
    parser = _Parser("run", add_help=False, allow_abbrev=False)
    for name, default in _RUN.items():
        letters = [_LETTERS[name]] if name in _LETTERS else []
        parser.add_argument(*letters, f"--{name}", default=default)
    for name in _RUN_LISTS:
        letters = [_LETTERS[name]] if name in _LETTERS else []
        parser.add_argument(*letters, f"--{name}", action="append", default=[])
    parser.add_argument("-d", "--detach", action="store_true", required=True)
    for name in ("read-only", "init"):
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("image")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    told = {name.replace("_", "-"): value for name, value in vars(parser.parse_args(words)).items()}
    name = told["name"] or f"c{secrets.token_hex(4)}"
    if any(one.name == name for one in _all()):
        raise DockerError(f'docker: Error response from daemon: Conflict. The container name "/{name}" is in use.', 125)
    _have(told["image"])
    told |= _read(_STATE / "images.json")[told["image"]]
    try:
        made = Container.of(_STATE / "containers", secrets.token_hex(32), name, told)
    except ValueError as error:
        raise DockerError(f"docker: {error}", 125) from None
    if not container.in_background(lambda: container.supervise(made)):
        os._exit(0)
    _say(made.id, 1)
    return 0


def _all() -> list[Container]:
    return [Container.read(path) for path in sorted((_STATE / "containers").glob("*.json"))]


def _one(name: str) -> Container:
    for one in _all():
        if one.name == name or (len(name) >= 4 and one.id.startswith(name)):
            return one
    raise DockerError(f"Error response from daemon: No such container: {name}")


def _ps(words: list[str]) -> int:
    parser = _Parser("ps", add_help=False)
    parser.add_argument("-a", "--all", action="store_true")
    parser.add_argument("-q", "--quiet", action="store_true")
    told = parser.parse_args(words)
    shown = [one for one in _all() if told.all or one.state["Status"] in ("running", "restarting")]
    if not told.quiet:
        _say(f"{'CONTAINER ID':<15}{'STATUS':<13}{'RESTARTS':<10}{'NAMES':<12}IMAGE", 1)
    for one in shown:
        more = f"   {one.state['Status']:<13}{one.state['RestartCount']:<10}{one.name:<12}{one.image}"
        _say(one.id[:12] + ("" if told.quiet else more), 1)
    return 0


def _logs(words: list[str]) -> int:
    _say(_one(words[-1]).log.read_text(errors="replace").rstrip("\n"), 1)
    return 0


def _stop(words: list[str]) -> int:
    return _end(words, signal.SIGTERM)


def _kill(words: list[str]) -> int:
    """The process dies as by itself, so that the restart policy decides."""
    one = _one(words[-1])
    os.kill(int(one.state["Pid"]), signal.SIGKILL)
    _say(words[-1], 1)
    return 0


def _restart(words: list[str]) -> int:
    os.kill(int(_one(words[-1]).state["Pid"]), signal.SIGTERM)
    _say(words[-1], 1)
    return 0


def _remove(words: list[str]) -> int:
    if "-f" in words or "--force" in words:
        _end([words[-1]], signal.SIGKILL)
    one = _one(words[-1])
    if one.state["Status"] in ("running", "restarting"):
        raise DockerError(f'Error response from daemon: cannot remove container "/{one.name}": it is running')
    one.path.unlink()
    return 0


def _end(words: list[str], number: int) -> int:
    one = _one(words[-1])
    if one.state["Status"] in ("running", "restarting"):
        os.kill(int(one.state["Supervisor"]), number if number == signal.SIGTERM else signal.SIGUSR1)
        deadline = time.monotonic() + one.stop_timeout + 10
        while _one(one.id).state["Status"] != "exited" and time.monotonic() < deadline:
            time.sleep(0.05)
    _say(words[-1], 1)
    return 0


def _inspect(words: list[str]) -> int:
    told = [one.shown() for one in map(_one, (word for word in words if not word.startswith("-")))]
    _say(json.dumps(told, indent=4), 1)
    return 0


# -- the rest


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return found


def _write(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(value))
    new.replace(path)


def _say(text: str, stream: int = 2) -> None:
    os.write(stream, f"{text}\n".encode())
