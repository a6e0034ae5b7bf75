"""Runs that train elsewhere: what is known of each, kept beside it in the bucket and here, with what it has cost.

`remote.json` is written before anything is launched, so that a run can be found again whatever becomes of the process
that launched it, and from any other laptop. A backend (SageMaker, EC2) says how such a run is doing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from decimal import ROUND_UP, Decimal
from pathlib import Path
from typing import Any, Literal, Protocol

from botocore import exceptions as sdk

from dogbreed.cloud.bucket import CHECKPOINTS, RUNS
from dogbreed.cloud.errors import translate
from dogbreed.cloud.session import Aws
from dogbreed.cloud.storage import Store
from dogbreed.errors import DogbreedError, UsageError
from dogbreed.run import MODEL, write_atomically
from dogbreed.run import RUNS as HERE

FILE, JOB = "remote.json", "job.json"
Status = Literal["launching", "starting", "running", "stopping", "finished", "failed", "stopped"]
ENDED = ("finished", "failed", "stopped")
# How the detail of an attempt begins that AWS refused: there is nothing to look at, and nothing was paid.
_NOT_LAUNCHED = "not launched"
# Details of runs that were stopped, the same for both backends (`machine_agent`, which takes nothing along, says them).
LIMIT, ASKED = "the time limit or the budget is reached", "it was asked to stop"
_AT_ONCE = 16
_CENT = Decimal("0.0001")


@dataclass(frozen=True)
class State:
    """How a run is doing. `detail` is AWS's word or why it failed.

    seconds: what is paid of each machine in the newest attempt; usd: what that cost, where a backend knows better than
    seconds times price; from `refresh` what all attempts have cost, None where no price is known.
    """

    status: Status
    detail: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    seconds: float = 0.0
    usd: Decimal | None = None


@dataclass(frozen=True)
class Attempt:
    """One launch: its name in AWS, when it was asked for, how it stood when last looked at, and what it cost."""

    name: str
    created: str
    status: Status = "launching"
    seconds: float = 0.0
    usd: str | None = None
    detail: str = ""

    @property
    def launched(self) -> bool:
        """Whether there may be something of it in AWS; not where its launch was refused."""
        return not (self.status == "failed" and self.detail.startswith(_NOT_LAUNCHED))


@dataclass(frozen=True)
class RemoteRun:
    """A run and all of its attempts. Prices are US dollars for one machine and hour, as text; None is unknown.

    ceiling_usd: the most that all attempts together may cost; None where no price is known.
    more: what only the backend understands.
    """

    id: str
    backend: Literal["sagemaker", "ec2"]
    project: str
    account: str
    region: str
    bucket: str
    data: str
    code: str
    instances: int
    instance_type: str
    spot: bool
    image: str
    price_per_hour: str | None
    price_date: str
    ceiling_usd: str | None
    max_seconds: int
    created: str
    attempts: tuple[Attempt, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def prefix(self) -> str:
        """Where the run lies in the bucket."""
        return f"{RUNS}{self.id}/"

    @property
    def checkpoints(self) -> str:
        """Where its checkpoints lie in the bucket; they expire after a month."""
        return f"{CHECKPOINTS}{self.id}/"

    @property
    def last(self) -> Attempt | None:
        """The newest attempt."""
        return self.attempts[-1] if self.attempts else None

    @property
    def spent(self) -> Decimal | None:
        """US dollars of all attempts as far as they were looked at; None where no price is known."""
        if self.price_per_hour is None and self.attempts:
            return None
        return sum((Decimal(attempt.usd) for attempt in self.attempts if attempt.usd), Decimal(0))

    def cost(self, seconds: float) -> Decimal | None:
        """US dollars for `seconds` of all machines, rounded up, so that a budget is kept."""
        if self.price_per_hour is None:
            return None
        amount = Decimal(self.price_per_hour) * self.instances * Decimal(str(seconds)) / 3600
        return amount.quantize(_CENT, ROUND_UP)

    def with_attempt(self, attempt: Attempt) -> RemoteRun:
        """The run with one attempt more, or with another state of one that it has."""
        others = tuple(one for one in self.attempts if one.name != attempt.name)
        return replace(self, attempts=(*others, attempt))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any, where: str) -> RemoteRun:
        """The inverse; DogbreedError when `value` is something else."""
        try:
            attempts = tuple(Attempt(**attempt) for attempt in value["attempts"])
            return cls(**{**value, "attempts": attempts})
        except (KeyError, TypeError) as error:
            raise DogbreedError(f"{where} is damaged: {error}", "see: dogbreed runs") from error


@dataclass(frozen=True)
class LogLine:
    """A line that a machine wrote: seconds since 1970, the machine's name in the run, the text."""

    time: float
    host: str
    text: str


class Backend(Protocol):
    """What SageMaker and EC2 each do in their way."""

    def state(self, run: RemoteRun) -> State:
        """Look at the newest attempt."""

    def logs(self, run: RemoteRun, *, follow: bool) -> Iterator[LogLine | None]:
        """The lines of all attempts so far; with `follow` until the run has ended, None each time nothing was new."""

    def stop(self, run: RemoteRun) -> None:
        """Ask for an end with a checkpoint; returns at once, also where it has ended already."""

    def fetch(self, run: RemoteRun, folder: Path) -> None:
        """Put the files of `dogbreed.run.BROUGHT_HOME` of a finished run into `folder`."""


def backend(aws: Aws, run: RemoteRun) -> Backend:
    """The backend that the run was launched with."""
    if run.backend == "sagemaker":
        from dogbreed.cloud.training_sagemaker import SageMaker

        return SageMaker(aws)
    from dogbreed.cloud.training_ec2 import Ec2

    return Ec2(aws)


def now() -> str:
    """This moment, as it stands in remote.json."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# -- keeping


def keep(store: Store, run: RemoteRun) -> None:
    """Write remote.json to the bucket, and here where the run has a folder here."""
    store.put_json(f"{run.prefix}{FILE}", run.to_json())
    folder = HERE / run.id
    if folder.is_dir():
        write_atomically(folder / FILE, (json.dumps(run.to_json(), indent=2) + "\n").encode())


def begin(store: Store, run: RemoteRun, job: bytes) -> None:
    """Keep what is known of a run, here and in the bucket, before its newest attempt is launched."""
    folder = HERE / run.id
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DogbreedError(f"cannot write to {folder}: {error.strerror}", "work in another folder") from error
    write_atomically(folder / JOB, job)
    store.put(f"{run.prefix}{JOB}", job)
    keep(store, run)


@contextmanager
def launching(store: Store, run: RemoteRun, there: Callable[[], object]) -> Iterator[None]:
    """Keep that the newest attempt never began, and why, where launching it raises and nothing is `there` afterwards.

    Of a call without an answer nothing is claimed: the backend says after some minutes that nothing came of it.
    """
    try:
        yield
    except (sdk.ConnectionError, sdk.HTTPClientError):
        raise
    except Exception as error:
        # Whatever goes wrong here, the first error is the one to be told.
        with suppress(Exception):
            if run.last and not there():
                told = error if isinstance(error, DogbreedError) else translate(error)
                why = f"{_NOT_LAUNCHED}: {told.message if told else error}"
                keep(store, run.with_attempt(replace(run.last, status="failed", usd="0", detail=why)))
        raise


def refresh(aws: Aws, run: RemoteRun) -> tuple[RemoteRun, State]:
    """Look how the run is doing, and keep what its newest attempt has cost."""
    attempt = run.last
    if attempt is None:
        return run, State("launching")
    if not attempt.launched:
        return run, State(attempt.status, attempt.detail, usd=run.spent)
    state = backend(aws, run).state(run)
    usd = run.cost(state.seconds) if state.usd is None else state.usd
    seen = replace(
        attempt,
        status=state.status,
        seconds=round(state.seconds, 1),
        usd=None if usd is None else str(usd),
        # What AWS calls a run under way is old in a moment.
        detail=state.detail if state.status in ENDED else "",
    )
    if seen != attempt:
        run = run.with_attempt(seen)
        if state.status in ENDED or state.status != attempt.status:
            keep(Store(aws, run.bucket), run)
    return run, replace(state, usd=run.spent)


def seen(aws: Aws, run: RemoteRun) -> tuple[RemoteRun, State]:
    """The same, but for a run that had ended when it was last looked at what is known of it."""
    if run.last and run.last.status in ENDED:
        return run, State(run.last.status, run.last.detail, seconds=run.last.seconds, usd=run.spent)
    return refresh(aws, run)


def read(folder: Path) -> RemoteRun:
    """The remote run of a folder; DogbreedError where there is none."""
    path = folder / FILE
    try:
        return RemoteRun.from_json(json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, ValueError) as error:
        raise DogbreedError(f"{path} cannot be read: {error}", "see: dogbreed runs") from error


def listed(store: Store) -> list[RemoteRun]:
    """The remote runs of the bucket, also those that were launched elsewhere; by id. Damaged ones are left out."""

    def one(name: str) -> RemoteRun | None:
        try:
            value = store.get_json(f"{RUNS}{name}/{FILE}")
            return None if value is None else RemoteRun.from_json(value, name)
        except DogbreedError:
            return None

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return [run for run in pool.map(one, list(store.folders(RUNS))) if run]


def find(aws: Aws, name: str) -> RemoteRun:
    """The run that is meant by a folder or an id; looked for in the bucket first, where the newest is known.

    Raises UsageError where there is none.
    """
    folder = next((path for path in (Path(name), HERE / name) if (path / FILE).is_file()), None)
    known = read(folder) if folder else None
    store = Store(aws, known.bucket if known else "")
    value = store.get_json(f"{RUNS}{known.id if known else Path(name).name}/{FILE}")
    if value is not None:
        return RemoteRun.from_json(value, store.uri(f"{RUNS}{Path(name).name}/{FILE}"))
    if known:
        return known
    raise UsageError(f"there is no remote run {name} here or in bucket {store.bucket}", "see: dogbreed runs")


# -- bringing home


def pull(aws: Aws, run: RemoteRun, tell: Callable[[str], None]) -> dict[str, Any]:
    """Bring a finished run home to runs/<id> and finish it there; what `finish.complete` says.

    Raises DogbreedError where the run has not finished, or where this machine cannot export.
    """
    run, state = refresh(aws, run)
    if state.status != "finished":
        raise DogbreedError(f"{run.id} is not finished: {state.status}{_because(state.detail)}", _hint(run, state))
    try:
        from dogbreed.train import finish
    except ImportError as error:
        raise DogbreedError(
            f"to finish a run this machine needs {error.name}", "pip install 'dogbreed[train]', then repeat the command"
        ) from error
    store, folder = Store(aws, run.bucket), HERE / run.id
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / JOB).exists():
        content = store.get(f"{run.prefix}{JOB}")
        if content is None:
            raise DogbreedError(f"{store.uri(run.prefix)}{JOB} is gone", "train again")
        write_atomically(folder / JOB, content)
    tell("fetch")
    backend(aws, run).fetch(run, folder)
    keep(store, run)
    done = finish.complete(folder, tell)
    # So that the finished Run can be used from anywhere, not only from this laptop.
    for name in (MODEL, *json.loads((folder / MODEL).read_text(encoding="utf-8"))["files"]):
        store.put(f"{run.prefix}{name}", (folder / name).read_bytes())
    return done


def _because(detail: str) -> str:
    return f" ({detail})" if detail else ""


def _hint(run: RemoteRun, state: State) -> str:
    if state.status in ENDED:
        return f"go on with it: dogbreed train-{run.backend} --resume {run.id}"
    return f"wait for it: dogbreed logs {run.id} --follow"
