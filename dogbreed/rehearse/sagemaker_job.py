"""What SageMaker knows about one training job: its request, its states with their times, and what it cost."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

# Words of the transitions, as AWS says them.
_WORDS = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Interrupted": "Training job interrupted. Waiting for spot capacity",
    "Restarting": "Restarting the training job",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job wait time exceeded MaxWaitTimeInSeconds provided",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
}
_END = {
    "Completed": "Completed",
    "Failed": "Failed",
    "Stopped": "Stopped",
    "MaxRuntimeExceeded": "Stopped",
    "MaxWaitTimeExceeded": "Stopped",
}
_REASON = 1024  # characters of a failure reason at most
# What spot capacity costs here as a share of the full price; the real one changes by the hour.
SPOT_PRICE = 0.3


def now() -> datetime:
    """The time, as SageMaker keeps it."""
    return datetime.now(UTC)


@dataclass
class Job:
    """A training job; `request` as it was created."""

    request: dict[str, Any]
    region: str
    account: str
    created: datetime = field(default_factory=now)
    status: str = "InProgress"
    secondary: str = ""
    failure: str = ""
    transitions: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    started: datetime | None = None
    ended: datetime | None = None
    changed: datetime = field(default_factory=now)
    trained_s: float = 0.0
    artifacts: str = ""
    attempts: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    interrupted: threading.Event = field(default_factory=threading.Event)
    abandoned: threading.Event = field(default_factory=threading.Event)  # the stand-in itself ends
    lock: threading.RLock = field(default_factory=threading.RLock)
    keep_alive_s: int = 0
    reused_by: str = ""

    def __post_init__(self) -> None:
        self.tags = {tag["Key"]: tag["Value"] for tag in self.request.get("Tags", [])}
        self.keep_alive_s = self.resources.get("KeepAlivePeriodInSeconds", 0)

    @property
    def name(self) -> str:
        """Its name, unique in region and account."""
        return str(self.request["TrainingJobName"])

    @property
    def arn(self) -> str:
        """Its ARN."""
        return f"arn:aws:sagemaker:{self.region}:{self.account}:training-job/{self.name}"

    @property
    def resources(self) -> dict[str, Any]:
        """The part of the request that says which instances."""
        return dict(self.request.get("ResourceConfig", {}))

    @property
    def spot(self) -> bool:
        """Whether it runs on spot capacity."""
        return bool(self.request.get("EnableManagedSpotTraining"))

    @property
    def over(self) -> bool:
        """Whether it has come to an end."""
        return self.status in ("Completed", "Failed", "Stopped")

    def enter(self, secondary: str, words: str = "") -> None:
        """Go on to a secondary status; the last one also sets the status."""
        with self.lock:
            if self.over:
                return
            time = now()
            if self.transitions:
                self.transitions[-1].setdefault("EndTime", time)
            said = words or _WORDS[secondary]
            self.transitions.append({"Status": secondary, "StartTime": time, "StatusMessage": said})
            self.secondary, self.changed = secondary, time
            self.status = _END.get(secondary) or ("Stopping" if secondary == "Stopping" else self.status)
            if self.over:
                self.transitions[-1]["EndTime"] = time
                self.ended = time

    def fail(self, reason: str) -> None:
        """End it as failed."""
        with self.lock:
            if not self.over:
                self.failure = reason[:_REASON]
                self.enter("Failed")

    @property
    def warm_pool(self) -> dict[str, Any] | None:
        """What became of the instances that were to be kept, None where none were."""
        if "KeepAlivePeriodInSeconds" not in self.resources:
            return None
        kept = (self.ended or now()) + timedelta(seconds=self.keep_alive_s)
        if not self.over:
            return {"Status": "InUse"}
        passed = int((min(now(), kept) - (self.ended or now())).total_seconds())
        if self.reused_by:
            return {"Status": "Reused", "ResourceRetainedBillableTimeInSeconds": passed, "ReusedByJob": self.reused_by}
        state = "Available" if now() < kept else "Terminated"
        return {"Status": state, "ResourceRetainedBillableTimeInSeconds": passed}

    def summary(self) -> dict[str, Any]:
        """What a list of jobs shows."""
        shown: dict[str, Any] = {
            "TrainingJobName": self.name,
            "TrainingJobArn": self.arn,
            "CreationTime": self.created,
            "TrainingEndTime": self.ended,
            "LastModifiedTime": self.changed,
            "TrainingJobStatus": self.status,
            "SecondaryStatus": self.secondary,
            "WarmPoolStatus": self.warm_pool,
        }
        return {name: value for name, value in shown.items() if value is not None}

    def describe(self) -> dict[str, Any]:
        """All that DescribeTrainingJob shows."""
        with self.lock:
            shown = {name: value for name, value in self.request.items() if name != "Tags"}
            for name in _FLAGS:
                shown.setdefault(name, False)
            shown |= self.summary() | {"SecondaryStatusTransitions": list(self.transitions)}
            shown["FinalMetricDataList"] = list(self.metrics.values())
            if self.artifacts:
                shown["ModelArtifacts"] = {"S3ModelArtifacts": self.artifacts}
            if self.failure:
                shown["FailureReason"] = self.failure
            if self.started:
                shown["TrainingStartTime"] = self.started
            if self.over:
                seconds = max(1, round(self.trained_s)) if self.started else 0
                shown["TrainingTimeInSeconds"] = seconds
                shown["BillableTimeInSeconds"] = round(seconds * SPOT_PRICE) if self.spot else seconds
            return shown


_FLAGS = ("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining")
