"""The image in the account: made once, by one build, within the policies, whatever interrupts it; and its failures."""

from __future__ import annotations

import io
import os
import shlex
import sys
import zipfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from laws import Killed, apply, killed_at, remove, survives_kills, unchanged
from standin import until
from test_inventory import beyond

from dogbreed.cloud import people, people_serving, policies_serving
from dogbreed.cloud.bucket import Bucket
from dogbreed.cloud.policy_parts import Scope
from dogbreed.cloud.serving import image, image_build
from dogbreed.cloud.serving.image_context import Context, context
from dogbreed.cloud.serving.image_local import Engine, LocalImage, PushedImage, choose
from dogbreed.cloud.serving.image_repository import KEPT, Repository
from dogbreed.cloud.session import Aws
from dogbreed.cloud.storage import Store
from dogbreed.config import AwsSettings
from dogbreed.errors import DogbreedError
from dogbreed.plan import Resource
from dogbreed.rehearse.state import Server

SMALL = Context({"Dockerfile": b"FROM base\nENV PYTHONPATH=/app\nCOPY dogbreed /app/dogbreed\n", "dogbreed/a.py": b""})


def wanted(aws: Aws, built: Context = SMALL, tell: Callable[[str], None] = lambda line: None) -> list[Resource]:
    return [Bucket(aws), *image.resources(aws, built, tell)]


def builds(aws: Aws) -> list[dict[str, Any]]:
    codebuild = aws.client("codebuild")
    ids = codebuild.list_builds_for_project(projectName="dogbreed-image")["ids"]
    return list(codebuild.batch_get_builds(ids=ids)["builds"]) if ids else []


def test_the_image_is_built_once_and_stays_within_the_policies(account: Server, aws: Aws) -> None:
    said: list[str] = []
    built = context()
    assert set(apply(wanted(aws, built, said.append))) == {"+"}
    assert any("docker push" in line for line in said)
    assert said[-1].startswith(f"{built.tag}: digest: sha256:")
    held = account.ask("image", uri=image.uri(aws, built))
    assert (Path(held["code"]) / "dogbreed/serve/app.py").read_bytes() == built.files["dogbreed/serve/app.py"]
    assert held["environment"]["DOGBREED_PREDICT_RUN"] == "/opt/ml/model"

    again = image.resources(aws, built)
    assert [one.kind for one in again] == ["image repository", "image"]
    assert unchanged(again)
    assert len(builds(aws)) == 1
    scope = Scope.of(aws)
    calls = account.ask("calls")
    role = [call for call in calls if ":assumed-role/" in call["who"]]
    person = [call for call in calls if ":user/" in call["who"]]
    assert role
    assert beyond(policies_serving.image_build(scope), role) == []
    assert beyond(people_serving.image(scope), [call for call in person if not call["action"].startswith("iam:")]) == []
    begun = len(calls)
    remove(image.everything(aws))
    removing = [call for call in account.ask("calls")[begun:] if not call["action"].startswith("iam:")]
    # Both policies are needed to destroy.
    statements = [*people.destroy(scope)["Statement"], *people_serving.destroy_services(scope)["Statement"]]
    assert beyond({"Statement": statements}, removing) == []
    left = [one.name for one in image.everything(aws) if one.find()]
    assert left == ["/aws/codebuild/dogbreed-image"], "only logs are kept"
    assert account.ask("image", uri=image.uri(aws, built))["code"] is None


@pytest.mark.slow
def test_a_kill_at_any_call_leaves_no_mess(account: Server) -> None:
    """All but the build itself, which the next test interrupts."""

    def parts(aws: Aws) -> list[Resource]:
        for one in (found := image.everything(aws)):
            one.keep = ""
        return found

    # After each call is before the next.
    assert survives_kills(lambda: Aws(AwsSettings()), parts, [True]) > 10


@pytest.mark.slow
def test_an_interrupted_build_is_gone_on_with_and_not_started_twice(aws: Aws) -> None:
    apply(wanted(aws)[:-1])
    for number in range(20):
        made = Context(dict(SMALL.files) | {"number": str(number).encode()})
        before, died = len(builds(aws)), False
        try:
            with killed_at(aws, number, answered=True):
                wanted(aws, made)[-1].create()
        except Killed:
            died = True
        if not Store(aws).exists(f"code/image/{made.tag}.zip"):
            continue  # it has only looked so far
        apply(wanted(aws, made))
        assert unchanged(wanted(aws, made))
        assert len(builds(aws)) == before + 1, f"after a kill at call {number}"
        if not died:
            break
    assert number > 2
    content = aws.client("s3").get_object(Bucket=aws.bucket, Key=f"code/image/{made.tag}.zip")["Body"].read()
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        assert {name: packed.read(name) for name in packed.namelist()} == dict(made.files)


def test_a_build_that_fails_is_told_with_its_reason_and_last_lines(account: Server, aws: Aws) -> None:
    broken = Context({"Dockerfile": b"FROM base\nCOPY nothing /\n"})
    with pytest.raises(
        DogbreedError, match="the image was not built: Error while executing command: docker build"
    ) as error:
        apply(wanted(aws, broken))
    assert '"/nothing": not found' in error.value.message
    assert "/aws/codebuild/dogbreed-image" in error.value.hint
    account.ask("fault", kind="deny", target="ecr:InitiateLayerUpload")
    with pytest.raises(DogbreedError, match="not authorized to perform: ecr:InitiateLayerUpload"):
        apply(wanted(aws))
    account.ask("clear")
    apply(wanted(aws))
    assert unchanged(wanted(aws))


def test_what_others_changed_is_put_back(aws: Aws) -> None:
    resources = image.everything(aws)
    apply([Bucket(aws), *resources])
    ecr, codebuild = aws.client("ecr"), aws.client("codebuild")
    ecr.put_image_tag_mutability(repositoryName="dogbreed", imageTagMutability="MUTABLE")
    ecr.put_image_scanning_configuration(repositoryName="dogbreed", imageScanningConfiguration={"scanOnPush": False})
    ecr.delete_lifecycle_policy(repositoryName="dogbreed")
    ecr.delete_repository_policy(repositoryName="dogbreed")
    codebuild.update_project(name="dogbreed-image", timeoutInMinutes=400)
    assert [one.name for one in resources if not unchanged([one])] == ["dogbreed", "dogbreed-image"]
    apply(resources)
    assert unchanged(resources)


def test_the_repository_is_closed_scanned_and_does_not_grow_for_ever(aws: Aws) -> None:
    key = aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    repository = Repository(Aws(AwsSettings(kms_key=key)))
    apply([repository])
    told = aws.client("ecr").describe_repositories(repositoryNames=["dogbreed"])["repositories"][0]
    assert told["encryptionConfiguration"] == {"encryptionType": "KMS", "kmsKey": key}
    assert (told["imageTagMutability"], told["imageScanningConfiguration"]) == ("IMMUTABLE", {"scanOnPush": True})
    rules = repository.wanted()["lifecycle"]["rules"]
    assert rules[-1]["selection"] == {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": KEPT}
    allowed = repository.wanted()["policy"]["Statement"]
    assert [one["Principal"] for one in allowed] == [{"Service": "lambda.amazonaws.com"}]
    assert all("aws:SourceAccount" in one["Condition"]["StringEquals"] for one in allowed)


def test_the_most_that_a_build_costs_is_known_where_its_price_is() -> None:
    assert image_build.ceiling("us-east-1") == Decimal("0.005") * image_build.MINUTES
    assert image_build.ceiling("eu-west-1") is None
    figure = image_build.price("eu-west-1")
    assert figure is not None
    assert figure.region == "us-east-1"


# -- from this machine


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A program `docker`: that of the stand-in's builds, which notes its words; the file with them."""
    code = "import sys; from dogbreed.rehearse.images_docker import docker; sys.exit(docker(sys.argv[1:]))"
    program, log = tmp_path / "bin" / "docker", tmp_path / "log"
    program.parent.mkdir()
    run = f"exec {shlex.quote(sys.executable)} -P -c {shlex.quote(code)}"
    program.write_text(f'#!/bin/sh\necho "$@" >> {log}\n{run} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("REHEARSE_DOCKER", os.fspath(tmp_path / "docker"))
    (tmp_path / "docker").mkdir()
    yield log


def test_it_is_built_here_and_pushed_with_a_password_that_nobody_sees(account: Server, aws: Aws, docker: Path) -> None:
    engine = choose("auto")
    assert engine == Engine("docker")
    said: list[str] = []
    repository, local = Repository(aws), LocalImage(engine, SMALL, said.append, also="mine:1")
    pushed = PushedImage(aws, repository, SMALL, said.append).push_from(local)
    assert apply([repository, local, pushed]) == ["+", "+", "+"]
    assert apply([repository, local, pushed]) == ["=", "=", "="]
    assert account.ask("image", uri=image.uri(aws, SMALL))["code"]
    told = docker.read_text()
    password = aws.client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
    assert "--password-stdin" in told
    assert password not in told
    assert "auth-token" not in told
    assert told.index("login") < told.index("push") < told.index("logout")
    # What CodeBuild would build is there already; a build that was begun before is refused its push, which is no error.
    assert unchanged(image.resources(aws, SMALL))
    apply([Bucket(aws), *image.everything(aws)])
    late = image.resources(aws, SMALL)[-1]
    late.create()
    until(late.ready)
    assert [build["buildStatus"] for build in builds(aws)] == ["FAILED"]


def test_a_build_that_fails_here_says_what_the_program_said(docker: Path) -> None:
    broken = Context({"Dockerfile": b"FROM base\nCOPY nothing /\n"})
    with pytest.raises(DogbreedError, match="docker build failed\n") as error:
        LocalImage(Engine("docker"), broken, lambda line: None).create()
    assert '"/nothing": not found' in error.value.message


def test_without_a_program_the_account_builds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    assert choose("auto") is None
    assert choose("codebuild") is None
    with pytest.raises(DogbreedError, match="podman is not installed") as error:
        choose("podman")
    assert "--engine codebuild" in error.value.hint
