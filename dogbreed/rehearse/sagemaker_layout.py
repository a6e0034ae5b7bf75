"""What one host of a training job finds: /opt/ml with its configuration and data, names, variables, its command.

Where hosts are plain processes, /opt/ml is a folder elsewhere: that path, and the name of the first host, are rewritten
in the SDK's drivers, in the command, in variables and in hyperparameters; code that names /opt/ml itself will not do.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse import container
from dogbreed.rehearse import sagemaker_data as data
from dogbreed.rehearse.sandbox import Spec, shares

if TYPE_CHECKING:
    from dogbreed.rehearse.cloud import Cloud
    from dogbreed.rehearse.sagemaker_job import Job

ML = "/opt/ml"
# The channel in which the SDK sends its drivers, and the port in there on which the first host is met.
_DRIVERS, _DRIVERS_PORT = "sm_drivers", "7777"
_FIRST = "algo-1"
_CREDENTIALS_AT = "169.254.170.2"
_SUBNET = "10.77.0"


class Layout:
    """The surroundings of host `number` of `count`, below `folder`; plain hosts meet at `port`."""

    def __init__(
        self, cloud: Cloud, job: Job, folder: Path, number: int, count: int, *, isolated: bool, port: int
    ) -> None:
        self._cloud, self._job, self._number, self._isolated = cloud, job, number, isolated
        self._names = [f"algo-{one}" if isolated else f"127.0.0.{one}" for one in range(1, count + 1)]
        self.host = f"algo-{number + 1}"
        self.folder = folder / self.host
        self.ml = self.folder / ML[1:]
        self._port = str(port)
        config = job.request.get("CheckpointConfig", {})
        self.checkpoints = self.folder / config.get("LocalPath", f"{ML}/checkpoints").strip("/")

    def make(self, s3: Any, check: Callable[[], None]) -> None:
        """Write the configuration and bring in the data; `check` may raise between channels."""
        request = self._job.request
        container.fill(self.folder)
        for name in ("input/config", "input/data", "model", "output/data"):
            (self.ml / name).mkdir(parents=True)
        config = self.ml / "input" / "config"
        parameters = {name: self._here(value) for name, value in request.get("HyperParameters", {}).items()}
        _write(config / "hyperparameters.json", parameters)
        _write(config / "resourceconfig.json", self._resources())
        channels = request.get("InputDataConfig", [])
        _write(config / "inputdataconfig.json", {one["ChannelName"]: self._channel(one) for one in channels})
        for channel in channels:
            check()
            target = self.ml / "input" / "data" / channel["ChannelName"]
            data.fetch(s3, channel, target, self._number, len(self._names))
            if channel["ChannelName"] == _DRIVERS and not self._isolated:
                self._rewrite(target)
        if checkpoints := request.get("CheckpointConfig"):
            data.fetch_all(s3, checkpoints["S3Uri"].rstrip("/") + "/", self.checkpoints)

    def spec(self, token: str, output: Path) -> Spec:
        """The host to launch, printing to `output`; `token` is good for the credentials of the job's role."""
        algorithm = self._job.request["AlgorithmSpecification"]
        command = algorithm.get("ContainerEntrypoint", []) + algorithm.get("ContainerArguments", [])
        if not command:
            words = "the stand-in has no images, so a job needs a ContainerEntrypoint"
            raise data.DataError(f"ClientError: {words}")
        network = not self._job.request.get("EnableNetworkIsolation", False)
        port = int(self._cloud.url.rsplit(":", maxsplit=1)[-1])
        relays = [("127.0.0.1", port, self._cloud.socket), (_CREDENTIALS_AT, 80, self._cloud.socket)]
        names = [f"{_SUBNET}.{number} {name}" for number, name in enumerate(self._names, 1)]
        hosts = self.folder / "hosts"
        hosts.write_text("\n".join(["127.0.0.1 localhost", *names, ""]), encoding="utf-8")
        return Spec(
            command=[self._here(word) for word in command],
            output=output,
            folder=Path("/"),
            environment=self._environment(token if network else ""),
            address=f"{_SUBNET}.{self._number + 1}/24",
            hostname=self.host,
            covers=container.covers(self.folder),
            binds={"/etc/hosts": hosts} | container.hidden(self.folder),
            relays=relays if network else (),
            cores=shares(len(self._names))[self._number],
            first=True,
        )

    def _environment(self, token: str) -> dict[str, str]:
        variables = container.environment("" if self._isolated else os.fspath(self.folder))
        variables |= {
            "TRAINING_JOB_NAME": self._job.name,
            "TRAINING_JOB_ARN": self._job.arn,
            "AWS_REGION": self._job.region,
        }
        if token:
            path = f"/v2/credentials/{token}"
            variables["AWS_ENDPOINT_URL"] = self._cloud.url
            if self._isolated:
                variables["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = path
            else:
                variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = self._cloud.url + path
        given = self._job.request.get("Environment", {})
        return variables | {name: self._here(value) for name, value in given.items()}

    def _resources(self) -> dict[str, Any]:
        kind = self._job.resources["InstanceType"]
        group = "homogeneousCluster"
        interface = "eth0" if self._isolated else "lo" if sys.platform == "linux" else "lo0"
        return {
            "current_host": self._names[self._number],
            "current_instance_type": kind,
            "current_group_name": group,
            "hosts": self._names,
            "instance_groups": [{"instance_group_name": group, "instance_type": kind, "hosts": self._names}],
            "network_interface_name": interface,
        }

    def _channel(self, channel: dict[str, Any]) -> dict[str, str]:
        source = channel["DataSource"]["S3DataSource"]
        told = {
            "TrainingInputMode": channel.get("InputMode")
            or self._job.request["AlgorithmSpecification"]["TrainingInputMode"],
            "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
        }
        return told | ({"ContentType": channel["ContentType"]} if "ContentType" in channel else {})

    def _here(self, text: str) -> str:
        """A text in which /opt/ml is what it is here."""
        return text if self._isolated else text.replace(ML, os.fspath(self.ml))

    def _rewrite(self, drivers: Path) -> None:
        for path in drivers.rglob("*"):
            if path.suffix in (".sh", ".py"):
                text = self._here(path.read_text(encoding="utf-8"))
                text = text.replace(f'"{_FIRST}"', f'"{self._names[0]}"').replace(_DRIVERS_PORT, self._port)
                path.write_text(text, encoding="utf-8")


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
