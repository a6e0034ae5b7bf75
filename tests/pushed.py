"""Pushes images of a few files to the stand-in's registry, with no engine that builds containers."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar"


def push(
    ecr: Any,
    repository: str,
    files: Mapping[str, bytes],
    variables: Mapping[str, str],
    tag: str,
    *,
    plain: bool = False,
) -> str:
    """Push an image of these files and variables, its layer gzipped or `plain`; its digest."""
    config = json.dumps({"config": {"Env": [f"{name}={value}" for name, value in variables.items()]}}).encode()
    layer = tarred(files) if plain else packed(files)
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": upload(ecr, repository, config) | {"mediaType": _CONFIG},
        "layers": [upload(ecr, repository, layer) | {"mediaType": _LAYER if plain else f"{_LAYER}.gzip"}],
    }
    told = {"imageManifest": json.dumps(manifest), "imageManifestMediaType": _MANIFEST, "imageTag": tag}
    return str(ecr.put_image(repositoryName=repository, **told)["image"]["imageId"]["imageDigest"])


def upload(ecr: Any, repository: str, content: bytes) -> dict[str, Any]:
    """Upload a part of an image; its digest and size, as a manifest names them."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    named = {"repositoryName": repository}
    named["uploadId"] = ecr.initiate_layer_upload(**named)["uploadId"]
    ecr.upload_layer_part(**named, partFirstByte=0, partLastByte=len(content) - 1, layerPartBlob=content)
    ecr.complete_layer_upload(**named, layerDigests=[digest])
    return {"digest": digest, "size": len(content)}


def tarred(files: Mapping[str, bytes]) -> bytes:
    """A tar of the files, by their paths."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for path, body in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(body)
            tar.addfile(entry, io.BytesIO(body))
    return raw.getvalue()


def packed(files: Mapping[str, bytes]) -> bytes:
    """The same, gzipped; the same bytes for the same files."""
    return gzip.compress(tarred(files), compresslevel=1, mtime=0)
