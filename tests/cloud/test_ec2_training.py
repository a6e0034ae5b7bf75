"""`dogbreed train-ec2` on the stand-in, from photos to a Run at home, with everything that can come in between."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import processes
import pytest

from dogbreed.cloud import ec2_fleet, people, policies, remote
from dogbreed.cloud.bucket import Bucket
from dogbreed.cloud.policy_parts import Scope
from dogbreed.cloud.remote import RemoteRun, State
from dogbreed.cloud.session import Aws
from dogbreed.cloud.storage import Store
from dogbreed.data.sample import draw_sample
from dogbreed.rehearse.state import Server
from dogbreed.run import Run

pytestmark = pytest.mark.slow
_WAIT_S = 400

# Every layer, and no validation photos, so that the weights are those of the very last step.
RECIPE = """
[data]
valid = 0.0
[train]
method = "finetune"
backbone = "shufflenet_v2_x0_5"
weights = "none"
precision = "fp32"
instances = 2
epochs = 8
batch_size = 8
patience = 0
lr = 0.01
[ec2]
instance_type = "c5.large"
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_sample(tmp_path_factory.mktemp("drawn") / "photos", breeds=3, photos=12, seed=5)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "recipe.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def here(photos: Path, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same training by two workers on this machine."""
    folder = tmp_path_factory.mktemp("here")
    words = ["train", os.fspath(photos), "--config", os.fspath(recipe), "--out", "run", "--quiet"]
    subprocess.run([sys.executable, "-m", "dogbreed", *words], cwd=folder, check=True, timeout=_WAIT_S)
    return folder / "run"


@pytest.fixture
def start(account: Server, photos: Path, recipe: Path, tmp_path: Path) -> Iterator[Any]:
    """Starts `dogbreed train-ec2` with more words; what is still running in the end is ended."""
    running = []

    def begin(*words: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "dogbreed", "train-ec2", photos, "--config", recipe, "--yes", *words]
        if "--resume" in words:
            command.remove(photos)
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=tmp_path,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def dogbreed(*words: object, cwd: Path) -> str:
    command = [sys.executable, "-m", "dogbreed", *map(str, words)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=_WAIT_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


def until(what: Callable[[], Any]) -> Any:
    """What it says as soon as that is true; it costs calls to the stand-in, so it is not asked all the time."""
    deadline = time.monotonic() + _WAIT_S
    while not (said := what()):
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.5)
    return said


def only_run(aws: Aws) -> RemoteRun:
    until(Bucket(aws).find)
    found: list[RemoteRun] = until(lambda: remote.listed(Store(aws)))
    return found[0]


def state(aws: Aws) -> State:
    return remote.refresh(aws, only_run(aws))[1]


def alive(aws: Aws) -> list[ec2_fleet.Machine]:
    return [machine for machine in ec2_fleet.machines(aws) if machine.alive]


def ended(process: subprocess.Popen[str]) -> str:
    """Its words, once it has ended well."""
    out, words = process.communicate(timeout=_WAIT_S)
    assert process.returncode == 0, words
    return out + words


def weights(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


def only_folder(folder: Path) -> Path:
    (run,) = (folder / "runs").iterdir()
    return run


def agents(account: Server) -> set[int]:
    """The processes of the agents on the machines of an account."""
    found = set()
    for pid in processes.having(f"AWS_ENDPOINT_URL={account.url}\0"):
        with suppress(OSError):
            if b"dogbreed.cloud.machine_agent" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                found.add(pid)
    return found


@contextmanager
def staying_on(account: Server) -> Iterator[None]:
    """No machine ends meanwhile: on a slow computer all might be over before a command has looked."""
    until(lambda: agents(account))
    with processes.standing_still(lambda: agents(account)):
        yield


def checkpoints(aws: Aws, run: RemoteRun) -> int:
    """How many have arrived in the bucket, where every version is kept."""
    found = aws.client("s3").list_object_versions(Bucket=run.bucket, Prefix=run.checkpoints)
    return sum(one["Key"].endswith(".safetensors") for one in found.get("Versions", ()))


def steps(aws: Aws, run: RemoteRun) -> list[dict[str, Any]]:
    lines = remote.backend(aws, run).logs(run, follow=False)
    events = [json.loads(line.text) for line in lines if line and line.text.startswith("{")]
    return [event for event in events if event["event"] in ("train", "step", "epoch", "stopped")]


def done_by(who: str, calls: list[dict[str, Any]]) -> set[str]:
    return {call["action"] for call in calls if who in call["who"] and not call["platform"]}


def allowed(policy: dict[str, Any]) -> set[str]:
    lists = [statement["Action"] for statement in policy["Statement"]]
    return {action for one in lists for action in ([one] if isinstance(one, str) else one)}


def rows(folder: Path) -> list[dict[str, Any]]:
    told: Any = json.loads(dogbreed("status", "--json", cwd=folder))
    found: list[dict[str, Any]] = told["resources"]
    return found


def test_two_machines_reach_the_weights_of_two_workers_here_also_after_one_was_taken_away(
    aws: Aws, account: Server, start: Any, here: Path, tmp_path: Path
) -> None:
    process = start("--spot")
    run = only_run(aws)
    at = random.randint(1, 2)
    until(lambda: process.poll() is not None or checkpoints(aws, run) >= at)
    assert process.poll() is None, ended(process)
    # Either one: with rank 0 goes the machine that had the checkpoint.
    taken = random.choice(alive(aws)).id
    assert account.ask("interrupt", target=taken) == [taken]
    words = ended(process)
    assert "2 worker(s) on the CPU" in words and "were taken away: starting others" in words
    assert weights(only_folder(tmp_path)) == weights(here)
    scope, calls = Scope.of(aws), account.ask("calls")
    assert done_by("assumed-role", calls) <= allowed(policies.ec2_training(scope))
    mine = allowed(people.train_ec2(scope)) | allowed(people.setup(scope)) | {"sts:GetCallerIdentity"}
    assert done_by("user/", calls) <= mine
    metrics = aws.client("cloudwatch").list_metrics(Namespace="dogbreed/training")["Metrics"]
    assert {"train_loss", "images_per_second"} <= {metric["MetricName"] for metric in metrics}
    # Nothing is trained twice: the second attempt begins at the step at which the first one stopped.
    told = steps(aws, run)
    (stopped,) = [one for one in told if one["event"] == "stopped"]
    first, second = (one for one in told if one["event"] == "train")
    assert (first["epoch"], first["step"]) == (0, 0)
    assert (second["epoch"], second["step"]) == (stopped["epoch"] - 1, stopped["step"])
    epochs = [one["epoch"] for one in told if one["event"] == "epoch"]
    assert sorted(epochs) == sorted(set(epochs)) == list(range(1, 9))
    assert not alive(aws)
    assert len(ec2_fleet.machines(aws, only_alive=False)) == 3


def test_machines_end_themselves_when_their_launcher_has_gone_and_calls_fail(
    aws: Aws, account: Server, start: Any, tmp_path: Path
) -> None:
    account.ask("fault", kind="throttle", share=0.1, seed=1)
    account.ask("fault", kind="s3-500", share=0.1, seed=2)
    process = start("--epochs", 2)
    until(lambda: process.poll() is not None or (len(alive(aws)) == 2 and state(aws).status in ("starting", "running")))
    process.send_signal(signal.SIGKILL)
    process.wait()
    with staying_on(account):
        assert [row for row in rows(tmp_path) if row["kind"] == "machine"]
    until(lambda: not alive(aws))
    assert not [row for row in rows(tmp_path) if row["kind"] in ("machine", "training run")]
    run = only_run(aws)
    dogbreed("pull", run.id, cwd=tmp_path)
    assert Run.open(tmp_path / "runs" / run.id).info["world_size"] == 2


def test_the_time_limit_ends_the_machines_and_counts_earlier_attempts(aws: Aws, start: Any, tmp_path: Path) -> None:
    # A fifth of it is kept for the end: ten seconds in which both machines, still training, say why they stop.
    process = start("--epochs", 5000, "--max-hours", 50 / 3600)
    _, words = process.communicate(timeout=_WAIT_S)
    assert process.returncode == 1, words
    assert "reached its limit: the time limit or the budget is reached" in words and "interrupted" not in words
    until(lambda: not alive(aws))
    run = only_run(aws)
    again = start("--resume", run.id)
    _, words = again.communicate(timeout=_WAIT_S)
    assert again.returncode == 2, words
    assert "nothing is left of the time" in words
    assert len(only_run(aws).attempts) == 1
