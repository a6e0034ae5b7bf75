"""Open every file once: does it decode, what is odd about it, and what does it look like."""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dogbreed.data.cache import ScanCache
from dogbreed.data.look import Look, look
from dogbreed.errors import PhotoError
from dogbreed.infer.photo import read_bytes, read_photo
from dogbreed.processors import processors

# Called with (files done, files in all).
Progress = Callable[[int, int], None]

_AT_LEAST = 64  # pixels of the shorter side: enough to see damage and to compare photos
_CHUNK = 32
# A file that was written this shortly before it was read could change again within one tick of the clock.
_SETTLED_NS = 50_000_000


@dataclass(frozen=True, slots=True)
class Scanned:
    """One file's result: either `fault` (kind, words) or how it looks; width and height in pixels."""

    sha256: str = ""
    fault: tuple[str, str] | None = None
    oddities: tuple[str, ...] = ()
    size: tuple[int, int] = (0, 0)
    look: Look | None = None


def scan(
    root: Path, paths: Sequence[Path], *, progress: Progress | None = None, jobs: int | None = None
) -> list[Scanned]:
    """The results of `paths`, in order; `jobs` threads (default: one per CPU, at most 16). Raises nothing per file."""
    cache = ScanCache(root)
    results: dict[int, Scanned] = {}
    todo: list[int] = []
    for index, path in enumerate(paths):
        remembered = _remembered(cache, path)
        if remembered:
            results[index] = remembered
        else:
            todo.append(index)
    if progress:
        progress(len(results), len(paths))
    try:
        for index, stat, outcome in _examine_all(paths, todo, jobs or min(16, processors())):
            results[index] = outcome
            if stat:
                cache.put(str(paths[index]), stat, _to_json(outcome))
            if progress and (len(results) % _CHUNK == 0 or len(results) == len(paths)):
                progress(len(results), len(paths))
    finally:
        # Also when interrupted: the next scan goes on from here.
        cache.save()
    return [results[index] for index in range(len(paths))]


def _examine_all(
    paths: Sequence[Path], todo: Sequence[int], jobs: int
) -> Iterator[tuple[int, os.stat_result | None, Scanned]]:
    """(position, stat, result) of every file in `todo`, in order; Pillow leaves Python's lock, so threads help."""
    chunks = [todo[start : start + _CHUNK] for start in range(0, len(todo), _CHUNK)]
    pool = ThreadPoolExecutor(jobs)
    try:
        for chunk, outcomes in zip(chunks, pool.map(_scan_chunk, ([paths[i] for i in c] for c in chunks)), strict=True):
            for index, (stat, outcome) in zip(chunk, outcomes, strict=True):
                yield index, stat, outcome
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _scan_chunk(paths: list[Path]) -> list[tuple[os.stat_result | None, Scanned]]:
    return [scan_file(path) for path in paths]


def scan_file(path: Path) -> tuple[os.stat_result | None, Scanned]:
    """Read and decode one file; the stat is None when the result should not be remembered."""
    try:
        stat = path.stat()
        data = read_bytes(path)
    except OSError as error:
        return None, Scanned(fault=("unreadable", error.strerror or str(error)))
    except PhotoError as error:
        return None, Scanned(fault=(error.kind, error.message))
    settled = time.time_ns() - stat.st_mtime_ns > _SETTLED_NS and len(data) == stat.st_size
    return (stat if settled else None), _examine(data, path.name)


def _examine(data: bytes, name: str) -> Scanned:
    digest = hashlib.sha256(data).hexdigest()
    try:
        photo = read_photo(data, name=name, at_least=_AT_LEAST)
    except PhotoError as error:
        return Scanned(digest, fault=(error.kind, error.message))
    return Scanned(digest, None, photo.oddities, photo.size, look(photo.image))


def _remembered(cache: ScanCache, path: Path) -> Scanned | None:
    try:
        value = cache.get(str(path), path.stat())
        return None if value is None else _from_json(value)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _to_json(scanned: Scanned) -> list[Any]:
    seen = scanned.look
    packed = [seen.hash, base64.b64encode(seen.thumbnail).decode("ascii")] if seen else None
    return [scanned.sha256, scanned.fault, scanned.oddities, scanned.size, packed]


def _from_json(value: Any) -> Scanned:
    sha256, fault, oddities, (width, height), packed = value
    seen = Look(int(packed[0]), base64.b64decode(packed[1])) if packed else None
    return Scanned(str(sha256), (fault[0], fault[1]) if fault else None, tuple(oddities), (width, height), seen)
