"""What SageMaker refuses of a training job before it exists, in its own words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from dogbreed.rehearse.calls import AwsError
from dogbreed.rehearse.trust import trusted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dogbreed.rehearse.cloud import Cloud
    from dogbreed.rehearse.sagemaker_job import Job


IMAGE = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/(?P<name>[^:@]+)([:@].+)?"
)


def check(cloud: Cloud, job: Job, others: Iterable[Job]) -> None:
    """Raise AwsError where AWS would refuse to create this job."""
    others = list(others)
    if any(other.name == job.name for other in others):
        raise name_is_taken(job)
    _check_shape(job)
    _check_spot(job)
    check_role(cloud, job.request["RoleArn"])
    _check_quota(cloud, job, others)
    _check_image(cloud, job)
    check_network(cloud, job.region, job.request.get("VpcConfig", {}))
    for channel in job.request.get("InputDataConfig", []):
        _check_channel(cloud, job, channel)


def name_is_taken(job: Job) -> AwsError:
    """The ResourceInUse for a name that another job has."""
    words = "Training job names must be unique within an AWS account and region, and a training job with this "
    return AwsError("ResourceInUse", f"{words}name already exists ({job.arn})")


def invalid(words: str) -> AwsError:
    """A ValidationException."""
    return AwsError("ValidationException", words)


def _check_shape(job: Job) -> None:
    if "InstanceGroups" in job.resources or "InstanceType" not in job.resources:
        raise invalid("The stand-in runs jobs of one instance type: give InstanceType and InstanceCount.")
    if "VolumeSizeInGB" not in job.resources:
        raise invalid("VolumeSizeInGB is required in ResourceConfig.")
    local = job.request.get("CheckpointConfig", {}).get("LocalPath", "/opt/ml/checkpoints")
    if not local.startswith("/opt/ml/"):
        raise invalid(f"The stand-in keeps checkpoints below /opt/ml only, not at {local}.")
    mode = job.request["AlgorithmSpecification"]["TrainingInputMode"]
    if any(channel.get("InputMode", mode) == "Pipe" for channel in job.request.get("InputDataConfig", [])):
        raise invalid("The stand-in brings channels in as files (File, FastFile), not as pipes.")
    names = [channel["ChannelName"] for channel in job.request.get("InputDataConfig", [])]
    if len(set(names)) != len(names):
        raise invalid("Duplicate channel names are not allowed in InputDataConfig.")


def _check_spot(job: Job) -> None:
    limits = job.request.get("StoppingCondition", {})
    wait, run = limits.get("MaxWaitTimeInSeconds"), limits.get("MaxRuntimeInSeconds", 86400)
    if job.spot and wait is None:
        raise invalid("MaxWaitTimeInSeconds must be specified when EnableManagedSpotTraining is set to true.")
    if job.spot and wait < run:
        raise invalid(
            f"Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds: "
            f"{wait} is less than {run}"
        )
    if not job.spot and wait is not None:
        raise invalid("MaxWaitTimeInSeconds is supported only when EnableManagedSpotTraining is set to true.")
    if job.spot and job.keep_alive_s:
        raise invalid("KeepAlivePeriodInSeconds is not supported when EnableManagedSpotTraining is set to true.")


def check_role(cloud: Cloud, arn: str) -> None:
    """Raise AwsError for a role that is not there or does not trust SageMaker."""
    if not trusted(cloud, arn, "sagemaker.amazonaws.com"):
        raise invalid(
            f"Could not assume role {arn}. Please ensure that the role exists and allows principal "
            "'sagemaker.amazonaws.com' to assume the role."
        )


def _check_image(cloud: Cloud, job: Job) -> None:
    algorithm = job.request["AlgorithmSpecification"]
    image = algorithm.get("TrainingImage", "")
    found = IMAGE.fullmatch(image)
    mode = algorithm.get("TrainingImageConfig", {}).get("TrainingRepositoryAccessMode", "Platform")
    if image and not found and mode == "Platform":
        raise invalid(f'Using non-ECR image "{image}" without Vpc repository access mode is not supported.')
    if found and found["account"] == job.account:
        repositories = cloud.client("ecr", found["region"]).describe_repositories()["repositories"]
        if found["name"] not in {one["repositoryName"] for one in repositories}:
            raise invalid(f"Cannot find repository: {found['name']} in registry ID: {job.account}")


def check_network(cloud: Cloud, region: str, place: dict[str, Any]) -> None:
    """Raise AwsError for subnets or security groups of a VpcConfig that are not there."""
    client = cloud.client("ec2", region)
    try:
        if subnets := place.get("Subnets"):
            client.describe_subnets(SubnetIds=subnets)
        if groups := place.get("SecurityGroupIds"):
            client.describe_security_groups(GroupIds=groups)
    except ClientError as error:
        raise invalid(error.response["Error"]["Message"]) from error


def _check_quota(cloud: Cloud, job: Job, others: list[Job]) -> None:
    kind, count = job.resources["InstanceType"], job.resources.get("InstanceCount", 1)
    use = f"{kind} for {'spot ' if job.spot else ''}training job usage"
    limit = int(cloud.quotas.value("sagemaker", use))
    used = sum(
        other.resources.get("InstanceCount", 1)
        for other in others
        if not other.over and other.spot == job.spot and other.resources.get("InstanceType") == kind
    )
    if used + count > limit:
        raise over_limit(use, limit, used, count)


def over_limit(use: str, limit: int, used: int, count: int) -> AwsError:
    """The ResourceLimitExceeded for `count` instances more than a quota allows."""
    return AwsError(
        "ResourceLimitExceeded",
        f"The account-level service limit '{use}' is {limit} Instances, with current utilization of {used} "
        f"Instances and a request delta of {count} Instances. Please use AWS Service Quotas to request an increase "
        "for this quota. If AWS Service Quotas is not available, contact AWS support to request an increase for "
        "this quota.",
    )


def _check_channel(cloud: Cloud, job: Job, channel: dict[str, Any]) -> None:
    source = channel.get("DataSource", {}).get("S3DataSource")
    if not source:
        raise invalid("The stand-in takes channels from S3 only.")
    place = urlsplit(source["S3Uri"])
    bucket, role = place.netloc, job.request["RoleArn"]
    why = ""
    try:
        found = cloud.client("s3", role=role).list_objects_v2(Bucket=bucket, Prefix=place.path[1:], MaxKeys=1)
        if found.get("KeyCount"):
            return
    except ClientError as error:
        why = f" Error message from S3: {error.response['Error']['Message']}"
    raise invalid(
        f'No S3 objects found under S3 URL "{source["S3Uri"]}" given in input data source. Please ensure that the '
        f"bucket exists in the selected region ({job.region}), that objects exist under that S3 prefix, and that the "
        f'role "{role}" has "s3:ListBucket" permissions on bucket "{bucket}".{why}'
    )
