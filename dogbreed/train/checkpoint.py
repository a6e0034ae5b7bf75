"""Checkpoints without pickle: weights, optimizer and progress in one safetensors file, replaced as a whole."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.optim import Optimizer

from dogbreed.errors import DogbreedError
from dogbreed.run import write_atomically
from dogbreed.train.distributed import World

FILE = Path("checkpoints") / "last.safetensors"


@dataclass
class Progress:
    """How far training has come: the next step to do, the epochs behind it and the best of them."""

    epoch: int = 0
    step: int = 0
    best_loss: float = float("inf")
    best_epoch: int = -1
    history: list[dict[str, Any]] = field(default_factory=list)
    # Sum of the training loss over the steps done in the epoch that is under way.
    loss_sum: float = 0.0
    efficiency: float | None = None
    # Seconds and photos of training steps so far, over all interruptions.
    seconds: float = 0.0
    photos: int = 0


def write(run: Path, module: nn.Module, optimizer: Optimizer, best: dict[str, Tensor], progress: Progress) -> None:
    """Replace the checkpoint of `run`; DogbreedError on a full disk, with the earlier checkpoint left as it was."""
    tensors = {f"model.{name}": value for name, value in module.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": torch.as_tensor(value) for name, value in state.items()}
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    path = run / FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DogbreedError(f"cannot write {path.parent}: {error.strerror}") from error
    write_atomically(path, save(plain, {"progress": json.dumps(asdict(progress))}))


def read(run: Path, module: nn.Module, optimizer: Optimizer, world: World) -> tuple[Progress, dict[str, Tensor]]:
    """Bring `module` and `optimizer` to where the checkpoint of `run` stood; a fresh Progress where there is none.

    Every rank goes on from rank 0's file: on several machines it is the newest, and the only one that is known to be
    whole. Raises DogbreedError on every rank where that file cannot be used.
    """
    path = run / FILE
    try:
        data = world.broadcast_bytes(_content(path) if world.rank == 0 else None)
        if data is None:
            return Progress(), {}
        tensors = load(data)
        module.load_state_dict(_part(tensors, "model."))
        _restore(optimizer, _part(tensors, "optimizer."))
        progress = Progress(**json.loads(_metadata(data)["progress"]))
    except Exception as error:
        raise DogbreedError(
            f"{path} is damaged or of another model: {error}", f"remove {path} to start this run from the beginning"
        ) from error
    return progress, _part(tensors, "best.")


def _content(path: Path) -> bytes | None:
    """The file's bytes, None where there is no file; a file that cannot be read is an empty one to every rank."""
    if not path.is_file():
        return None
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _metadata(data: bytes) -> dict[str, str]:
    """What stands beside the tensors: a safetensors file begins with the length of its JSON header, then that."""
    length = int.from_bytes(data[:8], "little")
    content: dict[str, str] = json.loads(data[8 : 8 + length])["__metadata__"]
    return content


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _restore(optimizer: Optimizer, flat: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in flat.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
