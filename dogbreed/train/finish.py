"""From trained weights to a finished Run: calibration, export, parity, figures, pictures, model.json."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from dogbreed.evaluate.calibration import UNSURE_MEANING, fit_temperature, softmax, unsure_threshold
from dogbreed.evaluate.metrics import report
from dogbreed.run import ONNX, WEIGHTS, Run, write_atomically
from dogbreed.train.checkpoint import Progress
from dogbreed.train.curve import draw
from dogbreed.train.dataset import evaluation_batches
from dogbreed.train.export import check_parity, to_onnx
from dogbreed.train.job import Job
from dogbreed.train.model import Start, to_state

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


def write(made: Made, tell: Callable[[str], None]) -> dict[str, Any]:
    """Write the model's files and model.json; returns what people want to hear."""
    run, job, progress = made.run, made.job, made.progress
    truth = {name: np.asarray(job.truth(job.split(name)), np.int64) for name in ("valid", "test")}
    logits = {name: value.numpy() for name, value in made.logits.items()}
    temperature = fit_temperature(logits["valid"], truth["valid"])
    metrics = {name: report(softmax(logits[name], temperature), truth[name], job.breeds) for name in logits}
    tell("export")
    state = to_state(made.start.model)
    if job.settings.half:
        state = {name: value.half() if value.ndim > 1 else value for name, value in state.items()}
    write_atomically(run / WEIGHTS, save(state))
    onnx = to_onnx(made.start.model, made.start.preprocessing.crop)
    write_atomically(run / ONNX, onnx)
    tell("parity")
    parity = check_parity(made.start.model, onnx, _held_out(made))
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


def _without(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != key}


def _held_out(made: Made) -> NDArray[np.float32]:
    """Some photos that no training step has seen, if there are any, preprocessed, float32 [n, 3, h, w]."""
    photos = made.job.split("test") or made.job.split("valid") or made.job.split("train")
    # Evenly from all breeds: the photos are in the order of their breeds.
    some = photos[:: max(1, len(photos) // _PARITY_PHOTOS)][:_PARITY_PHOTOS]
    pre = made.start.preprocessing
    batches = [batch.numpy() for batch in evaluation_batches(some, pre, _PARITY_PHOTOS, 2)]
    return np.concatenate(batches) if batches else np.zeros((0, 3, pre.crop, pre.crop), np.float32)
