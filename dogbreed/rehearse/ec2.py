"""EC2 whose instances are machines that run: from RunInstances to the last state, however a machine ends.

Moto keeps the records and answers what is only looked up. What runs is in machines.py, what is refused in
ec2_checks.py, what moto's records lack in ec2_launch.py; fleets are in ec2_fleet.py. Security groups are kept and not
enforced: machines of one VPC reach each other, and nothing else does.
"""

from __future__ import annotations

import base64
import fnmatch
import ipaddress
import json
import logging
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from dogbreed.errors import DogbreedError
from dogbreed.rehearse import (
    ec2_checks,
    ec2_fleet,
    ec2_launch,
    ec2_metadata,
    ec2_prices,
    ec2_records,
    ec2_rights,
    ssm_commands,
)
from dogbreed.rehearse.calls import PASS, AwsError, Passed
from dogbreed.rehearse.ec2_records import as_it_was, set_state
from dogbreed.rehearse.ec2_template import Params, merged, moto_speaks
from dogbreed.rehearse.machines import Facts, Machines
from dogbreed.rehearse.sandbox import HALTED, REBOOTED

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud

_GRACE_S = 10.0  # between SIGTERM and SIGKILL
_LEAD_S = 120.0  # what a spot instance has after the notice
_LOOK_S = 0.2
USER = ("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown")
_ITSELF = ("Client.InstanceInitiatedShutdown", "Client.InstanceInitiatedShutdown: Instance initiated shutdown")
_MISMATCH = "Arguments on this idempotent request are inconsistent with arguments used in previous request(s)."
_SPOT = ("Server.SpotInstanceTermination", "Server.SpotInstanceTermination: Spot instance termination")
_BROKEN = ("Server.InternalError", "Server.InternalError: Internal error on launch")


class Ec2:
    """The instances of an account that have a machine."""

    def __init__(self, cloud: Cloud, records: ec2_records.Records) -> None:
        self.cloud = cloud
        self.records = records
        self.machines = Machines(cloud.folder / "machines", cloud.socket, self._ended_itself)
        self.credentials = ec2_metadata.Credentials(cloud)
        self.lead_s = _LEAD_S
        self._instances: dict[str, Any] = {}
        self._work: dict[str, threading.Lock] = {}
        self._tokens: dict[tuple[str, str], tuple[str, Any]] = {}
        self._interruptions: dict[str, datetime] = {}
        self._lock = threading.RLock()

    def backend(self, call: Call) -> Any:
        """Moto's EC2 of the region that is called."""
        return self.cloud.moto("ec2", call.region)

    # -- starting

    def run_instances(self, call: Call) -> dict[str, Any]:
        """RunInstances."""
        backend, token = self.backend(call), call.params.get("ClientToken")
        said = json.dumps({name: value for name, value in call.params.items() if name != "DryRun"}, default=str)
        with self._lock:
            if token and (before := self._tokens.get((call.region, token))):
                if before[0] != said:
                    raise AwsError("IdempotentParameterMismatch", _MISMATCH)
                return ec2_records.reservation(before[1])
            params = merged(backend, call.params)
            reservation = self.launch(call, params, int(params["MaxCount"]), dry_run=bool(params.get("DryRun")))
            if token:
                self._tokens[call.region, token] = (said, reservation)
        return ec2_records.reservation(reservation)

    def launch(self, call: Call, params: Params, count: int, *, dry_run: bool = False) -> Any:
        """Start `count` machines for a call; moto's reservation. AwsError where AWS would refuse."""
        backend = self.backend(call)
        zone = ec2_checks.check(self.cloud, backend, params, count)
        self.records.check_group(backend.region_name, params)
        ec2_rights.need(self.cloud, call, backend, params)
        if dry_run:
            raise AwsError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
        reservation = ec2_launch.make(self.cloud, backend, params, count, zone, self._interruptions)
        data = ec2_checks.user_data(params)
        for instance in reservation.instances:
            self._instances[instance.id] = instance
            self._work[instance.id] = threading.Lock()
            self._give_address(instance)
            set_state(instance, "pending")
            self.machines.add(
                self._facts(instance, data),
                partial(self._table, instance, data),
                partial(ec2_records.metadata_options, instance),
            )
        for instance in reservation.instances:
            threading.Thread(target=self._boot, args=[instance], daemon=True).start()
        return reservation

    def _facts(self, instance: Any, data: bytes) -> Facts:
        vpc = instance.ec2_backend.get_vpc(instance.vpc_id)
        prefix = ipaddress.ip_network(vpc.cidr_block).prefixlen
        name = instance.private_dns_name
        return Facts(instance.id, instance.private_ip, prefix, instance.vpc_id, name, data, tuple(instance.dealt[1]))

    def _give_address(self, instance: Any) -> None:
        nic = instance.nics[0]
        nic.private_ip_address = address = self.machines.address(nic.private_ip_address)
        for one in nic.private_ip_addresses:
            if one.get("Primary"):
                one["PrivateIpAddress"] = address

    def _table(self, instance: Any, data: bytes) -> Any:
        return ec2_metadata.table(instance, self.credentials, self._interruptions.get(instance.id), data)

    def _boot(self, instance: Any) -> None:
        with self._work[instance.id]:
            if instance.state == "pending" and self._start_machine(instance):
                with self._lock:
                    if instance.state == "pending":
                        set_state(instance, "running")

    def _start_machine(self, instance: Any) -> bool:
        """Whether it started; one that did not is gone."""
        try:
            self.machines.boot(instance.id, self.cloud.url)
        except (DogbreedError, OSError) as error:
            logging.warning("%s did not start: %s", instance.id, error)
            self._gone(instance, _BROKEN, "")
            return False
        return True

    # -- ending

    def terminate_instances(self, call: Call) -> dict[str, Any] | Passed:
        """TerminateInstances."""
        instances = self._asked(call)
        if instances is None:
            return PASS
        for instance in instances:
            if instance.disable_api_termination:
                words = (
                    f"The instance '{instance.id}' may not be terminated. Modify its 'disableApiTermination' instance "
                    "attribute and try again."
                )
                raise AwsError("OperationNotPermitted", words)
        return {"TerminatingInstances": [self._change(one, self.terminate) for one in instances]}

    def terminate(self, instance: Any, reason: tuple[str, str] = USER) -> None:
        """Begin to end an instance for good."""
        with self._lock:
            if instance.state in ("shutting-down", "terminated"):
                return
            words = _transition(reason)
            set_state(instance, "shutting-down", reason, words)
        threading.Thread(target=self._end, args=[instance, reason, words], daemon=True).start()

    def _end(self, instance: Any, reason: tuple[str, str], words: str) -> None:
        with self._work[instance.id]:
            self.machines.end(instance.id, _GRACE_S)
            self._gone(instance, reason, words)

    def _gone(self, instance: Any, reason: tuple[str, str], words: str) -> None:
        """Its processes have ended: let moto take apart what belonged to it."""
        self.machines.remove(instance.id)
        self._interruptions.pop(instance.id, None)
        if request := getattr(instance, "spot_request", None):
            if reason == _SPOT:
                request.close(
                    "instance-terminated-no-capacity", "Your Spot instance was terminated for lack of capacity."
                )
            else:
                request.close("instance-terminated-by-user", "Your Spot instance was terminated by you.")
        # Last: who sees the state finds all of it gone.
        with self._lock:
            with suppress(Exception), as_it_was(instance):  # moto fails where somebody has removed an interface before
                instance.terminate()
            set_state(instance, "terminated", reason, words)

    def stop_instances(self, call: Call) -> dict[str, Any] | Passed:
        """StopInstances."""
        instances = self._asked(call)
        if instances is None:
            return PASS
        for instance in instances:
            request = getattr(instance, "spot_request", None)
            if request and request.type == "one-time":
                words = (
                    f"You can't stop the Spot Instance '{instance.id}' because it is associated with a one-time Spot "
                    "Instance request. You can only stop Spot Instances associated with persistent Spot Instance "
                    "requests."
                )
                raise AwsError("UnsupportedOperation", words)
            if instance.state in ("shutting-down", "terminated"):
                raise _not_in_a_state(instance, "stopped")
        return {"StoppingInstances": [self._change(one, self._stop) for one in instances]}

    def _stop(self, instance: Any, reason: tuple[str, str] = USER) -> None:
        with self._lock:
            if instance.state in ("stopping", "stopped"):
                return
            words = _transition(reason)
            set_state(instance, "stopping", reason, words)

        def work() -> None:
            with self._work[instance.id]:
                self.machines.end(instance.id, _GRACE_S)
                with self._lock:
                    if instance.state == "stopping":
                        with as_it_was(instance):
                            instance.stop()
                        set_state(instance, "stopped", reason, words)

        threading.Thread(target=work, daemon=True).start()

    def start_instances(self, call: Call) -> dict[str, Any] | Passed:
        """StartInstances."""
        instances = self._asked(call)
        if instances is None:
            return PASS
        for instance in instances:
            if instance.state not in ("stopped", "running", "pending"):
                raise _not_in_a_state(instance, "started")
            if instance.state == "stopped":
                params = {"InstanceMarketOptions": {"MarketType": instance.lifecycle or "on-demand"}}
                ec2_checks.check_capacity(self.cloud, instance.instance_type, instance.placement.zone, params)

        def start(instance: Any) -> None:
            if instance.state == "stopped":
                instance.start()
                set_state(instance, "pending")
                threading.Thread(target=self._boot, args=[instance], daemon=True).start()

        return {"StartingInstances": [self._change(one, start) for one in instances]}

    def reboot_instances(self, call: Call) -> dict[str, Any] | Passed:
        """RebootInstances."""
        instances = self._asked(call)
        if instances is None:
            return PASS
        for instance in instances:
            if instance.state != "running":
                raise _not_in_a_state(instance, "rebooted")
            threading.Thread(target=self._reboot, args=[instance], daemon=True).start()
        return {}

    def _reboot(self, instance: Any) -> None:
        with self._work[instance.id]:
            self.machines.end(instance.id, _GRACE_S)
            if instance.state == "running":
                self._start_machine(instance)

    def _asked(self, call: Call) -> list[Any] | None:
        """The instances of a call that have machines; None where none has, which moto then answers."""
        with moto_speaks():
            found = self.backend(call).get_multi_instances_by_id(call.params.get("InstanceIds") or [])
        if call.params.get("DryRun"):
            raise AwsError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
        known = [instance for instance in found if instance.id in self._instances]
        return known or None

    def _change(self, instance: Any, act: Any) -> dict[str, Any]:
        with self._lock:  # what it begins does not end meanwhile
            before = ec2_records.state(instance)
            act(instance)
            return {"InstanceId": instance.id, "PreviousState": before, "CurrentState": ec2_records.state(instance)}

    def _ended_itself(self, name: str, code: int) -> None:
        instance = self._instances.get(name)
        if instance is None or instance.state not in ("running", "pending"):
            return
        if code == REBOOTED:
            self._reboot(instance)
        elif code != HALTED or instance.instance_initiated_shutdown_behavior == "terminate":
            self.terminate(instance, _ITSELF if code == HALTED else _BROKEN)
        else:
            self._stop(instance, _ITSELF)

    # -- spot

    def interrupt(self, pattern: str) -> list[str]:
        """Give notice to running spot instances whose id fits; they are taken back when the time is over."""
        hit = []
        for instance in list(self._instances.values()):
            runs = instance.lifecycle == "spot" and instance.state == "running"
            if runs and instance.id not in self._interruptions and fnmatch.fnmatchcase(instance.id, pattern):
                self._interruptions[instance.id] = datetime.now(UTC) + timedelta(seconds=self.lead_s)
                threading.Thread(target=self._take_back, args=[instance], daemon=True).start()
                hit.append(instance.id)
        return hit

    def _take_back(self, instance: Any) -> None:
        while until := self._interruptions.get(instance.id):
            if (left := (until - datetime.now(UTC)).total_seconds()) <= 0:
                break
            time.sleep(min(left, _LOOK_S))
        else:
            return
        if instance.spot_request.instance_interruption_behaviour == "stop":
            del self._interruptions[instance.id]
            self._stop(instance, _SPOT)
        else:
            self.terminate(instance, _SPOT)

    def set_lead(self, told: dict[str, Any]) -> None:
        """Change how long after the notice a spot instance ends; with `given`, of those as well that have had it."""
        self.lead_s = float(told["seconds"])
        if told.get("given"):
            until = datetime.now(UTC) + timedelta(seconds=self.lead_s)
            self._interruptions |= dict.fromkeys(list(self._interruptions), until)

    # -- the rest

    def console(self, call: Call) -> dict[str, Any] | Passed:
        """GetConsoleOutput."""
        name = call.params["InstanceId"]
        if not (instance := self._instances.get(name)):
            return PASS
        # What a machine says while it starts is shown once it runs.
        output = base64.b64encode(b"" if instance.state == "pending" else self.machines.console(name)).decode()
        return {"InstanceId": name, "Timestamp": datetime.now(UTC), "Output": output}

    def end(self) -> None:
        """End all machines, forget all instances."""
        with self._lock:
            self._interruptions.clear()
            self._instances.clear()
            self._tokens.clear()
            self.lead_s = _LEAD_S
        self.machines.close()

    def status(self) -> dict[str, Any]:
        """What runs, for people."""
        return {"machines": self.machines.running()}


def _transition(reason: tuple[str, str]) -> str:
    """The reason as StateTransitionReason has it, which is empty where nobody asked for the change."""
    return f"User initiated ({datetime.now(UTC):%Y-%m-%d %H:%M:%S} GMT)" if reason == USER else ""


def _not_in_a_state(instance: Any, verb: str) -> AwsError:
    words = f"The instance '{instance.id}' is not in a state from which it can be {verb}."
    return AwsError("IncorrectInstanceState", words)


def add(cloud: Cloud) -> None:
    """Register with the cloud."""
    ec2 = Ec2(cloud, ec2_records.add(cloud))
    cloud.handle("ec2", "RunInstances", ec2.run_instances)
    cloud.handle("ec2", "TerminateInstances", ec2.terminate_instances)
    cloud.handle("ec2", "StopInstances", ec2.stop_instances)
    cloud.handle("ec2", "StartInstances", ec2.start_instances)
    cloud.handle("ec2", "RebootInstances", ec2.reboot_instances)
    cloud.handle("ec2", "GetConsoleOutput", ec2.console)
    ec2_fleet.add(cloud, ec2)
    ec2_prices.add(cloud)
    ssm_commands.add(cloud, ec2)
    cloud.on_interrupt(ec2.interrupt)
    cloud.on_reset(ec2.end)
    cloud.on_status(ec2.status)
    cloud.control("spot-lead", ec2.set_lead)
