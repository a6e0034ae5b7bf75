"""What holds for every change of an account: repeating changes nothing, and a kill at any call leaves no mess."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dogbreed import plan
from dogbreed.cloud.session import Aws
from dogbreed.plan import Resource


class Killed(BaseException):
    """No handler of errors may catch this, as none could catch a kill."""


@contextmanager
def killed_at(aws: Aws, number: int, *, answered: bool) -> Iterator[None]:
    """Let `aws` make `number` calls, then die: before the next one is sent, or after AWS has carried it out."""
    calls = 0

    def count(**_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > number:
            raise Killed

    events = aws.session.events
    name = "after-call.*.*" if answered else "before-call.*.*"
    # Clients take the handlers that the session has when they are made.
    aws._clients.clear()
    events.register(name, count)
    try:
        yield
    finally:
        events.unregister(name, count)
        aws._clients.clear()


def apply(resources: Sequence[Resource]) -> list[str]:
    """Make a plan and carry it out; its signs."""
    made = plan.make(resources)
    for _ in made.apply():
        pass
    return [step.sign for step in made.steps]


def remove(resources: Sequence[Resource]) -> list[str]:
    made = plan.teardown(resources)
    for _ in made.apply():
        pass
    return [step.sign for step in made.steps]


def unchanged(resources: Sequence[Resource]) -> bool:
    return all(step.sign == "=" for step in plan.make(resources).steps)


def survives_kills(
    fresh: Callable[[], Aws], wanted: Callable[[Aws], Sequence[Resource]], moments: Sequence[bool] = (False, True)
) -> int:
    """Die at every call of making and of removing, before it and after it, and repeat: all is there, then nothing is.

    Returns how many calls there were.
    """
    counts = []
    # One session for all: it reads the models of the services only once.
    session = fresh()._made
    for answered in moments:
        for number in range(200):
            aws = fresh()
            aws.__dict__["_made"] = session
            aws.account  # noqa: B018  (asked once, before the calls are counted)
            resources = wanted(aws)
            died = False
            try:
                with killed_at(aws, number, answered=answered):
                    apply(resources)
            except Killed:
                died = True
            again = wanted(aws)
            apply(again)
            assert unchanged(wanted(aws)), f"not as wanted after a kill at call {number}"
            try:
                with killed_at(aws, number, answered=answered):
                    remove(again)
            except Killed:
                died = True
            remove(wanted(aws))
            left = [one.name for one in wanted(aws) if one.find()]
            assert not left, f"left after a kill at call {number}: {left}"
            if not died:
                counts.append(number)
                break
        else:
            raise AssertionError("more than 200 calls")
    return max(counts)


def through_every_state(aws: Aws, action: Callable[[], object]) -> int:
    """Kill `action` right after each call that changes something, and repeat, until it comes to its end.

    Returns how often it was killed.
    """

    def kill(http_response: Any, model: Any, **_: Any) -> None:
        reads = model.name.startswith(("Get", "Describe", "List", "Head", "BatchGet"))
        if http_response.status_code < 300 and not reads:
            raise Killed

    # Clients take the handlers that the session has when they are made, which takes its time: one set for all.
    aws._clients.clear()
    aws.session.events.register("after-call.*.*", kill)
    try:
        for number in range(100):
            try:
                action()
            except Killed:
                continue
            return number
    finally:
        aws.session.events.unregister("after-call.*.*", kill)
        aws._clients.clear()
    raise AssertionError("it never came to its end")
