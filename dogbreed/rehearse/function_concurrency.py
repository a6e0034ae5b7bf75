"""Reserved and provisioned concurrency of functions.

Provisioned environments are allocated a minute (of the stand-in's clock) after they were asked for, and not before all
of them have really started. Limits: "Configuring reserved concurrency" and "Configuring provisioned concurrency".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dogbreed.rehearse.calls import AwsError
from dogbreed.rehearse.function_records import LATEST, Function, invalid, not_found
from dogbreed.rehearse.function_rules import CONCURRENCY, UNRESERVED, check_reservation

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud
    from dogbreed.rehearse.function_aliases import Operations
    from dogbreed.rehearse.function_pool import Pool
    from dogbreed.rehearse.function_records import Records


class Concurrency:
    """Sets and shows them."""

    def __init__(self, cloud: Cloud, records: Records, pool: Pool) -> None:
        self._cloud = cloud
        self._records = records
        self._pool = pool

    def operations(self) -> Operations:
        """What it answers, by operation."""
        return {
            "PutFunctionConcurrency": self._reserve,
            "GetFunctionConcurrency": self._reserved,
            "DeleteFunctionConcurrency": self._unreserve,
            "PutProvisionedConcurrencyConfig": self._provision,
            "GetProvisionedConcurrencyConfig": self._provisioned,
            "DeleteProvisionedConcurrencyConfig": self._release,
            "ListProvisionedConcurrencyConfigs": self._list,
        }

    def _reserve(self, call: Call) -> dict[str, Any]:
        function = self._function(call)
        wanted = call.params["ReservedConcurrentExecutions"]
        others = self._claims(function.region) - self._claim(function)
        check_reservation(function.name, wanted, others)
        if wanted < (ready := _total(function)):
            words = f"ReservedConcurrentExecutions {wanted} should not be lower than function's total provisioned"
            raise invalid(f"{words} concurrency [{ready}].")
        function.reserved = wanted
        return {"ReservedConcurrentExecutions": wanted}

    def _reserved(self, call: Call) -> dict[str, Any]:
        function = self._function(call)
        return {} if function.reserved is None else {"ReservedConcurrentExecutions": function.reserved}

    def _unreserve(self, call: Call) -> dict[str, Any]:
        self._function(call).reserved = None
        return {}

    def _provision(self, call: Call) -> dict[str, Any]:
        function, qualifier = self._records.find(call.region, call.params)
        if qualifier in ("", LATEST):
            raise invalid("Provisioned Concurrency Configs cannot be applied to unpublished function versions.")
        version = function.version(qualifier)
        alias = function.aliases.get(qualifier)
        if alias and alias.weights:
            raise invalid("Alias with weights can not be used with Provisioned Concurrency")
        for other in function.provisioned:
            if other != qualifier and (other == version.number or qualifier == function.version(other).number):
                raise invalid("Alias and the version that it points to cannot both have Provisioned Concurrency")
        wanted = call.params["ProvisionedConcurrentExecutions"]
        others = _total(function) - function.provisioned.get(qualifier, (0, None))[0]
        if function.reserved is not None and wanted + others > function.reserved:
            words = "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for"
            raise invalid(f"{words} function")
        if function.reserved is None and self._claims(function.region) - self._claim(function) + wanted + others > (
            CONCURRENCY - UNRESERVED
        ):
            words = "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution"
            raise invalid(f"{words} below its minimum value of [{UNRESERVED}].")
        function.provisioned[qualifier] = (wanted, self._cloud.clock.now())
        self._pool.provision(function, qualifier, wanted, version)
        return self._told(function, qualifier)

    def _provisioned(self, call: Call) -> dict[str, Any]:
        return self._told(*self._found(call))

    def _release(self, call: Call) -> dict[str, Any]:
        function, qualifier = self._found(call)
        del function.provisioned[qualifier]
        self._pool.release(function, qualifier)
        return {}

    def _list(self, call: Call) -> dict[str, Any]:
        function = self._function(call)
        found = [
            {"FunctionArn": function.qualified(name)} | self._told(function, name)
            for name in sorted(function.provisioned)
        ]
        return {"ProvisionedConcurrencyConfigs": found}

    def _told(self, function: Function, qualifier: str) -> dict[str, Any]:
        wanted, since = function.provisioned[qualifier]
        shelf = self._pool.shelf(function, qualifier)
        made = shelf.allocated(self._cloud.clock.time()) if shelf else 0
        status = "FAILED" if shelf and shelf.failed else "READY" if made >= wanted else "IN_PROGRESS"
        answer = {
            "RequestedProvisionedConcurrentExecutions": wanted,
            "AvailableProvisionedConcurrentExecutions": made,
            "AllocatedProvisionedConcurrentExecutions": made,
            "Status": status,
            "LastModified": f"{since:%Y-%m-%dT%H:%M:%S}+0000",
        }
        return answer | ({"StatusReason": shelf.failed} if shelf and shelf.failed else {})

    def _found(self, call: Call) -> tuple[Function, str]:
        function, qualifier = self._records.find(call.region, call.params)
        if qualifier not in function.provisioned:
            function.version(qualifier)
            words = "No Provisioned Concurrency Config found for this function"
            raise AwsError("ProvisionedConcurrencyConfigNotFoundException", words)
        return function, qualifier

    def _function(self, call: Call) -> Function:
        function, qualifier = self._records.find(call.region, call.params)
        if qualifier:
            raise not_found(f"Function not found: {function.qualified(qualifier)}")
        return function

    def _claim(self, function: Function) -> int:
        """What a function takes away from the account: its reservation, or what it has provisioned without one."""
        return function.reserved if function.reserved is not None else _total(function)

    def _claims(self, region: str) -> int:
        return sum(self._claim(one) for one in self._records.of(region))


def _total(function: Function) -> int:
    return sum(count for count, _ in function.provisioned.values())
