"""What the service's image is built from: a folder of files, the same for the same dogbreed, and the tag that it gives.

The parts of the package that serving takes, the Dockerfile with its arguments filled in, the packages by digest, and
maybe a model. So whoever unpacks it and builds gets that image, by whatever program; and the tag changes only when the
image does. Nothing of this machine is in it: no time, no user, no installed version.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import dogbreed
from dogbreed.errors import DogbreedError, UsageError

if TYPE_CHECKING:
    from dogbreed.run import Run

DOCKERFILE, MODEL_FOLDER = "Dockerfile", "model"
_REQUIREMENTS = "requirements.txt"
_PACKAGE = Path(dogbreed.__file__).parent
_IMAGE = _PACKAGE / "serve" / "image"
# What `dogbreed serve` and the function load of the package.
_TOP = ("__init__.py", "__main__.py", "config.py", "errors.py", "processors.py", "run.py", "settings.py", "ui.py")
_FOLDERS = ("infer", "serve")
_OF_CLI = ("__init__.py", "guard.py", "main.py", "options.py", "serve.py", "start.py")
# Docker takes a folder only when there is something in it.
_EMPTY = f"{MODEL_FOLDER}/.empty"
_REFERENCE = re.compile(r"[a-z0-9][\w.-]*(?::\d+)?(?:/[\w.-]+)*(?::[\w.-]+)?(?:@sha256:[0-9a-f]{64})?")
# What editors and file managers leave about.
_BY_CHANCE = re.compile(r"^\.|~$|\.(?:swp|orig|rej|tmp)$")
# The first day that a zip knows.
_DAY = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Context:
    """The files, by their path below the folder."""

    files: Mapping[str, bytes]

    @property
    def tag(self) -> str:
        """16 hexadecimal digits of a SHA-256 over names and contents."""
        # Over the contents, since how well they are packed differs from machine to machine.
        total = hashlib.sha256()
        for name, content in sorted(self.files.items()):
            total.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
        return total.hexdigest()[:16]

    def zip(self) -> bytes:
        """All of it as one file, for CodeBuild."""
        raw = io.BytesIO()
        with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in sorted(self.files.items()):
                entry = zipfile.ZipInfo(name, _DAY)
                entry.external_attr = 0o100644 << 16
                packed.writestr(entry, content, zipfile.ZIP_DEFLATED)
        return raw.getvalue()

    def write(self, folder: Path) -> None:
        """Write the files below `folder`, readable by everybody whatever the umask says, as they are in the image."""
        for name, content in sorted(self.files.items()):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o644)
            for parent in path.relative_to(folder).parents:
                (folder / parent).chmod(0o755)


def context(base: str = "", run: Run | None = None) -> Context:
    """What to build from: on `base` in place of the pinned Python image, with the model of `run` if one is given.

    Raises UsageError for a base that no image can have, and DogbreedError for a Run whose files were changed.
    """
    return Context(dict(_files(base, run)))


def default_base() -> str:
    """The base image where no other is named."""
    found = _argument("BASE").search((_IMAGE / DOCKERFILE).read_text(encoding="utf-8"))
    assert found
    return found[1]


def _files(base: str, run: Run | None) -> Iterator[tuple[str, bytes]]:
    yield DOCKERFILE, _dockerfile(base)
    yield from _package().items()
    if run is None:
        yield _EMPTY, b""
    else:
        from dogbreed.run import MODEL, ONNX

        yield f"{MODEL_FOLDER}/{MODEL}", (run.path / MODEL).read_bytes()
        yield f"{MODEL_FOLDER}/{ONNX}", run.read(ONNX)


@cache
def _package() -> Mapping[str, bytes]:
    """Read once, so that one command speaks of one image."""
    paths = [_PACKAGE / name for name in _TOP] + [_PACKAGE / "cli" / name for name in _OF_CLI]
    paths += [path for name in _FOLDERS for path in (_PACKAGE / name).rglob("*")]
    own = {_IMAGE / name for name in (DOCKERFILE, _REQUIREMENTS)}
    files = [path for path in paths if path.is_file() and path not in own and not _BY_CHANCE.search(path.name)]
    files = [path for path in files if "__pycache__" not in path.parts]
    found = {f"dogbreed/{path.relative_to(_PACKAGE).as_posix()}": path.read_bytes() for path in files}
    return found | {_REQUIREMENTS: (_IMAGE / _REQUIREMENTS).read_bytes()}


def _dockerfile(base: str) -> bytes:
    text = (_IMAGE / DOCKERFILE).read_text(encoding="utf-8")
    if base and not _REFERENCE.fullmatch(base):
        raise UsageError(f"{base} is no name of an image", "such as python:3.12-slim, best with its @sha256:...")
    for name, value in (("BASE", base), ("VERSION", dogbreed.__version__)):
        if value:
            text, count = _argument(name).subn(f"ARG {name}={value}", text)
            if count != 1:
                raise DogbreedError(f"the Dockerfile of this installation has no ARG {name}", "install dogbreed anew")
    return text.encode()


def _argument(name: str) -> re.Pattern[str]:
    return re.compile(rf"^ARG {name}=(\S+)$", re.MULTILINE)
