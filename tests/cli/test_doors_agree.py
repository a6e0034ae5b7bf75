"""One service behind every door: the same photos, the same answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from doors import DEPLOYED, answers, furthest
from photos import save
from program import dogbreed

from dogbreed.rehearse.state import Server


@pytest.mark.slow
def test_every_door_gives_the_answers_of_here(account: Server, tmp_path: Path) -> None:
    photos = [save(tmp_path / f"{number}.jpg", number).read_bytes() for number in range(8)]
    said = answers(photos, DEPLOYED, tmp_path)
    assert len(said) == 2 + len(DEPLOYED) + 2
    for door, one in said.items():
        others, apart = furthest(said["local"], one)
        assert (others, apart) == (0, pytest.approx(0, abs=1e-3)), door
    gone = dogbreed("destroy", "--data", "--yes", cwd=tmp_path, timeout=600)
    assert gone.returncode == 0 and "nothing of this project is left" in gone.stderr, gone.stderr
