"""The shapes of a drawn dog: from a breed's sketch and a random pose to polygons, back to front.

The dog looks to the right, its feet stand on y = 0, y goes up, and a medium dog's chest is about one unit high.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogbreed.data.drawing.heads import Head
from dogbreed.data.drawing.shapes import Detail, Layer, Part, Points, darker, hairy, limb, oval, smooth, xy
from dogbreed.data.drawing.sketches import Colour, Sketch


@dataclass(slots=True)
class Dog:
    """A posed dog."""

    sketch: Sketch
    back_to_front: list[Layer]
    details: list[Detail]
    footprint: tuple[float, float]

    @property
    def parts(self) -> list[Part]:
        """Every coat shape."""
        return [part for layer in self.back_to_front for part in layer.parts]

    def layers(self) -> list[Layer]:
        """The layers, back to front."""
        return self.back_to_front


# -- the dog


def pose(sketch: Sketch, random: np.random.Generator) -> Dog:
    """A dog of this breed: standing, walking or sitting, its head, ears and tail as they happen to be."""
    return _Poser(sketch, random).dog()


class _Poser:
    def __init__(self, sketch: Sketch, random: np.random.Generator) -> None:
        self.sketch = sketch
        self.random = random
        self.layers: list[Layer] = []
        self.details: list[Detail] = []
        self.legs = sketch.legs * random.uniform(0.93, 1.07)
        self.chest = sketch.chest * random.uniform(0.94, 1.06)
        self.length = sketch.length * random.uniform(0.95, 1.05)
        # A long body on short legs does not sit well.
        self.sits = random.random() < 0.28 and self.length < 1.45
        self.walks = not self.sits and random.random() < 0.5
        self.paw = 0.13 + 0.03 * sketch.fluff

    def dog(self) -> Dog:
        rear, front = self.chest * 0.9, self.chest
        if self.sits:
            self.hip = np.array([-self.length * 0.32, rear])
            self.shoulder = np.array([self.length * 0.2, self.legs + front * 1.25])
        else:
            self.hip = np.array([-self.length / 2, self.legs + rear * 0.95])
            self.shoulder = np.array([self.length / 2, self.legs + front])
        self.rear, self.front = rear, front
        far = darker(self.sketch.coat, 0.8)
        self.leg_pair(far, near=False)
        self.tail()
        self.body()
        self.leg_pair(self.sketch.coat, near=True)
        self.head()
        left = min(self.hip[0] - self.rear, -self.length / 2)
        return Dog(self.sketch, self.layers, self.details, (float(left), float(self.shoulder[0] + self.front)))

    def add(
        self,
        *shapes: Points,
        colour: Colour,
        markings: list[tuple[Points, Colour]] | None = None,
        shade: float = 0.25,
        fluff: float | None = None,
    ) -> None:
        hair = self.sketch.fluff if fluff is None else fluff
        parts = [Part(hairy(shape, hair, self.sketch.curls, self.random)) for shape in shapes]
        self.layers.append(Layer(parts, colour, markings or [], shade))

    # legs, far ones before the body and near ones after it

    def leg_pair(self, colour: Colour, *, near: bool) -> None:
        step = self.random.uniform(0.18, 0.42) * self.legs if self.walks else self.random.uniform(-0.05, 0.07)
        side = 1 if near else -1
        shift = 0.0 if near else 0.17
        self.front_leg(self.shoulder[0] - 0.02 + shift, side * step, colour)
        if self.sits:
            self.folded_leg(shift, colour, near=near)
        else:
            self.rear_leg(self.hip[0] + shift, -side * step, colour)

    def front_leg(self, x: float, swing: float, colour: Colour) -> None:
        top = self.shoulder[1] - self.front * 0.2
        path = xy(x, top, x + swing * 0.35, top * 0.55, x + swing, self.paw * 0.9)
        self.leg(path, np.array([0.2, 0.145, 0.115]), colour)

    def rear_leg(self, x: float, swing: float, colour: Colour) -> None:
        top = self.hip[1] - self.rear * 0.1
        knee = xy(x + 0.1 + swing * 0.3, top * 0.62, x - 0.12 + swing * 0.7, top * 0.34)
        path = np.concatenate([xy(x, top), knee, xy(x + swing, self.paw * 0.9)])
        self.leg(path, np.array([0.27, 0.2, 0.125, 0.11]), colour)

    def folded_leg(self, shift: float, colour: Colour, *, near: bool) -> None:
        x = self.hip[0] + shift + 0.12
        thigh = oval(x, self.rear * 0.75, self.rear * 0.72, self.rear * 0.62, 0.3)
        foot = oval(x + self.rear * 0.55, self.paw * 0.8, self.paw * 2.0, self.paw * 0.8)
        self.add(
            foot,
            thigh,
            colour=colour,
            markings=self.leg_markings(x + self.rear * 0.55),
            fluff=0.4 * self.sketch.fluff * near,
        )

    def leg(self, path: Points, widths: NDArray[np.float64], colour: Colour) -> None:
        # Shorter legs are thicker for their length, as in real dogs.
        sturdy = 0.8 + 0.35 * self.chest / 0.5 * (0.5 + 0.5 * min(1.0, self.legs))
        x = float(path[-1, 0])
        paw = oval(x + 0.06, self.paw * 0.75, self.paw * 1.3, self.paw * 0.8)
        self.add(
            limb(path, widths * sturdy * 0.85),
            paw,
            colour=colour,
            markings=self.leg_markings(x),
            fluff=self.sketch.fluff * 0.35,
            shade=0.12,
        )

    def leg_markings(self, x: float) -> list[tuple[Points, Colour]]:
        sketch = self.sketch
        high = {"belly": 0.34, "points": 0.26, "patches": 0.0}.get(sketch.pattern, 0.0)
        if high:
            return [(xy(x - 1, -0.3, x + 1, -0.3, x + 1, high, x - 1, high), sketch.second)]
        return self.spots(x - 0.3, x + 0.3, 0, self.legs, 5) if sketch.pattern == "spots" else []

    # tail, body, markings

    def tail(self) -> None:
        sketch, wag = self.sketch, self.random.normal(0, 0.22)
        down = -0.9 if self.sits else 0.0
        root = self.hip + np.array([-self.rear * 0.72, self.rear * (0.1 if self.sits else 0.5)])
        if sketch.tail == "curl":
            turn = np.linspace(-0.4, 4.6 + wag, 12)
            reach = np.linspace(0.34, 0.13, 12)
            centre = root + np.array([0.02, 0.34])
            path = centre + np.stack([-np.sin(turn + 0.9) * reach, -np.cos(turn + 0.9) * reach], axis=1)
            widths = np.full(12, 0.085 + 0.07 * sketch.fluff)
        elif sketch.tail == "stub":
            angle = 2.3 + wag + down * 0.4
            path = root + np.linspace(0, 0.2, 3)[:, None] * (math.cos(angle), math.sin(angle))
            widths = np.array([0.13, 0.12, 0.1])
        else:
            angle = (2.75 if sketch.tail == "plume" else 2.4) + wag + down * 0.5
            long = {"plume": 0.95, "whip": 0.9, "pompom": 0.55}[sketch.tail]
            bend = np.linspace(0, -0.9 if sketch.tail == "whip" else -0.6, 8)
            steps = np.stack([np.cos(angle + bend), np.sin(angle + bend)], axis=1) * long / 8
            path = root + np.cumsum(steps, axis=0)
            widths = np.linspace(0.1, 0.03, 8)
            if sketch.tail == "plume":
                widths = 0.05 + 0.16 * np.sin(np.linspace(0.35, math.pi * 0.93, 8))
            if sketch.tail == "pompom":
                widths = np.full(8, 0.055)
        shapes = [limb(path, widths)]
        if sketch.tail == "pompom":
            shapes.append(oval(path[-1, 0], path[-1, 1], 0.22, 0.22))
        tip = sketch.second if sketch.pattern in ("saddle",) else sketch.coat
        self.add(*shapes, colour=tip, shade=0.1, fluff=max(0.0, sketch.fluff) if sketch.tail != "whip" else 0.0)

    def body(self) -> None:
        hip, shoulder, rear, front = self.hip, self.shoulder, self.rear, self.front
        axis = (shoulder - hip) / np.linalg.norm(shoulder - hip)
        up = np.array([-axis[1], axis[0]])
        middle, girth = (hip + shoulder) / 2, (rear + front) / 2
        corners = [
            hip - axis * rear,
            hip - axis * rear * 0.6 + up * rear * 0.75,
            hip + up * rear * 0.95,
            middle + up * girth * 0.84,
            shoulder + up * front * 0.98,
            shoulder + axis * front * 0.72 + up * front * 0.55,
            shoulder + axis * front,
            shoulder + axis * front * 0.55 - up * front * 0.85,
            shoulder - up * front * 1.02,
            middle - up * girth * (0.72 + 0.2 * self.sketch.fluff),
            hip - up * rear * 0.78,
            hip - axis * rear * 0.75 - up * rear * 0.6,
        ]
        torso = smooth(np.array(corners))
        self.axis, self.up = axis, up
        self.add(torso, colour=self.sketch.coat, markings=self.markings(hip, shoulder, girth))

    def markings(self, hip: Points, shoulder: Points, girth: float) -> list[tuple[Points, Colour]]:
        sketch, random = self.sketch, self.random
        axis, up = self.axis, self.up
        if sketch.pattern == "saddle":
            lower = random.uniform(-0.15, 0.15) * girth
            edge = [
                hip - axis * girth * 1.3,
                hip - axis * girth + up * lower,
                (hip + shoulder) / 2 + up * (lower - 0.1),
            ]
            rest = [shoulder + up * (lower + 0.12), shoulder + axis * girth * 0.75 + up * girth * 0.8]
            top = [shoulder + up * girth * 2, hip + up * girth * 2]
            return [(smooth(np.array([*edge, *rest, *top])), sketch.second)]
        if sketch.pattern in ("belly", "points"):
            chest = shoulder + axis * girth * 0.85 - up * girth * 0.3
            bib = oval(chest[0], chest[1], girth * 0.62, girth * (0.95 if sketch.pattern == "belly" else 0.42))
            middle = (hip + shoulder) / 2 - up * girth * 0.95
            belly = oval(middle[0], middle[1], self.length * 0.62, girth * 0.42, math.atan2(axis[1], axis[0]))
            return [(bib, sketch.second), *([(belly, sketch.second)] if sketch.pattern == "belly" else [])]
        if sketch.pattern == "spots":
            low, high = np.minimum(hip, shoulder) - girth, np.maximum(hip, shoulder) + girth
            return self.spots(low[0], high[0], low[1], high[1], 34)
        if sketch.pattern == "patches":
            found: list[tuple[Points, Colour]] = []
            for share in (0.0, 0.35, 0.62):
                spot = hip + (shoulder - hip) * (share + random.normal(0, 0.06)) + up * random.normal(0.3, 0.2) * girth
                blob = oval(0, 0, 1, 1, steps=9) * random.uniform(0.24, 0.42, (9, 1)) + spot
                found.append((smooth(blob), darker(sketch.second, random.uniform(0.75, 1.1))))
            return found
        if sketch.pattern == "brindle":
            return [self.stripe(hip, shoulder, share, girth) for share in np.arange(-0.35, 1.4, 0.115)]
        return []

    def stripe(self, hip: Points, shoulder: Points, share: float, girth: float) -> tuple[Points, Colour]:
        along = np.linspace(1.1, self.random.uniform(-0.7, 0.1), 8)[:, None]
        start = hip + (shoulder - hip) * (share + self.random.normal(0, 0.02))
        sway = np.sin(along * 5 + self.random.uniform(0, 6)) * 0.035
        path = start + self.up * along * girth + self.axis * sway
        return limb(path, np.linspace(0.034, 0.01, 8)), self.sketch.second

    def spots(self, left: float, right: float, low: float, high: float, count: int) -> list[tuple[Points, Colour]]:
        found: list[tuple[Points, Colour]] = []
        for _ in range(count):
            x, y = self.random.uniform(left, right), self.random.uniform(low, high)
            wide = self.random.uniform(0.03, 0.085)
            found.append((oval(x, y, wide, wide * self.random.uniform(0.7, 1.1), steps=12), self.sketch.second))
        return found

    # head

    def head(self) -> None:
        head = Head(self.sketch, self.random)
        layers, details = head.at(self.shoulder, self.front, self.up)
        self.layers += layers
        self.details += details
