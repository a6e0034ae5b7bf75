"""`dogbreed status` and `destroy`: what this project has in the account, what it costs, and how it goes."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dogbreed.cli.options import Config, DryRun, NoConfig, Region, Yes, open_account
from dogbreed.cli.plans import dollars, lines, show
from dogbreed.ui import ui

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dogbreed.cloud.inventory import Row
    from dogbreed.cloud.session import Aws

_GONE_S = 300.0


def add(app: typer.Typer) -> None:
    """Register the commands."""
    app.command(rich_help_panel="Guard")(status)
    app.command(rich_help_panel="Guard")(destroy)


def status(
    region: Region = None,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:
    """Show everything that this project has in the account: state, age, price by the hour, cost so far, last error.

    Example: dogbreed status
    """
    from dogbreed import priced
    from dogbreed.cloud import inventory

    aws = open_account(region, config, use_file=not no_config)
    rows = inventory.look(inventory.resources(aws), aws.now)
    arns = inventory.tagged(aws)
    others, ended = inventory.unaccounted(arns, rows), inventory.ended_jobs(arns, rows)
    hourly = _sum([row.hourly for row in rows])
    price = priced.total(row.price for row in rows if not row.trains)
    if ui.json:
        ui.answer(
            {
                "project": aws.settings.project,
                "account": aws.account,
                "region": aws.region,
                "resources": [row.to_json() for row in rows],
                "usd_per_hour": None if hourly is None else str(hourly),
                # Of what stays; training ends by itself.
                "usd_per_month": priced.told(price.hourly)["usd_per_month"],
                "price": [part.to_json() for part in price.parts],
                "also_tagged": others,
                "ended_jobs": len(ended),
            }
        )
        return
    _warn_of_old_prices()
    columns = ("kind", "name", "state", "age", "$/hour", "so far")
    ui.table(columns, [_cells(row) for row in rows], numbers=("age", "$/hour", "so far"))
    for row in rows:
        if row.found.error:
            ui.note(f"{row.resource.kind} {row.resource.name}: {row.found.error}")
    for arn in others:
        ui.note(f"also tagged as this project's: {arn}")
    _note_ended(len(ended))
    if not rows:
        ui.note(f"project {aws.settings.project} has nothing in account {aws.account}, {aws.region}")
    else:
        words = f"{dollars(hourly)} an hour while this stays" if hourly else "nothing of this costs by the hour"
        if hourly is None:
            words = f"what this costs by the hour is not known in {aws.region} (dogbreed cost --refresh may find it)"
            words += f": {lines(price)}" if price.hourly is None else ""
        elif price.hourly:
            words += f", {dollars(priced.month(price.hourly))} a month: {lines(price)}"
        ui.note(f"{words}; to remove it: dogbreed destroy")


def destroy(
    data: Annotated[bool, typer.Option("--data", help="Also the bucket with all photos and runs, and logs.")] = False,
    region: Region = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:
    """Remove what this project has in the account, and look again; bucket and logs stay unless --data is given.

    What runs is stopped first. Exit code 1 when anything is left that was to go; repeating goes on from there.

    Example: dogbreed destroy
    """
    from dogbreed import plan as planning
    from dogbreed.cloud import budget, inventory
    from dogbreed.errors import EXIT_FAILED

    aws = open_account(region, config, use_file=not no_config)
    plan = planning.teardown(inventory.resources(aws, data=data))
    show(plan, aws)
    if dry_run or not plan.changes:
        ui.note("dry run: nothing was changed" if dry_run else "nothing to remove")
        if ui.json:
            ui.answer(plan.to_json() | {"removed": 0, "left": []})
        return
    what = "all this, photos and runs included" if data else "all this"
    if not ui.confirm_name(f"remove {what} for good", aws.settings.project, yes=yes):
        ui.note("nothing was changed")
        return
    removed = 0
    for step in inventory.carry_out(plan, wait_s=_GONE_S):
        ui.note(f"delete {step.resource.kind} {step.resource.name}")
        removed += 1
    left = _left(aws, data=data)
    if ui.json:
        ui.answer(plan.to_json() | {"removed": removed, "left": [row.to_json() for row in left]})
    for row in left:
        ui.note(f"left: {row.resource.kind} {row.resource.name} {row.found.state}")
    if left:
        ui.note("repeat the command in a minute: what was stopped may still be on its way out")
        raise typer.Exit(EXIT_FAILED)
    kept = [step.resource for step in plan.steps if step.sign == "="]
    for resource in kept:
        ui.note(f"kept: {resource.kind} {resource.name}" + (f", it {resource.keep}" if resource.keep else ""))
    if limited := budget.limit(aws):
        ui.note(f"kept: the budget of ${limited.usd:.2f} a month; remove it: dogbreed cost --budget off")
    ui.note("nothing else of this project is left" if kept or limited else "nothing of this project is left")
    _note_ended(len(inventory.ended_jobs(inventory.tagged(aws), [])))


def _left(aws: Aws, *, data: bool) -> list[Row]:
    """What is still there although it was to go."""
    from dogbreed.cloud import inventory

    rows = inventory.look(inventory.resources(aws, data=data))
    return [row for row in rows if row.found.ours and not row.resource.keep]


def _note_ended(jobs: int) -> None:
    if jobs:
        whose = "1 training job that has" if jobs == 1 else f"{jobs} training jobs that have"
        ui.note(f"SageMaker keeps records of {whose} ended; they cost nothing")


def _cells(row: Row) -> list[str]:
    name = row.resource.name
    details = row.found.content
    if details.get("machines") and "type" in details:
        name += f" ({details['machines']} x {details['type']})"
    if "run" in details:
        name += f" (run {details['run']})"
    state = row.found.state if row.found.ours else f"{row.found.state} not made by this project".strip()
    return [row.resource.kind, name, state, _age(row.age_s), _money(row.hourly), _money(row.usd)]


def _age(seconds: float | None) -> str:
    if seconds is None:
        return ""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _money(amount: Decimal | None) -> str:
    if amount is None:
        return "unknown"
    return dollars(amount) if amount else ""


def _sum(amounts: Sequence[Decimal | None]) -> Decimal | None:
    """None as soon as one of them is not known."""
    known: list[Any] = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if len(known) == len(amounts) else None


def _warn_of_old_prices() -> None:
    from dogbreed.pricing import Prices

    if words := Prices.load().warning():
        ui.warn(words)
