"""The training curve as a picture, drawn with Pillow: one plotting library less to install."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

_WIDTH, _HEIGHT, _MARGIN = 880, 420, 56
_INK, _GRID, _PAPER = "#24292f", "#d8dee4", "#ffffff"
_LOSSES = (("train_loss", "#0969da", "training loss"), ("valid_loss", "#cf222e", "validation loss"))
_TOP1 = ("valid_top1", "#1a7f37", "validation top-1")


def draw(history: Sequence[dict[str, Any]]) -> bytes:
    """A PNG: losses (left axis, nats) and validation top-1 (right axis, if there was any) over the epochs."""
    picture = Image.new("RGB", (_WIDTH, _HEIGHT), _PAPER)
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(13)
    losses = [entry[key] for entry in history for key, _, _ in _LOSSES if entry[key] is not None]
    top = max(losses or [1.0]) * 1.05 or 1.0
    for tick in range(5):
        y = _y(tick / 4)
        pen.line((_MARGIN, y, _WIDTH - _MARGIN, y), _GRID)
        pen.text((_MARGIN - 8, y), f"{top * tick / 4:.2f}", _INK, font, anchor="rm")
        pen.text((_WIDTH - _MARGIN + 8, y), f"{tick * 25} %", _INK, font, anchor="lm")
    epochs = [entry["epoch"] for entry in history]
    for epoch in epochs[:: max(1, len(epochs) // 10)]:
        pen.text((_x(epoch, epochs), _HEIGHT - _MARGIN + 8), str(epoch), _INK, font, anchor="ma")
    for key, colour, _ in _LOSSES:
        seen = [entry for entry in history if entry[key] is not None]
        _line(pen, [(_x(entry["epoch"], epochs), _y(entry[key] / top)) for entry in seen], colour)
    tested = [entry for entry in history if entry[_TOP1[0]] is not None]
    _line(pen, [(_x(entry["epoch"], epochs), _y(entry[_TOP1[0]])) for entry in tested], _TOP1[1])
    x = _MARGIN
    for _, colour, words in (*_LOSSES, _TOP1):
        pen.rectangle((x, 18, x + 14, 26), colour)
        pen.text((x + 20, 22), words, _INK, font, anchor="lm")
        x += 190
    pen.text((_WIDTH / 2, _HEIGHT - 14), "epoch", _INK, font, anchor="mm")
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _x(epoch: int, epochs: Sequence[int]) -> float:
    first, last = epochs[0], epochs[-1]
    return _MARGIN + (_WIDTH - 2 * _MARGIN) * ((epoch - first) / (last - first) if last > first else 0.5)


def _y(share: float) -> float:
    return _HEIGHT - _MARGIN - (_HEIGHT - 2 * _MARGIN) * min(max(share, 0.0), 1.0)


def _line(pen: ImageDraw.ImageDraw, points: list[tuple[float, float]], colour: str) -> None:
    if len(points) == 1:
        x, y = points[0]
        pen.ellipse((x - 3, y - 3, x + 3, y + 3), colour)
    pen.line(points, colour, 2, "curve")
