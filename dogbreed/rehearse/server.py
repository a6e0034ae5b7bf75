"""The stand-in's server: one process on loopback that answers every AWS client.

A request is read, recorded, maybe hit by a fault, checked against the service model, then answered by a service file
of this folder or by moto. The same answers come from a unix socket in its folder, for machines with a network of their
own. `python -m dogbreed.rehearse.server FOLDER REGION PORT` serves until its standard input ends or it is told to end.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from moto.moto_server.werkzeug_app import (
    BackendRequest,
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server
from werkzeug.wrappers import Response

from dogbreed.rehearse import access, control, state, validate, wire
from dogbreed.rehearse.calls import AwsError, Call, answers
from dogbreed.rehearse.cloud import Cloud

# The files that add to what moto can do. They end in this order: what runs out of images before the images.
SERVICES = (
    *("account", "s3", "vpc", "quotas", "sagemaker", "studio", "ec2", "ssm"),
    *("endpoints", "functions", "images", "images_downloads", "schedules"),
    *("groups", "balancers", "alarms", "embedded_metrics", "log_search", "scaling", "budgets"),
)

# Pages of moto that need no key by themselves.
_OF_MOTO = ("/moto-api", "/latest/meta-data/", "/latest/api/")

_Start = Callable[..., Any]


class _Moto(DomainDispatcherApplication):
    """Moto's application, which looks at 180 folders to find a service's backend; here, once for each service."""

    def __init__(self) -> None:
        super().__init__(create_backend_app)
        self._known: dict[str | None, Any] = {}

    def get_backend_for_host(self, host: str | None) -> Any:
        if host not in self._known:
            self._known[host] = super().get_backend_for_host(host)
        return self._known[host]


class App:
    """The WSGI application."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self._moto = _Moto()
        for name in SERVICES:
            import_module(f"dogbreed.rehearse.{name}").add(cloud)

    def __call__(self, environ: dict[str, Any], start: _Start) -> Iterable[bytes]:
        """Answer one request."""
        request = BackendRequest(environ)
        if access.from_browser(request):
            return Response("The stand-in does not speak with browsers.", 403)(environ, start)
        if request.path.startswith((control.PREFIX, control.CREDENTIALS)):
            return control.answer(self.cloud, request)(environ, start)
        call = None if request.path.startswith(_OF_MOTO) else wire.read(self.cloud, request)
        if call is None:
            known = access.principal(self.cloud, wire.credential(request)[0])
            answer = self._ask_moto(environ) if known else Response("This is no call of AWS.", 403)
            return answer(environ, start)
        platform = self.cloud.is_platform(call.key)
        records = self.cloud.calls.add(call, platform=platform)
        response = self._answer(call, environ, platform=platform)
        # Where a client asks for the time. Of sts alone: some SDKs sign by the Date of the answer before.
        response.date = self.cloud.clock.now() if call.service == "sts" else datetime.now(UTC)
        error = wire.error_code(response) if response.status_code >= 400 else ""
        for record in records:
            record.status, record.error = response.status_code, error
        return response(environ, start)

    def _answer(self, call: Call, environ: dict[str, Any], *, platform: bool) -> Response:
        try:
            access.check(call)
            self.cloud.faults.strike(call, platform=platform)
            validate.check(call)
            if answers(result := self.cloud.answer(call)):
                return wire.write(call, result)
        except AwsError as error:
            return wire.write(call, error)
        except Exception as error:
            logging.exception("%s %s", call.service, call.operation)
            return wire.write(call, AwsError("InternalFailure", f"the stand-in failed: {error!r}", 500))
        response = self._ask_moto(environ)
        afters = self.cloud.afters.get((call.service, call.operation), ())
        if afters and response.status_code < 300:
            answer = wire.understand(call, response)
            try:
                for function in afters:
                    if (changed := function(call, answer)) is not None:
                        answer, response = changed, wire.write(call, changed)
            except AwsError as error:
                return wire.write(call, error)
        return response

    def _ask_moto(self, environ: dict[str, Any]) -> Response:
        environ.pop("werkzeug.request", None)
        return Response.from_app(self._moto, environ, buffered=False)


class _LocalHandler(MotoRequestHandler):
    """Says nothing: calls are recorded, and a log of each would only slow them down."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass

    def send_response(self, code: int, message: str | None = None) -> None:
        # Without the Date of this machine's clock: answers have their own.
        self.send_response_only(code, message)
        self.send_header("Server", self.version_string())

    def address_string(self) -> str:
        # On a unix socket there is no address.
        return self.client_address[0] if self.client_address else "local"


class _Handler(_LocalHandler):
    # Small answers must not wait for the acknowledgement of the one before.
    disable_nagle_algorithm = True


def serve(folder: Path, region: str, port: int, ended: threading.Event) -> None:
    """Answer on 127.0.0.1:`port` (0: any) and on `folder`/server.sock until `ended` is set."""
    cloud = Cloud(folder, region, key := os.environ.pop(access.VARIABLE, "") or access.new_key())
    app = App(cloud)
    servers = [make_server("127.0.0.1", port, app, threaded=True, request_handler=_Handler)]
    cloud.url = f"http://127.0.0.1:{servers[0].server_port}"
    os.environ["MOTO_PORT"] = str(servers[0].server_port)
    with suppress(FileNotFoundError):
        cloud.socket.unlink()
    # By its short name, since the path of a unix socket has 107 characters at most.
    os.chdir(folder)
    servers.append(make_server(f"unix://{cloud.socket.name}", 0, app, threaded=True, request_handler=_LocalHandler))
    for server in servers:
        server.daemon_threads = True  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
    cloud.controls["end"] = lambda told: ended.set()
    state.write(folder, port=servers[0].server_port, region=region, key=key)
    try:
        ended.wait()
    finally:
        cloud.end()
        state.forget(folder)


def main() -> None:
    """Serve as the words on the command line say."""
    folder, region, port = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    logging.basicConfig(level=logging.WARNING)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    owned = len(sys.argv) > 4  # it belongs to whoever started it, and ends with them, folder and all
    if owned:
        threading.Thread(target=_end_with_owner, args=[ended], daemon=True).start()
    serve(folder, region, port, ended)
    if owned:
        shutil.rmtree(folder, ignore_errors=True)


def _end_with_owner(ended: threading.Event) -> None:
    while os.read(0, 1):
        pass
    ended.set()


if __name__ == "__main__":
    main()
