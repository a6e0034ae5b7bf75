"""What travels to a machine is the same for the same content, and is all that a machine needs."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from dogbreed.cloud import payload
from dogbreed.config import TrainSettings
from dogbreed.errors import DogbreedError


def unpacked(folder: Path, settings: TrainSettings) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(payload.pack(settings).data)) as tar:
        tar.extractall(folder, filter="data")
        return tar.getnames()


def test_the_same_content_is_the_same_bytes_wherever_it_is_packed(tmp_path: Path) -> None:
    settings = TrainSettings()
    first = payload.pack(settings)
    assert payload.pack(settings) == first
    assert first.key == f"code/{first.sha256[:32]}/code.tar.gz"
    assert payload.pack(TrainSettings(backbone="resnet18", weights="none")).sha256 != first.sha256


def test_it_is_all_that_the_worker_needs_and_little_more(tmp_path: Path) -> None:
    names = unpacked(tmp_path, TrainSettings(weights="none", backbone="resnet18"))
    assert not [name for name in names if name.startswith(("dogbreed/cli", "dogbreed/audit", "dogbreed/starter"))]
    # As on a machine: the code of this folder, and of all installed packages none that may be missing there.
    missing = ("onnx", "onnxruntime", "pydantic", "typer", "rich", "boto3", "botocore", "sagemaker")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
for name in {missing!r}:
    sys.modules[name] = None
import dogbreed, dogbreed.train.host
print(dogbreed.__file__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "dogbreed" / "__init__.py")


@pytest.mark.skipif(sys.platform != "linux", reason="what travels is for Linux")
def test_safetensors_travels_along(tmp_path: Path) -> None:
    unpacked(tmp_path, TrainSettings())
    # Without any installed package.
    code = f"import sys; sys.path.append({str(tmp_path / 'vendor')!r}); import safetensors; print(safetensors.__file__)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(tmp_path / "vendor" / "safetensors" / "__init__.py"), done.stderr


def test_other_weights_travel_as_a_file_or_a_run(tmp_path: Path) -> None:
    weights, run = tmp_path / "w.safetensors", tmp_path / "old-run"
    weights.write_bytes(b"weights")
    run.mkdir()
    for name in ("model.json", "model.safetensors"):
        (run / name).write_text(name)
    assert "weights/w.safetensors" in unpacked(tmp_path / "1", TrainSettings(weights=str(weights)))
    names = unpacked(tmp_path / "2", TrainSettings(weights=str(run)))
    assert {"weights/old-run/model.json", "weights/old-run/model.safetensors"} <= set(names)
    assert not [name for name in names if name.startswith("dogbreed/starter")]
    with pytest.raises(DogbreedError, match="gone"):
        payload.pack(TrainSettings(weights=str(tmp_path / "gone.pth")))


def test_where_no_wheel_can_be_had_the_error_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOGBREED_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(DogbreedError, match=r"safetensors .* for Linux on riscv64 could not be fetched") as caught:
        payload.pack(TrainSettings(), machine="riscv64")
    assert "pip download" in caught.value.hint
