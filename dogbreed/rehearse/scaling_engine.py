"""Scaling at work: an alarm or a schedule asks, the policy decides, the service's own API acts, the end is noted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from dogbreed.capacity.policy import fitting, smaller
from dogbreed.rehearse.alarms import Fired
from dogbreed.rehearse.aws_times import times
from dogbreed.rehearse.scaling_decide import SEMANTICS, stepped
from dogbreed.rehearse.scaling_dimensions import Capacity, Clients
from dogbreed.rehearse.scaling_records import GROUP, Policy, Records, Scheduled, Target, activity

if TYPE_CHECKING:
    from dogbreed.rehearse.cloud import Cloud

# An alarm that lasts asks once a minute; what was asked longer ago is asked no more.
_FRESH_S = 130.0
_LOOK_S, _LEAST_LOOK_S = 10.0, 0.3
_REFUSALS = (ClientError, BotoCoreError, LookupError)


class Engine:
    """Acts for every target of the account."""

    def __init__(self, cloud: Cloud, records: Records) -> None:
        self._cloud, self._records = cloud, records
        self._wake = threading.Event()
        self._over = threading.Event()
        threading.Thread(target=self._keep_time, daemon=True).start()

    def reset(self) -> None:
        """Let nothing that is under way go on."""
        self._over.set()
        self._over = threading.Event()

    def look_again(self) -> None:
        """A scheduled action is new."""
        self._wake.set()

    def clients(self, target: Target) -> Clients:
        """Clients that act as the target's role."""
        return lambda service: self._cloud.client(service, target.region, role=target.role)

    def read(self, target: Target) -> Capacity:
        """How many there are. Raises ClientError or LookupError where the resource is not there."""
        now = target.kind.read(self.clients(target), target.resource)
        target.saw(self._cloud.clock.time(), now.current)
        return now

    def bounds(self, target: Target, now: Capacity) -> tuple[int, int]:
        """Of how many to how many there may be."""
        least = target.smallest if now.smallest is None else now.smallest
        return least, target.largest if now.largest is None else now.largest

    # -- alarms

    def fired(self, fired: Fired) -> None:
        """Do what an alarm asks of a policy."""
        policy = self._records.policy(fired.action)
        if policy is None:
            return
        with policy.target.acting:
            try:
                now = self.read(policy.target)
            except _REFUSALS as error:
                logging.warning("scaling %s: %s", policy.target.resource, error)
                return
            cause = f"monitor alarm {fired.alarm} in state {fired.state} triggered policy {policy.name}"
            if not policy.tracks:
                threshold = self._threshold(fired)
                self._step(policy, (threshold if fired.value is None else fired.value) - threshold, now, cause)
            elif fired.value is not None and fired.alarm == policy.alarms.get("high"):
                self._out(policy, self._fit(policy, fired.value, fired.at), now, cause)
            elif fired.value is not None and fired.alarm == policy.alarms.get("low"):
                self._in(policy, self._fit(policy, fired.value, fired.at), now, cause)

    def _fit(self, policy: Policy, value: float, at: float) -> int:
        return fitting(policy.target.in_service(at), value, policy.config["TargetValue"])

    def _out(self, policy: Policy, fit: int, now: Capacity, cause: str) -> None:
        policy.low_at = float("-inf")
        self._raise(policy, fit, now, cause)

    def _raise(self, policy: Policy, wanted: int, now: Capacity, cause: str) -> None:
        target, clock = policy.target, self._cloud.clock.time()
        _, largest = self.bounds(target, now)
        capacity = min(largest, wanted)
        if capacity <= now.desired:
            if now.desired >= largest:
                self._not_scaled(target, cause, {"Code": "AlreadyAtMaxCapacity", "MaxCapacity": largest})
            return
        may = not target.suspended.get("DynamicScalingOutSuspended") and policy.cooldown.lets(clock, capacity)
        if may and self.set(target, capacity, cause):
            policy.cooldown.start(clock, now.desired, capacity, policy.seconds("Out"))
            # Documented: it ends the cool-down of a scale-in.
            target.in_until = float("-inf")

    def _in(self, policy: Policy, fit: int, now: Capacity, cause: str) -> None:
        target, clock = policy.target, self._cloud.clock.time()
        policy.low_at, policy.fit = clock, fit
        voters = [one for one in self._records.policies_of(target) if one.scales_in]
        # Documented: only if all that may scale in agree, and then the largest of what they ask for.
        if any(clock - one.low_at > _FRESH_S for one in voters):
            return
        smallest, _ = self.bounds(target, now)
        capacity = max(smallest, smaller(now.desired, max(one.fit for one in voters), SEMANTICS))
        self._lower(policy, capacity, now, cause)

    def _lower(self, policy: Policy, capacity: int, now: Capacity, cause: str) -> None:
        target, clock = policy.target, self._cloud.clock.time()
        smallest, _ = self.bounds(target, now)
        if capacity >= now.desired:
            if now.desired <= smallest:
                self._not_scaled(target, cause, {"Code": "AlreadyAtMinCapacity", "MinCapacity": smallest})
            return
        # Documented: neither cool-down may be running.
        cool = clock >= max(target.in_until, policy.cooldown.until)
        if cool and not target.suspended.get("DynamicScalingInSuspended") and self.set(target, capacity, cause):
            target.in_until = clock + policy.seconds("In")

    def step(self, policy: Policy, beyond: float, cause: str) -> None:
        """Carry out a step policy, the metric being `beyond` the alarm's threshold."""
        with policy.target.acting:
            self._step(policy, beyond, self.read(policy.target), cause)

    def _step(self, policy: Policy, beyond: float, now: Capacity, cause: str) -> None:
        base = policy.cooldown.began_from(self._cloud.clock.time(), now.desired)
        capacity = stepped(policy.config, base, beyond)
        if capacity is None:
            return
        smallest, largest = self.bounds(policy.target, now)
        act = self._raise if capacity >= now.desired else self._lower
        act(policy, min(largest, max(smallest, capacity)), now, cause)

    def _threshold(self, fired: Fired) -> float:
        client = self._cloud.client("cloudwatch", fired.region)
        found = client.describe_alarms(AlarmNames=[fired.alarm])["MetricAlarms"]
        return float(found[0].get("Threshold", 0.0)) if found else 0.0

    # -- acting

    def into_bounds(self, target: Target, cause: str) -> None:
        """Bring a target that is outside of its bounds inside at once, cool-downs or not."""
        with target.acting:
            now = self.read(target)
            smallest, largest = self.bounds(target, now)
            wanted = min(largest, max(smallest, now.desired))
            if wanted != now.desired:
                side = "minimum" if wanted > now.desired else "maximum"
                self.set(target, wanted, cause or f"{side} capacity was set to {wanted}")

    def set(self, target: Target, number: int, cause: str) -> bool:
        """Call the service, and watch until it is done; False where it refuses."""
        what = target.kind.what
        one = activity(target, f"Setting {what} to {number}.", cause, self._cloud.clock.now())
        for earlier in target.activities:
            if earlier["StatusCode"] == "InProgress":
                self._end(earlier, "Overridden", "Overridden by another scaling activity.")
        target.activities.append(one)
        try:
            target.kind.write(self.clients(target), target.resource, number)
        except _REFUSALS as error:
            self._end(one, "Failed", f"Failed to set {what} to {number}. Reason: {error}")
            return False
        waiting = f"Successfully set {what} to {number}. Waiting for change to be fulfilled by {target.namespace}."
        one["StatusMessage"] = waiting
        threading.Thread(target=self._await, args=[target, one, number, self._over], daemon=True).start()
        return True

    def _await(self, target: Target, one: dict[str, Any], number: int, over: threading.Event) -> None:
        clock, what = self._cloud.clock, target.kind.what
        while not clock.sleep(max(_LOOK_S, _LEAST_LOOK_S * clock.speed), over):
            if one["StatusCode"] != "InProgress":
                return
            try:
                now = self.read(target)
            except _REFUSALS as error:
                self._end(one, "Failed", f"Failed to set {what} to {number}. Reason: {error}")
                return
            if now.fulfilled and now.desired == number:
                done = f"Successfully set {what} to {number}. Change successfully fulfilled by {target.namespace}."
                self._end(one, "Successful", done)
                return
            if now.desired != number:
                self._end(one, "Overridden", f"{what} is {now.desired} by now.")
                return

    def _end(self, one: dict[str, Any], status: str, message: str) -> None:
        one.update(StatusCode=status, StatusMessage=message, EndTime=self._cloud.clock.now())

    def _not_scaled(self, target: Target, cause: str, reason: dict[str, Any]) -> None:
        last = target.activities[-1] if target.activities else {}
        if last.get("NotScaledReasons") == [reason]:
            return
        one = activity(target, "Attempting to scale due to alarm triggered", cause, self._cloud.clock.now())
        self._end(one, "Failed", "Not scaled.")
        target.activities.append(one | {"NotScaledReasons": [reason]})

    # -- schedules

    def plan(self, action: Scheduled) -> None:
        """Work out when an action is due next. Raises ValueError."""
        begin, end = action.request.get("StartTime"), action.request.get("EndTime")
        after = max(self._cloud.clock.now(), begin or action.created)
        zone = action.request.get("Timezone", "UTC")
        due = times(action.request["Schedule"], zone).after(after, begin or action.created)
        action.due = None if due is None or (end and due > end) else due

    def _keep_time(self) -> None:
        clock = self._cloud.clock
        while True:
            soonest = min((due for _, due in self._waiting()), default=None)
            if soonest is None:
                self._wake.wait()
            else:
                clock.sleep((soonest - clock.now()).total_seconds(), self._wake)
            self._wake.clear()
            now = clock.now()
            # Looked up again: what was waited for may have been deleted meanwhile.
            for action, due in self._waiting():
                if due <= now:
                    self._guarded(self._scheduled, action)

    def _waiting(self) -> list[tuple[Scheduled, datetime]]:
        with self._records.lock:
            return [(one, one.due) for one in self._records.scheduled.values() if one.due]

    def _scheduled(self, action: Scheduled) -> None:
        self.plan(action)
        target, told = action.target, action.request.get("ScalableTargetAction", {})
        if target.suspended.get("ScheduledScalingSuspended"):
            return
        cause = f"scheduled action name {action.name} was triggered"
        if target.dimension == GROUP:
            self._change_group(target, told)
            return
        target.smallest = told.get("MinCapacity", target.smallest)
        target.largest = max(target.smallest, told.get("MaxCapacity", target.largest))
        self.into_bounds(target, cause)

    def _change_group(self, target: Target, told: dict[str, Any]) -> None:
        names = {"MinCapacity": "MinSize", "MaxCapacity": "MaxSize", "DesiredCapacity": "DesiredCapacity"}
        wanted = {names[name]: value for name, value in told.items()}
        client = self._cloud.client("autoscaling", target.region)
        client.update_auto_scaling_group(AutoScalingGroupName=target.resource, **wanted)

    def _guarded(self, function: Callable[..., None], *arguments: Any) -> None:
        try:
            function(*arguments)
        except _REFUSALS as error:
            logging.warning("a scheduled action: %s", error)
        except Exception:  # a thread that ends would stop all schedules
            logging.exception("a scheduled action")
