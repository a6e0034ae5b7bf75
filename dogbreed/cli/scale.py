"""`dogbreed scale`: how many instances a deployed service has, by target, steps and time; or what that would do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dogbreed.cli.options import Config, DryRun, NoConfig, Region, Yes, open_account
from dogbreed.ui import ui

if TYPE_CHECKING:
    from decimal import Decimal

    from dogbreed.cloud.scaling_deployed import Deployed
    from dogbreed.cloud.scaling_wanted import Wanted
    from dogbreed.cloud.session import Aws

_SIMULATION = "Simulation"


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command(rich_help_panel="Ship")(scale)


def scale(
    to: Annotated[
        str, typer.Option(help="endpoint, serverless, lambda or ec2; default: the one that is deployed.")
    ] = "",
    smallest: Annotated[int, typer.Option("--min", help="Fewest instances, or copies kept started.")] = 1,
    largest: Annotated[int, typer.Option("--max", help="Most of them.")] = 4,
    target: Annotated[
        str, typer.Option(help="What to keep for each instance: 600/min or 10/s; 70% for copies and processors.")
    ] = "",
    target_concurrency: Annotated[
        float | None, typer.Option(help="Requests at once on each instance, known within seconds.")
    ] = None,
    step: Annotated[
        list[str] | None, typer.Option(help="From a rate on, so many more at once: 1200/min:+2; may be repeated.")
    ] = None,
    schedule: Annotated[
        list[str] | None, typer.Option(help="Other bounds at a time: 'weekdays 8-20: 2-8'; may be repeated.")
    ] = None,
    timezone: Annotated[str, typer.Option(help="Of --schedule, such as Europe/Berlin.")] = "UTC",
    out_cooldown: Annotated[
        int | None, typer.Option(help="Seconds after a scale-out; default: 300, for copies 0.")
    ] = None,
    in_cooldown: Annotated[
        int | None, typer.Option(help="Seconds after a scale-in; default: 300, for copies 0.")
    ] = None,
    no_scale_in: Annotated[bool, typer.Option("--no-scale-in", help="Add instances, never take any away.")] = False,
    to_zero: Annotated[
        bool, typer.Option("--to-zero", help="Down to none when idle; calls then fail for minutes.")
    ] = False,
    off: Annotated[
        bool, typer.Option("--off", help="Remove all scaling; instances stay, copies kept started go.")
    ] = False,
    region: Region = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    simulate: Annotated[
        str,
        typer.Option(
            metavar="TRACE",
            help="Replay a CSV file, made traffic (daily:20/s, spiky, ramp, flash), or that of a live "
            "endpoint: endpoint:NAME. Changes nothing.",
            rich_help_panel=_SIMULATION,
        ),
    ] = "",
    compare: Annotated[
        list[str] | None,
        typer.Option(
            help="More ways beside it: 1-4@600/min, 0-4@600/min, lambda:3008+2, serverless:3072/20, or family; may be "
            "repeated.",
            rich_help_panel=_SIMULATION,
        ),
    ] = None,
    search: Annotated[
        bool,
        typer.Option("--search", help="Find the cheapest policy that keeps --p99.", rich_help_panel=_SIMULATION),
    ] = False,
    p99: Annotated[
        float,
        typer.Option("--p99", help="Goal in ms for the slowest but 1 % of the answers.", rich_help_panel=_SIMULATION),
    ] = 500.0,
    service_ms: Annotated[
        float, typer.Option(help="Time that one photo takes, in ms.", rich_help_panel=_SIMULATION)
    ] = 15.0,
    threads: Annotated[
        int, typer.Option(min=1, help="Photos that an instance works on at once.", rich_help_panel=_SIMULATION)
    ] = 2,
    instance_type: Annotated[str, typer.Option(help="For the price.", rich_help_panel=_SIMULATION)] = "ml.m5.large",
    start_minutes: Annotated[
        float,
        typer.Option(help="Until a new instance answers; 4 to 7 were seen.", rich_help_panel=_SIMULATION),
    ] = 5.5,
    hours: Annotated[float, typer.Option(help="Length of made traffic.", rich_help_panel=_SIMULATION)] = 24.0,
    cold_start_ms: Annotated[
        float, typer.Option(min=0, help="Until a new copy of a function answers.", rich_help_panel=_SIMULATION)
    ] = 2000.0,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw it.", rich_help_panel=_SIMULATION)
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of arrivals.", rich_help_panel=_SIMULATION)] = 0,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:
    """Scale a deployed service, or with --simulate see what a policy would do to waits, failures and cost.

    What is given is all that scales it afterwards: what is not given any more, such as a schedule, is removed. What
    --simulate assumes of AWS is in docs/scaling.md.

    Example: dogbreed scale --target 600/min --max 8 --schedule "weekdays 8-20: 2-8"
    """
    if simulate:
        from dogbreed.cli import scale_simulate

        asked = scale_simulate.Simulation(
            trace=simulate,
            smallest=0 if to_zero else smallest,
            largest=largest,
            to_zero=to_zero,
            target=target or (f"{target_concurrency:g}x" if target_concurrency is not None else ""),
            compare=compare or (),
            search=search,
            p99_ms=p99,
            service_ms=service_ms,
            threads=threads,
            instance_type=instance_type,
            region=region,
            out_cooldown_s=300 if out_cooldown is None else out_cooldown,
            in_cooldown_s=300 if in_cooldown is None else in_cooldown,
            start_minutes=start_minutes,
            hours=hours,
            seed=seed,
            steps=step or (),
            schedule=schedule or (),
            timezone=timezone,
            scale_in=not no_scale_in,
            cold_s=cold_start_ms / 1000,
            picture=picture,
        )
        scale_simulate.run(asked, config=config, use_file=not no_config)
        return
    from dogbreed.errors import UsageError

    if compare or search:
        raise UsageError("--compare and --search need traffic", "add --simulate daily:20/s, or a CSV file")

    def wanted(door: str) -> Wanted:
        from dogbreed.cloud import scaling_schedule as schedules
        from dogbreed.cloud import scaling_wanted as asking

        cooldown = asking.COOLDOWN_S[door]
        schedules.zone(timezone)
        return asking.Wanted(
            door=door,
            smallest=0 if to_zero else smallest,
            largest=largest,
            target=asking.target(door, target, target_concurrency),
            steps=asking.steps(step or ()),
            windows=schedules.windows(schedule or ()),
            timezone=timezone,
            out_cooldown_s=cooldown if out_cooldown is None else out_cooldown,
            in_cooldown_s=cooldown if in_cooldown is None else in_cooldown,
            scale_in=not no_scale_in,
            zero=to_zero,
        )

    asks = bool(target or target_concurrency is not None or step or schedule or to_zero)
    _check(to, wanted, asks=asks, off=off, unsure_door=not to)
    aws = open_account(region, config, use_file=not no_config)
    from dogbreed.cloud import scaling_deployed

    deployed = scaling_deployed.find(aws, to)
    if off:
        _remove(aws, deployed, yes=yes, dry_run=dry_run)
    else:
        _apply(aws, wanted(deployed.door), deployed, yes=yes, dry_run=dry_run)


def _check(to: str, wanted: Any, *, asks: bool, off: bool, unsure_door: bool) -> None:
    """Refuse nonsense before any call; where the door is still to be found, what is nonsense at every door."""
    from dogbreed.cloud.scaling_wanted import METRICS
    from dogbreed.errors import UsageError

    if to and to not in METRICS:
        raise UsageError(f"nothing is deployed to {to}", f"--to is one of {', '.join(METRICS)}")
    if off:
        if asks:
            raise UsageError("--off takes no target, step or schedule", "give --off alone")
        return
    if not asks:
        raise UsageError("how is it to be scaled?", _suggestion())
    refused = []
    for door in METRICS if unsure_door else [to]:
        try:
            wanted(door)
        except UsageError as error:
            refused.append(error)
        else:
            return
    raise refused[0]


def _suggestion() -> str:
    """The target that the newest load test gives, or the ways to say one."""
    if (value := float(load_test().get("verdict", {}).get("target_per_minute", 0))) > 0:
        return f"the last load test suggests: dogbreed scale --target {value:.0f}/min"
    return (
        "--target 600/min, --target-concurrency 4, or --schedule 'weekdays 8-20: 2-8'; dogbreed loadtest finds a target"
    )


def load_test() -> dict[str, Any]:
    """The newest load test that was kept here, as `loadtest --json` shows it; empty where there is none."""
    from contextlib import suppress
    from json import loads

    from dogbreed.run import RUNS

    for path in sorted(RUNS.glob("loadtests/*.json"), reverse=True):
        with suppress(OSError, ValueError):
            told = loads(path.read_text(encoding="utf-8"))
            if isinstance(told, dict) and isinstance(told.get("verdict"), dict):
                return told
    return {}


def _apply(aws: Aws, wanted: Wanted, deployed: Deployed, *, yes: bool, dry_run: bool) -> None:
    from dogbreed.cli.plans import carry_out
    from dogbreed.cloud import scaling

    question = "apply this plan?"
    if wanted.zero:
        _say_what_zero_means(aws, deployed)
    plan = scaling.make(aws, wanted, deployed)
    if wanted.target and not wanted.target.doubt():
        ui.note(f"target: {wanted.target.words(wanted.door)}")
    for words in _warnings(aws, wanted, deployed):
        ui.warn(words)
        question = "apply this plan all the same?"
    costs = scaling.costs(wanted, deployed)
    ui.note(f"{deployed.name}: {_range(wanted, deployed, costs)}")
    low, high = wanted.range
    if plan.changes and not low <= deployed.count <= high:
        ui.note(f"{deployed.count} run now: that changes at once to {min(max(deployed.count, low), high)}")
    # What runs now is counted already.
    adds = None if costs is None or deployed.hourly is None else costs[1] - deployed.count * deployed.hourly
    done = carry_out(plan, aws, yes=yes, dry_run=dry_run, question=question, adds=adds)
    if ui.json:
        usd = None if costs is None else [str(value) for value in costs]
        ui.answer(plan.to_json() | {"service": deployed.name, "units_now": deployed.count, "usd_per_hour": usd})
    elif done:
        ui.note("next: dogbreed status")
        if wanted.target and wanted.target.metric == "invocations":
            policy = f"--min {max(1, wanted.smallest)} --max {wanted.largest} --target {wanted.target.value:g}/min"
            ui.note(f"what it does to traffic: dogbreed scale --simulate daily:20/s {policy}")


def _remove(aws: Aws, deployed: Deployed, *, yes: bool, dry_run: bool) -> None:
    from dogbreed.cli.plans import carry_out
    from dogbreed.cloud import scaling

    plan = scaling.off(aws, deployed)
    if plan.changes and deployed.door != "lambda":
        ui.note(f"{deployed.name} stays as it is now: {deployed.count} x {deployed.unit}")
        if not deployed.count:
            ui.warn("none runs, and nothing will start one: calls fail until it is scaled again")
    carry_out(plan, aws, yes=yes, dry_run=dry_run, question="remove all scaling?")
    if ui.json:
        ui.answer(plan.to_json() | {"service": deployed.name, "units_now": deployed.count})


def _warnings(aws: Aws, wanted: Wanted, deployed: Deployed) -> list[str]:
    """What speaks against the plan, though it can be done."""
    from dogbreed.cloud import scaling

    said = []
    target = wanted.target
    if target and (doubt := target.doubt()):
        said.append(doubt)
    capacity = 60 * float(load_test().get("verdict", {}).get("capacity", 0))
    if target and target.metric == "invocations" and 0 < capacity < target.value:
        said.append(
            f"the last load test answered at most {capacity:.0f}/min: at {target.value:g}/min it never scales out"
        )
    said += [
        f"policy {name} on {deployed.name} was not made here, and goes on to act"
        for name in scaling.foreign(aws, deployed)
    ]
    return said


def _range(wanted: Wanted, deployed: Deployed, costs: tuple[Decimal, Decimal] | None) -> str:
    from dogbreed import priced
    from dogbreed.cli.plans import dollars

    low, high = wanted.range
    words = f"{low} to {high} x {deployed.unit}, "
    if costs is None:
        return f"{words}at a price that is not known here"
    most = dollars(priced.month(costs[1]))
    return f"{words}{dollars(costs[0])} to {dollars(costs[1])} an hour, at most {most} a month"


def _say_what_zero_means(aws: Aws, deployed: Deployed) -> None:
    from dogbreed import priced
    from dogbreed.cli.plans import dollars
    from dogbreed.cloud.scaling import WAKES_IN
    from dogbreed.errors import UsageError
    from dogbreed.pricing import Prices

    if deployed.door in ("serverless", "lambda"):
        raise UsageError(f"{deployed.door} costs nothing by the hour without traffic already", "dogbreed scale --off")
    if deployed.door == "ec2":
        raise UsageError("nothing would wake machines from none", "dogbreed deploy --to lambda costs nothing when idle")
    ui.note(
        "to zero: without traffic no instance runs; the first calls then FAIL, for minutes, until one is up: "
        f"{WAKES_IN} were observed from the first failing call to the first answer"
    )
    one = "an unknown price" if deployed.hourly is None else dollars(priced.month(deployed.hourly))
    prices = Prices.load()
    offers = [
        f"{name} {dollars(usd)}"
        for name, usd in (
            ("serverless", prices.month_of_serverless(aws.region, 100_000, 0.1)),
            ("lambda", prices.month_of_lambda(aws.region, 100_000, 0.1)),
        )
        if usd is not None
    ]
    by_use = " and ".join(offers) or "serverless and lambda what the calls take (price not known in this region)"
    ui.note(f"one {deployed.unit} all month is {one}")
    ui.note(f"100,000 calls of 0.1 s a month are {by_use}; the first of them waits for some seconds")
