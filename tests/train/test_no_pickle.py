"""No pickle is ever loaded: it could run code that someone hid in a file of weights."""

from __future__ import annotations

import ast
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

import dogbreed
from dogbreed.data.photoset import PhotoSet
from dogbreed.errors import DogbreedError, UsageError
from dogbreed.train import checkpoint, model
from dogbreed.train.distributed import World

SOURCES = sorted(Path(dogbreed.__file__).parent.rglob("*.py"))
PICKLING = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_module_unpickles(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not PICKLING & {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in PICKLING
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "load":
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if ast.unparse(node.func.value) in ("torch", "torch.jit", "np", "numpy"):
                assert given.get("weights_only") == "True" or given.get("allow_pickle") == "False", ast.unparse(node)


class _Trap:
    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)

    def __init__(self, mark: Path) -> None:
        self.mark = mark


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
@pytest.mark.parametrize("plain", [True, False])
def test_weights_that_would_run_code_are_refused(tmp_path: Path, suffix: str, plain: bool) -> None:
    mark, path = tmp_path / "it ran", tmp_path / f"weights{suffix}"
    if plain:
        path.write_bytes(pickle.dumps(_Trap(mark)))
    else:
        torch.save({"conv.weight": torch.ones(1), "trap": _Trap(mark)}, path)
    with pytest.raises(UsageError, match="holds no weights") as caught:
        model.start("squeezenet1_1", str(path), ("a", "b"), 0)
    assert "state dict" in caught.value.hint
    assert "\n" not in caught.value.message and "weights_only" not in caught.value.message
    assert not mark.exists()


def test_torchvisions_own_cache_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    weights = model.torchvision().models.get_model_weights("resnet18").DEFAULT
    held = tmp_path / "hub" / "checkpoints" / Path(weights.url).name
    held.parent.mkdir(parents=True)
    torch.save({"fc.weight": Trap()}, held)
    with pytest.raises(DogbreedError):
        model.start("resnet18", "imagenet", ("a", "b"), seed=0)
    assert not (tmp_path / "sprung").exists()


def test_checkpoints_are_safetensors(tmp_path: Path, photos: PhotoSet) -> None:
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    progress = checkpoint.Progress(epoch=3, step=2, history=[{"epoch": 1}], efficiency=0.5, seconds=1.5, photos=7)
    checkpoint.write(tmp_path, layer, optimizer, {"weight": torch.ones(2)}, progress)
    with safe_open(tmp_path / checkpoint.FILE, "pt") as file:
        assert any(name.startswith("optimizer.") for name in file.keys())  # noqa: SIM118
    other = torch.nn.Linear(2, 2)
    fresh = torch.optim.AdamW(other.parameters())
    read, best = checkpoint.read(tmp_path, other, fresh, World(0, 1, torch.device("cpu")))
    assert read == progress
    assert torch.equal(best["weight"], torch.ones(2))
    assert torch.equal(other.weight, layer.weight)
    for name, value in optimizer.state_dict()["state"][0].items():
        assert torch.equal(fresh.state_dict()["state"][0][name], value), name
