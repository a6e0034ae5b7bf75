"""Curves over time as a PNG: panels below each other with one axis of time, a line for each of what is compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from dogbreed.errors import DogbreedError

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _GAP, _FOOT = 1200, 190, 90, 30, 46, 60
# Told apart by people who see few colours, too (Okabe and Ito 2008).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#999999")
_INK, _GRID, _PAPER = "#333333", "#dddddd", "#ffffff"
_THICKEST = 8
_STEPS = (1, 2, 2.5, 5, 10)
# What an axis can end at; what lies beyond is drawn at its edge.
_LEAST, _MOST = 1e-12, 1e300


@dataclass(frozen=True)
class Panel:
    """A title, and for each name its values, 0 or more and all equally far apart; NaN is a gap."""

    title: str
    lines: Sequence[tuple[str, Sequence[float]]]


def draw(path: Path, heading: str, panels: Sequence[Panel], unit: str, length: float) -> None:
    """Write the picture; the axis of time is `length` of `unit` long. DogbreedError where it cannot be written."""
    names = list(dict.fromkeys(name for panel in panels for name, _ in panel.lines))
    legend = 26 * len(names) if len(names) > 1 else 0
    size = (_WIDTH, 60 + len(panels) * (_HEIGHT + _GAP) + _FOOT + legend)
    image = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(image)
    pen.text((_LEFT, 16), heading, _INK, _font(20))
    colours = {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(names)}
    top = 60
    for panel in panels:
        _panel(pen, panel, top + _GAP // 2, colours)
        top += _HEIGHT + _GAP
    for share, text in _ticks(length):
        x = _LEFT + share * (_WIDTH - _LEFT - _RIGHT)
        pen.text((x, top + 4), text, _INK, _font(13), anchor="mt")
    pen.text((_WIDTH - _RIGHT, top + 24), unit, _INK, _font(13), anchor="rt")
    for number, name in enumerate(names if legend else ()):
        y = top + _FOOT - 16 + 26 * number
        pen.line([(_LEFT, y + 8), (_LEFT + 36, y + 8)], colours[name], 4)
        pen.text((_LEFT + 46, y), name, _INK, _font(14))
    try:
        image.save(path, "PNG")
    except (OSError, ValueError) as error:
        raise DogbreedError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from error


def _panel(pen: ImageDraw.ImageDraw, panel: Panel, top: int, colours: dict[str, str]) -> None:
    values = [value for _, line in panel.lines for value in line if math.isfinite(value)]
    most = _round_up(min(max(values, default=0.0), _MOST))
    pen.text((_LEFT, top - 20), panel.title, _INK, _font(15))
    for share, text in _ticks(most):
        y = top + _HEIGHT * (1 - share)
        pen.line([(_LEFT, y), (_WIDTH - _RIGHT, y)], _GRID, 1)
        pen.text((_LEFT - 8, y), text, _INK, _font(13), anchor="rm")
    width = _WIDTH - _LEFT - _RIGHT
    for number, (name, line) in enumerate(panel.lines[::-1]):
        # What lies behind is drawn broader, so that of equal lines every colour is seen.
        thick = 2 + min(2 * (len(panel.lines) - 1 - number), _THICKEST)
        for part in _unbroken(_condensed(line, width)):
            shares = [(at, min(max(value / most, 0.0), 1.0)) for at, value in part]
            points = [(_LEFT + at * width, top + _HEIGHT * (1 - share)) for at, share in shares]
            pen.line(points if len(points) > 1 else points * 2, colours[name], thick, joint="curve")


def _condensed(line: Sequence[float], width: int) -> list[tuple[float, float]]:
    """(share of the axis, value): where several fall on one pixel, the largest of them."""
    columns = min(len(line), width)
    found = []
    for column in range(columns):
        part = line[column * len(line) // columns : (column + 1) * len(line) // columns]
        finite = [value for value in part if math.isfinite(value)]
        found.append((column / max(1, columns - 1), max(finite) if finite else math.nan))
    return found


def _unbroken(points: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    parts: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if math.isfinite(point[1]):
            parts[-1].append(point)
        elif parts[-1]:
            parts.append([])
    return [part for part in parts if part]


def _step(most: float) -> float:
    """A round number that goes about four times into `most`."""
    rough = most / 4
    scale = 10.0 ** math.floor(math.log10(rough))
    return scale * next(one for one in _STEPS if one * scale >= rough * 0.999)


def _round_up(most: float) -> float:
    """A round number that nothing is above; 1 where all is 0, or as good as that."""
    if most < _LEAST:
        return 1.0
    step = _step(most)
    return step * math.ceil(most / step - 1e-9)


def _ticks(most: float) -> list[tuple[float, str]]:
    """Round numbers from 0 to `most`, as shares of it."""
    step = _step(most)
    return [(number * step / most, f"{number * step:,.6g}") for number in range(int(most / step * 1.0001) + 1)]


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
