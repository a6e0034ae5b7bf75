"""The door ec2 from its first machine to its last: answers as here, no request lost to a new model, no remains."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
from least import beyond
from photos import save
from standin import until

from dogbreed import plan as planning
from dogbreed.cloud.policies_serving import ec2_service
from dogbreed.cloud.policy_parts import Scope
from dogbreed.cloud.serving import deploying, machines
from dogbreed.cloud.serving.deployment import Deployment
from dogbreed.cloud.serving.group import Group
from dogbreed.cloud.serving.machine_client import OfMachine, address
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings, DeploySettings
from dogbreed.errors import DogbreedError
from dogbreed.infer.door import Door
from dogbreed.infer.predictor import Predictor
from dogbreed.rehearse.state import Server
from dogbreed.run import MODEL, STARTER, Run, sealed


def starter_with(labels: Callable[[list[str]], list[str]], folder: Path) -> Run:
    """The starter with other names for its breeds."""
    shutil.copytree(STARTER, folder)
    info = json.loads((folder / MODEL).read_text())
    (folder / MODEL).write_text(json.dumps(sealed(info | {"labels": labels(info["labels"])})))
    return Run.open(folder)


def deploy(run: Run, **settings: object) -> list[str]:
    """Deploy it, and see that the second time there is nothing to do; the kinds that were made or changed."""
    wanted = Deployment(Aws(AwsSettings()), DeploySettings(to="ec2", **settings), run)  # type: ignore[arg-type]
    deploying.check(wanted.settings, wanted.aws.settings, shadow=False)
    done = [step.resource.kind for step in deploying.plan(wanted).apply()]
    assert deploying.plan(wanted).changes == ()
    return done


class Asking:
    """Asks for one photo again and again, as a program would, until told to end."""

    def __init__(self, url: str, photo: bytes) -> None:
        self.said: list[str] = []
        self.failed: list[Exception] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=[Door(url), photo]) for _ in range(2)]
        for thread in self._threads:
            thread.start()

    def _ask(self, door: Door, photo: bytes) -> None:
        while not self._over.wait(0.02):
            try:
                self.said.append(str(door.predict(photo).breed))
            except Exception as error:  # noqa: BLE001 - any error at all is a request that was lost
                self.failed.append(error)

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def in_service() -> set[str]:
    seen = Group(Aws(AwsSettings())).seen() or {"Instances": []}
    return {one["InstanceId"] for one in seen["Instances"] if one["LifecycleState"] == "InService"}


def lines() -> list[str]:
    told = boto3.client("logs").filter_log_events(logGroupName="/dogbreed/dogbreed", logStreamNamePrefix="ec2/i-")
    return [event["message"] for event in told["events"]]


@pytest.mark.slow
def test_machines_behind_a_balancer_answer_are_replaced_are_renewed_and_go(account: Server, tmp_path: Path) -> None:
    account.ask("speed", speed=60)
    try:
        life(account, tmp_path)
    finally:
        account.ask("speed", speed=1)


def life(account: Server, folder: Path) -> None:
    # By its names an answer says which model gave it; with too few of them the service does not start.
    renamed = starter_with(lambda labels: [f"new_{label}" for label in labels], folder / "renamed")
    broken = starter_with(lambda labels: labels[:3], folder / "broken")
    photo = save(folder / "dog.jpg", 7).read_bytes()
    aws = Aws(AwsSettings())
    starter = Run.open(STARTER)
    assert deploy(starter, instances=2)[-1] == "machine group"
    here = Predictor.open(starter).predict(photo)
    there = machines.client(aws).predict(photo)
    assert there.breed == here.breed
    assert dict(there.top) == pytest.approx(dict(here.top), abs=1e-3)
    url = address(aws).url
    assert url in machines.calls(aws)["curl"]

    # One dies: for some seconds its requests fail, then another has taken its place.
    first = in_service()
    boto3.client("ec2").terminate_instances(InstanceIds=[min(first)])
    until(lambda: min(first) not in in_service() and len(in_service()) == 2)
    until(lambda: machines.TargetGroup(aws).healthy() == 2)
    # Each machine logs under its own name, what it was asked too.
    until(lambda: any('"route": "/predict"' in line for line in lines()))

    # Another model, while requests go on.
    asking = Asking(url, photo)
    assert deploy(renamed, instances=2) == ["model data", "launch template", "machine group"]
    until(lambda: asking.said and asking.said[-1].startswith("new_"))
    asking.end()
    assert asking.failed == []
    assert asking.said[0] == here.breed
    assert not in_service() & first

    # A model that crashes is taken back by the group; the one before answers on, and the next deployment mends it.
    account.ask("speed", speed=400)
    with pytest.raises(DogbreedError, match=r"was not renewed \(RollbackSuccessful"):
        deploy(broken, instances=2)
    assert str(machines.client(aws).predict(photo).breed) == f"new_{here.breed}"
    account.ask("speed", speed=60)
    assert deploy(renamed, instances=2) == ["launch template"]

    # One machine without a balancer, asked on the machine itself; what it has no use for goes.
    done = deploy(renamed, single=True)
    assert done[-4:] == ["listeners", "load balancer", "target group", "security group"]
    assert len(in_service()) == 1
    assert OfMachine(aws).predict(photo).breed == f"new_{here.breed}"
    assert "start-session" in machines.calls(aws)["from outside"]

    role = [call for call in account.ask("calls") if "/dogbreed-ec2-service-eu-west-1/" in call["who"]]
    assert role
    assert beyond(ec2_service(Scope.of(aws)), role) == []

    for _ in planning.teardown(machines.everything(aws)).apply():
        pass
    left = [one.name for one in machines.everything(aws) if one.find()]
    assert left == ["/dogbreed/dogbreed"]
    told = account.ask("status")
    assert (told["machines"], told["groups"], told["balancers"]) == ([], {}, {})
