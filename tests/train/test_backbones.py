"""Backbones and their starting weights: built, exported, taken over, or refused with a hint."""

from __future__ import annotations

import hashlib
import http.server
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from safetensors.torch import save_file

from dogbreed.errors import DogbreedError, UsageError
from dogbreed.run import MODEL, STARTER, WEIGHTS, Run
from dogbreed.train import export, model
from dogbreed.train.torchvision_cpu import torchvision

BREEDS = ("beagle", "pug", "whippet")
needs_starter = pytest.mark.skipif(not (STARTER / MODEL).is_file(), reason="the starter model is not there")


def images(crop: int, count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1, (count, 3, crop, crop)).astype(np.float32)


@pytest.mark.parametrize(
    "backbone", ["resnet18", "mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x0_5", pytest.param("starter")]
)
def test_a_backbone_answers_and_is_exported_as_it_is(backbone: str) -> None:
    start = model.start(backbone, "none", BREEDS, 0)
    assert start.origin == "random"
    crop = start.preprocessing.crop
    batch = images(crop)
    assert start.model.eval()(torch.from_numpy(batch)).shape == (3, 3)
    assert start.model.backbone(torch.from_numpy(batch)).shape == (3, start.model.head.in_features)
    assert export.check_parity(start.model, export.to_onnx(start.model, crop), batch) < export.PARITY_LIMIT


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["googlenet", "vit_b_16", "efficientnet_b0", "densenet121"])
def test_other_families_can_be_cut(backbone: str) -> None:
    start = model.start(backbone, "none", BREEDS, 0)
    batch = torch.from_numpy(images(start.preprocessing.crop, 2))
    # Also while it trains, when some networks of torchvision give more than one answer.
    assert start.model.train()(batch).shape == (2, 3)
    assert start.model.backbone(batch).shape == (2, start.model.head.in_features)


def test_inception_converts_the_normalisation_that_its_weights_were_not_trained_on() -> None:
    net = model.start("googlenet", "none", BREEDS, 0).model.backbone
    assert net.transform_input is True


def test_a_changed_export_does_not_pass_the_gate() -> None:
    start = model.start("squeezenet1_1", "none", BREEDS, 0)
    with torch.no_grad():
        start.model.head.bias.copy_(torch.tensor([0.0, 1.0, 2.0]))
    crop = start.preprocessing.crop
    batch = images(crop)
    good = export.to_onnx(start.model, crop)
    assert export.check_parity(start.model, good, batch) < export.PARITY_LIMIT
    graph = onnx.load_from_string(good)
    weights = next(tensor for tensor in graph.graph.initializer if tensor.name == "head.bias")
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights)[::-1].copy(), weights.name))
    with pytest.raises(DogbreedError, match="disagrees with the trained one") as caught:
        export.check_parity(start.model, graph.SerializeToString(), batch)
    assert caught.value.hint


def test_the_seed_draws_the_weights() -> None:
    first, again, other = (model.start("squeezenet1_1", "none", BREEDS, seed).model.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


@pytest.mark.parametrize(
    ("backbone", "weights", "words"),
    [
        ("resnet19", "none", "no backbone resnet19"),
        ("Resnet18", "none", "no backbone Resnet18"),
        ("squeezenet1_1", "starter", "do not fit squeezenet1_1"),
        ("starter", "imagenet", "no weights for the starter"),
        ("squeezenet1_1", "nowhere.pth", "no weights nowhere.pth"),
    ],
)
def test_wrong_names(backbone: str, weights: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        model.start(backbone, weights, BREEDS, 0)
    assert caught.value.hint


@pytest.mark.parametrize("kind", [".pth", ".safetensors"])
def test_weights_of_torchvision_from_a_file(tmp_path: Path, kind: str) -> None:
    """With an ImageNet head the rows of known dogs are taken over, and the body is that of the file."""
    torch.manual_seed(3)
    net = torchvision().models.squeezenet1_1()
    path = tmp_path / f"weights{kind}"
    torch.save(net.state_dict(), path) if kind == ".pth" else save_file(net.state_dict(), path)
    start = model.start("squeezenet1_1", str(path), ("beagle", "no_such_dog", "pug"), 0)
    assert start.known == {"beagle", "pug"}
    assert hashlib.sha256(path.read_bytes()).hexdigest() in start.origin
    assert torch.equal(start.model.backbone.features[0].weight, net.features[0].weight)
    categories = torchvision().models.SqueezeNet1_1_Weights.DEFAULT.meta["categories"]
    row = [name.lower() for name in categories].index("beagle")
    assert torch.equal(start.model.head.weight[0], net.classifier[1].weight[row].flatten())
    # As the network itself gives them, apart from the ReLU that it puts on its scores.
    batch = torch.from_numpy(images(224, 2))
    with torch.inference_mode():
        assert start.model.eval()(batch).shape == (2, 3)


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "resnet.safetensors"
    save_file(torchvision().models.shufflenet_v2_x0_5().state_dict(), path)
    with pytest.raises(UsageError, match="do not fit the backbone") as caught:
        model.start("squeezenet1_1", str(path), BREEDS, 0)
    assert "--backbone" in caught.value.hint


@pytest.mark.parametrize("value", [[torch.ones(1)], {"state_dict": {"a": torch.ones(1)}}, {"epoch": 3}, torch.ones(1)])
def test_a_file_that_is_no_state_dict(tmp_path: Path, value: object) -> None:
    path = tmp_path / "weights.pth"
    torch.save(value, path)
    with pytest.raises(DogbreedError, match="holds no weights"):
        model.start("squeezenet1_1", str(path), BREEDS, 0)


def test_weights_from_a_run(tmp_path: Path) -> None:
    """A run's head knows its own breeds, so a new training starts from the same answers."""
    first = model.start("squeezenet1_1", "none", BREEDS, 0)
    run = Run.create(tmp_path / "run")
    save_file(model.to_state(first.model), run.path / WEIGHTS)
    run.finish({"labels": list(BREEDS)})
    start = model.start("squeezenet1_1", str(run.path), ("whippet", "beagle", "new"), 9)
    assert start.known == {"whippet", "beagle"}
    assert start.origin == "run run"
    batch = torch.from_numpy(images(224, 2))
    with torch.inference_mode():
        ours, theirs = start.model.eval()(batch), first.model.eval()(batch)
    torch.testing.assert_close(ours[:, :2], theirs[:, [2, 0]])
    (run.path / WEIGHTS).write_bytes(b"changed")
    with pytest.raises(DogbreedError, match="sha256 differs"):
        model.start("squeezenet1_1", str(run.path), BREEDS, 0)


@needs_starter
def test_untrained_for_known_breeds_the_starter_answers_as_it_does_for_all() -> None:
    starter = Run.open(STARTER)
    whole = model.start("starter", "starter", starter.labels, 0)
    some = tuple(sorted(starter.labels)[5:8])
    part = model.start("starter", "starter", some, 1)
    assert part.known == set(some)
    rows = [starter.labels.index(breed) for breed in some]
    batch = torch.from_numpy(images(224, 2))
    with torch.inference_mode():
        torch.testing.assert_close(part.model.eval()(batch), whole.model.eval()(batch)[:, rows])


# -- ImageNet weights, which torchvision downloads


def test_offline_the_error_says_what_works_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    nowhere = address_of_weights("http://127.0.0.1:9/squeezenet-00000000.pth")
    with nowhere, pytest.raises(DogbreedError, match="could not be downloaded") as caught:
        model.start("squeezenet1_1", "imagenet", BREEDS, 0)
    assert "--weights starter" in caught.value.hint


@pytest.mark.parametrize("harm", [False, True])
def test_online_torchvisions_own_loader_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: bool) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    net, buffer = torchvision().models.squeezenet1_1(), io.BytesIO()
    torch.save(net.state_dict(), buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    body = buffer.getvalue() + (b"changed" if harm else b"")
    with serving(body) as address, address_of_weights(f"{address}/squeezenet-{digest[:8]}.pth"):
        if harm:
            with pytest.raises(DogbreedError, match="could not be downloaded: invalid hash"):
                model.start("squeezenet1_1", "imagenet", BREEDS, 0)
            return
        start = model.start("squeezenet1_1", "imagenet", BREEDS, 0)
    assert torch.equal(start.model.backbone.features[0].weight, net.features[0].weight)
    assert start.known == {"beagle", "pug", "whippet"}
    assert "ImageNet" in start.origin


@contextmanager
def serving(body: bytes) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def address_of_weights(url: str) -> Iterator[None]:
    """Let torchvision's weights of squeezenet1_1 lie at another address."""
    weights = torchvision().models.SqueezeNet1_1_Weights.DEFAULT
    kept = weights.value.url
    object.__setattr__(weights.value, "url", url)
    try:
        yield
    finally:
        object.__setattr__(weights.value, "url", kept)
