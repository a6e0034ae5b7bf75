"""The targets of target groups: who is healthy, who drains, and whose turn it is.

Health is asked for in the interval of the group, by the stand-in's clock, though never more than four times a second;
how long an answer may take goes by this computer's clock. A new target is healthy after one good answer, others after
as many as the group says (AWS: "Health checks for your target groups"). Targets are instances.
"""

from __future__ import annotations

import http.client
import itertools
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse import machines

if TYPE_CHECKING:
    from dogbreed.rehearse.cloud import Cloud

_FASTEST_S = 0.25
# A target that does not answer, or that drains, gets this long on this machine's clock, which may stand still for
# seconds; to drain only where its group allows that.
_AT_LEAST_S = 20.0
_LOOK_S = 0.1
_AT_ONCE = 8
_WORDS = {
    "Elb.RegistrationInProgress": "Target registration is in progress",
    "Target.ResponseCodeMismatch": "Health checks failed with these codes: [{0}]",
    "Target.Timeout": "Request timed out",
    "Target.FailedHealthChecks": "Health checks failed",
    "Target.DeregistrationInProgress": "Target deregistration is in progress",
    "Target.NotInUse": "Target group is not configured to receive traffic from the load balancer",
    "Target.NotRegistered": "Target is not registered to the target group",
}


@dataclass
class Target:
    """An instance in a target group; `under_way` counts requests that it has not answered."""

    id: str
    port: int
    state: str = "initial"
    reason: str = "Elb.RegistrationInProgress"
    detail: str = ""
    good: int = 0
    bad: int = 0
    due: float = 0.0
    asked: bool = False
    under_way: int = 0
    # By the stand-in's clock, and by this machine's, by which photos are answered.
    drains_until: tuple[float, float] = (0.0, 0.0)
    idle: list[socket.socket] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        """As DescribeTargetHealth has it."""
        health = {"State": self.state}
        if self.reason:
            health |= {"Reason": self.reason, "Description": _WORDS[self.reason].format(self.detail)}
        target = {"Id": self.id, "Port": self.port}
        return {"Target": target, "HealthCheckPort": str(self.port), "TargetHealth": health}

    def note(self, reason: str, detail: str, healthy_after: int, unhealthy_after: int) -> None:
        """What a health check found; no reason is a good answer."""
        if reason:
            self.good, self.bad = 0, self.bad + 1
            if self.bad >= unhealthy_after:
                self.state, self.reason, self.detail = "unhealthy", reason, detail
            return
        self.good, self.bad = self.good + 1, 0
        if self.state == "initial" or self.good >= healthy_after:
            self.state, self.reason = "healthy", ""


class Group:
    """The targets of one target group; `record` is moto's."""

    def __init__(self, record: Any, region: str) -> None:
        self.record, self.region = record, region
        self.targets: dict[tuple[str, int], Target] = {}
        self.turn = itertools.count()

    @property
    def used(self) -> bool:
        """Whether a load balancer forwards to it."""
        return bool(self.record.load_balancer_arns)

    def serving(self) -> list[Target]:
        """Those that get requests: the healthy ones, or all where none is (an ALB fails open)."""
        known = [one for one in self.targets.values() if one.state != "draining"]
        return [one for one in known if one.state == "healthy"] or [one for one in known if one.state == "unhealthy"]


class Targets:
    """All target groups of the account, by ARN, and the thread that asks how they are."""

    def __init__(self, cloud: Cloud, connect: Callable[[Group, Target, float], socket.socket] | None = None) -> None:
        self._cloud = cloud
        self._connect = connect or self._to_machine
        self.groups: dict[str, Group] = {}
        self.lock = threading.RLock()
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="health")
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, record: Any, region: str) -> None:
        """Know a target group, and begin to look after its targets."""
        with self.lock:
            self.groups[record.arn] = Group(record, region)
            if self._thread is None:
                self._stop = threading.Event()
                self._thread = threading.Thread(target=self._watch, args=[self._stop], daemon=True)
                self._thread.start()

    def remove(self, arn: str) -> None:
        """Forget one."""
        with self.lock:
            self.groups.pop(arn, None)

    def close(self) -> None:
        """Forget all."""
        with self.lock:
            self._stop.set()
            self._thread = None
            self.groups.clear()

    def register(self, arn: str, ids: list[tuple[str, int]]) -> None:
        """New targets; those that drain come back."""
        with self.lock:
            for name in ids:
                known = self.groups[arn].targets.get(name)
                if known is None or known.state == "draining":
                    self.groups[arn].targets[name] = Target(*name)

    def deregister(self, arn: str, ids: list[str]) -> None:
        """Let targets finish what they have begun, for as long as the group says at most."""
        with self.lock:
            group = self.groups[arn]
            delay = float(group.record.attributes["deregistration_delay.timeout_seconds"])
            for target in group.targets.values():
                if target.id in ids and target.state != "draining":
                    target.state, target.reason = "draining", "Target.DeregistrationInProgress"
                    least = time.monotonic() + min(delay, _AT_LEAST_S)
                    target.drains_until = self._cloud.clock.time() + delay, least
            self._drained(group)

    def health(self, arn: str, ids: list[str]) -> list[dict[str, Any]]:
        """How the targets are, or those of them that are asked for."""
        with self.lock:
            group = self.groups[arn]
            self._drained(group)
            shown = [one.shown() for one in group.targets.values() if not ids or one.id in ids]
            if not group.used:
                words = {"State": "unused", "Reason": "Target.NotInUse", "Description": _WORDS["Target.NotInUse"]}
                shown = [one | {"TargetHealth": words} for one in shown]
            for name in ids:
                if name not in [one["Target"]["Id"] for one in shown]:
                    unknown = Target(name, int(group.record.port), "unused", "Target.NotRegistered")
                    shown.append(unknown.shown())
            return shown

    # -- for the proxy

    def take(self, arn: str) -> Target | None:
        """The target whose turn it is; `give_back` afterwards. None where there is none."""
        with self.lock:
            group = self.groups.get(arn)
            serving = group.serving() if group else []
            if not group or not serving:
                return None
            turn = next(group.turn) % len(serving)
            serving = [*serving[turn:], *serving[:turn]]
            fewest = group.record.attributes.get("load_balancing.algorithm.type") == "least_outstanding_requests"
            target = min(serving, key=lambda one: one.under_way) if fewest else serving[0]
            target.under_way += 1
            return target

    def give_back(self, target: Target, connection: socket.socket | None) -> None:
        """It has answered, or will not; a connection that can be used again is kept."""
        with self.lock:
            target.under_way -= 1
            if connection and target.state != "draining":
                target.idle.append(connection)
            elif connection:
                connection.close()

    def reach(self, arn: str, target: Target, timeout: float) -> socket.socket:
        """A connection to a target; OSError where it cannot be had."""
        with self.lock:
            kept = target.idle.pop() if target.idle else None
        if kept:
            kept.setblocking(False)
            try:
                kept.recv(1, socket.MSG_PEEK)  # nothing was asked: if it says something, that is its end
            except BlockingIOError:
                kept.settimeout(timeout)
                return kept
            except OSError:
                pass
            kept.close()
        return self._connect(self.groups[arn], target, timeout)

    def _to_machine(self, group: Group, target: Target, timeout: float) -> socket.socket:
        try:
            instance = self._cloud.moto("ec2", group.region).get_instance(target.id)
        except Exception as error:
            raise ConnectionRefusedError(f"there is no instance {target.id}") from error
        folder = self._cloud.folder / "machines" / target.id
        return machines.connect(folder, instance.private_ip, target.port, timeout)

    # -- health

    def _drained(self, group: Group) -> None:
        now, here = self._cloud.clock.time(), time.monotonic()
        for name, target in list(group.targets.items()):
            over = target.under_way == 0 or (now >= target.drains_until[0] and here >= target.drains_until[1])
            if target.state == "draining" and over:
                for connection in target.idle:
                    connection.close()
                del group.targets[name]

    def _watch(self, stop: threading.Event) -> None:
        while not stop.wait(_LOOK_S):
            with self.lock:
                now = self._cloud.clock.time()
                due = []
                for group in self.groups.values():
                    self._drained(group)
                    for target in group.targets.values() if group.used else ():
                        if target.due <= now and not target.asked and target.state != "draining":
                            pause = max(float(group.record.health_check_interval_seconds), _FASTEST_S * self._speed())
                            target.asked, target.due = True, now + pause
                            due.append((group, target))
            for group, target in due:
                self._pool.submit(self._ask, group, target)

    def _speed(self) -> float:
        return self._cloud.clock.speed

    def _ask(self, group: Group, target: Target) -> None:
        record = group.record
        reason, detail = "", ""
        try:
            timeout = max(_AT_LEAST_S, float(record.health_check_timeout_seconds))
            with self._connect(group, target, timeout) as connection:
                connection.settimeout(timeout)
                request = f"GET {record.health_check_path} HTTP/1.1\r\nHost: {target.id}:{target.port}\r\n"
                connection.sendall(f"{request}User-Agent: ELB-HealthChecker/2.0\r\nConnection: close\r\n\r\n".encode())
                answer = http.client.HTTPResponse(connection)
                answer.begin()
                if not _matches(str(record.matcher.get("HttpCode", "200")), answer.status):
                    reason, detail = "Target.ResponseCodeMismatch", str(answer.status)
        except TimeoutError:
            reason = "Target.Timeout"
        except (OSError, http.client.HTTPException):
            reason = "Target.FailedHealthChecks"
        with self.lock:
            target.asked = False
            if target.state != "draining":
                after = int(record.healthy_threshold_count), int(record.unhealthy_threshold_count)
                target.note(reason, detail, *after)


def _matches(codes: str, status: int) -> bool:
    """Whether a status is among "200", "200,202" or "200-299"."""
    for part in codes.split(","):
        first, _, last = part.partition("-")
        if int(first) <= status <= int(last or first):
            return True
    return False
