"""How the service starts, ends, and refuses to start."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path

import httpx
from program import dogbreed
from service import jpeg, post, serving


def test_what_was_accepted_is_answered_before_it_ends(tmp_path: Path) -> None:
    with serving(tmp_path, "--threads", "1") as service:
        statuses: list[int] = []
        large = jpeg(size=(2400, 1800))

        def ask() -> None:
            with suppress(httpx.ConnectError):  # one that came after the end
                statuses.append(post(service, large).status_code)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        while not any(line.get("event") == "request" for line in service.lines()):
            pass
        assert service.end() == 0
        for thread in threads:
            thread.join()
        assert set(statuses) <= {200, 503} and 200 in statuses


def test_too_many_at_once_are_told_to_come_back(tmp_path: Path) -> None:
    with serving(tmp_path, "--threads", "1", "--queue", "2") as service:
        answers: list[httpx.Response] = []
        photo = jpeg(size=(1600, 1200))
        threads = [threading.Thread(target=lambda: answers.append(post(service, photo))) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        refused = [answer for answer in answers if answer.status_code == 503]
        assert {answer.status_code for answer in answers} == {200, 503} and len(answers) == 40
        for answer in refused:
            assert int(answer.headers["Retry-After"]) >= 1
            assert answer.json()["error"]["code"] == "busy"
            assert answer.json()["error"]["request_id"] == answer.headers["X-Request-Id"]
        page = httpx.get(service.url + "/metrics").text
        assert f'dogbreed_requests_total{{route="/predict",status="503"}} {len(refused)}.0' in page
        assert post(service, photo).status_code == 200


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = dogbreed("serve", "--run", "starter", "--port", port, cwd=tmp_path)
    assert result.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in result.stderr and "--port" in result.stderr


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    result = dogbreed("serve", "--run", "nothing", cwd=tmp_path)
    assert result.returncode == 2
    assert "no run nothing" in result.stderr
