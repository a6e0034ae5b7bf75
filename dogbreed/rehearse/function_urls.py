"""Function URLs: each is a port of its own on 127.0.0.1, where requests become calls of the function.

A signed request is let through by its access key, as everywhere in the stand-in; the name `lambda` must be signed for.
An unsigned one needs AuthType NONE and both public permissions. Responses are buffered, never streamed.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from moto.core.utils import get_service_model
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from dogbreed.rehearse import access, function_http, wire
from dogbreed.rehearse.calls import AwsError, Call
from dogbreed.rehearse.function_policy import URL_ACTIONS, is_public
from dogbreed.rehearse.function_records import LATEST, Function, conflict, invalid, not_found
from dogbreed.rehearse.function_rules import SYNCHRONOUS

if TYPE_CHECKING:
    from dogbreed.rehearse.cloud import Cloud
    from dogbreed.rehearse.function_aliases import Operations
    from dogbreed.rehearse.function_invoke import Invoker
    from dogbreed.rehearse.function_records import Records

_POLL_S = 0.1
_FORBIDDEN = "Forbidden. For troubleshooting Function URL authorization issues, see: "
_FORBIDDEN += "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
_ACCESS_DENIED = "AccessDeniedException"


@dataclass
class Url:
    """The URL of one function, or of one of its aliases; `answer` is its WSGI application."""

    function: Function
    qualifier: str
    auth: str
    created: str
    changed: str
    answer: Callable[[Url, Request], Response]
    cors: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        self._server = make_server("127.0.0.1", 0, self._application, threaded=True, request_handler=_Handler)
        self._server.daemon_threads = True  # type: ignore[attr-defined]
        self.address = f"http://127.0.0.1:{self._server.server_port}/"
        serve = self._server.serve_forever
        threading.Thread(target=serve, kwargs={"poll_interval": _POLL_S}, daemon=True).start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()

    def told(self) -> dict[str, Any]:
        """As the API shows it."""
        answer = {
            "FunctionUrl": self.address,
            "FunctionArn": self.function.qualified(self.qualifier),
            "AuthType": self.auth,
            "CreationTime": self.created,
            "LastModifiedTime": self.changed,
            "InvokeMode": "BUFFERED",
        }
        return answer | ({"Cors": self.cors} if self.cors else {})

    def _application(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        return self.answer(self, Request(environ))(environ, start)


class Urls:
    """Makes, changes and removes URLs, and answers what comes to them."""

    def __init__(self, cloud: Cloud, records: Records, invoker: Invoker) -> None:
        self._cloud = cloud
        self._records = records
        self._invoker = invoker
        self._urls: dict[tuple[str, str, str], Url] = {}

    def operations(self) -> Operations:
        """What it answers, by operation."""
        return {
            "CreateFunctionUrlConfig": self._create,
            "GetFunctionUrlConfig": lambda call: self._found(call).told(),
            "UpdateFunctionUrlConfig": self._update,
            "DeleteFunctionUrlConfig": self._delete,
            "ListFunctionUrlConfigs": self._list,
        }

    def forget(self, function: Function) -> None:
        """The function is gone, and so are its URLs."""
        for key in [key for key, url in self._urls.items() if url.function is function]:
            self._urls.pop(key).close()

    # -- operations

    def _create(self, call: Call) -> dict[str, Any]:
        function, qualifier = self._records.find(call.region, call.params)
        if qualifier and (qualifier == LATEST or qualifier not in function.aliases):
            raise invalid("Function URLs are of a function or of one of its aliases.")
        key = (function.region, function.name, qualifier)
        if key in self._urls:
            raise conflict(f"Function URL config already exists for function: {function.qualified(qualifier)}")
        _check_mode(call)
        now, auth = self._now(), call.params["AuthType"]
        url = Url(function, qualifier, auth, now, now, self._answer, call.params.get("Cors") or {})
        self._urls[key] = url
        return url.told()

    def _update(self, call: Call) -> dict[str, Any]:
        url = self._found(call)
        _check_mode(call)
        url.auth = call.params.get("AuthType") or url.auth
        url.cors = call.params.get("Cors", url.cors) or {}
        url.changed = self._now()
        return url.told()

    def _delete(self, call: Call) -> dict[str, Any]:
        url = self._found(call)
        del self._urls[url.function.region, url.function.name, url.qualifier]
        url.close()
        return {}

    def _list(self, call: Call) -> dict[str, Any]:
        function, _ = self._records.find(call.region, call.params)
        return {"FunctionUrlConfigs": [url.told() for url in self._urls.values() if url.function is function]}

    def _found(self, call: Call) -> Url:
        function, qualifier = self._records.find(call.region, call.params)
        url = self._urls.get((function.region, function.name, qualifier))
        if url is None:
            raise not_found("The resource you requested does not exist.")
        return url

    # -- requests

    def _answer(self, url: Url, request: Request) -> Response:
        origin = _allowed_origin(url.cors, request)
        if origin and request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return _with_cors(Response(status=200), url.cors, origin)
        answer = self._called(url, request)
        return _with_cors(answer, url.cors, origin) if origin else answer

    def _called(self, url: Url, request: Request) -> Response:
        key, region, signed_as = wire.credential(request)  # type: ignore[arg-type]
        who = access.principal(self._cloud, key) if key else ""
        signed = bool(who) and signed_as == "lambda" and region == url.function.region
        if not (signed if url.auth == "AWS_IAM" else is_public(url.function, url.qualifier)):
            return function_http.refusal(403, _FORBIDDEN, _ACCESS_DENIED)
        caller = function_http.Caller(who, key, self._cloud.account) if signed else None
        try:
            self._note(url, request, who if signed else "", key)
            if (request.content_length or 0) > SYNCHRONOUS:
                return function_http.refusal(413, "Request Entity Too Large", "RequestTooLargeException")
            event = function_http.event(request, url.id, self._cloud.clock.now(), caller)
            payload = json.dumps(event).encode()
            if len(payload) > SYNCHRONOUS:
                return function_http.refusal(413, "Request Entity Too Large", "RequestTooLargeException")
            self._invoker.ready(url.function, url.qualifier)
            outcome = self._invoker.run(url.function, url.qualifier, payload)
        except AwsError as error:
            status = {"TooManyRequestsException": 429, _ACCESS_DENIED: 403}.get(error.code, 502)
            return function_http.refusal(status, error.message, error.code)
        if outcome.failed:
            return function_http.refusal(502, "Internal Server Error", "Runtime.Error")
        answer = function_http.response(outcome.payload)
        answer.headers["x-amzn-RequestId"] = outcome.request
        return answer

    def _note(self, url: Url, request: Request, who: str, key: str) -> None:
        """Keep a record of what a request needs rights for; AwsError where a fault denies one."""
        for action in URL_ACTIONS:
            call = Call(
                service="lambda",
                operation="InvokeFunctionUrl",
                region=url.function.region,
                key=key,
                who=who,
                params={},
                model=get_service_model("lambda").operation_model("Invoke"),
                request=request,  # type: ignore[arg-type]
                protocol="rest-json",
                action=action,
                resources=(url.function.qualified(url.qualifier),),
            )
            record = self._cloud.calls.add(call, platform=self._cloud.is_platform(key))[0]
            record.status = 403
            self._cloud.faults.strike(call, platform=False)
            record.status = 200

    def _now(self) -> str:
        return f"{self._cloud.clock.now():%Y-%m-%dT%H:%M:%S.%f}Z"


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def _check_mode(call: Call) -> None:
    if call.params.get("InvokeMode") == "RESPONSE_STREAM":
        raise invalid("The stand-in's function URLs do not stream responses: use the invoke mode BUFFERED.")


def _allowed_origin(cors: dict[str, Any], request: Request) -> str:
    """The origin of a request from a page that may read the answer; empty for any other."""
    origin = request.headers.get("Origin", "")
    return origin if origin and {"*", origin} & set(cors.get("AllowOrigins", [])) else ""


def _with_cors(answer: Response, cors: dict[str, Any], origin: str) -> Response:
    answer.headers["Access-Control-Allow-Origin"] = "*" if "*" in cors["AllowOrigins"] else origin
    for name in ("AllowMethods", "AllowHeaders", "ExposeHeaders"):
        if cors.get(name):
            kind = name.replace("Allow", "Allow-").replace("Expose", "Expose-")
            answer.headers[f"Access-Control-{kind}"] = ",".join(cors[name])
    if "MaxAge" in cors:
        answer.headers["Access-Control-Max-Age"] = str(cors["MaxAge"])
    if cors.get("AllowCredentials"):
        answer.headers["Access-Control-Allow-Credentials"] = "true"
    return answer
