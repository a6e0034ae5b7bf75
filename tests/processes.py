"""Processes of this machine, by their environment: which there are, and letting them stand still for a while."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def having(setting: str) -> set[int]:
    """Those with a variable NAME=VALUE that begins like this; with \\0 at its end, one that is this."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile, or is somebody else's
            if b"\0" + setting.encode() in b"\0" + (process / "environ").read_bytes():
                found.add(int(process.name))
    return found


@contextmanager
def standing_still(find: Callable[[], set[int]]) -> Iterator[None]:
    """What `find` finds waits meanwhile, and what that has started while it was looked for."""
    found: set[int] = set()
    try:
        while new := find() - found:
            found |= new
            for pid in new:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
        assert found
        yield
    finally:
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
