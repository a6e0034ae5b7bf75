"""`dogbreed logs`, `stop` and `pull`: follow, end and bring home a run that trains elsewhere."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dogbreed.cli import remote_training as shared
from dogbreed.cli.options import Config, DryRun, NoConfig, Region, open_account
from dogbreed.ui import ui

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dogbreed.cloud.remote import LogLine, RemoteRun
    from dogbreed.cloud.session import Aws

RunName = Annotated[str, typer.Argument(metavar="RUN", help="Name or folder of the run; see dogbreed runs.")]


def add(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (logs, stop, pull):
        app.command(rich_help_panel="Train")(command)


def logs(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, or a service: endpoint, serverless, lambda, ec2.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
    hours: Annotated[float, typer.Option(min=0.01, help="Of a service: how far to look back.")] = 1.0,
    wait_minutes: shared.WaitMinutes = None,
    region: Region = None,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:
    """Show what the machines of a run wrote, or with --follow its progress; or what a deployed service writes.

    dogbreed logs 20261125-145338-ab12 --follow

    dogbreed logs endpoint --hours 3
    """
    from dogbreed.cloud import remote
    from dogbreed.cloud.serving.deployment import DOORS

    # Also with the project before it, as AWS knows them; the names of runs end otherwise.
    if run.rpartition("-")[2] in DOORS and not Path(run).exists():
        _of_service(run, hours, region, config, follow=follow, use_file=not no_config)
        return
    aws, found = _open(run, region, config, no_config)
    if follow and not ui.json:
        found, state = shared.follow(aws, found, int(found.more.get("epochs", 1)), minutes=wait_minutes)
        shared.say_cost(found, state)
        if state.status == "finished":
            ui.line(f"{found.id} finished")
            ui.note(f"next: dogbreed pull {found.id}")
        else:
            words, hint = shared.how_it_ended(found, state)
            ui.line(words)
            ui.note(hint)
        return
    _show(remote.backend(aws, found).logs(found, follow=follow))


def _of_service(
    name: str, hours: float, region: str | None, config: str | None, *, follow: bool, use_file: bool
) -> None:
    from dogbreed.cloud.serving import service_logs
    from dogbreed.errors import UsageError

    if follow and ui.json:
        raise UsageError("--json is one value, and --follow has no end", "leave out one of them")
    aws = open_account(region, config, use_file=use_file)
    door = name.rpartition("-")[2]
    if name not in (door, aws.name(door)):
        raise UsageError(
            f"{name} is no service of the project {aws.settings.project}",
            f"dogbreed logs {door}, or set [aws] project in dogbreed.toml",
        )
    if not _show(service_logs.lines(aws, door, time.time() - hours * 3600, follow=follow)):
        ui.note(f"{aws.name(door)} has written nothing in the last {hours:g} h; further back: --hours")


def _show(lines: Iterable[LogLine | None]) -> int:
    """Print lines as they come, or as one JSON value; how many there were."""
    shown: list[dict[str, Any]] = []
    count = 0
    for line in filter(None, lines):
        count += 1
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(line.time))
        if ui.json:
            shown.append({"time": when, "host": line.host, "text": line.text})
        else:
            ui.line(f"{when} {line.host} {line.text}")
    if ui.json:
        ui.answer(shown)
    return count


def stop(
    run: RunName,
    dry_run: DryRun = False,
    region: Region = None,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:
    """End a run: its machines write a checkpoint first, so that it can go on later.

    Example: dogbreed stop 20261125-145338-ab12
    """
    from dogbreed.cloud import remote

    aws, found = _open(run, region, config, no_config)
    found, state = remote.refresh(aws, found)
    ended = state.status in remote.ENDED
    if not ended and not dry_run:
        remote.backend(aws, found).stop(found)
        found, state = remote.refresh(aws, found)
    shared.say_cost(found, state)
    if ui.json:
        ui.answer({"run": found.id, "state": state.status, "usd": state.usd, "dry_run": dry_run})
    elif ended:
        ui.line(f"{found.id} has ended: {state.status}{shared.because(state)}")
    elif dry_run:
        ui.line(f"would stop {found.id}, which is {state.status}")
    else:
        ui.line(f"{found.id} {state.status}")
        ui.note(f"go on with it later: dogbreed train-{found.backend} --resume {found.id}")


def pull(
    run: RunName,
    dry_run: DryRun = False,
    region: Region = None,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:
    """Bring a finished run home to runs/RUN: export it, check the export, and measure it.

    Example: dogbreed pull 20261125-145338-ab12
    """
    from dogbreed.cli.training import answer
    from dogbreed.cloud import remote
    from dogbreed.run import MODEL, RUNS, Run

    folder = RUNS / run.rpartition("/")[2]
    if (folder / MODEL).is_file():
        done = Run.open(folder)
        ui.note(f"{folder} is here already")
        answer(done, {"metrics": done.info["metrics"], "efficiency": done.info["efficiency"]}, named=False)
        return
    aws, found = _open(run, region, config, no_config)
    found, state = remote.refresh(aws, found)
    if dry_run:
        if ui.json:
            ui.answer({"run": found.id, "state": state.status, "folder": str(RUNS / found.id)})
        else:
            ui.line(f"would bring {found.id}, which is {state.status}, to {RUNS / found.id}")
        return
    if state.status not in remote.ENDED:
        from dogbreed.errors import EXIT_RUNNING

        ui.note(f"{found.id} has not ended: {state.status}. follow: dogbreed logs {found.id} --follow")
        raise typer.Exit(EXIT_RUNNING)
    if state.status == "finished":
        shared.bring_home(aws, found, state)
        return
    from dogbreed.errors import DogbreedError

    raise DogbreedError(
        f"{found.id} did not finish: {state.status}{shared.because(state)}",
        f"go on with it: dogbreed train-{found.backend} --resume {found.id}",
    )


def _open(name: str, region: str | None, config: str | None, no_config: bool) -> tuple[Aws, RemoteRun]:
    from dogbreed.config import load

    return shared.open_run(load({"aws.region": region}, config=config, use_file=not no_config), name)
