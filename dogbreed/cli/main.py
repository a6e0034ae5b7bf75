"""The `dogbreed` command: loads the group that is asked for, and gives it to Typer."""

from __future__ import annotations

import sys
from importlib import import_module

import typer

from dogbreed import __version__
from dogbreed.cli.guard import guarded
from dogbreed.errors import EXIT_INTERRUPTED, UsageError
from dogbreed.ui import ui

# Which module holds which command, in the order of the life cycle; each has `add(app)`.
COMMANDS = {
    "data": "data",
    "train": "train",
    "predict": "predict",
    "runs": "runs",
    "config": "setup",
    "doctor": "setup",
}

app = typer.Typer(
    name="dogbreed",
    help="From photos to a running dog-breed classifier: train, predict, ship, scale, audit.\n\n"
    "Start: `dogbreed predict photo.jpg`, or `dogbreed train --instances 2` and then predict.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    suggest_commands=True,
)


def _version(value: bool) -> None:
    if value:
        ui.line(f"dogbreed {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", help="Print the version.", callback=_version, is_eager=True),
) -> None:
    pass


def load(arguments: list[str]) -> None:
    """Register the named command alone, so that it starts fast; all of them for help, completion and typing errors."""
    named = COMMANDS.get(arguments[0]) if arguments else None
    for module in dict.fromkeys([named] if named else COMMANDS.values()):
        import_module(f"dogbreed.cli.{module}").add(app)


def main() -> None:
    """Run the command line and exit with a code of `dogbreed.errors.EXIT_CODES`."""
    load(sys.argv[1:])
    sys.exit(run())


def run() -> int:
    """Run the command; the exit code."""
    return guarded(_invoke)


def _invoke() -> int:
    try:
        result = app(standalone_mode=False)
    except typer.Exit as stop:
        result = stop.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context else "dogbreed"
        raise UsageError(error.format_message(), f"see {where} --help") from None
    if result == EXIT_INTERRUPTED:  # what Typer makes of Ctrl-C, without a word
        raise KeyboardInterrupt
    return result if isinstance(result, int) else 0
