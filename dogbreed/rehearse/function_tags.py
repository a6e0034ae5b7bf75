"""Tags of functions, and functions in what the tagging service finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.function_aliases import Operations
    from dogbreed.rehearse.function_records import Function, Records

_KINDS = {"lambda", "lambda:function"}


class Tags:
    """Sets and shows them."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def operations(self) -> Operations:
        """What it answers, by operation."""
        return {"TagResource": self._tag, "UntagResource": self._untag, "ListTags": self._list}

    def tagged(self, call: Call, answer: dict[str, Any]) -> dict[str, Any] | None:
        """Add functions to what GetResources has found."""
        if not _KINDS & set(call.params.get("ResourceTypeFilters") or _KINDS):
            return None
        filters = call.params.get("TagFilters", [])
        found = [
            {"ResourceARN": one.arn, "Tags": [{"Key": key, "Value": value} for key, value in one.tags.items()]}
            for one in self._records.of(call.region)
            if one.tags and all(_has(one, wanted) for wanted in filters)
        ]
        return answer | {"ResourceTagMappingList": answer.get("ResourceTagMappingList", []) + found}

    def _tag(self, call: Call) -> dict[str, Any]:
        self._function(call).tags.update(call.params["Tags"])
        return {}

    def _untag(self, call: Call) -> dict[str, Any]:
        for key in call.params["TagKeys"]:
            self._function(call).tags.pop(key, None)
        return {}

    def _list(self, call: Call) -> dict[str, Any]:
        return {"Tags": dict(self._function(call).tags)}

    def _function(self, call: Call) -> Function:
        return self._records.find(call.region, {"FunctionName": call.params["Resource"]})[0]


def _has(function: Function, wanted: dict[str, Any]) -> bool:
    key, values = wanted.get("Key"), wanted.get("Values", [])
    return key in function.tags and (not values or function.tags[key] in values)
