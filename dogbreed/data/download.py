"""Download a known photo set: resumed where it stopped, checked before it is unpacked, there whole or not at all."""

from __future__ import annotations

import hashlib
import http.client
import json
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from dogbreed import __version__
from dogbreed.data.archive import unpack
from dogbreed.data.cache import cache_dir, write_atomically
from dogbreed.data.folders import building, refuse_full
from dogbreed.data.known_sets import Archive, KnownSet
from dogbreed.errors import DogbreedError

NOTE = "download.json"
_PIECE = 2**18
_TIMEOUT_S = 30.0
_ATTEMPTS = 6  # in a row without a single byte
_LONGEST_WAIT_S = 30.0
_AGAIN = (408, 425, 429, 500, 502, 503, 504)

Sleep = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Event:
    """What happens: `kind` is "bytes" (done of total), "retry", "restart", "checked", "unpacked" (done files)."""

    kind: str
    name: str
    done: int = 0
    total: int = 0
    words: str = ""


class _DroppedError(Exception):
    """The connection broke; what has come so far is kept."""


def is_here(known: KnownSet, to: Path) -> bool:
    """Whether `to` already holds this set, downloaded by us."""
    try:
        return bool(json.loads((to / NOTE).read_text(encoding="utf-8"))["set"] == known.name)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def partial_folder(to: Path) -> Path:
    """Where archives lie until they are unpacked; an interrupted download goes on from there."""
    return to.parent / f".{to.name}.download"


def download(known: KnownSet, to: Path, *, sleep: Sleep = time.sleep) -> Iterator[Event]:
    """Fetch, check and unpack `known` into the new folder `to`, yielding what happens.

    Raises UsageError when `to` is not empty; DogbreedError when an address does not answer, a size or checksum is
    wrong, an archive is refused, or the disk is too small.
    """
    refuse_full(to)
    waiting = partial_folder(to)
    try:
        waiting.mkdir(parents=True, exist_ok=True)
        _refuse_small_disk(known, waiting)
        for archive in known.archives:
            yield from _obtain(archive, waiting / archive.name, sleep)
    except OSError as error:
        raise DogbreedError(f"{waiting}: {error.strerror or error}", "check the space and permissions there") from error
    with building(to) as folder:
        left = known.unpacked_limit
        for archive in known.archives:
            for done, name in enumerate(unpack(waiting / archive.name, folder, limit=left), 1):
                left -= (folder / name).stat().st_size
                yield Event("unpacked", archive.name, done, words=name)
        _write_note(known, folder, waiting)
    shutil.rmtree(waiting, ignore_errors=True)


def _refuse_small_disk(known: KnownSet, folder: Path) -> None:
    # Photos hardly compress: unpacked, the set is about as large as its archives.
    needed = 2 * sum(archive.size for archive in known.archives) - sum(
        path.stat().st_size for path in folder.iterdir() if path.is_file()
    )
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DogbreedError(
            f"{known.title} needs {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free", "give another --to"
        )


def _write_note(known: KnownSet, folder: Path, waiting: Path) -> None:
    archives = [asdict(archive) | {"sha256": _sha256(waiting / archive.name)} for archive in known.archives]
    note = {"set": known.name, "title": known.title, "page": known.page, "terms": known.terms, "archives": archives}
    (folder / NOTE).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")


# -- one archive


def _obtain(archive: Archive, target: Path, sleep: Sleep) -> Iterator[Event]:
    if not target.exists():
        part = target.with_name(target.name + ".part")
        resumed = part.exists()
        yield from _fetch(archive, part, sleep)
        if not _is_right(archive, part) and resumed:
            # What lay there was of another file: once more from the beginning.
            part.unlink()
            yield Event("restart", archive.name, words="the part that was here before does not fit")
            yield from _fetch(archive, part, sleep)
        _demand(archive, part)
        part.replace(target)
    digest = _demand(archive, target)
    yield Event("checked", archive.name, archive.size, archive.size, digest)


def _fetch(archive: Archive, part: Path, sleep: Sleep) -> Iterator[Event]:
    """Until the file is complete, or nothing has come for `_ATTEMPTS` attempts in a row."""
    failures = 0
    while (before := _size(part)) < archive.size or not part.exists():
        try:
            yield from _continue(archive, part)
            if _size(part) < archive.size:
                raise _DroppedError(f"the connection ended at {_size(part)} of {archive.size} bytes")
        except _DroppedError as dropped:
            failures = 1 if _size(part) > before else failures + 1
            if failures >= _ATTEMPTS:
                hint = "run the same command again: it goes on where it stopped"
                raise DogbreedError(f"{archive.url}: {dropped}", hint) from dropped
            wait = min(_LONGEST_WAIT_S, 2.0 ** (failures - 1))
            yield Event("retry", archive.name, _size(part), archive.size, f"{dropped}; again in {wait:.0f} s")
            sleep(wait)


def _continue(archive: Archive, part: Path) -> Iterator[Event]:
    """One request for what is missing, appended to `part` as it comes."""
    have = _size(part)
    headers = {"User-Agent": f"dogbreed/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(archive.url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            start = _start(answer, have)
            _refuse_other_size(archive, answer, start)
            # A server that ignores Range sends everything again.
            with open(part, "r+b" if start else "wb") as file:
                file.truncate(start)
                file.seek(start)
                yield from _receive(archive, answer, file, start)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            part.unlink(missing_ok=True)
            raise _DroppedError("the server has no such part; from the beginning") from error
        if error.code in _AGAIN:
            raise _DroppedError(f"HTTP {error.code} {error.reason}") from error
        hint = "the address may have moved; the set's page says where it is now"
        raise DogbreedError(f"{archive.url}: HTTP {error.code} {error.reason}", hint) from error
    except urllib.error.URLError as error:
        raise _DroppedError(str(error.reason)) from error
    except (http.client.HTTPException, ssl.SSLError, ConnectionError, TimeoutError) as error:
        raise _DroppedError(str(error) or type(error).__name__) from error


def _start(answer: http.client.HTTPResponse, have: int) -> int:
    if answer.status != 206:
        return 0
    content_range = answer.headers.get("Content-Range", "")
    start = content_range.removeprefix("bytes ").split("-")[0]
    if start != str(have):
        raise _DroppedError(f"the server sent another part ({content_range})")
    return have


def _refuse_other_size(archive: Archive, answer: http.client.HTTPResponse, start: int) -> None:
    length = answer.headers.get("Content-Length", "")
    if length.isdigit() and start + int(length) != archive.size:
        raise DogbreedError(
            f"{archive.url} has {start + int(length)} bytes, not the {archive.size} that are known",
            "another file is served there now; download it by hand if you trust it",
        )


def _receive(archive: Archive, answer: http.client.HTTPResponse, file: IO[bytes], start: int) -> Iterator[Event]:
    done = start
    while piece := answer.read(_PIECE):
        done += len(piece)
        if done > archive.size:
            raise DogbreedError(f"{archive.url} sends more than the {archive.size} bytes that are known")
        file.write(piece)
        yield Event("bytes", archive.name, done, archive.size)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


# -- checksums


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_right(archive: Archive, path: Path) -> bool:
    expected = archive.sha256 or _pinned(archive)
    return _size(path) == archive.size and (expected is None or _sha256(path) == expected)


def _demand(archive: Archive, path: Path) -> str:
    """The file's SHA-256; DogbreedError, and the file is gone, when it is not the expected one."""
    digest = _sha256(path)
    expected = archive.sha256 or _pinned(archive)
    if _size(path) != archive.size or expected not in (None, digest):
        path.unlink()
        raise DogbreedError(
            f"{archive.name} is not the file that is known: SHA-256 {digest}, expected {expected}",
            "it was removed; run the command again, and if this stays, do not use that address",
        )
    if archive.sha256 is None and expected is None:
        write_atomically(_pin(archive), (digest + "\n").encode("ascii"))
    return digest


def _pin(archive: Archive) -> Path:
    return cache_dir() / "pins" / f"{hashlib.sha256(archive.url.encode()).hexdigest()[:32]}.sha256"


def _pinned(archive: Archive) -> str | None:
    """What this address gave the first time, for archives without a published checksum."""
    try:
        return _pin(archive).read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None
