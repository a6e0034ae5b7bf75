"""Print how long `dogbreed predict` takes, what memory it needs, and how fast it gets through a folder.

usage: python tests/benchmarks/bench_predict.py [PHOTOS]

The times are of whole processes, run in turn so that a change of the machine's speed meets all of them alike.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

RUNS = 11
LIMIT_RATIO, LIMIT_HELP_S, LIMIT_MIB = 2.0, 0.25, 400
PREDICT = [sys.executable, "-m", "dogbreed", "predict"]


def draw(path: Path, seed: int, size: tuple[int, int]) -> None:
    # Kept small: the memory of this process would count as that of the processes it starts.
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (6, 8, 3)).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    grain = Image.effect_noise((500, 375), 40).convert("RGB").resize(size)
    Image.blend(coarse, grain, 0.2).save(path, quality=88)


def measure(command: list[str], folder: Path) -> tuple[float, float]:
    """Seconds and peak MiB of the process."""
    start = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        took = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    return took, usage.ru_maxrss / 1024


def starts(folder: Path) -> None:
    commands = {
        "the imports alone": [sys.executable, "-c", "import onnxruntime, numpy, PIL.Image"],
        "predict photo.jpg": [*PREDICT, "photo.jpg"],
        "predict --json": [*PREDICT, "photo.jpg", "--json"],
        "predict 12 megapixels": [*PREDICT, "large.jpg"],
        "--help": [sys.executable, "-m", "dogbreed", "--help"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(RUNS + 1):
        for name, command in commands.items():
            took, _ = measure(command, folder)
            if turn:  # the first one warms the disk's cache
                times[name].append(took)
    base = times["the imports alone"]
    for name, values in times.items():
        ratio = statistics.median(a / b for a, b in zip(values, base, strict=True))
        limit = {"predict photo.jpg": f"at most {LIMIT_RATIO}", "--help": f"at most {LIMIT_HELP_S} s"}.get(name, "")
        print(f"{name:24s} {statistics.median(values):6.3f} s  {ratio:5.2f} times the imports  {limit}")


def folders(folder: Path, photos: int) -> None:
    for number in range(200):
        draw(folder / f"seed{number}.jpg", number, (500, 375))
    for count in (photos // 10, photos):
        many = folder / f"many{count}"
        many.mkdir()
        for number in range(count):
            os.link(folder / f"seed{number % 200}.jpg", many / f"{number:05d}.jpg")
        took, peak = measure([*PREDICT, many.name], folder)
        print(f"{count:6d} photos  {count / took:6.1f} photos/s  peak {peak:.0f} MiB  at most {LIMIT_MIB} MiB")


def main() -> None:
    photos = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder / "photo.jpg", 0, (500, 375))
        draw(folder / "large.jpg", 1, (4032, 3024))
        starts(folder)
        folders(folder, photos)


if __name__ == "__main__":
    main()
