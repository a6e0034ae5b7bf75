from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dogbreed.data.breeds import normalise


@pytest.mark.parametrize(
    ("name", "breed"),
    [
        ("n02085620-Chihuahua", "chihuahua"),
        ("001.Chihuahua", "chihuahua"),
        ("chihuahua", "chihuahua"),
        ("German_short-haired_pointer", "german_short-haired_pointer"),
        ("n02100236-German_short-haired_pointer", "german_short-haired_pointer"),
        ("Bernese Mountain Dog", "bernese_mountain_dog"),
        ("  Black and tan  coonhound ", "black-and-tan_coonhound"),
        ("Toy-Poodle", "toy_poodle"),
        ("Saint Bernard's", "saint_bernards"),
        ("Épagneul Breton", "épagneul_breton"),
        ("001.", "001"),
        ("???", "unnamed"),
    ],
)
def test_one_spelling(name: str, breed: str) -> None:
    assert normalise(name) == breed


_NAMES = st.one_of(st.text(max_size=20), st.from_regex(r"(n\d{8}-|\d{1,3}\.){0,3}[\w .-]{0,8}", fullmatch=True))


@given(_NAMES)
def test_a_normal_name_stays_as_it_is(name: str) -> None:
    once = normalise(name)
    assert once and normalise(once) == once


@given(_NAMES)
def test_case_does_not_matter(name: str) -> None:
    assert normalise(name.casefold()) == normalise(name)
