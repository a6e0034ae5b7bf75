"""The Run: a folder with a trained model and everything that says what it is.

`model.json` names the labels in order, the preprocessing, the metrics, the settings and the data that made the model,
and the sha256 of every other file, so that a changed byte is noticed. No pickle is ever written or read.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dogbreed.errors import DogbreedError, UsageError

FORMAT = 1
RUNS = Path("runs")
STARTER = Path(__file__).parent / "starter"
MODEL, WEIGHTS, ONNX, METRICS = "model.json", "model.safetensors", "model.onnx", "metrics.jsonl"
LATEST = "latest"
# What a machine elsewhere found out while training (see `dogbreed.train.finish`), and all that is brought home from it.
# No finished Run lists a file with this suffix.
LEFT = "trained.tmp"
BROUGHT_HOME = (WEIGHTS, METRICS, LEFT)


@dataclass(frozen=True)
class Run:
    """A Run's folder; `info` is the content of its model.json, empty until training has ended."""

    path: Path
    info: Mapping[str, Any]

    @classmethod
    def create(cls, folder: Path | None = None) -> Run:
        """A new, empty Run: `folder`, or one named by date and chance in ./runs."""
        path = folder or RUNS / new_name()
        try:
            path.mkdir(parents=True, exist_ok=True)
            probe = path / ".writable.tmp"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise DogbreedError(f"cannot write to {path}: {error.strerror}", "give another folder by --out") from error
        return cls(path, {})

    @classmethod
    def open(cls, path: Path) -> Run:
        """The finished Run in `path`; DogbreedError when there is none or it is of a newer format."""
        try:
            info = json.loads((path / MODEL).read_text(encoding="utf-8"))
            newer = info["format"] > FORMAT
            changed = not newer and info.get("sha256") != sealed(info)["sha256"]
        except FileNotFoundError:
            unfinished = (path / "job.json").is_file()
            hint = f"dogbreed train --resume {path}" if unfinished else "see dogbreed runs"
            raise DogbreedError(f"{path} is no finished run", hint) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DogbreedError(
                f"{path / MODEL} cannot be read: {error}", "train again, or fetch the run anew"
            ) from error
        if newer:
            raise DogbreedError(f"{path} was written by a newer dogbreed", "pip install --upgrade dogbreed")
        if changed:
            raise DogbreedError(
                f"{path / MODEL} has been changed since it was written (sha256 differs)",
                "train again, or fetch the run anew",
            )
        return cls(path, info)

    @property
    def name(self) -> str:
        """What people call it: the folder's name, or `starter`."""
        return self.path.name

    @property
    def labels(self) -> tuple[str, ...]:
        """The breeds in the order of the model's outputs."""
        return tuple(self.info["labels"])

    def read(self, name: str) -> bytes:
        """The bytes of a file of the Run; DogbreedError when it is not what model.json says."""
        expected = self.info["files"].get(name)
        try:
            data = (self.path / name).read_bytes()
        except OSError as error:
            raise DogbreedError(
                f"{self.path / name}: {error.strerror}", "train again, or fetch the run anew"
            ) from error
        if hashlib.sha256(data).hexdigest() != expected:
            raise DogbreedError(
                f"{self.path / name} is not the file that model.json describes (sha256 differs)",
                "it was changed or damaged: train again, or fetch the run anew",
            )
        return data

    def finish(self, info: Mapping[str, Any]) -> Run:
        """Write model.json with the sha256 of every file of the model; the Run is complete only with it."""
        names = sorted(p.name for p in self.path.iterdir() if p.is_file() and p.suffix not in (".json", ".log", ".tmp"))
        full = {"format": FORMAT, **info, "files": {name: _sha256(self.path / name) for name in names}}
        complete = sealed(full)
        write_atomically(self.path / MODEL, (json.dumps(complete, indent=2, ensure_ascii=False) + "\n").encode())
        return Run(self.path, complete)


def sealed(info: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a model.json with its own sha256, which `Run.open` checks."""
    content = {key: value for key, value in json.loads(json.dumps(info)).items() if key != "sha256"}
    return {**content, "sha256": hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}


def new_name() -> str:
    """A name for a run, by date and chance."""
    import secrets  # here, since predictions need not wait for it

    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def find(name: str = "") -> Run:
    """The Run that is meant: a folder, a name in ./runs, latest, starter; "" is the newest Run, else the starter."""
    if name == "starter":
        return Run.open(STARTER)
    if name in ("", LATEST):
        newest = max(finished(), key=_age_key, default=None)
        if newest is None and name == LATEST:
            raise DogbreedError(f"no finished run in {RUNS}", "dogbreed train --instances 2")
        return Run.open(newest or STARTER)
    for path in (Path(name), RUNS / name):
        if path.is_dir():
            return Run.open(path)
    raise UsageError(f"there is no run {name}", "see dogbreed runs")


def finished(root: Path = RUNS) -> list[Path]:
    """The folders of all finished Runs below `root`, oldest first."""
    return sorted((path.parent for path in root.glob(f"*/{MODEL}")), key=_age_key)


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` so that `path` holds the old or the new content whole, whatever interrupts."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise DogbreedError(
            f"cannot write {path}: {error.strerror}", "free some space or choose another folder"
        ) from error


def _age_key(path: Path) -> tuple[float, str]:
    return ((path / MODEL).stat().st_mtime, path.name)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
