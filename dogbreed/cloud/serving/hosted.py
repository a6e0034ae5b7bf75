"""Models and endpoint configurations of SageMaker: neither can be changed, so each is named by its content."""

from __future__ import annotations

import hashlib
import json
import re
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Self

from botocore.exceptions import ClientError

from dogbreed.cloud.errors import code, is_missing
from dogbreed.cloud.roles import PROPAGATION_S, is_propagating
from dogbreed.cloud.session import RUN_TAG, Aws, pairs, unpaired
from dogbreed.plan import Found, Resource

# On a configuration: the last one before it with another model, which a rollback goes back to.
REPLACES = "dogbreed:replaces"
# The production variant, and the shadow's.
VARIANT, CHALLENGER = "main", "challenger"
_DIGITS = 10
_AGAIN_S = 2.0


class Named(Resource):
    """What is named `p-<door>-<digest of its content>`; one that is there is as wanted, but for its tags."""

    def __init__(self, aws: Aws, door: str, name: str) -> None:
        self._aws, self._door, self.name = aws, door, name

    @classmethod
    def known(cls, aws: Aws, door: str, name: str) -> Self:
        """One that is there, by its name: to look at, to tag, to delete."""
        self = cls.__new__(cls)
        Named.__init__(self, aws, door, name)
        return self

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What AWS says of it."""

    @abstractmethod
    def _arn(self, seen: Mapping[str, Any]) -> str: ...

    def wanted(self) -> Mapping[str, Any]:
        """Tags."""
        return {"tags": self._aws.tags(self._door)}

    def find(self) -> Found | None:
        """Look at it and its tags; of a model, whose run it is."""
        seen = seen_or_none(self.describe)
        if seen is None:
            return None
        arn = self._arn(seen)
        tags = tags_of(self._aws, arn)
        content = {"tags": self._aws.seen(tags, self._door), "replaces": tags.get(REPLACES, "")}
        content |= {"run": tags[RUN_TAG]} if RUN_TAG in tags else {}
        return Found(arn, content, ours=self._aws.is_ours(tags), created=seen.get("CreationTime"))

    def update(self, found: Found) -> None:
        """Put back the tags."""
        self._client.add_tags(ResourceArn=found.id, Tags=pairs(self._aws.tags(self._door)))

    @property
    def _client(self) -> Any:
        return self._aws.client("sagemaker")


class Model(Named):
    """The image, where the model's files are, how it is started, and the role and network that it runs with.

    `content` is CreateModel's, without name and tags; `subnets` and the ids of groups are asked for when it is made.
    """

    kind = "model"

    def __init__(
        self,
        aws: Aws,
        door: str,
        content: Mapping[str, Any],
        groups: Callable[[], list[str]] | None = None,
        run: str = "",
    ) -> None:
        super().__init__(aws, door, f"{aws.name(door)}-{digest(content)}")
        self._content, self._groups, self._run = dict(content), groups, run

    def detail(self) -> str:
        """Whose files they are."""
        return f"run {self._run}"

    def create(self) -> None:
        """Make it; a fresh role may not be known everywhere yet."""
        content = dict(self._content)
        if self._groups and "VpcConfig" in content:
            content["VpcConfig"] = {**content["VpcConfig"], "SecurityGroupIds": self._groups()}
        tags = pairs(self._aws.tags(self._door, self._run))
        made = lambda: self._client.create_model(ModelName=self.name, Tags=tags, **content)  # noqa: E731
        patiently(made, self.find)

    def describe(self) -> dict[str, Any]:
        """DescribeModel."""
        seen: dict[str, Any] = self._client.describe_model(ModelName=self.name)
        return seen

    def delete(self, found: Found) -> None:
        """Remove it; the files in the bucket stay."""
        gone(lambda: self._client.delete_model(ModelName=self.name))

    def _arn(self, seen: Mapping[str, Any]) -> str:
        return str(seen["ModelArn"])


class Configuration(Named):
    """What an endpoint consists of: CreateEndpointConfig's parameters, without name and tags.

    The numbers of instances to begin with are no part of the name: scaling changes them, and a second deployment must
    not undo that.
    """

    kind = "endpoint configuration"

    def __init__(self, aws: Aws, door: str, content: Mapping[str, Any]) -> None:
        super().__init__(aws, door, f"{aws.name(door)}-{digest(_uncounted(content))}")
        self.content = dict(content)

    def create(self) -> None:
        """Make it."""
        tags = pairs(self._aws.tags(self._door))
        made = lambda: self._client.create_endpoint_config(  # noqa: E731
            EndpointConfigName=self.name, Tags=tags, **self.content
        )
        patiently(made, self.find)

    def describe(self) -> dict[str, Any]:
        """DescribeEndpointConfig."""
        seen: dict[str, Any] = self._client.describe_endpoint_config(EndpointConfigName=self.name)
        return seen

    def delete(self, found: Found) -> None:
        """Remove it."""
        gone(lambda: self._client.delete_endpoint_config(EndpointConfigName=self.name))

    def _arn(self, seen: Mapping[str, Any]) -> str:
        return str(seen["EndpointConfigArn"])


def models(aws: Aws, door: str) -> list[Model]:
    """The models of a door that are there, the oldest first."""
    names = _names(aws, door, "list_models", "Models", "ModelName")
    return [Model.known(aws, door, name) for name in names]


def configurations(aws: Aws, door: str) -> list[Configuration]:
    """The endpoint configurations of a door that are there, the oldest first."""
    names = _names(aws, door, "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName")
    return [Configuration.known(aws, door, name) for name in names]


def digest(content: Any) -> str:
    """Ten hexadecimal digits of the SHA-256 of a JSON value; equal values, equal digits."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def models_in(configuration: Mapping[str, Any]) -> set[str]:
    """The names of the models that a configuration serves, its shadow's too."""
    return {str(one["ModelName"]) for one in variants(configuration) if "ModelName" in one}


def variants(configuration: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """All variants of a configuration, the shadow's last."""
    return [*configuration.get("ProductionVariants", ()), *configuration.get("ShadowProductionVariants", ())]


def previous(aws: Aws, door: str, name: str) -> str:
    """The configuration that a rollback goes back to from the one of this name; "" where there is none."""
    seen = seen_or_none(Configuration.known(aws, door, name).describe)
    return tags_of(aws, str(seen["EndpointConfigArn"])).get(REPLACES, "") if seen else ""


def before(aws: Aws, door: str, now: str, wanted: Mapping[str, Any]) -> str:
    """The one to go back to once `wanted` has taken over from the one named `now`: `now` itself if it answers with
    another model. One that differs in its shadow, size or capture alone is no way back.
    """
    seen = seen_or_none(Configuration.known(aws, door, now).describe) or {}
    answering = [[one.get("ModelName") for one in variants(content)[:1]] for content in (seen, wanted)]
    return previous(aws, door, now) if answering[0] == answering[1] else now


def endpoint_seen(aws: Aws, name: str) -> dict[str, Any] | None:
    """DescribeEndpoint; None where there is none."""
    return seen_or_none(lambda: dict(aws.client("sagemaker").describe_endpoint(EndpointName=name)))


def seen_or_none(look: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    """What `look` gives; None where the thing is not there."""
    try:
        return look()
    except ClientError as error:
        if is_missing(error):
            return None
        raise


def tags_of(aws: Aws, arn: str) -> dict[str, str]:
    """The tags of a thing of SageMaker; none when it is gone meanwhile."""
    seen = seen_or_none(lambda: aws.client("sagemaker").list_tags(ResourceArn=arn))
    return unpaired(seen.get("Tags")) if seen else {}


def gone(delete: Callable[[], Any]) -> None:
    """Delete; what is gone already is no error."""
    try:
        delete()
    except ClientError as error:
        if not is_missing(error):
            raise


def patiently(make: Callable[[], Any], find: Callable[[], Found | None]) -> None:
    """Make something that a fresh role is passed to; one that a killed command has made already is no error."""
    deadline = time.monotonic() + PROPAGATION_S
    while True:
        try:
            make()
        except ClientError as error:
            if is_there_already(error) and find():
                return
            if not is_propagating(error) or time.monotonic() > deadline:
                raise
            time.sleep(_AGAIN_S)
        else:
            return


def is_there_already(error: ClientError) -> bool:
    """The words of SageMaker and the Scheduler for a name that is taken."""
    taken = re.search(r"(?i)already exist", str(error)) is not None
    return code(error) in ("ResourceInUse", "ConflictException") or (code(error) == "ValidationException" and taken)


def _uncounted(content: Mapping[str, Any]) -> dict[str, Any]:
    def plain(one: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in one.items() if key != "InitialInstanceCount"}

    named = ("ProductionVariants", "ShadowProductionVariants")
    return {**content, **{name: [plain(one) for one in content[name]] for name in named if name in content}}


def _names(aws: Aws, door: str, operation: str, key: str, name: str) -> list[str]:
    start = f"{aws.name(door)}-"
    ours = re.compile(rf"{re.escape(start)}[0-9a-f]{{{_DIGITS}}}")
    pages = aws.client("sagemaker").get_paginator(operation).paginate(NameContains=start)
    found = [one for page in pages for one in page[key] if ours.fullmatch(one[name])]
    return [str(one[name]) for one in sorted(found, key=lambda one: one["CreationTime"])]
