"""One service for the tests that only ask it something, and a photo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from service import Service, jpeg, serving


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, own_world: None) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("service"), "--threads", "2") as running:
        yield running


@pytest.fixture(scope="session")
def photo() -> bytes:
    return jpeg()


@pytest.fixture
def photo_file(tmp_path: Path, photo: bytes) -> Path:
    path = tmp_path / "dog.jpg"
    path.write_bytes(photo)
    return path
