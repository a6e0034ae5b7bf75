"""`dogbreed scale`: what a scaling policy will do to traffic, waits and cost, before it is applied anywhere."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dogbreed.cli.options import Json, NoColor, Quiet, Verbose
from dogbreed.cli.plans import dollars
from dogbreed.ui import ui

if TYPE_CHECKING:
    from dogbreed.capacity.policy import TargetTracking
    from dogbreed.capacity.simulate import Result
    from dogbreed.capacity.traffic import Trace

_BLOCKS = " ▁▂▃▄▅▆▇█"
_WIDTH = 72


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command(rich_help_panel="Ship")(scale)


def scale(
    simulate: Annotated[
        str,
        typer.Option(metavar="TRACE", help="CSV file, or made traffic: daily:20/s, spiky, ramp, flash."),
    ],
    smallest: Annotated[int, typer.Option("--min", help="Fewest instances.")] = 1,
    largest: Annotated[int, typer.Option("--max", help="Most instances.")] = 4,
    target: Annotated[
        str, typer.Option(help="For each instance: 600/min, 10/s, or 4x at once. Default: half of what it can do.")
    ] = "",
    compare: Annotated[
        list[str] | None, typer.Option(help="More policies beside it, such as 1-4@600/min, or family; may be repeated.")
    ] = None,
    search: Annotated[bool, typer.Option("--search", help="Find the cheapest policy that keeps --p99.")] = False,
    p99: Annotated[float, typer.Option("--p99", help="Goal in ms for the slowest but 1 % of the answers.")] = 500.0,
    service_ms: Annotated[float, typer.Option(help="Time that one photo takes, in ms.")] = 15.0,
    threads: Annotated[int, typer.Option(min=1, help="Photos that an instance works on at once.")] = 2,
    instance_type: Annotated[str, typer.Option(help="For the price.")] = "ml.m5.large",
    region: Annotated[str, typer.Option(help="For the price.")] = "us-east-1",
    out_cooldown: Annotated[int, typer.Option(help="Seconds after a scale-out.")] = 300,
    in_cooldown: Annotated[int, typer.Option(help="Seconds after a scale-in.")] = 300,
    start_minutes: Annotated[float, typer.Option(help="Until a new instance answers; 4 to 7 were seen.")] = 5.5,
    hours: Annotated[float, typer.Option(help="Length of made traffic.")] = 24.0,
    seed: Annotated[int, typer.Option(min=0, help="Of arrivals.")] = 0,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_color: NoColor = False,
) -> None:
    """Replay traffic against a scaling policy: instances over time, waits, failures and cost.

    It computes and changes nothing: applying a policy to an account is not there yet. What AWS does not document is
    taken from observation (docs/scaling.md), so look at the differences between policies more than at the figures.

    Example: dogbreed scale --simulate daily:20/s --target 600/min --max 8 --compare family
    """
    from dogbreed.capacity import compare as comparing
    from dogbreed.capacity.policy import Semantics, TargetTracking
    from dogbreed.capacity.simulate import Instance
    from dogbreed.errors import UsageError
    from dogbreed.pricing import Prices

    if not p99 > 0:
        raise UsageError(f"--p99 {p99:g}", "milliseconds, more than 0")
    if Prices.load().instance(instance_type) is None:
        raise UsageError(
            f"{instance_type} is not in the table of machines", "it is for the price; one such as ml.m5.large"
        )
    trace = _trace(simulate, hours, seed)
    instance = Instance((service_ms / 1000,), threads)
    most = comparing.capacity(instance)
    half = f"{most / 2:.1f}/min"
    cool = replace(TargetTracking(1, 1, 1.0), out_cooldown_s=out_cooldown, in_cooldown_s=in_cooldown)
    own = comparing.parse(f"{smallest}-{largest}@{target or half}", cool)
    policies = [own, *(policy for text in compare or [] for policy in _policies(text, own))]
    semantics = Semantics(start_s=round(start_minutes * 60))
    price = Prices.load().hourly(instance_type, region, "hosting")
    hourly = price.usd if price else None
    if not json:
        rate = trace.requests / trace.seconds
        ui.note(
            f"{trace.requests:,} requests in {trace.seconds / 3600:.1f} h, {rate:.2f}/s; one instance can do {half}"
        )
        ui.note(f"{instance_type} in {region}: {Prices.load().words(instance_type, region, 'hosting')}")
    if search:
        goal = comparing.Goal(p99 / 1000)
        with ui.progress("searching", None, "policies", when=not json):
            best, tried = comparing.search(trace, instance, goal, largest, semantics, seed)
        _found(best, tried, p99, hourly)
        return
    results = comparing.compare(trace, instance, policies, semantics, seed)
    if json:
        answers = [result.to_json(hourly) for result in results]
        ui.answer(answers if compare else answers[0])
        return
    _table(results, hourly)
    if len(results) == 1 and ui.terminal:
        _picture(results[0])


def _trace(text: str, hours: float, seed: int) -> Trace:
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
