"""What Lambda itself writes into a function's log: plain lines, or JSON where the function's logging is set to that.

Sources: "Sending Lambda function logs to CloudWatch Logs" and "Lambda Telemetry API Event schema reference" in AWS's
developer guide; of the events in JSON those of starts and reports, without traces.
"""

from __future__ import annotations

import json
import math
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dogbreed.rehearse.clock import Clock
    from dogbreed.rehearse.function_records import Version


@dataclass(frozen=True)
class Report:
    """What one call took: milliseconds, and MB of memory at most; `init` is 0 where none is billed."""

    request: str
    duration: float
    init: float
    memory: int
    used: int
    status: str = "success"
    error: str = ""

    @property
    def billed(self) -> int:
        """Milliseconds; since August 2025 those of the initialisation as well."""
        return math.ceil(self.duration + self.init)


class Writer:
    """Writes lines of the system for one version."""

    def __init__(self, clock: Clock, version: Version) -> None:
        self._clock = clock
        self._version = version
        logging = version.config.get("LoggingConfig", {})
        self._json = logging.get("LogFormat") == "JSON"
        self._level = logging.get("SystemLogLevel", "INFO")

    def init(self, kind: str = "on-demand") -> list[str]:
        """An environment begins; `kind` as AWS_LAMBDA_INITIALIZATION_TYPE has it."""
        runtime = f"python:{platform.python_version()}"
        told = {"initializationType": kind, "phase": "init", "runtimeVersion": runtime}
        return self._written(f"INIT_START Runtime Version: {runtime}", "initStart", told)

    def init_failed(self, milliseconds: float, status: str) -> list[str]:
        """Its initialisation did not come to an end in time."""
        text = f"INIT_REPORT Init Duration: {milliseconds:.2f} ms\tPhase: init\tStatus: {status}"
        told = {"phase": "init", "status": status, "metrics": {"durationMs": round(milliseconds, 3)}}
        return self._written(text, "initReport", told, failed=True)

    def start(self, request: str) -> list[str]:
        """A call begins."""
        number = self._version.number
        told = {"requestId": request, "version": number}
        return self._written(f"START RequestId: {request} Version: {number}", "start", told)

    def trouble(self, words: str) -> list[str]:
        """What ended a call, which the report in JSON tells by itself."""
        return [] if self._json else [words]

    def timed_out(self, request: str, words: str) -> list[str]:
        """The same for the limit of time, which is dated."""
        moment = f"{self._clock.now():%Y-%m-%dT%H:%M:%S.%f}"[:-3]
        return self.trouble(f"{moment}Z {request} {words}")

    def end(self, report: Report) -> list[str]:
        """A call is over."""
        parts = [
            f"REPORT RequestId: {report.request}",
            f"Duration: {report.duration:.2f} ms",
            f"Billed Duration: {report.billed} ms",
            f"Memory Size: {report.memory} MB",
            f"Max Memory Used: {report.used} MB",
        ]
        metrics = {
            "durationMs": round(report.duration, 3),
            "billedDurationMs": report.billed,
            "memorySizeMB": report.memory,
            "maxMemoryUsedMB": report.used,
        }
        told: dict[str, Any] = {"requestId": report.request, "metrics": metrics, "status": report.status}
        if report.init:
            parts.append(f"Init Duration: {report.init:.2f} ms")
            metrics["initDurationMs"] = round(report.init, 3)
        # An exception of the handler is no trouble of the runtime, and is not told here.
        if report.status == "timeout" or report.error:
            parts.append(f"Status: {report.status}")
        if report.error:
            parts.append(f"Error Type: {report.error}")
            told["errorType"] = report.error
        ended = [] if self._json else [f"END RequestId: {report.request}"]
        return ended + self._written("\t".join(parts), "report", told, failed=report.status != "success")

    def _written(self, text: str, kind: str, told: dict[str, Any], *, failed: bool = False) -> list[str]:
        if not self._json:
            return [text]
        if self._level == "WARN" and not failed:
            return []
        moment = f"{self._clock.now():%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
        return [json.dumps({"time": moment, "type": f"platform.{kind}", "record": told})]
