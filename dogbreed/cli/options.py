"""The options that many commands share: one name for one thing everywhere."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from dogbreed.ui import ui

if TYPE_CHECKING:
    from dogbreed.cloud.session import Aws

_OUTPUT = "Output"


def _json(value: bool) -> bool:
    ui.json = value
    return value


def _quiet(value: bool) -> bool:
    ui.quiet = value
    return value


def _verbose(value: bool) -> bool:
    ui.verbose = value
    return value


def _no_color(value: bool) -> bool:
    ui.colour = not value
    return value


def _flag(*names: str, help: str, panel: str = _OUTPUT, callback: object = None) -> object:
    return typer.Option(*names, help=help, rich_help_panel=panel, callback=callback, show_default=False)  # type: ignore[call-overload]


Json = Annotated[bool, _flag("--json", help="One JSON value on stdout.", callback=_json)]
Quiet = Annotated[bool, _flag("--quiet", "-q", help="The answer and errors only.", callback=_quiet)]
Verbose = Annotated[bool, _flag("--verbose", "-v", help="Tracebacks and details.", callback=_verbose)]
NoColor = Annotated[bool, _flag("--no-color", help="Plain text; NO_COLOR does the same.", callback=_no_color)]
Yes = Annotated[bool, _flag("--yes", help="Do not ask.", panel="Options")]
DryRun = Annotated[bool, _flag("--dry-run", "-n", help="Show what would be done, do nothing.", panel="Options")]
Config = Annotated[
    str | None, typer.Option("--config", help="Settings file or bundled recipe, in place of dogbreed.toml.")
]
NoConfig = Annotated[bool, _flag("--no-config", help="Read no settings file.", panel="Options")]
Region = Annotated[str | None, typer.Option(help="AWS region; default: that of the profile.")]


class Command(TyperCommand):
    """A command with the options on output, which every command has: what they say stands in `ui`.

    One that a command names itself stays where it names it.
    """

    def __init__(self, *words: Any, params: list[Any], **more: Any) -> None:
        own = {one.name for one in params}
        # Lines of a docstring are no lines of a terminal: only an empty one ends a paragraph.
        more["help"] = "\n\n".join(" ".join(part.split()) for part in (more.get("help") or "").split("\n\n"))
        super().__init__(*words, params=[*params, *(one for one in _of_output() if one.name not in own)], **more)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Too few values of an option are told without saying of which command; this says it."""
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException as error:
            if getattr(error, "ctx", ctx) is None:
                error.ctx = ctx  # type: ignore[attr-defined]
            raise


@cache
def _of_output() -> tuple[Any, ...]:
    """The parameters that Typer makes of the options on output."""

    def signature(
        json: Json = False, quiet: Quiet = False, verbose: Verbose = False, no_color: NoColor = False
    ) -> None:
        raise NotImplementedError

    app = typer.Typer(add_completion=False)
    app.command()(signature)
    found = tuple(typer.main.get_command(app).params)
    for one in found:
        one.expose_value = False
    return found


def open_account(region: str | None, config: str | None, *, use_file: bool) -> Aws:
    """The account that these options and the settings name; nothing is asked of it yet."""
    from dogbreed import config as settings
    from dogbreed.cloud.session import Aws

    return Aws(settings.load({"aws.region": region}, config=config, use_file=use_file).aws)
