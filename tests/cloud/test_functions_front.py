"""The function in front of an endpoint, from end to end: its answers are the endpoint's, which are those of here."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from laws import apply
from photos import picture
from standin import until

from dogbreed import plan
from dogbreed.cloud.serving import front, serverless
from dogbreed.cloud.serving.deployment import Deployment
from dogbreed.cloud.serving.function_alias import Url
from dogbreed.cloud.serving.function_resources import Function
from dogbreed.cloud.session import Aws
from dogbreed.config import DeploySettings
from dogbreed.infer.predictor import Predictor
from dogbreed.rehearse.state import Server
from dogbreed.run import STARTER, Run

NAME = "dogbreed-serverless-front"
SETTINGS = DeploySettings(to="serverless", function_url="iam", provisioned_concurrency=1)


@pytest.fixture
def quick(account: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(plan, "_READY_EVERY_S", 0.05)
    account.ask("speed", speed=100)
    yield
    account.ask("speed", speed=1)


def jpeg() -> bytes:
    data = io.BytesIO()
    picture(1, (320, 240)).save(data, "JPEG")
    return data.getvalue()


def signed(aws: Aws, url: str, data: bytes, kind: str) -> httpx.Response:
    request = AWSRequest("POST", url, headers={"Content-Type": kind}, data=data)
    SigV4Auth(aws.session.get_credentials(), "lambda", aws.region).add_auth(request)
    return httpx.post(url, content=data, headers=dict(request.headers.items()), timeout=300)


@pytest.mark.slow
def test_the_front_answers_as_the_endpoint_does(quick: None, aws: Aws) -> None:
    wanted = Deployment(aws, SETTINGS, Run.open(STARTER))
    apply(serverless.resources(wanted))
    here = [Predictor.open(wanted.run).predict(jpeg(), top_k=3).to_json()]
    client = aws.client("lambda")

    def invoke(event: Any) -> tuple[int, Any]:
        said = client.invoke(FunctionName=NAME, Qualifier="live", Payload=json.dumps(event))
        answer = json.load(said["Payload"])
        assert "FunctionError" not in said
        return answer["statusCode"], json.loads(answer["body"])

    text = base64.b64encode(jpeg()).decode()
    query = {"queryStringParameters": {"top_k": "3"}}
    for event in ({"image": text, "top_k": 3}, {"body": text, "isBase64Encoded": True, **query}):
        assert invoke(event) == (200, here)
    status, several = invoke({"images": [text, {"name": "rex.jpg", "data": text}], "top_k": 3})
    assert (status, [one["file"] for one in several]) == (200, ["", "rex.jpg"])
    for event, expected in (
        ({"image": base64.b64encode(jpeg()[:200]).decode()}, (422, "truncated")),
        ({"image": base64.b64encode(b"nothing").decode()}, (415, "not-an-image")),
        ({"url": "http://127.0.0.1/a.jpg"}, (422, "form")),
        ({"body": ""}, (400, "empty")),
    ):
        status, told = invoke(event)
        assert (status, told["error"]["code"]) == expected
    # By its address, as programs without the SDK do.
    url = Url(Function(aws, NAME)).address()
    answer = signed(aws, f"{url}?top_k=3", jpeg(), "image/jpeg")
    assert (answer.status_code, answer.json(), answer.headers["content-type"]) == (200, here, "application/json")
    refused = signed(aws, url, b"nothing", "image/jpeg")
    assert (refused.status_code, refused.json()["error"]["code"]) == (415, "not-an-image")
    assert httpx.post(url, content=jpeg(), timeout=300).status_code == 403
    # What is kept started is the endpoint's, not the front's.
    assert not any(one.kind == "provisioned concurrency" for one in front.resources(wanted))

    def lines() -> list[dict[str, Any]]:
        """What the function has logged of its requests."""
        pages = aws.client("logs").get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{NAME}")
        texts = [one["message"] for page in pages for one in page["events"]]
        return [json.loads(text)["message"] for text in texts if '"took_ms"' in text]

    until(lambda: len(lines()) == 9)
    assert {one["status"] for one in lines()} == {200, 400, 415, 422}
    assert len({one["request_id"] for one in lines()}) == 9
