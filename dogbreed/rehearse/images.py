"""ECR and CodeBuild of the stand-in: images that really hold files, built from a Dockerfile and pushed part by part.

    code(cloud, uri)          the folder with the package `dogbreed` out of an image, for PYTHONPATH
    environment(cloud, uri)   the variables that the image sets
    root(cloud, uri)          its whole file system, where builds are real (see `images_buildah`)

All are None where there is no such image.
`uri` is `ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG` or `...@sha256:...` of this account. What an image of the
stand-in holds says `images_dockerfile`; Docker's registry protocol is not spoken, ECR's own API is.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tarfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from dogbreed.rehearse import images_buildah, images_builds
from dogbreed.rehearse.calls import AwsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud

_URI = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/(?P<name>[^:@]+)"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64})|:(?P<tag>[\w.-]+))"
)
_PACKAGE, _PATH = "dogbreed", "PYTHONPATH"
_unpacking = threading.Lock()


def code(cloud: Cloud, uri: str) -> Path | None:
    """The folder with the package out of an image; None where there is no such image, or no package in it."""
    top, variables = _root(cloud, uri)
    if top is None:
        return None
    places = [top / place.lstrip("/") for place in variables.get(_PATH, "").split(":")]
    return next((place for place in places if (place / _PACKAGE).is_dir()), None)


def environment(cloud: Cloud, uri: str) -> dict[str, str] | None:
    """The variables of an image, but for the path of its own modules; None where there is no such image."""
    top, variables = _root(cloud, uri)
    return None if top is None else {name: value for name, value in variables.items() if name != _PATH}


def files(cloud: Cloud, uri: str) -> Path | None:
    """The folder with all files that the image puts onto its base; None where there is no such image."""
    return _root(cloud, uri)[0]


def root(cloud: Cloud, uri: str) -> Path | None:
    """The whole file system of an image, base and packages too; None where it is not there or builds are not real."""
    manifest = _manifest(cloud, uri)
    return images_buildah.root(manifest["layers"][-1]["digest"]) if manifest else None


def settings(cloud: Cloud, uri: str) -> dict[str, Any]:
    """What an image that has a `root` is to be run with, in Docker's words: Env, Entrypoint, User, WorkingDir ..."""
    manifest = _manifest(cloud, uri)
    return images_buildah.settings(manifest["layers"][-1]["digest"]) if manifest else {}


def _told(cloud: Cloud, uri: str) -> dict[str, Any]:
    """The control `image`: where the files of an image are, and what it sets."""
    found = {"code": code(cloud, uri), "files": files(cloud, uri), "root": root(cloud, uri)}
    return {name: path and os.fspath(path) for name, path in found.items()} | {"environment": environment(cloud, uri)}


def _root(cloud: Cloud, uri: str) -> tuple[Path | None, Mapping[str, str]]:
    manifest = _manifest(cloud, uri)
    if manifest is None:
        return None, {}
    folder = _store(cloud)
    top = folder / "roots" / hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    with _unpacking:
        if not top.exists():
            shutil.rmtree(new := top.with_suffix(".new"), ignore_errors=True)
            for layer in manifest["layers"]:
                with tarfile.open(_blob(cloud, layer["digest"])) as tar:
                    tar.extractall(new, filter="data")
            new.rename(top)
    config = json.loads(_blob(cloud, manifest["config"]["digest"]).read_bytes())
    return top, dict(pair.split("=", 1) for pair in config["config"].get("Env", []))


def _manifest(cloud: Cloud, uri: str) -> dict[str, Any] | None:
    found = _URI.fullmatch(uri)
    if not found or found["account"] != cloud.account:
        return None
    named = {"imageDigest": found["digest"]} if found["digest"] else {"imageTag": found["tag"]}
    try:
        told = cloud.client("ecr", found["region"]).batch_get_image(repositoryName=found["name"], imageIds=[named])
    except ClientError:
        return None
    manifest: dict[str, Any] = json.loads(told["images"][0]["imageManifest"]) if told["images"] else {}
    parts = [manifest.get("config", {}), *manifest.get("layers", [])]
    return manifest if all(_blob(cloud, part.get("digest", "")).is_file() for part in parts) else None


class Registry:
    """What moto's ECR leaves out: the bytes of layers, the digest and size of images, and layers that are missing."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._sizes: dict[str, int] = {}

    def part(self, call: Call, answer: dict[str, Any]) -> None:
        """After UploadLayerPart: keep the bytes; moto has seen that they follow on."""
        path = _store(self._cloud) / "uploads" / Path(call.params["uploadId"]).name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(call.params["layerPartBlob"])

    def complete(self, call: Call, answer: dict[str, Any]) -> None:
        """After CompleteLayerUpload: the layer is there, if it is what was said."""
        upload = _store(self._cloud) / "uploads" / Path(call.params["uploadId"]).name
        if answer["layerDigest"] not in call.params["layerDigests"]:
            upload.unlink(missing_ok=True)
            words = f"The digest of the layer is {answer['layerDigest']}, which is none of those that were given"
            raise AwsError("InvalidLayerException", words)
        path = _blob(self._cloud, answer["layerDigest"])
        path.parent.mkdir(parents=True, exist_ok=True)
        upload.replace(path)

    def put(self, call: Call) -> dict[str, Any]:
        """PutImage, whose digest is that of the manifest, and whose parts must be there."""
        told = call.params
        backend = self._cloud.moto("ecr", call.region)
        try:
            repository = backend._get_repository(told["repositoryName"], told.get("registryId"))
            manifest = json.loads(told["imageManifest"])
            digest = f"sha256:{hashlib.sha256(told['imageManifest'].encode()).hexdigest()}"
            if told.get("imageDigest", digest) != digest:
                raise AwsError("ImageDigestDoesNotMatchException", "The image digest does not match the manifest")
            self._check_parts(manifest, repository)
            _check_tag(repository, told.get("imageTag", ""), digest)
            image = backend.put_image(
                told["repositoryName"],
                told["imageManifest"],
                told.get("imageTag"),
                told.get("imageManifestMediaType") or manifest.get("mediaType"),
                digest,
            )
        except ValueError as error:
            raise AwsError("InvalidParameterException", f"Invalid JSON syntax: {error}") from error
        except AwsError:
            raise
        except Exception as error:
            if not (kind := getattr(error, "code", "")):
                raise
            raise AwsError(kind, str(getattr(error, "message", error))) from error
        self._sizes[digest] = sum(part.get("size", 0) for part in (manifest["config"], *manifest["layers"]))
        identity = {"imageDigest": digest} | ({"imageTag": told["imageTag"]} if told.get("imageTag") else {})
        return {
            "image": {
                "registryId": self._cloud.account,
                "repositoryName": told["repositoryName"],
                "imageId": identity,
                "imageManifest": told["imageManifest"],
                "imageManifestMediaType": image.image_manifest_media_type,
            }
        }

    def sized(self, call: Call, answer: dict[str, Any]) -> dict[str, Any]:
        """After DescribeImages: what moto gives as the size is that of the configuration."""
        for image in answer.get("imageDetails", []):
            if image.get("imageDigest") in self._sizes:
                image["imageSizeInBytes"] = self._sizes[image["imageDigest"]]
        return answer

    def end(self) -> None:
        """Forget all images."""
        self._sizes.clear()
        images_buildah.end()
        shutil.rmtree(_store(self._cloud), ignore_errors=True)

    def _check_parts(self, manifest: dict[str, Any], repository: Any) -> None:
        if not isinstance(manifest, dict) or not {"config", "layers"} <= manifest.keys():
            raise AwsError("InvalidParameterException", "The stand-in takes manifests of one image, with its layers.")
        parts = [part.get("digest", "") for part in (manifest["config"], *manifest["layers"])]
        if missing := [digest for digest in parts if digest not in repository.layers]:
            words = f"The specified layers could not be found, or the specified layer is not valid: {missing}"
            raise AwsError("LayersNotFoundException", words)


def _check_tag(repository: Any, tag: str, digest: str) -> None:
    """A fixed tag names the same image for ever; moto says of another one what ECR says of the same."""
    others = [image for image in repository.images if tag in image.image_tags and image.image_digest != digest]
    if others and repository.is_tag_immutable():
        words = f"The image tag '{tag}' already exists in the '{repository.name}' repository and cannot be overwritten"
        raise AwsError("ImageTagAlreadyExistsException", f"{words} because the repository is immutable.")


def add(cloud: Cloud) -> None:
    """Register with the cloud."""
    registry = Registry(cloud)
    cloud.after("ecr", "UploadLayerPart", registry.part)
    cloud.after("ecr", "CompleteLayerUpload", registry.complete)
    cloud.after("ecr", "DescribeImages", registry.sized)
    cloud.handle("ecr", "PutImage", registry.put)
    cloud.control("image", lambda told: _told(cloud, str(told["uri"])))
    cloud.on_reset(registry.end)
    images_builds.add(cloud)


def _store(cloud: Cloud) -> Path:
    return cloud.folder / "images"


def _blob(cloud: Cloud, digest: str) -> Path:
    return _store(cloud) / "blobs" / (digest.removeprefix("sha256:") or "none")
