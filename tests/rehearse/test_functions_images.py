"""Functions out of container images of the stand-in's registry."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile

import boto3
import handlers
import pytest
from botocore.exceptions import ClientError

from dogbreed.rehearse.state import Server

NAME = "hound"
URI = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/{NAME}"
APP = """
import dogbreed, os, pathlib
import numpy

def handler(event, context):
    return [dogbreed.hello, os.environ["DOG"], pathlib.Path(os.environ["DATA"]).read_text(), os.environ["AWS_REGION"]]
"""


def uploaded(content: bytes) -> dict[str, object]:
    ecr = boto3.client("ecr")
    upload = ecr.initiate_layer_upload(repositoryName=NAME)["uploadId"]
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    part = {"partFirstByte": 0, "partLastByte": len(content) - 1, "layerPartBlob": content}
    ecr.upload_layer_part(repositoryName=NAME, uploadId=upload, **part)
    ecr.complete_layer_upload(repositoryName=NAME, uploadId=upload, layerDigests=[digest])
    return {"digest": digest, "size": len(content)}


def pushed(tag: str, files: dict[str, str], variables: dict[str, str]) -> str:
    """An image with these files; its digest."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    config = {"config": {"Env": [f"{name}={value}" for name, value in variables.items()]}}
    told = {"config": uploaded(json.dumps(config).encode()), "layers": [uploaded(layer.getvalue())]}
    told |= {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}
    ecr = boto3.client("ecr")
    image = ecr.put_image(repositoryName=NAME, imageTag=tag, imageManifest=json.dumps(told))["image"]
    return str(image["imageId"]["imageDigest"])


def test_a_function_runs_what_its_image_holds_with_the_packages_of_a_container(either: Server) -> None:
    boto3.client("ecr").create_repository(repositoryName=NAME)
    files = {"opt/dogs/dogbreed/__init__.py": "hello = 1\n", "opt/dogs/app.py": APP, "opt/data/note": "woof"}
    variables = {"PYTHONPATH": "/opt/dogs", "DOG": "rex", "DATA": "/opt/data/note"}
    digest = pushed("1", files, variables)
    made = {"Code": {"ImageUri": f"{URI}:1"}, "PackageType": "Image", "ImageConfig": {"Command": ["app.handler"]}}
    found = handlers.client()
    found.create_function(FunctionName="f", Role=handlers.role(), **made)
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
