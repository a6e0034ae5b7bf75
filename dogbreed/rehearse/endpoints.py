"""SageMaker's models, endpoint configurations and endpoints; behind an endpoint the service really runs.

The parts: endpoint_rules (what is refused), endpoint_state, endpoint_fleet, endpoint_variant and endpoint_replica (what
runs), endpoint_update (how it changes), endpoint_invoke (who is asked), endpoint_meters and endpoint_capture (what is
told), endpoint_components (inference components).
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse import endpoint_components, endpoint_models, tagging
from dogbreed.rehearse.calls import PASS, AwsError, Passed
from dogbreed.rehearse.endpoint_capture import Capture
from dogbreed.rehearse.endpoint_components import Components
from dogbreed.rehearse.endpoint_fleet import Fleet
from dogbreed.rehearse.endpoint_invoke import Invoke
from dogbreed.rehearse.endpoint_meters import NAMESPACE, Publisher
from dogbreed.rehearse.endpoint_models import Models
from dogbreed.rehearse.endpoint_records import Shelf, tags_of
from dogbreed.rehearse.endpoint_rules import check_deployment, check_quota, in_progress
from dogbreed.rehearse.endpoint_state import BUSY, Endpoint
from dogbreed.rehearse.endpoint_targets import check_types, take_off
from dogbreed.rehearse.endpoint_update import Changes, Update, delete
from dogbreed.rehearse.sagemaker_rules import invalid

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud
    from dogbreed.rehearse.endpoint_variant import Variant

_RETAINED = ("DesiredInstanceCount", "DesiredWeight", "DataCaptureConfig")


class Hosting:
    """All of it, of one account."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.models = Models(cloud)
        self.endpoints: Shelf[Endpoint] = Shelf("endpoint", "endpoint")
        self.components = Components(cloud, self.models, self.endpoints)
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._capture, self._publisher = Capture(self._cloud), Publisher(self._cloud, self._measured)
        self._invoke = Invoke(self._cloud, self._asked, self.components, self._capture)
        self._begun = False

    # -- endpoints

    def create(self, call: Call) -> dict[str, Any]:
        """CreateEndpoint: refuse it, or start it."""
        told = call.params
        config = self.models.config(call.region, told["EndpointConfigName"])
        check_deployment(told.get("DeploymentConfig", {}), 1)
        now, arn = self._cloud.clock.now(), self._arn(call.region, "endpoint", told["EndpointName"])
        endpoint = Endpoint(told["EndpointName"], arn, told, now, now, tags_of(told), call.region)
        endpoint.config, endpoint.deployment = config.name, told.get("DeploymentConfig", {})
        fleet = self._fleet(call.region, endpoint, config.request)
        endpoint.capturing = fleet.capture
        check_quota(self._cloud, fleet.wanted, self._used(call.region))
        self.endpoints.add(call.region, endpoint)
        self._run(endpoint, lambda update: update.create, fleet)
        return {"EndpointArn": endpoint.arn}

    def describe(self, call: Call) -> dict[str, Any]:
        """DescribeEndpoint."""
        return self._endpoint(call).describe()

    def list_endpoints(self, call: Call) -> dict[str, Any]:
        """ListEndpoints."""
        return self.endpoints.page(call.region, call.params, "Endpoints", Endpoint.summary)

    def update(self, call: Call) -> dict[str, Any]:
        """UpdateEndpoint: another configuration, by the DeploymentConfig that is given or was the last."""
        told, endpoint = call.params, self._endpoint(call)
        config = self.models.config(call.region, told["EndpointConfigName"])
        # What is compared with must still be there.
        self.models.config(call.region, endpoint.config)
        deployment = told.get("DeploymentConfig", {})
        if told.get("RetainDeploymentConfig"):
            if deployment:
                raise invalid("DeploymentConfig and RetainDeploymentConfig cannot be specified at the same time.")
            deployment = endpoint.deployment
        with endpoint.lock:
            self._may_change(endpoint)
            before, endpoint.state = endpoint.state, "Updating"
        try:
            green = self._green(call, endpoint, config.request, deployment)
        except AwsError:
            endpoint.state = before
            raise
        with endpoint.lock:
            endpoint.deployment = deployment
            endpoint.enter(self._cloud, "Updating")
        self._run(endpoint, lambda update: update.replace, green, deployment)
        return {"EndpointArn": endpoint.arn}

    def _green(self, call: Call, endpoint: Endpoint, config: dict[str, Any], deployment: dict[str, Any]) -> Fleet:
        """The fleet that is to follow. Raises AwsError where it may not."""
        green = self._fleet(call.region, endpoint, config)
        self._retain(endpoint, green, call.params)
        check_deployment(deployment, sum(one.desired for one in green.variants))
        if green.variants[0].serverless and deployment:
            raise invalid("DeploymentConfig is not supported for serverless endpoint")
        if "RollingUpdatePolicy" not in deployment:
            check_quota(self._cloud, green.wanted, self._used(call.region))
        check_types(self._cloud, endpoint, green)
        return green

    def scale(self, call: Call) -> dict[str, Any]:
        """UpdateEndpointWeightsAndCapacities."""
        endpoint = self._endpoint(call)
        wanted: Changes = {one["VariantName"]: one for one in call.params["DesiredWeightsAndCapacities"]}
        with endpoint.lock:
            self._may_change(endpoint)
            variants = {one.name: one for one in endpoint.fleets[0].variants}
            if unknown := [name for name in wanted if name not in variants]:
                raise invalid(
                    f'The variant name(s) "{", ".join(unknown)}" is/are not present within endpoint configuration '
                    f'"{endpoint.config}".'
                )
            more: Counter[str] = Counter()
            for name, change in wanted.items():
                one = variants[name]
                _check_change(one, change)
                more[one.told.get("InstanceType", "")] += change.get("DesiredInstanceCount", one.desired) - one.desired
            check_quota(self._cloud, +more, self._used(call.region))
            for name, change in wanted.items():
                one = variants[name]
                one.desired = change.get("DesiredInstanceCount", one.desired)
                one.desired_weight = change.get("DesiredWeight", one.desired_weight)
                if config := change.get("ServerlessUpdateConfig"):
                    one.wanted = one.wanted | config
                if one.desired != one.count:
                    one.enter("Updating", f"Scaling desired instance count to {one.desired}.")
            endpoint.enter(self._cloud, "Updating")
        self._run(endpoint, lambda update: update.scale, wanted)
        return {"EndpointArn": endpoint.arn}

    def delete(self, call: Call) -> dict[str, Any]:
        """DeleteEndpoint; not of one that is changing."""
        endpoint = self._endpoint(call)
        with endpoint.lock:
            if endpoint.state in BUSY:
                raise in_progress(endpoint.arn)
            if self.components.of(endpoint):
                raise invalid(f'Endpoint "{endpoint.arn}" has inference components attached.')
            before, endpoint.state = endpoint.state, "Deleting"
        try:
            take_off(self._cloud, call, endpoint)
        except AwsError:
            endpoint.state = before
            raise
        endpoint.enter(self._cloud, "Deleting")

        def end() -> None:
            delete(self._cloud, endpoint)
            self._capture.send()
            self.endpoints.records.pop((call.region, endpoint.name), None)

        endpoint.thread = threading.Thread(target=end, daemon=True, name=endpoint.name)
        endpoint.thread.start()
        return {}

    def ask(self, call: Call) -> dict[str, Any]:
        """InvokeEndpoint."""
        return self._invoke(call)

    # -- tags

    def tags(self, call: Call) -> dict[str, Any] | Passed:
        """AddTags, DeleteTags and ListTags of what is kept here."""
        arn = call.params["ResourceArn"]
        shelf = next((one for one in self.shelves if f":{one.kind}/" in arn), None)
        if shelf is None:
            return PASS
        if (record := shelf.by_arn(arn)) is None:
            raise invalid(f'Could not find {shelf.noun} "{arn}".')
        record.tags |= tags_of(call.params)
        for key in call.params.get("TagKeys", []):
            record.tags.pop(key, None)
        return {} if call.operation == "DeleteTags" else {"Tags": tagging.shown(record.tags)}

    def tagged(self, call: Call, answer: dict[str, Any]) -> dict[str, Any]:
        """Add them to what the tagging service finds."""
        for shelf in self.shelves:
            things = ((record.arn, record.tags) for record in shelf.of(call.region))
            answer = tagging.found(call, answer, f"sagemaker:{shelf.kind}", things)
        return answer

    @property
    def shelves(self) -> list[Shelf[Any]]:
        """Everything that has tags."""
        return [self.models.models, self.models.configs, self.endpoints, self.components.shelf]

    # -- what people and tests ask of the stand-in

    def status(self) -> dict[str, Any]:
        """The endpoints, their states and how many processes answer."""
        told = []
        for one in list(self.endpoints.records.values()):
            count = sum(len(variant.pids()) for variant in self._running({"endpoint": one.name}))
            told.append(f"{one.name} {one.state} {count} processes")
        return {"endpoints": told}

    def crash(self, told: dict[str, Any]) -> int:
        """Kill one container of `endpoint`; its process."""
        for pid in [pid for one in self._running(told) for pid in one.pids()]:
            # One that has just crashed by itself may still be listed.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                return pid
        raise LookupError(f"no process of an endpoint {told['endpoint']}")

    def busy(self, told: dict[str, Any]) -> int:
        """How many requests `endpoint` is answering."""
        return sum(replica.taken for one in self._running(told) for replica in one.replicas)

    def end(self) -> None:
        """End everything at once."""
        endpoints = list(self.endpoints.records.values())
        for one in endpoints:
            one.stop.set()
        self.components.abandon()
        for one in endpoints:
            for fleet in one.everything():
                fleet.abandon()
        for one in endpoints:
            if one.thread:
                one.thread.join()
            # What it has started while it was told to stop.
            for fleet in one.everything():
                fleet.abandon()
        self._invoke.end()
        if self._begun:
            self._publisher.end()
            self._capture.end()
        for shelf in self.shelves:
            shelf.records.clear()
        self._begin()

    # -- helpers

    def _asked(self, call: Call) -> Endpoint | None:
        return self.endpoints.records.get((call.region, call.params["EndpointName"]))

    def _endpoint(self, call: Call) -> Endpoint:
        return self.endpoints.get(call.region, call.params["EndpointName"], self._cloud.account)

    def _arn(self, region: str, kind: str, name: str) -> str:
        return f"arn:aws:sagemaker:{region}:{self._cloud.account}:{kind}/{name}"

    def _fleet(self, region: str, endpoint: Endpoint, config: dict[str, Any]) -> Fleet:
        return Fleet(self._cloud, region, endpoint.name, config, partial(self.models.model, region))

    def _used(self, region: str) -> Counter[str]:
        fleets = [fleet for one in self.endpoints.of(region) for fleet in one.everything()]
        return sum((fleet.wanted for fleet in fleets), Counter())

    def _may_change(self, endpoint: Endpoint) -> None:
        if endpoint.state in BUSY:
            raise in_progress(endpoint.arn)
        if endpoint.state != "InService":
            raise invalid(f'Cannot update endpoint "{endpoint.arn}" in status {endpoint.state}.')

    def _retain(self, endpoint: Endpoint, green: Fleet, told: dict[str, Any]) -> None:
        """Let the new fleet keep what the old one was changed to, where that is asked for."""
        if not told.get("RetainAllVariantProperties"):
            return
        excluded = {one["VariantPropertyType"] for one in told.get("ExcludeRetainedVariantProperties", [])}
        kept = set(_RETAINED) - excluded
        for one in green.variants:
            if (before := endpoint.fleets[0].variant(one.name)) is None:
                continue
            if "DesiredInstanceCount" in kept and not one.serverless:
                one.desired = before.desired
            if "DesiredWeight" in kept:
                one.weight = one.desired_weight = before.desired_weight
        if "DataCaptureConfig" in kept and endpoint.capturing:
            green.capture = endpoint.capturing

    def _run(self, endpoint: Endpoint, method: Callable[[Update], Callable[..., None]], *arguments: Any) -> None:
        with self._lock:
            if not self._begun:
                self._begun = True
                self._publisher.start()
                self._capture.start()
        update = Update(self._cloud, endpoint)
        endpoint.thread = threading.Thread(
            target=update.guarded, args=[method(update), *arguments], daemon=True, name=endpoint.name
        )
        endpoint.thread.start()

    def _measured(self) -> list[tuple[str, str, dict[str, Any]]]:
        found = []
        for one in list(self.endpoints.records.values()):
            found += [(one.region, namespace, datum) for namespace, datum in one.measured(self._cloud)]
            for component in self.components.of(one):
                assert component.meter and component.copies
                found += [(one.region, NAMESPACE, datum) for datum in component.meter.passed(component.copies.active)]
        return found

    def _running(self, told: dict[str, Any]) -> list[Variant]:
        named = [one for one in self.endpoints.records.values() if one.name == told["endpoint"]]
        copies = [component.copies for one in named for component in self.components.of(one) if component.copies]
        return [*copies, *(variant for one in named for fleet in one.everything() for variant in fleet.everything)]


def add(cloud: Cloud) -> None:
    """Register with the cloud."""
    hosting = Hosting(cloud)
    operations = {
        "CreateEndpoint": hosting.create,
        "DescribeEndpoint": hosting.describe,
        "ListEndpoints": hosting.list_endpoints,
        "UpdateEndpoint": hosting.update,
        "UpdateEndpointWeightsAndCapacities": hosting.scale,
        "DeleteEndpoint": hosting.delete,
        "AddTags": hosting.tags,
        "DeleteTags": hosting.tags,
        "ListTags": hosting.tags,
    }
    endpoint_models.add(cloud, hosting.models)
    endpoint_components.add(cloud, hosting.components)
    for operation, function in operations.items():
        cloud.handle("sagemaker", operation, function)
    cloud.handle("sagemaker-runtime", "InvokeEndpoint", hosting.ask)
    cloud.after("resourcegroupstaggingapi", "GetResources", hosting.tagged)
    cloud.control("crash", hosting.crash)
    cloud.control("busy", hosting.busy)
    cloud.on_reset(hosting.end)
    cloud.on_status(hosting.status)


def _check_change(variant: Any, change: dict[str, Any]) -> None:
    if variant.serverless:
        if "DesiredInstanceCount" in change:
            raise invalid("DesiredInstanceCount is not supported for serverless endpoint")
        config = variant.wanted | change.get("ServerlessUpdateConfig", {})
        if config.get("ProvisionedConcurrency", 0) > config["MaxConcurrency"]:
            raise invalid("ProvisionedConcurrency must be less than or equal to MaxConcurrency.")
    elif "ServerlessUpdateConfig" in change:
        raise invalid("ServerlessUpdateConfig is supported for serverless endpoint only")
    elif change.get("DesiredInstanceCount", 1) < 1:
        raise invalid("DesiredInstanceCount must be at least 1 for a variant that answers in real time.")
