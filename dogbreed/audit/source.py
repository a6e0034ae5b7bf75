"""Where a value stands in its file: sources answer for a path of keys and indexes, and only when asked.

A big account dump has a million values and a handful of findings, so positions are computed when a finding needs one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from dogbreed.audit.finding import Location

# Keys and indexes from the top of a document, such as ("Statement", 0, "Action", 2).
Path = tuple[str | int, ...]


class Source(Protocol):
    """A document that knows where its values stand."""

    @property
    def file(self) -> str:
        """The file's name, as it is shown."""
        ...

    def locate(self, path: Path) -> Location:
        """The place of the value at `path`, or of the nearest value around it that is known."""
        ...


class Fixed:
    """A source in which everything stands at one place, such as JSON inside a string of a plan."""

    def __init__(self, location: Location) -> None:
        self.location = location
        self.file = location.file

    def locate(self, path: Path) -> Location:
        """The one place."""
        return self.location


class Table:
    """A source made by a parser that knows its positions beforehand (YAML, HCL): {path: (line, column)}."""

    def __init__(self, file: str, positions: Mapping[Path, tuple[int, int]]) -> None:
        self.file = file
        self.positions = positions

    def locate(self, path: Path) -> Location:
        """The place of the longest known beginning of `path`."""
        for length in range(len(path), -1, -1):
            if found := self.positions.get(path[:length]):
                return Location(self.file, *found)
        return Location(self.file)
