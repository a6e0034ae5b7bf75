"""What can be odd about a file or folder of photos, and which of it must be mended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dogbreed.infer.photo import FAULTS

# Every kind of problem beside `dogbreed.infer.photo.FAULTS` and `ODDITIES`, in words.
KINDS = {
    "leak": "the same photo in two splits: the training copy is left out",
    "label-conflict": "the same photo under two breeds",
    "empty-class": "a breed without a usable photo",
    "one-photo": "a breed with a single photo",
    "one-class": "the only breed",
    "no-train": "a breed with no photo to train on",
    "few-photos": "too few photos for every split",
    "missing": "named in a list, but not there",
    "broken-symlink": "a link to nothing",
    "symlink-loop": "a link that leads back into itself",
    "linked-twice": "a link to a folder that is read anyway",
    "not-a-file": "a pipe, socket or device",
    "duplicate": "the same bytes once more: one copy is used",
    "near-duplicate": "the same photo resized, re-encoded or little changed: kept in one split",
    "same-name-but-case": "folders whose names differ in case only: merged",
    "merged": "folders with two spellings of one breed: merged",
    "stray": "not where photos are expected",
    "hidden": "a hidden or system file",
    "unlabelled": "a photo without a breed",
    "cat": "a cat breed of Oxford-IIIT Pet",
}
MUST_BE_MENDED = frozenset(
    {
        *FAULTS,
        *("leak", "label-conflict", "empty-class", "one-photo", "one-class", "no-train"),
        *("missing", "broken-symlink", "symlink-loop"),
    }
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something noticed about one file or folder; `used` says whether it takes part all the same."""

    path: Path
    kind: str
    detail: str
    used: bool

    @property
    def must_be_mended(self) -> bool:
        """Whether `dogbreed data check` fails for it."""
        return self.kind in MUST_BE_MENDED

    def to_json(self) -> dict[str, Any]:
        """Plain values for a report."""
        return {"path": str(self.path), "kind": self.kind, "detail": self.detail, "used": self.used}
