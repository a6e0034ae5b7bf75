from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dogbreed.data.photoset import PhotoSet, read


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own, not below `tmp_path`: that may be the folder of photos itself."""
    folder = tmp_path_factory.mktemp("cache") / "of-this-test"
    monkeypatch.setenv("DOGBREED_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def look_at() -> Callable[..., PhotoSet]:
    def call(root: Path, **options: Any) -> PhotoSet:
        return read(root, **({"valid": 0.2, "test": 0.2, "seed": 0, "strict": False} | options))

    return call
