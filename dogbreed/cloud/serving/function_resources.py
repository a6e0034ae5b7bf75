"""A Lambda function as a resource, and how Lambda is asked while it is at another change.

Callers use a function by its alias (`dogbreed.cloud.serving.function_alias`); what is changed here is $LATEST, which
nobody calls, so that a change is whole before the alias moves to it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from dogbreed.cloud.errors import code, is_missing
from dogbreed.cloud.roles import PROPAGATION_S, is_propagating
from dogbreed.cloud.serving.function_code import Zip
from dogbreed.cloud.serving.hosted import gone
from dogbreed.cloud.session import Aws
from dogbreed.errors import DogbreedError
from dogbreed.plan import Found, Resource

# What a published version keeps of a function, in the words of plans.
VERSIONED = ("code", "runtime", "handler", "role", "memory", "timeout", "environment", "architecture", "tracing")
_ARCHITECTURE = "x86_64"
_AGAIN_S = 0.5
_ROLE_TAG = "function"


@dataclass(frozen=True)
class Spec:
    """What a function is to be: memory in MB, time for one call in seconds, `reserved` concurrency (0: none)."""

    code: Zip
    role: str
    memory: int
    timeout: int
    environment: Mapping[str, str] = field(default_factory=dict)
    reserved: int = 0
    # The bucket that holds the code; "" sends it with the call.
    bucket: str = ""

    def content(self) -> dict[str, Any]:
        """In the shape of `seen`."""
        return {
            "code": self.code.sha256,
            "runtime": self.code.runtime,
            "handler": self.code.handler,
            "role": self.role,
            "memory": self.memory,
            "timeout": self.timeout,
            "environment": dict(self.environment),
            "architecture": _ARCHITECTURE,
            "tracing": "PassThrough",
            "log format": "JSON",
        }

    def package(self) -> dict[str, Any]:
        """Where Lambda gets the code."""
        if self.bucket:
            return {"S3Bucket": self.bucket, "S3Key": self.code.key}
        return {"ZipFile": self.code.data}

    def configuration(self) -> dict[str, Any]:
        """All but the code, as the API takes it."""
        return {
            "Runtime": self.code.runtime,
            "Handler": self.code.handler,
            "Role": self.role,
            "MemorySize": self.memory,
            "Timeout": self.timeout,
            "Environment": {"Variables": dict(self.environment)},
            "TracingConfig": {"Mode": "PassThrough"},
            # One line of JSON for each request, and the platform's report with its duration and memory.
            "LoggingConfig": {"LogFormat": "JSON", "ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO"},
        }


def seen(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """What Lambda says of a function or version, to compare."""
    return {
        "code": configuration.get("CodeSha256"),
        "runtime": configuration.get("Runtime"),
        "handler": configuration.get("Handler"),
        "role": configuration.get("Role"),
        "memory": configuration.get("MemorySize"),
        "timeout": configuration.get("Timeout"),
        "environment": configuration.get("Environment", {}).get("Variables", {}),
        "architecture": (configuration.get("Architectures") or [""])[0],
        "tracing": configuration.get("TracingConfig", {}).get("Mode"),
        "log format": configuration.get("LoggingConfig", {}).get("LogFormat"),
    }


class Function(Resource):
    """A function named `name`; without a `spec` only to be looked at and removed."""

    kind = "function"

    def __init__(self, aws: Aws, name: str, spec: Spec | None = None) -> None:
        self.aws, self.name, self.spec = aws, name, spec
        self.arn = aws.arn("lambda", f"function:{name}")

    def wanted(self) -> Mapping[str, Any]:
        """Code, configuration, reserved concurrency, tags, and nobody from elsewhere who may call it."""
        if self.spec is None:
            return {}
        own = {"reserved": self.spec.reserved, "tags": self.aws.tags(_ROLE_TAG), "open to": [], "failed": False}
        return self.spec.content() | own

    def unasked(self, found: Found) -> str:
        """What it has and is not asked for any more: itself, as the function in front, or what is reserved for it."""
        if self.spec is None:
            return "--front"
        reserved = found.content["reserved"]
        return f"--reserved-concurrency {reserved}" if reserved and not self.spec.reserved else ""

    def find(self) -> Found | None:
        """Look at $LATEST, the reserved concurrency and the resource policy."""
        try:
            answer = self.client.get_function(FunctionName=self.name)
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        configuration, tags = answer["Configuration"], answer.get("Tags", {})
        content = seen(configuration)
        content["reserved"] = answer.get("Concurrency", {}).get("ReservedConcurrentExecutions", 0)
        content["tags"] = self.aws.seen(tags, _ROLE_TAG)
        content["open to"] = opened(self.client, FunctionName=self.name)
        state = configuration.get("State", "Active")
        content["failed"] = failed = "Failed" in (state, configuration.get("LastUpdateStatus"))
        why = configuration.get("LastUpdateStatusReason") or configuration.get("StateReason") or ""
        return Found(self.arn, content, state, ours=self.aws.is_ours(tags), error=why if failed else "")

    def create(self) -> None:
        """Make it, once Lambda knows its role."""
        spec = self._spec()
        patiently(
            lambda: self.client.create_function(
                FunctionName=self.name,
                Code=spec.package(),
                Architectures=[_ARCHITECTURE],
                Tags=self.aws.tags(_ROLE_TAG),
                **spec.configuration(),
            )
        )
        if spec.reserved:
            self._reserve(spec.reserved)

    def update(self, found: Found) -> None:
        """Change what differs; Lambda does one change after the other."""
        spec, wanted = self._spec(), self.wanted()
        differs = {key for key in wanted if found.content.get(key) != wanted[key]}
        # After a change that failed it is not certain what Lambda has taken.
        if differs & {"code", "architecture", "failed"}:
            given = {"FunctionName": self.name, "Architectures": [_ARCHITECTURE], **spec.package()}
            patiently(lambda: self.client.update_function_code(**given))
        if differs & (spec.content().keys() - {"code", "architecture"} | {"failed"}):
            configuration = spec.configuration()
            patiently(lambda: self.client.update_function_configuration(FunctionName=self.name, **configuration))
        if "reserved" in differs:
            self._reserve(spec.reserved)
        if "tags" in differs:
            self.client.tag_resource(Resource=self.arn, Tags=wanted["tags"])
        close(self.client, found.content.get("open to", ()), FunctionName=self.name)

    def delete(self, found: Found) -> None:
        """Remove it with its versions and aliases."""
        gone(lambda: patiently(lambda: self.client.delete_function(FunctionName=self.name)))

    def ready(self) -> bool:
        """Whether Lambda has taken the last change; DogbreedError where it could not."""
        return is_active(self.client, self.name)

    @property
    def client(self) -> Any:
        """Of Lambda."""
        return self.aws.client("lambda")

    def _spec(self) -> Spec:
        if self.spec is None:
            raise DogbreedError(f"function {self.name} was only to be looked at", "dogbreed deploy makes it")
        return self.spec

    def _reserve(self, concurrency: int) -> None:
        if concurrency:
            given = {"FunctionName": self.name, "ReservedConcurrentExecutions": concurrency}
            patiently(lambda: self.client.put_function_concurrency(**given))
        else:
            patiently(lambda: self.client.delete_function_concurrency(FunctionName=self.name))


def patiently(call: Callable[[], Any], wait_s: float = PROPAGATION_S) -> Any:
    """What `call` answers, asked again while Lambda is at another change or does not know a fresh role yet."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return call()
        except ClientError as error:
            # "The operation cannot be performed at this time. An update is in progress ..."
            busy = code(error) == "ResourceConflictException" and "at this time" in str(error)
            if not (busy or is_propagating(error)) or time.monotonic() > deadline:
                raise
        time.sleep(_AGAIN_S)


def is_active(client: Any, name: str, qualifier: str = "$LATEST") -> bool:
    """Whether a version can be called and no change is under way; DogbreedError with Lambda's reason if it failed."""
    said = client.get_function_configuration(FunctionName=name, Qualifier=qualifier)
    for status, reason in (("State", "StateReason"), ("LastUpdateStatus", "LastUpdateStatusReason")):
        if said.get(status) == "Failed":
            raise DogbreedError(f"function {name}: {said.get(reason) or 'Lambda failed'}", "dogbreed deploy repeats it")
    return bool(said.get("State") != "Pending" and said.get("LastUpdateStatus") != "InProgress")


def opened(client: Any, **which: str) -> list[str]:
    """The statements of a resource policy that let everyone call a function, by their ids."""
    try:
        document = json.loads(client.get_policy(**which)["Policy"])
    except ClientError as error:
        if is_missing(error):
            return []
        raise
    return sorted(
        one.get("Sid", "")
        for one in document.get("Statement", [])
        if one.get("Effect") == "Allow" and one.get("Principal") in ("*", {"AWS": "*"}) and not _confined(one)
    )


def close(client: Any, statements: Any, **which: str) -> None:
    """Take statements off a resource policy."""
    for statement in statements:
        gone(partial(client.remove_permission, StatementId=statement, **which))


def _confined(statement: Mapping[str, Any]) -> bool:
    """Whether a condition names who it is for; the kind of address is no such condition."""
    keys = {key.lower() for test in statement.get("Condition", {}).values() for key in test}
    return bool(keys - {"lambda:functionurlauthtype", "lambda:invokedviafunctionurl"})
