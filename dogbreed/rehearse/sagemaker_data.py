"""What goes into a job's hosts and comes out: channels, checkpoints while it runs, and artifacts at its end."""

from __future__ import annotations

import json
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

_AT_ONCE = 8
_SYNC_EVERY_S = 0.5


class DataError(Exception):
    """Data that could not be brought in or out; the words are those of a failure reason."""


def split(uri: str) -> tuple[str, str]:
    """Bucket and key of an `s3://` address."""
    place = urlsplit(uri)
    return place.netloc, place.path[1:]


def fetch(s3: Any, channel: dict[str, Any], folder: Path, host: int, hosts: int) -> None:
    """Bring the files of a channel that are for one host into a folder. Raises DataError."""
    source = channel["DataSource"]["S3DataSource"]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        found = sorted(_objects(s3, source))
        if source.get("S3DataDistributionType") == "ShardedByS3Key":
            found = found[host::hosts]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda one: _download(s3, folder, *one), found))
    except (ClientError, BotoCoreError) as error:
        raise DataError(f"ClientError: Data download failed:{_said(error)}") from error


def fetch_all(s3: Any, uri: str, folder: Path) -> None:
    """Bring everything below an address into a folder. Raises DataError."""
    folder.mkdir(parents=True, exist_ok=True)
    bucket, prefix = split(uri)
    try:
        for key, name in list(_below(s3, bucket, prefix)):
            _download(s3, folder, name, bucket, key)
    except (ClientError, BotoCoreError) as error:
        raise DataError(f"ClientError: Checkpoint download failed:{_said(error)}") from error


def pack(folders: list[Path], target: Path) -> bool:
    """Put the files below several folders into one archive, the first folder's winning; whether there were any."""
    files = {
        path.relative_to(folder): path
        for folder in reversed(folders)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    with tarfile.open(target, "w:gz", compresslevel=1) as archive:
        for name, path in sorted(files.items()):
            archive.add(path, str(name))
    return bool(files)


def upload(s3: Any, path: Path, uri: str, key: str) -> None:
    """Put a file, or all files below a folder, at an address, encrypted with a KMS key if one is given."""
    bucket, name = split(uri)
    extra = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key} if key else {}
    files = [(path, name)]
    if path.is_dir():
        files = [(one, f"{name}{one.relative_to(path)}") for one in sorted(path.rglob("*")) if one.is_file()]
    try:
        for file, target in files:
            s3.upload_file(str(file), bucket, target, ExtraArgs=extra)
    except (ClientError, BotoCoreError) as error:
        raise DataError(f"ClientError: Artifact upload failed:{_said(error)}") from error
    except Exception as error:
        if type(error).__name__ != "S3UploadFailedError":
            raise
        raise DataError(f"ClientError: Artifact upload failed:{error}") from error


class CheckpointSync(threading.Thread):
    """Keeps an address in S3 like the checkpoint folders of the hosts, while they run and once more at the end."""

    def __init__(self, s3: Any, uri: str, folders: list[Path]) -> None:
        super().__init__(daemon=True)
        self._s3 = s3
        self._bucket, self._prefix = split(uri.rstrip("/") + "/")
        self._folders = folders
        self._sent: dict[Path, tuple[int, int, int]] = {}
        self._over = threading.Event()
        for folder in folders:
            self._sent |= dict(self._state(folder))

    def run(self) -> None:
        """Look again and again."""
        while not self._over.wait(_SYNC_EVERY_S):
            self._send()

    def finish(self) -> None:
        """Send what is left and end."""
        self._over.set()
        self.join()
        self._send()

    def _send(self) -> None:
        for folder in self._folders:
            for path, state in self._state(folder):
                if self._sent.get(path) == state:
                    continue
                # What cannot be sent, or is gone again, is looked at the next time.
                with suppress(OSError, ClientError, BotoCoreError):
                    key = self._prefix + path.relative_to(folder).as_posix()
                    self._s3.put_object(Bucket=self._bucket, Key=key, Body=path.read_bytes())
                    self._sent[path] = state

    def _state(self, folder: Path) -> Iterator[tuple[Path, tuple[int, int, int]]]:
        paths: list[Path] = []
        with suppress(OSError):  # a folder goes while it is looked through: the next time, then
            paths = sorted(folder.rglob("*"))
        for path in paths:
            with suppress(OSError):
                if path.is_file() and not path.is_symlink():
                    stat = path.stat()
                    yield path, (stat.st_size, stat.st_mtime_ns, stat.st_ino)


def _objects(s3: Any, source: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Name below the channel's folder, bucket and key of each object of a channel."""
    bucket, key = split(source["S3Uri"])
    if source.get("S3DataType") == "ManifestFile":
        first, *names = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        bucket, prefix = split(first["prefix"])
        yield from ((name, bucket, prefix + name) for name in names)
    elif source.get("S3DataType", "S3Prefix") == "S3Prefix":
        yield from ((name, bucket, key) for key, name in _below(s3, bucket, key))
    else:
        raise DataError(f"ClientError: the stand-in does not read channels of type {source['S3DataType']}")


def _below(s3: Any, bucket: str, prefix: str) -> Iterator[tuple[str, str]]:
    """Key, and its part below the prefix's last folder, of each object whose key begins with `prefix`."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", []):
            key = entry["Key"]
            whole = prefix.endswith("/") or key.startswith(prefix + "/") or not prefix
            cut = len(prefix) if whole else prefix.rfind("/") + 1
            if not key.endswith("/"):
                yield key, key[cut:].lstrip("/")


def _download(s3: Any, folder: Path, name: str, bucket: str, key: str) -> None:
    target = (folder / name).resolve()
    if not target.is_relative_to(folder.resolve()):
        raise DataError(f"ClientError: Data download failed:the key {key} leads out of its folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        for piece in s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(1 << 20):
            file.write(piece)


def _said(error: ClientError | BotoCoreError) -> str:
    if isinstance(error, ClientError):
        told = error.response["Error"]
        return f"{told.get('Code', '')}: {told.get('Message', '')}"
    return str(error)
