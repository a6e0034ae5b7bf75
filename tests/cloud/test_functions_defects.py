"""The defects of the projects that this tool replaces, where they are about functions, each as a test named after it.

Each check is shown the old way as well, and must complain of it.
"""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from laws import apply, remove
from photos import save

from dogbreed.cloud import policies
from dogbreed.cloud.policies_serving import FRONT_OF_ENDPOINT, FRONT_OF_SERVERLESS, LAMBDA
from dogbreed.cloud.policy_parts import Scope
from dogbreed.cloud.serving import front, function, function_code
from dogbreed.cloud.serving.deployment import Deployment
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings, DeploySettings
from dogbreed.rehearse.state import Server
from dogbreed.run import STARTER, Run

ACCOUNT = "123456789012"
SCOPE = Scope(ACCOUNT, "eu-west-1", "dogs", f"dogs-{ACCOUNT}-eu-west-1")
# Calls a handler as Lambda does, with everything that connects being noted: one JSON line for each event.
RUNNER = """
import importlib, json, logging, os, sys
reached = []
def hook(event, args):
    if event == "socket.connect":
        reached.append(list(map(str, args[1])))
sys.addaudithook(hook)
sys.path[:0] = [sys.argv[1], *sys.argv[3:]]
os.environ["LAMBDA_TASK_ROOT"] = sys.argv[1]
log = []
class Keep(logging.Handler):
    def emit(self, record):
        log.append(record.getMessage())
logging.getLogger().addHandler(Keep())
module, name = sys.argv[2].rsplit(".", 1)
handler = getattr(importlib.import_module(module), name)
class Context:
    aws_request_id = "11111111-2222-3333-4444-555555555555"
    invoked_function_arn = "arn:aws:lambda:eu-west-1:123456789012:function:f"
    log_stream_name = "2026/11/25/[$LATEST]abc"
    def get_remaining_time_in_millis(self):
        return 20000
    def __repr__(self):
        return f"LambdaContext([{self.invoked_function_arn},{self.log_stream_name}])"
for line in sys.stdin:
    try:
        answer = handler(json.loads(line), Context())
    except Exception as error:
        answer = {"raised": repr(error)}
    print(json.dumps([answer, reached, log]), flush=True)
"""
# What the projects of this family deploy, shortened: one endpoint by its name in the code, the context echoed.
OLD_FRONT = """
import json, logging, os
import boto3
logger = logging.getLogger(__name__)
logger.setLevel(logging.DEBUG)
def lambda_handler(event, context):
    logger.info("Context::: %s", context)
    client = boto3.client("sagemaker-runtime")
    answer = client.invoke_endpoint(
        EndpointName=event.get("endpoint", "pytorch-inference-2021-12-25"), ContentType="application/json",
        Accept="application/json", Body=json.dumps({"url": event.get("url")}).encode())
    sss = json.loads(answer["Body"].read())
    return {"statusCode": 200, "headers": {"Content-Type": "text/plain", "Access-Control-Allow-Origin": "*"},
            "type-result": str(type(sss)), "Content-Type-In": str(context), "body": json.dumps(sss)}
"""
# The entry point of its endpoint: it downloads weights when it starts, and whatever address it is sent.
OLD_MODEL = """
import json, os
from urllib.request import urlopen
with open(os.path.join(os.environ["LAMBDA_TASK_ROOT"], "weights.txt")) as file:
    urlopen(file.read()).read()
def lambda_handler(event, context):
    data = urlopen(event["url"]).read() if "url" in event else b""
    return {"statusCode": 200, "headers": {"Content-Type": "text/plain"}, "body": json.dumps(len(data))}
"""


class Runner:
    """A handler in a process of its own; `ask` gives its answer, who was connected to, and its log."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, event: Any) -> tuple[Any, list[Any], list[str]]:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(event) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the handler did not start"
        answer, reached, log = json.loads(line)
        return answer, reached, log


@contextmanager
def running(folder: Path, handler: str, *more: str, **environment: str) -> Iterator[Runner]:
    isolated = ["-I", "-S"] if not more else []
    command = [sys.executable, *isolated, "-c", RUNNER, str(folder), handler, *more]
    keys = {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "eu-west-1"}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**keys, **environment}
    )
    try:
        yield Runner(process)
    finally:
        process.kill()
        process.communicate()


@contextmanager
def elsewhere(answer: bytes = b"{}") -> Iterator[tuple[str, list[str]]]:
    """Somebody's server (or SageMaker's): its address, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders as Lambda unpacks them: alone, front, and the old ways."""
    root = tmp_path_factory.mktemp("tasks")
    zips = {"alone": function_code.alone(Run.open(STARTER), here=True), "front": function_code.front()}
    for name, code in zips.items():
        with zipfile.ZipFile(io.BytesIO(code.data)) as packed:
            packed.extractall(root / name)
    for name, text in (("old-front", OLD_FRONT), ("old-model", OLD_MODEL)):
        (root / name).mkdir()
        (root / name / "old.py").write_text(text)
    save(root / "photo.jpg", 1)
    return root


def photo(tasks: Path) -> str:
    return base64.b64encode((tasks / "photo.jpg").read_bytes()).decode()


# The SDK is in Lambda's own Python, here in this one's packages.
SDK = str(Path(__import__("boto3").__file__).parents[1])
ALONE, FRONT = "dogbreed.serve.lambda_handler.handler", "dogbreed.serve.lambda_front.handler"


# -- 7. pretrained=True in model_fn: the weights are downloaded when the endpoint starts


def test_7_starting_and_answering_reaches_nobody(tasks: Path) -> None:
    with running(tasks / "alone", ALONE) as ours:
        answer, reached, _ = ours.ask({"image": photo(tasks)})
    assert (answer["statusCode"], reached) == (200, [])
    with elsewhere() as (url, asked):
        (tasks / "old-model" / "weights.txt").write_text(f"{url}/resnet50.pth")
        with running(tasks / "old-model", "old.lambda_handler") as old:
            _, reached, _ = old.ask({})
    assert reached and asked == ["/resnet50.pth"]


# -- 8. requests.get(url) of any address: whoever may send a photo sends the service anywhere


def test_8_an_address_in_a_request_is_never_fetched(tasks: Path) -> None:
    with elsewhere(b"[]") as (url, asked), elsewhere() as (sagemaker, _):
        events = [{"url": f"{url}/a.jpg"}, {"image": f"{url}/b.jpg"}, {"images": [f"{url}/c.jpg"]}]
        with running(tasks / "alone", ALONE) as ours:
            for event in events:
                answer, reached, _ = ours.ask(event)
                assert (answer["statusCode"], reached) == (422, [])
        environment = {"DOGBREED_ENDPOINT": "dogs", "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": sagemaker}
        with running(tasks / "front", FRONT, SDK, **environment) as ours:
            for event in events:
                ours.ask(event)
        assert asked == []
        (tasks / "old-model" / "weights.txt").write_text(sagemaker)
        with running(tasks / "old-model", "old.lambda_handler") as old:
            old.ask({"url": f"{url}/a.jpg"})
        assert asked == ["/a.jpg"]


# -- 9. the endpoint's name in the code or from the caller, always 200, text/plain, CORS *, the context told to everyone


def complaints(answer: Any, log: list[str], asked: list[str], endpoint: str, status: int) -> set[str]:
    headers = answer.get("headers", {})
    told = json.dumps(answer) + "".join(log)
    found = {
        "raised": "raised" in answer,
        "status": answer.get("statusCode") != status,
        "content type": headers.get("Content-Type") != "application/json",
        "CORS": any(name.lower().startswith("access-control-") for name in headers),
        "account": ACCOUNT in told or "LambdaContext" in told,
        "endpoint": any(endpoint not in path for path in asked),
        "unnamed": "[0.1, 0.2]" in told,
    }
    return {name for name, is_so in found.items() if is_so}


def test_9_one_endpoint_the_right_status_and_no_word_of_the_inside(tasks: Path) -> None:
    answers: list[tuple[bytes, int, Callable[[Any], bool]]] = [
        (b'[{"breed": "pug", "unsure": false}]', 200, lambda body: body[0]["breed"] == "pug"),
        (b"[0.1, 0.2]", 502, lambda body: body["error"]["code"] == "endpoint-failed"),
    ]
    for said, status, fits in answers:
        with elsewhere(said) as (url, asked):
            environment = {"AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": url, "DOGBREED_ENDPOINT": "dogs-endpoint"}
            event = {"image": photo(tasks), "endpoint": "somebody-elses", "EndpointName": "somebody-elses"}
            with running(tasks / "front", FRONT, SDK, **environment) as ours:
                answer, _, log = ours.ask(event)
            assert complaints(answer, log, asked, "/dogs-endpoint/", status) == set()
            assert fits(json.loads(answer["body"]))
            asked.clear()
            with running(tasks / "old-front", "old.lambda_handler", SDK, **environment) as old:
                answer, _, log = old.ask(event)
            assert complaints(answer, log, asked, "/dogs-endpoint/", status) >= {
                *("content type", "CORS", "account", "endpoint"),
                *({"status", "unnamed"} if status != 200 else ()),
            }


# -- 10. AmazonSageMakerFullAccess for a function that needs one action on one ARN


def excess(document: dict[str, Any], needed: dict[str, set[str]]) -> list[str]:
    """What a policy allows beyond `needed`: action -> ARNs."""
    found = []
    for statement in document["Statement"]:
        actions, resources = (
            [value] if isinstance(value := statement[key], str) else value for key in ("Action", "Resource")
        )
        found += [f"{action} on {arn}" for action in actions for arn in resources if arn not in needed.get(action, ())]
    return found


@pytest.mark.parametrize("kind", [FRONT_OF_ENDPOINT, FRONT_OF_SERVERLESS, LAMBDA])
def test_10_a_function_may_ask_its_one_endpoint_and_write_its_one_log(kind: str) -> None:
    here = f"eu-west-1:{ACCOUNT}"
    logs = f"arn:aws:logs:{here}:log-group:/aws/lambda/dogs-{kind}:*"
    needed = {"logs:CreateLogStream": {logs}, "logs:PutLogEvents": {logs}}
    if kind != LAMBDA:
        needed["sagemaker:InvokeEndpoint"] = {f"arn:aws:sagemaker:{here}:endpoint/dogs-{kind.removesuffix('-front')}"}
    if kind == FRONT_OF_ENDPOINT:
        # Its model, where that is a component of its own.
        needed["sagemaker:InvokeEndpoint"].add(f"arn:aws:sagemaker:{here}:inference-component/dogs-endpoint-model")
    assert excess(policies.KINDS[kind].policy(SCOPE), needed) == []
    old = {"Statement": [{"Effect": "Allow", "Action": "sagemaker:*", "Resource": "*"}]}
    assert excess(old, needed) == ["sagemaker:* on *"]


# -- 12. one instance at least, for ever, and a teardown by hand


def hourly(resources: Any) -> Decimal:
    prices = [one.hourly() for one in resources]
    assert None not in prices
    return sum(prices, Decimal(0))


def test_12_nothing_is_paid_for_while_nobody_asks_and_nothing_is_left(
    account: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")  # where prices are known
    account.ask("speed", speed=100)
    aws = Aws(AwsSettings(region="us-east-1"))
    run = Run.open(STARTER)
    assert hourly(function.resources(Deployment(aws, DeploySettings(to="lambda"), run))) == 0
    # The check sees what is kept started.
    kept = Deployment(aws, DeploySettings(to="lambda", provisioned_concurrency=1), run)
    assert hourly(function.resources(kept)) > 0
    apply(front.resources(Deployment(aws, DeploySettings(), run)))
    made = [*function.everything(aws), *front.everything(aws, "endpoint")]
    assert hourly([one for one in made if one.find()]) == 0
    remove(made)
    assert {one.kind for one in made if one.find()} == {"log group"}
    account.ask("speed", speed=1)
