"""The door ec2 killed after every change that it makes: repeating mends it, and a destroy leaves nothing.

Real machines, of a service that only starts. Killed anew for each change, from an empty account, it is in
tests/benchmarks/kill_machines.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
import small_machines
from deployed import another, deploy, wanted
from laws import Killed, apply, through_every_state, unchanged
from standin import until
from test_service_machines import BOOT, crowd, imported

from dogbreed import plan
from dogbreed.cloud.serving import balancer, group
from dogbreed.cloud.serving.balancer import TargetGroup
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings
from dogbreed.rehearse.state import Server
from dogbreed.run import STARTER, Run

pytestmark = pytest.mark.slow


@pytest.fixture
def hasty(account: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """A fast clock, by which a busy computer still has half a minute to start a machine before it is judged."""
    for module in (group, balancer):
        monkeypatch.setattr(module, "_LOOK_S", 0.2)
    account.ask("speed", speed=10)
    yield Aws(AwsSettings())
    account.ask("speed", speed=1)


def test_killed_after_every_change_it_converges_and_destroy_leaves_nothing(
    hasty: Aws, account: Server, tmp_path: Path
) -> None:
    image = small_machines.image(hasty)
    # A twentieth of that is longer than this takes by the fast clock: the end is not put off meanwhile.
    more = {"ttl": "100d", "certificate": imported("dogs.example.org")}
    first = wanted(hasty, Run.open(STARTER), image, "ec2", **more)
    assert through_every_state(hasty, lambda: deploy(first)) > 30
    # The last repetition has waited for what the others had begun.
    assert TargetGroup(hasty).healthy() == 1
    assert deploy(first) == []
    second = wanted(hasty, another(tmp_path / "two"), image, "ec2", **more)
    old = small_machines.versions(hasty)
    assert through_every_state(hasty, lambda: deploy(second)) >= 4
    assert TargetGroup(hasty).healthy() == 1
    assert not old & small_machines.versions(hasty)
    assert deploy(second) == []
    assert through_every_state(hasty, lambda: small_machines.destroy(hasty)) > 15
    assert small_machines.left(hasty) == []
    told = account.ask("status")
    assert (told["machines"], told["groups"], told["balancers"]) == ([], {}, {})


@contextmanager
def dying_after(aws: Aws, operation: str) -> Iterator[None]:
    """Die when AWS has carried out this call."""

    def die(model: Any, **_: Any) -> None:
        if model.name == operation:
            raise Killed

    aws._clients.clear()
    aws.session.events.register("after-call.*.*", die)
    with pytest.raises(Killed):
        yield
    aws.session.events.unregister("after-call.*.*", die)
    aws._clients.clear()


def test_what_a_killed_command_left_half_renewed_is_seen_and_ended(
    hasty: Aws, account: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.ask("speed", speed=60)
    monkeypatch.setattr(group, "_GRACE_S", 30)
    apply([crowd(hasty, count=2)])
    (old,) = small_machines.versions(hasty)
    # Killed while the second machine is still to come: the repetition waits for it. By a slow clock, so that no busy
    # computer finds the renewal over.
    newer = crowd(hasty, replace(BOOT, digest="new"), count=2)
    account.ask("speed", speed=1)
    with dying_after(hasty, "StartInstanceRefresh"):
        apply([newer])
    (step,) = plan.make([newer]).changes
    assert step.why == "going on"
    account.ask("speed", speed=60)
    apply([newer])
    assert old not in small_machines.versions(hasty)
    assert unchanged([newer])
    # Killed when a renewal that is not wanted any more had been cancelled: machines of both kinds are left, here until
    # that has been seen.
    scaling = boto3.client("autoscaling")
    suspended = {"AutoScalingGroupName": newer.name, "ScalingProcesses": ["Terminate"]}
    scaling.suspend_processes(**suspended)
    account.ask("speed", speed=1)
    version = newer._version() | {"Version": old}
    scaling.start_instance_refresh(
        AutoScalingGroupName=newer.name,
        DesiredConfiguration={"LaunchTemplate": version},
        Preferences={"MinHealthyPercentage": 100, "MaxHealthyPercentage": 110, "SkipMatching": True},
    )
    until(lambda: old in small_machines.versions(hasty))
    scaling.cancel_instance_refresh(AutoScalingGroupName=newer.name)
    made = plan.make([newer])
    assert [step.why for step in made.changes] == ["machines"]
    account.ask("speed", speed=60)
    scaling.resume_processes(**suspended)
    for _ in made.apply():
        pass
    assert old not in small_machines.versions(hasty)
    assert unchanged([newer])
