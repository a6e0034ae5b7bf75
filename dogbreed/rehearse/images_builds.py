"""CodeBuild in the stand-in: builds that run; projects are moto's, but for what it does not check or cannot change."""

from __future__ import annotations

import threading
import uuid
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse.calls import PASS, AwsError
from dogbreed.rehearse.images_run import Build, run
from dogbreed.rehearse.trust import trusted

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call, Passed
    from dogbreed.rehearse.cloud import Cloud, Handler

_END_S = 10.0
_AT_ONCE = 20  # builds that run, in a new account


class Builds:
    """All builds of the account."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._builds: dict[str, Build] = {}
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    # -- projects

    def create(self, call: Call) -> Passed:
        """CreateProject: CodeBuild must be able to assume the role; the rest does moto."""
        self._check_role(call, call.params["serviceRole"])
        return PASS

    def update(self, call: Call) -> dict[str, Any]:
        """UpdateProject: what is given takes the place of what was there."""
        project = self._project(call.region, call.params.get("name", ""))
        if role := call.params.get("serviceRole"):
            self._check_role(call, role)
        project.update({name: value for name, value in call.params.items() if name != "name"})
        return {"project": project}

    def delete(self, call: Call) -> dict[str, Any]:
        """DeleteProject; one that is not there is no error, and the records of builds go with it."""
        projects = self._cloud.moto("codebuild", call.region).codebuild_projects
        projects.pop(call.params["name"], None)
        with self._lock:
            for build in self._of(call.region, call.params["name"]):
                build.stop.set()
                del self._builds[build.id]
        return {}

    # -- builds

    def start(self, call: Call) -> dict[str, Any]:
        """StartBuild."""
        project = self._project(call.region, call.params["projectName"])
        with self._lock:
            number = 1 + max((build.number for build in self._of(call.region, project["name"])), default=0)
            if sum(not build.over for build in self._builds.values()) >= _AT_ONCE:
                words = f"Cannot have more than {_AT_ONCE} builds in queue for the account"
                raise AwsError("AccountLimitExceededException", words)
            name, clock = f"{project['name']}:{uuid.uuid4()}", self._cloud.clock
            build = Build(name, call.region, number, dict(project), dict(call.params), call.who, clock.now)
            self._builds[build.id] = build
            build.enter("SUBMITTED")
            thread = threading.Thread(target=run, args=[self._cloud, build], daemon=True)
            thread.start()
            self._threads = [*(one for one in self._threads if one.is_alive()), thread]
        return {"build": build.describe()}

    def describe(self, call: Call) -> dict[str, Any]:
        """BatchGetBuilds."""
        wanted = call.params["ids"]
        found = [self._builds[name] for name in wanted if name in self._builds]
        there = [build for build in found if build.region == call.region]
        missing = [name for name in wanted if name not in {build.id for build in there}]
        return {"builds": [build.describe() for build in there], "buildsNotFound": missing}

    def listed(self, call: Call) -> dict[str, Any]:
        """ListBuildsForProject and ListBuilds, newest first unless asked otherwise."""
        name = call.params.get("projectName", "")
        if call.operation == "ListBuildsForProject":
            self._project(call.region, name)
        ids = [build.id for build in self._of(call.region, name)]
        return {"ids": ids if call.params.get("sortOrder") == "ASCENDING" else ids[::-1]}

    def stop(self, call: Call) -> dict[str, Any]:
        """StopBuild."""
        build = self._builds.get(call.params["id"])
        if build is None or build.region != call.region:
            raise AwsError("ResourceNotFoundException", f"Build {call.params['id']} does not exist")
        build.stop.set()
        return {"build": build.describe()}

    def status(self) -> dict[str, Any]:
        """What runs."""
        return {"builds": [build.id for build in list(self._builds.values()) if not build.over]}

    def end(self) -> None:
        """End every build at once."""
        for build in list(self._builds.values()):
            build.stop.set()
        for thread in self._threads:
            thread.join(_END_S)
        self._threads.clear()
        self._builds.clear()

    # -- helpers

    def _of(self, region: str, name: str = "") -> list[Build]:
        """Oldest first."""
        builds = list(self._builds.values())
        return [build for build in builds if build.region == region and name in ("", build.project["name"])]

    def _project(self, region: str, name: str) -> dict[str, Any]:
        known = self._cloud.moto("codebuild", region).codebuild_projects.get(name)
        if known is None:
            arn = f"arn:aws:codebuild:{region}:{self._cloud.account}:project/{name}"
            raise AwsError("ResourceNotFoundException", f"Project cannot be found: {arn}")
        project: dict[str, Any] = known.project_metadata
        return project

    def _check_role(self, call: Call, arn: str) -> None:
        """The caller hands the role on, and CodeBuild must be let in by it."""
        self._cloud.need(call, "iam:PassRole", arn)
        if not trusted(self._cloud, arn, "codebuild.amazonaws.com"):
            words = f"CodeBuild is not authorized to perform: sts:AssumeRole on {arn}"
            raise AwsError("InvalidInputException", words)


def add(cloud: Cloud) -> None:
    """Register with the cloud."""
    builds = Builds(cloud)
    operations: dict[str, Handler] = {
        "CreateProject": builds.create,
        "UpdateProject": builds.update,
        "DeleteProject": builds.delete,
        "StartBuild": builds.start,
        "BatchGetBuilds": builds.describe,
        "ListBuilds": builds.listed,
        "ListBuildsForProject": builds.listed,
        "StopBuild": builds.stop,
    }
    for operation, function in operations.items():
        cloud.handle("codebuild", operation, function)
    cloud.on_reset(builds.end)
    cloud.on_status(builds.status)
