"""What a job's container holds: the interpreter that runs the stand-in, and nothing of the person or of dogbreed.

A real container has no dogbreed, so the package is hidden where hosts have files of their own; what a job needs beyond
the image has to travel with it. Folders of the container lie below one folder of this machine.
"""

from __future__ import annotations

import os
import shlex
import site
import sys
from functools import cache
from pathlib import Path

import dogbreed

# Folders that a container has for itself; the rest of this machine it can read, and not write.
OWN = ("/opt", "/tmp", "/var/tmp", "/root", "/home")
_BIN = "/opt/conda/bin"
_NOTHING = "nothing"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MODULES = {"torchrun": "torch.distributed.run", "pip": "pip", "pip3": "pip"}


def fill(folder: Path) -> None:
    """Make the container's folders, and programs by which `python`, `pip` and `torchrun` lead to this interpreter."""
    for name in (*OWN, _BIN, _NOTHING):
        (folder / name.lstrip("/")).mkdir(parents=True, exist_ok=True)
    python = shlex.quote(sys.executable)
    for name in ("python", "python3", *_MODULES):
        module = f" -m {_MODULES[name]}" if name in _MODULES else ""
        path = folder / _BIN[1:] / name
        path.write_text(f'#!/bin/sh\nexec {python}{module} "$@"\n', encoding="utf-8")
        path.chmod(0o755)


def environment(root: str) -> dict[str, str]:
    """The variables that every container begins with; its folders are below `root` (empty: at their names)."""
    home = {"HOME": f"{root}/root"} | ({"TMPDIR": f"{root}/tmp"} if root else {})
    return home | {"PATH": f"{root}{_BIN}:{_PATH}", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}


def covers(folder: Path) -> dict[str, Path]:
    """The container's own folders over those of this machine."""
    return {name: folder / name[1:] for name in OWN}


def hidden(folder: Path) -> dict[str, Path]:
    """What of dogbreed lies among the modules of this interpreter, and what is to be seen instead: nothing."""
    return {str(path): folder / _NOTHING if path.is_dir() else Path(os.devnull) for path in _of_dogbreed()}


@cache
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
