"""Decode one photo of any ordinary kind to RGB, noting what is odd about it.

Training, checking and prediction all decode here, so they see the same pixels.
"""

from __future__ import annotations

import io
import math
import os
import threading
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image

from dogbreed.errors import PhotoError

# What a file can be wrong by (it cannot be used) ...
FAULTS = ("empty", "not-an-image", "truncated", "bomb", "too-large", "unreadable", "address", "no-answer")
# ... and what can be odd about one that is used all the same.
ODDITIES = ("wrong-extension", "cmyk", "grey", "palette", "transparent", "16-bit", "animated", "rotated")

EXTENSIONS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
}
# The first bytes choose the one decoder that sees the file: fewer ways to be attacked, and no plugin loaded in vain.
_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n": "PNG",
    b"RIFF": "WEBP",
    b"BM": "BMP",
    b"GIF8": "GIF",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "TIFF",
    b"MM\x00+": "TIFF",
}
_PLUGINS = {"JPEG": "Jpeg", "PNG": "Png", "WEBP": "WebP", "BMP": "Bmp", "GIF": "Gif", "TIFF": "Tiff"}
PHOTO_SUFFIXES = frozenset(suffix for suffixes in EXTENSIONS.values() for suffix in suffixes)

MAX_BYTES = 64 * 2**20
MAX_PIXELS = 50_000_000  # after reduced-size decoding; 150 MB as RGB
# A reduced photo keeps this many times `at_least` pixels, so that the resizing that follows still has its say: with 1,
# a breed's probability moved by up to 0.21 on large photos; with 2 by 0.03, for a fifth more time.
_SPARE = 2
_BAND = 64  # rows of the reduced photo that are made at a time
_REDUCED_LIMIT = 4  # a baseline JPEG is decoded in strips, so it may be this many times larger
# Above this many pixels, photos are decoded one at a time, so that memory does not grow with the threads that decode.
_LARGE_PIXELS = 8_000_000
_large = threading.Lock()
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# `read_photo` checks the size itself, with an error that names the file, before any pixel is decoded.
Image.MAX_IMAGE_PIXELS = None
# What Pillow mumbles about a damaged file is either an error, and then a PhotoError, or of no consequence.
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclass(frozen=True, slots=True)
class Decoded:
    """An upright RGB image, the size it had in its file (width, height) and its `ODDITIES`."""

    image: Image.Image
    format: str
    size: tuple[int, int]
    oddities: tuple[str, ...]


def read_bytes(path: Path) -> bytes:
    """The bytes of a photo file; PhotoError when it is unreadable, empty or above `MAX_BYTES`."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                raise PhotoError("too-large", f"{size / 2**20:.0f} MiB, more than the {MAX_BYTES // 2**20} MiB limit")
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PhotoError("unreadable", error.strerror or str(error)) from error


def read_photo(data: bytes, *, name: str = "", at_least: int | None = None) -> Decoded:
    """Decode `data` to upright RGB; `name` is only used to notice a wrong extension.

    With `at_least`, a large photo may be given at a whole fraction of its size (a JPEG is then decoded at 1/2, 1/4 or
    1/8, which is faster too), as long as the shorter side keeps twice that many pixels. Of an animation, the first
    frame is used. Transparent parts become white. Raises PhotoError with one of `FAULTS`.
    """
    if not data:
        raise PhotoError("empty", "the file is empty")
    if len(data) > MAX_BYTES:
        raise PhotoError("too-large", f"more than the {MAX_BYTES // 2**20} MiB limit")
    kind = _kind(data)
    try:
        import_module(f"PIL.{_PLUGINS[kind]}ImagePlugin")
        # Not Image.open, which first loads the plugins of five formats.
        image = Image.OPEN[kind][0](io.BytesIO(data), name)
    except SyntaxError as error:
        raise PhotoError("not-an-image", f"starts like {kind}, but is none") from error
    except Exception as error:
        raise PhotoError("truncated", f"damaged or cut off ({_one_line(error)})") from error
    try:
        size = image.size
        _shrink_while_decoding(image, at_least)
        _refuse_bombs(image, size)
        with _large if image.width * image.height > _LARGE_PIXELS else nullcontext():
            oddities = _oddities(image, data, name)
            image.load()  # Pillow is lazy: only now does damage show
            return Decoded(_to_rgb(image, at_least), image.format or "", size, oddities)
    except PhotoError:
        raise
    # Pillow's decoders raise nearly anything on damaged files; whatever it is, this file is the reason.
    except Exception as error:
        raise PhotoError("truncated", f"damaged or cut off ({_one_line(error)})") from error


def _kind(data: bytes) -> str:
    kind = next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), None)
    if kind and (kind != "WEBP" or data[8:12] == b"WEBP"):
        return kind
    if data[4:8] == b"ftyp":
        brand = data[8:12].decode("ascii", "replace").upper()
        what = "HEIC" if brand in ("HEIC", "HEIX", "MIF1", "HEVC") else "AVIF" if brand == "AVIF" else "video"
        raise PhotoError("not-an-image", f"{what} files are not read", "save the photo as JPEG or PNG")
    raise PhotoError("not-an-image", "not a JPEG, PNG, WebP, BMP, GIF or TIFF image")


def _shrink_while_decoding(image: Image.Image, at_least: int | None) -> None:
    if at_least and image.format in ("JPEG", "MPO"):
        scale = _SPARE * at_least / min(image.size)
        image.draft(None, (math.ceil(image.width * scale), math.ceil(image.height * scale)))


def _refuse_bombs(image: Image.Image, size: tuple[int, int]) -> None:
    strips = image.format in ("JPEG", "MPO") and not image.info.get("progressive")
    limit = MAX_PIXELS * (_REDUCED_LIMIT if strips else 1)
    if size[0] * size[1] > limit or image.width * image.height > MAX_PIXELS:
        raise PhotoError("bomb", f"{size[0]} x {size[1]} pixels would fill the memory when decoded")


def _is_deep_png(data: bytes) -> bool:
    # Pillow reads 16-bit colours as 8-bit ones and says nothing of it; the 25th byte of a PNG is its depth.
    return data.startswith(b"\x89PNG") and data[24:25] == b"\x10"


def _oddities(image: Image.Image, data: bytes, name: str) -> tuple[str, ...]:
    found = []
    suffix = Path(name).suffix.lower()
    if suffix and suffix not in EXTENSIONS[image.format or ""]:
        found.append("wrong-extension")
    if image.mode in ("CMYK", "YCCK"):
        found.append("cmyk")
    if image.mode in ("1", "L", "LA"):
        found.append("grey")
    if image.mode in ("P", "PA"):
        found.append("palette")
    if _is_transparent(image):
        found.append("transparent")
    if image.mode.startswith(("I", "F")) or _is_deep_png(data):
        found.append("16-bit")
    # A phone's MPO holds a second view of the same moment; that is no animation.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        found.append("animated")
    if _orientation(image) in _TURNS:
        found.append("rotated")
    return tuple(found)


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001  (damaged EXIF says nothing about the pixels)
        return 1
    return value if isinstance(value, int) else 1


def _is_transparent(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info


def _to_rgb(image: Image.Image, at_least: int | None) -> Image.Image:
    turn = _TURNS.get(_orientation(image))  # of a TIFF, Pillow has already turned the pixels
    top = _highest(image)
    factor = min(image.size) // (_SPARE * at_least) if at_least else 1
    if factor > 1:
        # Band by band: converting all of a large picture at once would need its memory several times over.
        small = Image.new("RGB", (math.ceil(image.width / factor), math.ceil(image.height / factor)))
        for upper in range(0, image.height, factor * _BAND):
            lower = min(upper + factor * _BAND, image.height)
            band = _flat(image.crop((0, upper, image.width, lower)), top)
            small.paste(band.reduce(factor), (0, upper // factor))
    else:
        small = _flat(image, top)
    return small.transpose(turn) if turn is not None else small


def _flat(image: Image.Image, top: float) -> Image.Image:
    """`image` as RGB, on white where it is transparent."""
    if image.mode.startswith(("I", "F")):
        image = _to_8_bit(image, top)
    if _is_transparent(image):
        image = image.convert("RGBA")
        paper = Image.new("RGB", image.size, (255, 255, 255))
        paper.paste(image, mask=image.getchannel("A"))
        return paper
    return image if image.mode == "RGB" else image.convert("RGB")


def _highest(image: Image.Image) -> float:
    """The highest value of a picture with more than 8 bits a channel, of which it may use any part."""
    if not image.mode.startswith(("I", "F")):
        return 255.0
    top = image.getextrema()[1]
    return float(top) if isinstance(top, (int, float)) and math.isfinite(top) else 65535.0


def _to_8_bit(image: Image.Image, top: float) -> Image.Image:
    """Pillow would cut 16-bit values off at 255; scale them by the range they use instead."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), nan=0.0, posinf=65535.0, neginf=0.0)
    fractions = image.mode.startswith("F") and top <= 1
    scale = 255.0 if fractions else 1.0 if top <= 255 else 255.0 / max(top, 65535.0)
    return Image.fromarray(np.clip(values * np.float32(scale), 0, 255).astype(np.uint8))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
