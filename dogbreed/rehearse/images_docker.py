"""The commands `docker` and `aws` of a build in the stand-in: what a buildspec uses of them.

`docker build` makes what `images_dockerfile` makes of a Dockerfile, and `docker push` sends it to the stand-in's ECR by
its API, part by part, with the build's own credentials; Docker's registry protocol is not spoken. `aws` is the command
that machines have, and `aws ecr get-login-password`.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from dogbreed.rehearse import images_buildah, images_dockerfile
from dogbreed.rehearse.images_dockerfile import DockerfileError

# Where images and logins of one build are.
FOLDER = "REHEARSE_DOCKER"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
_ECR = re.compile(r"\d{12}\.dkr\.ecr\.(?P<region>[\w-]+)\.amazonaws\.com(?:\.cn)?/(?P<name>[^:@]+):(?P<tag>[\w.-]+)")
_PART = 8 * 2**20


def say(text: str, stream: int = 1) -> None:
    """Write to standard output or error."""
    data = text.encode()
    while data:
        data = data[os.write(stream, data) :]


def aws(words: list[str]) -> int:
    """Run `aws` with these words; the exit code."""
    from dogbreed.rehearse import aws_command

    if words[:2] != ["ecr", "get-login-password"]:
        return aws_command.main(words)
    told = _client(words[words.index("--region") + 1] if "--region" in words else None).get_authorization_token()
    token = base64.b64decode(told["authorizationData"][0]["authorizationToken"]).decode()
    say(f"{token.split(':', 1)[1]}\n")
    return 0


def docker(words: list[str]) -> int:
    """Run `docker` with these words; the exit code."""
    commands = {"version": _version, "login": _login, "logout": _logout, "build": _build, "tag": _tag, "push": _push}
    commands["image"] = _inspect
    if not words or words[0] not in commands:
        say(f"docker: the stand-in's docker knows {', '.join(commands)}\n", 2)
        return 1
    try:
        commands[words[0]](words[1:])
    except DockerfileError as error:
        say(f"ERROR: {error}\n", 2)
        return 1
    return 0


def _login(words: list[str]) -> None:
    password = sys.stdin.read().strip() if "--password-stdin" in words else ""
    if not password:
        raise DockerfileError("Error: Cannot perform an interactive login from a non TTY device")
    (_folder() / "logins").open("a").write(f"{words[-1]}\n")
    say("Login Succeeded\n")


def _logout(words: list[str]) -> None:
    (_folder() / "logins").unlink(missing_ok=True)
    say(f"Removing login credentials for {words[-1]}\n")


def _version(words: list[str]) -> None:
    say("28.0.0\n")


def _tag(words: list[str]) -> None:
    folder = _image(words[0])
    if not folder.exists():
        raise DockerfileError(f"No such image: {words[0]}")
    shutil.copytree(folder, _image(words[1]), dirs_exist_ok=True)


def _inspect(words: list[str]) -> None:
    if not (folder := _image(words[-1])).exists():
        raise DockerfileError(f"No such image: {words[-1]}")
    say(f"{_digest((folder / 'config').read_bytes())}\n")


def _build(words: list[str]) -> None:
    given: dict[str, list[str]] = {}
    rest = []
    words = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    while words:
        word = words.pop(0)
        if word.startswith("-") and words:
            given.setdefault({"-t": "--tag"}.get(word, word), []).append(words.pop(0))
        else:
            rest.append(word)
    if len(rest) != 1:
        raise DockerfileError("docker build requires 1 argument, the folder")
    arguments = dict(pair.split("=", 1) for pair in given.get("--build-arg", []) if "=" in pair)
    with tempfile.TemporaryDirectory() as work:
        stage = images_dockerfile.make(Path(rest[0]), arguments, Path(work), lambda line: say(f"{line}\n"))
        layer = _layer(stage.folder)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": stage.config,
        "rootfs": {"type": "layers", "diff_ids": [_digest(gzip.decompress(layer))]},
        "history": [{"created_by": "the stand-in, which leaves out the base image and RUN"}],
    }
    if os.environ.get(images_buildah.BASE) and images_buildah.build(Path(rest[0]), _digest(layer)):
        raise DockerfileError("buildah failed")
    for tag in given.get("--tag", []):
        folder = _image(tag)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "layer").write_bytes(layer)
        (folder / "config").write_text(json.dumps(config, sort_keys=True), encoding="utf-8")
        say(f"Successfully tagged {tag}\n")


def _push(words: list[str]) -> None:
    tag = words[-1]
    found = _ECR.fullmatch(tag)
    if not found:
        raise DockerfileError(f"{tag} is in no registry that the stand-in has")
    logins = _folder() / "logins"
    if tag.split("/")[0] not in (logins.read_text().split() if logins.exists() else []):
        raise DockerfileError("no basic auth credentials")
    if not (folder := _image(tag)).exists():
        raise DockerfileError(f"An image does not exist locally with the tag: {tag.rsplit(':', 1)[0]}")
    layer, config = (folder / "layer").read_bytes(), (folder / "config").read_bytes()
    from botocore.exceptions import ClientError

    try:
        ecr = _client(found["region"])
        for content in (layer, config):
            _upload(ecr, found["name"], content)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": CONFIG_TYPE, "size": len(config), "digest": _digest(config)},
            "layers": [{"mediaType": LAYER_TYPE, "size": len(layer), "digest": _digest(layer)}],
        }
        text = json.dumps(manifest)
        ecr.put_image(
            repositoryName=found["name"],
            imageManifest=text,
            imageManifestMediaType=MANIFEST_TYPE,
            imageTag=found["tag"],
            imageDigest=_digest(text.encode()),
        )
    except ClientError as error:
        raise DockerfileError(f"denied: {error.response['Error']['Message']}") from error
    say(f"{found['tag']}: digest: {_digest(text.encode())} size: {len(text)}\n")


def _upload(ecr: Any, repository: str, content: bytes) -> None:
    there = ecr.batch_check_layer_availability(repositoryName=repository, layerDigests=[_digest(content)])
    if any(layer["layerAvailability"] == "AVAILABLE" for layer in there["layers"]):
        say(f"{_digest(content)[7:19]}: Layer already exists\n")
        return
    upload = ecr.initiate_layer_upload(repositoryName=repository)["uploadId"]
    for first in range(0, len(content), _PART):
        part = content[first : first + _PART]
        ecr.upload_layer_part(
            repositoryName=repository,
            uploadId=upload,
            partFirstByte=first,
            partLastByte=first + len(part) - 1,
            layerPartBlob=part,
        )
    ecr.complete_layer_upload(repositoryName=repository, uploadId=upload, layerDigests=[_digest(content)])
    say(f"{_digest(content)[7:19]}: Pushed\n")


def _layer(folder: Path) -> bytes:
    """All files as a gzipped tar; equal files give equal bytes."""
    raw = io.BytesIO()
    packed = gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1, mtime=0, filename="")
    with packed, tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
                entry.size, entry.mode = path.stat().st_size, 0o644
                with path.open("rb") as content:
                    tar.addfile(entry, content)
    return raw.getvalue()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _folder() -> Path:
    return Path(os.environ[FOLDER])


def _image(tag: str) -> Path:
    return _folder() / "images" / hashlib.sha256(tag.encode()).hexdigest()[:16]


def _client(region: str | None) -> Any:
    import boto3

    return boto3.client("ecr", region_name=region)
