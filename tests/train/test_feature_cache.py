"""Features are computed once for what they follow from, and never taken for something else."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import training
from torch import nn

from dogbreed.data.photoset import Photo, PhotoSet
from dogbreed.infer.preprocess import Preprocessing
from dogbreed.train import features
from dogbreed.train.distributed import World
from dogbreed.train.features import Features, StoppedError, extract

_PRE = Preprocessing(resize=40, crop=32)
Extract = Callable[..., Features]


def backbone(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 5, stride=4), nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOGBREED_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def compute(photos: PhotoSet) -> Extract:
    def call(
        chosen: tuple[Photo, ...] = photos.photos, net: nn.Module | None = None, pre: Preprocessing = _PRE
    ) -> Features:
        return extract(net or backbone(), chosen, pre, World(0, 1, torch.device("cpu")), lambda count: None)

    return call


def test_the_second_time_nothing_is_computed(compute: Extract) -> None:
    first, second = compute(), compute()
    assert (first.computed, second.computed) == (36, 0)
    assert torch.equal(first.rows, second.rows)
    assert first.rows.shape == (36, 2, 4)
    assert not torch.equal(first.rows[:, 0], first.rows[:, 1])  # as it is, and mirrored


def test_what_changes_them_is_computed_again_and_no_more(compute: Extract, photos: PhotoSet, tmp_path: Path) -> None:
    first = compute()
    changed = backbone()
    with torch.no_grad():
        next(changed.parameters())[0, 0, 0, 0] += 1
    assert compute(net=changed).computed == 36
    assert compute(pre=replace(_PRE, mean=(0.4, 0.5, 0.5))).computed == 36
    one = photos.photos[0]
    other = tmp_path / "other.jpg"
    other.write_bytes(photos.photos[1].path.read_bytes())
    # Another photo in the place of the first: its bytes count, not its name.
    assert compute((replace(one, path=other, sha256="0" * 64), *photos.photos[1:])).computed == 1
    # Moved, in another order, with another split: the same photos.
    assert compute(tuple(replace(p, split="train", breed="x") for p in reversed(photos.photos))).computed == 0
    assert torch.equal(compute().rows, first.rows)


def _stopped_on_the_last_rank(rank: int, size: int, port: int, folder: str, photos: tuple[Photo, ...]) -> None:
    """What a rank saw of features that only the last rank was told to stop, after its first batch of several."""
    os.environ |= training.rank_environment(rank, size, port)
    world, told = World.join(), list[int]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "_BATCH", 5)
        with pytest.raises(StoppedError):
            extract(backbone(), photos, _PRE, world, told.append, lambda: rank == size - 1)
        first = sum(told)
        rows = extract(backbone(), photos, _PRE, world, told.append, lambda: False).rows
    torch.save({"first": first, "all": sum(told), "rows": rows}, f"{folder}/{rank}.pt")
    world.leave()


@pytest.mark.slow
def test_stopped_on_one_rank_all_stop_and_what_was_computed_is_kept(
    compute: Extract, photos: PhotoSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 3
    chosen = photos.photos[:34]
    training.in_ranks(_stopped_on_the_last_rank, size, str(tmp_path), chosen)
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(size)]
    # One batch each, then the rest and no more, shared as evenly as it goes.
    assert [one["first"] for one in found] == [5] * size
    assert sorted(one["all"] for one in found) == sorted(len(chosen[rank::size]) for rank in range(size))
    monkeypatch.setenv("DOGBREED_CACHE_DIR", str(tmp_path / "another"))
    whole = compute(chosen).rows
    for one in found:
        torch.testing.assert_close(one["rows"], whole)


@pytest.mark.parametrize("harm", ["cut", "empty", "garbage", "changed byte"])
def test_a_damaged_cache_counts_as_none(compute: Extract, cache: Path, harm: str) -> None:
    first = compute()
    (file,) = (cache / "features").iterdir()
    data = bytearray(file.read_bytes())
    data[-3] ^= 0x40
    content = {"cut": data[:-20], "empty": b"", "garbage": b"\xff" * 300, "changed byte": data}[harm]
    file.write_bytes(content)
    second = compute()
    assert second.computed == 36
    assert torch.equal(first.rows, second.rows)
    assert compute().computed == 0


def test_a_cache_that_cannot_be_written_costs_only_time(compute: Extract, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    assert compute().computed == compute().computed == 36


def test_copies_of_a_photo_are_computed_once(compute: Extract, photos: PhotoSet) -> None:
    found = compute(photos.photos[:2] * 3)
    assert found.computed == 2
    assert torch.equal(found.rows[0], found.rows[4])


def test_the_efficiency_is_only_measured_when_it_is_worth_it(compute: Extract, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(features, "_efficiency", lambda *_: asked.append(1) or 0.9)
    assert compute().efficiency is None
    monkeypatch.setattr(features, "_WORTH_MEASURING", 10)
    assert compute(pre=replace(_PRE, resize=48)).efficiency == 0.9
    assert compute(pre=replace(_PRE, resize=48)).efficiency is None
    assert asked == [1]
