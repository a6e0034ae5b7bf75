"""EC2 machines that run: user data, addresses, roles, and every way in which a machine ends."""

from __future__ import annotations

import gzip
import os
import random
import signal
import subprocess
import uuid
from typing import Any

import boto3
import instances
import pytest
import standin
from botocore.exceptions import ClientError
from standin import until

from dogbreed.rehearse.state import Server, StandIn

REGION = "export AWS_DEFAULT_REGION=eu-west-1"


def names(mark: str) -> list[str]:
    listed = subprocess.run(["ps", "-A", "-ww", "-o", "args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if mark in line]


@pytest.mark.slow
def test_two_machines_meet_work_as_their_role_and_end_themselves(either: Server) -> None:
    standin.bucket()
    script = f"""
{REGION}
source /opt/pytorch/bin/activate
token=$(curl -sX PUT http://169.254.169.254/latest/api/token -H 'X-aws-ec2-metadata-token-ttl-seconds: 300')
look() {{ curl -sH "X-aws-ec2-metadata-token: $token" http://169.254.169.254/latest/meta-data/$1; }}
query='Reservations[].Instances[?AmiLaunchIndex==`0`][].PrivateIpAddress'
first=$(aws ec2 describe-instances --filters Name=tag:run,Values=r1 --query "$query" --output text)
if [ "$(look ami-launch-index)" = 0 ]; then
  python - "$first" <<'END'
import socket, sys
near, far = socket.create_server((sys.argv[1], 7001)).accept()
near.sendall(b"hello " + far[0].encode())
END
else
  answer=$(mktemp)
  python - "$first" >"$answer" <<'END'
import socket, sys, time
for _ in range(6000):
    try: link = socket.create_connection((sys.argv[1], 7001)); break
    except OSError: time.sleep(0.05)
print(link.recv(99).decode())
END
  aws s3 cp --only-show-errors "$answer" s3://photos/answer
fi
echo "tag: $(look tags/instance/run), me: $(look local-ipv4)"
shutdown -h now
"""
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "run", "Value": "r1"}]}]
    options = {"HttpTokens": "required", "InstanceMetadataTags": "enabled"}
    profile = {"Name": instances.profile()}
    ids = instances.run(script, 2, IamInstanceProfile=profile, TagSpecifications=tags, MetadataOptions=options)
    addresses = [instances.describe(name)["PrivateIpAddress"] for name in ids]
    ended = [instances.wait_for(name, "terminated") for name in ids]
    consoles = [instances.console(name) for name in ids]
    assert [one["StateReason"]["Code"] for one in ended] == ["Client.InstanceInitiatedShutdown"] * 2, consoles
    for text, address in zip(consoles, addresses, strict=True):
        assert f"tag: r1, me: {address}" in text
    body = boto3.client("s3").get_object(Bucket="photos", Key="answer")["Body"].read().decode()
    isolated = "isolated" in either.ask("status")["hosts"]
    assert body == f"hello {addresses[1]}\n" if isolated else body.startswith("hello 127.")
    calls = [call for call in either.ask("calls") if "assumed-role/machines/" in call["who"]]
    assert {call["action"] for call in calls} == {"ec2:DescribeInstances", "s3:PutObject"}
    assert {call["who"].rsplit("/", 1)[1] for call in calls if call["action"] == "ec2:DescribeInstances"} == set(ids)
    assert boto3.client("ec2").describe_network_interfaces()["NetworkInterfaces"] == []
    assert boto3.client("ec2").describe_volumes()["Volumes"] == []


def test_a_machine_has_no_credentials_but_those_of_its_role(either: Server) -> None:
    (name,) = instances.run(f"env | grep ^AWS_ | sort; {REGION}; aws sts get-caller-identity; echo code $?")
    console = instances.shown(name, "code ")
    assert "Unable to locate credentials" in console and "code 253" in console
    known = ("AWS_ENDPOINT_URL=", "AWS_METADATA_SERVICE_", "AWS_EC2_METADATA_SERVICE_ENDPOINT=")
    assert all(line.startswith(known) for line in console.splitlines() if line.startswith("AWS_"))


def test_metadata_wants_a_token_where_the_instance_says_so(account: Server) -> None:
    script = "curl -s -o /dev/null -w 'code %{http_code}\\n' http://169.254.169.254/latest/meta-data/"
    strict, lax = instances.run(script), instances.run(script, MetadataOptions={"HttpTokens": "optional"})
    assert "code 401" in instances.shown(strict[0], "finished")
    assert "code 200" in instances.shown(lax[0], "finished")


def test_terminate_tells_the_machine_first_and_leaves_nothing(either: Server) -> None:
    mark = f"96{uuid.uuid4().int % 10**9}"
    script = f"trap 'echo told; exit' TERM\nsetsid sleep {mark} &\necho ready\nwhile :; do sleep 0.05; done"
    (name,) = instances.run(script)
    instances.shown(name, "ready")
    change = boto3.client("ec2").terminate_instances(InstanceIds=[name])["TerminatingInstances"][0]
    assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == ("running", "shutting-down")
    ended = instances.wait_for(name, "terminated")
    assert ended["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    assert ended["StateTransitionReason"].startswith("User initiated (")
    assert "told" in instances.console(name)
    assert names(f"sleep {mark}") == []


def test_stop_keeps_the_disk_and_start_runs_no_user_data(either: Server) -> None:
    ec2 = boto3.client("ec2")
    mark = f"94{uuid.uuid4().int % 10**9}"
    script = f"echo once >>~/runs; cat ~/runs; sleep {mark}"
    (name,) = instances.run(script, IamInstanceProfile={"Name": instances.profile()})
    instances.shown(name, "once")
    ec2.stop_instances(InstanceIds=[name])
    assert instances.wait_for(name, "stopped")["StateTransitionReason"].startswith("User initiated (")
    assert either.ask("status")["machines"] == []
    ec2.start_instances(InstanceIds=[name])
    instances.wait_for(name, "running")
    code, output = command(name, f"wc -l <~/runs; ps -A -o args= | grep -c '[s]leep {mark}'")
    assert output.split() == ["1", "0"] and code == 1, "user data ran again"
    ec2.reboot_instances(InstanceIds=[name])
    until(lambda: either.ask("status")["machines"] == [name])
    assert instances.describe(name)["State"]["Name"] == "running"


def command(name: str, script: str) -> tuple[int, str]:
    """Run a script through SSM: exit code and output."""
    ssm = boto3.client("ssm")
    until(lambda: ssm.describe_instance_information()["InstanceInformationList"])
    sent = ssm.send_command(InstanceIds=[name], DocumentName="AWS-RunShellScript", Parameters={"commands": [script]})
    told = {"CommandId": sent["Command"]["CommandId"], "InstanceId": name}

    def over() -> dict[str, Any] | None:
        found = ssm.get_command_invocation(**told)
        return dict(found) if found["Status"] != "InProgress" else None

    found = until(over)
    return found["ResponseCode"], found["StandardOutputContent"]


@pytest.mark.parametrize(("behaviour", "state"), [("stop", "stopped"), ("terminate", "terminated")])
def test_shutdown_inside_does_what_the_instance_says(account: Server, behaviour: str, state: str) -> None:
    (name,) = instances.run("poweroff; sleep 60", InstanceInitiatedShutdownBehavior=behaviour)
    assert instances.wait_for(name, state)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"


@pytest.mark.parametrize("way", ["shutdown now", "systemctl poweroff", "halt", "sudo poweroff"])
def test_every_way_to_switch_off_is_known(account: Server, way: str) -> None:
    (name,) = instances.run(f"({way}) & sleep 60")
    instances.wait_for(name, "terminated")


def test_a_command_with_its_full_path_ends_the_machine_and_not_this_computer(either: Server) -> None:
    (name,) = instances.run("(/sbin/shutdown -h now) & sleep 60")
    instances.wait_for(name, "terminated")


def test_a_timer_switches_it_off_after_the_script_has_ended(account: Server) -> None:
    (name,) = instances.run("systemd-run --on-active=1s --unit=limit shutdown -h now; echo over")
    assert instances.wait_for(name, "terminated")["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    assert "Running timer as unit: limit.timer" in instances.console(name)


def test_a_script_that_fails_is_said_and_the_machine_stays(account: Server) -> None:
    (name,) = instances.run("echo before; exit 3")
    assert "Failed to run module scripts-user" in instances.shown(name, "finished")
    assert instances.describe(name)["State"]["Name"] == "running"


def test_user_data_may_be_compressed_or_in_several_parts(account: Server) -> None:
    mime = b"""MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="B"

--B
Content-Type: text/x-shellscript

#!/bin/sh
echo part one
--B
Content-Type: text/x-shellscript

#!/usr/bin/env python3
print("part two")
--B--
"""
    (name,) = instances.run(UserData=gzip.compress(mime))
    console = instances.shown(name, "finished")
    assert console.index("part one") < console.index("part two")


@pytest.mark.slow
def test_a_spot_notice_comes_before_the_end(either: Server) -> None:
    script = """
token=$(curl -sX PUT http://169.254.169.254/latest/api/token -H 'X-aws-ec2-metadata-token-ttl-seconds: 300')
echo ready
until curl -sfH "X-aws-ec2-metadata-token: $token" http://169.254.169.254/latest/meta-data/spot/instance-action
do sleep 0.1; done
sleep 60
"""
    either.ask("spot-lead", seconds=600)
    (name,) = instances.run(script, InstanceMarketOptions={"MarketType": "spot"})
    (other,) = instances.run("sleep 600")
    instances.shown(name, "ready")
    instances.wait_for(other, "running")
    assert either.ask("interrupt", target="*") == [name]
    assert '"action": "terminate"' in instances.shown(name, "action")
    either.ask("spot-lead", seconds=0, given=True)
    ended = instances.wait_for(name, "terminated")
    assert ended["StateReason"]["Code"] == "Server.SpotInstanceTermination"
    asked = boto3.client("ec2").describe_spot_instance_requests()["SpotInstanceRequests"][0]
    assert asked["SpotInstanceRequestId"] == ended["SpotInstanceRequestId"]
    assert (asked["State"], asked["Status"]["Code"]) == ("closed", "instance-terminated-no-capacity")
    assert instances.describe(other)["State"]["Name"] == "running"


def test_a_persistent_request_may_stop_its_machine(account: Server) -> None:
    account.ask("spot-lead", seconds=0)
    options = {"SpotInstanceType": "persistent", "InstanceInterruptionBehavior": "stop"}
    (name,) = instances.run("sleep 600", InstanceMarketOptions={"MarketType": "spot", "SpotOptions": options})
    instances.wait_for(name, "running")
    assert account.ask("interrupt", target=name) == [name]
    assert instances.wait_for(name, "stopped")["StateReason"]["Code"] == "Server.SpotInstanceTermination"
    boto3.client("ec2").start_instances(InstanceIds=[name])
    instances.wait_for(name, "running")


def test_reboots_in_a_row_leave_the_machine_running(account: Server) -> None:
    (name,) = instances.run("sleep 600")
    instances.wait_for(name, "running")
    for _ in range(5):
        boto3.client("ec2").reboot_instances(InstanceIds=[name])
    (other,) = instances.run("[ -e ~/again ] || { touch ~/again; reboot; sleep 60; }")
    instances.wait_for(other, "running")
    until(lambda: set(account.ask("status")["machines"]) == {name, other})
    boto3.client("ec2").stop_instances(InstanceIds=[name, other])
    for one in (name, other):
        instances.wait_for(one, "stopped")


def test_commands_run_on_the_machine(either: Server) -> None:
    (name,) = instances.run("sleep 600", IamInstanceProfile={"Name": instances.profile()})
    code, output = command(name, f"{REGION}; aws sts get-caller-identity --query Arn --output text; exit 4")
    assert (code, output) == (4, f"arn:aws:sts::123456789012:assumed-role/machines/{name}\n")
    with pytest.raises(ClientError, match="InvalidInstanceId"):
        (bare,) = instances.run("sleep 600")
        boto3.client("ssm").send_command(
            InstanceIds=[bare], DocumentName="AWS-RunShellScript", Parameters={"commands": ["x"]}
        )


def test_machines_of_one_launch_share_the_cores_and_a_replacement_takes_those_of_the_one_that_has_gone(
    account: Server,
) -> None:
    script = "python3 -c 'import os; print(\"cores\", sorted(os.sched_getaffinity(0)))'; sleep 600"
    tags = {"TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "run", "Value": "1"}]}]}

    def cores(name: str) -> str:
        return next(line for line in instances.shown(name, "cores").splitlines() if line.startswith("cores"))

    first, second = instances.run(script, 2, **tags)
    dealt = [cores(first), cores(second)]
    here = sorted(os.sched_getaffinity(0))
    if len(here) >= 2:
        half = len(here) // 2
        assert sorted(dealt) == sorted([f"cores {here[:half]}", f"cores {here[half : 2 * half]}"])
    gone = random.choice([first, second])
    boto3.client("ec2").terminate_instances(InstanceIds=[gone])
    (replacement,) = instances.run(script, **tags)
    assert cores(replacement) == dealt[gone == second]
    (other,) = instances.run(script)
    assert cores(other) == f"cores {here}"


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["isolated", "plain"])
def test_nothing_outlives_a_killed_server(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = f"95{uuid.uuid4().int % 10**9}"
    with StandIn(**{"REHEARSE_PLAIN": "1"} if mode == "plain" else {}) as server:
        standin.emptied(server, monkeypatch)
        ids = instances.run(f"(setsid sleep {mark} &)\ntrap '' TERM HUP\nsleep {mark}", 2)
        until(lambda: len(names(f"sleep {mark}")) == 4)
        for name in ids:
            instances.wait_for(name, "running")
        os.kill(server.pid, signal.SIGKILL)
        until(lambda: not names(f"sleep {mark}"))
        folder = str(server.folder)
        until(lambda: not names(folder))
