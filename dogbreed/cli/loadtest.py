"""`dogbreed loadtest`: what a service can answer, what that costs, and the target for scaling that follows from it."""

from __future__ import annotations

import re
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dogbreed.cli.loadtest_target import Price, Tested, endpoint, function, read_photos, service
from dogbreed.cli.options import Config, DryRun, NoConfig, Region, Yes, open_account
from dogbreed.cli.plans import dollars
from dogbreed.ui import ui

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dogbreed.capacity.load import Step, Verdict
    from dogbreed.capacity.traffic import Arrivals

_STOP_AT = 0.5  # share of failed requests at which nothing more is learnt
_HERE = ("127.0.0.1", "localhost", "::1")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h)?")
# How long a request is taken to last before one has been seen.
_UNSEEN_S = 1.0


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command(rich_help_panel="Ship")(loadtest)


def loadtest(
    url: Annotated[str | None, typer.Option(help="A service, such as that of dogbreed serve.")] = None,
    run: Annotated[str | None, typer.Option(help="Start a service of this run here, and end it afterwards.")] = None,
    endpoint: Annotated[str | None, typer.Option(metavar="NAME", help="A SageMaker endpoint.")] = None,
    function: Annotated[str | None, typer.Option(metavar="NAME", help="A Lambda function, by its alias live.")] = None,
    rate: Annotated[str, typer.Option(help="Requests a second: 20, or from..to in steps.")] = "5..200",
    duration: Annotated[str, typer.Option(help="In all: 60s, 5m.")] = "60s",
    steps: Annotated[int, typer.Option(min=1, max=50, help="Steps from the first rate to the last.")] = 8,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Replay this traffic in place of --rate.")
    ] = None,
    arrivals: Annotated[
        Literal["poisson", "even"], typer.Option(help="Independent of each other, or at equal distances.")
    ] = "poisson",
    photos: Annotated[Path | None, typer.Option(help="Folder of photos to send in turn; default: drawn ones.")] = None,
    p99: Annotated[float, typer.Option("--p99", help="Objective in ms for 99 % of the answers.")] = 500.0,
    errors: Annotated[float, typer.Option(help="Objective: at most this share may fail.")] = 0.001,
    safety: Annotated[float, typer.Option(help="Share of the highest rate within the objective to aim at.")] = 0.7,
    instances: Annotated[int | None, typer.Option(min=1, help="Instances behind an address; 1.")] = None,
    max_usd: Annotated[float, typer.Option(help="Stop before the requests cost more than this.")] = 1.0,
    picture: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw waits and answers by rate.")] = None,
    region: Region = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:
    """Send photos at a rising rate, whether or not answers come, and say what the service holds and costs.

    A time counts from when a request was due, so a service that stalls is not spared. It stops early when half of a
    step fails or the money is spent. The result is kept in runs/loadtests, where dogbreed scale finds it.

    Example: dogbreed loadtest --run starter --rate 10..400 --duration 2m
    """
    import asyncio

    from dogbreed.capacity import load
    from dogbreed.errors import EXIT_FOUND, UsageError

    if sum(bool(one) for one in (url, run, endpoint, function)) != 1:
        raise UsageError("name what to test", "one of --url, --run, --endpoint and --function")
    if not (p99 > 0 and 0 <= errors < 1 and 0 < safety <= 1 and max_usd >= 0):
        raise UsageError("an objective that cannot be", "--p99 above 0, --errors from 0 to 1, --safety from 0 to 1")
    plan, seconds = _replayed(trace) if trace else _plan(rate, steps, duration)
    count = round(sum(plan) * seconds)
    if not count:
        raise UsageError("that is no request at all", "give a higher --rate, or a longer --duration")
    ui.note(
        f"about {count:,} requests in {len(plan)} steps of {seconds:.1f} s, {min(plan):g} to {max(plan):g} a second"
    )
    if dry_run:
        ui.note("dry run: nothing was sent")
        return
    bodies = read_photos(photos)
    done: list[Step] = []
    with _tested(url, run, endpoint, function, bodies, region, config, use_file=not no_config) as tested:
        if tested.away and not ui.confirm(
            f"send about {count:,} requests to {tested.words}, {_expected(tested.price, count)}?", yes=yes
        ):
            ui.note("nothing was sent")
            return
        interrupted = False
        try:
            asyncio.run(_press(tested, plan, seconds, arrivals, Decimal(str(max_usd)), done))
        except KeyboardInterrupt:
            if not done:
                raise
            # What was measured has taken time, and maybe money.
            interrupted = True
            ui.note("interrupted: what follows is of the steps before")
    if not done:
        raise typer.Exit(EXIT_FOUND)
    verdict = load.judge(done, p99 / 1000, errors, safety, instances or tested.instances)
    best = max((step for step in done if step.rate == verdict.held), key=lambda step: step.answered, default=done[0])
    million = tested.price.per_million(verdict.held, best.latencies.mean()) if verdict.held else None
    said = {"tested": tested.words, "instances": instances or tested.instances, "verdict": verdict.to_json()}
    said |= {"usd_per_million": None if million is None else str(round(million, 4))}
    said |= {"steps": [step.to_json() for step in done]}
    _keep(said)
    if picture:
        _draw(picture, tested.words, done)
    _answer(said, done, verdict, p99, million)
    if interrupted:
        raise KeyboardInterrupt
    if not verdict.held:
        raise typer.Exit(EXIT_FOUND)


async def _press(
    tested: Tested, plan: Sequence[float], seconds: float, arrivals: Arrivals, max_usd: Decimal, done: list[Step]
) -> None:
    """Send what is planned into `done`, until it fails or costs too much."""
    from dogbreed.capacity import load

    spent, takes = Decimal(0), _UNSEEN_S
    pressing = load.press(tested.target, plan, seconds, arrivals=arrivals)
    for upcoming in plan:
        price = tested.price.of_request(takes)
        if price is not None and spent + price * round(upcoming * seconds) > max_usd:
            ui.note(f"stopped: {dollars(spent)} spent, and the next step would go above --max-usd {max_usd}")
            break
        step = await anext(pressing)
        done.append(step)
        ui.note(_words(step))
        if step.latencies.count:
            takes = step.latencies.mean()
        spent += (tested.price.of_request(takes) or Decimal(0)) * step.sent
        if step.failed > _STOP_AT:
            ui.note("stopped: half of the requests failed")
            break
    await pressing.aclose()
    tested.target.close()


def _plan(text: str, steps: int, duration: str) -> tuple[list[float], float]:
    """The rates, and for how many seconds each is kept."""
    from dogbreed.capacity.load import rates
    from dogbreed.errors import UsageError

    match = _DURATION.fullmatch(duration.strip())
    total = float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2] or "s"] if match else 0.0
    if not 1 <= total <= 86_400:
        raise UsageError(f"{duration!r} is no duration", "such as 60s or 5m, from a second to a day")
    first, dots, last = text.partition("..")
    try:
        plan = rates(float(first), float(last if dots else first), steps)
    except ValueError:
        raise UsageError(f"{text!r} is no rate", "requests a second, such as 20 or 5..200") from None
    return plan, total / len(plan)


def _replayed(path: Path) -> tuple[list[float], float]:
    from dogbreed.capacity import traffic

    found = traffic.read(path)
    return [count / found.step_s for count in found.counts.tolist()], float(found.step_s)


@contextmanager
def _tested(
    url: str | None,
    run: str | None,
    of_endpoint: str | None,
    of_function: str | None,
    photos: Sequence[bytes],
    region: str | None,
    config: str | None,
    *,
    use_file: bool,
) -> Iterator[Tested]:
    from dogbreed.capacity.load import Target

    if run:
        with service(run) as address:
            yield Tested(Target(address, photos), f"a service of {run} on this machine")
        return
    if url:
        target = Target(url, photos)
        yield Tested(target, target.host, away=target.host not in _HERE)
        return

    aws = open_account(region, config, use_file=use_file)
    yield endpoint(aws, of_endpoint, photos) if of_endpoint else function(aws, str(of_function), photos)


def _expected(price: Price, count: int) -> str:
    if not price.by_use:
        return "which may cost money there" if price.hourly is None else f"which costs {dollars(price.hourly)} an hour"
    one = price.of_request(_UNSEEN_S)
    if one is None:
        return "at an unknown price, so that --max-usd stops nothing"
    of = f" at the prices of {price.elsewhere}; those of here are not known" if price.elsewhere else ""
    return f"at most about {dollars(one * count)} if each takes a second{of}"


def _keep(said: dict[str, Any]) -> None:
    from json import dumps
    from time import gmtime, strftime

    from dogbreed.run import RUNS

    path = RUNS / "loadtests" / f"{strftime('%Y%m%d-%H%M%S', gmtime())}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dumps(said, indent=2) + "\n", encoding="utf-8")
        ui.note(f"kept: {path}")
    except OSError as error:
        ui.warn(f"the result is not kept: {path.parent}: {error.strerror}")


def _draw(path: Path, heading: str, done: Sequence[Step]) -> None:
    from dogbreed.capacity import picture

    shares = (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))
    panels = [
        picture.Panel("requests a second", [("sent", [step.rate for step in done])]),
        picture.Panel("good answers a second", [("answered", [step.answered for step in done])]),
        picture.Panel(
            "ms until the answer",
            [(name, [1000 * step.latencies.centile(share) for step in done]) for name, share in shares],
        ),
        picture.Panel("failed in per cent", [("failed", [100 * step.failed for step in done])]),
    ]
    picture.draw(path, heading, panels, "seconds", sum(step.seconds for step in done))
    ui.note(f"drawn: {path}")


def _words(step: Step) -> str:
    others = ", ".join(f"{count} {name}" for name, count in sorted(step.outcomes.items()) if name != "200")
    late = f", {step.late} sent late by this computer" if step.late else ""
    said = step.to_json()
    times = f", p50 {said['p50_ms']:g} ms, p99 {said['p99_ms']:g} ms" if step.latencies.count else ""
    return f"{step.rate:7.1f}/s: {step.answered:.1f}/s answered{times}{f', {others}' if others else ''}{late}"


def _answer(said: dict[str, Any], done: list[Step], verdict: Verdict, p99: float, million: Decimal | None) -> None:
    if ui.json:
        ui.answer(said)
        return
    columns = ("rate/s", "answered/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "failed")
    rows = []
    for step in done:
        figures = step.to_json()
        found = [figures[f"{name}_ms"] for name in ("p50", "p90", "p99", "p99_9")]
        times = ["-" if value is None else f"{value:g}" for value in found]
        rows.append([f"{step.rate:.1f}", f"{step.answered:.1f}", *times, f"{step.failed:.2%}"])
    ui.table(columns, rows, numbers=columns)
    most = f"at most {verdict.capacity:.1f} answers a second" if verdict.saturated else "it was not saturated"
    ui.line(
        f"{most}; {verdict.held:.1f}/s held p99 <= {p99:g} ms"
        if verdict.held
        else f"{most}; no rate held p99 <= {p99:g} ms"
    )
    if million is not None:
        ui.line(f"{dollars(million)} for a million requests at that rate")
    if verdict.held:
        ui.line(f"target for scaling: {verdict.target_per_minute:.0f}/min for each instance")
        ui.note(
            f"next: dogbreed scale --simulate daily:{verdict.held:.0f}/s --target {verdict.target_per_minute:.0f}/min"
        )
