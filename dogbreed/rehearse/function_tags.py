"""Tags of functions, and functions in what the tagging service finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dogbreed.rehearse import tagging

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.function_aliases import Operations
    from dogbreed.rehearse.function_records import Function, Records


class Tags:
    """Sets and shows them."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def operations(self) -> Operations:
        """What it answers, by operation."""
        return {"TagResource": self._tag, "UntagResource": self._untag, "ListTags": self._list}

    def tagged(self, call: Call, answer: dict[str, Any]) -> dict[str, Any]:
        """Add functions to what GetResources has found."""
        functions = ((one.arn, one.tags) for one in self._records.of(call.region))
        return tagging.found(call, answer, "lambda:function", functions)

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
