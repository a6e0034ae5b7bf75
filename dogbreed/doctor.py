"""What `dogbreed doctor` looks at: is everything here that training and predicting need?

It reads the installed packages' metadata and imports none of them, so that it answers at once.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from dogbreed import __version__, config
from dogbreed.data.cache import cache_dir
from dogbreed.errors import DogbreedError
from dogbreed.processors import processors
from dogbreed.run import ONNX, RUNS, STARTER, WEIGHTS, Run

_OLDEST = (3, 11)
_EXTRAS = ("train", "serve", "aws", "rehearse", "dev")
_LITTLE_SPACE = 1_000_000_000


@dataclass(frozen=True)
class Check:
    """One thing looked at. `absent` is no fault: something optional that is not installed."""

    name: str
    state: Literal["ok", "absent", "wrong"]
    found: str
    hint: str = ""

    def to_json(self) -> dict[str, Any]:
        """As a dictionary."""
        return asdict(self)


def checks() -> Iterator[Check]:
    """Everything, one after the other."""
    yield _python()
    yield _packages("base", "")
    for extra in _EXTRAS:
        yield _packages(f"extra {extra}", extra)
    yield _pair()
    yield _machine()
    yield _settings()
    yield _writable("cache folder", cache_dir(), "set DOGBREED_CACHE_DIR to a folder that can be written")
    yield _writable("runs folder", RUNS, "change to a folder that can be written, or use train --out")
    yield _starter()


def _python() -> Check:
    found = f"{platform.python_version()} ({sys.executable}), dogbreed {__version__}"
    if sys.version_info[:2] < _OLDEST:
        return Check("python", "wrong", found, "install Python 3.11 or newer")
    return Check("python", "ok", found)


def _packages(name: str, extra: str) -> Check:
    """The packages of an extra ("" for those that are always needed), and whether they have the versions asked for."""
    try:
        wanted = _requirements("dogbreed", extra)
    except metadata.PackageNotFoundError:
        return Check(name, "wrong", "dogbreed itself is not installed", "pip install -e . in its folder")
    versions = {package: _version(package) for package in wanted}
    missing = [package for package, version in versions.items() if not version]
    target = f"dogbreed[{extra}]" if extra else "dogbreed"
    mend = f"pip install '{target}'"
    if missing and extra and (len(missing) == len(wanted) or extra == "dev"):
        return Check(name, "absent", "not installed", mend)
    if missing:
        return Check(name, "wrong", f"lacks {', '.join(missing)}", mend)
    odd = [f"{name} {versions[name]} is not {pin}" for name, pin in wanted.items() if _is_other(versions[name], pin)]
    if odd:
        return Check(name, "wrong", "; ".join(odd), mend)
    return Check(name, "ok", ", ".join(f"{package} {version}" for package, version in versions.items()))


def _is_other(version: str, wanted: str) -> bool:
    """Whether a pinned package has another version; ranges are pip's business."""
    return wanted.startswith("==") and version.partition("+")[0] != wanted.removeprefix("==")


def _pair() -> Check:
    """torch and torchvision work only in the pairs that were built for each other."""
    torch, vision = _version("torch"), _version("torchvision")
    mend = "pip install --force-reinstall 'dogbreed[train]'"
    if not torch and not vision:
        return Check("torch pair", "absent", "not installed", "pip install 'dogbreed[train]'")
    if not (torch and vision):
        return Check("torch pair", "wrong", f"only {'torch' if torch else 'torchvision'} is installed", mend)
    needs = _requirements("torchvision", "").get("torch", "")
    if _is_other(torch, needs):
        found = f"torchvision {vision} is built for torch {needs.removeprefix('==')}, and torch is {torch}"
        return Check("torch pair", "wrong", found, mend)
    return Check("torch pair", "ok", f"torch {torch} beside torchvision {vision}")


def _machine() -> Check:
    cores = processors()
    gpu = "an NVIDIA driver" if shutil.which("nvidia-smi") else "no NVIDIA driver"
    return Check("machine", "ok", f"{cores} processor core{'s' if cores > 1 else ''}, {gpu}")


def _settings() -> Check:
    try:
        sources = config.load().sources
    except DogbreedError as error:
        return Check("settings", "wrong", error.message, error.hint)
    places = sorted(set(sources.values()))
    return Check("settings", "ok", f"{len(sources)} set by {', '.join(places)}" if places else "all defaults")


def _writable(name: str, folder: Path, hint: str) -> Check:
    """Whether files can be made in `folder`, or in the one above it that exists."""
    try:
        folder = folder.absolute()  # an error where the current folder is gone
        there = next(path for path in (folder, *folder.parents) if path.exists())
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"dogbreed")
        free = shutil.disk_usage(there).free
    except OSError as error:
        return Check(name, "wrong", f"{folder}: {error.strerror}", hint)
    found = f"{folder}, {_megabytes(_size(folder))} used, {_megabytes(free)} free"
    if free < _LITTLE_SPACE:
        return Check(name, "wrong", found, f"free some space, or {hint}")
    return Check(name, "ok", found)


def _size(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(place) / name).lstat().st_size
            except OSError:  # gone meanwhile
                continue
    return total


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def _starter() -> Check:
    try:
        run = Run.open(STARTER)
        for name in (ONNX, WEIGHTS):
            run.read(name)
    except DogbreedError as error:
        return Check("starter model", "wrong", error.message, "pip install --force-reinstall dogbreed")
    return Check("starter model", "ok", f"{len(run.labels)} breeds, sha256 of its files as written")


@cache
def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _requirements(package: str, extra: str) -> dict[str, str]:
    """What `package` requires: its base for "", else what `extra` adds; name -> versions."""
    found = {}
    for line in metadata.requires(package) or []:
        requirement, _, marker = line.partition(";")
        named = re.search(r"""extra == ['"]([^'"]+)['"]""", marker)
        match = re.match(r"\s*([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*\(?([^)]*)\)?", requirement)
        if match and (named[1] if named else "") == extra:
            found[match[1]] = match[2].strip()
    return found
