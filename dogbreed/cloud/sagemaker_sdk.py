"""Starts a training job through the SageMaker SDK: the only file that imports it.

`ModelTrainer` brings its own scripts into the container, and its Torchrun driver starts `train.py` on every machine.
Nothing of the SDK's settings on this computer is read, its telemetry is off, and what it prints is handed to `tell`.
Two of its methods are overridden: the job's name has to be known before it is started, and process 1 of the container
must hear SIGTERM (see `dogbreed.train.process_one`).
"""

from __future__ import annotations

import io
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.session

from dogbreed.cloud.payload import ENTRY, FILE
from dogbreed.cloud.session import CONFIG, Aws
from dogbreed.errors import DogbreedError, UsageError

Tell = Callable[[str], None]
_FRAMEWORK, _VERSION = "pytorch-amzn2023", "2.13"
_CODE, _STOP = "/opt/ml/input/data/code", "/opt/ml/input/dogbreed/stop"
# The code is unpacked a second time by the SDK's own script, which does no harm.
_PROCESS_ONE = (
    f'cd {_CODE} && tar -xzf {FILE} && exec python3 -I dogbreed/train/process_one.py {_STOP} /bin/bash -c "$0"'
)
_SETTINGS = "SchemaVersion: '1.0'\nSageMaker:\n  PythonSDK:\n    Modules:\n      TelemetryOptOut: true\n"
_NEEDED = ("_create_training_job_args", "_resolve_staging_bucket")


@dataclass(frozen=True)
class Request:
    """A training job in plain values. Sizes in GB, times in seconds; "" and 0 mean not set.

    channels: name -> (address in S3, File or FastFile); metrics: name -> regular expression.
    """

    name: str
    role: str
    image: str
    code: str
    channels: Mapping[str, tuple[str, str]]
    instance_type: str
    instances: int
    volume_gb: int
    volume_key: str
    output: str
    output_key: str
    checkpoints: str
    max_run_s: int
    max_wait_s: int
    keep_alive_s: int
    retries: int
    subnets: Sequence[str]
    security_groups: Sequence[str]
    network_isolation: bool
    encrypt_traffic: bool
    environment: Mapping[str, str]
    metrics: Mapping[str, str]
    tags: Mapping[str, str]
    bucket: str
    scripts: str


def require() -> None:
    """UsageError where the SDK is not installed."""
    import importlib.util

    if importlib.util.find_spec("sagemaker") is None or importlib.util.find_spec("sagemaker.train") is None:
        raise UsageError("training on SageMaker needs the package sagemaker", "pip install 'dogbreed[aws]'")


def image(region: str, instance_type: str) -> str:
    """AWS's PyTorch 2.13 training image for a region and type; UsageError where the SDK's own table has none."""
    with _quiet(lambda text: None):
        from sagemaker.core import image_uris

        try:
            found: str = image_uris.retrieve(
                framework=_FRAMEWORK,
                region=region,
                version=_VERSION,
                instance_type=instance_type,
                image_scope="training",
            )
        except ValueError as error:
            what = str(error).partition(".")[0]
            raise UsageError(f"no PyTorch {_VERSION} image of AWS is known: {what}", "give one by --image") from error
    return found


def create(aws: Aws, request: Request, tell: Tell) -> None:
    """Create the training job; returns when SageMaker has taken it. Errors of AWS come as they are."""
    # The SDK makes clients of its own: they get a session of their own, and retry as ours do.
    session = botocore.session.Session(profile=aws.settings.profile or None)
    session.set_default_client_config(CONFIG)
    with _quiet(tell):
        trainer = _trainer(boto3.Session(botocore_session=session, region_name=aws.region), request)
        trainer.train(input_data_config=_channels(request), wait=False, logs=False)


def _trainer(session: boto3.Session, request: Request) -> Any:
    from sagemaker.core.helper.session_helper import Session
    from sagemaker.core.shapes import MetricDefinition, RetryStrategy, StoppingCondition, Tag
    from sagemaker.core.training.configs import CheckpointConfig, Compute, Networking, OutputDataConfig, SourceCode
    from sagemaker.train import ModelTrainer
    from sagemaker.train.distributed import Torchrun

    if not all(hasattr(ModelTrainer, name) for name in _NEEDED):
        raise DogbreedError("this version of the SageMaker SDK is not known", "pip install 'dogbreed[aws]'")

    class Trainer(ModelTrainer):  # type: ignore[misc]
        def _create_training_job_args(self, *arguments: Any, **named: Any) -> dict[str, Any]:
            made: dict[str, Any] = super()._create_training_job_args(*arguments, **named)
            specification = made["algorithm_specification"]
            _, command = specification.container_arguments
            specification.container_arguments = ["-c", _PROCESS_ONE, command]
            return made | {"training_job_name": request.name}

        def _resolve_staging_bucket(self) -> tuple[str, None]:
            return request.bucket, None

    isolated = {"subnets": list(request.subnets), "security_group_ids": list(request.security_groups)}
    trainer = Trainer(
        sagemaker_session=Session(boto_session=session, default_bucket=request.bucket),
        role=request.role,
        base_job_name=request.name[:40],
        training_image=request.image,
        training_input_mode="File",
        source_code=SourceCode(source_dir=request.code, entry_script=ENTRY),
        distributed=Torchrun(),
        compute=Compute(
            instance_type=request.instance_type,
            instance_count=request.instances,
            volume_size_in_gb=request.volume_gb,
            volume_kms_key_id=request.volume_key or None,
            enable_managed_spot_training=bool(request.max_wait_s),
            keep_alive_period_in_seconds=request.keep_alive_s or None,
        ),
        networking=Networking(
            **(isolated if request.subnets else {}),
            enable_network_isolation=request.network_isolation,
            enable_inter_container_traffic_encryption=request.encrypt_traffic,
        ),
        stopping_condition=StoppingCondition(
            max_runtime_in_seconds=request.max_run_s,
            **({"max_wait_time_in_seconds": request.max_wait_s} if request.max_wait_s else {}),
        ),
        output_data_config=OutputDataConfig(
            s3_output_path=request.output, compression_type="GZIP", kms_key_id=request.output_key or None
        ),
        checkpoint_config=CheckpointConfig(s3_uri=request.checkpoints, local_path="/opt/ml/checkpoints"),
        environment=dict(request.environment),
        tags=[Tag(key=key, value=value) for key, value in request.tags.items()],
        input_s3_key_prefix=request.scripts,
    ).with_metric_definitions([MetricDefinition(name=name, regex=regex) for name, regex in request.metrics.items()])
    if request.retries:
        trainer = trainer.with_retry_strategy(RetryStrategy(maximum_retry_attempts=request.retries))
    return trainer


def _channels(request: Request) -> list[Any]:
    from sagemaker.core.shapes import Channel, DataSource, S3DataSource

    # As whole channels: an address alone would always be copied, whatever the input mode.
    return [
        Channel(
            channel_name=name,
            input_mode=mode,
            data_source=DataSource(
                s3_data_source=S3DataSource(
                    s3_data_type="S3Prefix", s3_uri=uri, s3_data_distribution_type="FullyReplicated"
                )
            ),
        )
        for name, (uri, mode) in request.channels.items()
    ]


@contextmanager
def _quiet(tell: Tell) -> Iterator[None]:
    """What the SDK prints, logs and warns of goes to `tell`, once it is done; it asks nobody and reads no settings."""
    said = io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "config.yaml"
        settings.write_text(_SETTINGS, encoding="utf-8")
        own = {
            "SAGEMAKER_VALIDATE_ROLE": "false",
            "SAGEMAKER_ADMIN_CONFIG_OVERRIDE": os.fspath(settings),
            "SAGEMAKER_USER_CONFIG_OVERRIDE": os.fspath(settings),
        }
        before = {name: os.environ.get(name) for name in own}
        os.environ.update(own)
        handler = logging.StreamHandler(said)
        logger = logging.getLogger("sagemaker")
        logger.addHandler(handler)
        try:
            with redirect_stdout(said), redirect_stderr(said), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            logger.removeHandler(handler)
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            for line in said.getvalue().splitlines():
                tell(line)
