"""Auto-scaling groups whose machines really boot: launched by RunInstances, looked after by group_keeper.py.

Groups are kept here, not in moto, which would make records of machines without the machines. Of policies and scheduled
actions another file knows, which acts through these operations. Launch templates alone are taken: no launch
configurations, no mixed instances, no lifecycle hooks, no warm pools.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from moto.core.exceptions import ServiceException

from dogbreed.rehearse import ec2_rights
from dogbreed.rehearse.calls import AwsError
from dogbreed.rehearse.ec2_template import content, template
from dogbreed.rehearse.group_keeper import Keeper
from dogbreed.rehearse.group_records import Group, Member, Refresh, Template, check_sizes, fits, tagged, wrong

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud

_REFUSED = ("LaunchConfigurationName", "MixedInstancesPolicy", "InstanceId", "LifecycleHookSpecificationList")
_DEFAULTS: dict[str, Any] = {
    "DefaultCooldown": 300,
    "HealthCheckType": "EC2",
    "HealthCheckGracePeriod": 0,
    "TerminationPolicies": ["Default"],
    "NewInstancesProtectedFromScaleIn": False,
}
_PAGE = 50


class Groups:
    """The groups of the account, by region and name."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._groups: dict[tuple[str, str], Group] = {}
        self._keepers: dict[str, Keeper] = {}
        self._lock = threading.Lock()

    def register(self) -> None:
        """Answer the operations."""
        functions: dict[str, Callable[[Call], dict[str, Any]]] = {
            "CreateAutoScalingGroup": self._create,
            "DescribeAutoScalingGroups": self._describe,
            "UpdateAutoScalingGroup": self._update,
            "DeleteAutoScalingGroup": self._delete,
            "SetDesiredCapacity": self._set_desired,
            "TerminateInstanceInAutoScalingGroup": self._terminate,
            "DescribeAutoScalingInstances": self._instances,
            "SetInstanceHealth": self._set_health,
            "SetInstanceProtection": self._protect,
            "DescribeScalingActivities": self._activities,
            "AttachLoadBalancerTargetGroups": self._attach,
            "DetachLoadBalancerTargetGroups": self._detach,
            "DescribeLoadBalancerTargetGroups": self._attached,
            "SuspendProcesses": self._suspend,
            "ResumeProcesses": self._resume,
            "CreateOrUpdateTags": self._tag,
            "DeleteTags": self._untag,
            "DescribeTags": self._tags,
            "StartInstanceRefresh": self._start_refresh,
            "CancelInstanceRefresh": self._cancel_refresh,
            "RollbackInstanceRefresh": self._roll_back,
            "DescribeInstanceRefreshes": self._refreshes,
        }
        for name, function in functions.items():
            self._cloud.handle("autoscaling", name, function)
        self._cloud.on_reset(self.end)
        self._cloud.on_status(self.status)

    def end(self) -> None:
        """Forget all groups; their machines end with all others."""
        with self._lock:
            for group in self._groups.values():
                group.ended.set()
                group.wake.set()
            self._groups.clear()
            self._keepers.clear()

    def status(self) -> dict[str, Any]:
        """What runs, for people."""
        return {"groups": {one.name: [member.id for member in one.members] for one in list(self._groups.values())}}

    # -- groups

    def _create(self, call: Call) -> dict[str, Any]:
        told = dict(call.params)
        name = told.pop("AutoScalingGroupName")
        for word in _REFUSED:
            if told.get(word):
                raise wrong(f"The stand-in's groups take launch templates only, and no {word}.")
        if known := self._groups.get((call.region, name)):
            why = "is pending delete" if known.deleting else "already exists"
            words = f"AutoScalingGroup by this name already exists - A group with the name {name} {why}"
            raise AwsError("AlreadyExists", words)
        chosen = self._template(call, told.pop("LaunchTemplate", None))
        told = _DEFAULTS | told
        told["TargetGroupARNs"] = list(told.get("TargetGroupARNs") or [])
        told.setdefault("DesiredCapacity", told["MinSize"])
        check_sizes(told)
        self._place(call, told)
        tags = {one["Key"]: tagged(name, one) for one in told.pop("Tags", None) or []}
        group = Group(name, call.region, self._cloud.account, told, chosen, self._cloud.clock.now(), tags)
        keeper = Keeper(self._cloud, group, self._forget)
        with self._lock:
            self._groups[call.region, name] = group
            self._keepers[group.number] = keeper
        threading.Thread(target=keeper.run, daemon=True).start()
        return {}

    def _describe(self, call: Call) -> dict[str, Any]:
        names = call.params.get("AutoScalingGroupNames") or []
        found = [one for (region, _), one in sorted(self._groups.items()) if region == call.region]
        found = [one for one in found if not names or one.name in names]
        for wanted in call.params.get("Filters") or []:
            found = [one for one in found if fits(one, wanted["Name"], wanted["Values"])]
        shown = []
        for group in found:
            with group.lock:
                shown.append(group.shown())
        return _paged(call, "AutoScalingGroups", shown)

    def _update(self, call: Call) -> dict[str, Any]:
        group = self._group(call)
        told = {name: value for name, value in call.params.items() if value is not None}
        told.pop("AutoScalingGroupName")
        chosen = self._template(call, told.pop("LaunchTemplate")) if "LaunchTemplate" in told else None
        with group.lock:
            after = group.told | told
            if "DesiredCapacity" not in told:
                # Bounds move the capacity into them.
                after["DesiredCapacity"] = min(max(after["DesiredCapacity"], after["MinSize"]), after["MaxSize"])
            check_sizes(after)
            self._place(call, after)
            group.told, group.template = after, chosen or group.template
        group.wake.set()
        return {}

    def _delete(self, call: Call) -> dict[str, Any]:
        group = self._group(call)
        with group.lock:
            if group.members and not call.params.get("ForceDelete"):
                words = "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance "
                raise AwsError("ResourceInUse", f"{words}request(s) still in the group.")
            group.deleting = True
            for member in group.members:
                if member.active:
                    self._keepers[group.number].end(member, "the group was deleted by a user request.")
        group.wake.set()
        return {}

    def _forget(self, group: Group) -> None:
        with self._lock:
            self._groups.pop((group.region, group.name), None)
            self._keepers.pop(group.number, None)
        group.ended.set()

    def _set_desired(self, call: Call) -> dict[str, Any]:
        group, number = self._group(call), int(call.params["DesiredCapacity"])
        with group.lock:
            for bound, word, way in (("MaxSize", "above max", 1), ("MinSize", "below min", -1)):
                if way * (number - group.told[bound]) > 0:
                    words = f"New SetDesiredCapacity value {number} is {word} value {group.told[bound]} for the "
                    raise wrong(f"{words}AutoScalingGroup.")
            group.told["DesiredCapacity"] = number
        group.wake.set()
        return {}

    # -- machines

    def _terminate(self, call: Call) -> dict[str, Any]:
        group, member = self._member(call.params["InstanceId"])
        with group.lock:
            if call.params["ShouldDecrementDesiredCapacity"]:
                number = group.told["DesiredCapacity"] - 1
                if number < group.told["MinSize"]:
                    words = "Currently, desiredSize equals minSize"
                    raise wrong(f"{words} ({group.told['MinSize']}). Terminating instance without replacement fails.")
                group.told["DesiredCapacity"] = number
            cause = f"instance {member.id} was taken out of service in response to a user request."
            activity = self._keepers[group.number].end(member, cause)
        return {"Activity": dict(activity)}

    def _instances(self, call: Call) -> dict[str, Any]:
        ids = call.params.get("InstanceIds") or []
        shown = [
            {**member.shown(), "AutoScalingGroupName": group.name}
            for (region, _), group in sorted(self._groups.items())
            for member in list(group.members)
            if region == call.region and (not ids or member.id in ids)
        ]
        for one in shown:
            one["HealthStatus"] = one["HealthStatus"].upper()
        return _paged(call, "AutoScalingInstances", shown)

    def _set_health(self, call: Call) -> dict[str, Any]:
        group, member = self._member(call.params["InstanceId"])
        member.healthy = call.params["HealthStatus"] == "Healthy"
        group.wake.set()
        return {}

    def _protect(self, call: Call) -> dict[str, Any]:
        for name in call.params["InstanceIds"]:
            self._member(name)[1].protected = bool(call.params["ProtectedFromScaleIn"])
        return {}

    def _activities(self, call: Call) -> dict[str, Any]:
        name = call.params.get("AutoScalingGroupName")
        groups = [one for one in list(self._groups.values()) if one.region == call.region and name in (None, one.name)]
        return _paged(call, "Activities", [dict(one) for group in groups for one in list(group.activities)])

    def _attach(self, call: Call) -> dict[str, Any]:
        group, client = self._group(call), self._cloud.client("elbv2", call.region)
        for arn in call.params["TargetGroupARNs"]:
            with group.lock:
                if arn in group.target_groups:
                    continue
                targets = [{"Id": one.id} for one in group.members if one.state == "InService"]
                if targets:
                    client.register_targets(TargetGroupArn=arn, Targets=targets)
                group.told["TargetGroupARNs"] = [*group.target_groups, arn]
        return {}

    def _detach(self, call: Call) -> dict[str, Any]:
        group, client = self._group(call), self._cloud.client("elbv2", call.region)
        for arn in call.params["TargetGroupARNs"]:
            with group.lock:
                group.told["TargetGroupARNs"] = [one for one in group.target_groups if one != arn]
                targets = [{"Id": one.id} for one in group.members]
            if targets:
                client.deregister_targets(TargetGroupArn=arn, Targets=targets)
        return {}

    def _attached(self, call: Call) -> dict[str, Any]:
        found = self._group(call).target_groups
        return {
            "LoadBalancerTargetGroups": [{"LoadBalancerTargetGroupARN": arn, "State": "InService"} for arn in found]
        }

    # -- processes and tags

    def _suspend(self, call: Call) -> dict[str, Any]:
        every = ("Launch", "Terminate", "HealthCheck", "ReplaceUnhealthy")
        self._group(call).suspended |= set(call.params.get("ScalingProcesses") or every)
        return {}

    def _resume(self, call: Call) -> dict[str, Any]:
        group = self._group(call)
        group.suspended -= set(call.params.get("ScalingProcesses") or group.suspended)
        group.wake.set()
        return {}

    def _tag(self, call: Call) -> dict[str, Any]:
        for one in call.params["Tags"]:
            group = self._named(call, one["ResourceId"])
            group.tags[one["Key"]] = tagged(group.name, one)
        return {}

    def _untag(self, call: Call) -> dict[str, Any]:
        for one in call.params["Tags"]:
            self._named(call, one["ResourceId"]).tags.pop(one["Key"], None)
        return {}

    def _tags(self, call: Call) -> dict[str, Any]:
        wanted = {one["Name"]: one["Values"] for one in call.params.get("Filters") or []}
        keys = {"auto-scaling-group": "ResourceId", "key": "Key", "value": "Value"}
        found = [tag for group in self._groups.values() if group.region == call.region for tag in group.tags.values()]
        for name, values in wanted.items():
            if name in keys:
                found = [tag for tag in found if tag[keys[name]] in values]
        return _paged(call, "Tags", found)

    # -- refreshes

    def _start_refresh(self, call: Call) -> dict[str, Any]:
        group, told = self._group(call), call.params
        if group.refresh:
            words = "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh."
            raise AwsError("InstanceRefreshInProgress", words)
        wanted = (told.get("DesiredConfiguration") or {}).get("LaunchTemplate")
        preferences = told.get("Preferences") or {}
        least, most = preferences.get("MinHealthyPercentage"), preferences.get("MaxHealthyPercentage")
        if most is not None and (least is None or most - least > 100):
            raise wrong("MinHealthyPercentage and MaxHealthyPercentage go together, at most 100 apart.")
        if preferences.get("AutoRollback") and wanted is None:
            raise wrong("AutoRollback needs a desired configuration.")
        chosen = self._template(call, wanted) if wanted else group.template
        with group.lock:
            made = Refresh(group.name, chosen, group.template, dict(told), self._cloud.clock.now())
            made.wanted = group.told["DesiredCapacity"]
            group.refreshes.insert(0, made)
        group.wake.set()
        return {"InstanceRefreshId": made.id}

    def _going(self, call: Call) -> tuple[Group, Refresh]:
        group = self._group(call)
        if (refresh := group.refresh) is None:
            raise AwsError("ActiveInstanceRefreshNotFound", "No in progress or pending Instance Refresh found.")
        return group, refresh

    def _cancel_refresh(self, call: Call) -> dict[str, Any]:
        group, refresh = self._going(call)
        with group.lock:
            refresh.status, refresh.reason, refresh.end = "Cancelled", "Cancelled by a user.", self._cloud.clock.now()
        return {"InstanceRefreshId": refresh.id}

    def _roll_back(self, call: Call) -> dict[str, Any]:
        group, refresh = self._going(call)
        if "DesiredConfiguration" not in refresh.told:
            raise AwsError("IrreversibleInstanceRefresh", "There is no desired configuration to roll back from.")
        with group.lock:
            self._keepers[group.number].roll_back(refresh, "Rolled back by a user.")
        return {"InstanceRefreshId": refresh.id}

    def _refreshes(self, call: Call) -> dict[str, Any]:
        group, ids = self._group(call), call.params.get("InstanceRefreshIds") or []
        with group.lock:
            shown = [one.shown() for one in group.refreshes if not ids or one.id in ids]
        return _paged(call, "InstanceRefreshes", shown)

    # -- the rest

    def _group(self, call: Call) -> Group:
        return self._named(call, call.params["AutoScalingGroupName"])

    def _named(self, call: Call, name: str) -> Group:
        if found := self._groups.get((call.region, name.rsplit("autoScalingGroupName/", 1)[-1])):
            return found
        raise wrong(f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")

    def _member(self, name: str) -> tuple[Group, Member]:
        for group in list(self._groups.values()):
            for member in list(group.members):
                if member.id == name and member.active:
                    return group, member
        raise wrong(f"Instance Id not found - No managed instance found for instance ID: {name}")

    def _template(self, call: Call, wanted: dict[str, Any] | None) -> Template:
        """The version of a launch template that is meant, by its number; the caller must be allowed to launch it."""
        if not wanted:
            raise wrong("Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or "
                         "MixedInstancesPolicy parameter.")  # fmt: skip
        backend = self._cloud.moto("ec2", call.region)
        try:
            found = template(backend, wanted)
        except (AwsError, LookupError) as error:  # moto fails over an id that it does not know
            words = error.message if isinstance(error, AwsError) else "The specified launch template does not exist."
            raise wrong(f"You must use a valid fully-formed launch template. {words}") from None
        params = content(backend, wanted) | {"LaunchTemplate": wanted}
        if params.get("ImageId"):
            ec2_rights.need(self._cloud, call, backend, params)
        told = {"LaunchTemplateId": found.template.id, "LaunchTemplateName": found.template.name}
        return told | {"Version": str(found.number)}

    def _place(self, call: Call, told: dict[str, Any]) -> None:
        """The zones of its subnets; AwsError where one is not there."""
        names = [name.strip() for name in (told.get("VPCZoneIdentifier") or "").split(",") if name.strip()]
        if not names:
            raise wrong("The stand-in's groups need VPCZoneIdentifier.")
        try:
            found = [self._cloud.moto("ec2", call.region).get_subnet(name) for name in names]
        except ServiceException as error:
            raise wrong(f"The subnet ID is not valid: {error}") from None
        told["AvailabilityZones"] = sorted({one.availability_zone for one in found})


def _paged(call: Call, key: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    start, size = int(call.params.get("NextToken") or 0), int(call.params.get("MaxRecords") or _PAGE)
    more = {"NextToken": str(start + size)} if start + size < len(found) else {}
    return {key: found[start : start + size]} | more


def add(cloud: Cloud) -> None:
    """Register with the cloud."""
    Groups(cloud).register()
