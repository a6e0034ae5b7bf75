"""Draw one photo of an invented dog: a scene, a dog in a pose, light and noise, all from one random generator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from dogbreed.data.drawing.dogs import Dog, pose
from dogbreed.data.drawing.scenes import scene
from dogbreed.data.drawing.sketches import Colour, Sketch

Points = NDArray[np.float64]

_FINE = 2  # drawn this many times larger, then reduced: smooth edges
_SIZES = ((256, 256), (272, 224), (224, 272), (256, 232))
_OUTLINE = 0.012  # of the picture's shorter side


def draw(sketch: Sketch, random: np.random.Generator) -> Image.Image:
    """An RGB image of 256 x 256 pixels or an area much like it."""
    width, height = _SIZES[random.integers(len(_SIZES))]
    image = scene((width * _FINE, height * _FINE), random)
    _Painter(image, pose(sketch, random), random).paint()
    return _photograph(image.reduce(_FINE), random)


def _photograph(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Light, colour cast, a soft focus now and then, and sensor noise."""
    if random.random() < 0.25:
        image = image.filter(ImageFilter.BoxBlur(random.uniform(0.4, 1.1)))
    light = random.uniform(0.78, 1.12) * random.normal(1, 0.035, 3)
    values = np.asarray(image, dtype=np.float32) * light.astype(np.float32)
    values += random.uniform(1.5, 7) * _NOISE.cut(values.shape[:2], random)[..., None]
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


class _Noise:
    """One sheet of noise; a random piece of it costs far less than fresh noise for each picture."""

    def __init__(self) -> None:
        self.sheet = np.random.default_rng(1).standard_normal((512, 512), dtype=np.float32)

    def cut(self, shape: tuple[int, ...], random: np.random.Generator) -> NDArray[np.float32]:
        top, left = (int(random.integers(512 - side)) for side in shape[:2])
        return self.sheet[top : top + shape[0], left : left + shape[1]]


_NOISE = _Noise()


class _Painter:
    """Puts a posed dog into a scene: where it stands, how large, which way it looks."""

    def __init__(self, image: Image.Image, dog: Dog, random: np.random.Generator) -> None:
        self.image = image
        self.dog = dog
        self.random = random
        self.pen = max(2, round(min(image.size) * _OUTLINE))
        self.place()

    def place(self) -> None:
        everything = np.concatenate([part.points for part in self.dog.parts])
        low, high = everything.min(axis=0), everything.max(axis=0)
        width, height = self.image.size
        fit = min(width / (high[0] - low[0]), height / (high[1] - low[1]))
        scale = fit * self.random.uniform(0.66, 0.98)
        angle = self.random.normal(0, 0.05)
        flip = -1.0 if self.random.random() < 0.5 else 1.0
        turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        # The picture's y goes down, the dog's goes up.
        self.matrix = np.array([[flip, 0], [0, -1]]) @ turn * scale
        spare = np.array([width, height]) - (high - low) * scale
        shift = self.random.uniform(-0.5, 0.5, 2) * spare * np.array([1.0, 0.5])
        centre = np.array([width / 2, height / 2 + 0.12 * spare[1]]) + shift
        self.offset = centre - self.matrix @ ((low + high) / 2)
        self.scale = scale

    def put(self, points: Points) -> list[tuple[float, float]]:
        return [(x, y) for x, y in (points @ self.matrix.T + self.offset).tolist()]

    def paint(self) -> None:
        self.shadow()
        dark = _mix(self.dog.sketch.coat, (20, 18, 22), 0.72)
        for layer in self.dog.layers():
            self.layer([part.points for part in layer.parts], layer.colour, layer.markings, dark, layer.shade)
        pen = ImageDraw.Draw(self.image)
        for detail in self.dog.details:
            points = self.put(detail.points)
            if detail.line:
                pen.line(points, fill=detail.colour, width=max(1, round(detail.line * self.scale)), joint="curve")
            else:
                pen.polygon(points, fill=detail.colour)

    def shadow(self) -> None:
        left, right = self.dog.footprint
        around = np.linspace(0, 2 * math.pi, 40)
        ring = np.stack([np.cos(around) * (right - left) * 0.56 + (left + right) / 2, np.sin(around) * 0.09], axis=1)
        placed = self.put(ring)
        box = _box([placed], 1, self.image.size)
        shade = Image.new("L", (box[2] - box[0], box[3] - box[1]), 0)
        ImageDraw.Draw(shade).polygon([(x - box[0], y - box[1]) for x, y in placed], fill=90)
        self.image.paste((30, 30, 36), box, shade)

    def layer(
        self,
        shapes: Sequence[Points],
        colour: Colour,
        markings: Sequence[tuple[Points, Colour]],
        dark: Colour,
        shade: float,
    ) -> None:
        """Shapes of one body part: a dark outline around them all, then coat and markings inside."""
        placed = [self.put(shape) for shape in shapes]
        box = _box(placed, self.pen, self.image.size)
        if box[2] <= box[0] or box[3] <= box[1]:
            return
        placed = [[(x - box[0], y - box[1]) for x, y in shape] for shape in placed]
        size = (box[2] - box[0], box[3] - box[1])
        outline = ImageDraw.Draw(self.image)
        mask = Image.new("L", size, 0)
        inside = ImageDraw.Draw(mask)
        for shape in placed:
            around = [(x + box[0], y + box[1]) for x, y in shape]
            outline.line([*around, *around[:2]], fill=dark, width=self.pen)
        for shape in placed:
            inside.polygon(shape, fill=255)
        coat = Image.new("RGB", size, colour)
        brush = ImageDraw.Draw(coat)
        for points, marking in markings:
            brush.polygon([(x - box[0], y - box[1]) for x, y in self.put(points)], fill=marking)
        # Stretched downwards with care, sideways by copying: much faster.
        coat.paste(dark, mask=_falloff(shade).resize((1, size[1])).resize(size, Image.Resampling.NEAREST))
        self.image.paste(coat, box, mask)


def _box(
    shapes: Sequence[Sequence[tuple[float, float]]], margin: int, size: tuple[int, int]
) -> tuple[int, int, int, int]:
    xs = [x for shape in shapes for x, _ in shape]
    ys = [y for shape in shapes for _, y in shape]
    return (
        max(0, math.floor(min(xs)) - margin),
        max(0, math.floor(min(ys)) - margin),
        min(size[0], math.ceil(max(xs)) + margin),
        min(size[1], math.ceil(max(ys)) + margin),
    )


@cache
def _falloff(shade: float) -> Image.Image:
    """How much of the outline's colour is laid over the coat, from none at the top to `shade` at the bottom."""
    strip = Image.linear_gradient("L").resize((1, 256), Image.Resampling.NEAREST)
    return strip.point([int(shade * value) for value in range(256)])


def _mix(first: Colour, second: Colour, share: float) -> Colour:
    red, green, blue = (round(a * (1 - share) + b * share) for a, b in zip(first, second, strict=True))
    return red, green, blue
