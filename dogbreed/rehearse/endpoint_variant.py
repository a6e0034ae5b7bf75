"""A variant of an endpoint as it runs: the instances that share its traffic, or serverless environments on demand.

Both are asked in the same way: `take` gives a replica that is nobody else's problem until it is given back.
"""

from __future__ import annotations

import itertools
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse import sagemaker_data as data
from dogbreed.rehearse.endpoint_container import Served
from dogbreed.rehearse.endpoint_replica import HEALTHY_S, Replica
from dogbreed.rehearse.log_lines import Lines, Stream

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from pathlib import Path

    from dogbreed.rehearse.cloud import Cloud

_LOGS = "/aws/sagemaker/Endpoints"
_NO_CAPACITY = (
    "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error. Please retry using "
    "a different ML instance type or after some time."
)
_numbers = itertools.count(1)


class UnhealthyError(Exception):
    """Instances that did not come to answer; the words are those of a failure reason."""


class Source:
    """What the replicas of one model are made of: its image, its model as it lies in S3, its variables, its logs."""

    def __init__(
        self, cloud: Cloud, region: str, endpoint: str, model: dict[str, Any], role: str, group: str = ""
    ) -> None:
        self._cloud, self._region, self._role = cloud, region, role
        self.container: dict[str, Any] = model.get("PrimaryContainer") or model["Containers"][0]
        self.network = not model.get("EnableNetworkIsolation", False)
        self._folder: Path = cloud.folder / "serving" / f"m{next(_numbers):x}"
        self._fetched: Path | None = None
        self._done = False
        self._lock = threading.Lock()
        self._group = group or f"{_LOGS}/{endpoint}"
        self._lines = Lines(cloud)

    def fetch(self) -> None:
        """Bring the model in, once. Raises UnhealthyError."""
        with self._lock:
            if self._done:
                return
            try:
                self._fetched = self._fetch()
            except data.DataError as error:
                raise UnhealthyError(f"Failed to download model data: {str(error).partition(':')[2]}") from error
            self._done = True

    def replica(self, variant: str, healthy_s: float) -> Replica:
        """One more replica, which starts."""
        served = Served(
            image=self.container["Image"],
            model=self._fetched,
            environment=self.container.get("Environment", {}),
            role=self._role,
            region=self._region,
            network=self.network,
        )
        return Replica(self._cloud, served, partial(self._line, variant), healthy_s)

    def close(self) -> None:
        """Send the last lines and remove the model."""
        self._lines.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _line(self, variant: str, replica: str, text: str) -> None:
        self._lines.add(Stream(self._region, self._role, self._group, f"{variant}/{replica}"), [text])

    def _fetch(self) -> Path | None:
        s3 = self._cloud.client("s3", self._region, role=self._role)
        source = (self.container.get("ModelDataSource") or {}).get("S3DataSource")
        uri = source["S3Uri"] if source else self.container.get("ModelDataUrl")
        if not uri:
            return None
        self._folder.mkdir(parents=True, exist_ok=True)
        data.fetch_all(s3, uri, self._folder)
        if source and source["CompressionType"] == "None":
            return self._folder
        return self._folder / str(uri).rsplit("/", maxsplit=1)[-1]


class Variant:
    """The instances of one production variant; `told` is its part of the endpoint configuration."""

    serverless = False

    def __init__(self, cloud: Cloud, told: dict[str, Any], source: Source | None) -> None:
        self.cloud, self.told, self.source = cloud, told, source
        self.name: str = told["VariantName"]
        self.weight = self.desired_weight = float(told.get("InitialVariantWeight", 1.0))
        scaling = told.get("ManagedInstanceScaling", {})
        self.desired = int(told.get("InitialInstanceCount", scaling.get("MinInstanceCount", 0)))
        self.current: dict[str, Any] = {}
        self.wanted: dict[str, Any] = {}
        self.stage: tuple[str, str, datetime] | None = None
        self.replicas: list[Replica] = []
        self.lock = threading.Lock()
        self.resolved = cloud.clock.now()
        self._healthy_s = float(told.get("ContainerStartupHealthCheckTimeoutInSeconds", HEALTHY_S))

    @property
    def count(self) -> int:
        """Instances that answer or are about to."""
        return sum(not one.closing for one in self.replicas)

    @property
    def active(self) -> int:
        """Replicas that answer now."""
        return sum(one.ready for one in self.replicas)

    @property
    def limit(self) -> int:
        """Most requests at the same time; 0 where there is no limit."""
        return int(self.current.get("MaxConcurrency", 0))

    @property
    def can_answer(self) -> bool:
        """Whether a request would find someone."""
        return any(one.ready for one in self.replicas)

    def take(self, avoid: Collection[Replica] = ()) -> Replica | None:
        """The instance with the fewest open requests, in turn where they are equal; None where none answers.

        Those to `avoid` have been found dead by the same request.
        """
        with self.lock:
            ready = [one for one in self.replicas if one.ready and not one.closing and one not in avoid]
            if not ready:
                return None
            chosen = min(ready, key=lambda one: one.taken)
            chosen.take()
            # Whoever was asked last comes last among equals.
            self.replicas.remove(chosen)
            self.replicas.append(chosen)
            return chosen

    def give_back(self, replica: Replica) -> None:
        """Say that a replica has answered."""
        replica.give_back()

    def start(self, count: int, stop: threading.Event) -> None:
        """Add `count` instances and wait until they answer. Raises UnhealthyError; what was started is ended then."""
        if self.source is None or count <= 0:
            return
        if self.cloud.faults.no_capacity(self.told.get("InstanceType", "")):
            raise UnhealthyError(_NO_CAPACITY)
        self.source.fetch()
        added = [self.source.replica(self.name, self._healthy_s) for _ in range(count)]
        with self.lock:
            self.replicas += added
        troubles = [one.wait(stop) for one in added]
        if any(troubles):
            self._end(added)
            raise UnhealthyError(self._why(next(filter(None, troubles))))

    def shrink(self, count: int) -> None:
        """Drain and end `count` instances, the idlest first."""
        with self.lock:
            # Those that do not answer anyway go first.
            open_ = sorted((one for one in self.replicas if not one.closing), key=lambda one: (one.ready, one.taken))
        self._end(open_[:count])

    def end(self) -> None:
        """Drain and end all."""
        self.shrink(len(self.replicas))
        if self.source:
            self.source.close()

    def abandon(self) -> None:
        """End all at once."""
        with self.lock:
            replicas, self.replicas = self.replicas, []
        for one in replicas:
            one.closing = True
        with ThreadPoolExecutor(max(1, len(replicas))) as pool:
            list(pool.map(lambda one: one.end(0.0), replicas))
        if self.source:
            self.source.close()

    def describe(self) -> dict[str, Any]:
        """As DescribeEndpoint shows it."""
        shown: dict[str, Any] = {"VariantName": self.name}
        if self.source:
            image = self.source.container["Image"]
            shown["DeployedImages"] = [
                {"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": self.resolved}
            ]
        shown |= {"CurrentWeight": self.weight, "DesiredWeight": self.desired_weight}
        shown |= self.capacity()
        for name in ("ManagedInstanceScaling", "RoutingConfig"):
            if name in self.told:
                shown[name] = self.told[name]
        if self.stage:
            status, words, since = self.stage
            shown["VariantStatus"] = [{"Status": status, "StatusMessage": words, "StartTime": since}]
        return shown

    def capacity(self) -> dict[str, Any]:
        """What of it depends on its kind."""
        if not self.source:  # its instances hold copies of inference components
            return {"CurrentInstanceCount": self.desired, "DesiredInstanceCount": self.desired}
        ready = sum(one.settled.is_set() and not one.closing for one in self.replicas)
        return {"CurrentInstanceCount": ready, "DesiredInstanceCount": self.desired}

    def enter(self, status: str, words: str) -> None:
        """Show what happens to it; an empty status is none."""
        self.stage = (status, words, self.cloud.clock.now()) if status else None

    def pids(self) -> list[int]:
        """The first process of each of its containers."""
        return [one.pid for one in list(self.replicas) if one.pid]

    # -- helpers

    def _end(self, replicas: list[Replica]) -> None:
        def end(one: Replica) -> None:
            one.drain()
            one.end()

        # Under the lock, so that nobody takes one meanwhile.
        with self.lock:
            for one in replicas:
                one.closing = True
        with ThreadPoolExecutor(max(1, len(replicas))) as pool:
            list(pool.map(end, replicas))
        with self.lock:
            self.replicas = [one for one in self.replicas if one not in replicas]

    def _why(self, trouble: str) -> str:
        if trouble in ("ended", "stopped"):
            return (
                f"The primary container for production variant {self.name} did not pass the ping health check. Please "
                "check CloudWatch logs for this endpoint."
            )
        return trouble
