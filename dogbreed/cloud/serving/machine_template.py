"""What every machine of the service is: its type and image, and a launch template with all that a machine must be."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from botocore.exceptions import ClientError

from dogbreed import priced
from dogbreed.cloud.ec2_template import Image, LaunchTemplate, find_image
from dogbreed.cloud.errors import is_missing
from dogbreed.cloud.serving.machine_boot import Boot, user_data
from dogbreed.cloud.session import Aws, pairs
from dogbreed.config import DeploySettings
from dogbreed.errors import UsageError
from dogbreed.priced import Price
from dogbreed.pricing import Instance, Prices

# Amazon Linux 2023 as AWS names its newest image to everybody.
_PARAMETER = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
_ARCH = "x86_64"  # of dogbreed's own image
VOLUME_GB = 16  # Amazon Linux, Docker, and an image of half a GB
_MEMORY_GIB, _CORES = 2.0, 2
_REFERENCE = "us-east-1"


@dataclass(frozen=True)
class Machine:
    """`group()` gives the ids of its security groups, which may be made only after this is planned."""

    type: str
    image: Image
    boot: Boot
    groups: Callable[[], list[str]]
    public_address: bool


class ServiceTemplate(LaunchTemplate):
    """The launch template of the service."""

    def __init__(self, aws: Aws, profile: str, machine: Machine | None = None) -> None:
        image = machine.image if machine else None
        super().__init__(aws, profile, image, max(VOLUME_GB, image.gb if image else 0))
        self.name = aws.name("ec2")
        self._machine = machine

    @property
    def type_name(self) -> str:
        """The type of its machines."""
        return self._machine.type if self._machine else ""

    def each(self) -> Price:
        """Of one of its machines, with disk and address; nothing where only the template itself is meant."""
        own = self._machine
        if own is None:
            return Price()
        return priced.machine(own.type, self.aws.region, gb=self._gb, address=own.public_address)

    def data(self) -> dict[str, Any]:
        """As for training, and with everything else: an auto-scaling group gives nothing but the subnet."""
        assert self._machine
        own = self._machine
        made = super().data()
        tags = pairs(self.aws.tags("ec2") | {"Name": self.name})
        made["InstanceType"] = own.type
        made["UserData"] = base64.b64encode(user_data(own.boot).encode()).decode()
        made["NetworkInterfaces"] = [
            {
                "DeviceIndex": 0,
                "Groups": own.groups(),
                "AssociatePublicIpAddress": own.public_address,
                "DeleteOnTermination": True,
            }
        ]
        made["Monitoring"] = {"Enabled": False}
        made["TagSpecifications"] = [{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")]
        return made


def content_of(aws: Aws, version: Mapping[str, Any]) -> str:
    """What a version of the launch template holds, as `ServiceTemplate.wanted` says it; "" where the version is gone,
    or none that is fixed.
    """
    if not version.get("LaunchTemplateId"):
        return ""
    try:
        found = aws.client("ec2").describe_launch_template_versions(
            LaunchTemplateId=version["LaunchTemplateId"], Versions=[version["Version"]]
        )["LaunchTemplateVersions"]
    except ClientError as error:
        if is_missing(error):
            return ""
        raise
    return str(found[0].get("VersionDescription", "")) if found else ""


def newest_image(aws: Aws) -> Image:
    """Amazon Linux 2023."""
    named = aws.client("ssm").get_parameter(Name=_PARAMETER)["Parameter"]["Value"]
    return find_image(aws, _ARCH, str(named))


def check_type(own: DeploySettings) -> None:
    """UsageError for a type that EC2 or the image cannot have."""
    name = own.instance_type
    if name.startswith("ml."):
        plain = name.removeprefix("ml.")
        raise UsageError(f"--instance-type {name} is SageMaker's", f"did you mean --instance-type {plain}?")
    facts = Prices.load().instance(name)
    if facts and facts.arch != _ARCH and not own.image:
        raise UsageError(f"{name} has {facts.arch} processors, and the image is for {_ARCH}", "use c6i.large")


def chosen_type(own: DeploySettings, region: str) -> str:
    """The type that is set, or the cheapest that suits: x86, not burstable, no accelerator, two cores and 2 GiB.

    Cheapest in `region` among those whose price is known there, else where most prices are known; of equally cheap
    ones the newest.
    """
    if own.instance_type != "auto":
        return own.instance_type
    prices = Prices.load()

    def suits(one: Instance) -> bool:
        plain = not (one.burstable or one.gpus or one.name.startswith(("inf", "trn")))
        return plain and one.arch == _ARCH and one.vcpu >= _CORES and one.memory_gib >= _MEMORY_GIB

    def cost(one: Instance) -> tuple[bool, Decimal, str]:
        here = prices.hourly(one.name, region, "ec2")
        figure = here or prices.hourly(one.name, _REFERENCE, "ec2")
        # The later generation sorts first among the same letters: c6i before c5.
        age = "".join(chr(255 - ord(sign)) for sign in one.name)
        return (here is None, figure.usd if figure else Decimal("Infinity"), age)

    return min(filter(suits, prices.instances.values()), key=cost).name
