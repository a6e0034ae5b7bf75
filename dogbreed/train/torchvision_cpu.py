"""Import torchvision beside a CPU-only torch."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

import torch


def torchvision() -> ModuleType:
    """The torchvision module.

    The registry's wheel of torchvision 0.28 registers its operators from a CUDA library that a CPU-only torch cannot
    load; then `import torchvision` fails on the missing schemas of two operators that no classifier uses. Declaring
    the schemas is enough. Where the library loads (or the schemas exist), nothing is done.
    """
    if torch.version.cuda is None and torch.version.hip is None:
        for name in ("nms", "qnms"):
            if not torch._C._jit_get_schemas_for_operator(f"torchvision::{name}"):
                schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                torch.library.define(f"torchvision::{name}", schema)
    return import_module("torchvision")
