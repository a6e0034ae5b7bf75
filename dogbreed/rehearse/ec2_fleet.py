"""CreateFleet: machines from several launch templates, types and zones, with an error for each that is not to be had.

Kinds `instant` and `request`; a `maintain` fleet is refused, since nothing here would replace its instances. Pools are
tried in the order in which they are given, whatever the allocation strategy: the stand-in has no prices to compare.
"""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse.calls import AwsError
from dogbreed.rehearse.ec2_template import Params, content, over

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud
    from dogbreed.rehearse.ec2 import Ec2

# Members of an override that are parameters of a launch by another name, or of the fleet alone.
_NOT_LAUNCHED = ("MaxPrice", "WeightedCapacity", "Priority", "InstanceRequirements", "AvailabilityZone", "SubnetId")


@dataclass
class Fleet:
    """A fleet with the instances that it started."""

    id: str
    told: Params
    region: str
    made: datetime
    state: str = "active"
    fulfilled: float = 0.0
    instances: list[Params] = field(default_factory=list)
    errors: list[Params] = field(default_factory=list)


class Fleets:
    """The fleets of an account."""

    def __init__(self, cloud: Cloud, ec2: Ec2) -> None:
        self._cloud, self._ec2 = cloud, ec2
        self._fleets: dict[str, Fleet] = {}
        self._lock = threading.Lock()
        cloud.on_reset(self._fleets.clear)

    def create(self, call: Call) -> dict[str, Any]:
        """CreateFleet."""
        told = call.params
        kind = told.get("Type") or "maintain"
        if kind == "maintain":
            raise AwsError(
                "UnsupportedOperation", "The stand-in has no fleets of type maintain; use instant or request."
            )
        if told.get("DryRun"):
            raise AwsError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
        with self._lock:
            return self._create(call)

    def _create(self, call: Call) -> dict[str, Any]:
        told, token = call.params, call.params.get("ClientToken")
        for one in self._fleets.values():
            if token and one.told.get("ClientToken") == token and one.region == call.region:
                if one.told != told:
                    raise AwsError("IdempotentParameterMismatch", "The client token was used with other parameters.")
                return _created(one)
        fleet = Fleet(f"fleet-{uuid.uuid4()}", told, call.region, datetime.now(UTC))
        for market, capacity, options in self._wanted(told):
            self._fill(fleet, call, market, capacity, options)
        self._fleets[fleet.id] = fleet
        return _created(fleet)

    def _wanted(self, told: Params) -> list[tuple[str, float, Params]]:
        """Market, capacity and options of each part of a fleet."""
        target = told["TargetCapacitySpecification"]
        spot, on_demand = target.get("SpotTargetCapacity") or 0, target.get("OnDemandTargetCapacity") or 0
        rest = max(0, target["TotalTargetCapacity"] - spot - on_demand)
        if target.get("DefaultTargetCapacityType") == "spot":
            spot += rest
        else:
            on_demand += rest
        parts = [
            ("spot", spot, told.get("SpotOptions") or {}),
            ("on-demand", on_demand, told.get("OnDemandOptions") or {}),
        ]
        return [part for part in parts if part[1]]

    def _fill(self, fleet: Fleet, call: Call, market: str, capacity: float, options: Params) -> None:
        got, started = 0.0, []
        for config, override in _pools(fleet.told):
            if got >= capacity:
                break
            weight = override.get("WeightedCapacity") or 1
            count = int(-(-(capacity - got) // weight))
            shown = {"LaunchTemplateSpecification": config["LaunchTemplateSpecification"], "Overrides": override}
            try:
                params = self._params(self._ec2.backend(call), fleet, config, override, market)
                reservation = self._ec2.launch(call, params, count)
            except AwsError as error:
                fault = {"ErrorCode": error.code, "ErrorMessage": error.message, "Lifecycle": market}
                fleet.errors.append(fault | {"LaunchTemplateAndOverrides": shown})
                continue
            ids = [instance.id for instance in reservation.instances]
            started += reservation.instances
            got += count * weight
            told = {"InstanceIds": ids, "InstanceType": params["InstanceType"], "Lifecycle": market}
            fleet.instances.append(told | {"LaunchTemplateAndOverrides": shown})
        if got < (options.get("MinTargetCapacity") or 0):
            for instance in started:
                self._ec2.terminate(instance)
            fleet.instances = [one for one in fleet.instances if one["Lifecycle"] != market]
            got = 0.0
        fleet.fulfilled += got

    def _params(self, backend: Any, fleet: Fleet, config: Params, override: Params, market: str) -> Params:
        """What to launch for one pool."""
        wanted = config["LaunchTemplateSpecification"]
        above = {name: value for name, value in override.items() if name not in _NOT_LAUNCHED}
        specs = fleet.told.get("TagSpecifications") or []
        if fleet.told.get("Type") == "instant":
            above["TagSpecifications"] = [spec for spec in specs if spec["ResourceType"] != "fleet"]
        params = over(content(backend, wanted), above) | {"LaunchTemplate": wanted}
        params["TagSpecifications"] = [*(params.get("TagSpecifications") or [])]
        params["TagSpecifications"].append(
            {"ResourceType": "instance", "Tags": [{"Key": "aws:ec2:fleet-id", "Value": fleet.id}]}
        )
        if subnet := override.get("SubnetId"):
            if nics := params.get("NetworkInterfaces"):
                params["NetworkInterfaces"] = [{**nics[0], "SubnetId": subnet}, *nics[1:]]
            else:
                params["SubnetId"] = subnet
        if zone := override.get("AvailabilityZone"):
            params["Placement"] = {**(params.get("Placement") or {}), "AvailabilityZone": zone}
        options = {"MaxPrice": override["MaxPrice"]} if override.get("MaxPrice") else {}
        params["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": options} if market == "spot" else None
        return params

    def describe(self, call: Call) -> dict[str, Any]:
        """DescribeFleets."""
        return {"Fleets": [_shown(fleet) for fleet in self._named(call)]}

    def instances(self, call: Call) -> dict[str, Any]:
        """DescribeFleetInstances."""
        fleet = self._one(call.params["FleetId"])
        backend = self._ec2.backend(call)
        active = []
        for told in fleet.instances:
            for name in told["InstanceIds"]:
                if backend.get_instance(name).state in ("pending", "running"):
                    active.append(
                        {"InstanceId": name, "InstanceType": told["InstanceType"], "InstanceHealth": "healthy"}
                    )
        return {"FleetId": fleet.id, "ActiveInstances": active}

    def delete(self, call: Call) -> dict[str, Any]:
        """DeleteFleets."""
        deleted, failed = [], []
        backend = self._ec2.backend(call)
        for name in call.params["FleetIds"]:
            if name not in self._fleets:
                fault = {"Code": "fleetIdDoesNotExist", "Message": f"The fleet ID '{name}' does not exist"}
                failed.append({"FleetId": name, "Error": fault})
                continue
            fleet = self._fleets[name]
            ends = call.params["TerminateInstances"]
            if fleet.told.get("Type") == "instant" and not ends:
                words = "NoTerminateInstances option is not supported for instant fleet"
                failed.append({"FleetId": name, "Error": {"Code": "fleetNotInDeletableState", "Message": words}})
                continue
            before, fleet.state = fleet.state, "deleted_terminating" if ends else "deleted_running"
            for told in fleet.instances if ends else ():
                for instance in told["InstanceIds"]:
                    self._ec2.terminate(backend.get_instance(instance))
            deleted.append({"FleetId": name, "CurrentFleetState": fleet.state, "PreviousFleetState": before})
        return {"SuccessfulFleetDeletions": deleted, "UnsuccessfulFleetDeletions": failed}

    def _named(self, call: Call) -> list[Fleet]:
        if names := call.params.get("FleetIds"):
            return [self._one(name) for name in names]
        # As on AWS, an instant fleet is shown only where it is asked for by its id.
        return [one for one in self._fleets.values() if one.region == call.region and one.told.get("Type") != "instant"]

    def _one(self, name: str) -> Fleet:
        if name not in self._fleets:
            raise AwsError("InvalidFleetId.NotFound", f"The fleet ID '{name}' does not exist")
        return self._fleets[name]


def _created(fleet: Fleet) -> dict[str, Any]:
    shown: dict[str, Any] = {"FleetId": fleet.id}
    if fleet.told.get("Type") == "instant":
        shown |= {"Errors": fleet.errors, "Instances": fleet.instances}
    return shown


def _pools(told: Params) -> list[tuple[Params, Params]]:
    """Launch template and override of each pool, by priority where they have one."""
    pools = [(config, pool) for config in told["LaunchTemplateConfigs"] for pool in config.get("Overrides") or [{}]]
    return sorted(pools, key=lambda pool: pool[1].get("Priority") or 0)


def _shown(fleet: Fleet) -> Params:
    kept = (
        "LaunchTemplateConfigs",
        "TargetCapacitySpecification",
        "SpotOptions",
        "OnDemandOptions",
        "Type",
        "ClientToken",
    )
    tags = [
        tag
        for spec in fleet.told.get("TagSpecifications") or []
        if spec["ResourceType"] == "fleet"
        for tag in spec["Tags"]
    ]
    return {name: fleet.told[name] for name in kept if fleet.told.get(name) is not None} | {
        "FleetId": fleet.id,
        "FleetState": fleet.state,
        "CreateTime": fleet.made,
        "FulfilledCapacity": fleet.fulfilled,
        "ActivityStatus": "fulfilled" if not fleet.errors else "error",
        "Errors": fleet.errors,
        "Instances": fleet.instances,
        "Tags": tags,
    }


def _refuse(_: Call) -> dict[str, Any]:
    words = "The stand-in starts spot machines by RunInstances and CreateFleet only."
    raise AwsError("UnsupportedOperation", words)


def add(cloud: Cloud, ec2: Ec2) -> None:
    """Register with the cloud."""
    # Moto would show instances as running that are not there.
    for operation in ("RequestSpotInstances", "RequestSpotFleet"):
        cloud.handle("ec2", operation, _refuse)
    fleets = Fleets(cloud, ec2)
    cloud.handle("ec2", "CreateFleet", fleets.create)
    cloud.handle("ec2", "DescribeFleets", fleets.describe)
    cloud.handle("ec2", "DescribeFleetInstances", fleets.instances)
    cloud.handle("ec2", "DeleteFleets", fleets.delete)
