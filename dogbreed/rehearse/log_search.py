"""What moto's FilterLogEvents leaves out: only the streams whose names begin with the prefix that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call
    from dogbreed.rehearse.cloud import Cloud


def add(cloud: Cloud) -> None:
    """Register with the cloud."""
    cloud.after("logs", "FilterLogEvents", _of_prefix)


def _of_prefix(call: Call, answer: dict[str, Any]) -> dict[str, Any]:
    prefix = call.params.get("logStreamNamePrefix", "")
    parts = ("events", "searchedLogStreams")
    kept = {part: [one for one in answer[part] if one["logStreamName"].startswith(prefix)] for part in parts}
    return {**answer, **kept}
