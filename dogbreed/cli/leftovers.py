"""`dogbreed leftovers`: what costs money in the account and seems to serve nobody, ours or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dogbreed.cli.options import Config, NoConfig, Region, open_account
from dogbreed.cli.plans import dollars
from dogbreed.ui import ui

if TYPE_CHECKING:
    from decimal import Decimal


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command(rich_help_panel="Guard")(leftovers)


def leftovers(
    days: Annotated[int, typer.Option(min=1, max=60, help="Idle is what nobody used for so many days.")] = 14,
    region: Region = None,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:
    """Find what costs money in this account and region and seems to serve nobody, whoever made it.

    It reads and removes nothing: each line has the command that removes it. Look before you do, since a thing may be
    idle on purpose. Exit code 3 when something was found.

    Example: dogbreed leftovers
    """
    from dogbreed.cloud import leftovers as looking
    from dogbreed.errors import EXIT_ACCESS, EXIT_FOUND

    aws = open_account(region, config, use_file=not no_config)
    account = aws.account
    found = looking.look(aws, days)
    if ui.json:
        ui.answer(
            {
                "account": account,
                "region": aws.region,
                "leftovers": [one.to_json() for one in found.leftovers],
                "usd_per_month": str(found.month),
                "unread": dict(found.unread),
            }
        )
    else:
        columns = ("kind", "name", "$/month", "why", "remove by")
        rows = [(one.kind, one.name, dollars(one.month), one.why, one.remove) for one in found.leftovers]
        if rows:
            ui.table(columns, rows, numbers=("$/month",))
        for area, why in found.unread.items():
            ui.warn(f"{area} were not read: {why}")
        ui.note(_summary(len(rows), found.month, sum(one.month is None for one in found.leftovers)))
    if found.leftovers:
        raise typer.Exit(EXIT_FOUND)
    if found.unread and len(found.unread) == looking.areas():
        raise typer.Exit(EXIT_ACCESS)


def _summary(count: int, month: Decimal, unknown: int) -> str:
    if not count:
        return "nothing of what was read is left over"
    price = f"{dollars(month)} a month"
    return f"{count} found, {price}" + (f", and {unknown} of unknown price" if unknown else "")
