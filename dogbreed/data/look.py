"""How a photo looks in a few bytes: a 64-bit perceptual hash and a small thumbnail.

The hash finds candidates fast; the thumbnail decides. Both change little when a photo is resized, re-encoded or
made a little brighter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 32  # pixels the hash is computed on
THUMBNAIL = 16  # pixels
TINT = 4  # pixels
_LOW = 8  # frequencies per axis: 8 x 8 bits


@dataclass(frozen=True, slots=True)
class Look:
    """`hash`: 64 bits, the signs of the low frequencies, the first always 0.

    `thumbnail`: 16 x 16 grey values, then 4 x 4 values of Cb and of Cr, row by row.
    """

    hash: int
    thumbnail: bytes


def _cosines() -> NDArray[np.float32]:
    rows = np.arange(_LOW)[:, None]
    columns = np.arange(SIDE)[None, :]
    return np.asarray(np.cos(math.pi / SIDE * (columns + 0.5) * rows), dtype=np.float32)


_COSINES = _cosines()
_WEIGHTS = 1 << np.arange(_LOW * _LOW, dtype=np.uint64)


def look(image: Image.Image) -> Look:
    """The look of an RGB image of any size."""
    small = image.resize((SIDE, SIDE), Image.Resampling.BOX).convert("YCbCr")
    values = np.asarray(small, dtype=np.float32)
    grey = values[..., 0]
    frequencies = (_COSINES @ grey @ _COSINES.T).ravel()
    bits = frequencies > np.median(frequencies[1:])
    # The first value is the mean brightness, which a brighter copy changes.
    bits[0] = False
    thumbnail = [_reduce(grey, THUMBNAIL), _reduce(values[..., 1], TINT), _reduce(values[..., 2], TINT)]
    return Look(int((bits * _WEIGHTS).sum()), b"".join(thumbnail))


def _reduce(plane: NDArray[np.float32], side: int) -> bytes:
    factor = SIDE // side
    means = plane.reshape(side, factor, side, factor).mean(axis=(1, 3))
    return bytes(np.rint(means).astype(np.uint8))
