"""What schedules do: call a function, or any action of AWS (a "universal target"), as the schedule's role.

Source: "Using universal targets with EventBridge Scheduler" in its user guide. Other targets are refused.
"""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from dogbreed.rehearse.calls import AwsError

if TYPE_CHECKING:
    from dogbreed.rehearse.cloud import Cloud

_UNIVERSAL = "arn:aws:scheduler:::aws-sdk:"
# The SDK's own names of services, where they are not those of boto3.
_SERVICES = {
    "elasticloadbalancingv2": "elbv2",
    "elasticloadbalancing": "elb",
    "applicationautoscaling": "application-autoscaling",
    "cloudwatchlogs": "logs",
    "eventbridge": "events",
    "sfn": "stepfunctions",
    "costexplorer": "ce",
}
_ONLY_LOOK = ("Get", "Describe", "List")
# What is worth another try; everything else that a service refuses will be refused again.
_PASSING = {
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
}
_SERVER_ERROR = 500


class TargetError(Exception):
    """A target was not reached; `again` where another try may help."""

    def __init__(self, message: str, *, again: bool) -> None:
        super().__init__(message)
        self.again = again


def check(target: dict[str, Any]) -> None:
    """Raise AwsError for a target that cannot be."""
    arn, given = target["Arn"], target.get("Input")
    if arn.startswith(_UNIVERSAL):
        method(arn)
        if not isinstance(_json(given or "{}"), dict):
            raise AwsError("ValidationException", "Input of a universal target must be a JSON object.")
    elif arn.split(":")[2:3] == ["lambda"] and ":function:" in arn:
        if given is not None:
            _json(given)
    else:
        words = f"{arn} is not a target of the stand-in's schedules, which are functions and universal targets."
        raise AwsError("ValidationException", words)


def reach(cloud: Cloud, region: str, target: dict[str, Any], about: dict[str, str]) -> None:
    """Do what a target says; TargetError where that fails. `about` is what `<aws.scheduler...>` in its input means."""
    arn, text = target["Arn"], target.get("Input")
    for name, value in about.items():
        text = text.replace(f"<aws.scheduler.{name}>", value) if text else text
    try:
        if arn.startswith(_UNIVERSAL):
            service, operation = method(arn)
            client = cloud.client(service, region, role=target["RoleArn"])
            names = {api: name for name, api in client.meta.method_to_api_mapping.items()}
            getattr(client, names[operation])(**json.loads(text or "{}"))
        else:
            client = cloud.client("lambda", region, role=target["RoleArn"])
            payload = text if text is not None else json.dumps(_event(cloud, region, about))
            client.invoke(FunctionName=arn, InvocationType="Event", Payload=payload)
    except ClientError as error:
        told, status = error.response["Error"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        again = told["Code"] in _PASSING or status >= _SERVER_ERROR
        raise TargetError(f"{told['Code']}: {told['Message']}", again=again) from error
    except BotoCoreError as error:
        # Parameters that the service does not have, or a server that is ending.
        raise TargetError(str(error), again=False) from error


@cache
def method(arn: str) -> tuple[str, str]:
    """boto3's service and the operation that a universal target names; AwsError where there is none such."""
    service, _, action = arn.removeprefix(_UNIVERSAL).partition(":")
    service, operation = _SERVICES.get(service, service), action[:1].upper() + action[1:]
    session = Session()
    known = service in session.get_available_services()
    if not known or operation not in session.get_service_model(service).operation_names:
        raise AwsError("ValidationException", f"Invalid target: {arn} names no action of AWS.")
    if operation.startswith(_ONLY_LOOK):
        raise AwsError("ValidationException", f"Invalid target: {arn} only reads, which a universal target must not.")
    return service, operation


def about(arn: str, due: datetime, attempt: int) -> dict[str, str]:
    """The context attributes of one invocation."""
    return {
        "schedule-arn": arn,
        "scheduled-time": f"{due:%Y-%m-%dT%H:%M:%SZ}",
        "execution-id": str(uuid.uuid4()),
        "attempt-number": str(attempt),
    }


def _event(cloud: Cloud, region: str, about: dict[str, str]) -> dict[str, Any]:
    return {
        "version": "0",
        "id": about["execution-id"],
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": cloud.account,
        "time": about["scheduled-time"],
        "region": region,
        "resources": [about["schedule-arn"]],
        "detail": "{}",
    }


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise AwsError("ValidationException", "Target.Input is not valid JSON.") from error
