"""The head of a drawn dog: neck, ears, skull, muzzle and face, turned and tilted as it happens to look."""

from __future__ import annotations

import numpy as np

from dogbreed.data.drawing.shapes import Detail, Layer, Part, Points, darker, hairy, limb, oval, smooth, turned, xy
from dogbreed.data.drawing.sketches import Colour, Sketch

_EYE_WHITE = (250, 248, 244)
_DARK = (28, 24, 26)
_TONGUE = (226, 108, 118)
_COLLARS: tuple[Colour, ...] = ((204, 52, 56), (44, 112, 190), (52, 150, 92), (228, 178, 40), (140, 76, 160))


class Head:
    """One head; lengths are parts of its own radius until `at` puts it in its place."""

    def __init__(self, sketch: Sketch, random: np.random.Generator) -> None:
        self.sketch = sketch
        self.random = random
        self.size = sketch.head * random.uniform(0.94, 1.08)
        self.tilt = random.normal(-0.02, 0.16)
        self.layers: list[Layer] = []
        self.details: list[Detail] = []

    def at(self, shoulder: Points, chest: float, up: Points) -> tuple[list[Layer], list[Detail]]:
        """The layers and details of the head above a shoulder; `chest` is its radius, `up` points out of the back."""
        reach = chest * (0.72 + 0.25 * self.sketch.muzzle) + self.size * 0.75
        angle = self.random.normal(0.92, 0.13)
        self.centre = shoulder + up * chest * 0.2 + reach * np.array([np.cos(angle), np.sin(angle)])
        self._ear(far=True)
        self._neck(shoulder + up * chest * 0.25, chest)
        self._skull()
        self._ear(far=False)
        self._face()
        return self.layers, self.details

    def _here(self, points: Points) -> Points:
        """From the head's own frame (radius 1, nose to the right) to the dog's."""
        return turned(points * self.size, self.tilt) + self.centre

    def _add(self, *shapes: Points, colour: Colour, fluff: float, shade: float = 0.12) -> Layer:
        hair = fluff * self.sketch.fluff
        layer = Layer([Part(hairy(s, hair, self.sketch.curls, self.random)) for s in shapes], colour, [], shade)
        self.layers.append(layer)
        return layer

    def _neck(self, root: Points, chest: float) -> None:
        path = np.stack([root, (root + self.centre) / 2, self.centre])
        fluff = self.sketch.fluff
        widths = np.array([chest * 0.78, chest * 0.5 + self.size * (0.22 + 0.2 * fluff), self.size * 0.66])
        layer = self._add(limb(path, widths), colour=self.sketch.coat, fluff=1.0)
        if self.sketch.pattern == "belly":
            front = root + np.array([chest * 0.55, 0.0])
            layer.markings.append((oval(front[0], front[1], chest * 0.5, chest * 0.9, -0.4), self.sketch.second))
        if self.random.random() < 0.5:
            colour = _COLLARS[self.random.integers(len(_COLLARS))]
            middle = root * 0.42 + self.centre * 0.58
            along = self.centre - root
            across = np.array([-along[1], along[0]]) / np.linalg.norm(along) * (widths[1] * 0.92)
            bow = along / np.linalg.norm(along) * -0.05
            self.details.append(Detail(np.stack([middle + across, middle + bow, middle - across]), colour, 0.085))

    def _skull(self) -> None:
        sketch = self.sketch
        long, round_face = 0.55 + sketch.muzzle * 1.9, sketch.muzzle < 0.2
        deep = 0.46 if not round_face else 0.6
        drop = -0.3
        muzzle = xy(
            0.3, drop + deep, 0.62, drop + deep * 0.78, long * 0.75 + 0.3, drop + deep * 0.6, long + 0.42, drop + 0.2
        )
        under = xy(long + 0.4, drop - 0.2, long * 0.6 + 0.3, drop - deep * 0.72, 0.3, drop - deep * 0.85)
        snout = smooth(np.concatenate([muzzle, under]))
        jowl = oval(0.0, 0.0, 1.0, 0.98 if not round_face else 1.04)
        self.long = long + 0.42
        layer = self._add(self._here(jowl), self._here(snout), colour=sketch.coat, fluff=0.7)
        around = oval(long * 0.62 + 0.5, drop - 0.05, long * 0.62 + 0.12, deep + 0.2)
        layer.markings.append((self._here(around), sketch.muzzle_colour))
        if sketch.pattern == "belly":
            layer.markings.append(
                (self._here(smooth(xy(0.5, 1.2, 0.75, 1.0, 0.9, 0.0, 0.4, -0.2, 0.35, 0.6))), sketch.second)
            )
        if sketch.pattern == "spots":
            for _ in range(6):
                x, y = self.random.uniform(-0.9, 0.9, 2)
                layer.markings.append((self._here(oval(x, y, 0.12, 0.1, steps=10)), sketch.second))
        if sketch.pattern == "patches":
            layer.markings.append((self._here(oval(-0.35, 0.25, 0.75, 0.8)), sketch.second))
        if sketch.eye_patch:
            layer.markings.append((self._here(oval(0.3, 0.3, 0.5, 0.46, 0.3)), sketch.second))
        if sketch.curls:
            knot = smooth(xy(-0.75, 0.5, -0.4, 1.35, 0.25, 1.4, 0.6, 0.75, 0.0, 0.55))
            self._add(self._here(knot), colour=sketch.coat, fluff=1.0)

    def _ear(self, *, far: bool) -> None:
        lift = self.random.normal(0, 0.12)
        shift = (0.38, 0.02) if far else (0.0, 0.0)
        shape = _EARS[self.sketch.ears]
        root = shape[0]
        points = smooth(turned(shape - root, lift) + root + shift, steps=5)
        colour = darker(self.sketch.ear_colour, 0.78 if far else 0.97)
        hanging = self.sketch.ears in ("long", "floppy")
        self._add(self._here(points), colour=colour, fluff=0.9 if hanging else 0.3, shade=0.2)
        if self.sketch.ears in ("pointed", "bat") and not far:
            inner = (points - points.mean(axis=0)) * 0.52 + points.mean(axis=0)
            self.details.append(Detail(self._here(inner), _mixed(self.sketch.ear_colour, (232, 164, 156))))

    def _face(self) -> None:
        dark_face = sum(self.sketch.muzzle_colour) < 250
        tip = self.long
        nose = oval(tip - 0.08, -0.1, 0.2, 0.16, 0.1)
        mouth = xy(tip - 0.12, -0.38, tip * 0.72, -0.56, tip * 0.45 + 0.1, -0.5)
        if self.random.random() < 0.45:
            hang = self.random.uniform(0.25, 0.5)
            tongue = oval(tip * 0.74, -0.52 - hang * 0.5, 0.15, hang * 0.62)
            self.details.append(Detail(self._here(tongue), _TONGUE))
        self.details.append(Detail(self._here(mouth), (96, 84, 84) if dark_face else _DARK, 0.028))
        self.details.append(Detail(self._here(nose), (18, 16, 18)))
        self.details.append(Detail(self._here(oval(tip - 0.13, -0.03, 0.06, 0.035)), (150, 146, 150)))
        look = self.random.uniform(-0.05, 0.07)
        x, y = 0.36, 0.26
        if self.random.random() < 0.08:
            self.details.append(Detail(self._here(xy(x - 0.16, y, x, y - 0.06, x + 0.16, y)), _DARK, 0.03))
            return
        big = 0.24 if self.sketch.muzzle < 0.2 else 0.2
        self.details.append(Detail(self._here(oval(x, y, big, big * 1.05)), _EYE_WHITE))
        self.details.append(Detail(self._here(oval(x + look, y, big * 0.72, big * 0.8)), _DARK))
        self.details.append(
            Detail(self._here(oval(x + look + 0.05, y + 0.07, 0.055, 0.055, steps=10)), (255, 255, 255))
        )
        if self.sketch.pattern == "points":
            self.details.append(
                Detail(self._here(oval(x + 0.05, y + 0.34, 0.15, 0.09, 0.2, steps=14)), self.sketch.second)
            )


def _mixed(first: Colour, second: Colour) -> Colour:
    red, green, blue = ((a + b) // 2 for a, b in zip(first, second, strict=True))
    return red, green, blue


# In the head's frame; the first point is where the ear is joined.
_EARS: dict[str, Points] = {
    "pointed": xy(-0.45, 0.55, -0.72, 0.75, -0.62, 1.2, -0.42, 1.72, -0.12, 1.3, 0.12, 0.8),
    "bat": xy(-0.4, 0.5, -0.8, 0.8, -0.92, 1.4, -0.62, 1.95, -0.2, 1.6, 0.1, 0.82),
    "button": xy(-0.4, 0.75, -0.75, 0.78, -0.85, 0.45, -0.5, -0.02, -0.15, 0.45, -0.05, 0.82),
    "floppy": xy(-0.4, 0.7, -0.75, 0.65, -1.0, 0.1, -0.85, -0.6, -0.45, -0.62, -0.3, 0.0, -0.15, 0.62),
    "long": xy(-0.35, 0.6, -0.75, 0.6, -1.05, -0.1, -1.1, -1.0, -0.7, -1.5, -0.3, -1.15, -0.3, -0.2, -0.1, 0.45),
}
