"""Start the training worker in N processes and follow what it tells."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from dogbreed.errors import EXIT_USAGE, DogbreedError, UsageError

if sys.platform != "win32":
    import fcntl

WORKER = "dogbreed.train.loop"
LOG = "worker.log"
_RANK = re.compile(r"^\[rank\d+\]: ?")  # before each line of a worker's traceback
_NAMED = re.compile(r"\S.*Error: ")
_FOLLOWS = ("closed by peer", "ChildFailedError", "CalledProcessError")
# torchrun gives its workers 30 s to write a checkpoint before it ends them.
_PATIENCE_S = 45

# glibc gives large blocks back to the system and asks for them anew at every layer; kept, a CPU trains and computes
# features up to 2.8 times faster (docs/performance.md). OMP_NUM_THREADS only keeps torchrun from warning of it: each
# worker sets its own number of threads.
ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "OMP_NUM_THREADS": "1",
    "PYTHONUNBUFFERED": "1",
}

Event = dict[str, Any]


def argv(run: Path, instances: int, max_restarts: int) -> list[str]:
    """The command that trains `run` in `instances` processes on this machine."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={instances}"]
    return [*torchrun, f"--max-restarts={max_restarts}", "-m", WORKER, str(run), "--follow-parent"]


def follow(run: Path, instances: int, max_restarts: int) -> Generator[Event]:
    """Train `run`, yielding the worker's events; nothing is left running however this ends.

    When the consumer stops (Ctrl-C, close), the workers write a checkpoint and end. When this process dies, its end of
    their stdin closes and they do the same. On Ctrl-C while it waits, an event `stopping` comes before
    KeyboardInterrupt. Raises DogbreedError when training fails or the run is being trained already, UsageError when
    PyTorch is not installed.
    """
    if find_spec("torch") is None:
        raise UsageError("training needs PyTorch", "pip install 'dogbreed[train]'")
    with open(run / LOG, "ab") as log:
        if not _lock(log, tries=10):
            # No wrong usage, after which a run that was just begun is removed: this one is another's.
            hint = "wait until it has ended, or end it with Ctrl-C where it runs"
            raise DogbreedError(f"{run} is being trained", hint)
        process = subprocess.Popen(
            argv(run, instances, max_restarts),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            # Ctrl-C is for this process: it passes on a gentler signal, after which checkpoints can be written.
            start_new_session=True,
            env=ENVIRONMENT | os.environ,
        )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            event = parse(line)
            if event is None:
                continue
            if event["event"] == "error":
                kind = UsageError if event["exit_code"] == EXIT_USAGE else DogbreedError
                raise kind(event["message"], event["hint"])
            yield event
        if process.wait() != 0:
            hint = f"the workers' own words are in {run / LOG}; go on with: dogbreed train --resume {run}"
            raise DogbreedError(f"training failed: {_last_words(run / LOG)}", hint)
    except KeyboardInterrupt:
        yield {"event": "stopping"}
        raise
    finally:
        _end(process)


def is_busy(run: Path) -> bool:
    """Whether somebody trains the run on this machine now."""
    try:
        with open(run / LOG, "rb") as log:
            return not _lock(log, look=True)
    except OSError:
        return False


def _lock(log: IO[bytes], tries: int = 1, *, look: bool = False) -> bool:
    """Lock a run's log, which its workers have open as long as they live; False where another has locked it.

    Any number may `look` at the same time, each with a lock that keeps only a trainer out.
    """
    if sys.platform == "win32":
        return True
    for left in reversed(range(tries)):
        try:
            fcntl.flock(log, (fcntl.LOCK_SH if look else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            # Who only looks whether it is locked has it for a moment.
            time.sleep(0.05 if left else 0)
        except OSError:  # a file system without locks
            return True
        else:
            return True
    return False


def parse(line: bytes | str) -> Event | None:
    """An event; None for anything else that a library prints."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and "event" in value else None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let the workers write a checkpoint, reading on so that none of them is stuck on a full pipe; then be sure."""
    if process.stdin:
        process.stdin.close()
        process.stdin = None
    try:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=_PATIENCE_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        # The workers have sessions of their own; they end as soon as they see that torchrun has gone.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def last_words(lines: Iterable[str]) -> str:
    """Of what workers wrote, the last line that names an exception; "" where none does."""
    own = [_RANK.sub("", line) for line in lines]
    named = [line for line in own if _NAMED.match(line)]
    # That a peer has gone or a child failed only follows from what happened.
    causes = [line for line in named if not any(word in line for word in _FOLLOWS)]
    return (causes or named or [""])[-1].strip()[:300]


def _last_words(log: Path) -> str:
    with suppress(OSError):
        if words := last_words(log.read_text(encoding="utf-8", errors="replace").splitlines()):
            return words
    return "the worker ended without a word"
