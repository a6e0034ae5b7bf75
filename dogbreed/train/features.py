"""Features of a frozen backbone, computed once for each photo and kept in the cache folder.

They are addressed by what they follow from: the backbone with its weights, the preprocessing, and the photo's bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from dogbreed.data.cache import cache_dir
from dogbreed.data.photoset import Photo
from dogbreed.errors import DogbreedError
from dogbreed.infer.preprocess import Preprocessing
from dogbreed.run import write_atomically
from dogbreed.train.dataset import evaluation_batches
from dogbreed.train.distributed import World

_BATCH = 32
_DIGEST = hashlib.sha256().digest_size  # before the tensors stands their digest, as safetensors has none
_WORTH_MEASURING = 10 * _BATCH  # photos; measuring the efficiency takes as long as some 100 of them


@dataclass(frozen=True)
class Features:
    """Rows [photos, views, width] (views: as it is, mirrored), the efficiency measured (or None), and their source."""

    rows: Tensor
    efficiency: float | None
    computed: int


class StoppedError(Exception):
    """The features were not finished, since a rank was told to stop; what was computed is in the cache."""


def extract(
    backbone: nn.Module,
    photos: tuple[Photo, ...],
    pre: Preprocessing,
    world: World,
    tell: Callable[[int], None],
    stop: Callable[[], bool] = lambda: False,
) -> Features:
    """Features of `photos` on every rank: from the cache where it has them, the rest shared among the ranks.

    `tell(n)` reports n more photos done on this rank. Once `stop()` is true on any rank, StoppedError is raised on all.
    """
    store = _Store(backbone, pre)
    # The cache may change while it is read, so only rank 0 looks, and all go by what it saw.
    known = store.read() if world.rank == 0 else {}
    is_missing = world.sum([float(world.rank == 0 and photo.sha256 not in known) for photo in photos])
    missing = list({photo.sha256: photo for photo, flag in zip(photos, is_missing, strict=True) if flag}.values())
    efficiency = None
    if missing:
        model = backbone.to(world.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        efficiency = _efficiency(model, pre, world) if len(missing) >= _WORTH_MEASURING else None
        computed = _compute(model, missing, pre, world, tell, stop)
        known |= {photo.sha256: row for photo, row in zip(missing, computed, strict=False)}
        if world.rank == 0:
            store.write(known)
        if len(computed) < len(missing):
            raise StoppedError
    rows = torch.stack([known[photo.sha256] for photo in photos]) if world.rank == 0 else torch.empty(0)
    return Features(world.broadcast(rows), efficiency, len(missing))


def _compute(
    model: nn.Module,
    photos: list[Photo],
    pre: Preprocessing,
    world: World,
    tell: Callable[[int], None],
    stop: Callable[[], bool],
) -> Tensor:
    """Rows of `photos` on every rank; of the first of them only, where a rank was told to stop."""
    mine = tuple(photos[index] for index in world.share(len(photos)))
    # A rank may have no photo at all; the others tell it how wide a row is.
    rows = [] if mine else [_views(model, torch.zeros(1, 3, pre.crop, pre.crop), world)[:0]]
    batches = evaluation_batches(mine, pre, _BATCH, torch.get_num_threads())
    together = _BATCH * world.size
    # As many rounds on every rank, also where one has no photos left, since in each they agree whether to stop. The
    # photos of whole rounds are the first ones, so whoever goes on computes the others in the very same batches.
    for done in range(together, len(photos) + together, together):
        for images in islice(batches, 1):
            rows.append(_views(model, images, world))
            tell(len(images))
        if done < len(photos) and world.sum([float(stop())])[0]:
            return world.gather(torch.cat(rows), done)
    return world.gather(torch.cat(rows), len(photos))


def _views(model: nn.Module, images: Tensor, world: World) -> Tensor:
    """Features of the images as they are and mirrored, float32 [n, 2, width]."""
    with torch.inference_mode():
        views = (images, images.flip(3))
        done = [model(view.to(world.device, memory_format=torch.channels_last)).float().cpu() for view in views]
    return torch.stack(done, dim=1)


def _efficiency(model: nn.Module, pre: Preprocessing, world: World) -> float | None:
    images = torch.zeros(_BATCH // 2, 3, pre.crop, pre.crop)

    def work() -> None:
        _views(model, images, world)

    return world.efficiency(work, work)


class _Store:
    """The cache file of one backbone and preprocessing: photo sha256 -> features [views, width]."""

    def __init__(self, backbone: nn.Module, pre: Preprocessing) -> None:
        key = hashlib.sha256(json.dumps(pre.to_json(), sort_keys=True).encode())
        # Networks with the same weights can still compute something else, by their padding for one.
        key.update(repr(backbone).encode())
        for name, value in backbone.state_dict().items():
            key.update(name.encode())
            key.update(value.detach().cpu().contiguous().numpy().tobytes())
        self._path: Path = cache_dir() / "features" / key.hexdigest()

    def read(self) -> dict[str, Tensor]:
        """What is cached; a damaged file counts as nothing cached."""
        try:
            data = self._path.read_bytes()
            body = data[_DIGEST:]
            if hashlib.sha256(body).digest() != data[:_DIGEST]:
                return {}
            tensors = load(body)
            names = [bytes(row.tolist()).hex() for row in tensors["photos"]]
            return dict(zip(names, tensors["rows"], strict=True))
        except (OSError, ValueError, KeyError, SafetensorError):
            return {}

    def write(self, known: dict[str, Tensor]) -> None:
        """Keep `known`; a cache that cannot be written costs time, not the training."""
        names = [list(bytes.fromhex(name)) for name in known]
        tensors = {"photos": torch.tensor(names, dtype=torch.uint8), "rows": torch.stack(list(known.values()))}
        with suppress(DogbreedError, OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            body = save(tensors)
            write_atomically(self._path, hashlib.sha256(body).digest() + body)
