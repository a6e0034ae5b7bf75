"""Drawn photos of three breeds, and undisturbed trainings on them that many tests compare theirs with."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import training

from dogbreed.data.photoset import PhotoSet, read
from dogbreed.data.sample import draw_sample


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_sample(tmp_path_factory.mktemp("drawn") / "photos", breeds=3, photos=12, seed=5)


@pytest.fixture(scope="session")
def shared_cache(own_world: None) -> Path:
    """One cache for all these tests, so that features are computed once."""
    return Path(os.environ["DOGBREED_CACHE_DIR"])


@pytest.fixture(scope="session")
def photos(drawn: Path, own_world: None) -> PhotoSet:
    """8 + 2 + 2 photos of each breed."""
    return read(drawn, valid=0.15, test=0.15, seed=0)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, photos: PhotoSet) -> Callable[..., Path]:
    """The finished Run of some settings in some worker processes; each is trained once for all tests."""
    runs: dict[tuple[Any, ...], Path] = {}

    def finished(instances: int = 1, **train: Any) -> Path:
        key = (instances, *sorted(train.items()))
        if key not in runs:
            run = training.begin(tmp_path_factory.mktemp("undisturbed") / "run", photos, **train)
            assert training.launch_all(run, instances)[-1]["event"] == "done"
            runs[key] = run
        return runs[key]

    return finished
