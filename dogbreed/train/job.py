"""What a training job is to do, as the launcher wrote it into the Run: settings and photos."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dogbreed.config import TrainSettings
from dogbreed.data.photoset import Photo, PhotoSet
from dogbreed.errors import DogbreedError, UsageError
from dogbreed.run import write_atomically

FILE = "job.json"


@dataclass(frozen=True)
class Job:
    """The settings, and the photos by split; `data` and `settings` are kept for model.json."""

    settings: TrainSettings
    breeds: tuple[str, ...]
    photos: tuple[Photo, ...]
    data: Mapping[str, Any]
    all_settings: Mapping[str, Any]

    def split(self, name: str) -> tuple[Photo, ...]:
        """The photos of one split, in a fixed order."""
        return tuple(photo for photo in self.photos if photo.split == name)

    def truth(self, photos: tuple[Photo, ...]) -> list[int]:
        """The number of each photo's breed."""
        number = {breed: index for index, breed in enumerate(self.breeds)}
        return [number[photo.breed] for photo in photos]

    def check_photos(self) -> None:
        """DogbreedError when a photo is not what it was when the job was written."""
        for photo in self.photos:
            try:
                same = hashlib.sha256(photo.path.read_bytes()).hexdigest() == photo.sha256
            except OSError as error:
                raise DogbreedError(f"{photo.path}: {error.strerror}", "bring it back, or start anew") from error
            if not same:
                raise DogbreedError(f"{photo.path} has changed since training began", "start anew: dogbreed train")

    @classmethod
    def read(cls, run: Path, root: Path | None = None) -> Job:
        """The job in a Run's folder; `root` tells where the photos lie on this machine, if elsewhere."""
        try:
            value = json.loads((run / FILE).read_text(encoding="utf-8"))
            folder = root or Path(value["data"]["root"])
            photos = tuple(Photo(folder / path, breed, split, digest) for path, breed, split, digest in value["photos"])
            settings = TrainSettings(**value["settings"]["train"])
            return cls(settings, tuple(value["data"]["breeds"]), photos, value["data"], value["settings"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            what = error.strerror if isinstance(error, OSError) else f"{FILE} is damaged ({error})"
            raise DogbreedError(f"{run} holds no training job: {what}", "see dogbreed runs, or start anew") from error


def write(run: Path, settings: Mapping[str, Any], photos: PhotoSet) -> None:
    """Write the job for `photos` into a Run's folder; `settings` by section as `Settings.to_json` gives them."""
    write_atomically(run / FILE, content(settings, photos))


def content(settings: Mapping[str, Any], photos: PhotoSet) -> bytes:
    """What stands in job.json."""
    counts = {name: len(photos.split(name)) for name in ("train", "valid", "test")}
    value = {
        "settings": settings,
        "data": {
            "root": str(photos.root.resolve()),
            "layout": photos.layout,
            "digest": photos.digest(),
            "drawn": photos.drawn,
            "photos": counts,
            "breeds": list(photos.breeds),
            "originals": dict(photos.originals),
        },
        "photos": [
            [str(photo.path.relative_to(photos.root)), photo.breed, photo.split, photo.sha256]
            for photo in photos.photos
        ],
    }
    return json.dumps(value).encode()


def check_weights(backbone: str, weights: str) -> None:
    """UsageError for starting weights of which can be known, without torch, that they are not there or do not fit."""
    if weights == "starter" and backbone != "starter":
        raise UsageError(
            f"the starter's weights do not fit {backbone}", "choose --weights imagenet, none or a file, or the starter"
        )
    if weights not in ("starter", "imagenet", "none") and not Path(weights).exists():
        raise UsageError(f"there are no weights {weights}", "starter, imagenet, none, a run's folder, or a file")


def batch_size(wanted: int, count: int, world: int) -> int:
    """The photos per step over all `world` workers: at most `count`, and the same number for each; or UsageError."""
    size = min(wanted, count) // world * world
    if not size:
        raise UsageError(
            f"{count} photos in batches of {wanted} cannot be shared by {world} workers", "use fewer --instances"
        )
    return size
