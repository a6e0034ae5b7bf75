"""Waiting for what SageMaker does by itself, with a word about it every minute."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from dogbreed.errors import DogbreedError

FIRST_LOOK_S, LONGEST_LOOK_S = 0.1, 5.0
SLOWER = 1.5  # the factor by which one waits longer after each look
_TELL_EVERY_S = 60.0

Seen = TypeVar("Seen")


def watch(
    look: Callable[[], Seen],
    done: Callable[[Seen], bool],
    kind: str,
    name: str,
    state: Callable[[Seen], str],
    longest_s: float,
    tell: Callable[[str], None],
    words: Callable[[Seen], str],
) -> Seen:
    """What `look` shows once it is `done`; DogbreedError after `longest_s` seconds.

    `state` says in AWS's word how it stands, `words` says it for people.
    """
    began = told = time.monotonic()
    wait = FIRST_LOOK_S
    while not done(seen := look()):
        now = time.monotonic()
        if now - began > longest_s:
            raise DogbreedError(
                f"{kind} {name} is still {state(seen)} after {longest_s / 60:.0f} minutes",
                "it goes on in the account; the same command waits again, dogbreed status shows it",
            )
        if now - told > _TELL_EVERY_S:
            told = now
            tell(f"  {name}: {words(seen)}, {(now - began) / 60:.0f} min so far")
        time.sleep(wait)
        wait = min(LONGEST_LOOK_S, wait * SLOWER)
    return seen
