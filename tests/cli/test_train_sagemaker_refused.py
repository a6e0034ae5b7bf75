"""`dogbreed train-sagemaker` refused: whatever is wrong is said before anything is uploaded or made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from program import dogbreed
from training_jobs import HEAD, MACHINES, changed, describe, train

from dogbreed.data.sample import draw_sample
from dogbreed.rehearse.state import Server


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_sample(tmp_path_factory.mktemp("drawn") / "photos", breeds=3, photos=12, seed=5)


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
    assert describe(name, 2)["TrainingJobStatus"] in ("InProgress", "Completed")


def test_without_credentials_nothing_is_tried(photos: Path, tmp_path: Path) -> None:
    result = train(photos, cwd=tmp_path)
    assert result.returncode == 4
    assert "no AWS credentials were found" in result.stderr
