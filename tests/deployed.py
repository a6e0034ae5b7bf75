"""Deployments for tests: Runs that differ, images that need not be built, a plan carried out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pushed import push

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
    ecr = aws.client("ecr")
    ecr.create_repository(repositoryName=name)
    laid = {f"opt/dogbreed/{path}": body for path, body in files.items()}
    push(ecr, name, laid, {"PYTHONPATH": "/opt/dogbreed"}, "1")
    return f"{aws.account}.dkr.ecr.{aws.region}.amazonaws.com/{name}:1"


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
