"""Images, models and endpoints for tests of the stand-in: the real service, and a few lines of Python in its place."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
import standin
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pushed import packed, push

import dogbreed
from dogbreed.rehearse.state import Server
from dogbreed.run import STARTER

REGION, ACCOUNT = "eu-west-1", "123456789012"
REPOSITORY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
IMAGE = f"{REPOSITORY}/small:latest"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/training"
# Says who it is and what it was sent; how it behaves stands in its variables or in the body: `wait` until `let_go`.
SMALL = b"""
import json, os, signal, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

def is_open():
    import urllib.error, urllib.request
    try:
        return urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + "/photos/open")
    except urllib.error.HTTPError:
        return False

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def say(self, status, body, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.say(503 if os.environ.get("SICK") else 200, b"{}")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == b"crash":
            os._exit(3)
        while body == b"wait" and not is_open():
            time.sleep(0.05)
        if os.environ.get("BROKEN"):
            return self.say(500, b"broken by " + os.environ["BROKEN"].encode())
        time.sleep(float(os.environ.get("SLOW", "0")))
        told = {"name": os.environ.get("NAME", ""), "size": len(body), "pid": str(os.stat("/proc/self").st_ino)}
        told |= {"model": sorted(os.listdir("/opt/ml/model")) if os.path.isdir("/opt/ml/model") else []}
        told |= {"type": self.headers["Content-Type"], "accept": self.headers["Accept"]}
        attributes = self.headers.get("X-Amzn-SageMaker-Custom-Attributes", "")
        self.say(200, json.dumps(told).encode(), Content_Type="application/json",
                 X_Amzn_SageMaker_Custom_Attributes=attributes[::-1])

    def log_message(self, *words):
        pass

if os.environ.get("CRASH"):
    print("no weights", flush=True)
    sys.exit(1)
server = ThreadingHTTPServer((os.environ["DOGBREED_SERVE_HOST"], int(os.environ["DOGBREED_SERVE_PORT"])), Handler)
# It drops what it is answering: who ends it must have waited.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
print("listening", flush=True)
server.serve_forever()
"""


@pytest.fixture
def hosted(account: Server) -> Iterator[Server]:
    """An account with a bucket, a role `training` and an image `small`, whose clock shows a minute for each second."""
    standin.bucket()
    standin.role()
    image()
    account.ask("speed", speed=60)
    yield account
    account.ask("speed", speed=1)


def client(service: str = "sagemaker") -> Any:
    """A client that does not try again: what is refused once is seen."""
    return _client(service, os.environ["AWS_ENDPOINT_URL"])


@cache
def _client(service: str, url: str) -> Any:
    # Making one takes longer than most calls of these tests.
    return boto3.client(service, config=Config(retries={"total_max_attempts": 1}, max_pool_connections=32))


def image(name: str = "small", files: Mapping[str, bytes] | None = None) -> str:
    """Push an image with a package `dogbreed`; its address."""
    ecr = client("ecr")
    ecr.create_repository(repositoryName=name)
    variables = {"PYTHONPATH": "/opt/dogbreed", "DOGBREED_PREDICT_RUN": "/opt/ml/model", "DOGBREED_SERVE_EMF": "true"}
    variables |= {"DOGBREED_SERVE_HOST": "0.0.0.0", "DOGBREED_SERVE_PORT": "8080"}
    laid = {f"opt/dogbreed/{path}": body for path, body in (files or small()).items()}
    push(ecr, name, laid, variables, "latest")
    return f"{REPOSITORY}/{name}:latest"


def small() -> dict[str, bytes]:
    return {"dogbreed/__init__.py": b"", "dogbreed/__main__.py": SMALL}


def package() -> dict[str, bytes]:
    """This package, as the project's image has it."""
    root = Path(dogbreed.__file__).parent
    found = [path for path in sorted(root.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    kept = [path for path in found if not path.is_relative_to(STARTER)]
    return {str(path.relative_to(root.parent)): path.read_bytes() for path in kept}


def starter() -> bytes:
    return packed({path.name: path.read_bytes() for path in sorted(STARTER.glob("model.*")) if path.is_file()})


def model(name: str, picture: str = IMAGE, archive: bytes | None = None, **variables: str) -> str:
    """CreateModel, with an archive of its own in the bucket."""
    key = f"models/{name}/model.tar.gz"
    client("s3").put_object(Bucket="photos", Key=key, Body=archive or packed({"weights": b"w"}))
    container = {"Image": picture, "ModelDataUrl": f"s3://photos/{key}", "Environment": {"NAME": name, **variables}}
    client().create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
    return name


def variant(of: str, count: int = 1, *, name: str = "main", **more: Any) -> dict[str, Any]:
    told = {"VariantName": name, "ModelName": of, "InitialInstanceCount": count, "InstanceType": "ml.m5.large"}
    return {key: value for key, value in (told | more).items() if value is not None}


def config(name: str, *variants: dict[str, Any], **more: Any) -> str:
    client().create_endpoint_config(EndpointConfigName=name, ProductionVariants=list(variants), **more)
    return name


def create(endpoint: str, configuration: str, **more: Any) -> dict[str, Any]:
    client().create_endpoint(EndpointName=endpoint, EndpointConfigName=configuration, **more)
    return settled(endpoint)


def describe(endpoint: str) -> dict[str, Any]:
    return dict(client().describe_endpoint(EndpointName=endpoint))


def settled(endpoint: str) -> dict[str, Any]:
    """The endpoint when nothing changes any more."""

    def over() -> dict[str, Any] | None:
        told = describe(endpoint)
        return None if told["EndpointStatus"] in ("Creating", "Updating", "RollingBack", "Deleting") else told

    return dict(standin.until(over))


def ask(endpoint: str, body: bytes = b"x", runtime: Any = None, **more: Any) -> dict[str, Any]:
    told = (runtime or client("sagemaker-runtime")).invoke_endpoint(EndpointName=endpoint, Body=body, **more)
    return dict(json.loads(told["Body"].read()))


def refused(function: Callable[..., Any], *arguments: Any, **named: Any) -> tuple[str, str]:
    """Code and words with which a call is refused."""
    try:
        function(*arguments, **named)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["Error"]["Message"]
    raise AssertionError("it was not refused")


def let_go() -> None:
    """Let the requests go on that wait."""
    client("s3").put_object(Bucket="photos", Key="open", Body=b"", ACL="public-read")


def gone(endpoint: str) -> bool:
    """Whether there is no such endpoint any more."""
    try:
        return not describe(endpoint)
    except ClientError:
        return True


def processes(server: Server) -> list[str]:
    """What the stand-in says of its endpoints."""
    return list(server.ask("status")["endpoints"])


class Answers:
    """Who has answered, when, and what went wrong, of requests without a break."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.errors: list[str] = []

    def anew(self) -> list[str]:
        """Begin anew; what is on its way still counts among the old, whose errors these are."""
        errors = self.errors
        self.names, self.errors = [], []
        return errors

    def come(self, count: int) -> None:
        """Wait for so many more."""
        wanted = len(self.names) + len(self.errors) + count
        standin.until(lambda: len(self.names) + len(self.errors) >= wanted)


@contextmanager
def asked(endpoint: str, threads: int = 3, pause_s: float = 0.01) -> Iterator[Answers]:
    """Ask an endpoint again and again from several threads while the body of `with` runs."""
    answers, over, runtime = Answers(), threading.Event(), client("sagemaker-runtime")

    def go_on() -> None:
        while not over.is_set():
            names, errors = answers.names, answers.errors
            try:
                names.append(ask(endpoint, runtime=runtime)["name"])
            except (ClientError, BotoCoreError) as error:
                errors.append(str(error))
            time.sleep(pause_s)

    with ThreadPoolExecutor(threads) as pool:
        for _ in range(threads):
            pool.submit(go_on)
        try:
            yield answers
        finally:
            over.set()
