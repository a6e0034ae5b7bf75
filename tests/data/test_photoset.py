from __future__ import annotations

import io
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from photos import picture, save, tree
from PIL import Image, ImageEnhance

from dogbreed.data import scan
from dogbreed.data.duplicates import groups
from dogbreed.data.look import look
from dogbreed.data.photoset import PhotoSet
from dogbreed.data.sample import draw_sample
from dogbreed.infer.photo import read_photo

Look = Callable[..., PhotoSet]
SHARED = Path(__file__).resolve().parents[2] / ".." / "shared"


def found(photos: PhotoSet) -> set[tuple[str, str, bool]]:
    return {(str(item.path.relative_to(photos.root)), item.kind, item.used) for item in photos.problems}


def test_every_odd_file_is_named(tmp_path: Path, look_at: Look) -> None:
    root = tree(tmp_path, {"pug": 4, "boxer": 4})
    whole = save(root / "pug" / "cut.jpg", 50).read_bytes()
    (root / "pug" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "pug" / "zero.jpg").write_bytes(b"")
    (root / "pug" / "text.jpg").write_text("a dog")
    save(root / "pug" / "webp.jpg", 51, format="WEBP")
    save(root / "pug" / "cmyk.jpg", 0, image=picture(52).convert("CMYK"))
    save(root / "pug" / "grey.png", 0, image=picture(53).convert("L"))
    save(root / "pug" / "palette.png", 0, image=picture(54).quantize(16), transparency=3)
    save(root / "pug" / "deep.png", 0, image=picture(55).convert("L").convert("I").convert("I;16"))
    save(root / "pug" / "moves.gif", 56, save_all=True, append_images=[picture(57)])
    exif = Image.Exif()
    exif[0x0112] = 6
    save(root / "pug" / "turned.jpg", 58, exif=exif)
    bomb = Image.new("1", (30_000, 30_000))
    save(root / "pug" / "bomb.png", 0, image=bomb)
    photos = look_at(root)
    assert {
        ("pug/cut.jpg", "truncated", False),
        ("pug/zero.jpg", "empty", False),
        ("pug/text.jpg", "not-an-image", False),
        ("pug/bomb.png", "bomb", False),
        ("pug/webp.jpg", "wrong-extension", True),
        ("pug/cmyk.jpg", "cmyk", True),
        ("pug/grey.png", "grey", True),
        ("pug/palette.png", "palette", True),
        ("pug/palette.png", "transparent", True),
        ("pug/deep.png", "16-bit", True),
        ("pug/moves.gif", "animated", True),
        ("pug/turned.jpg", "rotated", True),
    } <= found(photos)
    assert len(photos.photos) == 8 + 7
    assert photos.found == 8 + 11


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_without_permission_are_named(tmp_path: Path, look_at: Look) -> None:
    root = tree(tmp_path, {"pug": 4, "boxer": 4})
    (root / "pug" / "photo_0.jpg").chmod(0)
    assert ("pug/photo_0.jpg", "unreadable", False) in found(look_at(root))


def test_a_file_that_goes_away_is_unreadable(tmp_path: Path) -> None:
    stat, result = scan.scan_file(tmp_path / "gone.jpg")
    assert stat is None and result.fault is not None and result.fault[0] == "unreadable"


# -- copies


def _again(image: Image.Image, quality: int, kind: str = "JPEG") -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=quality)
    return read_photo(buffer.getvalue()).image


CHANGES = {
    "smaller": lambda image: image.resize((image.width // 2, image.height // 2)),
    "square": lambda image: image.resize((224, 224)),
    "worse": lambda image: _again(image, 25),
    "webp": lambda image: _again(image, 60, "WEBP"),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.12),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.85),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found(change: str) -> None:
    images = [picture(number, (320, 240)) for number in range(20)]
    copies = [CHANGES[change](image) for image in images]
    looks = [look(image) for image in images + copies]
    assert sorted(groups([str(n) for n in range(40)], looks)) == [[n, n + 20] for n in range(20)]


def test_different_pictures_are_no_copies() -> None:
    looks = [look(picture(number)) for number in range(400)]
    assert groups([str(number) for number in range(400)], looks) == []


def test_plain_pictures_are_copies_only_byte_for_byte() -> None:
    looks = [look(Image.new("RGB", (64, 64), (shade, shade, 200))) for shade in range(60, 90)]
    digests = [str(number) for number in range(30)]
    assert groups(digests, looks) == []
    assert groups([*digests, "7"], [*looks, looks[7]]) == [[7, 30]]


def test_another_colour_is_another_picture() -> None:
    shape = picture(1).convert("L")
    red, green = Image.merge("RGB", (shape, shape.point(lambda v: v // 2), shape.point(lambda v: v // 2))), None
    green = Image.merge("RGB", (shape.point(lambda v: v // 2), shape, shape.point(lambda v: v // 2)))
    assert groups(["a", "b"], [look(red), look(green)]) == []


def test_groups_do_not_depend_on_order() -> None:
    images = [picture(number) for number in range(12)] + [_again(picture(number), 40) for number in range(6)]
    order = list(range(18))
    random.Random(3).shuffle(order)
    plain = {frozenset(group) for group in groups([str(n) for n in range(18)], [look(image) for image in images])}
    mixed = groups([str(n) for n in order], [look(images[n]) for n in order])
    assert {frozenset(order[position] for position in group) for group in mixed} == plain
    assert len(plain) == 6


@pytest.mark.skipif(not (SHARED / "data" / "originals").is_dir(), reason="no shared photos beside the repository")
def test_real_photos_match_their_smaller_copies_and_no_other() -> None:
    originals = {path.stem.split("_", 1)[1]: path for path in (SHARED / "data" / "originals").rglob("*.*")}
    copies = {path.stem: path for name in ("dev7", "dev_wide") for path in (SHARED / "data" / name).rglob("*.*")}
    pairs = [(originals[stem], copies[stem]) for stem in sorted(originals) if stem in copies][:60]
    assert len(pairs) == 60
    images = [path for pair in pairs for path in pair]
    looks = [look(read_photo(path.read_bytes(), at_least=64).image) for path in images]
    assert groups([str(path) for path in images], looks) == [[n, n + 1] for n in range(0, 120, 2)]


def test_copies_within_a_breed(tmp_path: Path, look_at: Look) -> None:
    root = tree(tmp_path, {"pug": 5, "boxer": 5})
    shutil.copy(root / "pug" / "photo_0.jpg", root / "pug" / "same.jpg")
    save(root / "pug" / "near.jpg", 1, quality=60)
    photos = look_at(root)
    assert found(photos) == {("pug/same.jpg", "duplicate", False), ("pug/photo_1.jpg", "near-duplicate", True)}
    splits = {photo.path.name: photo.split for photo in photos.photos if photo.breed == "pug"}
    assert splits["near.jpg"] == splits["photo_1.jpg"]


def test_a_leak_costs_the_training_copy(tmp_path: Path, look_at: Look) -> None:
    root = tree(tmp_path, {f"{split}/{breed}": 4 for split in ("train", "valid", "test") for breed in ("pug", "boxer")})
    shutil.copy(root / "test" / "pug" / "photo_0.jpg", root / "train" / "pug" / "leak.jpg")
    save(
        root / "valid" / "boxer" / "near.jpg", 0, image=Image.open(root / "test" / "boxer" / "photo_1.jpg"), quality=70
    )
    photos = look_at(root)
    assert found(photos) == {("train/pug/leak.jpg", "leak", False), ("valid/boxer/near.jpg", "leak", False)}
    assert Counter(photo.split for photo in photos.photos) == {"train": 8, "valid": 8, "test": 8}
    assert any("test/pug/photo_0.jpg" in problem.detail for problem in photos.problems)


def test_one_photo_under_two_breeds_is_a_conflict(tmp_path: Path, look_at: Look) -> None:
    root = tree(tmp_path, {"pug": 6, "boxer": 6})
    shutil.copy(root / "pug" / "photo_0.jpg", root / "boxer" / "a.jpg")
    photos = look_at(root)
    assert found(photos) == {("pug/photo_0.jpg", "label-conflict", True), ("boxer/a.jpg", "label-conflict", True)}
    both = {
        photo.split for photo in photos.photos if photo.path.name in ("a.jpg",) or photo.path.match("pug/photo_0.jpg")
    }
    assert len(both) == 1


# -- splits from content, order, digest


def test_a_renamed_copy_gets_the_same_split(tmp_path: Path, look_at: Look) -> None:
    root = tree(tmp_path / "one", {"pug": 9, "boxer": 12})
    first = look_at(root)
    for number, path in enumerate(sorted(root.rglob("*.jpg"), reverse=True)):
        target = tmp_path / "two" / {"pug": "001.Pug", "boxer": "002.Boxer"}[path.parent.name] / f"{number:03}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    second = look_at(tmp_path / "two")
    assert second.digest() == first.digest()
    assert [photo.sha256 for photo in second.photos] == [photo.sha256 for photo in first.photos]
    assert look_at(root, seed=1).digest() != first.digest()


# -- the cache


def test_the_second_reading_opens_no_file(tmp_path: Path, look_at: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    root = _settled(tree(tmp_path / "set", {"pug": 4, "boxer": 4}))
    first = look_at(root)
    monkeypatch.setattr(scan, "scan_file", lambda path: pytest.fail(f"{path} was opened"))
    assert look_at(root) == first


def test_a_changed_file_is_read_again(tmp_path: Path, look_at: Look) -> None:
    root = _settled(tree(tmp_path / "set", {"pug": 4, "boxer": 4}))
    look_at(root)
    (root / "pug" / "photo_0.jpg").write_bytes(b"no photo any more")
    assert ("pug/photo_0.jpg", "not-an-image", False) in found(look_at(root))


@pytest.mark.parametrize("damage", [b"", b"junk", b"0" * 64 + b"\n{}"])
def test_a_damaged_cache_is_thrown_away(tmp_path: Path, look_at: Look, cache: Path, damage: bytes) -> None:
    root = _settled(tree(tmp_path / "set", {"pug": 4, "boxer": 4}))
    first = look_at(root)
    (file,) = (cache / "scan").iterdir()
    file.write_bytes(damage)
    assert look_at(root) == first


def test_a_cache_that_cannot_be_written_costs_nothing(tmp_path: Path, look_at: Look, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    assert len(look_at(tree(tmp_path / "set", {"pug": 3, "boxer": 3})).photos) == 6


def _settled(root: Path) -> Path:
    for path in root.rglob("*.jpg"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return root


# -- the drawn set


def test_the_sample_set_is_drawn_and_has_no_copies(tmp_path: Path, look_at: Look) -> None:
    calls: list[tuple[int, int]] = []
    draw_sample(
        tmp_path / "drawn", breeds=4, photos=6, seed=3, progress=lambda done, total: calls.append((done, total))
    )
    photos = look_at(tmp_path / "drawn")
    assert photos.drawn and photos.problems == () and len(photos.photos) == 24
    assert calls[-1] == (24, 24)
    draw_sample(tmp_path / "again", breeds=4, photos=6, seed=3)
    assert look_at(tmp_path / "again").digest() == photos.digest()
    draw_sample(tmp_path / "other", breeds=4, photos=6, seed=4)
    assert look_at(tmp_path / "other").digest() != photos.digest()
    assert "not photographs" in (tmp_path / "drawn" / "README.txt").read_text()
