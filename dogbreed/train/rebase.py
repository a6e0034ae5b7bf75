"""Give batch normalisations the statistics of the photos at hand, without changing what the network computes.

Converted networks carry statistics of some other origin (TensorFlow Lite folds them into the kernels). Trained as they
are, the first batches would normalise activations in a new way and the network forgets much. Here each layer gets the
mean m' and variance v' that its inputs have, and scale and shift that make up for it exactly:
with s = weight / sqrt(v + eps), weight' = s sqrt(v' + eps) and bias' = bias + s (m' - m).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def rebase(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Take statistics over `batches` of images [n, 3, h, w] and put them into the batch normalisations of `model`."""
    layers = _layers(model)
    sums = {layer: _Moments() for layer in layers}
    hooks = [layer.register_forward_pre_hook(sums[layer].add) for layer in layers]
    model.eval()
    with torch.inference_mode():
        for images in batches:
            model(images)
    for hook in hooks:
        hook.remove()
    with torch.no_grad():
        for layer in layers:
            _move(layer, *sums[layer].result())


class _Moments:
    """Mean and variance by channel of all activations that passed."""

    def __init__(self) -> None:
        self._count, self._sum, self._square = 0, torch.zeros(()), torch.zeros(())

    def add(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].double()
        self._count += values.numel() // values.shape[1]
        self._sum = self._sum + values.sum(dim=(0, 2, 3)).cpu()
        self._square = self._square + values.square().sum(dim=(0, 2, 3)).cpu()

    def result(self) -> tuple[Tensor, Tensor]:
        mean = self._sum / self._count
        return mean, (self._square / self._count - mean.square()).clamp_min(1e-8)


def _move(layer: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    assert layer.running_mean is not None and layer.running_var is not None
    mean, variance = mean.to(layer.running_mean.device), variance.to(layer.running_mean.device)
    scale = layer.weight.double() / torch.sqrt(layer.running_var.double() + layer.eps)
    layer.bias.copy_(layer.bias.double() + scale * (mean - layer.running_mean.double()))
    layer.weight.copy_(scale * torch.sqrt(variance + layer.eps))
    layer.running_mean.copy_(mean)
    layer.running_var.copy_(variance)


def _layers(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
