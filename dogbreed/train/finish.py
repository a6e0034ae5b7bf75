"""From trained weights to a finished Run: calibration, export, parity, figures, pictures, model.json.

A machine that has no ONNX leaves the weights and `LEFT` (`leave`), and where the Run is brought home the rest is done
from them (`complete`): the files are the same as those of a Run that was finished where it was trained.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from dogbreed.errors import DogbreedError
from dogbreed.evaluate.calibration import UNSURE_MEANING, fit_temperature, softmax, unsure_threshold
from dogbreed.evaluate.metrics import report
from dogbreed.run import LEFT, ONNX, WEIGHTS, Run, write_atomically
from dogbreed.train.checkpoint import Progress
from dogbreed.train.curve import draw
from dogbreed.train.dataset import open_photo
from dogbreed.train.export import check_parity, to_onnx
from dogbreed.train.job import Job
from dogbreed.train.model import Start, start, to_state

_PARITY_PHOTOS = 32


@dataclass(frozen=True)
class Made:
    """What training gave; `logits` [photos, breeds] of the validation and test splits."""

    run: Path
    job: Job
    start: Start
    logits: Mapping[str, Tensor]
    progress: Progress
    world_size: int
    versions: Mapping[str, str]
    # Pixels uint8 [n, crop, crop, 3] for the parity gate; None: read from the photos.
    held_out: NDArray[np.uint8] | None = None


def write(made: Made, tell: Callable[[str], None]) -> dict[str, Any]:
    """Write the model's files and model.json; returns what people want to hear."""
    run, job, progress = made.run, made.job, made.progress
    truth = {name: np.asarray(job.truth(job.split(name)), np.int64) for name in ("valid", "test")}
    logits = {name: value.numpy() for name, value in made.logits.items()}
    temperature = fit_temperature(logits["valid"], truth["valid"])
    metrics = {name: report(softmax(logits[name], temperature), truth[name], job.breeds) for name in logits}
    tell("export")
    write_atomically(run / WEIGHTS, _weights(made))
    onnx = to_onnx(made.start.model, made.start.preprocessing.crop)
    write_atomically(run / ONNX, onnx)
    tell("parity")
    held_out = _held_out(made) if made.held_out is None else made.held_out
    parity = check_parity(made.start.model, onnx, made.start.preprocessing.normalise(held_out))
    write_atomically(run / "curve.png", draw(progress.history))
    efficiency = None if progress.efficiency is None else round(progress.efficiency, 3)
    info = {
        "id": run.name,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "labels": list(job.breeds),
        "preprocessing": made.start.preprocessing.to_json(),
        "backbone": job.settings.backbone,
        "origin": made.start.origin,
        "temperature": round(temperature, 6),
        "unsure_below": round(unsure_threshold(softmax(logits["valid"], temperature), truth["valid"]), 6),
        "unsure_meaning": UNSURE_MEANING,
        "metrics": metrics,
        "best_epoch": progress.best_epoch + 1,
        "parity": parity,
        "world_size": made.world_size,
        "efficiency": efficiency,
        "images_per_second": round(progress.photos / max(progress.seconds, 1e-9), 1),
        # Where the photos lay is nobody's business once the model travels.
        "settings": {**job.all_settings, "data": _without(job.all_settings["data"], "path")},
        "data": _without(job.data, "root"),
        "versions": made.versions,
    }
    Run(run, {}).finish(info)
    return {"metrics": metrics, "efficiency": efficiency, "unsure_below": info["unsure_below"]}


def leave(made: Made) -> None:
    """Write what `complete` needs: the weights, and in `LEFT` everything else that training found out."""
    write_atomically(made.run / WEIGHTS, _weights(made))
    found = {
        "progress": asdict(made.progress),
        "origin": made.start.origin,
        "world_size": made.world_size,
        "versions": made.versions,
    }
    tensors = dict(made.logits) | {"held_out": torch.from_numpy(_held_out(made))}
    write_atomically(made.run / LEFT, save(tensors, {"found": json.dumps(found)}))


def complete(run: Path, tell: Callable[[str], None]) -> dict[str, Any]:
    """Finish a Run that `leave` left, as `write` would have; DogbreedError when what it left cannot be used."""
    job = Job.read(run)
    try:
        with safe_open(run / LEFT, "pt") as file:
            found = json.loads(file.metadata()["found"])
            tensors = {name: file.get_tensor(name) for name in ("valid", "test", "held_out")}
        # The layers alone: where their weights came from does not matter any more.
        began = start(job.settings.backbone, "none", job.breeds, job.settings.seed)
        began.model.load_state_dict(load_file(run / WEIGHTS))
        progress = Progress(**found["progress"])
    except Exception as error:
        raise DogbreedError(f"what was trained in {run} cannot be used: {error}", "fetch the run anew") from error
    pixels: NDArray[np.uint8] = tensors.pop("held_out").numpy()
    origin = replace(began, origin=found["origin"])
    done = write(Made(run, job, origin, tensors, progress, found["world_size"], found["versions"], pixels), tell)
    (run / LEFT).unlink()
    return done


def _weights(made: Made) -> bytes:
    state = to_state(made.start.model)
    if made.job.settings.half:
        state = {name: value.half() if value.ndim > 1 else value for name, value in state.items()}
    return save(state)


def _without(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != key}


def _held_out(made: Made) -> NDArray[np.uint8]:
    """Some photos that no training step has seen, if there are any, as pixels uint8 [n, crop, crop, 3]."""
    photos = made.job.split("test") or made.job.split("valid") or made.job.split("train")
    # Evenly from all breeds: the photos are in the order of their breeds.
    some = photos[:: max(1, len(photos) // _PARITY_PHOTOS)][:_PARITY_PHOTOS]
    pre = made.start.preprocessing
    pixels = [pre.pixels(open_photo(photo, pre.resize)) for photo in some]
    return np.stack(pixels) if pixels else np.zeros((0, pre.crop, pre.crop, 3), np.uint8)
