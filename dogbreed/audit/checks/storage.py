"""Buckets, keys, image repositories and trails. Whether their policies are public is judged with the other policies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dogbreed.audit.checks.table import (
    Unsure,
    Wrong,
    dotted,
    is_unknown,
    items,
    known,
    member,
    partial,
    rule,
    shown,
    switched,
    truth,
)
from dogbreed.audit.finding import Category
from dogbreed.audit.model import UNKNOWN, Corpus, Resource
from dogbreed.audit.source import Path

_BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


@rule(
    "S3-BPA",
    Category.PUBLIC_ACCESS,
    "high",
    "Bucket does not block public access",
    "One wrong policy or ACL makes photos and models readable, or writable, by everyone.",
    "Set all four switches of PublicAccessBlockConfiguration to true.",
    "S3.8, S3.1, CKV_AWS_53, CKV_AWS_54, CKV_AWS_55, CKV_AWS_56",
    types="S3::Bucket S3::AccountPublicAccessBlock",
)
def block_public_access(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """The bucket's own switches, or the account's, which hold for all of its buckets."""
    start: Path = ("PublicAccessBlockConfiguration",)
    if partial(resource, *start):
        return
    if resource.type == "AWS::S3::AccountPublicAccessBlock":
        start = () if resource.get(*start) is None else start
    elif any(_blocks_all(one) for one in corpus.resources if one.type == "AWS::S3::AccountPublicAccessBlock"):
        return
    config = resource.get(*start) if start else resource.properties
    if config is UNKNOWN:
        yield from is_unknown(resource, start)
        return
    off = [name for name in _BLOCKS if truth(member(config, name)) is not True]
    unsure = [name for name in off if member(config, name) is not None and not known(member(config, name))]
    surely = [name for name in off if name not in unsure]
    if surely:
        said = f"{', '.join(surely)} {'is' if len(surely) == 1 else 'are'} not true"
        where = (*start, surely[0]) if member(config, surely[0]) is not None else start
        yield Wrong(where, said if config else "PublicAccessBlockConfiguration is not set")
    elif unsure:
        yield Unsure((*start, unsure[0]), f"{', '.join(unsure)} is not known before it is deployed")


def _blocks_all(account: Resource) -> bool:
    """Whether the account's own block is complete."""
    config = account.get("PublicAccessBlockConfiguration", default=account.properties)
    return all(truth(member(config, name)) for name in _BLOCKS)


def _default_encryption(resource: Resource) -> Any:
    """The bucket's default encryption: the first rule's."""
    rules = resource.get("BucketEncryption", "ServerSideEncryptionConfiguration")
    return UNKNOWN if rules is UNKNOWN else member(rules, 0, "ServerSideEncryptionByDefault")


@rule(
    "S3-KMS",
    Category.ENCRYPTION,
    "low",
    "Bucket's default encryption has no key of yours",
    "The policy of a key of your own is a second gate to photos and models.",
    "Set BucketEncryption to aws:kms with a KMSMasterKeyID.",
    "S3.17, CKV_AWS_145",
    types="S3::Bucket",
)
def bucket_encryption(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """SSE-KMS in either of its forms; without a setting S3 encrypts with keys of its own."""
    path = ("BucketEncryption", "ServerSideEncryptionConfiguration", 0, "ServerSideEncryptionByDefault", "SSEAlgorithm")
    if partial(resource, "BucketEncryption"):
        return
    default = _default_encryption(resource)
    algorithm = member(default, "SSEAlgorithm")
    if algorithm is not None and not known(algorithm):
        yield Unsure(path, "the algorithm is not known before it is deployed")
    elif algorithm not in ("aws:kms", "aws:kms:dsse"):
        yield Wrong(path if algorithm else path[:1], f"it is {algorithm or 'not set, and AES256 by default'}")


@rule(
    "S3-VERSION",
    Category.ISOLATION,
    "medium",
    "Bucket keeps no versions",
    "A model that is overwritten, by mistake or with a poisoned one, cannot be brought back.",
    "Set VersioningConfiguration.Status to Enabled.",
    "S3.14, CKV_AWS_21",
    types="S3::Bucket",
)
def versioning(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """Enabled, and nothing else."""
    path = ("VersioningConfiguration", "Status")
    value = resource.get(*path)
    if partial(resource, "VersioningConfiguration"):
        return
    if value is not None and not known(value):
        yield from is_unknown(resource, path)
    elif str(value).lower() not in ("enabled", "true"):
        yield Wrong(path, f"{dotted(path)} is {'not set' if value is None else shown(value)}")


@rule(
    "KMS-ROTATION",
    Category.ENCRYPTION,
    "medium",
    "Key is not rotated",
    "Everything is encrypted with the same material for ever.",
    "Set EnableKeyRotation to true.",
    "KMS.4, CKV_AWS_7",
    types="KMS::Key",
)
def rotation(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """Keys that AWS can rotate: symmetric ones with material of its own."""
    old = resource.get("CustomerMasterKeySpec", default="SYMMETRIC_DEFAULT")
    spec, origin = resource.get("KeySpec", default=old), resource.get("Origin", default="AWS_KMS")
    aws_owned = resource.get("KeyManager") == "AWS"
    if spec == "SYMMETRIC_DEFAULT" and origin == "AWS_KMS" and not aws_owned:
        yield from switched(("EnableKeyRotation",), on=True, default=False)(resource, corpus)


@rule(
    "ECR-IMMUTABLE",
    Category.ISOLATION,
    "medium",
    "Repository's tags can be moved",
    "Whoever may push swaps the image that trains or answers.",
    "Set ImageTagMutability to IMMUTABLE.",
    "ECR.2, CKV_AWS_51",
    types="ECR::Repository",
)
def immutable(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """IMMUTABLE, also with exceptions for some tags."""
    path = ("ImageTagMutability",)
    value = resource.get(*path)
    if partial(resource, *path):
        return
    if value is not None and not known(value):
        yield from is_unknown(resource, path)
    elif not str(value).upper().startswith("IMMUTABLE"):
        yield Wrong(
            path, f"ImageTagMutability is {'not set, and MUTABLE by default' if value is None else shown(value)}"
        )


@rule(
    "ECR-SCAN",
    Category.ISOLATION,
    "high",
    "Repository's images are not scanned",
    "Known holes in an image go unseen into training and service.",
    "Set ImageScanningConfiguration.ScanOnPush to true, or scan the whole registry.",
    "ECR.1, CKV_AWS_163",
    types="ECR::Repository",
)
def scanning(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """The repository's own switch, or rules of the registry."""
    if not any(_scans(one) for one in corpus.resources if one.type == "AWS::ECR::RegistryScanningConfiguration"):
        yield from switched(("ImageScanningConfiguration", "ScanOnPush"), on=True, default=False)(resource, corpus)


def _scans(registry: Resource) -> bool:
    """Whether the registry scans every repository."""
    return any(
        member(one, "ScanFrequency") in ("SCAN_ON_PUSH", "CONTINUOUS_SCAN")
        and any(member(each, "Filter") == "*" for _, each in _entries(member(one, "RepositoryFilters")))
        for _, one in items(registry, "Rules")
    )


def _entries(value: Any) -> Iterator[tuple[int, Any]]:
    yield from enumerate(value if isinstance(value, list) else [])


@rule(
    "LOG-TRAIL-DATA",
    Category.LOGGING,
    "medium",
    "Trail records no access to data",
    "A stolen model or data set leaves no trace: reading objects and calling endpoints are data events.",
    "Add event selectors for AWS::S3::Object and for the endpoints' data events.",
    "prowler cloudtrail_s3_dataevents_read_enabled",
    types="CloudTrail::Trail",
)
def data_events(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """Selectors of either kind for objects, or for what SageMaker holds."""
    if partial(resource, "EventSelectors") and partial(resource, "AdvancedEventSelectors"):
        return
    for name in ("EventSelectors", "AdvancedEventSelectors"):
        selectors = resource.get(name)
        if selectors is UNKNOWN:
            yield from is_unknown(resource, (name,))
            return
        for _, one in items(resource, name):
            if one is UNKNOWN or member(one, "DataResources") is UNKNOWN:
                yield Unsure((name,), "the event selectors are not known before they are deployed")
                return
            if _records(one) or _is_data(one):
                return
    yield Wrong(("EventSelectors",), "it has no selector of data events")


def _records(selector: Any) -> bool:
    """Whether a selector records the reading of objects, or of what SageMaker holds."""
    reads = str(member(selector, "ReadWriteType") or "All") != "WriteOnly"
    types = [member(one, "Type") for _, one in _entries(member(selector, "DataResources"))]
    return reads and any(_of_interest(one) for one in types)


def _is_data(selector: Any) -> bool:
    """Whether an advanced selector records data events of objects, or of what SageMaker holds."""
    fields = {
        member(one, "Field"): member(one, "Equals") or [] for _, one in _entries(member(selector, "FieldSelectors"))
    }
    types = fields.get("resources.type")
    only_writes = fields.get("readOnly") == ["false"]
    wanted = types is None or any(_of_interest(one) for one in types)
    return "Data" in fields.get("eventCategory", []) and wanted and not only_writes


def _of_interest(type: Any) -> bool:
    return not known(type) or str(type).startswith(("AWS::S3", "AWS::SageMaker"))
