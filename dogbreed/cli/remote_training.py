"""What training on SageMaker and on EC2 have in common at the command line: options, following, bringing home."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dogbreed.cli.plans import carry_out, dollars
from dogbreed.cli.training import View, answer
from dogbreed.ui import ui

if TYPE_CHECKING:
    from dogbreed.capacity.choose import Choice, Job, Option
    from dogbreed.cloud.remote import RemoteRun, State
    from dogbreed.cloud.session import Aws
    from dogbreed.config import Settings
    from dogbreed.data.photoset import PhotoSet
    from dogbreed.plan import Resource
    from dogbreed.ui import Advance

_LOOK_EVERY_S = 5.0
_KEPT_LINES, _SHOWN = 200, 300

# -- options


def _amount(value: float | None) -> float | None:
    from dogbreed.errors import UsageError

    # In a settings file 0 stands for no budget; who types it means something else.
    if value is not None and not 0 < value < float("inf"):
        raise UsageError(f"--max-usd {value:g} is no amount to spend", "without --max-usd the time limits the cost")
    return value


Instances = Annotated[int | None, typer.Option(min=1, max=64, help="Machines; each GPU of one is a worker.")]
InstanceType = Annotated[str | None, typer.Option(help="Type of the machines; auto chooses by price and speed.")]
Spot = Annotated[bool | None, typer.Option("--spot/--no-spot", help="Spare capacity, which AWS may take back.")]
MaxUsd = Annotated[
    float | None, typer.Option(callback=_amount, help="Most that the run may cost, resumed attempts together.")
]
MaxHours = Annotated[float | None, typer.Option(help="Longest training time in hours.")]
Resume = Annotated[str | None, typer.Option(help="Go on with this run, which was stopped, interrupted or failed.")]
Detach = Annotated[bool, typer.Option("--detach", help="Return as soon as it is launched.")]
WaitMinutes = Annotated[
    float | None, typer.Option(min=0, help="Follow for so long at most, then exit with 5; the run goes on.")
]


def refuse_changes(flags: Mapping[str, Any], may: tuple[str, ...]) -> None:
    """UsageError for an option that cannot change when a run goes on."""
    from dogbreed.errors import UsageError

    for key, value in flags.items():
        if value is not None and not key.startswith(may):
            name = "DATA" if key == "data.path" else "--" + key.partition(".")[2].replace("_", "-")
            raise UsageError(f"{name} cannot change when a run goes on", "--resume goes on with a run as it was begun")


def check_start(settings: Settings) -> None:
    """Errors that the workers would end with at once, told before anything costs money."""
    train = settings.train
    if (train.backbone, train.weights) == ("starter", "starter"):
        return
    try:
        from dogbreed.train import model
    except ImportError:
        ui.note("the backbone and its weights are not checked here: that needs pip install 'dogbreed[train]'")
        return
    model.start(train.backbone, train.weights, ("a", "b"), train.seed)


def check_workers(settings: Settings, photos: PhotoSet, machines: int, gpus: int) -> None:
    """Whether the photos suffice for every worker of these machines."""
    from dogbreed.cli.training import check

    check(settings, photos, machines * max(1, gpus))


class Upload:
    """Shows bytes sent of bytes in all: a bar that appears with the first."""

    def __init__(self) -> None:
        from contextlib import ExitStack

        self._stack, self._seen = ExitStack(), 0
        self._advance: Advance | None = None

    def __call__(self, done: int, total: int) -> None:
        """Take what `payload.Photos` reports."""
        if self._advance is None:
            self._advance = self._stack.enter_context(ui.progress("uploading photos", total, "bytes"))
        self._advance(done - self._seen)
        self._seen = done
        if done >= total:
            self._stack.close()


def estimated_job(settings: Settings, photos: PhotoSet, size: int) -> Job:
    """What is to be trained, as `dogbreed.capacity.choose` reckons with it; `size` in bytes."""
    from dogbreed.capacity.choose import Job

    train, count = settings.train, len(photos.split("train"))
    batch = min(train.batch_size, count)
    return Job(count, len(photos.photos), size, train.epochs, batch, train.method, train.backbone)


def say_estimate(
    job: Job, instance_type: str, count: int, region: str, use: Literal["training", "ec2"], max_usd: float
) -> None:
    """What so many machines of a type will take, and whether fewer would do; nothing for an unknown type."""
    from dogbreed.capacity import choose
    from dogbreed.capacity.measured import of_runs
    from dogbreed.pricing import Prices

    prices = Prices.load()
    instance = prices.instance(instance_type)
    if instance is None:
        ui.note(f"{instance_type} is not in the table of known machines: its time and cost are not estimated")
        return
    by_type, cpu_rate = of_runs(job)

    def estimate(number: int) -> Option:
        return choose.estimate(job, instance, number, prices, region, use=use, measured=by_type, cpu_rate=cpu_rate)

    option = estimate(count)
    ui.note(f"all {job.epochs} epochs: {option.words()}")
    less = [estimate(number) for number in range(1, count)]
    if words := choose.fewer(option, less):
        ui.note(f"  {words}")
    _warn(option, max_usd)


def choose_machines(
    job: Job,
    settings: Settings,
    region: str,
    use: Literal["training", "ec2"],
    max_hours: float,
    allowed: Callable[[str, int], str],
) -> Choice:
    """The best machines for a job: as many as are set, or the best number; `allowed` says why not so many of a type."""
    from dogbreed.capacity import choose
    from dogbreed.capacity.measured import of_runs
    from dogbreed.pricing import Prices

    by_type, cpu_rate = of_runs(job)
    return choose.choose(
        job,
        Prices.load(),
        region,
        use=use,
        counts=(settings.train.instances,) if "train.instances" in settings.sources else choose.COUNTS,
        measured=by_type,
        cpu_rate=cpu_rate,
        max_hours=max_hours,
        allowed=allowed,
    )


def say_choice(choice: Choice, chosen: Option, max_usd: float) -> None:
    """The best three, which one is taken, and what is to be said about it."""
    for option in choice.best:
        ui.note(f"{'*' if option == chosen else ' '} {option.words()}")
    if chosen not in choice.best:
        ui.note(f"* {chosen.words()}")
    for words in choice.advice:
        ui.note(f"  {words}")
    _warn(chosen, max_usd)


def _warn(option: Option, max_usd: float) -> None:
    """Of a budget that will end training before its last epoch."""
    if max_usd and option.usd is not None and max_usd < option.usd:
        ui.warn(
            f"--max-usd {max_usd:g} is less than the {dollars(option.usd)} that all epochs are estimated to cost: "
            "training will be stopped with a checkpoint when it is spent"
        )


# -- a run that was launched


def open_run(settings: Settings, name: str) -> tuple[Aws, RemoteRun]:
    """The run that is meant by a name or folder, and the account and region that it is in.

    Raises UsageError where there is none, AccessError where the credentials are of another account.
    """
    from dataclasses import replace

    from dogbreed.cloud import remote
    from dogbreed.cloud.session import Aws
    from dogbreed.errors import AccessError
    from dogbreed.run import RUNS

    folder = next((path for path in (Path(name), RUNS / name) if (path / remote.FILE).is_file()), None)
    known = remote.read(folder) if folder else None
    aws = Aws(replace(settings.aws, region=known.region, project=known.project) if known else settings.aws)
    if known and aws.account != known.account:
        raise AccessError(
            f"{known.id} is in account {known.account}, and these credentials are of {aws.account}",
            "choose the profile of that account: AWS_PROFILE=NAME",
        )
    return aws, remote.find(aws, name)


def reopen(aws: Aws, run: RemoteRun, backend: str) -> tuple[RemoteRun, State, bytes]:
    """A run that is to go on, as it is now, and its job.

    Raises UsageError where it trains on something else than `backend`, DogbreedError where it cannot go on.
    """
    from dogbreed.cloud import remote
    from dogbreed.cloud.storage import Store
    from dogbreed.errors import DogbreedError, UsageError

    if run.backend != backend:
        raise UsageError(f"{run.id} trains on {run.backend}", f"dogbreed train-{run.backend} --resume {run.id}")
    run, state = remote.refresh(aws, run)
    if state.status == "finished":
        raise DogbreedError(f"{run.id} is finished", f"dogbreed pull {run.id}")
    if state.status not in remote.ENDED:
        raise DogbreedError(f"{run.id} has not ended: {state.status}", f"dogbreed logs {run.id} --follow")
    content = Store(aws, run.bucket).get(f"{run.prefix}{remote.JOB}")
    if content is None:
        raise DogbreedError(f"the job of {run.id} is gone from bucket {run.bucket}", "train again")
    return run, state, content


def start(aws: Aws, resources: list[Resource], run: RemoteRun, *, yes: bool, dry_run: bool) -> RemoteRun | None:
    """Show what will be made, ask, and make it, the job or machines last; the run as launched, None if it was not."""
    from dogbreed import plan as planning

    plan = planning.make(resources, ceiling=None if run.ceiling_usd is None else Decimal(run.ceiling_usd))
    if dry_run and ui.json:
        ui.answer(plan.to_json() | {"run": run.to_json()})
        return None
    if not carry_out(plan, aws, yes=yes, dry_run=dry_run, question="start training?"):
        return None
    last: Any = resources[-1]
    launched: RemoteRun = last.run
    return launched


def follow(aws: Aws, run: RemoteRun, epochs: int, *, minutes: float | None = None) -> tuple[RemoteRun, State]:
    """Show what the run tells until it has ended; Ctrl-C and the end of the wait leave it running.

    Raises DogbreedError when training failed, KeyboardInterrupt and typer.Exit(5) as they come.
    """
    import signal

    from dogbreed import launch
    from dogbreed.cloud import remote
    from dogbreed.errors import EXIT_RUNNING, DogbreedError

    # What ends this process politely is treated like Ctrl-C: it says how to come back.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    until = time.monotonic() + minutes * 60 if minutes is not None else float("inf")
    error: dict[str, Any] = {}
    told, looked = "", 0.0
    others: deque[str] = deque(maxlen=_KEPT_LINES)
    try:
        with View(epochs) as view:
            for line in remote.backend(aws, run).logs(run, follow=True):
                if line is not None:
                    event = launch.parse(line.text)
                    if event is None:
                        others.append(line.text)
                        if ui.verbose:
                            ui.note(f"{line.host}: {line.text}")
                        continue
                    error = event if event["event"] == "error" else error
                    view.show(event)
                elif time.monotonic() > looked + _LOOK_EVERY_S:
                    looked = time.monotonic()
                    run, state = remote.refresh(aws, run)
                    told = _say_state(state, told)
                if time.monotonic() > until:
                    ui.note(f"{run.id} goes on. {_come_back(run)}")
                    raise typer.Exit(EXIT_RUNNING)
    except KeyboardInterrupt:
        ui.note(f"{run.id} goes on without this command. {_come_back(run)}")
        raise
    run, state = remote.refresh(aws, run)
    if run.last and not run.last.launched:
        raise DogbreedError(f"{run.id} was {state.detail}", _go_on(run))
    if state.status == "failed":
        words = error.get("message") or launch.last_words(others) or _one_line(state.detail)
        raise DogbreedError(
            f"training failed: {words}", error.get("hint") or f"its log: dogbreed logs {run.id}; {_go_on(run)}"
        )
    return run, state


def bring_home(aws: Aws, run: RemoteRun, state: State) -> None:
    """Pull a run that has ended, and answer as a local training does; DogbreedError where it was stopped."""
    from dogbreed.cloud import remote
    from dogbreed.errors import DogbreedError
    from dogbreed.run import RUNS, Run

    say_cost(run, state)
    if state.status != "finished":
        raise DogbreedError(*how_it_ended(run, state))
    words = {
        "fetch": "fetching what was trained",
        "export": "exporting to ONNX",
        "parity": "comparing the export with the model",
    }
    event = remote.pull(aws, run, lambda stage: ui.note(words[stage]))
    answer(Run.open(RUNS / run.id), event, named=False)


def how_it_ended(run: RemoteRun, state: State) -> tuple[str, str]:
    """What is to be said of a run that was stopped, and how it goes on."""
    from dogbreed.cloud import remote

    if state.detail == remote.LIMIT:
        return f"{run.id} reached its limit: {state.detail}", f"{_go_on(run)} (with a higher --max-hours or --max-usd)"
    return f"{run.id} was stopped{because(state)}", _go_on(run)


def say_cost(run: RemoteRun, state: State) -> None:
    """What the run has cost so far, or that no price is known."""
    several = f" in {len(run.attempts)} attempts" if len(run.attempts) > 1 else ""
    minutes = sum(attempt.seconds for attempt in run.attempts) / 60
    paid = f"{minutes:.1f} min of {run.instances} {run.instance_type} paid{several}"
    date = f" (price table of {run.price_date})" if state.usd is not None else ""
    ui.note(f"{paid}: {dollars(state.usd)}{date}")


def say_launched(run: RemoteRun) -> None:
    """The answer of --detach."""
    if ui.json:
        ui.answer({"run": run.id, "state": "launching", **run.to_json()})
    else:
        ui.line(run.id)
    ui.note(_come_back(run))


def _say_state(state: State, told: str) -> str:
    words = f"{state.status} ({_one_line(state.detail)})" if state.detail else state.status
    if words != told and state.status not in ("running", "finished", "failed"):
        ui.note(words)
    return words


def because(state: State) -> str:
    """Why it is in this state, in brackets after the word for it; "" where nothing is known."""
    return f" ({_one_line(state.detail)})" if state.detail else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_SHOWN]


def _come_back(run: RemoteRun) -> str:
    return (
        f"follow it: dogbreed logs {run.id} --follow; end it: dogbreed stop {run.id}; fetch it: dogbreed pull {run.id}"
    )


def _go_on(run: RemoteRun) -> str:
    return f"go on with: dogbreed train-{run.backend} --resume {run.id}"
