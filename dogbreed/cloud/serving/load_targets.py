"""Requests for a load test of what is deployed: signed, and sent again as they are while the signature is fresh."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from urllib.parse import quote, urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from dogbreed.capacity.load import Target
from dogbreed.cloud.serving.client import LIVE
from dogbreed.cloud.session import Aws

# AWS takes a signature for five minutes.
_FRESH_S = 60.0


class _Signed(Target):
    """Requests of an AWS service; `service` as it stands in signatures."""

    fresh_s = _FRESH_S
    service = ""
    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(self, aws: Aws, client: str, path: str, photos: Sequence[bytes]) -> None:
        self._aws = aws
        self._url = aws.client(client).meta.endpoint_url.rstrip("/") + path
        super().__init__(self._url, photos)

    def body(self, photo: bytes) -> tuple[bytes, str]:
        """What is sent, and its type."""
        return photo, "application/octet-stream"

    def build(self, photo: bytes) -> bytes:
        """See `Target`."""
        body, kind = self.body(photo)
        request = AWSRequest("POST", self._url, headers={"Content-Type": kind, **self.headers}, data=body)
        credentials = self._aws.session.get_credentials()
        assert credentials, "Aws.session raises where there are none"
        SigV4Auth(credentials.get_frozen_credentials(), self.service, self._aws.region).add_auth(request)
        parts = urlsplit(self._url)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        lines = [f"POST {path} HTTP/1.1", f"Host: {parts.netloc}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in request.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + body


class EndpointTarget(_Signed):
    """InvokeEndpoint with raw photos; an answer of the container that is no 200 counts as its own status."""

    service = "sagemaker"

    def __init__(self, aws: Aws, name: str, photos: Sequence[bytes], component: str = "") -> None:
        if component:
            self.headers = {"X-Amzn-SageMaker-Inference-Component": component}
        super().__init__(aws, "sagemaker-runtime", f"/endpoints/{quote(name)}/invocations", photos)

    def outcome(self, status: str, head: bytes, body: bytes) -> str:
        """See `Target`."""
        with suppress(ValueError, TypeError, AttributeError):
            if status != "200":
                return str(json.loads(body).get("OriginalStatusCode") or status)
        return status


class FunctionTarget(_Signed):
    """Invoke with the photo in base64; the status is the one that the function answers."""

    service = "lambda"

    def __init__(self, aws: Aws, name: str, photos: Sequence[bytes], qualifier: str = LIVE) -> None:
        path = f"/2015-03-31/functions/{quote(name)}/invocations?Qualifier={quote(qualifier)}"
        super().__init__(aws, "lambda", path, photos)

    def body(self, photo: bytes) -> tuple[bytes, str]:
        """See `_Signed`."""
        event = {"body": base64.b64encode(photo).decode("ascii"), "isBase64Encoded": True}
        return json.dumps(event).encode(), "application/json"

    def outcome(self, status: str, head: bytes, body: bytes) -> str:
        """See `Target`."""
        if b"x-amz-function-error" in head:
            return "function error"
        with suppress(ValueError, TypeError, AttributeError):
            return str(json.loads(body).get("statusCode") or status)
        return status
