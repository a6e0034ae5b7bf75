"""The parts of the recipes: what they promise, checked on small networks."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dogbreed.config import TrainSettings
from dogbreed.train import loop
from dogbreed.train.dataset import balanced
from dogbreed.train.model import Classifier
from dogbreed.train.rebase import rebase
from dogbreed.train.tasks import _distance


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.BatchNorm2d(4), nn.Flatten()]
    network = nn.Sequential(*layers).eval()
    for layer in network:
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 2)
            nn.init.uniform_(layer.bias, -1, 1)
            nn.init.uniform_(layer.running_mean, -1, 1)
            nn.init.uniform_(layer.running_var, 0.1, 3)
    return network


def test_rebased_layers_compute_the_same_from_true_statistics() -> None:
    network = small_network()
    batches = [torch.randn(4, 3, 8, 8) * 3 + 1 for _ in range(3)]
    before = [network(images) for images in batches]
    rebase(network, batches)
    for images, expected in zip(batches, before, strict=True):
        torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-4)
    inputs = network[0](torch.cat(batches))
    torch.testing.assert_close(network[1].running_mean, inputs.mean(dim=(0, 2, 3)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(network[1].running_var, inputs.var(dim=(0, 2, 3), correction=0), rtol=1e-4, atol=1e-4)
    # So a network in training, whose statistics are those of the batch, starts where it stood.
    torch.testing.assert_close(network.train()(torch.cat(batches)), torch.cat(before), rtol=1e-3, atol=1e-3)


@given(st.lists(st.integers(1, 40), min_size=2, max_size=6), st.floats(0, 1))
def test_balance_shows_every_photo_and_rare_breeds_more_often(counts: list[int], power: float) -> None:
    truth = [breed for breed, count in enumerate(counts) for _ in range(count)]
    shown = np.bincount(balanced(truth, power), minlength=len(truth))
    assert shown.min() >= 1
    times = {truth[photo]: times for photo, times in enumerate(shown)}
    assert times[int(np.argmax(counts))] == 1
    assert all(times[a] >= times[b] for a in times for b in times if counts[a] <= counts[b])
    if power == 0:
        assert shown.max() == 1


def test_the_head_may_learn_faster_and_biases_do_not_decay() -> None:
    model = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(12, 5)), 5, 3)
    optimizer = loop._optimizer(model, TrainSettings(lr=0.1, head_lr=20, weight_decay=0.3))
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    assert len(groups) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        assert groups[id(parameter)]["times"] == (20 if name.startswith("head.") else 1)
        assert groups[id(parameter)]["weight_decay"] == (0.3 if parameter.ndim > 1 else 0)


def test_16_bit_storage_is_measured_as_it_is_stored() -> None:
    state = {"kernel": torch.randn(4, 4), "bias": torch.randn(4)}
    rounded = loop._rounded(state)
    assert rounded["kernel"].dtype == torch.float32
    assert torch.equal(rounded["kernel"], state["kernel"].half().float())
    assert torch.equal(rounded["bias"], state["bias"])


def test_distillation_asks_for_nothing_where_both_agree() -> None:
    logits = torch.randn(5, 7)
    torch.testing.assert_close(_distance(logits, logits + 3.0, 2.0), torch.zeros(5), rtol=0, atol=1e-5)
    assert (_distance(logits, torch.randn(5, 7), 2.0) > 0).all()
