"""Deployments for tests: Runs that differ, images that need not be built, a plan carried out."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import dogbreed
from dogbreed.cloud.serving import deploying
from dogbreed.cloud.serving.deployment import Deployment
from dogbreed.cloud.session import Aws
from dogbreed.config import DeploySettings
from dogbreed.run import MODEL, STARTER, Run, sealed

# In place of the service, where nobody asks it anything: it starts and ends at once.
_TINY = b"""
import os, signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *words):
        pass

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
where = (os.environ["DOGBREED_SERVE_HOST"], int(os.environ["DOGBREED_SERVE_PORT"]))
ThreadingHTTPServer(where, Handler).serve_forever()
"""
TINY = {"dogbreed/__init__.py": b"", "dogbreed/__main__.py": _TINY}


def another(folder: Path, temperature: float = 2.0) -> Run:
    """Another model: the starter's network, with other probabilities."""
    shutil.copytree(STARTER, folder)
    info = json.loads((folder / MODEL).read_text())
    (folder / MODEL).write_text(json.dumps(sealed({**info, "temperature": temperature})))
    return Run.open(folder)


def real() -> dict[str, bytes]:
    """The files of this package, but for the starter."""
    root = Path(dogbreed.__file__).parent
    found = [path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {f"dogbreed/{path.relative_to(root)}": path.read_bytes() for path in found if STARTER not in path.parents}


def pushed(aws: Aws, files: Mapping[str, bytes], name: str = "of-tests") -> str:
    """Push an image with these files below /opt/dogbreed; its address."""
    ecr, registry = aws.client("ecr"), f"{aws.account}.dkr.ecr.{aws.region}.amazonaws.com"
    ecr.create_repository(repositoryName=name)
    config = json.dumps({"config": {"Env": ["PYTHONPATH=/opt/dogbreed"]}}).encode()
    parts = [config, _layer(files)]
    for content in parts:
        upload = {"repositoryName": name, "uploadId": ecr.initiate_layer_upload(repositoryName=name)["uploadId"]}
        ecr.upload_layer_part(**upload, partFirstByte=0, partLastByte=len(content) - 1, layerPartBlob=content)
        ecr.complete_layer_upload(**upload, layerDigests=[_digest(content)])
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    told = [{"mediaType": "application/gzip", "size": len(one), "digest": _digest(one)} for one in parts]
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": told[0], "layers": told[1:]}
    ecr.put_image(repositoryName=name, imageManifest=json.dumps(manifest), imageManifestMediaType=kind, imageTag="1")
    return f"{registry}/{name}:1"


def wanted(aws: Aws, run: Run, image: str, to: str = "endpoint", shadow: Run | None = None, **more: Any) -> Deployment:
    """Without a front and a wait, if not said otherwise."""
    own: Any = {"to": to, "image": image, "front": False, "bake_minutes": 0.0, **more}
    return Deployment(aws, DeploySettings(**own), run, shadow)


def deploy(one: Deployment) -> list[str]:
    """Plan and carry out; "sign kind" of what was done."""
    made = deploying.plan(one)
    for _ in made.apply():
        pass
    return [f"{step.sign} {step.resource.kind}" for step in made.changes]


def changed(one: Deployment, **settings: Any) -> Deployment:
    """The same with other settings."""
    return replace(one, settings=replace(one.settings, **settings))


def _layer(files: Mapping[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"opt/dogbreed/{name}")
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return raw.getvalue()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
