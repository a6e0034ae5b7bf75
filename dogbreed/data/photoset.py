"""Read a folder of photos: what it holds, what is wrong with it, and who belongs to which split.

Where a folder has splits of its own they are kept, and a missing one is carved from train. A photo that is also in
a later split (valid before test) is a leak: the copy on the training side is left out, so that test figures are
honest. Exact copies within one breed and split are used once. Nothing is left out without a `Problem`.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from dogbreed.data import duplicates, layouts
from dogbreed.data import split as splitting
from dogbreed.data.breeds import normalise
from dogbreed.data.layouts import SPLITS, Listing
from dogbreed.data.problem import Problem
from dogbreed.data.scan import Progress, Scanned, scan
from dogbreed.errors import DogbreedError
from dogbreed.infer.photo import FAULTS

__all__ = ["SPLITS", "Photo", "PhotoSet", "Problem", "read", "require_trainable"]

# A leaked photo stays in the split that is furthest from training.
_HONEST = {"test": 2, "valid": 1, "train": 0}


@dataclass(frozen=True, slots=True)
class Photo:
    """One usable photo; `split` is "train", "valid" or "test"."""

    path: Path
    breed: str
    split: str | None
    sha256: str


@dataclass(frozen=True)
class PhotoSet:
    """The photos of a folder, in an order that depends on their content alone; `breeds` are sorted.

    `originals`: breed -> its first spelling in the folder. `drawn`: made by `dogbreed data sample`, not photographed.
    `given`: the splits that the folder has of its own. `found`: files that were taken for photos, usable or not.
    """

    root: Path
    layout: str
    breeds: tuple[str, ...]
    originals: Mapping[str, str]
    photos: tuple[Photo, ...]
    problems: tuple[Problem, ...]
    drawn: bool
    given: tuple[str, ...] = ()
    found: int = 0

    def digest(self) -> str:
        """SHA-256 over every (breed, split, photo): equal for equal content, whatever the files are called."""
        lines = sorted(f"{photo.breed}\t{photo.split}\t{photo.sha256}\n" for photo in self.photos)
        return hashlib.sha256("".join(lines).encode("utf-8")).hexdigest()

    def split(self, name: str) -> tuple[Photo, ...]:
        """The photos of "train", "valid" or "test"."""
        return tuple(photo for photo in self.photos if photo.split == name)


def read(
    root: Path | str,
    *,
    valid: float,
    test: float,
    seed: int,
    cats: bool = False,
    again: bool = False,
    strict: bool = True,
    progress: Progress | None = None,
    jobs: int | None = None,
) -> PhotoSet:
    """Scan `root`, decode every photo, find copies, and assign splits where the folder has none.

    `valid` and `test` are shares (0..1) of each breed. `again` ignores the folder's own splits. Raises UsageError for
    a folder that is not there; DogbreedError for an unknown layout and, if `strict`, for breeds that cannot be
    trained on (no photo, one photo, one breed); otherwise those are problems as well.
    """
    root = Path(root)
    listing = layouts.find(root, cats=cats)
    scanned = scan(root, [candidate.path for candidate in listing.candidates], progress=progress, jobs=jobs)
    shares = {"test": test, "valid": valid}
    photos = _Reading(listing, scanned, again=again).result(shares, seed)
    breeds = tuple(sorted({photo.breed for photo in photos.used}))
    problems = [*listing.problems, *photos.problems, *_lacking(listing, photos.used, root)]
    result = PhotoSet(
        root=root,
        layout=listing.layout,
        breeds=breeds,
        originals=_originals(listing, breeds),
        photos=tuple(sorted(photos.used, key=lambda photo: (photo.breed, photo.sha256, photo.path))),
        problems=tuple(sorted(problems, key=lambda problem: (str(problem.path), problem.kind))),
        drawn=listing.drawn,
        given=tuple(split for split in SPLITS if split in {item.split for item in listing.candidates}),
        found=len(listing.candidates),
    )
    if strict:
        require_trainable(result)
    return result


class _Reading:
    """The steps from scanned files to photos with splits; each step may leave photos out and says so."""

    def __init__(self, listing: Listing, scanned: Sequence[Scanned], *, again: bool) -> None:
        self.problems: list[Problem] = []
        self.photos: list[Photo] = []
        self.out: set[int] = set()
        looks = []
        for candidate, result in zip(listing.candidates, scanned, strict=True):
            if result.fault or result.look is None:
                kind, words = result.fault or ("unreadable", "")
                self.problems.append(Problem(candidate.path, kind, words, used=False))
                continue
            for oddity in result.oddities:
                self.problems.append(Problem(candidate.path, oddity, _in_words(oddity, candidate.path), used=True))
            split = None if again else candidate.split
            self.photos.append(Photo(candidate.path, normalise(candidate.original), split, result.sha256))
            looks.append(result.look)
        self.groups = duplicates.groups([photo.sha256 for photo in self.photos], looks)

    @cached_property
    def used(self) -> list[Photo]:
        return [photo for position, photo in enumerate(self.photos) if position not in self.out]

    def result(self, shares: Mapping[str, float], seed: int) -> _Reading:
        for group in self.groups:
            self.leave_out_copies(group)
            self.leave_out_leaks(group)
            self.report(group)
        self.assign(shares, seed)
        return self

    def leave_out_copies(self, group: Sequence[int]) -> None:
        first: dict[tuple[str, str | None, str], int] = {}
        for position in group:
            photo = self.photos[position]
            kept = first.setdefault((photo.breed, photo.split, photo.sha256), position)
            if kept != position:
                self.leave_out(position, "duplicate", f"the same bytes as {self.photos[kept].path}")

    def leave_out_leaks(self, group: Sequence[int]) -> None:
        def honesty(position: int) -> int:
            return _HONEST.get(self.photos[position].split or "", 0)

        kept = max(group, key=honesty)
        for position in group:
            if position not in self.out and honesty(position) < honesty(kept):
                photo = self.photos[kept]
                self.leave_out(position, "leak", f"also in {photo.split}: {photo.path}")

    def report(self, group: Sequence[int]) -> None:
        breeds = {self.photos[position].breed for position in group}
        for position in group:
            photo = self.photos[position]
            others = (self.photos[other] for other in group if self.photos[other].breed != photo.breed)
            if len(breeds) > 1:
                other = next(others)
                words = f"{photo.breed} here, {other.breed} in {other.path}"
                self.problems.append(Problem(photo.path, "label-conflict", words, used=position not in self.out))
        rest = [position for position in group if position not in self.out]
        for position in rest[1:]:
            if self.photos[position].breed == self.photos[rest[0]].breed:
                words = f"looks like {self.photos[rest[0]].path}"
                self.problems.append(Problem(self.photos[position].path, "near-duplicate", words, used=True))

    def leave_out(self, position: int, kind: str, words: str) -> None:
        self.out.add(position)
        self.problems.append(Problem(self.photos[position].path, kind, words, used=False))

    def assign(self, shares: Mapping[str, float], seed: int) -> None:
        """Give a split to photos without one, and carve the splits that the folder lacks from its train photos."""
        number = {position: index for index, group in enumerate(self.groups) for position in group}
        given = {photo.split for photo in self.photos} - {None}
        missing = {split: share for split, share in shares.items() if split not in given}
        todo = [
            position
            for position, photo in enumerate(self.photos)
            if position not in self.out and photo.split in (None, "train")
        ]
        chosen = [(position, self.photos[position]) for position in todo]
        items = [
            splitting.Item(photo.breed, photo.sha256, number.get(position, -1 - position)) for position, photo in chosen
        ]
        for position, split in zip(todo, splitting.assign(items, missing, seed=seed), strict=True):
            self.photos[position] = replace(self.photos[position], split=split)


def _in_words(oddity: str, path: Path) -> str:
    if oddity == "wrong-extension":
        return f"its content is not what {path.suffix} says; used by its content"
    return f"{oddity}; converted when read"


def _originals(listing: Listing, breeds: Sequence[str]) -> dict[str, str]:
    spellings: dict[str, str] = {}
    for name in sorted({candidate.original for candidate in listing.candidates}):
        spellings.setdefault(normalise(name), name)
    return {breed: spellings[breed] for breed in breeds}


# -- breeds that cannot be trained on


def _lacking(listing: Listing, used: Sequence[Photo], root: Path) -> list[Problem]:
    """Problems of whole breeds."""
    counts = Counter(photo.breed for photo in used)
    splits: dict[str, Counter[str | None]] = defaultdict(Counter)
    for photo in used:
        splits[photo.breed][photo.split] += 1
    where: dict[str, Path] = {}
    for path, name, _ in listing.classes:
        where.setdefault(normalise(name), path)
    for candidate in listing.candidates:
        where.setdefault(normalise(candidate.original), candidate.path)
    wanted = {photo.split for photo in used}
    # In a folder with splits of its own, one photo for training is few, but nothing has to be split.
    has_splits = any(candidate.split for candidate in listing.candidates)
    problems = []
    for breed, path in sorted(where.items()):
        has = splits[breed]
        if not counts[breed]:
            problems.append(Problem(path, "empty-class", f"{breed} has no usable photo", used=False))
        elif counts[breed] == 1 and not (has_splits and has["train"]):
            problems.append(Problem(path, "one-photo", f"{breed} has one usable photo", used=True))
        elif not has["train"]:
            problems.append(Problem(path, "no-train", f"{breed} has no photo to train on", used=True))
        elif lacks := [split for split in SPLITS if split in wanted and not has[split]]:
            words = f"{breed} has {counts[breed]} usable photos, none for {' and '.join(lacks)}"
            problems.append(Problem(path, "few-photos", words, used=True))
    if len(counts) == 1:
        breed = next(iter(counts))
        problems.append(Problem(where[breed], "one-class", f"{breed} is the only breed with photos", used=True))
    if not counts:
        problems.append(Problem(root, "empty-class", "no usable photo at all", used=False))
    return problems


# The gravest first.
_HINTS: Mapping[str, Callable[[Problem], str]] = {
    "one-class": lambda problem: "a classifier needs at least 2 breeds, one folder each",
    "empty-class": lambda problem: f"add photos to {problem.path} or remove it",
    "one-photo": lambda problem: f"add photos beside {problem.path}; training and testing need at least 2",
    "no-train": lambda problem: "move some of its photos to train/, or split again: `dogbreed data split --again`",
}


def require_trainable(photos: PhotoSet) -> None:
    """DogbreedError that names the first breed without enough photos to train and test on."""
    for kind, hint in _HINTS.items():
        for problem in photos.problems:
            if problem.kind == kind:
                unusable = sum(1 for other in photos.problems if other.kind in FAULTS)
                more = f"; `dogbreed data check` names {unusable} files that cannot be read" if unusable else ""
                raise DogbreedError(problem.detail, hint(problem) + more)
