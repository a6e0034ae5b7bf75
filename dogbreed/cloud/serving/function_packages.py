"""The packages that the model's function needs, as Lambda's Linux can load them, without what answering never opens."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dogbreed.data.cache import cache_dir
from dogbreed.errors import DogbreedError

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
# Lambda's runtimes and the GNU C library of their Linux: python3.11 is on Amazon Linux 2, the later on 2023 (AWS's
# page of Lambda runtimes).
_RUNTIMES = {"3.11": (2, 26), "3.12": (2, 34), "3.13": (2, 34), "3.14": (2, 34)}
NEWEST = "3.13"
_TODAYS = (2, 28)  # what wheels of today need
_NAMES = ("numpy", "onnxruntime", "pillow", "python-multipart")
_OLD_TAGS = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
_LOWEST = 17

_ENDINGS = (".pyi", ".pyx", ".pxd", ".h", ".c", ".a", ".cpp", ".md", ".txt", ".typed", ".toml", ".build", ".pyc")
# ONNX Runtime's own tools and the library for C programs (the module for Python holds all of it once more); what NumPy
# has for compilers; fonts, colour management, AVIF and windows in Pillow, which `infer.photo` never loads.
_UNUSED = (
    *(f"onnxruntime/{name}/" for name in ("transformers", "tools", "quantization", "datasets", "backend")),
    "onnxruntime/capi/libonnxruntime.so",
    *(f"numpy/{name}/" for name in ("distutils", "f2py", "typing", "testing", "doc", "_pyinstaller", "_core/include")),
    *(f"PIL/_{name}." for name in ("avif", "imagingcms", "imagingft", "imagingtk", "imagingmath", "imagingmorph")),
    *(f"pillow.libs/lib{name}-" for name in ("avif", "freetype", "harfbuzz", "lcms2", "brotlicommon", "brotlidec")),
    "pillow.libs/libpng16-",
    "multipart/",  # an old name of python-multipart
)


@dataclass(frozen=True)
class Packages:
    """Files by their place below the function's root, for Python `python`, such as 3.13."""

    python: str
    files: dict[str, bytes]


def choose(*, here: bool = False) -> Packages:
    """This interpreter's packages where Lambda can load them (or it runs `here`), else the same versions fetched.

    DogbreedError where one is not installed, or cannot be fetched.
    """
    try:
        found = [importlib.metadata.distribution(name) for name in _NAMES]
    except importlib.metadata.PackageNotFoundError as error:
        raise DogbreedError(f"{error.name} is not installed", "pip install 'dogbreed[serve]'") from error
    if here or all(_loads(one) for one in found):
        return Packages(PYTHON, {name: content for one in found for name, content in _installed(one)})
    # This Python's version if it can be, since only that compiles the modules.
    python = PYTHON if _RUNTIMES.get(PYTHON, (0, 0)) >= _TODAYS else NEWEST
    pinned = [f"{one.name}=={one.version}" for one in found]
    return Packages(python, {name: content for one in pinned for name, content in _unpacked(_wheel(one, python))})


def needed(name: str) -> bool:
    """Whether a file of a package is opened when a photo is answered."""
    parts = name.split("/")
    if parts[0].endswith(".dist-info") or ".." in parts or {"tests", "__pycache__"} & set(parts[:-1]):
        return False
    return not (name.endswith(_ENDINGS) or name.startswith(_UNUSED))


def libc_of(tag: str) -> tuple[int, int] | None:
    """The version of the GNU C library that a wheel's tag asks for; (0, 0) for any system, None for another."""
    where = tag.rpartition("-")[2]
    if where == "any":
        return (0, 0)
    match = re.fullmatch(r"(manylinux\w*?)(?:_(\d+)_(\d+))?_x86_64", where)
    if not match:
        return None
    return (int(match[2]), int(match[3])) if match[2] else _OLD_TAGS.get(match[1])


def _loads(package: importlib.metadata.Distribution) -> bool:
    """Whether Lambda's runtime of this Python can load a package as it is installed here."""
    there = _RUNTIMES.get(PYTHON)
    if there is None or sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    said = re.findall(r"^Tag: (\S+)", package.read_text("WHEEL") or "", re.MULTILINE)
    return any(asked is not None and asked <= there for asked in map(libc_of, said))


def _installed(package: importlib.metadata.Distribution) -> Iterator[tuple[str, bytes]]:
    for file in package.files or ():
        if needed(file.as_posix()):
            yield file.as_posix(), Path(str(file.locate())).read_bytes()


def _unpacked(wheel: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(wheel) as packed:
        for name in packed.namelist():
            if needed(name) and not name.endswith("/"):
                yield name, packed.read(name)


def _wheel(pinned: str, python: str) -> Path:
    """The wheel of a package for Lambda's `python`, fetched by pip once."""
    folder = cache_dir() / "wheels" / f"lambda-{python}" / pinned
    if held := sorted(folder.glob("*.whl")):
        return held[-1]
    # pip takes a tag literally: each version of the C library that Lambda's is good for.
    tags = [f"manylinux_2_{minor}_x86_64" for minor in range(_RUNTIMES[python][1], _LOWEST - 1, -1)]
    command: list[Any] = [sys.executable, "-m", "pip", "download", pinned, "--no-deps", "--quiet"]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", python, "--dest", folder]
    command += [word for tag in [*tags, "manylinux2014_x86_64"] for word in ("--platform", tag)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not (held := sorted(folder.glob("*.whl"))):
        said = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise DogbreedError(
            f"{pinned} for Lambda's Python {python} could not be fetched: {said}",
            "it takes a network and pip once; or deploy with Python 3.12 or 3.13 on Linux, whose packages fit",
        )
    return held[-1]
