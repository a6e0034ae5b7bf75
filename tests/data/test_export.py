from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from photos import save, tree

from dogbreed.data import export
from dogbreed.data.photoset import PhotoSet
from dogbreed.data.sample import draw_sample
from dogbreed.errors import DogbreedError, UsageError

Look = Callable[..., PhotoSet]


def _files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("link", [False, True])
def test_the_split_holds_every_photo_and_leaves_the_input_alone(tmp_path: Path, look_at: Look, link: bool) -> None:
    root = tree(tmp_path / "in", {"n02085620-Chihuahua": 10, "pug": 7})
    before = _files(root)
    photos = look_at(root)
    counts = export.write(photos, tmp_path / "out", link=link)
    assert _files(root) == before
    assert counts == {"train": 11, "valid": 3, "test": 3}
    written = look_at(tmp_path / "out")
    assert written.digest() == photos.digest()
    assert written.problems == ()
    one = next((tmp_path / "out" / "train" / "pug").iterdir())
    assert one.stat().st_nlink == (2 if link else 1)


def test_equal_names_lose_no_photo(tmp_path: Path, look_at: Look) -> None:
    root = tree(tmp_path / "in", {"Pug": 4, "pug": 4, "boxer": 4})
    save(root / "pug" / "PHOTO_0.jpg", 90)
    photos = look_at(root)
    assert len(photos.photos) == 13
    export.write(photos, tmp_path / "out", link=False)
    names = [path.relative_to(tmp_path / "out").as_posix().lower() for path in (tmp_path / "out").rglob("*.jpg")]
    assert len(names) == len(set(names)) == 13
    assert look_at(tmp_path / "out").digest() == photos.digest()


def test_it_refuses_a_full_folder_and_the_input_itself(tmp_path: Path, look_at: Look) -> None:
    photos = look_at(tree(tmp_path / "in", {"pug": 4, "boxer": 4}))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep me")
    with pytest.raises(UsageError, match="not empty"):
        export.write(photos, tmp_path / "out", link=False)
    with pytest.raises(UsageError, match="lies inside"):
        export.write(photos, tmp_path / "in" / "out", link=False)
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep me"


def test_a_failure_midway_leaves_nothing(tmp_path: Path, look_at: Look) -> None:
    photos = look_at(tree(tmp_path / "in", {"pug": 4, "boxer": 4}))
    photos.photos[-1].path.write_bytes(b"changed")
    with pytest.raises(DogbreedError, match="has changed since"):
        export.write(photos, tmp_path / "out", link=False)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def _write_and_die(photos: PhotoSet, out: Path) -> None:
    def die(done: int, total: int) -> None:
        if done == total // 2:
            os.kill(os.getpid(), signal.SIGKILL)

    export.write(photos, out, link=False, progress=die)


def test_killed_midway_there_is_no_half_split(tmp_path: Path, look_at: Look) -> None:
    photos = look_at(tree(tmp_path / "in", {"pug": 4, "boxer": 4}))
    child = multiprocessing.get_context("fork").Process(target=_write_and_die, args=(photos, tmp_path / "out"))
    child.start()
    child.join(300)
    assert child.exitcode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert list(tmp_path.glob(".out-*.tmp/train/*/*.jpg"))
    export.write(photos, tmp_path / "out", link=False)
    assert len(look_at(tmp_path / "out").photos) == 8


def test_a_split_of_drawings_says_that_it_is_drawn(tmp_path: Path, look_at: Look) -> None:
    draw_sample(tmp_path / "drawn", breeds=2, photos=4)
    export.write(look_at(tmp_path / "drawn"), tmp_path / "out", link=True)
    assert look_at(tmp_path / "out").drawn
