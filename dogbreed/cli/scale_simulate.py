"""`dogbreed scale --simulate`: what a scaling policy does to traffic, waits and cost, before it is applied anywhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dogbreed.cli.plans import dollars
from dogbreed.ui import ui

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dogbreed.capacity.policy import TargetTracking
    from dogbreed.capacity.simulate import Result
    from dogbreed.capacity.traffic import Trace

_BLOCKS = " ▁▂▃▄▅▆▇█"
_WIDTH = 72


@dataclass(frozen=True)
class Simulation:
    """What is replayed: the options of the command that are for it. Times in the units of their names."""

    trace: str
    smallest: int
    largest: int
    target: str
    compare: Sequence[str]
    search: bool
    p99_ms: float
    service_ms: float
    threads: int
    instance_type: str
    region: str
    out_cooldown_s: int
    in_cooldown_s: int
    start_minutes: float
    hours: float
    seed: int


def run(asked: Simulation) -> None:
    """Replay and show it; it computes, and asks no account."""
    from dogbreed.capacity import compare as comparing
    from dogbreed.capacity.policy import Semantics, TargetTracking
    from dogbreed.capacity.simulate import Instance
    from dogbreed.errors import UsageError
    from dogbreed.pricing import Prices

    if not asked.p99_ms > 0:
        raise UsageError(f"--p99 {asked.p99_ms:g}", "milliseconds, more than 0")
    if Prices.load().instance(asked.instance_type) is None:
        raise UsageError(
            f"{asked.instance_type} is not in the table of machines", "it is for the price; one such as ml.m5.large"
        )
    trace = read(asked.trace, asked.hours, asked.seed)
    instance = Instance((asked.service_ms / 1000,), asked.threads)
    most = comparing.capacity(instance)
    half = f"{most / 2:.1f}/min"
    cool = replace(TargetTracking(1, 1, 1.0), out_cooldown_s=asked.out_cooldown_s, in_cooldown_s=asked.in_cooldown_s)
    own = comparing.parse(f"{asked.smallest}-{asked.largest}@{asked.target or half}", cool)
    policies = [own, *(policy for text in asked.compare for policy in _policies(text, own))]
    semantics = Semantics(start_s=round(asked.start_minutes * 60))
    price = Prices.load().hourly(asked.instance_type, asked.region, "hosting")
    hourly = price.usd if price else None
    if not ui.json:
        rate = trace.requests / trace.seconds
        ui.note(
            f"{trace.requests:,} requests in {trace.seconds / 3600:.1f} h, {rate:.2f}/s; one instance can do {half}"
        )
        words = Prices.load().words(asked.instance_type, asked.region, "hosting")
        ui.note(f"{asked.instance_type} in {asked.region}: {words}")
    if asked.search:
        goal = comparing.Goal(asked.p99_ms / 1000)
        with ui.progress("searching", None, "policies", when=not ui.json):
            best, tried = comparing.search(trace, instance, goal, asked.largest, semantics, asked.seed)
        _found(best, tried, asked.p99_ms, hourly)
        return
    results = comparing.compare(trace, instance, policies, semantics, asked.seed)
    if ui.json:
        answers = [result.to_json(hourly) for result in results]
        ui.answer(answers if asked.compare else answers[0])
        return
    _table(results, hourly)
    if len(results) == 1 and ui.terminal:
        _picture(results[0])


def read(text: str, hours: float, seed: int) -> Trace:
    """The traffic of a CSV file, or made such as `daily:20/s`."""
    from dogbreed.capacity import traffic
    from dogbreed.errors import UsageError

    shape, colon, rate = text.partition(":")
    if not colon or shape not in traffic.SHAPES:
        return traffic.read(Path(text))
    number, _, unit = rate.partition("/")
    try:
        peak = float(number) / {"s": 1, "min": 60}[unit or "s"]
    except (ValueError, KeyError):
        raise UsageError(f"{rate!r} is no rate", "write daily:20/s or daily:600/min") from None
    return traffic.make(shape, peak, hours, seed)


def _policies(text: str, own: TargetTracking) -> list[TargetTracking]:
    from dogbreed.capacity import compare

    return compare.family() if text == "family" else [compare.parse(text, own)]


def _found(best: Result | None, tried: list[Result], p99: float, hourly: Decimal | None) -> None:
    from dogbreed.errors import EXIT_FOUND

    if ui.json:
        ui.answer({"best": best.to_json(hourly) if best else None, "tried": len(tried)})
    elif best:
        _table([best], hourly)
        ui.note(f"the cheapest of {len(tried)} policies with p99 <= {p99:g} ms and at most 0.1 % failed")
    if best is None:
        ui.note(
            f"none of {len(tried)} policies keeps p99 <= {p99:g} ms: allow more instances by --max, or a larger type"
        )
        raise typer.Exit(EXIT_FOUND)


def _table(results: list[Result], hourly: Decimal | None) -> None:
    columns = ("policy", "p50 ms", "p95 ms", "p99 ms", "failed", "most", "instance hours", "cost")
    rows = []
    for result in results:
        said: dict[str, Any] = result.to_json(hourly)
        failed = f"{result.failed:,} ({result.failed / max(1, result.requests):.2%})" if result.failed else "0"
        times = ["-" if said[f"{name}_ms"] is None else f"{said[f'{name}_ms']:g}" for name in ("p50", "p95", "p99")]
        cost = dollars(result.cost(hourly))
        hours = f"{said['instance_hours']:.1f}"
        rows.append([said["policy"], *times, failed, said["most_instances"], hours, cost])
    ui.table(columns, rows, numbers=columns[1:])


def _picture(result: Result) -> None:
    """Requests, instances and waits over time, a column for an equal part of it."""
    for name, values in (
        ("requests/min", [float(value) for value in result.per_minute]),
        ("instances", [float(value) for value in result.in_service]),
        ("p95", [0.0 if isnan(value) else value * 1000 for value in result.p95]),
        ("failed/min", [float(value) for value in result.failures]),
    ):
        width = min(_WIDTH, len(values))
        edges = [round(column * len(values) / width) for column in range(width + 1)]
        parts = [max(values[begin:end]) for begin, end in pairwise(edges)]
        most = max(parts)
        bars = "".join(_BLOCKS[round(value / most * 8) if most else 0] for value in parts)
        unit = " ms" if name == "p95" else ""
        ui.line(f"{name:>12} {bars} {most:,.0f}{unit}")
