"""YAML with positions, safe against bombs: built from the parser's events, CloudFormation's short tags written out.

Only null, booleans and numbers become other than text (a policy's `2012-10-17` is no date). Aliases are shared, and
what they would expand to is counted beforehand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dogbreed.audit.finding import BrokenInput, Location
from dogbreed.audit.jsontext import DEEPEST
from dogbreed.audit.source import Path

# Values of one file, aliases expanded; CloudFormation takes at most 1 MB and 500 resources.
MOST_VALUES = 500_000
_CONSTANTS = {"": None, "~": None, "null": None} | {
    spelled: word in ("true", "yes", "on")
    for word in ("true", "yes", "on", "false", "no", "off")
    for spelled in (word, word.capitalize(), word.upper())
}
_CONSTANTS |= {"Null": None, "NULL": None}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_ACCOUNT_DIGITS = 12


@dataclass(slots=True)
class Node:
    """A value, where it begins, its members by key or index, and how many values it expands to."""

    value: Any
    line: int
    column: int
    members: dict[str | int, Node] = field(default_factory=dict)
    size: int = 1
    depth: int = 1
    # The long name of a short tag: `!Sub x` is {"Fn::Sub": "x"} at one place.
    tag: str = ""
    # Keys that came from a merge (`<<`), which the object's own keys override.
    merged: set[str | int] = field(default_factory=set)


class YamlSource:
    """The places of the values of one YAML document."""

    def __init__(self, file: str, node: Node) -> None:
        self.file = file
        self._node = node

    def locate(self, path: Path) -> Location:
        """The place of the value at `path`, or of the nearest value around it."""
        node, inside = self._node, False
        for step in path:
            if node.tag and not inside and step == node.tag:
                inside = True
                continue
            following = node.members.get(step)
            if following is None:
                break
            node, inside = following, False
        return Location(self.file, node.line, node.column)


def parse_many(text: str, file: str) -> tuple[list[tuple[Any, YamlSource]], list[BrokenInput]]:
    """Every document of a YAML text, and what is broken in it: all after that place is not read."""
    documents: list[tuple[Any, YamlSource]] = []
    builder = _Builder(file)
    try:
        for node in _documents(text.removeprefix("\ufeff"), file, builder):
            documents.append((node.value, YamlSource(file, node)))
    except BrokenInput as error:
        builder.errors.append(error)
    return documents, builder.errors


def _documents(text: str, file: str, builder: _Builder) -> Iterator[Node]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for event in yaml.parse(text, Loader=loader):
            if (node := builder.take(event)) is not None:
                yield node
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Location(file, mark.line + 1, mark.column + 1) if mark else Location(file)
        raise BrokenInput(place, f"is not valid YAML: {error.problem or error.context}") from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = Location(file, before.count("\n") + 1, error.position - before.rfind("\n"))
        raise BrokenInput(place, f"is not valid YAML: {error.reason}") from None


class _Builder:
    """Makes nodes of events with a stack of its own, since a hostile file may be nested deeper than Python's."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.open: list[tuple[Node, str, str | None, list[Any]]] = []
        self.anchors: dict[str, Node | None] = {}
        self.errors: list[BrokenInput] = []

    def take(self, event: Any) -> Node | None:
        """The finished document when this event ends one."""
        name = type(event).__name__
        if name == "DocumentStartEvent":
            self.anchors = {}
        elif name == "ScalarEvent":
            return self._add(self._scalar(event), event.anchor)
        elif name == "AliasEvent":
            if (node := self.anchors.get(event.anchor)) is None:
                raise self._broken(event, f"the alias *{event.anchor} has no anchor before it")
            return self._add(node, None)
        elif name in ("MappingStartEvent", "SequenceStartEvent"):
            if len(self.open) >= DEEPEST:
                raise self._broken(event, f"is nested more than {DEEPEST} deep")
            mark = event.start_mark
            node = Node({} if name[0] == "M" else [], mark.line + 1, mark.column + 1)
            self.open.append((node, event.tag or "", event.anchor, []))
            if event.anchor:
                self.anchors[event.anchor] = None
        elif name in ("MappingEndEvent", "SequenceEndEvent"):
            node, tag, anchor, _ = self.open.pop()
            return self._add(_tagged(node, tag), anchor)
        return None

    def _add(self, node: Node, anchor: str | None) -> Node | None:
        if anchor:
            self.anchors[anchor] = node
        if not self.open:
            return node
        parent, _, _, keys = self.open[-1]
        if isinstance(parent.value, list):
            parent.members[len(parent.value)] = node
            parent.value.append(node.value)
        elif not keys:
            keys.append(node)
            return None
        else:
            self._member(parent, keys.pop(), node)
        parent.size += node.size
        parent.depth = max(parent.depth, node.depth + 1)
        if parent.size > MOST_VALUES or parent.depth > DEEPEST:
            what = f"more than {MOST_VALUES:,} values" if parent.size > MOST_VALUES else f"more than {DEEPEST} levels"
            raise BrokenInput(Location(self.file, node.line, node.column), f"expands to {what}")
        return None

    def _member(self, parent: Node, key: Node, node: Node) -> None:
        if key.value == "<<" and isinstance(node.value, dict | list):
            for one in node.members.values() if isinstance(node.value, list) else (node,):
                for inner, member in one.members.items():
                    if inner not in parent.members:
                        parent.merged.add(inner)
                        parent.members[inner] = member
                        parent.value[inner] = member.value
            return
        name = _key(key.value)
        place = Location(self.file, key.line, key.column)
        if name is None:
            raise BrokenInput(place, "a key is an object or a list")
        if name in parent.members and name not in parent.merged:
            self.errors.append(BrokenInput(place, f"the key {name!r} stands twice"))
        parent.merged.discard(name)
        parent.members[name] = node
        parent.value[name] = node.value

    def _scalar(self, event: Any) -> Node:
        mark = event.start_mark
        plain = event.implicit[0] and not event.tag
        node = Node(_plain(event.value) if plain else event.value, mark.line + 1, mark.column + 1)
        return _tagged(node, event.tag or "")

    def _broken(self, event: Any, message: str) -> BrokenInput:
        return BrokenInput(Location(self.file, event.start_mark.line + 1, event.start_mark.column + 1), message)


def _plain(text: str) -> Any:
    """The value of a plain scalar; a number of 12 digits is an account and stays text."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] in "-+.0123456789" and len(text) < 20:
        if _INTEGER.fullmatch(text) and len(text) != _ACCOUNT_DIGITS:
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
    return text


def _key(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if isinstance(value, dict | list) else str(value)


def _tagged(node: Node, tag: str) -> Node:
    """A node with its short tag written out; other tags mean nothing here."""
    if not tag.startswith("!") or len(tag) < 2:
        return node
    name = tag[1:] if tag in ("!Ref", "!Condition") else f"Fn::{tag[1:]}"
    value = node.value
    if tag == "!GetAtt" and isinstance(value, str):
        value = list(value.partition(".")[::2])
    return Node({name: value}, node.line, node.column, node.members, node.size + 1, node.depth + 1, name)
