"""CloudFormation's functions worked out with parameter defaults; what a deployment decides stays unknown.

A parameter without a default is some text (`HOLE`); a value that may even be absent is `UNKNOWN`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from dogbreed.audit.model import HOLE, UNKNOWN
from dogbreed.audit.parse import names
from dogbreed.audit.parse.placed import Arr, Obj
from dogbreed.audit.source import Path

_VARIABLE = re.compile(r"\$\{(!?)\s*([^}]*?)\s*\}")
# Longer texts are not computed: Join in Join can square with each level.
LONGEST = 1_000_000


class _Absent:
    """The type of what `AWS::NoValue` becomes on the way up."""


ABSENT = _Absent()


class Resolver:
    """The names that a template gives to values, and `resolve`, which replaces functions by what they give."""

    def __init__(self, template: dict[str, Any]) -> None:
        self.parameters = _objects(template.get("Parameters"))
        self.mappings = _objects(template.get("Mappings"))
        conditions = template.get("Conditions")
        self.conditions: dict[str, Any] = conditions if isinstance(conditions, dict) else {}
        self.resources = _objects(template.get("Resources"))
        # The condition of the resource that is being read holds inside it.
        self.assumed: dict[str, bool] = {}
        self._busy: set[str] = set()
        self._properties: dict[str, dict[str, Any]] = {}

    def resolve(self, value: Any, path: Path) -> Any:
        """A value with its functions worked out, as Obj and Arr; ABSENT for AWS::NoValue."""
        if isinstance(value, dict):
            if len(value) == 1:
                ((name, argument),) = value.items()
                if name in {"Ref", "Condition"} or name.startswith("Fn::"):
                    return self._function(name, argument, (*path, name))
            made = Obj()
            for key, member in value.items():
                if key == "Fn::Transform":
                    return UNKNOWN
                if (known := self.resolve(member, (*path, key))) is not ABSENT:
                    made.put(key, known, (*path, key))
            return made
        if isinstance(value, list):
            items = Arr()
            for index, member in enumerate(value):
                if (known := self.resolve(member, (*path, index))) is not ABSENT:
                    items.put(known, (*path, index))
            return items
        return value

    def properties(self, id: str) -> dict[str, Any]:
        """The resolved properties of a resource of the template, for its name and path."""
        if id not in self._properties:
            if id in self._busy:
                return {}
            self._busy.add(id)
            raw = self.resources[id].get("Properties")
            wanted = _naming_properties(str(self.resources[id].get("Type", "")), raw)
            resolved = self.resolve(wanted, ("Resources", id, "Properties"))
            self._busy.discard(id)
            self._properties[id] = resolved if isinstance(resolved, dict) else {}
        return self._properties[id]

    def holds(self, name: str) -> bool | None:
        """Whether a condition holds; None when a deployment decides."""
        if name in self.assumed:
            return self.assumed[name]
        if name not in self.conditions or name in self._busy:
            return None
        self._busy.add(name)
        answer = self._truth(self.conditions[name], ("Conditions", name))
        self._busy.discard(name)
        return answer

    def _truth(self, value: Any, path: Path) -> bool | None:
        name, argument = next(iter(value.items())) if isinstance(value, dict) and len(value) == 1 else ("", None)
        if name == "Condition" and isinstance(argument, str):
            return self.holds(argument)
        if not isinstance(argument, list):
            return None
        if name == "Fn::Equals" and len(argument) == 2:
            left, right = (self.resolve(one, (*path, name, at)) for at, one in enumerate(argument))
            return None if _unknown(left) or _unknown(right) else _text(left) == _text(right)
        answers = [self._truth(one, (*path, name, at)) for at, one in enumerate(argument)]
        if name == "Fn::Not" and len(answers) == 1:
            return None if answers[0] is None else not answers[0]
        # What decides And or Or at once, whatever the others are.
        strong = {"Fn::And": False, "Fn::Or": True}.get(name)
        return strong if strong in answers else None if strong is None or None in answers else not strong

    def _function(self, name: str, argument: Any, path: Path) -> Any:
        work: Callable[[Any, Path], Any] | None = {
            "Ref": self._ref,
            "Fn::GetAtt": self._get_att,
            "Fn::Sub": self._sub,
            "Fn::Join": self._join,
            "Fn::If": self._if,
            "Fn::FindInMap": self._find_in_map,
            "Fn::Select": self._select,
            "Fn::Split": self._split,
            "Fn::Base64": self.resolve,
            "Fn::ToJsonString": self.resolve,
            "Fn::ImportValue": lambda _argument, _path: HOLE,
            "Condition": lambda argument, _path: argument,
        }.get(name)
        return UNKNOWN if work is None else work(argument, path)

    def _ref(self, argument: Any, _path: Path) -> Any:
        if argument == "AWS::NoValue":
            return ABSENT
        if not isinstance(argument, str):
            return UNKNOWN
        if (own := names.own_value(argument)) is not None:
            return own
        if argument in self.parameters:
            return self._parameter(self.parameters[argument])
        if argument in self.resources:
            return names.reference(str(self.resources[argument].get("Type", "")), argument, self.properties(argument))
        return HOLE

    def _parameter(self, parameter: dict[str, Any]) -> Any:
        kind = str(parameter.get("Type", "String"))
        many = kind.startswith("List<") or kind == "CommaDelimitedList"
        default = parameter.get("Default")
        if default is None and isinstance(allowed := parameter.get("AllowedValues"), list) and len(allowed) == 1:
            default = allowed[0]
        if default is None or kind.startswith("AWS::SSM::Parameter::Value"):
            return UNKNOWN if many else HOLE
        if many:
            return Arr(part.strip() for part in str(default).split(",")) if default != "" else Arr()
        return default

    def _get_att(self, argument: Any, _path: Path) -> Any:
        parts = argument.split(".", 1) if isinstance(argument, str) else argument
        if not isinstance(parts, list) or len(parts) != 2:
            return HOLE
        id, wanted = parts
        if not isinstance(id, str) or id not in self.resources or not isinstance(wanted, str):
            return HOLE
        return names.attribute(str(self.resources[id].get("Type", "")), id, self.properties(id), wanted)

    def _sub(self, argument: Any, path: Path) -> Any:
        text: Any = argument
        values: Any = {}
        if isinstance(argument, list) and len(argument) == 2:
            text, given = argument
            values = self.resolve(given, (*path, 1)) if isinstance(given, dict) else {}
        if not isinstance(text, str):
            return HOLE

        def replaced(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return f"${{{name}}}"
            if isinstance(values, dict) and name in values:
                return _text(values[name])
            return _text(self._get_att(name, path) if "." in name else self._ref(name, path))

        return _VARIABLE.sub(replaced, text)

    def _join(self, argument: Any, path: Path) -> Any:
        if not isinstance(argument, list) or len(argument) != 2 or not isinstance(argument[0], str):
            return HOLE
        parts = self.resolve(argument[1], (*path, 1))
        if not isinstance(parts, list):
            return HOLE
        joined = argument[0].join(_text(one) for one in parts)
        return joined if len(joined) <= LONGEST else HOLE

    def _if(self, argument: Any, path: Path) -> Any:
        if not isinstance(argument, list) or len(argument) != 3 or not isinstance(argument[0], str):
            return UNKNOWN
        holds = self.holds(argument[0])
        if holds is not None:
            at = 1 if holds else 2
            return self.resolve(argument[at], (*path, at))
        yes, no = (self.resolve(argument[at], (*path, at)) for at in (1, 2))
        if yes is ABSENT or no is ABSENT:
            return ABSENT if yes is no else UNKNOWN
        both_text = isinstance(yes, str) and isinstance(no, str)
        return yes if yes == no and not _unknown(yes) else HOLE if both_text else UNKNOWN

    def _find_in_map(self, argument: Any, path: Path) -> Any:
        if not isinstance(argument, list) or len(argument) < 3:
            return UNKNOWN
        keys = [self.resolve(one, (*path, at)) for at, one in enumerate(argument[:3])]
        if any(_unknown(key) for key in keys):
            return UNKNOWN
        value: Any = self.mappings
        for key in keys:
            value = value.get(_text(key)) if isinstance(value, dict) else None
        if value is None and len(argument) > 3 and isinstance(argument[3], dict):
            return self.resolve(argument[3].get("DefaultValue"), (*path, 3, "DefaultValue"))
        return UNKNOWN if value is None else self.resolve(value, ("Mappings", *map(_text, keys)))

    def _select(self, argument: Any, path: Path) -> Any:
        if not isinstance(argument, list) or len(argument) != 2:
            return UNKNOWN
        index, items = (self.resolve(one, (*path, at)) for at, one in enumerate(argument))
        if not isinstance(items, list) or not str(index).isdigit() or int(index) >= len(items):
            return HOLE
        return items[int(index)]

    def _split(self, argument: Any, path: Path) -> Any:
        if not isinstance(argument, list) or len(argument) != 2 or not isinstance(argument[0], str) or not argument[0]:
            return UNKNOWN
        text = self.resolve(argument[1], (*path, 1))
        return UNKNOWN if not isinstance(text, str) or HOLE in text else Arr(text.split(argument[0]))


def _objects(value: Any) -> dict[str, dict[str, Any]]:
    """The members of a section that are objects."""
    if not isinstance(value, dict):
        return {}
    return {key: member for key, member in value.items() if isinstance(member, dict)}


def _naming_properties(type: str, properties: Any) -> dict[str, Any]:
    """The few properties that decide a resource's name."""
    if not isinstance(properties, dict):
        return {}
    naming = names.NAMINGS.get(type)
    wanted = {"Path", "Name", naming.property if naming else ""}
    return {key: value for key, value in properties.items() if key in wanted}


def _unknown(value: Any) -> bool:
    """Whether a value is not known to the last character."""
    return value is UNKNOWN or value is ABSENT or (isinstance(value, str) and HOLE in value)


def _text(value: Any) -> str:
    """A value inside a text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return HOLE
