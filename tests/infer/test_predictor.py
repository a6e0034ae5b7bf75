"""The Predictor: calibration, ranking, streaming, and Runs that do not fit together."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from drawn_photos import draw, encode

from dogbreed.errors import DogbreedError, PhotoError
from dogbreed.infer.answering import readable
from dogbreed.infer.predictor import Predictor
from dogbreed.infer.session import Session
from dogbreed.infer.sources import Source
from dogbreed.run import STARTER, Run, sealed


def test_confidence_is_the_softmax_at_the_runs_temperature(predictor: Predictor) -> None:
    logits = np.array([1.0, 3.0, 2.0] + [-50.0] * (len(predictor.labels) - 3), np.float32)
    answer = predictor._rank(logits, 3)
    powers = np.exp(logits.astype(float) / predictor.temperature)
    assert answer.confidence == pytest.approx(powers[1] / powers.sum())
    assert [breed for breed, _ in answer.top] == [predictor.labels[i] for i in (1, 2, 0)]
    assert answer.unsure == (answer.confidence < predictor.unsure_below)


def test_more_guesses_than_breeds_are_all_breeds(predictor: Predictor) -> None:
    answer = predictor.predict(encode(draw()), top_k=10**6)
    assert len(answer.top) == len(predictor.labels)
    assert sum(share for _, share in answer.top) == pytest.approx(1)
    assert [share for _, share in answer.top] == sorted((share for _, share in answer.top), reverse=True)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_an_error(predictor: Predictor, value: float) -> None:
    logits = np.zeros(len(predictor.labels), np.float32)
    logits[3] = value
    with pytest.raises(PhotoError) as caught:
        predictor._rank(logits, 5)
    assert caught.value.kind == "no-answer"


def test_huge_logits_do_not_overflow(predictor: Predictor) -> None:
    logits = np.full(len(predictor.labels), -3e38, np.float32)
    logits[0] = 3e38
    assert predictor._rank(logits, 1).confidence == 1


def test_a_batch_gives_what_single_photos_give(predictor: Predictor) -> None:
    side = predictor.preprocessing.crop
    pixels = np.random.default_rng(0).normal(size=(19, 3, side, side)).astype(np.float32)
    single = np.concatenate([predictor.logits(one[None]) for one in pixels])
    np.testing.assert_allclose(predictor.logits(pixels), single, atol=1e-3)
    assert predictor.logits(pixels[:0]).shape == (0, len(predictor.labels))


def test_json_has_the_promised_keys(predictor: Predictor) -> None:
    value = predictor.predict(encode(draw()), name="x.jpg", top_k=2).to_json()
    assert list(value) == ["file", "breed", "confidence", "unsure", "top", "error"]
    assert value["top"][0] == {"breed": value["breed"], "probability": value["confidence"]}
    json.dumps(value)


def test_many_answers_keep_the_order_and_hold_their_errors(predictor: Predictor) -> None:
    photos = [encode(draw(seed, (64, 48))) for seed in range(3)]
    sources = [Source(f"{i}", lambda i=i: photos[i % 3] if i % 4 else b"no photo") for i in range(24)]
    answers = list(predictor.predict_many(sources, top_k=1, workers=3))
    assert [answer.file for answer in answers] == [f"{i}" for i in range(24)]
    assert [answer.error is not None for answer in answers] == [i % 4 == 0 for i in range(24)]
    assert answers[1].breed == predictor.predict(photos[1]).breed


def test_sources_are_read_only_a_little_ahead(predictor: Predictor) -> None:
    taken = 0

    def endless() -> Iterator[Source]:
        nonlocal taken
        while True:
            taken += 1
            yield Source(str(taken), lambda: b"no photo")

    answers = predictor.predict_many(endless(), workers=2)
    for _ in range(50):
        next(answers)
    assert taken < 100
    answers.close()


def test_a_slow_photo_stops_neither_the_others_nor_the_end(predictor: Predictor) -> None:
    release = threading.Event()

    def slow() -> bytes:
        release.wait(300)
        return b""

    quick = [Source(str(i), lambda: b"x") for i in range(5)]
    answers = predictor.predict_many([*quick, Source("slow", slow)], workers=2)
    for _ in range(5):
        next(answers)
    answers.close()  # returns although "slow" is still being read
    release.set()


def test_our_own_bugs_are_not_hidden_in_an_answer(predictor: Predictor) -> None:
    def bug() -> bytes:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(predictor.predict_many([Source("a", bug), Source("b", bug)]))


def test_threads_share_a_predictor(predictor: Predictor) -> None:
    photos = [encode(draw(seed)) for seed in range(4)]
    truth = [predictor.predict(photo).top for photo in photos]
    seen: dict[int, object] = {}
    threads = [
        threading.Thread(target=lambda i=i: seen.__setitem__(i, predictor.predict(photos[i % 4]).top)) for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(seen[i] == truth[i % 4] for i in range(8))


@pytest.fixture
def broken(tmp_path: Path, predictor: Predictor) -> Callable[..., Run]:
    def make(**changes: object) -> Run:
        run = tmp_path / "run"
        shutil.copytree(STARTER, run, ignore=shutil.ignore_patterns("*.safetensors"))
        info = {**json.loads((run / "model.json").read_text()), **changes}
        left = {key: value for key, value in info.items() if value is not None}
        (run / "model.json").write_text(json.dumps(sealed(left)))
        return Run.open(run)

    return make


@pytest.mark.parametrize(
    "change",
    [
        {"labels": ["one", "two"]},
        {"labels": []},
        {"temperature": 0},
        {"temperature": "hot"},
        {"temperature": None},
        {"unsure_below": float("nan")},
        {"preprocessing": {"resize": 256}},
        {"preprocessing": {"colour": 1}},
        {"preprocessing": {"resize": 64, "crop": 224, "filter": "bilinear", "mean": [0, 0, 0], "std": [1, 1, 1]}},
        {"preprocessing": {"resize": 256, "crop": 224, "filter": "guess", "mean": [0, 0, 0], "std": [1, 1, 1]}},
        {"preprocessing": {"resize": 256, "crop": 224, "filter": "bilinear", "mean": [0, 0, 0], "std": [0, 1, 1]}},
    ],
)
def test_a_model_json_that_makes_no_sense_is_an_error(broken: Callable[..., Run], change: dict[str, object]) -> None:
    with pytest.raises(DogbreedError):
        Predictor.open(broken(**change))


def test_a_changed_byte_is_noticed_also_without_waiting(broken: Callable[..., Run]) -> None:
    run = broken()
    path = run.path / "model.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DogbreedError, match="sha256"):
        Predictor.open(run)
    lazy = Predictor.open(run, session=Session(run))
    with pytest.raises(DogbreedError, match="sha256"):
        lazy.predict(encode(draw()))
    with pytest.raises(DogbreedError, match="sha256"):
        list(lazy.predict_many([Source("a", lambda: encode(draw()))]))


def test_labels_are_readable() -> None:
    assert readable("bernese_mountain_dog") == "bernese mountain dog"
    assert readable("n02107574-Greater_Swiss_Mountain_dog") == "greater swiss mountain dog"
    assert readable("shih-tzu") == "shih-tzu"
