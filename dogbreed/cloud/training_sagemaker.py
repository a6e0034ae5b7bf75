"""Training jobs of SageMaker: planning one, launching it as a Resource, and how a run that was launched is doing."""

from __future__ import annotations

import io
import math
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from dogbreed.cloud import remote, sagemaker_sdk
from dogbreed.cloud.errors import is_missing
from dogbreed.cloud.network import SecurityGroup, look
from dogbreed.cloud.remote import Attempt, LogLine, RemoteRun, State
from dogbreed.cloud.roles import PROPAGATION_S, is_propagating
from dogbreed.cloud.session import Aws, listed
from dogbreed.cloud.storage import Store
from dogbreed.config import SagemakerSettings
from dogbreed.errors import DogbreedError, UsageError
from dogbreed.launch import ENVIRONMENT
from dogbreed.plan import Found, Resource
from dogbreed.pricing import Prices
from dogbreed.run import BROUGHT_HOME, write_atomically

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
# One copy of the photos is awaited before training where it arrives within this time at this rate, else streamed.
_AWAITED_S, _RATE = 60, 50e6
_SMALLEST_GB, _SPARE_GB = 30, 15
_LOOK_EVERY_S = 2.0
_QUIET_LOOKS = 2  # CloudWatch shows the last lines some seconds after the end
_LAUNCHING_S = 600
# Paid too: between SIGTERM, at the time limit, and the end SageMaker leaves this for a checkpoint and its upload.
ENDING_S = 120
_SHORTEST_S = 60
_STATUS: dict[str, remote.Status] = {
    "Completed": "finished",
    "Failed": "failed",
    "Stopped": "stopped",
    "Stopping": "stopping",
}
_FIGURES = ("train_loss", "valid_loss", "valid_top1", "images_per_second")
_NUMBER = r"([0-9.]+(?:[eE][+-]?[0-9]+)?)"
_METRICS = {name: rf'"event": "epoch".*"{name}": {_NUMBER}' for name in _FIGURES}


@dataclass(frozen=True)
class Mode:
    """How the photos come to a machine: `name` is File or FastFile, `why` is for people."""

    name: str
    why: str


def input_mode(wanted: str, size: int) -> Mode:
    """`wanted`, or with auto the mode that suits `size` bytes."""
    seconds = size / _RATE
    if wanted == "File" or (wanted == "auto" and seconds <= _AWAITED_S):
        return Mode("File", f"copied to each machine before training, about {max(1, math.ceil(seconds))} s")
    if wanted == "auto":
        return Mode("FastFile", f"streamed, since copying would take about {math.ceil(seconds / 60)} min")
    return Mode("FastFile", "streamed while it is unpacked")


def volume_gb(settings: SagemakerSettings, size: int, mode: str) -> int:
    """The disk of each machine in GB: the photos once or, if they are copied, twice, and room for the rest."""
    copies = 2 if mode == "File" else 1
    needed = max(_SMALLEST_GB, math.ceil(copies * size / 1e9) + _SPARE_GB)
    if settings.volume_gb and settings.volume_gb < math.ceil(copies * size / 1e9):
        raise UsageError(f"{settings.volume_gb} GB do not hold the photos", f"use --volume-gb {needed}")
    facts = Prices.load().instance(settings.instance_type)
    wanted = settings.volume_gb or needed
    # A type with a disk of its own takes no other, so no larger volume may be asked for.
    return min(wanted, facts.nvme_gb) if facts and facts.nvme_gb else wanted


def max_seconds(settings: SagemakerSettings, instances: int, price: Decimal | None, spent: Decimal) -> int:
    """How long the job may train: `max_hours`, or less where `max_usd` less what was spent buys less.

    The machines are paid on while they end and in a warm pool, so that time is taken off. Raises UsageError where the
    price is unknown or less than a minute is left.
    """
    seconds = math.floor(settings.max_hours * 3600)
    if not settings.max_usd:
        return seconds
    if price is None:
        raise UsageError(
            f"the price of {settings.instance_type} is not known here, so --max-usd cannot be kept",
            "limit the time instead: --max-hours, or choose a type with a known price",
        )
    left = Decimal(str(settings.max_usd)) - spent
    bought = math.floor(left / (price * instances) * 3600) - settings.keep_alive_minutes * 60 - ENDING_S
    if bought < _SHORTEST_S:
        already = f", and ${spent} are spent already" if spent else ""
        raise UsageError(
            f"--max-usd {settings.max_usd:g} buys less than a minute of training: a checkpoint at the limit may take "
            f"{ENDING_S} s more{already}",
            "give a higher --max-usd",
        )
    return min(seconds, bought)


class TrainingJob(Resource):
    """One attempt of a run. Its files job.json and remote.json are written before it is launched."""

    kind = "training job"

    def __init__(
        self,
        aws: Aws,
        run: RemoteRun,
        settings: SagemakerSettings,
        *,
        job: bytes,
        group: SecurityGroup | None,
        role: str,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._aws, self.run, self._settings, self._tell = aws, run, settings, tell
        self._job, self._group, self._role = job, group, role
        self.name = f"{run.project}-{run.id}-{len(run.attempts) + 1}"

    def find(self) -> Found | None:
        """Whether it was launched."""
        try:
            seen = self._client.describe_training_job(TrainingJobName=self.name)
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        return Found(seen["TrainingJobArn"], {}, state=seen["TrainingJobStatus"])

    def create(self) -> None:
        """Keep what is known of the run, then launch it, waiting for a fresh role to be known everywhere."""
        store = Store(self._aws, self.run.bucket)
        self.run = self.run.with_attempt(Attempt(self.name, remote.now()))
        remote.begin(store, self.run, self._job)
        with remote.launching(store, self.run, self.find):
            self._launch(store)

    def _launch(self, store: Store) -> None:
        deadline = time.monotonic() + PROPAGATION_S
        while True:
            try:
                sagemaker_sdk.create(self._aws, self._request(store), self._tell)
                return
            except ClientError as error:
                # An answer that was lost on its way is repeated by the SDK, and finds the job that it made.
                if "ResourceInUse" in str(error) and self.find():
                    return
                if not is_propagating(error) or time.monotonic() > deadline:
                    raise
                time.sleep(_LOOK_EVERY_S)

    def delete(self, found: Found) -> None:
        """Stop it; SageMaker keeps the record of a job, which costs nothing."""
        SageMaker(self._aws).stop_job(self.name)

    def hourly(self) -> Decimal | None:
        """All machines together, at the full price."""
        price = self.run.price_per_hour
        return None if price is None else Decimal(price) * self.run.instances

    @property
    def _client(self) -> Any:
        return self._aws.client("sagemaker")

    def _request(self, store: Store) -> sagemaker_sdk.Request:
        own, run, key = self._settings, self.run, self._aws.kms_key
        facts = Prices.load().instance(run.instance_type)
        groups = listed(self._aws.settings.security_groups) or ([self._group.id()] if self._group else [])
        several = run.instances > 1
        return sagemaker_sdk.Request(
            name=self.name,
            role=self._role,
            image=run.image,
            code=store.uri(run.code),
            channels={
                "photos": (store.uri(run.data), run.more["mode"]),
                "job": (store.uri(f"{run.prefix}{remote.JOB}"), "File"),
            },
            instance_type=run.instance_type,
            instances=run.instances,
            volume_gb=run.more["volume_gb"],
            # A disk of the machine itself is encrypted by its hardware, and takes no key.
            volume_key="" if facts and facts.nvme_gb else key,
            output=store.uri(f"{run.prefix}output"),
            output_key=key,
            checkpoints=store.uri(run.checkpoints.rstrip("/")),
            max_run_s=run.max_seconds,
            max_wait_s=run.max_seconds + math.floor(own.max_wait_hours * 3600) if run.spot else 0,
            keep_alive_s=own.keep_alive_minutes * 60,
            retries=own.retries,
            subnets=listed(self._aws.settings.subnets),
            security_groups=groups,
            network_isolation=own.network_isolation,
            encrypt_traffic=several if own.encrypt_traffic == "auto" else own.encrypt_traffic == "yes",
            environment=ENVIRONMENT,
            metrics=_METRICS,
            tags=self._aws.tags("training", run.id),
            bucket=run.bucket,
            scripts=f"{run.prefix}scripts".rstrip("/"),
        )


def security_group(aws: Aws) -> SecurityGroup | None:
    """The group to make for jobs in subnets of one's own; None without subnets, or where groups are given."""
    if not listed(aws.settings.subnets) or listed(aws.settings.security_groups):
        return None
    return SecurityGroup(aws, look(aws).vpc)


class SageMaker:
    """The backend of runs that were launched here."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws

    def state(self, run: RemoteRun) -> State:
        """What DescribeTrainingJob says of the newest attempt."""
        attempt = run.last
        if attempt is None:
            return State("launching")
        if not attempt.launched:
            return State(attempt.status, attempt.detail)
        try:
            seen = self._describe(attempt.name)
        except ClientError as error:
            if not is_missing(error):
                raise
            created = datetime.strptime(attempt.created, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
            if (datetime.now(UTC) - created).total_seconds() < _LAUNCHING_S:
                return State("launching")
            return State("failed", "it was never launched")
        started, ended = seen.get("TrainingStartTime"), seen.get("TrainingEndTime")
        seconds = float(seen.get("BillableTimeInSeconds", 0))
        if started and not ended:
            # Not told before the end; of spot capacity at most this.
            seconds = (datetime.now(UTC) - started).total_seconds()
        seconds += seen.get("WarmPoolStatus", {}).get("ResourceRetainedBillableTimeInSeconds", 0)
        status = _STATUS.get(seen["TrainingJobStatus"], "running" if started else "starting")
        return State(status, _detail(seen), started, ended, seconds)

    def logs(self, run: RemoteRun, *, follow: bool) -> Iterator[LogLine | None]:
        """The lines of all attempts, in order; see `remote.Backend`."""
        tokens: dict[str, str] = {}
        quiet = 0
        while True:
            # Asked before reading, so that nothing is missed when it ends in between.
            over = not follow or self.state(run).status in remote.ENDED
            lines = sorted(self._new_lines(run, tokens), key=lambda line: line.time)
            yield from lines
            quiet = 0 if lines else quiet + 1
            if not follow or (over and quiet >= _QUIET_LOOKS):
                return
            if not lines:
                yield None
            time.sleep(_LOOK_EVERY_S)

    def stop(self, run: RemoteRun) -> None:
        """StopTrainingJob: the machines hear of it and have 120 s for a checkpoint."""
        if run.last:
            self.stop_job(run.last.name)

    def stop_job(self, name: str) -> None:
        """Stop a job that has not ended."""
        try:
            if self._describe(name)["TrainingJobStatus"] == "InProgress":
                self._client.stop_training_job(TrainingJobName=name)
        except ClientError as error:
            # It may have ended in between.
            if not is_missing(error) and "ValidationException" not in str(error):
                raise

    def fetch(self, run: RemoteRun, folder: Path) -> None:
        """Out of model.tar.gz: the files that are expected, and nothing else."""
        assert run.last
        seen = self._describe(run.last.name)
        store = Store(self._aws, run.bucket)
        uri = str(seen.get("ModelArtifacts", {}).get("S3ModelArtifacts", ""))
        content = store.get(store.key(uri)) if uri else None
        if content is None:
            raise DogbreedError(f"what {run.id} trained is gone from bucket {run.bucket}", "train again")
        try:
            with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
                for name in BROUGHT_HOME:
                    file = archive.extractfile(name)
                    if file is None:
                        raise KeyError(name)
                    write_atomically(folder / name, file.read())
        except (tarfile.TarError, KeyError, EOFError) as error:
            raise DogbreedError(f"{uri} does not hold a trained run: {error}", "train again") from error

    @property
    def _client(self) -> Any:
        return self._aws.client("sagemaker")

    def _describe(self, name: str) -> dict[str, Any]:
        seen: dict[str, Any] = self._client.describe_training_job(TrainingJobName=name)
        return seen

    def _new_lines(self, run: RemoteRun, tokens: dict[str, str]) -> Iterator[LogLine]:
        for attempt in run.attempts:
            for stream in self._streams(f"{attempt.name}/"):
                host = stream.partition("/")[2].rpartition("-")[0]
                while True:
                    after = {"nextToken": tokens[stream]} if stream in tokens else {}
                    page = self._aws.client("logs").get_log_events(
                        logGroupName=LOG_GROUP, logStreamName=stream, startFromHead=True, **after
                    )
                    for event in page["events"]:
                        yield LogLine(event["timestamp"] / 1000, host, event["message"])
                    # The end is where the same token comes back.
                    if page["nextForwardToken"] == tokens.get(stream):
                        break
                    tokens[stream] = page["nextForwardToken"]

    def _streams(self, prefix: str) -> list[str]:
        pages = self._aws.client("logs").get_paginator("describe_log_streams")
        try:
            return [
                stream["logStreamName"]
                for page in pages.paginate(logGroupName=LOG_GROUP, logStreamNamePrefix=prefix)
                for stream in page["logStreams"]
            ]
        except ClientError as error:
            if is_missing(error):  # the group appears with the first job of an account
                return []
            raise


def _detail(seen: dict[str, Any]) -> str:
    if seen.get("FailureReason"):
        return str(seen["FailureReason"]).strip()
    if seen["TrainingJobStatus"] == "Completed":
        return ""
    if seen["TrainingJobStatus"] == "Stopped":
        return {
            "Stopped": remote.ASKED,
            "MaxRuntimeExceeded": remote.LIMIT,
            "MaxWaitTimeExceeded": "no spot capacity came within the waiting time",
        }.get(seen["SecondaryStatus"], str(seen["SecondaryStatus"]))
    return str(seen.get("SecondaryStatus", ""))
