"""Patterns with `*` and `?`, on one side or on both: does it match, do both name one thing, does one hold the other.

A `HOLE` is text that is not known, so it makes answers unknown. `LITERAL` and `ANY_ONE` are a `*` and a `?` that mean
themselves, as `${*}` and `${?}` do in a policy. In ARNs every one of the six parts is compared for itself.
"""

from __future__ import annotations

import re
from functools import lru_cache

from dogbreed.audit.answer import NO, UNKNOWN, YES, Answer, all_of
from dogbreed.audit.model import HOLE

LITERAL, ANY_ONE = "\ue001", "\ue002"
_UNESCAPE = str.maketrans({LITERAL: "*", ANY_ONE: "?"})
_ESCAPE = str.maketrans({"*": LITERAL, "?": ANY_ONE})
_WILD = re.compile(r"[*?]+")
_UNFIXED = re.compile(f"[*?{HOLE}]")
_CACHE = 1 << 16
ARN_PARTS = 6
_LONGEST_SEARCH = 5_000


def literal(text: str) -> str:
    """The pattern that matches only this text."""
    return text.translate(_ESCAPE)


def plain(pattern: str) -> str:
    """The text that a pattern without wildcards stands for."""
    return pattern.translate(_UNESCAPE)


def has_wildcard(pattern: str) -> bool:
    """Whether it can match more than one text."""
    return "*" in pattern or "?" in pattern or HOLE in pattern


@lru_cache(_CACHE)
def matches(pattern: str, text: str) -> Answer:
    """Whether a pattern matches a text; in the text `*` and `?` are plain characters."""
    if pattern == "*":
        return YES
    if HOLE not in pattern and HOLE not in text:
        return YES if _fits(pattern, text) else NO
    if contains(pattern, literal(text)) is YES:
        return YES
    return UNKNOWN if overlaps(pattern.replace(HOLE, "*"), literal(text).replace(HOLE, "*")).possible else NO


@lru_cache(_CACHE)
def overlaps(one: str, other: str) -> Answer:
    """Whether some text matches both patterns."""
    if "*" in (one, other) or one == other:
        return YES
    holes = HOLE in one or HOLE in other
    if holes:
        one, other = one.replace(HOLE, "*"), other.replace(HOLE, "*")
    if not has_wildcard(one):
        return min(matches(other, plain(one)), UNKNOWN if holes else YES)
    if not has_wildcard(other):
        return min(matches(one, plain(other)), UNKNOWN if holes else YES)
    start = min(fixed(one), fixed(other))
    end = min(fixed(one[::-1]), fixed(other[::-1]))
    same = one[:start] == other[:start] and one[len(one) - end :] == other[len(other) - end :]
    found = same and _meet(_simple(one), _simple(other))
    return (UNKNOWN if holes else YES) if found else NO


@lru_cache(_CACHE)
def contains(outer: str, inner: str) -> Answer:
    """Whether every text that matches `inner` matches `outer`; YES is sure."""
    if outer in ("*", inner) and HOLE not in inner:
        return YES
    if HOLE in outer:
        wider = contains(outer.replace(HOLE, "*"), inner)
        return min(wider, UNKNOWN)
    inner = inner.replace(HOLE, "*")
    if not has_wildcard(inner):
        return matches(outer, plain(inner))
    outer, inner = _simple(outer), _simple(inner)
    # Only a `?` on the outer side can match what a star of the inner one stands for.
    return YES if _covers(outer, inner) or ("?" in outer and _includes(outer, inner)) else NO


def arn_matches(pattern: str, text: str) -> Answer:
    """`matches` for ARNs."""
    return _by_parts(matches, pattern, text)


def arn_overlaps(one: str, other: str) -> Answer:
    """`overlaps` for patterns of ARNs."""
    return _by_parts(overlaps, one, other)


def arn_contains(outer: str, inner: str) -> Answer:
    """`contains` for patterns of ARNs."""
    if outer == "*":
        return YES
    return _by_parts(contains, outer, inner)


def arn_finder(glob: str) -> re.Pattern[str]:
    """A regular expression for the known ARNs that a pattern possibly matches, for looking through many of them."""
    parts = glob.replace(HOLE, "*").split(":", ARN_PARTS - 1)
    if len(parts) < ARN_PARTS:
        return _regex(glob.replace(HOLE, "*"))
    return re.compile(f"{':'.join(map(_inside, parts[:-1]))}:{_regex(parts[-1]).pattern}", re.DOTALL)


def _inside(part: str) -> str:
    """The expression for one part of an ARN, whose wildcards do not reach into the next."""
    return "".join("[^:]*" if char == "*" else "[^:]" if char == "?" else re.escape(plain(char)) for char in part)


@lru_cache(_CACHE)
def _by_parts(compare: Answering, one: str, other: str) -> Answer:
    """All six parts, where both have six; a lone `*`, a hole or a broken ARN is compared as a whole."""
    ones, others = one.split(":", ARN_PARTS - 1), other.split(":", ARN_PARTS - 1)
    if len(ones) < ARN_PARTS or len(others) < ARN_PARTS:
        return compare(one, other)
    return all_of(compare(a, b) for a, b in zip(ones, others, strict=True))


class Answering:
    """The type of `matches`, `overlaps` and `contains`."""

    def __call__(self, one: str, other: str) -> Answer:
        """Compare two patterns."""
        raise NotImplementedError


def _fits(pattern: str, text: str) -> bool:
    """Whether a pattern matches a text, without a regular expression where it has one star or none."""
    if "?" in pattern or pattern.count("*") > 1:
        return _regex(pattern).fullmatch(text) is not None
    head, star, tail = pattern.partition("*")
    if LITERAL in pattern or ANY_ONE in pattern:
        head, tail = plain(head), plain(tail)
    if not star:
        return head == text
    return len(text) >= len(head) + len(tail) and text.startswith(head) and text.endswith(tail)


@lru_cache(_CACHE)
def _regex(pattern: str) -> re.Pattern[str]:
    """Each piece between stars is taken where it stands first and never tried again, so that time stays linear."""
    first, *rest = [
        "".join("." if char == "?" else re.escape(plain(char)) for char in piece)
        for piece in _simple(pattern).split("*")
    ]
    if not rest:
        return re.compile(first, re.DOTALL)
    middle = "".join(f"(?>.*?{piece})" for piece in rest[:-1])
    return re.compile(f"{first}{middle}.*{rest[-1]}", re.DOTALL)


def _simple(pattern: str) -> str:
    """Every run of wildcards as its question marks and then at most one star: the form that is compared."""
    return _WILD.sub(lambda run: "?" * run[0].count("?") + "*" * ("*" in run[0]), pattern)


def fixed(pattern: str) -> int:
    """How many characters stand before the first wildcard or unknown part."""
    wild = _UNFIXED.search(pattern)
    return wild.start() if wild else len(pattern)


def _meet(one: str, other: str) -> bool:
    """Whether two token strings have a text in common: walk over the pairs of places that can be reached."""
    waiting, seen = [(0, 0)], {(0, 0)}
    while waiting:
        i, j = waiting.pop()
        if i == len(one) and j == len(other):
            return True
        steps = []
        a = one[i] if i < len(one) else ""
        b = other[j] if j < len(other) else ""
        if a == "*":
            steps.append((i + 1, j))
            if b:
                steps.append((i, j + 1))
        if b == "*":
            steps.append((i, j + 1))
            if a:
                steps.append((i + 1, j))
        if a and b and "*" not in (a, b) and (a == b or "?" in (a, b)):
            steps.append((i + 1, j + 1))
        for step in steps:
            if step not in seen:
                seen.add(step)
                waiting.append(step)
    return False


def _covers(outer: str, inner: str) -> bool:
    """Whether the outer pattern can read the inner one with its wildcards as letters that only wildcards match."""
    here = {0}
    for char in [*inner, ""]:
        waiting = list(here)
        while waiting:
            i = waiting.pop()
            if i < len(outer) and outer[i] == "*" and i + 1 not in here:
                here.add(i + 1)
                waiting.append(i + 1)
        if not char:
            return len(outer) in here
        following = set()
        for i in here:
            if i == len(outer):
                continue
            if outer[i] == "*":
                following.add(i)
            elif char != "*" and (outer[i] in ("?", char)):
                following.add(i + 1)
        here = following
        if not here:
            return False
    return False


def _includes(outer: str, inner: str) -> bool:
    """Whether no text matches the inner pattern only: all texts are tried at once, letter by letter.

    The letters are those of both patterns and one that stands for all others. NO when that would take too long.
    """
    letters = set(outer + inner) - {"*", "?"} | {HOLE}
    start = (0, _close(outer, frozenset({0})))
    waiting, seen = [start], {start}
    while waiting and len(seen) < _LONGEST_SEARCH:
        at, outers = waiting.pop()
        rest = inner[at:]
        if not rest.strip("*") and len(outer) not in outers:
            return False
        following = [(at + 1, outers)] if rest[:1] == "*" else []
        for letter in letters if rest[:1] in ("*", "?") else rest[:1]:
            step = at if rest[0] == "*" else at + 1
            following.append((step, _close(outer, _read(outer, outers, letter))))
        for pair in following:
            if pair not in seen:
                seen.add(pair)
                waiting.append(pair)
    return not waiting


def _read(glob: str, places: frozenset[int], letter: str) -> frozenset[int]:
    """The places in a pattern after one more letter."""
    here = [place for place in places if place < len(glob)]
    stay = {place for place in here if glob[place] == "*"}
    return frozenset(stay | {place + 1 for place in here if glob[place] in ("?", letter)})


def _close(glob: str, places: frozenset[int]) -> frozenset[int]:
    """These places and those behind stars that may stand for nothing."""
    found = set(places)
    for place in sorted(places):
        while place < len(glob) and glob[place] == "*":
            place += 1  # noqa: PLW2901
            found.add(place)
    return frozenset(found)
