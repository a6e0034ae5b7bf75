"""What the agent on a machine needs of AWS: its metadata, files in S3, logs and metrics, through the `aws` command.

Travels to the machine, where there is no boto3 for certain: standard library only.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from pathlib import Path
from typing import Any

# The address is fixed by AWS; its SDKs read the variable, and so do we.
_IMDS = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
_IMDS_TIMEOUT_S, _IMDS_TRIES, _IMDS_AGAIN_S = 2, 60, 0.2
_TOKEN_S = 21600  # the longest that IMDSv2 gives
_CALL_S, _COPY_S = 60, 1800
# PutLogEvents takes 10,000 events and 1 MiB a call; lines are cut to 256 KB less a margin by AWS, to this by us.
_LINES_A_CALL, _LINE = 1000, 4000
_TAIL = 200  # lines that are kept for who cannot read CloudWatch
_SHIP_EVERY_S = 5.0
NAMESPACE = "dogbreed/training"
_QUIETLY = ("--only-show-errors", "--no-progress")


class CallError(Exception):
    """An `aws` command that ended with an error; the text is its own last line."""


class Metadata:
    """The instance metadata service, version 2."""

    def __init__(self) -> None:
        self._token, self._until = "", 0.0

    def get(self, path: str) -> str:
        """The text at `latest/meta-data/PATH`; "" where there is none or no answer."""
        try:
            return self._ask("GET", f"meta-data/{path}", {"X-aws-ec2-metadata-token": self._fresh_token()})
        except (OSError, ValueError):
            return ""

    def known(self, path: str) -> str:
        """The same of what every machine has, asked again where a busy one answers late; CallError without an answer.

        One that took no answer for its rank would be a second machine of rank 0.
        """
        for _ in range(_IMDS_TRIES):
            if told := self.get(path):
                return told
            time.sleep(_IMDS_AGAIN_S)
        raise CallError(f"the metadata service does not say {path}")

    def interruption(self) -> str:
        """When AWS takes this machine back, as it says; "" while it does not."""
        told = self.get("spot/instance-action")
        try:
            return str(json.loads(told)["time"]) if told else ""
        except (ValueError, KeyError, TypeError):
            return ""

    def _fresh_token(self) -> str:
        if time.monotonic() > self._until:
            self._token = self._ask("PUT", "api/token", {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_S)})
            self._until = time.monotonic() + _TOKEN_S / 2
        return self._token

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> str:
        request = urllib.request.Request(f"{_IMDS}/latest/{path}", method=method, headers=headers)
        # Never through a proxy: the address is this machine's own.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=_IMDS_TIMEOUT_S) as answer:
            return str(answer.read().decode())


def aws(*words: str, timeout: float = _CALL_S) -> str:
    """What an `aws` command prints; CallError when it fails or takes too long."""
    try:
        done = subprocess.run(
            ["aws", *words], capture_output=True, text=True, check=False, timeout=timeout, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CallError(f"aws {words[0]} {words[1]}: {error}") from error
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise CallError((said or [f"aws {words[0]} {words[1]} ended with {done.returncode}"])[-1])
    return done.stdout


class Bucket:
    """Files and folders of the bucket, by their keys; `runs` and `checkpoints` are where this run's own lie."""

    def __init__(self, bucket: str, run: str) -> None:
        self._root, self.runs, self.checkpoints = f"s3://{bucket}", f"runs/{run}", f"checkpoints/{run}"

    def put(self, path: Path, key: str) -> None:
        """Upload a file."""
        aws("s3", "cp", *_QUIETLY, str(path), f"{self._root}/{key}", timeout=_COPY_S)

    def get(self, key: str, path: Path) -> None:
        """Download a file."""
        aws("s3", "cp", *_QUIETLY, f"{self._root}/{key}", str(path), timeout=_COPY_S)

    def add(self, folder: Path, key: str, but: tuple[str, ...] = ()) -> None:
        """Upload what is new in a folder, but for names like those of `but`."""
        excluded = [word for pattern in but for word in ("--exclude", pattern)]
        aws("s3", "sync", *_QUIETLY, *excluded, str(folder), f"{self._root}/{key}", timeout=_COPY_S)

    def fetch(self, key: str, folder: Path) -> None:
        """Make `folder` hold what is below `key`; what it has already is not fetched again."""
        folder.mkdir(parents=True, exist_ok=True)
        aws("s3", "sync", *_QUIETLY, "--exact-timestamps", f"{self._root}/{key}", str(folder), timeout=_COPY_S)


class Telemetry:
    """Lines to CloudWatch Logs and figures to CloudWatch, from a thread; a machine without rights trains on."""

    def __init__(self, group: str, stream: str, run: str, work: Path) -> None:
        self._group, self._stream, self._run = group, stream, run
        self._file, self._metrics = work / "log-events.json", work / "metrics.json"
        self._lines: deque[tuple[int, str]] = deque()
        self.tail: deque[str] = deque(maxlen=_TAIL)
        self._figures: deque[dict[str, Any]] = deque()
        self._broken: set[str] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ship_all, daemon=True)
        self._thread.start()

    def line(self, text: str) -> None:
        """Ship a line of the log."""
        if text.strip():
            self.tail.append(text.rstrip("\n"))
            self._lines.append((int(time.time() * 1000), text.rstrip("\n")[:_LINE]))

    def figures(self, values: dict[str, Any]) -> None:
        """Ship numbers by name."""
        for name, value in values.items():
            if isinstance(value, (int, float)):
                dimensions = [{"Name": "run", "Value": self._run}]
                when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                self._figures.append({"MetricName": name, "Dimensions": dimensions, "Timestamp": when, "Value": value})

    def close(self, wait_s: float = 20) -> None:
        """Ship what is left."""
        self._ended.set()
        self._thread.join(wait_s)

    def _ship_all(self) -> None:
        self._try("logs", "create-log-stream", "--log-group-name", self._group, "--log-stream-name", self._stream)
        while not self._ended.wait(_SHIP_EVERY_S):
            self._ship()
        while self._lines or self._figures:
            self._ship()

    def _ship(self) -> None:
        lines = _taken(self._lines, _LINES_A_CALL)
        if lines:
            self._file.write_text(json.dumps([{"timestamp": when, "message": text} for when, text in lines]))
            names = ("--log-group-name", self._group, "--log-stream-name", self._stream)
            self._try("logs", "put-log-events", *names, "--log-events", f"file://{self._file}")
        figures = _taken(self._figures, _LINES_A_CALL)
        if figures:
            self._metrics.write_text(json.dumps(figures))
            data = ("--metric-data", f"file://{self._metrics}")
            self._try("cloudwatch", "put-metric-data", "--namespace", NAMESPACE, *data)

    def _try(self, service: str, *words: str) -> None:
        """Call once; a service that refuses is asked no more."""
        if service in self._broken:
            return
        try:
            aws(service, *words)
        except CallError as error:
            if "AlreadyExists" in str(error):
                return
            if "AccessDenied" in str(error) or "ResourceNotFound" in str(error):
                self._broken.add(service)


def _taken(queue: deque[Any], most: int) -> list[Any]:
    """At most `most` entries from the left end; the other end may grow meanwhile."""
    taken: list[Any] = []
    while queue and len(taken) < most:
        taken.append(queue.popleft())
    return taken
