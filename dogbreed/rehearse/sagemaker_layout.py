"""What one host of a training job finds: /opt/ml with its configuration and data, names, variables, its command.

Where hosts are plain processes, /opt/ml is a folder elsewhere: that path, and the name of the first host, are rewritten
in the SDK's drivers, in the command, in variables and in hyperparameters; code that names /opt/ml itself will not do.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse import container
from dogbreed.rehearse import sagemaker_data as data
from dogbreed.rehearse.hosts import Spec

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
    """The surroundings of host `number` of `count`, below `folder`."""

    def __init__(self, cloud: Cloud, job: Job, folder: Path, number: int, count: int, *, isolated: bool) -> None:
        self._cloud, self._job, self._number, self._isolated = cloud, job, number, isolated
        self._names = [f"algo-{one}" if isolated else f"127.0.0.{one}" for one in range(1, count + 1)]
        self.host = f"algo-{number + 1}"
        self._folder = folder / self.host
        self.ml = self._folder / "ml"
        self._port = _DRIVERS_PORT if isolated else str(_port_of(folder))
        config = job.request.get("CheckpointConfig", {})
        self._checkpoints_at = config.get("LocalPath", f"{ML}/checkpoints").rstrip("/")
        self.checkpoints = self._inside(self._checkpoints_at)

    def make(self, s3: Any, check: Callable[[], None]) -> None:
        """Write the configuration and bring in the data; `check` may raise between channels."""
        request = self._job.request
        for name in ("input/config", "input/data", "model", "output/data"):
            (self.ml / name).mkdir(parents=True)
        (self._folder / "tmp" / "home").mkdir(parents=True)
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

    def spec(self, token: str) -> Spec:
        """The host to launch; `token` is good for the credentials of the job's role."""
        algorithm = self._job.request["AlgorithmSpecification"]
        command = algorithm.get("ContainerEntrypoint", []) + algorithm.get("ContainerArguments", [])
        if not command:
            words = "the stand-in has no images, so a job needs a ContainerEntrypoint"
            raise data.DataError(f"ClientError: {words}")
        network = not self._job.request.get("EnableNetworkIsolation", False)
        spec = Spec(
            name=self.host,
            command=[self._here(word) for word in command],
            environment=self._environment(token if network else ""),
            network=str(self._folder.parent),
            address=f"{_SUBNET}.{self._number + 1}/24",
            binds=self._binds(),
            hidden=container.hidden(),
            cpus=_share(self._number, len(self._names)),
        )
        if network:
            port = self._cloud.url.rsplit(":", maxsplit=1)[-1]
            spec.relays = {f"127.0.0.1:{port}": "server.sock", f"{_CREDENTIALS_AT}:80": "server.sock"}
            spec.also_at = [_CREDENTIALS_AT]
        return spec

    def _binds(self) -> dict[str, str]:
        hosts = self._folder / "hosts"
        names = [f"{_SUBNET}.{number} {name}" for number, name in enumerate(self._names, 1)]
        hosts.write_text("\n".join(["127.0.0.1 localhost", *names, ""]), encoding="utf-8")
        binds = {"/etc/hosts": hosts, ML: self.ml, container.BIN: self._cloud.folder / "bin"}
        if not self._checkpoints_at.startswith(f"{ML}/"):
            binds[self._checkpoints_at] = self.checkpoints
        if _may_cover_tmp():
            binds["/tmp"] = self._folder / "tmp"
        return {inside: os.fspath(outside) for inside, outside in binds.items()}

    def _environment(self, token: str) -> dict[str, str]:
        outside = self._cloud.folder / "bin"
        container.fill_bin(outside)
        tmp = "/tmp" if self._isolated and _may_cover_tmp() else os.fspath(self._folder / "tmp")
        variables = container.environment(container.BIN if self._isolated else os.fspath(outside))
        variables |= {
            "HOME": f"{tmp}/home",
            "TMPDIR": tmp,
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

    def _inside(self, path: str) -> Path:
        """Where a path of the container lies on this machine."""
        if path == ML or path.startswith(f"{ML}/"):
            return self.ml / path[len(ML) + 1 :]
        return self._folder / "elsewhere" / path.strip("/").replace("/", "_")

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


def _share(number: int, count: int) -> list[int]:
    """The cores of host `number` of `count`: an equal share, or one in turn where there are more hosts than cores."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))
    each = len(cores) // count
    return cores[number * each : (number + 1) * each] if each else [cores[number % len(cores)]]


def _may_cover_tmp() -> bool:
    """Whether the interpreter does not itself lie in /tmp."""
    return not any(Path(place).is_relative_to("/tmp") for place in (sys.prefix, sys.base_prefix))


_PORTS: dict[Path, int] = {}


def _port_of(folder: Path) -> int:
    """A free port for the hosts of one attempt to meet at."""
    if folder not in _PORTS:
        with socket.create_server(("127.0.0.1", 0)) as server:
            _PORTS[folder] = server.getsockname()[1]
    return _PORTS[folder]
