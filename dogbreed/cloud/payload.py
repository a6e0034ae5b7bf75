"""What travels to a machine, so that nothing is downloaded there: photos, dogbreed's code, missing packages, weights.

Code, packages and weights are one gzipped tar, the same bytes for the same content, kept in the bucket by its digest:
a second run uploads nothing. AWS's training images have torch, torchvision, numpy and Pillow; safetensors travels
along, and is used where the image has none. ONNX is not needed: `dogbreed pull` exports at home.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import importlib.util
import io
import platform
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dogbreed
from dogbreed.cloud.bucket import CODE, DATA
from dogbreed.data import shards
from dogbreed.data.cache import cache_dir
from dogbreed.errors import DogbreedError
from dogbreed.plan import Found, Resource

if TYPE_CHECKING:
    from dogbreed.cloud.storage import Store
    from dogbreed.config import TrainSettings
    from dogbreed.data.photoset import PhotoSet

# The script that torchrun starts on each machine, beside the folder `dogbreed`.
ENTRY = "train.py"
FILE = "code.tar.gz"
_ENTRY_TEXT = b"""import sys
from pathlib import Path

# Last, so that what the image itself has goes before.
sys.path.append(str(Path(__file__).parent / "vendor"))

from dogbreed.train.host import main

if __name__ == "__main__":  # worker processes that read photos import this, too
    sys.exit(main())
"""
# What the worker imports of the package; what it does not, would only change the bytes for nothing.
_TOP = ("__init__.py", "config.py", "errors.py", "processors.py", "run.py", "settings.py")
_FOLDERS = ("data", "evaluate", "infer", "train")
_OF_CLOUD = ("__init__.py", "machine_agent.py", "ec2_machine.py", "ec2_worker.py", "ec2_entry.py")
_VENDORED = "safetensors"
_PACKAGE = Path(dogbreed.__file__).parent
_FAST = 1  # gzip's level: weights hardly shrink, and code is small


@dataclass(frozen=True)
class Payload:
    """The tar's bytes; `sha256` is theirs."""

    data: bytes
    sha256: str

    @property
    def key(self) -> str:
        """Its place in the bucket."""
        return f"{CODE}{self.sha256[:32]}/{FILE}"


class Code(Resource):
    """The payload in the bucket."""

    kind = "code"

    def __init__(self, store: Store, payload: Payload) -> None:
        self._store, self._payload = store, payload
        self.name = payload.sha256[:12]

    def find(self) -> Found | None:
        """Whether the very same is there already."""
        return Found(self._store.uri(self._payload.key), {}) if self._store.exists(self._payload.key) else None

    def create(self) -> None:
        """Upload it."""
        self._store.put(self._payload.key, self._payload.data)

    def delete(self, found: Found) -> None:
        """Goes with the bucket; other runs may use it."""


class Photos(Resource):
    """The photos in the bucket, as shards; `report` is called with (bytes sent, bytes in all)."""

    kind = "photos"

    def __init__(self, store: Store, photos: PhotoSet, report: Callable[[int, int], None] | None = None) -> None:
        self._store, self._photos, self._report = store, photos, report
        self.name = photos.digest()[:12]
        self.prefix = f"{DATA}{photos.digest()}/"
        wanted = shards.plan(photos)
        # Bytes, and the number of shards.
        self.size, self.shards = sum(shard.size for shard in wanted), len(wanted)

    def find(self) -> Found | None:
        """The index is written last: where it is, everything is."""
        key = f"{self.prefix}{shards.INDEX}"
        return Found(self._store.uri(self.prefix), {}) if self._store.exists(key) else None

    def create(self) -> None:
        """Upload what is not there."""
        self._store.upload_photos(self._photos, progress=self._report)

    def delete(self, found: Found) -> None:
        """Goes with the bucket; other runs may use them."""


def pack(settings: TrainSettings, *, machine: str = "x86_64") -> Payload:
    """What a run with these settings needs on machines of the processor type `machine`, such as aarch64.

    Raises DogbreedError where a package for such machines or the starting weights cannot be had here.
    """
    raw = io.BytesIO()
    packed = gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=_FAST, mtime=0, filename="")
    with packed, tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in sorted(_content(settings, machine)):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    data = raw.getvalue()
    return Payload(data, hashlib.sha256(data).hexdigest())


def _content(settings: TrainSettings, machine: str) -> Iterator[tuple[str, bytes]]:
    yield ENTRY, _ENTRY_TEXT
    files = [
        *(_PACKAGE / name for name in _TOP),
        *(path for name in _FOLDERS for path in (_PACKAGE / name).glob("*.py")),
    ]
    files += [_PACKAGE / "cloud" / name for name in _OF_CLOUD if (_PACKAGE / "cloud" / name).is_file()]
    if settings.weights == "starter":
        files += [_PACKAGE / "starter" / name for name in ("model.json", "model.safetensors")]
    yield from ((f"dogbreed/{path.relative_to(_PACKAGE).as_posix()}", path.read_bytes()) for path in files)
    yield from ((f"vendor/{name}", content) for name, content in _safetensors(machine))
    yield from _weights(settings)


def _weights(settings: TrainSettings) -> Iterator[tuple[str, bytes]]:
    """Starting weights that are not the starter's, where the loop finds them under the same name."""
    if settings.weights == "imagenet":
        from dogbreed.train.model import imagenet_file

        path = imagenet_file(settings.backbone)
        yield f"torch/hub/checkpoints/{path.name}", path.read_bytes()
    elif settings.weights not in ("starter", "none"):
        path = Path(settings.weights)
        for file in [path / "model.json", path / "model.safetensors"] if path.is_dir() else [path]:
            try:
                yield f"weights/{file.relative_to(path.parent).as_posix()}", file.read_bytes()
            except OSError as error:
                raise DogbreedError(f"{file}: {error.strerror}", "give other --weights") from error


def _safetensors(machine: str) -> Iterator[tuple[str, bytes]]:
    """The package for Linux on `machine`: the installed one where it fits, else fetched as a wheel and kept."""
    spec = importlib.util.find_spec(_VENDORED)
    folder = Path(spec.origin).parent if spec and spec.origin else None
    fits = sys.platform == "linux" and platform.machine() == machine and platform.libc_ver()[0] == "glibc"
    if folder and fits and list(folder.glob("*.abi3.so")):
        for path in [*folder.glob("*.py"), *folder.glob("*.abi3.so")]:
            yield f"{_VENDORED}/{path.name}", path.read_bytes()
        return
    with zipfile.ZipFile(_wheel(machine)) as wheel:
        for name in wheel.namelist():
            if name.startswith(f"{_VENDORED}/") and not name.endswith("/"):
                yield name, wheel.read(name)


def _wheel(machine: str) -> Path:
    version = importlib.metadata.version(_VENDORED)
    folder = cache_dir() / "wheels" / machine
    command: list[Any] = [sys.executable, "-m", "pip", "download", f"{_VENDORED}=={version}", "--no-deps", "--quiet"]
    command += ["--only-binary=:all:", "--platform", f"manylinux2014_{machine}", "--python-version", "3.11"]
    command += ["--implementation", "cp", "--abi", "abi3", "--disable-pip-version-check", "--dest", folder]
    held = sorted(folder.glob(f"{_VENDORED}-{version}-*.whl"))
    if held:
        return held[-1]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    held = sorted(folder.glob(f"{_VENDORED}-{version}-*.whl"))
    if done.returncode or not held:
        said = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise DogbreedError(
            f"{_VENDORED} {version} for Linux on {machine} could not be fetched: {said}",
            f"with a network: {' '.join(map(str, command))}",
        )
    return held[-1]
