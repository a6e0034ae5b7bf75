"""Run the application: one process, structured logs on stderr, and an end that loses no request."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import uvicorn

from dogbreed.config import ServeSettings
from dogbreed.errors import DogbreedError
from dogbreed.infer.predictor import Predictor
from dogbreed.processors import processors
from dogbreed.run import Run
from dogbreed.serve.app import create
from dogbreed.serve.metrics import Minutes
from dogbreed.serve.refusing import Refusals, protocol

log = logging.getLogger("dogbreed.serve")
_BACKLOG = 256
_FIGURES_EVERY_S = 60
_DRAIN_S = 25  # SageMaker ends a container for good 30 s after SIGTERM
# Python lets a thread run for 5 ms before another one may; with threads that predict, an answer would wait for several
# such turns.
_SWITCH_S = 0.0005


class JsonLines(logging.Formatter):
    """One JSON object a line; `fields` of a record become members of it, a `line` is written as it is."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        if hasattr(record, "line"):
            return str(record.line)
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {"time": f"{when}.{int(record.msecs):03d}Z", "level": record.levelname.lower()}
        line |= {"event": record.getMessage(), **getattr(record, "fields", {})}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class _Server(uvicorn.Server):
    """Says `draining` at /ping from the first signal on, and ends at once on the second."""

    def __init__(self, config: uvicorn.Config, drain: Callable[[], None]) -> None:
        super().__init__(config)
        self._drain = drain

    def handle_exit(self, sig: int, frame: Any) -> None:
        """A signal that ends the service."""
        self._drain()
        super().handle_exit(sig, frame)


def serve(run: Run, settings: ServeSettings, ready: Callable[[str], None], *, verbose: bool = False) -> None:
    """Serve `run` until SIGTERM or SIGINT; `ready(address)` is called once requests are answered.

    Raises DogbreedError when the port cannot be had or the Run's model cannot be used.
    """
    threads = settings.threads or processors()
    sys.setswitchinterval(_SWITCH_S)
    predictor = Predictor.open(run)
    # Before the application, whose threads would have to be ended if this failed.
    listening = _listen(settings.host, settings.port)
    app = create(predictor, settings, name=run.name, threads=threads)
    host, port = listening.getsockname()[:2]
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    log.handlers, log.propagate = [handler], False
    log.setLevel(logging.DEBUG if verbose else logging.INFO)
    refusals = Refusals(app.service.workers, app.service.metrics)
    config = uvicorn.Config(
        app,
        http=protocol(refusals),
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=_DRAIN_S,
        timeout_keep_alive=75,  # longer than the 60 s of AWS's load balancer, which so never meets a closed connection
        backlog=_BACKLOG,
        ws="none",
    )

    def drain() -> None:
        app.service.draining = True

    server = _Server(config, drain)

    called = {"Service": settings.name} if settings.name else {"Run": run.name}
    minutes = Minutes(app.service.metrics, called)

    async def tell_figures() -> None:
        while True:
            await asyncio.sleep(_FIGURES_EVERY_S)
            log.info("figures", extra={"line": minutes.line()})

    async def main() -> None:
        task = asyncio.create_task(server.serve(sockets=[listening]))
        while not (server.started or task.done()):
            await asyncio.sleep(0.01)
        if server.started:
            ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        telling = asyncio.create_task(tell_figures()) if settings.emf else None
        await task
        refusals.tell()
        if telling:
            telling.cancel()
            log.info("figures", extra={"line": minutes.line()})

    # uvicorn raises the signal again after the end; SIGTERM is how a service is told to end, and no failure.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        # uvloop where it is installed: it sends an answer's head and body at once, and each send waits for the threads.
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(main())
    finally:
        signal.signal(signal.SIGTERM, before)
        app.service.workers.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        kind = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        # With its protocol named, since asyncio sends small answers at once (TCP_NODELAY) only where that says TCP.
        listening = socket.socket(*kind[:3])
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(kind[4])
        return listening
    except OSError as error:
        raise DogbreedError(f"cannot listen on {host}:{port}: {error.strerror or error}", _other(error)) from error


def _other(error: OSError) -> str:
    unknown = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
    return "--host is an address of this machine, such as 127.0.0.1 or 0.0.0.0" if unknown else "choose another --port"
