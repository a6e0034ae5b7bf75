"""What a job's container holds: the interpreter that runs the stand-in, and nothing of the person or of dogbreed.

A real container has neither the package dogbreed nor what only dogbreed needs, so these are hidden where hosts have
files of their own; what a job needs beyond the image has to travel with it.
"""

from __future__ import annotations

import shlex
import site
import sys
from functools import cache
from pathlib import Path

import dogbreed

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BIN = "/opt/container"
_MODULES = {"torchrun": "torch.distributed.run", "pip": "pip", "pip3": "pip"}


def fill_bin(folder: Path) -> None:
    """Programs by which `python`, `pip` and `torchrun` lead to this interpreter, in a folder for BIN."""
    if folder.is_dir():
        return
    folder.mkdir(parents=True)
    python = shlex.quote(sys.executable)
    for name in ("python", "python3", *_MODULES):
        module = f" -m {_MODULES[name]}" if name in _MODULES else ""
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec {python}{module} "$@"\n', encoding="utf-8")
        path.chmod(0o755)


def environment(bin_folder: str) -> dict[str, str]:
    """The variables that every container begins with."""
    return {"PATH": f"{bin_folder}:{_PATH}", "HOME": "/root", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}


@cache
def hidden() -> list[str]:
    """Paths that are empty in a container: the person's AWS settings, and this package."""
    paths = [Path.home() / ".aws", *_of_dogbreed()]
    return [str(path) for path in paths if path.exists()]


def _of_dogbreed() -> list[Path]:
    root = Path(dogbreed.__file__).parent
    found = []
    for folder in map(Path, site.getsitepackages()):
        if root.is_relative_to(folder):
            found.append(root)
        # An installation for developers is a file that names the folder.
        for path in folder.glob("*.pth"):
            if str(root.parent) in path.read_text(encoding="utf-8", errors="replace").split("\n"):
                found.append(path)
    return found
