"""Assign photos to train, valid and test from their content alone.

Neither names nor order matter, so the same photos in a copied or renamed tree get the same split. Copies of one
picture stay in one split, and every breed is split by itself, so that the shares hold in each.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dogbreed.errors import UsageError


@dataclass(frozen=True, slots=True)
class Item:
    """One photo to assign: its breed, the SHA-256 of its bytes, and the number of its group of copies."""

    breed: str
    sha256: str
    group: int


def assign(items: Sequence[Item], shares: Mapping[str, float], *, seed: int) -> list[str]:
    """A split per item: a name of `shares`, or "train" for the rest.

    Each share is of each breed and holds within one photo where no group of copies is in the way. A breed with at
    least as many photos as there are splits has one in each, and train always has one.
    Raises UsageError when the shares leave nothing to train on.
    """
    if sum(shares.values()) >= 1:
        given = ", ".join(f"{name} {share:g}" for name, share in shares.items())
        raise UsageError(f"{given}: nothing is left to train on", "the shares must add up to less than 1")
    groups = _groups(items)
    left = {breed: _targets(count, shares) for breed, count in Counter(item.breed for item in items).items()}
    result = ["train"] * len(items)
    for members in sorted(groups, key=lambda group: _rank(items, group, seed)):
        wanted = Counter(items[position].breed for position in members)
        for split in shares:
            if all(left[breed][split] >= count for breed, count in wanted.items()):
                for position in members:
                    left[items[position].breed][split] -= 1
                    result[position] = split
                break
    return result


def _groups(items: Sequence[Item]) -> list[list[int]]:
    by_number: dict[int, list[int]] = defaultdict(list)
    for position, item in enumerate(items):
        by_number[item.group].append(position)
    return list(by_number.values())


def _rank(items: Sequence[Item], group: Sequence[int], seed: int) -> bytes:
    content = min(items[position].sha256 for position in group)
    return hashlib.sha256(f"{seed}:{content}".encode("ascii")).digest()


def _targets(count: int, shares: Mapping[str, float]) -> dict[str, int]:
    """How many of a breed's photos go to each split beside train; the first of `shares` is served first."""
    targets = {}
    spare = count - 1
    for split, share in shares.items():
        wanted = max(1, math.floor(count * share + 0.5)) if share > 0 else 0
        targets[split] = min(wanted, spare)
        spare -= targets[split]
    return targets
