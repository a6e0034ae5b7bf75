"""Asks what is deployed in the account: an endpoint, a function, or the address of a function; answers as from here.

AWS's client itself waits and repeats where AWS asks for fewer calls; a container that is busy is asked again here.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError

from dogbreed.cloud.errors import code, is_missing
from dogbreed.cloud.session import Aws
from dogbreed.errors import AccessError, DogbreedError, UsageError
from dogbreed.infer.door import Asking, Door, Reply, is_rehearsed, is_signed, region_of

LIVE = "live"
_SHOWN = 5
_PARTS_OF_AN_ARN = 7
# AWS's words for a request to an endpoint with components that names none, and for one that finds no copy.
_WANTS_COMPONENT = re.compile(r"(?i)inference component name header is required")
_ASLEEP = re.compile(r"(?i)inference component has no capacity")


def component_of(aws: Aws, endpoint: str) -> str:
    """The name of an endpoint's inference component; "" where it has none."""
    told = aws.client("sagemaker").list_inference_components(EndpointNameEquals=endpoint, MaxResults=1)
    return next((str(one["InferenceComponentName"]) for one in told["InferenceComponents"]), "")


class OfEndpoint(Asking):
    """A SageMaker endpoint that runs `dogbreed serve`, by its name (sagemaker:InvokeEndpoint)."""

    def __init__(self, aws: Aws, name: str) -> None:
        self._aws, self.name = aws, name
        self.where = f"endpoint {name}"
        self._client = aws.client("sagemaker-runtime")
        # Known once the endpoint has said that it wants it: one without a component costs no look.
        self._component = ""

    def ask(self, data: bytes, top_k: int) -> Reply:
        """InvokeEndpoint. UsageError for an endpoint that is not there, DogbreedError for one that is not ready."""
        named = {"InferenceComponentName": self._component} if self._component else {}
        try:
            said = self._client.invoke_endpoint(
                EndpointName=self.name,
                Body=data,
                ContentType="application/octet-stream",
                CustomAttributes=f"top_k={top_k}",
                **named,
            )
            return Reply(200, said["Body"].read())
        except ClientError as error:
            if code(error) == "ModelError":
                answer: Any = error.response
                return Reply(int(answer.get("OriginalStatusCode", 500)), answer.get("OriginalMessage", "").encode())
            if _is_too_large(error):
                return Reply(413, b"")
            if not named and _WANTS_COMPONENT.search(str(error)):
                self._component = component_of(self._aws, self.name)
                if self._component:
                    return self.ask(data, top_k)
                raise DogbreedError(f"{self.where} has no model", "dogbreed deploy --component gives it one") from error
            if _ASLEEP.search(str(error)):
                raise DogbreedError(
                    f"{self.where} sleeps: no copy of its model runs",
                    "where dogbreed scale --to-zero was applied this call wakes one; ask again in some minutes",
                ) from error
            if is_missing(error):
                names = _listed(self._aws, "sagemaker", "list_endpoints", "Endpoints", "EndpointName")
                raise _absent("endpoint", self.name, names) from error
            raise


class OfFunction(Asking):
    """A Lambda function of dogbreed's, by its name (lambda:InvokeFunction); `name:qualifier` names another version."""

    def __init__(self, aws: Aws, name: str) -> None:
        self._aws, self.name = aws, name
        self.where = f"function {name}"
        self._client = aws.client("lambda")

    def ask(self, data: bytes, top_k: int) -> Reply:
        """Invoke. UsageError for a function that is not there, DogbreedError for one that fails."""
        name, qualifier = _qualified(self.name)
        event = {
            "body": base64.b64encode(data).decode("ascii"),
            "isBase64Encoded": True,
            "queryStringParameters": {"top_k": str(top_k)},
        }
        try:
            said = self._client.invoke(FunctionName=name, Qualifier=qualifier, Payload=json.dumps(event))
        except ClientError as error:
            if _is_too_large(error):
                return Reply(413, b"")
            if is_missing(error):
                names = _listed(self._aws, "lambda", "list_functions", "Functions", "FunctionName")
                raise _absent("function", name, names) from error
            raise
        return self._reply(said, said["Payload"].read())

    def _reply(self, said: Any, payload: bytes) -> Reply:
        try:
            answer = json.loads(payload)
            if "FunctionError" in said:
                words = " ".join(str(answer.get("errorMessage", "it failed")).split())[:200]
                raise DogbreedError(f"{self.where} failed: {words}", f"its log is /aws/lambda/{self.name}")
            headers = {str(name).lower(): str(value) for name, value in answer.get("headers", {}).items()}
            return Reply(int(answer["statusCode"]), answer["body"].encode(), headers.get("retry-after", ""))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            hint = "is it one that dogbreed deploy made?"
            raise DogbreedError(f"{self.where} gave an answer of another form", hint) from error


class OfUrl(Door):
    """The address of a function (AuthType AWS_IAM): each request is signed with the person's credentials."""

    def __init__(self, aws: Aws, url: str) -> None:
        bare = url.partition("://")[2] or url
        # At AWS only what is encrypted; the stand-in speaks plain HTTP, on this machine.
        super().__init__(url if is_rehearsed(url) else f"https://{bare}")
        if not is_signed(self.url):
            raise UsageError(f"{url} is no address of a Lambda function", "requests are signed for AWS only")
        self._session = aws.session
        self._region = region_of(self.url) or aws.region

    def ask(self, data: bytes, top_k: int) -> Reply:
        """Post a signed request. AccessError where these credentials may not."""
        reply = super().ask(data, top_k)
        if reply.status == 403:
            actions = "lambda:InvokeFunctionUrl and lambda:InvokeFunction"
            raise AccessError(f"not allowed: {actions} for {self.where}", "dogbreed iam policy --for invoke has them")
        return reply

    def headers(self, path: str, data: bytes) -> Mapping[str, str]:
        """With the signature of this very request."""
        request = AWSRequest("POST", f"{self.url}{path}", headers=dict(super().headers(path, data)), data=data)
        credentials = self._session.get_credentials()
        assert credentials, "Aws.session raises where there are none"
        SigV4Auth(credentials.get_frozen_credentials(), "lambda", self._region).add_auth(request)
        return dict(request.headers.items())


def _qualified(name: str) -> tuple[str, str]:
    """Name (or ARN) and version of what people call a function; the alias `live` where they name no version."""
    parts = name.split(":")
    plain = _PARTS_OF_AN_ARN if parts[0] == "arn" else 1
    return ":".join(parts[:plain]), ":".join(parts[plain:]) or LIVE


def _listed(aws: Aws, service: str, operation: str, key: str, name: str) -> list[str]:
    """The names of what this project has of a kind; none where that may not be looked up."""
    start = f"{aws.settings.project}-"
    try:
        pages = aws.client(service).get_paginator(operation).paginate()
        found: Iterable[str] = (one[name] for page in pages for one in page[key] if one[name].startswith(start))
        return sorted(islice(found, _SHOWN))
    except (ClientError, BotoCoreError):
        return []


def _absent(kind: str, name: str, names: list[str]) -> DogbreedError:
    if name in names:
        return DogbreedError(f"{kind} {name} is there, but not ready", "dogbreed status shows its state")
    makes = {"endpoint": "endpoint", "function": "lambda"}[kind]
    none = f"this project has none; dogbreed deploy --to {makes} makes one"
    return UsageError(f"there is no {kind} {name}", f"this project has: {', '.join(names)}" if names else none)


def _is_too_large(error: ClientError) -> bool:
    return bool(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 413)
