"""A folder tree read once, safely: links are followed but never in circles, and what is odd is named."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path

from dogbreed.data.problem import Problem

_SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "icon\r"})


@dataclass(slots=True)
class Folder:
    """One folder with its folders and plain files, each sorted by name."""

    path: Path
    folders: list[Folder] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def count(self) -> int:
        """Plain files in it and below it."""
        return len(self.files) + sum(folder.count() for folder in self.folders)

    def every_file(self) -> list[Path]:
        """Plain files in it and below it, in order."""
        return [*self.files, *(path for folder in self.folders for path in folder.every_file())]


def walk(root: Path) -> tuple[Folder, list[Problem]]:
    """The tree below `root`, without hidden files, and what was odd on the way; OSError when root is unreadable."""
    walker = _Walker()
    tree = walker.enter(root, {_identity(root.stat())})
    if tree is None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(root))
    walker.follow_links()
    _sort(tree)
    return tree, walker.problems


def _identity(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino


def _sort(folder: Folder) -> None:
    folder.folders.sort(key=lambda below: below.path.name)
    for below in folder.folders:
        _sort(below)


class _Walker:
    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.seen: set[tuple[int, int]] = set()
        # Real folders come first, so that a link to one of them never takes its place.
        self.links: list[tuple[Folder, Path, frozenset[tuple[int, int]]]] = []

    def enter(self, path: Path, trail: set[tuple[int, int]]) -> Folder | None:
        try:
            with os.scandir(path) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            self.note(path, "unreadable", f"folder: {error.strerror or error}")
            return None
        self.seen |= trail
        folder = Folder(path)
        for entry in entries:
            self.take(folder, entry, trail)
        return folder

    def take(self, folder: Folder, entry: os.DirEntry[str], trail: set[tuple[int, int]]) -> None:
        path = folder.path / entry.name
        if entry.name.startswith(".") or entry.name.lower() in _SYSTEM_FILES:
            self.note(path, "hidden", "a hidden or system file")
        elif entry.is_symlink():
            self.take_link(folder, path, trail)
        elif entry.is_dir():
            below = self.enter(path, trail | {_identity(entry.stat())})
            if below:
                folder.folders.append(below)
        elif entry.is_file():
            folder.files.append(path)
        else:
            self.note(path, "not-a-file", "a pipe, socket or device")

    def take_link(self, folder: Folder, path: Path, trail: set[tuple[int, int]]) -> None:
        try:
            path.stat()
        except OSError as error:
            kind = "symlink-loop" if error.errno == errno.ELOOP else "broken-symlink"
            self.note(path, kind, f"a link to {path.readlink()}")
            return
        if path.is_dir():
            self.links.append((folder, path, frozenset(trail)))
        elif path.is_file():
            folder.files.append(path)
        else:
            self.note(path, "not-a-file", "a link to a pipe, socket or device")

    def follow_links(self) -> None:
        while self.links:
            folder, path, trail = self.links.pop(0)
            identity = _identity(path.stat())
            if identity in trail:
                self.note(path, "symlink-loop", f"leads back to {path.readlink()}")
            elif identity in self.seen:
                self.note(path, "linked-twice", f"leads to {path.readlink()}, which is read anyway")
            else:
                below = self.enter(path, {*trail, identity})
                if below:
                    folder.folders.append(below)

    def note(self, path: Path, kind: str, detail: str) -> None:
        self.problems.append(Problem(path, kind, detail, used=False))
