"""Backgrounds for drawn photos: meadow, beach, snow, street, room and studio, each a little different every time."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

Size = tuple[int, int]
Colour = tuple[int, int, int]


def scene(size: Size, random: np.random.Generator) -> Image.Image:
    """An RGB image of a place; nothing in it depends on the breed."""
    paint = _SCENES[random.integers(len(_SCENES))]
    return paint(size, random)


def _near(colour: Colour, random: np.random.Generator, spread: float = 16) -> Colour:
    red, green, blue = (int(min(255, max(0, value + random.normal(0, spread)))) for value in colour)
    return red, green, blue


def _gradient(size: Size, top: Colour, bottom: Colour) -> Image.Image:
    strip = Image.new("RGB", (1, 2))
    strip.putpixel((0, 0), top)
    strip.putpixel((0, 1), bottom)
    # Stretched downwards with all care, sideways by copying: much faster.
    return strip.resize((1, size[1]), Image.Resampling.BILINEAR).resize(size, Image.Resampling.NEAREST)


def _wave(size: Size, level: float, height: float, random: np.random.Generator) -> list[tuple[float, float]]:
    """A soft skyline across the picture, closed at the bottom; level and height are parts of the picture's height."""
    x = np.linspace(0, 1, 24)
    y = level + height * np.sin(x * random.uniform(2, 7) + random.uniform(0, 6))
    y = y + height * 0.4 * np.sin(x * random.uniform(8, 14) + random.uniform(0, 6))
    line = [(a * size[0], b * size[1]) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    return [*line, (size[0], size[1]), (0, size[1])]


def _meadow(size: Size, random: np.random.Generator) -> Image.Image:
    image = _gradient(size, _near((120, 178, 228), random), _near((214, 232, 244), random))
    pen = ImageDraw.Draw(image)
    _clouds(pen, size, random)
    pen.polygon(_wave(size, random.uniform(0.42, 0.56), 0.04, random), fill=_near((126, 168, 118), random))
    grass = _near((112, 170, 76), random, 20)
    level = random.uniform(0.6, 0.7)
    pen.polygon(_wave(size, level, 0.015, random), fill=grass)
    for _ in range(60):
        x, y = random.uniform(0, size[0]), random.uniform(level + 0.03, 1.02) * size[1]
        blade = size[1] * random.uniform(0.012, 0.035)
        pen.line([(x, y), (x + random.normal(0, 4), y - blade)], fill=_near(grass, random, 22), width=3)
    for _ in range(int(random.integers(0, 14))):
        x, y, r = random.uniform(0, size[0]), random.uniform(level + 0.08, 1) * size[1], random.uniform(3, 6)
        petal = _near((240, 220, 130), random, 40)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=petal)
    return image


def _clouds(pen: ImageDraw.ImageDraw, size: Size, random: np.random.Generator) -> None:
    for _ in range(int(random.integers(0, 4))):
        x, y = random.uniform(0, size[0]), random.uniform(0.05, 0.3) * size[1]
        for _ in range(4):
            dx, dy, r = random.normal(0, 30), random.normal(0, 6), random.uniform(14, 30)
            pen.ellipse((x + dx - r * 1.4, y + dy - r * 0.7, x + dx + r * 1.4, y + dy + r * 0.7), fill=(246, 248, 250))


def _beach(size: Size, random: np.random.Generator) -> Image.Image:
    image = _gradient(size, _near((130, 196, 232), random), _near((232, 238, 236), random))
    pen = ImageDraw.Draw(image)
    sea, sand = random.uniform(0.36, 0.48), random.uniform(0.58, 0.7)
    pen.rectangle((0, sea * size[1], *size), fill=_near((64, 144, 178), random))
    for _ in range(8):
        x, y = random.uniform(0, size[0]), random.uniform(sea + 0.02, sand) * size[1]
        pen.line([(x, y), (x + random.uniform(20, 80), y)], fill=(196, 224, 232), width=3)
    shore = _near((232, 212, 164), random, 12)
    pen.polygon(_wave(size, sand, 0.012, random), fill=shore)
    for _ in range(50):
        x, y = random.uniform(0, size[0]), random.uniform(sand + 0.03, 1) * size[1]
        pen.ellipse((x, y, x + 4, y + 3), fill=_near(shore, random, 18))
    return image


def _snow(size: Size, random: np.random.Generator) -> Image.Image:
    image = _gradient(size, _near((168, 186, 208), random), _near((222, 228, 236), random, 8))
    pen = ImageDraw.Draw(image)
    level = random.uniform(0.52, 0.66)
    for _ in range(int(random.integers(2, 6))):
        x, tall = random.uniform(0, size[0]), random.uniform(0.2, 0.4) * size[1]
        green, foot = _near((62, 96, 86), random, 14), level * size[1] + 8
        for share in (0.0, 0.28, 0.54):
            wide, base = tall * (0.34 - 0.2 * share), foot - tall * share
            pen.polygon([(x - wide, base), (x + wide, base), (x, base - tall * 0.46)], fill=green)
    pen.polygon(_wave(size, level, 0.02, random), fill=_near((222, 229, 238), random, 6))
    for _ in range(40):
        x, y, r = random.uniform(0, size[0]), random.uniform(0, size[1]), random.uniform(1.5, 4)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=(250, 251, 253))
    return image


def _street(size: Size, random: np.random.Generator) -> Image.Image:
    wall = _near((176, 128, 110), random, 30)
    image = Image.new("RGB", size, wall)
    pen = ImageDraw.Draw(image)
    level, brick = random.uniform(0.6, 0.72) * size[1], size[1] / random.uniform(12, 18)
    mortar = tuple(min(255, value + 26) for value in wall)
    for row in range(math.ceil(level / brick)):
        y = row * brick
        pen.line([(0, y), (size[0], y)], fill=mortar, width=3)
        for x in np.arange((row % 2) * brick, size[0], brick * 2).tolist():
            pen.line([(x, y), (x, y + brick)], fill=mortar, width=3)
    pavement = _near((168, 168, 172), random)
    pen.rectangle((0, level, *size), fill=pavement)
    for x in np.arange(random.uniform(-60, 40), size[0] * 1.2, size[0] / 4).tolist():
        pen.line([(x, level), (x - 60, size[1])], fill=_near((140, 140, 146), random, 6), width=3)
    return image


def _room(size: Size, random: np.random.Generator) -> Image.Image:
    wall = _near((206, 190, 170), random, 24)
    image = _gradient(size, wall, _near(wall, random, 6))
    pen = ImageDraw.Draw(image)
    level = random.uniform(0.6, 0.74) * size[1]
    if random.random() < 0.7:
        x, y, side = random.uniform(0, 0.8) * size[0], random.uniform(0.05, 0.2) * size[1], random.uniform(60, 130)
        pen.rectangle((x, y, x + side, y + side * 0.8), fill=_near((120, 90, 66), random))
        pen.rectangle((x + 8, y + 8, x + side - 8, y + side * 0.8 - 8), fill=_near((150, 180, 190), random, 40))
    floor = _near((164, 120, 82), random, 22)
    pen.rectangle((0, level, *size), fill=floor)
    for y in np.linspace(level, size[1], 6).tolist():
        pen.line([(0, y), (size[0], y)], fill=tuple(max(0, value - 18) for value in floor), width=3)
    if random.random() < 0.6:
        rug = (0.1 * size[0], level + 0.05 * size[1], 0.9 * size[0], 1.05 * size[1])
        pen.ellipse(rug, fill=_near((160, 92, 84), random, 42))
    return image


def _studio(size: Size, random: np.random.Generator) -> Image.Image:
    back = _near((150, 160, 170), random, 36)
    return _gradient(size, back, _near(back, random, 20))


_SCENES = (_meadow, _meadow, _beach, _snow, _street, _room, _room, _studio)
