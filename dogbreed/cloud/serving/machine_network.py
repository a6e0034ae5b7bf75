"""Where the machines of the service and their load balancer are, and who may reach whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dogbreed.cloud.network import Network, SecurityGroup, Subnet
from dogbreed.cloud.serving.machine_boot import PORT
from dogbreed.cloud.session import Aws, listed
from dogbreed.errors import UsageError

# What a machine cannot do without: the model, the image (its layers lie in S3, as the packages of Amazon Linux do),
# and where its lines go. Session Manager besides, where it is the only way to the machine.
NEEDED = ("s3", "ecr.api", "ecr.dkr", "logs")
SHELL = ("ssm", "ssmmessages")
_ANYWHERE, _ANYWHERE_6 = "0.0.0.0/0", "::/0"
_BALANCER, _MACHINES = "ec2-balancer", "ec2"
_FREE = 8  # addresses that AWS wants in each subnet of a balancer


@dataclass(frozen=True)
class Place:
    """Subnets of machines and of their balancer (none for a single machine), and whether machines have an address
    that the internet knows.
    """

    vpc: str
    machines: tuple[Subnet, ...]
    balancer: tuple[Subnet, ...]
    public_address: bool


def choose(network: Network, zones: Sequence[str] | None, *, public: bool, single: bool) -> Place:
    """Private subnets where there are some, in `zones` (None: not known); UsageError where there is nothing that does.

    `public`: the balancer is to be reached from the internet.
    """
    needed = (*NEEDED, *SHELL) if single else NEEDED
    inside: list[Subnet] = []
    outside: list[Subnet] = []
    refusal: UsageError | None = None
    for subnet in network.subnets:
        try:
            (outside if subnet.public_address(needed) else inside).append(subnet)
        except UsageError as error:
            refusal = refusal or error
    usable = inside or outside
    if refusal and not usable:
        raise refusal
    offered = tuple(subnet for subnet in _sorted(usable) if zones is None or subnet.zone in zones)
    if not offered:
        raise UsageError(
            f"no subnet that machines could use is in a zone that has this type: {', '.join(zones or ())}",
            "choose another --instance-type, or name other subnets: [aws] subnets",
        )
    balancer = () if single else _balancer(network, public=public)
    return Place(network.vpc, offered, balancer, not inside)


def _balancer(network: Network, *, public: bool) -> tuple[Subnet, ...]:
    able = [subnet for subnet in network.subnets if not public or subnet.exit == "internet"]
    chosen: dict[str, Subnet] = {}
    # One in each zone, and always the same one, however many addresses are taken meanwhile.
    for subnet in _sorted(subnet for subnet in able if subnet.free >= _FREE):
        chosen.setdefault(subnet.zone, subnet)
    if len(chosen) < 2:
        which = "that lead to the internet " if public else ""
        raise UsageError(
            f"a load balancer needs subnets {which}in two zones, and there are {len(chosen)} in {network.vpc}",
            "name two: [aws] subnets; or one machine without a load balancer: --single",
        )
    return tuple(chosen.values())


def _sorted(subnets: Iterable[Subnet]) -> list[Subnet]:
    return sorted(subnets, key=lambda subnet: (subnet.zone, subnet.id))


class ServiceGroup(SecurityGroup):
    """A group of rules of the service; `name` tells it from the others of the project."""

    def __init__(self, aws: Aws, vpc: str, role: str, blocks: Sequence[str] = ()) -> None:
        super().__init__(aws, vpc)
        self.name = aws.name(role)
        self.blocks = tuple(blocks)

    def wanted(self) -> Mapping[str, Any]:
        """Rules as those of its parent."""
        return {**super().wanted(), "inbound": sorted(self.inbound(), key=str), "outbound": self.outbound()}

    def inbound(self) -> list[tuple[Any, ...]]:
        """Who may come in."""
        return []

    def outbound(self) -> list[tuple[Any, ...]]:
        """Where to."""
        return [("tcp", 443, 443, _ANYWHERE)]


class BalancerGroup(ServiceGroup):
    """Lets the VPC in, or everybody where the balancer is public, and lets it ask the machines; `ports` are its own."""

    purpose = "load balancer of the service"

    def __init__(
        self, aws: Aws, vpc: str, blocks: Sequence[str] = (), ports: Sequence[int] = (), *, public: bool = False
    ) -> None:
        super().__init__(aws, vpc, _BALANCER, blocks)
        self._ports, self._public = ports, public

    def inbound(self) -> list[tuple[Any, ...]]:
        """Its ports."""
        peers = (_ANYWHERE, _ANYWHERE_6) if self._public else self.blocks
        return [("tcp", port, port, peer) for port in self._ports for peer in peers]

    def outbound(self) -> list[tuple[Any, ...]]:
        """The machines' port; their group is made after this one, so the range stands for it."""
        return sorted([("tcp", PORT, PORT, block) for block in self.blocks], key=str)


class MachineGroup(ServiceGroup):
    """Lets in the balancer alone, to one port; without a balancer, the VPC. Lets out to AWS by HTTPS."""

    purpose = "machines of the service, from the load balancer only, and AWS by HTTPS"

    def __init__(self, aws: Aws, vpc: str, blocks: Sequence[str] = (), balancer: BalancerGroup | None = None) -> None:
        super().__init__(aws, vpc, _MACHINES, blocks)
        self._balancer = balancer

    def inbound(self) -> list[tuple[Any, ...]]:
        """Who may ask the service."""
        peers = [self._balancer.id()] if self._balancer else self.blocks
        return [("tcp", PORT, PORT, peer) for peer in peers if peer]


def blocks(aws: Aws, vpc: str) -> list[str]:
    """The address ranges of a VPC."""
    (found,) = aws.client("ec2").describe_vpcs(VpcIds=[vpc])["Vpcs"]
    ranges = [one["CidrBlock"] for one in found.get("CidrBlockAssociationSet", ())]
    return sorted({found["CidrBlock"], *ranges})


def groups_there(aws: Aws) -> list[SecurityGroup]:
    """The groups of the service in all VPCs, in the order in which they are made."""
    names = {aws.name(_BALANCER): BalancerGroup, aws.name(_MACHINES): MachineGroup}
    filters = [{"Name": "group-name", "Values": list(names)}]
    pages = aws.client("ec2").get_paginator("describe_security_groups").paginate(Filters=filters)
    found = [(group["GroupName"], group["VpcId"]) for page in pages for group in page["SecurityGroups"]]
    return [names[name](aws, vpc) for name, vpc in sorted(found, key=lambda pair: list(names).index(pair[0]))]


def given_groups(aws: Aws) -> list[str]:
    """The groups of `[aws] security_groups`, which then are those of machines and balancer both."""
    return listed(aws.settings.security_groups)
