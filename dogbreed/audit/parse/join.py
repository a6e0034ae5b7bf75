"""Settings that stand in a resource of their own come to the resource that they are about.

Terraform and the API configure a bucket with a handful of resources or calls; CloudFormation with one.
"""

from __future__ import annotations

from typing import Any

from dogbreed.audit.model import UNKNOWN, Resource
from dogbreed.audit.parse import names
from dogbreed.audit.parse.placed import Obj, Placed

# type of the part -> (the property that names the whole, the type of the whole, the property that the part becomes).
MERGED = {
    "AWS::S3::PublicAccessBlock": ("Bucket", "AWS::S3::Bucket", "PublicAccessBlockConfiguration"),
    "AWS::S3::Encryption": ("Bucket", "AWS::S3::Bucket", "BucketEncryption"),
    "AWS::S3::Versioning": ("Bucket", "AWS::S3::Bucket", "VersioningConfiguration"),
    "AWS::S3::Logging": ("Bucket", "AWS::S3::Bucket", "LoggingConfiguration"),
    "AWS::KMS::Rotation": ("KeyId", "AWS::KMS::Key", "EnableKeyRotation"),
    "AWS::ECR::Scanning": ("RepositoryName", "AWS::ECR::Repository", "ImageScanningConfiguration"),
    "AWS::ECR::TagMutability": ("RepositoryName", "AWS::ECR::Repository", "ImageTagMutability"),
    "AWS::Lambda::Concurrency": ("FunctionName", "AWS::Lambda::Function", "ReservedConcurrentExecutions"),
    "AWS::CloudTrail::EventSelectors": ("TrailName", "AWS::CloudTrail::Trail", "EventSelectors"),
    "AWS::CloudTrail::AdvancedEventSelectors": ("TrailName", "AWS::CloudTrail::Trail", "AdvancedEventSelectors"),
}


def merge(resources: list[Resource]) -> None:
    """Set the parts' values in the wholes; a part whose whole is not here becomes a whole with this one property."""
    for part in list(resources):
        if part.type not in MERGED:
            continue
        about, type, property = MERGED[part.type]
        wanted = part.get(about)
        whole = _find(resources, type, wanted)
        if whole is None:
            name = wanted if isinstance(wanted, str) else part.id
            naming = names.NAMINGS[type]
            properties = Obj([(naming.property, name)] if naming.property else ())
            # Only what was read is known of it: other settings stay unknown, they are not the defaults.
            properties.put("__partial__", True, None)
            whole = Resource(type, name, properties, Placed(part.source, properties, part.location))
            whole.arn = names.arn_of(type, name, properties)
            resources.append(whole)
        value = part.get("Value", default=UNKNOWN)
        place = part.at("Value")
        if isinstance(whole.properties, Obj):
            whole.properties.put(property, _with_places(value, part), place)
        else:
            whole.properties[property] = value


def _find(resources: list[Resource], type: str, wanted: Any) -> Resource | None:
    for one in resources:
        if one.type == type and wanted in (one.id, one.arn, names.reference(type, one.id, one.properties)):
            return one
    return None


def _with_places(value: Any, part: Resource) -> Any:
    """A part's value whose members know their places in the part's file."""
    if not isinstance(value, dict):
        return value
    made = Obj()
    for key, member in value.items():
        made.put(key, member, part.at("Value", key))
    return made
