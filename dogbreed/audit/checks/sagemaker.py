"""Notebooks, Studio domains, models and endpoints of SageMaker."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dogbreed.audit.checks.images import foreign_bucket, foreign_image, mutable
from dogbreed.audit.checks.secrets import in_script
from dogbreed.audit.checks.table import (
    Unsure,
    Wrong,
    customer_key,
    dotted,
    given,
    has_content,
    is_unknown,
    items,
    known,
    member,
    one_of,
    partial,
    rule,
    switched,
)
from dogbreed.audit.finding import Category
from dogbreed.audit.model import UNKNOWN, Corpus, Resource
from dogbreed.audit.source import Path

_NOTEBOOK = "SageMaker::NotebookInstance"
_MODEL = "SageMaker::Model"
_PLATFORM = re.compile(r"notebook-al(\d+)-v\d+")
_NEWEST_UNSUPPORTED = 2022  # Amazon Linux 2023 is the oldest platform that still gets patches.

rule(
    "SM-NB-INTERNET",
    Category.NETWORK,
    "high",
    "Notebook has direct internet access",
    "Whatever runs in it can send data out around the network's controls.",
    "Set DirectInternetAccess to Disabled and give it a SubnetId, with VPC endpoints for what it needs.",
    "SageMaker.1, CKV_AWS_122",
    types=_NOTEBOOK,
)(one_of(("DirectInternetAccess",), ["Disabled"], "Enabled"))
rule(
    "SM-NB-VPC",
    Category.NETWORK,
    "high",
    "Notebook is in no VPC of yours",
    "It runs in a network of SageMaker's own, without your security groups and flow logs.",
    "Set SubnetId and SecurityGroupIds.",
    "SageMaker.2",
    types=_NOTEBOOK,
)(given(("SubnetId",)))
rule(
    "SM-NB-ROOT",
    Category.ISOLATION,
    "high",
    "Notebook's users are root",
    "They can switch off agents, leave something behind, and read the files of other users.",
    "Set RootAccess to Disabled; lifecycle scripts run as root all the same.",
    "SageMaker.3, CKV_AWS_307",
    types=_NOTEBOOK,
)(one_of(("RootAccess",), ["Disabled"], "Enabled"))
rule(
    "SM-NB-IMDS",
    Category.ISOLATION,
    "medium",
    "Notebook answers the old metadata protocol",
    "A request forged through a notebook (SSRF) gets the credentials of its role.",
    "Set InstanceMetadataServiceConfiguration.MinimumInstanceMetadataServiceVersion to 2.",
    "CKV_AWS_371",
    types=_NOTEBOOK,
)(one_of(("InstanceMetadataServiceConfiguration", "MinimumInstanceMetadataServiceVersion"), ["2"], "1"))
rule(
    "SM-NB-KMS",
    Category.ENCRYPTION,
    "medium",
    "Notebook's volume has no key of yours",
    "The policy of a key of your own is a second gate to the data at rest.",
    "Set KmsKeyId to a customer managed key.",
    "SageMaker.21, CKV_AWS_187",
    types=_NOTEBOOK,
)(customer_key(("KmsKeyId",)))


@rule(
    "SM-NB-PLATFORM",
    Category.ISOLATION,
    "medium",
    "Notebook's platform is out of support",
    "It gets no security patches any more.",
    "Set PlatformIdentifier to notebook-al2023-v1.",
    "SageMaker.8",
    types=_NOTEBOOK,
)
def platform(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """Every platform before Amazon Linux 2023; without a choice SageMaker takes an old one."""
    value = resource.get("PlatformIdentifier")
    path = ("PlatformIdentifier",)
    if partial(resource, *path):
        return
    if value is None or value == "":
        yield Wrong(path, "PlatformIdentifier is not set, and the default is Amazon Linux 2")
    elif not known(value):
        yield from is_unknown(resource, path)
    elif (match := _PLATFORM.fullmatch(str(value))) is None or int(match[1]) <= _NEWEST_UNSUPPORTED:
        yield Wrong(path, f"PlatformIdentifier is {value}")


@rule(
    "SM-NB-LIFECYCLE-SECRET",
    Category.DATA_EXPOSURE,
    "high",
    "Lifecycle script holds a secret or runs what it downloads",
    "It runs as root at every start, and everyone who may describe it can read it.",
    "Read the secret from Secrets Manager in the script; fetch programs by version and check their digest.",
    "pathfinding sagemaker-005",
    types="SageMaker::NotebookInstanceLifecycleConfig SageMaker::StudioLifecycleConfig",
)
def lifecycle(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """OnStart and OnCreate, or the one script of Studio."""
    places: list[Path] = [
        (key, index, "Content") for key in ("OnCreate", "OnStart") for index, _ in items(resource, key)
    ]
    for path in (*places, ("StudioLifecycleConfigContent",)):
        value = resource.get(*path)
        if value is None and isinstance(resource.get(path[0]), dict):
            path = (path[0], "Content")  # noqa: PLW2901 - a single script that is in no list
            value = resource.get(*path)
        if value is UNKNOWN:
            yield Unsure(path, "the script is not known before it is deployed")
        elif isinstance(value, str):
            yield from (Wrong(path, what) for what in in_script(value))


rule(
    "SM-MODEL-ISOLATION",
    Category.ISOLATION,
    "medium",
    "Model's container is not isolated from the network",
    "A poisoned model (a pickle, say) can call out with the credentials of its role.",
    "Set EnableNetworkIsolation to true.",
    "SageMaker.5, CKV_AWS_370",
    types=_MODEL,
)(switched(("EnableNetworkIsolation",), on=True, default=False))
rule(
    "SM-MODEL-VPC",
    Category.NETWORK,
    "medium",
    "Model is in no VPC of yours",
    "Neither your security groups nor the policies of your VPC endpoints hold for its traffic.",
    "Set VpcConfig with Subnets and SecurityGroupIds.",
    "prowler sagemaker_models_vpc_settings_configured",
    types=_MODEL,
)(given(("VpcConfig",)))


def containers(resource: Resource) -> Iterator[tuple[Path, Any]]:
    """Each container of a model and its path."""
    primary = resource.get("PrimaryContainer")
    if primary is not None:
        yield ("PrimaryContainer",), primary
    for index, one in items(resource, "Containers"):
        yield ("Containers", index), one


@rule(
    "SM-MODEL-REGISTRY",
    Category.NETWORK,
    "medium",
    "Model's image does not come from a private registry in your VPC",
    "It is pulled over the platform's network, past your controls on what may be run.",
    "Set ImageConfig.RepositoryAccessMode to Vpc.",
    "SageMaker.16, SageMaker.19",
    types=_MODEL,
)
def registry(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """Every container; one that comes from a model package has no image of its own."""
    for path, container in containers(resource):
        mode = member(container, "ImageConfig", "RepositoryAccessMode")
        where = (*path, "ImageConfig", "RepositoryAccessMode")
        if not known(mode):
            yield Unsure(where, f"{dotted(where)} is not known before it is deployed")
        elif mode is None and has_content(member(container, "ModelPackageName")):
            continue
        elif str(mode).lower() != "vpc":
            said = f"is {mode}" if mode else "is not set, and the default is Platform"
            yield Wrong(where, f"{dotted(where)} {said}")


@rule(
    "SM-MODEL-FOREIGN-IMAGE",
    Category.CROSS_ACCOUNT,
    "high",
    "Image or model belongs to an account that is not known",
    "Its owner can change what runs under your role.",
    "Copy the image to a repository of your own, or name the account as a friend if it is yours.",
    "CKV_AWS_386",
    types="SageMaker::Model SageMaker::TrainingJob SageMaker::ProcessingJob",
)
def foreign(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """Images of accounts that are neither one's own nor AWS's for SageMaker, and of public registries; artefacts."""
    places = list(containers(resource))
    for key in ("AlgorithmSpecification", "AppSpecification"):
        if isinstance(inner := resource.get(key), dict):
            places.append(((key,), inner))
    for path, container in places:
        for name in ("Image", "TrainingImage", "ImageUri"):
            image = member(container, name)
            if image is UNKNOWN:
                yield Unsure((*path, name), f"{dotted((*path, name))} is not known before it is deployed")
            elif isinstance(image, str) and (what := foreign_image(image, resource, corpus)):
                yield Wrong((*path, name), what)
            elif isinstance(image, str) and not known(image.split("/", maxsplit=1)[0]):
                yield Unsure((*path, name), "the registry of the image is not known before it is deployed")
        address = member(container, "ModelDataUrl")
        if isinstance(address, str) and (what := foreign_bucket(address, resource, corpus)):
            yield Wrong((*path, "ModelDataUrl"), what)


@rule(
    "SM-MODEL-MUTABLE-TAG",
    Category.ISOLATION,
    "low",
    "Image is named by a tag",
    "Whoever may push to the repository changes what is deployed next.",
    "Name the image by its digest: repository@sha256:...",
    "ECR.2",
    types=_MODEL,
)
def mutable_tag(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """Every container's image; a digest counts wherever the name in front of it comes from."""
    for path, container in containers(resource):
        image = member(container, "Image")
        if image is UNKNOWN:
            yield Unsure((*path, "Image"), f"{dotted((*path, 'Image'))} is not known before it is deployed")
        elif isinstance(image, str) and image and mutable(image):
            if known(image.rsplit("/", 1)[-1]):
                yield Wrong((*path, "Image"), f"{dotted((*path, 'Image'))} has no digest")
            else:
                yield Unsure((*path, "Image"), "whether the image is named by its digest is not known")


rule(
    "SM-EP-KMS",
    Category.ENCRYPTION,
    "medium",
    "Endpoint's volume has no key of yours",
    "The weights lie on it; the policy of a key of your own is a second gate.",
    "Set KmsKeyId to a customer managed key.",
    "CKV_AWS_98",
    types="SageMaker::EndpointConfig",
)(customer_key(("KmsKeyId",)))


@rule(
    "SM-EP-COUNT",
    Category.ISOLATION,
    "low",
    "Endpoint runs on a single instance",
    "It is gone with its machine or availability zone.",
    "Set InitialInstanceCount to 2 or more, or use a serverless variant.",
    "SageMaker.4",
    types="SageMaker::EndpointConfig",
)
def instance_count(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """Every production variant that has machines of its own."""
    for index, variant in items(resource, "ProductionVariants"):
        path = ("ProductionVariants", index, "InitialInstanceCount")
        if variant is UNKNOWN or has_content(member(variant, "ServerlessConfig")):
            continue
        count = member(variant, "InitialInstanceCount")
        if not known(count):
            yield from is_unknown(resource, path)
        elif count is None or (str(count).isdigit() and int(count) < 2):
            yield Wrong(path, f"{dotted(path)} is {1 if count is None else count}")


@rule(
    "SM-EP-CAPTURE-KMS",
    Category.ENCRYPTION,
    "medium",
    "Captured requests are stored without a key of yours",
    "Users' photos and the answers to them land in S3.",
    "Set DataCaptureConfig.KmsKeyId to a customer managed key.",
    "SageMaker.24",
    types="SageMaker::EndpointConfig SageMaker::Endpoint",
)
def capture(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """Only where capture is on."""
    config = resource.get("DataCaptureConfig")
    path = ("DataCaptureConfig", "KmsKeyId")
    if isinstance(config, dict) and str(config.get("EnableCapture")).lower() != "false":
        key = config.get("KmsKeyId")
        if key is UNKNOWN:
            yield from is_unknown(resource, path)
        elif not has_content(key):
            yield Wrong(path, "DataCaptureConfig.KmsKeyId is not set")


rule(
    "SM-DOMAIN-VPCONLY",
    Category.NETWORK,
    "high",
    "Studio domain goes straight to the internet",
    "Notebooks send data out around your network's controls.",
    "Set AppNetworkAccessType to VpcOnly.",
    "prowler sagemaker_domain_vpc_only",
    types="SageMaker::Domain",
)(one_of(("AppNetworkAccessType",), ["VpcOnly"], "PublicInternetOnly"))
rule(
    "SM-DOMAIN-KMS",
    Category.ENCRYPTION,
    "medium",
    "Studio's home folders have no key of yours",
    "The policy of a key of your own is a second gate to the data at rest.",
    "Set KmsKeyId to a customer managed key when the domain is made.",
    "CKV_AWS_187",
    types="SageMaker::Domain",
)(customer_key(("KmsKeyId",), ("HomeEfsFileSystemKmsKeyId",)))
rule(
    "SM-DOMAIN-IAM-AUTH",
    Category.ISOLATION,
    "low",
    "Studio domain signs in with IAM",
    "A presigned address is enough to come in, past the identity provider and its second factor.",
    "Set AuthMode to SSO.",
    "prowler sagemaker_domain_sso_configured",
    types="SageMaker::Domain",
)(one_of(("AuthMode",), ["SSO"], "IAM"))


@rule(
    "SM-FG-KMS",
    Category.ENCRYPTION,
    "medium",
    "Feature store has no key of yours",
    "Features are often personal data; the policy of a key of your own is a second gate.",
    "Set KmsKeyId in the S3StorageConfig of the offline store and in the SecurityConfig of the online store.",
    "SageMaker.17, SageMaker.18",
    types="SageMaker::FeatureGroup",
)
def feature_group(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """Each store that is there."""
    stores = (
        ("OfflineStoreConfig", ("S3StorageConfig", "KmsKeyId")),
        ("OnlineStoreConfig", ("SecurityConfig", "KmsKeyId")),
    )
    for store, inside in stores:
        config = resource.get(store)
        if config is None or (
            store == "OnlineStoreConfig" and str(member(config, "EnableOnlineStore")).lower() == "false"
        ):
            continue
        path = (store, *inside)
        key = resource.get(*path)
        if config is UNKNOWN or key is UNKNOWN:
            yield from is_unknown(resource, path)
        elif not has_content(key):
            yield Wrong(path, f"{dotted(path)} is not set")
