"""The zips of functions: the front's few files, or the model with all that answers photos; equal content, equal bytes.

What the model's function needs of other packages comes from this interpreter where Lambda's Linux can load it, else
from wheels, fetched once. Files that answering a photo never opens are left out, and modules are compiled beforehand:
a function may not write, so it would compile them at every start.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import dogbreed
from dogbreed.cloud.bucket import CODE
from dogbreed.cloud.serving import function_packages
from dogbreed.cloud.storage import Store
from dogbreed.data.cache import cache_dir, write_atomically
from dogbreed.errors import DogbreedError
from dogbreed.plan import Found, Resource
from dogbreed.run import MODEL, ONNX, Run

FILE = "function.zip"
# AWS's limit of all files unpacked.
UNPACKED_MB = 250
_ROOT = Path(dogbreed.__file__).parent
_BOTH = ("__init__", "errors", "serve/__init__", "serve/asked", "serve/problems", "serve/lambda_event")
_FRONT = ("serve/lambda_front",)
_ALONE = (
    *("processors", "run", "serve/parts", "serve/lambda_handler", "infer/__init__", "infer/answering", "infer/photo"),
    *("infer/predictor", "infer/preprocess", "infer/session", "infer/sources"),
)
# Where the model's files lie in the zip.
_MODEL_FOLDER = "model"
_KEPT = 4  # zips in the cache
_LEVEL = 4  # half the time of zlib's usual 6, and 3 % larger
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can name
_COMPILE = """
import compileall, py_compile, sys
ok = compileall.compile_dir(sys.argv[1], quiet=2, stripdir=sys.argv[1], prependdir="/var/task",
                            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
sys.exit(0 if ok else 1)
"""


@dataclass(frozen=True)
class Zip:
    """A function's code, the `runtime` that it is for, and the word for Lambda where its handler is."""

    data: bytes
    runtime: str
    handler: str

    @property
    def sha256(self) -> str:
        """As Lambda gives it: base64."""
        return base64.b64encode(hashlib.sha256(self.data).digest()).decode("ascii")

    @property
    def key(self) -> str:
        """Its place in the bucket."""
        return f"{CODE}{hashlib.sha256(self.data).hexdigest()[:32]}/{FILE}"


class Code(Resource):
    """A zip in the bucket, from where Lambda takes what is too large to be sent with a call."""

    kind = "code"
    keep = "goes with the bucket"

    def __init__(self, store: Store, code: Zip) -> None:
        self._store, self._code = store, code
        self.name = code.key

    def find(self) -> Found | None:
        """Whether the very same is there."""
        return Found(self._store.uri(self.name), {}) if self._store.exists(self.name) else None

    def create(self) -> None:
        """Upload it."""
        self._store.put(self.name, self._code.data)

    def delete(self, found: Found) -> None:
        """Goes with the bucket; the version before may need it."""


def front() -> Zip:
    """The function in front of an endpoint: standard library and the boto3 that Lambda has."""
    runtime = function_packages.NEWEST
    return Zip(_zipped(dict(_own((*_BOTH, *_FRONT)))), f"python{runtime}", "dogbreed.serve.lambda_front.handler")


def alone(run: Run, *, here: bool = False) -> Zip:
    """The function that holds the model of `run`; `here`: it will run on this machine's own Python (the stand-in).

    DogbreedError for a model that makes it larger than Lambda takes, or where a package cannot be had.
    """
    chosen = function_packages.choose(here=here)
    files = dict(_own((*_BOTH, *_ALONE)))
    files |= {f"{_MODEL_FOLDER}/{MODEL}": (run.path / MODEL).read_bytes(), f"{_MODEL_FOLDER}/{ONNX}": run.read(ONNX)}
    files |= chosen.files
    size = _unpacked(files) / 2**20
    if size > UNPACKED_MB:
        raise DogbreedError(
            f"the function would be {size:.0f} MB, more than the {UNPACKED_MB} MB that Lambda takes",
            "train with --half or a smaller --backbone, or deploy --to serverless",
        )
    return Zip(_cached(files, chosen.python), f"python{chosen.python}", "dogbreed.serve.lambda_handler.handler")


def _unpacked(files: Mapping[str, bytes]) -> int:
    """Bytes in Lambda, about: each module is compiled beside itself."""
    return sum(len(content) * (2 if name.endswith(".py") else 1) for name, content in files.items())


def _own(names: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        yield f"dogbreed/{name}.py", (_ROOT / f"{name}.py").read_bytes()


def _cached(files: Mapping[str, bytes], python: str) -> bytes:
    """The zip of `files` with compiled modules, made once: packing a hundred megabytes takes seconds."""
    parts = (f"{name} {hashlib.sha256(content).hexdigest()}" for name, content in sorted(files.items()))
    digest = hashlib.sha256("\n".join([python, _COMPILE, *parts]).encode()).hexdigest()[:32]
    path = cache_dir() / "functions" / f"{digest}.zip"
    if path.is_file():
        path.touch()
        return path.read_bytes()
    data = _zipped({**files, **_compiled(files, python)})
    write_atomically(path, data)
    for old in sorted(path.parent.glob("*.zip"), key=lambda one: one.stat().st_mtime)[:-_KEPT]:
        old.unlink(missing_ok=True)
    return data


def _compiled(files: Mapping[str, bytes], python: str) -> dict[str, bytes]:
    """The modules as `python` compiles them; nothing where this interpreter is another version."""
    if python != function_packages.PYTHON:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, content in files.items():
            if name.endswith(".py"):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(content)
        # In a process of its own and with a fixed seed, so that the bytes do not depend on what runs here.
        command = [sys.executable, "-c", _COMPILE, folder]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment = {**kept, "PYTHONHASHSEED": "0"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            raise DogbreedError(f"the function's code cannot be compiled: {done.stderr[-300:]}", "is dogbreed whole?")
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.pyc")}


def _zipped(files: Mapping[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            # Readable for everyone: the function is another user.
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            packed.writestr(entry, content, compresslevel=_LEVEL)
    return raw.getvalue()
