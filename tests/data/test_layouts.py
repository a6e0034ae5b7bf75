from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from photos import save, tree

from dogbreed.data.photoset import PhotoSet
from dogbreed.errors import DogbreedError, UsageError

Look = Callable[..., PhotoSet]


def kinds(photos: PhotoSet) -> dict[str, str]:
    return {str(problem.path.relative_to(photos.root)): problem.kind for problem in photos.problems}


@pytest.mark.parametrize(
    ("layout", "folders"),
    [
        ("class-folders", ("Chihuahua", "Bernese Mountain Dog")),
        ("stanford-dogs", ("Images/n02085620-Chihuahua", "Images/n02107683-Bernese_mountain_dog")),
        ("stanford-dogs", ("n02085620-Chihuahua", "n02107683-Bernese_mountain_dog")),
        ("udacity", ("001.Chihuahua", "023.Bernese_mountain_dog")),
    ],
)
def test_class_folders_of_every_naming(tmp_path: Path, look_at: Look, layout: str, folders: tuple[str, str]) -> None:
    photos = look_at(tree(tmp_path / "set", dict.fromkeys(folders, 5)))
    assert (photos.layout, photos.breeds) == (layout, ("bernese_mountain_dog", "chihuahua"))
    assert photos.originals["chihuahua"] == Path(folders[0]).name
    assert {name: len(photos.split(name)) for name in ("train", "valid", "test")} == {"train": 6, "valid": 2, "test": 2}
    assert photos.problems == ()


@pytest.mark.parametrize(("prefix", "valid"), [("", "valid"), ("", "val"), ("dogImages/", "validation")])
def test_given_splits_are_kept(tmp_path: Path, look_at: Look, prefix: str, valid: str) -> None:
    names = {"train": 3, valid: 1, "test": 2}
    root = tree(tmp_path, {f"{prefix}{split}/{breed}": n for split, n in names.items() for breed in ("pug", "boxer")})
    photos = look_at(root)
    assert photos.given == ("train", "valid", "test")
    assert {name: len(photos.split(name)) for name in photos.given} == {"train": 6, "valid": 2, "test": 4}
    assert len(look_at(root, again=True).split("test")) == 2


def test_a_missing_valid_is_carved_from_train_alone(tmp_path: Path, look_at: Look) -> None:
    photos = look_at(tree(tmp_path, {f"{split}/{breed}": 10 for split in ("train", "test") for breed in ("a", "b")}))
    assert [len(photos.split(name)) for name in ("train", "valid", "test")] == [16, 4, 20]
    assert all("/train/" in str(photo.path) for photo in photos.split("valid"))


def test_oxford_names_dogs_in_lower_case(tmp_path: Path, look_at: Look) -> None:
    for number, name in enumerate(("pug_1", "pug_2", "great_pyrenees_10", "great_pyrenees_11", "Abyssinian_12")):
        save(tmp_path / "images" / f"{name}.jpg", number)
    photos = look_at(tmp_path)
    assert (photos.layout, photos.breeds) == ("oxford-iiit-pet", ("great_pyrenees", "pug"))
    assert kinds(photos) == {"images/Abyssinian_12.jpg": "cat"}
    assert "abyssinian" in look_at(tmp_path, cats=True).breeds


def test_oxford_list_overrules_the_case(tmp_path: Path, look_at: Look) -> None:
    for number, name in enumerate(("pug_1", "pug_2", "siamese_1", "Boxer_1", "Boxer_2")):
        save(tmp_path / "images" / f"{name}.jpg", number)
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "list.txt").write_text(
        "# Image CLASS-ID SPECIES\nsiamese_1 1 1 1\nBoxer_1 2 2 1\nBoxer_2 2 2 1\n"
    )
    photos = look_at(tmp_path)
    assert photos.breeds == ("boxer", "pug")
    assert kinds(photos) == {"images/siamese_1.jpg": "cat", "annotations": "stray"}


def test_kaggle_labels(tmp_path: Path, look_at: Look) -> None:
    for number, name in enumerate(("a1", "a2", "b1", "b2", "nobody", "both")):
        save(tmp_path / "train" / f"{name}.jpg", number)
    save(tmp_path / "test" / "secret.jpg", 9)
    save(tmp_path / "train" / "a1.png", 10)
    save(tmp_path / "train" / "empty.jpg", 11)
    rows = [
        "id,breed",
        "a1,boxer",
        "a2,boxer",
        "b1,toy_poodle",
        "b2,toy-poodle",
        "gone,boxer",
        "empty,",
        "both,boxer",
        "both,pug",
    ]
    (tmp_path / "labels.csv").write_text("\ufeff" + "\r\n".join(rows), encoding="utf-8")
    photos = look_at(tmp_path)
    assert (photos.layout, photos.breeds, len(photos.photos)) == ("kaggle-labels", ("boxer", "toy_poodle"), 4)
    assert kinds(photos) == {
        "train/nobody.jpg": "unlabelled",
        "train/a1.png": "unlabelled",
        "train/empty.jpg": "unlabelled",
        "train/gone.jpg": "missing",
        "train/both.jpg": "label-conflict",
        "test/secret.jpg": "unlabelled",
    } | {name: kind for name, kind in kinds(photos).items() if kind == "few-photos"}


def test_labels_without_columns_are_refused(tmp_path: Path, look_at: Look) -> None:
    (tmp_path / "labels.csv").write_text("name,dog\n")
    with pytest.raises(DogbreedError, match="no columns id and breed"):
        look_at(tmp_path)


def test_spellings_of_one_breed_are_merged_and_named(tmp_path: Path, look_at: Look) -> None:
    photos = look_at(tree(tmp_path, {"Pug": 2, "pug": 2, "002.pug": 2, "boxer": 3}))
    assert len([photo for photo in photos.photos if photo.breed == "pug"]) == 6
    assert kinds(photos) == {"Pug": "merged", "pug": "merged"}
    again = look_at(tree(tmp_path / "two", {"Pug": 2, "pug": 2, "boxer": 3}, start=50))
    assert kinds(again) == {"pug": "same-name-but-case"}


def test_odd_entries_are_named_and_stop_nothing(tmp_path: Path, look_at: Look) -> None:
    root = tree(tmp_path / "set", {"pug": 4, "boxer": 4, "pug/deeper": 1})
    save(root / "loose.jpg", 90)
    (root / "pug" / ".DS_Store").write_bytes(b"x")
    (root / "pug" / "Thumbs.db").write_bytes(b"x")
    (root / "pug" / "dead.jpg").symlink_to("nowhere.jpg")
    (root / "pug" / "self.jpg").symlink_to("self.jpg")
    (root / "boxer" / "up").symlink_to(root)
    (root / "alias").symlink_to(root / "pug")
    os.mkfifo(root / "boxer" / "pipe.jpg")
    photos = look_at(root)
    assert len(photos.photos) == 8
    assert kinds(photos) == {
        "loose.jpg": "stray",
        "pug/deeper/photo_0.jpg": "stray",
        "pug/.DS_Store": "hidden",
        "pug/Thumbs.db": "hidden",
        "pug/dead.jpg": "broken-symlink",
        "pug/self.jpg": "symlink-loop",
        "boxer/up": "symlink-loop",
        "alias": "linked-twice",
        "boxer/pipe.jpg": "not-a-file",
    }


def test_linked_photos_and_folders_are_read(tmp_path: Path, look_at: Look) -> None:
    real = tree(tmp_path / "real", {"pug": 4, "boxer": 4})
    (tmp_path / "set" / "boxer").mkdir(parents=True)
    (tmp_path / "set" / "pug").symlink_to(real / "pug")
    for path in (real / "boxer").iterdir():
        (tmp_path / "set" / "boxer" / path.name).symlink_to(path)
    assert look_at(tmp_path / "set").digest() == look_at(real).digest()


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"pug": 4, "boxer": 1}, "boxer has one usable photo"),
        ({"pug": 4}, "pug is the only breed"),
        ({"train/pug": 3, "train/boxer": 3, "test/pug": 2, "test/collie": 2}, "collie has no photo to train on"),
    ],
)
def test_breeds_that_cannot_be_trained_on_are_named(
    tmp_path: Path, look_at: Look, counts: dict[str, int], words: str
) -> None:
    with pytest.raises(DogbreedError, match=words) as caught:
        look_at(tree(tmp_path, counts), strict=True)
    assert caught.value.hint


def test_an_empty_class_is_named(tmp_path: Path, look_at: Look) -> None:
    tree(tmp_path, {"pug": 3, "boxer": 3})
    (tmp_path / "collie").mkdir()
    with pytest.raises(DogbreedError, match="collie has no usable photo"):
        look_at(tmp_path, strict=True)
    assert kinds(look_at(tmp_path)) == {"collie": "empty-class"}


def test_no_folder_and_no_photos(tmp_path: Path, look_at: Look) -> None:
    with pytest.raises(UsageError, match="not a folder"):
        look_at(tmp_path / "nowhere")
    with pytest.raises(DogbreedError, match="no photos in a layout"):
        look_at(tmp_path)
