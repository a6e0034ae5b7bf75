"""`dogbreed train-sagemaker` against the stand-in, where jobs really train: whatever happens, the weights are right."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from program import dogbreed
from training_jobs import (
    FINETUNE,
    HEAD,
    PATIENCE_S,
    SPOT,
    describe,
    ended,
    epochs,
    events,
    first_run,
    launched,
    launching,
    standing_still,
    train,
    until_epoch,
    weights,
)

from dogbreed.data.sample import draw_sample
from dogbreed.rehearse.state import Server

slow = pytest.mark.slow


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
def test_spot_taken_away_at_whatever_step_it_goes_on_to_the_same_weights(
    account: Server,
    photos: Path,
    local: Any,
    tmp_path: Path,
) -> None:
    run = launched(photos, *FINETUNE, *SPOT, cwd=tmp_path)
    until_epoch(run, 1)
    with standing_still(run):
        assert account.ask("interrupt") == [f"dogbreed-{run}-1"]
    followed = dogbreed("logs", run, "--follow", cwd=tmp_path, timeout=PATIENCE_S)
    assert followed.returncode == 0, followed.stderr
    told = events(run)
    begun = [(event["epoch"], event["step"]) for event in told if event["event"] == "train"]
    assert len(begun) == 2 and begun[1] >= (1, 0), "it went on from its checkpoint"
    # A checkpoint was written in the grace: nothing at all was trained twice.
    stopped = [(event["epoch"] - 1, event["step"]) for event in told if event["event"] == "stopped"]
    assert stopped == begun[1:]
    assert epochs(run) == [1, 2, 3, 4]
    pulled = dogbreed("pull", run, cwd=tmp_path)
    assert pulled.returncode == 0, pulled.stderr
    assert weights(run, tmp_path) == local(*FINETUNE), f"interrupted at {begun[1]}"


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
            _, told = launcher.communicate(timeout=PATIENCE_S)
            stopped = dogbreed("stop", run, cwd=tmp_path)
    assert launcher.returncode == 130, told
    assert f"dogbreed logs {run} --follow" in told and f"dogbreed stop {run}" in told
    assert stopped.returncode == 0, stopped.stderr
    first = ended(run)
    assert first["TrainingJobStatus"] == "Stopped"
    assert dogbreed("pull", run, cwd=tmp_path).returncode == 1
    result = dogbreed("train-sagemaker", "--resume", run, "--yes", cwd=tmp_path, timeout=PATIENCE_S)
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
    account.ask("grace", seconds=3)  # they do not end by themselves
    limit = ("--max-hours", 8 / 3600) if ends == "limit" else ()
    with launching(photos, *FINETUNE[:-1], 5000, *limit, cwd=tmp_path) as launcher:
        run = first_run()
        if ends == "stop":
            assert dogbreed("stop", run, cwd=tmp_path).returncode == 0
        _, told = launcher.communicate(timeout=PATIENCE_S)
    assert launcher.returncode == 1, told
    said = {"limit": "reached its limit: the time limit or the budget", "stop": "was stopped (it was asked to stop)"}
    assert f"error: {run} {said[ends]}" in told and f"--resume {run}" in told and "interrupted" not in told
    followed = dogbreed("logs", run, "--follow", cwd=tmp_path)
    assert (followed.returncode, said[ends] in followed.stdout) == (0, True), followed.stdout
    assert f"--resume {run}" in followed.stderr
    (listed,) = json.loads(dogbreed("runs", "--json", cwd=tmp_path).stdout)
    assert listed["state"] == "stopped" and listed["hint"].startswith(("the time limit", "it was asked"))
