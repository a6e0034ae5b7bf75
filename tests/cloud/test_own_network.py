"""Where machines run, and what may reach them."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from laws import apply, remove, survives_kills, unchanged

from dogbreed import plan
from dogbreed.cloud import network
from dogbreed.cloud.network import SecurityGroup, look
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings
from dogbreed.errors import UsageError
from dogbreed.rehearse.state import Server

INSIDE, OUT = ("-1", None, None, "self"), ("tcp", 443, 443, "0.0.0.0/0")


class Vpc:
    """A VPC of one's own with a subnet in each of two zones, and no way out."""

    def __init__(self, aws: Aws) -> None:
        self.ec2 = aws.client("ec2")
        self.id = self.ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
        self.subnets = [self.subnet(f"10.1.{number}.0/28", zone) for number, zone in enumerate("ab")]
        table = self.ec2.create_route_table(VpcId=self.id)["RouteTable"]
        self.table = table["RouteTableId"]
        for subnet in self.subnets:
            self.ec2.associate_route_table(RouteTableId=self.table, SubnetId=subnet)

    def subnet(self, block: str, zone: str) -> str:
        made = self.ec2.create_subnet(VpcId=self.id, CidrBlock=block, AvailabilityZone=f"eu-west-1{zone}")
        return str(made["Subnet"]["SubnetId"])

    def route(self, **to: str) -> None:
        self.ec2.create_route(RouteTableId=self.table, DestinationCidrBlock="0.0.0.0/0", **to)

    def endpoint(self, service: str, **more: Any) -> None:
        name = f"com.amazonaws.eu-west-1.{service}"
        self.ec2.create_vpc_endpoint(VpcId=self.id, ServiceName=name, **more)


@pytest.fixture
def vpc(aws: Aws) -> Vpc:
    return Vpc(aws)


def test_the_default_vpc_needs_public_addresses(aws: Aws) -> None:
    network = look(aws)
    assert len(network.zones) == 3
    assert all(subnet.public_address() for subnet in network.subnets)


def test_subnets_that_lead_nowhere_are_an_error_that_says_what_is_lacking(aws: Aws, vpc: Vpc) -> None:
    with pytest.raises(UsageError, match="no endpoint for logs, s3") as error:
        look(aws, vpc.subnets).subnets[0].public_address()
    assert "VPC endpoints" in error.value.hint


def test_nat_or_endpoints_make_public_addresses_needless(aws: Aws, vpc: Vpc) -> None:
    vpc.endpoint("s3", VpcEndpointType="Gateway", RouteTableIds=[vpc.table])
    with pytest.raises(UsageError, match="no endpoint for logs"):
        look(aws, vpc.subnets).subnets[0].public_address()
    vpc.endpoint("logs", VpcEndpointType="Interface", SubnetIds=vpc.subnets, PrivateDnsEnabled=True)
    assert not look(aws, vpc.subnets).subnets[0].public_address()


def test_a_gateway_endpoint_serves_its_route_tables_alone(aws: Aws, vpc: Vpc) -> None:
    vpc.endpoint("s3", VpcEndpointType="Gateway", RouteTableIds=[vpc.table])
    other = vpc.subnet("10.1.9.0/28", "a")
    reached = {subnet.id: subnet.endpoints for subnet in look(aws, [*vpc.subnets, other]).subnets}
    assert reached[vpc.subnets[0]] == {"s3"}
    assert reached[other] == frozenset()


def test_a_nat_gateway_is_no_internet_gateway(aws: Aws, vpc: Vpc) -> None:
    address = vpc.ec2.allocate_address(Domain="vpc")["AllocationId"]
    gateway = vpc.ec2.create_nat_gateway(SubnetId=vpc.subnets[0], AllocationId=address)["NatGateway"]
    vpc.route(NatGatewayId=gateway["NatGatewayId"])
    assert [subnet.exit for subnet in look(aws, vpc.subnets).subnets] == ["nat", "nat"]
    assert not look(aws, vpc.subnets).subnets[0].public_address()


def test_all_machines_must_find_room_in_one_zone(aws: Aws, vpc: Vpc) -> None:
    network = look(aws, vpc.subnets)
    # A /28 has 16 addresses, of which AWS keeps five.
    assert {subnet.zone for subnet in network.with_room(11)} == {"eu-west-1a", "eu-west-1b"}
    with pytest.raises(UsageError, match="12 free addresses"):
        network.with_room(12)
    larger = vpc.subnet("10.1.16.0/24", "b")
    assert look(aws, [*vpc.subnets, larger]).with_room(12)[0].id == larger


def test_subnets_that_cannot_be(aws: Aws, vpc: Vpc) -> None:
    with pytest.raises(UsageError, match="several VPCs"):
        look(aws, [vpc.subnets[0], look(aws).subnets[0].id])
    with pytest.raises(UsageError, match="is not there"):
        look(aws, ["subnet-0123456789abcdef0"])


def test_settings_name_the_subnets(account: Server) -> None:
    vpc = Vpc(Aws(AwsSettings()))
    aws = Aws(AwsSettings(subnets=", ".join(vpc.subnets)))
    assert (look(aws).vpc, {subnet.id for subnet in look(aws).subnets}) == (vpc.id, set(vpc.subnets))


def test_no_default_vpc(aws: Aws) -> None:
    ec2 = aws.client("ec2")
    for subnet in ec2.describe_subnets()["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    with pytest.raises(UsageError, match="no default VPC") as error:
        look(aws)
    assert "[aws] subnets" in error.value.hint


# -- the group


def test_the_group_lets_nobody_in(aws: Aws, vpc: Vpc) -> None:
    group = SecurityGroup(aws, vpc.id)
    assert group.id() == ""
    assert apply([group]) == ["+"]
    assert unchanged([group])
    found = group.find()
    assert found is not None and found.id == group.id()
    assert found.content["inbound"] == [INSIDE]
    assert found.content["outbound"] == [INSIDE, OUT]


def test_rules_that_somebody_has_added_go(aws: Aws, vpc: Vpc) -> None:
    group = SecurityGroup(aws, vpc.id)
    apply([group])
    shell = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    six = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}
    aws.client("ec2").authorize_security_group_ingress(GroupId=group.id(), IpPermissions=[shell, six])
    (step,) = plan.make([group]).steps
    assert (step.sign, step.why) == ("~", "inbound")
    apply([group])
    assert unchanged([group])


def test_groups_of_two_vpcs_do_not_meet(aws: Aws, vpc: Vpc) -> None:
    groups = [SecurityGroup(aws, vpc.id), SecurityGroup(aws, look(aws).vpc)]
    assert apply(groups) == ["+", "+"]
    assert groups[0].id() != groups[1].id()
    assert remove(groups) == ["-", "-"]


def test_a_group_that_is_still_used_is_waited_for(aws: Aws, vpc: Vpc, monkeypatch: pytest.MonkeyPatch) -> None:
    group = SecurityGroup(aws, vpc.id)
    apply([group])
    monkeypatch.setattr(network, "_LOOK_EVERY_S", 0)
    refusals = 2

    def refuse(**_: Any) -> None:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise ClientError({"Error": {"Code": "DependencyViolation", "Message": "in use"}}, "DeleteSecurityGroup")

    aws.client("ec2").meta.events.register("before-call.ec2.DeleteSecurityGroup", refuse)
    assert remove([group]) == ["-"]
    assert (refusals, group.find()) == (0, None)


@pytest.mark.slow
def test_a_kill_at_any_call_is_mended_by_repeating(account: Server) -> None:
    def fresh() -> Aws:
        account.ask("reset")
        return Aws(AwsSettings())

    assert survives_kills(fresh, lambda aws: [SecurityGroup(aws, look(aws).vpc)], [True]) > 5
