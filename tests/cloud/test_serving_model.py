"""The model in the bucket: the same bytes for the same Run, and all that a container needs to answer as here."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

from deployed import another

from dogbreed.cloud.serving.deploying import Trial, a_photo
from dogbreed.cloud.serving.model import FILE, ModelData, digest, pack
from dogbreed.cloud.session import Aws
from dogbreed.infer.answering import Answer
from dogbreed.infer.predictor import Predictor
from dogbreed.plan import make, teardown
from dogbreed.run import STARTER, Run


def test_what_is_packed_answers_as_the_run_does(tmp_path: Path) -> None:
    run = Run.open(STARTER)
    with tarfile.open(fileobj=io.BytesIO(pack(run)), mode="r:gz") as tar:
        tar.extractall(tmp_path / "model", filter="data")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["model.json", "model.onnx"]
    photo = a_photo()
    assert Predictor.open(Run.open(tmp_path / "model")).predict(photo) == Predictor.open(run).predict(photo)


def test_equal_runs_are_equal_objects_wherever_they_lie(tmp_path: Path) -> None:
    copy = Run.open(Path(shutil.copytree(STARTER, tmp_path / "copy")))
    run = Run.open(STARTER)
    assert digest(copy) == digest(run)
    assert pack(copy) == pack(run)
    assert digest(another(tmp_path / "other")) != digest(run)


def test_it_is_sent_once_and_stays_with_the_bucket(aws: Aws) -> None:
    aws.client("s3").create_bucket(Bucket=aws.bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    data = ModelData(aws, Run.open(STARTER))
    plan = make([data])
    assert [step.sign for step in plan.steps] == ["+"]
    assert list(plan.apply())
    assert [step.sign for step in make([data]).steps] == ["="]
    assert [step.sign for step in teardown([data]).steps] == ["="]
    keys = [one["Key"] for one in aws.client("s3").list_objects_v2(Bucket=aws.bucket)["Contents"]]
    assert keys == [f"models/{data.digest}/{FILE}"]


def test_a_trial_is_the_same_only_where_breed_and_probabilities_are() -> None:
    here = Answer("", "poodle", 0.7, False, (("poodle", 0.7), ("beagle", 0.3)))

    def there(breed: str, *top: tuple[str, float]) -> bool:
        return Trial(here, Answer("", breed, top[0][1] if top else 0, False, top), 0.1).same

    assert there("poodle", ("poodle", 0.7004), ("beagle", 0.2996))
    assert not there("poodle", ("poodle", 0.702), ("beagle", 0.298))
    assert not there("beagle", ("beagle", 0.3), ("poodle", 0.7))
    assert not there("poodle", ("poodle", 0.7), ("borzoi", 0.3))
    assert not there("poodle")
