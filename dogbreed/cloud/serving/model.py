"""The Run as SageMaker and machines fetch it: model.tar.gz in the bucket, the same bytes for the same Run."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile

from dogbreed.cloud.bucket import MODELS
from dogbreed.cloud.session import Aws
from dogbreed.cloud.storage import Store
from dogbreed.plan import Found, Resource
from dogbreed.run import MODEL, ONNX, Run

FILE = "model.tar.gz"
# Where SageMaker unpacks it.
FOLDER = "/opt/ml/model"


class ModelData(Resource):
    """The files of a Run that predicting takes, at the root of a tar: model.json and model.onnx."""

    kind = "model data"
    keep = "goes with the bucket"

    def __init__(self, aws: Aws, run: Run) -> None:
        self._aws, self._run = aws, run
        self.digest = digest(run)
        self.key = f"{MODELS}{self.digest}/{FILE}"
        self.name = self.key

    @property
    def uri(self) -> str:
        """`s3://BUCKET/models/<digest>/model.tar.gz`."""
        return f"s3://{self._aws.bucket}/{self.key}"

    def find(self) -> Found | None:
        """Whether it is in the bucket; the key names the content."""
        return Found(self.uri, {}) if Store(self._aws).exists(self.key) else None

    def create(self) -> None:
        """Upload it; DogbreedError for a Run whose files are not what its model.json says."""
        Store(self._aws).put(self.key, pack(self._run))

    def delete(self, found: Found) -> None:
        """Goes with the bucket: a rollback, or another door, may need it."""


def digest(run: Run) -> str:
    """16 hexadecimal digits of the SHA-256 of model.json, which itself names the SHA-256 of every other file."""
    return hashlib.sha256((run.path / MODEL).read_bytes()).hexdigest()[:16]


def pack(run: Run) -> bytes:
    """model.tar.gz; equal Runs give equal bytes."""
    raw = io.BytesIO()
    # Level 1: weights hardly shrink.
    packed = gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1, mtime=0, filename="")
    with packed, tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in ((MODEL, (run.path / MODEL).read_bytes()), (ONNX, run.read(ONNX))):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return raw.getvalue()
