"""Draws tiny test photos: every number gives another picture, the same number the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def picture(number: int, size: tuple[int, int] = (96, 72)) -> Image.Image:
    """Soft coloured blobs that look like no other number's."""
    blobs = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(blobs).resize(size, Image.Resampling.BICUBIC)


def save(path: Path, number: int, *, image: Image.Image | None = None, **options: Any) -> Path:
    """Write picture `number` (or `image`); the suffix chooses the format unless `format` is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() in (".jpg", ".jpeg") and "format" not in options:
        options = {"format": "JPEG", "quality": 90} | options
    (image or picture(number)).save(path, **options)
    return path


def tree(root: Path, counts: dict[str, int], *, start: int = 0) -> Path:
    """`counts` maps folders below `root` to how many photos they get; all are different."""
    number = start
    for folder, count in counts.items():
        for index in range(count):
            save(root / folder / f"photo_{index}.jpg", number)
            number += 1
    return root
