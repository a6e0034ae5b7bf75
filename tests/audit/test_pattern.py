"""Patterns against brute force over all short texts."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dogbreed.audit import pattern
from dogbreed.audit.answer import NO, UNKNOWN, YES
from dogbreed.audit.model import HOLE

TEXTS = ["".join(chars) for length in range(6) for chars in itertools.product("abc", repeat=length)]
PATTERNS = st.text("ab*?", max_size=4)


def naive(glob: str, text: str) -> bool:
    if not glob:
        return not text
    if glob[0] == "*":
        return any(naive(glob[1:], text[i:]) for i in range(len(text) + 1))
    return bool(text) and glob[0] in ("?", text[0]) and naive(glob[1:], text[1:])


@given(PATTERNS, st.sampled_from(TEXTS))
def test_matches(glob: str, text: str) -> None:
    assert pattern.matches(glob, text) is (YES if naive(glob, text) else NO)


@given(PATTERNS, PATTERNS)
def test_overlaps_if_and_only_if_a_text_matches_both(one: str, other: str) -> None:
    both = any(naive(one, text) and naive(other, text) for text in TEXTS)
    assert pattern.overlaps(one, other) is pattern.overlaps(other, one) is (YES if both else NO)


@given(PATTERNS, PATTERNS)
def test_contains_if_and_only_if_no_text_matches_only_the_inner(outer: str, inner: str) -> None:
    # The letter c stands in no pattern: with it, short texts tell a wildcard from what it happens to match.
    held = all(naive(outer, text) for text in TEXTS if naive(inner, text))
    assert pattern.contains(outer, inner) is (YES if held else NO)


@given(PATTERNS, PATTERNS, st.integers(0, 4))
def test_an_unknown_part_is_never_sure(one: str, other: str, place: int) -> None:
    holed = one[:place] + HOLE + one[place:]
    filled = [one[:place] + middle + one[place:] for middle in ("", "a", "b", "ab", "ba")]
    for compare in (pattern.overlaps, pattern.contains):
        answers = {compare(text, other) for text in filled}
        if compare(holed, other) is not UNKNOWN:
            assert answers == {compare(holed, other)}


def test_arns_are_compared_part_by_part() -> None:
    assert pattern.arn_matches("arn:aws:iam::*:role/x", "arn:aws:iam::123456789012:role/x") is YES
    assert pattern.arn_matches("arn:aws:s3:*:x", "arn:aws:s3:::x") is YES, "a short pattern is compared as a whole"
    assert pattern.arn_matches("arn:*:*:*:*:role/x", "arn:aws:iam::1:user/role/x") is NO
    assert pattern.arn_matches("arn:aws:lambda:*:1:function:*", "arn:aws:lambda:eu-west-1:1:function:a:b") is YES


@pytest.mark.parametrize("size", [2_000])
def test_many_stars_take_no_longer(size: int) -> None:
    assert pattern.matches("*a" * 60 + "b", "a" * size) is NO
    assert pattern.overlaps("*a" * 60 + "b", "*a" * 60 + "c") is NO
