"""`terraform show -json` of a plan or a state -> a corpus; what the apply decides is followed to what it refers to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dogbreed.audit.model import HOLE, UNKNOWN, Corpus, Resource
from dogbreed.audit.parse import tfdocument, tfnames
from dogbreed.audit.parse.assemble import assemble
from dogbreed.audit.parse.placed import Arr, Obj, placed
from dogbreed.audit.source import Path, Source

_DEEPEST = 12
# The modules that a resource is in, at the beginning of its address.
_MODULES = re.compile(r'(?:module\.[\w-]+(?:\[(?:"[^"]*"|\d+)\])?\.)*')


def read_plan(plan: dict[str, Any], source: Source, path: Path = ()) -> Corpus:
    """The resources as they will be after the apply, or as a state has them."""
    return assemble(list(_Plan(plan, source, path).resources()))


class _Plan:
    def __init__(self, plan: dict[str, Any], source: Source, path: Path) -> None:
        self.source = source
        self.entries: dict[str, tuple[dict[str, Any], dict[str, Any], Path]] = {}
        changes = {
            str(one.get("address")): (one, at)
            for at, one in enumerate(_list(plan.get("resource_changes")))
            if isinstance(one, dict)
        }
        top = "planned_values" if isinstance(plan.get("planned_values"), dict) else "values"
        root = plan.get(top) if isinstance(plan.get(top), dict) else {}
        for one, where in _entries(_dict(root.get("root_module") if root else {}), (*path, top, "root_module"), 0):
            address = str(one.get("address", ""))
            change = _dict(changes.get(address, ({}, 0))[0].get("change"))
            self.entries[address] = (one, _dict(change.get("after_unknown")), (*where, "values"))
        for address, (one, at) in changes.items():
            change = _dict(one.get("change"))
            if address not in self.entries and isinstance(change.get("after"), dict):
                where = (*path, "resource_changes", at, "change", "after")
                unknown = _dict(change.get("after_unknown"))
                self.entries[address] = ({**one, "values": change["after"]}, unknown, where)
        self.expressions: dict[str, dict[str, Any]] = {}
        self._configure(_dict(_dict(plan.get("configuration")).get("root_module")), "", 0)

    def _configure(self, module: dict[str, Any], prefix: str, depth: int) -> None:
        """The expressions of every resource, by its address without instance keys."""
        for one in _list(module.get("resources")):
            if isinstance(one, dict):
                self.expressions[f"{prefix}{one.get('address')}"] = _dict(one.get("expressions"))
        for name, call in _dict(module.get("module_calls")).items():
            if isinstance(call, dict) and depth < _DEEPEST:
                self._configure(_dict(call.get("module")), f"{prefix}module.{name}.", depth + 1)

    def resources(self) -> Iterator[Resource]:
        """Every managed resource whose type is audited."""
        for address, (one, unknown, where) in self.entries.items():
            tf_type = str(one.get("type", ""))
            if one.get("mode", "managed") != "managed" or not tfnames.type_of(tf_type):
                continue
            values = placed(_dict(one.get("values")), where)
            self._fill(values, unknown, address)
            yield tfnames.to_resource(tf_type, address, values, self.source, where)

    def _fill(self, values: Obj, unknown: dict[str, Any], address: str) -> None:
        """Put what is known after the apply where the values lack it; computed ones that nobody set stay away."""
        expressions = self.expressions.get(_without_keys(address))
        for key, mark in unknown.items():
            if mark is True:
                expression = expressions.get(key) if expressions is not None else {}
                if expression is not None:
                    values.put(key, self._refer(_list(_dict(expression).get("references")), address), values.place(key))
            elif isinstance(mark, dict | list):
                values[key] = _marked(values.get(key), mark)

    def _refer(self, references: list[Any], address: str) -> Any:
        """What an expression gives that refers to one resource; HOLE when it is more than that."""
        prefix = match[0] if (match := _MODULES.match(address)) else ""
        for reference in references:
            if not isinstance(reference, str):
                continue
            words = _without_keys(reference).split(".")
            at = 1 if words[0] == "data" else 0
            if len(words) != at + 3:
                continue
            target = self._entry(prefix + ".".join(words[: at + 2]))
            if target is None:
                continue
            one, unknown, where = target
            values = placed(_dict(one.get("values")), where)
            if words[0] == "data":
                if words[1] == "aws_iam_policy_document":
                    return tfdocument.document(_marked(values, unknown))
                continue
            type = tfnames.type_of(words[0])
            if type:
                properties = tfnames.to_properties(words[0], values)
                tfnames.label(type, str(one.get("address")), properties, values)
                found = tfnames.attribute(type, str(one.get("address")), properties, words[2])
                return HOLE if found is None else found
        return HOLE

    def _entry(self, address: str) -> tuple[dict[str, Any], dict[str, Any], Path] | None:
        """A resource by its address; the only instance, or the first one, when the address has no key."""
        if address in self.entries:
            return self.entries[address]
        return next((entry for name, entry in self.entries.items() if _without_keys(name) == address), None)


def _entries(module: dict[str, Any], path: Path, depth: int) -> Iterator[tuple[dict[str, Any], Path]]:
    """Every resource of a module and of the modules in it."""
    for at, one in enumerate(_list(module.get("resources"))):
        if isinstance(one, dict):
            yield one, (*path, "resources", at)
    for at, child in enumerate(_list(module.get("child_modules"))):
        if isinstance(child, dict) and depth < _DEEPEST:
            yield from _entries(child, (*path, "child_modules", at), depth + 1)


def _marked(value: Any, mark: Any) -> Any:
    """A value with HOLE or UNKNOWN where the plan marks it as unknown."""
    if mark is True:
        return UNKNOWN if isinstance(value, dict | list) else HOLE
    if isinstance(mark, dict):
        made = value if isinstance(value, Obj) else Obj(_dict(value).items())
        for key, inner in mark.items():
            if inner is True and key in ("actions", "resources", "identifiers", "values"):
                made[key] = [HOLE]
            elif inner not in (False, [], {}):
                made[key] = _marked(made.get(key), inner)
        return made
    if isinstance(mark, list):
        items = value if isinstance(value, Arr) else Arr(_list(value))
        for at, inner in enumerate(mark):
            if inner in (False, [], {}):
                continue
            if at < len(items):
                items[at] = _marked(items[at], inner)
            else:
                items.put(_marked(None, inner), None)
        return items
    return value


def _without_keys(address: str) -> str:
    """An address without the keys of its instances: `a.b["x"].c` is a.b.c."""
    made, depth = "", 0
    for char in address:
        depth += (char == "[") - (char == "]")
        if not depth and char != "]":
            made += char
    return made


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
