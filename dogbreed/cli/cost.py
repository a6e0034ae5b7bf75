"""`dogbreed cost`: what the project costs by resource and run, the forecast of the month, budget and prices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dogbreed.cli.options import Config, DryRun, NoConfig, Region, Yes, open_account
from dogbreed.cli.plans import dollars, lines
from dogbreed.ui import ui

if TYPE_CHECKING:
    from dogbreed.cloud.session import Aws
    from dogbreed.cloud.spending import Spending


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command(rich_help_panel="Guard")(cost)


def cost(
    budget: Annotated[
        str, typer.Option(help="50/month: an AWS budget, above which plans are refused; off: none.")
    ] = "",
    alert: Annotated[str, typer.Option(help="With --budget: e-mail address or SNS topic to tell.")] = "",
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Read the prices of machines in this region from AWS.")
    ] = False,
    region: Region = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:
    """Show what this project costs now, has cost this month and will have cost by its end; set a budget.

    It is computed from what is there, its age and the price table; what AWS bills is what counts. With a budget, every
    plan that would make a month cost more is refused.

    Example: dogbreed cost --budget 50/month --alert me@example.org
    """
    from dogbreed.errors import UsageError

    if alert and budget in ("", "off"):
        raise UsageError("an alert of which budget?", "add --budget 50/month")
    if refresh and budget:
        raise UsageError("two things at once", "dogbreed cost --refresh, then dogbreed cost --budget ...")
    aws = open_account(region, config, use_file=not no_config)
    if budget:
        _budget(aws, budget, alert, yes=yes, dry_run=dry_run)
    elif refresh:
        _refresh(aws, dry_run=dry_run)
    else:
        _show(aws)


def _budget(aws: Aws, text: str, alert: str, *, yes: bool, dry_run: bool) -> None:
    from dogbreed import plan as planning
    from dogbreed import priced
    from dogbreed.cli.plans import carry_out
    from dogbreed.cloud import budget, spending
    from dogbreed.cloud.session import PROJECT_TAG

    if text == "off":
        plan = planning.teardown([budget.Budget(aws)])
    else:
        if alert:
            budget.subscriber(alert)
        usd = budget.amount(text)
        plan = planning.make([budget.Budget(aws, usd, alert)])
        ui.note(f"AWS counts what bears the tag {PROJECT_TAG}={aws.settings.project}, some hours late")
        ui.note(f"and only once {PROJECT_TAG} is activated: Billing console, Cost allocation tags (once an account)")
        if alert:
            ui.note(f"{alert} is told when the month is expected to come to {' and '.join(_shares())} of ${usd}")
        else:
            ui.note("nobody is told: add --alert with an e-mail address or the ARN of a topic")
        there = priced.month(spending.look(aws).lasting)
        if there is not None and there > usd:
            ui.warn(f"what is there already costs {dollars(there)} a month: it goes on, and what adds to it is refused")
    carry_out(plan, aws, yes=yes, dry_run=dry_run)
    if ui.json:
        ui.answer(plan.to_json())


def _shares() -> list[str]:
    from dogbreed.cloud.budget import ALERTS

    return [f"{share} %" for share in ALERTS]


def _refresh(aws: Aws, *, dry_run: bool) -> None:
    from dogbreed.cloud import prices
    from dogbreed.pricing import Prices, refreshed_file

    if dry_run:
        ui.note(f"dry run: would read the prices of machines in {aws.region} from AWS into {refreshed_file()}")
        return
    with ui.progress("reading prices", None, "pages", when=not ui.json) as advance:
        done = prices.refresh(aws, lambda pages: advance())
    if ui.json:
        changed = [
            {"type": one.type, "use": one.use, "usd": str(one.usd), "before": None if old is None else str(old)}
            for one, old in done.changed
        ]
        ui.answer({"region": done.region, "found": done.found, "missing": done.missing, "changed": changed})
        return
    columns = ("type", "use", "now", "before")
    rows = [(one.type, one.use, f"${one.usd}", "unknown" if old is None else f"${old}") for one, old in done.changed]
    ui.table(columns, rows, numbers=columns[2:])
    ui.note(f"{done.found} prices of machines in {done.region} are of today; {done.missing} are not in AWS's list")
    ui.note(f"the rest of the table is of {Prices.load().date}; it is kept in {refreshed_file()}")


def _show(aws: Aws) -> None:
    from dogbreed import priced
    from dogbreed.cloud import budget, spending
    from dogbreed.pricing import Prices

    seen = spending.look(aws)
    limit = budget.limit(aws)
    if ui.json:
        told = None if limit is None else {"usd_per_month": str(limit.usd), "usd_counted_by_aws": str(limit.spent)}
        ui.answer({"project": aws.settings.project, "region": aws.region, **seen.to_json(), "budget": told})
        return
    if words := Prices.load().warning():
        ui.warn(words)
    _tables(seen)
    _by_use(aws, seen)
    for name in seen.unknown:
        ui.note(f"{name}: its price here is not known, and is in none of the sums; dogbreed cost --refresh may find it")
    ui.line(f"now: {dollars(seen.hourly)} an hour; what stays of it is {dollars(priced.month(seen.lasting))} a month")
    if seen.price.parts:
        ui.line(f"a month of it is {lines(seen.price)}")
    ui.line(f"this month so far: {dollars(seen.this_month)}; by its end, if nothing changes: {dollars(seen.forecast)}")
    if limit:
        ui.line(f"budget: {dollars(limit.usd)} a month, of which AWS has counted {dollars(limit.spent)}")
        if seen.forecast > limit.usd:
            ui.warn(f"the month is expected to exceed the budget by {dollars(seen.forecast - limit.usd)}")
    else:
        ui.note("no budget: dogbreed cost --budget 50/month --alert you@example.org")


def _tables(seen: Spending) -> None:
    from dogbreed import priced

    rows: list[tuple[str, ...]] = []
    for row in (one for one in seen.rows if one.hourly is None or one.hourly):
        month = dollars(priced.month(row.hourly))
        rows.append((row.resource.kind, row.resource.name, dollars(row.hourly), month, dollars(row.usd)))
        # Of one line alone there is nothing to tell apart.
        parts = row.price.parts[1:] and row.price.parts
        rows += [(f"  {one.name}", "", dollars(one.hourly), dollars(priced.month(one.hourly)), "") for one in parts]
    if rows:
        ui.table(("kind", "name", "$/hour", "$/month", "so far"), rows, numbers=("$/hour", "$/month", "so far"))
    if seen.runs:
        lines = [
            ("run" + (" (running)" if run.running else ""), run.id, run.machines, run.created[:16], dollars(run.usd))
            for run in seen.runs
        ]
        ui.table(("run", "name", "machines", "begun", "cost"), lines, numbers=("cost",))


def _by_use(aws: Aws, seen: Spending) -> None:
    from dogbreed.cloud.spending import BY_USE
    from dogbreed.pricing import Prices

    for kind in dict.fromkeys(row.resource.kind for row in seen.rows if row.resource.kind in BY_USE):
        key, unit = BY_USE[kind]
        figure = Prices.load().other(key, aws.region)
        price = f"${figure.usd:f} for {unit}" if figure else f"a price for {unit} that is not known here"
        ui.note(f"{kind}: what it costs by use, {price}, is in none of the sums")
