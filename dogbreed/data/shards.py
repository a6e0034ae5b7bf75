"""Photos packed into tar files of about 32 MB, named by what is in them: the same photos, the same bytes everywhere.

A shard holds all photos whose SHA-256 begins with the same bits; one that grows too large is cut in two at the next
bit. So a new photo changes one shard and no other, in whatever order photos come. `index.json` says what lies where;
unpacking follows the index and never a name from a tar file.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dogbreed.errors import DogbreedError

if TYPE_CHECKING:
    from dogbreed.data.photoset import PhotoSet

INDEX = "index.json"
LIMIT = 32 * 2**20  # bytes of photos in a shard, unless one photo alone is larger
_FORMAT = 1
_BLOCK = tarfile.BLOCKSIZE
_END = 2 * _BLOCK  # zeros that end a tar file
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHARD = re.compile(r"[0-9a-f]{40}\.tar")
_BITS = 256

# Called with (bytes done, bytes in all).
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Member:
    """One photo of a shard: its content's SHA-256, its size in bytes, and where it lies on this machine."""

    sha256: str
    size: int
    path: Path


@dataclass(frozen=True)
class Shard:
    """A tar file that need not be made to be named; `members` are in the order of their SHA-256."""

    members: tuple[Member, ...]

    @cached_property
    def name(self) -> str:
        """A name that says what is in it."""
        lines = "".join(f"{member.sha256} {member.size}\n" for member in self.members)
        return hashlib.sha256(f"dogbreed shard {_FORMAT}\n{lines}".encode("ascii")).hexdigest()[:40] + ".tar"

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Where the bytes of each member begin in the tar file."""
        lengths = (_BLOCK + _padded(member.size) for member in self.members)
        return tuple(end + _BLOCK for end in accumulate(lengths, initial=0))[:-1]

    @property
    def size(self) -> int:
        """Bytes of the tar file."""
        return sum(_BLOCK + _padded(member.size) for member in self.members) + _END

    def pack(self) -> bytearray:
        """The tar file. DogbreedError when a photo is not what it was when it was read."""
        packed = bytearray(self.size)
        for member, offset in zip(self.members, self.offsets, strict=True):
            packed[offset - _BLOCK : offset] = _header(member)
            packed[offset : offset + member.size] = _read(member)
        return packed


def plan(photos: PhotoSet, limit: int = LIMIT) -> tuple[Shard, ...]:
    """The shards that hold every photo once, in the order of their content; only the sizes of files are looked at."""
    paths = {photo.sha256: photo.path for photo in photos.photos}
    members = [Member(sha256, _size(path), path) for sha256, path in sorted(paths.items())]
    return tuple(Shard(tuple(group)) for group in _cut(members, limit))


def index(photos: PhotoSet, shards: Sequence[Shard]) -> bytes:
    """What index.json says: the shards, and for each photo its breed, split, shard, offset and size."""
    where = {
        member.sha256: (number, offset, member.size)
        for number, shard in enumerate(shards)
        for member, offset in zip(shard.members, shard.offsets, strict=True)
    }
    entries = sorted((photo.sha256, photo.breed, photo.split or "") for photo in photos.photos)
    content = {
        "format": _FORMAT,
        "digest": photos.digest(),
        "breeds": list(photos.breeds),
        "shards": [[shard.name, shard.size] for shard in shards],
        "photos": [[sha256, breed, split, *where[sha256]] for sha256, breed, split in entries],
    }
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def place(sha256: str) -> str:
    """Where `unpack` puts a photo, relative to its folder."""
    return f"{sha256[:2]}/{sha256}"


def unpack(folder: Path, to: Path, *, progress: Progress | None = None, jobs: int = 4) -> int:
    """Unpack every photo that `folder`/index.json names to `to`/<place>, checking its SHA-256; how many there were.

    Shards are read from front to back in `jobs` threads, as suits a folder that is streamed from S3. Raises
    DogbreedError for an index or a shard that is missing, damaged or not what it says.
    """
    wanted = _wanted(folder)
    total = sum(size for photos in wanted.values() for _, _, size in photos)
    for first in {sha256[:2] for photos in wanted.values() for sha256, _, _ in photos}:
        (to / first).mkdir(parents=True, exist_ok=True)
    done = 0
    with ThreadPoolExecutor(jobs) as pool:
        for unpacked in pool.map(lambda item: _unpack(folder / item[0], item[1], to), wanted.items()):
            done += unpacked
            if progress:
                progress(done, total)
    return sum(map(len, wanted.values()))


def read_index(folder: Path) -> dict[str, Any]:
    """The content of `folder`/index.json, its names checked; DogbreedError for anything else."""
    file = folder / INDEX
    try:
        content = json.loads(file.read_bytes())
        sizes = dict(content["shards"])
        good = content["format"] == _FORMAT and all(_SHARD.fullmatch(name) for name in sizes)
        for sha256, _, _, number, offset, size in content["photos"]:
            _, whole = content["shards"][number]
            good = good and bool(_SHA256.fullmatch(sha256)) and number >= 0 and 0 < offset <= offset + size <= whole
    except OSError as error:
        raise DogbreedError(f"{file}: {error.strerror}", "upload the photos again") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DogbreedError(f"{file} is damaged: {error}", "upload the photos again") from error
    if not good:
        raise DogbreedError(f"{file} is no index of this format", "upload the photos again with this dogbreed")
    return dict(content)


# -- cutting


def _cut(members: Sequence[Member], limit: int) -> Iterator[Sequence[Member]]:
    """Leaves of a binary trie over the hashes, each of at most `limit` bytes or a single photo."""
    numbers = [int(member.sha256, 16) for member in members]
    sums = list(accumulate((member.size for member in members), initial=0))

    def cut(start: int, end: int, depth: int) -> Iterator[Sequence[Member]]:
        if start == end:
            return
        if sums[end] - sums[start] <= limit or end - start == 1:
            yield members[start:end]
            return
        bit = 1 << (_BITS - 1 - depth)
        middle = next((at for at in range(start, end) if numbers[at] & bit), end)
        yield from cut(start, middle, depth + 1)
        yield from cut(middle, end, depth + 1)

    return cut(0, len(members), 0)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise DogbreedError(f"{path}: {error.strerror or error}", "run the command again") from error


# -- packing


def _header(member: Member) -> bytes:
    info = tarfile.TarInfo(member.sha256)
    info.size, info.mode = member.size, 0o644
    return info.tobuf(tarfile.USTAR_FORMAT)


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _read(member: Member) -> bytes:
    try:
        content = member.path.read_bytes()
    except OSError as error:
        raise DogbreedError(f"{member.path}: {error.strerror or error}", "run the command again") from error
    if len(content) != member.size or hashlib.sha256(content).hexdigest() != member.sha256:
        raise DogbreedError(f"{member.path} has changed since it was read", "run the command again")
    return content


# -- unpacking


def _wanted(folder: Path) -> dict[str, list[tuple[str, int, int]]]:
    """Shard -> (SHA-256, offset, size) of its photos in the order in which they lie there."""
    content = read_index(folder)
    names = [name for name, _ in content["shards"]]
    wanted: Mapping[str, set[tuple[str, int, int]]] = {name: set() for name in names}
    for sha256, _, _, number, offset, size in content["photos"]:
        wanted[names[number]].add((sha256, offset, size))
    return {name: sorted(photos, key=lambda photo: photo[1]) for name, photos in wanted.items()}


def _unpack(shard: Path, photos: Sequence[tuple[str, int, int]], to: Path) -> int:
    """Bytes of photos that were written."""
    position = written = 0
    try:
        with open(shard, "rb") as file:
            for sha256, offset, size in photos:
                # Read over what lies between, since a stream cannot seek.
                file.read(max(0, offset - position))
                content = file.read(size)
                if offset < position or hashlib.sha256(content).hexdigest() != sha256:
                    raise DogbreedError(f"{shard.name} is damaged: {sha256} is not in it", "upload the photos again")
                position = offset + size
                (to / place(sha256)).write_bytes(content)
                written += size
    except OSError as error:
        raise DogbreedError(
            f"{error.filename or shard}: {error.strerror or error}", "check the disk's space"
        ) from error
    return written
