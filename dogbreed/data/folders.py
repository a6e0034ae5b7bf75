"""A new folder that appears whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dogbreed.errors import DogbreedError, UsageError


def refuse_full(folder: Path) -> None:
    """UsageError when `folder` has something in it, or is a file."""
    if folder.name in ("", ".."):
        raise UsageError(f"{folder} is no new folder", "give the name of a folder that is not there yet")
    try:
        full = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except OSError as error:
        raise DogbreedError(f"{folder}: {error.strerror or error}", "check the folder's permissions") from error
    if full:
        raise UsageError(f"{folder} is there and not empty", "give a new folder, or remove it")


@contextmanager
def building(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder` that takes its name at the end, and goes away if anything fails.

    Killed midway, it leaves a hidden `.<name>-*.tmp` and no `folder`.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-", suffix=".tmp"))
    except OSError as error:
        raise DogbreedError(
            f"{folder.parent}: {error.strerror or error}", "give a folder that can be written"
        ) from error
    try:
        yield temporary
        temporary.chmod(0o755)
        try:
            temporary.replace(folder)
        except OSError as error:
            raise DogbreedError(f"{folder}: {error.strerror or error}", "another program may be using it") from error
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
