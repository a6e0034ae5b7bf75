"""The door ec2 with a service that only starts, which is all that making, renewing and removing machines takes."""

from __future__ import annotations

import json

from deployed import TINY, pushed
from pushed import upload

from dogbreed import plan
from dogbreed.cloud import inventory
from dogbreed.cloud.serving.group import Group
from dogbreed.cloud.session import Aws

_IMAGE = "of-tests"


def image(aws: Aws) -> str:
    """The small service as an image that machines can run; its address."""
    first, ecr = pushed(aws, TINY, _IMAGE), aws.client("ecr")
    (found,) = ecr.batch_get_image(repositoryName=_IMAGE, imageIds=[{"imageTag": "1"}])["images"]
    manifest, kind = json.loads(found["imageManifest"]), found["imageManifestMediaType"]
    config = {"Env": ["PYTHONPATH=/opt/dogbreed"], "Entrypoint": ["python", "-m", "dogbreed"]}
    manifest["config"] |= upload(ecr, _IMAGE, json.dumps({"config": config}).encode())
    told = {"imageManifest": json.dumps(manifest), "imageManifestMediaType": kind, "imageTag": "2"}
    ecr.put_image(repositoryName=_IMAGE, **told)
    return f"{first.removesuffix(':1')}:2"


def destroy(aws: Aws) -> None:
    """As `dogbreed destroy --data` does."""
    for _ in inventory.carry_out(plan.teardown(inventory.resources(aws, data=True)), wait_s=300):
        pass


def left(aws: Aws) -> list[str]:
    """What the inventory and the tags still show, but for the image of these tests."""
    rows = [row.resource.name for row in inventory.look(inventory.resources(aws, data=True))]
    return rows + [arn for arn in inventory.unaccounted(inventory.tagged(aws), []) if _IMAGE not in arn]


def versions(aws: Aws) -> set[str]:
    """The versions of the launch template that the machines of the group were started from."""
    seen = Group(aws).seen() or {"Instances": []}
    return {str(one["LaunchTemplate"]["Version"]) for one in seen["Instances"]}
