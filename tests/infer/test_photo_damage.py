"""Damaged and hostile bytes give a PhotoError or an answer, never another error, a warning or a crash."""

from __future__ import annotations

import warnings

import pytest
from drawn_photos import draw, encode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dogbreed.errors import PhotoError
from dogbreed.infer.photo import FAULTS, read_photo

_SMALL = draw(0, (48, 40))
_PAIR = {"save_all": True, "append_images": [draw(1, (48, 40))]}
SEEDS = {
    "jpeg": encode(_SMALL, exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00"),
    "progressive": encode(_SMALL, progressive=True),
    "mpo": encode(_SMALL, "MPO", **_PAIR),
    "png": encode(_SMALL, "PNG"),
    "apng": encode(_SMALL, "PNG", **_PAIR),
    "palette": encode(_SMALL.convert("P"), "PNG", transparency=3),
    "webp": encode(_SMALL, "WEBP", **_PAIR),
    "bmp": encode(_SMALL, "BMP"),
    "gif": encode(_SMALL, "GIF", **_PAIR),
    "tiff": encode(_SMALL, "TIFF", compression="tiff_lzw"),
    "tiff-jpeg": encode(_SMALL, "TIFF", compression="jpeg"),
}


def survive(data: bytes) -> None:
    with warnings.catch_warnings(record=True):
        try:
            image = read_photo(data, name="x.jpg", at_least=32).image
        except PhotoError as error:
            assert error.kind in FAULTS
            assert error.message
            assert "\n" not in error.message
        else:
            assert image.mode == "RGB"
            assert min(image.size) >= 1


@pytest.mark.parametrize("kind", SEEDS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(choose=st.data())
def test_mutated_images(kind: str, choose: st.DataObject) -> None:
    data = bytearray(SEEDS[kind])
    # Headers are where decoders go wrong, so half of the flips are there.
    place = st.one_of(st.integers(0, min(len(data), 200) - 1), st.integers(0, len(data) - 1))
    for where, mask in choose.draw(st.lists(st.tuples(place, st.integers(1, 255)), max_size=6)):
        data[where] ^= mask
    end = choose.draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))
    survive(bytes(data[:end]))


@settings(max_examples=60, deadline=None)
@given(head=st.sampled_from([data[:12] for data in SEEDS.values()]), tail=st.binary(max_size=300))
def test_garbage_behind_a_good_beginning(head: bytes, tail: bytes) -> None:
    survive(head + tail)
