"""What a model needs to answer one photo, seen in another process on this machine: memory and time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dogbreed.errors import DogbreedError
from dogbreed.run import Run

_LONGEST_S = 120
# A phone's photo of 12 megapixels, then one of 500 x 375 over and over. On Linux, the peak of a child counts from the
# size of its parent where the kernel is asked by getrusage, so it is read from /proc.
_CODE = """
import io, json, os, sys, time
began = time.perf_counter()
os.environ["OPENBLAS_NUM_THREADS"] = "1"
from pathlib import Path
from dogbreed.infer.predictor import Predictor
from dogbreed.run import Run
predictor = Predictor.open(Run.open(Path(sys.argv[1])))
loaded = time.perf_counter() - began
from PIL import Image
def jpeg(width, height):
    data = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(data, "JPEG")
    return data.getvalue()
small, large = jpeg(500, 375), jpeg(4000, 3000)
def took():
    began = time.perf_counter()
    predictor.predict(small)
    return time.perf_counter() - began
times = sorted(took() for _ in range(9))
predictor.predict(large)
try:
    status = open("/proc/self/status").read()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
except OSError:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(json.dumps({"peak_mb": peak, "load_s": loaded, "photo_s": times[len(times) // 2]}))
"""


@dataclass(frozen=True)
class Need:
    """The most memory in MB, seconds to load the model with its libraries, and seconds for one more photo (median)."""

    peak_mb: float
    load_s: float
    photo_s: float


def measured(run: Run) -> Need:
    """Load the Run's model and answer photos with one thread, in a process of its own; about a second, once."""
    return _measured(run.path.resolve(), str(run.info.get("sha256", "")))


@cache
def _measured(path: Path, sha256: str) -> Need:
    command = [sys.executable, "-c", _CODE, str(path)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=_LONGEST_S, env=_environment()
        )
        return Need(**json.loads(done.stdout))
    except (subprocess.SubprocessError, ValueError, TypeError) as error:
        said = str(getattr(error, "stderr", "") or error).strip().splitlines()
        raise DogbreedError(f"the model in {path} does not answer here: {said[-1]}", "dogbreed predict") from error


def _environment() -> dict[str, str]:
    # The package that is running here, however it was found.
    root = str(Path(__file__).parents[3])
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))}
