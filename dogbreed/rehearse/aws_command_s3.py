"""`aws s3 cp|sync|ls|rm|mb` for the machines of the stand-in, with the rules of AWS CLI 2 for names and times."""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boto3.exceptions import Boto3Error
from boto3.s3.transfer import S3Transfer
from botocore.exceptions import BotoCoreError, ClientError

from dogbreed.rehearse.aws_command import MisuseError, say

_S3 = "s3://"
_AT_ONCE = 8


@dataclass(frozen=True)
class File:
    """A file or an object: its name below the source, where it is, bytes, and seconds since 1970."""

    name: str
    place: str
    size: int
    when: float


def run(words: list[str], s3: Any) -> int:
    """Run a subcommand; 0, or 1 where something failed."""
    commands = {"cp": _copy, "sync": _sync, "ls": _list, "rm": _remove, "mb": _make}
    if words[0] not in commands:
        raise MisuseError(f"aws: [ERROR]: argument subcommand: Found invalid choice '{words[0]}'")
    return commands[words[0]](_told(words), s3)


def _told(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"aws s3 {words[0]}", exit_on_error=False, add_help=False, allow_abbrev=False)
    parser.add_argument("paths", nargs="*")
    for name in ("quiet", "only-show-errors", "no-progress", "recursive", "dryrun", "delete", "size-only"):
        parser.add_argument(f"--{name}", action="store_true")
    for name in ("exact-timestamps", "human-readable", "summarize", "no-follow-symlinks", "force"):
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--sse", nargs="?", const="AES256")
    for name in ("sse-kms-key-id", "storage-class", "content-type", "acl", "expected-size", "cache-control"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--exclude", dest="filters", action="append", type=lambda text: (False, text), default=[])
    parser.add_argument("--include", dest="filters", action="append", type=lambda text: (True, text))
    try:
        told, unknown = parser.parse_known_intermixed_args(words[1:])
    except argparse.ArgumentError as error:
        raise MisuseError(f"aws: [ERROR]: {error}") from error
    if unknown:
        raise MisuseError(f"aws: [ERROR]: Unknown options: {','.join(unknown)}")
    return told


# -- cp and sync


def _copy(told: argparse.Namespace, s3: Any) -> int:
    source, target = _two(told)
    if "-" in (source, target):
        return _stream(source, target, told, s3)
    if told.recursive:
        return _all(told, s3, _wanted(_files(source, s3), told), source, target)
    if source.startswith(_S3):
        bucket, key = _split(source)
        try:
            head = s3.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            why = f'Key "{key}" does not exist' if code == "404" else error.response["Error"]["Message"]
            say(f"fatal error: An error occurred ({code}) when calling the HeadObject operation: {why}\n", 2)
            return 1
        file = File(key.rpartition("/")[2], source, head["ContentLength"], head["LastModified"].timestamp())
    elif not Path(source).is_file():
        say(f"\nThe user-provided path {source} does not exist.\n", 2)
        return 255
    else:
        file = File(Path(source).name, source, Path(source).stat().st_size, Path(source).stat().st_mtime)
    bucket_only = target.startswith(_S3) and not _split(target)[1]
    if not bucket_only and not target.endswith("/") and (target.startswith(_S3) or not Path(target).is_dir()):
        return _report(_one(told, s3, file, target))
    return _report(_one(told, s3, file, f"{target.rstrip('/')}/{file.name}"))


def _sync(told: argparse.Namespace, s3: Any) -> int:
    source, target = _two(told)
    if not source.startswith(_S3) and not Path(source).is_dir():
        say(f"\nThe user-provided path {source} does not exist.\n", 2)
        return 255
    there = {file.name: file for file in _files(target, s3)}
    here = list(_wanted(_files(source, s3), told))
    code = _all(told, s3, (file for file in here if _differs(file, there.get(file.name), target, told)), source, target)
    if told.delete:
        names = {file.name for file in here}
        for file in _wanted((file for file in there.values() if file.name not in names), told):
            _delete(file.place, told, s3)
    return code


def _differs(file: File, other: File | None, target: str, told: argparse.Namespace) -> bool:
    """Whether sync copies `file` where `other` is, by size and time; a download gives the file its object's time."""
    if other is None or other.size != file.size:
        return True
    if told.size_only:
        return False
    newer = int(file.when) - int(other.when)
    if target.startswith(_S3):
        return newer > 0
    return newer != 0 if told.exact_timestamps else newer < 0


def _all(told: argparse.Namespace, s3: Any, files: Any, source: str, target: str) -> int:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        results = pool.map(lambda file: _one(told, s3, file, f"{target.rstrip('/')}/{file.name}"), files)
        return max((_report(result) for result in results), default=0)


def _one(told: argparse.Namespace, s3: Any, file: File, target: str) -> tuple[str, str]:
    """Copy one; what to say, and the error or ''."""
    up, down = target.startswith(_S3), file.place.startswith(_S3)
    verb = "copy" if up and down else "upload" if up else "download"
    words = f"{_shown(file.place)} to {_shown(target)}"
    if told.dryrun:
        return f"(dryrun) {verb}: {words}", ""
    try:
        if up and down:
            bucket, key = _split(target)
            from_bucket, from_key = _split(file.place)
            source = {"Bucket": from_bucket, "Key": from_key}
            s3.copy_object(Bucket=bucket, Key=key, CopySource=source, **_extra(told))
        elif up:
            bucket, key = _split(target)
            S3Transfer(s3).upload_file(file.place, bucket, key, extra_args=_extra(told))
        else:
            bucket, key = _split(file.place)
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            S3Transfer(s3).download_file(bucket, key, target)
            os.utime(target, (file.when, file.when))
    except (ClientError, BotoCoreError, Boto3Error, OSError) as error:
        return f"{verb} failed: {words} {error}", str(error)
    return ("" if told.quiet or told.only_show_errors else f"{verb}: {words}"), ""


def _report(result: tuple[str, str]) -> int:
    words, error = result
    if words:
        say(f"{words}\n", 2 if error else 1)
    return 1 if error else 0


def _stream(source: str, target: str, told: argparse.Namespace, s3: Any) -> int:
    try:
        if source == "-":
            bucket, key = _split(target)
            s3.put_object(Bucket=bucket, Key=key, Body=sys.stdin.buffer.read(), **_extra(told))
        else:
            bucket, key = _split(source)
            for chunk in s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(1 << 20):
                say(chunk)
    except ClientError as error:
        verb, words = ("upload", f"- to {target}") if source == "-" else ("download", f"{source} to -")
        say(f"{verb} failed: {words} {error}\n", 2)
        return 1
    return 0


def _extra(told: argparse.Namespace) -> dict[str, str]:
    given = {
        "ServerSideEncryption": told.sse,
        "SSEKMSKeyId": told.sse_kms_key_id,
        "StorageClass": told.storage_class,
        "ContentType": told.content_type,
        "CacheControl": told.cache_control,
    }
    return {name: value for name, value in given.items() if value}


# -- ls, rm, mb


def _list(told: argparse.Namespace, s3: Any) -> int:
    if not told.paths:
        for bucket in s3.list_buckets()["Buckets"]:
            say(f"{bucket['CreationDate']:%Y-%m-%d %H:%M:%S} {bucket['Name']}\n")
        return 0
    bucket, prefix = _split(told.paths[0])
    told_s3 = {"Bucket": bucket, "Prefix": prefix} | ({} if told.recursive else {"Delimiter": "/"})
    count = size = 0
    cut = 0 if told.recursive else prefix.rfind("/") + 1
    for page in s3.get_paginator("list_objects_v2").paginate(**told_s3):
        for common in page.get("CommonPrefixes", []):
            say(f"{'PRE':>30} {common['Prefix'][cut:]}\n")
            count += 1
        for found in page.get("Contents", []):
            local = found["LastModified"].astimezone()
            say(f"{local:%Y-%m-%d %H:%M:%S} {found['Size']:>10} {found['Key'][cut:]}\n")
            count, size = count + 1, size + found["Size"]
    if told.summarize:
        say(f"\nTotal Objects: {count}\n   Total Size: {size}\n")
    return 0 if count or not prefix else 1


def _remove(told: argparse.Namespace, s3: Any) -> int:
    if not told.paths:
        raise MisuseError("aws: [ERROR]: the following arguments are required: paths")
    if not told.recursive:
        _delete(told.paths[0], told, s3)
        return 0
    for file in _wanted(_files(told.paths[0], s3), told):
        _delete(file.place, told, s3)
    return 0


def _delete(place: str, told: argparse.Namespace, s3: Any) -> None:
    if not told.dryrun:
        if place.startswith(_S3):
            bucket, key = _split(place)
            s3.delete_object(Bucket=bucket, Key=key)
        else:
            Path(place).unlink(missing_ok=True)
    if not (told.quiet or told.only_show_errors):
        say(f"{'(dryrun) ' if told.dryrun else ''}delete: {_shown(place)}\n")


def _make(told: argparse.Namespace, s3: Any) -> int:
    bucket = _split(told.paths[0])[0]
    region = s3.meta.region_name
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    s3.create_bucket(Bucket=bucket, **place)
    say(f"make_bucket: {bucket}\n")
    return 0


# -- names


def _two(told: argparse.Namespace) -> tuple[str, str]:
    if len(told.paths) != 2:
        raise MisuseError("aws: [ERROR]: the following arguments are required: paths")
    source, target = told.paths
    if not source.startswith(_S3) and not target.startswith(_S3):
        raise MisuseError(
            "aws: [ERROR]: Invalid argument type: usage: aws s3 <LocalPath> <S3Uri> or <S3Uri> <LocalPath>"
        )
    return source, target


def _split(place: str) -> tuple[str, str]:
    bucket, _, key = place.removeprefix(_S3).partition("/")
    return bucket, key


def _shown(place: str) -> str:
    if place.startswith(_S3):
        return place
    shown = os.path.relpath(place)
    return shown if shown.startswith(("..", "/")) else f"./{shown}"


def _files(root: str, s3: Any) -> Iterator[File]:
    """All below a folder or a prefix."""
    if not root.startswith(_S3):
        for path in sorted(Path(root).rglob("*")):
            if path.is_file():
                found = path.stat()
                yield File(path.relative_to(root).as_posix(), os.fspath(path), found.st_size, found.st_mtime)
        return
    bucket, prefix = _split(root)
    prefix = f"{prefix.rstrip('/')}/" if prefix else ""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for found in page.get("Contents", []):
            if (name := found["Key"].removeprefix(prefix)) and not name.endswith("/"):
                yield File(name, f"{_S3}{bucket}/{found['Key']}", found["Size"], found["LastModified"].timestamp())


def _wanted(files: Iterator[File], told: argparse.Namespace) -> Iterator[File]:
    """Those that the last filter that fits does not exclude."""
    for file in files:
        fits = [keep for keep, pattern in told.filters or [] if fnmatch.fnmatchcase(file.name, pattern)]
        if not fits or fits[-1]:
            yield file
