"""Lambda: functions that really run, each call in an environment of its own, with AWS's states, limits and refusals.

Everything of Lambda but layers and event source mappings is kept here, since moto runs nothing without Docker; those
two remain moto's, and no function can use them. A change is in progress for a moment of the stand-in's clock.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse import function_rules as rules
from dogbreed.rehearse.calls import AwsError
from dogbreed.rehearse.function_aliases import Aliases
from dogbreed.rehearse.function_code import Codes
from dogbreed.rehearse.function_concurrency import Concurrency
from dogbreed.rehearse.function_invoke import Invoker
from dogbreed.rehearse.function_policy import Policies
from dogbreed.rehearse.function_process import missing
from dogbreed.rehearse.function_records import LATEST, Code, Function, Records, Version, conflict, invalid, not_found
from dogbreed.rehearse.function_tags import Tags
from dogbreed.rehearse.function_urls import Urls

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud

_CHANGED_S = 0.3
_LOOK_S = 0.2
_PAGE = 50
# What CreateFunction and UpdateFunctionConfiguration may say of a configuration.
_SET: tuple[str, ...] = (
    "Runtime",
    "Role",
    "Handler",
    "Description",
    "Timeout",
    "MemorySize",
    "VpcConfig",
    "Environment",
)
_SET += (
    "ImageConfig",
    "EphemeralStorage",
    "TracingConfig",
    "LoggingConfig",
    "DeadLetterConfig",
    "KMSKeyArn",
    "SnapStart",
)
_NO_LAYERS = "The stand-in has no layers: put what they hold into the function's package."
_DEFAULTS: dict[str, Any] = {
    "Description": "",
    "Timeout": 3,
    "MemorySize": 128,
    "PackageType": "Zip",
    "Architectures": ["x86_64"],
    "EphemeralStorage": {"Size": 512},
    "TracingConfig": {"Mode": "PassThrough"},
    "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
}


class Functions:
    """Makes, changes, shows and deletes functions and their versions."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.records = Records(cloud.account)
        self.invoker = Invoker(cloud, self.records)
        self.on_delete: list[Callable[[Function], None]] = []
        self._codes = Codes(cloud, cloud.folder / "functions" / "code")
        self._lock = threading.RLock()
        self._ticker: threading.Thread | None = None
        self._over = threading.Event()

    # -- operations

    def create(self, call: Call) -> dict[str, Any]:
        """CreateFunction."""
        if module := missing():
            raise invalid(f"the stand-in needs {module} to run functions: pip install 'dogbreed[rehearse]'")
        told, name = call.params, call.params["FunctionName"].rsplit(":", 1)[-1]
        config = _DEFAULTS | {"FunctionName": name}
        config |= {key: told[key] for key in (*_SET, "PackageType", "Architectures") if told.get(key) is not None}
        config["LoggingConfig"] = _logging(name, config.get("LoggingConfig", {}))
        if told.get("Layers"):
            raise invalid(_NO_LAYERS)
        rules.check(self._cloud, config)
        if (call.region, name) in self.records.functions:
            raise conflict(f"Function already exist: {name}")
        code = self._codes.of(call, told["Code"])
        arn = self.records.arn(call.region, name)
        latest = Version(LATEST, arn, self._dated(config), code, created=True, ready_at=self._soon())
        function = Function(call.region, name, arn, latest, dict(told.get("Tags", {})))
        with self._lock:
            if self.records.functions.setdefault((call.region, name), function) is not function:
                raise conflict(f"Function already exist: {name}")
            self._tick()
        version = self._publish(function, "") if told.get("Publish") else latest
        return self._shown(version, created=True)

    def update_code(self, call: Call) -> dict[str, Any]:
        """UpdateFunctionCode."""
        function = self._changeable(call)
        code = self._codes.of(call, call.params)
        changes = {"Architectures": call.params["Architectures"]} if call.params.get("Architectures") else {}
        if call.params.get("DryRun"):
            return self._shown(replace(function.latest, code=code))
        version = self._change(function, changes, code)
        if call.params.get("Publish"):
            version = self._publish(function, "")
        return self._shown(version)

    def update_configuration(self, call: Call) -> dict[str, Any]:
        """UpdateFunctionConfiguration."""
        function = self._changeable(call)
        changes = {key: call.params[key] for key in _SET if call.params.get(key) is not None}
        if call.params.get("Layers"):
            raise invalid(_NO_LAYERS)
        if told := changes.get("LoggingConfig"):
            changes["LoggingConfig"] = _logging(function.name, function.latest.config["LoggingConfig"] | told)
        rules.check(self._cloud, function.latest.config | changes)
        return self._shown(self._change(function, changes, function.latest.code))

    def publish(self, call: Call) -> dict[str, Any]:
        """PublishVersion; the last version again where nothing has changed since."""
        function = self._changeable(call)
        if (wanted := call.params.get("CodeSha256")) and wanted != function.latest.code.sha256:
            words = f"CodeSHA256 ({wanted}) is different from current CodeSHA256 in $LATEST"
            raise invalid(f"{words} ({function.latest.code.sha256}). Please try again with the CodeSHA256 in $LATEST.")
        return self._shown(self._publish(function, call.params.get("Description", "")))

    def get_configuration(self, call: Call) -> dict[str, Any]:
        """GetFunctionConfiguration."""
        function, qualifier = self.records.find(call.region, call.params)
        return self._named(function, qualifier)

    def get(self, call: Call) -> dict[str, Any]:
        """GetFunction."""
        function, qualifier = self.records.find(call.region, call.params)
        answer = {"Configuration": self._named(function, qualifier), "Code": function.version(qualifier).code.location}
        answer |= {"Tags": dict(function.tags)} if function.tags else {}
        if function.reserved is not None:
            answer["Concurrency"] = {"ReservedConcurrentExecutions": function.reserved}
        return answer

    def list_functions(self, call: Call) -> dict[str, Any]:
        """ListFunctions, all their versions if asked for."""
        every = call.params.get("FunctionVersion") == "ALL"
        shown = [
            self._shown(version, qualified=every)
            for function in self.records.of(call.region)
            for version in (function.everything() if every else [function.latest])
        ]
        return page("Functions", shown, call.params)

    def list_versions(self, call: Call) -> dict[str, Any]:
        """ListVersionsByFunction."""
        function, _ = self.records.find(call.region, call.params)
        return page("Versions", [self._shown(one, qualified=True) for one in function.everything()], call.params)

    def delete(self, call: Call) -> dict[str, Any]:
        """DeleteFunction: all of it, or one version."""
        function, qualifier = self.records.find(call.region, call.params)
        if qualifier:
            if qualifier == LATEST:
                raise invalid("$LATEST version cannot be deleted without deleting the function.")
            if users := [one.name for one in function.aliases.values() if qualifier in (one.version, *one.weights)]:
                words = f"Version {qualifier} cannot be deleted because it is referenced by aliases: {users}"
                raise conflict(words.replace("'", ""))
            if function.versions.pop(qualifier, None) is None and qualifier in function.aliases:
                raise invalid("Deletion of aliases is not currently supported by DeleteFunction.")
        else:
            del self.records.functions[function.region, function.name]
            for name in list(function.provisioned):
                self.invoker.pool.release(function, name)
            for forget in self.on_delete:
                forget(function)
        self.invoker.pool.sweep()
        return {}

    def settings(self, call: Call) -> dict[str, Any]:
        """GetAccountSettings."""
        found = self.records.of(call.region)
        size = sum(version.code.size for function in found for version in function.everything())
        return {
            "AccountLimit": {
                "TotalCodeSize": rules.STORED,
                "CodeSizeUnzipped": rules.UNZIPPED,
                "CodeSizeZipped": rules.ZIPPED,
                "ConcurrentExecutions": rules.CONCURRENCY,
                "UnreservedConcurrentExecutions": rules.CONCURRENCY - sum(one.reserved or 0 for one in found),
            },
            "AccountUsage": {"TotalCodeSize": size, "FunctionCount": len(found)},
        }

    # -- what people ask of the stand-in

    def status(self) -> dict[str, Any]:
        """The functions, with how many environments there are of each and how many calls run."""
        counted = self.invoker.pool.count()
        told = [f"{name}: {made} warm, {running} running" for name, (made, running) in sorted(counted.items())]
        return {"functions": told}

    def end(self) -> None:
        """End all calls and environments, and forget all functions."""
        self._over.set()
        if self._ticker:
            self._ticker.join()
        self._ticker, self._over = None, threading.Event()
        for function in list(self.records.functions.values()):
            for forget in self.on_delete:
                forget(function)
        self.records.functions.clear()
        self.invoker.end()
        self._codes.clear()

    # -- helpers

    def _tick(self) -> None:
        """See to unused environments and to metrics from now on."""
        if self._ticker is None:
            self._ticker = threading.Thread(target=self._ticking, args=[self._over], daemon=True)
            self._ticker.start()

    def _ticking(self, over: threading.Event) -> None:
        while not over.wait(_LOOK_S):
            try:
                self.invoker.pool.sweep()
                self.invoker.metrics.send()
            except Exception:  # a thread that ends would leave all functions without metrics
                logging.exception("functions")

    def _changeable(self, call: Call) -> Function:
        """The function that a call is to change; AwsError while another change is in progress."""
        function, qualifier = self.records.find(call.region, call.params)
        if qualifier and qualifier != LATEST:
            raise invalid(f"{call.operation} does not take a qualifier: published versions do not change.")
        given = call.params.get("RevisionId")
        if given and given != function.latest.config["RevisionId"]:
            words = "The RevisionId provided does not match the latest RevisionId for the Lambda function or alias. "
            words += "Call the GetFunction or the GetAlias API to retrieve the latest RevisionId for your resource."
            raise AwsError("PreconditionFailedException", words)
        if self._cloud.clock.time() < function.latest.ready_at:
            words = "The operation cannot be performed at this time. "
            if function.latest.created:
                raise conflict(f"{words}The function is currently in the following state: Pending")
            raise conflict(f"{words}An update is in progress for resource: {function.arn}")
        return function

    def _change(self, function: Function, changes: dict[str, Any], code: Code) -> Version:
        with self._lock:
            before = function.latest
            config = self._dated(before.config | changes)
            function.latest = Version(LATEST, function.arn, config, code, created=False, ready_at=self._soon())
            function.before = before
            return function.latest

    def _publish(self, function: Function, description: str) -> Version:
        with self._lock:
            if function.published == function.latest.serial and str(function.counted) in function.versions:
                return function.versions[str(function.counted)]
            function.published = function.latest.serial
            function.counted += 1
            number = str(function.counted)
            config = function.latest.config | ({"Description": description} if description else {})
            version = Version(
                number,
                function.qualified(number),
                config | {"RevisionId": str(uuid.uuid4())},
                function.latest.code,
                created=True,
                ready_at=function.latest.ready_at,
            )
            function.versions[number] = version
            return version

    def _named(self, function: Function, qualifier: str) -> dict[str, Any]:
        answer = self._shown(function.version(qualifier))
        return answer | {"FunctionArn": function.qualified(qualifier)}

    def _shown(self, version: Version, *, qualified: bool = False, created: bool = False) -> dict[str, Any]:
        answer = version.told(self._cloud.clock)
        if qualified and version.number == LATEST:
            answer["FunctionArn"] += f":{LATEST}"
        if created:
            answer.pop("LastUpdateStatus")
        if "ImageConfig" in answer:
            answer["ImageConfigResponse"] = {"ImageConfig": answer.pop("ImageConfig")}
        return answer

    def _dated(self, config: dict[str, Any]) -> dict[str, Any]:
        moment = f"{self._cloud.clock.now():%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "+0000"
        return config | {"LastModified": moment, "RevisionId": str(uuid.uuid4())}

    def _soon(self) -> float:
        return self._cloud.clock.time() + _CHANGED_S


def page(name: str, found: list[dict[str, Any]], told: dict[str, Any]) -> dict[str, Any]:
    """One page of an answer that lists things; `NextMarker` where there are more."""
    start, size = int(told.get("Marker") or 0), min(int(told.get("MaxItems") or _PAGE), _PAGE)
    if start > len(found):
        raise not_found("The marker is not valid.")
    more = {"NextMarker": str(start + size)} if start + size < len(found) else {}
    return {name: found[start : start + size]} | more


def _logging(name: str, told: dict[str, str]) -> dict[str, str]:
    """How a function logs, with AWS's defaults."""
    levels = {"ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO"} if told.get("LogFormat") == "JSON" else {}
    return {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"} | levels | told


def add(cloud: Cloud) -> None:
    """Register with the cloud."""
    functions = Functions(cloud)
    operations = {
        "CreateFunction": functions.create,
        "UpdateFunctionCode": functions.update_code,
        "UpdateFunctionConfiguration": functions.update_configuration,
        "PublishVersion": functions.publish,
        "GetFunction": functions.get,
        "GetFunctionConfiguration": functions.get_configuration,
        "ListFunctions": functions.list_functions,
        "ListVersionsByFunction": functions.list_versions,
        "DeleteFunction": functions.delete,
        "GetAccountSettings": functions.settings,
        "Invoke": functions.invoker.invoke,
    }
    urls = Urls(cloud, functions.records, functions.invoker)
    functions.on_delete.append(urls.forget)
    parts = (
        Aliases(functions.records, functions.invoker.pool),
        Concurrency(cloud, functions.records, functions.invoker.pool),
        Policies(functions.records),
        Tags(functions.records),
        urls,
    )
    for part in parts:
        operations |= part.operations()
    for operation, function in operations.items():
        cloud.handle("lambda", operation, function)
    cloud.after("resourcegroupstaggingapi", "GetResources", parts[3].tagged)
    cloud.on_reset(functions.end)
    cloud.on_status(functions.status)
