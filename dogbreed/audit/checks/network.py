"""Security groups, VPC endpoints, and what a VPC for jobs should have."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any, NamedTuple

from dogbreed.audit.checks.table import Unsure, Wrong, items, known, member, rule, shown
from dogbreed.audit.finding import Category
from dogbreed.audit.model import HOLE, UNKNOWN, Corpus, Resource, Statement
from dogbreed.audit.source import Path

_GROUPS = "EC2::SecurityGroup EC2::SecurityGroupIngress EC2::SecurityGroupRule"
ADMIN_PORTS = {22: "SSH", 3389: "RDP"}
# Programs of machine learning that run whatever they are sent, and ask nobody who they are by default.
ML_PORTS = {8888: "Jupyter", 6006: "TensorBoard", 5000: "MLflow", 8265: "Ray"}


class Opening(NamedTuple):
    """What one rule of a security group lets in from one source: ports (None: all), or why that is not known."""

    path: Path
    source: str
    ports: range | None
    unsure: str = ""


def world(cidr: str) -> bool:
    """Whether a range of addresses is (nearly) everybody: 0.0.0.0/0 in any spelling, its halves, ::/0."""
    try:
        network = ipaddress.ip_network(cidr.strip(), strict=False)
    except ValueError:
        return False
    if network.is_private and network.prefixlen > 0:
        return False
    return network.prefixlen <= (7 if network.version == 4 else 12)


def openings(resource: Resource) -> Iterator[Opening]:
    """What a group, or a rule that stands alone, lets in from everywhere; unknown sources and ports as unsure."""
    if resource.type == "AWS::EC2::SecurityGroup":
        if resource.get("SecurityGroupIngress") is UNKNOWN:
            yield Opening(("SecurityGroupIngress",), "", None, "the rules are not known before they are deployed")
        for index, one in items(resource, "SecurityGroupIngress"):
            yield from _let_in(("SecurityGroupIngress", index), one)
    elif resource.get("IpPermissions") is not None:
        for index, one in items(resource, "IpPermissions"):
            yield from _let_in(("IpPermissions", index), one)
    elif str(resource.get("Egress", default=resource.get("IsEgress"))).lower() != "true":
        yield from _let_in((), resource.properties)


def _let_in(path: Path, one: Any) -> Iterator[Opening]:
    if one is UNKNOWN:
        yield Opening(path, "", None, "the rule is not known before it is deployed")
        return
    if not isinstance(one, dict):
        return
    for where, cidr in _sources(one):
        unsure = "" if known(cidr) else "the addresses that are let in are not known before it is deployed"
        if unsure or world(str(cidr)):
            ports, doubt = _ports(one)
            yield Opening((*path, *where), shown(cidr), ports, unsure or doubt)


def _sources(one: dict[str, Any]) -> Iterator[tuple[Path, Any]]:
    """The ranges of addresses of a rule in the forms of templates, Terraform and the API."""
    for key in ("CidrIp", "CidrIpv6", "CidrIpv4"):
        if one.get(key) not in (None, ""):
            yield (key,), one[key]
    for key in ("CidrBlocks", "Ipv6CidrBlocks"):
        value = one.get(key)
        if value is UNKNOWN:
            yield (key,), UNKNOWN
        for index, cidr in enumerate(value if isinstance(value, list) else []):
            yield (key, index), cidr
    for key, inside in (("IpRanges", "CidrIp"), ("Ipv6Ranges", "CidrIpv6")):
        value = one.get(key)
        for index, entry in enumerate(value if isinstance(value, list) else []):
            yield (key, index, inside), member(entry, inside)


def _ports(one: dict[str, Any]) -> tuple[range | None, str]:
    """The ports that a rule opens, None for all traffic, and what is not known about them."""
    protocol = one.get("IpProtocol", "tcp")
    if not known(protocol):
        return None, "the protocol is not known before it is deployed"
    if str(protocol).lower() in ("-1", "all"):
        return None, ""
    if str(protocol).lower() not in ("tcp", "udp", "6", "17"):
        return range(0), ""
    low, high = one.get("FromPort"), one.get("ToPort")
    if not known(low) or not known(high):
        return None, "the ports are not known before it is deployed"
    try:
        first = int(str(low)) if low is not None else 0
        last = int(str(high)) if high is not None else (first if low is not None else 65535)
    except ValueError:
        return None, "the ports are no numbers"
    return (range(65536), "") if first == -1 else (range(first, last + 1), "")


def _opens(resource: Resource, wanted: dict[int, str]) -> Iterator[Wrong | Unsure]:
    for one in openings(resource):
        if one.unsure:
            yield Unsure(one.path, one.unsure)
            continue
        open_ports = [port for port in wanted if one.ports is None or port in one.ports]
        if open_ports:
            named = ", ".join(f"{port} ({wanted[port]})" for port in open_ports)
            yield Wrong(one.path, f"{one.source} may reach {named}")


@rule(
    "SG-OPEN-ADMIN",
    Category.NETWORK,
    "high",
    "SSH or RDP is open to the world",
    "It is found and tried within minutes.",
    "Remove the rule and use Session Manager, or allow only your own addresses.",
    "EC2.13, EC2.18, EC2.19, CKV_AWS_24, CKV_AWS_25",
    types=_GROUPS,
)
def admin_ports(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """Ports 22 and 3389, alone or within a range."""
    yield from _opens(resource, ADMIN_PORTS)


@rule(
    "SG-OPEN-JUPYTER",
    Category.PUBLIC_ACCESS,
    "critical",
    "Jupyter, TensorBoard, MLflow or Ray is open to the world",
    "They run code or hand out models for whoever connects.",
    "Remove the rule; forward the port through Session Manager.",
    "EC2.19",
    types=_GROUPS,
)
def ml_ports(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """The ports of these programs, alone or within a range."""
    yield from _opens(resource, ML_PORTS)


@rule(
    "SG-OPEN-ALL",
    Category.PUBLIC_ACCESS,
    "critical",
    "All traffic from anywhere is let in",
    "Whatever listens on the machine is on the internet.",
    "Remove the rule; allow the port that is served, from those who use it.",
    "EC2.18, CKV_AWS_277",
    types=_GROUPS,
)
def everything(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """Every protocol, or every port of one."""
    for one in openings(resource):
        if one.unsure:
            yield Unsure(one.path, one.unsure)
        elif one.ports is None or len(one.ports) >= 65535:
            yield Wrong(one.path, f"{one.source} may reach every port")


@rule(
    "VPCE-POLICY-OPEN",
    Category.DATA_EXPOSURE,
    "medium",
    "VPC endpoint lets anyone do anything",
    "Data can leave through it to a bucket of somebody else's, with credentials of theirs.",
    "Give it a policy that allows your own principals (aws:PrincipalAccount) or resources (aws:ResourceAccount).",
    "",
    types="EC2::VPCEndpoint",
)
def endpoint_policy(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """The default policy, or one that allows everything to everyone without a condition."""
    document = resource.get("PolicyDocument")
    if str(resource.get("VpcEndpointType")).lower() in ("gatewayloadbalancer", "resource", "servicenetwork"):
        return
    if resource.policies:
        for policy in resource.policies:
            for statement in policy.statements:
                if _opens_all(statement):
                    yield Wrong(("PolicyDocument",), f"{statement.name} allows everything to everyone")
                    return
    elif document is UNKNOWN or (isinstance(document, str) and HOLE in document):
        yield Unsure(("PolicyDocument",), "the policy is not known before it is deployed")
    elif document in (None, ""):
        yield Wrong(("PolicyDocument",), "it has no policy, and the default allows everything to everyone")


def _opens_all(statement: Statement) -> bool:
    """Whether a statement allows every action of everyone on everything."""
    actions = statement.actions or ()
    anyone = any(value == "*" for _, value in statement.principals or ())
    everything = "*" in (statement.resources or ()) or any(one.endswith(":::*") for one in statement.resources or ())
    return (
        statement.allows
        and anyone
        and everything
        and not statement.conditions
        and any(one == "*" or one.endswith(":*") for one in actions)
    )


# Services that a job in a VPC calls, and the ends of the names of their endpoints.
_NEEDED = {
    "S3": (".s3", ".s3express"),
    "SageMaker": (".sagemaker.runtime", ".sagemaker.api", ".sagemaker.runtime-fips", ".sagemaker.api-fips"),
    "ECR": (".ecr.api", ".ecr.dkr"),
}
_WORK = ("AWS::SageMaker::", "AWS::Lambda::", "AWS::EC2::Instance", "AWS::EC2::LaunchTemplate", "AWS::ECR::")
_NETWORK = ("AWS::EC2::", "AWS::Logs::", "AWS::IAM::")


@rule(
    "VPC-ENDPOINTS",
    Category.NETWORK,
    "medium",
    "VPC for jobs lacks endpoints",
    "Photos, models and images go over the internet gateway, where no endpoint policy holds.",
    "Add AWS::EC2::VPCEndpoint for s3 (gateway), sagemaker.runtime or sagemaker.api, and ecr.api with ecr.dkr.",
    "EC2.10, EC2.55, EC2.56",
    types="EC2::VPC EC2::VPCEndpoints",
)
def endpoints(resource: Resource, corpus: Corpus) -> Iterator[Wrong | Unsure]:
    """VPCs beside work that such jobs do, or beside nothing that would tell."""
    if resource.type == "AWS::EC2::VPCEndpoints" and any(one.type == "AWS::EC2::VPC" for one in corpus.resources):
        return
    others = [one.type for one in corpus.resources if not one.type.startswith(_NETWORK)]
    if others and not any(one.type.startswith(_WORK) for one in corpus.resources):
        return
    names, unsure = [], False
    for one in corpus.resources:
        if one.type == "AWS::EC2::VPCEndpoint" and _in(one, resource):
            name = one.get("ServiceName")
            unsure = unsure or not isinstance(name, str) or name == HOLE
            names.append(str(name).lower())
    missing = [service for service, ends in _NEEDED.items() if not any(name.endswith(ends) for name in names)]
    if missing and unsure:
        yield Unsure((), "the service of a VPC endpoint is not known before it is deployed")
    elif missing:
        yield Wrong((), f"it has none for {', '.join(missing)}")


def _in(endpoint: Resource, vpc: Resource) -> bool:
    """Whether an endpoint may be in a VPC: it names it, or its VPC is not known."""
    named = endpoint.get("VpcId")
    return not isinstance(named, str) or HOLE in named or named in (vpc.id, vpc.get("VpcId")) or vpc.type.endswith("s")
