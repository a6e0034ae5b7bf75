"""Print how long a day of a thousand requests a second takes to simulate, and how much memory.

usage: python tests/benchmarks/bench_scale.py
"""

from __future__ import annotations

import resource
import time

import numpy as np

from dogbreed.capacity.policy import Policy
from dogbreed.capacity.simulate import Instance, simulate
from dogbreed.capacity.traffic import Trace

LIMIT_S, LIMIT_MIB = 10.0, 1024


def main() -> None:
    services = tuple(np.random.default_rng(0).exponential(0.02, 1000))
    day = Trace(np.full(86_400, 1000), 1)
    began = time.perf_counter()
    result = simulate(day, Instance(services, 2), Policy(12, 40, 4000))
    took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{result.requests:,} requests in {took:.1f} s (at most {LIMIT_S:g}), {peak:.0f} MiB (at most {LIMIT_MIB})")


if __name__ == "__main__":
    main()
