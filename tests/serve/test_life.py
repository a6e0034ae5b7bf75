"""How the service starts, ends, and refuses to start."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path

import httpx
from program import dogbreed
from service import jpeg, post, serving
from standin import until


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
        until(lambda: any(line.get("event") == "request" for line in service.lines()))
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


def test_one_client_may_be_held_to_a_few_requests_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "dogbreed.toml").write_text("[serve]\nper_client = 2\nemf = true\n")
    with serving(tmp_path, "--threads", "1", "--queue", "64") as service:
        answers: list[httpx.Response] = []
        photo = jpeg(size=(1600, 1200))
        threads = [threading.Thread(target=lambda: answers.append(post(service, photo))) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        refused = sum(answer.status_code == 429 for answer in answers)
        assert {answer.status_code for answer in answers} == {200, 429}
        # What one client holds is given back.
        assert post(service, photo).status_code == 200
        assert service.end() == 0
        # The figures that were not told yet are told in the end, in the form that CloudWatch turns into metrics.
        # They are told each minute, too, which may end in the middle of this.
        told = [line for line in service.lines() if "_aws" in line]
        sums = [sum(line[name] for line in told) for name in ("Requests", "Refused", "Photos")]  # type: ignore[misc]
        assert sums == [13, refused, 13 - refused]
        directive = told[0]["_aws"]["CloudWatchMetrics"][0]  # type: ignore[index]
        assert all(metric["Name"] in told[0] for metric in directive["Metrics"])
        assert directive["Dimensions"] == [["Run"]] and told[0]["Run"] == "starter"


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = dogbreed("serve", "--run", "starter", "--port", port, cwd=tmp_path)
    assert result.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in result.stderr and "--port" in result.stderr


def test_an_address_of_another_machine(tmp_path: Path) -> None:
    result = dogbreed("serve", "--run", "starter", "--host", "192.0.2.1", "--port", 0, cwd=tmp_path)
    assert result.returncode == 1
    assert "cannot listen on 192.0.2.1:0" in result.stderr and "--host is an address" in result.stderr


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    result = dogbreed("serve", "--run", "nothing", cwd=tmp_path)
    assert result.returncode == 2
    assert "no run nothing" in result.stderr
