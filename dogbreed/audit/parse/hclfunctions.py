"""Terraform's functions that policies and settings are written with; all others give an unknown value."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dogbreed.audit.model import HOLE, UNKNOWN
from dogbreed.audit.parse.placed import Arr, Obj

# A file that a module reads into a policy.
LARGEST_FILE = 2**20
_FORMAT = re.compile(r"%(?:%|[-+# 0]*\d*(?:\.\d+)?[a-zA-Z])")
_SAME = ("tostring", "tonumber", "tobool", "tolist", "tomap", "sensitive", "nonsensitive", "jsonencode", "base64encode")


def known(value: Any) -> bool:
    """Whether a value is known, down to the last character of a text."""
    return not (value is UNKNOWN or (isinstance(value, str) and HOLE in value) or hasattr(value, "attribute"))


def text_of(value: Any) -> str:
    """A value inside a text; objects and lists as JSON, since only `jsonencode` puts them there."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, dict | list):
        return json.dumps(value, default=lambda _: HOLE, ensure_ascii=False)
    return HOLE


def call(name: str, given: list[Any], folder: str) -> Any:
    """What a function gives; UNKNOWN for one that is not known here, or arguments that are not."""
    if name in ("file", "templatefile"):
        return _file(given, folder)
    if name in ("try", "coalesce"):
        return _first(name, given)
    if name in _SAME:
        return given[0] if given else UNKNOWN
    work = _FUNCTIONS.get(name)
    if work is None:
        return UNKNOWN
    try:
        return work(*given)
    except (TypeError, ValueError, IndexError, KeyError, AttributeError):
        return UNKNOWN


def _file(given: list[Any], folder: str) -> Any:
    """A file of the module: below its folder, or reached from it by a relative path."""
    if not given or not isinstance(given[0], str) or HOLE in given[0]:
        return HOLE
    path = Path(folder) / given[0]
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_FILE:
            return HOLE
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return HOLE


def _first(name: str, given: list[Any]) -> Any:
    """`try` takes the first that works, `coalesce` the first that is something."""
    for value in given:
        if name == "coalesce" and value in (None, ""):
            continue
        return value
    return UNKNOWN


def _format(pattern: str, *values: Any) -> str:
    rest = list(values)
    return _FORMAT.sub(lambda match: "%" if match[0] == "%%" else text_of(rest.pop(0)), pattern)


def _concat(*lists: Any) -> Arr:
    made = Arr()
    for one in lists:
        if isinstance(one, list):
            for at, member in enumerate(one):
                made.put(member, one.place(at) if isinstance(one, Arr) else None)
        else:
            made.put(UNKNOWN, None)
    return made


def _merge(*objects: Any) -> Any:
    made = Obj()
    for one in objects:
        if one is None:
            continue
        if not isinstance(one, dict):
            return UNKNOWN
        for key, member in one.items():
            made.put(key, member, one.place(key) if isinstance(one, Obj) else None)
    return made


def _flatten(value: Any) -> Arr:
    made = Arr()
    for at, member in enumerate(value):
        if isinstance(member, list):
            inner = _flatten(member)
            for index, one in enumerate(inner):
                made.put(one, inner.place(index))
        else:
            made.put(member, value.place(at) if isinstance(value, Arr) else None)
    return made


def _distinct(value: Any) -> Any:
    if not isinstance(value, list) or not all(known(one) for one in value):
        return value
    made: list[Any] = []
    for one in value:
        if one not in made:
            made.append(one)
    return Arr(made)


def _join(separator: str, *lists: Any) -> str:
    if not all(isinstance(one, list) for one in lists):
        return HOLE
    return separator.join(text_of(one) for many in lists for one in many)


def _lookup(value: Any, key: str, *default: Any) -> Any:
    if not isinstance(value, dict) or not known(key):
        return UNKNOWN
    return value.get(key, default[0] if default else UNKNOWN)


def _replace(text: str, old: str, new: str) -> str:
    if len(old) > 1 and old[0] == old[-1] == "/":
        return HOLE
    return text.replace(old, new)


def _sure(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that is only worked out when everything it takes is known."""

    def run(*given: Any) -> Any:
        for one in given:
            if not known(one) or (isinstance(one, list) and not all(known(member) for member in one)):
                return UNKNOWN
        return function(*given)

    return run


def _decoded(text: Any) -> Any:
    return text if isinstance(text, dict | list) else json.loads(text) if known(text) else UNKNOWN


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "format": _format,
    "formatlist": lambda pattern, values: Arr(_format(pattern, one) for one in values),
    "join": _join,
    "concat": _concat,
    "merge": _merge,
    "flatten": _flatten,
    "toset": _distinct,
    "distinct": _distinct,
    "compact": lambda value: Arr(one for one in value if one not in (None, "")),
    "lookup": _lookup,
    "element": _sure(lambda value, at: value[int(at) % len(value)]),
    "keys": lambda value: Arr(sorted(value)),
    "values": lambda value: Arr(value[key] for key in sorted(value)),
    "length": lambda value: len(value) if known(value) else UNKNOWN,
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "title": _sure(lambda text: text.title()),
    "trimspace": lambda text: text.strip(),
    "trimprefix": _sure(lambda text, prefix: text.removeprefix(prefix)),
    "trimsuffix": _sure(lambda text, suffix: text.removesuffix(suffix)),
    "trim": _sure(lambda text, characters: text.strip(characters)),
    "chomp": lambda text: text.rstrip("\r\n"),
    "replace": _replace,
    "split": _sure(lambda separator, text: Arr(text.split(separator))),
    "substr": _sure(lambda text, at, length: text[at:] if length < 0 else text[at : at + length]),
    "contains": _sure(lambda value, wanted: wanted in value),
    "startswith": _sure(lambda text, start: text.startswith(start)),
    "endswith": _sure(lambda text, end: text.endswith(end)),
    "one": lambda value: value[0] if value else None,
    "sort": _sure(lambda value: Arr(sorted(value))),
    "reverse": lambda value: Arr(reversed(value)),
    "range": _sure(lambda *ends: Arr(range(*ends)) if max(ends) < 1000 else UNKNOWN),
    "zipmap": lambda keys, values: Obj(zip(keys, values, strict=False)),
    "setunion": lambda *sets: _distinct(_concat(*sets)),
    "slice": _sure(lambda value, start, end: Arr(value[start:end])),
    "jsondecode": _decoded,
    "base64decode": _sure(lambda text: base64.b64decode(text).decode()),
    "min": _sure(min),
    "max": _sure(max),
    "abspath": lambda path: path,
    "basename": _sure(lambda path: path.rsplit("/", 1)[-1]),
}
