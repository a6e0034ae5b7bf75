"""The lines that a job's hosts print: to CloudWatch Logs, and its metrics out of them to CloudWatch."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from dogbreed.rehearse.sagemaker_job import now

if TYPE_CHECKING:
    from dogbreed.rehearse.cloud import Cloud
    from dogbreed.rehearse.sagemaker_job import Job

GROUP = "/aws/sagemaker/TrainingJobs"
_EVERY_S = 0.3
_LAST_LINES_S = 30.0
_BATCH = 1000
_LINE = 250_000  # bytes of an event at most, less what CloudWatch adds


class Reader(threading.Thread):
    """Reads lines from a named pipe that it makes; `begun` says that the writers have opened it."""

    def __init__(self, pipe: Path, line: Callable[[str], None]) -> None:
        super().__init__(daemon=True)
        self._line = line
        os.mkfifo(pipe)
        self._input = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        # Until a writer is there, the pipe would seem to have ended.
        self._open = os.open(pipe, os.O_WRONLY)
        os.set_blocking(self._input, True)

    def begun(self) -> None:
        """From now on the pipe ends when its last writer has."""
        os.close(self._open)

    def run(self) -> None:
        """Read to the end."""
        with os.fdopen(self._input, encoding="utf-8", errors="replace", newline="\n") as lines:
            for text in lines:
                self._line(text.rstrip("\r\n"))


class Logs(threading.Thread):
    """Sends lines in batches, as the job's role; what it may not send is lost, as with the real one."""

    def __init__(self, cloud: Cloud, job: Job) -> None:
        super().__init__(daemon=True)
        self._job = job
        self._logs = cloud.client("logs", role=job.request["RoleArn"])
        self._metrics = cloud.client("cloudwatch", role=job.request["RoleArn"])
        definitions = job.request["AlgorithmSpecification"].get("MetricDefinitions", [])
        self._patterns = [(one["Name"], re.compile(one["Regex"])) for one in definitions]
        self._lines: list[tuple[str, int, str]] = []
        self._values: list[dict[str, Any]] = []
        self._streams: set[str] = set()
        self._readers: list[Reader] = []
        self._lock = threading.Lock()
        self._over = threading.Event()

    def line(self, stream: str, text: str) -> None:
        """Take one line."""
        found = [(name, match[1]) for name, pattern in self._patterns if (match := pattern.search(text))]
        with self._lock:
            self._lines.append((stream, int(time.time() * 1000), text[:_LINE] or " "))
            for name, value in found:
                with suppress(ValueError):
                    self._note(name, float(value))

    def read(self, pipe: Path, stream: str) -> Reader:
        """Take the lines that come out of a new named pipe, until nobody has it open for writing."""
        reader = Reader(pipe, lambda text: self.line(stream, text))
        reader.start()
        self._readers.append(reader)
        return reader

    def run(self) -> None:
        """Send again and again."""
        while not self._over.wait(_EVERY_S):
            self._send()

    def finish(self) -> None:
        """Send what is left and end."""
        for reader in self._readers:
            reader.join(_LAST_LINES_S)
        self._over.set()
        self.join()
        self._send()

    def _note(self, name: str, value: float) -> None:
        time = now()
        self._job.metrics[name] = {"MetricName": name, "Value": value, "Timestamp": time}
        where = [{"Name": "TrainingJobName", "Value": self._job.name}]
        self._values.append({"MetricName": name, "Value": value, "Timestamp": time, "Dimensions": where})

    def _send(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
            values, self._values = self._values, []
        for stream in dict.fromkeys(stream for stream, _, _ in lines):
            events = [{"timestamp": moment, "message": text} for one, moment, text in lines if one == stream]
            with suppress(ClientError, BotoCoreError):
                self._make(stream)
                for start in range(0, len(events), _BATCH):
                    batch = events[start : start + _BATCH]
                    self._logs.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=batch)
        for start in range(0, len(values), _BATCH):
            with suppress(ClientError, BotoCoreError):
                self._metrics.put_metric_data(Namespace=GROUP, MetricData=values[start : start + _BATCH])

    def _make(self, stream: str) -> None:
        if stream in self._streams:
            return
        for make, name in (
            (self._logs.create_log_group, {}),
            (self._logs.create_log_stream, {"logStreamName": stream}),
        ):
            try:
                make(logGroupName=GROUP, **name)
            except self._logs.exceptions.ResourceAlreadyExistsException:
                continue
        self._streams.add(stream)
