"""Every way to send a photo gets the answer of `dogbreed predict --json`; everything else one form of refusal."""

from __future__ import annotations

import base64
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from program import dogbreed
from service import Service, jpeg, post
from standin import until

MIB = 2**20


def without_names(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in answer.items() if key != "file"} for answer in answers]


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture
def expected(photo_file: Path, tmp_path: Path) -> list[dict[str, Any]]:
    result = dogbreed("predict", photo_file, "--run", "starter", "--json", cwd=tmp_path)
    return without_names(json.loads(result.stdout))


@pytest.mark.parametrize("path", ["/predict", "/invocations"])
@pytest.mark.parametrize("form", ["raw", "untyped", "multipart", "one", "named", "list", "data-url"])
def test_each_form_of_a_photo_gets_the_answer_of_predict(
    service: Service, photo: bytes, expected: list[dict[str, Any]], path: str, form: str
) -> None:
    url, encoded = service.url + path, text(photo)
    values: dict[str, Any] = {
        "one": {"image": encoded},
        "named": {"images": [{"name": "rex.jpg", "data": encoded}]},
        "list": {"images": [encoded]},
        "data-url": {"image": "data:image/jpeg;base64," + encoded},
    }
    if form == "multipart":
        answer = httpx.post(url, files={"photo": ("rex.jpg", photo, "image/jpeg")}, timeout=60)
    elif form in values:
        answer = httpx.post(url, json=values[form], timeout=60)
    else:
        kind = {"raw": "image/jpeg", "untyped": "application/octet-stream"}[form]
        answer = post(service, photo, kind, path)
    assert answer.status_code == 200, answer.text
    assert without_names(answer.json()) == expected
    assert answer.json()[0]["file"] == ("rex.jpg" if form in ("multipart", "named") else "")


def test_several_photos_are_answered_in_their_order_and_a_bad_one_among_them_is_named(service: Service) -> None:
    good = [text(data) for data in map(jpeg, (1, 2, 3))]
    answer = httpx.post(service.url + "/predict", json={"images": [*good, text(b"no photo")]}, timeout=60)
    assert answer.status_code == 200
    said = answer.json()
    alone = [httpx.post(service.url + "/predict", json={"image": one}, timeout=60).json()[0] for one in good]
    assert said[:3] == alone
    assert said[3]["breed"] is None and "not a JPEG" in said[3]["error"]


def test_how_many_breeds_are_named(service: Service, photo: bytes) -> None:
    def named(answer: httpx.Response) -> int:
        return len(answer.json()[0]["top"])

    assert named(post(service, photo)) == 5
    assert named(post(service, photo, path="/predict?top_k=2")) == 2
    header = {"X-Amzn-SageMaker-Custom-Attributes": "trace=1, top_k=3"}
    assert named(post(service, photo, path="/invocations", **header)) == 3
    assert named(httpx.post(service.url + "/predict", json={"image": text(photo), "top_k": 4}, timeout=60)) == 4
    assert named(httpx.post(service.url + "/predict", files={"p": ("a", photo)}, data={"top_k": "1"}, timeout=60)) == 1
    # More than there are: all of them.
    assert named(post(service, photo, path="/predict?top_k=1000")) == 121


REFUSED = [
    ("no body", {"content": b"", "headers": {"Content-Type": "image/jpeg"}}, 400, "empty"),
    ("no photo", {"content": b"hello", "headers": {"Content-Type": "image/jpeg"}}, 415, "not-an-image"),
    ("a video", {"content": b"\0\0\0\x18ftypmp42" + b"\0" * 40, "headers": {"Content-Type": "image/jpeg"}}, 415, None),
    ("cut off", {"content": b"CUT", "headers": {"Content-Type": "image/jpeg"}}, 422, "truncated"),
    ("text", {"content": b"hello", "headers": {"Content-Type": "text/plain"}}, 415, "media-type"),
    ("a form", {"data": {"a": "b"}}, 415, "media-type"),
    ("broken JSON", {"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "no-json"),
    ("deep JSON", {"content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}}, 400, "no-json"),
    ("a list", {"json": []}, 422, "form"),
    ("nothing in it", {"json": {}}, 422, "form"),
    ("an empty list", {"json": {"images": []}}, 422, "form"),
    ("both", {"json": {"image": "aaaa", "images": ["aaaa"]}}, 422, "form"),
    ("no base64", {"json": {"image": "%%%"}}, 422, "form"),
    ("a number", {"json": {"image": 3}}, 422, "form"),
    ("a typo", {"json": {"image": "aaaa", "topk": 3}}, 422, "form"),
    ("zero breeds", {"json": {"image": "aaaa", "top_k": 0}}, 422, "top-k"),
    ("true breeds", {"json": {"image": "aaaa", "top_k": True}}, 422, "form"),
    ("too many photos", {"json": {"images": ["aaaa"] * 17}}, 413, "too-many"),
    ("broken multipart", {"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}, 400, None),
    ("no boundary", {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "no-multipart"),
]


@pytest.mark.parametrize(
    ("request_", "status", "code"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_what_is_no_photo_is_refused_in_one_form(
    service: Service, photo: bytes, request_: dict[str, Any], status: int, code: str | None
) -> None:
    if request_.get("content") == b"CUT":
        request_ = {**request_, "content": photo[: len(photo) // 2]}
    answer = httpx.post(service.url + "/predict", timeout=60, **request_)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "hint", "request_id"}
    assert error["message"] and error["request_id"] == answer.headers["X-Request-Id"]
    assert code in (None, error["code"])


def test_unknown_paths_and_methods_have_the_same_form(service: Service) -> None:
    for answer in (httpx.get(service.url + "/nothing"), httpx.put(service.url + "/predict")):
        assert answer.status_code in (404, 405)
        assert set(answer.json()["error"]) == {"code", "message", "hint", "request_id"}


def test_no_address_that_a_client_gives_is_fetched(service: Service, photo: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as bait:
        bait.settimeout(0.5)
        address = f"http://127.0.0.1:{bait.getsockname()[1]}/dog.jpg"
        bodies: list[Any] = [{"url": address}, {"image": address}, {"images": [{"name": "x", "data": address}]}]
        for body in bodies:
            answer = httpx.post(service.url + "/predict", json=body, timeout=60)
            assert answer.status_code == 422
            assert "never fetched" in answer.json()["error"]["message"]
        with pytest.raises(TimeoutError):
            bait.accept()


def test_a_body_over_the_limit_is_refused_before_it_is_read(service: Service) -> None:
    where = urlsplit(service.url)
    with socket.create_connection((where.hostname, where.port), 300) as peer:
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {100 * MIB}\r\n\r\n"
        peer.sendall(head.encode())
        assert b" 413 " in peer.recv(100)


def test_a_body_without_a_length_is_cut_at_the_limit(service: Service) -> None:
    def endless() -> Any:
        for _ in range(64):
            yield b"x" * MIB

    try:
        answer = httpx.post(
            service.url + "/predict", content=endless(), headers={"Content-Type": "image/jpeg"}, timeout=60
        )
    except httpx.WriteError:
        return  # it closed the connection while the body was still on its way, which is as good
    assert answer.status_code == 413


def test_pixels_are_limited_as_well_as_bytes(service: Service) -> None:
    # A PNG that says it is 30,000 x 30,000 in a few bytes.
    import struct
    import zlib

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0))
    bomb += chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    answer = post(service, bomb, "image/png")
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "bomb")


def test_an_answer_says_nothing_of_the_inside(service: Service, photo: bytes) -> None:
    answer = post(service, photo)
    assert "server" not in answer.headers
    for bad in (post(service, b"x" * 100), httpx.get(service.url + "/%2e%2e/etc/passwd")):
        assert "Traceback" not in bad.text and "/" not in bad.json()["error"]["message"]


def test_the_log_has_a_line_for_each_request_and_nothing_that_was_sent(service: Service, photo: bytes) -> None:
    named = {"images": [{"name": "my-secret-dog.jpg", "data": text(photo)}]}
    answer = httpx.post(service.url + "/predict?q=hidden", json=named, headers={"X-Request-Id": "abc-1"}, timeout=60)
    assert answer.headers["X-Request-Id"] == "abc-1"
    (line,) = until(lambda: [line for line in service.lines() if line.get("request_id") == "abc-1"])
    assert (line["route"], line["status"], line["photos"]) == ("/predict", 200, 1)
    assert "secret" not in service.log.read_text() and "hidden" not in service.log.read_text()
    # An id that could break the log is not taken over.
    assert post(service, photo, **{"X-Request-Id": "a b"}).headers["X-Request-Id"] != "a b"


def test_the_figures_add_up(service: Service, photo: bytes) -> None:
    def figure(name: str) -> float:
        page = httpx.get(service.url + "/metrics").text
        return sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith(name))

    names = ("dogbreed_photos_total", "dogbreed_request_seconds_count", "dogbreed_queue_seconds_count")
    before = [figure(name) for name in names]
    for _ in range(3):
        post(service, photo)
    assert figure(names[0]) == before[0] + 3
    assert figure(names[1]) >= before[1] + 3
    assert figure(names[2]) == before[2] + 3
    assert figure("dogbreed_queue_photos") == 0
