"""Write a split as folders: OUT/{train,valid,test}/<breed>/<file>, whole or not at all, the input untouched."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from pathlib import Path

from dogbreed.data.folders import building, refuse_full
from dogbreed.data.layouts import DRAWN_MARKER
from dogbreed.data.photoset import SPLITS, Photo, PhotoSet
from dogbreed.data.scan import Progress
from dogbreed.errors import DogbreedError, UsageError

NOTE = "split.json"


def plan(photos: PhotoSet, out: Path) -> dict[Path, Photo]:
    """Which photo goes where below `out`; no two to one name, also where names differ in case only."""
    taken: set[str] = set()
    places: dict[Path, Photo] = {}
    for photo in sorted(photos.photos, key=lambda photo: photo.path):
        folder = Path(photo.split or "train") / photo.breed
        for name in _names(photo):
            if str(folder / name).casefold() not in taken:
                break
        taken.add(str(folder / name).casefold())
        places[out / folder / name] = photo
    return places


def _names(photo: Photo) -> list[str]:
    """Its own name, then names that its content makes unique."""
    path = photo.path
    return [path.name, *(f"{path.stem}-{photo.sha256[:length]}{path.suffix}" for length in (8, 16, 64))]


def write(photos: PhotoSet, out: Path, *, link: bool, progress: Progress | None = None) -> dict[str, int]:
    """Link or copy every photo to its place below `out`; the number of photos per split.

    Raises UsageError when `out` has something in it or lies in the input, DogbreedError when a file cannot be
    written or has changed since it was read.
    """
    refuse_inside(photos.root, out)
    refuse_full(out)
    with building(out) as folder:
        places = plan(photos, folder)
        for parent in sorted({place.parent for place in places}):
            parent.mkdir(parents=True)
        for done, (place, photo) in enumerate(places.items(), 1):
            _place(photo, place, link=link)
            if progress:
                progress(done, len(places))
        _notes(photos, folder)
    counts = Counter(photo.split for photo in photos.photos)
    return {split: counts[split] for split in SPLITS}


def refuse_inside(root: Path, out: Path) -> None:
    """UsageError when `out` lies in `root`: the next reading would find the copies."""
    if out.resolve().is_relative_to(root.resolve()):
        raise UsageError(f"{out} lies inside {root}", "write the split beside the photos, not among them")


def _place(photo: Photo, place: Path, *, link: bool) -> None:
    try:
        if link:
            os.link(photo.path.resolve(), place)
            return
        data = photo.path.read_bytes()
        if hashlib.sha256(data).hexdigest() != photo.sha256:
            raise DogbreedError(f"{photo.path} has changed since it was read", "run the command again")
        place.write_bytes(data)
    except OSError as error:
        hint = "--copy works across disks and file systems" if link else "check the space and permissions there"
        raise DogbreedError(f"{photo.path} to {place.parent}: {error.strerror or error}", hint) from error


def _notes(photos: PhotoSet, folder: Path) -> None:
    for path in {photos.root / DRAWN_MARKER, *photos.root.glob(f"*/{DRAWN_MARKER}")}:
        if photos.drawn and path.is_file():
            shutil.copyfile(path, folder / DRAWN_MARKER)
    left_out = [problem.to_json() for problem in photos.problems if not problem.used]
    note = {"by": "dogbreed data split", "digest": photos.digest(), "left_out": left_out}
    (folder / NOTE).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
