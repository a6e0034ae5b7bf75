"""`dogbreed train-sagemaker` against the stand-in, where jobs really train: whatever happens, the weights are right."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from program import dogbreed
from standin import until

from dogbreed.cloud import remote
from dogbreed.cloud.session import Aws
from dogbreed.cloud.training_sagemaker import SageMaker
from dogbreed.config import AwsSettings
from dogbreed.data.sample import draw_sample
from dogbreed.rehearse.state import Server

slow = pytest.mark.slow
HEAD = ("--epochs", 5, "--batch-size", 8, "--lr", 0.01)
# Long enough for something to happen in its middle.
FINETUNE = ("--method", "finetune", "--backbone", "shufflenet_v2_x0_5", "--weights", "none", *HEAD[2:], "--epochs", 4)
MACHINES = ("--instances", 2, "--instance-type", "ml.m5.xlarge", "--yes")
# Jobs of two machines share this machine's cores with everything else.
_PATIENCE_S = 400
SPOT = ("--spot", "--max-usd", 2)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_sample(tmp_path_factory.mktemp("drawn") / "photos", breeds=3, photos=12, seed=5)


@pytest.fixture(scope="module")
def local(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The weights that two workers on this machine reach, by the words of the command; trained once."""
    done: dict[tuple[object, ...], bytes] = {}

    def weights(*words: object) -> bytes:
        if words not in done:
            folder = tmp_path_factory.mktemp("local")
            result = dogbreed("train", photos, "--instances", 2, *words, "--out", "run", cwd=folder)
            assert result.returncode == 0, result.stderr
            done[words] = (folder / "run" / "model.safetensors").read_bytes()
        return done[words]

    return weights


def train(photos: Path, *words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return dogbreed("train-sagemaker", photos, *MACHINES, *words, cwd=cwd, timeout=_PATIENCE_S)


@contextmanager
def launching(photos: Path, *words: object, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """The command while it runs, in a process group of its own, which is gone afterwards."""
    command = [sys.executable, "-m", "dogbreed", "train-sagemaker", photos, *MACHINES, *words]
    with subprocess.Popen(
        [str(word) for word in command], cwd=cwd, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as launcher:
        try:
            yield launcher
        finally:
            if launcher.poll() is None:
                os.killpg(launcher.pid, signal.SIGKILL)


def first_run() -> str:
    """The name of the run whose job comes up."""
    job = until(lambda: boto3.client("sagemaker").list_training_jobs()["TrainingJobSummaries"], _PATIENCE_S)[0]
    return str(job["TrainingJobName"]).removeprefix("dogbreed-").removesuffix("-1")


def launched(photos: Path, *words: object, cwd: Path) -> str:
    result = train(photos, *words, "--detach", cwd=cwd)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def describe(run: str, attempt: int = 1) -> dict[str, Any]:
    return dict(boto3.client("sagemaker").describe_training_job(TrainingJobName=f"dogbreed-{run}-{attempt}"))


def events(run: str) -> list[dict[str, Any]]:
    """What the workers have told so far."""
    aws = Aws(AwsSettings())
    lines = [line.text for line in SageMaker(aws).logs(remote.find(aws, run), follow=False) if line]
    return [json.loads(line) for line in lines if line.startswith('{"event"')]


def epochs(run: str) -> list[int]:
    return [event["epoch"] for event in events(run) if event["event"] == "epoch"]


def until_epoch(run: str, epoch: int) -> None:
    until(lambda: epoch in epochs(run), _PATIENCE_S)


@contextmanager
def standing_still(run: str) -> Iterator[None]:
    """The job's processes wait meanwhile: on a slow machine it would be over before a command has reached it."""
    name = f"TRAINING_JOB_NAME=dogbreed-{run}-".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if name in (process / "environ").read_bytes():
                found.append(int(process.name))
                os.kill(found[-1], signal.SIGSTOP)
    assert found
    try:
        yield
    finally:
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def ended(run: str, attempt: int = 1) -> dict[str, Any]:
    def over() -> dict[str, Any] | None:
        job = describe(run, attempt)
        return None if job["TrainingJobStatus"] in ("InProgress", "Stopping") else job

    return dict(until(over, _PATIENCE_S))


def weights(run: str, cwd: Path) -> bytes:
    return (cwd / "runs" / run / "model.safetensors").read_bytes()


def changed(account: Server, *actions: str) -> list[dict[str, Any]]:
    return [call for call in account.ask("calls") if call["action"] in actions]


@slow
def test_with_a_tenth_of_all_calls_failing_it_trains_the_weights_of_two_workers_here(
    account: Server,
    photos: Path,
    local: Any,
    tmp_path: Path,
) -> None:
    for kind in ("throttle", "s3-500"):
        account.ask("fault", kind=kind, share=0.1, seed=3)
    result = train(photos, *HEAD, "--max-usd", 1, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    folder = result.stdout.splitlines()[0]
    run = Path(folder).name
    assert weights(run, tmp_path) == local(*HEAD)
    assert [line.split()[1] for line in result.stderr.splitlines() if line.startswith("epoch ")] == [
        f"{number}/5" for number in range(1, 6)
    ]
    assert re.search(r"at most \$\d", result.stderr)
    # The SDK's own driver started it, isolated, and traffic between the machines is encrypted.
    account.ask("clear")
    text = dogbreed("logs", run, cwd=tmp_path).stdout
    assert "Running Torchrun Driver" in text and "--nnodes=2" in text
    job = describe(run)
    assert (job["EnableNetworkIsolation"], job["EnableInterContainerTrafficEncryption"]) == (True, True)
    assert {"train_loss", "valid_top1"} <= {metric["MetricName"] for metric in job["FinalMetricDataList"]}
    # What is here is complete, and a second run with the same photos has nothing to upload.
    assert (
        dogbreed("predict", next(photos.rglob("*.jpg"), None) or next(photos.rglob("*.png")), cwd=tmp_path).returncode
        == 0
    )
    again = train(photos, *HEAD, "--dry-run", cwd=tmp_path)
    assert re.search("= photos ", again.stderr), again.stderr
    sent, wanted = (re.search(r"([+=]) code (\w+)", text) for text in (result.stderr, again.stderr))
    assert sent and wanted and (wanted[1] == "=" or sent[2] != wanted[2]), again.stderr
    listed = json.loads(dogbreed("runs", "--json", cwd=tmp_path).stdout)
    assert [(one["state"], one["where"]) for one in listed] == [("finished", "sagemaker")]
    assert float(listed[0]["usd"]) > 0


@slow
def test_the_launcher_killed_the_job_ends_itself_and_is_pulled_from_anywhere(
    account: Server,
    photos: Path,
    local: Any,
    tmp_path: Path,
) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    with launching(photos, *HEAD, cwd=here) as launcher:
        run = first_run()
        os.killpg(launcher.pid, signal.SIGKILL)
    running = dogbreed("pull", run, cwd=elsewhere)
    assert running.returncode == 5, running.stderr
    assert ended(run)["TrainingJobStatus"] == "Completed"
    pulled = dogbreed("pull", run, cwd=elsewhere)
    assert pulled.returncode == 0, pulled.stderr
    assert weights(run, elsewhere) == local(*HEAD)
    shown = json.loads(dogbreed("runs", "--json", cwd=here).stdout)
    assert [(one["state"], one["where"]) for one in shown] == [("finished there", "sagemaker")]


@slow
def test_spot_taken_away_at_a_random_step_it_goes_on_to_the_same_weights(
    account: Server,
    photos: Path,
    local: Any,
    tmp_path: Path,
) -> None:
    run = launched(photos, *FINETUNE, *SPOT, cwd=tmp_path)
    epoch = random.randint(1, 2)
    until_epoch(run, epoch)
    assert account.ask("interrupt") == [f"dogbreed-{run}-1"]
    followed = dogbreed("logs", run, "--follow", cwd=tmp_path, timeout=_PATIENCE_S)
    assert followed.returncode == 0, followed.stderr
    told = events(run)
    begun = [(event["epoch"], event["step"]) for event in told if event["event"] == "train"]
    assert len(begun) == 2 and begun[1] >= (epoch, 0), "it went on from its checkpoint"
    # A checkpoint was written in the grace: nothing at all was trained twice.
    stopped = [(event["epoch"] - 1, event["step"]) for event in told if event["event"] == "stopped"]
    assert stopped == begun[1:]
    assert epochs(run) == [1, 2, 3, 4]
    pulled = dogbreed("pull", run, cwd=tmp_path)
    assert pulled.returncode == 0, pulled.stderr
    assert weights(run, tmp_path) == local(*FINETUNE), f"interrupted after epoch {epoch}"


@slow
def test_stopped_and_resumed_it_reaches_the_same_weights_within_one_budget(
    account: Server,
    photos: Path,
    local: Any,
    tmp_path: Path,
) -> None:
    with launching(photos, *FINETUNE, "--max-usd", 1, cwd=tmp_path) as launcher:
        run = first_run()
        until_epoch(run, 1)
        with standing_still(run):
            # Ctrl-C lets go of the run, and says how to come back.
            launcher.send_signal(signal.SIGINT)
            _, told = launcher.communicate(timeout=_PATIENCE_S)
            stopped = dogbreed("stop", run, cwd=tmp_path)
    assert launcher.returncode == 130, told
    assert f"dogbreed logs {run} --follow" in told and f"dogbreed stop {run}" in told
    assert stopped.returncode == 0, stopped.stderr
    first = ended(run)
    assert first["TrainingJobStatus"] == "Stopped"
    assert dogbreed("pull", run, cwd=tmp_path).returncode == 1
    result = dogbreed("train-sagemaker", "--resume", run, "--yes", cwd=tmp_path, timeout=_PATIENCE_S)
    assert result.returncode == 0, result.stderr
    assert epochs(run) == [1, 2, 3, 4]
    assert weights(run, tmp_path) == local(*FINETUNE)
    second = describe(run, 2)
    paid = [job["BillableTimeInSeconds"] * 2 * 0.257 / 3600 for job in (first, second)]
    limit = second["StoppingCondition"]["MaxRuntimeInSeconds"]
    assert paid[0] + limit * 2 * 0.257 / 3600 <= 1, "the second attempt may spend what the first has left"
    kept = json.loads((tmp_path / "runs" / run / "remote.json").read_text())
    assert [attempt["status"] for attempt in kept["attempts"]] == ["stopped", "finished"]
    assert sum(float(attempt["usd"]) for attempt in kept["attempts"]) == pytest.approx(sum(paid), abs=1e-3)
    assert "in 2 attempts" in result.stderr


@slow
@pytest.mark.parametrize("ends", ["limit", "stop"])
def test_what_ends_at_its_limit_or_is_stopped_elsewhere_was_not_interrupted(
    account: Server, photos: Path, tmp_path: Path, ends: str
) -> None:
    limit = ("--max-hours", 8 / 3600) if ends == "limit" else ()
    with launching(photos, *FINETUNE[:-1], 5000, *limit, cwd=tmp_path) as launcher:
        run = first_run()
        if ends == "stop":
            assert dogbreed("stop", run, cwd=tmp_path).returncode == 0
        _, told = launcher.communicate(timeout=_PATIENCE_S)
    assert launcher.returncode == 1, told
    said = {"limit": "reached its limit: the time limit or the budget", "stop": "was stopped (it was asked to stop)"}
    assert f"error: {run} {said[ends]}" in told and f"--resume {run}" in told and "interrupted" not in told
    followed = dogbreed("logs", run, "--follow", cwd=tmp_path)
    assert (followed.returncode, said[ends] in followed.stdout) == (0, True), followed.stdout
    assert f"--resume {run}" in followed.stderr
    (listed,) = json.loads(dogbreed("runs", "--json", cwd=tmp_path).stdout)
    assert listed["state"] == "stopped" and listed["hint"].startswith(("the time limit", "it was asked"))


# -- before anything is uploaded


@pytest.fixture
def nothing_made(account: Server) -> Iterator[Server]:
    yield account
    made = changed(account, "s3:PutObject", "s3:CreateBucket", "iam:CreateRole", "sagemaker:CreateTrainingJob")
    assert made == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--instance-type", "ml.m5.tiny"], "SageMaker trains on no type ml.m5.tiny"),
        (["--instance-type", "g5.xlarge"], "did you mean --instance-type ml.g5.xlarge?"),
        (["--instance-type", "ml.p5.48xlarge", "--instances", 3], "quota ml.p5.48xlarge for training job usage"),
        (["--max-usd", -1], "--max-usd -1"),
        (["--max-usd", 0.00001], "buys less than a minute of training"),
        (["--max-usd", 0], "--max-usd 0 is no amount"),
        (["--instance-type", "ml.c4.8xlarge", "--max-usd", 5], "the price of ml.c4.8xlarge is not known"),
        (["--instances", 8, "--batch-size", 4], "cannot be shared by 8 workers"),
        (["--backbone", "resnet51", "--weights", "none"], "there is no backbone resnet51"),
        (["--weights", "nowhere.pth"], "there are no weights nowhere.pth"),
        (["--resume", "never-was"], "there is no remote run never-was"),
    ],
)
def test_wrong_input_is_said_before_anything_is_made(
    nothing_made: Server, photos: Path, tmp_path: Path, words: list[object], says: str
) -> None:
    where = [] if "--resume" in words else [photos, "--instance-type", "ml.m5.xlarge"]
    result = dogbreed("train-sagemaker", *where, *words, "--yes", cwd=tmp_path)
    assert result.returncode in (1, 2), result.stderr
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_without_a_terminal_it_asks_for_a_yes(nothing_made: Server, photos: Path, tmp_path: Path) -> None:
    result = dogbreed("train-sagemaker", photos, *MACHINES[:-1], cwd=tmp_path)
    assert result.returncode == 2
    assert "add --yes" in result.stderr
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_shows_the_plan_and_does_nothing(nothing_made: Server, photos: Path, tmp_path: Path) -> None:
    result = dogbreed("train", photos, "--on", "sagemaker", "--dry-run", "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    plan = json.loads(result.stdout)
    assert [step["kind"] for step in plan["steps"]] == ["bucket", "photos", "code", "role", "training job"]
    assert float(plan["ceiling_usd"]) > 0
    assert plan["run"]["instance_type"].startswith("ml.")


def test_a_budget_below_the_estimate_is_warned_of(nothing_made: Server, photos: Path, tmp_path: Path) -> None:
    words = ("--epochs", 5000, "--method", "finetune", "--max-usd", 0.1, "--dry-run")
    result = train(photos, *words, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "warning: --max-usd 0.1 is less than the $" in result.stderr
    assert "at most $0.1000 in all" in result.stderr or "at most $0.09" in result.stderr


def test_a_denied_action_is_named(account: Server, photos: Path, tmp_path: Path) -> None:
    account.ask("fault", kind="deny", target="sagemaker:CreateTrainingJob")
    result = train(photos, *HEAD, cwd=tmp_path)
    assert result.returncode == 4, result.stderr
    assert "not allowed: sagemaker:CreateTrainingJob" in result.stderr
    # It was never launched: nobody waits for it, nothing runs, and it may be launched again.
    (run,) = json.loads(dogbreed("runs", "--json", cwd=tmp_path).stdout)
    assert (run["state"], float(run["usd"])) == ("failed", 0)
    assert "not launched: not allowed: sagemaker:CreateTrainingJob" in run["hint"] and "--resume" in run["hint"]
    assert "training run" not in dogbreed("status", cwd=tmp_path).stdout
    name = Path(run["run"]).name
    assert "has ended: failed (not launched" in dogbreed("stop", name, cwd=tmp_path).stdout
    for words in (("logs", name, "--follow"), ("pull", name)):
        result = dogbreed(*words, cwd=tmp_path)
        assert result.returncode == 1 and "not launched" in result.stderr, result.stderr
    account.ask("clear")
    again = dogbreed("train-sagemaker", "--resume", name, "--yes", "--detach", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert describe(name, 2)["TrainingJobStatus"] == "InProgress"


def test_without_credentials_nothing_is_tried(photos: Path, tmp_path: Path) -> None:
    result = train(photos, cwd=tmp_path)
    assert result.returncode == 4
    assert "no AWS credentials were found" in result.stderr
