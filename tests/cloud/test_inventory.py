"""The whole of a project's account: killed at any call, a destroy that is repeated leaves nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import Killed, killed_at
from least import beyond
from program import dogbreed
from standin import until

from dogbreed import plan
from dogbreed.cloud import inventory, people, policies
from dogbreed.cloud.bucket import Bucket
from dogbreed.cloud.network import SecurityGroup, look
from dogbreed.cloud.policies import EC2_TRAINING, SAGEMAKER_TRAINING
from dogbreed.cloud.policy_parts import Scope
from dogbreed.cloud.roles import InstanceProfile, Role
from dogbreed.cloud.session import Aws, pairs
from dogbreed.cloud.storage import Store
from dogbreed.config import AwsSettings
from dogbreed.data.sample import draw_sample
from dogbreed.plan import Found, Resource
from dogbreed.rehearse.state import Server


def fill(aws: Aws) -> None:
    role = Role(aws, EC2_TRAINING)
    wanted = [Bucket(aws), Role(aws, SAGEMAKER_TRAINING), role, InstanceProfile(aws, role)]
    for _ in plan.make([*wanted, SecurityGroup(aws, look(aws).vpc)]).apply():
        pass
    aws.client("s3").put_object(Bucket=aws.bucket, Key="runs/1/x", Body=b"1")


class Made(Resource):
    """A dollar an hour since `created`."""

    kind, name = "thing", "made"

    def __init__(self, created: datetime) -> None:
        self.created = created

    def find(self) -> Found:
        return Found("id", {}, created=self.created)

    def create(self) -> None: ...

    def delete(self, found: Found) -> None: ...

    def hourly(self) -> Decimal:
        return Decimal(1)


def destroy(aws: Aws) -> None:
    made = plan.teardown(inventory.resources(aws, data=True))
    for _ in inventory.carry_out(made, wait_s=300):
        pass


@pytest.mark.slow
def test_a_destroy_that_is_killed_and_repeated_leaves_nothing(account: Server) -> None:
    session = Aws(AwsSettings())._made
    for number in range(0, 300, 9):
        account.ask("reset")
        aws = Aws(AwsSettings())
        aws.__dict__["_made"] = session
        fill(aws)
        try:
            with killed_at(aws, number, answered=bool(number % 2)):
                destroy(aws)
            break
        except Killed:
            pass
        destroy(aws)
        assert inventory.look(inventory.resources(aws)) == [], f"left after a kill at call {number}"
    else:
        pytest.fail("never finished")
    assert number > 20


def test_what_it_costs_is_the_price_times_the_age(aws: Aws) -> None:
    fill(aws)
    rows = inventory.look(inventory.resources(aws))
    assert all(row.hourly == row.usd == 0 for row in rows)
    assert {row.resource.name for row in rows if row.age_s is None} == {aws.bucket, "dogbreed-machines"}


_PASSED = st.timedeltas(timedelta(days=-9), timedelta(days=9)).filter(lambda one: abs(one) > timedelta(minutes=10))


@given(_PASSED, st.timedeltas(timedelta(0), timedelta(days=9)))
def test_an_age_is_never_below_nothing(created: timedelta, ahead: timedelta) -> None:
    """Also where the account's clock is ahead of the one here, as that of a rehearsal is."""
    now = datetime.now(UTC)
    (row,) = inventory.look([Made(now + created)], lambda: now + ahead)
    if created > timedelta(0):
        least = most = max(timedelta(0), ahead - created)
    else:
        # However long it took until it was looked at.
        least, most = -created, datetime.now(UTC) - now - created
    assert row.age_s is not None
    assert least.total_seconds() <= row.age_s <= most.total_seconds()
    assert row.usd == pytest.approx(Decimal(row.age_s or 0) / 3600, abs=Decimal("0.0001"))


def test_tags_that_may_not_be_looked_at_are_not_known(aws: Aws, account: Server) -> None:
    account.ask("fault", kind="deny", target="tag:GetResources")
    assert inventory.tagged(aws) is None
    assert inventory.unaccounted(None, []) == inventory.ended_jobs(None, []) == []


@pytest.mark.slow
def test_a_job_that_nobody_remembers_is_found_priced_and_stopped(aws: Aws) -> None:
    fill(aws)
    store, role = Store(aws), Role(aws, SAGEMAKER_TRAINING)
    store.put("code/run.sh", b"sleep 600")
    where = {"S3DataType": "S3Prefix", "S3Uri": store.uri("code/")}
    aws.client("sagemaker").create_training_job(
        TrainingJobName="dogbreed-forgotten-1",
        RoleArn=role.arn,
        AlgorithmSpecification={
            "TrainingImage": "763104351884.dkr.ecr.eu-west-1.amazonaws.com/pytorch:2.13-cpu-amzn2023-sagemaker",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["bash", "/opt/ml/input/data/code/run.sh"],
        },
        InputDataConfig=[{"ChannelName": "code", "DataSource": {"S3DataSource": where}}],
        OutputDataConfig={"S3OutputPath": store.uri("runs/1/")},
        ResourceConfig={"InstanceType": "ml.g5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 5},
        StoppingCondition={"MaxRuntimeInSeconds": 900},
        Tags=pairs(aws.tags("training", "forgotten")),
    )

    def job() -> inventory.Row | None:
        rows = inventory.look(inventory.resources(aws))
        return next((row for row in rows if row.resource.kind == "training job"), None)

    seen = job()
    assert seen is not None
    assert (seen.resource.name, seen.found.ours, seen.hourly) == ("dogbreed-forgotten-1", True, 2 * Decimal("1.57"))
    assert inventory.ended_jobs(inventory.tagged(aws), [seen]) == []
    until(lambda: (row := job()) and row.found.created)
    destroy(aws)
    assert job() is None
    arns, rows = inventory.tagged(aws), inventory.look(inventory.resources(aws))
    assert inventory.unaccounted(arns, rows) == []
    assert inventory.ended_jobs(arns, rows) == ["dogbreed-forgotten-1"]


# -- least privilege, from what is recorded


@pytest.mark.slow
def test_a_whole_training_stays_within_the_policies(account: Server, aws: Aws, tmp_path: Path) -> None:
    photos = draw_sample(tmp_path / "photos", breeds=2, photos=10, seed=1)
    scope = Scope.of(aws)
    words = ("--instances", 1, "--instance-type", "ml.m5.large", "--epochs", 1, "--yes")
    commands: list[tuple[str, tuple[object, ...]]] = [
        ("setup", ("iam", "setup", "--yes")),
        ("train-sagemaker", ("train-sagemaker", photos, *words)),
        ("status", ("status", "--json")),
        ("destroy", ("destroy", "--data", "--yes")),
    ]
    before = len(account.ask("calls"))
    for purpose, command in commands:
        done = dogbreed(*command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        calls = account.ask("calls")[before:]
        before += len(calls)
        mine = [call for call in calls if ":user/" in call["who"]]
        assert mine
        # Services are looked for, and removed, by a policy of their own.
        purposes = [purpose, *(["destroy-services"] if purpose == "destroy" else [])]
        statements = [one for name in purposes for one in people.POLICIES[name](scope)["Statement"]]
        assert beyond({"Statement": statements}, mine) == []
        its = [call for call in calls if "assumed-role" in call["who"]]
        assert bool(its) == (purpose == "train-sagemaker")
        assert beyond(policies.sagemaker_training(scope), its) == []
    said = json.loads(dogbreed("status", "--json", cwd=tmp_path).stdout)
    assert (said["resources"], said["also_tagged"], said["ended_jobs"]) == ([], [], 1)
    words = "SageMaker keeps records of 1 training job that has ended; they cost nothing"
    assert words in done.stderr
    assert words in dogbreed("status", cwd=tmp_path).stderr
