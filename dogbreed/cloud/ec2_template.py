"""What every training machine is: its image, and a launch template that leaves nothing unsafe to a default."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from dogbreed.cloud.errors import code, is_missing
from dogbreed.cloud.session import Aws, pairs, unpaired
from dogbreed.errors import UsageError
from dogbreed.plan import Found, Resource

TEMPLATE = "training"
# Deep Learning AMIs with PyTorch 2.13, the newest first. AL2023 on x86_64 is in AWS's release notes of 2026-10-05; the
# others follow AWS's way of naming, as public code uses it. None was looked up in an account.
_PARAMETER = "/aws/service/deeplearning/ami/{architecture}/oss-nvidia-driver-gpu-pytorch-2.13-{system}/latest/ami-id"
_SYSTEMS = ("amazon-linux-2023", "ubuntu-26.04", "ubuntu-24.04")
# Photos lie on the disk twice, packed and unpacked; features and checkpoints come to that.
_SPARE_GB, _TIMES = 20, 3
# What instance metadata takes as the name of a tag, besides letters and digits.
_TAG_SIGNS = "+-=.,_:@"


@dataclass(frozen=True, slots=True)
class Image:
    """A machine image: `device` is its root device, `gb` the size of its root volume, `why` how it was found."""

    id: str
    architecture: str
    device: str
    gb: int
    why: str


def find_image(aws: Aws, architecture: str, ami_id: str = "") -> Image:
    """The image `ami_id`, or the newest Deep Learning AMI for `architecture` (x86_64, arm64).

    Raises UsageError where there is none, or the given one is for other processors.
    """
    chosen, why = (ami_id, "--ami-id") if ami_id else _newest(aws, architecture)
    try:
        images = aws.client("ec2").describe_images(ImageIds=[chosen])["Images"]
    except ClientError as error:
        if not is_missing(error) and "Malformed" not in code(error):
            raise
        images = []
    if not images:
        raise UsageError(f"there is no machine image {chosen} in {aws.region}", "see --ami-id and --region")
    found = images[0]
    if found.get("Architecture", architecture) != architecture:
        raise UsageError(
            f"{chosen} is for {found['Architecture']}, this instance type has {architecture}",
            "choose an --ami-id and an --instance-type that go together",
        )
    device = found.get("RootDeviceName") or "/dev/xvda"
    sizes = [
        mapping["Ebs"].get("VolumeSize") or 0
        for mapping in found.get("BlockDeviceMappings", ())
        if mapping.get("DeviceName") == device and "Ebs" in mapping
    ]
    return Image(chosen, architecture, device, max([0, *sizes]), why)


def architecture(aws: Aws, types: Sequence[str]) -> str:
    """The processor architecture that all these types have; UsageError where they differ or one is not known."""
    try:
        told = aws.client("ec2").describe_instance_types(InstanceTypes=list(types))["InstanceTypes"]
    except ClientError as error:
        if code(error) == "InvalidInstanceType":
            raise UsageError(f"EC2: {error.response['Error']['Message']}", "see --instance-type") from error
        raise
    ours = {one["InstanceType"]: set(one["ProcessorInfo"]["SupportedArchitectures"]) for one in told}
    common = set.intersection(*ours.values()) & {"x86_64", "arm64"} if ours else set()
    if not common:
        raise UsageError(
            f"these instance types have different processors: {', '.join(types)}", "name types of one architecture"
        )
    return str(sorted(common)[-1])


def volume_gb(image: Image, photo_bytes: int, wanted: int = 0) -> int:
    """The size of each machine's disk; UsageError where `wanted` is less than the image needs."""
    if wanted and wanted < image.gb:
        raise UsageError(f"--volume-gb {wanted} is less than the image needs: {image.gb} GB", "leave it out")
    return wanted or image.gb + _SPARE_GB + _TIMES * -(-photo_bytes // 10**9)


class LaunchTemplate(Resource):
    """One template for the project, a version for each content; the content's hash is the version's description."""

    kind = "launch template"

    def __init__(self, aws: Aws, profile: str, image: Image | None = None, gb: int = 0) -> None:
        self.aws, self._profile, self._image, self._gb = aws, profile, image, gb
        self.name = aws.name(TEMPLATE)

    def data(self) -> dict[str, Any]:
        """The LaunchTemplateData. What differs from run to run is given when machines are started.

        IMDSv2 alone, answering one hop, so that nothing on the machine but its own processes gets the role; no key
        pair; encrypted volumes that go with the machine; a machine that shuts down is terminated.
        """
        assert self._image
        tags = pairs(self.aws.tags(TEMPLATE))
        volume: dict[str, Any] = {"VolumeSize": self._gb, "VolumeType": "gp3", "DeleteOnTermination": True}
        volume |= {"Encrypted": True} | ({"KmsKeyId": self.aws.kms_key} if self.aws.kms_key else {})
        return {
            "ImageId": self._image.id,
            "IamInstanceProfile": {"Name": self._profile},
            "MetadataOptions": {
                "HttpEndpoint": "enabled",
                "HttpTokens": "required",
                "HttpPutResponseHopLimit": 1,
                "InstanceMetadataTags": "enabled",
            },
            "InstanceInitiatedShutdownBehavior": "terminate",
            "BlockDeviceMappings": [{"DeviceName": self._image.device, "Ebs": volume}],
            "TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
        }

    def wanted(self) -> Mapping[str, Any]:
        """The hash of the content; nothing where only the template itself is meant, as in `destroy`."""
        if self._image is None:
            return {}
        content = json.dumps(self.data(), sort_keys=True)
        return {"content": f"dogbreed {hashlib.sha256(content.encode()).hexdigest()[:16]}"}

    def find(self) -> Found | None:
        """Look at its default version; `Found.content["version"]` is that version's number."""
        try:
            found = self._ec2.describe_launch_templates(LaunchTemplateNames=[self.name])["LaunchTemplates"]
            if not found:
                return None
            versions = self._ec2.describe_launch_template_versions(
                LaunchTemplateId=found[0]["LaunchTemplateId"], Versions=["$Default"]
            )["LaunchTemplateVersions"]
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        content = {"content": versions[0].get("VersionDescription", ""), "version": versions[0]["VersionNumber"]}
        tags = unpaired(found[0].get("Tags"))
        template = found[0]["LaunchTemplateId"]
        return Found(template, content, ours=self.aws.is_ours(tags), created=found[0].get("CreateTime"))

    def create(self) -> None:
        """Make it."""
        self._ec2.create_launch_template(
            LaunchTemplateName=self.name,
            VersionDescription=self.wanted()["content"],
            LaunchTemplateData=self.data(),
            TagSpecifications=[{"ResourceType": "launch-template", "Tags": pairs(self.aws.tags(TEMPLATE))}],
        )

    def update(self, found: Found) -> None:
        """Make the version of this content the default, and before that the version, unless an earlier command has
        made it; others stay, since machines may have been started from them.
        """
        content = self.wanted()["content"]
        pages = self._ec2.get_paginator("describe_launch_template_versions").paginate(LaunchTemplateId=found.id)
        seen = [one for page in pages for one in page["LaunchTemplateVersions"]]
        numbers = [one["VersionNumber"] for one in seen if one.get("VersionDescription") == content]
        if not numbers:
            made = self._ec2.create_launch_template_version(
                LaunchTemplateId=found.id, VersionDescription=content, LaunchTemplateData=self.data()
            )
            numbers.append(made["LaunchTemplateVersion"]["VersionNumber"])
        self._ec2.modify_launch_template(LaunchTemplateId=found.id, DefaultVersion=str(max(numbers)))

    def delete(self, found: Found) -> None:
        """Remove it with all versions."""
        try:
            self._ec2.delete_launch_template(LaunchTemplateId=found.id)
        except ClientError as error:
            if not is_missing(error):
                raise

    @property
    def _ec2(self) -> Any:
        return self.aws.client("ec2")


def check_tags(aws: Aws) -> None:
    """UsageError for a tag of `[aws] tags` that instance metadata cannot show, before AWS refuses machines with it."""
    for name in aws.tags(TEMPLATE):
        if not all((sign.isascii() and sign.isalnum()) or sign in _TAG_SIGNS for sign in name):
            raise UsageError(
                f"[aws] tags: {name!r} cannot be a tag of a machine", f"use letters, digits and {' '.join(_TAG_SIGNS)}"
            )


def _newest(aws: Aws, architecture: str) -> tuple[str, str]:
    names = [_PARAMETER.format(architecture=architecture, system=system) for system in _SYSTEMS]
    ssm = aws.client("ssm")
    for name in names:
        try:
            return str(ssm.get_parameter(Name=name)["Parameter"]["Value"]), name
        except ClientError as error:
            if not is_missing(error):
                raise
    raise UsageError(
        f"no Deep Learning AMI with PyTorch 2.13 for {architecture} in {aws.region} (SSM: {names[0]} and others)",
        "name a machine image with PyTorch 2.13 in /opt/pytorch: --ami-id ami-...",
    )
