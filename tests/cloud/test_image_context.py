"""What the image is built from: the same for everybody, and another tag as soon as one byte is another."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dogbreed.cloud.serving.image_context import Context, context, default_base
from dogbreed.errors import UsageError
from dogbreed.run import STARTER, Run

FILES = st.dictionaries(st.text("abc/.", min_size=1, max_size=8), st.binary(max_size=20), min_size=1, max_size=6)


@given(FILES, st.data())
def test_the_tag_is_that_of_the_names_and_contents_alone(files: dict[str, bytes], data: st.DataObject) -> None:
    names = data.draw(st.permutations(list(files)))
    tag = Context(files).tag
    assert Context({name: files[name] for name in names}).tag == tag
    name = names[0]
    assert Context(files | {name: files[name] + b"x"}).tag != tag
    assert Context({other: content for other, content in files.items() if other != name}).tag != tag
    assert Context(files | {name + "d": b""}).tag != tag


def test_another_process_comes_to_the_same_bytes(tmp_path: Path) -> None:
    code = "import sys; from dogbreed.cloud.serving.image_context import context\n"
    code += "made = context(); sys.stdout.buffer.write(made.tag.encode() + made.zip())"
    elsewhere = {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    said = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=tmp_path, env=environment)
        for environment in (dict(os.environ), os.environ | elsewhere)
    ]
    assert said[0].stdout == said[1].stdout


def test_only_what_serving_takes_is_in_it() -> None:
    names = set(context().files)
    assert {"Dockerfile", "requirements.txt", "dogbreed/serve/app.py", "dogbreed/serve/page/page.html"} <= names
    assert not [name for name in names if "__pycache__" in name or name.endswith((".safetensors", ".onnx"))]
    folders = {name.split("/")[1] for name in names if name.count("/") > 1}
    assert folders == {"cli", "infer", "serve"}


def test_the_service_starts_from_nothing_but_these_files(tmp_path: Path) -> None:
    """Where no other module of the package is to be found."""
    context().write(tmp_path)
    code = f"""
import sys
sys.path.insert(0, {os.fspath(tmp_path)!r})
sys.path[:] = [path for path in sys.path if path != {os.fspath(Path(__file__).parents[2])!r}]
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
import dogbreed
assert dogbreed.__file__.startswith({os.fspath(tmp_path)!r}), dogbreed.__file__
from dogbreed.serve.image import entry
entry.main(["serve", "--help"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "SageMaker's contract" in done.stdout
    code = code.replace('entry.main(["serve", "--help"])', "import dogbreed.serve.server, dogbreed.config")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_zip_holds_the_files_readable_by_all() -> None:
    made = context()
    with zipfile.ZipFile(io.BytesIO(made.zip())) as packed:
        assert {name: packed.read(name) for name in packed.namelist()} == dict(made.files)
        assert {entry.external_attr >> 16 for entry in packed.infolist()} == {0o100644}


def test_a_strict_umask_does_not_get_into_the_image(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        context().write(tmp_path / "made")
    finally:
        os.umask(before)
    for path in (tmp_path / "made").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path


def test_base_version_and_model_are_filled_in() -> None:
    plain, other = context(), context("python:3.13-slim", Run.open(STARTER))
    assert plain.tag != other.tag
    assert f"ARG BASE={default_base()}\n" in plain.files["Dockerfile"].decode()
    assert "ARG BASE=python:3.13-slim\n" in other.files["Dockerfile"].decode()
    assert other.files["model/model.onnx"] == (STARTER / "model.onnx").read_bytes()
    assert [name for name in plain.files if name.startswith("model/")] == ["model/.empty"]


@settings(max_examples=200)
@given(st.text(max_size=40).filter(lambda text: any(sign in text for sign in " \n;$\"'\\#") or text.startswith("-")))
def test_a_base_cannot_bring_in_another_instruction(base: str) -> None:
    with pytest.raises(UsageError, match="is no name of an image"):
        context(base)


@pytest.mark.parametrize(
    "base",
    ["python", "python:3.12", "localhost:5000/a/b:c", f"a.dkr.ecr.eu-west-1.amazonaws.com/x@sha256:{'0' * 64}"],
)
def test_names_of_images_are_taken(base: str) -> None:
    assert f"ARG BASE={base}\n" in context(base).files["Dockerfile"].decode()
