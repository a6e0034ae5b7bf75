"""The defects of the projects that this tool replaces, each as a test named after it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import training
from training import FINETUNE, HEAD, ONE_STEP

from dogbreed.data.photoset import PhotoSet
from dogbreed.infer.photo import read_bytes, read_photo
from dogbreed.infer.predictor import Predictor
from dogbreed.run import Run
from dogbreed.train import dataset, distributed, loop, model, tasks
from dogbreed.train.distributed import World
from dogbreed.train.job import Job

CPU = torch.device("cpu")


# -- 1. "multi-instance" without any distributed code: N machines train N times and race for one file


@pytest.mark.parametrize("kind", [HEAD, FINETUNE])
def test_1_the_workers_share_the_photos_of_every_step(tmp_path: Path, photos: PhotoSet, kind: dict[str, Any]) -> None:
    job = Job.read(training.begin(tmp_path / "run", photos, **kind | {"batch_size": 6}))

    def seen(rank: int, size: int) -> list[list[int]]:
        """The numbers of the photos that a rank gets, by step."""
        world, start = World(rank, size, CPU), model.start("shufflenet_v2_x0_5", "none", job.breeds, 0)
        got: list[list[int]] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(World, "efficiency", lambda *_: None)
            if kind is HEAD:
                rows = torch.arange(36.0).reshape(36, 1, 1).expand(36, 2, 1)
                patch.setattr(tasks, "extract", lambda *_: tasks_features(rows))
                task: Any = tasks.make(job, start, world, lambda count: None)
                got = [inputs.flatten().int().tolist() for inputs, _ in task.batches(0, 0)]
            else:
                patch.setattr(dataset.Augmented, "__getitem__", lambda self, key: (torch.full((3, 2, 2), key[1]), 0))
                task = tasks.make(job, start, world, lambda count: None)
                got = [inputs[:, 0, 0, 0].tolist() for inputs, _ in task.batches(0, 0)]
        return got

    alone, first, second = seen(0, 1), seen(0, 2), seen(1, 2)
    assert len(alone) == len(first) == len(second) == 4
    for step in range(4):
        assert not set(first[step]) & set(second[step])
        assert sorted(first[step] + second[step]) == sorted(alone[step])
    assert sorted(index for step in alone for index in step) == list(range(24))


def tasks_features(rows: torch.Tensor) -> Any:
    from dogbreed.train.features import Features

    return Features(rows, None, 0)


def test_1_only_the_first_worker_writes_and_talks(
    tmp_path: Path, photos: PhotoSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second worker, all by itself: its exchanges are cut off, and it must leave no trace."""
    run = training.begin(tmp_path / "run", photos, **HEAD | {"epochs": 2})
    training.train_here(training.begin(tmp_path / "first", photos, **HEAD | {"epochs": 1}))  # fills the cache
    before = sorted(run.rglob("*"))
    monkeypatch.setattr(World, "join", classmethod(lambda cls: World(1, 1, CPU)))
    monkeypatch.setattr(World, "share", lambda self, count: range(count))
    monkeypatch.setattr("dogbreed.train.features._Store.write", lambda *_: pytest.fail("it wrote the cache"))
    rows = training_rows(photos)
    monkeypatch.setattr(tasks, "extract", lambda *_: tasks_features(rows))
    assert training.train_here(run) == []
    assert sorted(run.rglob("*")) == before


def training_rows(photos: PhotoSet) -> torch.Tensor:
    return torch.randn(len(photos.photos), 2, 1280, generator=torch.Generator().manual_seed(0))


# -- 2. no .to(device): a GPU that is paid for and idle


@pytest.mark.parametrize(
    ("gpus", "local_size", "rank", "device"),
    [(0, 1, 0, "cpu"), (1, 1, 0, "cuda:0"), (4, 2, 1, "cuda:1"), (1, 2, 1, "cpu")],
)
def test_2_the_gpu_is_used_when_there_is_one_for_each_worker(
    monkeypatch: pytest.MonkeyPatch, gpus: int, local_size: int, rank: int, device: str
) -> None:
    chosen: list[Any] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(distributed.dist, "init_process_group", lambda backend, **_: chosen.append(backend))
    monkeypatch.setattr(distributed, "_meeting_point", lambda: None)
    for name, value in (("RANK", rank), ("LOCAL_RANK", rank), ("WORLD_SIZE", local_size)):
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(local_size))
    world = World.join()
    assert str(world.device) == device
    expected: list[Any] = [torch.device(device)] if device.startswith("cuda") else []
    assert chosen == expected + ([] if local_size == 1 else ["nccl" if expected else "gloo"])


@pytest.mark.parametrize("kind", [HEAD, FINETUNE])
def test_2_model_and_inputs_are_on_the_device(tmp_path: Path, photos: PhotoSet, kind: dict[str, Any]) -> None:
    """On torch's own device without memory, where a mixture of devices raises as it does on a GPU."""
    job = Job.read(training.begin(tmp_path / "run", photos, **kind))
    world, start = World(0, 1, torch.device("meta")), model.start("shufflenet_v2_x0_5", "none", job.breeds, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "extract", lambda *_: tasks_features(torch.zeros(36, 2, 1024)))
        task = tasks.make(job, start, world, lambda count: None)
    inputs, truth = next(task.batches(0, 0))
    assert {inputs.device.type, truth.device.type} == {"meta"}
    assert {value.device.type for value in task.module.state_dict().values()} == {"meta"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which does not know this device
        assert task.loss(task.module, inputs, truth, (0, 0)).device.type == "meta"


@pytest.mark.parametrize(
    "exchange",
    [
        lambda world: world.gather(torch.zeros(2, 3), 4),
        lambda world: world.sum([1.0]),
        lambda world: world.broadcast(torch.zeros(2, 3, 4)),
        lambda world: world.mean_and_flag(torch.zeros(()), False),
    ],
)
def test_2_what_workers_exchange_lies_on_their_devices(
    monkeypatch: pytest.MonkeyPatch, exchange: Callable[[World], object]
) -> None:
    """NCCL takes nothing else. Torch's device without memory has nothing to exchange: it ends there."""

    class Sent(Exception):
        pass

    def send(*tensors: Any) -> None:
        raise Sent(str(tensors[-1].device))

    monkeypatch.setattr(distributed, "dist", SimpleNamespace(all_gather=send, all_reduce=send))
    with pytest.raises(Sent, match="meta"):
        exchange(World(0, 2, torch.device("meta")))


ON_GPU = [
    HEAD,
    ONE_STEP,
    ONE_STEP | {"average": 0.5, "batch_norm": "rebased"},
    FINETUNE | {"precision": "auto", "distill": 0.5, "batch_norm": "frozen"},
]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", ON_GPU)
def test_2_a_training_on_a_real_gpu(tmp_path: Path, photos: PhotoSet, kind: dict[str, Any]) -> None:
    run = training.begin(tmp_path / "run", photos, **kind)
    events = training.launch_all(run, 1)
    assert events[0]["device"].startswith("cuda")
    assert events[-1]["event"] == "done"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", ON_GPU)
def test_2_one_gpu_goes_the_ways_of_many(
    tmp_path: Path, photos: PhotoSet, monkeypatch: pytest.MonkeyPatch, kind: dict[str, Any]
) -> None:
    """Through NCCL, which gives a GPU to one worker only: that one takes itself for one of several."""

    class Several(int):
        def __gt__(self, other: int) -> bool:
            return True

        def __eq__(self, other: object) -> bool:
            return False

        __hash__ = int.__hash__

    alone = training.begin(tmp_path / "alone", photos, **kind)
    training.train_here(alone)

    def join(_: type[World]) -> World:
        distributed.dist.init_process_group("nccl", store=distributed.dist.HashStore(), rank=0, world_size=1)
        return World(0, Several(1), torch.device("cuda", 0))

    monkeypatch.setattr(World, "join", classmethod(join))
    # Else the features would be there already.
    monkeypatch.setenv("DOGBREED_CACHE_DIR", str(tmp_path / "cache"))
    run = training.begin(tmp_path / "run", photos, **kind)
    assert training.train_here(run)[-1]["event"] == "done"
    for name, tensor in training.weights(alone).items():
        torch.testing.assert_close(training.weights(run)[name], tensor, rtol=1e-3, atol=1e-3)


# -- 3. `if epoch == 0: break`, and the best model never kept


def test_3_all_epochs_are_trained_and_the_best_is_kept(tmp_path: Path, photos: PhotoSet) -> None:
    run = training.begin(tmp_path / "run", photos, **HEAD | {"epochs": 6, "warmup_epochs": 0.0})
    at_epoch: list[dict[str, torch.Tensor]] = []
    losses = iter([0.9, 0.5, 0.2, 0.4, 0.6, 0.8])
    evaluate = loop._evaluate

    def watched(task: Any, *arguments: Any) -> dict[str, Any]:
        at_epoch.append(loop._copy(task.module))
        return evaluate(task, *arguments) | {"loss": next(losses)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_evaluate", watched)
        events = training.train_here(run)
    assert training.epochs_written(run) == [1, 2, 3, 4, 5, 6]
    assert [event["best"] for event in events if event["event"] == "epoch"] == [True, True, True, False, False, False]
    assert training.info(run)["best_epoch"] == 3
    final = training.weights(run)
    torch.testing.assert_close(final["head.weight"], at_epoch[2]["weight"], rtol=2e-3, atol=1e-4)
    assert not torch.allclose(at_epoch[2]["weight"], at_epoch[5]["weight"], rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize(("patience", "epochs"), [(0, 6), (1, 3), (2, 4)])
def test_3_patience_ends_it_early_and_only_when_asked(
    tmp_path: Path, photos: PhotoSet, patience: int, epochs: int
) -> None:
    run = training.begin(tmp_path / "run", photos, **HEAD | {"epochs": 6, "patience": patience})
    losses = iter([0.9, 0.5, 0.6, 0.6, 0.6, 0.6])
    evaluate = loop._evaluate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_evaluate", lambda *given: evaluate(*given) | {"loss": next(losses)})
        training.train_here(run)
    assert training.epochs_written(run) == list(range(1, epochs + 1))


# -- 4. trained on the test folder


@pytest.mark.parametrize("kind", ["head", "finetune"])
def test_4_the_test_photos_do_not_change_the_weights(tmp_path: Path, photos: PhotoSet, kind: str) -> None:
    settings = HEAD if kind == "head" else FINETUNE | {"epochs": 1}
    digests = {name: {photo.sha256 for photo in photos.split(name)} for name in ("train", "valid", "test")}
    assert not digests["train"] & (digests["valid"] | digests["test"])
    test = photos.split("test")
    # Each test photo is called by the name of the next breed.
    wrong = {photo.sha256: photos.breeds[(photos.breeds.index(photo.breed) + 1) % 3] for photo in test}
    poisoned = tuple(replace(p, breed=wrong[p.sha256]) if p.split == "test" else p for p in photos.photos)
    fewer = tuple(photo for photo in photos.photos if photo.split != "test")
    made = []
    for name, chosen in (("clean", photos.photos), ("poisoned", poisoned), ("without", fewer)):
        run = training.begin(tmp_path / name, replace(photos, photos=chosen), **settings)
        training.train_here(run)
        made.append(training.digest(run))
    assert made[0] == made[1] == made[2]
    assert training.info(tmp_path / "clean")["unsure_below"] == training.info(tmp_path / "poisoned")["unsure_below"]


# -- 5. chosen by the test loss, which was not divided by the number of images


def test_5_the_validation_loss_is_per_image_whatever_the_batches(
    tmp_path: Path, photos: PhotoSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = training.begin(tmp_path / "run", photos, **FINETUNE | {"epochs": 1})
    losses = []
    for batch in (1, 4, 32):
        monkeypatch.setattr(tasks, "_EVALUATION_BATCH", batch)
        job = Job.read(run)
        task = tasks.make(job, model.start("shufflenet_v2_x0_5", "none", job.breeds, 0), World(0, 1, CPU), print)
        truth = np.asarray(job.truth(job.split("valid")))
        losses.append(loop._evaluate(task, {}, truth, job.breeds)["loss"])
        each = torch.nn.functional.cross_entropy(task.logits("valid"), torch.from_numpy(truth))
        assert losses[-1] == pytest.approx(float(each), abs=1e-3)
    assert losses == pytest.approx([losses[0]] * 3, abs=1e-3)


def test_5_the_best_epoch_is_that_of_the_validation_split(tmp_path: Path, photos: PhotoSet) -> None:
    run = training.begin(tmp_path / "run", photos, **HEAD)
    asked: list[str] = []
    logits = tasks.HeadTask.logits

    def watched(self: tasks.HeadTask, split: str) -> torch.Tensor:
        asked.append(split)
        return logits(self, split)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks.HeadTask, "logits", watched)
        training.train_here(run)
    assert asked == ["valid"] * 5 + ["valid", "test"]


# -- 6. no normalisation, no seed, squashed photos, and preprocessing written a second time by hand


@pytest.mark.parametrize("kind", ["head", "finetune"])
def test_6_the_predictor_sees_what_training_evaluated(tmp_path: Path, photos: PhotoSet, kind: str) -> None:
    run = training.begin(tmp_path / "run", photos, **(HEAD if kind == "head" else FINETUNE | {"epochs": 1}))
    kept: dict[str, torch.Tensor] = {}
    make = loop.finish.write
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.finish, "write", lambda made, tell: kept.update(made.logits) or make(made, tell))
        training.train_here(run)
    predictor = Predictor.open(Run.open(run))
    for photo, evaluated in zip(photos.split("test"), kept["test"].numpy(), strict=True):
        image = read_photo(read_bytes(photo.path), at_least=predictor.preprocessing.resize).image
        answered = predictor.logits(predictor.preprocessing(image)[None])[0]
        np.testing.assert_allclose(answered, evaluated, atol=2e-3)
        assert predictor.predict(photo.path.read_bytes()).breed == photos.breeds[int(evaluated.argmax())]


def test_6_photos_keep_their_proportions_and_are_normalised() -> None:
    from PIL import Image, ImageDraw

    pre = model.start("resnet18", "none", ("a", "b"), 0).preprocessing
    assert pre.mean == (0.485, 0.456, 0.406)
    assert pre.std == (0.229, 0.224, 0.225)
    wide = Image.new("RGB", (800, 400), "white")
    ImageDraw.Draw(wide).ellipse((300, 100, 500, 300), "black")
    dark = pre(wide)[0] < 0
    assert abs(int(dark.any(0).sum()) - int(dark.any(1).sum())) <= 1  # a circle stays a circle
    white = pre(Image.new("RGB", (50, 90), "white"))
    np.testing.assert_allclose(white[:, 0, 0], (1 - np.array(pre.mean)) / np.array(pre.std), rtol=1e-5)


@pytest.mark.parametrize("kind", ["head", "finetune"])
def test_6_the_seed_decides_everything(tmp_path: Path, photos: PhotoSet, kind: str) -> None:
    settings = HEAD if kind == "head" else FINETUNE | {"epochs": 1, "randaugment": 5, "mixup": 0.2}
    made = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        torch.manual_seed(len(made))  # what happened before in the process must not matter
        run = training.begin(tmp_path / name, photos, **settings | {"seed": seed})
        training.train_here(run)
        made.append(training.digest(run))
    assert made[0] == made[1] != made[2]


def test_6_the_run_says_what_made_it(undisturbed: Callable[..., Path], photos: PhotoSet) -> None:
    run = undisturbed(1, **HEAD)
    info = training.info(run)
    assert info["labels"] == list(photos.breeds)
    assert info["data"]["digest"] == photos.digest()
    assert info["data"]["drawn"] is True
    assert info["settings"]["train"]["seed"] == 0
    assert info["settings"]["train"]["lr"] == HEAD["lr"]
    assert set(info["preprocessing"]) == {"resize", "crop", "filter", "mean", "std"}
    assert set(info["versions"]) >= {"dogbreed", "python", "torch"}
    assert {"backbone", "origin", "temperature", "unsure_below", "unsure_meaning", "metrics"} <= set(info)
    assert {"best_epoch", "parity", "world_size", "efficiency", "images_per_second", "created", "id"} <= set(info)
    assert set(info["files"]) == {"model.safetensors", "model.onnx", "metrics.jsonl", "curve.png"}
    for name in info["files"]:
        assert Run.open(run).read(name)
