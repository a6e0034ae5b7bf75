"""The image by a program of this machine, docker, podman or buildah, and its way into the account."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dogbreed.cloud.serving.image_build import Image
from dogbreed.cloud.serving.image_context import Context
from dogbreed.errors import DogbreedError
from dogbreed.plan import Found, Resource

# Those that are taken by themselves; who builds with buildah says so.
ENGINES = ("docker", "podman")
_LAST_LINES = 12
# Else Docker adds a record of the build, which makes a list out of the image, and such a list Lambda does not take.
_PLAIN = {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
_PLATFORM = "linux/amd64"
_MIRROR = "PIP_INDEX_URL"
_QUICK_S = 20.0


@dataclass(frozen=True)
class Engine:
    """One of these programs; `name` is its command."""

    name: str

    @property
    def docker(self) -> bool:
        """Whether it is Docker, whose words differ a little."""
        return self.name == "docker"

    def trouble(self) -> str:
        """Why it cannot be used here; "" where it can."""
        if not shutil.which(self.name):
            return f"{self.name} is not installed"
        shown = ["--format", "{{.Server.Version}}"] if self.docker else []
        done = self._quietly("version", *shown)
        said = done.stderr.strip().splitlines()
        return "" if done.returncode == 0 else f"{self.name} does not run: {said[-1] if said else 'it said nothing'}"

    def id(self, name: str) -> str | None:
        """The id of the image of that name here; None where there is none."""
        words = ["inspect", "--type", "image", "--format", "{{.FromImageID}}"]
        words = words if self.name == "buildah" else ["image", "inspect", "--format", "{{.Id}}"]
        done = self._quietly(*words, name)
        return done.stdout.strip() or None if done.returncode == 0 else None

    def build(self, folder: Path, names: Sequence[str], tell: Callable[[str], None]) -> None:
        """Build `folder` under these names. Raises DogbreedError with what it said last."""
        words = ["build", "--platform", _PLATFORM, *([] if self.docker else ["--format", "docker"])]
        # The others keep the steps that have not changed by themselves.
        words += ["--layers"] if self.name == "buildah" else []
        words += ["--build-arg", _MIRROR] if os.environ.get(_MIRROR) else []
        self._run([*words, *(word for name in names for word in ("--tag", name)), os.fspath(folder)], tell)

    def push(self, name: str, target: str, password: str, tell: Callable[[str], None]) -> None:
        """Push `name` as `target`, whose registry knows the user AWS by `password`, which is forgotten afterwards."""
        registry = target.split("/", maxsplit=1)[0]
        self._run(["login", "--username", "AWS", "--password-stdin", registry], tell, given=password)
        try:
            if self.docker:
                self._run(["tag", name, target], tell)
            self._run(["push", *([] if self.docker else [name]), self._remote(target)], tell)
        finally:
            self._quietly("logout", registry)

    def _remote(self, target: str) -> str:
        return target if self.docker else f"docker://{target}"

    def _quietly(self, *words: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [self.name, *words], capture_output=True, text=True, check=False, timeout=_QUICK_S, env=_environment()
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return subprocess.CompletedProcess(list(words), 1, "", str(error))

    def _run(self, words: Sequence[str], tell: Callable[[str], None], *, given: str = "") -> None:
        last: deque[str] = deque(maxlen=_LAST_LINES)
        with subprocess.Popen(
            [self.name, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=_environment(),
        ) as process:
            assert process.stdin and process.stdout
            process.stdin.write(given)
            process.stdin.close()
            for line in process.stdout:
                last.append(line.rstrip())
                tell(last[-1])
        if process.returncode:
            lines = "".join(f"\n  {line}" for line in last)
            raise DogbreedError(f"{self.name} {words[0]} failed{lines}", "mend that, or build with --engine codebuild")


class LocalImage(Resource):
    """The image on this machine, under `dogbreed:TAG` and maybe one more name."""

    kind = "image here"

    def __init__(self, engine: Engine, built: Context, tell: Callable[[str], None], *, also: str = "") -> None:
        self.engine = engine
        self.built = built
        self.name = f"dogbreed:{built.tag}"
        self._names = [self.name, *([also] if also else [])]
        self._tell = tell

    def find(self) -> Found | None:
        """Whether it has all its names here."""
        ids = {self.engine.id(name) for name in self._names}
        known = ids.pop()
        return Found(known, {}) if known and not ids else None

    def create(self) -> None:
        """Build it."""
        with tempfile.TemporaryDirectory(prefix="dogbreed-image-") as name:
            self.built.write(Path(name))
            self.engine.build(Path(name), self._names, self._tell)

    def delete(self, found: Found) -> None:
        """Left to the program that holds it."""


class PushedImage(Image):
    """The image in the account's repository, pushed from here."""

    def push_from(self, local: LocalImage) -> PushedImage:
        """Say which image of this machine it is; itself."""
        self._local = local
        return self

    def create(self) -> None:
        """Log in with a password that holds for hours, which no command line shows, and push."""
        told: Mapping[str, Any] = self._aws.client("ecr").get_authorization_token()["authorizationData"][0]
        password = base64.b64decode(told["authorizationToken"]).decode().split(":", 1)[1]
        self._local.engine.push(self._local.name, f"{self._repository.uri}:{self.tag}", password, self._tell)


def choose(wanted: str, *, rehearsal: bool = False) -> Engine | None:
    """The program to build with; None for CodeBuild, which `auto` takes where none runs here and in rehearsals.

    Raises DogbreedError where the one that is wanted cannot be used.
    """
    if wanted == "codebuild" or (wanted == "auto" and rehearsal):
        return None
    if wanted == "auto":
        return next((engine for engine in map(Engine, ENGINES) if not engine.trouble()), None)
    engine = Engine(wanted)
    if trouble := engine.trouble():
        raise DogbreedError(trouble, "start or install it, or build in the account: --engine codebuild")
    return engine


def _environment() -> dict[str, str]:
    return os.environ | _PLAIN
