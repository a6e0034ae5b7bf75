"""What earlier runs say of the speed of machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dogbreed.capacity.choose import Job
from dogbreed.capacity.measured import of_runs
from dogbreed.processors import processors

JOB = Job(1000, 1200, 10**8, 10, 64, "finetune", "resnet50")


def run(root: Path, name: str, rate: Any, *, torch: str = "2.13.0+cpu", remote: Any = None, **more: Any) -> None:
    folder = root / name
    folder.mkdir(parents=True)
    settings = {"train": {"method": more.pop("method", "finetune")}}
    info = {"backbone": "resnet50", "settings": settings, "images_per_second": rate, "versions": {"torch": torch}}
    (folder / "model.json").write_text(json.dumps(info | more))
    if remote:
        (folder / "remote.json").write_text(remote if isinstance(remote, str) else json.dumps(remote))


def test_runs_of_the_same_recipe_count_by_their_machines(tmp_path: Path) -> None:
    g5 = {"instance_type": "ml.g5.xlarge", "instances": 2}
    for number, rate in enumerate((400, 900, 600)):
        run(tmp_path, f"g5-{number}", rate, remote=g5)
    run(tmp_path, "ec2", 50, remote={"instance_type": "m5.xlarge", "instances": 1})
    run(tmp_path, "here", 20 * processors())
    run(tmp_path, "other", 9999, backbone="resnet18", remote=g5)
    run(tmp_path, "head", 9999, method="head", remote=g5)
    run(tmp_path, "gpu", 9999, torch="2.13.0+cu133")
    assert of_runs(JOB, tmp_path) == ({"g5.xlarge": 300, "m5.xlarge": 50}, 20)


def test_a_head_says_nothing_of_features(tmp_path: Path) -> None:
    run(tmp_path, "head", 9999, method="head")
    head = Job(1000, 1200, 10**8, 10, 64, "head", "resnet50")
    assert of_runs(head, tmp_path) == ({}, None)


def test_damaged_runs_are_passed_over(tmp_path: Path) -> None:
    run(tmp_path, "no-rate", None)
    run(tmp_path, "nothing", 0)
    run(tmp_path, "broken", 10, remote="{")
    run(tmp_path, "no-machines", 10, remote={"instance_type": "g5.xlarge", "instances": 0})
    (tmp_path / "nothing" / "model.json").write_text("[]")
    assert of_runs(JOB, tmp_path) == ({}, None)
    assert of_runs(JOB, tmp_path / "none") == ({}, None)
