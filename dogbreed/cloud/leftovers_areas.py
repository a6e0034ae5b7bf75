"""The areas that `dogbreed leftovers` reads: endpoints, notebooks, machines and disks, networks, logs, images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

from botocore.exceptions import ClientError

from dogbreed.cloud.errors import is_missing
from dogbreed.cloud.leftovers import Account, Area, Leftover
from dogbreed.cloud.session import PROJECT_TAG, unpaired
from dogbreed.pricing import HOURS_A_MONTH

_FREE = Decimal(0)
_GB = 1e9
# Snapshots of which nobody has thought for a year, and logs of which a month costs a cent or more.
_OLD_SNAPSHOT, _LARGE_LOG = timedelta(days=365), 1e9


def endpoints(account: Account) -> Iterator[Leftover]:
    """Endpoints that nobody asks, and those that bear no project's tag."""
    client = account.aws.client("sagemaker")
    names = [
        one["EndpointName"]
        for one in account.pages("sagemaker", "list_endpoints", "Endpoints")
        if account.now - one["CreationTime"] > timedelta(days=1)
    ]
    for name in names:
        seen = _there(client.describe_endpoint, EndpointName=name)
        if seen is None:
            continue
        # AWS lets the configuration of a running endpoint be deleted; then nobody knows what it costs.
        config = _there(client.describe_endpoint_config, EndpointConfigName=seen["EndpointConfigName"])
        tags = unpaired(client.list_tags(ResourceArn=seen["EndpointArn"]).get("Tags"))
        variants = config["ProductionVariants"] if config else seen.get("ProductionVariants", ())
        asked = [{"EndpointName": name, "VariantName": one["VariantName"]} for one in variants]
        idle = all(account.unused("AWS/SageMaker", "Invocations", asked))
        if not idle and PROJECT_TAG in tags:
            continue
        why = f"not asked in {account.days} days" if idle else "no project claims it"
        month = _sum([_variant(account, one, seen) for one in variants])
        yield Leftover("endpoint", name, why, month, f"aws sagemaker delete-endpoint --endpoint-name {name}")


def _there(look: Callable[..., dict[str, Any]], **name: str) -> dict[str, Any] | None:
    """What a look shows; None for what has gone since it was listed."""
    try:
        return look(**name)
    except ClientError as error:
        if is_missing(error):
            return None
        raise


def _variant(account: Account, one: dict[str, Any], seen: dict[str, Any]) -> Decimal | None:
    running: dict[str, Any] = next(
        (now for now in seen.get("ProductionVariants", ()) if now["VariantName"] == one["VariantName"]), {}
    )
    if "InstanceType" not in one:
        serverless = one.get("ServerlessConfig")
        return None if serverless is None or serverless.get("ProvisionedConcurrency") else _FREE
    count = running.get("CurrentInstanceCount", one.get("InitialInstanceCount", 1))
    return account.by_hour(one["InstanceType"], count)


def configurations(account: Account) -> Iterator[Leftover]:
    """Endpoint configurations and models that no endpoint uses; they cost nothing but the look of it."""
    client = account.aws.client("sagemaker")
    used, models = set(), set()
    for one in account.pages("sagemaker", "list_endpoints", "Endpoints"):
        if endpoint := _there(client.describe_endpoint, EndpointName=one["EndpointName"]):
            used.add(endpoint["EndpointConfigName"])
    for one in account.pages("sagemaker", "list_endpoint_configs", "EndpointConfigs"):
        name = one["EndpointConfigName"]
        config = _there(client.describe_endpoint_config, EndpointConfigName=name)
        if config is None:
            continue
        models |= {variant.get("ModelName") for variant in config["ProductionVariants"]}
        if name not in used and account.old(one["CreationTime"]):
            remove = f"aws sagemaker delete-endpoint-config --endpoint-config-name {name}"
            yield Leftover("endpoint configuration", name, "no endpoint uses it", _FREE, remove)
    for one in account.pages("sagemaker", "list_models", "Models"):
        if one["ModelName"] not in models and account.old(one["CreationTime"]):
            remove = f"aws sagemaker delete-model --model-name {one['ModelName']}"
            yield Leftover("model", one["ModelName"], "no configuration uses it", _FREE, remove)


def notebooks(account: Account) -> Iterator[Leftover]:
    """Notebook instances: what runs costs by the hour, what is stopped its volume."""
    client = account.aws.client("sagemaker")
    for one in account.pages("sagemaker", "list_notebook_instances", "NotebookInstances"):
        name, status = one["NotebookInstanceName"], one["NotebookInstanceStatus"]
        disk = client.describe_notebook_instance(NotebookInstanceName=name).get("VolumeSizeInGB", 5)
        volume = account.of("sagemaker_volume_gb_month", disk)
        if status == "InService":
            since = (account.now - one["LastModifiedTime"]).days
            month = _sum([account.by_hour(one["InstanceType"]), volume])
            remove = f"aws sagemaker stop-notebook-instance --notebook-instance-name {name}"
            yield Leftover("notebook", name, f"runs, unchanged for {since} days", month, remove)
        elif status == "Stopped":
            remove = f"aws sagemaker delete-notebook-instance --notebook-instance-name {name}"
            yield Leftover("notebook", name, f"stopped, keeps {disk} GB", volume, remove)


def apps(account: Account) -> Iterator[Leftover]:
    """Applications of SageMaker Studio that run."""
    for one in account.pages("sagemaker", "list_apps", "Apps"):
        machine = one.get("ResourceSpec", {}).get("InstanceType", "system")
        if one.get("Status") != "InService" or machine == "system":
            continue
        owner = one.get("UserProfileName") or one.get("SpaceName", "")
        where = f"--domain-id {one['DomainId']} --app-type {one['AppType']} --app-name {one['AppName']}"
        who = f"--user-profile-name {owner}" if one.get("UserProfileName") else f"--space-name {owner}"
        name = f"{owner}/{one['AppName']}"
        remove = f"aws sagemaker delete-app {where} {who}"
        yield Leftover("studio app", name, f"runs on {machine}", account.by_hour(machine), remove)


def volumes(account: Account) -> Iterator[Leftover]:
    """Volumes that are attached to nothing, or to a machine that is stopped."""
    machines = account.pages(
        "ec2",
        "describe_instances",
        "Reservations",
        Filters=[{"Name": "instance-state-name", "Values": ["stopped"]}],
    )
    stopped = {one["InstanceId"] for group in machines for one in group["Instances"]}
    for one in account.pages("ec2", "describe_volumes", "Volumes"):
        holders = [held["InstanceId"] for held in one.get("Attachments", ())]
        size, kind, name = one["Size"], one["VolumeType"], one["VolumeId"]
        # The table has the price of gp3 only.
        month = account.of("ec2_ebs_gp3_gb_month", size) if kind == "gp3" else None
        if not holders:
            remove = f"aws ec2 delete-volume --volume-id {name}"
            yield Leftover("volume", name, f"{size} GB of {kind}, attached to nothing", month, remove)
        elif set(holders) <= stopped:
            remove = f"aws ec2 terminate-instances --instance-ids {holders[0]}"
            yield Leftover("volume", name, f"{size} GB of {kind}, of {holders[0]}, which is stopped", month, remove)


def snapshots(account: Account) -> Iterator[Leftover]:
    """Snapshots of this account that are older than a year; the table has no price for them."""
    for one in account.pages("ec2", "describe_snapshots", "Snapshots", OwnerIds=["self"]):
        if account.now - one["StartTime"] > _OLD_SNAPSHOT:
            name, years = one["SnapshotId"], (account.now - one["StartTime"]).days / 365
            remove = f"aws ec2 delete-snapshot --snapshot-id {name}"
            yield Leftover("snapshot", name, f"of {one['VolumeSize']} GB, {years:.1f} years old", None, remove)


def addresses(account: Account) -> Iterator[Leftover]:
    """Elastic addresses that lead nowhere."""
    for one in account.aws.client("ec2").describe_addresses()["Addresses"]:
        if not one.get("AssociationId"):
            month = account.of("public_ipv4_hour", 1, HOURS_A_MONTH)
            remove = f"aws ec2 release-address --allocation-id {one.get('AllocationId', one['PublicIp'])}"
            yield Leftover("address", one["PublicIp"], "leads to nothing", month, remove)


def gateways(account: Account) -> Iterator[Leftover]:
    """NAT gateways through which nothing goes."""
    filters = [{"Name": "state", "Values": ["available"]}]
    found = list(account.pages("ec2", "describe_nat_gateways", "NatGateways", Filters=filters))
    names = [one["NatGatewayId"] for one in found]
    asked = [{"NatGatewayId": name} for name in names]
    idle = account.unused("AWS/NATGateway", "BytesOutToDestination", asked)
    for name, is_idle in zip(names, idle, strict=True):
        if is_idle:
            month = account.of("nat_gateway_hour", 1, HOURS_A_MONTH)
            remove = f"aws ec2 delete-nat-gateway --nat-gateway-id {name}"
            yield Leftover("NAT gateway", name, f"nothing went through it in {account.days} days", month, remove)


def balancers(account: Account) -> Iterator[Leftover]:
    """Load balancers behind which there is nothing."""
    client = account.aws.client("elbv2")
    for one in account.pages("elbv2", "describe_load_balancers", "LoadBalancers"):
        arn = one["LoadBalancerArn"]
        groups = client.describe_target_groups(LoadBalancerArn=arn)["TargetGroups"]
        behind = [
            target
            for group in groups
            for target in client.describe_target_health(TargetGroupArn=group["TargetGroupArn"])[
                "TargetHealthDescriptions"
            ]
        ]
        if not behind:
            application = one.get("Type") == "application"
            month = account.of("alb_hour", 1, HOURS_A_MONTH) if application else None
            remove = f"aws elbv2 delete-load-balancer --load-balancer-arn {arn}"
            yield Leftover("load balancer", one["LoadBalancerName"], "nothing is behind it", month, remove)


def scaling(account: Account) -> Iterator[Leftover]:
    """Scalable targets and alarms of endpoints that are not there."""
    names = {one["EndpointName"] for one in account.pages("sagemaker", "list_endpoints", "Endpoints")}
    asked = {"ServiceNamespace": "sagemaker"}
    for one in account.pages("application-autoscaling", "describe_scalable_targets", "ScalableTargets", **asked):
        resource = one["ResourceId"]
        if resource.startswith("endpoint/") and resource.split("/")[1] not in names:
            dimension = one["ScalableDimension"]
            remove = "aws application-autoscaling deregister-scalable-target --service-namespace sagemaker"
            remove += f" --resource-id {resource} --scalable-dimension {dimension}"
            yield Leftover("scalable target", resource, "its endpoint is gone", _FREE, remove)
    for one in account.pages("cloudwatch", "describe_alarms", "MetricAlarms"):
        of = {dimension["Name"]: dimension["Value"] for dimension in one.get("Dimensions", ())}
        if "SageMaker" in one.get("Namespace", "") and "EndpointName" in of and of["EndpointName"] not in names:
            month = account.of("cloudwatch_alarm_standard_month", 1)
            remove = f"aws cloudwatch delete-alarms --alarm-names {one['AlarmName']}"
            yield Leftover("alarm", one["AlarmName"], f"endpoint {of['EndpointName']} is gone", month, remove)


def logs(account: Account) -> Iterator[Leftover]:
    """Large log groups that are kept for ever."""
    for one in account.pages("logs", "describe_log_groups", "logGroups"):
        size = one.get("storedBytes", 0)
        if "retentionInDays" not in one and size >= _LARGE_LOG:
            name = one["logGroupName"]
            month = account.of("cloudwatch_logs_storage_gb_month", size / _GB)
            remove = f"aws logs put-retention-policy --log-group-name {name} --retention-in-days 30"
            yield Leftover("log group", name, f"{_size(size)}, kept for ever", month, remove)


def concurrency(account: Account) -> Iterator[Leftover]:
    """Copies of functions that are kept started and asked by nobody."""
    for one in account.pages("lambda", "list_functions", "Functions"):
        name = one["FunctionName"]
        try:
            kept = list(
                account.pages(
                    "lambda",
                    "list_provisioned_concurrency_configs",
                    "ProvisionedConcurrencyConfigs",
                    FunctionName=name,
                )
            )
        except ClientError as error:
            if is_missing(error):  # deleted meanwhile
                continue
            raise
        if not kept or not all(account.unused("AWS/Lambda", "Invocations", [{"FunctionName": name}])):
            continue
        for config in kept:
            count, qualifier = config["RequestedProvisionedConcurrentExecutions"], config["FunctionArn"].split(":")[-1]
            processor = "arm" if "arm64" in one.get("Architectures", ()) else "x86"
            seconds = count * one["MemorySize"] / 1024 * 3600
            month = account.of(f"lambda_provisioned_{processor}_gb_second", seconds, HOURS_A_MONTH)
            remove = "aws lambda delete-provisioned-concurrency-config"
            remove += f" --function-name {name} --qualifier {qualifier}"
            why = f"{count} kept started, not asked in {account.days} days"
            yield Leftover("function", f"{name}:{qualifier}", why, month, remove)


def images(account: Account) -> Iterator[Leftover]:
    """Images without a tag, by repository."""
    for one in account.pages("ecr", "describe_repositories", "repositories"):
        name = one["repositoryName"]
        untagged = list(
            account.pages(
                "ecr", "describe_images", "imageDetails", repositoryName=name, filter={"tagStatus": "UNTAGGED"}
            )
        )
        size = sum(image.get("imageSizeInBytes", 0) for image in untagged)
        if untagged and not _has_lifecycle(account.aws.client("ecr"), name):
            month = account.of("ecr_gb_month", size / _GB)
            remove = f"a lifecycle policy: ECR, Repositories, {name}, Lifecycle policy"
            yield Leftover("images", name, f"{len(untagged)} without a tag, {_size(size)}", month, remove)


def _has_lifecycle(ecr: Any, name: str) -> bool:
    """Whether old images go by themselves."""
    return _there(ecr.get_lifecycle_policy, repositoryName=name) is not None


def _size(count: float) -> str:
    return f"{count / _GB:.1f} GB" if count >= _GB else f"{count / 1e6:.1f} MB"


def _sum(amounts: list[Decimal | None]) -> Decimal | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known, _FREE) if len(known) == len(amounts) else None


AREAS: dict[str, Area] = {
    "endpoints": endpoints,
    "endpoint configurations and models": configurations,
    "notebooks": notebooks,
    "studio apps": apps,
    "volumes": volumes,
    "snapshots": snapshots,
    "addresses": addresses,
    "NAT gateways": gateways,
    "load balancers": balancers,
    "scaling and alarms": scaling,
    "logs": logs,
    "functions": concurrency,
    "images": images,
}
