"""Functions out of container images of the stand-in's registry."""

from __future__ import annotations

import boto3
import handlers
import pytest
from botocore.exceptions import ClientError
from pushed import push

from dogbreed.rehearse.state import Server

NAME = "hound"
URI = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/{NAME}"
APP = """
import dogbreed, os, pathlib
import numpy

def handler(event, context):
    return [dogbreed.hello, os.environ["DOG"], pathlib.Path(os.environ["DATA"]).read_text(), os.environ["AWS_REGION"]]
"""


def pushed(tag: str, files: dict[str, str], variables: dict[str, str]) -> str:
    """An image with these files, in a layer that is not compressed; its digest."""
    laid = {name: text.encode() for name, text in files.items()}
    return push(boto3.client("ecr"), NAME, laid, variables, tag, plain=True)


def test_a_function_runs_what_its_image_holds_with_the_packages_of_a_container(either: Server) -> None:
    boto3.client("ecr").create_repository(repositoryName=NAME)
    files = {"opt/dogs/dogbreed/__init__.py": "hello = 1\n", "opt/dogs/app.py": APP, "opt/data/note": "woof"}
    variables = {"PYTHONPATH": "/opt/dogs", "DOG": "rex", "DATA": "/opt/data/note"}
    digest = pushed("1", files, variables)
    made = {"Code": {"ImageUri": f"{URI}:1"}, "PackageType": "Image", "ImageConfig": {"Command": ["app.handler"]}}
    found = handlers.client()
    found.create_function(FunctionName="f", Role=handlers.role(), Timeout=60, **made)
    handlers.settled()
    assert handlers.said() == [1, "rex", "woof", "eu-west-1"]
    told = found.get_function(FunctionName="f")
    assert told["Code"]["ResolvedImageUri"] == f"{URI}@{digest}"
    assert told["Configuration"]["CodeSha256"] == digest.removeprefix("sha256:")
    assert told["Configuration"]["ImageConfigResponse"] == {"ImageConfig": {"Command": ["app.handler"]}}
    pushed("2", files | {"opt/dogs/dogbreed/__init__.py": "hello = 2\n"}, variables)
    found.update_function_code(FunctionName="f", ImageUri=f"{URI}:2")
    handlers.settled()
    assert handlers.said()[0] == 2
    with pytest.raises(ClientError, match="does not exist"):
        found.update_function_code(FunctionName="f", ImageUri=f"{URI}:3")
