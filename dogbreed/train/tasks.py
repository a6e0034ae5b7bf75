"""The two ways to train: a new head on cached features, or every layer on augmented photos."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dogbreed.train.dataset import Augmented, balanced, evaluation_batches, loader, order, random_seed
from dogbreed.train.distributed import World, sync_batch_norms
from dogbreed.train.features import extract
from dogbreed.train.job import Job, batch_size
from dogbreed.train.model import Start

_EVALUATION_BATCH = 32


class Task(Protocol):
    """What the loop needs of a way to train."""

    module: nn.Module
    steps: int
    batch: int
    efficiency: float | None

    def batches(self, epoch: int, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and truth of this rank's part of each step, from step `first` on."""

    def loss(self, module: nn.Module, inputs: Tensor, truth: Tensor, place: tuple[int, int]) -> Tensor:
        """The mean loss of this rank's part; `place` is (epoch, step)."""

    def logits(self, split: str) -> Tensor:
        """Logits [photos, breeds] of a whole split, on every rank, each photo computed once."""


class HeadTask:
    """A new head on the frozen backbone's features."""

    def __init__(
        self, job: Job, start: Start, world: World, tell: Callable[[int], None], stop: Callable[[], bool]
    ) -> None:
        self._settings, self._world = job.settings, world
        self.module: nn.Module = start.model.head.to(world.device)
        photos = tuple(photo for name in ("train", "valid", "test") for photo in job.split(name))
        features = extract(start.model.backbone, photos, start.preprocessing, world, tell, stop)
        self.efficiency = features.efficiency
        sizes = [len(job.split(name)) for name in ("train", "valid", "test")]
        rows = iter(features.rows.split(sizes))  # type: ignore[no-untyped-call]
        self._rows = {name: next(rows) for name in ("train", "valid", "test")}
        self._truth = torch.tensor(job.truth(job.split("train")))
        self.batch = batch_size(job.settings.batch_size, len(self._truth), world.size)
        self.steps = len(self._truth) // self.batch

    def batches(self, epoch: int, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Half of the photos mirrored, by chance."""
        world, seed = self._world, self._settings.seed
        mirrored = np.random.default_rng(random_seed(seed, epoch, -1)).integers(0, 2, len(self._truth))
        for row in order(len(self._truth), self.batch, seed, epoch)[first:, world.rank :: world.size]:
            rows = self._rows["train"][torch.from_numpy(row), torch.from_numpy(mirrored[row])]
            yield rows.to(world.device), self._truth[row].to(world.device)

    def loss(self, module: nn.Module, inputs: Tensor, truth: Tensor, place: tuple[int, int]) -> Tensor:
        """Cross-entropy."""
        return functional.cross_entropy(module(inputs), truth, label_smoothing=self._settings.label_smoothing)

    def logits(self, split: str) -> Tensor:
        """Of the photos as they are, not mirrored."""
        self.module.eval()
        with torch.inference_mode():
            logits: Tensor = self.module(self._rows[split][:, 0].to(self._world.device)).float().cpu()
        return logits


class FullTask:
    """Every layer, on photos changed at random."""

    def __init__(self, job: Job, start: Start, world: World) -> None:
        self._job, self._settings, self._world, self._pre = job, job.settings, world, start.preprocessing
        self._teacher = copy.deepcopy(start.model).to(world.device).eval() if job.settings.distill else None
        self.module: nn.Module = start.model.to(world.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if world.size > 1 and job.settings.batch_norm != "frozen":
            sync_batch_norms(self.module)
        photos = job.split("train")
        truth = job.truth(photos)
        self._epoch_photos = balanced(truth, job.settings.balance)
        self._photos = Augmented(photos, truth, start.preprocessing, job.settings)
        self.batch = batch_size(job.settings.batch_size, len(self._epoch_photos), world.size)
        self.steps = len(self._epoch_photos) // self.batch
        self._autocast = precision(job.settings.precision, world.device)
        self.efficiency: float | None = None
        self.efficiency = world.efficiency(*self._probes())

    def batches(self, epoch: int, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Cropped, mirrored and coloured by (seed, epoch, photo)."""
        world = self._world
        places = order(len(self._epoch_photos), self.batch, self._settings.seed, epoch)
        rows: NDArray[np.int64] = self._epoch_photos[places[first:, world.rank :: world.size]]
        # With few cores the workers' own computing leaves none for processes that read ahead.
        for images, truth in loader(self._photos, epoch, rows, torch.get_num_threads() // 3):
            yield images.to(world.device, memory_format=torch.channels_last), truth.to(world.device)

    def loss(self, module: nn.Module, inputs: Tensor, truth: Tensor, place: tuple[int, int]) -> Tensor:
        """Cross-entropy, with mixup and distillation where they are set."""
        settings = self._settings
        # Dropout and the like repeat themselves after a restart.
        torch.manual_seed(random_seed(settings.seed, *place, self._world.rank))
        share = 1.0
        if settings.mixup:
            random = np.random.default_rng(random_seed(settings.seed, *place))
            share = float(random.beta(settings.mixup, settings.mixup))
            inputs = share * inputs + (1 - share) * inputs.roll(1, 0)
        module.train()
        if settings.batch_norm == "frozen":
            freeze_batch_norms(module)
        with torch.autocast(self._world.device.type, torch.bfloat16, enabled=self._autocast):
            logits = module(inputs).float()
            with torch.no_grad():
                taught = self._teacher(inputs).float() if self._teacher else None
        loss = self._cross_entropy(logits, truth) * share
        if share < 1:
            loss = loss + self._cross_entropy(logits, truth.roll(1, 0)) * (1 - share)
        if taught is not None:
            # Where the teacher errs, the label alone is right.
            weight = settings.distill * (taught.argmax(1) == truth)
            loss = (1 - weight) * loss + weight * _distance(logits, taught, settings.distill_temperature)
        return loss.mean()

    def _cross_entropy(self, logits: Tensor, truth: Tensor) -> Tensor:
        smoothing = self._settings.label_smoothing
        return functional.cross_entropy(logits, truth, label_smoothing=smoothing, reduction="none")

    def logits(self, split: str) -> Tensor:
        """Of the photos as the Predictor will see them, in single precision."""
        world, photos = self._world, self._job.split(split)
        mine = tuple(photos[index] for index in world.share(len(photos)))
        self.module.eval()
        with torch.inference_mode():
            done = [
                self.module(images.to(world.device, memory_format=torch.channels_last)).float()
                for images in evaluation_batches(mine, self._pre, _EVALUATION_BATCH, torch.get_num_threads())
            ]
        breeds = len(self._job.breeds)
        return world.gather(torch.cat(done) if done else torch.zeros(0, breeds, device=world.device), len(photos)).cpu()

    def _probes(self) -> tuple[Callable[[], None], Callable[[], None]]:
        """One step's computing, and the same with the exchange of gradients; neither touches the model."""
        crop = self._pre.crop
        model = copy.deepcopy(self.module).eval()
        images = torch.zeros(min(8, self.batch // self._world.size), 3, crop, crop, device=self._world.device)

        def alone() -> None:
            with torch.autocast(self._world.device.type, torch.bfloat16, enabled=self._autocast):
                loss = model(images.to(memory_format=torch.channels_last)).float().square().mean()
            loss.backward()

        def together() -> None:
            alone()
            self._world.exchange(model)

        return alone, together


def make(
    job: Job, start: Start, world: World, tell: Callable[[int], None], stop: Callable[[], bool] = lambda: False
) -> Task:
    """The task that the settings ask for; features.StoppedError once `stop()` is true while features are computed."""
    return HeadTask(job, start, world, tell, stop) if job.settings.method == "head" else FullTask(job, start, world)


def _distance(logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """The Kullback-Leibler divergence of each photo at a temperature, whose square keeps the size of the gradient.

    Hinton et al. 2015, "Distilling the Knowledge in a Neural Network".
    """
    ours, theirs = (logits / temperature).log_softmax(1), (taught / temperature).log_softmax(1)
    return functional.kl_div(ours, theirs, reduction="none", log_target=True).sum(1) * temperature**2


def precision(wanted: str, device: torch.device) -> bool:
    """Whether to compute in bfloat16: when asked for, or with "auto" where the hardware does."""
    if wanted == "auto":
        if device.type == "cuda":
            return bool(torch.cuda.is_bf16_supported())
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported() and torch.cpu._is_avx512_bf16_supported())
    return wanted == "bf16"


def freeze_batch_norms(module: nn.Module) -> None:
    """Keep the running statistics of every batch normalisation as they are."""
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.eval()
