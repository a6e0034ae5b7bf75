"""The starter model: small, whole, trained in every tensor, and as good as the README says."""

from __future__ import annotations

from pathlib import Path

import pytest

from dogbreed.data.breeds import normalise
from dogbreed.infer.predictor import Predictor
from dogbreed.infer.sources import Source
from dogbreed.run import ONNX, STARTER, WEIGHTS, Run

SHARED = Path(__file__).resolve().parents[2] / "shared"
needs_photos = pytest.mark.skipif(not SHARED.is_dir(), reason="the photos are not part of the repository")


def test_it_is_at_most_15_mb_and_no_byte_has_changed() -> None:
    run = Run.open(STARTER)
    assert sum(path.stat().st_size for path in STARTER.iterdir()) <= 15_000_000
    for name in (ONNX, WEIGHTS):
        assert run.read(name)


@needs_photos
def test_it_knows_every_breed_of_the_photos() -> None:
    breeds = {
        normalise(path.name) for split in ("train", "test") for path in (SHARED / "data/dev_wide" / split).iterdir()
    }
    breeds |= {normalise(path.name) for path in (SHARED / "data/dev7/train").iterdir()}
    assert set(Run.open(STARTER).labels) == breeds


@needs_photos
def test_no_tensor_is_the_one_it_started_from() -> None:
    import torch
    from safetensors.torch import load

    from dogbreed.train import model
    from dogbreed.train.model import to_state

    run = Run.open(STARTER)
    before = to_state(
        model.start("starter", str(SHARED / "weights/mobilenet_v2_imagenet_tf.pth"), run.labels, seed=0).model
    )
    after = load(run.read(WEIGHTS))
    assert before.keys() == after.keys()
    for name, value in after.items():
        assert not torch.equal(value.float(), before[name].to(value.dtype).float()), name


@needs_photos
@pytest.mark.slow
def test_its_top_1_on_photos_it_has_not_seen() -> None:
    photos = sorted(path for path in (SHARED / "data/dev_wide/test").rglob("*") if path.is_file())
    answers = Predictor.open(Run.open(STARTER)).predict_many((Source.of(path) for path in photos), 1)
    right = sum(answer.breed == normalise(path.parent.name) for path, answer in zip(photos, answers, strict=True))
    assert right / len(photos) >= 0.88
