"""Keeps an auto-scaling group as it is wanted: launches, registers, replaces and ends machines, by calls to AWS.

It looks every few seconds of the stand-in's clock, and whenever the group is changed. Documented by AWS: health checks
count after the grace period, targets are drained before a machine ends, refreshes keep their percentages. Inferred:
that a refresh waits for the target group to call a machine healthy, and fails after an hour without progress.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from dogbreed.rehearse.ec2_template import content
from dogbreed.rehearse.group_records import Group, Member, Refresh, Template

if TYPE_CHECKING:
    from dogbreed.rehearse.cloud import Cloud

_LOOK_S, _MOVING_S, _SHORTEST_S = 5.0, 0.5, 0.2
_PATIENCE_S = 3600.0
# Machines boot by this computer's clock, however fast the stand-in's is: so long at least they are not judged.
_BOOT_S = 40.0
_AGAIN_S = 30.0  # after a launch that was refused
_AGAIN_AT_LEAST_S = 0.5
_GONE = ("shutting-down", "terminated", "stopping", "stopped")


class Keeper:
    """The loop for one group; `forget` is called when a deleted group has no machines left."""

    def __init__(self, cloud: Cloud, group: Group, forget: Callable[[Group], None]) -> None:
        self._cloud, self._group, self._forget = cloud, group, forget
        self._not_before = 0.0
        self._health: dict[str, str] = {}

    def run(self) -> None:
        """Look until the group is gone or the stand-in is emptied."""
        while not self._group.ended.is_set():
            try:
                self.look()
            except (ClientError, BotoCoreError) as error:
                if not self._group.ended.is_set():
                    logging.warning("group %s: %s", self._group.name, error)
            except Exception:
                if not self._group.ended.is_set():
                    logging.exception("group %s", self._group.name)
            # A machine that starts or ends does so by this computer's clock.
            pause = min(_LOOK_S / self._cloud.clock.speed, _MOVING_S if self._moving() else _LOOK_S)
            self._group.wake.wait(max(_SHORTEST_S, pause))
            self._group.wake.clear()

    def look(self) -> None:
        """Compare once, and act."""
        group = self._group
        with group.lock:
            states = self._states()
            self._read_health()
            for member in list(group.members):
                self._follow(member, states.get(member.id, "terminated"))
            if group.deleting:
                if not group.members:
                    self._forget(group)
                return
            self._judge()
            self._fill()
            if group.refresh:
                self._refreshed(group.refresh)

    # -- what is there

    def _moving(self) -> bool:
        """Whether a machine starts or ends."""
        return any(one.state != "InService" for one in self._group.members)

    def _client(self, service: str) -> Any:
        return self._cloud.client(service, self._group.region)

    def _states(self) -> dict[str, str]:
        if not (ids := [member.id for member in self._group.members]):
            return {}
        pages = self._client("ec2").get_paginator("describe_instances")
        asked = [{"Name": "instance-id", "Values": ids}]
        return {
            one["InstanceId"]: one["State"]["Name"]
            for page in pages.paginate(Filters=asked)
            for held in page["Reservations"]
            for one in held["Instances"]
        }

    def _read_health(self) -> None:
        """The worst that target groups say of each machine."""
        worst = ("unhealthy", "initial", "draining", "unused", "healthy")
        found: dict[str, str] = {}
        for arn in self._group.target_groups if self._group.members else ():
            for one in self._client("elbv2").describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]:
                name, state = one["Target"]["Id"], one["TargetHealth"]["State"]
                found[name] = min(state, found.get(name, state), key=worst.index)
        self._health = found

    def _follow(self, member: Member, state: str) -> None:
        """A machine comes into service, or leaves."""
        now = self._cloud.clock.now()
        if member.state == "Terminating":
            if state == "terminated":
                self._group.members.remove(member)
                member.activity |= {"StatusCode": "Successful", "Progress": 100, "EndTime": now}
            elif not member.told and (self._group.deleting or self._health.get(member.id) != "draining"):
                self._client("ec2").terminate_instances(InstanceIds=[member.id])
                member.told = True
        elif state in _GONE:
            member.healthy = False
            if "ReplaceUnhealthy" not in self._group.suspended or state == "terminated":
                self.end(
                    member, "an instance was taken out of service in response to an EC2 health check indicating it has "
                    "been terminated or stopped."
                )  # fmt: skip
        elif member.state == "Pending" and state == "running":
            for arn in self._group.target_groups:
                self._client("elbv2").register_targets(TargetGroupArn=arn, Targets=[{"Id": member.id}])
            member.state, member.since = "InService", now.timestamp()
            member.activity |= {"StatusCode": "Successful", "Progress": 100, "EndTime": now}

    def _judge(self) -> None:
        """Unhealthy machines are replaced, after the grace period."""
        told = self._group.told
        by_balancer = "ELB" in told["HealthCheckType"]
        now = self._cloud.clock.time()
        if "ReplaceUnhealthy" in self._group.suspended or "HealthCheck" in self._group.suspended:
            return
        for member in [one for one in self._group.members if one.state == "InService"]:
            grace = told["HealthCheckGracePeriod"]
            booted = time.monotonic() - member.began >= min(grace, _BOOT_S)
            after = booted and now - member.since >= grace
            if by_balancer and after and self._health.get(member.id) == "unhealthy":
                member.healthy = False
            if not member.healthy:
                self.end(
                    member,
                    "an instance was taken out of service in response to an ELB system health check failure.",
                )

    # -- capacity

    def _fill(self) -> None:
        group, desired = self._group, self._group.told["DesiredCapacity"]
        active = [one for one in group.members if one.active]
        refresh = group.refresh
        old = [one for one in active if refresh and not refresh.is_new(one)]
        surge = refresh.surge(desired) if refresh and old else 0
        missing = desired + surge - len(active)
        if missing > 0 and "Launch" not in group.suspended and time.monotonic() >= self._not_before:
            template = refresh.goal if refresh else group.template
            for _ in range(missing):
                if not self._launch(template, refresh):
                    break
        elif refresh and old:
            self._replace(refresh, old, desired)
        elif len(active) > desired and "Terminate" not in group.suspended:
            self._shrink(active, len(active) - desired)

    def _replace(self, refresh: Refresh, old: list[Member], desired: int) -> None:
        """End as many old machines as there may be missing."""
        group = self._group
        serving = sum(self._serves(one, refresh) for one in group.members)
        active = sum(one.active for one in group.members)
        for member in sorted(old, key=lambda one: (self._serves(one, refresh), one.since)):
            serves = self._serves(member, refresh)
            if refresh.surge(desired) and active <= desired:
                return
            if serves and serving - 1 < refresh.least(desired):
                return
            self.end(member, "an instance was taken out of service in response to an instance refresh.")
            serving, active = serving - serves, active - 1

    def _serves(self, member: Member, refresh: Refresh | None) -> bool:
        """Whether a machine counts as in service and healthy; a new one only when it is warm."""
        if member.state != "InService" or not member.healthy:
            return False
        if self._group.target_groups and self._health.get(member.id) != "healthy":
            return False
        if refresh is None or not refresh.is_new(member):
            return True
        told = self._group.told
        default = told.get("DefaultInstanceWarmup", told["HealthCheckGracePeriod"])
        warm = float(refresh.preferences.get("InstanceWarmup", default))
        return self._cloud.clock.time() - member.since >= warm

    def _shrink(self, active: list[Member], surplus: int) -> None:
        """The default policy: from the fullest zone, of an older template first, then the oldest."""
        able = [one for one in active if not one.protected]
        for _ in range(min(surplus, len(able))):
            zones = Counter(one.zone for one in able)
            chosen = min(able, key=lambda one: (-zones[one.zone], one.template == self._group.template, one.since))
            able.remove(chosen)
            self.end(chosen, "an instance was taken out of service in response to a difference between desired and "
                     "actual capacity, shrinking the capacity.")  # fmt: skip

    def _launch(self, template: Template, refresh: Refresh | None) -> bool:
        group, now = self._group, self._cloud.clock.now()
        members = Counter(one.zone for one in group.members if one.active)
        subnets = {
            one: self._cloud.moto("ec2", group.region).get_subnet(one).availability_zone for one in group.subnets
        }
        subnet, zone = min(subnets.items(), key=lambda pair: (members[pair[1]], pair[0]))
        cause = "an instance was started in response to a difference between desired and actual capacity."
        activity = group.act(
            "Launching a new EC2 instance", cause, now,
            Details=json.dumps({"Subnet ID": subnet, "Availability Zone": zone}),
        )  # fmt: skip
        wanted = {name: template[name] for name in ("LaunchTemplateId", "Version")}
        told: dict[str, Any] = {"LaunchTemplate": wanted, "MinCount": 1, "MaxCount": 1}
        nics = content(self._cloud.moto("ec2", group.region), wanted).get("NetworkInterfaces")
        told |= {"NetworkInterfaces": [{**nics[0], "SubnetId": subnet}]} if nics else {"SubnetId": subnet}
        tags = [{"Key": one["Key"], "Value": one["Value"]} for one in group.tags.values() if one["PropagateAtLaunch"]]
        told |= {"TagSpecifications": [{"ResourceType": "instance", "Tags": tags}]} if tags else {}
        try:
            made = self._client("ec2").run_instances(**told)["Instances"][0]
        except ClientError as error:
            words = error.response["Error"]["Message"]
            activity |= {"StatusCode": "Failed", "StatusMessage": f"{words} Launching EC2 instance failed."}
            activity |= {"EndTime": now, "Progress": 100}
            self._not_before = time.monotonic() + max(_AGAIN_AT_LEAST_S, _AGAIN_S / self._cloud.clock.speed)
            return False
        instance = self._cloud.moto("ec2", group.region).get_instance(made["InstanceId"])
        instance.add_tags({"aws:autoscaling:groupName": group.name})
        activity["Description"] = f"Launching a new EC2 instance: {made['InstanceId']}"
        group.members.append(
            Member(
                made["InstanceId"],
                zone,
                made["InstanceType"],
                made["ImageId"],
                template,
                refresh.id if refresh else "",
                protected=bool(group.told.get("NewInstancesProtectedFromScaleIn")),
                activity=activity,
            )
        )
        return True

    def end(self, member: Member, cause: str) -> dict[str, Any]:
        """Begin to end a machine: no new requests, and when those under way are answered, the end."""
        group = self._group
        for arn in group.target_groups:
            self._client("elbv2").deregister_targets(TargetGroupArn=arn, Targets=[{"Id": member.id}])
            self._health[member.id] = "draining"
        member.state = "Terminating"
        description = f"Terminating EC2 instance: {member.id}"
        member.activity = group.act(description, cause, self._cloud.clock.now())
        group.wake.set()
        return member.activity

    # -- a refresh

    def _refreshed(self, refresh: Refresh) -> None:
        """How far it is, and whether it is over."""
        group, now = self._group, self._cloud.clock.now()
        refresh.status = "InProgress" if refresh.status == "Pending" else refresh.status
        desired = group.told["DesiredCapacity"]
        active = [one for one in group.members if one.active]
        ready = sum(refresh.is_new(one) and self._serves(one, refresh) for one in active)
        if ready > refresh.ready or not refresh.progress:
            refresh.progress = now.timestamp()
        refresh.ready, refresh.wanted = ready, desired
        if len(group.members) == len(active) == desired == ready:
            rolled_back = refresh.status == "RollbackInProgress"
            group.template = refresh.goal
            refresh.status, refresh.end = "RollbackSuccessful" if rolled_back else "Successful", now
        # Not while a machine starts or ends, which takes its time however fast the clock is.
        elif now.timestamp() - refresh.progress > _PATIENCE_S and not self._moving():
            words = "The refresh made no progress: new instances do not become healthy."
            if refresh.status == "RollbackInProgress":
                refresh.status, refresh.reason, refresh.end = "RollbackFailed", words, now
            elif refresh.preferences.get("AutoRollback"):
                self.roll_back(refresh, words)
            else:
                refresh.status, refresh.reason, refresh.end = "Failed", words, now

    def roll_back(self, refresh: Refresh, why: str) -> None:
        """Replace what was replaced by machines as they were before."""
        now = self._cloud.clock.now()
        share = refresh.shown()["PercentageComplete"]
        refresh.rollback = {"RollbackReason": why, "RollbackStartTime": now, "PercentageCompleteOnRollback": share}
        refresh.status, refresh.reason, refresh.ready, refresh.progress = "RollbackInProgress", why, 0, now.timestamp()
        self._group.wake.set()
