"""Builds of the stand-in that are real: by buildah, on a base image of this machine that REHEARSE_IMAGE_BASE names.

What is pushed stays what `images_dockerfile` makes; beside it the whole image is held by buildah, under the digest of
that, and `root` is its file system, mounted. Everything else about buildah (where it keeps images, how it isolates) is
said by buildah's own variables.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

BASE = "REHEARSE_IMAGE_BASE"
# What of the stand-in's environment a build gets.
VARIABLES = (BASE, "CONTAINERS_STORAGE_CONF", "STORAGE_DRIVER", "BUILDAH_ISOLATION")
_mounted: dict[str, Path] = {}
_lock = threading.Lock()


def build(folder: Path, digest: str) -> int:
    """Build `folder`, saying what buildah says; its exit code."""
    words = ["--layers", "--format", "docker", "--pull-never", "--build-arg", f"BASE={os.environ[BASE]}"]
    return subprocess.run(["buildah", "build", *words, "--tag", _name(digest), folder], check=False).returncode


def root(digest: str) -> Path | None:
    """Where the file system of the image of `digest` is; None where builds are not real, or it was not built here."""
    if not os.environ.get(BASE):
        return None
    with _lock:
        if digest not in _mounted:
            made = _buildah("from", "--pull-never", _name(digest))
            if not made:
                return None
            _mounted[digest] = Path(_buildah("mount", made))
        return _mounted[digest]


def settings(digest: str) -> dict[str, Any]:
    """What the image of `digest` says of itself and has from its base: Env, Entrypoint, User, WorkingDir ..."""
    told: dict[str, Any] = json.loads(_buildah("inspect", "--type", "image", _name(digest)))
    return dict(told["Docker"]["config"])


def end() -> None:
    """Give up what was mounted."""
    with _lock:
        for digest in _mounted:
            _buildah("rm", f"{_name(digest).removeprefix('localhost/')}-working-container")
        _mounted.clear()


def _name(digest: str) -> str:
    return f"localhost/rehearse-{digest.removeprefix('sha256:')[:16]}"


def _buildah(*words: str) -> str:
    return subprocess.run(["buildah", *words], capture_output=True, text=True, check=False).stdout.strip()
