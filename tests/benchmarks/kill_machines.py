"""The door ec2 killed at every change of deploy, update and destroy in turn, each time from an account with nothing.

    pytest tests/benchmarks/kill_machines.py -s

In tests/cloud one deployment is killed after each of its changes, and goes on from there. Here each begins anew, is
killed once, and its repetition runs to the end, for every number: of all changes of deploy and destroy, and of the
calls of an update, every seventh of the reads too, so that it also dies at many moments of the renewal. It has taken 33
minutes on two cores that others used as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import small_machines
from deployed import another, deploy, wanted
from standin import emptied

from dogbreed.cloud.serving import balancer, group
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings
from dogbreed.rehearse.state import StandIn
from dogbreed.run import STARTER, Run

_READS = ("Get", "Describe", "List", "Head", "BatchGet")
_SPEED, _MACHINES, _EVERY = 20, 2, 7


class Killed(BaseException):
    """No handler of errors may catch this, as none could catch a kill."""


@contextmanager
def dying(aws: Aws, number: int, *, reads: bool) -> Iterator[None]:
    """Die after the call of that number that AWS has carried out; of those alone that change something, or of all."""
    calls = count(1)

    def die(http_response: Any, model: Any, **_: Any) -> None:
        counts = http_response.status_code < 300 and (reads or not model.name.startswith(_READS))
        if counts and next(calls) == number:
            raise Killed

    aws._clients.clear()
    aws.session.events.register("after-call.*.*", die)
    try:
        yield
    finally:
        aws.session.events.unregister("after-call.*.*", die)
        aws._clients.clear()


def dies(aws: Aws, number: int, deed: Callable[[], object], *, reads: bool = False) -> bool:
    """Whether `deed` died; it is repeated in any case."""
    try:
        with dying(aws, number, reads=reads):
            deed()
    except Killed:
        deed()
        return True
    return False


def test_killed_once_at_every_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "_LOOK_S", 0.2)
    monkeypatch.setattr(balancer, "_LOOK_S", 0.2)
    first, second = Run.open(STARTER), another(tmp_path / "two")
    with StandIn() as server:
        emptied(server, monkeypatch)
        server.ask("speed", speed=_SPEED)
        aws = Aws(AwsSettings())
        image = small_machines.image(aws)
        more = {"instances": _MACHINES, "ttl": "100d"}
        one, two = (wanted(aws, run, image, "ec2", **more) for run in (first, second))
        # Which of the three still dies; what has come to its end once before its number need not be tried again.
        going = {"deploy": True, "update": True, "destroy": True}
        for number in count(1):
            began = time.monotonic()
            going["deploy"] = going["deploy"] and dies(aws, number, lambda: deploy(one))
            if not going["deploy"]:
                deploy(one)
            assert deploy(one) == [], f"deploy, {number}"
            if going["update"]:
                # The first changes one by one, then every seventh call.
                few = number <= 5
                at = number if few else (number - 5) * _EVERY
                going["update"] = dies(aws, at, lambda: deploy(two), reads=not few) or few
                assert deploy(two) == [], f"update, {number}"
                assert len(small_machines.versions(aws)) == 1
            going["destroy"] = going["destroy"] and dies(aws, number, lambda: small_machines.destroy(aws))
            if not going["destroy"]:
                small_machines.destroy(aws)
            assert small_machines.left(aws) == [], f"destroy, {number}"
            told = server.ask("status")
            assert (told["machines"], told["groups"], told["balancers"]) == ([], {}, {})
            print(number, going, f"{time.monotonic() - began:.0f} s", flush=True)
            if not any(going.values()):
                break
