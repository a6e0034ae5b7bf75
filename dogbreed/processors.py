"""How many processors this process may use, which in a container are fewer than the machine has."""

from __future__ import annotations

import os


def processors() -> int:
    """Logical CPUs that this process may run on, at least 1."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
