"""SAM written out: what a serverless function, its role, its address and its policy templates become.

Works on resolved resources, so that every generated member keeps the place it came from.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path as FilePath
from typing import Any

from dogbreed.audit.model import HOLE, UNKNOWN, Resource
from dogbreed.audit.parse import names
from dogbreed.audit.parse.intrinsics import Resolver
from dogbreed.audit.parse.placed import Arr, Obj, Place, Placed, plain

_FILE = FilePath(__file__).parent.parent / "data" / "sam_policies.json.gz"
# Resources that get a role of their own, named <id>Role: the service it trusts and what it may always do.
OWN_ROLE = {
    "AWS::Serverless::Function": ("lambda.amazonaws.com", ("service-role/AWSLambdaBasicExecutionRole",)),
    "AWS::Serverless::StateMachine": ("states.amazonaws.com", ()),
}
_PLAIN = {
    "AWS::Serverless::Function": "AWS::Lambda::Function",
    "AWS::Serverless::StateMachine": "AWS::StepFunctions::StateMachine",
    "AWS::Serverless::SimpleTable": "AWS::DynamoDB::Table",
}
_OF_SAM_ONLY = ("Policies", "PermissionsBoundary", "FunctionUrlConfig", "Events", "AssumeRolePolicyDocument")


def expand(resource: Resource, defaults: Obj) -> Iterator[Resource]:
    """What one serverless resource becomes, with the section of Globals for its kind."""
    properties = _merged(defaults, resource.properties)
    place = resource.source.place if isinstance(resource.source, Placed) else ()
    if resource.type in OWN_ROLE and "Role" not in properties:
        yield _role(resource, properties, place)
        properties.put("Role", names.arn_of("AWS::IAM::Role", f"{resource.id}Role", {}), place)
    url = properties.get("FunctionUrlConfig")
    if isinstance(url, Obj):
        url.put("TargetFunctionArn", names.arn_of(resource.type, resource.id, properties), place)
        yield _made(resource, "AWS::Lambda::Url", f"{resource.id}Url", url, properties.place("FunctionUrlConfig"))
    for old, new in (("Name", "StateMachineName"), ("KmsKeyArn", "KmsKeyArn")):
        if old in properties and resource.type != "AWS::Serverless::Function":
            properties.put(new, properties[old], properties.place(old))
    kept = Obj()
    for key, value in properties.items():
        if key not in _OF_SAM_ONLY:
            kept.put(key, value, properties.place(key))
    yield _made(resource, _PLAIN.get(resource.type, resource.type), resource.id, kept, place)


def _merged(defaults: Obj, own: Any) -> Obj:
    """Globals and a resource's own properties: objects are merged, lists follow each other, the own value wins."""
    made = Obj()
    for part in (defaults, own):
        for key, value in part.items():
            before = made.get(key)
            if isinstance(before, Obj) and isinstance(value, Obj):
                value = _merged(before, value)  # noqa: PLW2901 - the merged value is the value
            elif isinstance(before, Arr) and isinstance(value, Arr):
                value = Arr([*before, *value], [*before.places, *value.places])  # noqa: PLW2901
            made.put(key, value, part.place(key) if isinstance(part, Obj) else None)
    return made


def _made(resource: Resource, type: str, id: str, properties: Obj, place: Place) -> Resource:
    source = resource.source
    raw = source.raw if isinstance(source, Placed) else source
    return Resource(type, id, properties, Placed(raw, properties, place))


def _role(resource: Resource, properties: Obj, place: Place) -> Resource:
    """The role that SAM makes for a function or state machine."""
    service, always = OWN_ROLE[resource.type]
    role = Obj()
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}],
    }
    role.put("AssumeRolePolicyDocument", properties.get("AssumeRolePolicyDocument", trust), place)
    if "PermissionsBoundary" in properties:
        role.put("PermissionsBoundary", properties["PermissionsBoundary"], properties.place("PermissionsBoundary"))
    managed, inline = Arr(), Arr()
    for name in (*always, *(["service-role/AWSLambdaVPCAccessExecutionRole"] if "VpcConfig" in properties else [])):
        managed.put(f"arn:aws:iam::aws:policy/{name}", place)
    given = properties.get("Policies", Arr())
    many = isinstance(given, Arr)
    for index, policy in enumerate(given if many else [given]):
        where = given.place(index) if many else properties.place("Policies")
        if isinstance(policy, str) and policy != HOLE:
            managed.put(policy if policy.startswith("arn:") else _managed_arn(policy), where)
        else:
            entry = Obj()
            entry.put("PolicyName", f"{resource.id}RolePolicy{index}", where)
            entry.put("PolicyDocument", _document(policy), where)
            inline.put(entry, where)
    role.put("ManagedPolicyArns", managed, place)
    role.put("Policies", inline, place)
    return _made(resource, "AWS::IAM::Role", f"{resource.id}Role", role, place)


def _managed_arn(name: str) -> str:
    """SAM takes the bare name of a policy of AWS's own."""
    from dogbreed.audit import managed

    arns = (f"arn:aws:iam::aws:policy/{prefix}{name}" for prefix in ("", "service-role/", "job-function/"))
    return next((arn for arn in arns if managed.document(arn)), f"arn:aws:iam::aws:policy/{name}")


def _document(policy: Any) -> Any:
    """A policy document as it is, or the one of a policy template; UNKNOWN for a template that is not known."""
    if not isinstance(policy, dict) or policy is UNKNOWN:
        return UNKNOWN
    if "Statement" in policy:
        return policy
    ((name, given),) = policy.items() if len(policy) == 1 else (("", None),)
    definition = _templates().get(name)
    if definition is None or not isinstance(given, dict):
        return UNKNOWN
    parameters = {key: {"Type": "String", "Default": value} for key, value in given.items() if isinstance(value, str)}
    resolved = Resolver({"Parameters": parameters}).resolve(definition, ())
    return {"Version": "2012-10-17", **plain(resolved)} if isinstance(resolved, dict) else UNKNOWN


@cache
def _templates() -> dict[str, Any]:
    templates: dict[str, Any] = json.loads(gzip.decompress(_FILE.read_bytes()))["templates"]
    return templates
