"""Curves as a PNG: what must hold of any picture, whatever its values are."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageColor

from dogbreed.capacity import picture
from dogbreed.capacity.picture import Panel, draw
from dogbreed.errors import DogbreedError

# As values of tests: none lies on another, so that each line is seen.
NAMES = [f"line {number}" for number in range(len(picture._COLOURS))]


def drawn(path: Path, *panels: Panel, length: float = 2.0) -> Image.Image:
    draw(path, "heading", panels, "hours", length)
    with Image.open(path) as image:
        assert image.format == "PNG"
        return image.convert("RGB")


def columns(image: Image.Image, colour: str) -> list[int]:
    """Where, from left to right, a colour is seen."""
    wanted = ImageColor.getrgb(colour)
    strips = (image.crop((x, 0, x + 1, image.height)).getcolors(image.height) or () for x in range(image.width))
    return [x for x, strip in enumerate(strips) if any(colour == wanted for _, colour in strip)]


@pytest.mark.parametrize("panels", [1, 2, 4])
@pytest.mark.parametrize("lines", [1, 2, len(NAMES)])
def test_every_line_is_there_and_the_picture_grows_with_what_is_in_it(tmp_path: Path, panels: int, lines: int) -> None:
    values = [(name, [10 * number + 1.0, 10 * number + 5.0]) for number, name in enumerate(NAMES[:lines])]
    image = drawn(tmp_path / "a.png", *[Panel(f"panel {number}", values) for number in range(panels)])
    smaller = drawn(tmp_path / "b.png", *[Panel("panel", values[:1])])
    assert image.width == smaller.width
    assert (image.height > smaller.height) == (panels > 1 or lines > 1)
    for colour in picture._COLOURS[:lines]:
        seen = columns(image, colour)
        assert seen[-1] - seen[0] > image.width * 0.8, colour
    assert not columns(image, picture._COLOURS[lines]) if lines < len(NAMES) else True


def test_a_value_that_is_none_is_a_gap(tmp_path: Path) -> None:
    gap = drawn(tmp_path / "gap.png", Panel("p95", [("one", [1, 1, 1, math.nan, math.nan, math.nan, 1, 1, 1])]))
    whole = drawn(tmp_path / "whole.png", Panel("p95", [("one", [1.0] * 9)]))
    missing = sorted(set(columns(whole, picture._COLOURS[0])) - set(columns(gap, picture._COLOURS[0])))
    # From the third to the seventh of nine values: half of the axis, in one piece.
    assert missing == list(range(missing[0], missing[-1] + 1))
    assert len(missing) == pytest.approx(len(columns(whole, picture._COLOURS[0])) / 2, rel=0.02)


def test_a_peak_of_one_value_among_many_is_seen(tmp_path: Path) -> None:
    values = [1.0] * 20_000
    values[7_777] = 1000.0
    image = drawn(tmp_path / "peak.png", Panel("p95", [("one", values)]))
    colour = ImageColor.getrgb(picture._COLOURS[0])
    rows = [y for y in range(image.height) for x in range(image.width) if image.getpixel((x, y)) == colour]
    assert max(rows) - min(rows) > 150


VALUES = st.floats(min_value=0) | st.sampled_from([math.nan, 0.0, 5e-324, 1.7e308])


@given(st.lists(st.lists(VALUES, max_size=30), max_size=3), st.floats(1e-6, 1e6))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_values_can_be_drawn(tmp_path: Path, lines: list[list[float]], length: float) -> None:
    image = drawn(tmp_path / "any.png", Panel("any", list(zip(NAMES, lines, strict=False))), length=length)
    for colour, line in zip(picture._COLOURS, lines, strict=False):
        # One line may lie on another; without any value there is none but in the legend.
        if len(lines) == 1:
            assert bool(columns(image, colour)) == any(map(math.isfinite, line))


@given(st.floats(1e-9, 1e12))
@settings(deadline=None)
def test_axes_end_at_a_round_number_just_above(most: float) -> None:
    end = picture._round_up(most)
    assert most * (1 - 1e-6) <= end <= most * 1.5
    ticks = picture._ticks(end)
    assert 3 <= len(ticks) <= 6 and ticks[0] == (0, "0")
    apart = ticks[1][0]
    assert [at for at, _ in ticks] == pytest.approx([number * apart for number in range(len(ticks))])
    assert 1 - apart < ticks[-1][0] <= 1 + 1e-6
    digits = [text.partition("e")[0].replace(",", "").replace(".", "").strip("0") for _, text in ticks]
    assert all(len(one) <= 3 for one in digits), ticks


def test_where_it_cannot_be_written(tmp_path: Path) -> None:
    panel = Panel("panel", [("one", [1.0])])
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "no" / "folder.png", tmp_path, tmp_path / "file" / "a.png"):
        with pytest.raises(DogbreedError, match="cannot write"):
            draw(path, "heading", [panel], "hours", 1)
