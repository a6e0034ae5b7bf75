"""JSON with positions: the C parser reads, and places are looked up afterwards, only those that are asked for.

Tolerates a byte order mark and several documents in one file (JSON Lines, or one after the other). Errors carry line
and column. Duplicate keys are noticed, since the second one silently wins.
"""

from __future__ import annotations

import json
import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]
from pathlib import Path as FilePath
from typing import Any, NoReturn

from dogbreed.audit.finding import BrokenInput, Location
from dogbreed.audit.source import Path

# No policy or template is nested so deep; Python's own limit is 1,000 frames.
DEEPEST = 200
_SPACE = re.compile(r"[ \t\n\r]*")
_NEXT_LINE = re.compile(r"\n(?=[{\[])")
_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)
# Half of a surrogate pair is valid JSON but no text; as long as its substitute, so that positions stay.
_PAIR_OR_HALF = re.compile(r"(?<!\\)(\\u[dD][89abAB]\w\w\\u[dD][c-fC-F]\w\w)|(?<!\\)\\u[dD][89a-fA-F]\w\w")


def read_text(path: FilePath, shown: str) -> str:
    """The text of a file in UTF-8, or UTF-16 with a byte order mark; raises BrokenInput."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BrokenInput(Location(shown), f"cannot be read: {error.strerror or error}") from None
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        raise BrokenInput(Location(shown, line, column), f"is not text in {encoding.upper()}") from None


class JsonSource:
    """The places of the values of one JSON document, which begins at `start` in `text`."""

    def __init__(self, file: str, text: str, start: int = 0, lines: Lines | None = None) -> None:
        self.file = file
        self.duplicates: list[tuple[Location, str]] = []
        self._text = text
        self._start = start
        self._lines = lines or Lines(text)
        self._children: dict[int, dict[str | int, int]] = {}

    def locate(self, path: Path) -> Location:
        """The place of the value at `path`, or of the nearest value around it."""
        at = self._start
        for step in path:
            child = self._inside(at).get(step)
            if child is None:
                break
            at = child
        return self._lines.place(self.file, at)

    def find_duplicates(self) -> list[tuple[Location, str]]:
        """Every key that stands twice in its object, at its second place."""
        waiting, found = [self._start], []
        while waiting:
            at = waiting.pop()
            seen: set[str | int] = set()
            for key, key_at, value_at in self._members(at):
                if key in seen:
                    found.append((self._lines.place(self.file, key_at), str(key)))
                seen.add(key)
                if self._text[value_at] in "{[":
                    waiting.append(value_at)
        return sorted(found)

    def _inside(self, at: int) -> dict[str | int, int]:
        if at not in self._children:
            self._children[at] = {key: value_at for key, _, value_at in self._members(at)}
        return self._children[at]

    def _members(self, at: int) -> Iterator[tuple[str | int, int, int]]:
        """(key or index, place of the key, place of the value) in the object or array that begins at `at`."""
        text, opening = self._text, self._text[at]
        if opening not in "{[":
            return
        index, at = 0, _skip(text, at + 1)
        while text[at] not in "}]":
            if text[at] == ",":
                at = _skip(text, at + 1)
            key: str | int = index
            key_at = at
            if opening == "{":
                key, at = scanstring(text, at + 1, True)
                at = _skip(text, _skip(text, at) + 1)
            yield key, key_at, at
            at = _skip(text, _SCAN(text, at)[1])
            index += 1


class Lines:
    """Line and column of an offset."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts: array[int] | None = None

    def place(self, file: str, offset: int) -> Location:
        """The location of a character."""
        if self._starts is None:
            self._starts = array("Q", [0])
            self._starts.extend(match.end() for match in re.finditer("\n", self._text))
        line = bisect_right(self._starts, offset)
        return Location(file, line, offset - self._starts[line - 1] + 1)


def parse(text: str, file: str) -> tuple[Any, JsonSource]:
    """The one document of a text; raises BrokenInput."""
    documents, errors = parse_many(text, file)
    if errors:
        raise errors[0]
    if len(documents) != 1:
        place = documents[1][1].locate(()) if documents else Location(file, 1, 1)
        raise BrokenInput(place, "holds more than one JSON document" if documents else "holds no JSON")
    return documents[0]


def parse_many(text: str, file: str) -> tuple[list[tuple[Any, JsonSource]], list[BrokenInput]]:
    """Every JSON document of a text and what is broken between them; a broken line of JSON Lines costs only itself."""
    if text.startswith("\ufeff"):
        text = text[1:]
    if "\\ud" in text or "\\uD" in text:
        text = _PAIR_OR_HALF.sub(lambda match: match[1] or "\\ufffd", text)
    lines = Lines(text)
    documents: list[tuple[Any, JsonSource]] = []
    errors: list[BrokenInput] = []
    at = _skip(text, 0)
    while at < len(text):
        doubled: list[str] = []
        source = JsonSource(file, text, at, lines)
        try:
            value, end = _decoder(doubled).raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            broken, message = _what(error, text, at)
            errors.append(BrokenInput(lines.place(file, broken), message))
            following = _NEXT_LINE.search(text, at)
            if not following:
                break
            at = following.end()
            continue
        if doubled:
            source.duplicates = source.find_duplicates()
            errors += [BrokenInput(place, f"the key {key!r} stands twice") for place, key in source.duplicates]
        documents.append((value, source))
        at = _skip(text, end)
    return documents, errors


def _what(error: Exception, text: str, start: int) -> tuple[int, str]:
    """The offset and the sentence of what is wrong."""
    if isinstance(error, json.JSONDecodeError):
        return error.pos, f"is not valid JSON: {error.msg[0].lower()}{error.msg[1:]}"
    if isinstance(error, RecursionError):
        depth = 0
        for match in _BRACKET.finditer(text, start):
            depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(match[0], 0)
            if depth > DEEPEST:
                return match.start(), f"is nested more than {DEEPEST} deep"
        return start, "is nested too deep"
    return start, f"is not valid JSON: {error}"


def _decoder(doubled: list[str]) -> json.JSONDecoder:
    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(members)
        if len(made) != len(members):
            doubled.append("")
        return made

    return json.JSONDecoder(object_pairs_hook=pairs, parse_constant=_no_constant)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


_SCAN = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
