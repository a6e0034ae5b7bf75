"""Print whether the same photos get the same answers through every door, on the stand-in cloud.

usage: python tests/benchmarks/bench_doors.py [FOLDER [PHOTOS]]

FOLDER holds photos (drawn ones if it is not given), of which PHOTOS (200) are taken, evenly.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from doors import DEPLOYED, furthest, opened
from photos import save

from dogbreed.infer.photo import PHOTO_SUFFIXES
from dogbreed.rehearse.state import StandIn


def main() -> None:
    wanted = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    with tempfile.TemporaryDirectory() as name, StandIn() as server, ExitStack() as stack:
        os.environ.update(server.environment)
        if len(sys.argv) > 1:
            found = sorted(path for path in Path(sys.argv[1]).rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES)
            paths = found[:: max(1, len(found) // wanted)][:wanted]
        else:
            paths = [save(Path(name) / f"{number}.jpg", number) for number in range(wanted)]
        photos = [path.read_bytes() for path in paths]
        local = None
        for door, asked in opened(Path(name), DEPLOYED, stack):
            began = time.perf_counter()
            said = [asked.predict(photo) for photo in photos]
            took = time.perf_counter() - began
            local = local or said
            others, apart = furthest(local, said)
            print(f"{door:18s} {len(photos)} photos  other top-1: {others}  largest difference: {apart:.2g}", end="  ")
            print(f"{1000 * took / len(photos):.0f} ms each", flush=True)


if __name__ == "__main__":
    main()
