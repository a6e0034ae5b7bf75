"""Invoke: calls of functions, at once or as events that are tried again, with their logs and metrics.

An initialisation of more than 10 seconds (REHEARSE_INIT_S) begins anew within the time that the call itself has. One
that fails is not tried a second time in the same call. Events that failed for good are dropped: there are no
destinations.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import threading
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse.calls import AwsError
from dogbreed.rehearse.function_metrics import Metrics
from dogbreed.rehearse.function_pool import Pool, new_stream
from dogbreed.rehearse.function_process import EndedError, log_group
from dogbreed.rehearse.function_records import LATEST, conflict
from dogbreed.rehearse.function_report import Report, Writer
from dogbreed.rehearse.function_rules import ANSWERED, ASYNCHRONOUS, SYNCHRONOUS
from dogbreed.rehearse.log_lines import Lines, Stream

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud
    from dogbreed.rehearse.function_pool import Lease
    from dogbreed.rehearse.function_process import Environment
    from dogbreed.rehearse.function_records import Function, Records, Version

_INIT_S = float(os.environ.get("REHEARSE_INIT_S", "10"))
_TAIL = 4096
_SIGNALS = 128  # what an exit code of a shell is beyond, when a signal ended the program
# Events, by the clock: retries after a failure, the most of waiting between retries after a refusal.
_RETRIES_S = (60.0, 120.0)
_BACKED_OFF_S = 300.0
_AGE_S, _ATTEMPTS = 21_600, 2


@dataclass(frozen=True)
class Outcome:
    """What came of a call; `failed` where `payload` tells an error, `log` the lines it printed and Lambda's own."""

    request: str
    payload: bytes
    failed: bool
    version: str
    log: tuple[str, ...]


class Invoker:
    """Runs calls of the functions in `records`."""

    def __init__(self, cloud: Cloud, records: Records) -> None:
        self._cloud = cloud
        self._records = records
        self._lines = Lines(cloud)
        self.metrics = Metrics(cloud)
        self.pool = Pool(cloud, records, self._log_init)
        self._over = threading.Event()

    # -- the operation

    def invoke(self, call: Call) -> dict[str, Any]:
        """Invoke."""
        function, qualifier = self._records.find(call.region, call.params)
        kind = call.params.get("InvocationType") or "RequestResponse"
        payload = call.request.get_data() or b"{}"
        limit = ASYNCHRONOUS if kind == "Event" else SYNCHRONOUS
        if len(payload) > limit:
            words = f"{len(payload)} byte payload is too large for the {kind} invocation type (limit {limit} bytes)"
            raise AwsError("RequestTooLargeException", words, 413)
        try:
            json.loads(payload)
        except ValueError as error:
            words = f"Could not parse request body into json: Could not parse payload into json: {error}"
            raise AwsError("InvalidRequestContentException", words, 400) from error
        self.ready(function, qualifier)
        if kind == "DryRun":
            return {"StatusCode": 204, "Payload": b""}
        if kind == "Event":
            self.later(function, qualifier, payload)
            return {"StatusCode": 202, "Payload": b""}
        outcome = self.run(function, qualifier, payload)
        answer: dict[str, Any] = {"StatusCode": 200, "ExecutedVersion": outcome.version, "Payload": outcome.payload}
        if outcome.failed:
            answer["FunctionError"] = "Unhandled"
        if call.params.get("LogType") == "Tail":
            answer["LogResult"] = base64.b64encode("\n".join(outcome.log).encode()[-_TAIL:]).decode()
        return answer

    def ready(self, function: Function, qualifier: str) -> None:
        """Raise AwsError where a function is not there yet to be called."""
        version = function.version(qualifier)
        if version.created and self._cloud.clock.time() < version.ready_at:
            words = "The operation cannot be performed at this time. The function is currently in the following state: "
            raise conflict(f"{words}Pending")

    # -- calls

    def run(self, function: Function, qualifier: str, payload: bytes, request: str = "") -> Outcome:
        """Call a function and wait for what comes of it; AwsError (429) where too many calls run."""
        begun, over, lines = self._cloud.clock.time(), self._over, self._lines
        version = function.chosen(qualifier, self._cloud.clock)
        executed = version.number if (alias := function.aliases.get(qualifier)) and alias.weights else ""
        named = "" if qualifier == LATEST else qualifier
        try:
            lease = self.pool.take(function, qualifier, version)
        except AwsError:
            self.metrics.note(function.region, function.name, named, {"Throttles": 1}, executed)
            raise
        try:
            outcome, values = self._run(lease, function.qualified(qualifier), payload, request or str(uuid.uuid4()))
        finally:
            self.pool.give_back(lease)
        if over.is_set():  # what an account that was emptied meanwhile would find is of another one
            return outcome
        lines.add(_stream(lease.environment), outcome.log)
        values |= {"Invocations": 1, "Errors": float(outcome.failed), "Throttles": 0}
        values["ConcurrentExecutions"] = lease.running
        if lease.shelf:
            spilled = not lease.environment.provisioned
            values["ProvisionedConcurrencySpilloverInvocations" if spilled else "ProvisionedConcurrencyInvocations"] = 1
            values["ProvisionedConcurrentExecutions"] = lease.shelf_busy
            values["ProvisionedConcurrencyUtilization"] = lease.shelf_busy / max(
                1, lease.shelf.allocated(self._cloud.clock.time())
            )
        # As of when it was called, not of when it ended.
        self.metrics.note(function.region, function.name, named, values, executed, begun)
        return outcome

    def later(self, function: Function, qualifier: str, payload: bytes) -> None:
        """Take an event, and call the function with it in the background."""
        named = "" if qualifier == LATEST else qualifier
        self.metrics.note(function.region, function.name, named, {"AsyncEventsReceived": 1})
        threading.Thread(target=self._deliver, args=[function, qualifier, payload], daemon=True).start()

    def end(self) -> None:
        """End all calls."""
        self._over.set()
        self.pool.end()
        self._lines.end()
        self.metrics.clear()
        self._lines, self._over = Lines(self._cloud), threading.Event()

    def _deliver(self, function: Function, qualifier: str, payload: bytes) -> None:
        over, clock, taken = self._over, self._cloud.clock, self._cloud.clock.time()
        told = function.on_events.get(qualifier or LATEST, {})
        retries = list(_RETRIES_S[: told.get("MaximumRetryAttempts", _ATTEMPTS)])
        age, back_off, request = told.get("MaximumEventAgeInSeconds", _AGE_S), 1.0, str(uuid.uuid4())
        while not over.is_set() and self._records.functions.get((function.region, function.name)) is function:
            try:
                if not self.run(function, qualifier, payload, request).failed:
                    return
                if not retries:
                    break
                wait = retries.pop(0)
            except AwsError:
                wait, back_off = back_off, min(back_off * 2, _BACKED_OFF_S)
            if clock.time() + wait - taken > age or clock.sleep(wait, over):
                break
        named = "" if qualifier == LATEST else qualifier
        self.metrics.note(function.region, function.name, named, {"AsyncEventsDropped": 1})

    def _run(self, lease: Lease, arn: str, payload: bytes, request: str) -> tuple[Outcome, dict[str, float]]:
        environment, version = lease.environment, lease.environment.version
        writer = Writer(self._cloud.clock, version)
        lines: list[str] = []
        cold, ended, body, status, kind = not environment.stream, None, b"", "success", ""
        began = time.monotonic()
        try:
            if cold:
                self._start(environment, writer, lines)
            lines += writer.start(request)
            began = time.monotonic()
            said = environment.call(request, payload, arn)
            body, status = said.body, "error" if said.kind == "error" else "success"
        except EndedError as error:
            ended = error
        duration = max(0.01, (time.monotonic() - began) * 1000)
        lines += environment.printed()
        if ended:
            body, status, kind = self._why(ended, request, writer, lines, version)
        elif len(body) > ANSWERED:
            kind, words = "Function.ResponseSizeTooLarge", f"maximum allowed payload size ({ANSWERED} bytes)."
            body, status = _error(kind, f"Response payload size exceeded {words}"), "error"
        report = Report(
            request,
            duration,
            environment.init_s * 1000 if cold else 0.0,
            version.memory,
            min(environment.peak_mb, version.memory),
            status,
            kind,
        )
        lines += writer.end(report)
        return Outcome(request, body, status != "success", version.number, tuple(lines)), {"Duration": duration}

    def _start(self, environment: Environment, writer: Writer, lines: list[str]) -> None:
        lines += writer.init()
        stream = new_stream(self._cloud, environment.version)
        try:
            environment.start(_INIT_S, stream)
        except EndedError as error:
            lines += environment.printed()
            lines += writer.init_failed(environment.init_s * 1000, "timeout" if error.kind == "timeout" else "error")
            if error.kind != "timeout":
                raise
            environment.end()
            environment.start(environment.version.timeout, stream)
        lines += environment.printed()

    def _why(
        self, ended: EndedError, request: str, writer: Writer, lines: list[str], version: Version
    ) -> tuple[bytes, str, str]:
        """What tells what ended a call: payload, status and type of error; a line of its own is added to `lines`."""
        if ended.kind == "init":
            return ended.body, "error", ended.error
        if ended.kind == "timeout":
            words = f"Task timed out after {version.timeout:.2f} seconds"
            lines += writer.timed_out(request, words)
            return _error("Sandbox.Timedout", f"RequestId: {request} Error: {words}"), "timeout", ""
        kind, words = "Runtime.ExitError", "Runtime exited without providing a reason"
        if ended.kind == "memory":
            kind, words = "Runtime.OutOfMemory", "Runtime exited with error: signal: killed"
        elif (code := int(ended.body or b"0")) < 0 or code > _SIGNALS:
            words = f"Runtime exited with error: signal: {_signal(code)}"
        elif code:
            words = f"Runtime exited with error: exit status {code}"
        told = f"RequestId: {request} Error: {words}"
        lines += writer.trouble(told)
        return _error(kind, told), "error", kind

    def _log_init(self, environment: Environment) -> None:
        writer = Writer(self._cloud.clock, environment.version)
        lines = [*writer.init("provisioned-concurrency"), *environment.printed()]
        self._lines.add(_stream(environment), lines)


def _stream(environment: Environment) -> Stream:
    function, version = environment.function, environment.version
    return Stream(function.region, version.role, log_group(function, version), environment.stream)


def _error(kind: str, words: str) -> bytes:
    return json.dumps({"errorType": kind, "errorMessage": words}).encode()


def _signal(code: int) -> str:
    number = -code if code < 0 else code - _SIGNALS
    names = {signal.SIGSEGV: "segmentation fault", signal.SIGKILL: "killed", signal.SIGABRT: "aborted"}
    return names.get(signal.Signals(number), str(number)) if number in set(signal.Signals) else str(number)
