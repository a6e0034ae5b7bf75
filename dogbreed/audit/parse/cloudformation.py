"""CloudFormation and SAM templates, YAML or JSON: every resource with its functions worked out and its places kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from dogbreed.audit.model import UNKNOWN, Resource
from dogbreed.audit.parse import sam
from dogbreed.audit.parse.intrinsics import Resolver
from dogbreed.audit.parse.placed import Obj, Placed
from dogbreed.audit.source import Path, Source


def is_template(value: Any) -> bool:
    """Whether a value is a template: a version, or resources whose types are AWS's."""
    if not isinstance(value, dict):
        return False
    resources = value.get("Resources")
    if not isinstance(resources, dict):
        return False
    if "AWSTemplateFormatVersion" in value:
        return True
    types = (one.get("Type") for one in resources.values() if isinstance(one, dict))
    return any(isinstance(type, str) and type.startswith(("AWS::", "Custom::")) for type in types)


def is_resource(value: Any) -> bool:
    """Whether a value is one resource out of a template: a Type of AWS's and Properties."""
    type = value.get("Type") if isinstance(value, dict) else None
    return isinstance(type, str) and type.startswith("AWS::") and isinstance(value.get("Properties", {}), dict)


def read_template(template: dict[str, Any], source: Source, path: Path = ()) -> list[Resource]:
    """The resources of a template whose document stands at `path`."""
    resources, loops = _unrolled(template.get("Resources"))
    resolver = Resolver({**template, "Resources": resources})
    for id, resource in list(resolver.resources.items()):
        if str(resource.get("Type")) in sam.OWN_ROLE:
            resolver.resources.setdefault(f"{id}Role", {"Type": "AWS::IAM::Role"})
    found: list[Resource] = []
    for id, resource in resources.items():
        if not isinstance(resource, dict) or not isinstance(resource.get("Type"), str):
            continue
        found += _read(id, resource, resolver, source, path, loops.get(id, ("Resources", id)), template)
    return found


def _read(
    id: str, raw: dict[str, Any], resolver: Resolver, source: Source, path: Path, inside: Path, template: dict[str, Any]
) -> Iterator[Resource]:
    condition = raw.get("Condition")
    resolver.assumed = {condition: True} if isinstance(condition, str) else {}
    properties = resolver.resolve(raw.get("Properties") or {}, (*inside, "Properties"))
    if not isinstance(properties, Obj):
        properties = Obj() if properties is not UNKNOWN else Obj([("Fn::Transform", UNKNOWN)])
    placed = Placed(_Below(source, path), properties, inside)
    resource = Resource(raw["Type"], id, properties, placed)
    if resource.type.startswith("AWS::Serverless::"):
        kind = resource.type.rsplit(":", 1)[1]
        section = template.get("Globals", {}).get(kind) if isinstance(template.get("Globals"), dict) else None
        defaults = resolver.resolve(section if isinstance(section, dict) else {}, ("Globals", kind))
        yield from sam.expand(resource, defaults if isinstance(defaults, Obj) else Obj())
    else:
        yield resource


class _Below:
    """A source whose document stands inside another one."""

    def __init__(self, source: Source, path: Path) -> None:
        self.file = source.file
        self._source = source
        self._path = path

    def locate(self, path: Path) -> Any:
        return self._source.locate((*self._path, *path))


def _unrolled(resources: Any) -> tuple[dict[str, Any], dict[str, Path]]:
    """The resources with Fn::ForEach written out, and the places of those that came from a loop."""
    made: dict[str, Any] = {}
    places: dict[str, Path] = {}
    for id, resource in resources.items() if isinstance(resources, dict) else ():
        if not id.startswith("Fn::ForEach::"):
            made[id] = resource
            continue
        if not (isinstance(resource, list) and len(resource) == 3 and isinstance(resource[2], dict)):
            continue
        variable, values, body = resource
        if not isinstance(variable, str) or not isinstance(values, list):
            continue
        for value in values[:100]:
            for name, member in body.items():
                key = name.replace(f"${{{variable}}}", str(value)).replace(f"&{{{variable}}}", str(value))
                made[key] = _filled(member, variable, str(value))
                places[key] = ("Resources", id, 2, name)
    return made, places


def _filled(value: Any, variable: str, with_value: str) -> Any:
    """A loop's body with its variable replaced in every text and reference."""
    text = json.dumps(value).replace(f"${{{variable}}}", json.dumps(with_value)[1:-1])
    return json.loads(text.replace(f'{{"Ref": {json.dumps(variable)}}}', json.dumps(with_value)))
