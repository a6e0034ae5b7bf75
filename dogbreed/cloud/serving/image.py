"""The service's image in the account: its repository, and where it is not there yet, its build by CodeBuild.

    resources(aws)    what it takes that the image is there, in the order in which it is made; after the bucket
    uri(aws)          what to run: ACCOUNT.dkr.ecr.REGION.amazonaws.com/PROJECT:TAG
    everything(aws)   what of it can be in the account

The image is for Linux on x86_64 and, by itself, holds no model; it is the same for everybody with this dogbreed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dogbreed.cloud.policies_serving import IMAGE_BUILD
from dogbreed.cloud.roles import Role
from dogbreed.cloud.serving.image_build import BuildProject, Image, logs
from dogbreed.cloud.serving.image_context import Context, context
from dogbreed.cloud.serving.image_repository import Repository
from dogbreed.cloud.session import Aws

if TYPE_CHECKING:
    from dogbreed.plan import Resource


def resources(
    aws: Aws, built: Context | None = None, tell: Callable[[str], None] = lambda words: None
) -> list[Resource]:
    """What it takes; looks whether the image is there, and if so, leaves out what only building takes.

    The bucket must be there, or stand before these in a plan. `built`: from what, if not from `context()`; `tell` is
    given the lines of the build.
    """
    repository = Repository(aws)
    image = Image(aws, repository, built or context(), tell)
    if image.find():
        return [repository, image]
    role = Role(aws, IMAGE_BUILD)
    return [role, repository, logs(aws), BuildProject(aws, role.arn), image]


def uri(aws: Aws, built: Context | None = None) -> str:
    """What SageMaker, Lambda and machines are told to run."""
    return f"{Repository(aws).uri}:{(built or context()).tag}"


def everything(aws: Aws) -> list[Resource]:
    """For status and destroy; images go with their repository."""
    role = Role(aws, IMAGE_BUILD)
    return [role, Repository(aws), logs(aws), BuildProject(aws, role.arn)]
