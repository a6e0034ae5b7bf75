"""The user's cache folder, and in it what scanning found out about each file.

What was found out counts only while the file's size, time and inode are the same; a damaged cache is thrown away.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

_VERSION = 2  # raise it when the meaning of the stored values changes


def cache_dir() -> Path:
    """The folder for what can be made again: `$DOGBREED_CACHE_DIR`, else the platform's cache folder (not created)."""
    given = os.environ.get("DOGBREED_CACHE_DIR")
    if given:
        return Path(given).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "dogbreed"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "dogbreed" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dogbreed"


def write_atomically(path: Path, content: bytes) -> None:
    """Write `path` whole or not at all, creating its folder; OSError as usual."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise


class ScanCache:
    """Results by path for the photos below one folder: `get` while the file is unchanged, `put`, then `save`."""

    def __init__(self, root: Path) -> None:
        name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:32]
        self._file = cache_dir() / "scan" / f"{name}.json"
        self._entries = _load(self._file)
        self._fresh: dict[str, list[Any]] = {}
        self._changed = False

    def get(self, path: str, stat: os.stat_result) -> Any:
        """The remembered value, or None."""
        entry = self._entries.get(path)
        if entry is None or entry[0] != _key(stat):
            return None
        self._fresh[path] = entry
        return entry[1]

    def put(self, path: str, stat: os.stat_result, value: Any) -> None:
        """Remember a value that JSON can hold."""
        self._fresh[path] = [_key(stat), value]
        self._changed = True

    def save(self) -> None:
        """Keep what this scan saw; a cache that cannot be written costs time, not the work."""
        if not self._changed and len(self._fresh) == len(self._entries):
            return
        body = json.dumps(self._fresh, separators=(",", ":")).encode("ascii")
        head = hashlib.sha256(_salt() + body).hexdigest().encode("ascii")
        with suppress(OSError):
            write_atomically(self._file, head + b"\n" + body)


def _key(stat: os.stat_result) -> list[int]:
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


def _salt() -> bytes:
    return f"dogbreed scan {_VERSION}\n".encode("ascii")


def _load(file: Path) -> dict[str, Any]:
    try:
        head, _, body = file.read_bytes().partition(b"\n")
        if hashlib.sha256(_salt() + body).hexdigest().encode("ascii") == head:
            entries = json.loads(body)
            return entries if isinstance(entries, dict) else {}
    except (OSError, ValueError):
        pass
    return {}
