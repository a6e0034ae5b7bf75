"""The Deep Learning AMIs: their names in the parameter store of SSM, and images that EC2 accepts.

Names are those of AWS's release notes of 2026-10; ids, dates and sizes are made up.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from moto.ec2.models.amis import Ami

PREFIX = "/aws/service/deeplearning/ami"
_OWNER = "898082745236"
_ROOT_GB = 75
DATED = datetime(2026, 11, 16, tzinfo=UTC)
_STAMP = f"{DATED:%Y%m%d}"
_AL2023, _U22, _U24, _U26 = "amazon-linux-2023", "ubuntu-22.04", "ubuntu-24.04", "ubuntu-26.04"
# Architecture -> what is before the system in a name -> systems.
_NAMES: dict[str, dict[str, tuple[str, ...]]] = {
    "x86_64": {
        "oss-nvidia-driver-gpu-pytorch-2.13": (_AL2023, _U26),
        "oss-nvidia-driver-gpu-pytorch-2.12": (_AL2023, _U24),
        "oss-nvidia-driver-gpu-pytorch-2.11": (_AL2023, _U24),
        "oss-nvidia-driver-gpu-pytorch-2.10": (_AL2023, _U24),
        "oss-nvidia-driver-gpu-pytorch-2.9": (_AL2023, _U24),
        "base-oss-nvidia-driver-gpu": (_AL2023, _U26, _U24, _U22),
    },
    "arm64": {
        "oss-nvidia-driver-gpu-pytorch-2.12": (_AL2023, _U24),
        "oss-nvidia-driver-gpu-pytorch-2.11": (_AL2023, _U24),
        "oss-nvidia-driver-gpu-pytorch-2.10": (_AL2023, _U24),
        "oss-nvidia-driver-gpu-pytorch-2.9": (_AL2023, _U24),
        "base-oss-nvidia-driver-gpu": (_AL2023, _U26, _U24, _U22),
    },
}


class _Image(Ami):
    """A machine image whose disk has the size of the real ones."""

    @property
    def block_device_mappings(self) -> list[dict[str, Any]]:
        """The root volume."""
        volume = {"SnapshotId": self.ebs_snapshot.id, "VolumeSize": _ROOT_GB, "VolumeType": "gp3"}
        volume |= {"DeleteOnTermination": True, "Encrypted": False}
        return [{"DeviceName": self.root_device_name, "Ebs": volume}]


def parameters(region: str) -> dict[str, str]:
    """Name of the parameter -> id of the image."""
    return {
        f"{PREFIX}/{architecture}/{kind}-{system}/latest/ami-id": _id(region, architecture, kind, system)
        for architecture, kind, system in _all()
    }


def put(backend: Any) -> None:
    """Let moto's EC2 of a region know the images, unless it does."""
    region = backend.region_name
    for architecture, kind, system in _all():
        number = _id(region, architecture, kind, system)
        if number not in backend.amis:
            backend.amis[number] = _Image(
                backend,
                number,
                name=_title(architecture, kind, system),
                description=f"{_title(architecture, kind, system)}; made up by the stand-in",
                owner_id=_OWNER,
                owner_alias="amazon",
                public=True,
                virtualization_type="hvm",
                architecture=architecture,
                image_location=f"amazon/{_title(architecture, kind, system)}",
                hypervisor="xen",
                root_device_type="ebs",
                root_device_name="/dev/xvda" if system == _AL2023 else "/dev/sda1",
                region_name=f"{region}a",
            )


def _all() -> list[tuple[str, str, str]]:
    return [
        (arch, kind, system) for arch, kinds in _NAMES.items() for kind, systems in kinds.items() for system in systems
    ]


def _id(*parts: str) -> str:
    return f"ami-0{hashlib.sha256('/'.join(parts).encode()).hexdigest()[:16]}"


def _title(architecture: str, kind: str, system: str) -> str:
    """Such as `Deep Learning OSS Nvidia Driver AMI GPU PyTorch 2.13 (Amazon Linux 2023) 20261116`."""
    arm = "ARM64 " if architecture == "arm64" else ""
    name, _, version = system.rpartition("-")
    place = f"{name.replace('-', ' ').title()} {version}"
    if kind.startswith("base"):
        return f"Deep Learning {arm}Base OSS Nvidia Driver GPU AMI ({place}) {_STAMP}"
    what = "ARM64 AMI OSS Nvidia Driver" if arm else "OSS Nvidia Driver AMI"
    return f"Deep Learning {what} GPU PyTorch {kind.rpartition('-')[2]} ({place}) {_STAMP}"
