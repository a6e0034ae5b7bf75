"""Print how long photos take to the bucket, beside `aws s3 sync` of the loose files, on the stand-in cloud.

usage: python tests/benchmarks/bench_upload.py [PHOTOS] [TURNS]

Both are whole processes against the same server, in turn. The photos have been read (`dogbreed data check`) before, as
they are when training begins; what that takes is printed by itself. A first upload goes into an empty bucket.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from dogbreed.rehearse.state import StandIn

FIRST, SECOND = 3.0, 20.0
_UPLOAD = """
import sys, time
from pathlib import Path
from dogbreed.cloud.session import Aws
from dogbreed.cloud.storage import Store
from dogbreed.config import AwsSettings
from dogbreed.data.photoset import read
begun = time.perf_counter()
photos = read(sys.argv[1], valid=0.15, test=0.15, seed=0)
read_s = time.perf_counter() - begun
begun = time.perf_counter()
done = Store(Aws(AwsSettings(bucket=sys.argv[2]))).upload_photos(photos)
print(read_s, time.perf_counter() - begun, done.shards, done.sent, done.bytes_sent)
"""


def draw(folder: Path, count: int) -> int:
    """`count` small drawn photos in folders of breeds; their bytes."""
    chance = np.random.default_rng(0)
    size = 0
    for number in range(count):
        path = folder / f"breed{number % 10}" / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(chance.integers(0, 255, (12, 16, 3)).astype(np.uint8))
        coarse.resize((200, 150), Image.Resampling.BICUBIC).save(path, quality=85)
        size += path.stat().st_size
    return size


def timed(command: list[str]) -> tuple[float, str]:
    """Seconds of the process, and what it printed."""
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command[0]} ended with {done.returncode}: {done.stderr[-500:]}")
    return time.perf_counter() - begun, done.stdout


def bucket(name: str) -> None:
    import boto3

    # Not the default session, which keeps the keys of an earlier stand-in.
    s3 = boto3.session.Session().client("s3")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    turns = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    aws = shutil.which("aws")
    if aws is None:
        sys.exit("there is no `aws` command on the PATH to compare with")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "photos"
        os.environ["DOGBREED_CACHE_DIR"] = f"{name}/cache"
        size = draw(folder, count)
        print(
            f"{count} drawn photos, {size / 1e6:.0f} MB; {subprocess.check_output([aws, '--version'], text=True)}",
            end="",
        )
        times: dict[str, list[float]] = {}
        for turn in range(turns):
            with StandIn() as server:
                os.environ.update(server.environment)
                one(times, aws, folder, turn)
    for what, values in times.items():
        print(f"{what:44s} median {statistics.median(values):7.2f} s of {', '.join(f'{one:.2f}' for one in values)}")
    for what, limit in (("first", FIRST), ("second", SECOND)):
        theirs = times[f"aws s3 sync, {what} time"]
        for mine in (f"upload, {what} time", f"process with reading, {what} time"):
            ratio = statistics.median(a / b for a, b in zip(theirs, times[mine], strict=True))
            print(f"{mine}: {ratio:.1f} times as fast as aws s3 sync (at least {limit:g} for the upload)")


def one(times: dict[str, list[float]], aws: str, folder: Path, turn: int) -> None:
    """One turn of all, each into a bucket of its own."""

    def keep(what: str, seconds: float) -> None:
        times.setdefault(what, []).append(seconds)

    loose, packed = (f"{kind}-{hashlib.sha256(str(turn).encode()).hexdigest()[:8]}" for kind in ("loose", "packed"))
    bucket(loose)
    bucket(packed)
    if not turn:
        _, said = timed([sys.executable, "-c", _UPLOAD, str(folder), packed])
        print(f"reading {folder.name} for the first time, as every training does: {said.split()[0]} s")
        bucket("packed-again")
        packed = "packed-again"
    for what in ("first", "second"):
        keep(
            f"aws s3 sync, {what} time",
            timed([aws, "s3", "sync", "--only-show-errors", str(folder), f"s3://{loose}/"])[0],
        )
        took, said = timed([sys.executable, "-c", _UPLOAD, str(folder), packed])
        _, upload_s, shards, sent, sent_bytes = said.split()
        keep(f"upload, {what} time", float(upload_s))
        keep(f"process with reading, {what} time", took)
        print(f"{what}: {sent} of {shards} shards sent, {int(sent_bytes) / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
