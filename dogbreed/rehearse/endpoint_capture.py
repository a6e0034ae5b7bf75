"""Data capture: a share of an endpoint's requests and answers as lines of JSON in S3, in AWS's layout.

DESTINATION/endpoint/variant/YYYY/MM/DD/HH/MM-SS-mmm-UUID.jsonl; lines wait for a minute of the clock, so a file holds
those of a minute.
"""

from __future__ import annotations

import base64
import json
import logging
import random
import threading
import uuid
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from dogbreed.rehearse.sagemaker_data import split

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud
    from dogbreed.rehearse.endpoint_container import Reply
    from dogbreed.rehearse.endpoint_fleet import Fleet
    from dogbreed.rehearse.endpoint_state import Endpoint

_EVERY_S = 60.0
# How often it is looked whether that has passed, by this machine's clock at most.
_LOOK_S = 0.2
# Bytes that wait in memory at most; then they are sent at once.
_FULL = 16 * 2**20
# (region, role, destination, key, endpoint, variant)
_Place = tuple[str, str, str, str, str, str]


class Capture(threading.Thread):
    """Collects lines and sends them, as the role of the endpoint."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(daemon=True, name="data capture")
        self._cloud = cloud
        self._lines: dict[_Place, list[str]] = {}
        self._size = 0
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._over = threading.Event()

    def take(self, endpoint: Endpoint, fleet: Fleet, variant: str, call: Call, body: bytes, reply: Reply) -> None:
        """Note a request and its answer, where they are to be."""
        told = endpoint.capturing
        if not told or not told.get("EnableCapture", True):
            return
        if random.random() * 100 >= told["InitialSamplingPercentage"]:
            return
        place = (
            endpoint.region,
            fleet.role,
            told["DestinationS3Uri"].rstrip("/"),
            told.get("KmsKeyId", ""),
            endpoint.name,
            variant,
        )
        line = json.dumps(self._line(told, call, body, reply))
        with self._lock:
            self._lines.setdefault(place, []).append(line)
            self._size += len(line)

    def run(self) -> None:
        """Send again and again."""
        clock = self._cloud.clock
        sent = clock.time()
        while not clock.sleep(max(1.0, _LOOK_S * clock.speed), self._over):
            if clock.time() - sent >= _EVERY_S or self._size > _FULL:
                sent = clock.time()
                self.send()

    def send(self) -> None:
        """Send what waits; what another thread is sending has been sent as well when this returns."""
        with self._sending:
            with self._lock:
                lines, self._lines, self._size = self._lines, {}, 0
            self._put(lines)

    def _put(self, lines: dict[_Place, list[str]]) -> None:
        for (region, role, destination, key, endpoint, variant), found in lines.items():
            now = self._cloud.clock.now()
            bucket, prefix = split(f"{destination}/{endpoint}/{variant}")
            name = f"{now:%Y/%m/%d/%H}/{now:%M-%S}-{now.microsecond // 1000:03d}-{uuid.uuid4()}.jsonl"
            extra = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key} if key else {}
            try:
                s3 = self._cloud.client("s3", region, role=role)
                s3.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body="\n".join([*found, ""]).encode(), **extra)
            except (ClientError, BotoCoreError) as error:
                logging.warning("captured data of %s were lost: %s", endpoint, error)

    def end(self) -> None:
        """End it; what waits is dropped."""
        self._over.set()
        if self.is_alive():
            self.join()

    def _line(self, told: dict[str, Any], call: Call, body: bytes, reply: Reply) -> dict[str, Any]:
        modes = {one["CaptureMode"] for one in told["CaptureOptions"]}
        captured: dict[str, Any] = {}
        if modes & {"Input", "InputAndOutput"}:
            kind = call.params.get("ContentType", "")
            captured["endpointInput"] = _part(told, kind, "INPUT", body)
        if modes & {"Output", "InputAndOutput"}:
            kind = reply.headers.get("content-type", "")
            captured["endpointOutput"] = _part(told, kind, "OUTPUT", reply.body)
        event: dict[str, Any] = {"eventId": str(uuid.uuid4())}
        if attributes := call.params.get("CustomAttributes"):
            event["customAttributes"] = [attributes]
        if given := call.params.get("InferenceId"):
            event["inferenceId"] = given
        event["inferenceTime"] = f"{self._cloud.clock.now():%Y-%m-%dT%H:%M:%SZ}"
        return {"captureData": captured, "eventMetadata": event, "eventVersion": "0"}


def _part(told: dict[str, Any], kind: str, mode: str, content: bytes) -> dict[str, str]:
    """One side of a request; whose type is not named as CSV or JSON is kept in base64."""
    known = told.get("CaptureContentTypeHeader", {})
    plain = kind.partition(";")[0].strip().lower()
    encoding = "BASE64"
    for name, types in (("CSV", "CsvContentTypes"), ("JSON", "JsonContentTypes")):
        if plain in [one.lower() for one in known.get(types, [])]:
            encoding = name
    data = base64.b64encode(content).decode() if encoding == "BASE64" else content.decode("utf-8", "replace")
    return {"observedContentType": kind, "mode": mode, "data": data, "encoding": encoding}
