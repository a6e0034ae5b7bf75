"""The model of an endpoint as an inference component: copies on instances, which come and go with them.

The endpoint itself is made without a model. Only one like that comes to zero (`dogbreed scale --to-zero`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from dogbreed.cloud.errors import code
from dogbreed.cloud.serving import alarms, update
from dogbreed.cloud.serving.hosted import REPLACES, VARIANT, gone, patiently, seen_or_none, tags_of
from dogbreed.cloud.serving.watching import watch
from dogbreed.cloud.session import RUN_TAG, Aws, pairs
from dogbreed.config import DeploySettings
from dogbreed.errors import DogbreedError
from dogbreed.plan import Found, Resource
from dogbreed.pricing import Prices

LOG_GROUPS = "/aws/sagemaker/InferenceComponents"
_TO = "endpoint"
_STARTUP_S = 300
_CHANGING = ("Creating", "Updating")
_LONGEST_S, _DELETING_S = 3600.0, 1800.0
# Of a machine that the table does not know; what one copy of dogbreed takes anyway.
_CORES, _MEMORY_MB = 2, 2048


def name(aws: Aws) -> str:
    """Of the component: the same for every model, so that what scales it stays."""
    return aws.name(f"{_TO}-model")


def needs(instance_type: str) -> dict[str, Any]:
    """ComputeResourceRequirements of one copy: more than half of the cores, so each machine has one, and half of the
    memory, since how much SageMaker keeps for itself is not documented.
    """
    facts = Prices.load().instance(instance_type)
    cores, memory = (facts.vcpu, round(facts.memory_gib * 1024)) if facts else (_CORES, _MEMORY_MB)
    return {"NumberOfCpuCoresRequired": cores - 0.25, "MinMemoryRequiredInMb": max(1024, memory // 2)}


class Component(Resource):
    """`p-endpoint-model`. Without a model it is what is there, to look at and delete.

    `watched`: names of the alarms that take an update back. `own.instances` copies are wanted where nothing scales it.
    """

    kind = "inference component"

    def __init__(
        self,
        aws: Aws,
        model: str = "",
        needed: Mapping[str, Any] | None = None,
        own: DeploySettings | None = None,
        *,
        watched: Sequence[str] = (),
        tell: Callable[[str], None] = lambda words: None,
    ) -> None:
        self._aws, self.name = aws, name(aws)
        self._model, self._needed, self._own = model, dict(needed or {}), own or DeploySettings()
        self._watched, self._tell = list(watched), tell

    def wanted(self) -> Mapping[str, Any]:
        """Model, what a copy needs, how many copies, tags; that it works, and nothing is going on."""
        if not self._model:
            return {}
        counted = {"copies": self._own.instances}
        tags = {"tags": self._aws.tags(_TO)}
        return {"failure": "", "model": self._model, **_plain(self._needed), **counted, **tags, "going on": ""}

    def find(self) -> Found | None:
        """DescribeInferenceComponent and its tags. One that is being deleted counts as failed."""
        seen = self.seen()
        if seen is None:
            return None
        run = tags_of(self._aws, self._aws.arn("sagemaker", f"model/{seen.get('Specification', {}).get('ModelName')}"))
        state, reason = str(seen["InferenceComponentStatus"]), str(seen.get("FailureReason", ""))
        tags = tags_of(self._aws, seen["InferenceComponentArn"])
        count, specification = _copies(seen), seen.get("Specification", {})
        scaled = bool(self._model) and count != self._own.instances and self._is_scaled()
        failed = state in ("Failed", "Deleting")
        content = {
            "failure": (reason or state) if failed else "",
            "model": specification.get("ModelName", ""),
            **_plain(specification.get("ComputeResourceRequirements", {})),
            "copies": self._own.instances if scaled else count,
            "going on": state if state in _CHANGING else "",
            "tags": self._aws.seen(tags, _TO),
            "replaces": tags.get(REPLACES, ""),
            **({"run": run[RUN_TAG]} if RUN_TAG in run else {}),
        }
        return Found(
            seen["InferenceComponentArn"],
            content,
            state=f"{state}, {seen.get('RuntimeConfig', {}).get('CurrentCopyCount', 0)} copies",
            ours=self._aws.is_ours(tags),
            created=seen.get("CreationTime"),
            error=reason,
        )

    def create(self) -> None:
        """Make it and wait until it answers; DogbreedError with SageMaker's reason where it does not come to that."""
        told = {
            "InferenceComponentName": self.name,
            "EndpointName": self._aws.name(_TO),
            "VariantName": VARIANT,
            "Specification": self._specification(),
            "RuntimeConfig": {"CopyCount": self._own.instances},
            "Tags": pairs(self._aws.tags(_TO)),
        }
        patiently(lambda: self._client.create_inference_component(**told), self.find)
        self._until_in_service()

    def update(self, found: Found) -> None:
        """What failed is made anew; another model takes over, copy by copy; then the number of copies."""
        if found.content["going on"]:
            # It ends well or not: what is there then counts.
            self._settled()
            found = self.find() or found
        if found.content["failure"]:
            self.delete(found)
            self.create()
            return
        if found.content["tags"] != self._aws.tags(_TO):
            self._client.add_tags(ResourceArn=found.id, Tags=pairs(self._aws.tags(_TO)))
        wanted = {"model": self._model, **_plain(self._needed)}
        if any(found.content[key] != value for key, value in wanted.items()):
            self._take_over(found)
        if _copies(self.seen() or {}) != self._own.instances and not self._is_scaled():
            self._client.update_inference_component_runtime_config(
                InferenceComponentName=self.name, DesiredRuntimeConfig={"CopyCount": self._own.instances}
            )
            self._until_in_service()

    def delete(self, found: Found) -> None:
        """Remove it and wait until it has gone: its endpoint cannot be deleted before."""
        deadline = time.monotonic() + _DELETING_S
        while True:
            try:
                gone(lambda: self._client.delete_inference_component(InferenceComponentName=self.name))
                break
            except ClientError as error:
                state = (self.seen() or {}).get("InferenceComponentStatus", "Deleting")
                if code(error) != "ValidationException" or state not in (*_CHANGING, "Deleting"):
                    raise
                if state == "Deleting" or time.monotonic() > deadline:
                    break
                self._tell(f"{self.name} is {state}; it is deleted after that")
                self._settled()
        self._until(lambda seen: seen is None, _DELETING_S)

    def ready(self) -> bool:
        """Whether it answers, or would once it is woken; DogbreedError where it has failed."""
        seen = self.seen()
        return seen is not None and self._checked(seen)["InferenceComponentStatus"] == "InService"

    def seen(self) -> dict[str, Any] | None:
        """DescribeInferenceComponent; None where there is none."""
        return seen_or_none(lambda: dict(self._client.describe_inference_component(InferenceComponentName=self.name)))

    @property
    def _client(self) -> Any:
        return self._aws.client("sagemaker")

    def _specification(self) -> dict[str, Any]:
        started = {"ContainerStartupHealthCheckTimeoutInSeconds": _STARTUP_S}
        return {
            "ModelName": self._model,
            "ComputeResourceRequirements": self._needed,
            "StartupParameters": started,
        }

    def _take_over(self, found: Found) -> None:
        """UpdateInferenceComponent, and wait for its end. DogbreedError where it was taken back."""
        before, count = str(found.content["model"]), _copies(self.seen() or {})
        if before != self._model and found.content["replaces"] != before:
            # Said before it is used: so what was before is known whenever a command is killed.
            self._client.add_tags(ResourceArn=found.id, Tags=pairs({REPLACES: before}))
        ringing = [one["AlarmName"] for one in self._alarms() if one.get("StateValue") == "ALARM"]
        for one in ringing:
            # SageMaker would take back whatever is begun while it rings, a cure too.
            self._tell(f"  alarm {one} rings already, so it does not watch this update")
        watching = [one for one in self._watched if one not in ringing]
        self._tell(update.words_of_component(self._own, count))
        # A model of which no copy runs would not be tried at all.
        awake = {} if count else {"RuntimeConfig": {"CopyCount": 1}}
        self._client.update_inference_component(
            InferenceComponentName=self.name,
            Specification=self._specification(),
            DeploymentConfig=update.of_component(self._own, count, watching),
            **awake,
        )
        seen = self._until_in_service()
        if seen["Specification"].get("ModelName") != self._model:
            reason = str(seen.get("FailureReason", "")) or "SageMaker gives no reason"
            # One that SageMaker names may be silent again by now.
            rang = [
                one["AlarmDescription"]
                for one in self._alarms()
                if one.get("StateValue") == "ALARM" or one["AlarmName"] in reason
            ]
            raise DogbreedError(
                f"the new model was taken back, and {self.name} answers with the one before: "
                + "; ".join([reason, *rang]),
                f"see what went wrong: dogbreed logs {self._aws.name(_TO)}, then deploy another run",
            )

    def _alarms(self) -> list[dict[str, Any]]:
        return alarms.now(self._aws, self._watched)

    def _is_scaled(self) -> bool:
        answer = self._aws.client("application-autoscaling").describe_scalable_targets(
            ServiceNamespace="sagemaker", ResourceIds=[f"inference-component/{self.name}"]
        )
        return bool(answer["ScalableTargets"])

    def _until_in_service(self) -> dict[str, Any]:
        return self._checked(self._settled() or {"InferenceComponentStatus": "gone"})

    def _checked(self, seen: dict[str, Any]) -> dict[str, Any]:
        state = seen["InferenceComponentStatus"]
        if state not in ("InService", *_CHANGING):
            raise DogbreedError(
                f"inference component {self.name} is {state}: {seen.get('FailureReason', 'no reason is given')}",
                f"see dogbreed logs {self._aws.name(_TO)}; the same command makes it anew",
            )
        return seen

    def _settled(self) -> dict[str, Any] | None:
        longest = _LONGEST_S + update.seconds_of_component(self._own, max(self._own.instances, 1))
        return self._until(lambda seen: seen is None or seen["InferenceComponentStatus"] not in _CHANGING, longest)

    def _until(self, done: Callable[[dict[str, Any] | None], bool], longest_s: float) -> dict[str, Any] | None:
        """Look until `done`; says every minute what is going on. DogbreedError after `longest_s` seconds."""
        words = lambda seen: _status(seen).lower()  # noqa: E731
        return watch(self.seen, done, self.kind, self.name, _status, longest_s, self._tell, words)


def _status(seen: Mapping[str, Any] | None) -> str:
    return str(seen["InferenceComponentStatus"]) if seen else "gone"


def models_kept(aws: Aws, model: str) -> set[str]:
    """Models that stay beside `model`: what answers now, or once that is `model` itself, the one before."""
    found = Component(aws).find()
    if found is None:
        return {model}
    now = str(found.content["model"])
    return {model, now, str(found.content["replaces"]) if now == model else now}


def _copies(seen: Mapping[str, Any]) -> int:
    return int(seen.get("RuntimeConfig", {}).get("DesiredCopyCount", 0))


def _plain(needed: Mapping[str, Any]) -> dict[str, Any]:
    return {"cores": needed.get("NumberOfCpuCoresRequired"), "memory": needed.get("MinMemoryRequiredInMb")}
