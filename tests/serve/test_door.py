"""`dogbreed predict --url`: the same answers as here, whatever the service is doing."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from photos import save
from program import dogbreed
from service import Service, jpeg

from dogbreed.errors import DogbreedError, UsageError
from dogbreed.infer.door import Door


@pytest.mark.parametrize("style", ["--json", "--csv", "--quiet"])
def test_the_service_answers_as_the_command_does(service: Service, tmp_path: Path, style: str) -> None:
    for number in range(6):
        save(tmp_path / "photos" / f"{number}.jpg", number)
    (tmp_path / "photos" / "broken.jpg").write_bytes(jpeg()[:200])
    here = dogbreed("predict", "photos", "--run", "starter", style, "--top-k", 3, cwd=tmp_path)
    there = dogbreed("predict", "photos", "--url", service.url, style, "--top-k", 3, cwd=tmp_path)
    assert there.stdout == here.stdout
    assert there.returncode == here.returncode == 1


def test_a_service_that_is_not_there(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg", 1)
    result = dogbreed("predict", "a.jpg", "--url", "http://127.0.0.1:9", cwd=tmp_path)
    assert result.returncode == 1
    assert "127.0.0.1:9 does not answer" in result.stderr and "dogbreed serve" in result.stderr
    both = dogbreed("predict", "a.jpg", "--url", "http://127.0.0.1:9", "--run", "starter", cwd=tmp_path)
    assert both.returncode == 2


@pytest.mark.parametrize("url", ["", "ftp://host", "http://", "s3://bucket/key"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(UsageError):
        Door(url)


ANSWER = {"file": "", "breed": "pug", "confidence": 0.9, "unsure": False, "top": [{"breed": "pug", "probability": 0.9}]}


@contextmanager
def answering(*answers: tuple[int, Any]) -> Iterator[tuple[str, list[str]]]:
    """A server that gives these answers one after the other, the last one for ever; its address, and what was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, value = answers[min(len(asked), len(answers) - 1)]
            asked.append(self.path)
            body = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def busy(status: int) -> tuple[int, Any]:
    return status, {"error": {"code": "busy", "message": "too much to do", "hint": "", "request_id": "x"}}


def test_a_busy_service_is_asked_again() -> None:
    with answering(busy(503), busy(429), (200, [ANSWER])) as (url, asked):
        assert Door(url).predict(b"photo", name="a.jpg", top_k=1).breed == "pug"
        assert asked == ["/predict?top_k=1"] * 3


def test_one_that_stays_busy_is_told_of() -> None:
    with answering(busy(503)) as (url, asked), pytest.raises(DogbreedError, match="too much to do"):
        Door(url).predict(b"photo")
    assert 1 < len(asked) < 10


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"[{}]", b"null", b'{"error": 3}', b"\xff"])
def test_another_kind_of_server_is_noticed(body: bytes) -> None:
    with answering((200, body)) as (url, _), pytest.raises(DogbreedError):
        Door(url).predict(b"photo")


def test_a_connection_that_was_closed_is_opened_again() -> None:
    class Once(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while (line := self.rfile.readline()).strip():
                length = int(line.split(b":")[1]) if line.lower().startswith(b"content-length") else 5
            self.rfile.read(length)
            body = json.dumps([ANSWER]).encode()
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Once) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        door = Door(f"http://127.0.0.1:{server.server_address[1]}")
        assert [door.predict(b"photo").breed for _ in range(3)] == ["pug"] * 3
        server.shutdown()
