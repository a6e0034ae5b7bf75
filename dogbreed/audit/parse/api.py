"""Recorded API calls, arguments of boto3, CloudTrail records and answers of the AWS CLI: each becomes a resource.

A call is {service, operation, parameters}, with a response where it only reads; everything else is known by its keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dogbreed.audit.model import HOLE, Resource
from dogbreed.audit.parse.names import NAMINGS
from dogbreed.audit.parse.placed import Arr, Obj, Placed
from dogbreed.audit.parse.shapes import NESTED, OPERATIONS, RENAMED, SHAPES, SUMMARIES, VALUE_OF
from dogbreed.audit.source import Path, Source

_SERVICE = ("service", "Service", "service_name", "eventSource", "client", "serviceName")
_OPERATION = ("operation", "Operation", "operation_name", "eventName", "method", "api", "api_call", "action", "call")
_PARAMETERS = (
    "parameters",
    "Parameters",
    "params",
    "requestParameters",
    "kwargs",
    "request",
    "input",
    "body",
    "arguments",
    "api_params",
)
_RESPONSE = ("response", "answer", "output", "result", "responseElements")
_DEEPEST = 8
# Keys whose values tell what an object is of that has, beside them, some others at most.
_URL = "FunctionUrl FunctionArn FunctionName TargetFunctionArn Qualifier Cors InvokeMode CreationTime LastModifiedTime"
_DOMAIN = "AppNetworkAccessType KmsKeyId HomeEfsFileSystemKmsKeyId VpcId SubnetIds Status DefaultUserSettings"
_VERSIONING = "AWS::S3::Versioning"
_TELLING = (
    ("AuthType", ("NONE", "AWS_IAM"), "AWS::Lambda::Url", _URL),
    ("AuthMode", ("IAM", "SSO"), "AWS::SageMaker::Domain", _DOMAIN),
    ("Status", ("Enabled", "Suspended"), "AWS::S3::Versioning", "MFADelete"),
)


def read(value: Any, source: Source, path: Path = ()) -> list[Resource]:
    """Every resource that a JSON value sets or describes; nothing when it is about something else."""
    return list(_read(value, source, path, False))


def _read(value: Any, source: Source, path: Path, summary: bool) -> Iterator[Resource]:
    if len(path) > _DEEPEST:
        return
    if isinstance(value, list):
        for index, member in enumerate(value):
            yield from _read(member, source, (*path, index), summary)
        return
    if not isinstance(value, dict):
        return
    if (call := _call(value)) is not None:
        yield from _called(*call, source, path)
        return
    # All that get-bucket-versioning answers is what many other answers have inside.
    if (type := _type(value)) is not None and not (type == _VERSIONING and any(isinstance(step, str) for step in path)):
        if not summary:
            yield from _resources(type, value, source, path)
        return
    yield from _members(value, source, path)


def _members(value: dict[str, Any], source: Source, path: Path) -> Iterator[Resource]:
    for key, member in value.items():
        if key in ("ResponseMetadata", "Statement"):
            continue
        where = (*path, key)
        if key == "VpcEndpoints" and isinstance(member, list):
            # That some are missing can be told of the list only.
            yield make_resource("AWS::EC2::VPCEndpoints", {"Count": len(member)}, source, where)
        if key == "KeyMetadata" and isinstance(member, dict):
            yield make_resource("AWS::KMS::Key", {**member, "__partial__": True}, source, where)
        elif isinstance(member, dict) and (service := service_of(key)) and not key.startswith(("Get", "Describe")):
            # {"CreateModel": {...}}
            yield from _called(service, key, (key,), member, (), None, source, path)
        elif isinstance(member, dict | list):
            yield from _read(member, source, where, key in SUMMARIES)


def _call(value: dict[str, Any]) -> tuple[str, str, Path, Any, Path, Any] | None:
    """Service, operation, and the parameters and the response with their places; None for what is no call."""
    service, operation = _first(value, _SERVICE), _first(value, _OPERATION)
    name, verb = value.get(service), value.get(operation)
    if not isinstance(verb, str) or (service and not isinstance(name, str)):
        return None
    if not service:
        # "sagemaker:CreateModel", "sagemaker.create_model", or an operation that only one service has.
        name, _, verb = verb.rpartition("." if "." in verb else ":")
    verb = "".join(word[:1].upper() + word[1:] for word in verb.replace("-", "_").split("_"))
    name = str(name).lower().removesuffix(".amazonaws.com").replace("-", "") or service_of(verb)
    given, answered = _first(value, _PARAMETERS), _first(value, _RESPONSE)
    if not name or not (given or answered):
        return None
    if value.get("errorCode"):
        return name, "Failed", (), None, (), None
    return name, verb, (given,) if given else (), value.get(given), (answered,) if answered else (), value.get(answered)


def service_of(operation: str) -> str:
    """The service of an operation, "" when none or several have one of that name."""
    for verb in ("Create", "Describe"):
        if operation.startswith(verb) and f"AWS::SageMaker::{operation.removeprefix(verb)}" in NAMINGS:
            return "sagemaker"
    services = {name for name, _, known in (one.partition(":") for one in OPERATIONS) if known == operation}
    return services.pop() if len(services) == 1 else ""


def _called(
    service: str, operation: str, at: Path, given: Any, answered_at: Path, answered: Any, source: Source, path: Path
) -> Iterator[Resource]:
    """What a call sets; what an answer says for one that only reads."""
    given = given if isinstance(given, dict) else {}
    answered = answered if isinstance(answered, dict) else {}
    reads = operation.startswith(("Get", "Describe", "List"))
    type = OPERATIONS.get(f"{service}:{operation}")
    if type is None and service == "sagemaker" and operation.startswith(("Create", "Describe")):
        type = f"SageMaker::{operation.removeprefix('Create').removeprefix('Describe')}"
    if not reads and type is not None:
        made = _cased(given, (*path, *at))
        if operation == "DisableKeyRotation":
            made.put("KeyRotationEnabled", False, (*path, *at))
        elif operation == "EnableKeyRotation":
            made.put("KeyRotationEnabled", True, (*path, *at))
        yield from _resources(f"AWS::{type}", made, source, (*path, *at))
    elif reads and answered_at:
        inner = list(_members(answered, source, (*path, *answered_at))) if _type(answered) is None else []
        if inner:
            yield from inner
        elif type is not None:
            made = _cased(given, (*path, *at))
            for key, member in _cased(answered, (*path, *answered_at)).items():
                made.put(key, member, (*path, *answered_at, key))
            yield from _resources(f"AWS::{type}", made, source, (*path, *answered_at))


def _type(value: dict[str, Any]) -> str | None:
    """The type of resource that an object's keys tell."""
    keys = {key[:1].upper() + key[1:] for key in value if isinstance(key, str)}
    for key, values, type, others in _TELLING:
        if value.get(key) in values and keys <= {key, *others.split(), "ResponseMetadata"}:
            return type
    for shape in SHAPES:
        if shape.keys <= keys and (not shape.any_of or shape.any_of & keys) and not shape.without & keys:
            return shape.type
    return None


def _resources(type: str, value: dict[str, Any], source: Source, path: Path) -> Iterator[Resource]:
    resource = make_resource(type, value, source, path)
    yield resource
    for key, nested in NESTED.items():
        if isinstance(member := resource.get(key), dict):
            inner = {**member, "HyperParameters": member.get("StaticHyperParameters", {})}
            yield make_resource(nested, inner, source, (*path, key))
    if type == "AWS::EC2::Instance":
        return
    for key in ("TrainingJobDefinitions",):
        for index, member in enumerate(resource.get(key, default=[]) or []):
            if isinstance(member, dict):
                yield make_resource(NESTED["TrainingJobDefinition"], member, source, (*path, key, index))


def make_resource(type: str, value: dict[str, Any], source: Source, path: Path) -> Resource:
    """One resource with CloudFormation's names, every property at its place."""
    made = value if isinstance(value, Obj) else _cased(value, path)
    renamed = RENAMED.get(type, {})
    properties = Obj()
    for key, member in made.items():
        properties.put(renamed.get(key, key), member, made.place(key))
    _set_names(type, properties)
    if type in VALUE_OF:
        _set_value(type, properties)
    return Resource(
        type, _id(type, properties), properties, Placed(source, properties, path), arn=_arn(type, properties)
    )


def _set_names(type: str, properties: Obj) -> None:
    """Where a call names its principal in a way of its own."""
    if type == "AWS::IAM::Role" and isinstance(inner := properties.get("Role"), dict):
        for key, member in inner.items():
            properties.put(key, member, inner.place(key) if isinstance(inner, Obj) else None)
    boundary = properties.get("PermissionsBoundary")
    if isinstance(boundary, dict):
        properties.put(
            "PermissionsBoundary", boundary.get("PermissionsBoundaryArn"), properties.place("PermissionsBoundary")
        )
    if type == "AWS::IAM::InstanceProfile" and "RoleName" in properties:
        properties.put("Roles", Arr([properties["RoleName"]]), properties.place("RoleName"))
    if type == "AWS::CloudTrail::EventSelectors" and "AdvancedEventSelectors" in properties:
        properties.put(
            "EventSelectors", properties["AdvancedEventSelectors"], properties.place("AdvancedEventSelectors")
        )
    if type == "AWS::EC2::SecurityGroupRule" and properties.get("IsEgress") is True:
        properties.put("Egress", True, None)


def _set_value(type: str, properties: Obj) -> None:
    """The part that a call sets, in the property `Value` and in CloudFormation's form."""
    key = VALUE_OF[type]
    value, place = properties.get(key), properties.place(key)
    if type == "AWS::S3::Versioning" and key not in properties:
        value = Obj([("Status", properties.get("Status", "Suspended"))])
    if type == "AWS::S3::Encryption":
        rules = value.get("Rules", []) if isinstance(value, dict) else []
        value = {
            "ServerSideEncryptionConfiguration": [
                {"ServerSideEncryptionByDefault": rule.get("ApplyServerSideEncryptionByDefault", {})}
                for rule in rules
                if isinstance(rule, dict)
            ]
        }
    properties.put("Value", {} if value is None else value, place)


def _cased(value: dict[str, Any], path: Path) -> Obj:
    """An object with its keys in CloudFormation's case, down to the values, and the place of each."""
    made = Obj()
    for key, member in value.items():
        where = (*path, key)
        # Maps whose keys are the user's own stay as they are.
        own_keys = key in ("HyperParameters", "Environment", "Variables", "StaticHyperParameters", "hyperParameters")
        made.put(key[:1].upper() + key[1:], member if own_keys else _deep(member, where), where)
    return made


def _deep(value: Any, path: Path) -> Any:
    if isinstance(value, dict):
        return value if "Statement" in value else _cased(value, path)
    if isinstance(value, list):
        items = Arr()
        for index, member in enumerate(value):
            items.put(_deep(member, (*path, index)), (*path, index))
        return items
    return value


def _id(type: str, properties: Obj) -> str:
    """What to call it: the member that is named like the type, else any name or id."""
    kind = type.rsplit(":", 1)[1]
    wanted = [f"{kind}{ending}" for ending in ("Name", "Id")]
    wanted += [
        "JobDefinitionName",
        "Bucket",
        "BucketName",
        "GroupId",
        "GroupName",
        "KeyId",
        "VolumeId",
        "Name",
        "TrailName",
        "FunctionName",
        "DomainName",
        "RepositoryName",
        "RoleName",
    ]
    for name in wanted:
        if isinstance(found := properties.get(name), str) and found and HOLE not in found:
            return found
    return kind


def _arn(type: str, properties: Obj) -> str:
    kind = type.rsplit(":", 1)[1]
    for name in ("Arn", f"{kind}Arn", f"{kind}ARN", "JobDefinitionArn", "FunctionArn", "TrailARN"):
        if isinstance(found := properties.get(name), str) and found.startswith("arn:"):
            return found
    return ""


def _first(value: dict[str, Any], names: tuple[str, ...]) -> str:
    """The first of some keys that an object has."""
    return next((name for name in names if name in value), "")
