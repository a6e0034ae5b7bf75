"""One build of CodeBuild: its source comes from S3 as the project's role, and its buildspec's commands really run.

They run in one shell, in a folder of their own, with the role's credentials; `docker` and `aws` are those of
`images_docker`, everything else is this machine's. Only the stand-in's own person may start builds, as with machines.
"""

from __future__ import annotations

import io
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import yaml
from botocore.exceptions import ClientError

from dogbreed.rehearse import images_buildah, images_docker
from dogbreed.rehearse.log_lines import Lines, Stream

if TYPE_CHECKING:
    from dogbreed.rehearse.cloud import Cloud

Log = Callable[[str], None]
_PHASES = {"install": "INSTALL", "pre_build": "PRE_BUILD", "build": "BUILD", "post_build": "POST_BUILD"}
_RUNS = "IN_PROGRESS"
_TIMEOUT_MINUTES = 60
_LOOK_S = 0.1
# The commands of a phase in one shell, as CodeBuild does; the first that fails ends it, and is written to fd 3.
_SHELL = """for command in "$@"; do
  printf '[Container] Running command %s\\n' "$command"
  eval "$command" || { code=$?; printf '%s' "$command" >"$REHEARSE_FAILED"; exit $code; }
done"""


class FailedError(Exception):
    """Why a phase has failed: CodeBuild's code and words."""

    def __init__(self, code: str, words: str, status: str = "FAILED") -> None:
        super().__init__(words)
        self.code, self.words, self.status = code, words, status


@dataclass
class Build:
    """A build: of which project, what StartBuild said, who said it, and how far it is."""

    id: str
    region: str
    number: int
    project: dict[str, Any]
    told: dict[str, Any]
    who: str
    now: Callable[[], datetime]
    status: str = _RUNS
    phases: list[dict[str, Any]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.status != _RUNS

    @property
    def group(self) -> str:
        """Its log group; the stream has the last part of its id."""
        named = self.project.get("logsConfig", {}).get("cloudWatchLogs", {}).get("groupName")
        return str(named or f"/aws/codebuild/{self.project['name']}")

    @property
    def stream(self) -> str:
        """Its log stream."""
        return self.id.rsplit(":", maxsplit=1)[-1]

    @property
    def location(self) -> str:
        """Where its source is: BUCKET/KEY."""
        return str(self.told.get("sourceLocationOverride") or self.project["source"].get("location", ""))

    @property
    def variables(self) -> dict[str, str]:
        """The variables of the project, then those of this build."""
        given = [*self.project["environment"].get("environmentVariables", [])]
        given += self.told.get("environmentVariablesOverride", [])
        return {one["name"]: one["value"] for one in given}

    @property
    def minutes(self) -> int:
        """How long it may take; moto keeps a 0 where nothing was said."""
        return int(self.project.get("timeoutInMinutes") or _TIMEOUT_MINUTES)

    def enter(self, phase: str) -> None:
        """Begin a phase, which ends the one before well, if it has not ended."""
        self.leave("SUCCEEDED")
        self.phases.append({"phaseType": phase, "startTime": self.now()})

    def leave(self, status: str, code: str = "", words: str = "") -> None:
        """End the phase that runs."""
        if self.phases and "endTime" not in self.phases[-1] and self.phases[-1]["phaseType"] != "COMPLETED":
            phase = self.phases[-1]
            seconds = int((self.now() - phase["startTime"]).total_seconds())
            phase |= {"endTime": self.now(), "durationInSeconds": seconds, "phaseStatus": status}
            phase["contexts"] = [{"statusCode": code, "message": words}]

    def describe(self) -> dict[str, Any]:
        """A build as BatchGetBuilds shows it."""
        # Read first, since it is set last: who is told that it has ended is told all.
        status = self.status
        over = status != _RUNS
        arn = self.project["arn"].split(":project/")[0]
        environment = dict(self.project["environment"])
        environment["environmentVariables"] = [
            {"name": name, "value": value, "type": "PLAINTEXT"} for name, value in self.variables.items()
        ]
        shown = {
            "id": self.id,
            "arn": f"{arn}:build/{self.id}",
            "buildNumber": self.number,
            "startTime": self.phases[0]["startTime"],
            "currentPhase": self.phases[-1]["phaseType"],
            "buildStatus": status,
            "buildComplete": over,
            "projectName": self.project["name"],
            "phases": [dict(phase) for phase in self.phases],
            "source": self.project["source"] | {"location": self.location},
            "environment": environment,
            "serviceRole": self.project["serviceRole"],
            "timeoutInMinutes": self.minutes,
            "initiator": self.who.rsplit("/", maxsplit=1)[-1],
            "logs": {"groupName": self.group, "streamName": self.stream},
        }
        return shown | ({"endTime": self.phases[-1]["startTime"]} if over else {})


def run(cloud: Cloud, build: Build) -> None:
    """Do all of it; the reason of a failure is told in the build."""
    lines = Lines(cloud)
    stream = Stream(build.region, build.project["serviceRole"], build.group, build.stream)

    def log(text: str) -> None:
        lines.add(stream, [text])

    status = "SUCCEEDED"
    try:
        build.enter("QUEUED")
        build.enter("PROVISIONING")
        with tempfile.TemporaryDirectory(dir=cloud.folder, prefix="build-", ignore_cleanup_errors=True) as name:
            _steps(cloud, build, Path(name), log)
    except FailedError as error:
        status = error.status
        build.leave(status, error.code, error.words)
        log(f"[Container] Phase context status code: {error.code} Message: {error.words}")
    except Exception as error:  # noqa: BLE001  (a build that never ends would be worse)
        status = "FAULT"
        build.leave(status, "INTERNAL_SERVICE_ERROR", f"the stand-in failed: {error!r}")
    lines.end()
    build.enter("COMPLETED")
    build.status = status


def _steps(cloud: Cloud, build: Build, folder: Path, log: Log) -> None:
    build.enter("DOWNLOAD_SOURCE")
    source = folder / "src"
    _fetch(cloud, build, source)
    spec = _buildspec(build, source)
    environment = _environment(cloud, build, folder, spec)
    failure: FailedError | None = None
    for name, phase in _PHASES.items():
        build.enter(phase)
        # What comes after a failed build is still done, after anything else that failed nothing is.
        if failure and not (phase == "POST_BUILD" and build.phases[-2]["phaseType"] == "BUILD"):
            break
        commands = spec["phases"].get(name, {}).get("commands", [])
        try:
            with _shell(list(map(str, commands)), source, environment) as process:
                _follow(cloud, build, process, log)
                _judge(process, folder / "failed", commands)
        except FailedError as error:
            if error.status != "FAILED":
                raise
            failure = failure or error
            build.leave("FAILED", error.code, error.words)
    if failure:
        raise failure
    build.enter("UPLOAD_ARTIFACTS")
    build.enter("FINALIZING")


def _fetch(cloud: Cloud, build: Build, source: Path) -> None:
    bucket, _, key = build.location.removeprefix("arn:aws:s3:::").partition("/")
    try:
        role = build.project["serviceRole"]
        content = cloud.client("s3", build.region, role).get_object(Bucket=bucket, Key=key)["Body"].read()
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            packed.extractall(source)
    except ClientError as error:
        told = error.response["Error"]
        raise FailedError("CLIENT_ERROR", f"{told['Code']}: {told['Message']} for primary source") from error
    except (zipfile.BadZipFile, OSError) as error:
        raise FailedError("CLIENT_ERROR", f"the source is no zip: {error} for primary source") from error


def _buildspec(build: Build, source: Path) -> dict[str, Any]:
    """Given in the call, in the project, or as a file in the source."""
    text = build.told.get("buildspecOverride") or build.project["source"].get("buildspec", "")
    if "\n" not in text:
        try:
            text = (source / (text or "buildspec.yml")).read_text(encoding="utf-8")
        except OSError as error:
            raise FailedError("YAML_FILE_ERROR", "YAML file does not exist") from error
    try:
        spec = yaml.safe_load(text)
        if not isinstance(spec, dict) or not isinstance(spec.get("phases"), dict):
            raise FailedError("YAML_FILE_ERROR", "phases is required in a buildspec")
    except yaml.YAMLError as error:
        raise FailedError("YAML_FILE_ERROR", f"cannot parse the buildspec: {error}") from error
    return spec


def _environment(cloud: Cloud, build: Build, folder: Path, spec: Mapping[str, Any]) -> dict[str, str]:
    shims = folder / "bin"
    shims.mkdir()
    # What Python finds in the source's folder is the image's, not these programs'.
    begin = f"PYTHONPATH={shlex.quote(os.pathsep.join(filter(None, sys.path)))} exec {shlex.quote(sys.executable)} -P"
    for name in ("docker", "aws"):
        code = f"import sys; from dogbreed.rehearse.images_docker import {name}; sys.exit({name}(sys.argv[1:]))"
        (shims / name).write_text(f'#!/bin/sh\n{begin} -c {shlex.quote(code)} "$@"\n', encoding="utf-8")
        (shims / name).chmod(0o755)
    (folder / "docker").mkdir()
    key, secret, token = cloud.credentials(build.project["serviceRole"], f"AWSCodeBuild-{build.stream}")
    kept = {name: os.environ[name] for name in images_buildah.VARIABLES if name in os.environ}
    given = {str(name): str(value) for name, value in (spec.get("env") or {}).get("variables", {}).items()}
    return (
        given
        | build.variables
        | kept
        | {
            "PATH": f"{shims}:/usr/local/bin:/usr/bin:/bin",
            "HOME": os.fspath(folder),
            "LANG": "C.UTF-8",
            "AWS_ENDPOINT_URL": cloud.url,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_SESSION_TOKEN": token,
            "AWS_REGION": build.region,
            "AWS_DEFAULT_REGION": build.region,
            "CODEBUILD_BUILD_ID": build.id,
            "REHEARSE_FAILED": os.fspath(folder / "failed"),
            images_docker.FOLDER: os.fspath(folder / "docker"),
        }
    )


@contextmanager
def _shell(commands: list[str], source: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The commands of a phase, in a group of their own, all of which is gone afterwards."""
    process = subprocess.Popen(
        ["bash", "-c", _SHELL, "bash", *commands],
        cwd=source,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout:
            process.stdout.close()


def _follow(cloud: Cloud, build: Build, process: subprocess.Popen[bytes], log: Log) -> None:
    """Read its lines to the end; FailedError when it is stopped or takes too long."""
    assert process.stdout
    reading = threading.Thread(target=_read, args=[process.stdout, log], daemon=True)
    reading.start()
    minutes = build.minutes
    late = cloud.clock.time() + 60 * minutes
    while process.poll() is None:
        if build.stop.wait(_LOOK_S):
            raise FailedError("", "", "STOPPED")
        if cloud.clock.time() > late:
            raise FailedError("BUILD_TIMED_OUT", f"Build has timed out. {minutes} minutes", "TIMED_OUT")
    reading.join()


def _read(stream: IO[bytes], log: Log) -> None:
    for line in stream:
        log(line.decode(errors="replace").rstrip("\r\n"))


def _judge(process: subprocess.Popen[bytes], failed: Path, commands: list[str]) -> None:
    if process.returncode:
        command = failed.read_text(encoding="utf-8") if failed.exists() else (commands or ["bash"])[-1]
        words = f"Error while executing command: {command}. Reason: exit status {process.returncode}"
        raise FailedError("COMMAND_EXECUTION_ERROR", words)
