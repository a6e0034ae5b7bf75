"""What is deployed and can be scaled: how many of what run now, and what one of them costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from botocore.exceptions import ClientError

from dogbreed import priced
from dogbreed.cloud import scaling_groups
from dogbreed.cloud.errors import is_missing
from dogbreed.cloud.scaling_targets import ALIAS, VARIANT
from dogbreed.cloud.session import Aws
from dogbreed.errors import DogbreedError, UsageError
from dogbreed.priced import Part, Price


@dataclass(frozen=True)
class Deployed:
    """A service behind `door`: `count` units now, each `hourly` US dollars (None: not known).

    `unit`: such as "ml.m5.large". `most`: more than so many units it cannot have (0: no such limit).
    `more`: what only one door has, such as the target group of machines.
    """

    door: str
    name: str
    unit: str
    count: int
    hourly: Decimal | None
    most: int = 0
    more: Mapping[str, Any] = field(default_factory=dict)


def find(aws: Aws, door: str = "") -> Deployed:
    """What is deployed behind `door`, or the only door there is; UsageError where that leaves a choice, or nothing."""
    found = [one for name in ([door] if door else _LOOKS) if (one := _LOOKS[name](aws))]
    if len(found) == 1:
        return found[0]
    if found:
        doors = " and ".join(one.door for one in found)
        raise UsageError(f"{doors} are deployed", f"name one: --to {found[0].door}")
    what = f"nothing is deployed to {door}" if door else "nothing is deployed"
    raise UsageError(
        f"{what} by project {aws.settings.project} in {aws.region}", f"dogbreed deploy --to {door or 'endpoint'}"
    )


def _endpoint(aws: Aws) -> Deployed | None:
    seen = _variant(aws, "endpoint")
    if seen is None:
        return None
    endpoint, variant, config = seen
    unit = config.get("InstanceType") or variant.get("InstanceType", "")
    hourly = priced.instances(unit, aws.region, 1).hourly
    more = {"managed": config.get("ManagedInstanceScaling"), "config": endpoint["EndpointConfigName"]}
    count = variant.get("DesiredInstanceCount", variant.get("CurrentInstanceCount", 0))
    return Deployed("endpoint", endpoint["EndpointName"], unit, count, hourly, more=more)


def _serverless(aws: Aws) -> Deployed | None:
    seen = _variant(aws, "serverless")
    if seen is None:
        return None
    endpoint, variant, made = seen
    config = variant.get("CurrentServerlessConfig") or made.get("ServerlessConfig") or {}
    unit = f"copy of {config.get('MemorySizeInMB', 0)} MB kept started"
    count = config.get("ProvisionedConcurrency", 0)
    hourly = priced.copies_of_endpoint(aws.region, config.get("MemorySizeInMB", 0), 1).hourly
    return Deployed("serverless", endpoint["EndpointName"], unit, count, hourly, config.get("MaxConcurrency", 0))


def _function(aws: Aws) -> Deployed | None:
    client, name = aws.client("lambda"), aws.name("lambda")
    try:
        seen = client.get_function_configuration(FunctionName=name, Qualifier=ALIAS)
    except ClientError as error:
        if is_missing(error):
            return None
        raise
    try:
        kept = client.get_provisioned_concurrency_config(FunctionName=name, Qualifier=ALIAS)
        count = kept["RequestedProvisionedConcurrentExecutions"]
    except ClientError as error:
        if not is_missing(error):
            raise
        count = 0
    memory = int(seen["MemorySize"])
    hourly = priced.copies(aws.region, memory, 1, arm="arm64" in seen.get("Architectures", ())).hourly
    return Deployed("lambda", name, f"copy of {memory} MB kept started", count, hourly)


def _machines(aws: Aws) -> Deployed | None:
    seen = scaling_groups.group(aws)
    if seen is None:
        return None
    made = _template(aws, seen)
    unit = next((one["InstanceType"] for one in seen.get("Instances", ())), "") or made.get("InstanceType", "")
    more = {"target groups": seen.get("TargetGroupARNs", [])}
    hourly = _machine(unit, aws.region, made).hourly
    return Deployed("ec2", seen["AutoScalingGroupName"], unit or "machine", seen["DesiredCapacity"], hourly, more=more)


_LOOKS: dict[str, Callable[[Aws], Deployed | None]] = {
    "endpoint": _endpoint,
    "serverless": _serverless,
    "lambda": _function,
    "ec2": _machines,
}


def _variant(aws: Aws, door: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]] | None:
    """The endpoint of a door, its variant, and that variant in the configuration; None where there is none."""
    client, name = aws.client("sagemaker"), aws.name(door)
    try:
        endpoint = client.describe_endpoint(EndpointName=name)
    except ClientError as error:
        if is_missing(error):
            return None
        raise
    status = endpoint["EndpointStatus"]
    if status == "Deleting":
        return None
    if status in ("Failed", "OutOfService"):
        raise DogbreedError(f"endpoint {name} is {status}: {endpoint.get('FailureReason', '')}", "dogbreed status")
    # An update may be that of scaling itself, and takes minutes.
    if status == "Creating":
        raise DogbreedError(f"endpoint {name} is {status}, and can be scaled once it is InService", "dogbreed status")
    config = client.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    wanted = [one for one in config["ProductionVariants"] if one["VariantName"] == VARIANT]
    running = [one for one in endpoint.get("ProductionVariants", ()) if one["VariantName"] == VARIANT]
    if not wanted:
        raise DogbreedError(f"endpoint {name} has no variant {VARIANT}", "dogbreed deploy")
    return dict(endpoint), dict(running[0]) if running else {}, dict(wanted[0])


def _machine(kind: str, region: str, made: Mapping[str, Any]) -> Price:
    """One more machine of a group, as its template has it."""
    disks = [one["Ebs"] for one in made.get("BlockDeviceMappings", ()) if "Ebs" in one]
    disk = disks[0] if disks else {}
    address = any(one.get("AssociatePublicIpAddress") for one in made.get("NetworkInterfaces", ()))
    size, of = disk.get("VolumeSize"), str(disk.get("VolumeType", ""))
    return priced.machine(kind, region, gb=size, disk=of, address=address) if kind else Price((Part("machine", None),))


def _template(aws: Aws, seen: Mapping[str, Any]) -> dict[str, Any]:
    """What the launch template of a group says; nothing where it has none."""
    mixed = seen.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {})
    template = seen.get("LaunchTemplate") or mixed.get("LaunchTemplateSpecification")
    if not template:
        return {}
    which = {"LaunchTemplateId": template["LaunchTemplateId"], "Versions": [template.get("Version", "$Default")]}
    found = aws.client("ec2").describe_launch_template_versions(**which)["LaunchTemplateVersions"]
    return dict(found[0]["LaunchTemplateData"]) if found else {}
