"""Export to ONNX, and the parity gate: torch and ONNX must agree before a Run is finished."""

from __future__ import annotations

import io
import warnings
from importlib import import_module

import numpy as np
import torch
from numpy.typing import NDArray

from dogbreed.errors import DogbreedError
from dogbreed.evaluate.calibration import softmax
from dogbreed.train.model import Classifier

PARITY_LIMIT = 1e-3


def to_onnx(model: Classifier, crop: int) -> bytes:
    """The ONNX file of `model`: input float32 [n, 3, crop, crop], output logits [n, breeds], any n.

    torch's older exporter is asked for on purpose: 0.4 s where the new one takes 9 s on two cores, and the same graph
    for these networks. torch is pinned, so it stays there.
    """
    plain = model.to("cpu", memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            plain,
            (torch.zeros(1, 3, crop, crop),),
            file,  # type: ignore[arg-type]
            dynamo=False,
            input_names=["input"],
            output_names=["logits"],
            dynamic_axes={"input": {0: "n"}, "logits": {0: "n"}},
        )
    return file.getvalue()


def check_parity(model: Classifier, onnx: bytes, images: NDArray[np.float32]) -> float:
    """The largest difference of a probability between `model` and its export, on `images` float32 [n, 3, h, w].

    Raises DogbreedError when it reaches `PARITY_LIMIT` or a top-1 answer differs: such an export must not be used.
    """
    with torch.inference_mode():
        ours = softmax(model.eval()(torch.from_numpy(images)).numpy())
    # Imported here, since a machine that only trains may not have it.
    session = import_module("onnxruntime").InferenceSession(onnx, providers=["CPUExecutionProvider"])
    theirs = softmax(session.run(None, {"input": images})[0])
    difference = float(np.abs(ours - theirs).max(initial=0.0))
    changed = int((ours.argmax(1) != theirs.argmax(1)).sum())
    if changed or not difference < PARITY_LIMIT:
        raise DogbreedError(
            f"the exported model disagrees with the trained one: {changed} of {len(images)} answers differ, "
            f"largest probability difference {difference:.2g} (limit {PARITY_LIMIT:g})",
            "the run keeps its checkpoints; try another --backbone, and report this",
        )
    return difference
