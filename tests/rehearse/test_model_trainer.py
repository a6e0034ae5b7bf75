"""SageMaker's own SDK trains on the stand-in: its drivers, torchrun, two hosts that average over gloo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import jobs
import pytest
import standin

from dogbreed.rehearse.state import Server

pytestmark = pytest.mark.slow
pytest.importorskip("sagemaker.train")

SCRIPT = """
import argparse, gc, os, pathlib, torch, torch.distributed as dist
words = argparse.ArgumentParser(); words.add_argument("--lr", type=float)
dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(rank)
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(4, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=words.parse_args().lr)
for step in range(3):
    loss = model(torch.ones(8, 4) * rank).square().mean()
    optimizer.zero_grad(); loss.backward(); optimizer.step()
weights = torch.cat([part.flatten() for part in model.parameters()]).detach()
every = [torch.zeros_like(weights) for _ in range(dist.get_world_size())]
dist.all_gather(every, weights)
print(f"rank {rank} of {len(every)} agrees: {all(torch.equal(one, weights) for one in every)}")
if rank == 0:
    print("valid_top1=0.75")
    torch.save(weights, pathlib.Path(os.environ["SM_MODEL_DIR"], "weights.pt"))
dist.barrier()
# As World.leave does: torch 2.13 parts badly from a group that a model still holds.
del model, optimizer, loss
gc.collect(); dist.destroy_process_group()
"""


def test_the_model_trainer_with_torchrun_on_two_hosts(
    either: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sagemaker.core.helper.session_helper import Session
    from sagemaker.core.shapes import CheckpointConfig, MetricDefinition, OutputDataConfig, StoppingCondition
    from sagemaker.core.training.configs import Compute, InputData, Networking, SourceCode
    from sagemaker.train import ModelTrainer
    from sagemaker.train.distributed import Torchrun

    standin.bucket()
    jobs.put("train/0.tar")
    (tmp_path / "train.py").write_text(SCRIPT)
    session: Any = Session(boto_session=boto3.Session(region_name="eu-west-1"), default_bucket="photos")
    trainer = ModelTrainer(
        sagemaker_session=session,
        role=standin.role(),
        base_job_name="dogs",
        training_image=jobs.IMAGE,
        source_code=SourceCode(source_dir=str(tmp_path), entry_script="train.py"),
        distributed=Torchrun(process_count_per_node=1),
        compute=Compute(
            instance_type="ml.g5.xlarge", instance_count=2, volume_size_in_gb=30, enable_managed_spot_training=True
        ),
        networking=Networking(enable_inter_container_traffic_encryption=True, enable_network_isolation=True),
        stopping_condition=StoppingCondition(max_runtime_in_seconds=900, max_wait_time_in_seconds=900),
        output_data_config=OutputDataConfig(s3_output_path="s3://photos/out"),
        checkpoint_config=CheckpointConfig(s3_uri="s3://photos/checkpoints", local_path="/opt/ml/checkpoints"),
        hyperparameters={"lr": 0.01},
    ).with_metric_definitions([MetricDefinition(name="valid:top1", regex="valid_top1=([0-9.]+)")])
    channel = InputData(channel_name="train", data_source="s3://photos/train/")
    trainer.train(input_data_config=[channel], wait=False, logs=False)
    (summary,) = boto3.client("sagemaker").list_training_jobs()["TrainingJobSummaries"]
    job = jobs.ended(summary["TrainingJobName"])
    said = jobs.lines(summary["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Completed", "\n".join(said[-30:])
    agreed = sorted(line.partition("rank")[2] for line in said if "agrees" in line)
    assert agreed == [" 0 of 2 agrees: True", " 1 of 2 agrees: True"]
    assert list(jobs.archive(job["ModelArtifacts"]["S3ModelArtifacts"])) == ["weights.pt"]
    assert [(one["MetricName"], one["Value"]) for one in job["FinalMetricDataList"]] == [("valid:top1", 0.75)]
