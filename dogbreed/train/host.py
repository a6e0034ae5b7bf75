"""One worker on a machine elsewhere: lays out the Run from what was sent there, then trains like any other worker.

A platform starts this once per worker (rank and world size in the environment, as torchrun sets them) and says where
it puts things (`Places`). The first worker of a machine unpacks the photos for all of them. Rank 0 writes checkpoints
to a folder that the platform keeps, and in the end what `dogbreed.train.finish.complete` needs at home.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from dogbreed.data import shards
from dogbreed.errors import DogbreedError
from dogbreed.run import BROUGHT_HOME, write_atomically
from dogbreed.train import loop
from dogbreed.train.job import FILE as JOB

# The exit code of a worker that ended early, with a checkpoint to go on from (sysexits' EX_TEMPFAIL).
INTERRUPTED = 75
STOP = "stop"
_WATCH_EVERY_S, _LOOK_EVERY_S = 0.5, 0.1
_SAVE_EVERY_S = 300.0
_FAILURE = 1000  # characters that SageMaker keeps of a reason


@dataclass(frozen=True)
class Places:
    """Where a platform puts things.

    code: the folder that `dogbreed.cloud.payload` packed; photos: the folder of shards; checkpoints: a folder that is
    kept, and given back when the run goes on; output: for what is brought home; work: on the machine's own disk;
    job: the run's job.json, in `code` if not given; failure: a file for last words.
    """

    code: Path
    photos: Path
    checkpoints: Path
    output: Path
    work: Path
    job: Path | None = None
    failure: Path | None = None

    @property
    def stop(self) -> Path:
        """Once this file is there, the workers write a checkpoint and end."""
        return self.work / STOP


_ML = Path("/opt/ml")
SAGEMAKER = Places(
    code=_ML / "input" / "data" / "code",
    photos=_ML / "input" / "data" / "photos",
    checkpoints=_ML / "checkpoints",
    output=_ML / "model",
    work=_ML / "input" / "dogbreed",
    job=_ML / "input" / "data" / "job" / JOB,
    failure=_ML / "output" / "failure",
)


def main(places: Places = SAGEMAKER) -> int:
    """Train to the end or until told to stop; the exit code of this worker."""
    stop = loop.stop_on_sigterm()
    threading.Thread(target=_watch, args=(places.stop, stop), daemon=True).start()
    leader = os.environ.get("RANK", "0") == "0"
    # Features are kept with the checkpoints, so that a run that goes on need not compute them again.
    os.environ.setdefault("DOGBREED_CACHE_DIR", os.fspath(places.checkpoints / "cache"))
    # SageMaker names the network between its machines; gloo would look up the container's name, which may be unknown.
    network = os.environ.get("SM_NETWORK_INTERFACE_NAME", "")
    if network and Path("/sys/class/net", network).exists():
        os.environ.setdefault("GLOO_SOCKET_IFNAME", network)
    if (places.code / "torch").is_dir():
        os.environ["TORCH_HOME"] = os.fspath(places.code / "torch")
    try:
        run = _prepare(places)
        if not loop.train(run, None, stop, export=False, save_every_s=_SAVE_EVERY_S if leader else math.inf):
            return INTERRUPTED
        if leader:
            places.output.mkdir(parents=True, exist_ok=True)
            for name in BROUGHT_HOME:
                shutil.copyfile(run / name, places.output / name)
    except DogbreedError as error:
        loop.tell("error", message=error.message, hint=error.hint, exit_code=error.exit_code)
        _last_words(places.failure, error.message)
        return 1
    except Exception as error:
        _last_words(places.failure, f"{type(error).__name__}: {error}")
        raise
    return 0


def _watch(file: Path, stop: threading.Event) -> None:
    while not file.exists():
        time.sleep(_WATCH_EVERY_S)
    stop.set()


def _last_words(file: Path | None, words: str) -> None:
    # The first to fail knows why; what follows from it on other ranks is no news.
    if file and not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, words[:_FAILURE].encode())


def _prepare(places: Places) -> Path:
    """The Run's folder on this machine, made by the first worker here; the others wait for it."""
    run, content = places.work / "run", _read(places.job or places.code / JOB)
    # Workers that start again find the photos unpacked; another run on the same disk does not.
    mark = places.work / f"prepared-{hashlib.sha256(content).hexdigest()[:16]}"
    if os.environ.get("LOCAL_RANK", "0") != "0":
        while not mark.exists():
            time.sleep(_LOOK_EVERY_S)
        return run
    if mark.exists():
        return run
    run.mkdir(parents=True, exist_ok=True)
    places.checkpoints.mkdir(parents=True, exist_ok=True)
    for rest in places.checkpoints.glob(".*.tmp"):
        # A checkpoint that was being written when the machine before this one ended.
        rest.unlink()
    if not (run / "checkpoints").is_symlink():
        (run / "checkpoints").symlink_to(places.checkpoints)
    job = json.loads(content)
    root = places.work / "photos"
    shards.unpack(places.photos, root)
    missing = [path for path, _, _, digest in job["photos"] if not (root / shards.place(digest)).is_file()]
    if missing:
        raise DogbreedError(f"{len(missing)} photos are not in the shards, such as {missing[0]}", "upload them again")
    job["photos"] = [[shards.place(digest), breed, split, digest] for _, breed, split, digest in job["photos"]]
    job["data"]["root"] = os.fspath(root)
    weights = job["settings"]["train"]["weights"]
    if weights not in ("starter", "imagenet", "none"):
        job["settings"]["train"]["weights"] = os.fspath(places.code / "weights" / Path(weights).name)
    write_atomically(run / JOB, json.dumps(job).encode())
    mark.touch()
    return run


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DogbreedError(f"{path}: {error.strerror}", "start the run anew") from error
