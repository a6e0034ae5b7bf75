"""Running a training job: its hosts, attempt after attempt, until it is over."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from dogbreed.rehearse import sagemaker_data as data
from dogbreed.rehearse.sagemaker_job import now
from dogbreed.rehearse.sagemaker_layout import Layout
from dogbreed.rehearse.sagemaker_logs import Logs
from dogbreed.rehearse.sandbox import Host, Network

if TYPE_CHECKING:
    from dogbreed.rehearse.cloud import Cloud
    from dogbreed.rehearse.sagemaker_job import Job

_LOOK_S = 0.05
# Between SIGTERM and SIGKILL, and until spot capacity comes back; shorter for tests.
GRACE_S = float(os.environ.get("REHEARSE_GRACE_S", "120"))
_BACK_S = float(os.environ.get("REHEARSE_SPOT_BACK_S", "1"))
_NO_CAPACITY = (
    "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML instance type "
    "or after some time."
)
_INTERNAL = "InternalServerError: We encountered an internal error. Please try again."
_WAITING = "Insufficient capacity error from EC2 while launching instances, retrying!"


class _LostError(Exception):
    """A host is gone without a word of its command."""


class _EndedError(Exception):
    """The job is to end with this secondary status."""


class Run:
    """Runs one job to its end; to be called in a thread of its own. From SIGTERM to SIGKILL there are `grace_s`."""

    def __init__(self, cloud: Cloud, job: Job, grace_s: float = GRACE_S) -> None:
        self._cloud, self._job, self._grace_s = cloud, job, grace_s
        self._folder = cloud.folder / "jobs" / job.name
        self._s3 = cloud.client("s3", role=job.request["RoleArn"])
        self._logs = Logs(cloud, job)
        self._begun = time.monotonic()
        self._attempt_begun: float | None = None
        stopping = job.request.get("StoppingCondition", {})
        self._max_run = stopping.get("MaxRuntimeInSeconds", 86400)
        self._max_wait = stopping.get("MaxWaitTimeInSeconds")
        self._layouts: list[Layout] = []
        self._running: list[Host] = []
        self._network: Network | None = None

    def __call__(self) -> None:
        """Run it."""
        job, end, reason = self._job, "Failed", ""
        self._logs.start()
        try:
            end = self._to_the_end()
        except data.DataError as error:
            reason = str(error)
        except Exception:
            logging.exception("training job %s", job.name)
            reason = _INTERNAL
        finally:
            self._end_hosts()
            self._logs.finish()
            shutil.rmtree(self._folder, ignore_errors=True)
            # Last of all: who sees the end may count on the logs.
            if reason:
                job.fail(reason)
            else:
                job.enter(end)

    def _to_the_end(self) -> str:
        """The secondary status that the job ends with; failed jobs raise."""
        try:
            codes, end = self._attempts(), "Completed"
        except _EndedError as ended:
            codes, end = [], str(ended)
        failed = next((code for code in codes if code != 0), 0)
        if self._layouts:
            self._upload(failed=bool(failed))
        if failed:
            raise data.DataError(self._why(failed))
        return end

    # -- attempts

    def _attempts(self) -> list[int]:
        """Try until an attempt comes to an end by itself; the exit codes of its hosts."""
        job = self._job
        retries = job.request.get("RetryStrategy", {}).get("MaximumRetryAttempts", 0)
        while True:
            job.enter("Starting")
            self._wait_for_capacity()
            try:
                codes = self._attempt()
            except _LostError:
                if retries == 0:
                    raise data.DataError(_INTERNAL) from None
                retries -= 1
                job.enter("Restarting")
                continue
            if codes is not None:
                return codes
            job.enter("Interrupted")
            job.interrupted.clear()
            self._rest(_BACK_S)

    def _wait_for_capacity(self) -> None:
        job = self._job
        kind, market = job.resources["InstanceType"], "spot" if job.spot else "on-demand"
        told = False
        while self._cloud.faults.no_capacity(kind, market=market):
            if not job.spot:
                raise data.DataError(_NO_CAPACITY)
            if not told:
                job.enter("Starting", _WAITING)
                told = True
            self._rest(_LOOK_S)

    def _attempt(self) -> list[int] | None:
        """The exit codes of the hosts; None where spot capacity was taken away."""
        job = self._job
        job.attempts += 1
        self._attempt_begun = time.monotonic()
        job.started = job.started or now()
        try:
            job.enter("Downloading")
            folder = self._folder / str(job.attempts)
            count = job.resources.get("InstanceCount", 1)
            self._network = Network.make()
            isolated, port = self._network is not None, _free_port()
            self._layouts = [
                Layout(self._cloud, job, folder, number, count, isolated=isolated, port=port) for number in range(count)
            ]
            for layout in self._layouts:
                layout.make(self._s3, self._check)
            job.enter("Training")
            sync = self._checkpoints()
            token = uuid.uuid4().hex
            self._cloud.roles_of_containers[token] = job.request["RoleArn"]
            try:
                for layout in self._layouts:
                    self._launch(layout, token)
                return self._follow()
            finally:
                self._end_hosts()
                if sync:
                    sync.finish()
                self._cloud.roles_of_containers.pop(token, None)
        finally:
            job.trained_s += time.monotonic() - self._attempt_begun
            self._attempt_begun = None

    def _launch(self, layout: Layout, token: str) -> None:
        stream = f"{self._job.name}/{layout.host}-{int(time.time())}"
        reader = self._logs.read(pipe := layout.folder / "printed", stream)
        try:
            self._running.append(Host.start(layout.spec(token, pipe), self._network))
        finally:
            reader.begun()

    def _follow(self) -> list[int] | None:
        """Wait for the hosts: for all to succeed, one to fail, or what ends them from outside."""
        while True:
            codes = [host.wait(0) for host in self._running]
            if any(code is not None and code < 0 for code in codes):
                raise _LostError
            if any(codes) or None not in codes:
                return [code for code in codes if code is not None]
            try:
                self._check()
            except _EndedError:
                self._terminate()
                # Who has ended well within the grace has completed its work; the job was stopped all the same.
                raise
            if self._job.interrupted.is_set():
                self._terminate()
                return None
            time.sleep(_LOOK_S)

    def _check(self) -> None:
        """Raise _EndedError where the job is to end: asked to, or out of time."""
        job = self._job
        running = time.monotonic() - self._attempt_begun if self._attempt_begun else 0.0
        if job.stop.is_set():
            raise _EndedError("Stopped")
        if job.trained_s + running > self._max_run:
            raise _EndedError("MaxRuntimeExceeded")
        if self._max_wait and time.monotonic() - self._begun > self._max_wait:
            raise _EndedError("MaxWaitTimeExceeded")

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._check()
            time.sleep(min(_LOOK_S, left))

    def _terminate(self) -> None:
        """SIGTERM to all, time to save, then SIGKILL."""
        self._end_hosts(0.0 if self._job.abandoned.is_set() else self._grace_s)

    def _end_hosts(self, grace_s: float = 0.0) -> None:
        with ThreadPoolExecutor(max(1, len(self._running))) as pool:
            list(pool.map(lambda host: host.end(grace_s), self._running))
        self._running = []
        if self._network:
            self._network.close()
            self._network = None

    # -- what comes out

    def _checkpoints(self) -> data.CheckpointSync | None:
        config = self._job.request.get("CheckpointConfig")
        if not config:
            return None
        sync = data.CheckpointSync(self._s3, config["S3Uri"], [layout.checkpoints for layout in self._layouts])
        sync.start()
        return sync

    def _upload(self, *, failed: bool) -> None:
        """Put the artifacts where the request wants them."""
        job = self._job
        job.enter("Uploading")
        config = job.request["OutputDataConfig"]
        base = f"{config['S3OutputPath'].rstrip('/')}/{job.name}/output"
        key = config.get("KmsKeyId", "")
        for name, part in (("model", "model"), ("output", "output/data")):
            folders = [layout.ml / part for layout in self._layouts]
            if failed and name == "model":
                continue
            archive = self._folder / f"{name}.tar.gz"
            if not data.pack(folders, archive) and name == "output":
                continue
            if config.get("CompressionType") == "NONE":
                for folder in reversed(folders):
                    data.upload(self._s3, folder, f"{base}/{name}/", key)
                where = f"{base}/{name}/"
            else:
                data.upload(self._s3, archive, where := f"{base}/{name}.tar.gz", key)
            if name == "model":
                job.artifacts = where

    def _why(self, code: int) -> str:
        """The failure reason: what a host wrote about it, and its exit code."""
        for layout in self._layouts:
            path = layout.ml / "output" / "failure"
            if path.is_file() and (words := path.read_text(encoding="utf-8", errors="replace").strip()):
                return f"AlgorithmError: {words[:900]}, exit code: {code}"
        return f"AlgorithmError: , exit code: {code}"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
