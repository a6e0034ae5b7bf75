"""The zips of functions: small, whole, the same bytes again, and good for Lambda's Linux."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from photos import save

from dogbreed.cloud.serving import function_code, function_need, function_packages
from dogbreed.cloud.serving.function_code import Zip
from dogbreed.errors import DogbreedError
from dogbreed.run import STARTER, Run

# What a photo of any kind takes, from the zip alone: no package of this machine, no connection, nothing written.
ANSWERS = """
import base64, json, os, sys
root, photos = sys.argv[1], sys.argv[2:]
sys.path.insert(0, root)
os.environ["LAMBDA_TASK_ROOT"] = root
def hook(event, args):
    if event.startswith(("socket.connect", "socket.getaddrinfo")) or event == "open" and args[1] in ("w", "wb", "a"):
        raise RuntimeError(f"{event} {args}")
sys.addaudithook(hook)
from dogbreed.serve.lambda_handler import handler
class Context:
    aws_request_id = "1"
    def get_remaining_time_in_millis(self):
        return 30000
told = []
for name in photos:
    data = base64.b64encode(open(name, "rb").read()).decode()
    told.append(handler({"body": data, "isBase64Encoded": True}, Context())["statusCode"])
files = [getattr(one, "__file__", None) or "" for one in sys.modules.values()]
places = {file for file in files if "site-packages" in file}
print(json.dumps([told, sorted(places), "dogbreed.infer.fetch" in sys.modules]))
"""
KINDS = ("jpg", "png", "webp", "gif", "bmp", "tiff")


@pytest.fixture(scope="module")
def alone() -> Zip:
    return function_code.alone(Run.open(STARTER), here=True)


def names(code: Zip) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(code.data)) as packed:
        return packed.namelist()


def test_it_answers_every_kind_of_photo_with_nothing_but_the_zip(alone: Zip, tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(alone.data)) as packed:
        packed.extractall(tmp_path / "task")
    for number, kind in enumerate(KINDS):
        save(tmp_path / f"photo.{kind}", number)
    command = [sys.executable, "-I", "-S", "-c", ANSWERS, str(tmp_path / "task")]
    photos = [str(tmp_path / f"photo.{kind}") for kind in KINDS]
    done = subprocess.run([*command, *photos], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[200] * len(KINDS), [], False]


def test_it_is_within_lambdas_limits_and_holds_nothing_for_elsewhere(alone: Zip) -> None:
    with zipfile.ZipFile(io.BytesIO(alone.data)) as packed:
        size = sum(one.file_size for one in packed.infolist())
        modes = {one.external_attr >> 16 & 0o444 for one in packed.infolist()}
    assert size < function_code.UNPACKED_MB * 2**20 / 2
    assert modes == {0o444}
    tops = {name.split("/")[0] for name in names(alone)}
    packages = {"numpy", "numpy.libs", "onnxruntime", "PIL", "pillow.libs", "python_multipart"}
    assert tops == {"dogbreed", "model", *packages}
    assert not [name for name in names(alone) if "/tests/" in name or name.endswith((".pyi", ".h", ".a"))]
    own = {name.split("/")[1] for name in names(alone) if name.startswith("dogbreed/") and name.count("/") > 1}
    assert own == {"serve", "infer", "__pycache__"}


def test_the_same_content_is_the_same_bytes_whoever_packs_it(alone: Zip, tmp_path: Path) -> None:
    code = "from dogbreed.cloud.serving import function_code as f; from dogbreed.run import STARTER, Run\n"
    code += "print(f.alone(Run.open(STARTER), here=True).sha256, f.front().sha256)"
    environment = {"PYTHONHASHSEED": "7", "DOGBREED_CACHE_DIR": str(tmp_path), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [alone.sha256, function_code.front().sha256]


def test_the_front_is_a_few_files(alone: Zip) -> None:
    code = function_code.front()
    assert len(code.data) < 50_000
    assert all(name.startswith("dogbreed/") and name.endswith(".py") for name in names(code))
    assert not [name for name in names(code) if "infer" in name or "lambda_handler" in name]


def test_a_model_that_lambda_cannot_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(function_code, "UNPACKED_MB", 20)
    with pytest.raises(DogbreedError, match="more than the 20 MB") as raised:
        function_code.alone(Run.open(STARTER), here=True)
    assert "serverless" in raised.value.hint


@pytest.mark.parametrize(
    ("tag", "version"),
    [
        ("cp313-cp313-manylinux_2_28_x86_64", (2, 28)),
        ("cp311-cp311-manylinux2014_x86_64", (2, 17)),
        ("py3-none-any", (0, 0)),
        ("cp311-cp311-musllinux_1_2_x86_64", None),
        ("cp311-cp311-manylinux_2_28_aarch64", None),
        ("cp311-cp311-macosx_11_0_arm64", None),
    ],
)
def test_which_wheels_lambda_can_load(tag: str, version: tuple[int, int] | None) -> None:
    assert function_packages.libc_of(tag) == version


def test_packages_that_fit_no_runtime_are_fetched_and_without_a_network_it_is_said_how(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As on a Mac; the tests' network is this machine."""
    monkeypatch.setenv("DOGBREED_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(function_packages, "_loads", lambda package: False)
    with pytest.raises(DogbreedError, match="could not be fetched") as raised:
        function_packages.choose()
    assert "network" in raised.value.hint


def test_wheels_of_the_cache_are_unpacked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def wheel(pinned: str, python: str) -> Path:
        path = tmp_path / f"{pinned}.whl"
        with zipfile.ZipFile(path, "w") as packed:
            for name in ("__init__.py", "tests/test_x.py", "x.pyi"):
                packed.writestr(f"{pinned.split('==', maxsplit=1)[0]}/{name}", b"")
        return path

    monkeypatch.setattr(function_packages, "_loads", lambda package: False)
    monkeypatch.setattr(function_packages, "_wheel", wheel)
    found = function_packages.choose()
    # Of this Python's version where Lambda's Linux for that is new enough.
    assert found.python == ("3.13" if sys.version_info < (3, 12) else function_packages.PYTHON)
    assert sorted(found.files) == [
        "numpy/__init__.py",
        "onnxruntime/__init__.py",
        "pillow/__init__.py",
        "python-multipart/__init__.py",
    ]


def test_what_a_model_needs_is_measured_in_another_process() -> None:
    need = function_need.measured(Run.open(STARTER))
    assert 50 < need.peak_mb < 1000
    assert need.load_s > 0
    assert need.photo_s > 0


def test_a_model_that_does_not_answer(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text((STARTER / "model.json").read_text())
    with pytest.raises(DogbreedError, match="does not answer here"):
        function_need.measured(Run.open(tmp_path))
