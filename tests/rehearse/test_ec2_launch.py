"""RunInstances and CreateFleet: what launch templates give, what is refused in AWS's words, where capacity is short."""

from __future__ import annotations

from typing import Any

import boto3
import instances
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from dogbreed.pricing import Prices
from dogbreed.rehearse.ec2_template import over
from dogbreed.rehearse.state import Server

ARM = "/aws/service/deeplearning/ami/arm64/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id"


def ec2() -> Any:
    return boto3.client("ec2", config=Config(retries={"total_max_attempts": 1}))


def refused(**changes: Any) -> tuple[str, str]:
    """Code and words with which RunInstances refuses."""
    with pytest.raises(ClientError) as caught:
        ec2().run_instances(**instances.request(**changes))
    assert ec2().describe_instances()["Reservations"] == []
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def group() -> str:
    vpc = ec2().describe_vpcs()["Vpcs"][0]["VpcId"]
    return str(ec2().create_security_group(GroupName="own", Description="d", VpcId=vpc)["GroupId"])


def subnets() -> dict[str, str]:
    """The default subnet of each zone."""
    return {one["AvailabilityZone"]: one["SubnetId"] for one in ec2().describe_subnets()["Subnets"]}


def template(**changes: Any) -> dict[str, str]:
    data = {
        "ImageId": instances.image(),
        "UserData": instances.encoded(b"#!/bin/sh\necho from the template\n"),
    } | changes
    ec2().create_launch_template(LaunchTemplateName="training", LaunchTemplateData=data)
    return {"LaunchTemplateName": "training"}


def test_all_of_a_launch_template_applies(account: Server) -> None:
    profile, own = instances.profile(), group()
    subnet = subnets()["eu-west-1b"]
    wanted = template(
        IamInstanceProfile={"Name": profile},
        InstanceType="g5.xlarge",
        MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 1, "InstanceMetadataTags": "enabled"},
        InstanceInitiatedShutdownBehavior="terminate",
        BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 120, "Encrypted": True, "Iops": 4000}}],
        NetworkInterfaces=[
            {"DeviceIndex": 0, "SubnetId": subnet, "Groups": [own], "AssociatePublicIpAddress": False},
        ],
        TagSpecifications=[
            {"ResourceType": kind, "Tags": [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "1"}]}
            for kind in ("instance", "volume")
        ],
        InstanceMarketOptions={"MarketType": "spot"},
        DisableApiTermination=False,
    )
    more = [{"ResourceType": "instance", "Tags": [{"Key": "b", "Value": "2"}]}]
    started = ec2().run_instances(LaunchTemplate=wanted, MinCount=2, MaxCount=2, TagSpecifications=more)
    for one in started["Instances"]:
        shown = instances.describe(one["InstanceId"])
        assert shown["IamInstanceProfile"]["Arn"].endswith(f":instance-profile/{profile}")
        options = shown["MetadataOptions"]
        assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 1)
        assert options["InstanceMetadataTags"] == "enabled"
        assert shown["InstanceLifecycle"] == "spot" and shown["SpotInstanceRequestId"].startswith("sir-")
        assert (shown["SubnetId"], shown["Placement"]["AvailabilityZone"]) == (subnet, "eu-west-1b")
        assert [g["GroupId"] for g in shown["SecurityGroups"]] == [own]
        assert [g["GroupId"] for g in shown["NetworkInterfaces"][0]["Groups"]] == [own]
        assert "PublicIpAddress" not in shown
        assert {tag["Key"]: tag["Value"] for tag in shown["Tags"]}.items() >= {"a": "1", "b": "2"}.items()
        volume = ec2().describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [one["InstanceId"]]}])
        (disk,) = volume["Volumes"]
        assert (disk["Size"], disk["Encrypted"], disk["Iops"], disk["VolumeType"]) == (120, True, 4000, "gp3")
        assert {tag["Key"]: tag["Value"] for tag in disk["Tags"]} == {"a": "1", "b": "1"}
        told = ec2().describe_instance_attribute(
            InstanceId=one["InstanceId"], Attribute="instanceInitiatedShutdownBehavior"
        )
        assert told["InstanceInitiatedShutdownBehavior"]["Value"] == "terminate"
        instances.shown(one["InstanceId"], "from the template")


def test_what_a_template_hides_is_recorded_and_can_be_denied(account: Server) -> None:
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "1"}]}]
    wanted = template(
        IamInstanceProfile={"Name": instances.profile()}, InstanceType="g5.xlarge", TagSpecifications=tags
    )
    account.ask("fault", kind="deny", target="iam:PassRole")
    asked: dict[str, Any] = {"LaunchTemplate": wanted, "MinCount": 1, "MaxCount": 1}
    with pytest.raises(ClientError, match=r"is not authorized to perform: iam:PassRole on resource: .*role/machines"):
        ec2().run_instances(**asked)
    account.ask("clear")
    ec2().run_instances(**asked)
    calls = [call for call in account.ask("calls") if call["operation"] == "RunInstances"]
    assert {call["action"] for call in calls} == {"ec2:RunInstances", "iam:PassRole", "ec2:CreateTags"}
    touched = {resource for call in calls for resource in call["resources"] if call["action"] == "ec2:RunInstances"}
    assert f"arn:aws:ec2:eu-west-1::image/{instances.image()}" in touched
    assert any(":launch-template/lt-" in resource for resource in touched)


def test_a_client_token_starts_machines_once(account: Server) -> None:
    asked = instances.request(ClientToken="once")
    first, second = ec2().run_instances(**asked), ec2().run_instances(**asked)
    assert first["ReservationId"] == second["ReservationId"]
    with pytest.raises(ClientError, match="IdempotentParameterMismatch"):
        ec2().run_instances(**asked | {"InstanceType": "g5.2xlarge"})
    assert len(ec2().describe_instances()["Reservations"]) == 1


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"DryRun": True}, "DryRunOperation", "DryRun flag is set"),
        ({"ImageId": "ami-0123456789abcdef0"}, "InvalidAMIID.NotFound", "does not exist"),
        ({"ImageId": None}, "MissingParameter", "ImageId"),
        ({"InstanceType": "t4g.small"}, "InvalidParameterValue", "architecture 'arm64' of the specified instance type"),
        ({"InstanceType": "g5.huge"}, "InvalidParameterValue", "Invalid value 'g5.huge' for InstanceType"),
        ({"InstanceType": "p4d.24xlarge"}, "VcpuLimitExceeded", "current vCPU limit of 0"),
        (
            {"InstanceType": "p4d.24xlarge", "Placement": {"AvailabilityZone": "eu-west-1a"}},
            "Unsupported",
            "not supported in your requested Availability Zone (eu-west-1a)",
        ),
        ({"MinCount": 17, "MaxCount": 17}, "VcpuLimitExceeded", "current vCPU limit of 64"),
        ({"IamInstanceProfile": {"Name": "nobody"}}, "NoSuchEntity", "nobody"),
        ({"SecurityGroupIds": ["sg-0123456789abcdef0"]}, "InvalidGroup.NotFound", "sg-0123456789abcdef0"),
        ({"SubnetId": "subnet-0123456789abcdef0"}, "InvalidSubnetID.NotFound", "subnet-0123456789abcdef0"),
        ({"UserData": "x" * 16_385}, "InvalidParameterValue", "limited to 16384 bytes"),
        ({"Placement": {"AvailabilityZone": "eu-west-1z"}}, "InvalidParameterValue", "eu-west-1z"),
        ({"Placement": {"GroupName": "none"}}, "InvalidPlacementGroup.Unknown", "none"),
        (
            {"LaunchTemplate": {"LaunchTemplateName": "none"}},
            "InvalidLaunchTemplateName.NotFoundException",
            "does not exist",
        ),
        (
            {"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": {"MaxPrice": "0.01"}}},
            "SpotMaxPriceTooLow",
            "Your Spot request price of 0.01 is lower than",
        ),
        ({"MetadataOptions": {"HttpTokens": "sometimes"}}, "InvalidParameterValue", "sometimes"),
    ],
)
def test_what_aws_refuses_is_refused(account: Server, changes: dict[str, Any], code: str, words: str) -> None:
    found, said = refused(**changes)
    assert found == code
    assert words in said


def test_interfaces_and_a_subnet_contradict_each_other(account: Server) -> None:
    subnet = subnets()["eu-west-1a"]
    code, words = refused(SubnetId=subnet, NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": subnet}])
    assert code == "InvalidParameterCombination"
    assert "may not be specified on the same request" in words


def test_an_image_for_other_processors_is_refused(account: Server) -> None:
    arm = instances.image(ARM)
    assert ec2().describe_images(ImageIds=[arm])["Images"][0]["Architecture"] == "arm64"
    code, words = refused(ImageId=arm)
    assert code == "InvalidParameterValue"
    assert "does not match the architecture 'arm64' of the specified AMI" in words


SPOT = {"InstanceMarketOptions": {"MarketType": "spot"}}


def test_no_capacity_hits_the_type_zone_and_market_that_are_named(account: Server) -> None:
    account.ask("fault", kind="no-capacity", target="g5.*", zone="eu-west-1a", market="spot")
    assert refused(Placement={"AvailabilityZone": "eu-west-1a"}, **SPOT) == (
        "InsufficientInstanceCapacity",
        "There is no Spot capacity available that matches your request.",
    )
    account.ask("clear")
    account.ask("fault", kind="no-capacity", target="g5.*", zone="eu-west-1a", market="on-demand")
    code, words = refused(Placement={"AvailabilityZone": "eu-west-1a"})
    assert code == "InsufficientInstanceCapacity"
    assert words.startswith(
        "We currently do not have sufficient g5.xlarge capacity in the Availability Zone you requested"
    )
    assert words.endswith("choosing eu-west-1b, eu-west-1c.")
    instances.run(SubnetId=subnets()["eu-west-1a"], **SPOT)
    instances.run(SubnetId=subnets()["eu-west-1b"])
    (name,) = instances.run()
    assert instances.describe(name)["Placement"]["AvailabilityZone"] == "eu-west-1b"


def pools(market: str, **changes: Any) -> dict[str, Any]:
    """Parameters of CreateFleet for two machines in zone a or b."""
    name = {"LaunchTemplateName": "training", "Version": "$Latest"}
    overrides = [{"SubnetId": subnets()[f"eu-west-1{letter}"], "InstanceType": "g5.xlarge"} for letter in "ab"]
    parts: dict[str, Any] = {
        "Type": "instant",
        "LaunchTemplateConfigs": [{"LaunchTemplateSpecification": name, "Overrides": overrides}],
        "TargetCapacitySpecification": {"TotalTargetCapacity": 2, "DefaultTargetCapacityType": market},
        "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "run", "Value": "r"}]}],
    }
    return parts | changes


def fleet(market: str, **changes: Any) -> dict[str, Any]:
    template(InstanceType="g5.xlarge")
    return dict(ec2().create_fleet(**pools(market, **changes)))


@pytest.mark.parametrize("market", ["spot", "on-demand"])
def test_a_fleet_goes_where_capacity_is_and_says_where_none_was(account: Server, market: str) -> None:
    account.ask("fault", kind="no-capacity", target="g5.xlarge", zone="eu-west-1a")
    made = fleet(market)
    (error,) = made["Errors"]
    assert (error["ErrorCode"], error["Lifecycle"]) == ("InsufficientInstanceCapacity", market)
    assert error["LaunchTemplateAndOverrides"]["Overrides"]["SubnetId"] == subnets()["eu-west-1a"]
    (found,) = made["Instances"]
    assert (len(found["InstanceIds"]), found["Lifecycle"]) == (2, market)
    shown = instances.describe(found["InstanceIds"][0])
    assert shown["Placement"]["AvailabilityZone"] == "eu-west-1b"
    assert shown.get("InstanceLifecycle", "on-demand") == market
    assert {"Key": "run", "Value": "r"} in shown["Tags"]
    instances.shown(found["InstanceIds"][0], "from the template")
    active = ec2().describe_fleet_instances(FleetId=made["FleetId"])["ActiveInstances"]
    assert {one["InstanceId"] for one in active} == set(found["InstanceIds"])
    gone = ec2().delete_fleets(FleetIds=[made["FleetId"]], TerminateInstances=True)
    assert gone["SuccessfulFleetDeletions"][0]["CurrentFleetState"] == "deleted_terminating"
    for name in found["InstanceIds"]:
        instances.wait_for(name, "terminated")


def test_a_fleet_is_made_once_for_a_client_token(account: Server) -> None:
    first = fleet("on-demand", ClientToken="once")
    second = ec2().create_fleet(**pools("on-demand", ClientToken="once"))
    assert (first["FleetId"], first["Instances"]) == (second["FleetId"], second["Instances"])
    with pytest.raises(ClientError, match="IdempotentParameterMismatch"):
        ec2().create_fleet(**pools("spot", ClientToken="once"))


def test_the_shutdown_behaviour_can_be_changed(account: Server) -> None:
    (name,) = instances.run("sleep 600")
    ec2().modify_instance_attribute(InstanceId=name, InstanceInitiatedShutdownBehavior={"Value": "stop"})
    told = ec2().describe_instance_attribute(InstanceId=name, Attribute="instanceInitiatedShutdownBehavior")
    assert told["InstanceInitiatedShutdownBehavior"]["Value"] == "stop"
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        ec2().modify_instance_attribute(InstanceId=name, InstanceInitiatedShutdownBehavior={"Value": "sleep"})


def test_a_fleet_below_its_least_size_starts_nothing(account: Server) -> None:
    account.ask("fault", kind="no-capacity", target="g5.xlarge")
    made = fleet("spot", SpotOptions={"MinTargetCapacity": 2, "SingleAvailabilityZone": True})
    assert made["Instances"] == []
    assert {error["ErrorCode"] for error in made["Errors"]} == {"InsufficientInstanceCapacity"}


def test_spot_prices_are_below_the_price_on_demand_and_differ_by_zone(account: Server) -> None:
    history = ec2().describe_spot_price_history(InstanceTypes=["g5.xlarge"], ProductDescriptions=["Linux/UNIX"])
    found = {one["AvailabilityZone"]: float(one["SpotPrice"]) for one in history["SpotPriceHistory"]}
    assert len(set(found.values())) == len(found) >= 2
    figure = Prices.load().hourly("g5.xlarge", "eu-west-1", "ec2")
    assert figure and all(0.2 * float(figure.usd) < price < 0.6 * float(figure.usd) for price in found.values())
    windows = ec2().describe_spot_price_history(InstanceTypes=["g5.xlarge"], ProductDescriptions=["Windows"])
    assert windows["SpotPriceHistory"] == []


def test_metadata_options_that_are_not_named_stay(account: Server) -> None:
    (name,) = instances.run(MetadataOptions={"HttpTokens": "optional", "HttpPutResponseHopLimit": 3})
    ec2().modify_instance_metadata_options(InstanceId=name, HttpTokens="required")
    options = instances.describe(name)["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 3)


def test_placement_groups(account: Server) -> None:
    ec2().create_placement_group(GroupName="near", Strategy="cluster")
    (name,) = instances.run(Placement={"GroupName": "near"})
    assert instances.describe(name)["Placement"]["GroupName"] == "near"
    with pytest.raises(ClientError, match=r"InvalidPlacementGroup\.InUse"):
        ec2().delete_placement_group(GroupName="near")
    ec2().terminate_instances(InstanceIds=[name])
    instances.wait_for(name, "terminated")
    ec2().delete_placement_group(GroupName="near")
    assert ec2().describe_placement_groups()["PlacementGroups"] == []


def test_what_may_not_be_ended_or_stopped(account: Server) -> None:
    (kept,) = instances.run(DisableApiTermination=True)
    with pytest.raises(ClientError, match="OperationNotPermitted"):
        ec2().terminate_instances(InstanceIds=[kept])
    (spot,) = instances.run(**SPOT)
    with pytest.raises(ClientError, match="one-time Spot Instance request"):
        ec2().stop_instances(InstanceIds=[spot])
    with pytest.raises(ClientError, match=r"InvalidInstanceID\.NotFound"):
        ec2().terminate_instances(InstanceIds=[spot, "i-0123456789abcdef0"])
    assert instances.describe(spot)["State"]["Name"] in ("pending", "running")


values = st.recursive(st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3))
structures = st.dictionaries(st.sampled_from("abcd"), values, max_size=4)


@given(structures, structures)
def test_what_is_above_wins_and_what_it_does_not_name_stays(below: dict[str, Any], above: dict[str, Any]) -> None:
    found = over(below, above)
    assert over(found, above) == found
    assert set(found) == set(below) | set(above)
    for name, value in found.items():
        if name not in above:
            assert value == below[name]
        elif not isinstance(value, dict):
            assert value == above[name]
