"""What endpoint and serverless have in common: from a Run to a model, a configuration, and what is around these."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dogbreed.cloud.bucket import Bucket
from dogbreed.cloud.network import SecurityGroup
from dogbreed.cloud.policies_serving import ENDPOINT
from dogbreed.cloud.roles import Role
from dogbreed.cloud.serving import alarms, component, ending, front, image
from dogbreed.cloud.serving.deployment import Deployment
from dogbreed.cloud.serving.hosted import (
    Configuration,
    Model,
    before,
    configurations,
    endpoint_seen,
    models,
    models_in,
    seen_or_none,
)
from dogbreed.cloud.serving.hosted_endpoint import Endpoint
from dogbreed.cloud.serving.log_group import ServiceLogs
from dogbreed.cloud.serving.model import FOLDER, ModelData, digest
from dogbreed.cloud.session import Aws, listed
from dogbreed.cloud.training_sagemaker import security_group
from dogbreed.errors import UsageError
from dogbreed.plan import Resource
from dogbreed.priced import Month
from dogbreed.run import Run

LOG_GROUPS = "/aws/sagemaker/Endpoints"
# SageMaker pulls images from ECR only.
_IMAGE = re.compile(r"\d{12}\.dkr\.ecr\.[\w-]+\.amazonaws\.com(\.cn)?/[\w./-]+(:[\w.-]+|@sha256:[0-9a-f]{64})")
# In the environment of a container: what its figures go by.
FIGURES = "DOGBREED_SERVE_NAME"
_DIGITS = 8
_OCTETS = "application/octet-stream"
_BODY_MB = 6  # the largest that InvokeEndpoint takes


def check_image(image: str) -> None:
    """UsageError for an image that SageMaker cannot pull."""
    if image and not _IMAGE.fullmatch(image):
        raise UsageError(
            f"{image} is no image that SageMaker can run",
            "one in ECR, with its tag: ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG; or none, for dogbreed's own",
        )


def basis(wanted: Deployment, *, group: SecurityGroup | None) -> list[Resource]:
    """Bucket, roles, image, logs and network: what is there before any model."""
    aws = wanted.aws
    made: list[Resource] = [Bucket(aws), Role(aws, ENDPOINT, image=wanted.settings.image)]
    if not wanted.settings.image:
        made += image.resources(aws, tell=wanted.detail)
    made += [group] if group else []
    return [
        *made,
        _component_logs(aws) if wanted.settings.component else ServiceLogs(aws, f"{LOG_GROUPS}/{wanted.name}"),
    ]


def _component_logs(aws: Aws) -> ServiceLogs:
    return ServiceLogs(aws, f"{component.LOG_GROUPS}/{component.name(aws)}")


def served(wanted: Deployment, run: Run, *, isolated: bool, in_network: bool) -> tuple[ModelData, Model]:
    """The Run's files in the bucket, and the model of SageMaker that runs them."""
    aws, own = wanted.aws, wanted.settings
    data = ModelData(aws, run)
    container = {
        "Image": own.image or image.uri(aws),
        "ModelDataUrl": data.uri,
        "Environment": environment(figures(wanted, run)),
    }
    content: dict[str, Any] = {
        "PrimaryContainer": container,
        "ExecutionRoleArn": Role(aws, ENDPOINT).arn,
        "EnableNetworkIsolation": isolated,
    }
    groups = None
    if in_network and listed(aws.settings.subnets):
        group = security_group(aws)
        named = listed(aws.settings.security_groups) or [group.name if group else ""]
        # The id of a group that is made is known only then; the name stands for it.
        content["VpcConfig"] = {"Subnets": listed(aws.settings.subnets), "SecurityGroupIds": named}
        groups = (lambda: [group.id()]) if group else None
    return data, Model(aws, wanted.settings.to, content, groups, run.name)


def figures(wanted: Deployment, run: Run) -> str:
    """The name that the figures of a Run go by: each has its own, as the alarm that watches an update looks at one.

    The unsure photos of a canary would be lost among those of the model before, and a challenger's would take back an
    update of the other.
    """
    return f"{wanted.name}-{digest(run)[:_DIGITS]}{'' if run is wanted.run else '-shadow'}"


def environment(service: str) -> dict[str, str]:
    """What the container is told: where the model is, to answer everybody, and to write its figures to the log."""
    return {
        "DOGBREED_PREDICT_RUN": FOLDER,
        "DOGBREED_SERVE_HOST": "0.0.0.0",
        "DOGBREED_SERVE_PORT": "8080",
        "DOGBREED_SERVE_EMF": "true",
        FIGURES: service,
        "DOGBREED_SERVE_MAX_MB": str(_BODY_MB),
    }


def around(wanted: Deployment) -> list[Resource]:
    """What comes after the endpoint: the function in front of it, and its end."""
    made: list[Resource] = []
    if wanted.settings.front:
        made += front.resources(wanted)
    if wanted.settings.ttl:
        made += ending.resources(wanted)
    return made


def with_front(wanted: Deployment, alone: Month, requests: float, seconds: float) -> Month:
    """`alone`, and a function in front that waits `seconds` for each answer."""
    if not wanted.settings.front:
        return alone
    more: Month = front.monthly(wanted, requests, seconds)
    by_use = None if more.by_use is None or alone.by_use is None else alone.by_use + more.by_use
    return Month(alone.fixed + more.fixed, by_use, alone.instances)


def surplus(wanted: Deployment, configuration: Configuration, used: set[str]) -> list[Resource]:
    """Models and configurations of earlier deployments, but for the one to go back to and the models that are `used`
    otherwise; a front and an end that are not wanted any more.
    """
    aws, to = wanted.aws, wanted.settings.to
    there = endpoint_seen(aws, wanted.name)
    keep = {configuration.name}
    if there:
        now = str(there["EndpointConfigName"])
        # What answers now goes with the rest if it is no way back: it is deleted after it was replaced.
        keep.add(str(there.get("PendingDeploymentSummary", {}).get("EndpointConfigName", configuration.name)))
        keep.add(before(aws, to, now, configuration.content))
    configs, used = configurations(aws, to), used | models_in(configuration.content)
    for one in configs:
        if one.name in keep:
            used |= models_in(seen_or_none(one.describe) or {})
    old: list[Resource] = [one for one in models(aws, to) if one.name not in used]
    old += [one for one in configs if one.name not in keep]
    old += front.surplus(wanted)
    if not wanted.settings.ttl:
        old += ending.everything(aws, to)
    return old


def everything(aws: Aws, to: str) -> list[Resource]:
    """What of a door can be in the account."""
    name = aws.name(to)
    found: list[Resource] = [ServiceLogs(aws, f"{LOG_GROUPS}/{name}"), *models(aws, to), *configurations(aws, to)]
    found += [_component_logs(aws), *alarms.named(aws, to)] if to == "endpoint" else []
    copies = [component.Component(aws)] if to == "endpoint" else []
    return [*found, Endpoint(aws, to), *copies, *front.everything(aws, to), *ending.everything(aws, to)]


def data_capture(wanted: Deployment) -> Mapping[str, Any]:
    """DataCaptureConfig for the share of requests that is kept in the bucket."""
    aws, share = wanted.aws, wanted.settings.data_capture_percent
    key = {"KmsKeyId": aws.kms_key} if aws.kms_key else {}
    return {
        "EnableCapture": True,
        "InitialSamplingPercentage": share,
        "DestinationS3Uri": f"s3://{aws.bucket}/captured/{wanted.name}",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        **key,
    }


def calls(aws: Aws, name: str, component: str = "") -> Mapping[str, str]:
    """How to call an endpoint, and the inference component of it that is named, by way, to be pasted."""
    named = f', InferenceComponentName="{component}"' if component else ""
    header = f'-H "X-Amzn-SageMaker-Inference-Component: {component}" ' if component else ""
    host = f"https://runtime.sagemaker.{aws.region}.amazonaws.com"
    body = aws.rehearsal or host
    return {
        "dogbreed": f"dogbreed predict photo.jpg --endpoint {name}",
        "boto3": (
            "import boto3\n"
            f'runtime = boto3.client("sagemaker-runtime", region_name="{aws.region}")\n'
            'with open("photo.jpg", "rb") as photo:\n'
            f'    answer = runtime.invoke_endpoint(EndpointName="{name}"{named}, ContentType="{_OCTETS}", Body=photo)\n'
            'print(answer["Body"].read().decode())'
        ),
        # curl signs by itself; a session's token goes along as a header.
        "curl": (
            f'curl --aws-sigv4 "aws:amz:{aws.region}:sagemaker" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" '
            '${AWS_SESSION_TOKEN:+-H "x-amz-security-token: $AWS_SESSION_TOKEN"} '
            f'{header}-H "Content-Type: {_OCTETS}" --data-binary @photo.jpg {body}/endpoints/{name}/invocations'
        ),
    }
