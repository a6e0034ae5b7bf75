"""What earlier runs of the same recipe have measured: photos/s of one machine by type, and of one CPU of this one."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from dogbreed.capacity.choose import Job
from dogbreed.processors import processors
from dogbreed.run import MODEL, RUNS

_REMOTE = "remote.json"


def of_runs(job: Job, root: Path = RUNS) -> tuple[dict[str, float], float | None]:
    """(photos/s of one machine by its type without `ml.`, photos/s of one logical CPU here or None), from the runs in
    `root` that trained every layer of the same backbone; of several, the median.

    With method head a run tells how fast a head learns from features, not how fast features are made: nothing.
    """
    by_type: dict[str, list[float]] = defaultdict(list)
    here: list[float] = []
    for path in sorted(root.glob(f"*/{MODEL}")) if job.method == "finetune" else ():
        try:
            info = json.loads(path.read_text(encoding="utf-8"))
            rate = float(info["images_per_second"])
            alike = info["backbone"] == job.backbone and info["settings"]["train"]["method"] == job.method
            remote = _remote(path.parent)
            if not alike or rate <= 0:
                continue
            if remote:
                of_one = rate / int(remote["instances"])
                by_type[str(remote["instance_type"]).removeprefix("ml.")].append(of_one)
            # A build of torch for GPUs does not tell which of the two has trained.
            elif info["versions"]["torch"].endswith("+cpu"):
                here.append(rate / processors())
        except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
            continue
    return {name: median(rates) for name, rates in by_type.items()}, median(here) if here else None


def _remote(run: Path) -> dict[str, Any] | None:
    """What is known of a run that trained elsewhere; None for one that trained here."""
    try:
        value = json.loads((run / _REMOTE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return dict(value)
