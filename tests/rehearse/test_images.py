"""ECR and CodeBuild of the stand-in: images hold what was copied into them, builds run, and both refuse as AWS does."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import boto3
import pytest
import standin
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st
from pushed import upload
from standin import until

from dogbreed.rehearse.images_dockerfile import DockerfileError, instructions, make
from dogbreed.rehearse.state import Server

NAME, PROJECT = "hound", "hound-image"
REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
DOCKERFILE = "FROM base\nENV PYTHONPATH=/app A='b c'\nCOPY dogbreed /app/dogbreed\n"
SOURCE = {"Dockerfile": DOCKERFILE, "dogbreed/__init__.py": "hello = 1\n"}
STEPS = [
    f"aws ecr get-login-password | docker login --username AWS --password-stdin {REGISTRY}",
    f"docker build -t {REGISTRY}/{NAME}:1 .",
    f"docker push {REGISTRY}/{NAME}:1",
]


def packed(files: dict[str, str]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return raw.getvalue()


def spec(*commands: str, **phases: list[str]) -> str:
    told = {name: {"commands": list(words)} for name, words in {"build": list(commands), **phases}.items()}
    return json.dumps({"version": 0.2, "phases": told}, indent=1)


def project(source: bytes | None = None, buildspec: str = "", **more: Any) -> Any:
    """A project with its source in a bucket, and a repository; the client."""
    s3, codebuild = boto3.client("s3"), boto3.client("codebuild")
    s3.put_object(Bucket=standin.bucket(), Key="source.zip", Body=packed(SOURCE) if source is None else source)
    boto3.client("ecr").create_repository(repositoryName=NAME, imageTagMutability="IMMUTABLE")
    codebuild.create_project(
        name=PROJECT,
        source={"type": "S3", "location": "photos/source.zip", "buildspec": buildspec or spec(*STEPS)},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={
            "type": "LINUX_CONTAINER",
            "image": "aws/codebuild/amazonlinux-x86_64-standard:6.0",
            "computeType": "BUILD_GENERAL1_SMALL",
            "environmentVariables": [{"name": "A", "value": "project"}, {"name": "B", "value": "project"}],
        },
        serviceRole=standin.role("builder", "codebuild.amazonaws.com"),
        **more,
    )
    return codebuild


def built(codebuild: Any, **told: Any) -> dict[str, Any]:
    """A build when it has ended."""
    name = codebuild.start_build(projectName=PROJECT, **told)["build"]["id"]

    def ended() -> Any:
        build = codebuild.batch_get_builds(ids=[name])["builds"][0]
        return build if build["buildComplete"] else None

    return dict(until(ended))


def reason(build: dict[str, Any]) -> tuple[str, str, str]:
    """The phase that failed first, the code and the words."""
    phase = next(one for one in build["phases"] if one.get("phaseStatus", "SUCCEEDED") != "SUCCEEDED")
    return phase["phaseType"], phase["contexts"][0]["statusCode"], phase["contexts"][0]["message"]


def lines(build: dict[str, Any]) -> list[str]:
    where = build["logs"]
    told = boto3.client("logs").get_log_events(
        logGroupName=where["groupName"], logStreamName=where["streamName"], startFromHead=True
    )
    return [event["message"] for event in told["events"]]


def test_an_image_holds_what_was_copied_and_is_built_as_the_role_of_its_project(account: Server) -> None:
    codebuild = project()
    before = len(account.ask("calls"))
    build = built(codebuild)
    assert build["buildStatus"] == "SUCCEEDED", lines(build)
    assert [phase["phaseType"] for phase in build["phases"]][-1] == "COMPLETED"
    calls = account.ask("calls")[before:]
    done = {call["action"] for call in calls if "assumed-role/builder" in call["who"]}
    assert {"s3:GetObject", "ecr:GetAuthorizationToken", "ecr:PutImage", "logs:PutLogEvents"} <= done
    assert sum(call["action"] == "ecr:PutImage" for call in calls) == 1
    told = account.ask("image", uri=f"{REGISTRY}/{NAME}:1")
    assert (Path(told["code"]) / "dogbreed" / "__init__.py").read_text() == "hello = 1\n"
    assert told["environment"] == {"A": "b c"}

    ecr = boto3.client("ecr")
    image = ecr.batch_get_image(repositoryName=NAME, imageIds=[{"imageTag": "1"}])["images"][0]
    digest = f"sha256:{hashlib.sha256(image['imageManifest'].encode()).hexdigest()}"
    assert image["imageId"]["imageDigest"] == digest
    assert account.ask("image", uri=f"{REGISTRY}/{NAME}@{digest}") == told
    manifest = json.loads(image["imageManifest"])
    size = ecr.describe_images(repositoryName=NAME)["imageDetails"][0]["imageSizeInBytes"]
    assert size == manifest["config"]["size"] + manifest["layers"][0]["size"]
    for other in (":2", f"@sha256:{'0' * 64}"):
        assert account.ask("image", uri=f"{REGISTRY}/{NAME}{other}")["code"] is None
    assert account.ask("image", uri=f"{REGISTRY.replace('123', '999')}/{NAME}:1")["code"] is None
    account.ask("reset")
    assert account.ask("image", uri=f"{REGISTRY}/{NAME}:1")["code"] is None


@pytest.mark.parametrize(
    ("action", "phase", "words"),
    [("s3:GetObject", "DOWNLOAD_SOURCE", "AccessDenied"), ("ecr:PutImage", "BUILD", "docker push")],
)
def test_what_the_role_may_not_do_fails_the_build(account: Server, action: str, phase: str, words: str) -> None:
    codebuild = project()
    account.ask("fault", kind="deny", target=action)
    build = built(codebuild)
    account.ask("clear")
    assert build["buildStatus"] == "FAILED"
    assert reason(build)[0] == phase
    assert words in reason(build)[2]
    assert f"not authorized to perform: {action}" in " ".join([*lines(build), reason(build)[2]])
    assert account.ask("image", uri=f"{REGISTRY}/{NAME}:1")["code"] is None


@pytest.mark.parametrize(
    ("source", "buildspec", "why"),
    [
        (b"no zip", "", ("DOWNLOAD_SOURCE", "CLIENT_ERROR", "the source is no zip")),
        (packed({"a": "b"}), spec(STEPS[1]), ("BUILD", "COMMAND_EXECUTION_ERROR", "docker build")),
        (
            packed(SOURCE | {"Dockerfile": "FROM a\nCOPY b /\n"}),
            spec(STEPS[1]),
            ("BUILD", "COMMAND_EXECUTION_ERROR", ""),
        ),
        (None, "other.yml", ("DOWNLOAD_SOURCE", "YAML_FILE_ERROR", "YAML file does not exist")),
        (None, "phases: [\n", ("DOWNLOAD_SOURCE", "YAML_FILE_ERROR", "")),
        (None, "version: 0.2\n", ("DOWNLOAD_SOURCE", "YAML_FILE_ERROR", "phases is required")),
        (None, spec(f"docker push {REGISTRY}/{NAME}:1"), ("BUILD", "COMMAND_EXECUTION_ERROR", "docker push")),
    ],
)
def test_a_failed_build_says_where_and_why(
    account: Server, source: bytes | None, buildspec: str, why: tuple[str, str, str]
) -> None:
    build = built(project(source, buildspec))
    assert build["buildStatus"] == "FAILED"
    phase, code, words = reason(build)
    assert (phase, code) == why[:2]
    assert why[2] in words
    assert boto3.client("ecr").list_images(repositoryName=NAME)["imageIds"] == []


def test_commands_share_a_shell_and_know_the_variables(account: Server) -> None:
    steps = spec("C=here; cd dogbreed", 'echo "$A $B $C $(basename "$PWD")"', post_build=["echo after"])
    given = [{"name": "B", "value": "build"}]
    build = built(project(buildspec=steps), environmentVariablesOverride=given)
    assert build["buildStatus"] == "SUCCEEDED"
    said = lines(build)
    assert "project build here dogbreed" in said
    assert said.index("after") > said.index("project build here dogbreed")
    shown = {one["name"]: one["value"] for one in build["environment"]["environmentVariables"]}
    assert shown == {"A": "project", "B": "build"}


def test_what_comes_after_a_failed_build_is_done_and_after_an_earlier_failure_is_not(account: Server) -> None:
    codebuild = project(buildspec=spec("false", post_build=["echo after"]))
    build = built(codebuild)
    assert reason(build)[0] == "BUILD"
    assert "after" in lines(build)
    build = built(codebuild, buildspecOverride=spec("echo never", pre_build=["false"], post_build=["echo after"]))
    assert reason(build)[0] == "PRE_BUILD"
    assert not {"never", "after"} & set(lines(build))


def test_a_build_is_stopped_and_its_processes_are_gone(account: Server, tmp_path: Path) -> None:
    codebuild = project(buildspec=spec(f"sleep 600 & echo $! > {tmp_path}/pid; wait"))
    name = codebuild.start_build(projectName=PROJECT)["build"]["id"]
    pid = until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    assert codebuild.list_builds_for_project(projectName=PROJECT)["ids"] == [name]
    codebuild.stop_build(id=name)
    until(lambda: codebuild.batch_get_builds(ids=[name])["builds"][0]["buildStatus"] == "STOPPED")
    until(lambda: not Path(f"/proc/{pid}").exists())


def test_a_build_that_takes_too_long_is_ended_by_the_clock(account: Server) -> None:
    codebuild = project(buildspec=spec("sleep 600"), timeoutInMinutes=5)
    account.ask("speed", speed=3600)
    try:
        build = built(codebuild)
    finally:
        account.ask("speed", speed=1)
    assert build["buildStatus"] == "TIMED_OUT"
    assert reason(build)[1] == "BUILD_TIMED_OUT"


def test_projects_are_checked_changed_and_removed(account: Server) -> None:
    codebuild = project()
    wrong = standin.role("wrong", "ec2.amazonaws.com")
    for role in (wrong, wrong.replace("wrong", "missing")):
        with pytest.raises(ClientError, match="is not authorized to perform: sts:AssumeRole") as refused:
            codebuild.update_project(name=PROJECT, serviceRole=role)
        assert refused.value.response["Error"]["Code"] == "InvalidInputException"
    codebuild.update_project(name=PROJECT, timeoutInMinutes=7)
    assert codebuild.batch_get_projects(names=[PROJECT])["projects"][0]["timeoutInMinutes"] == 7
    assert ("iam:PassRole", [wrong]) in [(call["action"], call["resources"]) for call in account.ask("calls")]
    for _ in range(2):
        codebuild.delete_project(name=PROJECT)
    assert codebuild.batch_get_projects(names=[PROJECT])["projects"] == []
    with pytest.raises(codebuild.exceptions.ResourceNotFoundException):
        codebuild.start_build(projectName=PROJECT)


# -- ECR's own answers


def manifest(*layers: dict[str, Any]) -> str:
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    return json.dumps({"schemaVersion": 2, "mediaType": kind, "config": layers[0], "layers": list(layers)})


def refused(call: Any, **told: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**told)
    return str(error.value.response["Error"]["Code"])


def test_ecr_refuses_what_it_would_refuse(account: Server) -> None:
    ecr = boto3.client("ecr")
    ecr.create_repository(repositoryName=NAME, imageTagMutability="IMMUTABLE")
    one, two = manifest(upload(ecr, NAME, b"{}")), manifest(upload(ecr, NAME, b'{"a": 1}'))
    named = {"repositoryName": NAME, "imageTag": "1"}
    ecr.put_image(**named, imageManifest=one)
    assert refused(ecr.put_image, **named, imageManifest=one) == "ImageAlreadyExistsException"
    assert refused(ecr.put_image, **named, imageManifest=two) == "ImageTagAlreadyExistsException"
    absent = manifest({"digest": f"sha256:{'0' * 64}", "size": 1})
    assert refused(ecr.put_image, repositoryName=NAME, imageManifest=absent) == "LayersNotFoundException"
    given = {"repositoryName": NAME, "imageTag": "2", "imageManifest": two}
    wrong = f"sha256:{'1' * 64}"
    assert refused(ecr.put_image, **given, imageDigest=wrong) == "ImageDigestDoesNotMatchException"
    assert refused(ecr.put_image, **given | {"repositoryName": "other"}) == "RepositoryNotFoundException"
    begun = ecr.initiate_layer_upload(repositoryName=NAME)["uploadId"]
    part = {"partFirstByte": 0, "partLastByte": 0, "layerPartBlob": b"x"}
    ecr.upload_layer_part(repositoryName=NAME, uploadId=begun, **part)
    finish = {"repositoryName": NAME, "uploadId": begun, "layerDigests": [wrong]}
    assert refused(ecr.complete_layer_upload, **finish) == "InvalidLayerException"
    assert {one["imageTag"] for one in ecr.list_images(repositoryName=NAME)["imageIds"]} == {"1"}


# -- what a Dockerfile makes


WORDS = st.text("abc XYZ=${}\"'\\#\n[]-/:.", max_size=12)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["FROM", "ARG", "COPY", "ENV", "LABEL", "CMD", "RUN", "X"]), WORDS)))
def test_any_dockerfile_is_made_or_refused_in_words(steps: list[tuple[str, str]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        context = Path(name) / "context"
        context.mkdir()
        (context / "Dockerfile").write_text("\n".join(f"{word} {rest}" for word, rest in steps), encoding="utf-8")
        try:
            stage = make(context, {}, Path(name) / "work", lambda line: None)
        except DockerfileError:
            return
        assert all("=" in pair for pair in stage.config["Env"])


def test_a_copy_does_not_lead_out_of_the_context(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    context = tmp_path / "context"
    context.mkdir()
    (context / "link").symlink_to(tmp_path / "secret")
    for number, source in enumerate(("../secret", "link", "/../secret")):
        (context / "Dockerfile").write_text(f"FROM base\nCOPY {source} /x\n")
        with pytest.raises(DockerfileError, match="not found"):
            make(context, {}, tmp_path / f"work{number}", lambda line: None)


def test_lines_that_go_on_are_one_instruction() -> None:
    text = "# note\nFROM a \\\n  # within\n  AS b\nENV C=d \\\n    E=f\n"
    assert list(instructions(text)) == [("FROM", "a AS b"), ("ENV", "C=d E=f")]
