"""Unpack a tar or zip file that nobody vouches for: nothing leaves the folder, nothing fills the disk."""

from __future__ import annotations

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from dogbreed.errors import DogbreedError

MAX_MEMBERS = 1_000_000
_PIECE = 2**20
_REFUSED = "the archive is not what it should be; do not use it"


def unpack(archive: Path, to: Path, *, limit: int) -> Iterator[str]:
    """Unpack regular files and folders below `to`, yielding each file's name; `limit` in bytes for all together.

    Raises DogbreedError for a damaged archive and for any member that is absolute, leads out, is a link, a device or
    encrypted, comes twice, or exceeds the limit. Files written before that stay: give a folder to throw away.
    """
    try:
        if zipfile.is_zipfile(archive):
            yield from _unzip(archive, to, limit)
        else:
            yield from _untar(archive, to, limit)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DogbreedError(f"{archive.name} is damaged: {error}", "remove it and download it again") from error
    except FileExistsError as error:
        raise _refusal(archive, str(error.filename), "comes twice") from error
    except OSError as error:
        raise DogbreedError(f"{archive.name}: {error.strerror or error}", "check the disk's space") from error


def _unzip(archive: Path, to: Path, limit: int) -> Iterator[str]:
    with zipfile.ZipFile(archive) as file:
        members = file.infolist()
        declared = sum(member.file_size for member in members)
        if declared > limit or len(members) > MAX_MEMBERS:
            raise _refusal(archive, f"{len(members)} members", f"of {declared} bytes, more than {limit}")
        for member in members:
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refusal(archive, member.filename, "is a link or device")
            if member.flag_bits & 1:
                raise _refusal(archive, member.filename, "is encrypted")
            target = _inside(archive, to, member.filename)
            if member.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            with file.open(member) as source:
                limit -= _copy(archive, member.filename, source, target, limit)
            yield member.filename


def _untar(archive: Path, to: Path, limit: int) -> Iterator[str]:
    # A stream: a compressed archive is unpacked in one pass, and no member is trusted before it is read.
    with tarfile.open(archive, "r|*") as file:
        for count, member in enumerate(file):
            if count >= MAX_MEMBERS:
                raise _refusal(archive, member.name, f"is one of more than {MAX_MEMBERS} members")
            if not (member.isreg() or member.isdir()):
                raise _refusal(archive, member.name, "is a link or device")
            target = _inside(archive, to, member.name)
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            source = file.extractfile(member)
            if source is not None:
                with source:
                    limit -= _copy(archive, member.name, source, target, limit)
                yield member.name


def _inside(archive: Path, to: Path, name: str) -> Path:
    """Where a member goes. Links are never made, so a name without `..` cannot leave the folder."""
    parts = PurePosixPath(name).parts
    if not name or name.startswith("/") or ".." in parts or "\\" in name or ":" in name or "\0" in name:
        raise _refusal(archive, name, "leads out of the folder")
    return to.joinpath(*parts)


def _copy(archive: Path, name: str, source: IO[bytes], target: Path, limit: int) -> int:
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with open(target, "xb") as file:
        while piece := source.read(_PIECE):
            written += len(piece)
            if written > limit:
                raise _refusal(archive, name, "unpacks to more than the set's limit")
            file.write(piece)
    return written


def _refusal(archive: Path, name: str, why: str) -> DogbreedError:
    return DogbreedError(f"refused to unpack {archive.name}: {name!r} {why}", _REFUSED)
