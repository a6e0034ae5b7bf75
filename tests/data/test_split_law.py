from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dogbreed.data.split import Item, assign
from dogbreed.errors import UsageError

SHARES = {"test": 0.2, "valid": 0.15}


def _items(counts: list[int]) -> list[Item]:
    return [
        Item(f"breed{breed}", f"{breed:02}{number:04}", breed * 10_000 + number)
        for breed, count in enumerate(counts)
        for number in range(count)
    ]


counts = st.lists(st.integers(1, 60), min_size=1, max_size=5)
share = st.floats(0, 0.45)


@given(counts, share, share, st.integers(0, 99))
def test_shares_hold_within_one_photo_in_every_breed(sizes: list[int], test: float, valid: float, seed: int) -> None:
    items = _items(sizes)
    splits = assign(items, {"test": test, "valid": valid}, seed=seed)
    assert len(splits) == len(items)
    for breed, size in enumerate(sizes):
        got = Counter(split for item, split in zip(items, splits, strict=True) if item.breed == f"breed{breed}")
        assert set(got) <= {"train", "valid", "test"}
        assert got["train"] >= 1
        assert abs(got["test"] - size * test) <= 1
        assert abs(got["valid"] - size * valid) <= 1
        if size >= 3 and test and valid:
            assert got["test"] and got["valid"]


@given(counts, st.randoms(use_true_random=False))
def test_order_does_not_matter(sizes: list[int], shuffler: random.Random) -> None:
    items = _items(sizes)
    expected = dict(zip(items, assign(items, SHARES, seed=1), strict=True))
    shuffled = items[:]
    shuffler.shuffle(shuffled)
    renumbered = [Item(item.breed, item.sha256, item.group + 17) for item in shuffled]
    assert assign(renumbered, SHARES, seed=1) == [expected[item] for item in shuffled]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=1, max_size=60))
def test_copies_stay_together(photos: list[tuple[int, int]]) -> None:
    items = [Item(f"breed{breed}", f"{index:06}", group) for index, (breed, group) in enumerate(photos)]
    where: dict[int, set[str]] = {}
    for item, split in zip(items, assign(items, SHARES, seed=0), strict=True):
        where.setdefault(item.group, set()).add(split)
    assert all(len(splits) == 1 for splits in where.values())


def test_another_seed_gives_another_split() -> None:
    items = _items([60, 60])
    assert assign(items, SHARES, seed=0) != assign(items, SHARES, seed=1)


def test_shares_that_leave_nothing_are_refused() -> None:
    with pytest.raises(UsageError, match="nothing is left to train on"):
        assign(_items([10]), {"test": 0.5, "valid": 0.5}, seed=0)
