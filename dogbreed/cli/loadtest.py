"""`dogbreed loadtest`: what a service can answer, and the target for scaling that follows from it."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dogbreed.cli.options import DryRun, Json, NoColor, Quiet, Verbose, Yes
from dogbreed.ui import ui

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dogbreed.capacity.load import Step, Target, Verdict

_STOP_AT = 0.5  # share of failed requests at which nothing more is learnt


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command(rich_help_panel="Ship")(loadtest)


def loadtest(
    url: Annotated[str | None, typer.Option(help="A service, such as that of dogbreed serve.")] = None,
    run: Annotated[str | None, typer.Option(help="Start a service of this run here, and end it afterwards.")] = None,
    rate: Annotated[str, typer.Option(help="Requests a second: 20, or from..to in steps.")] = "5..200",
    duration: Annotated[float, typer.Option(min=1, help="Seconds in all.")] = 60.0,
    steps: Annotated[int, typer.Option(min=1, max=50, help="Steps from the first rate to the last.")] = 8,
    photos: Annotated[Path | None, typer.Option(help="Folder of photos to send in turn; default: drawn ones.")] = None,
    p99: Annotated[float, typer.Option("--p99", help="Objective in ms for 99 % of the answers.")] = 500.0,
    errors: Annotated[float, typer.Option(help="Objective: at most this share may fail.")] = 0.001,
    safety: Annotated[float, typer.Option(help="Share of the highest rate within the objective to aim at.")] = 0.7,
    instances: Annotated[int, typer.Option(min=1, help="Instances behind the address.")] = 1,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_color: NoColor = False,
) -> None:
    """Send photos at a rising rate, whether or not answers come, and say what the service holds.

    A time counts from when a request was due, so a service that stalls is not spared. It stops early when half of a
    step fails. Requests to another machine may cost money there, so that is asked first.

    Example: dogbreed loadtest --run starter --rate 10..400
    """
    import asyncio

    from dogbreed.capacity import load
    from dogbreed.errors import EXIT_FOUND, UsageError

    if (url is None) == (run is None):
        raise UsageError("name what to test", "one of --url and --run")
    if not (p99 > 0 and 0 <= errors < 1 and 0 < safety <= 1):
        raise UsageError("an objective that cannot be", "--p99 above 0, --errors from 0 to 1, --safety from 0 to 1")
    plan = _plan(rate, steps)
    seconds = duration / len(plan)
    count = round(sum(plan) * seconds)
    ui.note(f"about {count:,} requests in {len(plan)} steps of {seconds:.1f} s, {plan[0]:g} to {plan[-1]:g} a second")
    if dry_run:
        ui.note("dry run: nothing was sent")
        return
    bodies = _photos(photos)
    done: list[Step] = []

    async def press(target: Target) -> None:
        async for step in load.press(target, plan, seconds):
            done.append(step)
            ui.note(_words(step))
            if step.failed > _STOP_AT:
                ui.note("stopped: half of the requests failed")
                break
        target.close()

    with _service(url, run) as address:
        target = load.Target(address, bodies)
        if target.host not in ("127.0.0.1", "localhost", "::1"):
            question = f"send about {count:,} requests to {target.host}, which may cost money there?"
            if not ui.confirm(question, yes=yes):
                ui.note("nothing was sent")
                return
        asyncio.run(press(target))
    verdict = load.judge(done, p99 / 1000, errors, safety, instances)
    _answer(done, verdict, p99)
    if not verdict.held:
        raise typer.Exit(EXIT_FOUND)


def _plan(text: str, steps: int) -> list[float]:
    from dogbreed.capacity.load import rates
    from dogbreed.errors import UsageError

    first, dots, last = text.partition("..")
    try:
        return rates(float(first), float(last if dots else first), steps)
    except ValueError:
        raise UsageError(f"{text!r} is no rate", "requests a second, such as 20 or 5..200") from None


def _photos(folder: Path | None) -> list[bytes]:
    from dogbreed.errors import UsageError
    from dogbreed.infer.photo import PHOTO_SUFFIXES, read_bytes

    if folder is None:
        from dogbreed.data.cache import cache_dir
        from dogbreed.data.sample import draw_sample

        folder = cache_dir() / "loadtest"
        if not folder.is_dir():
            draw_sample(folder, breeds=2, photos=8, seed=0)
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES)[:200]
    if not paths:
        raise UsageError(f"there are no photos in {folder}", "give a folder of photos, or leave out --photos")
    return [read_bytes(path) for path in paths]


@contextmanager
def _service(url: str | None, run: str | None) -> Iterator[str]:
    """The address to test; a service of `run` is another process, so that it does not share this one's interpreter."""
    import subprocess
    import sys
    from json import loads

    from dogbreed.errors import DogbreedError

    if url:
        yield url
        return
    command = [sys.executable, "-m", "dogbreed", "serve", "--run", str(run), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        try:
            said = "".join(iter(process.stdout.readline, "}\n"))
            if not said:
                raise DogbreedError(f"the service did not start: {process.stderr.read().strip()}", "dogbreed doctor")
            # Its log has a line for each request; nobody reads it, and it must not fill the pipe.
            _drain(process.stderr)
            yield loads(said + "}")["url"]
        finally:
            process.terminate()


def _drain(stream: object) -> None:
    import threading

    threading.Thread(target=lambda: [None for _ in stream], daemon=True).start()  # type: ignore[attr-defined]


def _words(step: Step) -> str:
    others = ", ".join(f"{count} {name}" for name, count in sorted(step.outcomes.items()) if name != "200")
    late = f", {step.late} sent late by this computer" if step.late else ""
    times = step.to_json()
    return (
        f"{step.rate:7.1f}/s: {step.answered:.1f}/s answered, p50 {times['p50_ms']} ms, p99 {times['p99_ms']} ms"
        f"{f', {others}' if others else ''}{late}"
    )


def _answer(done: list[Step], verdict: Verdict, p99: float) -> None:
    if ui.json:
        ui.answer({"steps": [step.to_json() for step in done], "verdict": verdict.to_json()})
        return
    columns = ("rate/s", "answered/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "failed")
    rows = []
    for step in done:
        said = step.to_json()
        times = [
            "-" if (value := said[f"{name}_ms"]) is None else f"{value:g}" for name in ("p50", "p90", "p99", "p99_9")
        ]
        rows.append([f"{step.rate:.1f}", f"{step.answered:.1f}", *times, f"{step.failed:.2%}"])
    ui.table(columns, rows, numbers=columns)
    most = f"at most {verdict.capacity:.1f} answers a second" if verdict.saturated else "it was not saturated"
    ui.line(
        f"{most}; {verdict.held:.1f}/s held p99 <= {p99:g} ms"
        if verdict.held
        else f"{most}; no rate held p99 <= {p99:g} ms"
    )
    if verdict.held:
        ui.line(f"target for scaling: {verdict.target_per_minute:.0f}/min for each instance")
        ui.note(
            f"next: dogbreed scale --simulate daily:{verdict.held:.0f}/s --target {verdict.target_per_minute:.0f}/min"
        )
