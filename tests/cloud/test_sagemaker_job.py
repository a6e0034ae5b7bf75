"""What is asked of SageMaker: limits that keep a budget, disks and modes that fit, and everything that is set."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standin import bucket, role, until

from dogbreed.cloud import sagemaker_sdk
from dogbreed.cloud.session import Aws
from dogbreed.cloud.training_sagemaker import ENDING_S, input_mode, max_seconds, volume_gb
from dogbreed.config import SagemakerSettings
from dogbreed.errors import UsageError
from dogbreed.launch import ENVIRONMENT

_TYPE = "ml.m5.xlarge"


@given(
    usd=st.floats(0.01, 1e4),
    price=st.decimals("0.01", "100", places=4),
    instances=st.integers(1, 64),
    hours=st.floats(0.01, 120),
    kept=st.integers(0, 60),
    spent=st.decimals("0", "100", places=4),
)
def test_a_run_never_costs_more_than_its_budget(
    usd: float, price: Decimal, instances: int, hours: float, kept: int, spent: Decimal
) -> None:
    settings = SagemakerSettings(instance_type=_TYPE, max_usd=usd, max_hours=hours, keep_alive_minutes=kept)
    try:
        seconds = max_seconds(settings, instances, price, spent)
    except UsageError:
        # A minute of training, its end, and the machines kept after it would be too much.
        assert spent + price * instances * (60 + ENDING_S + 60 * kept) / 3600 > Decimal(str(usd))
        return
    assert min(60, int(hours * 3600)) <= seconds <= hours * 3600
    assert spent + price * instances * (seconds + ENDING_S + 60 * kept) / 3600 <= Decimal(str(usd))


def test_without_a_budget_the_hours_count_and_without_a_price_there_is_no_budget() -> None:
    assert max_seconds(SagemakerSettings(max_hours=1.5), 2, None, Decimal(0)) == 5400
    with pytest.raises(UsageError, match="is not known") as caught:
        max_seconds(SagemakerSettings(instance_type=_TYPE, max_usd=5), 2, None, Decimal(0))
    assert "--max-hours" in caught.value.hint


@given(size=st.integers(0, 10**13), wanted=st.sampled_from(["auto", "File", "FastFile"]))
def test_the_disk_holds_the_photos_in_every_mode(size: int, wanted: str) -> None:
    mode = input_mode(wanted, size)
    assert mode.name == wanted or wanted == "auto"
    assert mode.why
    copies = 2 if mode.name == "File" else 1
    assert volume_gb(SagemakerSettings(instance_type=_TYPE), size, mode.name) * 1e9 >= copies * size


def test_large_sets_are_streamed() -> None:
    assert input_mode("auto", 10**8).name == "File"
    assert input_mode("auto", 10**11).name == "FastFile"


def test_a_disk_that_is_too_small_is_refused() -> None:
    with pytest.raises(UsageError, match="do not hold the photos"):
        volume_gb(SagemakerSettings(instance_type=_TYPE, volume_gb=1), 10**10, "File")


@pytest.mark.parametrize(
    ("region", "instance_type", "image"),
    [
        ("eu-west-1", "ml.g5.xlarge", "763104351884.dkr.ecr.eu-west-1.amazonaws.com/pytorch:2.13-cu133-"),
        ("eu-west-1", "ml.m5.xlarge", "763104351884.dkr.ecr.eu-west-1.amazonaws.com/pytorch:2.13-cpu-"),
        ("cn-north-1", "ml.m5.xlarge", "727897471807.dkr.ecr.cn-north-1.amazonaws.com.cn/pytorch:2.13-cpu-"),
    ],
)
def test_the_image_is_that_of_region_and_type(region: str, instance_type: str, image: str) -> None:
    assert sagemaker_sdk.image(region, instance_type).startswith(image)


def test_a_region_without_a_known_image_wants_one_named() -> None:
    with pytest.raises(UsageError, match="no PyTorch") as caught:
        sagemaker_sdk.image("xx-nowhere-1", _TYPE)
    assert "--image" in caught.value.hint


def test_without_the_sdk_its_pip_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sagemaker", None)
    with pytest.raises(UsageError) as caught:
        sagemaker_sdk.require()
    assert caught.value.hint == "pip install 'dogbreed[aws]'"


def describe() -> dict[str, Any]:
    return dict(boto3.client("sagemaker").describe_training_job(TrainingJobName="dogbreed-r-1"))


def asked_for(aws: Aws, **changes: Any) -> dict[str, Any]:
    """What SageMaker says that it was asked for."""
    name = bucket("things")
    client = boto3.client("s3")
    for key in ("code/x/code.tar.gz", "data/x/index.json", "runs/r/job.json"):
        client.put_object(Bucket=name, Key=key, Body=b"{}")
    values: dict[str, Any] = {
        "name": "dogbreed-r-1",
        "role": role(),
        "image": sagemaker_sdk.image("eu-west-1", _TYPE),
        "code": "s3://things/code/x/code.tar.gz",
        "channels": {"photos": ("s3://things/data/x/", "FastFile"), "job": ("s3://things/runs/r/job.json", "File")},
        "instance_type": _TYPE,
        "instances": 2,
        "volume_gb": 31,
        "volume_key": "",
        "output": "s3://things/runs/r/output",
        "output_key": "",
        "checkpoints": "s3://things/checkpoints/r",
        "max_run_s": 600,
        "max_wait_s": 0,
        "keep_alive_s": 0,
        "retries": 2,
        "subnets": [],
        "security_groups": [],
        "network_isolation": True,
        "encrypt_traffic": True,
        "environment": ENVIRONMENT,
        "metrics": {"loss": "loss: ([0-9.]+)"},
        "tags": {"dogbreed:run": "r"},
        "bucket": name,
        "scripts": "runs/r/scripts",
    }
    said: list[str] = []
    sagemaker_sdk.create(aws, sagemaker_sdk.Request(**values | changes), said.append)
    seen = describe()
    # What was sent is no code, so it ends by itself.
    until(lambda: describe()["TrainingJobStatus"] == "Failed")
    assert said, "what the SDK says is kept for --verbose"
    return seen


def test_everything_that_is_set_reaches_sagemaker(aws: Aws, capfd: pytest.CaptureFixture[str]) -> None:
    key = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
    vpc = boto3.client("ec2").describe_subnets()["Subnets"][0]
    group = boto3.client("ec2").create_security_group(GroupName="g", Description="d", VpcId=vpc["VpcId"])["GroupId"]
    seen = asked_for(
        aws,
        max_wait_s=1200,
        volume_key=key,
        output_key=key,
        subnets=[vpc["SubnetId"]],
        security_groups=[group],
    )
    assert seen["VpcConfig"] == {"Subnets": [vpc["SubnetId"]], "SecurityGroupIds": [group]}
    assert seen["EnableManagedSpotTraining"] and seen["EnableNetworkIsolation"]
    assert seen["EnableInterContainerTrafficEncryption"]
    assert seen["StoppingCondition"] == {"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 1200}
    assert seen["CheckpointConfig"] == {"S3Uri": "s3://things/checkpoints/r", "LocalPath": "/opt/ml/checkpoints"}
    assert seen["OutputDataConfig"]["KmsKeyId"] == seen["ResourceConfig"]["VolumeKmsKeyId"] == key
    assert (seen["ResourceConfig"]["InstanceCount"], seen["ResourceConfig"]["VolumeSizeInGB"]) == (2, 31)
    assert seen["RetryStrategy"] == {"MaximumRetryAttempts": 2}
    channels = {channel["ChannelName"]: channel for channel in seen["InputDataConfig"]}
    assert set(channels) == {"photos", "job", "code", "sm_drivers"}
    assert (channels["photos"]["InputMode"], channels["code"]["InputMode"]) == ("FastFile", "File")
    # Within the limits of an argument, and through a process that hears SIGTERM.
    arguments = seen["AlgorithmSpecification"]["ContainerArguments"]
    assert "process_one.py" in arguments[1] and max(map(len, arguments)) <= 256
    assert seen["AlgorithmSpecification"]["MetricDefinitions"] == [{"Name": "loss", "Regex": "loss: ([0-9.]+)"}]
    # The SDK put its own scripts beside the run, and printed nothing.
    scripts = boto3.client("s3").list_objects_v2(Bucket="things", Prefix="runs/r/scripts/")["Contents"]
    assert any(item["Key"].endswith("sm_train.sh") for item in scripts)
    assert capfd.readouterr() == ("", "")


def test_a_warm_pool_is_asked_for(aws: Aws) -> None:
    seen = asked_for(aws, keep_alive_s=300, network_isolation=False, encrypt_traffic=False, retries=0)
    assert seen["ResourceConfig"]["KeepAlivePeriodInSeconds"] == 300
    assert not seen["EnableNetworkIsolation"] and not seen["EnableManagedSpotTraining"]
    assert "VpcConfig" not in seen and "RetryStrategy" not in seen
