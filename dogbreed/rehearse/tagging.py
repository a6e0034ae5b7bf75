"""What the tagging service (GetResources) finds of things that moto does not know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call


def found(
    call: Call, answer: dict[str, Any], kind: str, things: Iterable[tuple[str, Mapping[str, str]]]
) -> dict[str, Any]:
    """An answer of GetResources with those of `things` (ARN, tags) in it that are asked for.

    `kind` is that of ResourceTypeFilters, such as lambda:function.
    """
    kinds = call.params.get("ResourceTypeFilters") or [kind]
    if not {kind, kind.partition(":")[0]} & set(kinds):
        return answer
    filters = call.params.get("TagFilters", [])
    fitting = [
        {"ResourceARN": arn, "Tags": shown(tags)}
        for arn, tags in things
        if tags and all(_has(tags, wanted) for wanted in filters)
    ]
    return answer | {"ResourceTagMappingList": answer.get("ResourceTagMappingList", []) + fitting}


def shown(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as most services show them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _has(tags: Mapping[str, str], wanted: Mapping[str, Any]) -> bool:
    return wanted.get("Key") in tags and (not wanted.get("Values") or tags[wanted["Key"]] in wanted["Values"])
