"""The `dogbreed` command: loads the group that is asked for, and gives it to Typer."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from dogbreed import __version__
from dogbreed.cli.guard import guarded
from dogbreed.cli.options import Command
from dogbreed.errors import EXIT_CODES, EXIT_INTERRUPTED, UsageError
from dogbreed.ui import ui

# Which module holds which command, in the order of the life cycle; each has `add(app)`.
COMMANDS = {
    "data": "data",
    "train": "train",
    "train-sagemaker": "train_sagemaker",
    "train-ec2": "train_ec2",
    "runs": "runs",
    "logs": "remote",
    "stop": "remote",
    "pull": "remote",
    "predict": "predict",
    "serve": "serve",
    "image": "image",
    "deploy": "deploy",
    "rollback": "deploy",
    "loadtest": "loadtest",
    "scale": "scale",
    "recommend": "recommend",
    "rehearse": "rehearse",
    "status": "account",
    "cost": "cost",
    "leftovers": "leftovers",
    "destroy": "account",
    "audit-iam": "audit",
    "iam": "iam",
    "config": "setup",
    "doctor": "setup",
}


class _InOrder(TyperGroup):
    """Lists the commands in the order of the life cycle, where Typer puts groups last."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for name in COMMANDS if name in self.commands]


app = typer.Typer(
    cls=_InOrder,
    name="dogbreed",
    help="From photos to a dog-breed classifier and its predictions.\n\n"
    "dogbreed predict photo.jpg\n\ndogbreed train photos --instances 2\n\ndogbreed data sample drawings",
    epilog="Exit codes: " + "; ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items()) + ".",
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
    for group in (app, *(one.typer_instance for one in app.registered_groups)):
        for command in group.registered_commands if group else ():
            command.cls = Command


def main() -> None:
    """Run the command line and exit with a code of `dogbreed.errors.EXIT_CODES`."""
    load(sys.argv[1:])
    sys.exit(run())


def run() -> int:
    """Run the command; the exit code."""
    # Looked at before the parser does, since an error of the parser should look as asked for, too.
    words = sys.argv[1 : sys.argv.index("--")] if "--" in sys.argv else sys.argv[1:]
    ui.json, ui.colour = "--json" in words, "--no-color" not in words
    ui.verbose = "--verbose" in words or "-v" in words
    shows_help = len(words) < 2 or "--help" in words or "-h" in words
    if shows_help and ui.terminal and not ui.may_colour(sys.stdout):
        _draw_help_plainly()
    return guarded(_invoke)


def _draw_help_plainly() -> None:
    # Typer's help, like all of Rich, keeps bold under NO_COLOR.
    from typer import rich_utils

    rich_utils.COLOR_SYSTEM = None


def _invoke() -> int:
    try:
        result = app(prog_name="dogbreed", standalone_mode=False)
    except typer.Exit as stop:
        result = stop.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    except typer.TyperException as error:
        if not error.format_message():  # only the help was shown, as nothing was asked for
            return error.exit_code
        context = getattr(error, "ctx", None)
        where = context.command_path if context else "dogbreed"
        raise UsageError(error.format_message(), f"see {where} --help") from None
    if result == EXIT_INTERRUPTED:  # what Typer makes of Ctrl-C, without a word
        raise KeyboardInterrupt
    return result if isinstance(result, int) else 0
