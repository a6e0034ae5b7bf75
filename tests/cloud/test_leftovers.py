"""What is left over in an account: each kind that is found, what is not, and areas that may not be read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import scaled
from program import dogbreed

from dogbreed.cloud import leftovers
from dogbreed.cloud.leftovers import Account, Found, Leftover
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings
from dogbreed.errors import EXIT_FOUND
from dogbreed.rehearse.state import Server

# Where the price table knows most.
REGION = "us-east-1"


@pytest.fixture
def there(account: Server) -> Aws:
    return Aws(AwsSettings(region=REGION))


def by_kind(found: Found) -> dict[str, Leftover]:
    return {one.kind: one for one in found.leftovers}


def test_an_empty_account_has_nothing_left_over(there: Aws, tmp_path: Path) -> None:
    done = dogbreed("leftovers", "--region", REGION, "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    assert (done.returncode, told["leftovers"], told["unread"]) == (0, [], {}), told


def test_disks_addresses_balancers_and_copies_are_found_with_their_price(
    account: Server, there: Aws, tmp_path: Path
) -> None:
    ec2 = there.client("ec2")
    zone = ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
    volume = ec2.create_volume(AvailabilityZone=zone, Size=100, VolumeType="gp3")["VolumeId"]
    old = ec2.create_volume(AvailabilityZone=zone, Size=10, VolumeType="io1", Iops=100)["VolumeId"]
    address = ec2.allocate_address(Domain="vpc")["PublicIp"]
    scaled.group(there)  # a load balancer with no machine behind it
    name = scaled.function(there)
    there.client("lambda").put_provisioned_concurrency_config(
        FunctionName=name, Qualifier="live", ProvisionedConcurrentExecutions=2
    )
    before = len(account.ask("calls"))
    found = leftovers.look(there)
    assert scaled.unlisted(account.ask("calls")[before:], "leftovers") == set()
    kinds = by_kind(found)
    prices = {one.name: one.month for one in found.leftovers}
    assert prices[volume] == Decimal("8.00")
    assert prices[old] is None, "the table has no price of io1"
    assert prices[address] == Decimal("3.65")
    assert kinds["load balancer"].month == Decimal("16.43")
    # 2 x 2 GB at $0.0000041667 a GB and second.
    assert kinds["function"].month == Decimal("43.80")
    assert kinds["function"].remove.endswith(f"--function-name {name} --qualifier live")
    known = [one.month for one in found.leftovers if one.month]
    assert known == sorted(known, reverse=True)
    assert [one.month for one in found.leftovers][len(known)] is None
    done = dogbreed("leftovers", "--region", REGION, cwd=tmp_path)
    assert done.returncode == EXIT_FOUND
    assert f"aws ec2 delete-volume --volume-id {volume}" in done.stdout
    assert f"${found.month} a month, and 1 of unknown price" in done.stderr


def test_a_machine_that_is_stopped_keeps_its_disk_and_one_that_runs_is_in_use(there: Aws) -> None:
    ec2 = there.client("ec2")
    image = next(one for one in ec2.describe_images(Owners=["amazon"])["Images"] if one["Architecture"] == "x86_64")
    run = ec2.run_instances(ImageId=image["ImageId"], InstanceType="m5.large", MinCount=1, MaxCount=1)
    machine = run["Instances"][0]["InstanceId"]
    assert "volume" not in by_kind(leftovers.look(there))
    ec2.stop_instances(InstanceIds=[machine])
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[machine], WaiterConfig={"Delay": 1})
    assert machine in by_kind(leftovers.look(there))["volume"].why


def test_scaling_and_alarms_of_an_endpoint_that_is_gone(there: Aws) -> None:
    watch = there.client("cloudwatch")
    for name, space in (("gone", "AWS/SageMaker"), ("other", "AWS/EC2")):
        watch.put_metric_alarm(
            AlarmName=name,
            Namespace=space,
            MetricName="Invocations",
            Dimensions=[{"Name": "EndpointName", "Value": "was"}],
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanThreshold",
        )
    alarms = [one for one in leftovers.look(there).leftovers if one.kind == "alarm"]
    assert [(one.name, one.month) for one in alarms] == [("gone", Decimal("0.10"))]


def test_an_endpoint_is_idle_only_if_nobody_asked_it(there: Aws) -> None:
    now = datetime.now(UTC)
    watch = there.client("cloudwatch")
    datum = {
        "MetricName": "Invocations",
        "Dimensions": [{"Name": "EndpointName", "Value": "busy"}, {"Name": "VariantName", "Value": "main"}],
        "Timestamp": now - timedelta(days=3),
        "Value": 5.0,
    }
    watch.put_metric_data(Namespace="AWS/SageMaker", MetricData=[datum])
    asked = [{"EndpointName": name, "VariantName": "main"} for name in ("busy", "idle")]
    assert Account(there, 14).unused("AWS/SageMaker", "Invocations", asked) == [False, True]
    assert Account(there, 1).unused("AWS/SageMaker", "Invocations", asked) == [True, True]


def test_what_may_not_be_read_is_said_and_the_rest_is_read(account: Server, there: Aws, tmp_path: Path) -> None:
    there.client("ec2").allocate_address(Domain="vpc")
    account.ask("fault", kind="deny", target="ec2:DescribeVolumes")
    account.ask("fault", kind="deny", target="ecr:*")
    found = leftovers.look(there)
    assert set(found.unread) >= {"volumes", "images"}
    assert "ec2:DescribeVolumes" in found.unread["volumes"]
    assert "address" in by_kind(found)
    done = dogbreed("leftovers", "--region", REGION, cwd=tmp_path)
    assert (done.returncode, "volumes were not read: not allowed: ec2:DescribeVolumes" in done.stderr) == (3, True)


def test_areas_that_cannot_be_reached_do_not_hide_a_defect(there: Aws) -> None:
    def broken(_: Any) -> list[Leftover]:
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        leftovers.look(there, areas={"broken": broken})
