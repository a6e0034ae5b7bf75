"""Training on EC2: what a run needs of an account, its machines as a Resource, and how a launched run is doing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from dogbreed.cloud import ec2_fleet, ec2_watch, remote
from dogbreed.cloud.ec2_start import Starter
from dogbreed.cloud.ec2_template import LaunchTemplate
from dogbreed.cloud.errors import is_missing
from dogbreed.cloud.machine_agent import MACHINES, STOP
from dogbreed.cloud.policies import EC2_TRAINING
from dogbreed.cloud.policy_parts import Scope
from dogbreed.cloud.remote import Attempt, LogLine, RemoteRun, State
from dogbreed.cloud.roles import Role
from dogbreed.cloud.session import Aws
from dogbreed.cloud.storage import Store
from dogbreed.errors import DogbreedError
from dogbreed.plan import Found, Resource
from dogbreed.run import BROUGHT_HOME, write_atomically

OUTPUT = "output"
_LOG_DAYS = 90
_LOOK_EVERY_S = 2.0
_QUIET_LOOKS = 2  # CloudWatch shows the last lines some seconds after the end
# A second `stop` ends machines that have not ended by themselves for so long.
_PATIENCE_S = 240.0


class Machines(Resource):
    """The machines of one attempt of a run. Its files job.json and remote.json are written before they are started."""

    kind = "machines"

    def __init__(
        self,
        aws: Aws,
        run: RemoteRun,
        job: bytes = b"",
        *,
        price: Decimal | None = None,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._aws, self.run, self._job, self._price, self._tell = aws, run, job, price, tell
        self.launch: ec2_watch.Launch | None = None
        self.name = f"{run.id}: {run.instances} x {run.instance_type}{' spot' if run.spot else ''}"

    def find(self) -> Found | None:
        """Those that run."""
        alive = [one for one in ec2_fleet.machines(self._aws, self.run.id) if one.alive]
        if not alive:
            return None
        oldest = min(machine.launched for machine in alive)
        return Found(", ".join(machine.id for machine in alive), {}, state=alive[0].state, created=oldest)

    def create(self) -> None:
        """Start them all."""
        store = Store(self._aws, self.run.bucket)
        self.run = self.run.with_attempt(Attempt(str(len(self.run.attempts) + 1), remote.now()))
        remote.begin(store, self.run, self._job)
        with remote.launching(store, self.run, self.find):
            seen = ec2_watch.look(self._aws, store, self.run)
            self.launch = Starter(self._aws, self.run, self._tell).all(seen.newest + 1)
        # What they really are and cost.
        self.run = replace(self.run, price_per_hour=self.launch.price, instance_type=self.launch.type)
        remote.keep(store, self.run)

    def delete(self, found: Found) -> None:
        """End them."""
        ec2_fleet.terminate(self._aws, found.id.split(", "))

    def hourly(self) -> Decimal | None:
        """All together."""
        return None if self._price is None else self._price * self.run.instances


class LogGroup(Resource):
    """Where the machines write their logs; lines go by themselves."""

    kind = "log group"
    keep = f"holds the logs of your runs; each line goes after {_LOG_DAYS} days"

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self.name = Scope.of(aws).log_group

    def wanted(self) -> Mapping[str, Any]:
        """How long lines are kept: a machine makes it too, where it comes first, and would keep them for ever."""
        return {"days": _LOG_DAYS}

    def find(self) -> Found | None:
        """DescribeLogGroups."""
        pages = self._logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=self.name)
        for seen in (one for page in pages for one in page["logGroups"] if one["logGroupName"] == self.name):
            return Found(self._aws.arn("logs", f"log-group:{self.name}"), {"days": seen.get("retentionInDays")})
        return None

    def create(self) -> None:
        """Make it."""
        with suppress(self._logs.exceptions.ResourceAlreadyExistsException):
            self._logs.create_log_group(logGroupName=self.name, tags=self._aws.tags("logs"))
        self._retain()

    def update(self, found: Found) -> None:
        """Say how long lines are kept."""
        self._retain()

    def delete(self, found: Found) -> None:
        """Remove it with all logs."""
        with suppress(self._logs.exceptions.ResourceNotFoundException):
            self._logs.delete_log_group(logGroupName=self.name)

    def _retain(self) -> None:
        self._logs.put_retention_policy(logGroupName=self.name, retentionInDays=_LOG_DAYS)

    @property
    def _logs(self) -> Any:
        return self._aws.client("logs")


class Ec2:
    """The backend of runs that were launched here."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws

    def state(self, run: RemoteRun) -> State:
        """What the machines and EC2 say."""
        if run.last and not run.last.launched:
            return State(run.last.status, run.last.detail)
        return ec2_watch.state(run, ec2_watch.look(self._aws, Store(self._aws, run.bucket), run))

    def logs(self, run: RemoteRun, *, follow: bool) -> Iterator[LogLine | None]:
        """The lines of all attempts, in order; see `remote.Backend`."""
        known: set[str] = set()
        since, quiet = 0, 0
        while True:
            # Asked before reading, so that nothing is missed when it ends in between.
            over = not follow or self.state(run).status in remote.ENDED
            fresh = [one for one in self._events(run, since) if one["eventId"] not in known]
            known |= {one["eventId"] for one in fresh}
            for one in sorted(fresh, key=lambda event: event["timestamp"]):
                # RUN/node-1/i-0123
                host = one["logStreamName"].split("/")[1]
                yield LogLine(one["timestamp"] / 1000, host, one["message"])
                # Machines' clocks differ a little, and lines come late.
                since = max(since, one["timestamp"] - 60_000)
            quiet = 0 if fresh else quiet + 1
            if not follow or (over and quiet >= _QUIET_LOOKS):
                return
            if not fresh:
                yield None
            time.sleep(_LOOK_EVERY_S)

    def stop(self, run: RemoteRun) -> None:
        """Ask the machines to write a checkpoint and end; asked again minutes later, end those that have not."""
        if not run.last:
            return
        store, key = Store(self._aws, run.bucket), f"{run.prefix}{MACHINES}/{STOP}"
        asked = store.get_json(key) or {}
        if asked.get("launch") != run.last.name:
            store.put_json(key, {"launch": run.last.name, "at": time.time()})
        elif time.time() - float(asked.get("at", 0)) > _PATIENCE_S:
            ec2_fleet.terminate(self._aws, [one.id for one in ec2_fleet.machines(self._aws, run.id)])

    def fetch(self, run: RemoteRun, folder: Path) -> None:
        """The files that the first machine left in the bucket."""
        store = Store(self._aws, run.bucket)
        for name in BROUGHT_HOME:
            content = store.get(f"{run.prefix}{OUTPUT}/{name}")
            if content is None:
                raise DogbreedError(f"{store.uri(run.prefix)}{OUTPUT}/{name} is gone", "train again")
            write_atomically(folder / name, content)

    def _events(self, run: RemoteRun, since: int) -> list[dict[str, Any]]:
        group = Scope.of(self._aws).log_group
        pages = self._aws.client("logs").get_paginator("filter_log_events")
        asked = {"logGroupName": group, "logStreamNamePrefix": f"{run.id}/", "startTime": since}
        try:
            return [event for page in pages.paginate(**asked) for event in page["events"]]
        except ClientError as error:
            if is_missing(error):  # the group appears with the first line of the first machine
                return []
            raise


def resources(aws: Aws) -> list[Resource]:
    """What `status` and `destroy` would not find without being told; roles, groups, machines and runs they know."""
    return [LogGroup(aws), LaunchTemplate(aws, Role(aws, EC2_TRAINING).name)]
