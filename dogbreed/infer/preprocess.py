"""Preprocessing as data: the one description that training writes and every prediction reads.

The geometry is torchvision's usual evaluation transform (resize the shorter side, crop the centre), done in one
antialiased step: only the part that the crop keeps is ever resized.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """From an RGB image to the model's input.

    resize: length of the shorter side, pixels; crop: side of the centre square, pixels;
    mean, std: per channel, on values scaled to 0..1.
    """

    resize: int = 256
    crop: int = 224
    filter: str = "bilinear"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Preprocessing:
        """The inverse of `to_json`; KeyError, TypeError or ValueError on anything else."""
        self = cls(**{**value, "mean": tuple(value["mean"]), "std": tuple(value["std"])})
        shapes = len(self.mean) == len(self.std) == 3 and 0 < self.crop <= self.resize
        if not (shapes and self.filter in _FILTERS and min(self.std) > 0):
            raise ValueError(f"preprocessing {value}")
        return self

    def to_json(self) -> dict[str, Any]:
        """Plain values, as they stand in model.json."""
        return asdict(self)

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """The centre square that the model looks at, uint8 [crop, crop, 3]."""
        side = min(image.size) * self.crop / self.resize
        left, top = (image.width - side) / 2, (image.height - side) / 2
        box = (left, top, left + side, top + side)
        return np.asarray(image.resize((self.crop, self.crop), _FILTERS[self.filter], box=box))

    def normalise(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 [..., H, W, 3] to float32 [..., 3, H, W]."""
        scale = 1 / (255 * np.asarray(self.std, np.float32))
        shift = -np.asarray(self.mean, np.float32) / np.asarray(self.std, np.float32)
        # The channels are sorted while they are bytes; of floats that would take ten times as long.
        planes = np.ascontiguousarray(np.moveaxis(pixels, -1, -3))
        values: NDArray[np.float32] = np.multiply(planes, scale[:, None, None], dtype=np.float32)
        return np.add(values, shift[:, None, None], out=values)

    def __call__(self, image: Image.Image) -> NDArray[np.float32]:
        """An RGB image to float32 [3, crop, crop]."""
        return self.normalise(self.pixels(image))
