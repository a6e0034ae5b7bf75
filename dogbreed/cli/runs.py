"""`dogbreed runs`: the runs of this folder and what each has reached."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dogbreed.cli.options import Json, NoColor, Quiet, Verbose
from dogbreed.ui import ui

if TYPE_CHECKING:
    from dogbreed.run import Run

Folder = Annotated[
    Path | None, typer.Argument(metavar="DIR", help="Folder that holds runs; default: runs.", show_default=False)
]


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command(rich_help_panel="Train")(runs)


def runs(
    folder: Folder = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_color: NoColor = False,
) -> None:
    """List the runs here, oldest first, with what each has reached.

    Example: dogbreed runs
    """
    from dogbreed.errors import UsageError
    from dogbreed.run import RUNS

    root = folder or RUNS
    if folder and not root.is_dir():
        raise UsageError(f"there is no folder {root}", "runs are made by: dogbreed train")
    found = [look(path) for path in sorted(root.iterdir()) if _is_run(path)] if root.is_dir() else []
    found.sort(key=lambda one: (one["when"], one["run"]))
    if json:
        ui.answer(found)
        return
    columns = ("run", "when", "state", "top-1", "breeds", "backbone", "method")
    ui.table(columns, [_row(one) for one in found], numbers=("top-1", "breeds"))
    for one in found:
        if one["hint"]:
            ui.note(f"{one['run']} is {one['state']}: {one['hint']}")
    if not found:
        ui.note(f"no runs in {root}. next: dogbreed train --instances 2")


def look(path: Path) -> dict[str, Any]:
    """What is known about the run in `path`, whatever became of it."""
    from dogbreed.errors import DogbreedError
    from dogbreed.run import MODEL, Run

    known: dict[str, Any] = {"run": str(path), "when": _time(path), "state": "finished", "hint": ""}
    known |= dict.fromkeys(("top1", "top1_interval", "breeds", "backbone", "method", "drawn", "world_size"))
    if not (path / MODEL).exists():
        # Resuming needs the job; where there is no checkpoint yet, it begins at the first step.
        return known | {"state": "unfinished", "hint": f"go on with: dogbreed train --resume {path}"} | _job(path)
    try:
        return known | _facts(Run.open(path))
    except (DogbreedError, KeyError, TypeError, ValueError) as error:
        words = error.message if isinstance(error, DogbreedError) else f"{MODEL} lacks {error}"
        return known | {"state": "damaged", "hint": words}


def _is_run(path: Path) -> bool:
    from dogbreed.run import MODEL

    return any((path / name).exists() for name in (MODEL, "job.json", "checkpoints"))


def _facts(run: Run) -> dict[str, Any]:
    info, test = run.info, run.info["metrics"]["test"]
    photos = test.get("photos", 0)
    return {
        "when": str(info["created"]),
        "top1": test["top1"] if photos else None,
        "top1_interval": test["top1_interval"] if photos else None,
        "breeds": len(run.labels),
        "backbone": info["backbone"],
        "method": info.get("settings", {}).get("train", {}).get("method"),
        "drawn": info.get("data", {}).get("drawn"),
        "world_size": info.get("world_size"),
    }


def _job(path: Path) -> dict[str, Any]:
    """What the unfinished job says of itself; nothing where it cannot be read."""
    import json

    try:
        job = json.loads((path / "job.json").read_text(encoding="utf-8"))
        train, data = job["settings"]["train"], job["data"]
        return {
            "breeds": len(data["breeds"]),
            "backbone": train["backbone"],
            "method": train["method"],
            "drawn": data["drawn"],
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {"hint": "its job.json cannot be read; remove the folder"}


def _time(path: Path) -> str:
    import time

    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(path.stat().st_mtime))


def _row(one: dict[str, Any]) -> list[str]:
    top1 = "" if one["top1"] is None else f"{one['top1']:.1%}"
    breeds = "" if one["breeds"] is None else f"{one['breeds']}{' drawn' if one['drawn'] else ''}"
    when = one["when"].replace("T", " ").removesuffix("Z")[:16]
    return [one["run"], when, one["state"], top1, breeds, one["backbone"] or "", one["method"] or ""]
