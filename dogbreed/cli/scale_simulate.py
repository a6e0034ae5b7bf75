"""`dogbreed scale --simulate`: what a scaling policy does to traffic, waits and cost, before it is applied anywhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dogbreed.cli.options import open_account
from dogbreed.cli.plans import dollars
from dogbreed.ui import ui

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dogbreed.capacity.functions import Copies, Prices
    from dogbreed.capacity.policy import Policy
    from dogbreed.capacity.simulate import Instance, Result
    from dogbreed.capacity.traffic import Trace

_BLOCKS = " ▁▂▃▄▅▆▇█"
_WIDTH = 72
# The region whose prices count where none is given: it needs no account.
_PRICES_OF = "us-east-1"
# Minutes; a container that does not answer after an hour has failed (documented for SageMaker).
_LONGEST_START = 60


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
    region: str | None
    out_cooldown_s: int
    in_cooldown_s: int
    start_minutes: float
    hours: float
    seed: int
    to_zero: bool
    steps: Sequence[str]
    schedule: Sequence[str]
    timezone: str
    scale_in: bool
    cold_s: float
    picture: Path | None


def run(asked: Simulation, *, config: str | None = None, use_file: bool = True) -> None:
    """Replay and show it; it computes, and asks no account but for the traffic of an endpoint."""
    from dogbreed.capacity import compare as comparing
    from dogbreed.capacity.policy import Semantics
    from dogbreed.capacity.simulate import Instance
    from dogbreed.errors import UsageError
    from dogbreed.pricing import Prices

    if not asked.p99_ms > 0:
        raise UsageError(f"--p99 {asked.p99_ms:g}", "milliseconds, more than 0")
    if asked.search and (asked.target or asked.compare or asked.picture):
        raise UsageError("--search finds one target by itself", "leave out --target, --compare and --picture")
    if asked.picture and not asked.picture.parent.is_dir():
        raise UsageError(f"there is no folder {asked.picture.parent}", "make it first, or draw elsewhere")
    if not 0 <= asked.start_minutes <= _LONGEST_START:
        raise UsageError(f"--start-minutes {asked.start_minutes:g}", f"from 0 to {_LONGEST_START}")
    if Prices.load().instance(asked.instance_type) is None:
        raise UsageError(
            f"{asked.instance_type} is not in the table of machines", "it is for the price; one such as ml.m5.large"
        )
    if not asked.to_zero and not asked.smallest:
        raise UsageError("--min 0", "at least 1; for none at all when idle: --to-zero")
    trace = _trace(asked, config, use_file=use_file)
    instance = Instance((asked.service_ms / 1000,), asked.threads)
    most = comparing.capacity(instance)
    half = f"{most / 2:.1f}/min"
    own = _own(asked, trace, half)
    ways = [own, *(way for text in asked.compare for way in _ways(text, own, instance, asked.cold_s))]
    semantics = Semantics(start_s=round(asked.start_minutes * 60))
    region = asked.region or _PRICES_OF
    price = Prices.load().hourly(asked.instance_type, region, "hosting")
    hourly = price.usd if price else None
    if not ui.json:
        rate = trace.requests / trace.seconds
        ui.note(
            f"{trace.requests:,} requests in {trace.seconds / 3600:.1f} h, {rate:.2f}/s; "
            f"one instance can do {most:.0f}/min"
        )
        words = Prices.load().words(asked.instance_type, region, "hosting")
        ui.note(f"{asked.instance_type} in {region}: {words}")
    if asked.search:
        goal, base = comparing.Goal(asked.p99_ms / 1000), _alone(own)
        count = len(list(comparing.candidates(instance, base)))
        with ui.progress("searching", count, "policies", when=not ui.json) as advance:
            best, tried = comparing.search(
                trace, instance, goal, base, semantics, asked.seed, lambda one: advance(1, one.words())
            )
        _found(best, tried, asked.p99_ms, hourly)
        return
    with ui.progress("simulating", len(ways), "ways", when=not ui.json and len(ways) > 1) as advance:
        results = comparing.compare(
            trace, instance, ways, semantics, asked.seed, lambda one: _prices(one, region), lambda one: advance()
        )
    if asked.picture:
        _draw(asked.picture, trace, results)
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
        if text[:1].isdigit() and not Path(text).exists():
            raise UsageError(f"{text}: at which hours?", f"one of {', '.join(traffic.SHAPES)} before it: daily:{text}")
        return traffic.read(Path(text))
    number, _, unit = rate.partition("/")
    try:
        peak = float(number) / {"s": 1, "min": 60}[unit or "s"]
    except (ValueError, KeyError):
        raise UsageError(f"{rate!r} is no rate", "write daily:20/s or daily:600/min") from None
    return traffic.make(shape, peak, hours, seed)


def _trace(asked: Simulation, config: str | None, *, use_file: bool) -> Trace:
    """The traffic; of `endpoint:NAME` what CloudWatch has counted in the last `hours`."""
    kind, _, name = asked.trace.partition(":")
    if kind != "endpoint" or not name:
        return read(asked.trace, asked.hours, asked.seed)
    from dogbreed.capacity import traffic
    from dogbreed.cloud import endpoint_traffic

    aws = open_account(asked.region, config, use_file=use_file)
    begin, counts = endpoint_traffic.by_minute(aws, name, asked.hours)
    return traffic.of(counts, 60, begin)


def _own(asked: Simulation, trace: Trace, half: str) -> Policy:
    """The policy that the options say."""
    from datetime import UTC, datetime, timedelta

    from dogbreed.capacity import compare
    from dogbreed.capacity.policy import Policy
    from dogbreed.cloud import scaling_schedule as schedules
    from dogbreed.cloud import scaling_wanted as asking

    windows, zone = schedules.windows(asked.schedule), schedules.zone(asked.timezone)
    begin = trace.begin or datetime(2024, 1, 1, tzinfo=zone).astimezone(UTC)  # a Monday
    bounds = None
    if windows:
        of_minute: dict[int, tuple[int, int]] = {}

        def bounds(second: float) -> tuple[int, int]:
            minute = int(second) // 60
            if minute not in of_minute:
                when = begin + timedelta(minutes=minute)
                of_minute[minute] = schedules.bounds_at(when, windows, asked.smallest, asked.largest, asked.timezone)
            return of_minute[minute]

    rest = replace(
        Policy(1, 1, 1.0),
        out_cooldown_s=asked.out_cooldown_s,
        in_cooldown_s=asked.in_cooldown_s,
        scale_in=asked.scale_in,
    )
    own = compare.parse(f"{asked.smallest}-{asked.largest}@{asked.target or half}", rest)
    return replace(own, steps=tuple((one.above, one.add) for one in asking.steps(asked.steps)), bounds=bounds)


def _ways(text: str, own: Policy, instance: Instance, cold_s: float) -> list[Policy | Copies]:
    from dogbreed.capacity import compare

    if text == "family":
        return list(compare.family())
    return [compare.copies(text, instance, cold_s) or compare.parse(text, _alone(own))]


def _alone(own: Policy) -> Policy:
    """The same cool-downs, without what scales beside the target."""
    return replace(own, steps=(), bounds=None)


def _prices(copies: Copies, region: str) -> Prices:
    """What a function or serverless endpoint costs by use; unknown stays unknown."""
    from dogbreed.capacity.functions import Prices
    from dogbreed.pricing import Prices as Table

    table = Table.load()

    def usd(key: str) -> Decimal | None:
        figure = table.other(key, region)
        return figure.usd if figure else None

    if copies.kind == "serverless":
        second = usd(f"sagemaker_serverless_second_{copies.memory_mb}")
        return Prices(None if second is None else second * 1024 / copies.memory_mb)
    million = usd("lambda_request")
    return Prices(
        usd("lambda_x86_gb_second"),
        None if million is None else million / 1_000_000,
        usd("lambda_provisioned_x86_gb_second"),
        usd("lambda_provisioned_x86_duration_gb_second"),
    )


def _draw(path: Path, trace: Trace, results: list[Result]) -> None:
    from dogbreed.capacity import picture

    panels = [
        picture.Panel("requests a minute", [("traffic", results[0].per_minute)]),
        picture.Panel("in service", [(result.words, result.in_service) for result in results]),
        picture.Panel("p95 in ms", [(result.words, [1000 * one for one in result.p95]) for result in results]),
        picture.Panel("failed a minute", [(result.words, result.failures) for result in results]),
    ]
    picture.draw(path, f"{trace.requests:,} requests", panels, "hours", trace.seconds / 3600)
    ui.note(f"drawn: {path}")


def _found(best: Result | None, tried: list[Result], p99: float, hourly: Decimal | None) -> None:
    from dogbreed.errors import EXIT_FOUND

    if ui.json:
        ui.answer({"best": best.to_json(hourly) if best else None, "tried": len(tried)})
    elif best:
        _table([best], hourly)
        ui.note(f"the cheapest of {len(tried)} policies with p99 <= {p99:g} ms and at most 0.1 % failed")
        bounds, _, target = best.words.partition(" at ")
        smallest, _, largest = bounds.partition("-")
        ui.note(f"next: dogbreed scale --min {smallest} --max {largest} --target {target}")
    if best is None:
        ui.note(
            f"none of {len(tried)} policies keeps p99 <= {p99:g} ms: allow more instances by --max, or a larger type"
        )
        raise typer.Exit(EXIT_FOUND)


def _table(results: list[Result], hourly: Decimal | None) -> None:
    columns = ("policy", "p50 ms", "p95 ms", "p99 ms", "failed", "cold", "most", "hours", "cost")
    rows = []
    for result in results:
        said: dict[str, Any] = result.to_json(hourly)
        failed = f"{result.failed:,} ({result.failed / max(1, result.requests):.2%})" if result.failed else "0"
        times = ["-" if said[f"{name}_ms"] is None else f"{said[f'{name}_ms']:g}" for name in ("p50", "p95", "p99")]
        cost = dollars(result.cost(hourly))
        hours = f"{said['instance_hours']:.1f}"
        rows.append([said["policy"], *times, failed, said["cold_starts"] or "", said["most_instances"], hours, cost])
    ui.table(columns, rows, numbers=columns[1:])


def _picture(result: Result) -> None:
    """Requests, instances and waits over time: a row for each, a column for an equal part of the time."""
    from shutil import get_terminal_size

    rows = (
        ("requests/min", [float(value) for value in result.per_minute], ""),
        ("instances", [float(value) for value in result.in_service], ""),
        ("p95", [0.0 if isnan(value) else value * 1000 for value in result.p95], " ms"),
        ("failed/min", [float(value) for value in result.failures], ""),
    )
    most = [f"{max(values):,.0f}{unit}" for _, values, unit in rows]
    # The name before a row, the largest value behind it, and a space at either side.
    room = get_terminal_size().columns - 12 - max(map(len, most)) - len(" to ") - 2
    minutes = len(result.per_minute)
    width = max(1, min(_WIDTH, minutes, room))
    edges = [round(column * minutes / width) for column in range(width + 1)]
    for (name, values, _), words in zip(rows, most, strict=True):
        largest = max(values)
        parts = [max(values[begin:end]) for begin, end in pairwise(edges)]
        bars = "".join(_BLOCKS[round(value / largest * 8) if largest else 0] for value in parts)
        ui.line(f"{name:>12} {bars} {'to ' if largest else ''}{words}")
    end = f"{minutes / 60:g} h"
    ui.line(f"{'':12} 0 h{end:>{max(0, width - 3)}}")
