"""Draw a small set of invented breeds, so that everything can be tried without downloading a photo.

It says that it is drawn: in its file names, in `drawn.json` and in README.txt.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from dogbreed.data.drawing.picture import draw
from dogbreed.data.drawing.sketches import SKETCHES
from dogbreed.data.folders import building, refuse_full
from dogbreed.data.layouts import DRAWN_MARKER
from dogbreed.data.scan import Progress
from dogbreed.errors import UsageError

MAX_BREEDS = len(SKETCHES)
_README = """These are drawings, not photographs.

`dogbreed data sample` drew {count} pictures of {breeds} invented breeds (seed {seed}). They are there to try the
commands with. A model that was trained on them knows nothing about real dogs.
"""


def draw_sample(
    to: Path, *, breeds: int = 8, photos: int = 40, seed: int = 0, progress: Progress | None = None
) -> Path:
    """Draw `photos` pictures of each of `breeds` breeds below `to`; the same seed gives the same bytes.

    The folder appears whole or not at all. Raises UsageError when `to` has something in it or a number is impossible.
    """
    if not 2 <= breeds <= MAX_BREEDS:
        raise UsageError(f"--breeds {breeds}: it can draw 2 to {MAX_BREEDS} breeds")
    if not 2 <= photos <= 10_000:
        raise UsageError(f"--photos {photos}: it can draw 2 to 10000 pictures of each breed")
    refuse_full(to)
    with building(to) as folder:
        _draw_all(folder, breeds, photos, seed, progress)
    return to


def is_here(folder: Path, *, breeds: int, photos: int, seed: int) -> bool:
    """Whether `folder` holds just this set already."""
    try:
        facts = json.loads((folder / DRAWN_MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(facts == _facts(breeds, photos, seed))


def _facts(breeds: int, photos: int, seed: int) -> dict[str, Any]:
    return {"drawn": True, "by": "dogbreed data sample", "breeds": breeds, "photos": photos, "seed": seed}


def _draw_all(folder: Path, breeds: int, photos: int, seed: int, progress: Progress | None) -> None:
    for number, sketch in enumerate(SKETCHES[:breeds]):
        (folder / sketch.name).mkdir()
        for index in range(photos):
            random = np.random.default_rng([seed, number, index])
            buffer = io.BytesIO()
            draw(sketch, random).save(buffer, "JPEG", quality=int(random.integers(76, 93)))
            (folder / sketch.name / f"drawn_{index:04}.jpg").write_bytes(buffer.getvalue())
            if progress:
                progress(number * photos + index + 1, breeds * photos)
    facts = json.dumps(_facts(breeds, photos, seed), indent=2) + "\n"
    (folder / DRAWN_MARKER).write_text(facts, encoding="utf-8")
    readme = _README.format(count=breeds * photos, breeds=breeds, seed=seed)
    (folder / "README.txt").write_text(readme, encoding="utf-8")
