"""Inference components: copies of models on the instances of an endpoint that was made without one, down to none."""

from __future__ import annotations

import logging
import math
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse.calls import AwsError
from dogbreed.rehearse.endpoint_meters import Meter
from dogbreed.rehearse.endpoint_records import Record, Shelf, tags_of
from dogbreed.rehearse.endpoint_rules import check_image
from dogbreed.rehearse.endpoint_update import START_S
from dogbreed.rehearse.endpoint_usage import cores
from dogbreed.rehearse.endpoint_variant import Source, UnhealthyError, Variant
from dogbreed.rehearse.sagemaker_rules import invalid

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud
    from dogbreed.rehearse.endpoint_models import Models
    from dogbreed.rehearse.endpoint_state import Endpoint

_LOGS = "/aws/sagemaker/InferenceComponents"
_BUSY = ("Creating", "Updating", "Deleting")
NO_CAPACITY = (
    "Inference Component has no capacity to process this request. ApplicationAutoScaling may be in-progress (if "
    "configured) or try to increase the capacity by invoking UpdateInferenceComponentRuntimeConfig API."
)


@dataclass
class Component(Record):
    """One component; `copies` are its replicas."""

    endpoint: Endpoint | None = None
    variant: str = ""
    state: str = "Creating"
    failure: str = ""
    specification: dict[str, Any] = field(default_factory=dict)
    copies: Variant | None = None
    meter: Meter | None = None
    thread: threading.Thread | None = None

    @property
    def status(self) -> str:
        """Its InferenceComponentStatus."""
        return self.state

    @property
    def cores(self) -> float:
        """Processor cores that one copy takes."""
        needs = self.specification.get("ComputeResourceRequirements", {})
        return float(needs.get("NumberOfCpuCoresRequired", 1.0))

    def summary(self) -> dict[str, Any]:
        """What a list of components shows."""
        assert self.endpoint
        return {
            "InferenceComponentName": self.name,
            "InferenceComponentArn": self.arn,
            "EndpointName": self.endpoint.name,
            "EndpointArn": self.endpoint.arn,
            "VariantName": self.variant,
            "InferenceComponentStatus": self.state,
            "CreationTime": self.created,
            "LastModifiedTime": self.changed,
        }

    def describe(self) -> dict[str, Any]:
        """All that DescribeInferenceComponent shows."""
        assert self.copies
        # The state first: once it says so, the copies are there.
        shown = self.summary() | {"Specification": self.specification}
        ready = sum(one.ready for one in self.copies.replicas)
        shown["RuntimeConfig"] = {"DesiredCopyCount": self.copies.desired, "CurrentCopyCount": ready}
        return shown | ({"FailureReason": self.failure} if self.failure else {})


class Components:
    """The inference components of an account; `endpoint` finds the one that a call names."""

    def __init__(self, cloud: Cloud, models: Models, endpoints: Shelf[Endpoint]) -> None:
        self._cloud, self._models, self._endpoints = cloud, models, endpoints
        self.shelf: Shelf[Component] = Shelf("inference-component", "inference component")

    # -- operations

    def create(self, call: Call) -> dict[str, Any]:
        """CreateInferenceComponent: refuse it, or start its copies."""
        told = call.params
        endpoint = self._endpoints.get(call.region, told["EndpointName"], self._cloud.account)
        variant = self._variant(endpoint, told.get("VariantName", ""))
        specification = told.get("Specification")
        if not specification or "BaseInferenceComponentName" in specification:
            raise invalid("The stand-in has components of one Specification, with a model or a container of their own.")
        if (count := told.get("RuntimeConfig", {}).get("CopyCount", 0)) < 1:
            raise invalid("Inference components copy count an integer larger than 0")
        now, name = self._cloud.clock.now(), told["InferenceComponentName"]
        arn = f"arn:aws:sagemaker:{call.region}:{self._cloud.account}:{self.shelf.kind}/{name}"
        component = Component(name, arn, told, now, now, tags_of(told), endpoint, variant.name)
        component.meter = Meter(self._cloud, {"InferenceComponentName": name})
        self._specify(component, specification, count)
        self.shelf.add(call.region, component)
        self._run(component, None)
        return {"InferenceComponentArn": arn}

    def describe(self, call: Call) -> dict[str, Any]:
        """DescribeInferenceComponent."""
        return self._named(call).describe()

    def list_components(self, call: Call) -> dict[str, Any]:
        """ListInferenceComponents, of all endpoints or one."""
        told = dict(call.params)
        endpoint, variant = told.get("EndpointNameEquals"), told.get("VariantNameEquals")
        others: Shelf[Component] = Shelf(self.shelf.kind, self.shelf.noun)
        for one in self.shelf.of(call.region):
            assert one.endpoint
            if endpoint in (None, one.endpoint.name) and variant in (None, one.variant):
                others.add(call.region, one)
        return others.page(call.region, told, "InferenceComponents", Component.summary)

    def update(self, call: Call) -> dict[str, Any]:
        """UpdateInferenceComponent and UpdateInferenceComponentRuntimeConfig."""
        told, component = call.params, self._named(call)
        runtime = told.get("RuntimeConfig") or told.get("DesiredRuntimeConfig") or {}
        if component.state in _BUSY:
            raise invalid(f'Cannot update in-progress inference component "{component.arn}".')
        assert component.copies
        old, count = None, int(runtime.get("CopyCount", component.copies.desired))
        component.state, component.failure, component.changed = "Updating", "", self._cloud.clock.now()
        if specification := told.get("Specification"):
            old = component.copies
            self._specify(component, specification, count)
        component.copies.desired = count
        self._run(component, old)
        return {"InferenceComponentArn": component.arn}

    def delete(self, call: Call) -> dict[str, Any]:
        """DeleteInferenceComponent."""
        component = self._named(call)
        if component.state == "Deleting":
            raise invalid(f'Cannot delete in-progress inference component "{component.arn}".')
        component.state = "Deleting"

        def end() -> None:
            assert component.copies
            component.copies.end()
            self.shelf.records.pop((call.region, component.name), None)
            self._fit(component)

        component.thread = threading.Thread(target=end, daemon=True, name=component.name)
        component.thread.start()
        return {}

    # -- for requests and the rest of hosting

    def asked(self, region: str, name: str, endpoint: Endpoint) -> Component:
        """The component for one request. Raises AwsError where it is none of the endpoint's or has no copy."""
        component = self.shelf.records.get((region, name))
        if component is None or component.endpoint is not endpoint:
            words = f"Inference Component {name} not found for endpoint {endpoint.name}."
            raise AwsError("ValidationError", words)
        assert component.copies and component.meter
        if not component.copies.can_answer:
            component.meter.had_no_capacity()
            raise AwsError("ValidationError", NO_CAPACITY)
        return component

    def of(self, endpoint: Endpoint) -> list[Component]:
        """The components of an endpoint."""
        return [one for one in list(self.shelf.records.values()) if one.endpoint is endpoint]

    def abandon(self) -> None:
        """End all at once."""
        components = list(self.shelf.records.values())
        for one in components:
            assert one.copies
            one.copies.abandon()
        for one in components:
            if one.thread:
                one.thread.join()
            assert one.copies
            one.copies.abandon()
        self.shelf.records.clear()

    # -- helpers

    def _named(self, call: Call) -> Component:
        return self.shelf.get(call.region, call.params["InferenceComponentName"], self._cloud.account)

    def _variant(self, endpoint: Endpoint, name: str) -> Variant:
        if endpoint.state != "InService":
            raise invalid(f'Cannot create an inference component on endpoint "{endpoint.arn}" in {endpoint.state}.')
        fleet = endpoint.fleets[0]
        variant = fleet.variant(name) if name else fleet.variants[0]
        if variant is None or variant.source:
            words = "is not one to which inference components can be deployed"
            raise invalid(f'Variant "{name}" of endpoint "{endpoint.arn}" {words}.')
        return variant

    def _specify(self, component: Component, specification: dict[str, Any], count: int) -> None:
        """Let it have copies of what a Specification says, none of which runs yet."""
        endpoint = component.endpoint
        assert endpoint
        given, own = specification.get("ModelName"), specification.get("Container", {})
        if given:
            model = self._models.model(endpoint.region, given)
        else:
            if "Image" not in own:
                raise invalid("A ModelName, or a Container with an Image, is required in the Specification.")
            check_image(self._cloud, own)
            container = {"Image": own["Image"], "Environment": own.get("Environment", {})}
            container |= {"ModelDataUrl": own["ArtifactUrl"]} if "ArtifactUrl" in own else {}
            model = {"PrimaryContainer": container}
        role = model.get("ExecutionRoleArn") or endpoint.fleets[0].role
        source = Source(self._cloud, endpoint.region, endpoint.name, model, role, f"{_LOGS}/{component.name}")
        told = {"VariantName": component.variant, **specification.get("StartupParameters", {})}
        component.specification = specification
        component.copies = Variant(self._cloud, told, source)
        component.copies.desired = count

    def _run(self, component: Component, old: Variant | None) -> None:
        component.thread = threading.Thread(target=self._change, args=[component, old], daemon=True)
        component.thread.start()

    def _change(self, component: Component, old: Variant | None) -> None:
        """Come to the desired copies, as many as have room; `old` ones end when the new ones answer."""
        copies, endpoint = component.copies, component.endpoint
        assert copies and endpoint
        try:
            room = self._fit(component)
            if copies.count > copies.desired:
                copies.shrink(copies.count - copies.desired)
            elif (missing := min(copies.desired, room) - copies.count) > 0:
                if self._cloud.clock.sleep(START_S, endpoint.stop):
                    return
                copies.start(missing, endpoint.stop)
            if room < copies.desired:
                raise UnhealthyError(
                    f"There is room for {room} copies on the instances of variant {component.variant}."
                )
            component.state = "InService"
        except UnhealthyError as error:
            component.failure = str(error)
            component.state = "InService" if copies.count else "Failed"
        except Exception:
            logging.exception("inference component %s", component.name)
            component.state = "Failed"
        component.changed = self._cloud.clock.now()
        if old:
            old.end()

    def _fit(self, component: Component) -> int:
        """Give the variant as many instances as its components need; how many copies of this one have room."""
        assert component.endpoint and component.endpoint.fleets
        fleet = component.endpoint.fleets[0]
        variant = fleet.variant(component.variant)
        assert variant
        scaling = variant.told.get("ManagedInstanceScaling", {})
        low, high = scaling.get("MinInstanceCount", 1), scaling.get("MaxInstanceCount", 1)
        if scaling.get("Status", "ENABLED") != "ENABLED" or not scaling:
            low = high = int(variant.told.get("InitialInstanceCount", 1))
        each = cores(variant.told["InstanceType"])
        here = [one for one in self.of(component.endpoint) if one.variant == component.variant and one.copies]
        needed = sum(one.cores * one.copies.desired for one in here if one.copies)
        variant.desired = min(high, max(low, math.ceil(needed / each - 1e-9)))
        others = sum(one.cores * one.copies.count for one in here if one.copies and one is not component)
        return max(0, int((high * each - others) // component.cores))


def add(cloud: Cloud, components: Components) -> None:
    """Register with the cloud."""
    for operation, function in {
        "CreateInferenceComponent": components.create,
        "DescribeInferenceComponent": components.describe,
        "ListInferenceComponents": components.list_components,
        "UpdateInferenceComponent": components.update,
        "UpdateInferenceComponentRuntimeConfig": components.update,
        "DeleteInferenceComponent": components.delete,
    }.items():
        cloud.handle("sagemaker", operation, function)
