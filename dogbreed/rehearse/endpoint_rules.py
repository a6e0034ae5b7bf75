"""What SageMaker refuses of models, endpoint configurations and endpoints, in its words where they are known."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from dogbreed.rehearse.sagemaker_data import split
from dogbreed.rehearse.sagemaker_rules import IMAGE, check_network, check_role, invalid, over_limit

if TYPE_CHECKING:
    from collections import Counter

    from dogbreed.rehearse.calls import AwsError, Call
    from dogbreed.rehearse.cloud import Cloud

_MEMORY = range(1024, 6145, 1024)
_NOT_SERVERLESS = (
    *("InstanceType", "InitialInstanceCount", "AcceleratorType", "VolumeSizeInGB", "ManagedInstanceScaling"),
    *("ContainerStartupHealthCheckTimeoutInSeconds", "ModelDataDownloadTimeoutInSeconds", "RoutingConfig"),
)


# -- models


def check_model(cloud: Cloud, call: Call) -> None:
    """Raise AwsError where AWS would refuse to create this model."""
    told = call.params
    containers = told.get("Containers") or [one for one in [told.get("PrimaryContainer")] if one]
    if not containers:
        raise invalid("Exactly one of PrimaryContainer or Containers must be provided.")
    if told.get("PrimaryContainer") and told.get("Containers"):
        raise invalid("Both PrimaryContainer and Containers cannot be specified at the same time.")
    if len(containers) > 1 or containers[0].get("Mode") == "MultiModel" or not containers[0].get("Image"):
        raise invalid("The stand-in runs models of one container, with an Image and one model.")
    if not (role := told.get("ExecutionRoleArn")):
        raise invalid("ExecutionRoleArn is required.")
    check_role(cloud, role)
    check_image(cloud, containers[0])
    _check_data(cloud, call.region, role, containers[0])
    check_network(cloud, call.region, told.get("VpcConfig", {}))


def check_image(cloud: Cloud, container: dict[str, Any]) -> None:
    """Raise AwsError for an image that is none, or that this account should have and has not."""
    image = container["Image"]
    found = IMAGE.fullmatch(image)
    if not found:
        if container.get("ImageConfig", {}).get("RepositoryAccessMode") == "Vpc":
            return
        raise invalid(f'Using non-ECR image "{image}" without Vpc repository access mode is not supported.')
    if found["account"] != cloud.account:
        return
    ecr = cloud.client("ecr", found["region"])
    name, _, tag = image.partition("/")[2].partition("@" if "@" in image else ":")
    wanted = {"imageDigest": tag} if "@" in image else {"imageTag": tag or "latest"}
    try:
        if ecr.batch_get_image(repositoryName=name, imageIds=[wanted]).get("images"):
            return
    except ClientError as error:
        if error.response["Error"]["Code"] != "RepositoryNotFoundException":
            raise
        raise invalid(f"Cannot find repository: {name} in registry ID: {cloud.account}") from error
    raise invalid(f"Requested image {image} not found.")


def pull_error(cloud: Cloud, image: str) -> str:
    """Why SageMaker cannot pull an image for an endpoint; empty where it can."""
    found = IMAGE.fullmatch(image)
    if found and found["account"] == cloud.account:
        return ""
    return (
        f"The repository of the image {image} does not grant ecr:GetDownloadUrlForLayer, ecr:BatchGetImage, "
        "ecr:BatchCheckLayerAvailability permission to sagemaker.amazonaws.com service principal."
    )


def _check_data(cloud: Cloud, region: str, role: str, container: dict[str, Any]) -> None:
    source = (container.get("ModelDataSource") or {}).get("S3DataSource")
    if not (uri := source["S3Uri"] if source else container.get("ModelDataUrl")):
        return
    bucket, key = split(uri)
    s3 = cloud.client("s3", region, role=role)
    try:
        if source and source["S3DataType"] == "S3Prefix":
            if s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("KeyCount"):
                return
        else:
            s3.head_object(Bucket=bucket, Key=key)
            return
    except ClientError:
        pass
    raise invalid(
        f'Could not access model data at {uri}. Please ensure that the role "{role}" exists and that its trust '
        'relationship policy allows the action "sts:AssumeRole" for the service principal "sagemaker.amazonaws.com". '
        f'Also ensure that the role has "s3:GetObject" permissions and that the object is located in {region}. If '
        "your Model uses multiple models or uncompressed models, please ensure that the role has "
        '"s3:ListBucket" permission.'
    )


# -- endpoint configurations


def check_config(cloud: Cloud, call: Call, models: dict[str, dict[str, Any]]) -> None:
    """Raise AwsError where AWS would refuse this configuration; `models` are the region's by name."""
    told = call.params
    variants, shadows = told["ProductionVariants"], told.get("ShadowProductionVariants", [])
    names = [one["VariantName"] for one in [*variants, *shadows]]
    if len(set(names)) < len(names):
        raise invalid("Duplicate variant names are not allowed in an endpoint configuration.")
    if "AsyncInferenceConfig" in told or "ExplainerConfig" in told:
        raise invalid("The stand-in has endpoints that answer at once, without explanations.")
    if role := told.get("ExecutionRoleArn"):
        check_role(cloud, role)
    for one in [*variants, *shadows]:
        if (name := one.get("ModelName")) is not None and name not in models:
            raise invalid(f'Could not find model "arn:aws:sagemaker:{call.region}:{cloud.account}:model/{name}".')
        _check_variant(told, one, models.get(name or "", {}))
    if any(one.get("InitialVariantWeight", 1.0) > 0 for one in variants):
        _check_shadows(variants, shadows)
        return
    raise invalid("At least one production variant must have a weight that is greater than 0.")


def _check_variant(told: dict[str, Any], one: dict[str, Any], model: dict[str, Any]) -> None:
    if "ServerlessConfig" in one:
        _check_serverless(told, one, model)
        return
    if "InstanceType" not in one:
        raise invalid(f"InstanceType is required for production variant {one['VariantName']}.")
    if "ModelName" not in one:
        _check_for_components(told, one)
        return
    if "ManagedInstanceScaling" in one:
        raise invalid("ManagedInstanceScaling is only supported for inference component endpoints.")
    if "InitialInstanceCount" not in one:
        raise invalid(f"InitialInstanceCount is required for production variant {one['VariantName']}.")


def _check_for_components(told: dict[str, Any], one: dict[str, Any]) -> None:
    if "ExecutionRoleArn" not in told:
        raise invalid("ExecutionRoleArn is required for endpoints to which you plan to deploy inference components.")
    scaling = one.get("ManagedInstanceScaling", {})
    low, high = scaling.get("MinInstanceCount", 1), scaling.get("MaxInstanceCount", 1)
    if scaling.get("Status") == "ENABLED" and low > high:
        raise invalid("Min instance count needs to be less than or equal to max instance count.")


def _check_serverless(told: dict[str, Any], one: dict[str, Any], model: dict[str, Any]) -> None:
    config = one["ServerlessConfig"]
    if config["MemorySizeInMB"] not in _MEMORY:
        sizes = ", ".join(map(str, _MEMORY))
        raise invalid(f"MemorySizeInMB {config['MemorySizeInMB']} is not valid. It must be one of [{sizes}].")
    if config.get("ProvisionedConcurrency", 0) > config["MaxConcurrency"]:
        raise invalid("ProvisionedConcurrency must be less than or equal to MaxConcurrency.")
    if given := [name for name in _NOT_SERVERLESS if name in one]:
        raise invalid(f"{given[0]} is not supported for serverless endpoint")
    if len(told["ProductionVariants"]) > 1 or told.get("ShadowProductionVariants"):
        raise invalid("Serverless endpoints support one production variant only.")
    for name, words in (("DataCaptureConfig", "Data capture"), ("VpcConfig", "VPC configuration")):
        if name in told or name in model:
            raise invalid(f"{words} is not supported for serverless endpoint")
    if model.get("EnableNetworkIsolation") or told.get("EnableNetworkIsolation"):
        raise invalid("network isolation is not supported for serverless endpoint")
    container = model.get("PrimaryContainer") or (model.get("Containers") or [{}])[0]
    if "ModelDataSource" in container:
        raise invalid("ModelDataSource is not supported for serverless endpoint")


def _check_shadows(variants: list[dict[str, Any]], shadows: list[dict[str, Any]]) -> None:
    if shadows and (len(variants) > 1 or len(shadows) > 1):
        raise invalid("An endpoint with a shadow variant has one production variant and one shadow variant.")


# -- endpoints


def check_deployment(told: dict[str, Any], instances: int) -> None:
    """Raise AwsError for a DeploymentConfig that AWS would not carry out on this many instances."""
    policy = told.get("BlueGreenUpdatePolicy")
    if policy and "RollingUpdatePolicy" in told:
        raise invalid("Only one of BlueGreenUpdatePolicy and RollingUpdatePolicy can be specified.")
    if policy:
        routing = policy["TrafficRoutingConfiguration"]
        kind = routing["Type"]
        for size, owner in (("CanarySize", "CANARY"), ("LinearStepSize", "LINEAR")):
            if (size in routing) != (kind == owner):
                verb = "is required" if kind == owner else "is not supported"
                raise invalid(f"{size} {verb} for traffic routing type {kind}.")
        low = 0.1 if kind == "LINEAR" else 0.0
        if kind != "ALL_AT_ONCE":
            _check_size(routing["CanarySize" if kind == "CANARY" else "LinearStepSize"], instances, low)
    elif "RollingUpdatePolicy" in told:
        _check_size(told["RollingUpdatePolicy"]["MaximumBatchSize"], instances, 0.05)


def _check_size(size: dict[str, Any], instances: int, low: float) -> None:
    whole = 100 if size["Type"] == "CAPACITY_PERCENT" else max(1, instances)
    share = size["Value"] / whole
    # One instance out of one or two is the smallest that there is.
    if share < low or (share > 0.5 and not (size["Type"] == "INSTANCE_COUNT" and instances == 1)):
        raise invalid(f"{json.dumps(size)} must be between {low:.0%} and 50% of the variant's total instance count.")


def check_quota(cloud: Cloud, wanted: Counter[str], used: Counter[str]) -> None:
    """Raise AwsError where instances by their type, beside those that are used, are more than the account may have."""
    for kind, count in wanted.items():
        use = f"{kind} for endpoint usage"
        limit = int(cloud.quotas.value("sagemaker", use))
        if count > 0 and used[kind] + count > limit:
            raise over_limit(use, limit, used[kind], count)


def in_progress(arn: str) -> AwsError:
    """What AWS says of a change to an endpoint that changes."""
    return invalid(f'Cannot update in-progress endpoint "{arn}".')
