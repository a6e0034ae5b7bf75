"""EventBridge Scheduler: schedules that are really carried out, by the stand-in's clock and as their role.

A due schedule is noticed within a tenth of a second; of several moments that pass between two looks, the last counts.
What a target refuses is not tried again, other failures are, as the retry policy says. Groups remain moto's. Flexible
windows are not waited for, and there are no queues for what could not be delivered.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from dogbreed.rehearse import schedule_targets
from dogbreed.rehearse.aws_times import At, Times, times
from dogbreed.rehearse.calls import PASS, AwsError, Passed, page
from dogbreed.rehearse.schedule_targets import TargetError
from dogbreed.rehearse.trust import trusted

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud

_LOOK_S = 0.1
_PAGE = 50
_RETRIES, _AGE_S = 185, 86_400
_LONGEST_S = 600.0  # between tries
_SHOWN = ("Name", "ScheduleExpression", "StartDate", "EndDate", "Description", "KmsKeyArn", "FlexibleTimeWindow")


@dataclass
class Schedule:
    """A schedule: what was asked for, when it is due, and what came of it last."""

    region: str
    group: str
    arn: str
    told: dict[str, Any]
    times: Times
    created: datetime
    changed: datetime
    due: datetime | None
    last: str = ""
    running: bool = field(default=False, repr=False)

    @property
    def state(self) -> str:
        """ENABLED or DISABLED."""
        return str(self.told.get("State", "ENABLED"))

    def begin(self, now: datetime) -> None:
        """Count from now; a single moment that has passed is due at once (AWS does not say what it does then)."""
        self.due = self.times.when if isinstance(self.times, At) else self.next(now)

    def next(self, moment: datetime) -> datetime | None:
        """When it is due after a moment, within its start and end."""
        start, end = (_aware(self.told.get(name)) for name in ("StartDate", "EndDate"))
        found = self.times.after(moment, max(start, self.created) if start else self.created)
        return None if found and end and found > end else found

    def summary(self) -> dict[str, Any]:
        """As ListSchedules shows it."""
        answer = {"Arn": self.arn, "Name": self.told["Name"], "GroupName": self.group, "State": self.state}
        answer |= {"CreationDate": self.created, "LastModificationDate": self.changed}
        return answer | {"Target": {"Arn": self.told["Target"]["Arn"]}}

    def describe(self) -> dict[str, Any]:
        """As GetSchedule shows it."""
        answer = self.summary() | {name: self.told[name] for name in _SHOWN if self.told.get(name) is not None}
        policy = {"MaximumRetryAttempts": _RETRIES, "MaximumEventAgeInSeconds": _AGE_S}
        answer["Target"] = {"RetryPolicy": policy} | self.told["Target"]
        answer["ScheduleExpressionTimezone"] = self.told.get("ScheduleExpressionTimezone", "UTC")
        return answer | {"ActionAfterCompletion": self.told.get("ActionAfterCompletion", "NONE")}


class Schedules:
    """The schedules of an account, by region, group and name."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._schedules: dict[tuple[str, str, str], Schedule] = {}
        self._lock = threading.Lock()
        self._looker: threading.Thread | None = None
        self._over = threading.Event()

    def operations(self) -> dict[str, Callable[[Call], dict[str, Any] | Passed]]:
        """What it answers, by operation."""
        return {
            "CreateSchedule": self._create,
            "UpdateSchedule": self._update,
            "GetSchedule": lambda call: self._found(call).describe(),
            "DeleteSchedule": self._delete,
            "ListSchedules": self._list,
            "DeleteScheduleGroup": self._delete_group,
        }

    def status(self) -> dict[str, Any]:
        """The schedules, when they are due, and what came of them last."""
        told = []
        for one in list(self._schedules.values()):
            due = f"due {one.due:%Y-%m-%dT%H:%M:%SZ}" if one.due and one.state == "ENABLED" else "not due"
            told.append(", ".join([f"{one.told['Name']}: {due}", *([f"last: {one.last}"] if one.last else [])]))
        return {"schedules": told}

    def end(self) -> None:
        """Carry out nothing more, and forget all."""
        self._over.set()
        if self._looker:
            self._looker.join()
        self._looker, self._over = None, threading.Event()
        self._schedules.clear()

    # -- operations

    def _create(self, call: Call) -> dict[str, Any]:
        group, name = call.params.get("GroupName") or "default", call.params["Name"]
        self._check(call, group)
        now = self._cloud.clock.now()
        arn = f"arn:aws:scheduler:{call.region}:{self._cloud.account}:schedule/{group}/{name}"
        schedule = Schedule(call.region, group, arn, dict(call.params), _times(call), now, now, None)
        schedule.begin(now)
        with self._lock:
            if self._schedules.setdefault((call.region, group, name), schedule) is not schedule:
                raise AwsError("ConflictException", f"Schedule {name} already exists.")
            if self._looker is None:
                self._looker = threading.Thread(target=self._look, args=[self._over], daemon=True)
                self._looker.start()
        return {"ScheduleArn": arn}

    def _update(self, call: Call) -> dict[str, Any]:
        schedule = self._found(call)
        self._check(call, schedule.group)
        moments, now = _times(call), self._cloud.clock.now()
        with self._lock:
            # An update sets everything, what it leaves out to its default.
            schedule.told, schedule.times, schedule.changed = dict(call.params), moments, now
            schedule.begin(now)
        return {"ScheduleArn": schedule.arn}

    def _delete(self, call: Call) -> dict[str, Any]:
        schedule = self._found(call)
        self._forget(schedule)
        return {}

    def _list(self, call: Call) -> dict[str, Any]:
        told = call.params
        found = [
            one.summary()
            for (region, group, name), one in sorted(self._schedules.items())
            if region == call.region
            and told.get("GroupName", group) == group
            and name.startswith(told.get("NamePrefix", ""))
            and told.get("State") in (None, one.state)
        ]
        return page(told, "Schedules", found, _PAGE)

    def _delete_group(self, call: Call) -> Passed:
        for one in list(self._schedules.values()):
            if (one.region, one.group) == (call.region, call.params["Name"]):
                self._forget(one)
        return PASS

    def _check(self, call: Call, group: str) -> None:
        target = call.params["Target"]
        if group not in self._cloud.moto("scheduler", call.region).schedule_groups:
            raise AwsError("ResourceNotFoundException", f"Schedule group {group} does not exist.")
        window = call.params["FlexibleTimeWindow"]
        if (window["Mode"] == "OFF") == ("MaximumWindowInMinutes" in window):
            raise AwsError(
                "ValidationException", "MaximumWindowInMinutes goes with a FLEXIBLE window, and only with one."
            )
        schedule_targets.check(target)
        # Who makes a schedule hands its role to the service.
        self._cloud.need(call, "iam:PassRole", target["RoleArn"])
        self._check_role(call.region, group, target["RoleArn"])

    def _check_role(self, region: str, group: str, role: str) -> None:
        # Documented: the service names the group of the schedule, not the schedule itself.
        source = f"arn:aws:scheduler:{region}:{self._cloud.account}:schedule-group/{group}"
        if not trusted(self._cloud, role, "scheduler.amazonaws.com", source):
            raise AwsError(
                "ValidationException",
                "The execution role you provide must allow AWS EventBridge Scheduler to assume the role.",
            )

    def _found(self, call: Call) -> Schedule:
        group, name = call.params.get("GroupName") or "default", call.params["Name"]
        schedule = self._schedules.get((call.region, group, name))
        if schedule is None:
            raise AwsError("ResourceNotFoundException", f"Schedule {name} does not exist.")
        return schedule

    def _forget(self, schedule: Schedule) -> None:
        with self._lock:
            key = (schedule.region, schedule.group, schedule.told["Name"])
            if self._schedules.get(key) is schedule:
                del self._schedules[key]

    # -- carrying out

    def _look(self, over: threading.Event) -> None:
        while not over.wait(_LOOK_S):
            now = self._cloud.clock.now()
            for schedule in list(self._schedules.values()):
                with self._lock:
                    due = schedule.due
                    if due is None or due > now or schedule.state != "ENABLED" or schedule.running:
                        continue
                    schedule.running = True
                    schedule.due = schedule.next(now)
                threading.Thread(target=self._carry_out, args=[schedule, due, over], daemon=True).start()

    def _carry_out(self, schedule: Schedule, due: datetime, over: threading.Event) -> None:
        try:
            self._try(schedule, due, over)
        except Exception as error:
            logging.exception("schedule %s", schedule.arn)
            schedule.last = f"failed: {error!r}"
        finally:
            schedule.running = False
        if schedule.due is None and schedule.told.get("ActionAfterCompletion") == "DELETE" and not over.is_set():
            self._forget(schedule)

    def _try(self, schedule: Schedule, due: datetime, over: threading.Event) -> None:
        target, clock = schedule.told["Target"], self._cloud.clock
        policy = target.get("RetryPolicy", {})
        retries = policy.get("MaximumRetryAttempts", _RETRIES)
        age = policy.get("MaximumEventAgeInSeconds", _AGE_S)
        for attempt in range(retries + 1):
            counts = {"InvocationAttemptCount": 1}
            try:
                self._check_role(schedule.region, schedule.group, target["RoleArn"])
                about = schedule_targets.about(schedule.arn, due, attempt + 1)
                schedule_targets.reach(self._cloud, schedule.region, target, about)
                schedule.last = "done"
                self._count(schedule, counts)
                return
            except AwsError as error:
                schedule.last, again = f"failed: {error.message}", False
            except TargetError as error:
                schedule.last, again = f"failed: {error}", error.again
            wait = min(2.0**attempt, _LONGEST_S)
            late = (clock.now() - due).total_seconds() + wait > age
            if over.is_set():
                return
            final = not again or attempt == retries or late
            self._count(schedule, counts | {"TargetErrorCount": 1} | ({"InvocationDroppedCount": 1} if final else {}))
            if final or clock.sleep(wait, over):
                return

    def _count(self, schedule: Schedule, counts: dict[str, int]) -> None:
        data = [
            {
                "MetricName": name,
                "Dimensions": [{"Name": "ScheduleGroup", "Value": schedule.group}],
                "Timestamp": self._cloud.clock.now(),
                "Value": value,
                "Unit": "Count",
            }
            for name, value in counts.items()
        ]
        try:
            self._cloud.client("cloudwatch", schedule.region).put_metric_data(
                Namespace="AWS/Scheduler", MetricData=data
            )
        except (ClientError, BotoCoreError):
            logging.warning("the metrics of %s were not taken", schedule.arn)


def add(cloud: Cloud) -> None:
    """Register with the cloud."""
    schedules = Schedules(cloud)
    for operation, function in schedules.operations().items():
        cloud.handle("scheduler", operation, function)
    cloud.on_reset(schedules.end)
    cloud.on_status(schedules.status)


def _times(call: Call) -> Times:
    try:
        return times(call.params["ScheduleExpression"], call.params.get("ScheduleExpressionTimezone", "UTC"))
    except ValueError as error:
        raise AwsError("ValidationException", str(error)) from error


def _aware(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment
