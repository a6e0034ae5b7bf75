"""Training jobs on the stand-in's SageMaker, as tests begin and watch them: the command, its calls, its logs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import processes
from program import dogbreed
from standin import until

from dogbreed.cloud import remote
from dogbreed.cloud.session import Aws
from dogbreed.cloud.training_sagemaker import SageMaker
from dogbreed.config import AwsSettings
from dogbreed.rehearse.state import Server

HEAD = ("--epochs", 5, "--batch-size", 8, "--lr", 0.01)
# Long enough for something to happen in its middle.
FINETUNE = ("--method", "finetune", "--backbone", "shufflenet_v2_x0_5", "--weights", "none", *HEAD[2:], "--epochs", 4)
MACHINES = ("--instances", 2, "--instance-type", "ml.m5.xlarge", "--yes")
# Jobs of two machines share this machine's cores with everything else.
PATIENCE_S = 400
SPOT = ("--spot", "--max-usd", 2)


def train(photos: Path, *words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return dogbreed("train-sagemaker", photos, *MACHINES, *words, cwd=cwd, timeout=PATIENCE_S)


@contextmanager
def launching(photos: Path, *words: object, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """The command while it runs, in a process group of its own, which is gone afterwards."""
    command = [sys.executable, "-m", "dogbreed", "train-sagemaker", photos, *MACHINES, *words]
    with subprocess.Popen(
        [str(word) for word in command], cwd=cwd, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as launcher:
        try:
            yield launcher
        finally:
            if launcher.poll() is None:
                os.killpg(launcher.pid, signal.SIGKILL)


def first_run() -> str:
    """The name of the run whose job comes up."""
    job = until(lambda: boto3.client("sagemaker").list_training_jobs()["TrainingJobSummaries"], PATIENCE_S)[0]
    return str(job["TrainingJobName"]).removeprefix("dogbreed-").removesuffix("-1")


def launched(photos: Path, *words: object, cwd: Path) -> str:
    result = train(photos, *words, "--detach", cwd=cwd)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def describe(run: str, attempt: int = 1) -> dict[str, Any]:
    return dict(boto3.client("sagemaker").describe_training_job(TrainingJobName=f"dogbreed-{run}-{attempt}"))


def events(run: str) -> list[dict[str, Any]]:
    """What the workers have told so far."""
    aws = Aws(AwsSettings())
    lines = [line.text for line in SageMaker(aws).logs(remote.find(aws, run), follow=False) if line]
    return [json.loads(line) for line in lines if line.startswith('{"event"')]


def epochs(run: str) -> list[int]:
    return [event["epoch"] for event in events(run) if event["event"] == "epoch"]


def until_epoch(run: str, epoch: int) -> None:
    until(lambda: epoch in epochs(run), PATIENCE_S)


@contextmanager
def standing_still(run: str) -> Iterator[None]:
    """The job's processes wait meanwhile: on a slow machine it would be over before a command has reached it."""
    with processes.standing_still(lambda: processes.having(f"TRAINING_JOB_NAME=dogbreed-{run}-")):
        yield


def ended(run: str, attempt: int = 1) -> dict[str, Any]:
    def over() -> dict[str, Any] | None:
        job = describe(run, attempt)
        return None if job["TrainingJobStatus"] in ("InProgress", "Stopping") else job

    return dict(until(over, PATIENCE_S))


def weights(run: str, cwd: Path) -> bytes:
    return (cwd / "runs" / run / "model.safetensors").read_bytes()


def changed(account: Server, *actions: str) -> list[dict[str, Any]]:
    return [call for call in account.ask("calls") if call["action"] in actions]
