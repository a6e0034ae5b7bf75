"""The function that holds the model answers as the service does, and takes whatever it is called with."""

from __future__ import annotations

import base64
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import lambda_calls
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lambda_calls import ANSWER, Context, Says, sagemaker, said
from service import Service, jpeg, post

from dogbreed.run import STARTER


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    root = tmp_path_factory.mktemp("task")
    (root / "model").symlink_to(STARTER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAMBDA_TASK_ROOT", str(root))
        import dogbreed.serve.lambda_handler as module

        yield importlib.reload(module)


@pytest.fixture
def front(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    with sagemaker(Says()) as (url, _):
        yield lambda_calls.front(monkeypatch, url)


def text(number: int) -> str:
    return base64.b64encode(jpeg(number)).decode()


def several() -> bytes:
    photos = [text(1), {"name": "rex.jpg", "data": text(2)}, base64.b64encode(jpeg()[:200]).decode()]
    return json.dumps({"images": photos, "top_k": 2}).encode()


def form() -> bytes:
    head = b'--x\r\nContent-Disposition: form-data; name="photo"; filename="rex.jpg"\r\n\r\n'
    return head + jpeg(3) + b'\r\n--x\r\nContent-Disposition: form-data; name="top_k"\r\n\r\n2\r\n--x--\r\n'


BODIES = [
    (jpeg(), "image/jpeg"),
    (jpeg(), ""),
    (several(), "application/json"),
    (json.dumps({"image": f"data:image/jpeg;base64,{text(0)}"}).encode(), "application/json; charset=utf-8"),
    (form(), 'multipart/form-data; boundary="x"'),
    (b"--x--", "multipart/form-data; boundary=x"),
    (jpeg()[:300], "image/jpeg"),
    (b"GIF, but none", "image/gif"),
    (b"", "image/jpeg"),
    (b"{", "application/json"),
    (b'{"url": "http://169.254.169.254/"}', "application/json"),
    (b'{"images": []}', "application/json"),
    (json.dumps({"images": ["AAAA"] * 17}).encode(), "application/json"),
    (json.dumps({"image": "AAAA", "top_k": 0}).encode(), "application/json"),
    (jpeg(), "text/html"),
]


@pytest.mark.parametrize(("body", "kind"), BODIES)
@pytest.mark.parametrize("payload", ["1.0", "2.0"])
def test_it_answers_as_the_service_does(
    service: Service, alone: ModuleType, body: bytes, kind: str, payload: str
) -> None:
    there = post(service, body, kind)
    here = alone.handler(lambda_calls.over_http(body, kind, payload), Context())
    assert here["statusCode"] == there.status_code
    assert _without_id(said(here)) == _without_id(there.json())


@pytest.mark.parametrize("top_k", ["1", "3", "1000", "0", "many"])
def test_how_many_breeds_it_names(service: Service, alone: ModuleType, top_k: str) -> None:
    there = post(service, jpeg(), path=f"/predict?top_k={top_k}")
    here = alone.handler(lambda_calls.over_http(jpeg(), "image/jpeg", "2.0", top_k), Context())
    assert (here["statusCode"], _without_id(said(here))) == (there.status_code, _without_id(there.json()))


def test_who_calls_it_directly_needs_no_http(service: Service, alone: ModuleType) -> None:
    there = post(service, jpeg(), path="/predict?top_k=3").json()
    assert said(alone.handler({"image": text(0), "top_k": 3}, Context())) == there
    named = lambda_calls.direct(jpeg(), queryStringParameters={"top_k": "3"})
    assert said(alone.handler(named, Context())) == there


def test_it_stops_before_lambda_ends_it(alone: ModuleType) -> None:
    answer = alone.handler({"images": [text(0)] * 3}, Context(0.3))
    assert (answer["statusCode"], said(answer)["error"]["code"]) == (503, "timeout")


def test_a_damaged_model_is_no_word_about_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, alone: ModuleType
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text("{}")
    monkeypatch.setenv("LAMBDA_TASK_ROOT", str(tmp_path))
    monkeypatch.setattr(alone, "_PREDICTOR", alone._open())
    answer = alone.handler({"image": text(0)}, Context())
    assert (answer["statusCode"], said(answer)["error"]["code"]) == (500, "internal")
    assert str(tmp_path) not in answer["body"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
EVENTS = JSON | st.fixed_dictionaries(
    {},
    optional={
        "body": JSON | st.binary(max_size=40).map(lambda data: base64.b64encode(data).decode()),
        "isBase64Encoded": st.booleans() | JSON,
        "headers": JSON | st.dictionaries(st.sampled_from(["content-type", "Content-Type"]), st.text(max_size=30)),
        "queryStringParameters": JSON | st.dictionaries(st.just("top_k"), st.text(max_size=5) | JSON),
        "requestContext": JSON | st.fixed_dictionaries({"http": st.fixed_dictionaries({"method": JSON})}),
        "httpMethod": JSON,
        "image": JSON,
        "images": JSON,
    },
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(event=EVENTS)
def test_any_event_gets_an_answer_of_the_one_form(alone: ModuleType, front: ModuleType, event: Any) -> None:
    """Never an exception, never a 500, and nothing but an id, a code and words in what is refused."""
    for module in (alone, front):
        answer = module.handler(event, Context())
        told = said(answer)
        assert answer["statusCode"] in (200, 400, 405, 413, 415, 422)
        if answer["statusCode"] == 200:
            assert told == [ANSWER] if module is front else told[0].keys() == ANSWER.keys()
        else:
            assert told["error"].keys() == {"code", "message", "hint", "request_id"}


def _without_id(value: Any) -> Any:
    if isinstance(value, dict) and "error" in value and isinstance(value["error"], dict):
        return {"error": {key: words for key, words in value["error"].items() if key != "request_id"}}
    return value
