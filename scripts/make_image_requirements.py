"""Writes dogbreed/serve/image/requirements.txt: the packages in the service's image, each version with its digests.

    python scripts/make_image_requirements.py

Asks the package index that pip is set up with for the newest versions that pyproject.toml allows, as wheels for Linux
on both processors and every Python that the image may have; then run the tests of the image.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "dogbreed" / "serve" / "image" / "requirements.txt"
# Of what dogbreed itself asks for, what its service imports; and AWS's runtime client, for Lambda.
BASE = ("rich", "typer", "pydantic", "numpy", "pillow", "onnxruntime")
MORE = ("awslambdaric>=4.2,<5",)
PYTHONS = ("3.12", "3.11", "3.13")  # the first is that of the default base image
PROCESSORS = ("x86_64", "aarch64")
LIBCS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
HEAD = """# The packages of the service's image, made by scripts/make_image_requirements.py.
# Each with the SHA-256 of its wheels for Linux on x86_64 and aarch64, so that what is installed is what was tested.
"""


def wanted() -> list[str]:
    """What the service asks for, as pip takes it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    of_base = [one for one in project["dependencies"] if name(one) in BASE]
    return [*of_base, *project["optional-dependencies"]["serve"], *MORE]


def name(requirement: str) -> str:
    """The name of what is asked for, as package indexes spell it."""
    found = re.match(r"[\w.-]+", requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def resolved(requirements: list[str], python: str, processor: str) -> dict[str, tuple[str, str]]:
    """Name -> version and SHA-256, for one Python on one processor."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        command += ["--only-binary=:all:", "--python-version", python, "--target", folder, "--report", str(report)]
        command += [word for libc in LIBCS for word in ("--platform", f"{libc}_{processor}")]
        subprocess.run([*command, *requirements], check=True)
        found = json.loads(report.read_text(encoding="utf-8"))["install"]
    return {
        name(one["metadata"]["name"]): (
            one["metadata"]["version"],
            one["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for one in found
    }


def main() -> None:
    """Write the file."""
    first = resolved(wanted(), PYTHONS[0], PROCESSORS[0])
    pins = [f"{package}=={version}" for package, (version, _) in first.items()]
    digests: dict[str, list[str]] = {package: [] for package in first}
    for python in PYTHONS:
        for processor in PROCESSORS:
            for package, (_, digest) in resolved([*wanted(), *pins], python, processor).items():
                if package not in digests:
                    raise SystemExit(f"{package} is needed by Python {python} on {processor} only")
                digests[package] = sorted({*digests[package], digest})
    lines = []
    for package in sorted(first):
        hashes = " \\\n".join(f"    --hash=sha256:{digest}" for digest in digests[package])
        lines.append(f"{package}=={first[package][0]} \\\n{hashes}\n")
    TARGET.write_text(HEAD + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
