"""How an endpoint comes to be, changes, scales and goes, by the clock and without losing a request.

An update starts the new fleet beside the old one, gives it traffic in steps, and between them waits and looks at the
alarms; where one rings, or the new fleet never answers, the old one gets its traffic back. What an old fleet has begun
to answer it ends, before it is ended itself. Words of a rollback are ours, since AWS documents none.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from dogbreed.rehearse.endpoint_rules import pull_error
from dogbreed.rehearse.endpoint_serverless import ServerlessVariant
from dogbreed.rehearse.endpoint_variant import UnhealthyError

if TYPE_CHECKING:
    from dogbreed.rehearse.cloud import Cloud
    from dogbreed.rehearse.endpoint_fleet import Fleet
    from dogbreed.rehearse.endpoint_state import Endpoint
    from dogbreed.rehearse.endpoint_variant import Variant

# By the clock; on AWS it takes four to seven minutes until new instances answer.
START_S = float(os.environ.get("REHEARSE_ENDPOINT_START_S", "4"))
_LOOK_S = 5.0
_INTERNAL = "InternalServerError: We encountered an internal error. Please try again."
Changes = dict[str, dict[str, Any]]


class _StoppedError(Exception):
    """The endpoint is abandoned: whoever did that ends what runs."""


class Update:
    """Changes one endpoint; each method runs to its end, in a thread of its own."""

    def __init__(self, cloud: Cloud, endpoint: Endpoint) -> None:
        self._cloud, self._endpoint = cloud, endpoint

    def create(self, fleet: Fleet) -> None:
        """Start the first fleet."""
        endpoint = self._endpoint
        endpoint.pending = fleet
        try:
            self._start(fleet)
        except UnhealthyError as error:
            fleet.abandon()
            endpoint.enter(self._cloud, "Failed", str(error))
            return
        with endpoint.lock:
            endpoint.fleets, endpoint.pending = [fleet], None
            endpoint.enter(self._cloud, "InService")

    def replace(self, green: Fleet, deployment: dict[str, Any]) -> None:
        """Let another fleet follow, as the DeploymentConfig wants it; back to the old one where that fails."""
        endpoint = self._endpoint
        blue = endpoint.fleets[0]
        green.share = 0.0
        endpoint.pending = green
        try:
            if "RollingUpdatePolicy" in deployment:
                self._roll(blue, green, deployment)
            else:
                self._shift(blue, green, deployment)
        except UnhealthyError as error:
            self._roll_back(blue, green, str(error))
            return
        with endpoint.lock:
            endpoint.fleets, endpoint.config, green.share = [green], green.name, 1.0
            endpoint.capturing, endpoint.pending = green.capture, None
        green.enter("", "")
        blue.end()
        endpoint.enter(self._cloud, "InService")

    def scale(self, wanted: Changes) -> None:
        """Change weights, numbers of instances and concurrency of variants."""
        fleet, endpoint, failure = self._endpoint.fleets[0], self._endpoint, ""
        changed = [(one, wanted[one.name]) for one in fleet.variants if one.name in wanted]
        grows = any(one.desired > one.count for one, _ in changed if not one.serverless)
        if grows and self._cloud.clock.sleep(START_S, endpoint.stop):
            return
        for one, change in changed:
            before = one.count
            try:
                self._resize(one)
            except UnhealthyError as error:
                failure, one.desired = str(error), before
                continue
            one.weight = one.desired_weight = float(change.get("DesiredWeight", one.weight))
        fleet.enter("", "")
        if not endpoint.stop.is_set():
            endpoint.enter(self._cloud, "InService", failure)

    def guarded(self, function: Any, *arguments: Any) -> None:
        """Call one of these; an endpoint is not left in the middle of a change by a fault of the stand-in."""
        try:
            function(*arguments)
        except _StoppedError:
            pass
        except Exception:
            logging.exception("endpoint %s", self._endpoint.name)
            pending, self._endpoint.pending = self._endpoint.pending, None
            if pending and pending not in self._endpoint.fleets:
                pending.abandon()
            self._endpoint.enter(self._cloud, "InService" if self._endpoint.fleets else "Failed", _INTERNAL)

    # -- steps

    def _start(self, fleet: Fleet) -> None:
        fleet.enter("Creating", "Launching {count} instance(s).")
        self._wait_to_start()
        self._pull(fleet)
        fleet.start(self._endpoint.stop)
        fleet.enter("", "")

    def _wait_to_start(self) -> None:
        if self._cloud.clock.sleep(START_S, self._endpoint.stop):
            raise _StoppedError

    def _pull(self, fleet: Fleet) -> None:
        for one in fleet.everything:
            if one.source and (why := pull_error(self._cloud, one.source.container["Image"])):
                raise UnhealthyError(why)

    def _resize(self, one: Variant) -> None:
        if isinstance(one, ServerlessVariant):
            one.resize(self._endpoint.stop)
        elif one.desired >= one.count:
            one.start(one.desired - one.count, self._endpoint.stop)
        else:
            one.shrink(one.count - one.desired)

    def _shift(self, blue: Fleet, green: Fleet, deployment: dict[str, Any]) -> None:
        """Blue/green: all of the new fleet first, then its traffic in steps."""
        policy = deployment.get("BlueGreenUpdatePolicy", {})
        deadline = self._deadline(policy)
        self._start(green)
        for share, wait in _steps(policy, green.instances):
            part = "full capacity" if share >= 1 else "canary capacity"
            with self._endpoint.lock:  # in one step: a fleet that has traffic is shown to bake
                self._give(blue, green, share)
                words = f"Baking for {wait} seconds with traffic enabled on {part} of {{count}} instance(s)."
                green.enter("Baking", words)
            self._bake(wait, green, deployment, deadline)

    def _roll(self, blue: Fleet, green: Fleet, deployment: dict[str, Any]) -> None:
        """Rolling: a batch of new instances, then as many old ones less, and so on."""
        policy = deployment["RollingUpdatePolicy"]
        deadline = self._deadline(policy)
        total = max(1, sum(one.desired for one in green.variants))
        batch = _part(policy["MaximumBatchSize"], total)
        done = 0.0
        self._pull(green)
        while done < 1:
            done = min(1.0, done + batch)
            green.enter("Creating", "Launching {count} instance(s).")
            self._wait_to_start()
            for one in green.everything:
                one.start(math.ceil(one.desired * done - 1e-9) - one.count, self._endpoint.stop)
            self._give(blue, green, done)
            for one in blue.everything:
                one.shrink(one.count - (one.desired - math.floor(one.desired * done + 1e-9)))
            green.enter("Baking", f"Baking for {policy['WaitIntervalInSeconds']} seconds.")
            self._bake(policy["WaitIntervalInSeconds"], green, deployment, deadline)

    def _give(self, blue: Fleet, green: Fleet, share: float) -> None:
        with self._endpoint.lock:
            green.share, blue.share = share, 1.0 - share
            self._endpoint.fleets = [blue, green]

    def _bake(self, seconds: float, green: Fleet, deployment: dict[str, Any], deadline: float) -> None:
        """Wait, and look at the alarms meanwhile and at the end. Raises UnhealthyError where one rings."""
        names = [one["AlarmName"] for one in deployment.get("AutoRollbackConfiguration", {}).get("Alarms", [])]
        clock = self._cloud.clock
        until = clock.time() + seconds
        while True:
            if ringing := self._ringing(names, green.role):
                raise UnhealthyError(f"The CloudWatch alarm {ringing} is in ALARM state: the update was rolled back.")
            if (left := until - clock.time()) <= 0:
                return
            if clock.time() > deadline:
                raise UnhealthyError("The update took longer than MaximumExecutionTimeoutInSeconds.")
            if clock.sleep(min(_LOOK_S, left), self._endpoint.stop):
                raise _StoppedError

    def _ringing(self, names: list[str], role: str) -> str:
        """The first of the alarms that rings, read as the endpoint's role, which AWS wants to be allowed to."""
        if not names:
            return ""
        client = self._cloud.client("cloudwatch", self._endpoint.region, role=role)
        try:
            found = client.describe_alarms(AlarmNames=names, AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        except (ClientError, BotoCoreError) as error:
            raise UnhealthyError(f"The alarms of the update could not be read: {error}") from error
        alarms = found.get("MetricAlarms", []) + found.get("CompositeAlarms", [])
        return next((one["AlarmName"] for one in alarms if one["StateValue"] == "ALARM"), "")

    def _roll_back(self, blue: Fleet, green: Fleet, why: str) -> None:
        endpoint = self._endpoint
        if endpoint.stop.is_set():
            raise _StoppedError
        endpoint.enter(self._cloud, "RollingBack", why)
        try:
            # A rolling update has ended some of its instances.
            for one in blue.everything:
                if not one.serverless:
                    one.start(one.desired - one.count, endpoint.stop)
        except UnhealthyError as error:
            endpoint.enter(self._cloud, "UpdateRollbackFailed", f"{why} {error}")
            return
        with endpoint.lock:
            endpoint.fleets, blue.share = [blue], 1.0
        green.end()
        with endpoint.lock:
            endpoint.pending = None
            endpoint.enter(self._cloud, "InService", why)

    def _deadline(self, policy: dict[str, Any]) -> float:
        return self._cloud.clock.time() + float(policy.get("MaximumExecutionTimeoutInSeconds", math.inf))


def delete(cloud: Cloud, endpoint: Endpoint) -> None:
    """Drain and end all of an endpoint."""
    fleets = endpoint.everything()
    with ThreadPoolExecutor(max(1, len(fleets))) as pool:
        list(pool.map(lambda one: one.end(), fleets))


def _steps(policy: dict[str, Any], instances: int) -> Iterator[tuple[float, float]]:
    """Share of the traffic and seconds to wait, step by step."""
    routing = policy.get("TrafficRoutingConfiguration", {"Type": "ALL_AT_ONCE"})
    wait, last = routing.get("WaitIntervalInSeconds", 0), policy.get("TerminationWaitInSeconds", 0)
    if routing["Type"] == "CANARY":
        yield min(1.0, _part(routing["CanarySize"], instances)), wait
    elif routing["Type"] == "LINEAR":
        part = _part(routing["LinearStepSize"], instances)
        for step in range(1, math.ceil(1 / part - 1e-9)):
            yield step * part, wait
    yield 1.0, last


def _part(size: dict[str, Any], instances: int) -> float:
    """A size of the DeploymentConfig as a share."""
    whole = 100 if size["Type"] == "CAPACITY_PERCENT" else max(1, instances)
    return float(min(1.0, size["Value"] / whole))
