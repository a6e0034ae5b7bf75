"""Checks a request against the service's own model: enums, patterns, lengths and ranges, as AWS does.

botocore checks types, required members and minima only, so a wrong instance type would pass until the real account.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from dogbreed.rehearse.calls import AwsError

if TYPE_CHECKING:
    from dogbreed.rehearse.calls import Call

# What it is called, by service or else by protocol; elsewhere a ValidationException.
_CODES = {
    "logs": "InvalidParameterException",
    "ecr": "InvalidParameterException",
    "query": "ValidationError",
    "rest-xml": "InvalidArgument",
}
_Fault = tuple[str, Any, str]
_NUMBERS = ("integer", "long", "float", "double")
_JAVA = {
    "ASCII": r"\x00-\x7F",
    "Alnum": "A-Za-z0-9",
    "Alpha": "A-Za-z",
    "Digit": "0-9",
    "Lower": "a-z",
    "Upper": "A-Z",
    "Print": r"\x20-\x7E",
    "Graph": r"\x21-\x7E",
    "Punct": r"!-/:-@\[-`{-~",
    "Space": r"\s",
}
_PIECE = re.compile(
    r"\\uD800\\uDC00-\\uDBFF\\uDFFF"  # all beyond the basic plane, in surrogates
    r"|\\[pP]\{\w+\}|\\z|\\.|\[\^?|\]|\(\?i\)|\$\{1,\d+\}|.",
    re.DOTALL,
)


_TYPES: dict[str, type] = {"structure": dict, "map": dict, "list": list, "string": str, "boolean": bool}
_MALFORMED = {
    "json": ("SerializationException", "The body could not be parsed"),
    "rest-xml": ("MalformedXML", "The XML you provided was not well-formed or did not validate against our schema"),
    "query": ("MalformedInput", "The request could not be understood"),
    "ec2": ("InvalidRequest", "The request could not be understood"),
}


def check(call: Call) -> None:
    """Raise AwsError with the service's own code and words where a call breaks the model of its input."""
    if call.malformed:
        raise AwsError(*_MALFORMED.get(call.protocol, _MALFORMED["json"]), 400)
    if call.model.input_shape is not None:
        check_params(call.service, call.protocol, call.model.input_shape, call.params)


def check_params(service: str, protocol: str, shape: Any, params: dict[str, Any]) -> None:
    """The same for parameters by themselves."""
    faults = list(_walk(shape, params, ""))
    if not faults:
        return
    if protocol == "ec2":
        path, value, _ = faults[0]
        name = path.rsplit(".", maxsplit=1)[-1]
        raise AwsError("InvalidParameterValue", f"Invalid value '{value}' for {name[:1].upper()}{name[1:]}.")
    told = "; ".join(
        f"Value {_quoted(value)} at '{path}' failed to satisfy constraint: {why}" for path, value, why in faults
    )
    count = f"{len(faults)} validation error{'s' if len(faults) > 1 else ''} detected"
    raise AwsError(_CODES.get(service) or _CODES.get(protocol, "ValidationException"), f"{count}: {told}", 400)


def _quoted(value: Any) -> str:
    return "null" if value is None else f"'{value}'"


def _walk(shape: Any, value: Any, path: str) -> Iterator[_Fault]:
    """Each fault as path, value and the constraint that it breaks."""
    if not isinstance(value, _TYPES.get(shape.type_name, object)) and "jsonvalue" not in shape.serialization:
        raise AwsError(*_MALFORMED["json"], 400)
    kind, limits = shape.type_name, shape.metadata
    if kind == "structure" and isinstance(value, dict):
        yield from _members(shape, value, path)
    elif kind == "list" and isinstance(value, list):
        yield from _length(len(value), value, limits, path)
        for number, inner in enumerate(value, 1):
            yield from _walk(shape.member, inner, f"{path}.{number}.member")
    elif kind == "map" and isinstance(value, dict):
        yield from _length(len(value), value, limits, path)
        for name, inner in value.items():
            yield from _walk(shape.key, name, f"{path}.{name}.key")
            yield from _walk(shape.value, inner, f"{path}.{name}.member")
    elif kind == "string" and isinstance(value, str):
        yield from _text(value, limits, path)
    elif kind == "blob" and isinstance(value, bytes | str):
        yield from _length(len(value), "***", limits, path)
    elif kind in _NUMBERS and isinstance(value, int | float):
        yield from _range(value, limits, path)


def _members(shape: Any, value: dict[str, Any], path: str) -> Iterator[_Fault]:
    for name in shape.required_members:
        member = shape.members[name]
        # What stands in the address or a header was needed to find the operation; a token the client may leave out.
        bound = "location" in member.serialization or member.metadata.get("idempotencyToken")
        # A body that is content is never among the parameters.
        bound = bound or (shape.serialization.get("payload") == name and member.type_name == "blob")
        if value.get(name) is None and not bound:
            yield _below(path, name), None, "Member must not be null"
    for name, inner in value.items():
        if inner is not None and name in shape.members:
            yield from _walk(shape.members[name], inner, _below(path, name))


def _range(value: float, limits: dict[str, Any], path: str) -> Iterator[_Fault]:
    if (least := limits.get("min")) is not None and value < least:
        yield path, value, f"Member must have value greater than or equal to {least}"
    if (most := limits.get("max")) is not None and value > most:
        yield path, value, f"Member must have value less than or equal to {most}"


def _below(path: str, name: str) -> str:
    small = name[:1].lower() + name[1:]
    return f"{path}.{small}" if path else small


def _text(value: str, limits: dict[str, Any], path: str) -> Iterator[_Fault]:
    if (known := limits.get("enum")) and value not in known:
        yield path, value, f"Member must satisfy enum value set: [{', '.join(known)}]"
        return
    wrong = list(_length(len(value), value, limits, path))
    yield from wrong
    # A text that is too long is not matched as well: the time of a match must stay bounded.
    pattern = limits.get("pattern")
    if pattern and not wrong and (compiled := compile_java(pattern)) and not compiled.fullmatch(value):
        yield path, value, f"Member must satisfy regular expression pattern: {pattern}"


def _length(length: int, value: Any, limits: dict[str, Any], path: str) -> Iterator[_Fault]:
    if (least := limits.get("min")) is not None and length < least:
        yield path, value, f"Member must have length greater than or equal to {least}"
    if (most := limits.get("max")) is not None and length > most:
        yield path, value, f"Member must have length less than or equal to {most}"


@cache
def compile_java(pattern: str) -> re.Pattern[str] | None:
    """The Java pattern of a service model as Python's; None for one that Python cannot say."""
    flags, parts, inside, previous = 0, [], False, ""
    for piece in _PIECE.findall(pattern):
        said = piece
        if piece.startswith("\\uD800"):
            said = "\U00010000-\U0010ffff"
        elif piece[:3] in (r"\p{", r"\P{"):
            ranges = _ranges(piece[3:-1])
            if ranges is None or piece[1] == "P":
                return None
            said = ranges if inside else f"[{ranges}]"
        elif piece == r"\z":
            said = r"\Z"
        elif piece == "(?i)":
            flags, said = re.IGNORECASE, ""
        elif piece.startswith("${"):  # a slip in two patterns of SageMaker: `*)${1,128}`
            said = "$"
        elif piece[0] == "[" and not inside:
            inside = True
        elif piece[0] == "[":
            said = rf"\{piece}"
        elif piece == "]":
            inside = False
        elif piece == "-" and inside and (previous.startswith((r"\p", r"\w", r"\d", r"\s"))):
            said = r"\-"
        parts.append(said)
        previous = piece
    try:
        return re.compile("".join(parts), flags)
    except re.error:
        return None


@cache
def _ranges(name: str) -> str | None:
    """The inside of a character class for a Unicode category or one of Java's POSIX classes."""
    if name in _JAVA:
        return _JAVA[name]
    spans = [span for category, found in _categories().items() if category.startswith(name) for span in found]
    return "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in sorted(spans)) or None


@cache
def _categories() -> dict[str, list[tuple[int, int]]]:
    spans: dict[str, list[tuple[int, int]]] = {}
    start, current = 0, unicodedata.category("\0")
    for code in range(1, sys.maxunicode + 2):
        category = unicodedata.category(chr(code)) if code <= sys.maxunicode else ""
        if category != current:
            spans.setdefault(current, []).append((start, code - 1))
            start, current = code, category
    return spans
