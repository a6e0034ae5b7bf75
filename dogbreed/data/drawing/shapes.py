"""Shapes as arrays of points [n, 2], and the layers that a dog is drawn from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dogbreed.data.drawing.sketches import Colour

Points = NDArray[np.float64]


@dataclass(slots=True)
class Part:
    """A filled shape of the coat."""

    points: Points


@dataclass(slots=True)
class Detail:
    """A shape drawn last, without outline; `line` is its width when it is a line."""

    points: Points
    colour: Colour
    line: float = 0.0


@dataclass(slots=True)
class Layer:
    """Shapes that share one outline, with their colour, the markings inside, and how much darker they end below."""

    parts: list[Part]
    colour: Colour
    markings: list[tuple[Points, Colour]] = field(default_factory=list)
    shade: float = 0.25


def xy(*values: float) -> Points:
    """Points from x, y, x, y ..."""
    return np.asarray(values, dtype=np.float64).reshape(-1, 2)


def smooth(corners: Points, steps: int = 7) -> Points:
    """A closed curve through all corners (Catmull-Rom)."""
    before, after, beyond = np.roll(corners, 1, 0), np.roll(corners, -1, 0), np.roll(corners, -2, 0)
    t = (np.arange(steps) / steps)[:, None, None]
    curve = 0.5 * (
        2 * corners
        + (after - before) * t
        + (2 * before - 5 * corners + 4 * after - beyond) * t**2
        + (3 * corners - before - 3 * after + beyond) * t**3
    )
    return np.asarray(curve.transpose(1, 0, 2).reshape(-1, 2))


def oval(x: float, y: float, wide: float, high: float, turn: float = 0.0, *, steps: int = 28) -> Points:
    """An ellipse around (x, y), turned by `turn` radians."""
    around = np.linspace(0, 2 * math.pi, steps, endpoint=False)
    ring = np.stack([np.cos(around) * wide, np.sin(around) * high], axis=1)
    return np.asarray(turned(ring, turn) + np.array([x, y]))


def turned(points: Points, angle: float) -> Points:
    """Points turned around the origin, radians."""
    cos, sin = math.cos(angle), math.sin(angle)
    return np.asarray(points @ np.array([[cos, sin], [-sin, cos]]))


def limb(path: Points, widths: NDArray[np.float64]) -> Points:
    """A tube along `path` with a half-width at each of its points, round at the end."""
    steps = np.gradient(path, axis=0)
    normal = np.stack([-steps[:, 1], steps[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    left, right = path + normal * widths[:, None], path - normal * widths[:, None]
    tip = path[-1] + steps[-1] / max(float(np.linalg.norm(steps[-1])), 1e-9) * widths[-1] * 0.9
    return smooth(np.concatenate([left, tip[None], right[::-1]]), steps=4)


def hairy(points: Points, fluff: float, curls: bool, random: np.random.Generator) -> Points:
    """Tufts along an outline: soft points, or round scallops for curls."""
    if fluff <= 0:
        return points
    count = max(len(points), 60)
    spread = np.linspace(0, len(points), count, endpoint=False)
    ring = np.concatenate([points, points[:1]])
    base = np.stack([np.interp(spread, np.arange(len(ring)), ring[:, axis]) for axis in (0, 1)], axis=1)
    steps = np.roll(base, -1, 0) - np.roll(base, 1, 0)
    normal = np.stack([steps[:, 1], -steps[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    centre = base.mean(axis=0)
    if float(((base - centre) * normal).sum()) < 0:
        normal = -normal
    along = np.arange(count)
    wave = np.abs(np.sin(along * math.pi / 4)) if curls else (along % 3 == 0) * random.uniform(0.6, 1.3, count)
    return np.asarray(base + normal * (wave * (0.07 if curls else 0.085) * fluff)[:, None])


def darker(colour: Colour, share: float) -> Colour:
    """The colour at `share` of its brightness."""
    red, green, blue = (min(255, round(value * share)) for value in colour)
    return red, green, blue
