"""Every ordinary and odd kind of image gets the same answer as the plain photo."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from drawn_photos import draw, encode
from PIL import Image

from dogbreed.errors import PhotoError
from dogbreed.infer.photo import read_photo
from dogbreed.infer.predictor import Predictor


def shares(predictor: Predictor, data: bytes, at_least: int | None = None) -> np.ndarray:
    image = read_photo(data, at_least=at_least or predictor.preprocessing.resize).image
    logits = predictor.logits(predictor.preprocessing(image)[None])[0].astype(np.float64) / predictor.temperature
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def png(image: Image.Image) -> bytes:
    return encode(image, "PNG")


KINDS = {
    "jpeg": lambda image: encode(image, quality=95),
    "progressive": lambda image: encode(image, quality=95, progressive=True),
    "webp": lambda image: encode(image, "WEBP", lossless=True),
    "bmp": lambda image: encode(image, "BMP"),
    "tiff": lambda image: encode(image, "TIFF"),
    "tiff-lzw": lambda image: encode(image, "TIFF", compression="tiff_lzw"),
    "big-tiff": lambda image: encode(image, "TIFF", big_tiff=True),
    "opaque-alpha": lambda image: png(image.convert("RGBA")),
    "mpo": lambda image: encode(image, "MPO", save_all=True, append_images=[draw(9)], quality=95),
    "apng": lambda image: encode(image, "PNG", save_all=True, append_images=[draw(9)]),
    "animated-webp": lambda image: encode(image, "WEBP", save_all=True, append_images=[draw(9)], lossless=True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_container_does_not_change_the_answer(predictor: Predictor, kind: str) -> None:
    image = draw(1)
    assert shares(predictor, KINDS[kind](image)) == pytest.approx(shares(predictor, png(image)), abs=0.08)


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P", "CMYK", "I;16", "I", "F", "YCbCr", "RGBA"])
def test_every_mode_is_read_as_the_picture_it_shows(mode: str) -> None:
    image = draw(2)
    grey = mode in ("L", "LA", "1", "I;16", "I", "F")
    if mode in ("I;16", "I"):
        wide = np.asarray(image.convert("L")).astype(np.uint16) * 257
        odd = Image.fromarray(wide if mode == "I;16" else wide.astype(np.int32))
    elif mode == "F":
        odd = Image.fromarray(np.asarray(image.convert("L")).astype(np.float32) / 255)
    else:
        odd = image.convert(mode)
    kind = "TIFF" if mode in ("F", "CMYK", "YCbCr", "I") else "PNG"
    seen = np.asarray(read_photo(encode(odd, kind)).image).astype(int)
    truth = np.asarray(image.convert("L").convert("RGB") if grey else image).astype(int)
    assert seen.shape == truth.shape
    # 1 bit and a palette of 256 keep less of it; what is compared is the coarse picture.
    coarse = [Image.fromarray(p.astype(np.uint8)).resize((20, 15), Image.Resampling.BOX) for p in (seen, truth)]
    assert np.abs(np.asarray(coarse[0]).astype(int) - np.asarray(coarse[1])).mean() < 8


def test_cmyk_jpeg_of_photoshop_is_not_inverted() -> None:
    image = draw(3)
    seen = read_photo(encode(image.convert("CMYK"))).image
    assert np.abs(np.asarray(seen).astype(int) - np.asarray(image)).mean() < 8


def test_transparent_parts_are_white() -> None:
    image = draw(4).convert("RGBA")
    image.putalpha(0)
    for data in (png(image), encode(image, "WEBP", lossless=True), png(image.convert("P"))):
        assert np.asarray(read_photo(data, at_least=32).image).min() == 255


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_gives_the_answer_of_the_upright_photo(
    predictor: Predictor, orientation: int, kind: str
) -> None:
    upright = draw(5)
    t = Image.Transpose
    undo = {2: t.FLIP_LEFT_RIGHT, 3: t.ROTATE_180, 4: t.FLIP_TOP_BOTTOM, 5: t.TRANSPOSE, 6: t.ROTATE_90}
    undo |= {7: t.TRANSVERSE, 8: t.ROTATE_270}
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    data = encode(stored, kind, exif=exif, **options)
    assert read_photo(data).image.size == upright.size
    tolerance = 0.1 if kind == "JPEG" else 1e-6
    assert shares(predictor, data) == pytest.approx(shares(predictor, png(upright)), abs=tolerance)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_reduced_decoding_gives_nearly_the_same_answer(predictor: Predictor, seed: int, kind: str) -> None:
    data = encode(draw(seed, (2400, 1800)), kind)
    small = read_photo(data, at_least=predictor.preprocessing.resize)
    assert min(small.image.size) < 1000
    assert small.size == (2400, 1800)
    full = shares(predictor, data, at_least=10**6)
    assert np.abs(shares(predictor, data) - full).max() < 0.05


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (3000, 2), (223, 225)])
def test_any_shape_is_answered(predictor: Predictor, size: tuple[int, int]) -> None:
    answer = predictor.predict(png(draw(6, size)))
    assert answer.breed in predictor.labels


def test_damaged_exif_says_nothing_about_the_pixels() -> None:
    data = encode(draw(7), exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff garbage")
    assert read_photo(data).image.size == (320, 240)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"hello", "not a JPEG"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "not a JPEG"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00", "HEIC"),
        (b"\x00\x00\x00\x18ftypavif\x00\x00", "AVIF"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 50, "damaged"),
    ],
)
def test_what_is_no_photo_is_said(data: bytes, words: str) -> None:
    with pytest.raises(PhotoError, match=words):
        read_photo(data)


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    buffer = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(buffer, "PNG")
    with pytest.raises(PhotoError) as caught:
        read_photo(buffer.getvalue(), at_least=256)
    assert caught.value.kind == "bomb"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "I;16"])
def test_reducing_band_by_band_leaves_no_seams(mode: str) -> None:
    image = draw(8, (1501, 1303))
    if mode == "I;16":
        odd = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    else:
        odd = image.convert(mode)
    data = png(odd)
    whole, reduced = read_photo(data).image, read_photo(data, at_least=100).image
    assert reduced.size == (251, 218)
    assert np.abs(np.asarray(whole.reduce(6)).astype(int) - np.asarray(reduced)).max() <= 1


def test_sixteen_bits_of_colour_are_noticed() -> None:
    raw = b"".join(b"\0" + bytes(range(12)) for _ in range(2))  # two rows of two pixels, no filter

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    assert read_photo(data).oddities == ("16-bit",)
