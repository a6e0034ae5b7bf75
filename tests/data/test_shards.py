"""Shards: the same photos give the same bytes anywhere, and a new photo changes one shard."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from photosets import BREEDS, photo_set

from dogbreed.data import shards
from dogbreed.data.photoset import Photo, PhotoSet
from dogbreed.errors import DogbreedError

LIMIT = 4096


def write(folder: Path, photos: PhotoSet, limit: int = LIMIT) -> tuple[shards.Shard, ...]:
    folder.mkdir(exist_ok=True)
    planned = shards.plan(photos, limit)
    for shard in planned:
        (folder / shard.name).write_bytes(shard.pack())
    (folder / shards.INDEX).write_bytes(shards.index(photos, planned))
    return planned


CONTENTS = st.lists(st.binary(max_size=1500), unique=True, min_size=1, max_size=40)
MANY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(CONTENTS, st.integers(), st.integers())
@MANY
def test_the_same_photos_give_the_same_bytes_and_names(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes], one: int, other: int
) -> None:
    first = photo_set(tmp_path_factory.mktemp("a"), contents, one)
    second = photo_set(tmp_path_factory.mktemp("b") / "elsewhere", list(reversed(contents)), other)
    planned, again = shards.plan(first, LIMIT), shards.plan(second, LIMIT)
    assert [shard.name for shard in planned] == [shard.name for shard in again]
    assert [shard.pack() for shard in planned] == [shard.pack() for shard in again]
    assert shards.index(first, planned) == shards.index(second, again)


@given(CONTENTS)
@MANY
def test_every_photo_comes_out_as_it_went_in(tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]) -> None:
    folder = tmp_path_factory.mktemp("c")
    photos = photo_set(folder / "photos", contents)
    planned = write(folder / "packed", photos)
    assert shards.unpack(folder / "packed", folder / "out", jobs=2) == len(contents)
    for photo in photos.photos:
        assert (folder / "out" / shards.place(photo.sha256)).read_bytes() == photo.path.read_bytes()
    for shard in planned:
        packed = shard.pack()
        assert len(packed) == shard.size
        # Other programs can read them, too, and find what the index says where it says it.
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            assert [member.name for member in archive] == [member.sha256 for member in shard.members]
        for member, offset in zip(shard.members, shard.offsets, strict=True):
            assert hashlib.sha256(packed[offset : offset + member.size]).hexdigest() == member.sha256


@given(CONTENTS, st.binary(min_size=1, max_size=1500))
@MANY
def test_a_new_photo_changes_one_shard(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes], new: bytes
) -> None:
    folder = tmp_path_factory.mktemp("d")
    before = shards.plan(photo_set(folder / "before", contents), LIMIT)
    after = shards.plan(photo_set(folder / "after", [*contents, new]), LIMIT)
    fresh = {shard.name: shard for shard in after}.keys() - {shard.name for shard in before}
    gone = {shard.name for shard in before} - {shard.name for shard in after}
    assert len(gone) <= 1
    # What is sent again is that one shard, cut in two if it grew too large, and the photo.
    sent = sum(member.size for shard in after if shard.name in fresh for member in shard.members)
    assert sent <= LIMIT + len(new)


@given(CONTENTS)
@MANY
def test_no_shard_is_too_large_or_empty(tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]) -> None:
    planned = shards.plan(photo_set(tmp_path_factory.mktemp("e"), contents), LIMIT)
    for shard in planned:
        assert shard.members
        assert len(shard.members) == 1 or sum(member.size for member in shard.members) <= LIMIT
    assert sum(len(shard.members) for shard in planned) == len(contents)


def test_one_photo_in_two_splits_is_packed_once(tmp_path: Path) -> None:
    photos = photo_set(tmp_path / "photos", [b"a", b"b"])
    twice = (*photos.photos, Photo(photos.photos[0].path, "pug", "test", photos.photos[0].sha256))
    doubled = PhotoSet(photos.root, "folders", BREEDS, {}, twice, (), drawn=True)
    (shard,) = write(tmp_path / "packed", doubled)
    assert len(shard.members) == 2
    assert len(shards.read_index(tmp_path / "packed")["photos"]) == 3
    assert shards.unpack(tmp_path / "packed", tmp_path / "out") == 2


def test_a_photo_that_has_changed_is_named(tmp_path: Path) -> None:
    photos = photo_set(tmp_path / "photos", [b"one", b"two"])
    (shard,) = shards.plan(photos)
    photos.photos[0].path.write_bytes(b"six")
    with pytest.raises(DogbreedError, match="has changed since it was read"):
        shard.pack()
    photos.photos[0].path.unlink()
    with pytest.raises(DogbreedError, match="No such file"):
        shard.pack()


# -- what comes from elsewhere


def test_damage_is_noticed(tmp_path: Path) -> None:
    (shard,) = write(tmp_path / "packed", photo_set(tmp_path / "photos", [b"one" * 300, b"two" * 300]))
    file = tmp_path / "packed" / shard.name
    whole = file.read_bytes()
    at = shard.offsets[1] + 7
    for damaged in (whole[:at], whole[:at] + b"X" + whole[at + 1 :], b""):
        file.write_bytes(damaged)
        with pytest.raises(DogbreedError, match="is damaged"):
            shards.unpack(tmp_path / "packed", tmp_path / "out")
    file.unlink()
    with pytest.raises(DogbreedError, match="No such file"):
        shards.unpack(tmp_path / "packed", tmp_path / "out")


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"photos": [["../../etc/passwd", "pug", "train", 0, 512, 3]]},
        {"photos": [["a" * 64, "pug", "train", 9, 512, 3]]},
        {"photos": [["a" * 64, "pug", "train", -1, 512, 3]]},
        {"photos": [["a" * 64, "pug", "train", 0, -5, 3]]},
        {"photos": [["a" * 64, "pug", "train", 0, 512, 10**12]]},
        {"photos": [["a" * 64, "pug"]]},
        {"photos": None},
        {"shards": [["../evil.tar", 10]]},
        {"shards": [["/etc/passwd", 10]]},
        {"shards": 7},
    ],
)
def test_an_index_that_is_none_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    write(tmp_path / "packed", photo_set(tmp_path / "photos", [b"one"]))
    file = tmp_path / "packed" / shards.INDEX
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(DogbreedError, match=r"index\.json is"):
        shards.unpack(tmp_path / "packed", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@given(st.binary(max_size=200))
@MANY
def test_any_bytes_as_an_index_give_an_error_for_people(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("f")
    (folder / shards.INDEX).write_bytes(content)
    with pytest.raises(DogbreedError):
        shards.unpack(folder, folder / "out")
