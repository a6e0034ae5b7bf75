"""The build of the image in the account, by CodeBuild: a project that holds the steps, and one build for each image."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any

from botocore.exceptions import ClientError

from dogbreed.cloud.bucket import CODE
from dogbreed.cloud.errors import code, is_missing
from dogbreed.cloud.roles import PROPAGATION_S
from dogbreed.cloud.serving.image_context import Context
from dogbreed.cloud.serving.image_repository import Repository
from dogbreed.cloud.serving.log_group import ServiceLogs
from dogbreed.cloud.session import Aws, pairs, unpaired
from dogbreed.cloud.storage import Store
from dogbreed.errors import DogbreedError
from dogbreed.plan import Found, Resource
from dogbreed.pricing import Figure, Prices

# The smallest machine that CodeBuild has: 2 processors, and what the table of prices calls it.
_COMPUTE, _PRICE = "BUILD_GENERAL1_SMALL", "codebuild_general1_small_minute"
_PRICED_REGION = "us-east-1"
_BUILD_IMAGE = "aws/codebuild/amazonlinux-x86_64-standard:6.0"
# A build takes some three minutes; one that hangs is ended by CodeBuild.
MINUTES = 15
_LOOKS_AT = 20  # the newest builds, to find one that runs already
_LAST_LINES = 8
_AGAIN_S = 2.0
# All in one phase, whose first failure ends it; CodeBuild runs later phases also after a failed build.
_STEPS = """version: 0.2
phases:
  build:
    commands:
      - aws ecr get-login-password | docker login --username AWS --password-stdin "${REPOSITORY%%/*}"
      - docker build --platform linux/amd64 --tag "$REPOSITORY:$TAG" .
      - docker push "$REPOSITORY:$TAG"
"""


def price(region: str) -> Figure | None:
    """A minute of building; that of another region where this one's is not in the table, None if neither is."""
    prices = Prices.load()
    return prices.other(_PRICE, region) or prices.other(_PRICE, _PRICED_REGION)


def ceiling(region: str) -> Decimal | None:
    """The most that one build can cost, in US dollars; None where the region's price is not known."""
    figure = price(region)
    return figure.usd * MINUTES if figure and figure.region == region else None


def logs(aws: Aws) -> ServiceLogs:
    """Where builds write; CodeBuild itself would keep that for ever."""
    return ServiceLogs(aws, f"/aws/codebuild/{aws.name('image')}")


class BuildProject(Resource):
    """`p-image`: how an image is built; which one, each build says. `role` is an ARN."""

    kind = "build project"

    def __init__(self, aws: Aws, role: str) -> None:
        self._aws = aws
        self._role = role
        self.name = aws.name("image")

    def wanted(self) -> Mapping[str, Any]:
        """Everything about it."""
        return {
            "source": {"type": "S3", "location": f"{self._aws.bucket}/{CODE}image.zip", "buildspec": _STEPS},
            "artifacts": {"type": "NO_ARTIFACTS"},
            "environment": {
                "type": "LINUX_CONTAINER",
                "image": _BUILD_IMAGE,
                "computeType": _COMPUTE,
                # Docker runs inside.
                "privilegedMode": True,
            },
            "serviceRole": self._role,
            "timeoutInMinutes": MINUTES,
            "logsConfig": {"cloudWatchLogs": {"status": "ENABLED", "groupName": f"/aws/codebuild/{self.name}"}},
            "tags": self._aws.tags("image-build"),
        }

    def find(self) -> Found | None:
        """Look at it; of what AWS adds by itself nothing is compared."""
        projects = self._codebuild.batch_get_projects(names=[self.name])["projects"]
        if not projects:
            return None
        told = projects[0]
        tags = unpaired(told.get("tags"))
        content = {key: _as_wanted(told.get(key), value) for key, value in self.wanted().items()}
        content["tags"] = self._aws.seen(tags, "image-build")
        return Found(told["arn"], content, ours=self._aws.is_ours(tags), created=told.get("created"))

    def create(self) -> None:
        """Make it; IAM may not have told CodeBuild of the role yet."""
        try:
            self._send(self._codebuild.create_project)
        except ClientError as error:
            if code(error) != "ResourceAlreadyExistsException":
                raise

    def update(self, found: Found) -> None:
        """Send all of it anew."""
        self._send(self._codebuild.update_project)

    def delete(self, found: Found) -> None:
        """Remove it and the records of its builds; one that runs is ended, so that nothing is pushed afterwards."""
        for build in running(self._aws, self.name):
            with suppress(ClientError):
                self._codebuild.stop_build(id=build["id"])
        self._codebuild.delete_project(name=self.name)

    def _send(self, call: Callable[..., Any]) -> None:
        content = dict(self.wanted())
        content["tags"] = pairs(content["tags"], "key", "value")
        deadline = time.monotonic() + PROPAGATION_S
        while True:
            try:
                call(name=self.name, description="Builds the image of dogbreed's service", **content)
                return
            except ClientError as error:
                fresh = code(error) == "InvalidInputException" and "sts:AssumeRole" in str(error)
                if not fresh or time.monotonic() > deadline:
                    raise
            time.sleep(_AGAIN_S)

    @property
    def _codebuild(self) -> Any:
        return self._aws.client("codebuild")


class Image(Resource):
    """The image that `built` gives, under its tag. `tell` is given the lines of its build."""

    kind = "image"

    def __init__(self, aws: Aws, repository: Repository, built: Context, tell: Callable[[str], None]) -> None:
        self._aws = aws
        self._repository = repository
        self._built = built
        self._tell = tell
        self._project = aws.name("image")
        self._build = ""
        self._next: dict[str, str] = {}
        self._last: list[str] = []
        self.tag = built.tag
        self.name = f"{repository.name}:{self.tag}"

    def find(self) -> Found | None:
        """Whether its tag is in the repository."""
        try:
            told = self._aws.client("ecr").describe_images(
                repositoryName=self._repository.name, imageIds=[{"imageTag": self.tag}]
            )["imageDetails"]
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        if not told:
            return None
        one = told[0]
        if "oci" in one.get("imageManifestMediaType", ""):
            remove = f"aws ecr batch-delete-image --repository-name {self._repository.name}"
            raise DogbreedError(
                f"image {self.name} has the OCI form, which SageMaker refuses: a newer Docker has pushed it",
                f"{remove} --image-ids imageTag={self.tag}, then dogbreed image build --engine codebuild",
            )
        return Found(one["imageDigest"], {"bytes": one.get("imageSizeInBytes", 0)}, created=one.get("imagePushedAt"))

    def create(self) -> None:
        """Start its build, or go on with one that an interrupted command has started."""
        going = [build for build in running(self._aws, self._project) if _tag(build) == self.tag]
        self._build = going[0]["id"] if going else self._start()
        self._tell(f"build {self._build}")

    def ready(self) -> bool:
        """Tell what the build has said since; DogbreedError with its reason and last lines when it has failed."""
        if not self._build:
            return self.find() is not None
        # Asked before its log is read, so that the last lines are not missed.
        build = self._codebuild.batch_get_builds(ids=[self._build])["builds"][0]
        self._follow(build)
        if build["buildStatus"] == "IN_PROGRESS":
            return False
        there = self.find() is not None
        # A tag is written once: where two commands have built the same, the second is refused, and all is well.
        if build["buildStatus"] != "SUCCEEDED" and not there:
            raise self._failed(build)
        if not there:
            raise DogbreedError(f"build {self._build} ended well, but {self.name} is not there", "repeat the command")
        return True

    def delete(self, found: Found) -> None:
        """Remove this one."""
        with suppress(self._aws.client("ecr").exceptions.RepositoryNotFoundException):
            self._aws.client("ecr").batch_delete_image(
                repositoryName=self._repository.name, imageIds=[{"imageTag": self.tag}]
            )

    @property
    def _codebuild(self) -> Any:
        return self._aws.client("codebuild")

    def _start(self) -> str:
        store, key = Store(self._aws), f"{CODE}image/{self.tag}.zip"
        if not store.exists(key):
            store.put(key, self._built.zip())
        variables = {"REPOSITORY": self._repository.uri, "TAG": self.tag, "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
        given = [{"name": name, "value": value, "type": "PLAINTEXT"} for name, value in variables.items()]
        return str(
            self._codebuild.start_build(
                projectName=self._project,
                sourceLocationOverride=f"{self._aws.bucket}/{key}",
                environmentVariablesOverride=given,
            )["build"]["id"]
        )

    def _follow(self, build: Mapping[str, Any]) -> None:
        where = build.get("logs", {})
        if not where.get("streamName"):
            return
        with suppress(self._aws.client("logs").exceptions.ResourceNotFoundException):
            while True:
                page = self._aws.client("logs").get_log_events(
                    logGroupName=where["groupName"], logStreamName=where["streamName"], startFromHead=True, **self._next
                )
                for event in page["events"]:
                    line = event["message"].rstrip()
                    self._last = [*self._last, line][-_LAST_LINES:]
                    self._tell(line)
                token = {"nextToken": page["nextForwardToken"]}
                if token == self._next or not page["events"]:
                    self._next = token
                    return
                self._next = token

    def _failed(self, build: Mapping[str, Any]) -> DogbreedError:
        said = [
            context.get("message", "") for phase in build.get("phases", []) for context in phase.get("contexts", [])
        ]
        reason = next((words for words in said if words.strip()), "") or build["buildStatus"].lower().replace("_", " ")
        lines = "".join(f"\n  {line}" for line in self._last)
        return DogbreedError(
            f"the image was not built: {reason}{lines}",
            f"see the log group /aws/codebuild/{self._project}; then repeat",
        )


def running(aws: Aws, project: str) -> list[dict[str, Any]]:
    """The builds of a project that have not ended, newest first; none where there is no such project."""
    codebuild = aws.client("codebuild")
    try:
        ids = codebuild.list_builds_for_project(projectName=project, sortOrder="DESCENDING")["ids"][:_LOOKS_AT]
    except ClientError as error:
        if is_missing(error):
            return []
        raise
    builds = codebuild.batch_get_builds(ids=ids)["builds"] if ids else []
    return [build for build in builds if build["buildStatus"] == "IN_PROGRESS"]


def _tag(build: Mapping[str, Any]) -> str:
    given = build.get("environment", {}).get("environmentVariables", [])
    return next((one["value"] for one in given if one["name"] == "TAG"), "")


def _as_wanted(told: Any, wanted: Any) -> Any:
    """Of a mapping, what is wanted of it."""
    if isinstance(told, Mapping) and isinstance(wanted, Mapping):
        return {key: _as_wanted(told.get(key), value) for key, value in wanted.items()}
    return told
