"""Which files of a working tree are worth reading, told by their content: the names only save opening photos."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from dogbreed.audit.finding import BrokenInput, Location

# A dump of 5,000 roles is 40 MB.
LARGEST = 256 * 2**20
# Beyond this, only JSON is read.
LARGEST_TEXT = 8 * 2**20
_SKIPPED_FOLDERS = {
    "node_modules",
    "__pycache__",
    "site-packages",
    "venv",
    "build",
    "dist",
    "target",
    "htmlcov",
}
# Hidden folders are tools' own, but for these.
_SEEN_HIDDEN = {".github", ".aws", ".iam", ".cloudformation", ".infra"}
_NEVER = re.compile(
    r"\.(?:jpe?g|png|gif|bmp|webp|tiff?|svg|ico|pdf|zip|gz|tgz|bz2|xz|zst|7z|tar|whl|so|dll|exe|o|a|class|jar|pyc|bin|"
    r"pt|pth|onnx|safetensors|npy|npz|pkl|pickle|h5|parquet|arrow|tfrecord|mp[34]|wav|avi|mov|ttf|woff2?|db|sqlite\w*|"
    r"py|pyi|ipynb|md|rst|html?|css|[jt]sx?|mjs|cjs|go|rs|c|h|cc|cpp|hpp|java|kt|rb|php|sh|bash|lock|csv|tsv|log|xml|"
    r"docx?|xlsx?|pptx?|map|tfvars|patch|diff|sarif)$",
    re.IGNORECASE,
)
_JSON_MARK = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:[\[{]|%7[Bb])")
_WIDE = (b"\xff\xfe", b"\xfe\xff")
_YAML_MARK = re.compile(rb"AWS::|AWSTemplateFormatVersion|^\s*[\"']?Statement[\"']?\s*:", re.MULTILINE)
_HEAD = 4096


def shown(path: Path) -> str:
    """How a file is called in a report: relative to the working folder where it is below it, with slashes."""
    try:
        return path.absolute().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.as_posix()


def find(paths: Iterable[Path], errors: list[BrokenInput]) -> Iterator[tuple[Path, bool]]:
    """Every file to read, once, in a fixed order, and whether it was named; what is not there goes to `errors`."""
    seen: set[tuple[int, int]] = set()
    for path in paths:
        files: Iterable[tuple[Path, bool]]
        if path.is_dir():
            files = ((file, False) for file in _walk(path))
        elif path.exists():
            files = [(path, True)]
        else:
            errors.append(BrokenInput(Location(shown(path)), "there is no such file or folder"))
            continue
        for file, named in files:
            try:
                status = file.stat()
            except OSError:
                # A link to nowhere is no input.
                continue
            if (status.st_dev, status.st_ino) in seen or not file.is_file():
                continue
            seen.add((status.st_dev, status.st_ino))
            yield file, named


def _walk(folder: Path) -> Iterator[Path]:
    """The files below a folder, links to folders not followed."""
    for at, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if _enter(Path(at), name))
        for name in sorted(files):
            if not _NEVER.search(name):
                yield Path(at) / name


def _enter(at: Path, name: str) -> bool:
    if name in _SKIPPED_FOLDERS or (name.startswith(".") and name not in _SEEN_HIDDEN):
        return False
    return not (at / name / "pyvenv.cfg").exists()


def kind(path: Path, named: bool) -> str:
    """What a file seems to hold: json, yaml, hcl, settings, or "" for what is not audited; raises OSError."""
    if path.suffix in (".tf", ".tofu"):
        return "hcl"
    if path.name == "dogbreed.toml":
        return "settings"
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEAD)
        if head[:2] in _WIDE:
            head = head.decode("utf-16", errors="ignore").encode()
        elif b"\0" in head:
            return ""
        if _JSON_MARK.match(head):
            return "json" if size <= LARGEST else ""
        if size > LARGEST_TEXT or path.suffix == ".toml":
            return ""
        yaml = path.suffix in (".yaml", ".yml") and named
        return "yaml" if yaml or _YAML_MARK.search(head) or _YAML_MARK.search(file.read()) else ""
