"""The service as people start it: another process on a free port of this machine, ended with the test."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from photos import picture


def jpeg(number: int = 0, size: tuple[int, int] = (320, 240)) -> bytes:
    """The bytes of a drawn photo."""
    buffer = io.BytesIO()
    picture(number, size).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


@dataclass
class Service:
    process: subprocess.Popen[str]
    url: str
    log: Path

    def lines(self) -> list[dict[str, object]]:
        """What it has logged so far; a line that is only half written is left for the next look."""
        whole = [line for line in self.log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [json.loads(line) for line in whole if line.startswith("{")]

    def end(self) -> int:
        """Its exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(300)


@contextmanager
def serving(folder: Path, *words: str) -> Iterator[Service]:
    log = folder / "serve.log"
    command = [sys.executable, "-m", "dogbreed", "serve", "--run", "starter", "--port", "0", "--json", *words]
    with open(log, "w") as stderr:
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=stderr, text=True, env=dict(os.environ)
        )
    assert process.stdout
    try:
        said = ""
        while not said.rstrip().endswith("}"):
            line = process.stdout.readline()
            assert line, log.read_text()
            said += line
        yield Service(process, json.loads(said)["url"], log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()


def post(
    service: Service, data: bytes, kind: str = "image/jpeg", path: str = "/predict", **headers: str
) -> httpx.Response:
    return httpx.post(service.url + path, content=data, headers={"Content-Type": kind, **headers}, timeout=60)
