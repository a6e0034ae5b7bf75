"""What EC2 shows and changes of its records where moto's answers are wrong or missing; no machine is touched."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.parsers import create_parser
from moto.core.serialize import XFormedAttributePicker, get_serializer_class
from moto.core.utils import get_service_model
from moto.ec2.models.instances import InstanceState, StateReason

from dogbreed.rehearse import ec2_images
from dogbreed.rehearse.calls import PASS, AwsError, Passed
from dogbreed.rehearse.ec2_template import moto_speaks

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud

_CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
_METADATA = ("HttpTokens", "HttpPutResponseHopLimit", "HttpEndpoint", "HttpProtocolIpv6", "InstanceMetadataTags")


def reservation(made: Any) -> dict[str, Any]:
    """A reservation of moto's as RunInstances answers it."""
    model = get_service_model("ec2").operation_model("DescribeInstances")
    serializer = get_serializer_class("ec2", "ec2")(model, value_picker=XFormedAttributePicker())
    written = serializer.serialize({"Reservations": [made]})
    body = written["body"]
    told: dict[str, Any] = {"body": body.encode() if isinstance(body, str) else body, "headers": {}, "status_code": 200}
    shown: dict[str, Any] = create_parser("ec2").parse(told, model.output_shape)["Reservations"][0]
    return shown


def state(instance: Any) -> dict[str, Any]:
    """The state as it is now."""
    return {"Code": instance.state_code, "Name": instance.state}


def set_state(instance: Any, name: str, reason: tuple[str, str] = ("", ""), words: str = "") -> None:
    """Change what EC2 says of an instance."""
    instance._reason = words
    instance.state_reason = StateReason(reason[1], reason[0])
    # Last, and in one step: who sees the state finds its reason.
    instance._state = InstanceState(name, _CODES[name])


@contextmanager
def as_it_was(instance: Any) -> Iterator[None]:
    """Let moto change an instance while its state is shown as before: moto sets it too early, and another reason."""
    shown = instance._state
    instance._state = _Unmoved(shown.name, shown.code)
    try:
        yield
    finally:
        instance._state = shown


class _Unmoved(InstanceState):
    """A state that does not follow what is done to the instance."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.__dict__:
            super().__setattr__(name, value)


def metadata_options(instance: Any) -> dict[str, Any]:
    """The metadata options by the API's names."""
    options = instance.metadata_options
    return {
        "HttpTokens": options.http_tokens,
        "HttpPutResponseHopLimit": options.http_put_response_hop_limit,
        "HttpEndpoint": options.http_endpoint,
        "HttpProtocolIpv6": options.http_protocol_ipv6,
        "InstanceMetadataTags": options.instance_metadata_tags,
    }


class Records:
    """Handlers that need a little memory: placement groups."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._groups: dict[tuple[str, str], dict[str, Any]] = {}
        cloud.on_reset(self._groups.clear)

    def images(self, call: Call) -> Passed:
        """Before DescribeImages."""
        ec2_images.put(self._cloud.moto("ec2", call.region))
        return PASS

    def change_metadata_options(self, call: Call) -> dict[str, Any]:
        """ModifyInstanceMetadataOptions; moto would set what is not named to its default."""
        instance = self._instance(call)
        told = metadata_options(instance) | {name: call.params[name] for name in _METADATA if name in call.params}
        with moto_speaks():
            instance.metadata_options.__init__(told)
        return {"InstanceId": instance.id, "InstanceMetadataOptions": metadata_options(instance) | {"State": "pending"}}

    def change_attribute(self, call: Call) -> dict[str, Any] | Passed:
        """ModifyInstanceAttribute for what moto does not know."""
        told = call.params.get("InstanceInitiatedShutdownBehavior")
        value = told.get("Value") if told else None
        if call.params.get("Attribute") == "instanceInitiatedShutdownBehavior":
            value = call.params.get("Value")
        if value is None:
            return PASS
        if value not in ("stop", "terminate"):
            words = f"Value ({value}) for parameter instanceInitiatedShutdownBehavior is invalid."
            raise AwsError("InvalidParameterValue", words)
        self._instance(call).instance_initiated_shutdown_behavior = value
        return {}

    def create_group(self, call: Call) -> dict[str, Any]:
        """CreatePlacementGroup."""
        name = call.params["GroupName"]
        if (call.region, name) in self._groups:
            raise AwsError("InvalidPlacementGroup.Duplicate", f"The Placement Group '{name}' already exists.")
        tags = [tag for spec in call.params.get("TagSpecifications") or [] for tag in spec.get("Tags", [])]
        number = f"pg-0{uuid.uuid4().hex[:16]}"
        arn = f"arn:aws:ec2:{call.region}:{self._cloud.account}:placement-group/{name}"
        strategy = call.params.get("Strategy") or "cluster"
        group = {"GroupName": name, "GroupId": number, "GroupArn": arn, "State": "available", "Strategy": strategy}
        self._groups[call.region, name] = group | {"Tags": tags}
        return {"PlacementGroup": self._groups[call.region, name]}

    def describe_groups(self, call: Call) -> dict[str, Any]:
        """DescribePlacementGroups, by names or ids."""
        groups = [group for (region, _), group in self._groups.items() if region == call.region]
        for name in call.params.get("GroupNames") or []:
            if name not in [group["GroupName"] for group in groups]:
                raise AwsError("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")
        for key, wanted in (("GroupName", call.params.get("GroupNames")), ("GroupId", call.params.get("GroupIds"))):
            groups = [group for group in groups if not wanted or group[key] in wanted]
        return {"PlacementGroups": groups}

    def delete_group(self, call: Call) -> dict[str, Any]:
        """DeletePlacementGroup."""
        name = call.params["GroupName"]
        if (call.region, name) not in self._groups:
            raise AwsError("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")
        for instance in self._cloud.moto("ec2", call.region).all_instances():
            if instance.placement.group_name == name and instance.state != "terminated":
                raise AwsError(
                    "InvalidPlacementGroup.InUse", f"The placement group '{name}' is in use and may not be deleted."
                )
        del self._groups[call.region, name]
        return {}

    def check_group(self, region: str, params: dict[str, Any]) -> None:
        """AwsError where a launch names a placement group that is not there."""
        name = (params.get("Placement") or {}).get("GroupName")
        if name and (region, name) not in self._groups:
            raise AwsError("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")

    def _instance(self, call: Call) -> Any:
        with moto_speaks():
            return self._cloud.moto("ec2", call.region).get_instance(call.params["InstanceId"])


def add(cloud: Cloud) -> Records:
    """Register with the cloud."""
    records = Records(cloud)
    cloud.handle("ec2", "DescribeImages", records.images)
    cloud.handle("ec2", "ModifyInstanceMetadataOptions", records.change_metadata_options)
    cloud.handle("ec2", "ModifyInstanceAttribute", records.change_attribute)
    cloud.handle("ec2", "CreatePlacementGroup", records.create_group)
    cloud.handle("ec2", "DescribePlacementGroups", records.describe_groups)
    cloud.handle("ec2", "DeletePlacementGroup", records.delete_group)
    return records
