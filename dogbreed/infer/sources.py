"""Where photos come from: files, folders, patterns, standard input and addresses, found one after the other."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from dogbreed.errors import PhotoError
from dogbreed.infer.photo import EXTENSIONS, MAX_BYTES, PHOTO_SUFFIXES, read_bytes

STDIN = "-"
_MAGIC = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Source:
    """A photo that has not been read yet: `read` gives its bytes or raises PhotoError."""

    name: str
    read: Callable[[], bytes]

    @classmethod
    def of(cls, path: str | Path) -> Source:
        """A file."""
        return cls(str(path), lambda: read_bytes(Path(path)))


def expand(paths: Iterable[str], *, allow_private: bool = False) -> Iterator[Source]:
    """The photos that `paths` mean, in their order; folders are walked as the caller goes on.

    What leads nowhere (no such file, a folder without photos) is a Source whose `read` raises.
    """
    for path in paths:
        if path == STDIN:
            yield Source(STDIN, _read_stdin)
        elif "://" in path:
            yield _address(path, allow_private)
        else:
            yield from _local(path)


def _local(path: str) -> Iterator[Source]:
    if os.path.isdir(path):
        files, missing = walk(path), PhotoError("unreadable", "no photos in this folder", _ENDINGS)
    elif _MAGIC.isdisjoint(path) or os.path.lexists(path):
        yield Source.of(path)
        return
    else:
        files, missing = _match(path), PhotoError("unreadable", "no photo matches this pattern", _ENDINGS)
    for candidates in (files, _other_spellings(path)):
        empty = True
        for found in candidates:
            empty = False
            yield found if isinstance(found, Source) else Source.of(found)
        if not empty:
            return
    yield _fault(path, missing)


_ENDINGS = f"photos end in {' '.join(sorted(PHOTO_SUFFIXES))}"


def walk(folder: str) -> Iterator[str | Source]:
    """The photo files below `folder`, sorted folder by folder; hidden and other files are skipped.

    A folder that links lead to twice is walked once. One that cannot be read is given as a Source that says so.
    """
    seen: set[tuple[int, int]] = set()
    stack = [iter([folder])]
    while stack:
        path = next(stack[-1], None)
        if path is None:
            stack.pop()
        elif os.path.isdir(path):
            try:
                status = os.stat(path)
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    stack.append(iter(_listing(path)))
            except OSError as error:
                yield _fault(path, PhotoError("unreadable", error.strerror or str(error)))
        else:
            yield path


def _listing(folder: str) -> list[str]:
    """The folders and photo files in `folder`, sorted by name; pipes and devices are left out, since they may block."""
    with os.scandir(folder) as entries:
        return sorted(
            entry.path
            for entry in entries
            if not entry.name.startswith(".") and (entry.is_dir() or (_is_photo(entry.name) and _is_file(entry)))
        )


def _is_file(entry: os.DirEntry[str]) -> bool:
    # A link to nothing is kept: it gets its own error.
    return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))


def _is_photo(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in PHOTO_SUFFIXES


def _match(pattern: str) -> Iterator[str | Source]:
    """What a pattern that the shell did not expand means, `**` included."""
    from glob import glob

    parts = pattern.replace(os.sep, "/").split("/")
    if "**" not in parts:
        for path in sorted(glob(pattern)):
            if os.path.isdir(path):
                yield from walk(path)
            elif _is_photo(path):
                yield path
        return
    # Python's own `**` follows links in circles, so the part from there on is matched against a walk.
    at = parts.index("**")
    head = "/".join(parts[:at]) + "/" if at else ""
    for root in sorted(glob(head)) if head else ["."]:
        for found in walk(root):
            if isinstance(found, Source):
                yield found
            else:
                below = os.path.relpath(found, root)
                if _fits(below.split(os.sep), parts[at:]):
                    yield found if head else below


def _other_spellings(pattern: str) -> Iterator[str | Source]:
    """What `*.jpg` means where it matches nothing but there is a `.JPEG`: the same format, spelled otherwise."""
    stem, suffix = os.path.splitext(pattern)
    spellings = {one for group in EXTENSIONS.values() if suffix.lower() in group for one in group}
    for found in _match(f"{stem}.*") if spellings else ():
        if isinstance(found, Source) or os.path.splitext(found)[1].lower() in spellings:
            yield found


def _fits(names: list[str], parts: list[str]) -> bool:
    if not parts:
        return not names
    if parts[0] == "**":
        return any(_fits(names[skip:], parts[1:]) for skip in range(len(names) + 1))
    return bool(names) and fnmatch(names[0], parts[0]) and _fits(names[1:], parts[1:])


def _address(address: str, allow_private: bool) -> Source:
    def read() -> bytes:
        from dogbreed.infer.fetch import fetch

        return fetch(address, allow_private=allow_private)

    return Source(address, read)


def _read_stdin() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise PhotoError("empty", "no photo on standard input: it is a terminal", "dogbreed predict - < photo.jpg")
    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    if not data:
        raise PhotoError("empty", "nothing came on standard input", "dogbreed predict - < photo.jpg")
    return data


def _fault(name: str, error: PhotoError) -> Source:
    def read() -> bytes:
        raise error

    return Source(name, read)
