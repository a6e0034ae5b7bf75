"""Launch template and machines on the stand-in: safe whatever the settings, and taken where there is room."""

from __future__ import annotations

import itertools
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from dogbreed import plan
from dogbreed.cloud import ec2_fleet, ec2_template
from dogbreed.cloud.ec2_fleet import NoCapacityError, Order
from dogbreed.cloud.ec2_template import LaunchTemplate
from dogbreed.cloud.network import SecurityGroup, look
from dogbreed.cloud.policies import EC2_TRAINING
from dogbreed.cloud.roles import InstanceProfile, Role
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings
from dogbreed.errors import AccessError, DogbreedError, UsageError
from dogbreed.rehearse.state import Server

TYPES = ["g5.xlarge", "m5.large"]


def ready(aws: Aws) -> tuple[LaunchTemplate, Order]:
    """All that machines need, made; and an order for two that switch themselves off."""
    role = Role(aws, EC2_TRAINING)
    image = ec2_template.find_image(aws, "x86_64")
    template = LaunchTemplate(aws, role.name, image, 100)
    group = SecurityGroup(aws, look(aws).vpc)
    for _ in plan.make([role, InstanceProfile(aws, role), group, template]).apply():
        pass
    found = template.find()
    assert found
    order = Order(
        template=found.id,
        version=found.content["version"],
        group=[group.id()],
        user_data=lambda place: "#!/bin/sh\nshutdown -h now\n",
        tags=aws.tags(ec2_fleet.MACHINE, "r1"),
        count=2,
        name="r1 1",
    )
    return template, order


def places(aws: Aws, *, spot: bool = False, fallback: bool = False) -> Any:
    return ec2_fleet.places(aws, TYPES, look(aws).with_room(2), spot=spot, fallback=fallback)


def start(aws: Aws, order: Order, **how: bool) -> ec2_fleet.Place:
    # A name of its own, since a repeated order finds the machines of the first.
    order = replace(order, name=f"order {next(_NUMBERS)}")
    return ec2_fleet.launch(aws, order, places(aws, **how), lambda text: None)[0]


_NUMBERS = itertools.count()


def requests(aws: Aws) -> list[dict[str, Any]]:
    """Every RunInstances from now on, as it is sent."""
    sent: list[dict[str, Any]] = []
    aws.session.events.register("provide-client-params.ec2.RunInstances", lambda params, **_: sent.append(dict(params)))
    return sent


def test_the_template_is_made_once_and_changed_only_where_it_differs(aws: Aws) -> None:
    template, _ = ready(aws)
    assert not plan.make([template]).changes
    image = ec2_template.find_image(aws, "x86_64")
    larger = LaunchTemplate(aws, Role(aws, EC2_TRAINING).name, image, 200)
    changed = plan.make([larger])
    assert [step.sign for step in changed.steps] == ["~"]
    list(changed.apply())
    assert not plan.make([larger]).changes
    assert larger.find().content["version"] == 2  # type: ignore[union-attr]
    list(plan.teardown([larger]).apply())
    assert larger.find() is None


@pytest.mark.parametrize("settings", [AwsSettings(), AwsSettings(tags="team=dogs", project="other")])
def test_every_machine_passes_the_audit(account: Server, settings: AwsSettings) -> None:
    aws = Aws(settings)
    _, order = ready(aws)
    sent = requests(aws)
    # Not switched off before it has been looked at: the disks of a machine go with it.
    start(aws, replace(order, user_data=lambda place: "#!/bin/sh\n"))
    ec2 = aws.client("ec2")
    version = ec2.describe_launch_template_versions(LaunchTemplateId=order.template)["LaunchTemplateVersions"][0]
    data = version["LaunchTemplateData"]
    # EC2-IMDSV2
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    # EC2-EBS-ENCRYPT
    assert all(disk["Ebs"]["Encrypted"] for disk in data["BlockDeviceMappings"])
    assert data["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert "KeyName" not in data and "SecurityGroups" not in data
    (asked,) = sent
    # Nothing of the above is taken back, and no way in is opened, when machines are started.
    assert not {"MetadataOptions", "BlockDeviceMappings", "KeyName", "IamInstanceProfile"} & set(asked)
    assert asked["MinCount"] == asked["MaxCount"] == 2
    # SG-OPEN-*: nobody but its own machines.
    (group,) = ec2.describe_security_groups(GroupIds=asked["NetworkInterfaces"][0]["Groups"])["SecurityGroups"]
    assert all(not rule["IpRanges"] and not rule["Ipv6Ranges"] for rule in group["IpPermissions"])
    assert {pair["GroupId"] for rule in group["IpPermissions"] for pair in rule["UserIdGroupPairs"]} == {
        group["GroupId"]
    }
    for machine in (one for each in ec2.describe_instances()["Reservations"] for one in each["Instances"]):
        assert machine["MetadataOptions"]["HttpTokens"] == "required"
        assert "KeyName" not in machine
        disks = [disk["Ebs"]["VolumeId"] for disk in machine["BlockDeviceMappings"]]
        assert all(volume["Encrypted"] for volume in ec2.describe_volumes(VolumeIds=disks)["Volumes"])


def test_no_public_address_where_the_subnet_reaches_aws_without(account: Server) -> None:
    """EC2-PUBLIC-IP."""
    ec2 = Aws(AwsSettings()).client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24", AvailabilityZone="eu-west-1b")["Subnet"]["SubnetId"]
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    ec2.create_vpc_endpoint(
        VpcId=vpc, ServiceName="com.amazonaws.eu-west-1.s3", RouteTableIds=[tables[0]["RouteTableId"]]
    )
    ec2.create_vpc_endpoint(
        VpcId=vpc,
        ServiceName="com.amazonaws.eu-west-1.logs",
        VpcEndpointType="Interface",
        SubnetIds=[subnet],
        PrivateDnsEnabled=True,
    )
    aws = Aws(AwsSettings(subnets=subnet))
    _, order = ready(aws)
    sent = requests(aws)
    start(aws, order)
    assert sent[0]["NetworkInterfaces"][0]["AssociatePublicIpAddress"] is False
    assert sent[0]["NetworkInterfaces"][0]["SubnetId"] == subnet


def test_zones_then_types_then_the_full_price(aws: Aws, account: Server) -> None:
    _, order = ready(aws)
    sent = requests(aws)
    zones = [place.subnet.zone for place in places(aws)][: len(look(aws).zones)]
    account.ask("fault", kind="no-capacity", target="g5.xlarge", zone=zones[0])
    assert start(aws, order).subnet.zone == zones[1]
    account.ask("fault", kind="no-capacity", target="g5.xlarge")
    assert start(aws, order).type == "m5.large"
    account.ask("clear")
    account.ask("fault", kind="no-capacity", target="*", market="spot")
    place = start(aws, order, spot=True, fallback=True)
    assert (place.type, place.spot) == ("g5.xlarge", False)
    # One zone, the next; all zones, the next type; both types in all zones as spot, the full price.
    assert len(sent) == 2 + len(zones) + 1 + 2 * len(zones) + 1
    account.ask("fault", kind="no-capacity", target="*")
    before = len(ec2_fleet.machines(aws, only_alive=False))
    with pytest.raises(NoCapacityError, match=r"g5\.xlarge in eu-west-1"):
        start(aws, order, spot=True, fallback=True)
    assert len(ec2_fleet.machines(aws, only_alive=False)) == before
    for how, hinted in (({"spot": True}, True), ({"spot": True, "fallback": True}, False), ({}, False)):
        with pytest.raises(NoCapacityError) as raised:
            start(aws, order, **how)
        assert ("--on-demand-fallback" in raised.value.hint) == hinted, how


def test_spot_never_costs_more_than_was_said(aws: Aws) -> None:
    _, order = ready(aws)
    sent = requests(aws)
    place = start(aws, order, spot=True)
    assert place.bound is not None and place.price is not None and place.bound >= place.price
    options = sent[0]["InstanceMarketOptions"]
    assert options["MarketType"] == "spot"
    assert Decimal(options["SpotOptions"]["MaxPrice"]) == round(place.bound, 4)
    assert options["SpotOptions"]["InstanceInterruptionBehavior"] == "terminate"


def test_a_call_that_is_repeated_starts_no_machines_again(aws: Aws) -> None:
    _, order = ready(aws)
    there = list(places(aws))
    first = ec2_fleet.launch(aws, order, iter(there), lambda text: None)
    again = ec2_fleet.launch(aws, order, iter(there), lambda text: None)
    assert first[1] == again[1]


def test_a_denied_action_is_named(aws: Aws, account: Server) -> None:
    from dogbreed.cloud.errors import translate

    _, order = ready(aws)
    account.ask("fault", kind="deny", target="ec2:RunInstances")
    with pytest.raises(Exception, match="UnauthorizedOperation") as raised:
        start(aws, order)
    told = translate(raised.value)
    assert isinstance(told, AccessError) and "ec2:RunInstances" in told.message


@pytest.mark.parametrize(
    ("architecture", "ami", "words"),
    [("x86_64", "ami-0000000000000dead", "no machine image"), ("arm64", "", "--ami-id")],
)
def test_a_missing_image_names_the_option(aws: Aws, architecture: str, ami: str, words: str) -> None:
    with pytest.raises(UsageError) as raised:
        ec2_template.find_image(aws, architecture, ami)
    assert words in raised.value.message + raised.value.hint


def test_types_of_several_architectures_are_refused(aws: Aws) -> None:
    assert ec2_template.architecture(aws, ["g5.xlarge", "m5.large"]) == "x86_64"
    assert ec2_template.architecture(aws, ["g5g.xlarge"]) == "arm64"
    with pytest.raises(UsageError, match="different processors"):
        ec2_template.architecture(aws, ["g5.xlarge", "g5g.xlarge"])


def test_a_tag_that_a_machine_cannot_bear_is_refused_before_anything_is_made(account: Server) -> None:
    with pytest.raises(UsageError, match="cannot be a tag"):
        ec2_template.check_tags(Aws(AwsSettings(tags="cost center=1")))


def test_a_disk_holds_the_photos_and_is_never_smaller_than_the_image(aws: Aws) -> None:
    image = ec2_template.find_image(aws, "x86_64")
    assert ec2_template.volume_gb(image, 10 * 10**9) >= image.gb + 20
    with pytest.raises(DogbreedError, match="less than the image needs"):
        ec2_template.volume_gb(image, 0, 1)
