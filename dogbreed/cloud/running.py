"""What runs and costs by the hour: training runs of the ledger, jobs and machines, also those the ledger knows not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from botocore.exceptions import ClientError

from dogbreed import priced
from dogbreed.cloud import remote
from dogbreed.cloud.errors import is_missing, is_refused
from dogbreed.cloud.remote import RemoteRun
from dogbreed.cloud.session import PROJECT_TAG, RUN_TAG, Aws, unpaired
from dogbreed.cloud.storage import Store
from dogbreed.plan import Found, Resource
from dogbreed.priced import Price
from dogbreed.pricing import Prices

# Kinds of resources that stand for several machines at once.
GROUPED = ("machines",)
# GB, None where not known, and the type of the volume.
Disk = tuple[int | None, str]
_ALIVE = ["pending", "running", "stopping", "stopped", "shutting-down"]


class TrainingRun(Resource):
    """A run that was launched and has not ended; destroying it stops it, what it has reached stays in the bucket."""

    kind = "training run"

    def __init__(self, aws: Aws, run: RemoteRun) -> None:
        self._aws, self._run = aws, run
        self.name = run.id

    def find(self) -> Found | None:
        """How it stands; None once it has ended."""
        run = self._run
        state = remote.backend(self._aws, run).state(run)
        if state.status in remote.ENDED:
            return None
        content = {
            "usd": self._spent(state),
            "machines": run.instances,
            "type": run.instance_type,
            "backend": run.backend,
        }
        words = f"{state.status} ({state.detail})" if state.detail else state.status
        return Found(run.last.name if run.last else run.id, content, state=words, created=state.started)

    def _spent(self, state: remote.State) -> Decimal | None:
        """What all attempts have cost so far. The ledger is left as it is: to look needs no right to write."""
        usd = self._run.cost(state.seconds) if state.usd is None else state.usd
        if self._run.last is None or usd is None:
            return usd
        return self._run.with_attempt(replace(self._run.last, usd=str(usd))).spent

    def create(self) -> None:
        """Never: runs are launched by `train-sagemaker` and `train-ec2`."""
        raise NotImplementedError

    def delete(self, found: Found) -> None:
        """Ask it to end; it writes a checkpoint first."""
        remote.backend(self._aws, self._run).stop(self._run)

    def hourly(self) -> Decimal | None:
        """All its machines together, at the price of the ledger; those of EC2 are listed by themselves."""
        if self._run.backend == "ec2":
            return Decimal(0)
        price = self._run.price_per_hour
        return None if price is None else Decimal(price) * self._run.instances


class Job(Resource):
    """A training job of this project's name that runs, whoever launched it."""

    kind = "training job"

    def __init__(self, aws: Aws, name: str) -> None:
        self._aws = aws
        self.name = name
        self._type, self._count = "", 0

    def find(self) -> Found | None:
        """DescribeTrainingJob; None once it has ended."""
        try:
            seen = self._client.describe_training_job(TrainingJobName=self.name)
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        if seen["TrainingJobStatus"] not in ("InProgress", "Stopping"):
            return None
        resources = seen.get("ResourceConfig", {})
        self._type, self._count = resources.get("InstanceType", ""), resources.get("InstanceCount", 0)
        tags = unpaired(self._client.list_tags(ResourceArn=seen["TrainingJobArn"]).get("Tags"))
        content = {"type": self._type, "machines": self._count}
        return Found(
            seen["TrainingJobArn"],
            content,
            state=seen["SecondaryStatus"],
            ours=self._aws.is_ours(tags),
            created=seen.get("TrainingStartTime"),
        )

    def create(self) -> None:
        """Never: `dogbreed.cloud.training_sagemaker` launches jobs."""
        raise NotImplementedError

    def delete(self, found: Found) -> None:
        """Stop it."""
        try:
            self._client.stop_training_job(TrainingJobName=self.name)
        except ClientError as error:
            # It may have ended in between.
            if not is_missing(error) and "ValidationException" not in str(error):
                raise

    def hourly(self) -> Decimal | None:
        """Of all its machines."""
        figure = Prices.load().hourly(self._type, self._aws.region)
        return None if figure is None else figure.usd * self._count

    @property
    def _client(self) -> Any:
        return self._aws.client("sagemaker")


class Machine(Resource):
    """An EC2 machine with the project's tag that is not terminated."""

    kind = "machine"

    def __init__(self, aws: Aws, seen: Mapping[str, Any], disks: Sequence[Disk] = ()) -> None:
        """`seen` as DescribeInstances shows it."""
        self._aws, self._seen, self._disks = aws, seen, list(disks)
        self.name = str(seen["InstanceId"])
        tags = unpaired(seen.get("Tags"))
        self.run = tags.get(RUN_TAG, "")
        self._spot = seen.get("InstanceLifecycle") == "spot"
        self._ours = aws.is_ours(tags)

    def find(self) -> Found | None:
        """DescribeInstances; None once it is terminated."""
        try:
            answer = self._ec2.describe_instances(InstanceIds=[self.name])
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        for seen in (one for group in answer["Reservations"] for one in group["Instances"]):
            if seen["State"]["Name"] in _ALIVE:
                content = {"type": seen["InstanceType"], "machines": 1, "run": self.run, "spot": self._spot}
                content["parts"] = tuple(_parts(seen))
                why = seen.get("StateReason", {}).get("Message", "")
                state = seen["State"]["Name"]
                return Found(
                    self.name, content, state=state, ours=self._ours, created=seen.get("LaunchTime"), error=why
                )
        return None

    def create(self) -> None:
        """Never: `dogbreed.cloud.training_ec2` starts machines."""
        raise NotImplementedError

    def delete(self, found: Found) -> None:
        """Terminate it."""
        try:
            self._ec2.terminate_instances(InstanceIds=[self.name])
        except ClientError as error:
            if not is_missing(error):
                raise

    def hourly(self) -> Decimal | None:
        """The full price, which spot is never above, with its disks and its public address."""
        return self.price().hourly

    def price(self) -> Price:
        """The same line by line; a stopped machine costs its disks only, one on its way out nothing."""
        state, region, kind = self._seen["State"]["Name"], self._aws.region, str(self._seen["InstanceType"])
        if state == "shutting-down":
            return Price()
        address, runs = bool(self._seen.get("PublicIpAddress")), state != "stopped"
        # Of a machine without a disk of EBS there is no line for it.
        first, *more = self._disks or [(0, "gp3")]
        whole = priced.machine(kind, region, gb=first[0], disk=first[1], address=address, runs=runs)
        return priced.total([whole, *(_disk(kind, region, one) for one in more)])

    @property
    def _ec2(self) -> Any:
        return self._aws.client("ec2")


def _parts(seen: Mapping[str, Any]) -> Iterator[str]:
    """The volumes and network interfaces that go with a machine."""
    yield from (one["Ebs"]["VolumeId"] for one in seen.get("BlockDeviceMappings", ()) if "Ebs" in one)
    yield from (one["NetworkInterfaceId"] for one in seen.get("NetworkInterfaces", ()))


def everything(aws: Aws) -> list[Resource]:
    """Machines, jobs that no run of the ledger accounts for, and last the runs: they are stopped first, and save."""
    found = list(runs(aws))
    attempts = {attempt.name for run in found for attempt in run.attempts}
    jobs = [Job(aws, name) for name in _job_names(aws) if name not in attempts]
    return [*machines(aws), *jobs, *(TrainingRun(aws, run) for run in found)]


def runs(aws: Aws) -> Iterator[RemoteRun]:
    """The runs of this project that the ledger in the bucket believes to be going on."""
    try:
        known = remote.listed(Store(aws))
    except ClientError as error:
        if is_missing(error):  # no bucket, no run
            return
        raise
    for run in known:
        over = run.last is not None and run.last.status in remote.ENDED
        if run.project == aws.settings.project and run.region == aws.region and not over:
            yield run


def machines(aws: Aws) -> Iterable[Resource]:
    """The machines with the project's tag, each by itself."""
    filters = [
        {"Name": f"tag:{PROJECT_TAG}", "Values": [aws.settings.project]},
        {"Name": "instance-state-name", "Values": _ALIVE},
    ]
    pages = aws.client("ec2").get_paginator("describe_instances").paginate(Filters=filters)
    found = [one for page in pages for group in page["Reservations"] for one in group["Instances"]]
    disks = _disks(aws, [one["InstanceId"] for one in found])
    for seen in found:
        yield Machine(aws, seen, disks[seen["InstanceId"]])


def _disks(aws: Aws, machines: Sequence[str]) -> Mapping[str, list[Disk]]:
    """What is attached to each machine; of unknown size for who may not look at volumes."""
    found: dict[str, list[Disk]] = {name: [] for name in machines}
    if not machines:
        return found
    filters = [{"Name": "attachment.instance-id", "Values": list(machines)}]
    try:
        pages = aws.client("ec2").get_paginator("describe_volumes").paginate(Filters=filters)
        for one in (one for page in pages for one in page["Volumes"]):
            for held in one["Attachments"]:
                found.setdefault(held["InstanceId"], []).append((one["Size"], one["VolumeType"]))
    except ClientError as error:
        if not is_refused(error):
            raise
        return {name: [(None, "")] for name in machines}
    return found


def _disk(kind: str, region: str, disk: Disk) -> Price:
    return priced.machine(kind, region, gb=disk[0], disk=disk[1], address=False, runs=False)


def _job_names(aws: Aws) -> list[str]:
    start = f"{aws.settings.project}-"
    names = []
    for status in ("InProgress", "Stopping"):
        pages = aws.client("sagemaker").get_paginator("list_training_jobs")
        for page in pages.paginate(NameContains=start, StatusEquals=status):
            names += [one["TrainingJobName"] for one in page["TrainingJobSummaries"]]
    return [name for name in names if name.startswith(start)]
