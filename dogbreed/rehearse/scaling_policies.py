"""What both kinds of auto scaling do with policies: put them with their alarms, drop them, plan their schedules."""

from __future__ import annotations

import itertools
import json
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from dogbreed.rehearse import scaling_metrics
from dogbreed.rehearse.calls import AwsError
from dogbreed.rehearse.scaling_records import GROUP, Policy, Records, Scheduled, Target

if TYPE_CHECKING:
    from dogbreed.rehearse.cloud import Cloud
    from dogbreed.rehearse.scaling_engine import Engine

TRACKING, STEPPING, SIMPLE = "TargetTrackingScaling", "StepScaling", "SimpleScaling"


def linked_role(cloud: Cloud, name: str, principal: str) -> str:
    """The ARN of a service-linked role, which appears when a service first needs it."""
    from moto.iam.exceptions import EntityAlreadyExists

    name = f"AWSServiceRoleFor{name}"
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": principal}}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    with suppress(EntityAlreadyExists):
        cloud.moto("iam").create_role(
            role_name=name,
            assume_role_policy_document=document,
            path=f"/aws-service-role/{principal}/",
            permissions_boundary=None,
            description="",
            tags=[],
            max_session_duration="3600",
            linked_service=principal,
        )
    return f"arn:aws:iam::{cloud.account}:role/aws-service-role/{principal}/{name}"


def put_policy(
    cloud: Cloud, records: Records, target: Target, name: str, kind: str, config: dict[str, Any], path: str
) -> Policy:
    """Make or change a policy, which keeps its ARN; its alarms are made anew. `path` ends the ARN."""
    old = records.policies.get((target.where, name))
    arn = f"arn:aws:autoscaling:{target.region}:{cloud.account}:scalingPolicy:{uuid.uuid4()}:{path}"
    policy = Policy(target, name, kind, config, old.arn if old else arn, cloud.clock.now())
    if old:
        policy.created = old.created
    client = cloud.client("cloudwatch", target.region, role=target.role)
    if kind == TRACKING:
        group = target.dimension == GROUP
        made = scaling_metrics.alarms(target.dimension, target.resource, config, policy.arn, group=group)
        for side, request in made.items():
            client.put_metric_alarm(**request)
            policy.alarms[side] = request["AlarmName"]
    with records.lock:
        records.policies[target.where, name] = policy
    if old:
        drop_alarms(cloud, old)
    return policy


def drop_alarms(cloud: Cloud, policy: Policy) -> None:
    """Delete the alarms that a policy made for itself."""
    client = cloud.client("cloudwatch", policy.target.region, role=policy.target.role)
    for name in policy.alarms.values():
        with suppress(ClientError, BotoCoreError):
            client.delete_alarms(AlarmNames=[name])


def named_alarms(cloud: Cloud, policy: Policy) -> list[dict[str, str]]:
    """The alarms that a policy made, as answers list them."""
    begin = f"arn:aws:cloudwatch:{policy.target.region}:{cloud.account}:alarm:"
    return [{"AlarmName": name, "AlarmARN": begin + name} for name in policy.alarms.values()]


def schedule(records: Records, engine: Engine, action: Scheduled) -> None:
    """Put a scheduled action; raise AwsError for one that AWS would not take."""
    begin, end = action.request.get("StartTime"), action.request.get("EndTime")
    if begin and end and begin >= end:
        raise wrong("The start time must be before the end time.")
    try:
        engine.plan(action)
    except ValueError as error:
        raise wrong(str(error)) from error
    if action.due is None and action.request["Schedule"].startswith("at("):
        raise wrong("Scheduled time is in the past.")
    with records.lock:
        records.scheduled[action.target.where, action.name] = action
    engine.look_again()


def check_steps(config: dict[str, Any]) -> None:
    """Raise AwsError for the steps of a policy that leave a gap, overlap or are none."""
    steps = config.get("StepAdjustments", [])
    if not steps or "AdjustmentType" not in config:
        raise wrong("A step scaling policy needs AdjustmentType and at least one step adjustment.")
    bounds = sorted(
        (
            one.get("MetricIntervalLowerBound", float("-inf")),
            one.get("MetricIntervalUpperBound", float("inf")),
        )
        for one in steps
    )
    if any(low >= high for low, high in bounds):
        raise wrong("The lower bound of a step adjustment must be less than its upper bound.")
    if any(before[1] != after[0] for before, after in itertools.pairwise(bounds)):
        raise wrong("Step adjustment intervals may neither overlap nor leave a gap.")


def wrong(words: str) -> AwsError:
    """What both services call a request that cannot be."""
    return AwsError("ValidationException", words)
