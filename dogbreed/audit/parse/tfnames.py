"""Terraform's resource types and attributes in CloudFormation's names, by one table (data/terraform.json).

An attribute that the table does not name is written in the other case (`kms_key_id`: KmsKeyId). There, `X!` is a block
that occurs once, `X.Y` a member of an object, and `block.attribute` an attribute inside one block only.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from dogbreed.audit.model import HOLE, OWN_ACCOUNT, OWN_REGION, UNKNOWN, Resource
from dogbreed.audit.parse import names
from dogbreed.audit.parse.placed import Arr, Obj, Place, Placed
from dogbreed.audit.source import Source

_FILE = Path(__file__).parent.parent / "data" / "terraform.json"
# Maps whose keys are the user's own.
_MAPS = {"environment", "variables", "hyper_parameters", "tags", "tags_all", "labels"}
_DISKS = {"root_block_device": "root", "ebs_block_device": ""}
# Attributes that give what the resource is called, besides its name.
_ARN = ("arn", "invoke_arn", "qualified_arn", "policy_arn", "topic_arn")
_ID_IS_ARN = ("AWS::IAM::ManagedPolicy", "AWS::SNS::Topic", "AWS::SecretsManager::Secret", "AWS::IAM::OIDCProvider")


@cache
def table() -> dict[str, dict[str, Any]]:
    """{Terraform's type: {"type": CloudFormation's, "names": {attribute: property}}}."""
    data: dict[str, dict[str, Any]] = json.loads(_FILE.read_text(encoding="utf-8"))
    return data


def type_of(tf_type: str) -> str:
    """CloudFormation's type, "" for a resource that is not audited."""
    return str(table().get(tf_type, {}).get("type", ""))


def to_resource(tf_type: str, address: str, attributes: Obj, source: Source, place: Place) -> Resource:
    """A resource with CloudFormation's type and properties; its id is Terraform's address."""
    type = type_of(tf_type)
    properties = to_properties(tf_type, attributes)
    _special(type, properties, attributes)
    label(type, address, properties, attributes)
    return Resource(type, address, properties, Placed(source, properties, place))


def to_properties(tf_type: str, attributes: dict[str, Any]) -> Obj:
    """The attributes by CloudFormation's names, without those that are null or an empty block."""
    return _object(attributes, table()[tf_type].get("names", {}), "")


def label(type: str, address: str, properties: Obj, attributes: dict[str, Any]) -> None:
    """Name a resource that has no name of its own by its address, as everything that refers to it does."""
    naming = names.NAMINGS.get(type)
    if naming is None or not naming.property:
        return
    own = properties.get(naming.property)
    if not isinstance(own, str) or not own or own == HOLE:
        prefix = attributes.get("name_prefix", attributes.get("bucket_prefix"))
        short = address.rsplit(".", 1)[-1].replace('"', "").replace("[", "-").replace("]", "")
        properties[naming.property] = (prefix if isinstance(prefix, str) else "") + short


def attribute(type: str, address: str, properties: Obj, name: str) -> Any:
    """What a reference to a resource's attribute gives; None when only the resource itself can tell."""
    called = names.name_of(type, address, properties)
    if name in _ARN or (name == "id" and type in _ID_IS_ARN):
        return names.arn_of(type, address, properties) or HOLE
    if name == "id" and type == "AWS::SQS::Queue":
        return names.reference(type, address, properties)
    if name in ("id", "name", "bucket", "function_name", "key_id"):
        return called
    if name in ("url", "repository_url"):
        if type == "AWS::ECR::Repository":
            return f"{OWN_ACCOUNT}.dkr.ecr.{OWN_REGION}.amazonaws.com/{called}"
        return names.reference(type, address, properties)
    return None


def _object(value: dict[str, Any], renamed: dict[str, str], inside: str) -> Obj:
    made = Obj()
    for key, member in value.items():
        if member is None or (isinstance(member, str | list) and not member):
            continue
        place = value.place(key) if isinstance(value, Obj) else None
        target = renamed.get(f"{inside}.{key}") or renamed.get(key) or pascal(key)
        once = target.endswith("!")
        if key in _MAPS and not once:
            new: Any = member
        else:
            new = _value(member, renamed, key)
        if once and isinstance(new, list):
            place = new.place(0) if isinstance(new, Arr) and new.places else place
            new = new[0] if new else None
        outer, dot, name = target.rstrip("!").partition(".")
        if not dot:
            made.put(outer, new, place)
        else:
            if not isinstance(made.get(outer), Obj):
                made.put(outer, Obj(), place)
            made[outer].put(name, new, place)
    return made


def _value(value: Any, renamed: dict[str, str], inside: str) -> Any:
    if isinstance(value, dict):
        # A policy document is written as AWS has it.
        return value if "Statement" in value or "Version" in value else _object(value, renamed, inside)
    if isinstance(value, list):
        made = Arr()
        for index, member in enumerate(value):
            made.put(_value(member, renamed, inside), value.place(index) if isinstance(value, Arr) else None)
        return made
    return value


def pascal(name: str) -> str:
    """`kms_key_id`: KmsKeyId."""
    return "".join(word[:1].upper() + word[1:] for word in name.split("_"))


def _special(type: str, properties: Obj, attributes: Obj) -> None:
    """What Terraform says in another way than CloudFormation."""
    if type in ("AWS::EC2::Instance", "AWS::AutoScaling::LaunchConfiguration"):
        _disks(properties, attributes)
    elif type == "AWS::EC2::LaunchTemplate":
        data = Obj(properties.items(), dict(properties.places))
        properties.clear()
        properties.put("LaunchTemplateData", data, None)
        properties.put("LaunchTemplateName", attributes.get("name"), attributes.place("name"))
    elif type == "AWS::EC2::SecurityGroupIngress":
        direction = attributes.get("type", "ingress")
        properties.put("Egress", UNKNOWN if direction is UNKNOWN else direction == "egress", attributes.place("type"))


def _disks(properties: Obj, attributes: Obj) -> None:
    """The disks of a machine as block device mappings."""
    mappings = Arr()
    for name, device in _DISKS.items():
        disks = attributes.get(name)
        for index, disk in enumerate(disks if isinstance(disks, list) else []):
            place = disks.place(index) if isinstance(disks, Arr) else attributes.place(name)
            mapping = Obj()
            mapping.put("DeviceName", device, place)
            mapping.put("Ebs", UNKNOWN if disk is UNKNOWN else _object(disk, {}, ""), place)
            mappings.put(mapping, place)
        properties.pop(pascal(name), None)
    if mappings:
        properties.put("BlockDeviceMappings", mappings, mappings.places[0])
