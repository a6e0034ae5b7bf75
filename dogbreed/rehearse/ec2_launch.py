"""Moto's instances for a launch, with what moto leaves out: disks, roles, tags, spot requests, placement."""

from __future__ import annotations

from collections.abc import Container
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.ec2.models.spot_requests import SpotInstanceRequest
from moto.ec2.utils import convert_tag_spec, parse_user_data, random_spot_request_id

from dogbreed.rehearse import ec2_checks, ec2_prices, sandbox
from dogbreed.rehearse.calls import AwsError
from dogbreed.rehearse.ec2_template import Params, moto_speaks, over, template

if TYPE_CHECKING:
    from dogbreed.rehearse.cloud import Cloud


class SpotRequest(SpotInstanceRequest):
    """The request behind a spot instance that was launched already."""

    def __init__(self, instance: Any, options: Params, tags: dict[str, dict[str, str]]) -> None:
        self._made = instance
        self._since = datetime.now(UTC)
        super().__init__(
            instance.ec2_backend,
            random_spot_request_id(),
            price=options.get("MaxPrice") or ec2_prices.spot(instance.instance_type, instance.placement.zone),
            image_id=instance.image_id,
            spot_instance_type=options.get("SpotInstanceType") or "one-time",
            valid_from=None,
            valid_until=options.get("ValidUntil"),
            launch_group=None,
            availability_zone_group=None,
            key_name=instance.key_name,
            security_groups=[group.id for group in instance.security_groups],
            user_data=None,
            instance_type=instance.instance_type,
            placement=instance.placement.zone,
            kernel_id=None,
            ramdisk_id=None,
            monitoring_enabled=instance.monitored,
            subnet_id=instance.subnet_id,
            tags=tags,
            spot_fleet_id=None,
            instance_interruption_behaviour=options.get("InstanceInterruptionBehavior"),
        )
        self._words("fulfilled", "Your spot request is fulfilled.")
        self.launched_availability_zone = instance.placement.zone

    def launch_instance(self) -> Any:
        """The instance that is there."""
        return self._made

    @property
    def status(self) -> dict[str, Any]:
        """How it stands."""
        return {"Code": self._status_code, "Message": self.status_message, "UpdateTime": self._since}

    @property
    def create_time(self) -> Any:
        """When it was made."""
        return self._made.launch_time

    def close(self, code: str, words: str) -> None:
        """Its instance has gone."""
        self.state = "closed"
        self._words(code, words)

    def _words(self, code: str, words: str) -> None:
        self._status_code, self.status_message, self._since = code, words, datetime.now(UTC)


def make(
    cloud: Cloud, backend: Any, params: Params, count: int, zone: str, leaving: Container[str] = frozenset()
) -> Any:
    """Moto's reservation with `count` instances, pending, for parameters that `ec2_checks.check` let pass.

    `leaving`: the ids of instances that were told that they will be taken back.
    """
    tags = convert_tag_spec(params.get("TagSpecifications") or [])
    spot = ec2_checks.market(params) == "spot"
    placement = params.get("Placement") or {}
    kind = params.get("InstanceType") or "m1.small"
    with moto_speaks():
        reservation = backend.run_instances(
            params["ImageId"],
            count,
            parse_user_data(params.get("UserData")),
            params.get("SecurityGroups") or [],
            instance_type=kind,
            is_instance_type_default=False,
            region_name=backend.region_name,
            subnet_id=_subnet(backend, params, zone),
            key_name=params.get("KeyName"),
            security_group_ids=list(params.get("SecurityGroupIds") or []),
            nics=_nics(params),
            private_ip=params.get("PrivateIpAddress"),
            associate_public_ip=None,
            tags=tags,
            ebs_optimized=params.get("EbsOptimized") or False,
            disable_api_stop=params.get("DisableApiStop") or False,
            disable_api_termination=params.get("DisableApiTermination") or False,
            instance_initiated_shutdown_behavior=params.get("InstanceInitiatedShutdownBehavior"),
            monitoring_state="enabled" if (params.get("Monitoring") or {}).get("Enabled") else "disabled",
            metadata_options=params.get("MetadataOptions") or {},
            client_token=params.get("ClientToken"),
            lifecycle="spot" if spot else None,
            block_device_mappings=_disks(backend, params),
        )
    told = tags.get("instance", {})
    for instance, dealt in zip(reservation.instances, _deal(backend, told, count, leaving), strict=True):
        instance.told, instance.dealt = told, dealt
        instance.reservation_id = reservation.id
        instance.placement.group_name = placement.get("GroupName") or ""
        instance.placement.tenancy = placement.get("Tenancy") or "default"
        _finish(cloud, instance, params, tags)
        if spot:
            options = (params.get("InstanceMarketOptions") or {}).get("SpotOptions") or {}
            request = SpotRequest(instance, options, tags)
            backend.spot_instance_requests[request.id] = request
            instance.spot_instance_request_id = request.id
            instance.spot_request = request
    return reservation


def _deal(backend: Any, told: dict[str, str], count: int, leaving: Container[str]) -> list[tuple[int, list[int]]]:
    """For each of `count` new machines among how many the cores are dealt, and its own.

    A machine keeps the size of its peers, launched with the same tags, that run or have just run, and takes the cores
    of one that is gone: a replacement is launched alone, and with all cores would sum in another order than the
    machine that it stands in for. Machines without tags have no peers but those of their own launch.
    """
    peers = [one for one in backend.all_instances() if told and getattr(one, "told", None) == told]
    hosts = max([count, *(one.dealt[0] for one in peers)])
    held = [one.dealt[1] for one in peers if one.state in ("pending", "running") and one.id not in leaving]
    return [(hosts, cores) for cores in sorted(sandbox.shares(hosts), key=held.count)[:count]]


def _finish(cloud: Cloud, instance: Any, params: Params, tags: dict[str, dict[str, str]]) -> None:
    backend = instance.ec2_backend
    if not instance.security_groups:
        instance.security_groups = list(instance.nics[0].group_set)
    for nic in instance.nics.values():
        nic.add_tags(tags.get("network-interface", {}))
    if told := params.get("IamInstanceProfile"):
        profile = ec2_checks.profile(cloud.account, told.get("Arn"), told.get("Name"))
        backend.associate_iam_instance_profile(instance.id, iam_instance_profile_arn=profile.arn)
        instance.iam_instance_profile = {"Arn": profile.arn, "Id": profile.id}
    if wanted := params.get("LaunchTemplate"):
        found = template(backend, wanted)
        of_aws = {"id": found.template.id, "version": str(found.number)}
        instance.add_tags({f"aws:ec2launchtemplate:{name}": value for name, value in of_aws.items()})
    disks = {disk["DeviceName"]: disk["Ebs"] for disk in _disks(backend, params)}
    for device, block in instance.get_block_device_mapping:
        volume = backend.volumes[block.volume_id]
        volume.iops, volume.throughput = disks[device].get("Iops"), disks[device].get("Throughput")


def _subnet(backend: Any, params: Params, zone: str) -> str | None:
    """The subnet that is asked for, else the default one of the zone; None where an interface brings its own."""
    nics = params.get("NetworkInterfaces") or []
    if nics and "NetworkInterfaceId" in nics[0]:
        return None
    for told in (params, *nics):
        if told.get("SubnetId"):
            return str(told["SubnetId"])
    default = backend.get_default_subnets().get(zone)
    if default is None:
        raise AwsError("MissingInput", f"No default subnet for availability zone: '{zone}'.")
    return str(default.id)


def _nics(params: Params) -> list[Params]:
    """Interfaces that go with the instance, unless they are said to stay or were there before."""
    nics = params.get("NetworkInterfaces") or [{"DeviceIndex": 0}]
    return [
        {"DeviceIndex": number} | ({} if "NetworkInterfaceId" in nic else {"DeleteOnTermination": True}) | nic
        for number, nic in enumerate(nics)
    ]


def _disks(backend: Any, params: Params) -> list[Params]:
    """The volumes of an instance: those of its image, changed and added to by what is asked."""
    image = backend.amis[params["ImageId"]]
    root = {"Ebs": {"VolumeSize": 8, "VolumeType": "gp3", "DeleteOnTermination": True}}
    disks = {
        disk["DeviceName"]: over(disk, root if disk["Ebs"].get("VolumeType") == "standard" else {})
        for disk in image.block_device_mappings
    }
    for disk in params.get("BlockDeviceMappings") or []:
        name = disk["DeviceName"]
        if disk.get("NoDevice") is not None:
            disks.pop(name, None)
        elif "Ebs" in disk:
            disks[name] = over(disks.get(name, {"Ebs": {"VolumeType": "gp2"}}), disk)
    for disk in disks.values():
        if backend.ebs_encryption_by_default or disk["Ebs"].get("KmsKeyId"):
            disk["Ebs"]["Encrypted"] = True
    return list(disks.values())
