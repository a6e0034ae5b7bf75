"""`dogbreed runs`: the runs of this folder and of the account's bucket, and what each has reached."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dogbreed.cli.options import Region
from dogbreed.cli.plans import dollars
from dogbreed.ui import ui

if TYPE_CHECKING:
    from dogbreed.cloud.remote import RemoteRun
    from dogbreed.run import Run

Folder = Annotated[
    Path | None, typer.Argument(metavar="DIR", help="Folder that holds runs; default: runs.", show_default=False)
]


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command(rich_help_panel="Train")(runs)


def runs(
    folder: Folder = None,
    local: Annotated[bool, typer.Option("--local", help="Only this folder; ask no account.")] = False,
    region: Region = None,
) -> None:
    """List the runs here and in the account, oldest first, with what each has reached and cost.

    Example: dogbreed runs
    """
    from dogbreed.errors import UsageError
    from dogbreed.run import RUNS

    root = folder or RUNS
    if folder and not root.is_dir():
        raise UsageError(f"there is no folder {root}", "runs are made by: dogbreed train")
    found = [look(path) for path in sorted(root.iterdir()) if _is_run(path)] if root.is_dir() else []
    if not (folder or local):
        found = _with_remote(found, region)
    found.sort(key=lambda one: (one["when"], one["run"]))
    if ui.json:
        ui.answer(found)
        return
    columns = ("run", "when", "state", "top-1", "breeds", "backbone", "method", "where", "cost")
    ui.table(columns, [_row(one) for one in found], numbers=("top-1", "breeds", "cost"))
    for one in found:
        if one["hint"]:
            ui.note(f"{one['run']} is {one['state']}: {one['hint']}")
    if not found:
        ui.note(f"no runs in {root}. next: dogbreed train --instances 2")


def _with_remote(found: list[dict[str, Any]], region: str | None) -> list[dict[str, Any]]:
    """The runs, with those of the account; without an account those here, which is said."""
    from dogbreed.config import load
    from dogbreed.errors import DogbreedError

    settings = load({"aws.region": region}).aws
    if not (settings.profile or _may_have_account()):
        ui.note("runs of an AWS account are not listed: no credentials are set")
        return found
    from dogbreed.cloud import errors, remote
    from dogbreed.cloud.session import Aws
    from dogbreed.cloud.storage import Store

    try:
        aws = Aws(settings)
        known = [remote.seen(aws, run) for run in remote.listed(Store(aws))]
    # Whatever the account answers, the runs here are listed.
    except Exception as error:
        if errors.code(error) == "NoSuchBucket":
            _mark_gone(found, aws.bucket)
            ui.note("the AWS account has no runs")
            return found
        told = error if isinstance(error, DogbreedError) else errors.translate(error)
        if told is None:
            raise
        ui.note(f"runs of the AWS account are not listed: {told.message}")
        return found
    here = {Path(one["run"]).name: one for one in found}
    for run, state in known:
        one = here.setdefault(run.id, _nothing_known(run.id) | {"when": run.created, "state": ""})
        one |= _remote(run) | ({} if one["state"] == "finished" else _state(run, state.status, state.detail))
    return list(here.values())


def _mark_gone(found: list[dict[str, Any]], bucket: str) -> None:
    """Say of runs that were last seen in a bucket which is no more that nothing of them can come."""
    from dogbreed.cloud.remote import read

    for one in found:
        if one["where"] != "here" and one["state"] != "finished" and read(Path(one["run"])).bucket == bucket:
            one |= {"state": "gone", "hint": "its bucket is no more, and with it what was trained; train again"}


def _may_have_account() -> bool:
    """Whether there are any credentials to try; without one the SDK would look for those of an EC2 machine."""
    import os

    container = [f"AWS_CONTAINER_CREDENTIALS_{kind}_URI" for kind in ("FULL", "RELATIVE")]
    names = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", *container)
    files = (
        os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
        os.environ.get("AWS_CONFIG_FILE", "~/.aws/config"),
    )
    return any(os.environ.get(name) for name in names) or any(Path(file).expanduser().is_file() for file in files)


def _remote(run: RemoteRun) -> dict[str, Any]:
    return {"where": run.backend, "usd": None if run.spent is None else str(run.spent)}


def _state(run: RemoteRun, status: str, detail: str) -> dict[str, Any]:
    """How a run that is not here yet is doing, and the next command."""
    ended = {"finished": f"dogbreed pull {run.id}"}
    why = f"{' '.join(detail.split())}; " if detail else ""
    ended |= dict.fromkeys(("failed", "stopped"), f"{why}go on: dogbreed train-{run.backend} --resume {run.id}")
    state = "finished there" if status == "finished" else status
    return {"state": state, "hint": ended.get(status, f"dogbreed logs {run.id} --follow")}


def _nothing_known(name: str) -> dict[str, Any]:
    known: dict[str, Any] = {"run": name, "when": "", "state": "finished", "hint": "", "where": "here", "usd": None}
    return known | dict.fromkeys(("top1", "top1_interval", "breeds", "backbone", "method", "drawn", "world_size"))


def look(path: Path) -> dict[str, Any]:
    """What is known about the run in `path`, whatever became of it."""
    from dogbreed import launch
    from dogbreed.errors import DogbreedError
    from dogbreed.run import MODEL, Run

    known = _nothing_known(str(path)) | {"when": _time(path)} | _elsewhere(path)
    if not (path / MODEL).exists() and known["where"] != "here":
        return known | _job(path) | {"hint": known["hint"]}
    if not (path / MODEL).exists() and launch.is_busy(path):
        return known | {"state": "training", "hint": f"here; its own words: {path / launch.LOG}"} | _job(path)
    if not (path / MODEL).exists():
        # Resuming needs the job; where there is no checkpoint yet, it begins at the first step.
        return known | {"state": "unfinished", "hint": f"go on with: dogbreed train --resume {path}"} | _job(path)
    try:
        return known | _facts(Run.open(path))
    except (DogbreedError, KeyError, TypeError, ValueError) as error:
        words = error.message if isinstance(error, DogbreedError) else f"{MODEL} lacks {error}"
        return known | {"state": "damaged", "hint": words}


def _elsewhere(path: Path) -> dict[str, Any]:
    """What remote.json says of a run that trains elsewhere, as it was last seen; nothing for others."""
    if not (path / "remote.json").is_file():
        return {}
    from dogbreed.cloud.remote import read
    from dogbreed.errors import DogbreedError

    try:
        run = read(path)
    except DogbreedError as error:
        return {"state": "damaged", "hint": error.message}
    last = run.last
    known = _remote(run) | {"when": run.created}
    return (
        known
        if (path / "model.json").exists()
        else known | _state(run, last.status if last else "launching", last.detail if last else "")
    )


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
    cost = "" if one["usd"] is None else dollars(Decimal(one["usd"]))
    about = (one["backbone"] or "", one["method"] or "", one["where"], cost)
    return [one["run"], when, one["state"], top1, breeds, *about]
