"""Auto-scaling groups of the stand-in: they keep as many machines as are wanted, and renew them without a gap."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import boto3
import handlers
import pytest
import web
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from standin import until

from dogbreed.rehearse.group_records import Refresh
from dogbreed.rehearse.state import Server

NAME = "crowd"
# Health is asked for by this computer's clock, and some answers may be late on it.
PATIENT = {"UnhealthyThresholdCount": 10}


@pytest.fixture
def sped(either: Server) -> Iterator[Server]:
    with handlers.faster(either, 30):
        yield either


def make(template: tuple[str, str], count: int, groups: list[str], **changes: Any) -> None:
    told: dict[str, Any] = {
        "AutoScalingGroupName": NAME, "MinSize": 1, "MaxSize": 4, "DesiredCapacity": count,
        "LaunchTemplate": {"LaunchTemplateId": template[0], "Version": template[1]},
        "VPCZoneIdentifier": ",".join(one["SubnetId"] for one in web.subnets()),
        "TargetGroupARNs": groups, "HealthCheckType": "ELB", "HealthCheckGracePeriod": 300, "DefaultInstanceWarmup": 5,
        "Tags": [{"Key": "kind", "Value": "crowd", "PropagateAtLaunch": True}],
    }  # fmt: skip
    boto3.client("autoscaling").create_auto_scaling_group(**told | changes)


def group() -> dict[str, Any]:
    told = boto3.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[NAME])["AutoScalingGroups"]
    return dict(told[0]) if told else {}


def in_service() -> list[str]:
    return sorted(one["InstanceId"] for one in group()["Instances"] if one["LifecycleState"] == "InService")


def settled(count: int) -> list[str]:
    def reached() -> list[str]:
        told = {one["InstanceId"]: one["LifecycleState"] for one in group()["Instances"]}
        return sorted(told) if list(told.values()) == ["InService"] * count else []

    return list(until(reached))


@pytest.mark.slow
def test_a_group_keeps_its_machines_and_renews_them_while_requests_go_on(sped: Server) -> None:
    asg, targets = boto3.client("autoscaling"), web.target_group(**PATIENT)
    # An hour of that clock: what a machine has begun to answer it ends, however slow this computer is.
    boto3.client("elbv2").modify_target_group_attributes(
        TargetGroupArn=targets, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "3599"}]
    )
    address = web.balancer(targets)["DNSName"]
    make(web.template(web.script("old")), 2, [targets])
    web.all_healthy(targets, 2)
    first = settled(2)
    zones = {one["AvailabilityZone"] for one in group()["Instances"]}
    assert len(zones) == 2
    tags = boto3.client("ec2").describe_tags(Filters=[{"Name": "resource-id", "Values": first}])["Tags"]
    assert {(one["Key"], one["Value"]) for one in tags} >= {("kind", "crowd"), ("aws:autoscaling:groupName", NAME)}

    # One ends: another takes its place, and the log says why.
    boto3.client("ec2").terminate_instances(InstanceIds=first[:1])
    until(lambda: first[0] not in in_service() and len(in_service()) == 2)
    web.all_healthy(targets, 2)
    causes = [one["Cause"] for one in asg.describe_scaling_activities(AutoScalingGroupName=NAME)["Activities"]]
    assert any("EC2 health check" in cause for cause in causes)

    # Renewed under requests: none is lost, and in the end all are new.
    said: list[tuple[int, str]] = []
    over = threading.Event()

    def go_on() -> None:
        while not over.is_set():
            status, body = web.ask(address)
            said.append((status, json.loads(body)["name"] if status == 200 else ""))

    threads = [threading.Thread(target=go_on, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    until(lambda: said)
    new = web.template(web.script("new"))
    began = asg.start_instance_refresh(
        AutoScalingGroupName=NAME,
        DesiredConfiguration={"LaunchTemplate": {"LaunchTemplateId": new[0], "Version": new[1]}},
        Preferences={"MinHealthyPercentage": 100, "MaxHealthyPercentage": 110, "SkipMatching": True},
    )["InstanceRefreshId"]
    with pytest.raises(ClientError, match="already in progress"):
        asg.start_instance_refresh(AutoScalingGroupName=NAME)
    until(lambda: refresh(began)["Status"] == "Successful")
    over.set()
    for thread in threads:
        thread.join()
    assert {status for status, _ in said} == {200}
    assert said[0][1] == "old" and json.loads(web.ask(address)[1])["name"] == "new"
    assert group()["LaunchTemplate"]["Version"] == new[1]

    # More and fewer, within the bounds.
    asg.set_desired_capacity(AutoScalingGroupName=NAME, DesiredCapacity=3)
    settled(3)
    with pytest.raises(ClientError, match="above max value 4"):
        asg.set_desired_capacity(AutoScalingGroupName=NAME, DesiredCapacity=5)
    asg.update_auto_scaling_group(AutoScalingGroupName=NAME, MaxSize=1)
    settled(1)
    with pytest.raises(ClientError, match="while there are instances"):
        asg.delete_auto_scaling_group(AutoScalingGroupName=NAME)
    asg.delete_auto_scaling_group(AutoScalingGroupName=NAME, ForceDelete=True)
    until(lambda: not group())
    assert sped.ask("status")["machines"] == []
    until(lambda: web.states(targets) == [])


def refresh(number: str) -> dict[str, Any]:
    told = boto3.client("autoscaling").describe_instance_refreshes(
        AutoScalingGroupName=NAME, InstanceRefreshIds=[number]
    )
    return dict(told["InstanceRefreshes"][0])


@pytest.mark.slow
def test_a_renewal_whose_machines_are_never_healthy_is_taken_back(account: Server) -> None:
    asg, targets = boto3.client("autoscaling"), web.target_group(**PATIENT)
    web.balancer(targets)
    with handlers.faster(account, 300):
        make(web.template(web.script("good")), 1, [targets])
        web.all_healthy(targets, 1)
        good = settled(1)
        bad = web.template(web.script("bad", well=False))
        began = asg.start_instance_refresh(
            AutoScalingGroupName=NAME,
            DesiredConfiguration={"LaunchTemplate": {"LaunchTemplateId": bad[0], "Version": bad[1]}},
            Preferences={"MinHealthyPercentage": 100, "MaxHealthyPercentage": 110, "AutoRollback": True},
        )["InstanceRefreshId"]
        until(lambda: refresh(began)["Status"] == "RollbackSuccessful")
        assert "do not become healthy" in refresh(began)["RollbackDetails"]["RollbackReason"]
        assert settled(1) == good
        assert group()["LaunchTemplate"]["Version"] == "1"


def test_what_aws_refuses(account: Server) -> None:
    asg = boto3.client("autoscaling")
    plain = web.template("true")
    with pytest.raises(ClientError, match="fully-formed launch template"):
        make(("lt-0123456789abcdef0", "1"), 1, [])
    with pytest.raises(ClientError, match="between the specified min size:1 and max size:4"):
        make(plain, 9, [])
    with pytest.raises(ClientError, match="Min bound"):
        make(plain, 1, [], MinSize=5)
    with pytest.raises(ClientError, match="not found"):
        asg.update_auto_scaling_group(AutoScalingGroupName=NAME, MaxSize=2)
    make(plain, 1, [], MinSize=0, DesiredCapacity=0)
    with pytest.raises(ClientError, match="already exists"):
        make(plain, 1, [])
    with pytest.raises(ClientError, match="needs a desired configuration"):
        asg.start_instance_refresh(AutoScalingGroupName=NAME, Preferences={"AutoRollback": True})
    asg.delete_auto_scaling_group(AutoScalingGroupName=NAME)
    until(lambda: not group())


@given(st.integers(1, 300), st.integers(0, 100), st.integers(100, 200))
def test_a_renewal_always_gets_on_and_never_leaves_too_few(desired: int, least: int, most: int) -> None:
    told = {"Preferences": {"MinHealthyPercentage": least, "MaxHealthyPercentage": most}}
    one = Refresh("g", {}, {}, told, None)  # type: ignore[arg-type]
    # There is room for one more, or one may be missing.
    assert one.surge(desired) >= 1 or one.least(desired) < desired
    assert one.least(desired) * 100 >= min(least * desired, 100 * (desired - 1))
    assert desired + one.surge(desired) <= max(desired + 1, desired * most / 100)
