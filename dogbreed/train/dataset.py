"""Photos as batches. Every random choice follows from (seed, epoch, photo), so any step can be repeated exactly."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dogbreed.config import TrainSettings
from dogbreed.data.photoset import Photo
from dogbreed.errors import DogbreedError, PhotoError
from dogbreed.infer.photo import read_bytes, read_photo
from dogbreed.infer.preprocess import Preprocessing
from dogbreed.train.torchvision_cpu import torchvision


def random_seed(*parts: int) -> int:
    """A seed for one place in training, the same in every process and on every machine."""
    digest = hashlib.blake2b(",".join(map(str, parts)).encode(), digest_size=7).digest()
    return int.from_bytes(digest)


def open_photo(photo: Photo, shorter: int) -> Image.Image:
    """The RGB image of `photo`, its shorter side decoded to at least `shorter` pixels where the file has them."""
    try:
        return read_photo(read_bytes(photo.path), at_least=shorter).image
    except PhotoError as error:
        raise DogbreedError(f"{photo.path}: {error.message}", "it changed since training began: start again") from error


def order(count: int, batch: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The photos of an epoch as batches [steps, batch]; what does not fill a batch waits for another epoch."""
    shuffled = np.random.default_rng(random_seed(seed, epoch)).permutation(count)
    steps = count // batch
    return shuffled[: steps * batch].reshape(steps, batch)


class Augmented(Dataset[tuple[Tensor, int]]):
    """Training photos, cropped, flipped and coloured at random; indexed by (epoch, photo)."""

    def __init__(self, photos: tuple[Photo, ...], truth: list[int], pre: Preprocessing, train: TrainSettings) -> None:
        modes = torchvision().transforms.InterpolationMode
        v2 = import_module("torchvision.transforms.v2")
        steps = [
            v2.RandomResizedCrop(pre.crop, scale=(train.crop_scale, 1.0), interpolation=modes(pre.filter)),
            v2.RandomHorizontalFlip(),
        ]
        if train.low_resolution:
            steps.append(v2.RandomApply([_LowResolution()], train.low_resolution))
        if train.randaugment:
            steps.append(v2.RandAugment(num_ops=2, magnitude=train.randaugment))
        if train.colour_jitter:
            jitter = train.colour_jitter
            steps.append(v2.ColorJitter(jitter, jitter, jitter))
        self._transform = v2.Compose(steps)
        self._photos, self._truth, self._pre, self._seed = photos, truth, pre, train.seed

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, int]:
        epoch, index = key
        image = open_photo(self._photos[index], self._pre.resize)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(random_seed(self._seed, epoch, index))
            image = self._transform(image)
        return torch.from_numpy(self._pre.normalise(np.asarray(image))), self._truth[index]


class _LowResolution(torch.nn.Module):
    """Shrink to a third up to nine tenths of the size and enlarge again, as photos on the web often were."""

    def forward(self, image: Image.Image) -> Image.Image:
        share = 0.35 + 0.55 * float(torch.rand(()))
        small = image.resize((round(image.width * share), round(image.height * share)), Image.Resampling.BILINEAR)
        return small.resize(image.size, Image.Resampling.BILINEAR)


def balanced(truth: list[int], power: float) -> NDArray[np.int64]:
    """The photos of an epoch, rare breeds repeated round((largest / own count) ** power) times."""
    counts = np.bincount(truth)
    times = np.round((counts.max() / np.maximum(counts, 1)) ** power).astype(np.int64)
    return np.repeat(np.arange(len(truth)), times[np.asarray(truth, np.int64)])


def loader(dataset: Augmented, epoch: int, batches: NDArray[np.int64], workers: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of this rank, images float32 [b, 3, h, w] and truth [b], read ahead by `workers` processes."""
    keys = [[(epoch, int(index)) for index in row] for row in batches]
    return iter(DataLoader(dataset, batch_sampler=keys, num_workers=workers))


def evaluation_batches(
    photos: tuple[Photo, ...], pre: Preprocessing, batch: int, threads: int, flip: bool = False
) -> Iterator[Tensor]:
    """The photos as the Predictor sees them, float32 [<= batch, 3, h, w], decoded one batch ahead."""

    def decode(photo: Photo) -> NDArray[np.float32]:
        image = open_photo(photo, pre.resize)
        return pre(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else image)

    with ThreadPoolExecutor(max(1, threads)) as pool:
        chunks = [photos[start : start + batch] for start in range(0, len(photos), batch)]
        ahead = [pool.submit(decode, photo) for photo in chunks[0]] if chunks else []
        for number in range(len(chunks)):
            ready = [future.result() for future in ahead]
            following = chunks[number + 1] if number + 1 < len(chunks) else ()
            ahead = [pool.submit(decode, photo) for photo in following]
            yield torch.from_numpy(np.stack(ready))
