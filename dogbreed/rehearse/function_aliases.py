"""Aliases of functions, and how events are tried again (PutFunctionEventInvokeConfig and its like)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse.function_records import LATEST, Alias, Function, conflict, invalid, not_found

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.function_pool import Pool
    from dogbreed.rehearse.function_records import Records

Operations = dict[str, Callable[["Call"], dict[str, Any]]]
_EVENTS = ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")


class Aliases:
    """Keeps the aliases of functions."""

    def __init__(self, records: Records, pool: Pool) -> None:
        self._records = records
        self._pool = pool

    def operations(self) -> Operations:
        """What it answers, by operation."""
        return {
            "CreateAlias": self._create,
            "GetAlias": lambda call: self._named(call)[1].told(),
            "UpdateAlias": self._update,
            "DeleteAlias": self._delete,
            "ListAliases": self._list,
            "PutFunctionEventInvokeConfig": self._put_events,
            "UpdateFunctionEventInvokeConfig": self._put_events,
            "GetFunctionEventInvokeConfig": lambda call: self._events(call)[2],
            "DeleteFunctionEventInvokeConfig": self._delete_events,
            "ListFunctionEventInvokeConfigs": self._list_events,
        }

    def _create(self, call: Call) -> dict[str, Any]:
        function, _ = self._records.find(call.region, call.params)
        name, version = call.params["Name"], call.params["FunctionVersion"]
        if name in function.aliases:
            raise conflict(f"Alias already exists: {function.qualified(name)}")
        weights = self._weights(function, version, call.params)
        description = call.params.get("Description", "")
        alias = Alias(name, function.qualified(name), version, description, weights)
        function.aliases[name] = alias
        return alias.told()

    def _update(self, call: Call) -> dict[str, Any]:
        function, alias = self._named(call)
        version = call.params.get("FunctionVersion") or alias.version
        told = call.params if "RoutingConfig" in call.params else {}
        weights = self._weights(function, version, told) if told else dict(alias.weights)
        if weights and alias.name in function.provisioned:
            raise invalid("Alias with weights can not be used with Provisioned Concurrency")
        self._check(function, version)
        changed = version != alias.version
        alias.version, alias.weights = version, weights
        alias.description = call.params.get("Description", alias.description)
        alias.revision = str(uuid.uuid4())
        if changed and alias.name in function.provisioned:
            self._pool.provision(function, alias.name, function.provisioned[alias.name][0], function.version(version))
        return alias.told()

    def _delete(self, call: Call) -> dict[str, Any]:
        function, _ = self._records.find(call.region, call.params)
        name = call.params["Name"]
        function.aliases.pop(name, None)
        if function.provisioned.pop(name, None):
            self._pool.release(function, name)
        for kept in (function.policy, function.on_events):
            kept.pop(name, None)
        return {}

    def _list(self, call: Call) -> dict[str, Any]:
        function, _ = self._records.find(call.region, call.params)
        wanted = call.params.get("FunctionVersion")
        found = [alias for _, alias in sorted(function.aliases.items()) if wanted in (None, alias.version)]
        return {"Aliases": [alias.told() for alias in found]}

    def _named(self, call: Call) -> tuple[Function, Alias]:
        function, _ = self._records.find(call.region, call.params)
        name = call.params["Name"]
        if name not in function.aliases:
            raise not_found(f"Cannot find alias arn: {function.qualified(name)}")
        return function, function.aliases[name]

    def _weights(self, function: Function, version: str, told: dict[str, Any]) -> dict[str, float]:
        """The weights that a call sets, when they and the version are as they must be."""
        self._check(function, version)
        weights: dict[str, float] = (told.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        for number in weights:
            self._check(function, number)
            if LATEST in (number, version):
                raise invalid("$LATEST is not supported for an alias pointing to more than 1 version")
            if number == version:
                raise invalid(f"Invalid function version {number}. Function version {number} is already included.")
        if len(weights) > 1:
            raise invalid("Number of items in AdditionalVersionWeights cannot be greater than 1")
        if any(not 0 <= weight <= 1 for weight in weights.values()):
            raise invalid("A weight of a version must be between 0 and 1")
        return dict(weights)

    def _check(self, function: Function, number: str) -> None:
        if number != LATEST and number not in function.versions:
            raise not_found(f"Function not found: {function.qualified(number)}")

    # -- events

    def _events(self, call: Call) -> tuple[Function, str, dict[str, Any]]:
        function, qualifier = self._records.find(call.region, call.params)
        found = function.on_events.get(qualifier or LATEST)
        if found is None:
            arn = function.qualified(qualifier or LATEST)
            raise not_found(f"The function {arn} doesn't have an EventInvokeConfig")
        return function, qualifier or LATEST, found

    def _put_events(self, call: Call) -> dict[str, Any]:
        function, qualifier = self._records.find(call.region, call.params)
        function.version(qualifier)
        key = qualifier or LATEST
        kept = self._events(call)[2] if call.operation.startswith("Update") else {}
        given = {name: call.params[name] for name in _EVENTS if call.params.get(name) is not None}
        arn = function.qualified(key)
        defaults = {"FunctionArn": arn, "DestinationConfig": {"OnSuccess": {}, "OnFailure": {}}}
        function.on_events[key] = defaults | kept | given | {"LastModified": datetime.now(UTC)}
        return function.on_events[key]

    def _delete_events(self, call: Call) -> dict[str, Any]:
        function, key, _ = self._events(call)
        del function.on_events[key]
        return {}

    def _list_events(self, call: Call) -> dict[str, Any]:
        function, _ = self._records.find(call.region, call.params)
        return {"FunctionEventInvokeConfigs": list(function.on_events.values())}
