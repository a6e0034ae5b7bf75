"""Which file is a photo of which breed: the folder layouts that public dog data sets use."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dogbreed.data.breeds import normalise
from dogbreed.data.problem import Problem
from dogbreed.data.walk import Folder, walk
from dogbreed.errors import DogbreedError, UsageError
from dogbreed.infer.photo import PHOTO_SUFFIXES

SPLITS = ("train", "valid", "test")
_SPLIT_NAMES = {
    **{"train": "train", "training": "train"},
    **{"valid": "valid", "val": "valid", "validation": "valid"},
    **{"test": "test", "testing": "test"},
}
DRAWN_MARKER = "drawn.json"
# Files and folders that come with a known data set and are no photos.
_COMPANIONS = re.compile(
    r"(readme|licen[cs]e|drawn|split|download)\b.*|labels\.csv|sample_submission\.csv|.*\.mat", re.IGNORECASE
)
_COMPANION_FOLDERS = frozenset({"annotation", "annotations", "lists"})
_FLAT_NAME = re.compile(r"(?P<breed>.+)_\d+$")
_SYNSET = re.compile(r"n\d{8}-")
_NUMBERED = re.compile(r"\d{3}\.")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that should be a photo, with its breed as spelt in the data set and its split, if given."""

    path: Path
    original: str
    split: str | None = None


@dataclass(slots=True)
class Listing:
    """What a folder holds; `classes` are the class folders (path, original name, split)."""

    layout: str
    candidates: list[Candidate] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    classes: list[tuple[Path, str, str | None]] = field(default_factory=list)
    drawn: bool = False


def find(root: Path, *, cats: bool = False) -> Listing:
    """Recognise the layout of `root` and list its photos, without opening any.

    Cat breeds of Oxford-IIIT Pet are left out unless `cats`. Raises UsageError when there is no such folder, and
    DogbreedError when it has no layout that is known.
    """
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder", "give a folder of photos; `dogbreed data sample` draws one")
    try:
        tree, problems = walk(root)
    except OSError as error:
        raise DogbreedError(f"{root}: {error.strerror or error}", "check the folder's permissions") from error
    listing = Listing("", problems=problems, drawn=(root / DRAWN_MARKER).is_file())
    _read_level(tree, listing, cats)
    _merge_report(listing)
    return listing


def _read_level(tree: Folder, listing: Listing, cats: bool) -> None:
    folders = [folder for folder in tree.folders if folder.path.name.lower() not in _COMPANION_FOLDERS]
    labels = next((path for path in tree.files if path.name.lower() == "labels.csv"), None)
    photos = [path for path in tree.files if path.suffix.lower() in PHOTO_SUFFIXES]
    flat = len([path for path in photos if _FLAT_NAME.match(path.stem)]) > len(photos) / 2
    if labels:
        _kaggle(tree, labels, listing)
    elif any(folder.path.name.lower() in _SPLIT_NAMES and folder.folders for folder in folders):
        _splits(tree, folders, listing)
    elif flat and not any(folder.files for folder in folders):
        _oxford(tree, listing, cats)
    elif wrapped := _wrapper(folders):
        listing.problems += [_stray(path) for path in tree.files if not _COMPANIONS.fullmatch(path.name)]
        listing.drawn |= (wrapped.path / DRAWN_MARKER).is_file()
        _read_level(wrapped, listing, cats)
    elif folders:
        _class_folders(tree, folders, listing)
    else:
        raise DogbreedError(
            f"{tree.path} holds no photos in a layout that is known",
            "make one folder per breed, or train/, valid/ and test/ over such folders",
        )
    for folder in tree.folders:
        if folder not in folders and (count := folder.count()):
            listing.problems.append(Problem(folder.path, "stray", f"{count} files beside the photos", used=False))


def _wrapper(folders: list[Folder]) -> Folder | None:
    """The folder that holds the photos when this one only holds it: Images/, dogImages/, images/."""
    named = [folder for folder in folders if folder.path.name.lower() == "images"]
    only = named or (folders if len(folders) == 1 else [])
    if only and (only[0].folders or (named and only[0].files)):
        return only[0]
    return None


# -- one function per layout


def _splits(tree: Folder, folders: list[Folder], listing: Listing) -> None:
    listing.layout = "splits"
    for folder in folders:
        split = _SPLIT_NAMES.get(folder.path.name.lower())
        if split is None:
            listing.problems += [_stray(path, "beside the split folders") for path in folder.every_file()]
            continue
        for below in folder.folders:
            _class_folder(below, split, listing)
        listing.problems += [_stray(path, "in a split folder, outside the breeds") for path in folder.files]
    listing.problems += [_stray(path) for path in tree.files if not _COMPANIONS.fullmatch(path.name)]


def _class_folders(tree: Folder, folders: list[Folder], listing: Listing) -> None:
    names = [folder.path.name for folder in folders]
    numbered = all(_NUMBERED.match(name) for name in names)
    listing.layout = (
        "stanford-dogs" if all(_SYNSET.match(name) for name in names) else "udacity" if numbered else "class-folders"
    )
    for folder in folders:
        _class_folder(folder, None, listing)
    listing.problems += [_stray(path) for path in tree.files if not _COMPANIONS.fullmatch(path.name)]


def _class_folder(folder: Folder, split: str | None, listing: Listing) -> None:
    name = folder.path.name
    listing.classes.append((folder.path, name, split))
    listing.candidates += [Candidate(path, name, split) for path in folder.files]
    for below in folder.folders:
        listing.problems += [_stray(path, f"a level too deep in {name}") for path in below.every_file()]


def _oxford(tree: Folder, listing: Listing, cats: bool) -> None:
    listing.layout = "oxford-iiit-pet"
    species = _oxford_species(tree)
    for path in tree.files:
        name = _FLAT_NAME.match(path.stem)
        if name is None or path.suffix.lower() not in PHOTO_SUFFIXES:
            # The published archive carries a few .mat files among the photos.
            if not _COMPANIONS.fullmatch(path.name):
                listing.problems.append(_stray(path, "no breed in its name"))
            continue
        # In this data set, a capital marks a cat.
        is_cat = species.get(path.stem, "2" if path.name[0].islower() else "1") == "1"
        if is_cat and not cats:
            listing.problems.append(Problem(path, "cat", "a cat breed, left out", used=False))
        else:
            listing.candidates.append(Candidate(path, name["breed"]))
    if not listing.candidates:
        raise DogbreedError(
            f"{tree.path} holds only cat breeds (names that begin with a capital, as in Oxford-IIIT Pet)",
            "add --cats if they are wanted, or make one folder per breed",
        )
    for folder in tree.folders:
        if folder.path.name.lower() not in _COMPANION_FOLDERS:
            listing.problems += [_stray(path, "beside the photos") for path in folder.every_file()]


def _oxford_species(tree: Folder) -> dict[str, str]:
    """From annotations/list.txt: image name -> 1 (cat) or 2 (dog); empty when there is none."""
    for folder in (tree.path / "annotations", tree.path.parent / "annotations"):
        try:
            lines = (folder / "list.txt").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        rows = (line.split() for line in lines if not line.startswith("#"))
        return {row[0]: row[2] for row in rows if len(row) >= 3 and row[2] in ("1", "2")}
    return {}


def _kaggle(tree: Folder, labels: Path, listing: Listing) -> None:
    listing.layout = "kaggle-labels"
    train = next((folder for folder in tree.folders if folder.path.name.lower() == "train"), None)
    files = train.every_file() if train else [path for path in tree.files if path.suffix.lower() in PHOTO_SUFFIXES]
    by_id = _by_id(files, labels, listing)
    breed_of: dict[str, str] = {}
    conflicting: set[str] = set()
    for photo_id, breed in _label_rows(labels):
        if normalise(breed_of.setdefault(photo_id, breed)) != normalise(breed):
            conflicting.add(photo_id)
    for photo_id, breed in breed_of.items():
        path = by_id.pop(photo_id, None)
        if path is None:
            expected = (train or tree).path / f"{photo_id}.jpg"
            listing.problems.append(Problem(expected, "missing", f"{labels.name} names it", used=False))
        elif photo_id in conflicting:
            listing.problems.append(Problem(path, "label-conflict", f"two breeds in {labels.name}", used=False))
        else:
            listing.candidates.append(Candidate(path, breed))
    for path in by_id.values():
        listing.problems.append(Problem(path, "unlabelled", f"not in {labels.name}", used=False))
    for folder in tree.folders:
        if folder is not train and folder.path.name.lower() not in _COMPANION_FOLDERS:
            listing.problems += [
                Problem(path, "unlabelled", "a photo without a breed", used=False) for path in folder.every_file()
            ]
    if train:
        listing.problems += [_stray(path) for path in tree.files if not _COMPANIONS.fullmatch(path.name)]


def _by_id(files: Iterable[Path], labels: Path, listing: Listing) -> dict[str, Path]:
    """Photo id -> file; a second file with the same id is a problem, not lost in silence."""
    by_id: dict[str, Path] = {}
    for path in files:
        if by_id.setdefault(path.stem, path) is not path:
            words = f"{by_id[path.stem].name} has the same id in {labels.name}"
            listing.problems.append(Problem(path, "unlabelled", words, used=False))
    return by_id


def _label_rows(labels: Path) -> Iterator[tuple[str, str]]:
    try:
        with open(labels, newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            head = [cell.strip().lower() for cell in next(rows, [])]
            if "id" not in head or "breed" not in head:
                raise DogbreedError(f"{labels} has no columns id and breed", "its first line must be: id,breed")
            for row in rows:
                cells = dict(zip(head, row, strict=False))
                photo_id, breed = cells.get("id", "").strip(), cells.get("breed", "").strip()
                # A row without a breed leaves its photo unlabelled.
                if photo_id and breed:
                    yield Path(photo_id).stem, breed
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DogbreedError(f"{labels}: {error}", "it must be a CSV file with the columns id and breed") from error


# -- reports


def _stray(path: Path, where: str = "not in a breed's folder") -> Problem:
    return Problem(path, "stray", where, used=False)


def _merge_report(listing: Listing) -> None:
    """Name folders of one split that are one breed in two spellings."""
    first: dict[tuple[str | None, str], Path] = {}
    for path, name, split in listing.classes:
        other = first.setdefault((split, normalise(name)), path)
        if other != path:
            same = other.name.casefold() == name.casefold()
            kind = "same-name-but-case" if same else "merged"
            listing.problems.append(Problem(path, kind, f"the same breed as {other.name}: merged", used=True))
