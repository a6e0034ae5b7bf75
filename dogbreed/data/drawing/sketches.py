"""The invented breeds of the drawn sample set: what each one looks like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Colour = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sketch:
    """How one breed is drawn. Lengths are parts of a medium dog's chest height; `fluff` is 0 (sleek) to 1."""

    name: str
    coat: Colour
    second: Colour
    pattern: Literal["solid", "spots", "saddle", "patches", "brindle", "belly", "points"]
    ears: Literal["pointed", "bat", "button", "floppy", "long"]
    ear_colour: Colour
    muzzle: float
    muzzle_colour: Colour
    tail: Literal["curl", "whip", "plume", "stub", "pompom"]
    legs: float
    length: float
    chest: float
    head: float
    fluff: float = 0.0
    curls: bool = False
    eye_patch: bool = False


_BLACK = (44, 42, 46)
_WHITE = (244, 241, 234)
_TAN = (205, 142, 78)
_PINK = (240, 196, 186)

# The first eight are the default set; any two of them differ in at least three features.
SKETCHES = (
    Sketch(
        name="charcoal_shepherd",
        coat=(196, 145, 88),
        second=(50, 44, 42),
        pattern="saddle",
        ears="pointed",
        ear_colour=(64, 54, 48),
        muzzle=0.62,
        muzzle_colour=(62, 54, 50),
        tail="plume",
        legs=0.95,
        length=1.5,
        chest=0.5,
        head=0.36,
        fluff=0.25,
    ),
    Sketch(
        name="chalk_spitz",
        coat=(248, 247, 242),
        second=(226, 226, 228),
        pattern="solid",
        ears="pointed",
        ear_colour=(238, 226, 222),
        muzzle=0.34,
        muzzle_colour=(250, 249, 246),
        tail="curl",
        legs=0.5,
        length=1.0,
        chest=0.62,
        head=0.44,
        fluff=1.0,
    ),
    Sketch(
        name="crayon_corgi",
        coat=(226, 136, 52),
        second=_WHITE,
        pattern="belly",
        ears="bat",
        ear_colour=(214, 122, 44),
        muzzle=0.46,
        muzzle_colour=_WHITE,
        tail="stub",
        legs=0.28,
        length=1.55,
        chest=0.46,
        head=0.4,
        fluff=0.25,
    ),
    Sketch(
        name="doodle_pug",
        coat=(226, 196, 150),
        second=(206, 172, 124),
        pattern="solid",
        ears="button",
        ear_colour=_BLACK,
        muzzle=0.12,
        muzzle_colour=_BLACK,
        tail="curl",
        legs=0.42,
        length=0.95,
        chest=0.5,
        head=0.46,
    ),
    Sketch(
        name="inkblot_hound",
        coat=_WHITE,
        second=(36, 34, 40),
        pattern="spots",
        ears="floppy",
        ear_colour=(40, 38, 44),
        muzzle=0.56,
        muzzle_colour=_WHITE,
        tail="whip",
        legs=1.0,
        length=1.35,
        chest=0.46,
        head=0.34,
    ),
    Sketch(
        name="marker_dachs",
        coat=(46, 40, 42),
        second=(190, 104, 52),
        pattern="points",
        ears="long",
        ear_colour=(38, 34, 36),
        muzzle=0.66,
        muzzle_colour=(190, 104, 52),
        tail="whip",
        legs=0.22,
        length=1.95,
        chest=0.36,
        head=0.32,
    ),
    Sketch(
        name="scribble_poodle",
        coat=(116, 124, 146),
        second=(98, 106, 130),
        pattern="solid",
        ears="long",
        ear_colour=(92, 100, 124),
        muzzle=0.5,
        muzzle_colour=(130, 138, 158),
        tail="pompom",
        legs=0.85,
        length=1.05,
        chest=0.48,
        head=0.36,
        fluff=0.8,
        curls=True,
    ),
    Sketch(
        name="sketch_spaniel",
        coat=(158, 78, 40),
        second=(138, 64, 32),
        pattern="solid",
        ears="long",
        ear_colour=(128, 58, 28),
        muzzle=0.42,
        muzzle_colour=(170, 92, 52),
        tail="plume",
        legs=0.6,
        length=1.3,
        chest=0.5,
        head=0.38,
        fluff=0.45,
    ),
    Sketch(
        name="brush_brindler",
        coat=(150, 98, 52),
        second=(66, 44, 32),
        pattern="brindle",
        ears="button",
        ear_colour=(84, 56, 38),
        muzzle=0.26,
        muzzle_colour=(54, 44, 42),
        tail="stub",
        legs=0.85,
        length=1.3,
        chest=0.54,
        head=0.4,
    ),
    Sketch(
        name="eraser_terrier",
        coat=(246, 236, 230),
        second=_BLACK,
        pattern="solid",
        ears="bat",
        ear_colour=_PINK,
        muzzle=0.5,
        muzzle_colour=(246, 234, 228),
        tail="whip",
        legs=0.6,
        length=1.15,
        chest=0.5,
        head=0.4,
        eye_patch=True,
    ),
    Sketch(
        name="pencil_pointer",
        coat=(148, 146, 150),
        second=(124, 122, 128),
        pattern="solid",
        ears="floppy",
        ear_colour=(118, 116, 122),
        muzzle=0.64,
        muzzle_colour=(158, 156, 160),
        tail="stub",
        legs=1.05,
        length=1.4,
        chest=0.46,
        head=0.32,
    ),
    Sketch(
        name="watercolour_collie",
        coat=_WHITE,
        second=(112, 132, 160),
        pattern="patches",
        ears="button",
        ear_colour=(92, 108, 136),
        muzzle=0.54,
        muzzle_colour=_TAN,
        tail="plume",
        legs=0.8,
        length=1.4,
        chest=0.5,
        head=0.36,
        fluff=0.6,
    ),
)
