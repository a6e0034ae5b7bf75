"""N workers do the work of one: the same weights, each image counted once, one writer, statistics over all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import training
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from training import HEAD, ONE_STEP, SLOWLY

from dogbreed.data.photoset import PhotoSet
from dogbreed.errors import UsageError
from dogbreed.train import distributed, model
from dogbreed.train.dataset import order
from dogbreed.train.distributed import SyncedBatchNorm2d, World, sync_batch_norms
from dogbreed.train.job import Job, batch_size

KINDS = {
    "head": HEAD,
    "finetune": ONE_STEP | {"batch_norm": "train"},
    "frozen": SLOWLY | {"batch_norm": "frozen"},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_two_workers_reach_the_weights_of_one(undisturbed: Callable[..., Path], kind: str) -> None:
    one, two = undisturbed(1, **KINDS[kind]), undisturbed(2, **KINDS[kind])
    # The trained module of the last epoch, before anything is rounded for the Run.
    alone, together = training.last_weights(one), training.last_weights(two)
    job = Job.read(one)
    start = model.start(job.settings.backbone, job.settings.weights, job.breeds, job.settings.seed).model
    untrained = (start.head if kind == "head" else start).state_dict()
    assert list(alone) == list(together) == sorted(untrained)
    for name, value in alone.items():
        torch.testing.assert_close(
            together[name], value, rtol=1e-3, atol=1e-4, msg=lambda text, at=name: f"{at}: {text}"
        )
    # They also moved, and moved alike: close weights alone would also be those of a training that does nothing.
    moved = [name for name, value in alone.items() if name.endswith("weight") and not value.equal(untrained[name])]
    expected = {"weight"} if kind == "head" else {"head.weight", "backbone.features.0.0.weight"}
    assert expected <= set(moved)
    for name in moved:
        way = (alone[name] - untrained[name]).norm()
        assert (alone[name] - together[name]).norm() < 0.05 * way + 2e-6 * alone[name].norm(), name
    first, second = training.info(one), training.info(two)
    assert (first["world_size"], second["world_size"]) == (1, 2)
    assert first["labels"] == second["labels"]
    for split in ("valid", "test"):
        assert first["metrics"][split]["photos"] == second["metrics"][split]["photos"] == 6
        assert first["metrics"][split]["top1"] == second["metrics"][split]["top1"]


@pytest.mark.slow
def test_the_efficiency_is_measured_when_there_is_something_to_share(undisturbed: Callable[..., Path]) -> None:
    assert training.info(undisturbed(1, **KINDS["finetune"]))["efficiency"] is None
    measured = training.info(undisturbed(2, **KINDS["finetune"]))["efficiency"]
    assert measured is not None
    assert measured > 0


@pytest.mark.slow
def test_every_photo_is_counted_once_by_two_workers_of_an_odd_number(tmp_path: Path, photos: PhotoSet) -> None:
    from dataclasses import replace

    # 7 test photos: one moves over from train.
    moved = next(photo for photo in photos.photos if photo.split == "train")
    changed = tuple(replace(p, split="test") if p is moved else p for p in photos.photos)
    run = training.begin(tmp_path / "run", replace(photos, photos=changed), **HEAD)
    training.launch_all(run, 2)
    by_breed = training.info(run)["metrics"]["test"]["by_breed"]
    assert training.info(run)["metrics"]["test"]["photos"] == 7
    assert sum(breed["photos"] for breed in by_breed.values()) == 7


@given(count=st.integers(0, 200), size=st.integers(1, 9))
def test_shares_are_disjoint_complete_and_even(count: int, size: int) -> None:
    shares = [list(World(rank, size, torch.device("cpu")).share(count)) for rank in range(size)]
    assert sorted(index for share in shares for index in share) == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@given(count=st.integers(1, 300), wanted=st.integers(1, 300), size=st.integers(1, 8), epoch=st.integers(0, 5))
def test_the_batches_of_an_epoch_are_shared_without_overlap(count: int, wanted: int, size: int, epoch: int) -> None:
    if min(count, wanted) < size:
        with pytest.raises(UsageError, match="cannot be shared"):
            batch_size(wanted, count, size)
        return
    batch = batch_size(wanted, count, size)
    batches = order(count, batch, 1, epoch)
    ranks = [batches[:, rank::size] for rank in range(size)]
    assert len({part.shape for part in ranks}) == 1
    seen = [int(index) for part in ranks for index in part.flatten()]
    assert len(seen) == len(set(seen)) == count // batch * batch
    assert set(seen) <= set(range(count))


# -- in real processes


def _work(rank: int, size: int, port: int, folder: str) -> None:
    os.environ |= training.rank_environment(rank, size, port)
    world = World.join()
    found: dict[str, Any] = {}
    for count in (0, 1, 2, 3, 6, 7):
        rows = torch.arange(count * 2.0).reshape(count, 2)
        found[f"gathered {count}"] = world.gather(rows[list(world.share(count))], count)
    found["broadcast"] = world.broadcast(torch.full((2, 3, 4), 7.0) if rank == 0 else torch.empty(0))
    found["sum"] = world.sum([1.0, float(rank)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distributed, "_CHUNK", 5)  # so that several are sent
        for name, data in (("bytes", b"twelve bytes"), ("no bytes", b""), ("nothing", None)):
            shared = world.broadcast_bytes(data if rank == 0 else None)
            found[name] = None if shared is None else shared.decode()
    found["mean and flag"] = world.mean_and_flag(torch.tensor(float(rank)), rank == size - 1)
    torch.manual_seed(0)
    plain = _network()
    synced = _network()
    synced.load_state_dict(plain.state_dict())
    sync_batch_norms(synced)
    assert isinstance(synced[1], SyncedBatchNorm2d)
    images = _images()
    for _ in range(3):
        synced.zero_grad()
        own = images[rank::size].clone().requires_grad_()
        answer = synced(own)
        # The loss is a sum, so the gradients of the ranks add up to those of the whole batch.
        (answer * torch.arange(answer.numel()).reshape(answer.shape).cos()[: len(own)]).sum().backward()
    world.exchange(synced)
    gradients = [parameter.grad.flatten() for parameter in synced.parameters() if parameter.grad is not None]
    total = torch.cat(gradients)
    torch.distributed.all_reduce(total)
    found |= {"answer": answer.detach(), "input gradient": own.grad, "gradients": total}
    found |= {"state": {name: value.clone() for name, value in synced.state_dict().items()}}
    synced.eval()
    found["evaluated"] = synced(images).detach()
    torch.save(found, f"{folder}/{rank}.pt")
    world.leave()


def _network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.BatchNorm2d(2))


def _images() -> torch.Tensor:
    # Far from zero, where a careless variance loses all its digits.
    return torch.randn(6, 3, 9, 9, generator=torch.Generator().manual_seed(1)) + 300


@pytest.fixture(scope="module", params=[2, 3])
def ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder, size = tmp_path_factory.mktemp("ranks"), request.param
    training.in_ranks(_work, size, str(folder))
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(size)]


@pytest.mark.slow
def test_rows_are_gathered_once_and_in_order_on_every_rank(ranks: list[dict[str, Any]]) -> None:
    for found in ranks:
        for count in (0, 1, 2, 3, 6, 7):
            assert torch.equal(found[f"gathered {count}"], torch.arange(count * 2.0).reshape(count, 2))
        assert torch.equal(found["broadcast"], torch.full((2, 3, 4), 7.0))
        size = len(ranks)
        assert found["sum"] == [float(size), size * (size - 1) / 2]
        assert found["mean and flag"] == ((size - 1) / 2, True)
        assert (found["bytes"], found["no bytes"], found["nothing"]) == ("twelve bytes", "", None)


@pytest.mark.slow
def test_synced_batch_normalisation_is_that_of_the_whole_batch(ranks: list[dict[str, Any]]) -> None:
    torch.manual_seed(0)
    plain, images, size = _network(), _images().requires_grad_(), len(ranks)
    for _ in range(3):
        plain.zero_grad()
        images.grad = None
        answer = plain(images)
        each = [answer[rank::size] for rank in range(size)]
        sum((own * torch.arange(own.numel()).reshape(own.shape).cos()).sum() for own in each).backward()  # type: ignore[union-attr]
    gradients = torch.cat([parameter.grad.flatten() for parameter in plain.parameters() if parameter.grad is not None])
    assert images.grad is not None
    for rank, found in enumerate(ranks):
        torch.testing.assert_close(found["answer"], answer.detach()[rank::size], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(found["input gradient"], images.grad[rank::size], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(found["gradients"], gradients, rtol=1e-3, atol=3e-2)
        for name, value in plain.state_dict().items():
            torch.testing.assert_close(found["state"][name], value, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ranks[0]["evaluated"], plain.eval()(images).detach(), rtol=1e-3, atol=1e-3)
