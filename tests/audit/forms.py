"""One resource in every form that the audit reads: template, request, answer, Terraform, plan."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from dogbreed.audit.parse import tfnames
from dogbreed.audit.parse.shapes import RENAMED

Properties = dict[str, Any]
# How a call that makes the resource is spelled; SageMaker's are all Create<Type>.
CALLS = {
    "Lambda::Function": ("lambda", "CreateFunction"),
    "Lambda::Url": ("lambda", "CreateFunctionUrlConfig"),
    "EC2::Instance": ("ec2", "RunInstances"),
    "EC2::Volume": ("ec2", "CreateVolume"),
    "KMS::Key": ("kms", "CreateKey"),
    "ECR::Repository": ("ecr", "CreateRepository"),
}
# What a call says in another way, or cannot say.
_NOT_IN_CALLS = {"KMS::Key": {"EnableKeyRotation"}, "Lambda::Function": {"ReservedConcurrentExecutions"}}


def template(type: str, properties: Properties) -> tuple[str, str]:
    body = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Resources": {"It": {"Type": f"AWS::{type}", "Properties": properties}},
    }
    return "template.json", json.dumps(body, indent=2)


def yaml_template(type: str, properties: Properties) -> tuple[str, str]:
    return "template.yaml", yaml.safe_dump(json.loads(template(type, properties)[1]))


def bare(type: str, properties: Properties) -> tuple[str, str]:
    return "resource.json", json.dumps({"Type": f"AWS::{type}", "Properties": properties})


def _api(type: str, properties: Properties) -> Properties | None:
    """The properties as the API spells them; None where no one call says them all."""
    if type.split("::", maxsplit=1)[0] != "SageMaker" and type not in CALLS:
        return None
    if _NOT_IN_CALLS.get(type, set()) & set(properties):
        return None
    back = {new: old for old, new in RENAMED.get(f"AWS::{type}", {}).items()}
    if type == "Lambda::Url":
        back = {"TargetFunctionArn": "FunctionName"}
    made = {back.get(key, key): value for key, value in properties.items()}
    if type == "ECR::Repository":
        made = json.loads(
            re.sub(r'"([A-Z])(\w*)":', lambda match: f'"{match[1].lower()}{match[2]}":', json.dumps(made))
        )
    return made


def call(type: str, properties: Properties) -> tuple[str, str] | None:
    parameters = _api(type, properties)
    if parameters is None:
        return None
    service, operation = CALLS.get(type, ("sagemaker", f"Create{type.split('::')[1]}"))
    return "calls.jsonl", json.dumps({"service": service, "operation": operation, "parameters": parameters}) + "\n"


def snake_call(type: str, properties: Properties) -> tuple[str, str] | None:
    parameters = _api(type, properties)
    if parameters is None:
        return None
    service, operation = CALLS.get(type, ("sagemaker", f"Create{type.split('::')[1]}"))
    snake = re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()
    return "calls.json", json.dumps([{"service": service, "operation": snake, "kwargs": parameters}])


def trail_record(type: str, properties: Properties) -> tuple[str, str] | None:
    parameters = _api(type, properties)
    if parameters is None or "HyperParameters" in properties:
        return None
    service, operation = CALLS.get(type, ("sagemaker", f"Create{type.split('::')[1]}"))

    def lower(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key[:1].lower() + key[1:]: member
                if key in ("Variables", "Environment") and type != "Lambda::Function"
                else lower(member)
                for key, member in value.items()
            }
        return [lower(member) for member in value] if isinstance(value, list) else value

    if "Environment" in properties:
        return None
    record = {"eventSource": f"{service}.amazonaws.com", "eventName": operation, "requestParameters": lower(parameters)}
    return "trail.json", json.dumps({"Records": [record]})


def arguments(type: str, properties: Properties) -> tuple[str, str] | None:
    """What boto3 is called with, and nothing that says what for; the same as what describe answers."""
    parameters = _api(type, properties)
    if parameters is None or type in ("Lambda::Url", "KMS::Key"):
        return None
    if type == "ECR::Repository" and len(parameters) < 2:
        return None
    named = next((key for key in parameters if key.endswith("Name")), "")
    if type.startswith("SageMaker::") and len(parameters) < 2 and named:
        return None
    return "kwargs.json", json.dumps(parameters)


# -- Terraform: CloudFormation's names turned back by the table that the audit uses

_TYPES = {value["type"]: key for key, value in reversed(tfnames.table().items()) if not key.startswith("awscc_")}
_TYPES["AWS::EC2::SecurityGroup"] = "aws_security_group"
_TYPES["AWS::EC2::Instance"] = "aws_instance"


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _attributes(properties: Properties, names: dict[str, str], inside: str = "") -> Properties:
    back = {
        new.rstrip("!"): old.rpartition(".")[2]
        for old, new in names.items()
        if not old.count(".") or old.startswith(f"{inside}.")
    }
    made: Properties = {}
    for key, value in properties.items():
        name = back.get(key, _snake(key))
        if (
            isinstance(value, dict)
            and name not in ("variables", "hyper_parameters", "tags")
            and f"{key}!" in names.values()
        ):
            made[name] = [_attributes(value, names, name)]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            made[name] = [_attributes(one, names, name) for one in value]
        else:
            made[name] = value
    return made


def attributes(type: str, properties: Properties) -> tuple[str, Properties] | None:
    """Terraform's type and attributes; None where Terraform says it with resources of its own or not at all."""
    tf_type = _TYPES.get(f"AWS::{type}")
    if tf_type is None or type in ("S3::Bucket", "SageMaker::TrainingJob"):
        return None
    given = dict(properties)
    if type == "EC2::Instance":
        if "NetworkInterfaces" in given:
            given["AssociatePublicIpAddress"] = given.pop("NetworkInterfaces")[0]["AssociatePublicIpAddress"]
        disks = [one["Ebs"] for one in given.pop("BlockDeviceMappings", [])]
        made = _attributes(given, tfnames.table()[tf_type].get("names", {}))
        if disks:
            made["root_block_device"] = [_attributes(disks[0], {})]
            made["ebs_block_device"] = [_attributes(one, {}) for one in disks[1:]]
        return tf_type, made
    if type.startswith("EC2::SecurityGroup"):
        if type == "EC2::SecurityGroup":
            given["SecurityGroupIngress"] = [_blocks_of(one) for one in given["SecurityGroupIngress"]]
        else:
            given = _blocks_of(given) | {"Type": "ingress"}
            return "aws_security_group_rule", _attributes(given, tfnames.table()["aws_security_group_rule"]["names"])
    made = _attributes(given, tfnames.table()[tf_type].get("names", {}))
    if "on_start" in made:
        made["on_start"] = properties["OnStart"][0]["Content"]
    return tf_type, made


def _blocks_of(rule: Properties) -> Properties:
    made = {key: value for key, value in rule.items() if not key.startswith(("Cidr", "Source"))}
    for old, new in (("CidrIp", "CidrBlocks"), ("CidrIpv6", "Ipv6CidrBlocks"), ("SourcePrefixListId", "PrefixListIds")):
        if old in rule:
            made[new] = [rule[old]]
    return made | {"FromPort": rule.get("FromPort", 0), "ToPort": rule.get("ToPort", 0)}


def hcl(type: str, properties: Properties) -> tuple[str, str] | None:
    made = attributes(type, properties)
    if made is None:
        return None
    return "main.tf", f'resource "{made[0]}" "it" {{\n{_body(made[1])}}}\n'


def _body(value: Properties) -> str:
    text = ""
    for key, member in value.items():
        if isinstance(member, list) and member and isinstance(member[0], dict):
            text += "".join(f"{key} {{\n{_body(one)}}}\n" for one in member)
        else:
            text += f"{key} = {_expression(member)}\n"
    return text


def _expression(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}" = {_expression(member)}' for key, member in value.items()) + "}"
    return json.dumps(value).replace("${", "$${")


def plan(type: str, properties: Properties) -> tuple[str, str] | None:
    made = attributes(type, properties)
    if made is None:
        return None
    one = {"address": f"{made[0]}.it", "mode": "managed", "type": made[0], "name": "it", "values": made[1]}
    body = {
        "format_version": "1.2",
        "terraform_version": "1.9.0",
        "planned_values": {"root_module": {"resources": [one]}},
    }
    return "plan.json", json.dumps(body)


FORMS: dict[str, Callable[[str, Properties], tuple[str, str] | None]] = {
    "template": template,
    "yaml": yaml_template,
    "resource": bare,
    "call": call,
    "snake": snake_call,
    "record": trail_record,
    "arguments": arguments,
    "hcl": hcl,
    "plan": plan,
}


def every_form(type: str, properties: Properties) -> Iterator[tuple[str, str, str]]:
    """(form, file name, text) of every form that a resource has."""
    for form, make in FORMS.items():
        if (made := make(type, properties)) is not None:
            yield form, *made
