"""What the metadata service of a machine has to tell, from what moto knows of the instance."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from moto.core.exceptions import ServiceException

from dogbreed.rehearse import ec2_checks
from dogbreed.rehearse.calls import ACCOUNT

if TYPE_CHECKING:
    from dogbreed.rehearse.cloud import Cloud
    from dogbreed.rehearse.imds import Table

_LIFE = timedelta(hours=6)


class Credentials:
    """The keys that a machine gets for its role; new ones before the old end."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._given: dict[tuple[str, str], tuple[datetime, dict[str, str]]] = {}

    def of(self, role: str, machine: str) -> str:
        """The document for a role (ARN)."""
        now = datetime.now(UTC)
        until, told = self._given.get((role, machine), (now, {}))
        if until - now < timedelta(hours=1):
            key, secret, token = self._cloud.credentials(role, machine, platform=False)
            until = now + _LIFE
            told = {"Code": "Success", "LastUpdated": stamp(now), "Type": "AWS-HMAC", "AccessKeyId": key}
            told |= {"SecretAccessKey": secret, "Token": token, "Expiration": stamp(until)}
            self._given[role, machine] = until, told
        return json.dumps(told, indent=2)


def table(instance: Any, credentials: Credentials, interruption: datetime | None, user_data: bytes) -> Table:
    """Path below /latest/ -> text, for an instance of moto's; `interruption` is when spot capacity is taken back."""
    nic = instance.nics[0]
    zone, region = instance.placement.zone, instance.region_name
    found: dict[str, str | bytes] = {
        "ami-id": instance.image_id,
        "ami-launch-index": str(instance.ami_launch_index),
        "ami-manifest-path": "(unknown)",
        "block-device-mapping/ami": instance.root_device_name,
        "block-device-mapping/root": instance.root_device_name,
        "hostname": instance.private_dns_name,
        "instance-action": "none",
        "instance-id": instance.id,
        "instance-life-cycle": "spot" if instance.lifecycle == "spot" else "on-demand",
        "instance-type": instance.instance_type,
        "local-hostname": instance.private_dns_name,
        "local-ipv4": instance.private_ip,
        "mac": nic.mac_address,
        "placement/availability-zone": zone,
        "placement/region": region,
        "profile": "default-hvm",
        "reservation-id": getattr(instance, "reservation_id", ""),
        "security-groups": "\n".join(group.name for group in nic.group_set),
        "services/domain": "amazonaws.com",
        "services/partition": "aws",
    }
    if instance.placement.group_name:
        found["placement/group-name"] = instance.placement.group_name
    if instance.public_ip:
        found |= {"public-ipv4": instance.public_ip, "public-hostname": instance.public_dns_name}
    if instance.key_name:
        found["public-keys/0/openssh-key"] = f"ssh-rsa AAAA {instance.key_name}"
    found |= _network(instance, nic) | _role(instance, credentials) | _tags(instance)
    if interruption:
        when, action = stamp(interruption), instance.spot_request.instance_interruption_behaviour
        found["spot/instance-action"] = json.dumps({"action": action, "time": when})
        if action == "terminate":
            found["spot/termination-time"] = when
        found["events/recommendations/rebalance"] = json.dumps({"noticeTime": stamp(datetime.now(UTC))})
    whole: dict[str, str | bytes] = {f"meta-data/{name}": text for name, text in found.items()}
    whole["dynamic/instance-identity/document"] = _identity(instance)
    if user_data:
        whole["user-data"] = user_data
    return whole


def stamp(when: datetime) -> str:
    """A time as the metadata service writes it."""
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def _network(instance: Any, nic: Any) -> dict[str, str | bytes]:
    vpc = instance.ec2_backend.get_vpc(nic.vpc_id)
    told = {
        "device-number": str(nic.device_index),
        "interface-id": nic.id,
        "local-hostname": instance.private_dns_name,
        "local-ipv4s": nic.private_ip_address,
        "mac": nic.mac_address,
        "owner-id": ACCOUNT,
        "security-group-ids": "\n".join(group.id for group in nic.group_set),
        "security-groups": "\n".join(group.name for group in nic.group_set),
        "subnet-id": nic.subnet_id,
        "subnet-ipv4-cidr-block": nic.subnet.cidr_block,
        "vpc-id": nic.vpc_id,
        "vpc-ipv4-cidr-block": vpc.cidr_block,
        "vpc-ipv4-cidr-blocks": vpc.cidr_block,
    }
    return {f"network/interfaces/macs/{nic.mac_address}/{name}": text for name, text in told.items()}


def _role(instance: Any, credentials: Credentials) -> dict[str, str | bytes]:
    profile = instance.iam_instance_profile
    if not profile:
        return {}
    told = {"Code": "Success", "LastUpdated": stamp(instance.launch_time), "InstanceProfileArn": profile["Arn"]}
    found: dict[str, str | bytes] = {"iam/info": json.dumps(told | {"InstanceProfileId": profile["Id"]}, indent=2)}
    with suppress(ServiceException):
        for role in ec2_checks.profile(ACCOUNT, profile["Arn"]).roles:
            found[f"iam/security-credentials/{role.name}"] = credentials.of(role.arn, instance.id)
    return found


def _tags(instance: Any) -> dict[str, str | bytes]:
    if instance.metadata_options.instance_metadata_tags != "enabled":
        return {}
    return {f"tags/instance/{tag['key']}": tag["value"] for tag in instance.get_tags() if tag["key"][:4] != "aws:"}


def _identity(instance: Any) -> str:
    nothing = ("billingProducts", "devpayProductCodes", "marketplaceProductCodes", "kernelId", "ramdiskId")
    told = {
        "accountId": ACCOUNT,
        "architecture": instance.architecture,
        "availabilityZone": instance.placement.zone,
        "imageId": instance.image_id,
        "instanceId": instance.id,
        "instanceType": instance.instance_type,
        "pendingTime": stamp(instance.launch_time),
        "privateIp": instance.private_ip,
        "region": instance.region_name,
        "version": "2017-09-30",
    }
    return json.dumps(told | dict.fromkeys(nothing), indent=2, sort_keys=True)
