"""Terraform's `aws_iam_policy_document` as the JSON document that it makes, with the places of its blocks."""

from __future__ import annotations

import json
from typing import Any

from dogbreed.audit.model import HOLE, UNKNOWN
from dogbreed.audit.parse.placed import Arr, Obj, Place, placed

_LISTS = {"actions": "Action", "not_actions": "NotAction", "resources": "Resource", "not_resources": "NotResource"}
_SOURCES = ("source_json", "source_policy_documents")
_OVERRIDES = ("override_json", "override_policy_documents")


def document(body: dict[str, Any]) -> Any:
    """The document of a body; UNKNOWN when the documents that it starts from are not known."""
    statements = Arr()
    for name in _SOURCES:
        for one in _documents(body.get(name)):
            if one is UNKNOWN:
                statements.put(UNKNOWN, _place(body, name))
            else:
                _extend(statements, one, override=False)
    own = Obj()
    made = Arr()
    blocks = body.get("statement")
    for index, block in enumerate(blocks if isinstance(blocks, list) else []):
        place = blocks.place(index) if isinstance(blocks, Arr) else None
        made.put(UNKNOWN if not isinstance(block, dict) else _statement(block), place)
    own.put("Statement", made, None)
    _extend(statements, own, override=True)
    for name in _OVERRIDES:
        for one in _documents(body.get(name)):
            if one is UNKNOWN:
                statements.put(UNKNOWN, _place(body, name))
            else:
                _extend(statements, one, override=True)
    result = Obj()
    version = body.get("version")
    result.put("Version", version if _given(version) else "2012-10-17", _place(body, "version"))
    if isinstance(policy_id := body.get("policy_id"), str):
        result.put("Id", policy_id, _place(body, "policy_id"))
    result.put("Statement", statements, statements.places[0] if statements.places else None)
    return result


def _statement(block: dict[str, Any]) -> Obj:
    """One statement block; `effect` is Allow unless it says something else."""
    made = Obj()
    if _given(block.get("sid")):
        made.put("Sid", block["sid"], _place(block, "sid"))
    effect = block["effect"] if _given(block.get("effect")) else "Allow"
    made.put("Effect", effect, _place(block, "effect"))
    for name, element in _LISTS.items():
        if (value := block.get(name)) not in (None, []):
            made.put(element, _variables(value), _place(block, name))
    for name, element in (("principals", "Principal"), ("not_principals", "NotPrincipal")):
        if _given(block.get(name)):
            made.put(element, _principals(block[name]), _place(block, name))
    if _given(block.get("condition")):
        made.put("Condition", _conditions(block["condition"]), _place(block, "condition"))
    return made


def _principals(blocks: Any) -> Any:
    """{type: identifiers}; "*" where Terraform writes the type "*"."""
    if not isinstance(blocks, list):
        return UNKNOWN
    made = Obj()
    for index, block in enumerate(blocks):
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            return UNKNOWN
        identifiers = _variables(block.get("identifiers"))
        if block["type"] == "*":
            return "*"
        before = made.get(block["type"], [])
        both = [*before, *identifiers] if isinstance(identifiers, list) else UNKNOWN
        made.put(block["type"], both, blocks.place(index) if isinstance(blocks, Arr) else None)
    return made


def _conditions(blocks: Any) -> Any:
    """{test: {variable: values}}; two blocks with the same test and variable are both in it."""
    if not isinstance(blocks, list):
        return UNKNOWN
    made = Obj()
    for index, block in enumerate(blocks):
        place = blocks.place(index) if isinstance(blocks, Arr) else None
        test, variable = (block.get("test"), block.get("variable")) if isinstance(block, dict) else (None, None)
        if not isinstance(test, str) or not isinstance(variable, str):
            return UNKNOWN
        if not isinstance(made.get(test), Obj):
            made.put(test, Obj(), place)
        values = _variables(block.get("values"))
        before = made[test].get(variable)
        both = [*before, *values] if isinstance(before, list) and isinstance(values, list) else values
        made[test].put(variable, both, place)
    return made


def _variables(value: Any) -> Any:
    """Terraform writes IAM's variables as &{aws:username}."""
    if isinstance(value, str):
        return value.replace("&{", "${")
    if isinstance(value, list):
        made = Arr()
        for index, one in enumerate(value):
            text = one.replace("&{", "${") if isinstance(one, str) else one
            made.put(text, value.place(index) if isinstance(value, Arr) else None)
        return made
    return value


def _documents(value: Any) -> list[Any]:
    """The documents that another one starts from."""
    if value in (None, ""):
        return []
    found: list[Any] = []
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict):
            found.append(one)
        elif isinstance(one, str) and HOLE not in one:
            try:
                found.append(placed(json.loads(one)))
            except ValueError:
                found.append(UNKNOWN)
        elif one is not None:
            found.append(UNKNOWN)
    return found


def _extend(statements: Arr, other: dict[str, Any], *, override: bool) -> None:
    """Add a document's statements; one with the Sid of an earlier one takes its place when it overrides."""
    more = other.get("Statement", [])
    for index, one in enumerate(more if isinstance(more, list) else [more]):
        place = more.place(index) if isinstance(more, Arr) else None
        sid = one.get("Sid") if isinstance(one, dict) else None
        same = [at for at, old in enumerate(statements) if sid and isinstance(old, dict) and old.get("Sid") == sid]
        if override and same:
            statements[same[0]] = one
            statements.places[same[0]] = place
        else:
            statements.put(one, place)


def _given(value: Any) -> bool:
    """Whether something stands there, also when it is not known what."""
    return value is UNKNOWN or bool(value)


def _place(body: Any, name: str) -> Place:
    return body.place(name) if isinstance(body, Obj) else None
