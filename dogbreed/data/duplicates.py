"""Find the same photo more than once: exact copies, and copies resized, re-encoded or made a little brighter.

Candidates are photos whose perceptual hashes differ in at most `MAX_DISTANCE` bits. Their hashes agree in at least
one of `_BANDS` bands, so comparing within the buckets of each band finds all of them without comparing all photos.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from dogbreed.data.look import THUMBNAIL, Look

MAX_DISTANCE = 8  # bits of 63; true copies measured 0 to 8, different photos rarely below 12
_BANDS = MAX_DISTANCE + 1
_BAND_BITS = 7
# A candidate is a copy when its thumbnail agrees: true copies measured above 0.95, others below 0.86.
_MIN_CORRELATION = 0.95
_MAX_TINT = 8.0  # mean difference of the colour planes, of 255
_MAX_BRIGHTER = 45.0  # difference of mean grey, of 255
_MAX_CONTRAST = 1.6
_FLAT = 4.0  # standard deviation of grey below which there is nothing to recognise
_ROWS = 1024

Pairs = NDArray[np.intp]


def groups(digests: Sequence[str], looks: Sequence[Look]) -> list[list[int]]:
    """Positions of photos that show the same picture, each group sorted; photos without a copy are in none.

    `digests` are the SHA-256 of the files: equal ones are copies, also of flat pictures.
    """
    parents = list(range(len(digests)))
    first: dict[str, int] = {}
    for position, digest in enumerate(digests):
        parents[position] = first.setdefault(digest, position)
    distinct = sorted(first.values())
    for left, right in near_pairs([looks[position] for position in distinct]):
        _join(parents, distinct[left], distinct[right])
    members: dict[int, list[int]] = {}
    for position in range(len(parents)):
        members.setdefault(_root(parents, position), []).append(position)
    return [group for group in members.values() if len(group) > 1]


def near_pairs(looks: Sequence[Look]) -> Iterator[tuple[int, int]]:
    """Pairs of positions (smaller first) whose pictures are the same; a pair may come more than once."""
    if len(looks) < 2:
        return
    hashes = np.array([look.hash for look in looks], dtype=np.uint64)
    thumbnails = np.frombuffer(b"".join(look.thumbnail for look in looks), np.uint8).reshape(len(looks), -1)
    pictures = _Pictures(thumbnails)
    alike = np.flatnonzero(pictures.contrast >= _FLAT)
    for band in range(_BANDS):
        # Bit 0 of a hash is always 0; the other 63 make nine bands of seven.
        keys = (hashes[alike] >> np.uint64(1 + band * _BAND_BITS)) & np.uint64(2**_BAND_BITS - 1)
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.diff(keys[order])) + 1
        for bucket in np.split(alike[order], starts):
            for pairs in _close(hashes, bucket):
                yield from map(tuple, pairs[pictures.same(pairs)].tolist())


def _close(hashes: NDArray[np.uint64], bucket: NDArray[np.intp]) -> Iterator[Pairs]:
    """Pairs [n, 2] within one bucket whose hashes are near, in blocks that fit the memory."""
    for start in range(0, len(bucket), _ROWS):
        rows = bucket[start : start + _ROWS]
        columns = bucket[start:]
        distances = np.bitwise_count(hashes[rows][:, None] ^ hashes[columns][None, :])
        left, right = np.nonzero(np.triu(distances <= MAX_DISTANCE, 1))
        if len(left):
            yield np.sort(np.stack([rows[left], columns[right]], axis=1), axis=1)


class _Pictures:
    """The thumbnails of all photos, ready to be compared."""

    def __init__(self, thumbnails: NDArray[np.uint8]) -> None:
        grey = thumbnails[:, : THUMBNAIL**2].astype(np.float32)
        self.tint = thumbnails[:, THUMBNAIL**2 :]
        self.mean = grey.mean(axis=1)
        self.contrast = grey.std(axis=1)
        scale = np.maximum(self.contrast, 1e-3) * THUMBNAIL
        self.shape = (grey - self.mean[:, None]) / scale[:, None]

    def same(self, pairs: Pairs) -> NDArray[np.bool_]:
        left, right = pairs[:, 0], pairs[:, 1]
        correlation = np.einsum("ij,ij->i", self.shape[left], self.shape[right])
        tint = np.abs(self.tint[left].astype(np.int16) - self.tint[right]).mean(axis=1)
        contrast = self.contrast[left] / self.contrast[right]
        brighter = np.abs(self.mean[left] - self.mean[right])
        same: NDArray[np.bool_] = (
            (correlation >= _MIN_CORRELATION)
            & (tint <= _MAX_TINT)
            & (brighter <= _MAX_BRIGHTER)
            & (contrast <= _MAX_CONTRAST)
            & (contrast >= 1 / _MAX_CONTRAST)
        )
        return same


def _root(parents: list[int], position: int) -> int:
    while parents[position] != position:
        parents[position] = parents[parents[position]]
        position = parents[position]
    return position


def _join(parents: list[int], left: int, right: int) -> None:
    left, right = sorted((_root(parents, left), _root(parents, right)))
    parents[right] = left
