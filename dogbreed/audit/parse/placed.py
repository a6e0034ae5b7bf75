"""Objects and lists that remember where each member came from, for values that a parser moves, renames or computes.

A place is a path into the file's own document, or a (line, column) pair. `Placed` is the Source that follows them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dogbreed.audit.finding import Location
from dogbreed.audit.source import Path, Source


class At(tuple[int, int]):
    """A line and a column, where a path would also be possible; or a Location in another file."""

    __slots__ = ()


Place = Path | At | Location | None


class Obj(dict[str, Any]):
    """A dict with the place of each member in `places`."""

    __slots__ = ("places",)

    def __init__(self, members: Iterable[tuple[str, Any]] = (), places: dict[str, Place] | None = None) -> None:
        super().__init__(members)
        self.places: dict[str, Place] = places if places is not None else {}

    def put(self, key: str, value: Any, place: Place) -> None:
        """Set a member and where it stands."""
        self[key] = value
        self.places[key] = place

    def place(self, key: str) -> Place:
        """Where a member stands, None when that is not known."""
        return self.places.get(key)


class Arr(list[Any]):
    """A list with the place of each item in `places`."""

    __slots__ = ("places",)

    def __init__(self, items: Iterable[Any] = (), places: list[Place] | None = None) -> None:
        super().__init__(items)
        self.places: list[Place] = places if places is not None else []

    def put(self, value: Any, place: Place) -> None:
        """Append an item and where it stands."""
        self.append(value)
        self.places.append(place)

    def place(self, index: int) -> Place:
        """Where an item stands, None when that is not known."""
        return self.places[index] if index < len(self.places) else None


class Placed:
    """A source for `root`, an Obj or Arr: walks a path through it and asks `raw` for the last place on the way."""

    def __init__(self, raw: Source, root: Any, place: Place = ()) -> None:
        self.raw = raw
        self.file = raw.file
        self.root = root
        self.place = place

    def locate(self, path: Path) -> Location:
        """The place of the value at `path`, or of the nearest value around it."""
        value, place, rest = self.root, self.place, 0
        for count, step in enumerate(path, 1):
            text = isinstance(value, Obj) and isinstance(step, str)
            inner = value.place(step) if text or (isinstance(value, Arr) and isinstance(step, int)) else None
            if inner is not None:
                place, rest = inner, count
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                break
        if isinstance(place, Location):
            return place
        if isinstance(place, At):
            return Location(self.file, *place)
        return self.raw.locate((*(place or ()), *path[rest:]))


def placed(value: Any, path: Path = ()) -> Any:
    """A plain value as Obj and Arr, each member placed at its own path."""
    if isinstance(value, dict):
        made = Obj()
        for key, member in value.items():
            made.put(key, placed(member, (*path, key)), (*path, key))
        return made
    if isinstance(value, list):
        items = Arr()
        for index, member in enumerate(value):
            items.put(placed(member, (*path, index)), (*path, index))
        return items
    return value


def plain(value: Any) -> Any:
    """A value without places."""
    if isinstance(value, dict):
        return {key: plain(member) for key, member in value.items()}
    return [plain(member) for member in value] if isinstance(value, list) else value
