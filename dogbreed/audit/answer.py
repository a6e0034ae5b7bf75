"""Yes, no or unknown: what can be said about a permission when not everything is known."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class Answer(IntEnum):
    """Three-valued truth (Kleene): `and` is the smallest, `or` the greatest, `not` the mirror image."""

    NO = 0
    UNKNOWN = 1
    YES = 2

    def __invert__(self) -> Answer:
        return Answer(2 - self.value)

    def __str__(self) -> str:
        return self.name.lower()

    @property
    def possible(self) -> bool:
        """Yes or unknown."""
        return self is not Answer.NO


YES, NO, UNKNOWN = Answer.YES, Answer.NO, Answer.UNKNOWN


def all_of(answers: Iterable[Answer]) -> Answer:
    """`and` over any number: yes for none."""
    return min(answers, default=YES)


def any_of(answers: Iterable[Answer]) -> Answer:
    """`or` over any number: no for none."""
    return max(answers, default=NO)


def among(outcomes: Iterable[Answer]) -> Answer:
    """The one answer that all possible cases give, or unknown; no for no case at all."""
    different = set(outcomes)
    return different.pop() if len(different) == 1 else UNKNOWN if different else NO
