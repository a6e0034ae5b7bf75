"""Checkpoints without pickle: weights, optimizer and progress in one safetensors file, replaced as a whole."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from dogbreed.errors import DogbreedError
from dogbreed.run import write_atomically

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


def read(run: Path, module: nn.Module, optimizer: Optimizer) -> tuple[Progress, dict[str, Tensor]]:
    """Bring `module` and `optimizer` to where the checkpoint of `run` stood; a fresh Progress where there is none."""
    path = run / FILE
    if not path.is_file():
        return Progress(), {}
    try:
        with safe_open(path, "pt") as file:
            progress = Progress(**json.loads(file.metadata()["progress"]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        module.load_state_dict(_part(tensors, "model."))
        _restore(optimizer, _part(tensors, "optimizer."))
    except Exception as error:
        raise DogbreedError(
            f"{path} is damaged or of another model: {error}", f"remove {path} to start this run from the beginning"
        ) from error
    return progress, _part(tensors, "best.")


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _restore(optimizer: Optimizer, flat: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in flat.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
