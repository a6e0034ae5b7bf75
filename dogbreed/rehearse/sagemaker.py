"""SageMaker's training jobs, which really run; everything else of SageMaker is moto's."""

from __future__ import annotations

import fnmatch
import threading
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse import tagging
from dogbreed.rehearse.calls import PASS, AwsError, Passed, between, page
from dogbreed.rehearse.sagemaker_job import Job
from dogbreed.rehearse.sagemaker_rules import check, invalid, name_is_taken
from dogbreed.rehearse.sagemaker_run import GRACE_S, Run
from dogbreed.rehearse.sagemaker_search import fits
from dogbreed.rehearse.sandbox import missing

if TYPE_CHECKING:
    from collections.abc import Callable

    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud

_PAGE = 10
_END_S = 30.0
# Where a job may be interrupted: it has spot capacity.
_HAS_CAPACITY = ("Downloading", "Training")


class Training:
    """The training jobs of an account, by region and name."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._jobs: dict[tuple[str, str], Job] = {}
        self._threads: list[threading.Thread] = []
        self._grace_s = GRACE_S
        self._lock = threading.Lock()

    # -- operations

    def create(self, call: Call) -> dict[str, Any]:
        """CreateTrainingJob: refuse it, or start it."""
        job = Job(dict(call.params), call.region, self._cloud.account)
        # The checks ask this server for objects, so they cannot be made under the lock.
        check(self._cloud, job, self._of(call.region))
        with self._lock:
            taken = self._jobs.setdefault((call.region, job.name), job) is not job
        if taken:
            raise name_is_taken(job)
        self._reuse_warm_pool(job)
        thread = threading.Thread(target=Run(self._cloud, job, self._grace_s), daemon=True, name=job.name)
        self._threads = [one for one in self._threads if one.is_alive()] + [thread]
        thread.start()
        return {"TrainingJobArn": job.arn}

    def describe(self, call: Call) -> dict[str, Any]:
        """DescribeTrainingJob."""
        return self._job(call).describe()

    def stop(self, call: Call) -> dict[str, Any]:
        """StopTrainingJob; a job that is over cannot be stopped."""
        job = self._job(call)
        if job.over:
            raise invalid(f"The request was rejected because the training job is in status {job.status}.")
        job.enter("Stopping")
        job.stop.set()
        return {}

    def delete(self, call: Call) -> dict[str, Any]:
        """DeleteTrainingJob; only of a job that is over."""
        job = self._job(call)
        if not job.over:
            words = f"Training job {job.name} is in status {job.status} and cannot be deleted until it has ended"
            raise AwsError("ResourceInUse", words)
        del self._jobs[call.region, job.name]
        return {}

    def update(self, call: Call) -> dict[str, Any]:
        """UpdateTrainingJob: how long its instances are kept after it."""
        job = self._job(call)
        if (seconds := call.params.get("ResourceConfig", {}).get("KeepAlivePeriodInSeconds")) is not None:
            if job.over and (job.warm_pool or {}).get("Status") != "Available":
                raise invalid("KeepAlivePeriodInSeconds can be updated only while the warm pool is available.")
            job.keep_alive_s = seconds
        return {"TrainingJobArn": job.arn}

    def list_jobs(self, call: Call) -> dict[str, Any]:
        """ListTrainingJobs, with its filters, order and pages."""
        told = call.params
        jobs = [job for job in self._of(call.region) if _listed(job, told)]
        order = {"Name": lambda job: job.name, "Status": lambda job: job.status}
        by: Callable[[Job], Any] = order.get(told.get("SortBy", ""), lambda job: job.created)
        jobs.sort(key=by, reverse=told.get("SortOrder", "Descending") == "Descending")
        return page(told, "TrainingJobSummaries", [job.summary() for job in jobs], _PAGE)

    def search(self, call: Call) -> dict[str, Any] | Passed:
        """Search for training jobs; for other things moto does."""
        if call.params["Resource"] != "TrainingJob":
            return PASS
        expression = call.params.get("SearchExpression", {})
        jobs = [job for job in self._of(call.region) if fits(expression, job)]
        jobs.sort(key=lambda job: job.created, reverse=call.params.get("SortOrder", "Descending") == "Descending")
        shown = (job.describe() | {"Tags": tagging.shown(job.tags), "TrainingJobArn": job.arn} for job in jobs)
        found = [{"TrainingJob": one} for one in shown]
        return page(call.params, "Results", found, _PAGE)

    def tags(self, call: Call) -> dict[str, Any] | Passed:
        """AddTags, DeleteTags and ListTags of a training job; of other things moto does."""
        arn = call.params["ResourceArn"]
        if ":training-job/" not in arn:
            return PASS
        job = self._jobs.get((call.region, arn.rsplit("/", maxsplit=1)[-1]))
        if job is None:
            raise invalid(f"Could not find training job {arn}")
        job.tags |= {tag["Key"]: tag["Value"] for tag in call.params.get("Tags", [])}
        for key in call.params.get("TagKeys", []):
            job.tags.pop(key, None)
        return {"Tags": tagging.shown(job.tags)} if call.operation != "DeleteTags" else {}

    def tagged(self, call: Call, answer: dict[str, Any]) -> dict[str, Any]:
        """Add training jobs to what the tagging service finds."""
        jobs = ((job.arn, job.tags) for job in self._of(call.region))
        return tagging.found(call, answer, "sagemaker:training-job", jobs)

    # -- what people ask of the stand-in

    def interrupt(self, pattern: str) -> list[str]:
        """Take spot capacity away from the jobs whose name fits."""
        hit = [
            job
            for job in self._jobs.values()
            if job.spot and job.secondary in _HAS_CAPACITY and fnmatch.fnmatchcase(job.name, pattern)
        ]
        for job in hit:
            job.interrupted.set()
        return [job.name for job in hit]

    def set_grace(self, told: dict[str, Any]) -> None:
        """Change how long the hosts of jobs that are created from now on have between SIGTERM and SIGKILL."""
        self._grace_s = float(told["seconds"])

    def status(self) -> dict[str, Any]:
        """What runs, and how hosts are made here."""
        why = missing()
        running = [f"{job.name} {job.secondary}" for job in self._jobs.values() if not job.over]
        return {"hosts": f"plain processes: {why}" if why else "isolated", "training jobs": running}

    def end(self) -> None:
        """End everything at once."""
        for job in self._jobs.values():
            job.abandoned.set()
            job.stop.set()
        for thread in self._threads:
            thread.join(_END_S)
        self._threads.clear()
        self._jobs.clear()
        self._grace_s = GRACE_S

    # -- helpers

    def _of(self, region: str) -> list[Job]:
        return [job for (place, _), job in list(self._jobs.items()) if place == region]

    def _job(self, call: Call) -> Job:
        job = self._jobs.get((call.region, call.params["TrainingJobName"]))
        if job is None:
            raise invalid("Requested resource not found.")
        return job

    def _reuse_warm_pool(self, job: Job) -> None:
        """Let a job take over instances that an earlier one has kept for the likes of it."""
        if not job.keep_alive_s:
            return
        alike = ("InstanceType", "InstanceCount", "VolumeSizeInGB", "VolumeKmsKeyId")
        for other in self._of(job.region):
            same = all(other.resources.get(name) == job.resources.get(name) for name in alike)
            free = (other.warm_pool or {}).get("Status") == "Available"
            if free and same and other.request["RoleArn"] == job.request["RoleArn"]:
                other.reused_by = job.arn
                return


def add(cloud: Cloud) -> None:
    """Register with the cloud."""
    jobs = Training(cloud)
    operations = {
        "CreateTrainingJob": jobs.create,
        "DescribeTrainingJob": jobs.describe,
        "StopTrainingJob": jobs.stop,
        "DeleteTrainingJob": jobs.delete,
        "UpdateTrainingJob": jobs.update,
        "ListTrainingJobs": jobs.list_jobs,
        "Search": jobs.search,
        "AddTags": jobs.tags,
        "DeleteTags": jobs.tags,
        "ListTags": jobs.tags,
    }
    for operation, function in operations.items():
        cloud.handle("sagemaker", operation, function)
    cloud.after("resourcegroupstaggingapi", "GetResources", jobs.tagged)
    cloud.on_reset(jobs.end)
    cloud.on_status(jobs.status)
    cloud.on_interrupt(jobs.interrupt)
    cloud.control("grace", jobs.set_grace)


def _listed(job: Job, told: dict[str, Any]) -> bool:
    pool = (job.warm_pool or {}).get("Status")
    return (
        told.get("NameContains", "") in job.name
        and told.get("StatusEquals", job.status) == job.status
        and told.get("WarmPoolStatusEquals", pool) == pool
        and between(told, "CreationTime", job.created)
        and between(told, "LastModifiedTime", job.changed)
    )
