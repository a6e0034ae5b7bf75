"""What goes into the bucket and comes out: photos once, runs, small files; in parallel, and resumed after a kill.

Photos lie below `data/<digest of the PhotoSet>/` as shards named by their content and an index.json, which is written
last: where it is, everything is. A shard that other photos have brought already is copied inside S3.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from dogbreed.cloud.bucket import DATA
from dogbreed.cloud.errors import is_missing
from dogbreed.cloud.session import Aws
from dogbreed.data import shards
from dogbreed.errors import DogbreedError

if TYPE_CHECKING:
    from dogbreed.data.photoset import PhotoSet

# Called with (bytes done, bytes in all), from one thread at a time.
Progress = Callable[[int, int], None]

# One connection to S3 carries some 50 to 90 MB/s; a shard waits in memory for each.
_AT_ONCE = 8
_PARTS = TransferConfig(max_concurrency=4, multipart_threshold=64 * 2**20, multipart_chunksize=32 * 2**20)


@dataclass(frozen=True, slots=True)
class Stored:
    """An object: its key, size in bytes, and when it was written (seconds since 1970)."""

    key: str
    size: int
    modified: float


@dataclass(frozen=True)
class Uploaded:
    """Photos in the bucket: `uri` is what a training job reads; how many shards and bytes there are and were sent."""

    uri: str
    shards: int
    sent: int
    copied: int
    bytes: int
    bytes_sent: int


class Store:
    """The objects of the project's bucket (or of another one of this account)."""

    def __init__(self, aws: Aws, bucket: str = "") -> None:
        self.aws = aws
        self.bucket = bucket or aws.bucket
        self._s3 = aws.client("s3")
        # A bucket of that name in another account is refused, whatever its policy allows.
        self._owned = {"Bucket": self.bucket, "ExpectedBucketOwner": aws.account}
        self._encrypted = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": aws.kms_key} if aws.kms_key else {}

    def uri(self, key: str) -> str:
        """`s3://BUCKET/KEY`."""
        return f"s3://{self.bucket}/{key}"

    def key(self, uri: str) -> str:
        """The key of an address in this bucket; DogbreedError for any other."""
        start = self.uri("")
        if not uri.startswith(start):
            raise DogbreedError(f"{uri} is not in bucket {self.bucket}", "see: dogbreed runs")
        return uri.removeprefix(start)

    # -- small things

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        return self.notes(key) is not None

    def notes(self, key: str) -> dict[str, str] | None:
        """What was noted when the object was written; None where there is none."""
        try:
            noted: dict[str, str] = self._s3.head_object(**self._owned, Key=key)["Metadata"]
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        return noted

    def put(self, key: str, content: bytes | bytearray, notes: Mapping[str, str] | None = None) -> None:
        """Write an object in one call; S3 checks that its SHA-256 is that of `content`."""
        checksum = base64.b64encode(hashlib.sha256(content).digest()).decode("ascii")
        self._s3.put_object(
            **self._owned,
            **self._encrypted,
            Key=key,
            Body=content,
            ChecksumSHA256=checksum,
            Metadata=dict(notes or {}),
        )

    def get(self, key: str) -> bytes | None:
        """The content of a small object; None where there is none."""
        try:
            content: bytes = self._s3.get_object(**self._owned, Key=key)["Body"].read()
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        return content

    def put_json(self, key: str, value: Any) -> None:
        """Write a JSON value."""
        self.put(key, json.dumps(value, ensure_ascii=False).encode("utf-8"))

    def get_json(self, key: str) -> Any:
        """A JSON value; None where there is none, DogbreedError where it is something else."""
        content = self.get(key)
        try:
            return None if content is None else json.loads(content)
        except ValueError as error:
            raise DogbreedError(f"{self.uri(key)} is no JSON: {error}", "remove it and repeat the command") from error

    def objects(self, prefix: str = "") -> Iterator[Stored]:
        """What lies below a prefix, by key."""
        for page in self._s3.get_paginator("list_objects_v2").paginate(**self._owned, Prefix=prefix):
            for item in page.get("Contents", ()):
                yield Stored(item["Key"], item["Size"], item["LastModified"].timestamp())

    def folders(self, prefix: str) -> Iterator[str]:
        """The names right below a prefix that have something below them, as folders have."""
        for page in self._s3.get_paginator("list_objects_v2").paginate(**self._owned, Prefix=prefix, Delimiter="/"):
            for item in page.get("CommonPrefixes", ()):
                yield item["Prefix"].removeprefix(prefix).rstrip("/")

    # -- folders

    def upload(self, folder: Path, prefix: str, *, progress: Progress | None = None) -> int:
        """Send every file below `folder` to below `prefix`; the bytes sent."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        sizes = {path: path.stat().st_size for path in files}

        def send(path: Path) -> int:
            key = prefix + path.relative_to(folder).as_posix()
            extra = {"ExpectedBucketOwner": self.aws.account, "ChecksumAlgorithm": "SHA256", **self._encrypted}
            self._s3.upload_file(str(path), self.bucket, key, ExtraArgs=extra, Config=_PARTS)
            return sizes[path]

        return _in_parallel(send, files, sum(sizes.values()), progress)

    def download(self, prefix: str, folder: Path, *, progress: Progress | None = None) -> list[Path]:
        """Fetch everything below `prefix` into `folder`, but for files that are there and neither older nor of
        another size; a file appears whole or not at all. Raises DogbreedError for a key that is no name of a file.
        """
        found = [(item, _inside(folder, item.key.removeprefix(prefix))) for item in self.objects(prefix)]
        # Some programs mark folders by empty objects with a slash at the end.
        found = [(item, path) for item, path in found if not item.key.endswith("/")]
        todo = [(item, path) for item, path in found if not _is_here(item, path)]

        def fetch(one: tuple[Stored, Path]) -> int:
            item, path = one
            path.parent.mkdir(parents=True, exist_ok=True)
            extra = {"ExpectedBucketOwner": self.aws.account}
            self._s3.download_file(self.bucket, item.key, str(path), ExtraArgs=extra, Config=_PARTS)
            return item.size

        try:
            _in_parallel(fetch, todo, sum(item.size for item, _ in todo), progress)
        except OSError as error:
            raise DogbreedError(f"{folder}: {error.strerror or error}", "check the disk's space") from error
        return [path for _, path in found]

    # -- photos

    def upload_photos(self, photos: PhotoSet, *, progress: Progress | None = None) -> Uploaded:
        """Send the shards that are not there; a second time one call finds that nothing is to be done.

        Raises DogbreedError when a photo has changed since it was read.
        """
        prefix = f"{DATA}{photos.digest()}/"
        noted = self.notes(prefix + shards.INDEX)
        # Without the notes, as when somebody has copied the bucket, it is looked at anew; nothing is sent twice either.
        if noted and {"shards", "bytes"} <= noted.keys():
            return Uploaded(self.uri(prefix), int(noted["shards"]), 0, 0, int(noted["bytes"]), 0)
        wanted = shards.plan(photos)
        total = sum(shard.size for shard in wanted)
        there = {item.key: item.size for item in self.objects(DATA)}
        elsewhere = {(key.rsplit("/", 1)[-1], size): key for key, size in there.items()}
        missing = [shard for shard in wanted if there.get(prefix + shard.name) != shard.size]
        copies = [shard for shard in missing if (shard.name, shard.size) in elsewhere]
        sends = [shard for shard in missing if (shard.name, shard.size) not in elsewhere]

        def bring(shard: shards.Shard) -> int:
            source = elsewhere.get((shard.name, shard.size))
            if source:
                self._copy(source, prefix + shard.name)
            else:
                self.put(prefix + shard.name, shard.pack())
            return shard.size

        bytes_missing = sum(shard.size for shard in missing)
        _in_parallel(bring, [*copies, *sends], bytes_missing, progress)
        notes = {"shards": str(len(wanted)), "bytes": str(total)}
        self.put(prefix + shards.INDEX, shards.index(photos, wanted), notes)
        sent = sum(shard.size for shard in sends)
        return Uploaded(self.uri(prefix), len(wanted), len(sends), len(copies), total, sent)

    def _copy(self, source: str, target: str) -> None:
        self._s3.copy_object(
            **self._owned,
            **self._encrypted,
            Key=target,
            CopySource={"Bucket": self.bucket, "Key": source},
            ExpectedSourceBucketOwner=self.aws.account,
        )


def _in_parallel(work: Callable[[Any], int], items: Sequence[Any], total: int, progress: Progress | None) -> int:
    """Do `work` for all items, a few at once; the first error ends what has not begun. The sum of what `work` gave."""
    lock = threading.Lock()
    done = 0

    def one(item: Any) -> None:
        nonlocal done
        amount = work(item)
        with lock:
            done += amount
            if progress:
                progress(done, total)

    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        futures = [pool.submit(one, item) for item in items]
        for future in wait(futures, return_when=FIRST_EXCEPTION).done:
            future.result()
    finally:
        # Also on Ctrl-C: what has begun is let end, the rest is not begun.
        pool.shutdown(wait=True, cancel_futures=True)
    return done


def _inside(folder: Path, name: str) -> Path:
    """Where an object goes; nobody's key leads out of the folder."""
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name or ":" in name:
        raise DogbreedError(
            f"refused to write {name!r}: it leads out of {folder}", "remove that object from the bucket"
        )
    return folder.joinpath(*parts)


def _is_here(item: Stored, path: Path) -> bool:
    try:
        stat = path.stat()
    except OSError:
        return False
    return stat.st_size == item.size and stat.st_mtime >= item.modified
