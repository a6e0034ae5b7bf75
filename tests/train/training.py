"""Small trainings for tests: begin one, run it here or in real worker processes, and look at what it left."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch.multiprocessing as processes
from safetensors.torch import load_file
from torch import Tensor
from torch.distributed import TCPStore

from dogbreed import launch
from dogbreed.config import Settings, TrainSettings
from dogbreed.data.photoset import PhotoSet
from dogbreed.run import METRICS, WEIGHTS, Run
from dogbreed.train import checkpoint, job, loop

# The network of torchvision that computes least, with random weights, so that no download is needed.
SMALL: dict[str, Any] = {"backbone": "shufflenet_v2_x0_5", "weights": "none", "precision": "fp32", "patience": 0}
STARTER: dict[str, Any] = {"backbone": "starter", "weights": "starter"}
# The starter's features, since a head learns nothing from random ones.
HEAD = SMALL | STARTER | {"method": "head", "epochs": 5, "batch_size": 8, "lr": 0.01}
FINETUNE = SMALL | {"method": "finetune", "epochs": 3, "batch_size": 8, "lr": 0.01, "warmup_epochs": 0.5}
SLOWLY = FINETUNE | STARTER | {"optimizer": "sgd", "lr": 1e-4, "epochs": 1}
# Trained weights and a single step of all photos: else the network's kinks let rounding errors grow by per cents.
ONE_STEP = SLOWLY | {"batch_size": 24}


def begin(folder: Path, photos: PhotoSet, **train: Any) -> Path:
    """A Run's folder with a job in it, as `dogbreed train` writes it before the workers start."""
    run = Run.create(folder)
    job.write(run.path, Settings(train=TrainSettings(**train)).to_json(), photos)
    return run.path


def train_here(run: Path, stop: threading.Event | None = None) -> list[dict[str, Any]]:
    """Train in this process; what the worker told."""
    events: list[dict[str, Any]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "tell", lambda event, **values: events.append({"event": event, **values}))
        loop.train(run, None, stop or threading.Event())
    return events


def launch_all(
    run: Path, instances: int = 1, restarts: int = 0, watch: Callable[[dict[str, Any]], None] = lambda event: None
) -> list[dict[str, Any]]:
    """Train in real worker processes; `watch` sees every event when it comes."""
    events = []
    with closing(launch.follow(run, instances, restarts)) as following:
        for event in following:
            watch(event)
            events.append(event)
    return events


def in_ranks(work: Callable[..., None], size: int, *arguments: Any) -> None:
    """Run `work(rank, size, port, *arguments)` in that many processes, which meet at this one's store."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    processes.spawn(work, (size, store.port, *arguments), nprocs=size)  # type: ignore[no-untyped-call]


def rank_environment(rank: int, size: int, port: int) -> dict[str, str]:
    """What torchrun gives to one of its workers."""
    local = {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(size)}
    there = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    return local | there | {"CUDA_VISIBLE_DEVICES": ""}


def weights(run: Path) -> dict[str, Tensor]:
    return load_file(run / WEIGHTS)


def last_weights(run: Path) -> dict[str, Tensor]:
    """What the optimizer had made of the trained module at the last checkpoint."""
    tensors = load_file(run / checkpoint.FILE)
    return {name.removeprefix("model."): tensors[name] for name in sorted(tensors) if name.startswith("model.")}


def digest(run: Path) -> str:
    return hashlib.sha256((run / WEIGHTS).read_bytes()).hexdigest()


def info(run: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((run / "model.json").read_text(encoding="utf-8"))
    return value


def epochs_written(run: Path) -> list[int]:
    return [json.loads(line)["epoch"] for line in (run / METRICS).read_text(encoding="utf-8").splitlines()]


def descendants(pid: int) -> set[int]:
    """All processes below `pid`, from the system's own table."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found, todo = set(), {pid}
    while todo:
        todo = {child for child, parent in parents.items() if parent in todo} - found
        found |= todo
    return found


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def clean_environment(cache: Path, **more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DOGBREED_")}
    return clean | {"DOGBREED_CACHE_DIR": str(cache)} | more
