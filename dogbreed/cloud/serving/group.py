"""The auto-scaling group of the machines: as many as are wanted, replaced when they fail, renewed one by one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from botocore.exceptions import ClientError

from dogbreed.cloud.errors import code, is_missing
from dogbreed.cloud.roles import PROPAGATION_S
from dogbreed.cloud.serving.balancer import TargetGroup
from dogbreed.cloud.serving.machine_template import ServiceTemplate, content_of
from dogbreed.cloud.session import Aws, unpaired
from dogbreed.errors import DogbreedError
from dogbreed.plan import Found, Resource
from dogbreed.priced import Price

# How many machines the service was deployed with: what scaling makes of it since then stays.
BEGUN = "dogbreed:instances"
_TO = "ec2"
# From the launch to the first good health check: Docker and the image are fetched meanwhile.
_GRACE_S, _WARM_S = 300, 30
# One more machine than wanted while one is renewed, never one fewer (AWS: "launch before terminating").
_LEAST, _MOST = 100, 110
_EACH_S, _START_S, _GONE_S = 600.0, 900.0, 900.0
_LOOK_S, _AGAIN_S, _TELL_S = 1.0, 3.0, 60.0
# A launch that fails is tried again by the group, in another zone too.
_FAILING_S = 45.0
_GOING = ("Pending", "InProgress", "Cancelling", "RollbackInProgress", "Baking")


class Group(Resource):
    """The group of `count` machines of `template`; `behind` tells whether a load balancer's target group has them."""

    kind = "machine group"

    def __init__(
        self,
        aws: Aws,
        template: ServiceTemplate | None = None,
        *,
        count: int = 0,
        subnets: Sequence[str] = (),
        behind: bool = True,
        tell: Callable[[str], None] = lambda words: None,
    ) -> None:
        self.aws = aws
        self.name = aws.name(_TO)
        self._template, self._count, self._subnets = template, count, sorted(subnets)
        self._behind, self._tell = behind, tell
        # How many it has, and will have; what its tag is to say.
        self._has, self._goal, self._begun = 0, count, str(count)

    def wanted(self) -> Mapping[str, Any]:
        """What its machines are made of, where they are, who asks them, with how many it was begun; and that it is
        neither being renewed nor without any machine that answers, as a command leaves it that was killed.

        Not how many there are now: that is for scaling to say. Nothing where only the group itself is meant.
        """
        if self._template is None:
            return {}
        return {
            "machines": self._template.wanted()["content"],
            "subnets": self._subnets,
            "behind a balancer": self._behind,
            "begun with": str(self._count),
            "tags": self.aws.tags(_TO),
            "going on": "",
        }

    def find(self) -> Found | None:
        """DescribeAutoScalingGroups; None also while it is on its way out."""
        seen = self.seen()
        if seen is None or seen.get("Status"):
            return None
        tags = unpaired(seen.get("Tags"))
        refresh = self._refresh()
        going = refresh if refresh and refresh["Status"] in _GOING else None
        inside = [one for one in seen["Instances"] if one["LifecycleState"] == "InService"]
        state = f"{len(inside)} of {seen['DesiredCapacity']} in service"
        if going:
            state += f", {going.get('PercentageComplete', 0)} % renewed"
        self._has = seen["DesiredCapacity"]
        begun = tags.get(BEGUN, "")
        if self._template and begun != str(self._count) and self._is_scaled():
            # How many there are is not for a deployment to say.
            self._begun = begun
            begun = str(self._count)
        self._goal = self._has if begun == str(self._count) else self._count
        content = {
            "machines": self._made_of(going, seen),
            "subnets": sorted(part.strip() for part in seen.get("VPCZoneIdentifier", "").split(",")),
            "behind a balancer": _behind(seen),
            "begun with": begun,
            "tags": self.aws.seen(tags, _TO),
            "wanted": seen["DesiredCapacity"],
            "going on": self._going_on(going, seen),
        }
        return Found(
            seen["AutoScalingGroupARN"],
            content,
            state=state,
            ours=self.aws.is_ours(tags),
            created=seen.get("CreatedTime"),
            error=self._trouble(refresh),
        )

    def seen(self) -> dict[str, Any] | None:
        """As AWS shows it."""
        found = self._asg.describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])["AutoScalingGroups"]
        return dict(found[0]) if found else None

    def create(self) -> None:
        """Make it, and wait until all machines answer. One of this name that is being deleted goes first."""
        request = {
            "AutoScalingGroupName": self.name,
            "LaunchTemplate": self._version(),
            "MinSize": 1,
            "MaxSize": self._count,
            "DesiredCapacity": self._count,
            "VPCZoneIdentifier": ",".join(self._subnets),
            "Tags": self._tags(),
            **self._health(),
        }
        if self._behind:
            request["TargetGroupARNs"] = [TargetGroup(self.aws).arn()]
        began = time.monotonic()
        while True:
            try:
                self._asg.create_auto_scaling_group(**request)
                break
            except ClientError as error:
                leaving = code(error) == "AlreadyExists"
                if leaving and self.find():  # a command that was killed has made it
                    break
                if not leaving and "nstance Profile" not in str(error) and "nstanceProfile" not in str(error):
                    raise
                if time.monotonic() - began > (_GONE_S if leaving else PROPAGATION_S):
                    raise
                time.sleep(_AGAIN_S)
        self._await_all(_START_S)

    def update(self, found: Found) -> None:
        """Change what differs; machines that are made of something else are renewed, each after the next one answers.

        A renewal whose machines do not become healthy is taken back by AWS, and then is an error here.
        """
        wanted, has = self.wanted(), found.content
        seen, health = self.seen() or {}, self._health()
        if wanted["subnets"] != has["subnets"] or seen.get("HealthCheckType") != health["HealthCheckType"]:
            self._asg.update_auto_scaling_group(
                AutoScalingGroupName=self.name, VPCZoneIdentifier=",".join(self._subnets), **health
            )
        if self._behind != bool(seen.get("TargetGroupARNs")):
            self._join_balancer()
        if wanted["machines"] != has["machines"]:
            self._renew()
        elif (refresh := self._refresh()) and refresh["Status"] in _GOING:
            self._finish(refresh["InstanceRefreshId"])
        if wanted["begun with"] != has["begun with"] and has["wanted"] != self._count:
            self._resize()
        # Last, since it says that all before has been done.
        if any(wanted[key] != has[key] for key in ("begun with", "tags")):
            self._asg.create_or_update_tags(Tags=self._tags())
        self._await_all(_START_S)

    def delete(self, found: Found) -> None:
        """End all machines and remove it; waits, since what the machines use cannot go before them."""
        deadline, accepted = time.monotonic() + _GONE_S, False
        while True:
            try:
                if not accepted:
                    self._asg.delete_auto_scaling_group(AutoScalingGroupName=self.name, ForceDelete=True)
                accepted = True
            except ClientError as error:
                if is_missing(error):
                    return
                # Refused while it is at something else, which passes.
                if code(error) not in ("ScalingActivityInProgress", "ResourceInUse") or time.monotonic() > deadline:
                    raise
            if not self.seen() or time.monotonic() > deadline:
                return
            time.sleep(_LOOK_S)

    def hourly(self) -> Decimal | None:
        """Of all its machines."""
        return self.price().hourly

    def hourly_now(self) -> Decimal | None:
        """The same of as many as it has now."""
        return self._each().times(self._has).hourly

    def price(self) -> Price:
        """Machine, disk and address, of all its machines; nothing where only the group itself is meant."""
        return self._each().times(self._goal)

    def detail(self) -> str:
        """Its machines."""
        return f"{self._goal} x {self._template.type_name}" if self._template else ""

    # -- parts

    def _each(self) -> Price:
        return self._template.each() if self._template else Price()

    def _is_scaled(self) -> bool:
        """Whether a policy or a schedule sees to the number of machines."""
        group = {"AutoScalingGroupName": self.name}
        policies = self._asg.describe_policies(**group)["ScalingPolicies"]
        return bool(policies or self._asg.describe_scheduled_actions(**group)["ScheduledUpdateGroupActions"])

    @property
    def _asg(self) -> Any:
        return self.aws.client("autoscaling")

    def _health(self) -> dict[str, Any]:
        return {
            "HealthCheckType": "ELB" if self._behind else "EC2",
            "HealthCheckGracePeriod": _GRACE_S,
            "DefaultInstanceWarmup": _WARM_S,
        }

    def _tags(self) -> list[dict[str, Any]]:
        # The machines have theirs from the launch template, before anything can go wrong.
        tags = self.aws.tags(_TO) | {BEGUN: self._begun}
        group = {"ResourceId": self.name, "ResourceType": "auto-scaling-group", "PropagateAtLaunch": False}
        return [{**group, "Key": key, "Value": value} for key, value in tags.items()]

    def _version(self) -> dict[str, str]:
        found = self._template.find() if self._template else None
        if found is None:
            raise DogbreedError(f"there is no launch template {self.name}", "repeat the command")
        return {"LaunchTemplateId": found.id, "Version": str(found.content["version"])}

    def _made_of(self, refresh: Mapping[str, Any] | None, seen: Mapping[str, Any]) -> str:
        """What its machines are made of, or will be by a renewal that goes on. One that was cancelled or has failed
        leaves machines of both kinds.
        """
        if goal := _goal(refresh):
            return content_of(self.aws, goal)
        # While it is taken back, they become again what the group says.
        parts = [seen] if refresh and refresh["Status"] == "RollbackInProgress" else [seen, *seen["Instances"]]
        used = [one.get("LaunchTemplate", {}) for one in parts if _stays(one)]
        versions = {(one.get("LaunchTemplateId"), one.get("Version")): one for one in used}
        return ", ".join(sorted({content_of(self.aws, one) for one in versions.values()}))

    def _join_balancer(self) -> None:
        if self._behind:
            self._asg.attach_load_balancer_target_groups(
                AutoScalingGroupName=self.name, TargetGroupARNs=[TargetGroup(self.aws).arn()]
            )
        elif seen := self.seen():
            self._asg.detach_load_balancer_target_groups(
                AutoScalingGroupName=self.name, TargetGroupARNs=seen["TargetGroupARNs"]
            )

    def _resize(self) -> None:
        seen = self.seen() or {}
        self._asg.update_auto_scaling_group(
            AutoScalingGroupName=self.name,
            MinSize=min(int(seen.get("MinSize", 1)), self._count),
            MaxSize=max(int(seen.get("MaxSize", 1)), self._count),
            DesiredCapacity=self._count,
        )

    def _renew(self) -> None:
        refresh = self._refresh()
        if refresh and refresh["Status"] in _GOING:
            self._cancel()
        version = self._version()
        began = self._asg.start_instance_refresh(
            AutoScalingGroupName=self.name,
            DesiredConfiguration={"LaunchTemplate": version},
            Preferences={
                "MinHealthyPercentage": _LEAST,
                "MaxHealthyPercentage": _MOST,
                "SkipMatching": True,
                "AutoRollback": True,
                # With nobody who asks whether a machine answers, it gets the time that it takes.
                **({} if self._behind else {"InstanceWarmup": _GRACE_S}),
            },
        )["InstanceRefreshId"]
        self._finish(began)

    def _finish(self, number: str) -> None:
        """Wait for the end of a renewal. DogbreedError where the machines are not what they are to be then."""
        longest = _START_S + _EACH_S * int((self.seen() or {}).get("DesiredCapacity", 1))
        status = self._await(lambda: self._over(number), longest)
        found = None if status["Status"] == "Successful" else self.find()
        if found and found.content["machines"] != self.wanted()["machines"]:
            why = status.get("StatusReason") or "the new machines did not become healthy"
            raise DogbreedError(
                f"group {self.name} was not renewed ({status['Status']}): {why}",
                "the machines before answer on; see dogbreed logs ec2",
            )

    def _cancel(self) -> None:
        try:
            self._asg.cancel_instance_refresh(AutoScalingGroupName=self.name)
        except ClientError as error:
            if code(error) != "ActiveInstanceRefreshNotFound":
                raise
        self._await(lambda: None if (self._refresh() or {}).get("Status") in _GOING else {"Status": ""}, _START_S)

    def _refresh(self, number: str = "") -> dict[str, Any] | None:
        """The newest renewal, or the one of that id; None where there was none."""
        one = {"InstanceRefreshIds": [number]} if number else {"MaxRecords": 1}
        try:
            found = self._asg.describe_instance_refreshes(AutoScalingGroupName=self.name, **one)["InstanceRefreshes"]
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        return dict(found[0]) if found else None

    def _over(self, number: str) -> dict[str, Any] | None:
        seen = self._refresh(number)
        return seen if seen and seen["Status"] not in _GOING else None

    def _going_on(self, refresh: Mapping[str, Any] | None, seen: Mapping[str, Any]) -> str:
        """What must end before it is as a deployment leaves it; who only looks need not ask the balancer."""
        if refresh:
            return str(refresh["Status"])
        silent = self._template and seen["DesiredCapacity"] and not self._answering(seen)
        return "no machine answers" if silent else ""

    def _answering(self, seen: Mapping[str, Any]) -> int:
        """How many machines are in service, and healthy where a balancer asks them."""
        inside: int = sum(one["LifecycleState"] == "InService" for one in seen.get("Instances", ()))
        return min(inside, TargetGroup(self.aws).healthy()) if self._behind and inside else inside

    # -- waiting

    def _await_all(self, longest_s: float) -> None:
        """Until all machines that are wanted are in service, and healthy where a balancer asks them."""
        began = datetime.now(UTC)

        def there() -> dict[str, Any] | None:
            seen = self.seen() or {}
            return seen if self._answering(seen) >= seen.get("DesiredCapacity", 0) else None

        self._await(there, longest_s, began)

    def _await(
        self, over: Callable[[], dict[str, Any] | None], longest_s: float, since: datetime | None = None
    ) -> dict[str, Any]:
        """What `over` says at last; says every minute how it stands. DogbreedError after `longest_s` seconds, or when
        machines cannot be had.
        """
        began = told = time.monotonic()
        failing = 0.0
        while (said := over()) is None:
            now = time.monotonic()
            trouble = self._trouble(None, since)
            failing = (failing or now) if trouble else 0.0
            if (failing and now - failing > _FAILING_S) or now - began > longest_s:
                words = trouble or f"its machines are not all healthy after {longest_s / 60:.0f} minutes"
                raise DogbreedError(
                    f"group {self.name}: {words}", "dogbreed logs ec2, dogbreed status; or repeat the command"
                )
            if now - told >= _TELL_S:
                told = now
                found = self.find()
                self._tell(f"  {self.name}: {found.state if found else 'not there'} after {(now - began) / 60:.0f} min")
            time.sleep(_LOOK_S)
        return said

    def _trouble(self, refresh: Mapping[str, Any] | None, since: datetime | None = None) -> str:
        """What went wrong last, in AWS's words; of activities only those since then, and only the newest counts."""
        if refresh and refresh["Status"] in ("Failed", "RollbackFailed", "RollbackSuccessful", "RollbackInProgress"):
            return str(refresh.get("StatusReason", refresh["Status"]))
        newest = self._asg.describe_scaling_activities(AutoScalingGroupName=self.name, MaxRecords=1)["Activities"]
        if not newest or newest[0]["StatusCode"] != "Failed":
            return ""
        if since and newest[0]["StartTime"] < since:
            return ""
        return str(newest[0].get("StatusMessage", "a machine could not be started"))


def _behind(seen: Mapping[str, Any]) -> bool | str:
    """Whether its machines are in a target group, and judged by it; a killed command leaves one without the other."""
    joined, judged = bool(seen.get("TargetGroupARNs")), seen.get("HealthCheckType") == "ELB"
    return joined if joined == judged else "in part"


def _stays(part: Mapping[str, Any]) -> bool:
    """Whether a machine counts; the group itself does, which has no such state."""
    return not str(part.get("LifecycleState", "")).startswith(("Terminat", "Detach"))


def _goal(refresh: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """What a renewal that goes on leads to; nothing while it is taken back or given up."""
    if refresh is None or refresh["Status"] in ("RollbackInProgress", "Cancelling"):
        return None
    found: Mapping[str, Any] | None = refresh.get("DesiredConfiguration", {}).get("LaunchTemplate")
    return found
