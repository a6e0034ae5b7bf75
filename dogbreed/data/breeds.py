"""Breed names in one spelling: lower snake case, whatever data set they come from."""

from __future__ import annotations

import re
import unicodedata

# `n02085620-` is ImageNet's and Stanford's synset number, `001.` is Udacity's class number.
_PREFIX = re.compile(r"^(n\d{8}[-_]|\d{1,3}\.)(?=.*\w)")
_BETWEEN_WORDS = re.compile(r"[\W_]+")
_APOSTROPHES = re.compile("['`\u2019]")
NAMELESS = "unnamed"
# Breeds that ImageNet, and with it most sets and models, writes with hyphens; elsewhere they become underscores.
_HYPHENATED = {
    name.replace("-", "_"): name
    for name in (
        "black-and-tan_coonhound",
        "curly-coated_retriever",
        "flat-coated_retriever",
        "german_short-haired_pointer",
        "shih-tzu",
        "soft-coated_wheaten_terrier",
        "wire-haired_fox_terrier",
    )
}


def normalise(name: str) -> str:
    """`n02085620-Chihuahua`, `001.Chihuahua` and `chihuahua` all become `chihuahua`; never empty."""
    current = name
    while (following := _once(current)) != current:
        current = following
    return _HYPHENATED.get(current, current) or NAMELESS


def _once(name: str) -> str:
    text = unicodedata.normalize("NFKC", name).casefold().strip()
    text = _PREFIX.sub("", text)
    return _BETWEEN_WORDS.sub("_", _APOSTROPHES.sub("", text)).strip("_")
