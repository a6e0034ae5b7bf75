"""What a full queue refuses at the head of a request: in order, whole, counted, and the connection stays good."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from dogbreed.serve import workers as module
from dogbreed.serve.metrics import Metrics
from dogbreed.serve.refusing import Refusals, protocol
from dogbreed.serve.workers import Job, Workers

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PLAIN = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
CHUNKED = b"POST /invocations?a=b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
THROUGH = 218
PING = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"


class Held:
    """Stands for the Predictor: no photo is done before it is let go."""

    def __init__(self) -> None:
        self.begun, self.gate = threading.Event(), threading.Event()

    def predict(self, data: bytes, *, name: str, top_k: int) -> Any:
        self.begun.set()
        assert self.gate.wait(60)


async def behind(scope: Any, receive: Any, send: Any) -> None:
    """The application: what reaches it is answered after its whole body, a POST with a status that none else gives."""
    while (await receive()).get("more_body"):
        pass
    status = THROUGH if scope["method"] == "POST" else 200
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


def talk(scenario: Talk, *, full: bool = True, keep_alive_s: int = 60) -> dict[str, float]:
    """A connection to `behind` while one photo is worked on and one waits, or none; requests by route and status."""

    async def main() -> dict[str, float]:
        held = Held()
        workers = Workers(held, 1, 1)  # type: ignore[arg-type]
        metrics = Metrics(lambda: 0)
        refusals = Refusals(workers, metrics)
        config = uvicorn.Config(
            behind, lifespan="off", ws="none", log_config=None, access_log=False, timeout_keep_alive=keep_alive_s
        )
        config.load()
        state, made = ServerState(), protocol(refusals)
        server = await asyncio.get_running_loop().create_server(lambda: made(config, state, {}), "127.0.0.1", 0)
        tasks = [asyncio.create_task(workers.answer(Job([("", b"")], 1), 60)) for _ in range(full)]
        if full:
            await asyncio.to_thread(held.begun.wait, 60)
            tasks.append(asyncio.create_task(workers.answer(Job([("", b"")], 1), 60)))
        try:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            await asyncio.wait_for(scenario(reader, writer), 60)
            writer.close()
        finally:
            held.gate.set()
            await asyncio.gather(*tasks)
            await asyncio.to_thread(workers.close)
            server.close()
        refusals.tell()
        samples = [sample for family in metrics.registry.collect() for sample in family.samples]
        return {
            f"{sample.labels['route']} {sample.labels['status']}": sample.value
            for sample in samples
            if sample.name == "dogbreed_requests_total"
        }

    return asyncio.run(main())


async def answered(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one answer."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if line)
    return int(lines[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


def test_a_refusal_has_the_one_form_and_the_id_that_was_given() -> None:
    async def scenario(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(PLAIN.replace(b"Host: x", b"X-Request-ID: rex-1"))
        status, headers, body = await answered(reader)
        error = json.loads(body)["error"]
        assert (status, headers["content-type"], headers["retry-after"]) == (503, "application/json", "1")
        assert (error["code"], error["request_id"], headers["x-request-id"]) == ("busy", "rex-1", "rex-1")
        # An id that could break the log is not taken over, and each of ours is another one.
        writer.write(PLAIN.replace(b"Host: x", b"X-Request-ID: a b") * 2)
        ids = {(await answered(reader))[1]["x-request-id"] for _ in range(2)}
        assert len(ids) == 2 and "a b" not in ids

    assert talk(scenario) == {"/predict 503": 3}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([PLAIN, CHUNKED, PING]), min_size=1, max_size=6), st.data())
def test_however_requests_arrive_each_has_its_answer_in_order(requests: list[bytes], data: st.DataObject) -> None:
    sent = b"".join(requests)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(sent) - 1), max_size=8)))

    async def scenario(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
            writer.write(sent[start:end])
            await asyncio.sleep(0)
        statuses = [(await answered(reader))[0] for _ in requests]
        before = 503
        for request, status in zip(requests, statuses, strict=True):
            # Behind one that is not answered yet, the order of the answers is left to the server.
            through = status == THROUGH and before != 503
            assert status == 200 if request == PING else status == 503 or through
            before = status
        refused.append(statuses.count(503))

    refused: list[int] = []
    assert sum(talk(scenario).values()) == refused[0]


@pytest.mark.parametrize(
    "odd",
    [
        PLAIN.replace(b"POST", b"PUT"),
        PLAIN.replace(b"/predict", b"/predicted"),
        PLAIN.replace(b"1.1", b"1.0"),
        PLAIN.replace(b"Host: x", b"Connection: close"),
        PLAIN.replace(b"Host: x", b"Expect: 100-continue"),
    ],
)
def test_what_is_unusual_goes_the_long_way(odd: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(odd)
        lines = await reader.readuntil(b"\r\n\r\n")
        if b" 100 " in lines:
            lines = await reader.readuntil(b"\r\n\r\n")
        assert b" 218 " in lines or b" 200 " in lines

    # Nor does it make others be refused: that a refusal was due is remembered.
    asked: list[Refusals] = []
    monkeypatch.setattr(Refusals, "is_due", asked.append)
    assert talk(scenario) == {} and not asked


@pytest.mark.parametrize("rest", [b"a", b"abc"])
def test_a_connection_that_is_quiet_after_a_refusal_is_closed(rest: bytes) -> None:
    async def scenario(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(PLAIN.removesuffix(b"abc"))
        assert (await answered(reader))[0] == 503
        writer.write(rest)
        assert await reader.read() == b""

    talk(scenario, keep_alive_s=1)


def test_nothing_is_refused_while_there_is_room() -> None:
    async def scenario(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(PLAIN + CHUNKED)
        assert [(await answered(reader))[0] for _ in range(2)] == [THROUGH, THROUGH]

    assert talk(scenario, full=False) == {}


def test_heads_that_arrive_together_do_not_all_find_the_same_free_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    # However slow this machine is, the refusal is not forgotten.
    monkeypatch.setattr(module, "_CALM_S", 1e6)

    async def main() -> None:
        workers = Workers(Held(), 1, 2)  # type: ignore[arg-type]
        refusals = Refusals(workers, Metrics(lambda: 0))
        try:
            # One for the thread and two that may wait; after a refusal only one may.
            for places in (3, 2):
                for _ in range(places):
                    assert not refusals.is_due()
                    refusals.spare()
                assert refusals.is_due()
                # Their tasks have begun, and nothing was queued: slow senders, who keep no place.
                await asyncio.sleep(0)
                assert not refusals.is_due()
        finally:
            workers.close()

    asyncio.run(main())


def test_the_log_is_told_how_many_there_were(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(PLAIN * 5 + CHUNKED * 2)
        for _ in range(7):
            await answered(reader)

    # The service keeps its log from the root, where pytest listens.
    log = logging.getLogger("dogbreed.serve")
    log.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.INFO, log.name):
            talk(scenario)
    finally:
        log.removeHandler(caplog.handler)
    told: dict[str, int] = {}
    for fields in {id(record): record.fields for record in caplog.records if record.message == "refused"}.values():
        assert fields["status"] == 503
        told[fields["route"]] = told.get(fields["route"], 0) + fields["requests"]
    assert told == {"/predict": 5, "/invocations": 2}
