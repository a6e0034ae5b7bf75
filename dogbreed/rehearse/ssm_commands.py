"""Run Command of SSM: shell scripts that really run on the machines which are there.

A machine counts as managed while it runs and has an instance profile; that its policies allow the agent is not checked.
Session Manager needs a protocol of its own and is not here.
"""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse.calls import PASS, AwsError, Passed

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud
    from dogbreed.rehearse.ec2 import Ec2

_DOCUMENT = "AWS-RunShellScript"
_SHOWN = 24_000  # characters of output that GetCommandInvocation gives
_LIMIT_S = 3600.0


@dataclass
class Command:
    """A command and how it stands on each machine."""

    id: str
    told: dict[str, Any]
    region: str
    asked: datetime
    on: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """The status of the whole."""
        found = [one["Status"] for one in self.on.values()]
        return next((word for word in ("InProgress", "TimedOut", "Failed") if word in found), "Success")


class Commands:
    """The commands of an account."""

    def __init__(self, cloud: Cloud, ec2: Ec2) -> None:
        self._cloud, self._ec2 = cloud, ec2
        self._commands: dict[str, Command] = {}
        cloud.on_reset(self._commands.clear)

    def send(self, call: Call) -> dict[str, Any] | Passed:
        """SendCommand, for AWS-RunShellScript."""
        names = self._targets(call)
        if call.params.get("DocumentName") != _DOCUMENT or not names:
            return PASS
        managed = {instance.id for instance in self._managed(call)}
        if [name for name in names if name not in managed]:
            raise AwsError("InvalidInstanceId", "Instances not in a valid state for account")
        given = call.params.get("Parameters") or {}
        script = "\n".join(given.get("commands", []))
        if folder := (given.get("workingDirectory") or [""])[0]:
            script = f"cd '{folder}' || exit 1\n{script}"
        limit_s = float((given.get("executionTimeout") or [_LIMIT_S])[0])
        command = Command(str(uuid.uuid4()), call.params, call.region, datetime.now(UTC))
        self._commands[command.id] = command
        for name in names:
            command.on[name] = {"Status": "InProgress", "ResponseCode": -1, "stdout": "", "stderr": ""}
            threading.Thread(target=self._run, args=[command, name, script, limit_s], daemon=True).start()
        return {"Command": self._shown(command)}

    def _run(self, command: Command, name: str, script: str, limit_s: float) -> None:
        try:
            code, output, errors = self._ec2.machines.run(name, script, limit_s, self._cloud.url)
        except Exception as error:  # noqa: BLE001  the machine may end at any moment
            code, output, errors = 1, "", str(error)
        status = "TimedOut" if code is None else "Failed" if code else "Success"
        told = {"Status": status, "ResponseCode": -1 if code is None else code, "stdout": output, "stderr": errors}
        command.on[name] = told | {"ended": datetime.now(UTC)}

    def invocation(self, call: Call) -> dict[str, Any] | Passed:
        """GetCommandInvocation."""
        command = self._commands.get(call.params["CommandId"])
        if command is None:
            return PASS
        name = call.params["InstanceId"]
        if name not in command.on:
            raise AwsError("InvocationDoesNotExist", "")
        told = command.on[name]
        return {
            "CommandId": command.id,
            "InstanceId": name,
            "Comment": command.told.get("Comment") or "",
            "DocumentName": _DOCUMENT,
            "PluginName": "aws:runShellScript",
            "ResponseCode": told["ResponseCode"],
            "ExecutionStartDateTime": command.asked.isoformat(),
            "ExecutionEndDateTime": told["ended"].isoformat() if "ended" in told else "",
            "Status": told["Status"],
            "StatusDetails": told["Status"],
            "StandardOutputContent": told["stdout"][:_SHOWN],
            "StandardErrorContent": told["stderr"][:_SHOWN],
        }

    def all(self, call: Call) -> dict[str, Any] | Passed:
        """ListCommands."""
        wanted = call.params.get("CommandId")
        if not self._commands or (wanted and wanted not in self._commands):
            return PASS
        found = [one for one in self._commands.values() if one.region == call.region and wanted in (None, one.id)]
        return {"Commands": [self._shown(command) for command in found]}

    def information(self, call: Call) -> dict[str, Any]:
        """DescribeInstanceInformation, by instance ids."""
        wanted = [
            name
            for part in call.params.get("Filters") or []
            if part["Key"] == "InstanceIds"
            for name in part.get("Values", [])
        ]
        shown = [
            {
                "InstanceId": instance.id,
                "PingStatus": "Online",
                "LastPingDateTime": datetime.now(UTC),
                "AgentVersion": "3.3.5226.0",
                "IsLatestVersion": True,
                "PlatformType": "Linux",
                "ResourceType": "EC2Instance",
                "IPAddress": instance.private_ip,
                "ComputerName": instance.private_dns_name,
            }
            for instance in self._managed(call)
            if not wanted or instance.id in wanted
        ]
        return {"InstanceInformationList": shown}

    def _managed(self, call: Call) -> list[Any]:
        running = set(self._ec2.machines.running())
        instances = self._cloud.moto("ec2", call.region).all_instances()
        return [one for one in instances if one.id in running and one.state == "running" and one.iam_instance_profile]

    def _targets(self, call: Call) -> list[str]:
        names = list(call.params.get("InstanceIds") or [])
        for target in call.params.get("Targets") or []:
            key, values = target["Key"], target.get("Values", [])
            if key == "InstanceIds":
                names += values
            elif key.startswith("tag:"):
                for instance in self._managed(call):
                    tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
                    names += [instance.id] if tags.get(key.removeprefix("tag:")) in values else []
        return names

    def _shown(self, command: Command) -> dict[str, Any]:
        return {
            "CommandId": command.id,
            "DocumentName": _DOCUMENT,
            "Comment": command.told.get("Comment") or "",
            "ExpiresAfter": command.asked + timedelta(hours=2),
            "Parameters": command.told.get("Parameters") or {},
            "InstanceIds": list(command.on),
            "RequestedDateTime": command.asked,
            "Status": command.status,
            "StatusDetails": command.status,
            "TargetCount": len(command.on),
        }


def add(cloud: Cloud, ec2: Ec2) -> None:
    """Register with the cloud."""
    commands = Commands(cloud, ec2)
    cloud.handle("ssm", "SendCommand", commands.send)
    cloud.handle("ssm", "GetCommandInvocation", commands.invocation)
    cloud.handle("ssm", "ListCommands", commands.all)
    cloud.handle("ssm", "DescribeInstanceInformation", commands.information)
