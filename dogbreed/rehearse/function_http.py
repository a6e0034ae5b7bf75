"""HTTP to a function's event and back: payload format 2.0, as function URLs have it.

Source: "Invoking Lambda function URLs" in AWS's developer guide.
"""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Response

if TYPE_CHECKING:
    from datetime import datetime

    from werkzeug.wrappers import Request

_TEXT = ("application/json", "application/xml", "application/javascript", "application/graphql")


@dataclass(frozen=True)
class Caller:
    """Who asks, where that is known: ARN and access key."""

    arn: str
    key: str
    account: str


def event(request: Request, url_id: str, now: datetime, caller: Caller | None) -> dict[str, Any]:
    """The event that a request is."""
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        lower = name.lower()
        if lower != "cookie":
            headers[lower] = f"{headers[lower]},{value}" if lower in headers else value
    address = request.remote_addr or "127.0.0.1"
    headers |= {"x-forwarded-for": address, "x-forwarded-proto": "https", "x-forwarded-port": "443"}
    headers["x-amzn-trace-id"] = f"Root=1-{int(now.timestamp()):08x}-{uuid.uuid4().hex[:24]}"
    context: dict[str, Any] = {
        "accountId": caller.account if caller else "anonymous",
        "apiId": url_id,
        "domainName": request.host,
        "domainPrefix": url_id,
        "http": {
            "method": request.method,
            "path": request.path,
            "protocol": request.environ.get("SERVER_PROTOCOL", "HTTP/1.1"),
            "sourceIp": address,
            "userAgent": request.headers.get("User-Agent", ""),
        },
        "requestId": str(uuid.uuid4()),
        "routeKey": "$default",
        "stage": "$default",
        "time": f"{now:%d/%b/%Y:%H:%M:%S +0000}",
        "timeEpoch": int(now.timestamp() * 1000),
    }
    if caller:
        who = {"accessKey": caller.key, "accountId": caller.account, "callerId": caller.arn.rsplit("/", 1)[-1]}
        context["authorizer"] = {"iam": who | {"userArn": caller.arn, "userId": who["callerId"]}}
    told: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.path,
        "rawQueryString": request.query_string.decode("latin-1"),
        "headers": headers,
        "requestContext": context,
        "isBase64Encoded": False,
    }
    if request.args:
        told["queryStringParameters"] = {name: ",".join(request.args.getlist(name)) for name in request.args}
    if cookies := request.headers.get("Cookie"):
        told["cookies"] = [one.strip() for one in cookies.split(";")]
    if body := request.get_data():
        text = _as_text(request.mimetype, body)
        told["isBase64Encoded"] = text is None
        told["body"] = base64.b64encode(body).decode() if text is None else text
    return told


def response(payload: bytes) -> Response:
    """The response that a function's answer is; 502 for one with a status that is none, as AWS has it."""
    try:
        told = json.loads(payload)
    except ValueError:
        return refusal(HTTPStatus.BAD_GATEWAY, "Internal Server Error")
    if not isinstance(told, dict) or "statusCode" not in told:
        # What is no response by itself is the body of one.
        return Response(told if isinstance(told, str) else payload, 200, content_type="application/json")
    try:
        status = int(told["statusCode"])
        body = told.get("body") or ""
        body = body if isinstance(body, str) else json.dumps(body)
        content = base64.b64decode(body) if told.get("isBase64Encoded") else body.encode()
        answer = Response(content, status)
        answer.headers["Content-Type"] = "application/json"
        for name, value in (told.get("headers") or {}).items():
            answer.headers[name] = str(value).lower() if isinstance(value, bool) else str(value)
        for cookie in told.get("cookies") or []:
            answer.headers.add("Set-Cookie", cookie)
    except (ValueError, TypeError, AttributeError):
        return refusal(HTTPStatus.BAD_GATEWAY, "Internal Server Error")
    return answer


def refusal(status: int, message: str, kind: str = "") -> Response:
    """What Lambda says by itself."""
    answer = Response(json.dumps({"Message": message}), status, content_type="application/json")
    if kind:
        answer.headers["x-amzn-ErrorType"] = kind
    return answer


def _as_text(kind: str, body: bytes) -> str | None:
    """The body as text, where its type says that it is one."""
    if not (kind.startswith("text/") or kind in _TEXT or kind.endswith(("+json", "+xml"))):
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None
