"""`dogbreed rehearse`: an AWS on this machine, to try everything before it costs money."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dogbreed.cli.options import DryRun
from dogbreed.errors import UsageError
from dogbreed.ui import ui

if TYPE_CHECKING:
    from dogbreed.rehearse.state import Server

_UP = "start it: dogbreed rehearse up"
_KINDS = ("spot-interrupt", "throttle", "deny", "no-capacity", "s3-500")
_SHARES = {"throttle": 0.1, "s3-500": 0.1}
_FASTEST = 3600


def add(app: typer.Typer) -> None:
    """Register the commands."""
    group = typer.Typer(
        help="An AWS on this machine, where jobs and machines really run: rehearse before you pay.",
        no_args_is_help=True,
    )
    for command in (up, down, status, run, speed, fault, calls):
        group.command()(command)
    app.add_typer(group, name="rehearse", rich_help_panel="Guard")


def up(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0: any free one.")] = 0,
    region: Annotated[str, typer.Option(help="Region of the clients that use it.")] = "eu-west-1",
    dry_run: DryRun = False,
) -> None:
    """Start the stand-in cloud and print the environment that leads AWS clients to it.

    It starts as an empty account and keeps everything in memory. Where it is up already, the same is printed again.
    Variables: REHEARSE_GRACE_S (120, the seconds from SIGTERM to SIGKILL), REHEARSE_SPOT_BACK_S (1, those until
    interrupted spot capacity comes back), REHEARSE_PLAIN (hosts are plain processes even where they could be isolated),
    REHEARSE_SPEED (1, see the command speed), REHEARSE_METRIC_DELAY_S (10, until alarms see what was measured),
    REHEARSE_INIT_S (10, in which a function has to begin).

    Example: eval "$(dogbreed rehearse up)"
    """
    from dogbreed.rehearse import state

    server = state.find()
    if dry_run:
        ui.note("it is up: nothing to start" if server else f"would start a stand-in cloud in {state.home()}")
        return
    if server is None:
        server, _ = state.start(port=port, region=region)
        ui.note(f"the stand-in cloud is up at {server.url}; end it: dogbreed rehearse down")
    else:
        ui.note(f"the stand-in cloud is up already, at {server.url}")
    if ui.json:
        ui.answer({"url": server.url, "pid": server.pid, "environment": server.environment})
        return
    for name, value in server.environment.items():
        ui.line(f"export {name}={shlex.quote(value)}")


def down(
    dry_run: DryRun = False,
) -> None:
    """End the stand-in cloud and everything that it runs: jobs, machines, their networks.

    Example: dogbreed rehearse down
    """
    from dogbreed.rehearse import state

    server = state.find()
    if dry_run:
        ui.note(f"would end the stand-in cloud at {server.url}" if server else "it is not up")
        return
    if server:
        state.end(server)
        ui.note("the stand-in cloud is down; unset AWS_ENDPOINT_URL before you mean the real one")
    elif state.clean():
        ui.note("it had been killed; what it left is removed")
    else:
        ui.note("it is not up")
    if ui.json:
        ui.answer({"ended": server is not None})


def status() -> None:
    """Say whether the stand-in cloud is up, its time, what it runs and scales, and which faults are in force.

    Example: dogbreed rehearse status
    """
    from dogbreed.rehearse import state

    server = state.find()
    told: dict[str, Any] = {"up": server is not None}
    if server:
        told |= {"url": server.url, "pid": server.pid, "region": server.region} | server.ask("status")
    if ui.json:
        ui.answer(told)
    elif server is None:
        ui.line("not up")
        ui.note(_UP)
    else:
        for name, value in told.items():
            ui.line(f"{name}: {_flat(value)}")


def run(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="What to run, after --.")],
    dry_run: DryRun = False,
) -> None:
    """Run a command against the stand-in cloud; where it is not up, it is for as long as the command runs.

    Example: dogbreed rehearse run -- aws s3 ls
    """
    import os
    import subprocess

    from dogbreed.rehearse import state

    found = state.find()
    if dry_run:
        ui.note(f"would run {shlex.join(command)} against {found.url if found else 'a stand-in of its own'}")
        return
    server = found or state.start()[0]
    try:
        code = subprocess.run(command, env=os.environ | server.environment, check=False).returncode
    except (FileNotFoundError, PermissionError) as error:
        raise UsageError(f"{command[0]} cannot be run: {error.strerror}", "give a command after --") from error
    finally:
        if found is None:
            state.end(server)
    if ui.json:
        ui.answer({"exit_code": code})
    raise typer.Exit(code)


def speed(
    times: Annotated[
        float, typer.Argument(help="Seconds that pass there in one here; up to 3600.", show_default=False)
    ],
    dry_run: DryRun = False,
) -> None:
    """Let the stand-in's clock run faster: metrics, alarms, cool-downs, schedules, starts. Photos take what they take.

    It never goes back; 1 is the pace of this machine again.

    Example: dogbreed rehearse speed 60
    """
    if not 0 < times <= _FASTEST:
        raise UsageError(f"a clock cannot run at {times:g} times", f"more than 0, at most {_FASTEST}; 60 is a good one")
    server = _server()
    if dry_run:
        ui.note(f"would let the clock run at {times:g} times")
        return
    server.ask("speed", speed=times)
    told = server.ask("status")["clock"]
    if ui.json:
        ui.answer(told)
    else:
        ui.note(f"an hour takes {3600 / times:.3g} s from now on; it is {told['now']} there")


def fault(
    kind: Annotated[str, typer.Argument(help=f"One of {', '.join(_KINDS)}.", show_default=False)] = "",
    target: Annotated[
        str,
        typer.Argument(
            help="An action such as s3:PutObject for throttle and deny; an instance type for no-capacity; a job or "
            "machine for spot-interrupt; * for any.",
        ),
    ] = "*",
    share: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of the calls; throttle, s3-500: 0.1.")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after this many hits.")] = None,
    zone: Annotated[str, typer.Option(help="For no-capacity: only in this zone.")] = "*",
    market: Annotated[str, typer.Option(help="For no-capacity: only spot, or only on-demand; * for both.")] = "*",
    lead: Annotated[
        float | None, typer.Option(min=0, help="For spot-interrupt: seconds from the notice to the machine's end; 120.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of what is hit.")] = 0,
    clear: Annotated[bool, typer.Option("--clear", help="Lift the faults (of this kind).")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Show what is in force.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Let things go wrong in the stand-in cloud, as they do in the real one.

    Example: dogbreed rehearse fault throttle --share 0.2

    Example: dogbreed rehearse fault deny sagemaker:CreateTrainingJob

    Example: dogbreed rehearse fault no-capacity 'g5.*' --zone eu-west-1a --market spot

    Example: dogbreed rehearse fault --clear
    """
    server = _server()
    if kind and kind not in _KINDS:
        raise UsageError(f"no fault is called {kind}", f"there are: {', '.join(_KINDS)}")
    if not (kind or clear or listed):
        raise UsageError("which fault?", f"one of {', '.join(_KINDS)}; or --list, or --clear")
    if kind in ("deny", "throttle") and ":" not in target and (kind, target) != ("throttle", "*") and not clear:
        raise UsageError(f"{kind}: {target} is no action", f"for example: dogbreed rehearse fault {kind} s3:PutObject")
    if market not in ("*", "spot", "on-demand"):
        raise UsageError(f"no market is called {market}", "--market spot or --market on-demand")
    if dry_run:
        ui.note(f"would {'lift' if clear else 'set'} {kind or 'all faults'}")
        return
    if clear:
        server.ask("clear", kind=kind)
    elif kind == "spot-interrupt":
        if lead is not None:
            server.ask("spot-lead", seconds=lead)
        hit = server.ask("interrupt", target=target)
        ui.note(f"interrupted: {', '.join(hit)}" if hit else "nothing on spot capacity is running")
    elif kind:
        share = share if share is not None else _SHARES.get(kind, 1.0)
        server.ask("fault", kind=kind, target=target, share=share, count=count, zone=zone, market=market, seed=seed)
    told = server.ask("faults")
    if ui.json:
        ui.answer(told)
    else:
        for one in told:
            ui.line(_flat(one))


def calls() -> None:
    """List every call so far: when, who, which action, on what, and how it ended.

    Example: dogbreed rehearse calls --json
    """
    told = _server().ask("calls")
    if ui.json:
        ui.answer(told)
        return
    rows = [
        (one["time"], one["who"].rsplit(":", 1)[-1], one["action"], ",".join(one["resources"]) or "*", _ended(one))
        for one in told
    ]
    ui.table(("time", "who", "action", "resources", "ended"), rows)


def _server() -> Server:
    from dogbreed.rehearse import state

    if server := state.find():
        return server
    raise UsageError("the stand-in cloud is not up", _UP)


def _ended(one: dict[str, Any]) -> str:
    return f"{one['status']} {one['error']}".strip()


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_flat(inner)}" for name, inner in value.items()) or "none"
    return ", ".join(_flat(inner) for inner in value) or "none" if isinstance(value, list) else str(value)
