"""Training jobs of a few lines of shell or Python, for the stand-in's own tests."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import boto3
from standin import until

IMAGE = "763104351884.dkr.ecr.eu-west-1.amazonaws.com/pytorch:2.13-cpu-amzn2023-sagemaker"
OVER = ("Completed", "Failed", "Stopped")


def request(name: str, role: str, script: str, *, python: bool = False, **changes: Any) -> dict[str, Any]:
    """A request of one small host that runs `script`, in which $ML is /opt/ml; a change of None leaves a part out."""
    program, file = ("python", "run.py") if python else ("bash", "run.sh")
    put(f"code/{name}/{file}", script.encode())
    parts: dict[str, Any] = {
        "TrainingJobName": name,
        "RoleArn": role,
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": [program, f"/opt/ml/input/data/code/{file}"],
        },
        "InputDataConfig": [],
        "OutputDataConfig": {"S3OutputPath": "s3://photos/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        "Environment": {"ML": "/opt/ml", "PYTHONUNBUFFERED": "1"},
    } | changes
    if parts["InputDataConfig"] is not None:
        parts["InputDataConfig"] = [*parts["InputDataConfig"], channel("code", f"s3://photos/code/{name}/")]
    return {key: value for key, value in parts.items() if value is not None}


def hosts(count: int) -> dict[str, Any]:
    return {"InstanceType": "ml.m5.large", "InstanceCount": count, "VolumeSizeInGB": 5}


def channel(name: str, uri: str, **source: str) -> dict[str, Any]:
    return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri} | source}}


def start(name: str, role: str, script: str, **changes: Any) -> None:
    boto3.client("sagemaker").create_training_job(**request(name, role, script, **changes))


def describe(name: str) -> dict[str, Any]:
    return dict(boto3.client("sagemaker").describe_training_job(TrainingJobName=name))


def ended(name: str) -> dict[str, Any]:
    """The job when it is over."""

    def over() -> dict[str, Any] | None:
        job = describe(name)
        return job if job["TrainingJobStatus"] in OVER else None

    return dict(until(over))


def run(name: str, role: str, script: str, **changes: Any) -> dict[str, Any]:
    start(name, role, script, **changes)
    return ended(name)


def lines(name: str) -> list[str]:
    """What the hosts of a job have printed so far."""
    logs = boto3.client("logs")
    group = "/aws/sagemaker/TrainingJobs"
    try:
        streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")["logStreams"]
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [
        event["message"]
        for stream in streams
        for event in logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)[
            "events"
        ]
    ]


def printed(name: str, text: str) -> None:
    """Wait until a job has printed a line with `text`."""
    until(lambda: any(text in line for line in lines(name)))


def stages(job: dict[str, Any]) -> list[str]:
    return [one["Status"] for one in job["SecondaryStatusTransitions"]]


def archive(uri: str) -> dict[str, bytes]:
    """Names and contents of what an archive in S3 holds."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    content = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(content)) as opened:
        files = [member for member in opened.getmembers() if member.isfile()]
        return {member.name: opened.extractfile(member).read() for member in files}  # type: ignore[union-attr]


def keys(prefix: str = "") -> list[str]:
    found = boto3.client("s3").list_objects_v2(Bucket="photos", Prefix=prefix)
    return [entry["Key"] for entry in found.get("Contents", [])]


def put(key: str, body: bytes = b"x") -> None:
    boto3.client("s3").put_object(Bucket="photos", Key=key, Body=body)
