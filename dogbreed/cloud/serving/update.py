"""How a new configuration takes over from the old one on an endpoint: UpdateEndpoint's DeploymentConfig.

https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails.html: a canary is at most half of the instances,
a linear step 10 to 50 %, a rolling batch 5 to 50 %; so one instance alone cannot be shared, and all goes at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from dogbreed.config import DeploySettings
from dogbreed.errors import UsageError

# AWS's limits, in seconds.
_SHORTEST, _LONGEST = 600, 28800
# New instances start within minutes; this is for when they do not.
_STARTING_S = 1800
_LINEAR_LEAST = 10


def check(own: DeploySettings) -> None:
    """UsageError for what AWS would refuse."""
    if own.strategy == "linear" and own.step_percent < _LINEAR_LEAST:
        raise UsageError(f"a linear step is 10 to 50 %, not {own.step_percent}", "set [deploy] step_percent = 10")
    if own.component and own.strategy == "linear":
        raise UsageError("an inference component is changed batch by batch, not linear", "use --strategy rolling")
    if own.strategy in ("linear", "rolling") and seconds(own, 100) > _LONGEST:
        raise UsageError(
            f"{own.strategy} by {own.step_percent} % with {own.bake_minutes:g} minutes each takes longer than AWS's "
            "limit of 8 h",
            "set a shorter [deploy] bake_minutes, or a larger step_percent",
        )


def strategy(own: DeploySettings, instances: int) -> str:
    """The one that can be done with so many instances."""
    return own.strategy if instances > 1 else "all-at-once"


def batch(own: DeploySettings, instances: int) -> int:
    """Instances that go first, or at a time: at least one, at most half."""
    return max(1, min(math.ceil(instances * own.step_percent / 100), instances // 2))


def seconds(own: DeploySettings, instances: int) -> int:
    """How long all steps wait, without the time that instances take to start."""
    wait = round(own.bake_minutes * 60)
    return wait * (math.ceil(instances / batch(own, instances)) if own.strategy in ("linear", "rolling") else 1)


def words(own: DeploySettings, instances: int) -> str:
    """How it goes, for people."""
    watched = f"{own.bake_minutes:g} min watched by alarms"
    if strategy(own, instances) == "all-at-once":
        why = f"1 instance cannot be shared, so not {own.strategy}: " if own.strategy != "all-at-once" else ""
        return f"  {why}all traffic moves at once, then {watched}, with the old instances waiting"
    then = "then all" if own.strategy == "canary" else "and so on"
    return f"  {own.strategy}: {batch(own, instances)} of {instances} instances first, {watched}, {then}"


def deployment(own: DeploySettings, instances: int, alarms: Sequence[str]) -> dict[str, Any]:
    """DeploymentConfig for an endpoint that has so many instances now."""
    wait = round(own.bake_minutes * 60)
    longest = min(_LONGEST, max(_SHORTEST, seconds(own, instances) + _STARTING_S))
    size = {"Type": "INSTANCE_COUNT", "Value": batch(own, instances)}
    rollback = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in alarms]}} if alarms else {}
    chosen = strategy(own, instances)
    if chosen == "rolling":
        rolling = {
            "MaximumBatchSize": size,
            "WaitIntervalInSeconds": wait,
            "MaximumExecutionTimeoutInSeconds": longest,
        }
        return {"RollingUpdatePolicy": rolling, **rollback}
    routing: dict[str, dict[str, Any]] = {
        "all-at-once": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0},
        "canary": {"Type": "CANARY", "WaitIntervalInSeconds": wait, "CanarySize": size},
        "linear": {"Type": "LINEAR", "WaitIntervalInSeconds": wait, "LinearStepSize": size},
    }
    policy = {
        "TrafficRoutingConfiguration": routing[chosen],
        # While the old instances are still there, alarms are watched: with all at once it is the only such time.
        "TerminationWaitInSeconds": wait if chosen == "all-at-once" else 0,
        "MaximumExecutionTimeoutInSeconds": longest,
    }
    return {"BlueGreenUpdatePolicy": policy, **rollback}


def of_component(own: DeploySettings, copies: int, alarms: Sequence[str]) -> dict[str, Any]:
    """DeploymentConfig for an inference component of so many copies, which knows rolling alone."""
    longest = min(_LONGEST, max(_SHORTEST, seconds_of_component(own, copies) + _STARTING_S))
    rolling = {
        "MaximumBatchSize": {"Type": "COPY_COUNT", "Value": _copies_at_a_time(own, copies)},
        "WaitIntervalInSeconds": round(own.bake_minutes * 60),
        "MaximumExecutionTimeoutInSeconds": longest,
    }
    rollback = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in alarms]}} if alarms else {}
    return {"RollingUpdatePolicy": rolling, **rollback}


def seconds_of_component(own: DeploySettings, copies: int) -> int:
    """How long all batches wait, without the time that copies take to start."""
    return round(own.bake_minutes * 60) * max(1, math.ceil(copies / _copies_at_a_time(own, copies)))


def words_of_component(own: DeploySettings, copies: int) -> str:
    """How it goes, for people."""
    if copies == 0:
        return f"  no copy runs: one is started, then {own.bake_minutes:g} min watched by alarms"
    first = _copies_at_a_time(own, copies)
    return f"  rolling: {first} of {copies} copies first, {own.bake_minutes:g} min watched by alarms, and so on"


def _copies_at_a_time(own: DeploySettings, copies: int) -> int:
    return max(1, copies // 2) if own.strategy == "all-at-once" else batch(own, copies)


def at_once() -> dict[str, Any]:
    """All traffic in one step and nothing that could stop it: the way back."""
    routing = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 0}}
