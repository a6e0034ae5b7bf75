"""InvokeEndpoint: one request's way to a container and its answer's way back; nothing is locked meanwhile."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse.calls import AwsError
from dogbreed.rehearse.endpoint_capture import Capture
from dogbreed.rehearse.endpoint_container import BrokenError
from dogbreed.rehearse.endpoint_state import ANSWERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud
    from dogbreed.rehearse.endpoint_components import Components
    from dogbreed.rehearse.endpoint_container import Reply
    from dogbreed.rehearse.endpoint_fleet import Fleet
    from dogbreed.rehearse.endpoint_meters import Meter
    from dogbreed.rehearse.endpoint_replica import Replica
    from dogbreed.rehearse.endpoint_state import Endpoint
    from dogbreed.rehearse.endpoint_variant import Variant

LIMIT, SERVERLESS_LIMIT = 6 * 2**20, 4 * 2**20
TIMEOUT_S = 60.0
_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
_SHADOWS_AT_ONCE, _SHADOWS_WAITING = 16, 64
_LATE = (
    "Your invocation timed out while waiting for a response from container primary. Review the latency metrics for "
    "each container in Amazon CloudWatch, resolve the issue, and try again."
)


_NEEDED = (
    "Inference Component Name header is required for endpoints to which you plan to deploy inference components. "
    "Please include Inference Component Name header or consider using SageMaker models."
)
_NEEDLESS = (
    "Inference Component Name header is not allowed for endpoints without inference components. Please remove the "
    "Inference Component Name header and try again."
)


class ModelError(AwsError):
    """What the container itself said, in the members that InvokeEndpoint's ModelError has."""

    def __init__(self, endpoint: Endpoint, account: str, status: int, words: str) -> None:
        group = f"/aws/sagemaker/Endpoints/{endpoint.name}"
        kind = "client" if 400 <= status < 500 else "server"
        place = f"https://{endpoint.region}.console.aws.amazon.com/cloudwatch/home?region={endpoint.region}"
        super().__init__(
            "ModelError",
            f'Received {kind} error ({status}) from primary with message "{words}". See {place}#logEventViewer:'
            f"group={group} in account {account} for more information.",
            424,
        )
        self.OriginalStatusCode = status
        self.OriginalMessage = words
        self.LogStreamArn = f"arn:aws:logs:{endpoint.region}:{account}:log-group:{group}"
        self.Message = self.message


class Invoke:
    """Answers InvokeEndpoint; `find` gives the endpoint that a call names."""

    def __init__(
        self, cloud: Cloud, find: Callable[[Call], Endpoint | None], components: Components, capture: Capture
    ) -> None:
        self._cloud, self._find, self._components, self._capture = cloud, find, components, capture
        self._shadows = ThreadPoolExecutor(_SHADOWS_AT_ONCE, thread_name_prefix="shadow")
        self._waiting = threading.BoundedSemaphore(_SHADOWS_WAITING)

    def __call__(self, call: Call) -> dict[str, Any]:
        """The answer to one call."""
        begun = time.monotonic()
        endpoint = self._find(call)
        name = call.params["EndpointName"]
        if endpoint is None:
            raise AwsError("ValidationError", f"Endpoint {name} of account {self._cloud.account} not found.")
        if endpoint.state not in ANSWERS or not endpoint.fleets:
            raise AwsError("ValidationError", f"Endpoint {name} of account {self._cloud.account} is not in service.")
        body = bytes(call.request.get_data())
        if len(body) > LIMIT:
            raise _too_large(LIMIT)
        fleet = endpoint.fleets[0]
        if bool(fleet.variants[0].source) == ("InferenceComponentName" in call.params):
            raise AwsError("ValidationError", _NEEDLESS if fleet.variants[0].source else _NEEDED)
        if fleet.variants[0].serverless and len(body) > SERVERLESS_LIMIT:
            raise _too_large(SERVERLESS_LIMIT)
        return self._answer(call, endpoint, body, begun)

    def _answer(self, call: Call, endpoint: Endpoint, body: bytes, begun: float) -> dict[str, Any]:
        headers = headers_of(call)
        dead: set[Replica] = set()
        while True:
            fleet, variant, replica, meter = self._taken(call, endpoint, dead, begun)
            try:
                reply, took = ask(replica, body, headers)
            except BrokenError as error:
                if not error.sent:  # it has not seen the request: another one may
                    dead.add(replica)
                    meter.moved()
                    continue
                meter.closed(500, instances=variant.active, model_s=time.monotonic() - begun, overhead_s=0.0)
                words = _LATE if error.late else f"The connection to the container was lost: {error}"
                raise ModelError(endpoint, self._cloud.account, 0, words) from error
            finally:
                setup, replica.setup_s = replica.setup_s, 0.0
                variant.give_back(replica)
            whole = time.monotonic() - begun
            meter.closed(
                reply.status,
                instances=variant.active,
                model_s=took,
                overhead_s=whole - took - setup,
                setup_s=setup,
            )
            self._copy(endpoint, fleet, body, headers)
            self._capture.take(endpoint, fleet, variant.name, call, body, reply)
            return answer(endpoint, self._cloud.account, variant.name, reply)

    def _taken(
        self, call: Call, endpoint: Endpoint, dead: set[Replica], begun: float
    ) -> tuple[Fleet, Variant, Replica, Meter]:
        """A replica that has been taken for this request, and whose it is. Raises AwsError where there is none."""
        if name := call.params.get("InferenceComponentName"):
            component = self._components.asked(endpoint.region, name, endpoint)
            assert component.copies and component.meter
            fleet, variant, meter = endpoint.fleets[0], component.copies, component.meter
            replica = variant.take(dead)
        else:
            asked = call.params.get("TargetVariant", "")
            try:
                found = endpoint.take(asked, dead)
            except AwsError as error:
                meter = endpoint.meter(self._cloud, endpoint.fleets[0].variants[0])
                meter.opened()
                status = 429 if error.code == "ThrottlingException" else 500
                meter.closed(status, instances=1, model_s=None, overhead_s=time.monotonic() - begun)
                raise
            if found is None:
                raise AwsError("ValidationError", f"Variant {asked} not found for endpoint {endpoint.name}.")
            fleet, variant, replica = found
            meter = endpoint.meter(self._cloud, variant)
        meter.opened()
        if replica is None:
            meter.closed(503, instances=variant.active, model_s=None, overhead_s=time.monotonic() - begun)
            raise _unavailable()
        return fleet, variant, replica, meter

    def end(self) -> None:
        """Forget the copies that wait."""
        self._shadows.shutdown(wait=False, cancel_futures=True)

    # -- shadows

    def _copy(self, endpoint: Endpoint, fleet: Fleet, body: bytes, headers: dict[str, str]) -> None:
        """Send the request to the shadow as well, some time; where too many wait it is left out."""
        for shadow in fleet.shadows:
            if self._waiting.acquire(blocking=False):
                try:
                    self._shadows.submit(self._to_shadow, endpoint, shadow, body, headers)
                except RuntimeError:
                    self._waiting.release()

    def _to_shadow(self, endpoint: Endpoint, shadow: Variant, body: bytes, headers: dict[str, str]) -> None:
        try:
            if (replica := shadow.take()) is None:
                return
            meter = endpoint.meter(self._cloud, shadow)
            meter.opened()
            status, took = 500, None
            try:
                with suppress(BrokenError):
                    reply, took = ask(replica, body, headers)
                    status = reply.status
            finally:
                shadow.give_back(replica)
                meter.closed(status, instances=shadow.active, model_s=took, overhead_s=0.0)
        finally:
            self._waiting.release()


def ask(replica: Replica, body: bytes, headers: dict[str, str]) -> tuple[Reply, float]:
    """The answer of a replica, and the seconds that it took. Raises BrokenError."""
    began = time.monotonic()
    reply = replica.ask(body, headers, TIMEOUT_S)
    return reply, time.monotonic() - began


def headers_of(call: Call) -> dict[str, str]:
    """What the container is told beside the body."""
    told = {
        "Content-Type": call.params.get("ContentType") or "application/octet-stream",
        "Accept": call.params.get("Accept") or "*/*",
    }
    for name, header in (
        ("CustomAttributes", _ATTRIBUTES),
        ("InferenceId", "X-Amzn-SageMaker-Inference-Id"),
        ("TargetModel", "X-Amzn-SageMaker-Target-Model"),
    ):
        if value := call.params.get(name):
            told[header] = value
    return told


def answer(endpoint: Endpoint, account: str, variant: str, reply: Reply) -> dict[str, Any]:
    """What the caller gets. Raises ModelError for what is no success."""
    if not 200 <= reply.status < 300:
        raise ModelError(endpoint, account, reply.status, reply.body.decode("utf-8", "replace"))
    told: dict[str, Any] = {
        "Body": reply.body,
        "ContentType": reply.headers.get("content-type", "application/octet-stream"),
        "InvokedProductionVariant": variant,
    }
    if attributes := reply.headers.get(_ATTRIBUTES.lower()):
        told["CustomAttributes"] = attributes
    return told


def _too_large(limit: int) -> AwsError:
    return AwsError("ValidationError", f"HTTP content length exceeded {limit} bytes.", 413)


def _unavailable() -> AwsError:
    return AwsError("ServiceUnavailable", "The request has failed due to a temporary failure of the server.", 503)
