"""The starter model, which answers the drawn photos of these tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from drawn_photos import draw, encode

from dogbreed.infer.predictor import Predictor
from dogbreed.run import STARTER, Run


@pytest.fixture(scope="session")
def predictor() -> Predictor:
    if not (STARTER / "model.json").is_file():
        pytest.skip("the starter model is not there")
    return Predictor.open(Run.open(STARTER))


@pytest.fixture
def photo_file(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str = "dog.jpg", seed: int = 0) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}[path.suffix.lower()]
        path.write_bytes(encode(draw(seed), kind))
        return path

    return make
