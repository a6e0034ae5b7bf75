"""An endpoint of SageMaker as a Resource: made, changed by UpdateEndpoint without losing a request, removed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from botocore.exceptions import ClientError

from dogbreed import priced
from dogbreed.cloud.errors import code
from dogbreed.cloud.serving import alarms
from dogbreed.cloud.serving.hosted import (
    REPLACES,
    VARIANT,
    Configuration,
    before,
    endpoint_seen,
    gone,
    patiently,
    seen_or_none,
    tags_of,
    variants,
)
from dogbreed.cloud.serving.watching import FIRST_LOOK_S, LONGEST_LOOK_S, SLOWER, watch
from dogbreed.cloud.session import RUN_TAG, Aws, pairs
from dogbreed.errors import DogbreedError
from dogbreed.plan import Found, Resource
from dogbreed.priced import Price

_ENDED = ("InService", "OutOfService", "Failed", "UpdateRollbackFailed")
_CHANGING = ("Creating", "Updating", "SystemUpdating", "RollingBack")
_CREATING_S, _DELETING_S = 3600, 1800


@dataclass(frozen=True)
class Change:
    """How UpdateEndpoint is called: `config(instances now, alarms)` gives its DeploymentConfig, or {} for none.

    `keep_counts`: what scaling has made of the number of instances stays. `longest_s`: when waiting for it ends.
    `words(instances now)` is said before.
    """

    config: Callable[[int, list[str]], dict[str, Any]]
    keep_counts: bool
    longest_s: float
    # Names of the alarms that take it back.
    alarms: tuple[str, ...] = ()
    words: Callable[[int], str] = lambda instances: ""


class Endpoint(Resource):
    """`p-<door>`. Without a configuration it is what is there, to look at and delete.

    `instances` are wanted where no scaling policy sees to their number; None where there are none to count. `scaled`:
    one does, although it steps aside for now.
    """

    kind = "endpoint"

    def __init__(
        self,
        aws: Aws,
        door: str,
        configuration: Configuration | None = None,
        *,
        instances: int | None = None,
        scaled: bool = False,
        change: Change | None = None,
        tell: Callable[[str], None] = lambda words: None,
    ) -> None:
        self._aws, self._door, self.name = aws, door, aws.name(door)
        self._configuration, self._instances, self._change, self._tell = configuration, instances, change, tell
        self._scaled = scaled
        # What its instances are and cost, as it was found.
        self._running: list[tuple[str, int]] = []
        self._copies: list[tuple[int, int]] = []
        self._scales = self._takes_over = False

    def wanted(self) -> Mapping[str, Any]:
        """The configuration, how many instances, tags; that it works, and nothing is going on."""
        if self._configuration is None:
            return {}
        counted = {} if self._instances is None else {"instances": self._instances}
        tags = {"tags": self._aws.tags(self._door)}
        return {"failure": "", "configuration": self._configuration.name, **counted, **tags, "going on": ""}

    def unasked(self, found: Found) -> str:
        """The options by which it has a shadow or copies that are kept started, where these are not wanted now."""
        wanted = _asked(self._configuration.content) if self._configuration else found.content["asked"]
        return ", ".join(words for option, words in found.content["asked"].items() if option not in wanted)

    def find(self) -> Found | None:
        """DescribeEndpoint, its configuration and its tags. One that is being deleted counts as failed."""
        seen = endpoint_seen(self._aws, self.name)
        if seen is None:
            return None
        state = str(seen["EndpointStatus"])
        tags = tags_of(self._aws, seen["EndpointArn"])
        pending = seen.get("PendingDeploymentSummary", {}).get("EndpointConfigName", "")
        name = str(pending if state in ("Creating", "Updating") and pending else seen["EndpointConfigName"])
        known = seen_or_none(Configuration.known(self._aws, self._door, seen["EndpointConfigName"]).describe) or {}
        self._running = _machines(seen, known)
        self._copies = _copies(variants(seen), "CurrentServerlessConfig")
        self._takes_over = self._configuration is not None and name != self._configuration.name
        failed = state in ("Failed", "OutOfService", "Deleting")
        reason = str(seen.get("FailureReason", ""))
        count = _count(seen)
        scaled = self._scales = self._instances is not None and count != self._instances and self.is_scaled()
        content = {
            "failure": (reason or state) if failed else "",
            "configuration": name,
            "instances": self._instances if scaled else count,
            "going on": state if state in _CHANGING else "",
            "tags": self._aws.seen(tags, self._door),
            **({"machines": count, "type": self._running[0][0]} if self._running else {}),
            **self._run_of(known),
            "asked": _asked(known),
        }
        return Found(
            seen["EndpointArn"],
            content,
            state=state,
            ours=self._aws.is_ours(tags),
            created=seen.get("CreationTime"),
            error=reason,
        )

    def create(self) -> None:
        """Make it and wait until it answers; DogbreedError with SageMaker's reason where it does not come to that."""
        assert self._configuration
        tags = pairs(self._aws.tags(self._door))
        named = {"EndpointName": self.name, "EndpointConfigName": self._configuration.name}
        patiently(lambda: self._client.create_endpoint(**named, Tags=tags), self.find)
        self._until_in_service(_CREATING_S)

    def update(self, found: Found) -> None:
        """One step after the other: what failed is made anew, another configuration takes over, then the count."""
        assert self._configuration
        if found.content["going on"]:
            # It ends well or not: what is there then counts.
            self._await(lambda seen: seen["EndpointStatus"] not in _CHANGING, _CREATING_S)
            found = self.find() or found
        if found.content["failure"]:
            self.delete(found)
            self.create()
            return
        if found.content["tags"] != self._aws.tags(self._door):
            self._client.add_tags(ResourceArn=found.id, Tags=pairs(self._aws.tags(self._door)))
        seen = self._describe()
        if seen["EndpointConfigName"] != self._configuration.name:
            self._take_over(seen)
        if self._instances is not None and _count(self._describe()) != self._instances and not self.is_scaled():
            wanted = {"VariantName": VARIANT, "DesiredInstanceCount": self._instances}
            self._client.update_endpoint_weights_and_capacities(
                EndpointName=self.name, DesiredWeightsAndCapacities=[wanted]
            )
            self._until_in_service(_CREATING_S)

    def delete(self, found: Found) -> None:
        """Remove it and wait until it has gone; a change that is going on ends first: SageMaker refuses till then."""
        deadline = time.monotonic() + _DELETING_S
        while True:
            try:
                gone(lambda: self._client.delete_endpoint(EndpointName=self.name))
                break
            except ClientError as error:
                seen = endpoint_seen(self._aws, self.name)
                changing = seen is not None and seen["EndpointStatus"] in (*_CHANGING, "Deleting")
                if code(error) != "ValidationException" or not changing or time.monotonic() > deadline:
                    raise
                if seen and seen["EndpointStatus"] == "Deleting":
                    break
                self._tell(
                    f"endpoint {self.name} is {seen['EndpointStatus'] if seen else ''}; it is deleted after that"
                )
                self._await(lambda now: now["EndpointStatus"] not in _CHANGING, _DELETING_S)
        wait, deadline = FIRST_LOOK_S, time.monotonic() + _DELETING_S
        while endpoint_seen(self._aws, self.name) and time.monotonic() < deadline:
            time.sleep(wait)
            wait = min(LONGEST_LOOK_S, wait * SLOWER)

    def ready(self) -> bool:
        """Whether it answers; DogbreedError where it has failed."""
        seen = endpoint_seen(self._aws, self.name)
        return seen is not None and self._checked(seen)["EndpointStatus"] == "InService"

    def hourly(self) -> Decimal | None:
        """Its instances, or the copies that it keeps started; None where their price is not known."""
        return self.price().hourly

    def hourly_now(self) -> Decimal | None:
        """The same of what runs."""
        return self._price(self._running, self._copies).hourly

    def price(self) -> Price:
        """As it is wanted, or else as it was found."""
        wants = variants(self._configuration.content) if self._configuration else []
        return self._price(self._to_run() or self._running, _copies(wants, "ServerlessConfig") or self._copies)

    def detail(self) -> str:
        """Its instances, and how a new configuration takes over."""
        parts = [", ".join(f"{count} x {kind}" for kind, count in self._to_run())]
        if self._takes_over and self._change:
            parts.append(self._change.words(self._running[0][1] if self._running else 1).strip())
        return "; ".join(filter(None, parts))

    def _price(self, running: Sequence[tuple[str, int]], copies: Sequence[tuple[int, int]]) -> Price:
        region = self._aws.configured_region
        instances = (priced.instances(kind, region, count) for kind, count in running)
        kept = (priced.copies_of_endpoint(region, memory, count) for memory, count in copies)
        return priced.total((*instances, *kept))

    def is_scaled(self) -> bool:
        """Whether a scaling policy sees to the number of its instances."""
        if self._scaled:
            return True
        answer = self._aws.client("application-autoscaling").describe_scalable_targets(
            ServiceNamespace="sagemaker", ResourceIds=[f"endpoint/{self.name}/variant/{VARIANT}"]
        )
        return bool(answer["ScalableTargets"])

    @property
    def _client(self) -> Any:
        return self._aws.client("sagemaker")

    def _describe(self) -> dict[str, Any]:
        seen: dict[str, Any] = self._client.describe_endpoint(EndpointName=self.name)
        return seen

    def _run_of(self, known: Mapping[str, Any]) -> dict[str, str]:
        """The run that answers, by the tag of its model."""
        names = [one.get("ModelName", "") for one in variants(known)[:1]]
        if not any(names):
            return {}
        tags = tags_of(self._aws, self._aws.arn("sagemaker", f"model/{names[0]}"))
        return {"run": tags[RUN_TAG]} if RUN_TAG in tags else {}

    def _to_run(self) -> list[tuple[str, int]]:
        """Type and number of the instances that are wanted; how many of the first, scaling says where there is any."""
        wanted = variants(self._configuration.content) if self._configuration else []
        found = [(one["InstanceType"], one["InitialInstanceCount"]) for one in wanted if "InstanceType" in one]
        return [(found[0][0], self._running[0][1]), *found[1:]] if found and self._scales and self._running else found

    def _take_over(self, seen: Mapping[str, Any]) -> None:
        """UpdateEndpoint, and wait for its end. DogbreedError where it was taken back."""
        assert self._configuration and self._change
        found = self._configuration.find()
        if found is None:
            raise DogbreedError(f"endpoint configuration {self._configuration.name} is gone", "repeat the command")
        # Said on the new one before it is used: so what was before is known whenever a command is killed.
        now, wanted = str(seen["EndpointConfigName"]), self._configuration.content
        replaces = {REPLACES: before(self._aws, self._door, now, wanted)}
        if found.content["replaces"] != replaces[REPLACES]:
            self._client.add_tags(ResourceArn=found.id, Tags=pairs(replaces))
        ringing = [one["AlarmName"] for one in self._alarms() if one.get("StateValue") == "ALARM"]
        for name in ringing:
            # SageMaker would take back whatever is begun while it rings, a cure too.
            self._tell(f"  alarm {name} rings already, so it does not watch this update")
        config = self._change.config(_count(seen) or 1, [name for name in self._change.alarms if name not in ringing])
        if words := self._change.words(_count(seen) or 1):
            self._tell(words)
        self._client.update_endpoint(
            EndpointName=self.name,
            EndpointConfigName=self._configuration.name,
            RetainAllVariantProperties=self._change.keep_counts,
            **({"DeploymentConfig": config} if config else {}),
        )
        seen = self._until_in_service(self._change.longest_s)
        if seen["EndpointConfigName"] != self._configuration.name:
            raise DogbreedError(
                f"the new model was taken back, and {self.name} answers with the one before: {self._why(seen)}",
                f"see what went wrong: dogbreed logs {self.name}, then deploy another run",
            )

    def _why(self, seen: Mapping[str, Any]) -> str:
        reason = str(seen.get("FailureReason", "")) or "SageMaker gives no reason"
        # One that SageMaker names may be silent again by now.
        rang = [
            one["AlarmDescription"]
            for one in self._alarms()
            if one.get("StateValue") == "ALARM" or one["AlarmName"] in reason
        ]
        return f"{reason} ({'; '.join(rang)})" if rang else reason

    def _alarms(self) -> list[dict[str, Any]]:
        """The alarms that watch an update, as they are now."""
        return alarms.now(self._aws, self._change.alarms if self._change else ())

    def _until_in_service(self, longest_s: float) -> dict[str, Any]:
        return self._checked(self._await(lambda now: now["EndpointStatus"] in _ENDED, longest_s))

    def _checked(self, seen: dict[str, Any]) -> dict[str, Any]:
        if seen["EndpointStatus"] in _ENDED and seen["EndpointStatus"] != "InService":
            raise DogbreedError(
                f"endpoint {self.name} is {seen['EndpointStatus']}: {seen.get('FailureReason', 'no reason is given')}",
                f"see dogbreed logs {self.name}; the same command makes it anew",
            )
        return seen

    def _await(self, done: Callable[[dict[str, Any]], bool], longest_s: float) -> dict[str, Any]:
        """Look until `done`; says every minute what is going on. DogbreedError after `longest_s` seconds."""
        return watch(self._describe, done, self.kind, self.name, _status, longest_s, self._tell, _words)


def _count(seen: Mapping[str, Any]) -> int | None:
    """How many instances the production variant is to have; None for one without instances."""
    for one in seen.get("ProductionVariants", ()):
        if one["VariantName"] == VARIANT:
            count: int | None = one.get("DesiredInstanceCount")
            return count
    return None


def _status(seen: Mapping[str, Any]) -> str:
    return str(seen["EndpointStatus"])


def _words(seen: Mapping[str, Any]) -> str:
    """Its status, and that of its newest variant, such as Updating (Baking)."""
    pending = seen.get("PendingDeploymentSummary", {}).get("ProductionVariants", ())
    stages = {str(status["Status"]) for one in pending for status in one.get("VariantStatus", ())}
    more = f" ({', '.join(sorted(stages))})" if stages else ""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", str(seen["EndpointStatus"])).lower() + more


def _asked(configuration: Mapping[str, Any]) -> dict[str, str]:
    """The options that a configuration owes a shadow and copies that are kept started to, and how these were given."""
    sizes = [one.get("ServerlessConfig", {}).get("ProvisionedConcurrency") for one in variants(configuration)]
    copies = {"copies": f"--provisioned-concurrency {sum(filter(None, sizes))}"} if any(sizes) else {}
    return copies | ({"shadow": "--shadow"} if configuration.get("ShadowProductionVariants") else {})


def _copies(those: Sequence[Mapping[str, Any]], of: str) -> list[tuple[int, int]]:
    """Memory in MB and how many copies each serverless variant keeps started."""
    sizes = [one[of] for one in those if of in one]
    return [(one["MemorySizeInMB"], one.get("ProvisionedConcurrency", 0)) for one in sizes]


def _machines(seen: Mapping[str, Any], known: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Type and number of the instances of each variant; the type stands in the configuration (`known`) only."""
    counts = {one["VariantName"]: one.get("DesiredInstanceCount") for one in variants(seen)}
    types = {one["VariantName"]: one.get("InstanceType", "") for one in variants(known)}
    return [(types[variant], int(count)) for variant, count in counts.items() if count and types.get(variant)]
