"""What callers of a function use: the alias `live`, copies that are kept started for it, and its address.

An update publishes a version and moves the alias, so that callers, copies and address stay as they are; the version
before is kept, and the last one with another model; older ones go.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any

from botocore.exceptions import ClientError

from dogbreed import priced
from dogbreed.cloud.errors import code, is_missing
from dogbreed.cloud.serving.function_resources import (
    VERSIONED,
    Function,
    close,
    is_active,
    opened,
    patiently,
    seen,
)
from dogbreed.cloud.serving.hosted import gone
from dogbreed.errors import DogbreedError
from dogbreed.plan import Found, Resource
from dogbreed.priced import Price

LIVE = "live"
_ACTIVE_S, _LOOK_S = 120.0, 0.2


class Alias(Resource):
    """`live`: the version that answers, with what it was published with."""

    kind = "function alias"

    def __init__(self, function: Function) -> None:
        self.function = function
        self.name = f"{function.name}:{LIVE}"
        self._which = {"FunctionName": function.name, "Qualifier": LIVE}

    def wanted(self) -> Mapping[str, Any]:
        """Code and configuration of the function, all calls to one version, none from everywhere."""
        if self.function.spec is None:
            return {}
        content = self.function.spec.content()
        return {key: content[key] for key in VERSIONED} | {"also": {}, "open to": []}

    def find(self) -> Found | None:
        """Look at the alias and its version."""
        function = self.function.find()
        try:
            alias = self._client.get_alias(FunctionName=self.function.name, Name=LIVE)
            version = self._client.get_function_configuration(**self._which)
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        content = {key: value for key, value in seen(version).items() if key in VERSIONED}
        content["version"] = alias["FunctionVersion"]
        content["also"] = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
        content["open to"] = opened(self._client, **self._which)
        state = f"version {alias['FunctionVersion']}"
        return Found(alias["AliasArn"], content, state, ours=function is not None and function.ours)

    def create(self) -> None:
        """Publish the function, and name that version."""
        version = self._publish()
        try:
            self._client.create_alias(FunctionName=self.function.name, Name=LIVE, FunctionVersion=version)
        except ClientError as error:
            if code(error) != "ResourceConflictException":
                raise
            self._move(version)

    def update(self, found: Found) -> None:
        """Publish the function and move to that version; what no rollback would need goes."""
        wanted = self.wanted()
        if any(found.content.get(key) != wanted[key] for key in (*VERSIONED, "also")):
            version, now = self._publish(), found.content["version"]
            self._move(version)
            other = now if found.content["code"] != wanted["code"] else self.before(found)
            self._forget({version, now, other})
        close(self._client, found.content.get("open to", ()), **self._which)

    def delete(self, found: Found) -> None:
        """Remove the name; the versions go with the function."""
        gone(lambda: patiently(lambda: self._client.delete_alias(FunctionName=self.function.name, Name=LIVE)))

    def before(self, found: Found) -> str:
        """The newest version with another model than the one that answers; "" where there is none."""
        others = [one["Version"] for one in self._versions() if one["CodeSha256"] != found.content["code"]]
        return max(others, key=int, default="")

    def ready(self) -> bool:
        """Whether the version can be called."""
        return is_active(self._client, self.function.name, LIVE)

    @property
    def _client(self) -> Any:
        return self.function.client

    def _publish(self) -> str:
        """The number of a version that can be called; Lambda makes none where nothing has changed since the last."""
        spec, name = self.function.spec, self.function.name
        given = {"FunctionName": name} | ({"CodeSha256": spec.code.sha256} if spec else {})
        version = str(patiently(lambda: self._client.publish_version(**given))["Version"])
        deadline = time.monotonic() + _ACTIVE_S
        while not is_active(self._client, name, version):
            if time.monotonic() > deadline:
                raise DogbreedError(f"version {version} of {name} does not start", "dogbreed deploy repeats it")
            time.sleep(_LOOK_S)
        return version

    def _move(self, version: str) -> None:
        given = {"FunctionName": self.function.name, "Name": LIVE, "FunctionVersion": version}
        patiently(lambda: self._client.update_alias(**given, RoutingConfig={"AdditionalVersionWeights": {}}))

    def _forget(self, kept: set[str]) -> None:
        for version in [one["Version"] for one in self._versions()]:
            if version not in kept:
                # One that another alias names stays.
                with suppress(self._client.exceptions.ResourceConflictException):
                    self._client.delete_function(FunctionName=self.function.name, Qualifier=version)

    def _versions(self) -> list[dict[str, Any]]:
        pages = self._client.get_paginator("list_versions_by_function").paginate(FunctionName=self.function.name)
        return [one for page in pages for one in page["Versions"] if one["Version"] != "$LATEST"]


class Earlier(Alias):
    """`live`, moved to a version that was published before."""

    def __init__(self, function: Function, version: str) -> None:
        super().__init__(function)
        self._version = version

    def wanted(self) -> Mapping[str, Any]:
        """All calls to that version."""
        return {"version": self._version, "also": {}}

    def update(self, found: Found) -> None:
        """Move it; the function itself stays, for the next deployment to change."""
        self._move(self._version)


class Provisioned(Resource):
    """Copies of the function that are kept started, so that nobody waits for one; they cost by the hour."""

    kind = "provisioned concurrency"

    def __init__(self, function: Function, copies: int = 0) -> None:
        self.function, self.copies = function, copies
        self.name = f"{function.name}:{LIVE}"
        self._which = {"FunctionName": function.name, "Qualifier": LIVE}
        self._memory = function.spec.memory if function.spec else 0

    def wanted(self) -> Mapping[str, Any]:
        """How many."""
        return {"copies": self.copies, "failed": False} if self.function.spec else {}

    def unasked(self, found: Found) -> str:
        """The option that would keep them; "" where they are wanted."""
        return "" if self.function.spec else f"--provisioned-concurrency {found.content['copies']}"

    def find(self) -> Found | None:
        """Look at them."""
        function = self.function.find()
        try:
            said = self._client.get_provisioned_concurrency_config(**self._which)
        except ClientError as error:
            if is_missing(error) or function is None:
                return None
            raise
        if function is None:
            return None
        copies = said["RequestedProvisionedConcurrentExecutions"]
        if not self.function.spec:
            self.copies, self._memory = copies, function.content["memory"]
        state = str(said["Status"]).lower().replace("_", " ")
        why = _reason(said)
        content = {"copies": copies, "failed": bool(why)}
        return Found(f"{self.function.arn}:{LIVE}", content, state, function.ours, error=why)

    def create(self) -> None:
        """Start them."""
        given = {**self._which, "ProvisionedConcurrentExecutions": self.copies}
        patiently(lambda: self._client.put_provisioned_concurrency_config(**given))

    def update(self, found: Found) -> None:
        """Start more, or end some."""
        self.create()

    def delete(self, found: Found) -> None:
        """End them; the function then starts when it is called."""
        gone(lambda: patiently(lambda: self._client.delete_provisioned_concurrency_config(**self._which)))

    def ready(self) -> bool:
        """Whether all are started; DogbreedError with Lambda's reason where they cannot be."""
        if not self.copies:
            return True
        said = self._client.get_provisioned_concurrency_config(**self._which)
        if reason := _reason(said):
            raise DogbreedError(f"the copies of {self.function.name} do not start: {reason}", "see: dogbreed status")
        return bool(said["Status"] == "READY")

    def hourly(self) -> Decimal | None:
        """All copies, busy or not; what they answer costs by use on top."""
        return self.price().hourly

    def price(self) -> Price:
        """The same as a line."""
        return priced.copies(self.function.aws.region, self._memory, self.copies)

    @property
    def _client(self) -> Any:
        return self.function.client


class Url(Resource):
    """The address of the function: signed requests of whoever may call it, and no page of another site."""

    kind = "function url"

    def __init__(self, function: Function) -> None:
        self.function = function
        self.name = f"{function.name}:{LIVE}"
        self._which = {"FunctionName": function.name, "Qualifier": LIVE}

    def wanted(self) -> Mapping[str, Any]:
        """AWS_IAM always: an open address would let everyone spend the account's money."""
        return {"auth": "AWS_IAM", "cors": {}, "mode": "BUFFERED"} if self.function.spec else {}

    def unasked(self, found: Found) -> str:
        """The option that would keep it; "" where it is wanted."""
        return "" if self.function.spec else "--function-url iam"

    def find(self) -> Found | None:
        """Look at it."""
        function = self.function.find()
        said = self._said()
        if function is None or said is None:
            return None
        content = {"auth": said["AuthType"], "cors": said.get("Cors", {}), "mode": said.get("InvokeMode", "BUFFERED")}
        return Found(said["FunctionUrl"], content, said["FunctionUrl"], function.ours)

    def address(self) -> str:
        """`https://<id>.lambda-url.<region>.on.aws/`, or "" where there is none."""
        said = self._said()
        return str(said["FunctionUrl"]) if said else ""

    def create(self) -> None:
        """Make it; who may call it stands in their own policies."""
        with suppress(self._client.exceptions.ResourceConflictException):
            self._client.create_function_url_config(**self._which, AuthType="AWS_IAM", InvokeMode="BUFFERED")

    def update(self, found: Found) -> None:
        """Close it; the address stays the same."""
        given = {"AuthType": "AWS_IAM", "InvokeMode": "BUFFERED", "Cors": {}}
        self._client.update_function_url_config(**self._which, **given)

    def delete(self, found: Found) -> None:
        """Remove the address."""
        gone(lambda: self._client.delete_function_url_config(**self._which))

    def _said(self) -> Any:
        try:
            return self._client.get_function_url_config(**self._which)
        except ClientError as error:
            if is_missing(error):
                return None
            raise

    @property
    def _client(self) -> Any:
        return self.function.client


def extras(function: Function, copies: int, *, url: bool) -> list[Resource]:
    """Copies and address that are wanted; where scaling says how many copies there are, they are left to it."""
    found: list[Resource] = [Provisioned(function, copies)] if copies and not _is_scaled(function) else []
    return [*found, *([Url(function)] if url else [])]


def unasked(function: Function, copies: int, *, url: bool) -> list[Resource]:
    """Copies and address that an earlier deployment asked for and this one does not."""
    found: list[Resource] = [] if copies or _is_scaled(function) else [Provisioned(function)]
    return [*found, *([] if url else [Url(function)])]


def _is_scaled(function: Function) -> bool:
    given = {"ServiceNamespace": "lambda", "ResourceIds": [f"function:{function.name}:{LIVE}"]}
    scaling = function.aws.client("application-autoscaling")
    return bool(scaling.describe_scalable_targets(**given)["ScalableTargets"])


def ways(function: Function) -> dict[str, str]:
    """How to call it, by way, as texts to paste; by curl where it has an address."""
    name, region = function.name, function.aws.region
    found = {
        "dogbreed": f"dogbreed predict photo.jpg --function {name}",
        "boto3": f"""import base64, boto3, json
client = boto3.client("lambda", region_name="{region}")
with open("photo.jpg", "rb") as photo:
    event = {{"image": base64.b64encode(photo.read()).decode(), "top_k": 3}}
answer = client.invoke(FunctionName="{name}", Qualifier="{LIVE}", Payload=json.dumps(event))
print(json.load(answer["Payload"])["body"])""",
    }
    if url := Url(function).address():
        keys = '--user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"'
        keys += ' ${AWS_SESSION_TOKEN:+-H "x-amz-security-token: $AWS_SESSION_TOKEN"}'
        sends = '-H "Content-Type: image/jpeg" --data-binary @photo.jpg'
        found["curl"] = f'curl --aws-sigv4 "aws:amz:{region}:lambda" {keys} {sends} {url}'
    return found


def _reason(said: Mapping[str, Any]) -> str:
    return str(said.get("StatusReason") or "Lambda failed") if said.get("Status") == "FAILED" else ""
