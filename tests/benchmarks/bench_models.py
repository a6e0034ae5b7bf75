"""Print how well the starter model and a model trained on seven breeds do, and how long training takes.

usage: python tests/benchmarks/bench_models.py SHARED

SHARED holds data/dev7, data/dev_wide and data/not_dogs. The first training computes its features, the second finds
them cached; both are whole processes, started as a user starts them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from dogbreed.data.breeds import normalise
from dogbreed.infer.predictor import Answer, Predictor
from dogbreed.infer.sources import Source
from dogbreed.run import STARTER, Run


def answers(run: Run, folder: Path) -> list[tuple[str, Answer]]:
    """(true breed, answer with the top five) of every photo in class folders below `folder`."""
    photos = sorted(path for path in folder.rglob("*") if path.is_file())
    found = Predictor.open(run).predict_many((Source.of(path) for path in photos), 5)
    return [(normalise(path.parent.name), answer) for path, answer in zip(photos, found, strict=True)]


def shares(found: list[tuple[str, Answer]]) -> str:
    """Top-1, top-5 and the share of unsure answers."""
    count = len(found)
    first = sum(answer.breed == breed for breed, answer in found)
    five = sum(breed in dict(answer.top) for breed, answer in found)
    unsure = sum(bool(answer.unsure) for _, answer in found)
    return f"top-1 {first / count:.3f}, top-5 {five / count:.3f}, unsure {unsure / count:.3f} of {count} photos"


def train(data: Path, out: Path, cache: Path) -> tuple[float, dict[str, Any]]:
    """Seconds of the whole command, and its answer."""
    command = [sys.executable, "-m", "dogbreed", "train", str(data), "--instances", "2", "--json", "--out", str(out)]
    started = time.perf_counter()
    done = subprocess.run(
        [*command, "--no-config"],
        check=True,
        capture_output=True,
        env={**os.environ, "DOGBREED_CACHE_DIR": str(cache)},
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return time.perf_counter() - started, answer


def main() -> None:
    """Print each figure."""
    data = Path(sys.argv[1]) / "data"
    starter = Run.open(STARTER)
    size = sum(path.stat().st_size for path in STARTER.iterdir())
    print(f"starter: {size / 1e6:.1f} MB in all, {len(starter.labels)} breeds")
    print("starter, dev_wide/test:", shares(answers(starter, data / "dev_wide" / "test")))
    print("starter, dev7/test:", shares(answers(starter, data / "dev7" / "test")))
    print("starter, not dogs:", shares(answers(starter, data / "not_dogs")))
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        for words in ("first", "features cached"):
            out = Path(folder) / words
            took, answer = train(data / "dev7", out, cache)
            test = answer["metrics"]["test"]
            print(f"train dev7 --instances 2, {words}: {took:.1f} s, top-1 {test['top1']:.3f} of {test['photos']}")
        print("dev7 model, not dogs:", shares(answers(Run.open(out), data / "not_dogs")))


if __name__ == "__main__":
    main()
