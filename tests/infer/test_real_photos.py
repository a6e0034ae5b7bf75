"""Real photos, where there are any beside the repository: the starter knows them, also rotated, large or re-saved."""

from __future__ import annotations

from pathlib import Path

import pytest
from drawn_photos import encode
from PIL import Image

from dogbreed.infer.predictor import Predictor

ORIGINALS = Path(__file__).parents[3] / "shared" / "data" / "originals"


@pytest.fixture(scope="module")
def photos() -> list[Path]:
    found = sorted(ORIGINALS.glob("*/*.jpg"))[::14]
    if not found:
        pytest.skip(f"no real photos: {ORIGINALS} is not there")
    return found


def test_breeds_are_named(predictor: Predictor, photos: list[Path]) -> None:
    named = [path.parent.name in dict(predictor.predict(path.read_bytes()).top) for path in photos]
    assert sum(named) >= 0.7 * len(named)


def test_a_large_photo_gets_the_answer_of_the_small_one(predictor: Predictor, photos: list[Path]) -> None:
    for path in photos[:5]:
        image = Image.open(path).convert("RGB")
        large = encode(image.resize((image.width * 6, image.height * 6), Image.Resampling.LANCZOS))
        small = predictor.predict(encode(image, "PNG"))
        answer = predictor.predict(large)
        assert answer.breed == small.breed
        assert answer.confidence == pytest.approx(small.confidence, abs=0.15)
