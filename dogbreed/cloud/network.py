"""Where machines run: subnets, whether they reach AWS without a public address, and a group that lets nobody in."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from dogbreed.cloud.errors import code, is_missing
from dogbreed.cloud.session import Aws, listed, pairs, unpaired
from dogbreed.errors import UsageError
from dogbreed.plan import Found, Resource

GROUP = "machines"
# What a training machine cannot do without; metrics, Session Manager and KMS come through endpoints of their own.
NEEDED = ("s3", "logs")
_ANYWHERE = "0.0.0.0/0"
_ALL = "-1"
_IN_USE_S, _LOOK_EVERY_S = 600, 3


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet: `exit` is where its default route leads ("internet", "nat", or "" for nowhere), `endpoints` which
    services it reaches without one, such as {"s3", "logs"}; `free` its free addresses.
    """

    id: str
    vpc: str
    zone: str
    exit: str
    endpoints: frozenset[str]
    free: int

    def public_address(self, needed: Iterable[str] = NEEDED) -> bool:
        """Whether a machine here needs a public address to reach AWS; UsageError where not even that helps."""
        if self.exit == "nat" or set(needed) <= self.endpoints:
            return False
        if self.exit == "internet":
            return True
        lacks = ", ".join(sorted(set(needed) - self.endpoints))
        raise UsageError(
            f"machines in {self.id} would not reach AWS: no NAT, no internet gateway, no endpoint for {lacks}",
            "add these VPC endpoints (or a NAT gateway), or name other subnets: [aws] subnets",
        )


@dataclass(frozen=True, slots=True)
class Network:
    """The subnets to choose from, all of one VPC."""

    vpc: str
    subnets: tuple[Subnet, ...]

    @property
    def zones(self) -> dict[str, Subnet]:
        """One subnet for each zone, the one with the most free addresses; the zone with the most first."""
        roomiest = sorted(self.subnets, key=lambda subnet: (-subnet.free, subnet.zone, subnet.id))
        chosen: dict[str, Subnet] = {}
        for subnet in roomiest:
            chosen.setdefault(subnet.zone, subnet)
        return chosen

    def with_room(self, machines: int) -> list[Subnet]:
        """Subnets, each in a zone of its own, that have addresses for all machines; UsageError where none has."""
        roomy = [subnet for subnet in self.zones.values() if subnet.free >= machines]
        if not roomy:
            raise UsageError(
                f"no subnet of {self.vpc} has {machines} free addresses",
                "use fewer --instances, or other [aws] subnets",
            )
        return roomy


def look(aws: Aws, subnets: Sequence[str] = ()) -> Network:
    """The network of `subnets` (default: `[aws] subnets`, else those of the default VPC). UsageError where there is
    no default VPC, a subnet is not there, or they are of several VPCs.
    """
    ids = list(subnets) or listed(aws.settings.subnets)
    ec2 = aws.client("ec2")
    if ids:
        found = _named(ec2, ids)
    else:
        pages = ec2.get_paginator("describe_subnets").paginate(Filters=[{"Name": "default-for-az", "Values": ["true"]}])
        found = [subnet for page in pages for subnet in page["Subnets"]]
        if not found:
            raise UsageError(
                f"region {aws.region} has no default VPC", 'name subnets of your own: [aws] subnets = "subnet-..."'
            )
    vpcs = sorted({subnet["VpcId"] for subnet in found})
    if len(vpcs) > 1:
        raise UsageError(
            f"the subnets are of several VPCs: {', '.join(vpcs)}", "name subnets of one VPC: [aws] subnets"
        )
    routes, endpoints = _routes(ec2, vpcs[0]), _endpoints(ec2, vpcs[0])
    made = []
    for subnet in found:
        table, way = routes.get(subnet["SubnetId"]) or routes.get("", ("", ""))
        reached = frozenset(name for name, tables in endpoints if not tables or table in tables)
        made.append(
            Subnet(
                subnet["SubnetId"],
                vpcs[0],
                subnet["AvailabilityZone"],
                way,
                reached,
                subnet.get("AvailableIpAddressCount", 0),
            )
        )
    return Network(vpcs[0], tuple(made))


class SecurityGroup(Resource):
    """Lets in nothing but its own machines; lets out to them, and to AWS by HTTPS."""

    kind = "security group"
    # What it is for; no update can change these words.
    purpose = "machines among themselves, and AWS by HTTPS"

    def __init__(self, aws: Aws, vpc: str) -> None:
        self.aws = aws
        self.vpc = vpc
        self.name = aws.name(GROUP)

    def id(self) -> str:
        """Its id once it is there; "" before."""
        found = self.find()
        return found.id if found else ""

    def wanted(self) -> Mapping[str, Any]:
        """Rules as (protocol, from port, to port, peer), `self` being the group itself."""
        inside = (_ALL, None, None, "self")
        return {
            "inbound": [inside],
            "outbound": sorted([inside, ("tcp", 443, 443, _ANYWHERE)], key=str),
            "tags": self.aws.tags(GROUP),
        }

    def find(self) -> Found | None:
        """Look at its rules; the group of this name in this VPC."""
        named = {"group-name": self.name, "vpc-id": self.vpc}
        filters = [{"Name": key, "Values": [value]} for key, value in named.items()]
        groups = self._ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
        if not groups:
            return None
        group, tags = groups[0], unpaired(groups[0].get("Tags"))
        content = {
            "inbound": _rules(group["IpPermissions"], group["GroupId"]),
            "outbound": _rules(group["IpPermissionsEgress"], group["GroupId"]),
            "tags": self.aws.seen(tags, GROUP),
        }
        return Found(group["GroupId"], content, ours=self.aws.is_ours(tags))

    def create(self) -> None:
        """Make it with its tags; the rules follow."""
        try:
            self._ec2.create_security_group(
                GroupName=self.name,
                VpcId=self.vpc,
                Description=f"dogbreed {self.aws.settings.project}: {self.purpose}",
                TagSpecifications=[{"ResourceType": "security-group", "Tags": pairs(self.aws.tags(GROUP))}],
            )
        except ClientError as error:
            if code(error) != "InvalidGroup.Duplicate":
                raise
        found = self.find()
        if found:
            self.update(found)

    def update(self, found: Found) -> None:
        """Add the rules that it lacks, then take away all others."""
        wanted = self.wanted()
        for way, direction in (("inbound", "ingress"), ("outbound", "egress")):
            has, wants = set(found.content[way]), set(wanted[way])
            if missing := sorted(wants - has, key=str):
                self._call("authorize", direction, found.id, missing)
            if surplus := sorted(has - wants, key=str):
                self._call("revoke", direction, found.id, surplus)
        if found.content["tags"] != wanted["tags"]:
            self._ec2.create_tags(Resources=[found.id], Tags=pairs(wanted["tags"]))

    def delete(self, found: Found) -> None:
        """Remove it. What a job or machine leaves behind in it goes some minutes after them, so this waits."""
        deadline = time.monotonic() + _IN_USE_S
        while True:
            try:
                self._ec2.delete_security_group(GroupId=found.id)
            except ClientError as error:
                if is_missing(error):
                    return
                if code(error) != "DependencyViolation" or time.monotonic() > deadline:
                    raise
                time.sleep(_LOOK_EVERY_S)
            else:
                return

    @property
    def _ec2(self) -> Any:
        return self.aws.client("ec2")

    def _call(self, verb: str, direction: str, group: str, rules: list[tuple[Any, ...]]) -> None:
        call = getattr(self._ec2, f"{verb}_security_group_{direction}")
        try:
            call(GroupId=group, IpPermissions=[_permission(rule, group) for rule in rules])
        except ClientError as error:
            if code(error) not in ("InvalidPermission.Duplicate", "InvalidPermission.NotFound"):
                raise


def _rules(permissions: list[dict[str, Any]], group: str) -> list[tuple[Any, ...]]:
    rules = []
    for one in permissions:
        peers = [pair["GroupId"] for pair in one.get("UserIdGroupPairs", ())]
        peers += [item["CidrIp"] for item in one.get("IpRanges", ())]
        peers += [item["CidrIpv6"] for item in one.get("Ipv6Ranges", ())]
        peers += [item["PrefixListId"] for item in one.get("PrefixListIds", ())]
        ports = (None, None) if one["IpProtocol"] == _ALL else (one.get("FromPort"), one.get("ToPort"))
        rules += [(one["IpProtocol"], *ports, "self" if peer == group else peer) for peer in peers]
    return sorted(rules, key=str)


def _permission(rule: tuple[Any, ...], group: str) -> dict[str, Any]:
    protocol, first, last, peer = rule
    made: dict[str, Any] = {"IpProtocol": protocol}
    if protocol != _ALL:
        made |= {"FromPort": first, "ToPort": last}
    if peer == "self" or peer.startswith("sg-"):
        return made | {"UserIdGroupPairs": [{"GroupId": group if peer == "self" else peer}]}
    if peer.startswith("pl-"):
        return made | {"PrefixListIds": [{"PrefixListId": peer}]}
    return made | ({"Ipv6Ranges": [{"CidrIpv6": peer}]} if ":" in peer else {"IpRanges": [{"CidrIp": peer}]})


def _named(ec2: Any, ids: list[str]) -> list[dict[str, Any]]:
    try:
        return list(ec2.describe_subnets(SubnetIds=ids)["Subnets"])
    except ClientError as error:
        if is_missing(error) or "Malformed" in code(error):
            raise UsageError(
                f"a subnet is not there: {error.response['Error']['Message']}",
                "see [aws] subnets and region: both name one place",
            ) from error
        raise


def _routes(ec2: Any, vpc: str) -> dict[str, tuple[str, str]]:
    """Subnet ("" for all others) -> (route table, where its default route leads)."""
    found: dict[str, tuple[str, str]] = {}
    pages = ec2.get_paginator("describe_route_tables").paginate(Filters=[{"Name": "vpc-id", "Values": [vpc]}])
    for table in (table for page in pages for table in page["RouteTables"]):
        way = ""
        for route in table.get("Routes", ()):
            if route.get("DestinationCidrBlock") == _ANYWHERE and route.get("State", "active") == "active":
                # A transit gateway, an appliance and the like lead out as a NAT gateway does.
                way = "internet" if str(route.get("GatewayId", "")).startswith("igw-") else "nat"
        for association in table.get("Associations", ()):
            name = "" if association.get("Main") else association.get("SubnetId")
            if name is not None:
                found[name] = (table["RouteTableId"], way)
    return found


def _endpoints(ec2: Any, vpc: str) -> list[tuple[str, frozenset[str]]]:
    """(service, route tables that it is in; none: reached from everywhere in the VPC) of each endpoint that works."""
    found = []
    pages = ec2.get_paginator("describe_vpc_endpoints").paginate(Filters=[{"Name": "vpc-id", "Values": [vpc]}])
    for one in (one for page in pages for one in page["VpcEndpoints"]):
        if str(one.get("State", "")).lower() != "available":
            continue
        # com.amazonaws.eu-west-1.logs
        service = one["ServiceName"].split(".", 3)[-1]
        if one.get("VpcEndpointType") == "Gateway":
            tables = frozenset(one.get("RouteTableIds", ()))
            if tables:
                found.append((service, tables))
        elif one.get("PrivateDnsEnabled"):
            found.append((service, frozenset()))
    return found
