"""Training jobs of the stand-in: what they find, how they end, what they leave."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import boto3
import jobs
import processes
import pytest
import standin
from botocore.exceptions import ClientError

from dogbreed.rehearse.state import Server


@pytest.fixture
def role(either: Server) -> str:
    standin.bucket()
    return standin.role()


def test_a_job_runs_and_leaves_model_output_logs_and_metrics(role: str) -> None:
    jobs.put("train/a/1.jpg", b"one")
    jobs.put("train/2.jpg", b"two")
    script = """
import json, os, pathlib
ml = pathlib.Path(os.environ["ML"])
print(sorted(str(p.relative_to(ml)) for p in (ml / "input/data").rglob("*.jpg")))
print(json.load(open(ml / "input/config/hyperparameters.json")))
print("loss=0.5"); print("loss=0.25")
(ml / "model/weights").write_bytes(b"w")
(ml / "output/data/curve").write_text("c")
"""
    algorithm = jobs.request("first", role, script, python=True)["AlgorithmSpecification"]
    job = jobs.run(
        "first",
        role,
        script,
        python=True,
        HyperParameters={"lr": "0.1"},
        InputDataConfig=[jobs.channel("train", "s3://photos/train/")],
        AlgorithmSpecification=algorithm | {"MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}]},
    )
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert jobs.stages(job) == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert jobs.archive(job["ModelArtifacts"]["S3ModelArtifacts"]) == {"weights": b"w"}
    assert jobs.archive("s3://photos/out/first/output/output.tar.gz") == {"curve": b"c"}
    said = jobs.lines("first")
    assert said[:2] == ["['input/data/train/2.jpg', 'input/data/train/a/1.jpg']", "{'lr': '0.1'}"]
    assert [(one["MetricName"], one["Value"]) for one in job["FinalMetricDataList"]] == [("loss", 0.25)]
    assert job["BillableTimeInSeconds"] == job["TrainingTimeInSeconds"] >= 1
    found = boto3.client("cloudwatch").list_metrics(Namespace="/aws/sagemaker/TrainingJobs")["Metrics"]
    assert [one["MetricName"] for one in found] == ["loss"]


def test_a_failed_job_says_why(role: str) -> None:
    job = jobs.run("failed", role, "echo no photos > $ML/output/failure; exit 7")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
    assert job["FailureReason"] == "AlgorithmError: no photos, exit code: 7"
    assert jobs.keys("out/failed/output/model") == []


def test_one_host_that_fails_ends_the_others(role: str) -> None:
    first = '"current_host": "[a-z0-9.-]*1"'
    script = f"grep -q '{first}' $ML/input/config/resourceconfig.json && exit 3; sleep 600"
    job = jobs.run("pair", role, script, ResourceConfig=jobs.hosts(2))
    assert job["FailureReason"] == "AlgorithmError: , exit code: 3"


HEARS = """
import os, pathlib, signal, sys, time
def end(*_):
    pathlib.Path(os.environ["ML"], "model", "saved").write_text("in time")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", time.time())
while True: time.sleep(0.05)
"""


def test_a_stopped_job_hears_sigterm_and_keeps_what_it_saved(role: str) -> None:
    jobs.start("stopped", role, HEARS, python=True)
    jobs.printed("stopped", "ready")
    boto3.client("sagemaker").stop_training_job(TrainingJobName="stopped")
    job = jobs.ended("stopped")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert jobs.archive(job["ModelArtifacts"]["S3ModelArtifacts"]) == {"saved": b"in time"}
    with pytest.raises(ClientError, match="is in status Stopped"):
        boto3.client("sagemaker").stop_training_job(TrainingJobName="stopped")


def test_a_first_process_without_a_handler_is_deaf_as_in_a_container(either: Server, role: str) -> None:
    either.ask("grace", seconds=0.5)
    # As with the SDK's driver, where the first process is a shell that waits for Python.
    script = (
        f"cat > ${{TMPDIR:-/tmp}}/run.py <<'EOF'\n{HEARS}\nEOF\npython ${{TMPDIR:-/tmp}}/run.py; echo the shell goes on"
    )
    jobs.start("deaf", role, script)
    jobs.printed("deaf", "ready")
    boto3.client("sagemaker").stop_training_job(TrainingJobName="deaf")
    job = jobs.ended("deaf")
    assert job["SecondaryStatus"] == "Stopped"
    assert jobs.archive(job["ModelArtifacts"]["S3ModelArtifacts"]) == {}


def test_the_limit_of_time_ends_a_job(role: str) -> None:
    # One second, or more on a machine on which the script does not come to hear of anything within that time.
    for seconds in (1, 10, 100):
        name, limit = f"slow-{seconds}", {"MaxRuntimeInSeconds": seconds}
        job = jobs.run(name, role, HEARS, python=True, StoppingCondition=limit)
        assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
        ready = [float(line.split()[1]) for line in jobs.lines(name)]
        if ready and ready[0] < job["TrainingStartTime"].timestamp() + seconds:
            break
    assert "saved" in jobs.archive(job["ModelArtifacts"]["S3ModelArtifacts"])


# In its first attempt it waits half way to be told to end, which it does between two steps.
COUNTS = """
import os, pathlib, signal, time
folder = pathlib.Path(os.environ["ML"], "checkpoints")
steps = sorted(int(p.name) for p in folder.iterdir()) if folder.exists() else []
step = steps[-1] if steps else 0
print("begins at", step)
told = []
signal.signal(signal.SIGTERM, lambda *_: told.append(1))
while step < 40 and not told:
    if step == 20 and not steps:
        time.sleep(0.05)
        continue
    step += 1
    (folder / str(step)).write_text("x")
    print("step", step)
    time.sleep(0.05)
"""


def test_spot_interruption_resumes_from_the_checkpoint(either: Server, role: str) -> None:
    jobs.start(
        "spot",
        role,
        COUNTS,
        python=True,
        EnableManagedSpotTraining=True,
        StoppingCondition={"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 600},
        CheckpointConfig={"S3Uri": "s3://photos/checkpoints/spot", "LocalPath": "/opt/ml/checkpoints"},
    )
    jobs.printed("spot", "step 5")
    assert either.ask("interrupt", target="sp*") == ["spot"]
    job = jobs.ended("spot")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert jobs.stages(job).count("Interrupted") == 1
    steps = [int(line.split()[1]) for line in jobs.lines("spot") if line.startswith("step")]
    assert sorted(steps) == list(range(1, 41)), "no step was lost, and none done twice"
    assert len(jobs.keys("checkpoints/spot/")) == 40
    assert job["BillableTimeInSeconds"] < job["TrainingTimeInSeconds"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("retries", [0, 1])
def test_a_host_that_dies_is_replaced_as_often_as_was_asked_for(role: str, retries: int) -> None:
    strategy = {"RetryStrategy": {"MaximumRetryAttempts": retries}} if retries else {}
    name = f"lost-{time.monotonic_ns()}"
    jobs.start(name, role, HEARS, python=True, **strategy)
    jobs.printed(name, "ready")
    os.kill(holder_of(name), signal.SIGKILL)
    standin.until(lambda: jobs.describe(name)["SecondaryStatus"] == "Failed" or len(jobs.lines(name)) > 1)
    if retries:
        boto3.client("sagemaker").stop_training_job(TrainingJobName=name)
        job = jobs.ended(name)
        assert (job["TrainingJobStatus"], jobs.stages(job).count("Restarting")) == ("Stopped", 1)
    else:
        assert jobs.ended(name)["FailureReason"].startswith("InternalServerError")


def holder_of(name: str) -> int:
    """The process that holds the host of a job: the parent of the first one that has the job's variables."""
    running = {}
    for pid in processes.having(f"TRAINING_JOB_NAME={name}\0"):
        with contextlib.suppress(OSError):
            running[pid] = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    (holder,) = {parent for parent in running.values() if parent not in running}
    assert holder > 1
    return holder


def test_channels_shards_and_manifests(role: str) -> None:
    for number in range(5):
        jobs.put(f"shards/{number}.tar", b"%d" % number)
    jobs.put("lists/some.json", json.dumps([{"prefix": "s3://photos/shards/"}, "1.tar", "3.tar"]).encode())
    script = "cd $ML/input/data; for c in all part some; do echo $c $(ls $c); done"
    jobs.run(
        "channels",
        role,
        script,
        ResourceConfig=jobs.hosts(2),
        InputDataConfig=[
            jobs.channel("all", "s3://photos/shards/"),
            jobs.channel("part", "s3://photos/shards", S3DataDistributionType="ShardedByS3Key"),
            jobs.channel("some", "s3://photos/lists/some.json", S3DataType="ManifestFile"),
        ],
    )
    said = sorted(jobs.lines("channels"))
    assert said[:2] == ["all 0.tar 1.tar 2.tar 3.tar 4.tar"] * 2
    assert said[2:4] == ["part 0.tar 2.tar 4.tar", "part 1.tar 3.tar"]
    assert said[4:] == ["some 1.tar 3.tar"] * 2


def test_the_container_acts_as_its_role_and_holds_nothing_of_the_person(
    either: Server, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = """
import boto3, os
print(boto3.client("sts", region_name=os.environ["AWS_REGION"]).get_caller_identity()["Arn"])
print("secrets", [name for name in os.environ if "SECRET" in name or name == "PYTHONPATH"])
"""
    job = jobs.run("who", role, script, python=True)
    assert job["TrainingJobStatus"] == "Completed", "\n".join(jobs.lines("who"))
    assert jobs.lines("who") == ["arn:aws:sts::123456789012:assumed-role/training/SageMaker", "secrets []"]
    by_role = {call["action"] for call in either.ask("calls") if "assumed-role/training" in call["who"]}
    assert {"sts:GetCallerIdentity", "s3:PutObject", "logs:PutLogEvents"} <= by_role


def test_no_compression(role: str) -> None:
    output = {"S3OutputPath": "s3://photos/out/", "CompressionType": "NONE"}
    job = jobs.run("raw", role, "echo w > $ML/model/w", OutputDataConfig=output)
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == "s3://photos/out/raw/output/model/"
    assert jobs.keys("out/raw/") == ["out/raw/output/model/w"]
