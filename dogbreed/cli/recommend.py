"""`dogbreed recommend`: which machines, and how many, for a traffic and an objective; needs no account."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dogbreed.cli.plans import dollars
from dogbreed.ui import ui

if TYPE_CHECKING:
    from dogbreed.capacity.recommend import ByUse, Option
    from dogbreed.capacity.traffic import Trace

_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s)?")
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(s|min|h|hour|d|day|month)")
_SERVICE_MS = 15.0
_SHOWN = 8


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command(rich_help_panel="Ship")(recommend)


def recommend(
    traffic: Annotated[
        str, typer.Option(metavar="TRACE", help="20/s all day, daily:20/s, spiky, ramp, flash, or a CSV file.")
    ],
    p99: Annotated[str, typer.Option("--p99", help="99 % of the answers come within this: 500ms or 0.5s.")] = "500ms",
    service_ms: Annotated[
        float | None, typer.Option(help="Time that one photo takes; default: of the last load test here, else 15.")
    ] = None,
    region: Annotated[str, typer.Option(help="For the prices.")] = "us-east-1",
    hours: Annotated[float, typer.Option(help="Length of made traffic.")] = 24.0,
    seed: Annotated[int, typer.Option(min=0, help="Of made traffic.")] = 0,
) -> None:
    """Recommend the machines for a traffic: types, how many, what the slowest answers take, what a month costs.

    It replays the traffic against each size of machine. A photo is taken to last as long on every type as where it was
    measured, and a machine to work on one photo per vCPU: newer types are faster than that.

    Example: dogbreed recommend --traffic daily:20/s --p99 500ms
    """
    from dogbreed.capacity import recommend as recommending
    from dogbreed.cloud.session import Aws
    from dogbreed.config import AwsSettings
    from dogbreed.errors import EXIT_FOUND, UsageError
    from dogbreed.pricing import Prices

    region = Aws(AwsSettings(region=region)).configured_region
    goal = _seconds(p99)
    service, source = _service(service_ms)
    if not 0 < service < goal:
        raise UsageError(
            f"a photo takes {service * 1000:g} ms, and 99 % are to be answered within {goal * 1000:g} ms",
            "--service-ms is more than 0 and less than --p99",
        )
    trace, prices = _trace(traffic, hours, seed), Prices.load()
    with ui.progress("replaying", None, "sizes", when=not ui.json) as advance:
        found = recommending.options(trace, service, goal, prices, region, lambda words: advance(words=words))
    found, there = recommending.priced_in(found, prices, region)
    by_use = recommending.by_use(trace, service, prices, there)
    best = next(iter(found), None)
    commands = _commands(best, by_use, "" if there == region else f" in {there}") if best else []
    if ui.json:
        ui.answer(
            {
                "service_ms": service * 1000,
                "p99_ms": goal * 1000,
                "requests": trace.requests,
                "hours": trace.seconds / 3600,
                "prices_of": there,
                "options": [one.to_json() for one in found],
                "by_use": [{"to": one.to, "usd_per_month": one.month and str(one.month)} for one in by_use],
                "commands": commands,
            }
        )
    else:
        ui.note(
            f"{trace.requests:,} requests in {trace.seconds / 3600:g} h; a photo takes {service * 1000:g} ms ({source})"
        )
        ui.note("assumed: as long on every type, one photo at a time on each vCPU; prices of " + prices.date)
        if there != region:
            ui.note(
                f"prices are those of {there}: those of {region} are not known here; dogbreed cost --refresh reads them"
            )
        elif None in [*(one.month for one in found), *(one.month for one in by_use)]:
            ui.note(f"not all prices of {region} are known here; dogbreed cost --refresh reads them")
        _table(found, by_use, "$/month" if there == region else f"$/month in {there}")
    if best is None:
        ui.note(f"no type holds p99 <= {goal * 1000:g} ms with 64 machines: allow more time, or share the traffic out")
        raise typer.Exit(EXIT_FOUND)
    if not ui.json:
        for command in commands:
            ui.note(f"next: {command}")


def _seconds(text: str) -> float:
    from dogbreed.errors import UsageError

    match = _TIME.fullmatch(text.strip())
    if not match or not float(match[1]):
        raise UsageError(f"{text!r} is no time", "write 500ms or 0.5s")
    return float(match[1]) / (1 if match[2] == "s" else 1000)


def _service(given: float | None) -> tuple[float, str]:
    """Seconds for a photo, and where that is from."""
    from dogbreed.cli.scale import load_test

    if given is not None:
        return given / 1000, "given"
    steps = load_test().get("steps") or [{}]
    measured = steps[0].get("p50_ms")
    if measured:
        return float(measured) / 1000, "the median at the lowest rate of the last load test"
    return _SERVICE_MS / 1000, "of a plain machine: measure yours with dogbreed loadtest"


def _trace(text: str, hours: float, seed: int) -> Trace:
    from dogbreed.capacity.recommend import even
    from dogbreed.cli.scale_simulate import read
    from dogbreed.errors import UsageError

    match = _RATE.fullmatch(text.strip())
    if not match:
        return read(text, hours, seed)
    if match[2] not in ("s", "min"):
        hint = f"5/s or 600/min; where so few are cheapest: dogbreed deploy --to auto --traffic {text} --dry-run"
        raise UsageError(f"--traffic {text}: machines are recommended for requests a second or a minute", hint)
    rate = float(match[1]) / (60 if match[2] == "min" else 1)
    if not 1 / 60 <= rate <= 1e5:
        raise UsageError(f"a rate of {text}", "from one a minute to 100,000 a second")
    return even(rate)


def _commands(best: Option, by_use: list[ByUse], where: str) -> list[str]:
    """What makes the first choice, and the service by the call where that costs less."""
    made = [f"dogbreed deploy --to endpoint --instance-type {best.type} --instances {best.smallest}"]
    if best.scales:
        made.append(f"dogbreed scale --min {best.smallest} --max {best.largest} --target {best.target:.0f}/min")
    cheaper = [one for one in by_use if one.month is not None and best.month is not None and one.month < best.month]
    if cheaper:
        least = min(cheaper, key=lambda one: one.month or 0)
        made.append(f"dogbreed deploy --to {least.to}  # {dollars(least.month)} a month{where}")
    return made


def _table(found: list[Option], by_use: list[ByUse], month: str) -> None:
    rows: list[list[Any]] = [
        [
            one.type,
            f"{one.smallest} to {one.largest}" if one.scales else str(one.smallest),
            f"{one.target:.0f}/min" if one.scales else "-",
            f"{one.p99_ms:.0f}",
            "unknown" if one.month is None else dollars(one.month),
        ]
        for one in found[:_SHOWN]
    ]
    rows += [[one.to, "by the call", "-", "cold starts", dollars(one.month)] for one in by_use]
    ui.table(("type", "machines", "target", "p99 ms", month), rows, numbers=("p99 ms", month))
    for one in by_use:
        ui.note(f"{one.to}: {one.note}")
    if len(found) > _SHOWN:
        ui.note(f"{len(found) - _SHOWN} dearer types hold it as well: --json shows all")
