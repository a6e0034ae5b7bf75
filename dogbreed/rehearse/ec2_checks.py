"""What AWS refuses of a launch, and moto does not: parameters that contradict each other, places without the type.

Sentences are AWS's where they are known from its documentation or from errors that people have shown.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any

from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS, INSTANCE_TYPES
from moto.ec2.utils import filter_iam_instance_profiles

from dogbreed.rehearse import ec2_images, ec2_prices
from dogbreed.rehearse.calls import AwsError
from dogbreed.rehearse.ec2_template import Params, moto_speaks

if TYPE_CHECKING:
    from dogbreed.rehearse.cloud import Cloud

_USER_DATA_BYTES = 16_384
# The letters that a type begins with -> the quotas of running vCPUs, on demand and spot.
_QUOTAS = {"g": ("L-DB2E81BA", "L-3819A6DF"), "vt": ("L-DB2E81BA", "L-3819A6DF"), "p": ("L-417A185B", "L-7212CCBC")}
_QUOTAS |= dict.fromkeys("acdhimrtz", ("L-1216C47A", "L-34B43A08"))


def market(params: Params) -> str:
    """`spot` or `on-demand`."""
    return (params.get("InstanceMarketOptions") or {}).get("MarketType") or "on-demand"


def user_data(params: Params) -> bytes:
    """User data as it was before base64."""
    given = params.get("UserData")
    if not given:
        return b""
    try:
        data = base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        raise AwsError("InvalidParameterValue", "Invalid BASE64 encoding of user data.") from None
    if len(data) > _USER_DATA_BYTES:
        raise AwsError("InvalidParameterValue", "User data is limited to 16384 bytes")
    return data


def zone_of(backend: Any, params: Params) -> str:
    """The Availability Zone where the parameters lead, "" for any; AwsError where they contradict each other."""
    nics = params.get("NetworkInterfaces") or []
    if nics and params.get("SubnetId"):
        raise _contradiction("an instance-level subnet ID")
    if nics and (params.get("SecurityGroupIds") or params.get("SecurityGroups")):
        raise _contradiction("an instance-level security groups")
    subnet = params.get("SubnetId") or next((nic["SubnetId"] for nic in nics if nic.get("SubnetId")), None)
    asked = (params.get("Placement") or {}).get("AvailabilityZone")
    if subnet:
        with moto_speaks():
            zone = str(backend.get_subnet(subnet).availability_zone)
        if asked and asked != zone:
            raise AwsError("InvalidParameterValue", f"The specified subnet {subnet} is not in {asked}.")
        return zone
    if asked and asked not in zones(backend.region_name):
        raise AwsError("InvalidParameterValue", f"Invalid availability zone: [{asked}]")
    return asked or ""


def _contradiction(what: str) -> AwsError:
    words = f"Network interfaces and {what} may not be specified on the same request"
    return AwsError("InvalidParameterCombination", words)


def zones(region: str) -> list[str]:
    """Those of a region."""
    return sorted({offer["Location"] for offer in INSTANCE_TYPE_OFFERINGS["availability-zone"].get(region, ())})


def check(cloud: Cloud, backend: Any, params: Params, count: int) -> str:
    """AwsError where AWS would refuse; the zone."""
    region, kind = backend.region_name, params.get("InstanceType") or "m1.small"
    ec2_images.put(backend)
    if not params.get("ImageId"):
        raise AwsError("MissingParameter", "The request must contain the parameter ImageId")
    with moto_speaks():
        image = backend.describe_images(ami_ids=[params["ImageId"]])[0]
    user_data(params)
    zone = zone_of(backend, params)
    _check_type(kind, image, region, zone)
    _check_profile(cloud, params)
    _check_groups(backend, params)
    options = (params.get("InstanceMarketOptions") or {}).get("SpotOptions") or {}
    if (
        options.get("InstanceInterruptionBehavior", "terminate") != "terminate"
        and options.get("SpotInstanceType") != "persistent"
    ):
        words = "The instance interruption behavior is only valid with a persistent Spot Instance request."
        raise AwsError("InvalidParameterCombination", words)
    _check_quota(cloud, backend, kind, params, count)
    if zone:
        check_capacity(cloud, kind, zone, params)
        return zone
    return _any_zone(cloud, kind, region, params)


def _any_zone(cloud: Cloud, kind: str, region: str, params: Params) -> str:
    """The first zone that has the type; what is said of the last one where none has."""
    refusal = None
    for zone in _offering(kind, region) or zones(region) or [f"{region}a"]:
        try:
            check_capacity(cloud, kind, zone, params)
        except AwsError as error:
            refusal = error
        else:
            return zone
    assert refusal
    raise refusal


def _offering(kind: str, region: str) -> list[str]:
    offers = INSTANCE_TYPE_OFFERINGS["availability-zone"].get(region, ())
    return sorted(offer["Location"] for offer in offers if offer["InstanceType"] == kind)


def _check_type(kind: str, image: Any, region: str, zone: str) -> None:
    offered = _offering(kind, region)
    if kind not in INSTANCE_TYPES or (zones(region) and not offered):
        words = (
            f"The requested configuration is currently not supported: {kind} in {region}. Please check the "
            "documentation for supported configurations."
        )
        raise AwsError("Unsupported", words)
    if zone and offered and zone not in offered:
        words = (
            f"Your requested instance type ({kind}) is not supported in your requested Availability Zone ({zone}). "
            f"Please retry your request by not specifying an Availability Zone or choosing {', '.join(offered)}."
        )
        raise AwsError("Unsupported", words)
    fit = INSTANCE_TYPES[kind].get("ProcessorInfo", {}).get("SupportedArchitectures") or [image.architecture]
    if image.architecture not in fit:
        words = (
            f"The architecture '{','.join(fit)}' of the specified instance type does not match the architecture "
            f"'{image.architecture}' of the specified AMI. Specify an instance type and an AMI that have matching "
            "architectures, and try again. You can use 'describe-instance-types' or 'describe-images' to discover the "
            "architecture of the instance type or AMI."
        )
        raise AwsError("InvalidParameterValue", words)


def _check_profile(cloud: Cloud, params: Params) -> None:
    if told := params.get("IamInstanceProfile"):
        with moto_speaks():
            profile(cloud.account, told.get("Arn"), told.get("Name"))


def profile(account: str, arn: str | None, name: str | None = None) -> Any:
    """Moto's instance profile of that ARN or name; its own exception where there is none."""
    return filter_iam_instance_profiles(
        account, partition="aws", iam_instance_profile_arn=arn, iam_instance_profile_name=name
    )


def _check_groups(backend: Any, params: Params) -> None:
    nics = params.get("NetworkInterfaces") or []
    for group in [
        *(params.get("SecurityGroupIds") or []),
        *(group for nic in nics for group in nic.get("Groups") or []),
    ]:
        if backend.get_security_group_from_id(group) is None:
            raise AwsError("InvalidGroup.NotFound", f"The security group '{group}' does not exist")


def check_capacity(cloud: Cloud, kind: str, zone: str, params: Params) -> None:
    """AwsError where the price is too low, or a fault says that the type is not to be had there in this market."""
    options = (params.get("InstanceMarketOptions") or {}).get("SpotOptions") or {}
    offered, price = options.get("MaxPrice"), ec2_prices.spot(kind, zone)
    if offered and price and float(offered) < float(price):
        words = (
            f"Your Spot request price of {offered} is lower than the minimum required Spot request fulfillment price of"
        )
        raise AwsError("SpotMaxPriceTooLow", f"{words} {price}.")
    if not cloud.faults.no_capacity(kind, zone, market(params)):
        return
    if market(params) == "spot":
        raise AwsError(
            "InsufficientInstanceCapacity", "There is no Spot capacity available that matches your request.", 500
        )
    others = ", ".join(other for other in zones(zone[:-1]) if other != zone)
    words = (
        f"We currently do not have sufficient {kind} capacity in the Availability Zone you requested ({zone}). "
        "Our system will be working on provisioning additional capacity. You can currently get "
        f"{kind} capacity by not specifying an Availability Zone in your request or choosing {others}."
    )
    raise AwsError("InsufficientInstanceCapacity", words, 500)


def _quota(kind: str, market: str) -> str:
    """The code of the quota that a type counts for; empty where none is kept."""
    letters = re.match(r"[a-z]*", kind)
    codes = _QUOTAS.get(letters.group() if letters else "", ("", ""))
    return codes[market == "spot"]


def _check_quota(cloud: Cloud, backend: Any, kind: str, params: Params, count: int) -> None:
    code = _quota(kind, market(params))
    if not code:
        return
    limit = int(cloud.quotas.value("ec2", code))
    used = count * _cores(kind)
    for instance in backend.all_instances():
        if instance.state in ("pending", "running"):
            theirs = "spot" if instance.lifecycle == "spot" else "on-demand"
            used += _cores(instance.instance_type) if _quota(instance.instance_type, theirs) == code else 0
    if used <= limit:
        return
    if market(params) == "spot":
        raise AwsError("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
    words = (
        f"You have requested more vCPU capacity than your current vCPU limit of {limit} allows for the instance bucket "
        "that the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to "
        "request an adjustment to this limit."
    )
    raise AwsError("VcpuLimitExceeded", words)


def _cores(kind: str) -> int:
    return int(INSTANCE_TYPES.get(kind, {}).get("VCpuInfo", {}).get("DefaultVCpus", 1))
