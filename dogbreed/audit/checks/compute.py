"""Lambda functions and EC2 machines. Whether a function's policy is public is judged with the other policies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dogbreed.audit.checks.jobs import variables
from dogbreed.audit.checks.secrets import in_script
from dogbreed.audit.checks.table import (
    Unsure,
    Wrong,
    customer_key,
    dotted,
    has_content,
    is_unknown,
    known,
    member,
    one_of,
    partial,
    rule,
    shown,
    truth,
)
from dogbreed.audit.finding import Category
from dogbreed.audit.model import UNKNOWN, Corpus, Resource
from dogbreed.audit.source import Path

_FUNCTION = "Lambda::Function"
# Runtimes whose support had ended on 2026-11-25, by AWS's table of runtimes (facts from cfn-lint 1.58, MIT-0).
DEPRECATED_RUNTIMES = frozenset(
    [
        "dotnet6",
        "dotnet7",
        "dotnet8",
        "dotnet9",
        "dotnet5.0",
        "dotnetcore1.0",
        "dotnetcore2.0",
        "dotnetcore2.1",
        "dotnetcore3.1",
        "go1.x",
        "java8",
        "nodejs",
        "nodejs4.3",
        "nodejs4.3-edge",
        "nodejs6.10",
        "nodejs8.10",
        "nodejs10.x",
        "nodejs12.x",
        "nodejs14.x",
        "nodejs16.x",
        "nodejs18.x",
        "nodejs20.x",
        "provided",
        "provided.al2",
        "python2.7",
        "python3.6",
        "python3.7",
        "python3.8",
        "python3.9",
        "python3.10",
        "ruby2.5",
        "ruby2.7",
        "ruby3.2",
    ]
)

rule(
    "LAMBDA-URL-NONE",
    Category.PUBLIC_ACCESS,
    "high",
    "Function's address asks nobody who they are",
    "Anyone on the internet can call it, at your cost.",
    "Set AuthType to AWS_IAM, or put an API with authentication in front.",
    "CKV_AWS_258",
    types="Lambda::Url",
)(one_of(("AuthType",), ["AWS_IAM"], "NONE"))


@rule(
    "LAMBDA-RUNTIME",
    Category.ISOLATION,
    "medium",
    "Function's runtime is out of support",
    "It gets no security patches any more.",
    "Move to the newest runtime of the language.",
    "Lambda.2, CKV_AWS_363",
    types=_FUNCTION,
)
def runtime(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """Functions that are images have no runtime."""
    value = resource.get("Runtime")
    if not known(value):
        yield from is_unknown(resource, ("Runtime",))
    elif str(value) in DEPRECATED_RUNTIMES:
        yield Wrong(("Runtime",), f"Runtime is {value}")


@rule(
    "LAMBDA-SECRET-ENV",
    Category.DATA_EXPOSURE,
    "high",
    "Function's environment holds a secret",
    "Everyone who may read the function's configuration reads it.",
    "Store it in Secrets Manager or as a SecureString and read it when the function starts.",
    "CKV_AWS_45",
    types=_FUNCTION,
)
def environment(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """Every variable."""
    yield from variables(resource, ("Environment", "Variables"))


@rule(
    "LAMBDA-ENV-KMS",
    Category.ENCRYPTION,
    "low",
    "Function's environment has no key of yours",
    "The policy of a key of your own decides who can read the variables.",
    "Set KmsKeyArn to a customer managed key.",
    "CKV_AWS_173",
    types=_FUNCTION,
)
def environment_key(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """Only where there are variables."""
    if has_content(resource.get("Environment", "Variables")) or resource.get("Environment") is UNKNOWN:
        yield from customer_key(("KmsKeyArn",))(resource, corpus)


@rule(
    "LAMBDA-CONCURRENCY",
    Category.ISOLATION,
    "low",
    "Function has no limit of its own",
    "A flood of calls costs without end, and takes the account's other functions with it.",
    "Set ReservedConcurrentExecutions.",
    "CKV_AWS_115",
    types=_FUNCTION,
)
def concurrency(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """Zero is a limit too; -1 is Terraform's word for none."""
    path = ("ReservedConcurrentExecutions",)
    value = resource.get(*path)
    if value is UNKNOWN:
        yield from is_unknown(resource, path)
    elif not partial(resource, *path) and (value in (None, "", {}) or str(value) == "-1"):
        yield Wrong(path, f"{path[0]} is {'not set' if value in (None, '', {}) else value}")


def machine(resource: Resource) -> tuple[Path, Any]:
    """Where the settings of a machine are, in a launch template too."""
    if resource.type == "AWS::EC2::LaunchTemplate":
        return ("LaunchTemplateData",), resource.get("LaunchTemplateData")
    return (), resource.properties


@rule(
    "EC2-IMDSV2",
    Category.ISOLATION,
    "high",
    "Machine answers the old metadata protocol",
    "A request forged through any program on it (SSRF) gets the credentials of its role.",
    "Set MetadataOptions.HttpTokens to required.",
    "EC2.8, EC2.170, CKV_AWS_79",
    types="EC2::Instance EC2::LaunchTemplate AutoScaling::LaunchConfiguration",
)
def metadata(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """A metadata service that is off is none; a launch template may say what the instance does not."""
    start, settings = machine(resource)
    path = (*start, "MetadataOptions", "HttpTokens")
    tokens, endpoint = member(settings, *path[-2:]), member(settings, "MetadataOptions", "HttpEndpoint")
    if (resource.get("__partial__") is True and tokens is None) or str(endpoint).lower() == "disabled":
        return
    if not known(tokens):
        yield Unsure(path, f"{dotted(path)} is not known before it is deployed")
    elif tokens is None and resource.type == "AWS::EC2::Instance" and has_content(resource.get("LaunchTemplate")):
        if not _template_here(resource, corpus):
            yield Unsure(path, "the launch template that it starts from is not among what was read")
    elif str(tokens).lower() != "required":
        said = f"is {tokens}" if tokens else "is not set, and the default is optional"
        yield Wrong(path, f"{dotted(path)} {said}")


def _template_here(resource: Resource, corpus: Corpus) -> bool:
    """Whether the launch template of an instance is in the corpus, where it is judged itself."""
    template = resource.get("LaunchTemplate")
    wanted = {str(value) for value in template.values()} if isinstance(template, dict) else set()
    templates = (one for one in corpus.resources if one.type == "AWS::EC2::LaunchTemplate")
    return any({one.id, str(one.get("LaunchTemplateName"))} & wanted for one in templates)


@rule(
    "EC2-PUBLIC-IP",
    Category.NETWORK,
    "high",
    "Machine has a public address",
    "It can be reached from the internet as far as its security groups let anyone in.",
    "Start it in a private subnet with AssociatePublicIpAddress false, and reach it through Session Manager.",
    "EC2.9, CKV_AWS_88",
    types="EC2::Instance EC2::LaunchTemplate AutoScaling::LaunchConfiguration",
)
def public_ip(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """An address that is asked for, that a running machine has, or that its subnet gives to everything."""
    start, settings = machine(resource)
    interfaces = member(settings, "NetworkInterfaces")
    asked: list[Path] = [("AssociatePublicIpAddress",)]
    for index in range(len(interfaces) if isinstance(interfaces, list) else 0):
        asked.append(("NetworkInterfaces", index, "AssociatePublicIpAddress"))
        if has_content(member(interfaces, index, "Association", "PublicIp")):
            yield Wrong(
                (*start, "NetworkInterfaces", index),
                f"it has the address {interfaces[index]['Association']['PublicIp']}",
            )
            return
    if has_content(address := member(settings, "PublicIpAddress")) or has_content(
        address := member(settings, "PublicIp")
    ):
        yield Wrong((*start, "PublicIpAddress"), f"it has the address {shown(address)}")
        return
    said = False
    for path in asked:
        switch = member(settings, *path)
        said = said or switch is not None
        if switch is not None and not known(switch):
            yield Unsure((*start, *path), f"{dotted((*start, *path))} is not known before it is deployed")
        elif truth(switch):
            yield Wrong((*start, *path), f"{dotted((*start, *path))} is true")
    for one in corpus.resources:
        if one.type in ("AWS::EC2::EIP", "AWS::EC2::EIPAssociation") and one.get("InstanceId") == resource.id:
            yield Wrong((), f"the fixed public address {one.id} is given to it")
    if not said and (subnet := _public_subnet(settings, corpus)):
        yield Wrong((*start, "SubnetId"), f"its subnet {subnet} gives every machine a public address")


def _public_subnet(settings: Any, corpus: Corpus) -> str:
    """The subnet of a machine, when it is in the corpus and gives out public addresses."""
    own = member(settings, "SubnetId")
    wanted = member(settings, "NetworkInterfaces", 0, "SubnetId") if own is None else own
    for one in corpus.resources:
        if (
            one.type == "AWS::EC2::Subnet"
            and wanted in (one.id, one.get("SubnetId"))
            and truth(one.get("MapPublicIpOnLaunch"))
        ):
            return one.id
    return ""


@rule(
    "EC2-EBS-ENCRYPT",
    Category.ENCRYPTION,
    "medium",
    "Disk is not encrypted",
    "Photos and weights are readable in every snapshot and copy of it.",
    "Set Encrypted to true, or turn on encryption by default for the account.",
    "EC2.3, EC2.7, CKV_AWS_8",
    types="EC2::Instance EC2::LaunchTemplate EC2::Volume EC2::EbsEncryptionByDefault AutoScaling::LaunchConfiguration",
)
def disks(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """Every disk that is made with the machine, and volumes; unless the account encrypts all new disks."""
    defaults = [one for one in corpus.resources if one.type == "AWS::EC2::EbsEncryptionByDefault"]
    if resource.type == "AWS::EC2::EbsEncryptionByDefault":
        if truth(resource.get("EbsEncryptionByDefault")) is False:
            yield Wrong(("EbsEncryptionByDefault",), "the account does not encrypt new disks by default")
        return
    existing = has_content(resource.get("VolumeId")) or has_content(resource.get("InstanceId"))
    if not existing and any(truth(one.get("EbsEncryptionByDefault")) for one in defaults):
        return
    if resource.type == "AWS::EC2::Volume":
        yield from _disk(("Encrypted",), resource.get("Encrypted"))
        return
    start, settings = machine(resource)
    mappings = member(settings, "BlockDeviceMappings")
    for index, mapping in enumerate(mappings if isinstance(mappings, list) else []):
        disk = member(mapping, "Ebs")
        # An attachment in an answer of describe-instances does not say it; the volume does.
        if mapping is UNKNOWN or (isinstance(disk, dict) and "VolumeId" not in disk):
            yield from _disk((*start, "BlockDeviceMappings", index, "Ebs", "Encrypted"), member(disk, "Encrypted"))
    says_nothing = mappings is None and not has_content(resource.get("LaunchTemplate"))
    if (
        says_nothing
        and resource.type != "AWS::EC2::LaunchTemplate"
        and not existing
        and not partial(resource, "ImageId")
    ):
        yield Wrong((*start, "BlockDeviceMappings"), "no disk is described, so the image's own is taken as it is")


def _disk(path: Path, switch: Any) -> Iterator[Wrong | Unsure]:
    if switch is not None and not known(switch):
        yield Unsure(path, f"{dotted(path)} is not known before it is deployed")
    elif not truth(switch):
        yield Wrong(path, f"{dotted(path)} is {'not set' if switch is None else 'false'}")


@rule(
    "EC2-USERDATA-SECRET",
    Category.DATA_EXPOSURE,
    "high",
    "Machine's start script holds a secret or runs what it downloads",
    "It runs as root, and every program on the machine can read it from the metadata service.",
    "Read the secret from Secrets Manager in the script; fetch programs by version and check their digest.",
    "CKV_AWS_46",
    types="EC2::Instance EC2::LaunchTemplate AutoScaling::LaunchConfiguration",
)
def user_data(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """User data, in base64 or not."""
    start, settings = machine(resource)
    script = member(settings, "UserData")
    if isinstance(script, str):
        yield from (Wrong((*start, "UserData"), what) for what in in_script(script))
