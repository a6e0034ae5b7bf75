"""Photos drawn for these tests."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, ImageDraw


def draw(seed: int = 0, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A smooth, lopsided scene: nothing in it is the same upside down or mirrored."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (4, 5, 3)).astype(np.uint8)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    w, h = size
    pen.ellipse((w * 0.2, h * 0.3, w * 0.6, h * 0.8), fill=tuple(rng.integers(0, 255, 3).tolist()))
    pen.polygon([(w * 0.5, h * 0.3), (w * 0.7, h * 0.1), (w * 0.65, h * 0.5)], fill=(90, 60, 30))
    return image


def encode(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    if kind in ("JPEG", "WEBP"):
        options.setdefault("quality", 92)
    image.save(buffer, kind, **options)
    return buffer.getvalue()
